"""One event at a time in plain Python: the same arithmetic as the compiled loop, to read, to test, and for one event.

A vector here is the same row of slots; :func:`step` returns a new one, :func:`read_call` and :func:`read_programs`
read it. Other languages that repeat the fold follow this file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sojourn.fold import cells as c
from sojourn.fold.layout import Layout, Programs
from sojourn.playbook.rules import Program, run_program

GAP_US = 1_800_000_000.0


@dataclass(frozen=True, slots=True)
class CodedEvent:
    """One event as the fold sees it: positions in the layout's lists instead of names.

    ``measures`` and ``properties`` follow the layout's lists (NaN and 0 for none), ``channel`` is a position in its
    channels, their number for any other channel, -1 for none; ``session`` is a hash below 2^53, 0 for none.
    """

    event_at: int
    event_class: int
    measures: Sequence[float] = ()
    channel: int = -1
    properties: Sequence[int] = ()
    session: int = 0


def exp2(x: float) -> float:
    """2 to the power ``x``, for ``x`` of at most 1023; 0 below -1021. The same bits in every language.

    ``x`` is split into a whole number n and a rest f in [-1/2, 1/2]. The polynomial 1 + f·q(f), with q of degree 10
    interpolating (2^f - 1)/f at Chebyshev nodes, differs from 2^f by less than 2e-17 of it; evaluated in the order
    written here, with every operation rounded once and none fused, the result is within 1.5 units in the last place
    (relative error below 2.3e-16) and exact for whole ``x``. Multiplying by 2^n changes only the exponent.

    >>> exp2(-1.0), exp2(-10.0), exp2(-1100.0)
    (0.5, 0.0009765625, 0.0)
    """
    if x < -1021.0:
        return 0.0
    n = math.floor(x + 0.5)
    f = x - n
    f2 = f * f
    f4 = f2 * f2
    low = (0.6931471805599453 + 0.24022650695910097 * f) + (0.0555041086648216 + 0.009618129107606888 * f) * f2
    mid = (0.0013333558146416936 + 0.0001540353044173605 * f) + (1.525273382983612e-05 + 1.321544258792169e-06 * f) * f2
    high = (1.0178062445845774e-07 + 7.072585949269223e-09 * f) + 4.4549605981865186e-10 * f2
    return math.ldexp(1.0 + f * (low + (mid + high * f4) * f4), n)


def step(layout: Layout, vector: Sequence[float] | NDArray[np.float64], event: CodedEvent) -> NDArray[np.float64]:
    """The vector after the event; the one given is left as it is.

    The event must not be older than the last one, whose instant is in slot 0.
    """
    v = [float(x) for x in vector]
    if event.event_at < v[0]:
        raise ValueError("an event older than the customer's last one needs a refold of all events")
    t = float(event.event_at)
    v[0] = t
    for k in range(layout.op_starts[event.event_class], layout.op_starts[event.event_class + 1]):
        code, s, a, n, column = (int(x) for x in layout.op_ints[k])
        x, y = (float(number) for number in layout.op_floats[k])
        if code in c.MOMENT_OPS:
            _change_moment(code, v, s, a, n, column, t, x, y)
        elif code >= c.OP_M_COUNT:
            if not math.isnan(event.measures[column]):
                _apply_measure(code, v, s, a, x, t, float(event.measures[column]))
        elif code in (c.OP_SESSION, c.OP_SESSION_ID):
            _continue_session(code, v, s, a, t, float(event.session))
        elif code == c.OP_SKETCH:
            _mark(v, s, event.properties[column])
        elif code == c.OP_CHANNELS:
            v[s] += 1.0 if event.channel >= 0 else 0.0
        elif code == c.OP_CHANNEL:
            v[s] += 1.0 if event.channel == column else 0.0
        else:
            _apply(code, v, s, a, n, column, x, y, t)
    return np.array(v, dtype=np.float64)


def _apply(code: int, v: list[float], s: int, a: int, n: int, size: int, x: float, y: float, t: float) -> None:
    if code == c.OP_COUNT:
        v[s] += 1.0
    elif code in (c.OP_AT, c.OP_SENT):
        v[s] = t
    elif code == c.OP_FIRST_AT:
        v[s] = t if math.isnan(v[s]) else v[s]
    elif code == c.OP_DECAY:
        v[s] = _decay(v[s], v[a], t, x) + 1.0
    elif code == c.OP_LATEST:
        v[s + int(v[n]) % size] = t
    elif code == c.OP_RING:
        _add_to_ring(v, s, _bucket_of(t, x))
    elif code == c.OP_RHYTHM:
        if v[n] >= 1.0:  # Welford's update, so that equal gaps have no spread
            gap = math.log(max((t - v[a]) / 1e6, 1e-6))
            off = gap - v[s]
            v[s] += off / v[n]
            v[s + 1] += off * (gap - v[s])
    elif code == c.OP_HOURS:
        hours = _bucket_of(t, 3.6e9)
        hour = hours - 24.0 * math.floor(hours / 24.0)
        if (x <= hour < y) if x < y else (hour >= x or hour < y):
            v[s] += 1.0
    elif code == c.OP_ANSWER and t - v[s] <= x:
        v[s] = math.nan
        v[s + 1] += 1.0


def _decay(value: float, at: float, t: float, half_life: float) -> float:
    """A value last changed at ``at``, as of ``t``; one that is still 0 has no such instant."""
    return value * exp2(-(t - at) / half_life) if value != 0.0 else 0.0


def _apply_measure(code: int, v: list[float], s: int, at: int, x: float, t: float, measure: float) -> None:
    if code == c.OP_M_COUNT:
        v[s] += 1.0
    elif code == c.OP_M_AT:
        v[s] = t
    elif code == c.OP_M_SUM:
        v[s] += measure
    elif code == c.OP_M_DECAY:
        v[s] = _decay(v[s], v[at], t, x) + measure
    elif code == c.OP_M_WEIGHT:
        v[s] = _decay(v[s], v[at], t, x) + 1.0
    elif (
        code == c.OP_M_LAST
        or (code == c.OP_M_MIN and not v[s] <= measure)
        or (code == c.OP_M_MAX and not v[s] >= measure)
    ):
        v[s] = measure
    elif code == c.OP_M_RING:
        _add_to_sums(v, s, _bucket_of(t, x), measure)


def _continue_session(code: int, v: list[float], s: int, at: int, t: float, name: float) -> None:
    if v[s + 3] == name if code == c.OP_SESSION_ID else t - v[at] <= GAP_US:
        v[s + 1] += 1.0
        return
    v[s], v[s + 1], v[s + 2] = t, 1.0, v[s + 2] + 1.0
    if code == c.OP_SESSION_ID:
        v[s + 3] = name


def _change_moment(
    code: int, v: list[float], s: int, a: int, n: int, column: int, t: float, x: float, y: float
) -> None:
    """What an event does to a moment: ``s`` holds its completions, ``s + 1`` the last one, then its progress."""
    if code in (c.OP_MOMENT_LIVE, c.OP_CLEAR_LIVE):
        _advance_live(code, v, s, a, n, column, t, x, int(y))
    elif code == c.OP_CLEAR:
        v[s + 2 : s + 2 + a] = [math.nan] * a
    elif code == c.OP_MOMENT_ALL:
        _note_one_of_all(v, s, a, n, column, int(y), t, x)
    else:
        has_start = code == c.OP_MOMENT or t - v[column] >= y
        _advance_moment(v, s, a, n, t, x, has_start=has_start)


def _advance_moment(
    v: list[float], s: int, n_steps: int, mask: int, t: float, window: float, *, has_start: bool
) -> None:
    """Prefix j keeps the latest start of its first j + 1 steps; longer prefixes first, so an event is one step only."""
    for j in reversed([j for j in range(n_steps) if mask >> j & 1]):
        start = v[s + 1 + j] if j else t if has_start else math.nan
        if math.isnan(start):
            continue
        if j < n_steps - 1:
            v[s + 2 + j] = start
        elif t - start <= window:
            _complete(v, s, n_steps - 1, t)
            return


def _advance_live(
    code: int, v: list[float], s: int, n_steps: int, mask: int, start_slot: int, t: float, window: float, place: int
) -> None:
    """As before, but a bit says whether the sequence has begun, and its latest start is that of its first class.

    The bit goes when that start is out of the window: then all others are too, since they are no later.
    """
    slot, bit = place // 64, 1 << place % 64
    is_begun = bool(int(v[slot]) & bit)
    is_done = False
    if is_begun and mask != 1:
        start = v[start_slot]
        is_begun = t - start <= window and code != c.OP_CLEAR_LIVE
        if t - start <= window and code == c.OP_CLEAR_LIVE:
            v[s + 3 : s + 1 + n_steps] = [math.nan] * (n_steps - 2)
        for j in reversed([j for j in range(1, n_steps) if is_begun and mask >> j & 1]):
            from_at = start if j == 1 else v[s + 1 + j]
            if j < n_steps - 1:
                v[s + 2 + j] = v[s + 2 + j] if math.isnan(from_at) else from_at
            elif t - from_at <= window:
                _complete(v, s, n_steps - 1, t)
                is_begun, is_done = False, True
                break
    is_begun = is_begun or (bool(mask & 1) and not is_done)
    v[slot] = float(int(v[slot]) & ~bit | (bit if is_begun else 0))


def _note_one_of_all(
    v: list[float], s: int, first: int, n_own: int, starts: int, n_slots: int, t: float, window: float
) -> None:
    """Each class keeps its latest instants, the oldest first; all is there when no oldest one is out of the window."""
    ring = s + 2 + first
    v[ring : ring + n_own] = [*v[ring + 1 : ring + n_own], t]
    if all(t - v[s + 2 + k] <= window for k in range(n_slots) if starts >> k & 1):
        _complete(v, s, n_slots, t)


def _complete(v: list[float], s: int, n_slots: int, t: float) -> None:
    v[s], v[s + 1] = v[s] + 1.0, t
    v[s + 2 : s + 2 + n_slots] = [math.nan] * n_slots


def _mark(v: list[float], s: int, value: int) -> None:
    if value:
        slot, bit = divmod(value % (c.SKETCH_SLOTS * c.SKETCH_BITS_PER_SLOT), c.SKETCH_BITS_PER_SLOT)
        v[s + slot] = float(int(v[s + slot]) | 1 << bit)


def _bucket_of(t: float, width: float) -> float:
    """``floor(t / width)``, exact for whole ``t`` and ``width``: the rounding of the division is corrected."""
    q = float(math.floor(t / width))
    rest = t - q * width
    return q - 1.0 if rest < 0.0 else q + 1.0 if rest >= width else q


def _bucket_count(v: Sequence[float] | NDArray[np.float64], s: int, place: int) -> float:
    pair = float(v[s + 2 + place // 2])
    upper = float(math.floor(pair / c.HALF))
    return upper if place % 2 else pair - upper * c.HALF


def _add_to_ring(v: list[float], s: int, b: float) -> None:
    if b - v[s] >= c.N_BUCKETS:
        v[s + 1 : s + 18] = [0.0] * 17
    elif b > v[s]:
        for k in range(int(v[s]) + 1, int(b) + 1):
            place = k % c.N_BUCKETS
            n = _bucket_count(v, s, place)
            v[s + 1] -= n
            v[s + 2 + place // 2] -= n * c.HALF if place % 2 else n
    v[s] = b
    place = int(b) % c.N_BUCKETS
    if _bucket_count(v, s, place) < c.HALF - 1.0:  # a full bucket stays full
        v[s + 1] += 1.0
        v[s + 2 + place // 2] += c.HALF if place % 2 else 1.0


def _add_to_sums(v: list[float], s: int, b: float, x: float) -> None:
    if b - v[s] >= c.N_BUCKETS:
        v[s + 1 : s + 33] = [0.0] * 32
    elif b > v[s]:
        for k in range(int(v[s]) + 1, int(b) + 1):
            v[s + 1 + k % c.N_BUCKETS] = 0.0
    v[s] = b
    v[s + 1 + int(b) % c.N_BUCKETS] += x


def read_call(layout: Layout, vector: Sequence[float] | NDArray[np.float64], call: int, now: int) -> float:
    """The value of the layout's call number ``call`` at ``now`` (microseconds)."""
    v = vector
    code, s, a, third, whole = (int(x) for x in layout.read_ints[call])
    x, y = (float(number) for number in layout.read_floats[call])
    t = float(now)
    first, second = float(v[s]), float(v[a])
    if code == c.READ_SLOT:
        return first
    if code == c.READ_DECAYED:
        return _decay(first, second, t, x)
    if code == c.READ_LATEST:
        kept = [float(v[s + (int(second) - j) % third]) for j in range(1, min(int(second), whole) + 1)]
        return float(sum(t - at <= x for at in kept))
    if code == c.READ_RING:
        return _read_ring(v, s, _bucket_of(t, x))
    if code == c.READ_M_RING:
        return _read_sums(v, s, _bucket_of(t, x))
    if code == c.READ_RATIO:
        return first / second if second != 0.0 else math.nan
    if code == c.READ_SINCE:
        return (t - first) / 1e6
    if code == c.READ_CADENCE:
        return math.exp(first) if second >= 2.0 else math.nan
    if code == c.READ_REGULARITY:
        return 1.0 / (1.0 + math.sqrt(float(v[s + 1]) / (second - 1.0))) if second >= 3.0 else math.nan
    if code == c.READ_MOMENTUM:
        silence = t - float(v[third])
        if math.isnan(silence):
            return math.nan
        return (first / x) / (second / y) * exp2(-(silence / x - silence / y))
    if code == c.READ_DISTINCT:
        n_zero = 240 - sum(int(v[s + k]).bit_count() for k in range(c.SKETCH_SLOTS))
        return 240.0 * math.log(240.0 / max(n_zero, 1))
    if code == c.READ_MATCHED:
        return 1.0 if t - first <= x else 0.0
    return _read_session(code, float(v[s + 1]), first, second, t, bool(whole))


