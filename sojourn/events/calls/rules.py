"""Row rules over decoded tracking calls: what :func:`sojourn.playbook.rules.meaning.read_row` says of a row, as
functions made once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from sojourn.events.calls.shape import Call, Get
from sojourn.events.calls.values import INF, NAN, read_number, read_text, read_truth
from sojourn.playbook.rules import Column, Constant, Node, Operation, RowRule, find_model
from sojourn.playbook.text import score_text

FindPath = Callable[[str], Get]
Value = float | str | bool | None
_Evaluate = Callable[[Any], Any]


def make_condition(rule: RowRule, find: FindPath) -> Callable[[Call], bool]:
    """Whether the condition holds for a call; a missing value makes it false. ``find`` reads paths.

    >>> from sojourn.playbook.rules.rows import compile_row_rule
    >>> holds = make_condition(compile_row_rule("total > 0", "boolean"), lambda path: lambda row: row[path])
    >>> holds({"total": "5"}), holds({"total": "x"})
    (True, False)
    """
    evaluate = _compile(rule.tree, lambda column: _read_column(column, find(column.text)))
    return lambda call: evaluate(call) is True


def make_measure(rule: RowRule, find: FindPath) -> Callable[[Call], float]:
    """A call's number: NaN where it is missing, infinity where a value it reads is there and is no finite number.

    A result that is too large for a number is infinity too; a division by zero is missing.

    >>> from sojourn.playbook.rules.rows import compile_row_rule
    >>> measure = make_measure(compile_row_rule("price * n", "number"), lambda path: lambda row: row[path])
    >>> measure({"price": "5", "n": 2}), measure({"price": None, "n": 2}), measure({"price": None, "n": "x"})
    (10.0, nan, inf)
    """
    gets = [find(".".join(parts)) for parts in rule.paths]
    if isinstance(rule.tree, Column):
        get = gets[0]
        return lambda call: read_number(get(call))
    if rule.sentiments:
        return _make_scored(rule, find)
    place = {parts: i for i, parts in enumerate(rule.paths)}
    evaluate = _compile(rule.tree, lambda column: _read_given(place[column.parts]))

    def measure(call: Call) -> float:
        values = [read_number(get(call)) for get in gets]
        if INF in values:
            return INF
        value = evaluate(values)
        if value is None:
            return NAN
        return INF if math.isinf(value) else float(value)

    return measure


def _make_scored(rule: RowRule, find: FindPath) -> Callable[[Call], float]:
    """A measure that reads texts, and numbers beside them."""
    numbers = [find(".".join(parts)) for parts in rule.number_paths]
    evaluate = _compile(rule.tree, lambda column: _read_column(column, find(column.text)))

    def measure(call: Call) -> float:
        if any(read_number(get(call)) == INF for get in numbers):
            return INF
        value = evaluate(call)
        if value is None:
            return NAN
        return INF if math.isinf(value) else float(value)

    return measure


def _read_given(i: int) -> _Evaluate:
    def read(values: Sequence[float]) -> float | None:
        value = values[i]
        return value if value == value else None

    return read


def _read_column(column: Column, get: Get) -> _Evaluate:
    if column.unit == "text":
        return lambda call: read_text(get(call))
    if column.unit == "boolean":
        return lambda call: read_truth(get(call))

    def read(call: Call) -> float | None:
        value = read_number(get(call))
        return value if math.isfinite(value) else None

    return read


def _compile(node: Node, read: Callable[[Column], _Evaluate]) -> _Evaluate:
    """The node as a function whose value is None where it is missing."""
    if isinstance(node, Constant):
        value = bool(node.value) if node.unit == "boolean" else node.value
        return lambda _: value
    if isinstance(node, Column):
        return read(node)
    if not isinstance(node, Operation):
        raise TypeError(f"not part of a row rule: {node!r}")
    if node.op in ("in", "not in"):
        return _compile_choice(node, read)
    if node.op == "sentiment":
        return _compile_sentiment(node, read)
    parts = [_compile(part, read) for part in node.of]
    return _join_one(node.op, parts[0]) if len(parts) == 1 else _join_two(node.op, *parts)


def _compile_choice(node: Operation, read: Callable[[Column], _Evaluate]) -> _Evaluate:
    first, *others = (_compile(part, read) for part in node.of)
    is_in = node.op == "in"

    def choose(row: Any) -> bool:
        value = first(row)
        return value is not None and any(value == other(row) for other in others) is is_in

    return choose


def _compile_sentiment(node: Operation, read: Callable[[Column], _Evaluate]) -> _Evaluate:
    text, model = _compile(node.of[0], read), find_model(node)

    def score(row: Any) -> float | None:
        found = score_text(text(row), model).score
        return None if found != found else found

    return score


def _join_one(op: str, of: _Evaluate) -> _Evaluate:
    if op == "is_missing":
        return lambda row: of(row) is None
    if op == "not":
        return lambda row: not of(row)
    apply = _ONE[op]

    def join(row: Any) -> Value:
        value = of(row)
        return None if value is None else apply(value)

    return join


def _join_two(op: str, left: _Evaluate, right: _Evaluate) -> _Evaluate:
    if op == "and":
        return lambda row: bool(left(row)) and bool(right(row))
    if op == "or":
        return lambda row: bool(left(row)) or bool(right(row))
    is_condition = op in _CONDITIONS
    apply = _CONDITIONS.get(op) or _NUMBERS[op]

    def join(row: Any) -> Value:
        a = left(row)
        b = right(row)
        if a is None or b is None:
            return False if is_condition else None
        value = apply(a, b)
        return value if value == value else None

    return join


_ONE: dict[str, Callable[[Any], Value]] = {
    "lower": lambda text: text.lower(),
    "neg": lambda number: -number,
    "abs": abs,
}
_CONDITIONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "starts_with": lambda a, b: a.startswith(b),
    "ends_with": lambda a, b: a.endswith(b),
    "contains": lambda a, b: b in a,
}
_NUMBERS: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b if b != 0.0 else NAN,
    "min": min,
    "max": max,
}
