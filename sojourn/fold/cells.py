"""What a vector keeps: cells, the slots each takes, and which cells and which reading a call of a primitive needs.

A *cell* is the smallest piece of state that some call needs, e.g. the decayed count of one class with one half-life.
Calls share cells: ``recency(view)``, ``count(view, half_life=1d)`` and ``cadence(view)`` keep one "last seen" slot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sojourn.playbook.rules import Call

ANY = "any"
N_BUCKETS = 32
HALF = 16_777_216.0
"""2^24: two bucket counts share one slot, each below this."""
SKETCH_SLOTS = 5
SKETCH_BITS_PER_SLOT = 48

# What an event does to one cell. Rows of the op table begin with one of these. The compiled loop keeps these numbers in
# its cache, which Numba renews only when kernel.py itself changes: whoever changes them here touches that file too.
(
    OP_COUNT,
    OP_AT,
    OP_FIRST_AT,
    OP_DECAY,
    OP_LATEST,
    OP_RING,
    OP_RHYTHM,
    OP_SESSION,
    OP_SESSION_ID,
    OP_CHANNELS,
    OP_CHANNEL,
    OP_HOURS,
    OP_SENT,
    OP_ANSWER,
    OP_MOMENT,
    OP_SKETCH,
    OP_M_COUNT,
    OP_M_AT,
    OP_M_SUM,
    OP_M_DECAY,
    OP_M_WEIGHT,
    OP_M_LAST,
    OP_M_MIN,
    OP_M_MAX,
    OP_M_RING,
    OP_MOMENT_AFTER,
    OP_MOMENT_ALL,
    OP_CLEAR,
    OP_MOMENT_LIVE,
    OP_CLEAR_LIVE,
) = range(30)
MOMENT_OPS = frozenset({OP_MOMENT, OP_MOMENT_AFTER, OP_MOMENT_ALL, OP_CLEAR, OP_MOMENT_LIVE, OP_CLEAR_LIVE})
"""What advances moments; the compiled loop takes these apart, one row a step."""

# How a call's value is read from cells.
(
    READ_SLOT,
    READ_DECAYED,
    READ_LATEST,
    READ_RING,
    READ_M_RING,
    READ_RATIO,
    READ_SINCE,
    READ_CADENCE,
    READ_REGULARITY,
    READ_MOMENTUM,
    READ_DEPTH,
    READ_DURATION,
    READ_VELOCITY,
    READ_DISTINCT,
    READ_MATCHED,
) = range(15)

STATE, STATE_P, SEGMENT, TRAIT, NOTHING = range(5)
"""What rules of audiences read beside cells: the state, a belief, another rule, a trait; and what is not known."""


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One piece of state: its kind, the names it is about, and its numbers (durations in whole microseconds)."""

    kind: str
    of: tuple[str, ...] = ()
    numbers: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """Slots it takes, 8 bytes each."""
        return len(self.initial)

    @property
    def initial(self) -> tuple[float, ...]:
        """Its slots before any event."""
        return _INITIAL[self.kind](self)


def _start(*values: float) -> Callable[[Cell], tuple[float, ...]]:
    return lambda _: values


