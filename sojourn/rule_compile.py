"""Rules over one customer: name resolution, units, inlining of features, and compilation to a stack program."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from sojourn.errors import PlaybookError, Problem, nearest
from sojourn.rule_print import print_node
from sojourn.rule_signatures import SIGNATURES, Signature, build_call
from sojourn.rule_syntax import measure_nesting, parse_rule
from sojourn.rules import (
    CONST,
    LOAD,
    MAX_DEPTH,
    MAX_LENGTH,
    MAX_NESTING,
    OPERATORS,
    UNARY,
    Apply,
    Call,
    Constant,
    Name,
    Node,
    Operation,
    Program,
    Reading,
    Rule,
    Unit,
)

EXACT_UP_TO = 16
"""Largest literal n for which ``count(C, within=w) >= n`` is compiled to an exact count of the last events."""

_ANY = "any"
_COMPARISONS = frozenset({"<", "<=", ">", ">=", "==", "!="})
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
Typed = tuple[Node, Unit]


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


def compile_condition(text: str, words: Vocabulary) -> Program:
    """The program of a ``when:`` over features. Raises PlaybookError with every problem of the rule.

    >>> words = Vocabulary(classes=("view", "purchase"))
    >>> compile_condition("count(view, within=1h) >= 3 and recency(purchase) > 7d", words).calls[0].text
    'count(view, within=1h, at_most=3)'
    """
    tree, _ = type_rule(text, words, is_condition=True)
    return compile_tree(tree, "boolean", text)


def compile_feature(text: str, words: Vocabulary) -> tuple[Program, Typed]:
    """The program of a feature, and its typed tree for features that refer to it. Raises PlaybookError."""
    tree, unit = type_rule(text, words, is_condition=False)
    return compile_tree(tree, unit, text), (tree, unit)


def compile_audience(text: str, words: Vocabulary) -> Rule:
    """The condition of a segment, audience or activation; with a program when it reads only features. Raises PlaybookError."""
    tree, _ = type_rule(text, words, is_condition=True)
    nodes = list(_walk(tree))
    reads = tuple(dict.fromkeys(node for node in nodes if isinstance(node, Reading)))
    calls = tuple(dict.fromkeys(node for node in nodes if isinstance(node, Call)))
    return Rule(tree, reads, calls, None if reads else compile_tree(tree, "boolean", text), _tidy(text))


def type_rule(text: str, words: Vocabulary, *, is_condition: bool) -> Typed:
    """The typed tree of a rule and its unit: names resolved, features inlined, defaults filled in. Raises PlaybookError."""
    typing = _Typing(words)
    typed = typing.type_condition(parse_rule(text)) if is_condition else typing.type_node(parse_rule(text))
    if typing.problems or typed is None:
        raise PlaybookError(*dict.fromkeys(typing.problems))
    if typed[1] == "text":
        raise PlaybookError(
            Problem("", f"'{_tidy(text)}' is a text; a number, duration or condition is needed")
        )
    if measure_nesting(typed[0]) > MAX_NESTING:
        raise PlaybookError(
            Problem("", f"with its features inlined the rule nests over {MAX_NESTING} levels deep")
        )
    if not any(isinstance(node, Call | Reading) for node in _walk(typed[0])):
        raise PlaybookError(
            Problem("", f"'{_tidy(text)}' reads nothing of the customer, so it is always the same")
        )
    return typed


def compile_tree(tree: Node, unit: Unit, text: str) -> Program:
    """The stack program of a typed tree of calls, constants and operators. Raises PlaybookError when it is too large."""
    codes: list[int] = []
    operands: list[float] = []
    calls: dict[Call, int] = {}
    depth = deepest = 0
    todo: list[Node | int] = [tree]
    while todo:
        item = todo.pop()
        if isinstance(item, Operation):
            todo.append(OPERATORS[item.op])
            todo.extend(reversed(item.of))
            continue
        if isinstance(item, int):
            codes.append(item)
            operands.append(0.0)
            depth -= item not in UNARY
        elif isinstance(item, Constant):
            codes.append(CONST)
            operands.append(float(item.value))
            depth += 1
        elif isinstance(item, Call):
            codes.append(LOAD)
            operands.append(float(calls.setdefault(item, len(calls))))
            depth += 1
        else:
            raise TypeError(f"not part of a program: {item!r}")
        deepest = max(deepest, depth)
        if len(codes) > MAX_LENGTH or deepest > MAX_DEPTH:
            raise PlaybookError(
                Problem(
                    "",
                    "the rule, with its features inlined, is too large: at most "
                    f"{MAX_LENGTH} instructions and {MAX_DEPTH} open values are allowed; split it",
                )
            )
    assert unit != "text"
    return Program(tuple(codes), tuple(operands), tuple(calls), unit, _tidy(text))


class _Typing:
    """One pass over one rule that collects problems; a node whose type is unknown is None and reported once."""

    def __init__(self, words: Vocabulary) -> None:
        self.words = words
        self.problems: list[Problem] = []

    def fail(self, what: str, near: str | None = None) -> None:
        self.problems.append(Problem("", what, near))

    def type_condition(self, node: Node) -> Typed | None:
        typed = self.type_node(node)
        if typed is None:
            return None
        if isinstance(typed[0], Call) and typed[0].primitive == "matches":
            return (Operation(">", (typed[0], Constant(0.0, "number"))), "boolean")
        if typed[1] != "boolean":
            self.fail(
                f"'{print_node(node)}' is a {typed[1]}, not a condition; compare it, e.g. {print_node(node)} > 0"
                + ("s" if typed[1] == "duration" else "")
            )
            return None
        return typed

    def type_node(self, node: Node) -> Typed | None:
        if isinstance(node, Constant):
            return (node, node.unit)
        if isinstance(node, Name):
            return self.type_name(node)
        if isinstance(node, Apply):
            return self.type_apply(node)
        assert isinstance(node, Operation)
        if node.op in ("and", "or", "not"):
            parts = [self.type_condition(part) for part in node.of]
            return _combine(node.op, parts, "boolean")
        if node.op in ("in", "not in"):
            return self.type_in(node)
        parts = [self.type_node(part) for part in node.of]
        if node.op in _COMPARISONS:
            return self.type_comparison(node, parts)
        return self.type_arithmetic(node, parts)

    def type_name(self, node: Name) -> Typed | None:
        name, words = node.text, self.words
        if name in words.features:
            return words.features[name]
        if name in ("state", "state_p"):
            if not words.is_audience:
                self.fail(
                    f"'{name}' can be read only in segments, audiences and activations: it is what the rules feed"
                )
                return None
            return (
                Reading(name, "", "text" if name == "state" else "number"),
                "text" if name == "state" else "number",
            )
        if name not in words.broken_features:
            self.explain_unknown(name)
        return None

    def explain_unknown(self, name: str) -> None:
        words = self.words
        if name.lower() in {word.lower() for word in words.protected}:
            self.fail(f"'{name}' is protected, so no rule may read it")
        elif name in words.later_features:
            self.fail(
                f"the feature '{name}' is not defined before this; features may refer only to earlier ones"
            )
        elif name in words.classes:
            self.fail(f"'{name}' is an event class, not a number; write count({name}) or recency({name})")
        elif name in words.measures:
            self.fail(
                f"'{name}' is a measure of single events; write sum({name}), mean({name}) or last({name})"
            )
        elif name in words.states:
            self.fail(f"'{name}' is a state; write state == '{name}'")
        elif name in words.segments:
            self.fail(f"'{name}' is a segment; write segment({name})")
        elif name in SIGNATURES:
            self.fail(f"'{name}' is a function; write {SIGNATURES[name].usage}")
        else:
            known = [*words.features, *SIGNATURES]
            self.fail(f"there is no feature '{name}'", nearest(name, known))

    def type_comparison(self, node: Operation, parts: list[Typed | None]) -> Typed | None:
        left, right = parts
        if left is None or right is None:
            return None
        if left[1] != right[1]:
            self.fail_units(node, left[1], right[1])
            return None
        if left[1] == "text" and not self.check_texts(node, [left[0], right[0]]):
            return None
        if left[1] in ("text", "boolean") and node.op not in ("==", "!="):
            self.fail(f"'{print_node(node)}' orders two {left[1]}s; only == and != compare them")
            return None
        pair = _make_exact(node.op, left[0], right[0])
        return (Operation(node.op, pair), "boolean")

    def fail_units(self, node: Operation, left: Unit, right: Unit) -> None:
        hint = (
            "a duration needs a unit, e.g. 7d"
            if {left, right} == {"number", "duration"}
            else "the two never compare"
        )
        self.fail(f"'{print_node(node)}' compares a {left} with a {right}; {hint}")

    def type_in(self, node: Operation) -> Typed | None:
        parts = [self.type_node(part) for part in node.of]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        for part in known[1:]:
            if part[1] != known[0][1]:
                self.fail_units(node, known[0][1], part[1])
                return None
        if known[0][1] == "text" and not self.check_texts(node, [tree for tree, _ in known]):
            return None
        if known[0][1] == "text":
            return (Operation(node.op, tuple(tree for tree, _ in known)), "boolean")
        op, joint = ("==", "or") if node.op == "in" else ("!=", "and")
        tests = [Operation(op, _make_exact(op, known[0][0], tree)) for tree, _ in known[1:]]
        tree: Node = tests[0]
        for test in tests[1:]:
            tree = Operation(joint, (tree, test))
        return (tree, "boolean")

    def check_texts(self, node: Operation, trees: list[Node]) -> bool:
        """Whether texts compared with the state are states."""
        if not any(isinstance(tree, Reading) for tree in trees):
            self.fail(f"'{print_node(node)}' compares texts that are always the same")
            return False
        if not any(isinstance(tree, Reading) and tree.kind == "state" for tree in trees):
            return True
        unknown = [t.value for t in trees if isinstance(t, Constant) and t.value not in self.words.states]
        for value in unknown:
            self.fail(f"there is no state '{value}'", nearest(str(value), self.words.states))
        return not unknown

    def type_arithmetic(self, node: Operation, parts: list[Typed | None]) -> Typed | None:
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        for (_, unit), part in zip(known, node.of, strict=True):
            if unit in ("boolean", "text"):
                self.fail(f"'{print_node(part)}' is a {unit}, not a number, in '{print_node(node)}'")
                return None
        unit = _unit_of(node.op, [unit for _, unit in known])
        if unit is None:
            self.fail(_explain_arithmetic(node, [unit for _, unit in known]))
            return None
        return _combine(node.op, parts, unit)

    def type_apply(self, node: Apply) -> Typed | None:
        if node.function in ("trait", "prediction", "segment", "state_p"):
            return self.type_reading(node)
        if node.function in ("abs", "is_missing") or (
            node.function in ("min", "max") and len(node.arguments) > 1
        ):
            return self.type_function(node)
        signature = SIGNATURES.get(node.function)
        if signature is None:
            known = [
                *SIGNATURES,
                "abs",
                "is_missing",
                *(("trait", "prediction", "segment") if self.words.is_audience else ()),
            ]
            self.fail(f"there is no function '{node.function}'", nearest(node.function, known))
            return None
        return self.type_call(node, signature)

    def type_function(self, node: Apply) -> Typed | None:
        if node.options or (node.function in ("abs", "is_missing") and len(node.arguments) != 1):
            self.fail(
                f"'{print_node(node)}': {node.function} takes {'two or more values' if node.function in ('min', 'max') else 'one value'} and no options"
            )
            return None
        if node.function == "is_missing":
            typed = self.type_node(node.arguments[0])
            if typed is None:
                return None
            if typed[1] in ("boolean", "text") and not isinstance(typed[0], Reading):
                self.fail(f"'{print_node(node)}': a condition is never missing")
                return None
            return (Operation("is_missing", (typed[0],)), "boolean")
        tree = Operation(node.function, node.arguments)
        if node.function == "abs":
            return self.type_arithmetic(tree, [self.type_node(node.arguments[0])])
        result = self.type_node(node.arguments[0])
        for argument in node.arguments[1:]:
            result = self.type_arithmetic(
                Operation(node.function, (node.arguments[0], argument)), [result, self.type_node(argument)]
            )
        return result

    def type_reading(self, node: Apply) -> Typed | None:
        kind, words = node.function, self.words
        name = _word(node.arguments[0]) if len(node.arguments) == 1 and not node.options else None
        if name is None:
            self.fail(f"'{print_node(node)}': write {kind}(name)")
            return None
        if kind == "trait" and name.lower() in {word.lower() for word in words.protected}:
            self.fail(
                f"'{print_node(node)}' reads the protected trait '{name}'; it may be audited but never used"
            )
            return None
        if not words.is_audience:
            self.fail(f"'{print_node(node)}' can be read only in segments, audiences and activations")
            return None
        known = {"state_p": words.states, "segment": words.segments, "prediction": words.outcomes}.get(kind)
        if known is not None and name not in known:
            noun = {"state_p": "state", "segment": "segment", "prediction": "outcome"}[kind]
            self.fail(f"there is no {noun} '{name}' in '{print_node(node)}'", nearest(name, known))
            return None
        units: dict[str, Unit] = {
            "state_p": "number",
            "prediction": "number",
            "segment": "boolean",
            "trait": "text",
        }
        return (Reading(kind, name, units[kind]), units[kind])  # type: ignore[arg-type]  # kind is one of Reading's

    def type_call(self, node: Apply, signature: Signature) -> Typed | None:
        before = len(self.problems)
        if not signature.n_required <= len(node.arguments) <= len(signature.arguments):
            self.fail(f"'{print_node(node)}' has {len(node.arguments)} arguments; write {signature.usage}")
            return None
        of: list[str] = []
        options: dict[str, float] = {}
        for kind, argument in zip(signature.arguments, node.arguments, strict=False):
            if kind.endswith("_hour"):
                self.read_hour(node, kind, argument, options)
            else:
                of.append(self.read_word(node, kind, argument, signature))
        self.read_options(node, signature, options)
        if len(self.problems) > before:
            return None
        if node.function == "sentiment" and "sentiment" not in self.words.measures:
            self.fail("sentiment() needs a measure called 'sentiment' in events")
            return None
        call = build_call(node.function, tuple(of), options)
        if isinstance(call, str):
            self.fail(f"'{print_node(node)}': {call}")
            return None
        return (call, call.unit)

    def read_word(self, node: Apply, kind: str, argument: Node, signature: Signature) -> str:
        word = _word(argument)
        if word is None:
            self.fail(
                f"'{print_node(argument)}' is not a name in '{print_node(node)}'; write {signature.usage}"
            )
            return ""
        words = self.words
        names = {
            "class": (_ANY, *words.classes),
            "measure": words.measures,
            "property": words.properties,
            "moment": words.moments,
        }
        if kind == "text":
            return word
        known = names.get(kind) or tuple(kind.split("|"))
        noun = {"class": "event class"}.get(kind, kind if kind in names else "choice")
        if kind in names and not names[kind]:
            self.fail(f"there is no {noun} '{word}' in '{print_node(node)}': the playbook has none")
        elif word not in known:
            self.fail(f"there is no {noun} '{word}' in '{print_node(node)}'", nearest(word, known))
        return word

    def read_hour(self, node: Apply, kind: str, argument: Node, options: dict[str, float]) -> None:
        if isinstance(argument, Constant) and argument.unit == "number":
            options[kind] = float(argument.value)
        else:
            self.fail(f"'{print_node(argument)}' is not an hour from 0 to 24 in '{print_node(node)}'")

    def read_options(self, node: Apply, signature: Signature, options: dict[str, float]) -> None:
        for name, value in node.options:
            if name not in signature.options:
                self.fail(
                    f"{node.function} has no option '{name}'; write {signature.usage}",
                    nearest(name, signature.options),
                )
                continue
            if name in options:
                self.fail(f"'{print_node(node)}' gives {name} twice")
                continue
            unit = "number" if name == "at_most" else "duration"
            if not isinstance(value, Constant) or value.unit != unit:
                self.fail(
                    f"{name} in '{print_node(node)}' must be a {unit}, e.g. {name}={'5' if unit == 'number' else '7d'}"
                )
                continue
            options[name] = float(value.value)


def _combine(op: str, parts: list[Typed | None], unit: Unit) -> Typed | None:
    known = [part[0] for part in parts if part is not None]
    return (Operation(op, tuple(known)), unit) if len(known) == len(parts) else None


def _unit_of(op: str, units: list[Unit]) -> Unit | None:
    """The unit of an arithmetic operation, or None when the units do not go together."""
    if len(units) == 1:
        return units[0]
    pair = (units[0], units[1])
    if pair == ("number", "number"):
        return "number"
    if op in ("+", "-", "min", "max"):
        return "duration" if pair == ("duration", "duration") else None
    if op == "*":
        return None if pair == ("duration", "duration") else "duration"
    return {("duration", "number"): "duration", ("duration", "duration"): "number"}.get(pair)  # type: ignore[return-value]  # units


def _explain_arithmetic(node: Operation, units: list[Unit]) -> str:
    text = print_node(node)
    if node.op == "/":
        return f"'{text}' divides a number by a duration; divide by a duration in a unit, e.g. {print_node(node.of[1])} / 1d"
    if node.op == "*":
        return f"'{text}' multiplies two durations"
    return f"'{text}' joins a {units[0]} and a {units[1]} by {node.op}; a duration needs a unit, e.g. 7d"


def _make_exact(op: str, left: Node, right: Node) -> tuple[Node, Node]:
    """Counts in a window compared with a small literal get ``at_most``, so that the comparison is exact."""
    if isinstance(left, Call) and isinstance(right, Constant):
        return (_bound_count(op, left, right), right)
    if isinstance(right, Call) and isinstance(left, Constant):
        return (left, _bound_count(_MIRRORED[op], right, left))
    return (left, right)


def _bound_count(op: str, call: Call, literal: Constant) -> Call:
    options = dict(call.options)
    limit = float(literal.value)
    if call.primitive != "count" or "within" not in options or "at_most" in options or limit > EXACT_UP_TO:
        return call
    needed = math.ceil(limit) if op in (">=", "<") else math.floor(limit) + 1
    options["at_most"] = float(max(1, needed))
    return Call(call.primitive, call.of, tuple(sorted(options.items())), call.unit)


def _word(node: Node) -> str | None:
    if isinstance(node, Name) and len(node.parts) == 1:
        return node.parts[0]
    return str(node.value) if isinstance(node, Constant) and node.unit == "text" else None


def _walk(tree: Node) -> list[Node]:
    found: list[Node] = []
    todo = [tree]
    while todo:
        node = todo.pop()
        found.append(node)
        if isinstance(node, Operation):
            todo.extend(reversed(node.of))
    return found


def _tidy(text: str) -> str:
    return " ".join(text.split())
