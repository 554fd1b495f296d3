"""Values of tracking calls: what a JSON value is as a text, an id, a number or an instant.

The same meaning as :mod:`sojourn.event_values` gives whole columns, for one value at a time and without their cost.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sojourn.event_values import GOOD, MISSING, NO_IDS, read_instants
from sojourn.source_rows import Flags, Integers

NAN, INF = math.nan, math.inf
ReadInstants = Callable[[Sequence[Any]], tuple[Integers, NDArray[np.uint8]]]

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
    text = read_text(value)
    return None if text is None else text.lower() in ("true", "1")


def make_instant_reader(timezone: str, time_format: str | None) -> ReadInstants:
    """A function from JSON values to what :func:`sojourn.event_values.read_instants` says of their texts.

    Instants that end in ``Z`` or ``+00:00`` are read at once. Only for others a connection is opened, on first use.

    >>> read = make_instant_reader("UTC", None)
    >>> read(["1970-01-01T00:00:01.500Z", None, 2])[0].tolist()
    [1500000, 0, 2000000]
    """
    connections: list[Any] = []

    def read_others(texts: pa.StringArray) -> tuple[Integers, NDArray[np.uint8]]:
        from sojourn.duck import connect

        if not connections:
            connections.append(connect(timezone=timezone))
        return read_instants(texts, time_format, connections[0])

    def read(values: Sequence[Any]) -> tuple[Integers, NDArray[np.uint8]]:
        try:
            texts = pa.array(values, pa.string())
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            texts = pa.array(list(map(print_value, values)), pa.string())
        is_null = texts.is_null().to_numpy(zero_copy_only=False)
        stamps, state = np.zeros(len(texts), np.int64), np.where(is_null, MISSING, GOOD).astype(np.uint8)
        if is_null.all():
            return stamps, state
        is_plain = _find_plain(texts) if time_format is None else np.zeros(len(texts), bool)
        is_odd = ~(is_plain | is_null)
        try:
            some = texts.filter(pa.array(is_plain))
            stamps[is_plain] = some.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
        except pa.ArrowInvalid:  # such as 30 February
            is_odd |= is_plain
        if is_odd.any():
            stamps[is_odd], state[is_odd] = read_others(texts.filter(pa.array(is_odd)))
        return stamps, state

    return read


def _find_plain(texts: pa.StringArray) -> Flags:
    """Texts as long as ``2026-11-21T21:15:03`` with at most six decimals, and then ``Z`` or ``+00:00``.

    Where such a text is an instant at all, its zone is sure and it can have been written in one way only.
    """
    _, offset_buffer, data_buffer = texts.buffers()
    n = len(texts)
    offsets = np.frombuffer(offset_buffer, np.int32)[texts.offset : texts.offset + n + 1].astype(np.int64)
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer is not None else np.zeros(0, np.uint8)
    sizes, ends = np.diff(offsets), offsets[1:]
    if not data.size:
        return np.zeros(n, bool)
    is_plain = (sizes >= 20) & (sizes <= 27) & (data[np.maximum(ends - 1, 0)] == ord("Z"))
    if not is_plain.all():
        rest = np.flatnonzero(~is_plain & (sizes >= 25) & (sizes <= 32))
        tails = data[ends[rest, None] + np.arange(-6, 0)]
        is_plain[rest] = (tails == np.frombuffer(b"+00:00", np.uint8)).all(axis=1)
    return np.asarray(is_plain)
