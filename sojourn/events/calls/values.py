"""Values of tracking calls: what a JSON value is as a text, an id, a number or a condition.

The same meaning as :mod:`sojourn.events.values` gives whole columns, for one value at a time and without their cost.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sojourn.events.values import NO_IDS

NAN, INF = math.nan, math.inf

_NO_IDS = frozenset(NO_IDS)
_NO_ID_SIZES = frozenset(map(len, NO_IDS))
_WHOLE = re.compile(r"(-?\d+)\.0", re.ASCII)
_ESCAPES = str.maketrans(
    {chr(i): f"\\u{i:04X}" for i in range(32)}
    | {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
)


def print_value(value: Any) -> str | None:
    """A JSON value as the text that it has as a raw row's value; None for null. Objects and lists are JSON text.

    >>> print_value(1e21), print_value(True), print_value({"a": [1.0, None]})
    ('1e21', 'true', '{"a":[1.0,null]}')
    """
    if value is None or value.__class__ is str:
        return value
    try:
        return _print_plain(value) or _print_nested(value)
    except RecursionError:
        return None


def _print_plain(value: Any) -> str | None:
    """Numbers and truth values; None for anything else."""
    if value.__class__ is bool:
        return "true" if value else "false"
    if value.__class__ is int:
        return str(value)
    return _print_float(value) if value.__class__ is float else None


def _print_float(value: float) -> str:
    """The shortest digits that read back as the number; an exponent below 1e-6 and from 1e21 on."""
    text = repr(value)
    if "e" not in text:
        return text
    size = abs(value)
    if size >= 1e21 or size < 1e-6:
        digits, _, exponent = text.partition("e")
        return f"{digits.removesuffix('.0')}e{int(exponent)}"
    return format(Decimal(text), "f") + (".0" if size >= 1 else "")


def _print_nested(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPES)}"'
    if isinstance(value, dict):
        return "{" + ",".join(f"{_print_nested(key)}:{_print_nested(of)}" for key, of in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_print_nested, value)) + "]"
    return _print_plain(value) or ""


def read_text(value: Any) -> str | None:
    """The value as text, without white space around it; None where it is blank.

    >>> read_text(" a "), read_text(12.0), read_text("  ")
    ('a', '12.0', None)
    """
    text = value if value.__class__ is str else print_value(value)
    return (text.strip() or None) if text else None


def read_id(value: Any) -> str | None:
    """The value as an id: a text in which ``17850.0`` is ``17850``, and None for words that mean nothing.

    >>> read_id(17850.0), read_id(" null "), read_id("u1")
    ('17850', None, 'u1')
    """
    if value is None:
        return None
    text = (value if value.__class__ is str else print_value(value) or "").strip()
    if text[-2:] == ".0" and (whole := _WHOLE.fullmatch(text)):
        text = whole[1]
    if len(text) in _NO_ID_SIZES and text.lower() in _NO_IDS:
        return None
    return text or None


def read_texts(values: Sequence[Any]) -> list[str | None]:
    """:func:`read_text` of each value, for a list of mostly texts.

    >>> read_texts([" a ", None, 12.0])
    ['a', None, '12.0']
    """
    try:
        texts = list(map(str.strip, values))
    except TypeError:  # some are no texts
        return [None if value is None else read_text(value) for value in values]
    return [text or None for text in texts] if "" in texts else list(texts)


def read_ids(values: Sequence[Any]) -> list[str | None]:
    """:func:`read_id` of each value, for a list of mostly texts.

    >>> read_ids(["u1", None, "17850.0"])
    ['u1', None, '17850']
    """
    given = [value for value in values if value is not None]
    if not given:
        return [None] * len(values)
    try:
        texts = list(map(str.strip, given))
        is_plain = _NO_IDS.isdisjoint(map(str.lower, texts)) and ".0\0" not in "\0".join(texts) + "\0"
    except TypeError:  # some are no texts
        is_plain = False
    found = [text or None for text in texts] if is_plain else list(map(read_id, given))
    if len(given) == len(values):
        return found
    rest = iter(found)
    return [None if value is None else next(rest) for value in values]


def read_number(value: Any) -> float:
    """The value as a number: NaN where it is missing, infinity where it is there and is no finite number.

    >>> read_number(2), read_number(" 1.5 "), read_number(""), read_number("1,5"), read_number(True)
    (2.0, 1.5, nan, inf, inf)
    """
    if value is None:
        return NAN
    if value.__class__ is float or value.__class__ is int:
        try:
            return float(value)
        except OverflowError:
            return INF
    if value.__class__ is not str:
        return INF
    text = value.strip()
    if not text:
        return NAN
    try:
        number = float(text) if text.isascii() and "_" not in text else INF
    except ValueError:
        return INF
    return number if math.isfinite(number) else INF


def read_truth(value: Any) -> bool | None:
    """Whether the value says yes: ``true`` or ``1``, in any case; None where it is missing.

    >>> read_truth(True), read_truth(1), read_truth("no"), read_truth(" ")
    (True, True, False, None)
    """
    if value is True or value is False:
        return bool(value)
    text = read_text(value)
    return None if text is None else text.lower() in ("true", "1")
