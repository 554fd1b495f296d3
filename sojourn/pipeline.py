"""The story of one run: events in, states and transitions out, and a report about them."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sojourn.describe import describe_model, describe_run, list_doubts
from sojourn.errors import EventsError, Problem, SojournError
from sojourn.fit_until import has_labels, read_labels, set_boundaries
from sojourn.fitting import StateFit, fit_states
from sojourn.foresight import Foresight, measure_foresight
from sojourn.frames import HISTORY
from sojourn.instants import instant_us
from sojourn.naming import read_names
from sojourn.output import copy_beside, open_output, open_parquet, read_history, write_json, write_table
from sojourn.playbook import Playbook, load_playbook
from sojourn.published import RAW, Calm, infer_states, measure_calm, tune_thresholds
from sojourn.results import Results
from sojourn.states import (
    Rows,
    arrange_rows,
    draw_customers,
    plan_channels,
    take_customers,
    take_rows,
)
from sojourn.substates import find_names, keep_substates, miss_names
from sojourn.tables import (
    customers_table,
    fingerprints_table,
    history_batch,
    last_seen_table,
    trace_customers,
    transitions_table,
)

if TYPE_CHECKING:
    from sojourn.events import EventLog
    from sojourn.fold import Batch, Layout
    from sojourn.value_purchases import Purchases

Progress = Callable[[str, int, int], None]
F8 = NDArray[np.float64]

_SAMPLE_EVENTS = 500_000  # the fingerprint's cuts, the model and the thresholds are learned on so many events
_TUNE_EVENTS = 40_000
_FORESIGHT_CUSTOMERS = 5_000
_LIVED_EVENTS = 400_000  # journeys, ends and channels are counted over customers with so many events
_N_EXAMPLES = 5
_TOLD_COLUMNS = ["event_id", "event_class", "label", "label_p"]  # what is read of the events once they are numbered
_MOVE_COLUMNS = ["customer_id", "event_at", "event_class", "state"]  # what the analysis of moves reads of the history


def run(
    events: Any,
    playbook: str | Path | Playbook,
    *,
    out: str | Path | None = None,
    now: datetime | None = None,
    seed: int = 0,
    n_threads: int | None = None,
    progress: Progress | None = None,
) -> Results:
    """Everything Sojourn finds in the events, and with ``out`` the same as files in that folder.

    ``events``: a path, glob, URL or ``"-"``, a list of those, or any Arrow table. ``playbook``: a file, the
    name of a ready one, or a :class:`~sojourn.playbook.Playbook`. ``now``: the instant up to which silence
    counts; by default that of the last accepted event. The same events, playbook and ``seed`` give the same
    tables, byte for byte. Raises :class:`~sojourn.errors.SojournError` for input that cannot be used.

    >>> from sojourn.simulate import simulate
    >>> results = run(simulate(40, days=60, seed=1).events, "shop", n_threads=1)
    >>> results.customers.num_rows, results.run["rows"]["quarantined"]
    (40, 0)
    """
    book = playbook if isinstance(playbook, Playbook) else load_playbook(playbook)
    watch = Stages(progress)
    rng = np.random.default_rng(seed)
    threads = n_threads or os.cpu_count() or 1
    home = Path(out).resolve() if out is not None else Path()  # now: the caller may change directory before asking
    with open_output(out, is_run=True) as folder:
        log, at = _read(events, book, now, watch)
        layout, batch = _number(log, book, watch)
        chance, luck = rng.spawn(2)  # of its own for each sample, so that one does not change another
        lived = _keep_lives(book, log, batch, luck)
        bought = _keep_purchases(book, log)
        names, past = batch.ids.names(), _keep_past(book, log, batch, chance)
        log = _keep_columns(log, _TOLD_COLUMNS)  # the batch has all else; whatever is large goes as soon as it can
        folded, symbols = _fold(layout, batch, at, rng, threads, watch)
        rows, boundaries = _arrange(book, log, batch, symbols, at, watch)
        del batch, symbols
        named = read_names(home) if out is not None else ()
        fit = keep_substates(_fit(book, log, rows, boundaries, folded, rng, threads, watch), named)
        calm = _calm(book, fit, rows, rng, threads, watch)
        found = _infer(fit, calm, rows, log, names, layout, folded, rng, folder, threads, watch)
        foreseen = _foresee(book, fit, rows, past, layout, rng, threads, watch)
        cuts = dict(zip(book.fingerprint, folded.cuts, strict=True))
        del rows, folded
        log = _keep_columns(log, ["label"])
        moves = _analyse(book, fit, found, lived, bought, at, rng, folder, watch)
        moves["growth"] = _grow(book, fit, found, past, layout, at, chance, watch)
        del past
        results = Results(
            playbook=book,
            customers=found.customers,
            load_history=lambda: found.history if found.history is not None else read_history(home),
            transitions=found.transitions,
            quarantine=log.quarantine,
            fingerprints=found.fingerprints,
            moves=moves,
            examples=found.examples,
            model={**describe_model(fit, calm.chosen, calm.curve, cuts), "names": find_names(fit.model, named)},
            run=describe_run(
                log, fit, n_customers=found.customers.num_rows, now=at, seed=seed, before=calm.raw,
                after=calm.chosen, foreseen=foreseen, stages=watch.done,
                warnings=[
                    *list_doubts(log, fit, calm.chosen, calm.is_within, book.stability.flaps_per_month),
                    *miss_names(fit.model, named),
                ],
            ),
        )  # fmt: skip
        if folder:
            _write(results, found.last_seen, folder, watch)
    return results


class Stages:
    """Seconds, CPU seconds of all threads and peak memory so far per stage, and progress to whoever asked for it."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress
        self.done: list[dict[str, Any]] = []

    @contextmanager
    def __call__(self, stage: str) -> Iterator[Callable[[int, int], None]]:
        """Time one stage; yields a function that reports how far it is."""

        def report(n_done: int, n_all: int) -> None:
            if self.progress:
                self.progress(stage, n_done, n_all)

        start, cpu_start = perf_counter(), process_time()
        report(0, 1)
        yield report
        report(1, 1)
        peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.done.append(
            {
                "stage": stage,
                "seconds": round(perf_counter() - start, 3),
                "cpu_s": round(process_time() - cpu_start, 3),
                "peak_mb": round(peak_kb / 1024, 1),
            }
        )


