"""Row rules over whole columns: what :func:`sojourn.playbook.rules.meaning.read_row` says of one row, said of all
rows at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sojourn.events.columns import Columns
from sojourn.events.sources import Flags
from sojourn.events.values import Numbers
from sojourn.playbook.rules import Column, Constant, Node, Operation, RowRule, find_model
from sojourn.playbook.text import score_texts


@dataclass(frozen=True)
class _Values:
    """One value per row: float64, bool or Arrow text; ``known`` says where there is one."""

    values: Any
    known: Flags


def match_rows(rule: RowRule, columns: Columns) -> Flags:
    """Which rows a condition holds for; a missing value makes it false.

    >>> from sojourn.events.sources.chunks import Chunk
    >>> from sojourn.frames.duck import connect
    >>> chunk = Chunk(pa.table({"total": ["5", "x"]}), np.arange(2), np.arange(2), (), 0, lambda rows: [])
    >>> tree = Operation(">", (Column(("total",), "number"), Constant(0.0, "number")))
    >>> rule = RowRule(tree, "boolean", (("total",),), "total > 0")
    >>> match_rows(rule, Columns(chunk, ["total"], connect())).tolist()
    [True, False]
    """
    found = _read(rule.tree, columns)
    return np.asarray(found.values, bool) & found.known


def measure_rows(rule: RowRule, columns: Columns) -> tuple[Numbers, Flags]:
    """The rule's number in each row (NaN: missing), and where a value it reads is there but is no finite number.

    A result that is too large for a number is such a value too; a division by zero is missing.
    """
    found = _read(rule.tree, columns)
    is_bad = np.zeros(columns.n_rows, bool)
    for path in rule.number_paths:
        is_bad |= columns.numbers(".".join(path))[1]
    values = np.where(found.known, found.values, np.nan)
    is_large = np.isinf(values)
    return np.where(is_large, np.nan, values), is_bad | is_large


def _read(node: Node, columns: Columns) -> _Values:
    if isinstance(node, Constant):
        return _spread(node, columns.n_rows)
    if isinstance(node, Column):
        return _read_column(node, columns)
    if not isinstance(node, Operation):
        raise TypeError(f"not part of a row rule: {node!r}")
    parts = [_read(part, columns) for part in node.of]
    if node.op == "is_missing":
        return _sure(~parts[0].known)
    if node.op in ("and", "or", "not"):
        flags = [part.values & part.known for part in parts]
        if node.op == "not":
            return _sure(~flags[0])
        return _sure(flags[0] & flags[1] if node.op == "and" else flags[0] | flags[1])
    if node.op in _COMPARISONS:
        return _sure(_compare(node.op, parts))
    known = np.logical_and.reduce([part.known for part in parts])
    if node.op == "sentiment":
        return _score_rows(node, parts[0])
    if node.op == "lower":
        return _Values(pc.utf8_lower(parts[0].values), known)
    return _calculate(node.op, [part.values for part in parts], known)


def _score_rows(node: Operation, texts: _Values) -> _Values:
    """How favourable the texts are; each distinct one is scored once."""
    coded = pc.if_else(pa.array(texts.known), texts.values, pa.scalar(None, pa.string())).dictionary_encode()
    scores = np.array([*score_texts(coded.dictionary.to_pylist(), find_model(node)), np.nan])
    values = scores[coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)]
    return _Values(values, np.isfinite(values))


def _sure(flags: Flags) -> _Values:
    return _Values(flags, np.ones(len(flags), bool))


def _spread(node: Constant, n: int) -> _Values:
    known = np.ones(n, bool)
    if node.unit == "text":
        return _Values(pa.repeat(pa.scalar(str(node.value)), n), known)
    return _Values(np.full(n, bool(node.value) if node.unit == "boolean" else node.value), known)


def _read_column(node: Column, columns: Columns) -> _Values:
    path = ".".join(node.parts)
    if node.unit == "number":
        values = columns.numbers(path)[0]
        return _Values(values, ~np.isnan(values))
    texts = columns.texts(path)
    known = texts.is_valid().to_numpy(zero_copy_only=False)
    if node.unit == "text":
        return _Values(texts.fill_null(""), known)
    is_true = pc.is_in(pc.utf8_lower(texts), pa.array(["true", "1"]))
    return _Values(is_true.to_numpy(zero_copy_only=False), known)


_COMPARISONS = {
    "<": "less",
    "<=": "less_equal",
    ">": "greater",
    ">=": "greater_equal",
    "==": "equal",
    "!=": "not_equal",
    "in": "equal",
    "not in": "equal",
    "starts_with": "starts_with",
    "ends_with": "ends_with",
    "contains": "contains",
}


def _compare(op: str, parts: list[_Values]) -> Flags:
    first, *others = parts
    if op in ("in", "not in"):
        found = np.zeros(len(first.known), bool)
        for other in others:
            found |= _compare_two("==", first.values, other.values)
        return first.known & (found if op == "in" else ~found)
    return first.known & others[0].known & _compare_two(op, first.values, others[0].values)


def _compare_two(op: str, left: Any, right: Any) -> Flags:
    if isinstance(left, np.ndarray):
        with np.errstate(invalid="ignore"):
            return np.asarray(getattr(np, _COMPARISONS[op])(left, right))
    if op in ("starts_with", "ends_with", "contains"):
        return _search(op, left, right)
    return np.asarray(getattr(pc, _COMPARISONS[op])(left, right).to_numpy(zero_copy_only=False))


def _search(op: str, texts: pa.Array, patterns: pa.Array) -> Flags:
    search = {"starts_with": pc.starts_with, "ends_with": pc.ends_with, "contains": pc.match_substring}[op]
    found = np.zeros(len(texts), bool)
    for pattern in pc.unique(patterns).to_pylist():  # nearly always one, the constant of the rule
        here = pc.equal(patterns, pattern)
        found |= pc.and_(here, search(texts, pattern=pattern)).to_numpy(zero_copy_only=False)
    return found


def _calculate(op: str, values: list[Numbers], known: Flags) -> _Values:
    with np.errstate(all="ignore"):
        if op == "neg":
            return _Values(-values[0], known)
        if op == "abs":
            return _Values(np.abs(values[0]), known)
        a, b = values
        if op == "/":
            return _Values(np.divide(a, b), known & (b != 0.0))
        result = {"+": np.add, "-": np.subtract, "*": np.multiply, "min": np.minimum, "max": np.maximum}[op](a, b)
    return _Values(result, known)
