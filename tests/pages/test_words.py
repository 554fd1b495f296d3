"""Quantities are worded in `pages/words` alone: no other module puts a unit or an interval behind a rounded number."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOJOURN = Path(__file__).resolve().parents[2] / "sojourn"
WORDS = SOJOURN / "pages" / "words"

EXCEPTIONS = {
    "prove/stability/audit.py": "sentences that are data: the column `says` of stability.parquet",
    "prove/stability/judge.py": "the same",
    "prove/stability/membership.py": "the same",
    "prove/stability/staleness.py": "the same, of staleness.parquet",
    "segments/find.py": "sentences that are data: how segments were found, in segments.json",
    "segments/prepare.py": "sentences that are data: why an input was taken, in segments.json",
    "states/substates.py": "sentences that are data: what sets a discovered state apart",
    "transitions/journeys/outcomes.py": "a reason that is data: the column `why_not` of journeys.parquet",
    "pipelines/stages/describe.py": "warnings of a run, which are data in run.json",
    "act/plan/plan.py": "a doubt, which is data of the plan",
    "predict/choose.py": "a reason that is data: the column `why_not` of a model's card",
    "playbook/reader.py": "an error that quotes what the playbook says",
    "prove/power.py": "an error that words its own values",
}
"""Modules that word a quantity themselves, below the layer of pages, and why."""

PERCENT = re.compile(r"^[ \u00a0]?%")
UNIT = re.compile(r"^[ \u00a0](s|min|h|d|seconds?|minutes?|hours?|days?|weeks?|months?|years?|points?)\b")
BETWEEN = re.compile(r"^( to |–|, )$")


def is_rounded(part: ast.expr) -> bool:
    """Whether the part of an f-string is a number that is rounded there, as in ``{x:.1f}``; ``{x:g}`` is exact."""
    if not isinstance(part, ast.FormattedValue) or part.format_spec is None:
        return False
    spec = ast.unparse(part.format_spec)
    return re.search(r"\.\d+[fge%]|[f%]['\"]$", spec) is not None


def find_wordings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text of each f-string that words a share, a duration or an interval."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.JoinedStr):
            continue
        for i, part in enumerate(node.values):
            if not isinstance(part, ast.FormattedValue):
                continue
            after = node.values[i + 1] if i + 1 < len(node.values) else None
            text = str(after.value) if isinstance(after, ast.Constant) else ""
            is_percent = part.format_spec is not None and ast.unparse(part.format_spec).endswith("%'")
            is_interval = BETWEEN.search(text) and i + 2 < len(node.values) and is_rounded(node.values[i + 2])
            if is_percent or PERCENT.search(text) or (is_rounded(part) and (UNIT.search(text) or is_interval)):
                yield node.lineno, ast.unparse(node)


def modules() -> list[Path]:
    return sorted(path for path in SOJOURN.rglob("*.py") if WORDS not in path.parents)


def test_shares_durations_and_intervals_are_worded_in_one_place() -> None:
    found: dict[str, list[tuple[int, str]]] = {}
    for path in modules():
        wordings = list(find_wordings(ast.parse(path.read_text(encoding="utf-8"))))
        if wordings:
            found[path.relative_to(SOJOURN).as_posix()] = wordings
    assert {name: lines for name, lines in found.items() if name not in EXCEPTIONS} == {}
    assert set(EXCEPTIONS) <= set(found), "an exception that is not needed any more"


@pytest.mark.parametrize(
    ("text", "is_wording"),
    [
        ('f"{share:.1f} %"', True),
        ('f"{share:.0%} of them"', True),
        ('f"{share}%"', True),
        ('f"{x:.1f} days"', True),
        ('f"{low:.2f} to {high:.2f}"', True),
        ('f"{n:,} rows"', False),
        ('f"{name} to {other}"', False),
    ],
)
def test_the_check_knows_a_wording_when_it_sees_one(text: str, is_wording: bool) -> None:
    assert bool(list(find_wordings(ast.parse(text)))) == is_wording


def test_figures_hold_no_captions_and_no_findings() -> None:
    for path in sorted((SOJOURN / "pages" / "figures").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        defined = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        assert not [name for name in defined if re.search(r"^_?say_|finding$", name)], path.name
        documents = {id(node.body[0].value) for node in ast.walk(tree)
                     if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef)) and node.body
                     and isinstance(node.body[0], ast.Expr)}  # fmt: skip
        documents |= {id(node.value) for node in tree.body if isinstance(node, ast.Expr)}
        sentences = [
            node.value for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents
            and re.search(r"\w \w+ .*\.$", node.value)
        ]  # fmt: skip
        assert not sentences, (path.name, sentences)
