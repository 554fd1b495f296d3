"""Instants of tracking calls: the ways in which clients write them are read at once, any other as batch reads it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sojourn.call_values import print_value
from sojourn.event_values import GOOD, MISSING, read_instants
from sojourn.source_rows import Integers

Instants = tuple[Integers, NDArray[np.uint8]]
ReadInstants = Callable[[Sequence[Any]], Instants]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WAYS = frozenset(
    (f"--T::{next_mark}", 19 + n_decimals + len(zone), zone[-1])
    for zone in ("Z", "+00:00")
    for n_decimals, next_mark in ((0, zone[0]), (4, "."), (7, "."))
)
"""Of each way to write an instant that is read at once: what stands between its parts, its length, its last letter."""


def make_instant_reader(timezone: str, time_format: str | None) -> ReadInstants:
    """A function from JSON values to what :func:`sojourn.event_values.read_instants` says of their texts.

    Only for ways to write an instant that clients do not use, a connection is opened, on first use.

    >>> read = make_instant_reader("UTC", None)
    >>> read(["1970-01-01T00:00:01.500Z", None, 2])[0].tolist()
    [1500000, 0, 2000000]
    """
    connections: list[Any] = []

    def read_others(values: Sequence[Any]) -> Instants:
        from sojourn.duck import connect

        if not connections:
            connections.append(connect(timezone=timezone))
        texts = pa.array(list(map(print_value, values)), pa.string())
        stamps, state = read_instants(texts, time_format, connections[0])
        return np.array(stamps), state  # a copy: Arrow's memory may not be written to

    def read(values: Sequence[Any]) -> Instants:
        n = len(values)
        if values.count(None) == n:
            return np.zeros(n, np.int64), np.full(n, MISSING, np.uint8)
        if time_format is not None:
            return read_others(values)
        found = [_read_plain(value) if value.__class__ is str else None for value in values]
        if None not in found:
            return np.array(found, np.int64), np.full(n, GOOD, np.uint8)
        stamps, state = np.array([stamp or 0 for stamp in found]), np.full(n, GOOD, np.uint8)
        odd = [i for i, stamp in enumerate(found) if stamp is None]
        stamps[odd], state[odd] = read_others([values[i] for i in odd])
        return stamps, state

    return read


def _read_plain(text: str) -> int | None:
    """Microseconds since 1970 of an instant like ``2026-11-21T21:15:03.379Z``; None of anything else."""
    if (text[4:20:3], len(text), text[-1:]) not in _WAYS or (text[-1] == "0" and text[-6:] != "+00:00"):
        return None
    try:
        since = datetime.fromisoformat(text) - _EPOCH
    except ValueError:  # such as 30 February
        return None
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
