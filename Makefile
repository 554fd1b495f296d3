# Every target sets up what it needs: `make demo` and `make test` work on a fresh Debian machine with Python 3.11+.
# `make` alone lists the targets.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
APT := DEBIAN_FRONTEND=noninteractive apt-get -q
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test unit check format bench docs clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 8

demo: $(VENV)/.installed ## the main job on simulated customers: prints what it found and where the report is
	$(BIN)/sojourn demo --out demo

test: $(VENV)/.tools $(VENV)/.debian tests/clients/.installed check ## lint, types, layers, then the whole suite
	$(BIN)/python -m pytest -n 2 --dist loadfile

unit: $(VENV)/.tools ## the quick tests only (under three minutes on two cores)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

check: $(VENV)/.tools ## ruff (rules and format), mypy --strict, the layers of the design
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.tools ## put the code into the form that `check` wants
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.tools ## measure against the references, ratios in one run (docs/benchmarks.md has the table)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[bench]'
	set -e; for script in benchmarks/[a-z]*.py; do echo "== $$script"; $(BIN)/python $$script; done

docs: $(VENV)/.tools ## build the documentation site into site/, then run every block of the README and the docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	$(BIN)/python -m pytest tests/project/test_docs.py tests/project/test_docstrings.py
	@echo "The site: site/index.html"

# The tracking clients of others, each at the version that was tested, apart from what Sojourn needs itself.
tests/clients/.installed: tests/clients/package.json tests/clients/requirements.txt | $(VENV)/.debian
	.ci/make-venv tests/clients/.venv
	tests/clients/.venv/bin/python -m pip install -q -r tests/clients/requirements.txt
	@if command -v npm >/dev/null; then \
	  cd tests/clients && npm install --silent --no-package-lock --ignore-scripts --no-audit --no-fund && touch .installed; \
	else echo "No npm: the tests of the tracking clients will say that they skip."; fi

clean: ## remove what the other targets made, the virtual environment included
	rm -rf $(VENV) demo site tests/clients/.venv tests/clients/.installed tests/clients/node_modules .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	.ci/make-venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	$(BIN)/python -m sojourn.pipelines.stages.compile_ahead
	@touch $@

$(VENV)/.tools: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[test,dev]'
	@touch $@ $(VENV)/.installed

# Only what is missing: a machine may have Node from elsewhere, beside which Debian's own cannot be installed.
$(VENV)/.debian: Makefile | $(BIN)/python
	@missing=""; \
	command -v chromium >/dev/null || missing="$$missing chromium fonts-dejavu-core"; \
	command -v npm >/dev/null || missing="$$missing nodejs npm"; \
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$$missing postgresql"; \
	if [ -z "$$missing" ]; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  $(APT) update && $(APT) install -y --no-install-recommends $$missing; \
	else echo "Not root on Debian: tests that need$$missing will say that they skip."; fi
	@touch $@
