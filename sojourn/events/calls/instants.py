"""Instants of tracking calls: the ways in which clients write them are read at once, any other as batch reads it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sojourn.events.calls.values import print_value
from sojourn.events.sources import Flags, Integers
from sojourn.events.values import GOOD, MISSING, read_instants
from sojourn.frames import connect

Instants = tuple[Integers, NDArray[np.uint8]]
ReadInstants = Callable[[Sequence[Any]], Instants]

_FORMS = ("0000-00-00T00:00:00", "0000-00-00T00:00:00.000", "0000-00-00T00:00:00.000000")


def _describe_ways() -> dict[int, tuple[int, NDArray[np.uint8], NDArray[np.uint8]]]:
    """By length: the length without the zone, and per letter the least one and how far from it others may be."""
    ways = {}
    for form in _FORMS:
        spread = np.array([9 if letter == "0" else 0 for letter in form], np.uint8)
        for zone in ("Z", "+00:00"):
            least = np.frombuffer((form + zone).encode(), np.uint8)
            ways[len(least)] = (len(form), least, np.pad(spread, (0, len(zone))))
    return ways


_WAYS = _describe_ways()
"""The ways to write an instant that are read at once."""


def make_instant_reader(timezone: str, time_format: str | None) -> ReadInstants:
    """A function from JSON values to what :func:`sojourn.events.values.read_instants` says of their texts.

    Only for ways to write an instant that clients do not use, a connection is opened, on first use.

    >>> read = make_instant_reader("UTC", None)
    >>> read(["1970-01-01T00:00:01.500Z", None, 2])[0].tolist()
    [1500000, 0, 2000000]
    """
    connections: list[Any] = []

    def read_others(values: Sequence[Any]) -> Instants:
        if not connections:
            connections.append(connect(timezone=timezone))
        texts = pa.array(list(map(print_value, values)), pa.string())
        stamps, state = read_instants(texts, time_format, connections[0])
        return np.array(stamps), state  # a copy: Arrow's memory may not be written to

    def read(values: Sequence[Any]) -> Instants:
        stamps, state = np.zeros(len(values), np.int64), np.full(len(values), MISSING, np.uint8)
        if values.count(None) == len(values):
            return stamps, state
        if time_format is not None:
            return read_others(values)
        sizes = [len(value) if value.__class__ is str else 0 for value in values]
        found = set(sizes)
        for size in found & _WAYS.keys():
            rows = np.flatnonzero(np.array(sizes) == size)
            some, is_read = _read_way(size, [values[i] for i in rows.tolist()] if len(found) > 1 else values)
            stamps[rows], state[rows] = some, np.where(is_read, GOOD, MISSING)
        if (state == MISSING).any():
            odd = [i for i in np.flatnonzero(state == MISSING).tolist() if values[i] is not None]
            if odd:
                stamps[odd], state[odd] = read_others([values[i] for i in odd])
        return stamps, state

    return read


def _read_way(size: int, texts: Sequence[str]) -> tuple[Integers, Flags]:
    """Microseconds since 1970 of texts that are this long, and which of them are written in the way of this length.

    >>> stamps, is_read = _read_way(20, ["1970-01-01T00:00:01Z", "1970-01-01 00:00:01Z"])
    >>> stamps.tolist(), is_read.tolist()
    ([1000000, 0], [True, False])
    """
    n_plain, least, spread = _WAYS[size]
    letters = np.frombuffer("".join(texts).encode("ascii", "replace"), np.uint8).reshape(-1, size)
    is_read: Flags = np.asarray(((letters - least) <= spread).all(axis=1))  # a letter below the least one wraps around
    stamps = np.zeros(len(texts), np.int64)
    plain = np.ascontiguousarray(letters[is_read, :n_plain]).view(f"S{n_plain}").ravel()
    try:
        stamps[is_read] = plain.astype("datetime64[us]").astype(np.int64)
    except ValueError:  # such as 30 February
        is_read[:] = False
    return stamps, is_read
