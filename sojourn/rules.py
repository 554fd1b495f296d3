"""The meaning of rules: calls of primitives, stack programs over their values, row rules over raw columns.

A rule's text becomes a tree of the nodes below (:mod:`sojourn.rule_syntax`), is typed and compiled
(:mod:`sojourn.rule_compile`, :mod:`sojourn.rule_rows`), and is then one of three frozen things:
a :class:`Program` (numbers of one customer), a :class:`RowRule` (columns of one raw row) or a :class:`Rule`
(an audience's rule, which may also read states, traits and predictions). No rule ever runs as Python code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from sojourn.sentiment import score_text
from sojourn.sentiment_model import SentimentModel, load_model

Unit = Literal["number", "duration", "boolean", "text"]
ReadingKind = Literal["state", "state_p", "trait", "prediction", "segment"]

CONST, LOAD, ADD, SUB, MUL, DIV, NEG = 0, 1, 2, 3, 4, 5, 6
LT, LE, GT, GE, EQ, NE = 7, 8, 9, 10, 11, 12
AND, OR, NOT, ABS, MIN, MAX, IS_MISSING = 13, 14, 15, 16, 17, 18, 19

MAX_TEXT = 2_000
"""Characters of one rule."""
MAX_DEPTH = 16
"""Values that a program may have on its stack at once."""
MAX_LENGTH = 256
"""Instructions of one program."""
MAX_NESTING = 128
"""Levels of a rule's tree; a chain ``a + b + c`` is one level per operator."""

OPERATORS: Mapping[str, int] = {
    "+": ADD, "-": SUB, "*": MUL, "/": DIV, "neg": NEG,
    "<": LT, "<=": LE, ">": GT, ">=": GE, "==": EQ, "!=": NE,
    "and": AND, "or": OR, "not": NOT, "abs": ABS, "min": MIN, "max": MAX, "is_missing": IS_MISSING,
}  # fmt: skip
"""Opcode of each operator of a typed tree."""

UNARY = frozenset({NEG, NOT, ABS, IS_MISSING})


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal: a number, a duration in seconds, a text, or true/false as 1.0/0.0."""

    value: float | str
    unit: Unit


@dataclass(frozen=True, slots=True)
class Name:
    """A dotted name as written, before it is known what it means."""

    parts: tuple[str, ...]

    @property
    def text(self) -> str:
        """The name as a person writes it."""
        return ".".join(self.parts)


@dataclass(frozen=True, slots=True)
class Apply:
    """A function as written, before it is known what it means."""

    function: str
    arguments: tuple[Node, ...]
    options: tuple[tuple[str, Node], ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator over nodes: a key of :data:`OPERATORS`, ``in``, ``not in``, or a function of texts."""

    op: str
    of: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A column or dotted path of a raw row, and how its value is to be read."""

    parts: tuple[str, ...]
    unit: Literal["number", "text", "boolean"]

    @property
    def text(self) -> str:
        """The path as a person writes it."""
        return ".".join(self.parts)


@dataclass(frozen=True, slots=True)
class Reading:
    """Something only known when an audience is chosen: the state, a trait, a prediction, a segment."""

    kind: ReadingKind
    name: str  # empty for `state` and for `state_p` of the published state
    unit: Unit


@dataclass(frozen=True, slots=True, order=True)
class Call:
    """One primitive with its arguments; equal calls share one value.

    ``of`` holds the names as written (for ``share`` they are ``("channel", NAME)``), ``options`` the numbers
    by name, sorted, durations in seconds; defaults are filled in.

    >>> Call("count", ("product_view",), (("within", 3600.0),)).text
    'count(product_view, within=1h)'
    """

    primitive: str
    of: tuple[str, ...] = ()
    options: tuple[tuple[str, float], ...] = ()
    unit: Literal["number", "duration"] = "number"

    def option(self, name: str) -> float | None:
        """The option's value, or None when it was not given and has no default."""
        return dict(self.options).get(name)

    @property
    def text(self) -> str:
        """The call as a person writes it."""
        options = dict(self.options)
        arguments = [word if word.isidentifier() else repr(word) for word in self.of]
        if self.primitive == "hour_share":
            arguments = [format_number(options["from_hour"]), format_number(options["to_hour"])]
            options = {}
        for name, value in options.items():
            arguments.append(f"{name}={format_number(value) if name == 'at_most' else format_duration(value)}")
        return f"{self.primitive}({', '.join(arguments)})"


Node = Constant | Name | Apply | Operation | Column | Reading | Call


@dataclass(frozen=True, slots=True)
class Program:
    """A rule over the numbers of one customer, for a stack machine: see :func:`run_program` for its meaning.

    ``operands[i]`` belongs to ``codes[i]``: the constant of CONST, the index into ``calls`` of LOAD, else 0.
    """

    codes: tuple[int, ...]
    operands: tuple[float, ...]
    calls: tuple[Call, ...]
    unit: Literal["number", "duration", "boolean"]
    text: str


@dataclass(frozen=True, slots=True)
class RowRule:
    """A condition or a number over the columns of one raw row: see :func:`read_row` for its meaning."""

    tree: Node
    unit: Literal["number", "text", "boolean"]
    paths: tuple[tuple[str, ...], ...]  # the columns it reads, in order of first use
    text: str
    models: tuple[tuple[str, str], ...] = ()  # files of learned sentiment models: as written, and where they are

    @property
    def number_paths(self) -> tuple[tuple[str, ...], ...]:
        """The columns that it reads as numbers."""
        return tuple(
            dict.fromkeys(node.parts for node in walk(self.tree) if isinstance(node, Column) and node.unit == "number")
        )

    @property
    def sentiments(self) -> tuple[Operation, ...]:
        """The parts of it that read how favourable a text is."""
        return tuple(node for node in walk(self.tree) if isinstance(node, Operation) and node.op == "sentiment")


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition of a segment, audience or activation. It has a program when it reads only features."""

    tree: Node
    reads: tuple[Reading, ...]
    calls: tuple[Call, ...]
    program: Program | None
    text: str


def walk(tree: Node) -> list[Node]:
    """The nodes of a tree, each before those inside it, from left to right."""
    found: list[Node] = []
    todo = [tree]
    while todo:
        node = todo.pop()
        found.append(node)
        if isinstance(node, Operation):
            todo.extend(reversed(node.of))
    return found


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


_UNITS = (("w", 604_800.0), ("d", 86_400.0), ("h", 3_600.0), ("m", 60.0), ("s", 1.0))
UNIT_SECONDS: Mapping[str, float] = dict(_UNITS)
"""Seconds of each duration unit: s, m (minutes), h, d, w."""


def format_number(value: float) -> str:
    """The shortest text that reads back as the same number.

    >>> format_number(3.0), format_number(0.25)
    ('3', '0.25')
    """
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def format_duration(seconds: float) -> str:
    """The duration in its largest whole unit up to days, as rules write it.

    >>> format_duration(172800.0), format_duration(90.0), format_duration(0.5)
    ('2d', '90s', '0.5s')
    """
    for unit, size in _UNITS[1:]:
        if seconds and (seconds / size).is_integer():
            return format_number(seconds / size) + unit
    return format(Decimal(repr(seconds)), "f") + "s"  # no exponent: a duration has none
