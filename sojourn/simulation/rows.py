"""From number codes to raw rows as a shop's tracking would have them: ids, names, texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sojourn.frames import INSTANT
from sojourn.simulation import world
from sojourn.simulation.events import NO_SENTIMENT, Codes
from sojourn.simulation.text import all_texts

_SMALL = pa.dictionary(pa.int8(), pa.string())
_MEDIUM = pa.dictionary(pa.int16(), pa.string())

RAW = pa.schema(
    [
        ("message_id", pa.string()),
        ("user_id", pa.string()),  # null while the customer was not logged in
        ("anonymous_id", pa.string()),  # of the device; null on rows that no device sent
        ("timestamp", INSTANT),
        ("event", _SMALL),
        ("channel", _SMALL),
        ("known_state", _SMALL),
        ("known_state_p", pa.float64()),
        ("revenue", pa.float64()),
        ("price", pa.float64()),
        ("rating", pa.float64()),
        ("sentiment", pa.float64()),
        ("product", _MEDIUM),
        ("category", _SMALL),
        ("review_text", _MEDIUM),
        ("device", _SMALL),
        ("country", _SMALL),
        ("postcode", pa.string()),
        ("consent_analytics", _SMALL),
        ("consent_marketing", _SMALL),
    ]
)
"""The columns of the raw rows that a simulation writes, without any session id and, of course, without the state."""

CONSENT = ("denied", "granted")
PRODUCTS = tuple(f"p{1 + k:04d}" for k in range(len(world.CATEGORIES) * world.N_PRODUCTS_PER_CATEGORY))
_HEX = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)


def customer_ids(number: NDArray[Any]) -> pa.Array:
    """The id of each numbered customer.

    >>> customer_ids(np.array([0, 41])).to_pylist()
    ['c0000001', 'c0000042']
    """
    return _fixed(_digits("c", np.asarray(number, dtype=np.int64) + 1, 7), None)


def device_ids(code: NDArray[Any]) -> pa.Array:
    """The anonymous id of each device code; null for −1."""
    code = np.asarray(code, dtype=np.int64)
    return _fixed(_hashed("a", code * 2 + 1), code != -1)


def make_batch(codes: Codes, is_resolved: bool) -> pa.RecordBatch:
    """Raw rows of codes, in the same order. ``is_resolved``: every row names its customer, and no id is shared."""
    is_blank = codes["blemish"] == 1
    is_named = (np.ones(len(is_blank), dtype=bool) if is_resolved else codes["is_named"] == 1) & ~is_blank
    anonymous = np.where(is_blank, -1, codes["anonymous"])
    if is_resolved:
        anonymous = np.where(anonymous < -1, -1, anonymous)
    sentiment = codes["sentiment"]
    label = codes["label"]
    columns = [
        _fixed(_hashed("m", (codes["who"].astype(np.int64) << 24 | codes["serial"]) * 2), None),
        _fixed(_digits("c", codes["who"].astype(np.int64) + 1, 7), is_named),
        device_ids(anonymous),
        pa.array(codes["time_us"]).cast(INSTANT),
        _named(codes["event"], world.EVENTS, np.int8),
        _named(codes["channel"], world.CHANNELS, np.int8),
        _named(label, world.STATES, np.int8),
        pa.array(np.full(len(label), world.LABEL_P), mask=label < 0),
        pa.array(codes["revenue_cents"] / 100.0, mask=codes["revenue_cents"] == 0),
        pa.array(codes["price_cents"] / 100.0, mask=codes["price_cents"] < 0),
        pa.array(codes["rating"].astype(np.float64), mask=codes["rating"] == 0),
        pa.array(sentiment / 100.0, mask=sentiment == NO_SENTIMENT),
        _named(codes["product"], PRODUCTS, np.int16),
        _named(codes["category"], world.CATEGORIES, np.int8),
        _named(codes["text"], all_texts(), np.int16),
        _named(codes["device"], world.DEVICES, np.int8),
        _named(codes["country"], world.COUNTRIES, np.int8),
        _fixed(_digits("", np.maximum(codes["postcode"], 0).astype(np.int64), 5), codes["postcode"] >= 0),
        _named(codes["analytics"], CONSENT, np.int8),
        _named(codes["marketing"], CONSENT, np.int8),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=RAW)


def _named(code: NDArray[Any], names: Any, width: type) -> pa.Array:
    """A dictionary column; null where the code is negative."""
    indices = pa.array(code.astype(width), mask=code < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(list(names), pa.string()))


def _digits(prefix: str, number: NDArray[np.int64], width: int) -> NDArray[np.uint8]:
    """Decimal digits with leading zeros, as a byte matrix."""
    text = np.empty((len(number), len(prefix) + width), dtype=np.uint8)
    text[:, : len(prefix)] = np.frombuffer(prefix.encode(), dtype=np.uint8)
    rest = number
    for place in range(text.shape[1] - 1, len(prefix) - 1, -1):
        rest, digit = np.divmod(rest, 10)
        text[:, place] = digit + 48
    return text


def _hashed(prefix: str, number: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Sixteen hexadecimal digits of a one-to-one mix of 64-bit numbers (the finaliser of SplitMix64), as bytes.

    One-to-one, so that different numbers never share an id; mixed, so that nobody can read the customer in it.
    """
    x = number.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    octets = x.astype(">u8").view(np.uint8).reshape(-1, 8)
    text = np.empty((len(number), len(prefix) + 16), dtype=np.uint8)
    text[:, : len(prefix)] = np.frombuffer(prefix.encode(), dtype=np.uint8)
    text[:, len(prefix) :: 2] = _HEX[octets >> 4]
    text[:, len(prefix) + 1 :: 2] = _HEX[octets & 15]
    return text


def _fixed(text: NDArray[np.uint8], is_valid: NDArray[np.bool_] | None) -> pa.Array:
    """A string column of equally long texts, null where ``is_valid`` is false; built without a Python string."""
    n, width = text.shape
    if is_valid is None:
        is_valid = np.ones(n, dtype=bool)
    offsets = np.zeros(n + 1, dtype=np.int32)
    np.cumsum(is_valid * width, out=offsets[1:])
    n_null = int(n - is_valid.sum())
    bits = pa.py_buffer(np.packbits(is_valid, bitorder="little").tobytes()) if n_null else None
    data = text if not n_null else text[is_valid]
    buffers = [bits, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(data))]
    return pa.Array.from_buffers(pa.string(), n, buffers, null_count=n_null)