# -- the stages, in the order in which they run ----------------------------------------------------------


def _read(events: Any, book: Playbook, now: datetime | None, watch: Stages) -> tuple[EventLog, datetime]:
    """The accepted events, and the instant that the run is about: now, or the last event if that is later."""
    from sojourn.events import need_events, read_events

    with watch("read events") as report:
        log = need_events(read_events(events, book, now=now, clock=datetime.now(UTC), progress=report), book)
    last: datetime = log.events["event_at"][-1].as_py()
    if now is None:
        return log, last
    return log, max(last, now if now.tzinfo else now.replace(tzinfo=UTC))


def _number(log: EventLog, book: Playbook, watch: Stages) -> tuple[Layout, Batch]:
    """Where each feature lives, and the events as plain arrays with customers numbered."""
    from sojourn.fold import build_layout, make_batch

    with watch("number customers"):
        return build_layout(book), make_batch(log.events, book)


def _keep_columns(log: EventLog, names: Sequence[str]) -> EventLog:
    """The log with these columns of its events only."""
    return replace(log, events=log.events.select(list(names)).combine_chunks())


@dataclass(frozen=True)
class _Folded:
    """Features as of now, where the fingerprint is cut, and a sample of raw values.

    ``sample`` are customers drawn at random, ``sample_rows`` their events (rows of the events table),
    ``sample_values`` the fingerprint at those.
    """

    features: F8
    cuts: tuple[F8, ...]
    sample: NDArray[np.int64]
    sample_rows: NDArray[np.int64]
    sample_values: F8


def _fold(
    layout: Layout, batch: Batch, at: datetime, rng: np.random.Generator, threads: int, watch: Stages
) -> tuple[_Folded, NDArray[np.uint8]]:
    """Fold a sample to learn where to cut the fingerprint, then everybody; and what each event looked like."""
    from sojourn.fold import Observe, choose_cuts, fold_events, read_features, take_events

    with watch("fold events") as report:
        sizes = np.bincount(batch.customer, minlength=batch.n_customers)
        sample = draw_customers(sizes, rng, _SAMPLE_EVENTS)
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
    return _Folded(features, cuts, sample, rows, values), folded.symbols


def _arrange(
    book: Playbook, log: EventLog, batch: Batch, symbols: NDArray[np.uint8], at: datetime, watch: Stages
) -> tuple[Rows, tuple[float, ...]]:
    """Everybody's rows in order of customer and time, and the silence boundaries that they were made with."""
    with watch("arrange events"):
        boundaries = set_boundaries(book, batch, at)
        rows = arrange_rows(
            book, batch.customer, batch.event_at, batch.event_class, symbols, read_labels(book, log.events), boundaries,
            batch.n_customers, instant_us(at),
        )  # fmt: skip
    return rows, boundaries


