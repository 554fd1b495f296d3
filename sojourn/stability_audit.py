"""The stability audit: fit on data to T and to a week later, label everybody by both, and say who changed.

Reads events, so it stands above the pipeline; what it measures is in :mod:`sojourn.stability`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sojourn.errors import EventsError, Problem, SojournError
from sojourn.fitting import StateFit, fit_states
from sojourn.fold import (
    Batch,
    Layout,
    Observe,
    build_layout,
    choose_cuts,
    fold_events,
    make_batch,
    read_features,
    take_events,
)
from sojourn.instants import instant_us
from sojourn.membership import Spells, measure_lasting, show_lasting, spells_of_panel
from sojourn.pipeline import read_labels, set_boundaries
from sojourn.playbook import Playbook, load_playbook
from sojourn.published import Thresholds, tune_thresholds
from sojourn.stability import (
    NONE,
    Judged,
    Labels,
    Reassigned,
    adjusted_rand,
    find_again,
    judge_segment,
    match_labels,
    rename_labels,
    split_reassigned,
)
from sojourn.stability_methods import (
    describe_clusters,
    find_states_again,
    fit_clusters,
    label_states,
    label_states_at,
    published_spells,
)
from sojourn.states import Rows, arrange_rows, draw_customers, plan_channels, restart_rows, take_rows
from sojourn.stays import WEEK_US

F8 = npt.NDArray[np.float64]
Progress = Callable[[str, int, int], None]

METHODS = ("states, published", "states, likeliest", "k-means", "mixture")
"""What is compared: the state the world sees, the likeliest state, and two clusterings with as many clusters."""

N_WEEKS = 27
_TUNE_EVENTS = 40_000
_BOOTSTRAP_STARTS = 3
_NEARLY_ALL = 0.9

SCHEMA = pa.schema(
    [
        ("method", pa.string()),
        ("segment", pa.string()),  # null: all of the method's segments together
        ("about", pa.string()),
        ("n_customers", pa.int64()),
        ("reassigned_share", pa.float64()),
        ("behaviour_share", pa.float64()),
        ("wobble_share", pa.float64()),
        ("both_share", pa.float64()),
        ("undone_share", pa.float64()),
        ("ari", pa.float64()),
        ("ari_same_data", pa.float64()),
        ("found_again", pa.float64()),
        ("half_life_days", pa.float64()),
        ("half_life_low_days", pa.float64()),
        ("half_life_high_days", pa.float64()),
        ("changed_per_week", pa.float64()),
        ("unchanged_share", pa.float64()),
        ("verdict", pa.string()),
        ("says", pa.string()),
    ]
)
"""The table ``stability.parquet``."""


@dataclass(frozen=True)
class Audit:
    """What the audit found. ``table`` is ``stability.parquet``; ``at`` is T, ``later`` a week after it.

    ``n_known`` customers had done something themselves by T; ``n_customers`` were looked at in all.
    """

    playbook: str
    at: datetime
    later: datetime
    n_customers: int
    n_known: int
    table: pa.Table


def audit_stability(
    events: Any,
    playbook: str | Playbook,
    *,
    at: datetime | None = None,
    max_customers: int = 5_000,
    n_rounds: int = 20,
    seed: int = 0,
    n_threads: int | None = None,
    clock: datetime | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Refit with one more week of data: who is reassigned, by which method, and why.

    ``at`` is T, by default a week before the last event. At most ``max_customers`` are looked at, drawn at random;
    ``n_rounds`` bootstrap rounds (0: none). The same arguments give the same table. Raises SojournError when there is
    no history before T or no week after it.

    >>> from sojourn.simulate import simulate
    >>> found = audit_stability(simulate(60, days=60, seed=1).events, "shop", n_rounds=0, n_threads=1)
    >>> found.table.column("method").unique().to_pylist() == list(METHODS)
    True
    """
    book = playbook if isinstance(playbook, Playbook) else load_playbook(playbook)
    tell = progress or (lambda stage, done, n: None)
    rng = np.random.default_rng(seed)
    threads = n_threads or os.cpu_count() or 1
    past = _read_past(events, book, at, max_customers, rng, clock or datetime.now(UTC), tell)
    tell("fit to T", 0, 1)
    old = _fit_at(past, past.at, np.random.default_rng(seed), threads)
    tell("fit to a week later", 0, 1)
    new = _fit_at(past, past.later, np.random.default_rng(seed), threads)
    weeks = [past.at - k * WEEK_US for k in range(N_WEEKS, -1, -1) if past.at - k * WEEK_US >= past.batch.event_at[0]]
    tell("label by states", 0, 1)
    found = _audit_states(past, old, new, weeks, n_rounds, rng)
    features = {t: _features_at(past, t, threads) for t in {*weeks, past.at, past.later}}
    for method in ("k-means", "mixture"):
        tell(f"label by {method}", 0, 1)
        found.append(_audit_clusters(past, method, features, len(old.fit.model.states), weeks, n_rounds, seed, rng))
    rows = [row for one in found for row in _rows_of(one)]
    return Audit(
        book.name, _instant(past.at), _instant(past.later), past.batch.n_customers, int(past.is_known.sum()),
        pa.Table.from_pylist(rows, schema=SCHEMA),
    )  # fmt: skip


