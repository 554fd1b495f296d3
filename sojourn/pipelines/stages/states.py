"""The stages that fold events, fit the state model and infer states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sojourn.errors import EventsError, Problem
from sojourn.fold import Observe, choose_cuts, fold_events, read_features, take_events
from sojourn.frames import F8, HISTORY, instant_us
from sojourn.pipelines.stages.work import Work
from sojourn.states import (
    RAW,
    Calm,
    Rows,
    StateFit,
    arrange_rows,
    customers_table,
    draw_customers,
    fingerprints_table,
    fit_states,
    has_labels,
    history_batch,
    infer_states,
    last_seen_table,
    measure_calm,
    plan_channels,
    read_labels,
    set_boundaries,
    take_customers,
    take_rows,
    trace_customers,
    transitions_table,
    tune_thresholds,
)

if TYPE_CHECKING:
    from sojourn.events import EventLog
    from sojourn.fold import Batch, Layout


_SAMPLE_EVENTS = 500_000  # the fingerprint's cuts, the model and the thresholds are learned on so many events
_TUNE_EVENTS = 40_000
_N_EXAMPLES = 5


@dataclass(frozen=True)
class Folded:
    """Features as of now, where the fingerprint is cut, and a sample of raw values.

    ``sample`` are customers drawn at random, ``sample_rows`` their events (rows of the events table),
    ``sample_values`` the fingerprint at those.
    """

    features: F8
    cuts: tuple[F8, ...]
    sample: NDArray[np.int64]
    sample_rows: NDArray[np.int64]
    sample_values: F8


def fold(work: Work, layout: Layout, batch: Batch, at: datetime) -> tuple[Folded, NDArray[np.uint8]]:
    """Fold a sample to learn where to cut the fingerprint, then everybody; and what each event looked like."""
    threads = work.n_threads
    with work.watch("fold events") as report:
        sizes = np.bincount(batch.customer, minlength=batch.n_customers)
        sample = draw_customers(sizes, work.rng, _SAMPLE_EVENTS)
        is_drawn = np.zeros(batch.n_customers, bool)
        is_drawn[sample] = True
        rows = np.flatnonzero(is_drawn[batch.customer])
        values = fold_events(layout, take_events(batch, rows), observe=Observe(is_raw=True), n_threads=threads).values
        assert values is not None
        cuts = choose_cuts(values)
        report(1, 3)
        folded = fold_events(layout, batch, observe=Observe(cuts), n_threads=threads)
        report(2, 3)
        assert folded.symbols is not None
        features = read_features(layout, folded.vectors, instant_us(at))
    return Folded(features, cuts, sample, rows, values), folded.symbols


def arrange(
    work: Work, log: EventLog, batch: Batch, symbols: NDArray[np.uint8], at: datetime
) -> tuple[Rows, tuple[float, ...]]:
    """Everybody's rows in order of customer and time, and the silence boundaries that they were made with."""
    book = work.book
    with work.watch("arrange events"):
        boundaries = set_boundaries(book, batch, at)
        rows = arrange_rows(
            book,
            batch.customer,
            batch.event_at,
            batch.event_class,
            symbols,
            read_labels(book, log.events),
            boundaries,
            batch.n_customers,
            instant_us(at),
        )
    return rows, boundaries


def fit(work: Work, log: EventLog, rows: Rows, boundaries: Sequence[float], folded: Folded) -> StateFit:
    """The state model, fitted on the sample."""
    with work.watch("fit states") as report:
        plan = plan_channels(work.book, folded.cuts, has_labels(log.events))
        sample = take_customers(rows.data, folded.sample)
        if not sample.n_events:
            raise EventsError(Problem("events", "all of them are touches: no customer has done anything themselves"))
        return fit_states(work.book, plan, sample, boundaries, rng=work.rng, n_threads=work.n_threads, progress=report)


@dataclass(frozen=True)
class Tuned:
    """The thresholds chosen, all those tried, and what publishing without thresholds would be like."""

    chosen: Calm
    curve: tuple[Calm, ...]
    raw: Calm
    is_within: bool