def _read_session(code: int, depth: float, start: float, last: float, t: float, is_named: bool) -> float:
    if math.isnan(last) or not (is_named or t - last <= GAP_US):
        return 0.0
    duration = (last - start) / 1e6
    if code == c.READ_DEPTH:
        return depth
    return duration if code == c.READ_DURATION else depth / max(duration, 1.0) * 60.0


def _read_ring(v: Sequence[float] | NDArray[np.float64], s: int, b: float) -> float:
    newest = float(v[s])
    if not b - newest < c.N_BUCKETS:
        return 0.0
    left = [_bucket_count(v, s, k % c.N_BUCKETS) for k in range(int(newest) - 31, int(b) - 31)]
    return float(v[s + 1]) - sum(left)


def _read_sums(v: Sequence[float] | NDArray[np.float64], s: int, b: float) -> float:
    newest, total = float(v[s]), 0.0
    if b - newest < c.N_BUCKETS:
        for k in range(int(b) - 31, int(newest) + 1):
            total += float(v[s + 1 + k % c.N_BUCKETS])
    return total


def read_programs(
    layout: Layout, programs: Programs, vector: Sequence[float] | NDArray[np.float64], now: int
) -> list[float]:
    """The programs' values at ``now``: features or observed ones of the layout."""
    found = [read_call(layout, vector, int(call), now) for call in programs.calls]
    calls = tuple(layout.calls[int(call)] for call in programs.calls)
    values: list[float] = []
    for first, end in zip(programs.starts[:-1], programs.starts[1:], strict=True):
        codes = tuple(int(code) for code in programs.codes[first:end])
        operands = tuple(float(x) for x in programs.operands[first:end])
        values.append(run_program(Program(codes, operands, calls, "number", ""), found))
    return values
