"""Time-correct learning tables: what was known of each customer at an instant, and what happened strictly after it.

Features are those of the fold, replayed to the instant; nothing later is looked at. What the playbook reads from survey
answers, reviews and support (``sentiment``, ``rating``, ``last(...)``) stands beside what it reads from behaviour and
purchases: all of it is events. A number that a customer does not have is NaN (null), which models may learn from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sojourn.errors import EventsError, PlaybookError, Problem, nearest
from sojourn.fold import Batch, Layout, Observe, build_layout, fold_events, make_batch, read_features, slice_events
from sojourn.frames import DAY_US, F8, I8, INSTANT, Bools, instant_us, show_instant
from sojourn.playbook import Outcome, Playbook
from sojourn.states import LABELS, RAW, arrange_rows, infer_states, label_symbols, restart_rows

if TYPE_CHECKING:
    from sojourn.states import StateModel


WINDOWS_DAYS = (7, 28, 90)
HABITS = ("recency_days", "tenure_days", "n_events", *(f"n_events_{days}d" for days in WINDOWS_DAYS))
"""What any analyst would begin with; all of a customer's own events, touches not counted."""


@dataclass(frozen=True, eq=False)
class LearningTable:
    """A row per customer and instant of prediction, and the declaration of what the columns are.

    ``table``: ``customer_id``, ``at``, ``from_at`` and ``until_at`` (the label counts what happened after the first and
    up to the second), ``label`` (bool; the sum for a measure), then ``inputs``.
    """

    table: pa.Table
    inputs: tuple[str, ...]
    outcome: str
    instants: tuple[datetime, ...]
    gap_s: float
    horizon_s: float

    def input_matrix(self, names: Sequence[str] | None = None) -> F8:
        """The inputs, or those named, as float64 [rows, inputs]; NaN is missing."""
        return table_matrix(self.table, self.inputs if names is None else names)


def read_features_at(events: pa.Table, book: Playbook, instants: Sequence[datetime], *, n_threads: int = 1) -> pa.Table:
    """What was known of each customer at each instant: a row per instant and customer with an own event by then.

    Columns: ``customer_id``, ``at``, ``f_<feature>`` for every feature of the playbook (durations in seconds), and the
    habits ``recency_days``, ``tenure_days``, ``n_events``, ``n_events_7d``, ``n_events_28d``, ``n_events_90d`` of the
    customer's own events (touches do not count). NaN is missing. Rows are in order of instant, then of the customer's
    first event. An event at the very instant is known. ``events`` as ``read_events(...).events`` has them. Raises
    EventsError for events that are not in order.

    >>> from datetime import UTC
    >>> from sojourn.events.read import read_events
    >>> from sojourn.playbook.load import load_playbook
    >>> from sojourn.simulation.customers import simulate
    >>> book = load_playbook("shop")
    >>> events = read_events(simulate(20, days=60, seed=1).events, book, now=datetime(2025, 3, 2, tzinfo=UTC)).events
    >>> found = read_features_at(events, book, [datetime(2025, 2, 1, tzinfo=UTC), datetime(2025, 3, 1, tzinfo=UTC)])
    >>> found.column_names[:3], found.column_names[-2:], len(set(found["at"].to_pylist()))
    (['customer_id', 'at', 'f_looking_share'], ['n_events_28d', 'n_events_90d'], 2)
    """
    layout = build_layout(book)
    batch = make_batch(events, layout)
    is_own = own_events(book, batch)
    parts = []
    for at, features in replay_features(layout, batch, [instant_us(i) for i in instants], n_threads=n_threads):
        habits, is_known = count_habits(batch.customer, batch.event_at, is_own, batch.n_customers, at)
        parts.append(_known_table(batch, layout, at, np.hstack([features, habits]), np.flatnonzero(is_known)))
    return pa.concat_tables(parts) if parts else _known_table(batch, layout, 0, np.empty((0, 0)), np.empty(0, int))


