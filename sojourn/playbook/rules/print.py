"""Trees back to rule text that parses to the same tree."""

from __future__ import annotations

import re

from sojourn.playbook.rules.nodes import (
    Apply,
    Call,
    Column,
    Constant,
    Name,
    Node,
    Operation,
    Reading,
    format_duration,
    format_number,
)

_OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _SIGN, _ATOM = range(1, 9)
_BINDING = {
    "or": _OR,
    "and": _AND,
    "<": _COMPARE,
    "<=": _COMPARE,
    ">": _COMPARE,
    ">=": _COMPARE,
    "==": _COMPARE,
    "!=": _COMPARE,
    "+": _SUM,
    "-": _SUM,
    "*": _PRODUCT,
    "/": _PRODUCT,
}
_PLAIN = re.compile(r"[^\W\d]\w*")
_KEYWORDS = frozenset({"and", "or", "not", "in", "true", "false"})


def print_node(node: Node) -> str:
    """A tree, typed or not, as rule text with as few parentheses as keep its meaning.

    >>> print_node(Operation("*", (Operation("+", (Name(("a",)), Name(("b",)))), Constant(2.0, "number"))))
    '(a + b) * 2'
    """
    return _print(node)[0]


def print_path(parts: tuple[str, ...]) -> str:
    """A dotted name, with back quotes where a part is not a plain word.

    >>> print_path(("properties", "Order Total"))
    'properties.`Order Total`'
    """
    return ".".join(p if _PLAIN.fullmatch(p) and p not in _KEYWORDS else f"`{p}`" for p in parts)


def _print(node: Node) -> tuple[str, int]:
    """The text and how strongly its outermost operator binds."""
    if isinstance(node, Constant):
        return _print_constant(node), _ATOM
    if isinstance(node, Name | Column):
        return print_path(node.parts), _ATOM
    if isinstance(node, Call):
        return node.text, _ATOM
    if isinstance(node, Reading):
        return (f"{node.kind}({node.name})" if node.name else node.kind), _ATOM
    if isinstance(node, Apply):
        words = [print_node(argument) for argument in node.arguments]
        words += [f"{name}={print_node(value)}" for name, value in node.options]
        return f"{node.function}({', '.join(words)})", _ATOM
    return _print_operation(node)


def _print_operation(node: Operation) -> tuple[str, int]:
    if node.op in ("in", "not in"):
        items = ", ".join(_wrap(item, _SIGN) for item in node.of[1:])
        return f"{_wrap(node.of[0], _SUM)} {node.op} [{items}]", _COMPARE
    if node.op == "not":
        return f"not {_wrap(node.of[0], _NOT)}", _NOT
    if node.op == "neg":
        return f"-{_wrap(node.of[0], _SIGN)}", _SIGN
    binding = _BINDING.get(node.op)
    if binding is None:
        return f"{node.op}({', '.join(print_node(part) for part in node.of)})", _ATOM
    # comparisons take sums on both sides; all else leans left, so an equal operator on the right needs parentheses
    left = _SUM if binding == _COMPARE else binding
    return f"{_wrap(node.of[0], left)} {node.op} {_wrap(node.of[1], binding + 1)}", binding


def _wrap(node: Node, least: int) -> str:
    text, binding = _print(node)
    return text if binding >= least else f"({text})"


def _print_constant(node: Constant) -> str:
    if isinstance(node.value, str):
        escaped = node.value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    if node.unit == "boolean":
        return "true" if node.value else "false"
    return format_duration(node.value) if node.unit == "duration" else format_number(node.value)