def _fit(
    book: Playbook, log: EventLog, rows: Rows, boundaries: Sequence[float], folded: _Folded,
    rng: np.random.Generator, threads: int, watch: Stages,
) -> StateFit:  # fmt: skip
    """The state model, fitted on the sample."""
    with watch("fit states") as report:
        plan = plan_channels(book, folded.cuts, has_labels(log.events))
        sample = take_customers(rows.data, folded.sample)
        if not sample.n_events:
            raise EventsError(Problem("events", "all of them are touches: no customer has done anything themselves"))
        return fit_states(book, plan, sample, boundaries, rng=rng, n_threads=threads, progress=report)


@dataclass(frozen=True)
class _Calm:
    """The thresholds chosen, all those tried, and what publishing without thresholds would be like."""

    chosen: Calm
    curve: tuple[Calm, ...]
    raw: Calm
    is_within: bool


def _calm(book: Playbook, fit: StateFit, rows: Rows, rng: np.random.Generator, threads: int, watch: Stages) -> _Calm:
    """Thresholds that keep the flap budget, tuned on a sample of histories."""
    with watch("tune thresholds"):
        sample = take_rows(rows, draw_customers(np.diff(rows.starts), rng, _TUNE_EVENTS))
        chosen, curve, is_within = tune_thresholds(fit.model, book.stability, sample, threads)
        return _Calm(chosen, curve, measure_calm(fit.model, [RAW], sample)[0], is_within)


@dataclass(frozen=True)
class _Past:
    """The events of customers drawn at random, for :func:`_foresee` and :func:`_grow`: who they are, their batch and
    what they bought (or why that is not known), numbered alike."""

    chosen: NDArray[np.int64]
    batch: Batch
    bought: Purchases | str


def _keep_past(book: Playbook, log: EventLog, batch: Batch, rng: np.random.Generator) -> _Past:
    from sojourn.fold import take_events
    from sojourn.value_purchases import choose_purchases, find_purchases

    chosen = np.sort(rng.permutation(batch.n_customers)[:_FORESIGHT_CUSTOMERS])
    place = np.full(batch.n_customers, -1, np.int32)
    place[chosen] = np.arange(len(chosen))
    theirs = np.flatnonzero(place[batch.customer] >= 0)
    taken = replace(take_events(batch, theirs), customer=place[batch.customer[theirs]], n_customers=len(chosen))
    try:
        classes, measure = choose_purchases(book)
        columns = ["customer_id", "event_at", "event_class", *([f"m_{measure}"] if measure else [])]
        bought: Purchases | str = find_purchases(log.events.select(columns).take(pa.array(theirs)), classes, measure)
    except SojournError as error:
        bought = error.problems[0].what
    return _Past(chosen, taken, bought)


@dataclass(frozen=True)
class _Lives:
    """Customers drawn at random, what is kept of each of their events, by customer and time, and chance for later."""

    chosen: NDArray[np.int64]
    kept: pa.Table  # channel, and the measures that outcomes add up
    rng: np.random.Generator


def _keep_lives(book: Playbook, log: EventLog, batch: Batch, rng: np.random.Generator) -> _Lives:
    chosen = draw_customers(np.bincount(batch.customer, minlength=batch.n_customers), rng, _LIVED_EVENTS)
    is_drawn = np.zeros(batch.n_customers, bool)
    is_drawn[chosen] = True
    theirs = np.flatnonzero(is_drawn[batch.customer])
    theirs = theirs[np.argsort(batch.customer[theirs], kind="stable")]
    names = ["channel", *dict.fromkeys(f"m_{outcome.measure}" for outcome in book.outcomes if outcome.measure)]
    return _Lives(chosen, log.events.select(names).take(pa.array(theirs)).combine_chunks(), rng)


def _keep_purchases(book: Playbook, log: EventLog) -> Purchases | None:
    """Who bought when and for how much, which life cycle and value are read from."""
    from sojourn.segment_grid import read_purchases

    return read_purchases(log.events, book)


