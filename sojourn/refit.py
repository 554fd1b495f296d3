"""What was known up to an instant, and the state model fitted to just that: for refits that are to be compared."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from sojourn.errors import Problem, SojournError
from sojourn.fit_until import fit_until, read_labels, to_instant
from sojourn.fitting import StateFit
from sojourn.fold import (
    Batch,
    Layout,
    build_layout,
    fold_events,
    make_batch,
    read_features,
    slice_events,
    take_events,
)
from sojourn.instants import instant_us
from sojourn.pipeline import Progress
from sojourn.playbook import Playbook
from sojourn.published import Thresholds, tune_thresholds
from sojourn.states import Rows, draw_customers, restart_rows, take_rows
from sojourn.stays import WEEK_US

F8 = npt.NDArray[np.float64]

_TUNE_EVENTS = 40_000


@dataclass(frozen=True)
class Past:
    """Events of the customers looked at, up to a week after T. ``is_known``: did something themselves by T."""

    book: Playbook
    layout: Layout
    batch: Batch
    labels: npt.NDArray[np.uint8] | None
    first_own: npt.NDArray[np.int64]
    at: int
    later: int

    @property
    def is_known(self) -> npt.NDArray[np.bool_]:
        """Who had done something themselves by T."""
        return self.first_own <= self.at


def read_past(
    events: Any, book: Playbook, at: datetime | None, max_customers: int, rng: np.random.Generator, clock: datetime,
    tell: Progress, span_us: int = WEEK_US,
) -> Past:  # fmt: skip
    """The events of at most so many customers up to ``span_us`` after T, ``at`` (by default, the latest T possible).

    Raises SojournError when nothing can be used, when T is before the first event or too late, and for too few people.
    """
    from sojourn.events import need_events, read_events

    log = read_events(events, book, now=None, clock=clock, progress=lambda done, n: tell("read events", done, n))
    need_events(log, book)
    layout, batch = build_layout(book), make_batch(log.events, book)
    labels = read_labels(book, log.events)
    last = int(batch.event_at[-1])
    at_us = last - span_us if at is None else instant_us(at)
    _check_instants(int(batch.event_at[0]), last, at_us, span_us, is_given=at is not None)
    kept, batch = _draw(batch, at_us + span_us, max_customers, rng)
    touches = [i for i, name in enumerate(book.class_names) if name in book.touches]
    own = ~np.isin(batch.event_class, touches)
    first_own = np.full(batch.n_customers, np.iinfo(np.int64).max)
    np.minimum.at(first_own, batch.customer[own], batch.event_at[own])
    past = Past(book, layout, batch, None if labels is None else labels[kept], first_own, at_us, at_us + span_us)
    if past.is_known.sum() < len(book.states):
        n = int(past.is_known.sum())
        what = f"only {n} customers had done anything by {_show(at_us)}: too few to fit {len(book.states)} states"
        raise SojournError(Problem("events", what))
    return past


def _draw(
    batch: Batch, until: int, max_customers: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], Batch]:
    """The events up to an instant of customers drawn from all those seen by then: their rows, and they themselves."""
    seen = np.unique(batch.customer[: np.searchsorted(batch.event_at, until, side="right")])
    chosen = np.zeros(batch.n_customers, bool)
    chosen[rng.permutation(seen)[:max_customers]] = True
    kept = np.flatnonzero(chosen[batch.customer] & (batch.event_at <= until))
    return kept, take_events(batch, kept)


def _show(at_us: int) -> str:
    return f"{to_instant(at_us):%Y-%m-%d %H:%M}"


def _check_instants(first: int, last: int, at: int, span_us: int, *, is_given: bool) -> None:
    """A history before T and a week after it are what the audit compares."""
    where = "--at" if is_given else "events"
    if at <= first:
        what = f"there are no events before T, {_show(at)}; the first one is of {_show(first)}"
        raise SojournError(Problem(where, what))
    if at + span_us > last:
        what = f"T must be a week before the last event or earlier, which is of {_show(last)}; found {_show(at)}"
        raise SojournError(Problem(where, what))


def features_at(past: Past, at: int, threads: int) -> F8:
    """The playbook's features of everybody at an instant, [customers, F], missing as NaN."""
    until = slice_events(past.batch, at)
    return read_features(past.layout, fold_events(past.layout, until, n_threads=threads).vectors, at)


@dataclass(frozen=True)
class StatesFit:
    """A state model fitted to what was known at an instant, and all events up to the later one as it sees them."""

    fit: StateFit
    thresholds: Thresholds
    rows: Rows


def fit_at(past: Past, at: int, rng: np.random.Generator, threads: int) -> StatesFit:
    """The state model, its cuts and its thresholds, from what was known at an instant and nothing later."""
    found = fit_until(past.book, past.layout, past.batch, past.labels, at, past.later, rng, n_threads=threads)
    until = restart_rows(found.rows, at)
    sample = take_rows(until, draw_customers(np.diff(until.starts), rng, _TUNE_EVENTS))
    chosen, _, _ = tune_thresholds(found.fit.model, past.book.stability, sample, threads)
    return StatesFit(found.fit, chosen.thresholds, found.rows)
