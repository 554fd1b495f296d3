"""`import sojourn` is quick, and loads no large library before it is used."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module

import pytest

import sojourn

LARGE = [
    "duckdb",
    "hmmlearn",
    "jinja2",
    "lark",
    "llvmlite",
    "numba",
    "numpy",
    "pandas",
    "plotly",
    "polars",
    "pyarrow",
    "scipy",
    "sklearn",
    "statsmodels",
    "typer",
]
JOBS = [
    "brief", "check", "explain", "link", "moments", "plan", "predict", "retrain", "run", "segments", "send_times",
    "sentiment", "simulate", "stability", "substates", "value",
]  # fmt: skip
LIGHT = ["cli.main", "errors", "events", "frames", "playbook", "pages.results", "simulation"]
COMPILERS_AND_STATISTICS = ["duckdb", "numba", "pandas", "plotly", "scipy", "sklearn", "statsmodels"]


def loaded_after(code: str) -> tuple[set[str], float]:
    """Top-level modules in a fresh interpreter after `code`, and the seconds of a processor that it took."""
    program = (
        "import json, sys, time\n"
        "began = time.process_time()\n"
        f"{code}\n"
        "took = time.process_time() - began\n"
        "print(json.dumps([sorted({name.partition('.')[0] for name in sys.modules}), took]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    names, seconds = json.loads(done.stdout.splitlines()[-1])
    return set(names), seconds


def test_import_is_quick_and_loads_nothing_large() -> None:
    tries = [loaded_after("import sojourn") for _ in range(3)]
    assert tries[0][0].isdisjoint(LARGE), sorted(tries[0][0] & set(LARGE))
    assert "sojourn" in tries[0][0]
    assert min(seconds for _, seconds in tries) < 1.0


@pytest.mark.parametrize("module", LIGHT)
def test_importing_a_module_loads_no_compiler_or_statistics(module: str) -> None:
    names, _ = loaded_after(f"import sojourn.{module}")
    assert names.isdisjoint(COMPILERS_AND_STATISTICS), sorted(names & set(COMPILERS_AND_STATISTICS))


def test_help_loads_no_compiler_or_statistics() -> None:
    code = (
        "from typer.testing import CliRunner\n"
        "from sojourn.cli.main import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0"
    )
    names, _ = loaded_after(code)
    assert "typer" in names
    assert names.isdisjoint(COMPILERS_AND_STATISTICS), sorted(names & set(COMPILERS_AND_STATISTICS))


@pytest.mark.parametrize("name", sojourn.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(sojourn, name).__name__ == name
    assert name in dir(sojourn)


def test_a_public_function_is_not_hidden_by_the_module_of_its_name() -> None:
    package_first = "import sojourn.segments.find, sojourn.predict.drift, sojourn\n"
    function_first = "import sojourn\nfor name in ('segments', 'predict'): getattr(sojourn, name)\n"
    check = (
        "from sojourn.segments import find\n"
        "from sojourn.predict.drift import DRIFT\n"
        "assert sojourn.segments.__module__ == 'sojourn.pipelines.segments', sojourn.segments\n"
        "assert callable(sojourn.predict), sojourn.predict\n"
        "assert find.__name__ == 'sojourn.segments.find'"
    )
    for first in (package_first, function_first):
        names, _ = loaded_after(first + check)
        assert "sojourn" in names


@pytest.mark.parametrize("name", JOBS)
def test_a_job_is_the_public_function(name: str) -> None:
    """The function that commands call, with a docstring that shows how."""
    job = getattr(sojourn, name)
    assert job is getattr(import_module(job.__module__), name)
    assert job.__module__.startswith(("sojourn.pipelines.", "sojourn.simulation."))
    assert ">>> " in job.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        _ = sojourn.runn  # type: ignore[attr-defined]


def test_subpackages_are_reached_without_importing_them() -> None:
    code = "import sojourn; print(sojourn.hmm.fit([[0, 1, 0], [1, 1, 0]], 2, 2, n_starts=2, rng=0).n_iter > 0)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "True"
