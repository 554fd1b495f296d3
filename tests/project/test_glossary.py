"""One concept, one name: docs/reference/glossary.md lists the terms and the synonyms that are not used."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
GLOSSARY = ROOT / "docs" / "reference" / "glossary.md"
TERMS_OF_THE_DESIGN = (
    "customer", "event", "event class", "measure", "feature", "fingerprint", "state", "dwell", "transition", "trigger",
    "moment", "segment", "audience", "prediction", "decision", "activation", "destination", "experiment", "holdout",
    "outcome", "lift", "uplift", "purpose", "playbook", "hysteresis", "change feed", "publish", "revoke", "reassign",
    "predictive value of states", "sample", "counterfactual", "backfill", "watermark", "dead letter", "idempotency key",
    "calibration", "hazard ratio", "censoring", "propensity", "overlap", "placebo",
)  # fmt: skip
PENDING = {
    "calm", "flicker", "foresee", "foreseen", "foresight", "lived", "lives", "luck", "move", "mover", "square",
    "squared", "steadiness", "tell", "the kept", "told",
}  # fmt: skip
"""Synonyms that are still in use today. A renaming takes its word out of this set; the last one leaves it empty."""
ARTICLES = "a|an|the|this|each|every|one|any|of|per|between|frequent|these|those|first|last|next"


class Barred(NamedTuple):
    """A synonym that is not used, and where: ``noun`` allows the verb in prose, ``name`` allows all prose."""

    word: str
    only: str


class Row(NamedTuple):
    term: str
    meaning: str
    barred: tuple[Barred, ...]


@cache
def rows() -> tuple[Row, ...]:
    found = []
    for line in GLOSSARY.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("| ") else []
        if len(cells) == 3 and cells[0] != "term":
            barred = re.findall(r"`([^`]+)`(?: \((noun|name)\))?", cells[2])
            found.append(Row(cells[0], cells[1], tuple(Barred(*one) for one in barred)))
    return tuple(found)


def all_barred() -> list[Barred]:
    return sorted({one for row in rows() for one in row.barred})


def split_words(name: str) -> list[str]:
    """The words of an identifier in lower case: ``read_HTTPCall`` has read, http, call."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]


def list_names(source: str) -> set[str]:
    """The names that a module defines or uses; attributes only where they are set, as others belong to libraries."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
    return names


@cache
def words_of_code() -> dict[str, str]:
    """Each word in a name or a file's name of ``sojourn/``, with one place where it is."""
    found: dict[str, str] = {}
    for file in sorted((ROOT / "sojourn").rglob("*.py")):
        place = str(file.relative_to(ROOT))
        for name in sorted(list_names(file.read_text(encoding="utf-8"))):
            for word in split_words(name):
                found.setdefault(word, f"{place}: {name}")
        for word in split_words(file.stem):
            found.setdefault(word, place)
    return found


def list_keys(value: object) -> list[str]:
    if isinstance(value, dict):
        return [str(key) for key in value] + [inner for one in value.values() for inner in list_keys(one)]
    return [inner for one in value for inner in list_keys(one)] if isinstance(value, list) else []


@cache
def words_of_keys() -> dict[str, str]:
    """Each word in a key of a playbook, with one file that has it."""
    found: dict[str, str] = {}
    for folder in ("sojourn", "examples", "golden"):
        for file in sorted((ROOT / folder).rglob("*.yaml")):
            for key in list_keys(yaml.safe_load(file.read_text(encoding="utf-8"))):
                for word in split_words(key):
                    found.setdefault(word, f"{file.relative_to(ROOT)}: {key}")
    return found


@cache
def pages() -> tuple[tuple[str, str], ...]:
    """Path and text of each page. The glossary, the list of changes and the decisions may name old words."""
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return tuple(
        (str(file.relative_to(ROOT)), file.read_text(encoding="utf-8"))
        for file in files
        if file != GLOSSARY and "decisions" not in file.parts
    )


def find_uses(barred: Barred) -> list[str]:
    """Where a synonym is used: one place in code, one in keys, and one on each page."""
    word = barred.word
    places = []
    if re.fullmatch(r"\w+", word):
        forms = (word, f"{word}s")
        places += [words[form] for words in (words_of_code(), words_of_keys()) for form in forms if form in words]
    if barred.only == "name":
        return places
    before = rf"\b(?:{ARTICLES}|\d+)\s+" if barred.only == "noun" else r"\b"
    pattern = re.compile(rf"{before}{re.escape(word)}s?\b", re.I)
    for page, text in pages():
        if match := pattern.search(text):
            places.append(f"{page}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]!r}")
    return places


def test_every_row_has_a_term_and_a_sentence() -> None:
    assert len(rows()) > 80
    for row in rows():
        assert row.meaning.endswith("."), row.term
        assert len(row.meaning.split()) > 3, row.term


def test_no_term_is_listed_twice_or_barred() -> None:
    terms = [row.term for row in rows()]
    assert len(terms) == len(set(terms))
    assert not set(terms) & {one.word for one in all_barred()}


@pytest.mark.parametrize("term", TERMS_OF_THE_DESIGN)
def test_the_glossary_has_every_term_of_the_design(term: str) -> None:
    assert term in {row.term for row in rows()}


@pytest.mark.parametrize("barred", all_barred(), ids=lambda one: one.word)
def test_a_synonym_that_is_not_used_appears_nowhere(barred: Barred) -> None:
    places = find_uses(barred)
    if barred.word in PENDING:
        assert places, f"'{barred.word}' is gone: take it out of PENDING in {Path(__file__).name}"
        pytest.skip(f"'{barred.word}' is still to be renamed, first in {places[0]}")
    term = next(row.term for row in rows() if barred in row.barred)
    assert not places, f"write '{term}', not '{barred.word}':\n  " + "\n  ".join(places)


def test_only_barred_words_are_pending() -> None:
    assert {one.word for one in all_barred()} >= PENDING


@pytest.mark.parametrize(
    ("name", "words"),
    [("read_HTTPCall", ["read", "http", "call"]), ("_N_MOVES", ["n", "moves"]), ("CodedEvent", ["coded", "event"])],
)
def test_a_name_is_split_at_underscores_and_capitals(name: str, words: list[str]) -> None:
    assert split_words(name) == words
