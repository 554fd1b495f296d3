"""From a playbook to a layout: the slots of a vector, the op table of each event class, and how features are read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sojourn.fold import cells as c
from sojourn.fold.cells import ANY, Cell, Reading, absent_cell, live_cells, moment_cell, plan_reading
from sojourn.fold.moment_rows import MomentRows, make_moment_rows
from sojourn.playbook.rules import LOAD, Call, Program

if TYPE_CHECKING:
    from sojourn.playbook import Audience, EventClass, Playbook, Segment

FOLD_VERSION = 1
"""Raised when the same cells begin to mean something else, so that older vectors are not read."""

LINE = 8
"""Slots in one cache line; a vector's length is a multiple of it."""


@dataclass(frozen=True, eq=False)
class Programs:
    """Stack programs one after the other: program i is ``codes[starts[i]:starts[i + 1]]`` with its operands.

    ``calls`` are the calls that the programs load, each once; the operand of LOAD is a position in ``calls``.
    """

    starts: NDArray[np.int64]
    codes: NDArray[np.int64]
    operands: NDArray[np.float64]
    calls: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1


@dataclass(frozen=True, eq=False)
class Layout:
    """Where everything is in a vector, and what each event class does to it. Built by :func:`build_layout`."""

    hash: str
    n_slots: int
    initial: NDArray[np.float64]  # a vector before any event, shape (n_slots,)
    slots: Mapping[Cell, int]  # first slot of each cell
    calls: tuple[Call, ...]
    reads: tuple[tuple[int, ...], ...]  # slots that each call reads
    read_ints: NDArray[np.int64]  # per call: code, three slots, one whole number
    read_floats: NDArray[np.float64]  # per call: two numbers
    class_names: tuple[str, ...]
    op_starts: NDArray[np.int64]  # ops of class i: op_starts[i] to op_starts[i + 1]
    op_ints: NDArray[np.int64]  # per op: code, slot, two more slots or whole numbers, column
    op_floats: NDArray[np.float64]  # per op: two numbers
    touched: tuple[tuple[int, ...], ...]  # per class: first slots of the cache lines its ops change
    measures: tuple[str, ...]  # measures that are read, in the order of the batch's columns
    properties: tuple[str, ...]
    channels: tuple[str, ...]
    has_sessions: bool
    feature_names: tuple[str, ...]
    features: Programs
    fingerprint: tuple[int, ...]  # features of the fingerprint, as positions in feature_names
    indicators: tuple[tuple[str, Program], ...]  # (state, condition), in the order of the playbook
    moments: tuple[str, ...]  # moments whose completions are noted; none but in a live layout
    moment_cells: tuple[Cell, ...]  # of each of these; the same for moments that mean the same
    moment_twins: tuple[tuple[int, int], ...]  # such moments, as positions, with the first that means the same
    moment_rows: MomentRows  # what the compiled loop does in place of the ops on moments
    observed: Programs  # the fingerprint's features, then the indicators

    @property
    def n_bytes(self) -> int:
        """Bytes that one customer takes."""
        return self.n_slots * 8

    def new_vectors(self, n_customers: int) -> NDArray[np.float64]:
        """Vectors of customers without events, shape ``(n_customers, n_slots)``, each row on whole cache lines."""
        size = n_customers * self.n_slots
        memory = np.empty(size + LINE, dtype=np.float64)
        skip = (-memory.ctypes.data % (8 * LINE)) // 8
        vectors = memory[skip : skip + size].reshape(n_customers, self.n_slots)
        vectors[:] = self.initial
        return vectors


