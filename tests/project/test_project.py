"""The rules that the whole project keeps: layers, sizes, names, docstrings, no traces of a machine."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

MODULES = sorted((ROOT / "sojourn").rglob("*.py"))
MODULE_NAMES = [".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for p in MODULES]
VAGUE_NAMES = {"utils", "util", "common", "helpers", "helper", "core", "base", "manager", "misc"}
MOST_LINES = 800


def tracked_files() -> list[Path]:
    """What git knows; in a plain copy without git, what lies in the project's own folders."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    folders = ("sojourn", "tests", "docs", "examples", "benchmarks", "golden", ".ci")
    return [p for f in folders for p in (ROOT / f).rglob("*") if p.is_file() and "__pycache__" not in p.parts]


def imported_by(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def public_functions(tree: ast.Module) -> list[ast.FunctionDef | ast.ClassDef]:
    """Public functions and classes of a module, and public methods of its public classes.

    What a protocol asks for is documented by who does it.
    """
    found: list[ast.FunctionDef | ast.ClassDef] = []
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            found.append(node)
            is_protocol = isinstance(node, ast.ClassDef) and "Protocol" in map(ast.unparse, node.bases)
            if isinstance(node, ast.ClassDef) and not is_protocol:
                found += [n for n in node.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")]
    return found


def test_imports_only_point_down() -> None:
    tool = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([tool, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"[1-9]\d* kept, 0 broken", done.stdout), done.stdout


@pytest.mark.parametrize("path", MODULES, ids=MODULE_NAMES)
def test_a_module_is_short_and_well_named(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES
    assert VAGUE_NAMES.isdisjoint(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("path", MODULES, ids=MODULE_NAMES)
def test_only_the_fold_and_the_model_compile(path: Path) -> None:
    homes = (ROOT / "sojourn" / "fold", ROOT / "sojourn" / "states" / "hmm")
    assert any(path.is_relative_to(home) for home in homes) or "numba" not in imported_by(path)


@pytest.mark.parametrize("path", MODULES, ids=MODULE_NAMES)
def test_nothing_is_evaluated(path: Path) -> None:
    calls = [node.func for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    names = {func.id for func in calls if isinstance(func, ast.Name)}
    assert names.isdisjoint({"eval", "exec"})


@pytest.mark.parametrize("path", MODULES, ids=MODULE_NAMES)
def test_public_things_have_docstrings(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bare = [node.name for node in public_functions(tree) if not ast.get_docstring(node)]
    assert not bare, f"without a docstring: {bare}"
    is_empty = not tree.body
    assert is_empty or ast.get_docstring(tree), "the module has no docstring"


@pytest.mark.parametrize("name", MODULE_NAMES)
def test_docstring_examples_are_right(name: str) -> None:
    module = importlib.import_module(name)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=flags, verbose=False)
    for case in doctest.DocTestFinder().find(module, name):
        runner.run(case, out=report.append)
    assert runner.failures == 0, "".join(report)


def test_public_functions_show_an_example() -> None:
    import sojourn

    functions = [getattr(sojourn, name) for name in sojourn.__all__]
    bare = [f.__name__ for f in functions if not isinstance(f, type) and ">>>" not in (f.__doc__ or "")]
    assert not bare, f"without an example in the docstring: {bare}"


def test_no_traces_of_a_machine() -> None:
    # Written in pieces, so that this file does not find itself.
    hosts = "|".join(["py" + "pi", "python" + "hosted", "npm" + "js", "maven", "deb" + "ian"])
    folders = "|".join(["/wo" + "rk/", "/tm" + "p/", "/ro" + "ot/", "/ho" + "me/", "/opt/wh" + "eels"])
    traces = re.compile(rf"(?:[\w.-]*(?:{hosts})\.(?:org|com|net))|(?:(?<![\w.]){folders})", re.IGNORECASE)
    found = []
    for path in tracked_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a binary file: golden data and pictures hold no paths
        found += [f"{path.relative_to(ROOT)}: {hit.group()}" for hit in traces.finditer(text)]
    assert not found, "\n".join(found)


def test_constraints_are_plain_pins() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert pins
    assert [pin for pin in pins if not re.fullmatch(r"[a-z0-9._-]+==[\w.]+", pin)] == []


def test_no_tracked_file_is_large() -> None:
    large = [str(p.relative_to(ROOT)) for p in tracked_files() if p.stat().st_size > 1_000_000]
    assert not large
