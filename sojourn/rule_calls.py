"""Calls of primitives as written, checked against their signatures and the playbook's names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from sojourn.rule_print import print_node
from sojourn.rule_signatures import SIGNATURES, Signature, build_call
from sojourn.rules import Apply, Call, Constant, Name, Node

Fail = Callable[[str, str | None], None]
"""Notes a problem: what is wrong, and the nearest right word."""
Near = Callable[[str, Iterable[str]], str | None]
"""Finds the nearest of some words."""

_NOUNS = {"class": "event class", "measure": "measure", "property": "property", "moment": "moment"}


def read_call(node: Apply, known: Mapping[str, Sequence[str]], fail: Fail, nearest: Near) -> Call | None:
    """The call that a function of :data:`SIGNATURES` stands for, or None when a problem was noted.

    ``known`` lists the names of each kind: class, measure, property and moment.
    """
    signature = SIGNATURES[node.function]
    if not signature.n_required <= len(node.arguments) <= len(signature.arguments):
        fail(f"'{print_node(node)}' has {len(node.arguments)} arguments; write {signature.usage}", None)
        return None
    is_right = True
    of: list[str] = []
    numbers: dict[str, float] = {}
    for kind, argument in zip(signature.arguments, node.arguments, strict=False):
        if kind.endswith("_hour"):
            is_right &= _read_hour(node, kind, argument, numbers, fail)
        else:
            word = _read_word(node, kind, argument, signature, known, fail, nearest)
            is_right &= word is not None
            of.append(word or "")
    is_right &= _read_options(node, signature, numbers, fail, nearest)
    if not is_right:
        return None
    call = build_call(node.function, tuple(of), numbers)
    if isinstance(call, str):
        fail(f"'{print_node(node)}': {call}", None)
        return None
    if node.function == "sentiment" and "sentiment" not in known["measure"]:
        fail("sentiment() reads the measure called 'sentiment', which no event class has", None)
        return None
    return call


def read_name(node: Node) -> str | None:
    """A single word, with or without quotes; None when the node is something else."""
    if isinstance(node, Name) and len(node.parts) == 1:
        return node.parts[0]
    return str(node.value) if isinstance(node, Constant) and node.unit == "text" else None


def _read_word(
    node: Apply,
    kind: str,
    argument: Node,
    signature: Signature,
    known: Mapping[str, Sequence[str]],
    fail: Fail,
    nearest: Near,
) -> str | None:
    word = read_name(argument)
    if not word:
        fail(f"'{print_node(argument)}' is not a name in '{print_node(node)}'; write {signature.usage}", None)
        return None
    if kind == "text":
        return word
    choices = known[kind] if kind in known else kind.split("|")
    if word in choices:
        return word
    if kind not in known:
        fail(f"'{word}' is not one of {', '.join(choices)} in '{print_node(node)}'", nearest(word, choices))
    elif not choices:
        fail(f"there is no {_NOUNS[kind]} '{word}' in '{print_node(node)}': the playbook has none", None)
    else:
        fail(f"there is no {_NOUNS[kind]} '{word}' in '{print_node(node)}'", nearest(word, choices))
    return None


def _read_hour(node: Apply, kind: str, argument: Node, numbers: dict[str, float], fail: Fail) -> bool:
    if isinstance(argument, Constant) and argument.unit == "number":
        numbers[kind] = float(argument.value)
        return True
    fail(f"'{print_node(argument)}' is not an hour from 0 to 24 in '{print_node(node)}'", None)
    return False


def _read_options(node: Apply, signature: Signature, numbers: dict[str, float], fail: Fail, nearest: Near) -> bool:
    n_right = 0
    for name, value in node.options:
        unit = "number" if name == "at_most" else "duration"
        if name not in signature.options:
            near = nearest(name, signature.options)
            fail(f"{node.function} has no option '{name}'; write {signature.usage}", near)
        elif name in numbers:
            fail(f"'{print_node(node)}' gives {name} twice", None)
        elif not isinstance(value, Constant) or value.unit != unit:
            example = "5" if unit == "number" else "7d"
            fail(f"{name} in '{print_node(node)}' must be a {unit}, e.g. {name}={example}", None)
        else:
            numbers[name] = float(value.value)
            n_right += 1
    return n_right == len(node.options)