def build_layout(playbook: Playbook, *, is_live: bool = False) -> Layout:
    """The layout of a playbook: the same for every playbook that keeps the same cells of the same events.

    A live layout also keeps what segments and audiences read, and notes at each event which moments it completes.

    >>> from sojourn.playbook.load import load_playbook
    >>> layout = build_layout(load_playbook("shop"))
    >>> layout.n_slots % 8, len(layout.hash)
    (0, 32)
    """
    conditions = [(state.name, ind.when) for state in playbook.states for ind in state.indicators]
    features = [feature.program for feature in playbook.features]
    moments = {moment.name: moment for moment in playbook.moments}
    moment_cells = tuple(moment_cell(moment) for moment in moments.values()) if is_live else ()
    programs = features + [program for _, program in conditions]
    rules: list[Segment | Audience] = [*playbook.segments, *playbook.audiences] if is_live else []
    in_rules = [call for rule in rules for call in rule.when.calls]
    calls = tuple(dict.fromkeys([call for program in programs for call in program.calls] + in_rules))
    has_sessions = playbook.source.session is not None
    readings = _share_latest([plan_reading(call, moments, has_sessions) for call in calls])
    slots, initial = _place({cell for reading in readings for cell, _ in reading.cells} | {*moment_cells})
    names = [feature.name for feature in playbook.features]
    fingerprint = tuple(names.index(name) for name in playbook.fingerprint)
    channels = tuple(sorted({cell.of[1] for cell in slots if cell.kind == "channel"}))
    measures = tuple(sorted({cell.of[0] for cell in slots if cell.kind.startswith("m_")}))
    properties = tuple(sorted({cell.of[0] for cell in slots if cell.kind == "sketch"}))
    columns = {"channel": channels, "measure": measures, "property": properties}
    ops = _list_ops(playbook, slots, columns)
    read_ints, read_floats = _tabulate_reads(readings, slots)
    return Layout(
        hash=_hash_layout(playbook, slots, measures, properties),
        n_slots=len(initial),
        initial=initial,
        slots=slots,
        calls=calls,
        reads=tuple(_slots_of(reading, slots) for reading in readings),
        read_ints=read_ints,
        read_floats=read_floats,
        class_names=tuple(playbook.class_names),
        op_starts=np.cumsum([0, *map(len, ops)], dtype=np.int64),
        op_ints=_matrix([op[:5] for rows in ops for op in rows], 5, np.int64),
        op_floats=_matrix([op[5:] for rows in ops for op in rows], 2, np.float64),
        touched=tuple(_lines_of(rows, slots) for rows in ops),
        measures=measures,
        properties=properties,
        channels=channels,
        has_sessions=has_sessions,
        feature_names=tuple(names),
        features=_join_programs(features, calls),
        fingerprint=fingerprint,
        indicators=tuple(conditions),
        moments=tuple(moments) if is_live else (),
        moment_cells=moment_cells,
        moment_twins=_find_twins(moment_cells),
        moment_rows=make_moment_rows(ops, [slots[cell] for cell in moment_cells]),
        observed=_join_programs([features[i] for i in fingerprint] + [p for _, p in conditions], calls),
    )


def _find_twins(cells: Sequence[Cell]) -> tuple[tuple[int, int], ...]:
    first: dict[Cell, int] = {}
    places = [first.setdefault(cell, i) for i, cell in enumerate(cells)]
    return tuple((i, place) for i, place in enumerate(places) if place < i)


def moments_layout(playbook: Playbook) -> Layout:
    """The live layout of a playbook's moments alone: it keeps and reads nothing else."""
    states = tuple(replace(state, indicators=()) for state in playbook.states)
    return build_layout(
        replace(playbook, features=(), fingerprint=(), states=states, segments=(), audiences=()), is_live=True
    )


def _share_latest(readings: Sequence[Reading]) -> list[Reading]:
    """Calls that read the last k events of a class share the cell of the largest k."""
    most: dict[tuple[str, ...], float] = {}
    for reading in readings:
        for cell, _ in reading.cells:
            if cell.kind == "latest":
                most[cell.of] = max(most.get(cell.of, 0.0), cell.numbers[0])

    def widen(cell: Cell) -> Cell:
        return Cell(cell.kind, cell.of, (most[cell.of],)) if cell.kind == "latest" else cell

    return [
        Reading(r.code, tuple((widen(cell), offset) for cell, offset in r.cells), r.wholes, r.numbers) for r in readings
    ]