def _known_table(batch: Batch, layout: Layout, at: int, values: F8, known: I8) -> pa.Table:
    names = [*(f"f_{name}" for name in layout.feature_names), *HABITS]
    taken = values[known] if len(values) else np.empty((0, len(names)))
    columns = {"customer_id": batch.ids.names().take(pa.array(known)), "at": _instants(at, len(known))}
    return pa.table(columns | {name: pa.array(taken[:, j].copy()) for j, name in enumerate(names)})


def _instants(at: int | I8, n: int) -> pa.Array:
    return pa.array(np.broadcast_to(np.asarray(at, np.int64), n).copy()).cast(INSTANT)


def own_events(book: Playbook, batch: Batch) -> Bools:
    """Which events customers did themselves; the others are touches."""
    touches = [i for i, name in enumerate(book.class_names) if name in book.touches]
    return ~np.isin(batch.event_class, touches)


def replay_features(
    layout: Layout, batch: Batch, instants: Sequence[int], *, n_threads: int = 1
) -> Iterator[tuple[int, F8]]:
    """Each instant, in order of time, and the features [customers, F] as they were then: each event is folded once."""
    vectors, done = layout.new_vectors(batch.n_customers), None
    for at in sorted(set(instants)):
        piece = slice_events(batch, at, done)
        vectors = fold_events(layout, piece, vectors=vectors, n_threads=n_threads, is_in_place=True).vectors
        done = at
        yield at, read_features(layout, vectors, at, n_threads=n_threads)


def count_habits(
    customer: NDArray[np.signedinteger], at: I8, is_own: Bools, n_customers: int, instant: int
) -> tuple[F8, Bools]:
    """The :data:`HABITS` [customers, 6] as of an instant, and who had an own event by then; events in any order.

    >>> who, when, own = np.array([0, 0, 1]), np.array([0, 2, 9]) * DAY_US, np.array([True, True, True])
    >>> habits, is_known = count_habits(who, when, own, 2, 3 * DAY_US)
    >>> habits[0].tolist(), is_known.tolist()
    ([1.0, 3.0, 2.0, 2.0, 2.0, 2.0], [True, False])
    """
    counted = is_own & (at <= instant)
    who, when = customer[counted], at[counted]
    first, last = np.full(n_customers, instant), np.zeros(n_customers, np.int64)
    np.minimum.at(first, who, when)
    np.maximum.at(last, who, when)
    n_all = np.bincount(who, minlength=n_customers)
    counts = [np.bincount(who[when > instant - d * DAY_US], minlength=n_customers) for d in WINDOWS_DAYS]
    ages = ((instant - last) / DAY_US, (instant - first) / DAY_US)
    return np.column_stack([*ages, n_all, *counts]).astype(np.float64), n_all > 0


def tell_outcome(
    outcome: Outcome,
    class_names: Sequence[str],
    customer: NDArray[np.signedinteger],
    at: I8,
    event_class: NDArray[np.signedinteger],
    is_own: Bools,
    n_customers: int,
    after: int,
    until: int,
) -> Bools:
    """Whether each customer did the outcome's event after ``after`` and by ``until``, or was silent all that time."""
    is_in = (at > after) & (at <= until)
    if outcome.event is not None:
        counted = is_in & (event_class == list(class_names).index(outcome.event))
        return np.asarray(np.bincount(customer[counted], minlength=n_customers) > 0)
    return np.asarray(np.bincount(customer[is_in & is_own], minlength=n_customers) == 0)


def horizon_of(outcome: Outcome) -> float:
    """The seconds in which the outcome is looked for: of its silence, else ``within``."""
    horizon = outcome.silence_s if outcome.silence_s is not None else outcome.within_s
    assert horizon is not None, "the playbook's reader demands one of them"
    return horizon


