"""Rules over one customer, compiled: features, conditions, and the rules of segments and audiences."""

from __future__ import annotations

from sojourn.errors import PlaybookError, Problem
from sojourn.playbook.rules.nodes import (
    CONST,
    LOAD,
    MAX_DEPTH,
    MAX_LENGTH,
    OPERATORS,
    UNARY,
    Call,
    Constant,
    Node,
    Operation,
    Program,
    Reading,
    Rule,
    Unit,
)
from sojourn.playbook.rules.types import Typed, Vocabulary, type_rule, walk


def compile_condition(text: str, words: Vocabulary) -> Program:
    """The program of a condition over features. Raises PlaybookError with every problem of the rule.

    >>> words = Vocabulary(classes=("view", "purchase"))
    >>> compile_condition("count(view, within=1h) >= 3 and recency(purchase) > 7d", words).calls[0].text
    'count(view, at_most=3, within=1h)'
    """
    tree, _ = type_rule(text, words, is_condition=True)
    return compile_tree(tree, "boolean", text)


def compile_feature(text: str, words: Vocabulary) -> tuple[Program, Typed]:
    """The program of a feature, and its typed tree for the features that use it. Raises PlaybookError.

    >>> compile_feature("tenure() / 1d", Vocabulary())[0].unit
    'number'
    """
    tree, unit = type_rule(text, words, is_condition=False)
    return compile_tree(tree, unit, text), (tree, unit)


def compile_audience(text: str, words: Vocabulary) -> Rule:
    """The rule of a segment, audience or activation, with a program when it reads only features.

    Raises PlaybookError.

    >>> words = Vocabulary(states=("calm",), is_audience=True)
    >>> compile_audience("state == 'calm' and state_p > 0.7", words).reads[1]
    Reading(kind='state_p', name='', unit='number')
    """
    tree, _ = type_rule(text, words, is_condition=True)
    reads = tuple(dict.fromkeys(node for node in walk(tree) if isinstance(node, Reading)))
    calls = tuple(dict.fromkeys(node for node in walk(tree) if isinstance(node, Call)))
    program = None if reads else compile_tree(tree, "boolean", text)
    return Rule(tree, reads, calls, program, " ".join(text.split()))


def compile_tree(tree: Node, unit: Unit, text: str) -> Program:
    """The stack program of a typed tree. Raises PlaybookError when it is too large."""
    if unit == "text":
        raise TypeError("a program has numbers, no texts")
    codes: list[int] = []
    operands: list[float] = []
    calls: dict[Call, int] = {}
    depth = 0
    todo: list[Node | int] = [tree]
    while todo:  # parts before the operator that joins them
        item = todo.pop()
        if isinstance(item, Operation):
            todo.append(OPERATORS[item.op])
            todo.extend(reversed(item.of))
            continue
        if isinstance(item, int):
            code, operand = item, 0.0
            depth -= 0 if item in UNARY else 1
        elif isinstance(item, Constant):
            code, operand = CONST, float(item.value)
            depth += 1
        elif isinstance(item, Call):
            code, operand = LOAD, float(calls.setdefault(item, len(calls)))
            depth += 1
        else:
            raise TypeError(f"not part of a program: {item!r}")
        codes.append(code)
        operands.append(operand)
        if len(codes) > MAX_LENGTH or depth > MAX_DEPTH:
            raise PlaybookError(Problem("", _TOO_LARGE))
    return Program(tuple(codes), tuple(operands), tuple(calls), unit, " ".join(text.split()))


_TOO_LARGE = (
    f"the rule is too large: with the features that it uses written out, it may have {MAX_LENGTH} instructions "
    f"and {MAX_DEPTH} values open at once"
)
