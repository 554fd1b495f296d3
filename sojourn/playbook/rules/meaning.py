"""The plain-Python meaning of a rule: how its program and its conditions on rows are evaluated."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sojourn.playbook.rules.nodes import (
    ABS,
    ADD,
    AND,
    CONST,
    DIV,
    EQ,
    GE,
    GT,
    LE,
    LOAD,
    LT,
    MAX,
    MIN,
    MUL,
    NE,
    NEG,
    NOT,
    OPERATORS,
    OR,
    SUB,
    UNARY,
    Column,
    Constant,
    Node,
    Operation,
    Program,
    RowRule,
    format_number,
)
from sojourn.playbook.text import SentimentModel, load_model, score_text


def find_model(sentiment: Operation) -> SentimentModel | None:
    """The learned model that a ``sentiment`` names; None where it names none and the lexicon is meant."""
    if len(sentiment.of) == 1:
        return None
    named = sentiment.of[1]
    return load_model(str(named.value)) if isinstance(named, Constant) else None


def run_program(program: Program, values: Sequence[float]) -> float:
    """The program's value, given one value per call of ``program.calls``; durations in seconds, NaN is missing.

    Arithmetic (``min``, ``max`` and ``abs`` too) with NaN gives NaN, division by zero gives NaN, a comparison
    with NaN gives 0 (``!=`` too), conditions are 0 or 1. All instructions run; nothing is skipped.

    >>> views = Call("count", ("view",))
    >>> p = Program((LOAD, CONST, GE), (0.0, 3.0, 0.0), (views,), "boolean", "count(view) >= 3")
    >>> run_program(p, [5.0]), run_program(p, [float("nan")])
    (1.0, 0.0)
    """
    stack: list[float] = []
    for code, operand in zip(program.codes, program.operands, strict=True):
        if code == CONST:
            stack.append(operand)
        elif code == LOAD:
            stack.append(float(values[int(operand)]))
        elif code in UNARY:
            stack.append(_apply_unary(code, stack.pop()))
        else:
            right = stack.pop()
            stack.append(_apply_binary(code, stack.pop(), right))
    return stack[-1]


def _apply_unary(code: int, x: float) -> float:
    if code == NEG:
        return -x
    if code == NOT:
        return 1.0 if x == 0.0 else 0.0
    if code == ABS:
        return abs(x)
    return 1.0 if math.isnan(x) else 0.0


_BINARY: Mapping[int, Callable[[float, float], float | bool]] = {
    ADD: lambda a, b: a + b,
    SUB: lambda a, b: a - b,
    MUL: lambda a, b: a * b,
    DIV: lambda a, b: a / b if b != 0.0 else math.nan,
    LT: lambda a, b: a < b,
    LE: lambda a, b: a <= b,
    GT: lambda a, b: a > b,
    GE: lambda a, b: a >= b,
    EQ: lambda a, b: a == b,
    NE: lambda a, b: a < b or a > b,  # false when either is missing
    AND: lambda a, b: a != 0.0 and b != 0.0,
    OR: lambda a, b: a != 0.0 or b != 0.0,
    MIN: lambda a, b: math.nan if math.isnan(a) or math.isnan(b) else min(a, b),
    MAX: lambda a, b: math.nan if math.isnan(a) or math.isnan(b) else max(a, b),
}


def _apply_binary(code: int, a: float, b: float) -> float:
    return float(_BINARY[code](a, b))


def read_row(rule: RowRule, row: Mapping[str, Any]) -> float | str | bool | None:
    """What a row rule says of one raw row, a mapping of columns; None is missing. The plain meaning of row rules.

    A column is looked up by its whole dotted name, else part by part, through mappings and JSON text. It is read
    as the rule needs it: as a number, where text that is no finite number is missing; as text, where empty text is
    missing; as a condition, where ``true`` and ``1`` are true and all else is false.
    Arithmetic with missing is missing. Comparisons and text functions with missing are false (``!=`` and ``not in``
    too), and so is a missing condition; ``is_missing`` alone is true then.

    >>> tree = Operation(">", (Column(("properties", "total"), "number"), Constant(0.0, "number")))
    >>> rule = RowRule(tree, "boolean", (("properties", "total"),), "properties.total > 0")
    >>> read_row(rule, {"properties": {"total": "12.5"}}), read_row(rule, {"properties": {}})
    (True, False)
    """
    value = _read_node(rule.tree, row)
    if rule.unit == "boolean":
        return bool(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _read_node(node: Node, row: Mapping[str, Any]) -> float | str | bool | None:
    if isinstance(node, Constant):
        return bool(node.value) if node.unit == "boolean" else node.value
    if isinstance(node, Column):
        return _read_column(node, row)
    if not isinstance(node, Operation):
        raise TypeError(f"not part of a row rule: {node!r}")
    values = [_read_node(part, row) for part in node.of]
    if node.op in _ROW_CONDITIONS:
        if node.op == "is_missing":
            return values[0] is None
        if node.op in ("and", "or", "not"):
            return _ROW_CONDITIONS[node.op](*values)
        return values[0] is not None and values[1] is not None and _ROW_CONDITIONS[node.op](*values)
    if any(value is None for value in values):
        return None
    if node.op == "lower":
        return str(values[0]).lower()
    if node.op == "sentiment":
        score = score_text(str(values[0]), find_model(node)).score
        return None if math.isnan(score) else score
    numbers = [float(value) for value in values if value is not None]
    code = OPERATORS[node.op]
    result = _apply_unary(code, *numbers) if code in UNARY else _apply_binary(code, *numbers)
    return None if math.isnan(result) else result


_ROW_CONDITIONS: Mapping[str, Callable[..., bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "and": lambda a, b: bool(a) and bool(b),
    "or": lambda a, b: bool(a) or bool(b),
    "not": lambda a: not a,
    "in": lambda a, *items: a in items,
    "not in": lambda a, *items: a not in items,
    "starts_with": lambda a, b: a.startswith(b),
    "ends_with": lambda a, b: a.endswith(b),
    "contains": lambda a, b: b in a,
    "is_missing": lambda a: a is None,
}


def _read_column(column: Column, row: Mapping[str, Any]) -> float | str | bool | None:
    value = row[column.text] if column.text in row else _follow(column.parts, row)
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    if column.unit == "text":
        return _print_value(value)
    if column.unit == "boolean":
        return _print_value(value).lower() in ("true", "1")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _follow(parts: tuple[str, ...], row: Mapping[str, Any]) -> Any:
    value: Any = row
    for part in parts:
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                return None
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _print_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return format_number(value) if isinstance(value, float) else str(value)
