"""The meaning of rules: calls of primitives, stack programs over their values, row rules over raw columns.

A rule's text becomes a tree of the nodes below (:mod:`sojourn.playbook.rules.syntax`), is typed and compiled
(:mod:`sojourn.playbook.rules.compile`, :mod:`sojourn.playbook.rules.rows`), and is then one of three frozen things:
a :class:`Program` (numbers of one customer), a :class:`RowRule` (columns of one raw row) or a :class:`Rule`
(an audience's rule, which may also read states, traits and predictions). No rule ever runs as Python code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

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
    "+": ADD,
    "-": SUB,
    "*": MUL,
    "/": DIV,
    "neg": NEG,
    "<": LT,
    "<=": LE,
    ">": GT,
    ">=": GE,
    "==": EQ,
    "!=": NE,
    "and": AND,
    "or": OR,
    "not": NOT,
    "abs": ABS,
    "min": MIN,
    "max": MAX,
    "is_missing": IS_MISSING,
}
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
