# Every target sets up what it needs: `make demo` and `make test` work on a fresh Debian machine with Python 3.11+.
# `make` alone lists the targets.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
APT := DEBIAN_FRONTEND=noninteractive apt-get -q
# What the report's browser tests need from Debian.
DEBIAN_PACKAGES := chromium fonts-dejavu-core
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test unit check format bench docs clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 8

demo: $(VENV)/.installed ## the main job on simulated customers: prints what it found and where the report is
	$(BIN)/sojourn demo --out demo

test: $(VENV)/.tools $(VENV)/.debian check ## lint, types, layers, then the whole suite
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

docs: $(VENV)/.tools ## run every block of the README and the docs, and follow every link
	$(BIN)/python -m pytest tests/test_docs.py

clean: ## remove what the other targets made, the virtual environment included
	rm -rf $(VENV) demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	.ci/make-venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	@touch $@

$(VENV)/.tools: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[test,dev]'
	@touch $@ $(VENV)/.installed

$(VENV)/.debian: Makefile | $(BIN)/python
	@if command -v chromium >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  $(APT) update && $(APT) install -y --no-install-recommends $(DEBIAN_PACKAGES); \
	else echo "Not root on Debian: tests that need $(DEBIAN_PACKAGES) will say that they skip."; fi
	@touch $@