def _instant(at_us: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=at_us)


# -- what is known at each instant -----------------------------------------------------------------------


@dataclass(frozen=True)
class _Past:
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
        return self.first_own <= self.at


def _read_past(
    events: Any, book: Playbook, at: datetime | None, max_customers: int, rng: np.random.Generator, clock: datetime,
    tell: Progress,
) -> _Past:  # fmt: skip
    from sojourn.events import read_events

    log = read_events(events, book, now=None, clock=clock, progress=lambda done, n: tell("read events", done, n))
    if not log.events.num_rows:
        where = ", ".join(log.sources) or "events"
        raise EventsError(Problem(where, f"none of the {log.n_read:,} rows read can be used"))
    layout, batch = build_layout(book), make_batch(log.events, book)
    labels = read_labels(book, log)
    last = int(batch.event_at[-1])
    at_us = last - WEEK_US if at is None else instant_us(at)
    _check_instants(int(batch.event_at[0]), last, at_us, is_given=at is not None)
    kept, batch = _draw(batch, at_us + WEEK_US, max_customers, rng)
    touches = [i for i, name in enumerate(book.class_names) if name in book.touches]
    own = ~np.isin(batch.event_class, touches)
    first_own = np.full(batch.n_customers, np.iinfo(np.int64).max)
    np.minimum.at(first_own, batch.customer[own], batch.event_at[own])
    past = _Past(book, layout, batch, None if labels is None else labels[kept], first_own, at_us, at_us + WEEK_US)
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
    return f"{_instant(at_us):%Y-%m-%d %H:%M}"


def _check_instants(first: int, last: int, at: int, *, is_given: bool) -> None:
    """A history before T and a week after it are what the audit compares."""
    where = "--at" if is_given else "events"
    if at <= first:
        what = f"there are no events before T, {_show(at)}; the first one is of {_show(first)}"
        raise SojournError(Problem(where, what))
    if at + WEEK_US > last:
        what = f"T must be a week before the last event or earlier, which is of {_show(last)}; found {_show(at)}"
        raise SojournError(Problem(where, what))


def _until(batch: Batch, at: int) -> Batch:
    """The events up to an instant; all customers keep their numbers."""
    n = int(np.searchsorted(batch.event_at, at, side="right"))
    names = ("customer", "event_at", "event_class", "measures", "properties")
    optional = [name for name in ("channel", "session") if len(getattr(batch, name))]
    return replace(batch, **{name: getattr(batch, name)[:n] for name in (*names, *optional)})


def _features_at(past: _Past, at: int, threads: int) -> F8:
    until = _until(past.batch, at)
    return read_features(past.layout, fold_events(past.layout, until, n_threads=threads).vectors, at)


