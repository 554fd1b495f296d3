"""The state model of what was known up to an instant, and what any fit needs of events: labels, silence boundaries."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sojourn.errors import Problem, SojournError
from sojourn.events import need_events, read_events
from sojourn.fold import (
    Batch,
    Layout,
    Observe,
    build_layout,
    choose_cuts,
    fold_events,
    make_batch,
    read_features,
    slice_events,
    take_events,
)
from sojourn.frames import F8, WEEK_US, Progress, instant_us
from sojourn.playbook import Playbook
from sojourn.states.channels import label_symbols, plan_channels
from sojourn.states.fit import StateFit, fit_states
from sojourn.states.published import Thresholds, tune_thresholds
from sojourn.states.rows import Rows, arrange_rows, draw_customers, restart_rows, take_customers, take_rows

_EPOCH = datetime.fromtimestamp(0, UTC)


def to_instant(at_us: int) -> datetime:
    """Microseconds since 1970 as an instant."""
    return _EPOCH + timedelta(microseconds=at_us)


def has_labels(events: pa.Table) -> bool:
    """Whether any event carries a known state."""
    return bool(events["label"].null_count < events.num_rows)


def read_labels(book: Playbook, events: pa.Table) -> NDArray[np.uint8] | None:
    """Known states as symbols of the label channel; None when no event has one."""
    if not has_labels(events):
        return None
    known = pc.index_in(events["label"], pa.array(book.state_names)).fill_null(-1).to_numpy().astype(np.int64)
    label_p = events["label_p"].to_numpy(zero_copy_only=False).astype(np.float64)
    return label_symbols(known, label_p, len(book.states) + book.model.extra_states)


def set_boundaries(book: Playbook, batch: Batch, at: datetime) -> tuple[float, ...]:
    """The silence boundaries of the playbook, or learned from the gaps between own events."""
    if not book.model.is_silence_learned:
        return book.model.silence_s
    touches = [i for i, name in enumerate(book.class_names) if name in book.touches]
    own = np.flatnonzero(~np.isin(batch.event_class, touches))
    order = own[np.argsort(batch.customer[own], kind="stable")]
    customer, when = batch.customer[order], batch.event_at[order]
    follows = customer[1:] == customer[:-1]
    is_last = np.append(~follows, True)[: len(customer)]
    gaps = np.diff(when)[follows] / 1e6
    return learn_boundaries(gaps, (instant_us(at) - when[is_last]) / 1e6)


@dataclass(frozen=True)
class FitUntil:
    """A fit to what was known at an instant; ``rows`` are all events up to the end, as the model sees them."""

    fit: StateFit
    cuts: tuple[NDArray[np.float64], ...]
    rows: Rows


def fit_until(
    book: Playbook,
    layout: Layout,
    batch: Batch,
    labels: NDArray[np.uint8] | None,
    at: int,
    end: int,
    rng: np.random.Generator,
    *,
    max_events: int | None = None,
    n_threads: int = 1,
) -> FitUntil:
    """The state model and its cuts from what was known at ``at`` and nothing later, in microseconds since 1970.

    ``labels`` of the batch's events, which are those up to ``end``. With ``max_events`` the model is fitted on
    customers drawn at random who have so many together.
    """
    known = slice_events(batch, at)
    values = fold_events(layout, known, observe=Observe(is_raw=True), n_threads=n_threads).values
    assert values is not None
    cuts = choose_cuts(values)
    symbols = fold_events(layout, batch, observe=Observe(cuts), n_threads=n_threads).symbols
    assert symbols is not None
    boundaries = set_boundaries(book, known, to_instant(at))
    rows = arrange_rows(
        book, batch.customer, batch.event_at, batch.event_class, symbols, labels, boundaries, batch.n_customers, end
    )
    data = (rows if at >= end else restart_rows(rows, at)).data
    if max_events is not None:
        data = take_customers(data, draw_customers(np.diff(data.starts), rng, max_events))
    plan = plan_channels(book, cuts, labels is not None)
    return FitUntil(fit_states(book, plan, data, boundaries, rng=rng, n_threads=n_threads), tuple(cuts), rows)


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
    events: Any,
    book: Playbook,
    at: datetime | None,
    max_customers: int,
    rng: np.random.Generator,
    clock: datetime,
    tell: Progress,
    span_us: int = WEEK_US,
) -> Past:
    """The events of at most so many customers up to ``span_us`` after T, ``at`` (by default, the latest T possible).

    Raises SojournError when nothing can be used, when T is before the first event or too late, and for too few people.
    """
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


_MINUTE, _HOUR, _DAY = 60.0, 3_600.0, 86_400.0


CANDIDATES_S = (
    5 * _MINUTE,
    15 * _MINUTE,
    30 * _MINUTE,
    _HOUR,
    2 * _HOUR,
    4 * _HOUR,
    8 * _HOUR,
    12 * _HOUR,
    _DAY,
    2 * _DAY,
    3 * _DAY,
    5 * _DAY,
    7 * _DAY,
    10 * _DAY,
    14 * _DAY,
    21 * _DAY,
    30 * _DAY,
    45 * _DAY,
    60 * _DAY,
    90 * _DAY,
    120 * _DAY,
    180 * _DAY,
    365 * _DAY,
)
"""Round durations that a person can read; learned boundaries are chosen among them."""


def learn_boundaries(gaps_s: F8, censored_s: F8, *, max_boundaries: int = 6) -> tuple[float, ...]:
    """The boundaries (s) that best describe the gaps as a piecewise constant rate of return, at most six.

    ``gaps_s`` are the silences between events, ``censored_s`` those still open at now. The number of
    boundaries minimises the Bayesian information criterion, their places maximise the likelihood of the
    piecewise exponential distribution, exactly, by dynamic programming over :data:`CANDIDATES_S`.

    >>> rng = np.random.default_rng(0)
    >>> gaps = np.where(rng.random(5000) < 0.7, rng.exponential(60, 5000), rng.exponential(3 * 86400, 5000))
    >>> 5 * 60 <= learn_boundaries(gaps, np.empty(0))[0] <= 3600
    True

    Source: Friedman 1982, doi:10.1214/aos/1176345693 (piecewise exponential survival); Schwarz 1978,
    doi:10.1214/aos/1176344136.
    """
    edges = np.array([0.0, *CANDIDATES_S, np.inf])
    ended = np.histogram(gaps_s, edges)[0].astype(np.float64)
    exposure = _exposure(np.concatenate([gaps_s, censored_s]), edges)
    ended_before, exposed_before = np.append(0, ended.cumsum()), np.append(0, exposure.cumsum())
    n_pieces = len(edges) - 1

    def score(a: int, b: int) -> float:
        """Log-likelihood of pieces a … b - 1 sharing one rate."""
        d, e = ended_before[b] - ended_before[a], exposed_before[b] - exposed_before[a]
        return float(d * np.log(d / e) - d) if d > 0 and e > 0 else 0.0

    scores = np.array([[score(a, b) if b > a else -np.inf for b in range(n_pieces + 1)] for a in range(n_pieces)])
    best, back = scores[0].copy(), np.zeros((max_boundaries + 1, n_pieces + 1), np.int64)
    totals = [best[n_pieces]]
    for m in range(1, max_boundaries + 1):
        options = best[:n_pieces, None] + scores
        back[m] = options.argmax(axis=0)
        best = options.max(axis=0)
        totals.append(best[n_pieces])
    n_ended = max(float(ended.sum()), 2.0)
    costs = [-2 * total + (2 * m + 1) * np.log(n_ended) for m, total in enumerate(totals)]
    m = max(int(np.argmin(costs)), 1)
    cuts, at = [], n_pieces
    while m > 0:
        at = int(back[m, at])
        cuts.append(float(edges[at]))
        m -= 1
    return tuple(sorted(cuts))


def _exposure(durations: F8, edges: F8) -> F8:
    """Total time spent in each piece by durations that start at zero."""
    ordered = np.sort(durations)
    sums = np.append(0.0, ordered.cumsum())
    out = np.empty(len(edges) - 1)
    for j, (a, b) in enumerate(itertools.pairwise(edges)):
        i, k = np.searchsorted(ordered, a), np.searchsorted(ordered, b)
        out[j] = (sums[k] - sums[i]) - a * (k - i) + ((b - a) * (len(ordered) - k) if np.isfinite(b) else 0.0)
    return out
