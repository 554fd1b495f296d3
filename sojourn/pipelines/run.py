"""The story of one run: events in, states and transitions out, and a report about them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from sojourn.frames.files import copy_beside, open_output, read_history, write_json, write_table
from sojourn.frames.threads import limit_libraries
from sojourn.frames.types import F8, Progress
from sojourn.pages.results import Results
from sojourn.pipelines.describe import describe_run, list_doubts
from sojourn.pipelines.names import read_names
from sojourn.pipelines.run_samples import _keep_lives, _keep_past, _keep_purchases, _Past
from sojourn.pipelines.run_states import _arrange, _calm, _fit, _fold, _infer
from sojourn.pipelines.run_transitions import _analyse, _grow
from sojourn.pipelines.watch import Stages
from sojourn.playbook.load import load_playbook
from sojourn.playbook.objects import Playbook
from sojourn.predict.foresight import Foresight, measure_foresight
from sojourn.states.fit import StateFit
from sojourn.states.model_file import describe_model
from sojourn.states.rows import Rows, take_rows
from sojourn.states.substates import find_names, keep_substates, miss_names

if TYPE_CHECKING:
    from sojourn.events.read import EventLog
    from sojourn.fold.batch import Batch
    from sojourn.fold.layout import Layout


_TOLD_COLUMNS = ["event_id", "event_class", "label", "label_p"]  # what is read of the events once they are numbered


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

    >>> from sojourn.simulation.simulate import simulate
    >>> results = run(simulate(40, days=60, seed=1).events, "shop", n_threads=1)
    >>> results.customers.num_rows, results.run["rows"]["quarantined"]
    (40, 0)
    """
    book = playbook if isinstance(playbook, Playbook) else load_playbook(playbook)
    watch = Stages(progress)
    rng = np.random.default_rng(seed)
    threads = n_threads or os.cpu_count() or 1
    home = Path(out).resolve() if out is not None else Path()  # now: the caller may change directory before asking
    with limit_libraries(), open_output(out, is_run=True) as folder:
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


# -- the stages, in the order in which they run ----------------------------------------------------------


def _read(events: Any, book: Playbook, now: datetime | None, watch: Stages) -> tuple[EventLog, datetime]:
    """The accepted events, and the instant that the run is about: now, or the last event if that is later."""
    from sojourn.events.read import need_events, read_events

    with watch("read events") as report:
        log = need_events(read_events(events, book, now=now, clock=datetime.now(UTC), progress=report), book)
    last: datetime = log.events["event_at"][-1].as_py()
    if now is None:
        return log, last
    return log, max(last, now if now.tzinfo else now.replace(tzinfo=UTC))


def _number(log: EventLog, book: Playbook, watch: Stages) -> tuple[Layout, Batch]:
    """Where each feature lives, and the events as plain arrays with customers numbered."""
    from sojourn.fold.batch import make_batch
    from sojourn.fold.layout import build_layout

    with watch("number customers"):
        return build_layout(book), make_batch(log.events, book)


def _keep_columns(log: EventLog, names: Sequence[str]) -> EventLog:
    """The log with these columns of its events only."""
    return replace(log, events=log.events.select(list(names)).combine_chunks())


def _foresee(
    book: Playbook, fit: StateFit, rows: Rows, past: _Past, layout: Layout, rng: np.random.Generator,
    threads: int, watch: Stages,
) -> tuple[Foresight, ...]:  # fmt: skip
    """What the states add to predicting the playbook's outcomes, on a sample of customers."""
    from sojourn.fold.batch import fold_events, read_features, slice_events

    def features_at(instant: int) -> F8:
        until = slice_events(past.batch, instant)
        return read_features(layout, fold_events(layout, until, n_threads=threads).vectors, instant)

    with watch("measure foresight"):
        by_customer = np.argsort(past.batch.customer, kind="stable")
        event_class = past.batch.event_class[by_customer]
        return measure_foresight(book, fit.model, take_rows(rows, past.chosen), event_class, features_at, rng=rng)


def _write(results: Results, last_seen: pa.Table, folder: Path, watch: Stages) -> None:
    """Everything as files; the history is there already."""
    from sojourn.pages.report import render_report
    from sojourn.pipelines.names import show_names

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