@dataclass(frozen=True)
class _StatesFit:
    """A state model fitted to what was known at an instant, and all events up to the later one as it sees them."""

    fit: StateFit
    thresholds: Thresholds
    rows: Rows


def _fit_at(past: _Past, at: int, rng: np.random.Generator, threads: int) -> _StatesFit:
    known = _until(past.batch, at)
    values = fold_events(past.layout, known, observe=Observe(is_raw=True), n_threads=threads).values
    assert values is not None
    cuts = choose_cuts(values)
    symbols = fold_events(past.layout, past.batch, observe=Observe(cuts), n_threads=threads).symbols
    assert symbols is not None
    book, batch = past.book, past.batch
    boundaries = set_boundaries(book, known, _instant(at))
    rows = arrange_rows(
        book, batch.customer, batch.event_at, batch.event_class, symbols, past.labels, boundaries,
        batch.n_customers, past.later,
    )  # fmt: skip
    until = restart_rows(rows, at)
    plan = plan_channels(book, cuts, past.labels is not None)
    fit = fit_states(book, plan, until.data, boundaries, rng=rng, n_threads=threads)
    sample = take_rows(until, draw_customers(np.diff(until.starts), rng, _TUNE_EVENTS))
    chosen, _, _ = tune_thresholds(fit.model, book.stability, sample, threads)
    return _StatesFit(fit, chosen.thresholds, rows)


# -- the methods -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Labelled:
    """One method's labels: old model at T, old model later, new model later (matched); memberships by the old model."""

    method: str
    segments: tuple[str, ...]
    about: tuple[str | None, ...]
    then: Labels
    now: Labels
    refit: Labels
    spells: Spells
    found_again: F8 | None


def _audit_states(
    past: _Past, old: _StatesFit, new: _StatesFit, weeks: Sequence[int], n_rounds: int, rng: np.random.Generator
) -> list[_Labelled]:
    """Published and likeliest state. Written states are matched by name, since people know them by it."""
    model, names = old.fit.model, old.fit.model.states
    at_t = restart_rows(old.rows, past.at)
    then, now = label_states(model, old.thresholds, at_t), label_states(model, old.thresholds, old.rows)
    refit = label_states(new.fit.model, new.thresholds, new.rows)
    matched = _match_extras(now.likeliest, refit.likeliest, len(past.book.states), len(names))
    weekly = np.array([w.likeliest for w in label_states_at(model, old.thresholds, old.rows, weeks)])
    spells = (
        published_spells(model, old.thresholds, at_t),
        spells_of_panel(weekly, np.array(weeks), names),
    )
    again = find_states_again(old.fit, old.thresholds, at_t, rng, n_rounds) if n_rounds else None
    about = tuple(s.about for s in past.book.states) + (None,) * (len(names) - len(past.book.states))
    return [
        _Labelled(
            method, names, about,
            getattr(then, kind),
            getattr(now, kind),
            rename_labels(getattr(refit, kind), matched),
            known,
            again,
        )
        for method, kind, known in zip(METHODS[:2], ("published", "likeliest"), spells, strict=True)
    ]  # fmt: skip


def _match_extras(kept: Labels, other: Labels, n_written: int, n_states: int) -> Labels:
    """The permutation of states that keeps written ones and matches discovered ones by whom they hold."""
    matched = np.arange(n_states)
    if n_states > n_written + 1:
        shift = [np.where(x >= n_written, x - n_written, NONE) for x in (kept, other)]
        matched[n_written:] = n_written + match_labels(shift[0], shift[1], n_states - n_written)
    return matched