def _foresee(
    book: Playbook, fit: StateFit, rows: Rows, past: _Past, layout: Layout, rng: np.random.Generator,
    threads: int, watch: Stages,
) -> tuple[Foresight, ...]:  # fmt: skip
    """What the states add to predicting the playbook's outcomes, on a sample of customers."""
    from sojourn.fold import fold_events, read_features, slice_events

    def features_at(instant: int) -> F8:
        until = slice_events(past.batch, instant)
        return read_features(layout, fold_events(layout, until, n_threads=threads).vectors, instant)

    with watch("measure foresight"):
        by_customer = np.argsort(past.batch.customer, kind="stable")
        event_class = past.batch.event_class[by_customer]
        return measure_foresight(book, fit.model, take_rows(rows, past.chosen), event_class, features_at, rng=rng)


@dataclass(frozen=True)
class _Found:
    """The tables about every customer."""

    customers: pa.Table
    history: pa.Table | None  # None: already written
    transitions: pa.Table
    last_seen: pa.Table
    fingerprints: pa.Table
    examples: tuple[pa.Table, ...]


def _infer(
    fit: StateFit, calm: _Calm, rows: Rows, log: EventLog, names: pa.Array, layout: Layout, folded: _Folded,
    rng: np.random.Generator, folder: Path | None, threads: int, watch: Stages,
) -> _Found:  # fmt: skip
    """Every posterior, published state, switch and reason, a chunk of customers at a time."""
    model, events = fit.model, log.events.select(["event_id", "event_class"])
    customers, transitions, history, last_seen = [], [], [], []
    with watch("infer states") as report:
        writer = open_parquet(folder / "history.parquet", HISTORY) if folder else None
        for chunk in infer_states(model, calm.chosen.thresholds, rows, n_threads=threads):
            part = history_batch(chunk, rows, events, names, model.states)
            if writer:
                writer.write_table(part)
            else:
                history.append(part)
            transitions.append(transitions_table(chunk, rows, events, names, model.states))
            features = folded.features[chunk.first : chunk.last]
            customers.append(customers_table(chunk, rows, model, names, layout.feature_names, features))
            last_seen.append(last_seen_table(chunk, rows, model, names))
            report(chunk.hi, len(rows.at))
        if writer:
            writer.close()
        moved = pa.concat_tables(transitions)
        return _Found(
            pa.concat_tables(customers),
            pa.concat_tables(history) if history else None,
            moved,
            pa.concat_tables(last_seen),
            _describe_states(fit, calm, rows, folded),
            _trace_examples(fit, calm, rows, events, names, moved, rng),
        )


def _describe_states(fit: StateFit, calm: _Calm, rows: Rows, folded: _Folded) -> pa.Table:
    """What marks each state, from the events of the sampled customers."""
    sample = take_rows(rows, folded.sample)
    smoothed = np.concatenate([c.smoothed for c in infer_states(fit.model, calm.chosen.thresholds, sample)])
    own = sample.own_row
    at = np.searchsorted(folded.sample_rows, sample.order[own])
    return fingerprints_table(fit.model, fit.plan, sample.data, folded.sample_values[at], smoothed[own])


def _trace_examples(
    fit: StateFit, calm: _Calm, rows: Rows, events: pa.Table, names: pa.Array, moved: pa.Table,
    rng: np.random.Generator,
) -> tuple[pa.Table, ...]:  # fmt: skip
    """Traces of a few customers who moved, of a length that can be looked at; failing that of the shortest ones."""
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
    return trace_customers(fit.model, calm.chosen.thresholds, take_rows(rows, chosen), events, names.take(chosen))


def _analyse(
    book: Playbook, fit: StateFit, found: _Found, lived: _Lives, bought: Purchases | None, at: datetime,
    rng: np.random.Generator, folder: Path | None, watch: Stages,
) -> dict[str, pa.Table]:  # fmt: skip
    """How customers move: counts, flows, dwell, velocity, what sets moves off, journeys, and where people are."""
    from sojourn.segment_grid import cross_segments
    from sojourn.transitions import analyse_moves
    from sojourn.triggers import find_triggers

    trigger_rng, cross_rng = rng.spawn(2)
    with watch("analyse transitions"):
        history = read_history(folder, _MOVE_COLUMNS) if folder else found.history
        moves = analyse_moves(
            found.transitions, found.customers, history, states=fit.model.states, touches=book.touches, now=at, rng=rng,
            targets=book.targets,
        )  # fmt: skip
    with watch("find triggers"):
        triggers = find_triggers(
            found.transitions, found.customers, history, states=fit.model.states, touches=book.touches, now=at,
            rng=trigger_rng,
        )  # fmt: skip
    with watch("trace journeys"):
        lives = _take_lives(found.customers, history, lived)
        del history
        traced = _trace(book, fit, found, lives, at, lived.rng)
    with watch("cross segments"):
        hybrid = cross_segments(bought, found.customers.select(["customer_id", "state"]), book, at, rng=cross_rng)
    return moves | {"triggers": triggers} | traced | {"hybrid": hybrid}