_INITIAL: Mapping[str, Callable[[Cell], tuple[float, ...]]] = {
    "seen_at": _start(math.nan),
    "count": _start(0.0),
    "at": _start(math.nan),
    "first_at": _start(math.nan),
    "decay": _start(0.0),
    "latest": lambda cell: (math.nan,) * int(cell.numbers[0]),
    "ring": _start(math.nan, 0.0, *(0.0,) * (N_BUCKETS // 2)),  # newest bucket, total, two counts a slot
    "rhythm": _start(0.0, 0.0),  # mean of the log gaps, sum of squared differences from it
    "session": lambda cell: (math.nan, 0.0, 0.0, -1.0)[: 4 if cell.numbers[0] else 3],  # start, depth, count, id
    "channels": _start(0.0),
    "channel": _start(0.0),
    "hours": _start(0.0),
    "answers": _start(math.nan, 0.0),  # the sent event that waits, answered so far
    # Moments: completions, the last one, then the progress: a start per prefix, or the latest instants per class.
    "moment": lambda cell: (0.0, *(math.nan,) * len(cell.of)),
    "moment_if": lambda cell: (0.0, *(math.nan,) * int(cell.numbers[1])),
    "moment_all": lambda cell: (0.0, *(math.nan,) * int(1 + sum(cell.numbers[1:]))),
    "absent": _start(math.nan),  # since when a class has not come
    "live": lambda cell: (0.0,) * int(cell.numbers[0]),  # 48 bits a slot: which sequences have begun
    "start_at": _start(math.nan),  # the last event of a class that many sequences begin with
    "sketch": _start(*(0.0,) * SKETCH_SLOTS),
    "m_count": _start(0.0),
    "m_at": _start(math.nan),
    "m_sum": _start(0.0),
    "m_decay": _start(0.0),
    "m_weight": _start(0.0),
    "m_last": _start(math.nan),
    "m_min": _start(math.nan),
    "m_max": _start(math.nan),
    "m_ring": _start(math.nan, *(0.0,) * N_BUCKETS),  # newest bucket, a sum a slot
}


@dataclass(frozen=True, slots=True)
class Reading:
    """How a call is read: a ``READ_…`` code, cells with an offset into their slots, whole numbers, and two floats."""

    code: int
    cells: tuple[tuple[Cell, int], ...]
    wholes: tuple[int, ...] = ()
    numbers: tuple[float, float] = (0.0, 0.0)


def plan_reading(call: Call, moments: Mapping[str, Any], has_sessions: bool) -> Reading:
    """How to read the call's value; the cells it names are what the fold must keep for it.

    ``moments`` maps a name to a :class:`~sojourn.playbook.Moment`. Raises KeyError for an unknown primitive.

    >>> [cell.kind for cell, _ in plan_reading(Call("count", ("view",), (("half_life", 60.0),)), {}, False).cells]
    ['decay', 'at']
    """
    options = dict(call.options)
    if call.primitive in _PLAN_CLASS:
        return _PLAN_CLASS[call.primitive](call.of, options)
    if call.primitive in ("sum", "mean", "last", "min", "max"):
        return _plan_measure(call.primitive, call.of[0], options)
    if call.primitive == "session":
        return _plan_session(call.of[0], has_sessions)
    if call.primitive == "matches":
        cell = moment_cell(moments[call.of[0]])
        if "within" in options:
            return Reading(READ_MATCHED, ((cell, 1),), (), (micros(options["within"]), 0.0))
        return Reading(READ_SLOT, ((cell, 0),))
    raise KeyError(f"the fold has no primitive {call.primitive!r}")


def moment_cell(moment: Any) -> Cell:
    """The cell that keeps a moment's progress.

    ``moment_if``: the steps, then what must not come between, then the class that has to be absent; its numbers are
    the window, the steps, and how long the class has to be absent (0: none is). ``moment_all``: the classes, then what
    must not come between; the window, then how many of each class.
    """
    within = micros(moment.within_s)
    if moment.all_of:
        counts = tuple(float(n) for _, n in moment.all_of)
        return Cell("moment_all", (*(name for name, _ in moment.all_of), *moment.without), (within, *counts))
    if not moment.without and moment.absent is None:
        return Cell("moment", tuple(moment.sequence), (within,))
    absent = () if moment.absent is None else (moment.absent,)
    return Cell(
        "moment_if",
        (*moment.sequence, *moment.without, *absent),
        (within, float(len(moment.sequence)), max(micros(moment.absent_s), 1.0) if absent else 0.0),
    )


def absent_cell(cell: Cell) -> Cell | None:
    """The cell that says since when the class of a ``moment_if`` has been absent; None where none has to be.

    An empty word before the class puts these cells together, since every event may write to all of them.
    """
    return Cell("absent", ("", cell.of[-1])) if cell.kind == "moment_if" and cell.numbers[2] else None


LIVE_BITS = 48
"""Bits in a slot of the cell of those that have begun: a float holds them exactly."""
MANY = 8
"""With more sequences than this, only those are looked at that have begun."""


def live_cells(cells: Iterable[Cell]) -> list[Cell]:
    """The sequences, sorted, of which a bit says whether they have begun; none where there are few.

    Each keeps no start of its own first step: while the bit is set, that is the last event of the class.
    """
    found = sorted(cell for cell in cells if _n_steps(cell) > 1 and absent_cell(cell) is None)
    return found if len(found) > MANY else []


def _n_steps(cell: Cell) -> int:
    return {"moment": len(cell.of), "moment_if": int((*cell.numbers, 0.0, 0.0)[1])}.get(cell.kind, 0)


def micros(seconds: float) -> float:
    """Whole microseconds, as a float.

    >>> micros(1.5)
    1500000.0
    """
    return float(round(seconds * 1e6))


def _bucket_width(within_s: float) -> float:
    return float(max(1, round(within_s * 1e6 / N_BUCKETS)))


def _plan_count(of: tuple[str, ...], options: Mapping[str, float]) -> Reading:
    if "half_life" in options:
        half_life = micros(options["half_life"])
        return Reading(READ_DECAYED, ((Cell("decay", of, (half_life,)), 0), (Cell("at", of), 0)), (), (half_life, 0.0))
    if "at_most" in options:
        k = int(options["at_most"])
        cells = ((Cell("latest", of, (float(k),)), 0), (Cell("count", of), 0))
        return Reading(READ_LATEST, cells, (k,), (micros(options["within"]), 0.0))
    if "within" in options:
        width = _bucket_width(options["within"])
        return Reading(READ_RING, ((Cell("ring", of, (width,)), 0),), (), (width, 0.0))
    return Reading(READ_SLOT, ((Cell("count", of), 0),))


def _plan_recency(of: tuple[str, ...], _: Mapping[str, float]) -> Reading:
    return Reading(READ_SINCE, ((Cell("at", of), 0),))


def _plan_tenure(_: tuple[str, ...], __: Mapping[str, float]) -> Reading:
    return Reading(READ_SINCE, ((Cell("first_at", (ANY,)), 0),))


def _plan_cadence(of: tuple[str, ...], _: Mapping[str, float]) -> Reading:
    code = READ_REGULARITY if of[1:] == ("regularity",) else READ_CADENCE
    own = of[:1]
    return Reading(code, ((Cell("rhythm", own), 0), (Cell("count", own), 0), (Cell("at", own), 0)))


def _plan_momentum(of: tuple[str, ...], options: Mapping[str, float]) -> Reading:
    short, long = micros(options["short"]), micros(options["long"])
    cells = ((Cell("decay", of, (short,)), 0), (Cell("decay", of, (long,)), 0), (Cell("at", of), 0))
    return Reading(READ_MOMENTUM, cells, (), (short, long))


def _plan_share(of: tuple[str, ...], _: Mapping[str, float]) -> Reading:
    return Reading(READ_RATIO, ((Cell("channel", (ANY, of[1])), 0), (Cell("channels", (ANY,)), 0)))


def _plan_hour_share(_: tuple[str, ...], options: Mapping[str, float]) -> Reading:
    hours = Cell("hours", (ANY,), (options["from_hour"], options["to_hour"]))
    return Reading(READ_RATIO, ((hours, 0), (Cell("count", (ANY,)), 0)))


def _plan_responsiveness(of: tuple[str, ...], options: Mapping[str, float]) -> Reading:
    answers = Cell("answers", of, (micros(options["within"]),))
    return Reading(READ_RATIO, ((answers, 1), (Cell("count", of[:1]), 0)))


def _plan_distinct(of: tuple[str, ...], _: Mapping[str, float]) -> Reading:
    return Reading(READ_DISTINCT, ((Cell("sketch", of), 0),))


_PLAN_CLASS: Mapping[str, Callable[[tuple[str, ...], Mapping[str, float]], Reading]] = {
    "count": _plan_count,
    "recency": _plan_recency,
    "tenure": _plan_tenure,
    "cadence": _plan_cadence,
    "momentum": _plan_momentum,
    "share": _plan_share,
    "hour_share": _plan_hour_share,
    "responsiveness": _plan_responsiveness,
    "distinct": _plan_distinct,
}


def _plan_measure(primitive: str, measure: str, options: Mapping[str, float]) -> Reading:
    of = (measure,)
    if primitive in ("last", "min", "max"):
        return Reading(READ_SLOT, ((Cell(f"m_{primitive}", of), 0),))
    if "half_life" in options:
        half_life = micros(options["half_life"])
        at, decayed = (Cell("m_at", of), 0), (Cell("m_decay", of, (half_life,)), 0)
        if primitive == "sum":
            return Reading(READ_DECAYED, (decayed, at), (), (half_life, 0.0))
        # Silence weighs numerator and denominator down alike, so the mean needs no decay when it is read.
        return Reading(READ_RATIO, (decayed, (Cell("m_weight", of, (half_life,)), 0), at))
    if "within" in options:
        width = _bucket_width(options["within"])
        return Reading(READ_M_RING, ((Cell("m_ring", of, (width,)), 0),), (), (width, 0.0))
    total = (Cell("m_sum", of), 0)
    return (
        Reading(READ_SLOT, (total,)) if primitive == "sum" else Reading(READ_RATIO, (total, (Cell("m_count", of), 0)))
    )


def _plan_session(what: str, has_sessions: bool) -> Reading:
    session, at = Cell("session", (ANY,), (float(has_sessions),)), (Cell("at", (ANY,)), 0)
    if what == "count":
        return Reading(READ_SLOT, ((session, 2), at))
    code = {"depth": READ_DEPTH, "duration_s": READ_DURATION, "velocity": READ_VELOCITY}[what]
    return Reading(code, ((session, 0), at), (int(has_sessions),))