def _audit_clusters(
    past: _Past, method: str, features: dict[int, F8], n_clusters: int, weeks: Sequence[int], n_rounds: int, seed: int,
    rng: np.random.Generator,
) -> _Labelled:  # fmt: skip
    """A clustering of features at T and a week later, labels matched by whom they hold."""
    known = np.flatnonzero(past.is_known)
    known_later = np.flatnonzero(past.first_own <= past.later)
    n_clusters = min(n_clusters, len(known))
    old = fit_clusters(method, features[past.at][known], n_clusters, seed)
    new = fit_clusters(method, features[past.later][known_later], n_clusters, seed)

    def label(assign: Callable[[F8], Labels], t: int) -> Labels:
        return np.where(past.first_own <= t, assign(features[t]), NONE)

    then, now, refit = label(old, past.at), label(old, past.later), label(new, past.later)
    among = past.is_known
    matched = match_labels(now[among], refit[among], n_clusters)
    again = None
    if n_rounds:
        x = features[past.at][known]

        def refit_labels(drawn: npt.NDArray[np.int64]) -> Labels:
            return fit_clusters(method, x[drawn], n_clusters, seed, _BOOTSTRAP_STARTS)(x)

        again = find_again(then[known], refit_labels, n_clusters, rng, n_rounds)
    segments = tuple(f"cluster {i + 1}" for i in range(n_clusters))
    spells = spells_of_panel(np.array([label(old, t) for t in weeks]), np.array(weeks), segments)
    about = describe_clusters(then[known], features[past.at][known], past.layout.feature_names, n_clusters)
    return _Labelled(
        method, segments, tuple(about), then, now,
        rename_labels(refit, matched), spells, again,
    )  # fmt: skip


# -- the table -------------------------------------------------------------------------------------------


def _rows_of(found: _Labelled) -> list[dict[str, Any]]:
    """A row for the method as a whole (``segment`` null), then one per segment."""
    known = found.then >= 0
    rows = []
    for code in (None, *range(len(found.segments))):
        among = None if code is None else found.then == code
        reassigned = split_reassigned(found.then, found.now, found.refit, among)
        lasting = measure_lasting(found.spells, code)
        again = None if code is None or found.found_again is None else float(found.found_again[code])
        again = None if again is not None and np.isnan(again) else again
        judged = judge_segment(
            lasting.n_ever, reassigned=reassigned, found_again=again, half_life_days=lasting.half_life_days,
            unchanged_share=lasting.unchanged_share, observed_days=found.spells.observed_days,
        )  # fmt: skip
        rows.append(
            {
                "method": found.method,
                "segment": None if code is None else found.segments[code],
                "about": None if code is None else found.about[code],
                "n_customers": reassigned.n,
                **{f"{k}_share": getattr(reassigned, k) for k in ("behaviour", "wobble", "both", "undone")},
                "reassigned_share": reassigned.total,
                "ari": adjusted_rand(found.then[known], found.refit[known]) if code is None else None,
                "ari_same_data": adjusted_rand(found.now[known], found.refit[known]) if code is None else None,
                "found_again": again,
                **show_lasting(lasting),
                "verdict": None if code is None else judged.verdict,
                "says": say_method(found, reassigned) if code is None else judged.says,
            }
        )
    return rows


def say_method(found: _Labelled, r: Reassigned) -> str:
    """One method in a sentence: how many were reassigned, and why; and where nearly all are in one segment, that."""
    text = (
        f"{100 * r.total:.1f} % were reassigned by a refit a week later: {100 * r.behaviour:.1f} % because their "
        f"behaviour changed, {100 * r.wobble:.1f} % because the model did."
    )
    sizes = np.bincount(found.then[found.then >= 0], minlength=len(found.segments))
    most = int(sizes.argmax())
    if sizes[most] >= _NEARLY_ALL * max(r.n, 1):
        text += (
            f" {100 * sizes[most] / max(r.n, 1):.1f} % were in {found.segments[most]} at T: a look once a week sees "
            "little of the others."
        )
    return text


def find_verdicts(audit: Audit, method: str = METHODS[0]) -> dict[str, Judged]:
    """The verdict on each segment of one method."""
    return {
        row["segment"]: Judged(row["verdict"], row["says"])
        for row in audit.table.to_pylist()
        if row["method"] == method and row["segment"] is not None
    }
