"""Events as the arrays that the compiled loop folds, and the fold over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sojourn.errors import EventsError, Problem
from sojourn.fold import kernels
from sojourn.fold.ids import IdTable, hash_strings, number_codes
from sojourn.fold.layout import Layout, build_layout
from sojourn.playbook import Playbook

AHEAD = 8
"""Events before its turn that the memory of an event is asked for."""
_SESSION_BITS = np.uint64((1 << 53) - 1)


@dataclass(frozen=True, eq=False)
class Batch:
    """Events in ``(event_at, seq)`` order, n of them, names replaced by positions in the layout's lists.

    Columns marked (*) are empty when no feature reads them.
    """

    customer: NDArray[np.int32]  # row in the id table
    event_at: NDArray[np.int64]  # microseconds since 1970, UTC
    event_class: NDArray[np.int16]
    measures: NDArray[np.float64]  # shape (n, measures that features read); NaN: none
    channel: NDArray[np.int32]  # position in the layout's channels, their number for another, -1 for none (*)
    properties: NDArray[np.uint64]  # shape (n, properties that features read); hashes, 0: none
    session: NDArray[np.uint64]  # hash below 2^53, 0: none (*)
    ids: IdTable
    n_customers: int

    def __len__(self) -> int:
        return len(self.customer)


@dataclass(frozen=True, eq=False)
class Observe:
    """What to observe at each event, right after it.

    With ``cuts``, one array per fingerprint feature, ``Folded.symbols`` is made; without, or with ``is_raw``,
    ``Folded.values``, of every event whose number is a multiple of ``every``.
    """

    cuts: Sequence[NDArray[np.float64]] | None = None
    is_raw: bool = False
    every: int = 1

    @property
    def has_values(self) -> bool:
        """Whether raw values are observed."""
        return self.is_raw or self.cuts is None


@dataclass(frozen=True, eq=False)
class Folded:
    """Vectors after all events, shape (customers, slots), and what was observed.

    ``symbols``, shape (n, F + I): per fingerprint feature the number of cuts at or below its value (255: missing),
    per indicator 0 or 1. ``values``, shape (n / every rounded up, F): the fingerprint's features. ``completions``, of a
    live layout only: rows of event and moment (a position in the layout's), in this order.
    """

    vectors: NDArray[np.float64]
    symbols: NDArray[np.uint8] | None
    values: NDArray[np.float64] | None
    completions: NDArray[np.int64] | None = None


def order_events(events: pa.Table) -> pa.Table:
    """The events in ``(event_at, seq)`` order; the same table when they are in it already.

    >>> table = pa.table({"event_at": [5, 5, 1], "seq": [2, 1, 3]})
    >>> order_events(table)["seq"].to_pylist()
    [3, 1, 2]
    """
    if _first_unordered(events) is None:
        return events
    return events.sort_by([("event_at", "ascending"), ("seq", "ascending")])


def _first_unordered(events: pa.Table) -> int | None:
    at, seq = events["event_at"].cast(pa.int64()), events["seq"].cast(pa.int64())
    where = kernels.find_unordered(_numbers(at, np.int64), _numbers(seq, np.int64))
    return None if where < 0 else int(where)


def make_batch(events: pa.Table, playbook: Playbook | Layout, ids: IdTable | None = None) -> Batch:
    """The batch of an events table (see :func:`sojourn.frames.schemas.events_schema`); ids new to ``ids`` get the
    next rows.

    Raises EventsError when events are not in ``(event_at, seq)`` order (see :func:`order_events`), when a customer,
    instant or event class is missing or unknown, and for measures that are not finite.
    """
    layout = playbook if isinstance(playbook, Layout) else build_layout(playbook)
    table = ids if ids is not None else IdTable()
    for name in ("customer_id", "event_at", "event_class"):
        if events[name].null_count:
            raise EventsError(f"{events[name].null_count:,} events have no {name}")
    unordered = _first_unordered(events)
    if unordered is not None:
        raise EventsError(
            Problem(f"event {unordered + 1}", "events must be in the order of (event_at, seq), each once")
        )
    instants = events["event_at"]
    if pa.types.is_timestamp(instants.type):
        instants = instants.cast(pa.timestamp("us", tz=instants.type.tz))
    n = events.num_rows
    customer = table.add(events["customer_id"])
    return Batch(
        customer=customer,
        event_at=_numbers(instants.cast(pa.int64()), np.int64),
        event_class=_code_classes(events["event_class"], layout.class_names),
        measures=_read_measures(events, layout.measures),
        channel=_code_channels(events["channel"], layout.channels) if layout.channels else np.empty(0, np.int32),
        properties=_stack([hash_strings(events[f"p_{name}"]) for name in layout.properties], n, np.uint64),
        session=hash_sessions(events["session"]) if layout.has_sessions else np.empty(0, np.uint64),
        ids=table,
        n_customers=len(table),
    )


def take_events(batch: Batch, rows: NDArray[np.int64]) -> Batch:
    """The events number ``rows`` (rising) of a batch, their customers numbered anew in the order of appearance."""
    codes, order = number_codes(batch.customer[rows], batch.n_customers)
    ids = IdTable()
    ids.add(batch.ids.names().take(pa.array(order)))
    return Batch(
        customer=codes,
        event_at=batch.event_at[rows],
        event_class=batch.event_class[rows],
        measures=batch.measures[rows],
        channel=batch.channel[rows] if len(batch.channel) else batch.channel,
        properties=batch.properties[rows],
        session=batch.session[rows] if len(batch.session) else batch.session,
        ids=ids,
        n_customers=len(ids),
    )


def slice_events(batch: Batch, until: int, after: int | None = None) -> Batch:
    """The events up to an instant, and with ``after`` only later ones; all customers keep their numbers."""
    cut = np.searchsorted(batch.event_at, [until] if after is None else [after, until], side="right").tolist()
    part = slice(0 if after is None else cut[0], cut[-1])
    names = ("customer", "event_at", "event_class", "measures", "channel", "properties", "session")
    return replace(batch, **{name: getattr(batch, name)[part] for name in names})  # those not kept stay empty


def fold_events(
    layout: Layout,
    batch: Batch,
    *,
    vectors: NDArray[np.float64] | None = None,
    observe: Observe | None = None,
    n_threads: int = 1,
    is_in_place: bool = False,
    n_ahead: int = AHEAD,
) -> Folded:
    """The vectors after the batch's events, and what ``observe`` asks for; the same for any number of threads.

    ``vectors`` is where to go on from (customers that it lacks start afresh); it is copied, unless
    ``is_in_place`` and it has a row for every customer. Raises EventsError for an event that is older than the last
    one in its customer's vector, before anything is changed: such a customer needs a refold of all events.
    """
    work = _prepare_vectors(layout, batch, vectors, is_in_place)
    watch = observe or Observe()
    has_values, has_symbols = observe is not None and watch.has_values, watch.cuts is not None
    n_features, n_symbols = len(layout.fingerprint), len(layout.observed)
    cuts = watch.cuts if watch.cuts is not None else [np.empty(0)] * n_features
    if len(cuts) != n_features:
        raise ValueError(f"{len(cuts)} arrays of cuts for {n_features} features of the fingerprint")
    symbols = np.empty((len(batch) if has_symbols else 0, n_symbols), np.uint8)
    values = np.empty((-(-len(batch) // watch.every) if has_values else 0, n_features), np.float64)
    marks = new_marks(layout, len(batch))
    tables = (
        *tabulate_ops(layout, is_observed=has_symbols),
        marks,
        *tabulate_observed(layout, cuts, watch.every),
        symbols,
        values,
    )
    events = (
        batch.customer,
        batch.event_at,
        batch.event_class,
        batch.measures,
        batch.channel,
        batch.properties,
        batch.session,
    )

    def run(part: int) -> None:
        kernels.fold(part, n_threads, n_ahead, *events, work.reshape(-1), layout.n_slots, *tables)

    run_in_threads(run, n_threads)
    return Folded(
        work,
        symbols if has_symbols else None,
        values if has_values else None,
        read_marks(layout, marks) if layout.moments else None,
    )


def tabulate_ops(layout: Layout, *, is_observed: bool) -> tuple[Any, ...]:
    """What events do, as the compiled loop takes it."""
    lines, rows = _lines(layout, is_observed=is_observed), layout.moment_rows
    return (
        rows.op_starts,
        rows.op_ints,
        rows.op_floats,
        _starts(lines),
        _join(lines, np.int64),
        rows.starts,
        rows.rows,
        rows.live_slot,
        rows.goes_on,
        rows.begins,
        rows.live_starts,
        rows.live_rows,
    )


def tabulate_observed(layout: Layout, cuts: Sequence[NDArray[np.float64]], every: int) -> tuple[Any, ...]:
    """What is observed at events, as the compiled loop takes it."""
    observed = layout.observed
    return (
        layout.read_ints,
        layout.read_floats,
        observed.calls,
        observed.starts,
        observed.codes,
        observed.operands,
        len(layout.fingerprint),
        _starts(cuts),
        _join(cuts, np.float64),
        every,
    )


def new_marks(layout: Layout, n_events: int) -> NDArray[np.uint64]:
    """Bits in which the loop notes what each event completes, a row per event."""
    n_words = -(-len(layout.moments) // 64)
    return np.zeros((n_events if n_words else 0, n_words), np.uint64)


def read_marks(layout: Layout, marks: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The rows (event, moment) of these bits, in this order. Moments that mean the same share a bit."""
    found = np.empty((kernels.list_marks(marks, np.empty((0, 2), np.int64)), 2), np.int64)
    kernels.list_marks(marks, found)
    if not layout.moment_twins:
        return found
    parts = [found]
    for i, same in layout.moment_twins:
        again = found[found[:, 1] == same]
        again[:, 1] = i
        parts.append(again)
    found = np.concatenate(parts)
    return found[np.lexsort((found[:, 1], found[:, 0]))]


def read_features(
    layout: Layout, vectors: NDArray[np.float64], now_us: int | NDArray[np.int64], *, n_threads: int = 1
) -> NDArray[np.float64]:
    """The features of each vector at ``now_us`` (one instant, or one per row), shape (customers, features).

    Durations in seconds, missing as NaN. Raises ValueError for an instant before a vector's last event.
    """
    now = np.ascontiguousarray(np.broadcast_to(np.asarray(now_us, dtype=np.int64), len(vectors)))
    if np.any(now < vectors[:, 0]):
        raise ValueError("features can be read only at or after a customer's last event")
    rows = np.ascontiguousarray(vectors, dtype=np.float64).reshape(-1)
    out = np.empty((len(vectors), len(layout.features)), np.float64)
    # For one customer, what is read within a request, the arithmetic around the loop would cost more than the loop.
    ends = np.linspace(0, len(vectors), n_threads + 1).astype(np.int64).tolist() if n_threads > 1 else [0, len(vectors)]

    def run(part: int) -> None:
        kernels.read_rows(
            rows,
            layout.n_slots,
            ends[part],
            ends[part + 1],
            now,
            layout.read_ints,
            layout.read_floats,
            layout.features.calls,
            layout.features.starts,
            layout.features.codes,
            layout.features.operands,
            out,
        )

    run_in_threads(run, n_threads)
    return out


def run_in_threads(run: Callable[[int], None], n_threads: int) -> None:
    """Call ``run(part)`` for each part below ``n_threads``, at the same time, and wait; the first error is raised."""
    if n_threads < 1:
        raise ValueError("at least one thread is needed")
    if n_threads == 1:
        run(0)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        for done in [pool.submit(run, part) for part in range(n_threads)]:
            done.result()


def _prepare_vectors(
    layout: Layout, batch: Batch, vectors: NDArray[np.float64] | None, is_in_place: bool
) -> NDArray[np.float64]:
    if vectors is None:
        return layout.new_vectors(batch.n_customers)
    if vectors.ndim != 2 or vectors.shape[1] != layout.n_slots or vectors.dtype != np.float64:
        raise ValueError(f"vectors of {layout.n_slots} float64 slots are needed, not {vectors.dtype}{vectors.shape}")
    is_known = batch.customer < len(vectors)
    late = np.flatnonzero(batch.event_at[is_known] < vectors[batch.customer[is_known], 0])
    if len(late):
        row = int(batch.customer[is_known][late[0]])
        name = batch.ids.names()[row].as_py()
        raise EventsError(
            f"{len(late):,} events are older than the last one of their customer, the first of '{name}'; "
            "refold such customers from all their events"
        )
    is_whole = vectors.flags.c_contiguous and vectors.flags.writeable and len(vectors) >= batch.n_customers
    if is_in_place and is_whole:
        return vectors
    work = layout.new_vectors(max(batch.n_customers, len(vectors)))
    work[: len(vectors)] = vectors
    return work


def _lines(layout: Layout, *, is_observed: bool) -> list[NDArray[np.int64]]:
    """Per class, the first slots of the cache lines that its events need; those that are read too, when observed."""
    read: set[int] = set()
    if is_observed:
        read = {slot // 8 * 8 for call in layout.observed.calls for slot in layout.reads[int(call)]}
    return [np.array(sorted({*touched, *read}), dtype=np.int64) for touched in layout.touched]


def _starts(parts: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
    return np.cumsum([0, *map(len, parts)], dtype=np.int64)


def _join(parts: Sequence[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    return np.concatenate([np.empty(0, dtype), *parts]).astype(dtype, copy=False)


def _numbers(column: Any, dtype: Any) -> NDArray[Any]:
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return np.ascontiguousarray(whole.to_numpy(zero_copy_only=False), dtype=dtype)


def _stack(columns: Sequence[NDArray[Any]], n: int, dtype: Any) -> NDArray[Any]:
    """The columns side by side, shape (n, columns)."""
    out = np.empty((n, len(columns)), dtype)
    for k, column in enumerate(columns):
        out[:, k] = column
    return out


def _read_measures(events: pa.Table, measures: Sequence[str]) -> NDArray[np.float64]:
    columns = [_numbers(events[f"m_{name}"].cast(pa.float64()), np.float64) for name in measures]
    for name, column in zip(measures, columns, strict=True):
        where = np.flatnonzero(np.isinf(column))
        if len(where):
            raise EventsError(Problem(f"event {where[0] + 1}", f"the measure '{name}' is not finite"))
    return _stack(columns, events.num_rows, np.float64)


def _decode(column: Any) -> tuple[NDArray[Any], list[str | None]]:
    """Codes (null: the number of names) and the names they stand for, of a text column, dictionary-encoded or not."""
    chunked = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
    if not pa.types.is_dictionary(chunked.type):
        chunked = chunked.dictionary_encode()
    whole = chunked.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):  # none or several chunks, by version of Arrow
        whole = whole.chunk(0) if whole.num_chunks else pa.array([], chunked.type)
    names = whole.dictionary.to_pylist()
    codes = whole.indices
    if codes.null_count:
        codes = pc.fill_null(codes.cast(pa.int64()), len(names))
    return codes.to_numpy(zero_copy_only=False), names


def _code_classes(column: Any, class_names: Sequence[str]) -> NDArray[np.int16]:
    codes, names = _decode(column)
    if tuple(names) == tuple(class_names[: len(names)]):
        return np.ascontiguousarray(codes, dtype=np.int16)
    position = {name: i for i, name in enumerate(class_names)}
    used = {names[code] for code in np.unique(codes)}
    unknown = sorted(str(name) for name in used if name not in position)
    if unknown:
        raise EventsError(f"the playbook has no event class '{unknown[0]}'; read the events with this playbook")
    coded: NDArray[np.int16] = np.array([position.get(str(name), -1) for name in names], np.int16)[codes]
    return coded


def _code_channels(column: Any, channels: Sequence[str]) -> NDArray[np.int32]:
    codes, names = _decode(column)
    position = {name: i for i, name in enumerate(channels)}
    code_of = [-1 if name is None else position.get(name, len(channels)) for name in names]
    coded: NDArray[np.int32] = np.array([*code_of, -1], np.int32)[codes]
    return coded


def hash_sessions(column: Any) -> NDArray[np.uint64]:
    """The hash of each session's name, below 2^53 so that a float holds it; 0 for null."""
    hashes = hash_strings(column)
    short = hashes & _SESSION_BITS
    return np.where((short == 0) & (hashes != 0), np.uint64(1), short)
