"""Stays: unbroken times of a customer in a published state, as arrays that the rest of transitions counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sojourn.frames import INSTANT, MONDAY_US, WEEK_US, instant_us

Codes = npt.NDArray[np.int32]
Instants = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Stays:
    """Unbroken times in one state, as parallel arrays; instants in microseconds since 1970 (UTC).

    ``customer`` is the row in the customers table, ``state`` and ``to_state`` are positions in ``states``.
    A stay that still lasts has ``to_state`` -1 and ends at ``now``: it is censored there.
    """

    states: tuple[str, ...]
    n_customers: int
    customer: Codes
    state: Codes
    to_state: Codes
    start_us: Instants
    end_us: Instants

    @property
    def dwell_s(self) -> Floats:
        """Seconds in the state, up to ``now`` for stays that still last."""
        return (self.end_us - self.start_us) / 1e6

    @property
    def is_over(self) -> npt.NDArray[np.bool_]:
        """True where the customer has left the state."""
        return self.to_state >= 0

    @property
    def week(self) -> Instants:
        """The week each stay began in, as a number that :func:`week_instants` turns into its Monday."""
        return weeks_of(self.start_us)


def read_stays(transitions: pa.Table, customers: pa.Table, *, states: Sequence[str], now: datetime) -> Stays:
    """All stays: finished ones from ``transitions``, then the present one of each customer."""
    transitions = transitions.filter(pc.is_valid(transitions["from_state"]))
    start = instants_of(transitions["at"]) - np.rint(np.asarray(transitions["dwell_s"].to_numpy()) * 1e6).astype(
        np.int64
    )
    is_here = pc.is_valid(customers["state"]).to_numpy(zero_copy_only=False)
    here = np.flatnonzero(is_here).astype(np.int32)
    present = customers.select(["state", "since_at"]).take(pa.array(here))
    since = instants_of(present["since_at"])
    return Stays(
        states=tuple(states),
        n_customers=customers.num_rows,
        customer=np.concatenate([customer_rows(transitions["customer_id"], customers), here]),
        state=np.concatenate([codes_of(transitions["from_state"], states), codes_of(present["state"], states)]),
        to_state=np.concatenate([codes_of(transitions["to_state"], states), np.full(len(here), -1, dtype=np.int32)]),
        start_us=np.concatenate([start, since]),
        end_us=np.concatenate([instants_of(transitions["at"]), np.maximum(since, instant_us(now))]),
    )


def first_states(transitions: pa.Table, customers: pa.Table, *, states: Sequence[str]) -> tuple[Instants, Codes]:
    """Per customer: the instant of the first event, and the state held from then on (-1: none, no event of theirs)."""
    moves = transitions.filter(pc.is_valid(transitions["from_state"]))
    who = customer_rows(moves["customer_id"], customers)
    first_us = instants_of(customers["first_at"].fill_null(0))  # without an event of their own: no state either
    state = codes_of(customers["state"], states).copy()
    # Latest move first and, within one instant, last row first: the earliest is assigned last and stays.
    back = np.lexsort((-np.arange(len(who)), -instants_of(moves["at"])))
    state[who[back]] = codes_of(moves["from_state"], states)[back]
    return first_us, state


def codes_of(column: Any, names: Sequence[str]) -> Codes:
    """Positions in ``names`` of a text column (plain or dictionary), -1 for null; others are an error."""
    column = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    place = {name: code for code, name in enumerate(names)}
    parts = [np.zeros(0, dtype=np.int32)]
    for chunk in column.chunks:
        words = chunk.dictionary.to_pylist()
        index = pc.fill_null(chunk.indices.cast(pa.int32()), len(words)).to_numpy(zero_copy_only=False)
        used = np.bincount(index, minlength=len(words) + 1)[:-1]
        unknown = [word for word, n in zip(words, used, strict=True) if n and word not in place]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is not one of {', '.join(names)}")
        parts.append(np.array([place.get(word, -1) for word in words] + [-1], dtype=np.int32)[index])
    return np.concatenate(parts)


def customer_rows(ids: Any, customers: pa.Table) -> Codes:
    """The row in ``customers`` of each id; an id that has none is an error."""
    known = customers["customer_id"].combine_chunks()
    ids = ids if isinstance(ids, pa.ChunkedArray) else pa.chunked_array([ids])
    parts = [np.zeros(0, dtype=np.int32)]
    for chunk in ids.chunks:
        is_coded = pa.types.is_dictionary(chunk.type)
        rows = pc.fill_null(pc.index_in(chunk.dictionary if is_coded else chunk, value_set=known), -1)
        row = np.asarray(rows.to_numpy(zero_copy_only=False), dtype=np.int32)
        parts.append(row[chunk.indices.to_numpy()] if is_coded else row)
        if len(parts[-1]) and parts[-1].min() < 0:
            missing = chunk[int(parts[-1].argmin())].as_py()
            raise ValueError(f"customer {missing!r} has moves or events but no row in customers")
    return np.concatenate(parts)


def instants_of(column: Any) -> Instants:
    """Microseconds since 1970 of a column of instants."""
    return np.asarray(column.cast(pa.int64()).to_numpy(), dtype=np.int64)


def weeks_of(instants_us: Instants) -> Instants:
    """Whole weeks since Monday 1969-12-29 00:00 UTC."""
    return np.asarray((instants_us - MONDAY_US) // WEEK_US, dtype=np.int64)


def week_instants(weeks: npt.NDArray[Any]) -> pa.Array:
    """The Mondays 00:00 UTC of weeks counted as in :func:`weeks_of`."""
    return pa.array(np.asarray(weeks, dtype=np.int64) * WEEK_US + MONDAY_US, INSTANT)


def names_at(names: Sequence[str], codes: npt.NDArray[Any]) -> pa.Array:
    """Names at positions; -1 is null."""
    positions = pa.array(codes, pa.int32(), mask=np.asarray(codes) < 0)
    return pa.array(names, pa.string()).take(positions)
