"""Rules over one customer: what each name means, which unit each part has, features inlined, defaults filled in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from sojourn.errors import PlaybookError, Problem, nearest
from sojourn.playbook.rules.calls import SIGNATURES, read_call, read_name
from sojourn.playbook.rules.nodes import (
    MAX_NESTING,
    Apply,
    Call,
    Constant,
    Name,
    Node,
    Operation,
    Reading,
    ReadingKind,
    Unit,
)
from sojourn.playbook.rules.print import print_node
from sojourn.playbook.rules.syntax import measure_nesting, parse_rule

EXACT_UP_TO = 16
"""Largest literal n for which ``count(C, within=w) >= n`` is compiled to an exact count of the last events."""

NEAR_UP_TO = 5
"""Problems of one rule that come with the nearest right word."""

FUNCTIONS = ("abs", "is_missing", "min", "max")
"""Functions of values; ``min`` and ``max`` with one argument are primitives."""

Typed = tuple[Node, Unit]

_COMPARISONS = frozenset({"<", "<=", ">", ">=", "==", "!="})
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_READINGS: Mapping[ReadingKind, tuple[str, Unit]] = {
    "state_p": ("state", "number"),
    "segment": ("segment", "boolean"),
    "prediction": ("outcome", "number"),
    "trait": ("trait", "text"),
}


@dataclass(frozen=True)
class Vocabulary:
    """The names that a rule may use. ``features`` holds typed trees of the features written before it."""

    classes: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    properties: tuple[str, ...] = ()
    moments: tuple[str, ...] = ()
    features: Mapping[str, Typed] = field(default_factory=dict)
    later_features: tuple[str, ...] = ()
    broken_features: tuple[str, ...] = ()
    """Features with problems of their own: to use one is no second problem."""
    states: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()
    is_audience: bool = False
    """True where a rule may also read states, traits, predictions and segments."""


def type_rule(text: str, words: Vocabulary, *, is_condition: bool) -> Typed:
    """The typed tree of a rule and its unit. Raises PlaybookError with every problem of the rule.

    >>> type_rule("recency(view) / 1d", Vocabulary(classes=("view",)), is_condition=False)[1]
    'number'
    """
    typing = _Typing(words)
    tree = parse_rule(text)
    typed = typing.type_condition(tree) if is_condition else typing.type_node(tree)
    if typing.problems or typed is None:
        raise PlaybookError(*dict.fromkeys(typing.problems))
    if measure_nesting(typed[0]) > MAX_NESTING:
        what = f"with the features that it uses written out, the rule nests over {MAX_NESTING} levels deep"
        raise PlaybookError(Problem("", what))
    rule = print_node(tree)
    if typed[1] == "text":
        raise PlaybookError(Problem("", f"'{rule}' is a text; a number, duration or condition is needed"))
    if not any(isinstance(node, Call | Reading) for node in walk(typed[0])):
        raise PlaybookError(Problem("", f"'{rule}' reads nothing of the customer, so it is always the same"))
    return typed


def walk(tree: Node) -> Iterator[Node]:
    """Every node of a typed tree, parents first, left to right."""
    todo = [tree]
    while todo:
        node = todo.pop()
        yield node
        if isinstance(node, Operation):
            todo.extend(reversed(node.of))


class _Typing:
    """One pass over one rule. A part with a problem is None, and the problem is noted once, where it is."""

    def __init__(self, words: Vocabulary) -> None:
        self.words = words
        self.problems: list[Problem] = []

    def fail(self, what: str, near: str | None = None) -> None:
        self.problems.append(Problem("", what, near))

    def find_near(self, word: str, known: Iterable[str]) -> str | None:
        """The nearest known word; for the first few problems of a rule only, since looking takes time."""
        return nearest(word, known) if len(self.problems) < NEAR_UP_TO else None

    def type_node(self, node: Node) -> Typed | None:
        if isinstance(node, Constant):
            return (node, node.unit)
        if isinstance(node, Name):
            return self.type_name(node.text)
        if isinstance(node, Apply):
            return self.type_apply(node)
        if not isinstance(node, Operation):
            raise TypeError(f"typed already: {node!r}")
        if node.op in ("and", "or", "not"):
            return _combine(node.op, [self.type_condition(part) for part in node.of], "boolean")
        parts = _all_known([self.type_node(part) for part in node.of])
        if parts is None:
            return None
        if node.op in ("in", "not in"):
            return self.type_in(node, parts)
        return self.type_pair(node, parts) if node.op in _COMPARISONS else self.type_arithmetic(node, parts)

    def type_condition(self, node: Node) -> Typed | None:
        typed = self.type_node(node)
        if typed is None or typed[1] == "boolean":
            return typed
        tree, unit = typed
        if isinstance(tree, Call) and tree.primitive == "matches":
            return (Operation(">", (tree, Constant(0.0, "number"))), "boolean")
        if isinstance(tree, Reading) and tree.kind == "trait":
            return _read_as(typed, "boolean")
        example = {"number": " > 0", "duration": " > 1d", "text": " == '…'"}[unit]
        text = print_node(node)
        self.fail(f"'{text}' is a {unit}, not a condition; compare it, e.g. {text}{example}")
        return None

    def type_name(self, name: str) -> Typed | None:
        words = self.words
        if name in words.features:
            return words.features[name]
        if name in words.broken_features:
            return None
        if name in ("state", "state_p") and words.is_audience:
            unit: Unit = "text" if name == "state" else "number"
            return (Reading("state" if name == "state" else "state_p", "", unit), unit)
        self.fail(*self.explain_unknown(name))
        return None

    def explain_unknown(self, name: str) -> tuple[str, str | None]:
        words = self.words
        if name in ("state", "state_p"):
            return f"'{name}' can be read only in segments, audiences and activations", None
        if name.lower() in {word.lower() for word in words.protected}:
            return f"'{name}' is a protected trait; it may be audited but never used", None
        if name in words.later_features:
            return f"the feature '{name}' is not defined before this; features may use only earlier ones", None
        if name in words.classes:
            return f"'{name}' is an event class, not a number; write count({name}) or recency({name})", None
        if name in words.measures:
            return f"'{name}' is a measure of events; write sum({name}), mean({name}) or last({name})", None
        if name in words.states and words.is_audience:
            return f"'{name}' is a state; write state == '{name}'", None
        if name in words.segments:
            return f"'{name}' is a segment; write segment({name})", None
        if name in SIGNATURES:
            return f"'{name}' is a function; write {SIGNATURES[name].usage}", None
        return f"there is no feature '{name}'", self.find_near(name, [*words.features, *SIGNATURES])

    def type_pair(self, node: Operation, parts: Sequence[Typed]) -> Typed | None:
        """A comparison, both sides of one unit."""
        parts = _agree(parts)
        (left, unit), (right, other) = parts
        if unit != other:
            self.fail_units(node, unit, other)
            return None
        if unit in ("text", "boolean") and node.op not in ("==", "!="):
            self.fail(f"'{print_node(node)}' puts {unit}s in order; only == and != compare them")
            return None
        if unit == "text" and not self.check_texts(node, [left, right]):
            return None
        return (Operation(node.op, _make_exact(node.op, left, right)), "boolean")

    def type_in(self, node: Operation, parts: Sequence[Typed]) -> Typed | None:
        parts = _agree(parts)
        trees = [tree for tree, _ in parts]
        unit = parts[0][1]
        for _, other in parts[1:]:
            if other != unit:
                self.fail_units(node, unit, other)
                return None
        if unit == "text":
            is_right = self.check_texts(node, trees)
            return (Operation(node.op, tuple(trees)), "boolean") if is_right else None
        op, join = ("==", "or") if node.op == "in" else ("!=", "and")
        tests: list[Node] = [Operation(op, _make_exact(op, trees[0], item)) for item in trees[1:]]
        tree = tests[0]
        for test in tests[1:]:
            tree = Operation(join, (tree, test))
        return (tree, "boolean")

    def fail_units(self, node: Operation, left: Unit, right: Unit) -> None:
        is_bare = {left, right} == {"number", "duration"}
        hint = "a duration needs a unit, e.g. 7d" if is_bare else "they have nothing in common"
        self.fail(f"'{print_node(node)}' compares a {left} with a {right}; {hint}")

    def check_texts(self, node: Operation, trees: Sequence[Node]) -> bool:
        """Whether texts are compared with something that varies, and with states where it is the state."""
        kinds = {tree.kind for tree in trees if isinstance(tree, Reading)}
        if not kinds:
            self.fail(f"'{print_node(node)}' compares texts that are always the same")
            return False
        values = [str(t.value) for t in trees if isinstance(t, Constant)] if "state" in kinds else []
        unknown = [value for value in values if value not in self.words.states]
        for value in unknown:
            self.fail(f"there is no state '{value}'", self.find_near(value, self.words.states))
        return not unknown

    def type_arithmetic(self, node: Operation, parts: Sequence[Typed]) -> Typed | None:
        parts = [_read_as(p, "number") if isinstance(p[0], Reading) and p[0].kind == "trait" else p for p in parts]
        units = [unit for _, unit in parts]
        for unit, part in zip(units, node.of, strict=True):
            if unit in ("boolean", "text"):
                self.fail(f"'{print_node(part)}' is a {unit}, not a number, in '{print_node(node)}'")
                return None
        unit_or_none = _unit_of(node.op, units)
        if unit_or_none is None:
            self.fail(_explain_units(node, units))
            return None
        return _combine(node.op, parts, unit_or_none)

    def type_apply(self, node: Apply) -> Typed | None:
        name, words = node.function, self.words
        if name in _READINGS:
            return self.type_reading(node)
        if name in ("abs", "is_missing") or (name in ("min", "max") and len(node.arguments) > 1):
            return self.type_function(node)
        if name not in SIGNATURES:
            readings = tuple(_READINGS) if words.is_audience else ()
            self.fail(f"there is no function '{name}'", self.find_near(name, [*SIGNATURES, *FUNCTIONS, *readings]))
            return None
        known = {
            "class": ("any", *words.classes),
            "measure": words.measures,
            "property": words.properties,
            "moment": words.moments,
        }
        call = read_call(node, known, self.fail, self.find_near)
        return None if call is None else (call, call.unit)

    def type_function(self, node: Apply) -> Typed | None:
        """``abs``, ``is_missing``, and ``min`` and ``max`` of several values."""
        name = node.function
        if node.options or (name in ("abs", "is_missing") and len(node.arguments) != 1):
            self.fail(f"'{print_node(node)}': write {name}(value)")
            return None
        parts = _all_known([self.type_node(argument) for argument in node.arguments])
        if parts is None:
            return None
        if name == "is_missing":
            if parts[0][1] == "boolean":
                self.fail(f"'{print_node(node)}': a condition is never missing")
                return None
            return _combine(name, parts, "boolean")
        result = parts[0]
        if len(parts) == 1:
            return self.type_arithmetic(Operation(name, node.arguments), parts)
        for argument, part in zip(node.arguments[1:], parts[1:], strict=True):
            pair = self.type_arithmetic(Operation(name, (node.arguments[0], argument)), [result, part])
            if pair is None:
                return None
            result = pair
        return result

    def type_reading(self, node: Apply) -> Typed | None:
        """``trait``, ``prediction``, ``segment`` or ``state_p`` of a name."""
        words, text = self.words, print_node(node)
        kind = next(k for k in get_args(ReadingKind) if k == node.function)
        name = read_name(node.arguments[0]) if len(node.arguments) == 1 and not node.options else None
        if not name:
            self.fail(f"'{text}': write {kind}(name)")
            return None
        if kind == "trait" and name.lower() in {word.lower() for word in words.protected}:
            self.fail(f"'{text}' reads a protected trait; it may be audited but never used")
            return None
        if not words.is_audience:
            self.fail(f"'{text}' can be read only in segments, audiences and activations")
            return None
        noun, unit = _READINGS[kind]
        known = {"state_p": words.states, "segment": words.segments, "prediction": words.outcomes}.get(kind)
        if known is not None and name not in known:
            self.fail(f"there is no {noun} '{name}' in '{text}'", self.find_near(name, known))
            return None
        return (Reading(kind, name, unit), unit)


def _all_known(parts: Sequence[Typed | None]) -> list[Typed] | None:
    known = [part for part in parts if part is not None]
    return known if len(known) == len(parts) else None


def _combine(op: str, parts: Sequence[Typed | None], unit: Unit) -> Typed | None:
    known = _all_known(parts)
    return None if known is None else (Operation(op, tuple(tree for tree, _ in known)), unit)


def _read_as(typed: Typed, unit: Unit) -> Typed:
    tree = typed[0]
    return (Reading(tree.kind, tree.name, unit), unit) if isinstance(tree, Reading) else typed


def _agree(parts: Sequence[Typed]) -> list[Typed]:
    """Traits read as what they are compared with: a trait has no unit of its own."""
    is_trait = [isinstance(tree, Reading) and tree.kind == "trait" for tree, _ in parts]
    units = [unit for (_, unit), is_open in zip(parts, is_trait, strict=True) if not is_open]
    if not units or units[0] == "duration":
        return list(parts)
    return [_read_as(p, units[0]) if is_open else p for p, is_open in zip(parts, is_trait, strict=True)]


def _unit_of(op: str, units: Sequence[Unit]) -> Unit | None:
    """The unit of arithmetic over numbers and durations, or None when the units do not go together."""
    if len(units) == 1 or set(units) == {"number"}:
        return units[0]
    if set(units) == {"duration"}:
        return "number" if op == "/" else None if op == "*" else "duration"
    return "duration" if op == "*" or (op == "/" and units[0] == "duration") else None


def _explain_units(node: Operation, units: Sequence[Unit]) -> str:
    text = print_node(node)
    if node.op == "/":
        return f"'{text}' divides a number by a duration; say per what: … / (… / 1d)"
    if node.op == "*":
        return f"'{text}' multiplies a duration by a duration"
    return f"'{text}' joins a {units[0]} and a {units[1]}; a duration needs a unit, e.g. 7d"


def _make_exact(op: str, left: Node, right: Node) -> tuple[Node, Node]:
    """Counts in a window that are compared with a small literal get ``at_most``, so that the comparison is exact."""
    if isinstance(left, Call) and isinstance(right, Constant):
        return (_bound_count(op, left, right), right)
    if isinstance(right, Call) and isinstance(left, Constant):
        return (left, _bound_count(_MIRRORED[op], right, left))
    return (left, right)


def _bound_count(op: str, call: Call, literal: Constant) -> Call:
    options = dict(call.options)
    limit = float(literal.value)
    is_window = call.primitive == "count" and "within" in options and "at_most" not in options
    if not is_window or limit > EXACT_UP_TO:
        return call
    # n events must be told from n - 1 for >= and <, n + 1 from n for the others
    needed = math.ceil(limit) if op in (">=", "<") else math.floor(limit) + 1
    options["at_most"] = float(max(1, needed))
    return Call(call.primitive, call.of, tuple(sorted(options.items())), call.unit)
