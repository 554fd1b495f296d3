"""Every example in a docstring runs and prints what it shows, and every public function has one.

Examples are read from the source, not from loaded objects: those of compiled or wrapped functions, of properties and of
constants count too.
"""

from __future__ import annotations

import ast
import doctest
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import sojourn

ROOT = Path(__file__).resolve().parents[2]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def docstrings_in(text: str, module: str) -> Iterator[tuple[str, int, str]]:
    """What each docstring belongs to, its line and its text; a string that stands after a constant is one too."""

    def visit(node: ast.AST, name: str) -> Iterator[tuple[str, int, str]]:
        for child in ast.iter_child_nodes(node):
            is_scope = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
            value = child.value if isinstance(child, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield name, child.lineno, value.value
            yield from visit(child, f"{name}.{child.name}" if is_scope else name)

    yield from visit(ast.parse(text), module)


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def examples_of(path: Path) -> list[tuple[str, int, str]]:
    found = docstrings_in(path.read_text(encoding="utf-8"), name_of(path))
    return [one for one in found if ">>>" in one[2]]


MODULES = [path for path in sorted((ROOT / "sojourn").rglob("*.py")) if examples_of(path)]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_examples_print_what_they_show(path: Path) -> None:
    module = importlib.import_module(name_of(path))
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    report: list[str] = []
    for name, line, text in examples_of(path):
        case = doctest.DocTestParser().get_doctest(text, dict(vars(module)), name, str(path), line - 1)
        assert case.examples, f"{path.name}:{line}: '>>>' stands where doctest does not look"
        runner.run(case, out=report.append)
    assert runner.failures == 0, "".join(report)


def test_every_public_function_shows_an_example() -> None:
    functions = [getattr(sojourn, name) for name in sojourn.__all__]
    bare = [f.__name__ for f in functions if not isinstance(f, type) and ">>>" not in (f.__doc__ or "")]
    assert not bare, f"without an example in the docstring: {bare}"


def test_examples_are_found_wherever_they_stand() -> None:
    text = '"""A.\n\n>>> 1\n1\n"""\nX = 1\n""">>> X\n1"""\n@njit\ndef f():\n    """>>> 2\n    2"""\n'
    assert [name for name, _, found in docstrings_in(text, "made") if ">>>" in found] == ["made", "made", "made.f"]
