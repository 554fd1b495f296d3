"""What the world sees: the published state, its switches, and the thresholds that keep it calm.

The posterior is not the published state. A switch needs the new state's posterior over ``enter``, a margin
over the current one, the current one at most ``exit``, and either a second (confirming) event or
``min_dwell`` of persistence. Silence alone can switch too, at the exact instants of its boundaries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.frames import F8
from sojourn.playbook import Stability
from sojourn.states import hmm
from sojourn.states.hmm import (
    Model,
    Sequences,
    emission_table,
    event_matrices,
    run_chunks,
    silence_matrices,
    split_customers,
    step_matrices,
    tick_matrices,
)
from sojourn.states.rows import Rows, decode_paths

_MONTH_S = 30.4375 * 86_400
_ROWS_PER_CHUNK = 400_000

_ENTER = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_MARGIN = (0.0, 0.3)
_EXIT = (1.0, 0.3)
_MIN_DWELL_S = (0.0, 1_800.0, 21_600.0, 86_400.0)


@dataclass(frozen=True)
class Thresholds:
    """When a switch is published. ``min_dwell_s`` 0: at once, without a confirming event."""

    enter: float
    margin: float
    exit: float
    min_dwell_s: float


RAW = Thresholds(0.0, 0.0, 1.0, 0.0)
"""Publish the most likely state at every instant: what hysteresis is compared with."""


@dataclass(frozen=True)
class Calm:
    """One setting of the thresholds and what it costs: flaps (A→B→A inside a day) against delay."""

    thresholds: Thresholds
    flaps_per_month: float
    delay_s: float
    switches_per_month: float
    missed_share: float


@dataclass(frozen=True)
class Chunk:
    """What was inferred for customers ``first … last - 1`` and their rows ``lo … hi - 1``.

    ``filtered`` and ``smoothed`` [rows, S] (NaN before a customer's first own event), ``published`` int8
    (-1 before it), ``moves`` int64 rows as :mod:`sojourn.states.hmm.hysteresis` lays them out, ``facts`` likewise,
    ``at_now`` and ``carried`` [customers, S].
    """

    first: int
    last: int
    lo: int
    hi: int
    filtered: F8
    smoothed: F8
    published: NDArray[np.int8]
    at_now: F8
    carried: F8
    facts: NDArray[np.int64]
    moves: NDArray[np.int64]


@dataclass(frozen=True)
class _Tables:
    """The model as the compiled loops take it."""

    model: Model
    boundaries: NDArray[np.int64]
    tick: F8
    event: F8
    steps: F8
    silence: F8
    emissions: F8
    emission_logs: F8


def _tabulate(model: Model, data: Sequences) -> _Tables:
    emissions, logs = emission_table(model, data.combos)
    return _Tables(
        model=model,
        boundaries=np.array([round(b * 1e6) for b in model.boundaries_s], np.int64),
        tick=tick_matrices(model),
        event=event_matrices(model),
        steps=step_matrices(model),
        silence=silence_matrices(model),
        emissions=emissions,
        emission_logs=logs,
    )


def _walk(
    tables: _Tables,
    rows: Rows,
    code: NDArray[np.int32],
    first: int,
    last: int,
    thresholds: Thresholds,
    path: NDArray[np.int8],
) -> tuple[Any, ...]:
    """The compiled walk over customers ``first … last - 1`` with room for its answers."""
    # Numba: compiles when imported
    from sojourn.states.hmm import hysteresis as publish

    n_states = len(tables.model.states)
    lo, hi = int(rows.starts[first]), int(rows.starts[last])
    n, n_customers = hi - lo, last - first
    n_own = int(rows.data.starts[last] - rows.data.starts[first])
    filtered = np.full((n, n_states), np.nan)
    published = np.full(n, -1, np.int8)
    at_now = np.tile(tables.model.initial, (n_customers, 1))
    carried = np.full((n_customers, n_states), np.nan)
    facts = np.zeros((n_customers, len(publish.FACTS)), np.int64)
    # At each own event one switch, and after it one at each boundary and one as a candidate expires.
    room = n_own * (len(tables.boundaries) + 2) + 1
    moves = np.empty((min(room, n_own + 1024), len(publish.MOVE)), np.int64)
    while True:
        stats = np.zeros(len(publish.STATS))
        found = publish.walk(n_states)(
            rows.starts[first : last + 1] - lo,
            0,
            n_customers,
            rows.at[lo:hi],
            rows.touch[lo:hi],
            code[lo:hi],
            tables.boundaries,
            tables.tick,
            tables.event,
            tables.emissions,
            tables.model.initial,
            rows.now,
            thresholds.enter,
            thresholds.margin,
            thresholds.exit,
            round(thresholds.min_dwell_s * 1e6),
            path,
            filtered,
            published,
            at_now,
            carried,
            facts,
            moves,
            stats,
        )
        if found >= 0:
            return filtered, published, at_now, carried, facts, moves[:found].copy(), stats
        moves = np.empty((min(room, 4 * len(moves)), len(publish.MOVE)), np.int64)


def row_codes(rows: Rows) -> NDArray[np.int32]:
    """The code of each row's own event; 0 for touches, which have none."""
    code = np.zeros(len(rows.at), np.int32)
    code[rows.own_row] = rows.data.code
    return code


def infer_states(
    model: Model, thresholds: Thresholds, rows: Rows, *, n_threads: int = 1, rows_per_chunk: int = _ROWS_PER_CHUNK
) -> Iterator[Chunk]:
    """Everything inferred about everybody, a chunk of customers at a time, in order.

    At most ``n_threads`` chunks are in memory besides the one in hand.
    """
    tables, code = _tabulate(model, rows.data), row_codes(rows)
    n_chunks = max(1, -(-len(rows.at) // rows_per_chunk))
    bounds = split_customers(rows.starts, n_chunks)
    spans = [(int(a), int(b)) for a, b in pairwise(bounds)]
    if n_threads <= 1:
        for first, last in spans:
            yield _infer_chunk(tables, thresholds, rows, code, first, last)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        waiting = []
        for first, last in spans:
            waiting.append(pool.submit(_infer_chunk, tables, thresholds, rows, code, first, last))
            if len(waiting) > n_threads:
                yield waiting.pop(0).result()
        for job in waiting:
            yield job.result()


def posterior_now(model: Model, rows: Rows) -> F8:
    """The posterior of each customer at the instant that the rows are about [customers, S], and nothing else."""
    tables, code = _tabulate(model, rows.data), row_codes(rows)
    return np.asarray(_walk(tables, rows, code, 0, rows.n_customers, RAW, np.empty(0, np.int8))[2])


def _infer_chunk(
    tables: _Tables, thresholds: Thresholds, rows: Rows, code: NDArray[np.int32], first: int, last: int
) -> Chunk:
    lo, hi = int(rows.starts[first]), int(rows.starts[last])
    filtered, published, at_now, carried, facts, moves, _ = _walk(
        tables, rows, code, first, last, thresholds, np.empty(0, np.int8)
    )
    smoothed = _smooth_rows(tables, rows, first, last)
    return Chunk(first, last, lo, hi, filtered, smoothed, published, at_now, carried, facts, moves)


def _smooth_rows(tables: _Tables, rows: Rows, first: int, last: int) -> F8:
    """Smoothed posteriors of rows; a touch is smoothed at its own instant, between its two own events."""
    data, n_states = rows.data, len(tables.model.states)
    a, b = int(data.starts[first]), int(data.starts[last])
    lo, hi = int(rows.starts[first]), int(rows.starts[last])
    starts = data.starts[first : last + 1] - a
    filtered, smoothed, after = (np.empty((b - a, n_states)) for _ in range(3))
    hmm.smooth(n_states)(
        starts,
        data.code[a:b],
        data.step[a:b],
        data.end[first:last],
        0,
        last - first,
        tables.emissions,
        tables.steps,
        np.ascontiguousarray(tables.silence.sum(axis=2)),
        tables.model.initial,
        filtered,
        smoothed,
        after,
        np.empty(last - first),
    )
    out = np.full((hi - lo, n_states), np.nan)
    own = rows.own_row[a:b] - lo
    out[own] = smoothed
    touched = np.flatnonzero(rows.touch[lo:hi] > 0)
    if len(touched):
        _smooth_touches(tables, rows, first, last, touched, own, filtered, after, out)
    return out


def _smooth_touches(
    tables: _Tables,
    rows: Rows,
    first: int,
    last: int,
    touched: NDArray[np.int64],
    own: NDArray[np.int64],
    filtered: F8,
    after: F8,
    out: F8,
) -> None:
    """Fill ``out`` at touches: what came before, carried through the ticks so far, times what came after."""
    data, n_bins = rows.data, len(tables.boundaries) + 1
    lo, a = int(rows.starts[first]), int(data.starts[first])
    at = rows.at[lo : int(rows.starts[last])]
    customer = np.searchsorted(rows.starts, touched + lo, side="right") - 1
    before = np.searchsorted(own, touched) - 1  # own event before each touch, in this chunk
    has_before = before >= data.starts[customer] - a
    touched, before, customer = touched[has_before], before[has_before], customer[has_before]
    crossed = np.searchsorted(tables.boundaries, at[touched] - at[own[before]], side="right")
    is_last = before + 1 >= data.starts[customer + 1] - a
    n_touches = len(tables.model.event_transitions)
    kind = np.where(is_last, data.end[customer], data.step[np.minimum(a + before + 1, data.n_events - 1)])
    for j in range(n_bins):
        for is_end in (False, True):
            for q in np.unique(kind[(crossed == j) & (is_last == is_end)]):
                chosen = np.flatnonzero((crossed == j) & (is_last == is_end) & (kind == q))
                rest = np.eye(len(tables.model.states))
                target_bin = int(q) if is_end else int(q) // n_touches
                for tick in tables.tick[j:target_bin]:
                    rest = rest @ tick
                if not is_end:
                    rest = rest @ tables.event[target_bin, int(q) % n_touches]
                past = filtered[before[chosen]] @ tables.silence[j]
                future = np.broadcast_to(rest.sum(axis=1), past.shape) if is_end else after[before[chosen] + 1] @ rest.T
                both = past * future
                out[touched[chosen]] = both / both.sum(axis=1, keepdims=True)


def measure_calm(model: Model, thresholds: Sequence[Thresholds], rows: Rows, n_threads: int = 1) -> tuple[Calm, ...]:
    """Flaps and detection delay of each setting, on the rows given.

    Delay is the mean time from the start of a stay of the Viterbi path until the published state agrees
    (a stay that is never detected counts whole). Rates are per customer and month since the first event.
    """
    # Numba: compiles when imported
    from sojourn.states.hmm import hysteresis as publish

    tables, code = _tabulate(model, rows.data), row_codes(rows)
    path = np.full(len(rows.at), -1, np.int8)
    path[rows.own_row] = decode_paths(model, rows.data)
    has_own = np.diff(rows.data.starts) > 0
    first_at = rows.at[rows.own_row[rows.data.starts[:-1][has_own]]]
    months = float((rows.now - first_at).sum()) / 1e6 / _MONTH_S

    def measure(i: int) -> Calm:
        stats = _walk(tables, rows, code, 0, rows.n_customers, thresholds[i], path)[-1]
        return Calm(
            thresholds[i],
            float(stats[publish.FLAPS]) / max(months, 1e-9),
            float(stats[publish.DELAY_S] / max(stats[publish.STAYS], 1.0)),
            float(stats[publish.SWITCHES]) / max(months, 1e-9),
            float(stats[publish.MISSED] / max(stats[publish.STAYS], 1.0)),
        )

    return tuple(run_chunks(measure, len(thresholds), n_threads))


def grid_of(stability: Stability) -> tuple[Thresholds, ...]:
    """Every setting to try: what the playbook fixes stays fixed."""

    def options(fixed: float | None, tried: tuple[float, ...]) -> tuple[float, ...]:
        return tried if fixed is None else (fixed,)

    return tuple(
        Thresholds(*values)
        for values in product(
            options(stability.enter, _ENTER),
            options(stability.margin, _MARGIN),
            options(stability.exit, _EXIT),
            options(stability.min_dwell_s, _MIN_DWELL_S),
        )
    )


def tune_thresholds(
    model: Model, stability: Stability, rows: Rows, n_threads: int = 1
) -> tuple[Calm, tuple[Calm, ...], bool]:
    """``(chosen, whole curve, is within budget)``: the least delay that keeps the flap budget.

    When no setting keeps the budget, the calmest is chosen and the last value says so.
    """
    curve = measure_calm(model, grid_of(stability), rows, n_threads)
    within = [c for c in curve if c.flaps_per_month <= stability.flaps_per_month]
    if within:
        return min(within, key=lambda c: (c.delay_s, c.flaps_per_month)), curve, True
    return min(curve, key=lambda c: (c.flaps_per_month, c.delay_s)), curve, False
