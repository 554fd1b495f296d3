"""The job `run`: events in, states and transitions out, and a report about them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from sojourn.events import need_events, read_events
from sojourn.fold import build_layout, fold_events, make_batch, read_features, slice_events
from sojourn.frames import F8, Progress, limit_libraries
from sojourn.pages import Results, render_report
from sojourn.pipelines.inputs import read_playbook
from sojourn.pipelines.names import read_names, show_names
from sojourn.pipelines.results import ResultsFolder
from sojourn.pipelines.stages import (
    REPORT,
    Modelled,
    Sample,
    Stages,
    Work,
    analyse,
    arrange,
    choose_stages,
    describe_run,
    draw_sample,
    fit,
    fold,
    grow,
    infer,
    list_stale_files,
    tune,
)
from sojourn.playbook import Playbook
from sojourn.predict import Foresight, measure_foresight
from sojourn.states import describe_model, find_names, keep_substates, miss_names, take_rows

if TYPE_CHECKING:
    from sojourn.events import EventLog
    from sojourn.fold import Batch, Layout

_LATER_COLUMNS = ["event_id", "event_class", "label", "label_p"]  # what is read of the events once they are numbered


def run(
    events: Any,
    playbook: str | Path | Playbook,
    *,
    out: str | Path | None = None,
    now: datetime | None = None,
    seed: int = 0,
    n_threads: int | None = None,
    only: Sequence[str] | None = None,
    skip: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Results:
    """Everything Sojourn finds in the events, and with ``out`` the same as files in that folder.

    ``events``: a path, glob, URL or ``"-"``, a list of those, or any Arrow table. ``playbook``: a file, the
    name of a ready one, or a :class:`~sojourn.playbook.Playbook`. ``now``: the instant up to which silence
    counts; by default that of the last accepted event. The same events, playbook and ``seed`` give the same
    tables, byte for byte. ``only`` and ``skip`` name stages to run or to leave out (``predictive_value, transitions,
    triggers, moments, journeys, paths, channels, values, hybrid, growth, report``); ``states`` are always found. Where
    stages are left out, intervals of later ones may differ a little, since chance is drawn in order. Raises
    :class:`~sojourn.errors.SojournError` for input that cannot be used.

    >>> from sojourn.simulation.customers import simulate
    >>> results = run(simulate(40, days=60, seed=1).events, "shop", n_threads=1, only=["states", "transitions"])
    >>> results.customers.num_rows, results.run["rows"]["quarantined"], "matrix" in results.moves
    (40, 0, True)
    """
    book, stages = read_playbook(playbook), choose_stages(only, skip)
    # Resolved now: the caller may change directory before the history is asked for.
    home = ResultsFolder(Path(out).resolve()) if out is not None else None
    named = read_names(home.path) if home else ()
    threads = n_threads or os.cpu_count() or 1
    written = home.write(is_run=True, stale=list_stale_files(stages)) if home else nullcontext()
    with limit_libraries(), written as draft:
        work = Work(book, seed, np.random.default_rng(seed), threads, Stages(progress), stages, draft)
        log, at = read(work, events, now)
        layout, batch = number(work, log)
        sample, names = draw_sample(work, log, batch), batch.ids.names()
        log = _keep_columns(log, _LATER_COLUMNS)  # the batch has all else; whatever is large goes as soon as it can
        folded, symbols = fold(work, layout, batch, at)
        rows, boundaries = arrange(work, log, batch, symbols, at)
        del batch, symbols
        fitted = keep_substates(fit(work, log, rows, boundaries, folded), named)
        modelled = Modelled(fitted, tune(work, fitted, rows), rows, folded)
        found = infer(work, log, names, layout, modelled)
        foreseen = measure_predictive_value(work, modelled, sample, layout)
        model, tuned = fitted.model, modelled.tuned
        cuts = dict(zip(book.fingerprint, folded.cuts, strict=True))
        del rows, folded, modelled
        log = _keep_columns(log, ["label"])
        tables = analyse(work, found, model.states, sample, at)
        tables |= grow(work, found, model.states, sample, layout, at)
        del sample
        facts = describe_run(work, log, fitted, tuned, foreseen, found.customers.num_rows, at)
        results = Results(
            playbook=book,
            customers=found.customers,
            load_history=lambda: home.read_history() if home else found.history,
            transitions=found.transitions,
            quarantine=log.quarantine,
            fingerprints=found.fingerprints,
            moves=tables,
            examples=found.examples,
            model={**describe_model(fitted, tuned.chosen, tuned.curve, cuts), "names": find_names(model, named)},
            run=facts | {"warnings": [*facts["warnings"], *miss_names(model, named)]},
        )
        write(work, results, found.last_seen)
    return results


def read(work: Work, events: Any, now: datetime | None) -> tuple[EventLog, datetime]:
    """The accepted events, and the instant that the run is about: now, or the last event if that is later."""
    with work.watch("read events") as report:
        log = read_events(events, work.book, now=now, clock=datetime.now(UTC), progress=report)
        log = need_events(log, work.book)
    last: datetime = log.events["event_at"][-1].as_py()
    if now is None:
        return log, last
    return log, max(last, now if now.tzinfo else now.replace(tzinfo=UTC))


def number(work: Work, log: EventLog) -> tuple[Layout, Batch]:
    """Where each feature lives, and the events as plain arrays with customers numbered."""
    with work.watch("number customers"):
        return build_layout(work.book), make_batch(log.events, work.book)


def _keep_columns(log: EventLog, names: Sequence[str]) -> EventLog:
    """The log with these columns of its events only."""
    return replace(log, events=log.events.select(list(names)).combine_chunks())


def measure_predictive_value(work: Work, modelled: Modelled, sample: Sample, layout: Layout) -> tuple[Foresight, ...]:
    """What the states add to predicting the playbook's outcomes, on the customers of the sample."""
    if not work.has("predictive_value"):
        return ()
    batch = sample.batch

    def features_at(instant: int) -> F8:
        vectors = fold_events(layout, slice_events(batch, instant), n_threads=work.n_threads).vectors
        return read_features(layout, vectors, instant)

    with work.watch("measure foresight"):
        event_class = batch.event_class[np.argsort(batch.customer, kind="stable")]
        rows = take_rows(modelled.rows, sample.customers)
        return measure_foresight(work.book, modelled.fit.model, rows, event_class, features_at, rng=work.rng)


def write(work: Work, results: Results, last_seen: pa.Table) -> None:
    """Everything as files; the history is there already."""
    if work.draft is None:
        return
    draft = work.draft
    with work.watch("write results"):
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
            draft.add_table(name, table)
        draft.add_json("model", results.model)
        draft.add_text("playbook.yaml", results.playbook.text)
        for name, path in results.playbook.sentiment_models:
            draft.add_copy(Path(path), name)
        if work.has(REPORT):
            draft.add_text("report.html", render_report(show_names(results)))
    draft.add_json("run", {**results.run, "stages": work.watch.done, "tables": ["history", *tables]})