def find_outcome(book: Playbook, name: str) -> Outcome:
    """The outcome of that name. Raises PlaybookError with the nearest match."""
    for outcome in book.outcomes:
        if outcome.name == name:
            return outcome
    known = [outcome.name for outcome in book.outcomes]
    where = str(book.path or book.name)
    raise PlaybookError(Problem(where, f"there is no outcome '{name}' ({', '.join(known)})", nearest(name, known)))


def hash_meaning(book: Playbook, outcome: str) -> str:
    """A hash of all in a playbook that decides what a learning table of the outcome has in it.

    Texts, comments, audiences, segments and features of another name do not change it; what an event, a feature or the
    outcome means does. Raises PlaybookError where there is no such outcome.

    >>> from sojourn.playbook.load import load_playbook, parse_playbook
    >>> book = load_playbook("shop")
    >>> hash_meaning(parse_playbook(book.text + "\\n# one more word\\n"), "churn") == hash_meaning(book, "churn")
    True
    """
    asked = find_outcome(book, outcome)
    programs = {feature.name: feature.program for feature in book.features}
    meaning = {
        "events": build_layout(book).hash,
        "features": {name: [p.codes, p.operands, [str(call) for call in p.calls]] for name, p in programs.items()},
        "touches": sorted(book.touches),
        "outcome": [asked.event, asked.measure, asked.silence_s, asked.within_s],
        "windows_days": WINDOWS_DAYS,
    }
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()


def make_learning_table(
    events: pa.Table,
    book: Playbook,
    outcome: str | Outcome,
    instants: Sequence[datetime],
    *,
    gap_s: float = 0.0,
    horizon_s: float | None = None,
    now: datetime | None = None,
    states: StateModel | None = None,
    n_threads: int = 1,
) -> LearningTable:
    """What was known at each instant, and whether the outcome happened strictly after it, with everything declared.

    The label counts events after ``at + gap_s`` and up to ``at + gap_s + horizon_s`` (default: the horizon of the
    outcome). For an event it says whether it came; for a measure it is the sum; for a silence it says whether no own
    event came, and only customers whose silence is shorter than the horizon are asked, since the others are lost
    already. With ``states``, ``p_<state>`` is the filtered posterior at the instant; to be honest the model must have
    been fitted on events before the instants that it is judged on. Raises EventsError for a window that is not over
    by ``now`` (default: the last event), PlaybookError for an unknown outcome.
    """
    what = find_outcome(book, outcome) if isinstance(outcome, str) else outcome
    horizon = horizon_of(what) if horizon_s is None else horizon_s
    layout = build_layout(book)
    batch = make_batch(events, layout)
    is_own = own_events(book, batch)
    gap_us, horizon_us = round(gap_s * 1e6), round(horizon * 1e6)
    cuts = sorted({instant_us(i) for i in instants})
    _check_windows(batch, cuts, gap_us + horizon_us, now)
    values = _measure_values(events, what)
    posteriors = iter(_posteriors(events, book, batch, layout, states, cuts, n_threads))
    parts = []
    for at, features in replay_features(layout, batch, cuts, n_threads=n_threads):
        habits, is_known = count_habits(batch.customer, batch.event_at, is_own, batch.n_customers, at)
        after, until = at + gap_us, at + gap_us + horizon_us
        if values is not None:
            is_in = (batch.event_at > after) & (batch.event_at <= until)
            label: NDArray[Any] = np.bincount(batch.customer[is_in], values[is_in], batch.n_customers)
        else:
            label = tell_outcome(
                what,
                book.class_names,
                batch.customer,
                batch.event_at,
                batch.event_class,
                is_own,
                batch.n_customers,
                after,
                until,
            )
        if what.silence_s is not None:
            is_known &= habits[:, 0] * DAY_US < horizon_us
        known = np.flatnonzero(is_known)
        table = _known_table(batch, layout, at, np.hstack([features, habits]), known)
        if states is not None:
            posterior = next(posteriors)[known]
            for s, name in enumerate(states.model.states):
                table = table.append_column(f"p_{name}", pa.array(posterior[:, s].copy()))
        for place, (name, column) in enumerate(
            (
                ("from_at", _instants(after, len(known))),
                ("until_at", _instants(until, len(known))),
                ("label", pa.array(label[known])),
            )
        ):
            table = table.add_column(2 + place, name, column)
        parts.append(table)
    whole = pa.concat_tables(parts)
    inputs = tuple(whole.column_names[5:])
    return LearningTable(whole, inputs, what.name, tuple(sorted(instants)), gap_s, horizon)