def _take_lives(customers: pa.Table, history: pa.Table, lived: _Lives) -> pa.Table:
    """The history of the customers drawn, with channels. Both are by customer and time, so that rows fit together."""
    n = customers["n_events"].to_numpy()
    starts = np.cumsum(n) - n
    parts = [history.slice(int(starts[who]), int(n[who])) for who in lived.chosen]
    lives = pa.concat_tables(parts).select(_MOVE_COLUMNS).unify_dictionaries().combine_chunks()
    for name in lived.kept.column_names:
        lives = lives.append_column(name, lived.kept[name])
    return lives


def _trace(
    book: Playbook, fit: StateFit, found: _Found, lives: pa.Table, at: datetime, rng: np.random.Generator
) -> dict[str, pa.Table]:
    """Moments, journeys before outcomes, paths through the states, where customers are found, what moves are worth."""
    from sojourn.channels import find_channels
    from sojourn.fold.completions import find_completions
    from sojourn.journey_outcomes import find_journeys
    from sojourn.moments import measure_moments, read_streams
    from sojourn.move_values import value_moves
    from sojourn.paths import choose_silence, find_paths

    states, touches, moments_rng = fit.model.states, book.touches, rng.spawn(1)[0]
    known = read_streams(lives, touches)
    completions = find_completions(book, known.customer, known.at, known.names, known.item)
    return {
        "moments": measure_moments(
            known, completions, book.moments, book.outcomes, now=at, rng=moments_rng
        ),
        "journeys": find_journeys(lives, book.outcomes, touches=touches, now=at, rng=rng),
        "paths": find_paths(
            found.transitions, found.customers, lives, states=states, touches=touches,
            gone_s=choose_silence(book.outcomes), now=at,
        ),
        "channels": find_channels(lives, book.states, states=states, touches=touches),
        "values": value_moves(
            found.transitions, found.customers, lives, book.outcomes, states=states, touches=touches, now=at, rng=rng
        ),
    }  # fmt: skip


def _grow(
    book: Playbook, fit: StateFit, found: _Found, past: _Past, layout: Layout, at: datetime, rng: np.random.Generator,
    watch: Stages,
) -> pa.Table:  # fmt: skip
    """How what customers are expected to spend grows with each move, on a sample of customers."""
    from sojourn.learning import own_events
    from sojourn.stays import read_stays
    from sojourn.value_growth import grow_values
    from sojourn.value_rows import Behaviour

    with watch("grow values"):
        customers = found.customers.take(pa.array(past.chosen)).select(["customer_id", "state", "since_at"])
        ids = customers["customer_id"].combine_chunks()
        moved = found.transitions.filter(pc.is_in(found.transitions["customer_id"], ids))
        stays = read_stays(moved, customers, states=fit.model.states, now=at)
        behaviour = Behaviour(layout, past.batch, own_events(book, past.batch), ids)
        return grow_values(behaviour, past.bought, stays, instant_us(at), rng=rng)


def _write(results: Results, last_seen: pa.Table, folder: Path, watch: Stages) -> None:
    """Everything as files; the history is there already."""
    from sojourn.naming import show_names
    from sojourn.report import render_report

    with watch("write results"):
        tables = {
            "customers": results.customers,
            "transitions": results.transitions,
            "quarantine": results.quarantine,
            "fingerprints": results.fingerprints,
            "last_seen": last_seen,
            **results.moves,
            **{f"example_{i + 1}": trace for i, trace in enumerate(results.examples)},
        }
        for name, table in tables.items():
            write_table(table, folder / f"{name}.parquet")
        write_json(results.model, folder / "model.json")
        (folder / "playbook.yaml").write_text(results.playbook.text, encoding="utf-8")
        for name, path in results.playbook.sentiment_models:
            copy_beside(Path(path), name, folder)
        (folder / "report.html").write_text(render_report(show_names(results)), encoding="utf-8")
    names = ["history", *tables]
    write_json({**results.run, "stages": watch.done, "tables": names}, folder / "run.json")