SEEN_AT = Cell("seen_at")


def _place(kept: set[Cell]) -> tuple[dict[Cell, int], NDArray[np.float64]]:
    """Slots by cell, and a vector before any event. Cells about the same name lie together: one event, few lines."""
    kept |= {cell for cell in map(absent_cell, kept) if cell is not None}
    live = live_cells(kept)
    if live:
        kept |= {_start_of(cell) for cell in live} | {Cell("live", (), (float(-(-len(live) // c.LIVE_BITS)),))}
    slots: dict[Cell, int] = {}
    initial: list[float] = []
    for cell in [SEEN_AT, *sorted(kept, key=lambda cell: (cell.of[:1], cell))]:
        slots[cell] = len(initial)
        initial += cell.initial
    initial += [0.0] * (-len(initial) % LINE)
    return slots, np.array(initial, dtype=np.float64)


def _start_of(cell: Cell) -> Cell:
    """Where the start of a live sequence is; an empty word before the class puts these cells together."""
    return Cell("start_at", ("", cell.of[0]))


Op = tuple[int, int, int, int, int, float, float]

_LATER = frozenset({c.OP_COUNT, c.OP_AT, c.OP_M_AT})
"""Ops that change what other ops of the same event still have to read as it was before."""

_PLAIN = {
    "count": c.OP_COUNT,
    "at": c.OP_AT,
    "start_at": c.OP_AT,
    "first_at": c.OP_FIRST_AT,
    "decay": c.OP_DECAY,
    "latest": c.OP_LATEST,
    "ring": c.OP_RING,
    "rhythm": c.OP_RHYTHM,
    "channels": c.OP_CHANNELS,
    "channel": c.OP_CHANNEL,
    "hours": c.OP_HOURS,
    "sketch": c.OP_SKETCH,
    "m_count": c.OP_M_COUNT,
    "m_at": c.OP_M_AT,
    "m_sum": c.OP_M_SUM,
    "m_decay": c.OP_M_DECAY,
    "m_weight": c.OP_M_WEIGHT,
    "m_last": c.OP_M_LAST,
    "m_min": c.OP_M_MIN,
    "m_max": c.OP_M_MAX,
    "m_ring": c.OP_M_RING,
}


def _list_ops(playbook: Playbook, slots: Mapping[Cell, int], columns: Mapping[str, tuple[str, ...]]) -> list[list[Op]]:
    """Per event class, what its events do, in the order of doing."""
    classes = {event.name: event for event in playbook.events}
    live = live_cells(slots)
    bits = {cell: _bit_of(i, slots) for i, cell in enumerate(live)}
    table: list[list[Op]] = []
    for name in playbook.class_names:
        ops = [op for cell in slots for op in _op_of(cell, name, classes, slots, columns, bits)]
        table.append(sorted(ops, key=lambda op: op[0] in _LATER))
    return table


def _op_of(
    cell: Cell,
    name: str,
    classes: Mapping[str, EventClass],
    slots: Mapping[Cell, int],
    columns: Mapping[str, tuple[str, ...]],
    bits: Mapping[Cell, float],
) -> list[Op]:
    """What an event of class ``name`` does to the cell: one op, or none."""
    event = classes.get(name)  # None for "other", which has no measures and is no touch

    def is_of(word: str) -> bool:
        return not (event and event.is_touch) if word == ANY else word == name

    kind, slot = cell.kind, slots[cell]
    x, y = (*cell.numbers, 0.0, 0.0)[:2]
    if kind.startswith("m_"):
        if event is None or cell.of[0] not in dict(event.measures):
            return []
        return [(_PLAIN[kind], slot, _at(slots, "m_at", cell), 0, columns["measure"].index(cell.of[0]), x, y)]
    if kind == "sketch":
        if event is None or cell.of[0] not in dict(event.properties):
            return []
        return [(c.OP_SKETCH, slot, 0, 0, columns["property"].index(cell.of[0]), x, y)]
    if kind.startswith("moment"):
        return _op_of_moment(cell, name, slots, bits)
    if kind == "absent":
        return [(c.OP_AT if is_of(cell.of[1]) else c.OP_FIRST_AT, slot, 0, 0, 0, x, y)]
    if kind == "answers":
        if is_of(cell.of[0]):
            return [(c.OP_SENT, slot, 0, 0, 0, x, y)]
        return [(c.OP_ANSWER, slot, 0, 0, 0, x, y)] if is_of(cell.of[1]) else []
    if kind in ("seen_at", "live") or not is_of(cell.of[kind == "start_at"]):
        return []
    if kind == "session":
        return [(c.OP_SESSION_ID if x else c.OP_SESSION, slot, _at(slots, "at", cell), 0, 0, x, y)]
    column = columns["channel"].index(cell.of[1]) if kind == "channel" else 0
    whole = int(x) if kind == "latest" else column
    return [(_PLAIN[kind], slot, _at(slots, "at", cell), slots.get(Cell("count", cell.of[:1]), 0), whole, x, y)]


def _bit_of(i: int, slots: Mapping[Cell, int]) -> float:
    """A slot and a bit in it as one number: 64 times the slot, and the bit."""
    first = next(slot for cell, slot in slots.items() if cell.kind == "live")
    return float(64 * (first + i // c.LIVE_BITS) + i % c.LIVE_BITS)


def _op_of_moment(cell: Cell, name: str, slots: Mapping[Cell, int], bits: Mapping[Cell, float]) -> list[Op]:
    """Steps are the bits of a mask. In any order, a class has a ring of instants; bits say where each ring starts."""
    slot, window = slots[cell], cell.numbers[0]
    if cell.kind == "moment_all":
        counts = [int(n) for n in cell.numbers[1:]]
        starts = [sum(counts[:i]) for i in range(len(counts))]
        n_steps = sum(counts)
        if name in cell.of[: len(counts)]:
            mine = cell.of.index(name)
            heads = sum(1 << start for start in starts)
            return [(c.OP_MOMENT_ALL, slot, starts[mine], counts[mine], heads, window, float(n_steps))]
        return [(c.OP_CLEAR, slot, n_steps, 0, 0, 0.0, 0.0)] if name in cell.of else []
    n_steps = int(cell.numbers[1]) if cell.kind == "moment_if" else len(cell.of)
    mask = sum(1 << i for i, step in enumerate(cell.of[:n_steps]) if step == name)
    absent = absent_cell(cell)
    if not mask:
        if name not in cell.of[n_steps : -1 if absent else None]:
            return []
        if cell in bits:
            return [(c.OP_CLEAR_LIVE, slot, n_steps, 0, slots[_start_of(cell)], window, bits[cell])]
        return [(c.OP_CLEAR, slot, n_steps - 1, 0, 0, 0.0, 0.0)]
    if cell in bits:
        return [(c.OP_MOMENT_LIVE, slot, n_steps, mask, slots[_start_of(cell)], window, bits[cell])]
    if absent is None:
        return [(c.OP_MOMENT, slot, n_steps, mask, 0, window, 0.0)]
    return [(c.OP_MOMENT_AFTER, slot, n_steps, mask, slots[absent], window, cell.numbers[2])]


def _at(slots: Mapping[Cell, int], kind: str, cell: Cell) -> int:
    """The slot of the instant that the cell's decay or gap is measured from; 0 where it needs none."""
    return slots.get(Cell(kind, cell.of[:1]), 0)


def _lines_of(ops: Sequence[Op], slots: Mapping[Cell, int]) -> tuple[int, ...]:
    """First slots of the cache lines to fetch before these ops run: all of small cells, the head of large ones."""
    width_at = {slot: cell.width for cell, slot in slots.items()}
    lines = {0}
    for code, slot, _, _, column, _, y in ops:
        if code in (c.OP_MOMENT_LIVE, c.OP_CLEAR_LIVE):  # what has begun is looked at first, and often nothing has
            lines |= {column // LINE * LINE, int(y) // 64 // LINE * LINE}
            continue
        width = width_at[slot]
        lines |= {s // LINE * LINE for s in range(slot, slot + (width if width <= 2 * LINE else 2))}
    return tuple(sorted(lines))


def _slots_of(reading: Reading, slots: Mapping[Cell, int]) -> tuple[int, ...]:
    return tuple(s for cell, _ in reading.cells for s in range(slots[cell], slots[cell] + cell.width))


def _tabulate_reads(
    readings: Sequence[Reading], slots: Mapping[Cell, int]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    ints: list[tuple[int, ...]] = []
    for reading in readings:
        where = [slots[cell] + offset for cell, offset in reading.cells]
        if reading.code == c.READ_LATEST:
            where.append(reading.cells[0][0].width)
        ints.append((reading.code, *(*where, 0, 0, 0)[:3], *(reading.wholes or (0,))))
    return _matrix(ints, 5, np.int64), _matrix([reading.numbers for reading in readings], 2, np.float64)


def _matrix(rows: Sequence[Sequence[float]], width: int, dtype: Any) -> NDArray[Any]:
    return np.array(rows, dtype=dtype).reshape(len(rows), width)


def _join_programs(programs: Sequence[Program], calls: Sequence[Call]) -> Programs:
    used = list(dict.fromkeys(call for program in programs for call in program.calls))
    operands = [
        float(used.index(program.calls[int(operand)])) if code == LOAD else operand
        for program in programs
        for code, operand in zip(program.codes, program.operands, strict=True)
    ]
    return Programs(
        starts=np.cumsum([0, *(len(program.codes) for program in programs)], dtype=np.int64),
        codes=np.array([code for program in programs for code in program.codes], dtype=np.int64),
        operands=np.array(operands, dtype=np.float64),
        calls=np.array([calls.index(call) for call in used], dtype=np.int64),
    )


def _hash_layout(playbook: Playbook, slots: Iterable[Cell], measures: Sequence[str], properties: Sequence[str]) -> str:
    """A hash of all that decides what is in a vector: the cells, and which raw rows become which events.

    Names of features and states, thresholds and texts are not part of it, nor the order in which things are written.
    """
    events = [_describe_class(event, measures, properties) for event in playbook.events]
    if not _overlap(playbook.events):
        events.sort(key=lambda event: str(event["name"]))
    source = playbook.source
    canonical = {
        "fold": FOLD_VERSION,
        "cells": [[cell.kind, list(cell.of), list(cell.numbers)] for cell in slots],
        "events": events,
        "source": {
            name: getattr(source, name)
            for name in (
                "format",
                "customer",
                "time",
                "time_format",
                "timezone",
                "event",
                "id",
                "session",
                "channel",
                "duplicates",
                "other",
            )
        },
    }
    text = json.dumps(canonical, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _describe_class(event: EventClass, measures: Sequence[str], properties: Sequence[str]) -> dict[str, object]:
    return {
        "name": event.name,
        "raw_names": sorted(event.raw_names),
        "where": event.where and repr(event.where.tree),
        "is_touch": event.is_touch,
        "measures": sorted([name, repr(rule.tree)] for name, rule in event.measures if name in measures),
        "properties": sorted([name, path] for name, path in event.properties if name in properties),
    }


def _overlap(events: Sequence[EventClass]) -> bool:
    """Whether some raw row could match two classes, so that the first one written wins."""
    names = [name for event in events for name in event.raw_names]
    return len(set(names)) < len(names) or any(not event.raw_names for event in events)