def _check_windows(batch: Batch, cuts: Sequence[int], length: int, now: datetime | None) -> None:
    if not cuts:
        raise EventsError(Problem("instants", "at least one instant of prediction is needed"))
    last = instant_us(now) if now else int(batch.event_at[-1]) if len(batch) else 0
    if cuts[-1] + length > last:
        what = (
            f"what follows {show_instant(cuts[-1])} is not over: gap and horizon end at "
            f"{show_instant(cuts[-1] + length)}, what is known ends at {show_instant(last)}"
        )
        raise EventsError(Problem("instants", what))


def _measure_values(events: pa.Table, outcome: Outcome) -> F8 | None:
    if outcome.measure is None:
        return None
    column = events[f"m_{outcome.measure}"].fill_null(0.0).to_numpy()
    return np.nan_to_num(np.asarray(column, np.float64))


def _posteriors(
    events: pa.Table,
    book: Playbook,
    batch: Batch,
    layout: Layout,
    states: StateModel | None,
    cuts: Sequence[int],
    n_threads: int,
) -> Iterator[F8]:
    """The filtered posterior [customers, S] at each instant."""
    if states is None:
        return

    model = states.model
    symbols = fold_events(layout, batch, observe=Observe(states.cuts), n_threads=n_threads).symbols
    assert symbols is not None
    labels = None
    if model.channels[-1].name == LABELS:
        known = pc.index_in(events["label"], pa.array(book.state_names)).fill_null(-1).to_numpy().astype(np.int64)
        label_p = events["label_p"].to_numpy(zero_copy_only=False).astype(np.float64)
        labels = label_symbols(known, label_p, len(model.states))
    rows = arrange_rows(
        book,
        batch.customer,
        batch.event_at,
        batch.event_class,
        symbols,
        labels,
        tuple(model.boundaries_s),
        batch.n_customers,
        int(batch.event_at[-1]),
    )
    for at in cuts:
        chunks = infer_states(model, RAW, restart_rows(rows, at), n_threads=n_threads)
        yield np.concatenate([chunk.at_now for chunk in chunks])


def add_posteriors(known: pa.Table, events: pa.Table, book: Playbook, states: StateModel, n_threads: int) -> pa.Table:
    """The rows of :func:`read_features_at` with ``p_<state>``, the filtered posterior at their instants, added."""
    layout = build_layout(book)
    batch = make_batch(events, layout)
    at = known["at"].cast(pa.int64()).to_numpy()
    place = pc.index_in(known["customer_id"], batch.ids.names()).to_numpy()
    cuts = sorted({int(instant) for instant in at})
    found = np.empty((known.num_rows, len(states.model.states)))
    for cut, posterior in zip(cuts, _posteriors(events, book, batch, layout, states, cuts, n_threads), strict=True):
        found[at == cut] = posterior[place[at == cut]]
    for s, name in enumerate(states.model.states):
        known = known.append_column(f"p_{name}", pa.array(found[:, s].copy()))
    return known


def table_matrix(table: pa.Table, names: Sequence[str]) -> F8:
    """Columns of numbers (or yes/no) as float64 [rows, columns]; null becomes NaN."""
    columns = [table[name].cast(pa.float64()).to_numpy(zero_copy_only=False) for name in names]
    return np.column_stack(columns) if columns else np.empty((table.num_rows, 0))
