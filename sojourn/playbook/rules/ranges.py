"""Which values a rule can have at the instant of an event: finds conditions that are always or never true."""

from __future__ import annotations

import math

from sojourn.playbook.rules.nodes import (
    ABS,
    ADD,
    AND,
    CONST,
    DIV,
    EQ,
    GE,
    GT,
    IS_MISSING,
    LE,
    LOAD,
    LT,
    MAX,
    MIN,
    MUL,
    NE,
    NEG,
    NOT,
    OR,
    SUB,
    Call,
    Program,
)

Range = tuple[float, float, bool]
"""Smallest value, largest value, and whether it may be missing. Conditions are ranges inside 0 to 1."""

_ANYTHING: Range = (-math.inf, math.inf, True)
_NOT_NEGATIVE: Range = (0.0, math.inf, False)
_SHARE: Range = (0.0, 1.0, True)


def explain_constant(program: Program) -> str | None:
    """Why a condition is the same at every event of a customer, or None when it may differ.

    >>> from sojourn.playbook.rules.types import Vocabulary

    >>> from sojourn.playbook.rules.compile import compile_condition
    >>> explain_constant(compile_condition("recency(any) > 7d", Vocabulary()))[:20]
    'can never fire: rece'
    """
    low, high, _ = find_range(program)
    if high == 0.0:
        if any(call.primitive == "recency" and call.of == ("any",) for call in program.calls):
            return (
                "can never fire: recency(any) is 0 at an event, which is when indicators are read; "
                "say how long the silences of this state are with typical_gap instead"
            )
        return "can never fire: no event can make it true"
    if low == 1.0:
        return "always fires, so it tells nothing"
    return None


def find_range(program: Program) -> Range:
    """Bounds of the program's value at the instant of an event that is not a touch; never too narrow."""
    stack: list[Range] = []
    for code, operand in zip(program.codes, program.operands, strict=True):
        if code == CONST:
            stack.append((operand, operand, False))
        elif code == LOAD:
            stack.append(range_of_call(program.calls[int(operand)]))
        elif code in (NEG, NOT, ABS, IS_MISSING):
            stack.append(_bound_unary(code, stack.pop()))
        else:
            right = stack.pop()
            stack.append(_bound_binary(code, stack.pop(), right))
    return stack[-1]


def range_of_call(call: Call) -> Range:
    """Bounds of a primitive at the instant of an event that is not a touch."""
    name, options = call.primitive, dict(call.options)
    if name == "count":
        return (0.0, options.get("at_most", math.inf), False)
    if name == "recency":
        return (0.0, 0.0, False) if call.of == ("any",) else (0.0, math.inf, True)
    if name == "tenure":
        return _NOT_NEGATIVE
    if name == "session":
        return (1.0, math.inf, False) if call.of[0] in ("depth", "count") else _NOT_NEGATIVE
    if name == "matches":
        return (0.0, 1.0 if "within" in options else math.inf, False)
    if name in ("share", "hour_share", "responsiveness") or call.of[1:] == ("regularity",):
        return _SHARE
    if name in ("momentum", "cadence"):
        return (0.0, math.inf, True)
    if name == "distinct":
        return (0.0, 240.0 * math.log(240.0), False)
    return _ANYTHING


def _bound_unary(code: int, x: Range) -> Range:
    low, high, may_miss = x
    if code == NEG:
        return (-high, -low, may_miss)
    if code == NOT:
        return (1.0 - high, 1.0 - low, False)
    if code == IS_MISSING:
        return (0.0, 1.0 if may_miss else 0.0, False)
    least = 0.0 if low <= 0.0 <= high else min(abs(low), abs(high))
    return (least, max(abs(low), abs(high)), may_miss)


def _bound_binary(code: int, a: Range, b: Range) -> Range:
    if code in (LT, LE, GT, GE, EQ, NE):
        return _bound_comparison(code, a, b)
    if code == AND:
        return (min(a[0], b[0]), min(a[1], b[1]), False)
    if code == OR:
        return (max(a[0], b[0]), max(a[1], b[1]), False)
    may_miss = a[2] or b[2]
    if code == MIN:
        return (min(a[0], b[0]), min(a[1], b[1]), may_miss)
    if code == MAX:
        return (max(a[0], b[0]), max(a[1], b[1]), may_miss)
    return _bound_arithmetic(code, a, b, may_miss)


def _bound_arithmetic(code: int, a: Range, b: Range, may_miss: bool) -> Range:
    if code == DIV:
        # only a divisor whose sign is sure keeps bounds; zero divides to missing
        if b[0] < 0.0:
            return _ANYTHING
        may_miss = may_miss or b[0] == 0.0
        ends = [_divide(x, y) for x in a[:2] for y in b[:2]]
    elif code == ADD:
        ends = [a[0] + b[0], a[1] + b[1]]
    elif code == SUB:
        ends = [a[0] - b[1], a[1] - b[0]]
    else:
        assert code == MUL
        ends = [_multiply(x, y) for x in a[:2] for y in b[:2]]
    if any(math.isnan(end) for end in ends):
        return _ANYTHING
    # infinities among the inputs may cancel to missing
    return (min(ends), max(ends), may_miss or not all(math.isfinite(end) for end in (*a[:2], *b[:2])))


def _divide(x: float, y: float) -> float:
    if y == 0.0:
        return math.copysign(math.inf, x) if x else 0.0
    return 0.0 if math.isinf(y) else x / y


def _multiply(x: float, y: float) -> float:
    return 0.0 if x == 0.0 or y == 0.0 else x * y


def _bound_comparison(code: int, a: Range, b: Range) -> Range:
    if code in (GT, GE):
        return _bound_comparison(LT if code == GT else LE, b, a)
    may_miss = a[2] or b[2]
    if code == LT:
        can, must = a[0] < b[1], a[1] < b[0]
    elif code == LE:
        can, must = a[0] <= b[1], a[1] <= b[0]
    else:
        overlap = a[0] <= b[1] and b[0] <= a[1]
        same = a[0] == a[1] == b[0] == b[1]
        can, must = (overlap, same) if code == EQ else (not same, not overlap)
    return (1.0 if must and not may_miss else 0.0, 1.0 if can else 0.0, False)