def tune(work: Work, fit: StateFit, rows: Rows) -> Tuned:
    """Thresholds that keep the flap budget, tuned on a sample of histories."""
    with work.watch("tune thresholds"):
        sample = take_rows(rows, draw_customers(np.diff(rows.starts), work.rng, _TUNE_EVENTS))
        chosen, curve, is_within = tune_thresholds(fit.model, work.book.stability, sample, work.n_threads)
        return Tuned(chosen, curve, measure_calm(fit.model, [RAW], sample)[0], is_within)


@dataclass(frozen=True)
class Modelled:
    """What inference works with: the fitted model, its thresholds, everybody's rows and what was folded."""

    fit: StateFit
    tuned: Tuned
    rows: Rows
    folded: Folded


@dataclass(frozen=True)
class Found:
    """The tables about every customer."""

    customers: pa.Table
    history: pa.Table | None  # None: already written
    transitions: pa.Table
    last_seen: pa.Table
    fingerprints: pa.Table
    examples: tuple[pa.Table, ...]


def infer(work: Work, log: EventLog, names: pa.Array, layout: Layout, modelled: Modelled) -> Found:
    """Every posterior, published state, switch and reason, a chunk of customers at a time."""
    model, rows = modelled.fit.model, modelled.rows
    events = log.events.select(["event_id", "event_class"])
    customers, transitions, history, last_seen = [], [], [], []
    with work.watch("infer states") as report:
        writer = work.draft.open_table("history", HISTORY) if work.draft else None
        for chunk in infer_states(model, modelled.tuned.chosen.thresholds, rows, n_threads=work.n_threads):
            part = history_batch(chunk, rows, events, names, model.states)
            if writer:
                writer.write_table(part)
            else:
                history.append(part)
            transitions.append(transitions_table(chunk, rows, events, names, model.states))
            features = modelled.folded.features[chunk.first : chunk.last]
            customers.append(customers_table(chunk, rows, model, names, layout.feature_names, features))
            last_seen.append(last_seen_table(chunk, rows, model, names))
            report(chunk.hi, len(rows.at))
        if writer:
            writer.close()
        moved = pa.concat_tables(transitions)
        return Found(
            pa.concat_tables(customers),
            pa.concat_tables(history) if history else None,
            moved,
            pa.concat_tables(last_seen),
            _describe_states(modelled),
            _trace_examples(modelled, events, names, moved, work.rng),
        )


def _describe_states(modelled: Modelled) -> pa.Table:
    """What marks each state, from the events of the sampled customers."""
    fit, rows, folded = modelled.fit, modelled.rows, modelled.folded
    sample = take_rows(rows, folded.sample)
    smoothed = np.concatenate([c.smoothed for c in infer_states(fit.model, modelled.tuned.chosen.thresholds, sample)])
    own = sample.own_row
    at = np.searchsorted(folded.sample_rows, sample.order[own])
    return fingerprints_table(fit.model, fit.plan, sample.data, folded.sample_values[at], smoothed[own])


def _trace_examples(
    modelled: Modelled, events: pa.Table, names: pa.Array, moved: pa.Table, rng: np.random.Generator
) -> tuple[pa.Table, ...]:
    """Traces of a few customers who moved, of a length that can be looked at; failing that of the shortest ones."""
    rows, thresholds = modelled.rows, modelled.tuned.chosen.thresholds
    sizes = np.diff(rows.starts)
    n_moves = np.zeros(rows.n_customers, np.int64)
    counts = pc.value_counts(pc.index_in(moved["customer_id"], names))
    n_moves[counts.field(0).to_numpy()] = counts.field(1).to_numpy()
    has_own = np.diff(rows.data.starts) > 0
    pool = np.flatnonzero(has_own & (sizes >= 8) & (sizes <= 300) & (n_moves >= 2))
    if len(pool) < _N_EXAMPLES:
        pool = np.flatnonzero(has_own & (sizes <= max(300, np.sort(sizes[has_own])[:_N_EXAMPLES].max())))
    pool = rng.permutation(pool)[: 40 * _N_EXAMPLES]
    chosen = np.sort(pool[np.argsort(-np.minimum(n_moves[pool], 8), kind="stable")][:_N_EXAMPLES])
    return trace_customers(modelled.fit.model, thresholds, take_rows(rows, chosen), events, names.take(chosen))
