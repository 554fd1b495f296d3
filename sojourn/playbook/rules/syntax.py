"""Rule text to tree: one grammar for features, conditions and row rules."""

from __future__ import annotations

import functools
import math
import re
from typing import TYPE_CHECKING, Any

from lark import Lark, Transformer, v_args
from lark.exceptions import LarkError, UnexpectedCharacters, UnexpectedToken

from sojourn.errors import PlaybookError, Problem
from sojourn.playbook.rules.nodes import MAX_NESTING, MAX_TEXT, UNIT_SECONDS, Apply, Constant, Name, Node, Operation

if TYPE_CHECKING:
    from lark import Lark, Token

GRAMMAR = r"""
?start: either
?either: both | either "or" both            -> or_
?both: negation | both "and" negation       -> and_
?negation: comparison | "not" negation      -> not_
?comparison: total
    | total COMPARE total                   -> compare
    | total "in" items                      -> in_
    | total "not" "in" items                -> not_in
items: "[" signed ("," signed)* ","? "]"
?total: product
    | total "+" product                     -> add
    | total "-" product                     -> subtract
?product: signed
    | product "*" signed                    -> multiply
    | product "/" signed                    -> divide
?signed: atom | "-" signed                  -> negative
?atom: "(" either ")"
    | NUMBER                                -> number
    | DURATION                              -> duration
    | TEXT                                  -> text
    | "true"                                -> true
    | "false"                               -> false
    | NAME "(" (argument ("," argument)* ","?)? ")" -> apply
    | part ("." part)*                      -> name
?argument: either | NAME "=" either         -> option
part: NAME | QUOTED

COMPARE: "==" | "!=" | "<=" | ">=" | "<" | ">"
DURATION.3: /[0-9]+(\.[0-9]+)?[smhdw]\b/
NUMBER.2: /[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?/
NAME: /[^\W\d]\w*/
QUOTED: /`[^`\n]+`/
TEXT: /'([^'\\]|\\['"\\])*'|"([^"\\]|\\['"\\])*"/
%ignore /[ \t\r\n]+/
"""


def parse_rule(text: str) -> Node:
    """The tree of a rule's text, not yet typed. Raises PlaybookError when the text is not a rule.

    >>> parse_rule("spend > 2")
    Operation(op='>', of=(Name(parts=('spend',)), Constant(value=2.0, unit='number')))
    """
    if len(text) > MAX_TEXT:
        raise PlaybookError(Problem("", f"the rule has {len(text):,} characters; at most {MAX_TEXT:,} are allowed"))
    if not text.strip():
        raise PlaybookError(Problem("", "the rule is empty"))

    try:
        tree: Node = _parser().parse(text)  # type: ignore[assignment]  # the transformer builds nodes, not trees
    except LarkError as error:
        raise PlaybookError(Problem("", _explain(text, error))) from None
    if measure_nesting(tree) > MAX_NESTING:
        raise PlaybookError(Problem("", f"the rule nests more than {MAX_NESTING} levels deep; split it into features"))
    return tree


@functools.cache
def _parser() -> Lark:
    def operation(op: str) -> Any:
        return lambda self, *of: Operation(op, of)

    def read_number(token: Token, size: float = 1.0, unit: Any = "number") -> Constant:
        value = float(token.rstrip("smhdw")) * size
        if not math.isfinite(value):
            raise LarkError(f"the number {token[:20]} is too large")
        return Constant(value, unit)

    @v_args(inline=True)
    class Builder(Transformer[Any, Any]):
        or_, and_, not_ = operation("or"), operation("and"), operation("not")
        add, subtract, multiply, divide = operation("+"), operation("-"), operation("*"), operation("/")
        negative = operation("neg")

        def compare(self, left: Node, op: Token, right: Node) -> Node:
            return Operation(str(op), (left, right))

        def in_(self, left: Node, items: tuple[Node, ...]) -> Node:
            return Operation("in", (left, *items))

        def not_in(self, left: Node, items: tuple[Node, ...]) -> Node:
            return Operation("not in", (left, *items))

        def items(self, *items: Node) -> tuple[Node, ...]:
            return items

        def number(self, token: Token) -> Node:
            return read_number(token)

        def duration(self, token: Token) -> Node:
            return read_number(token, UNIT_SECONDS[token[-1]], "duration")

        def text(self, token: Token) -> Node:
            return Constant(re.sub(r"\\(.)", r"\1", token[1:-1]), "text")

        def true(self) -> Node:
            return Constant(1.0, "boolean")

        def false(self) -> Node:
            return Constant(0.0, "boolean")

        def part(self, token: Token) -> str:
            return token.strip("`")

        def name(self, *parts: str) -> Node:
            return Name(parts)

        def option(self, name: Token, value: Node) -> tuple[str, Node]:
            return (str(name), value)

        def apply(self, function: Token, *arguments: Any) -> Node:
            options = tuple(a for a in arguments if isinstance(a, tuple))
            return Apply(str(function), tuple(a for a in arguments if not isinstance(a, tuple)), options)

    return Lark(GRAMMAR, parser="lalr", lexer="basic", transformer=Builder())


def _explain(text: str, error: Exception) -> str:
    rule = _shorten(text)
    if isinstance(error, UnexpectedToken):
        if error.token.type == "$END":
            return f"the rule '{rule}' ends too early"
        at, found = error.token.start_pos or 0, str(error.token)
    elif isinstance(error, UnexpectedCharacters):
        at = error.pos_in_stream or 0
        found = text[at]
    else:
        return str(error)
    hint = _find_hint(text, at, found)
    return f"'{_shorten(found, 40)}' is not expected at character {at + 1} of the rule '{rule}'" + hint


def _find_hint(text: str, at: int, found: str) -> str:
    """What was probably meant, for slips that other languages teach."""
    is_after_number = text[:at].rstrip()[-1:].isdecimal()
    if found in ("<", "<=", ">", ">=", "==", "!="):
        return "; comparisons do not chain, join two of them with 'and'"
    if found == "=":
        return "; equality is =="
    if found == "%":
        return "; write a share as a number, e.g. 0.5"
    if found in ("&", "|", "!", "AND", "OR", "NOT", "And", "Or", "Not"):
        return "; conditions are joined by 'and', 'or', 'not'"
    if is_after_number and found[:1].isalpha() and found not in ("and", "or", "not", "in"):
        return "; durations are written 30s, 15m, 12h, 7d or 2w"
    if found in ("'", '"', "`"):
        return "; this quotation mark has no partner"
    return ""


def _shorten(text: str, size: int = 80) -> str:
    text = " ".join(text.split())
    return text if len(text) <= size else text[: size - 1] + "…"


def measure_nesting(tree: Node) -> int:
    """How many levels deep the tree is; a leaf has one."""
    deepest = 0
    todo: list[tuple[Node, int]] = [(tree, 1)]
    while todo:  # a loop, since a hostile tree may be deeper than Python's stack
        node, depth = todo.pop()
        deepest = max(deepest, depth)
        if isinstance(node, Operation):
            todo += [(part, depth + 1) for part in node.of]
        elif isinstance(node, Apply):
            todo += [(part, depth + 1) for part in (*node.arguments, *(value for _, value in node.options))]
    return deepest
