"""Which event classes come before a move more often than chance.

Part of :mod:`sojourn.transitions.matrix`. Association, not cause: what comes before a move may be a sign of it.
Sources: ratio standardised to the moves, Keiding & Clayton 2014 (doi:10.1214/13-STS453); variance over customers by
linearisation (sandwich), Liang & Zeger 1986 (doi:10.1093/biomet/73.1.13); q values, Benjamini & Hochberg 1995
(doi:10.1111/j.2517-6161.1995.tb02031.x).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import t

from sojourn.frames import DAY_US
from sojourn.transitions.stays import Codes, Floats, Instants, codes_of, customer_rows, instants_of

WINDOW_US = DAY_US
"""How long before a move events count: 24 hours."""

MAX_MOVES = 10_000
MAX_COMPARED = 30_000
"""Moves per pair of states, comparison instants per state; of more, so many are picked at random: further
ones narrow the intervals less than anyone can see."""

MIN_MOVES = 20
MIN_CUSTOMERS = 10
MIN_EXPECTED = 5.0
"""Below these (moves, customers who moved, moves expected to have the class before) no interval is given."""

MIN_STRATUM = 5
"""Moves are left out when fewer comparison instants than this are like them."""

BUCKETS = (1, 2, 4, 8, 16, 32)
"""Instants are alike when as many other events came in the 24 h before: none, 1, 2-3, 4-7 and so on."""

N_BUCKETS = len(BUCKETS) + 1
N_KINDS = 3  # instants at a customer's event, at a touch, and last events before silence

Rows = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Timeline:
    """History as arrays, customer by customer and in time within each; ``key`` orders (customer, instant)."""

    customer: Codes
    event_class: Codes
    state: Codes
    key: Instants
    order: Rows  # rows of the history table
    at_us: Instants
    times_us: Instants  # the same instants, all customers together, in time order

    def key_at(self, customer: Codes, at_us: Instants) -> Instants:
        """The place of an instant in ``key``, before events of that very instant."""
        rank = np.searchsorted(self.times_us, at_us, side="left")
        return customer.astype(np.int64) * (len(self.times_us) + 1) + rank


@dataclass(frozen=True)
class Instant:
    """Instants to compare, as positions in the timeline, with the strata in which they are alike."""

    position: Rows
    has: npt.NDArray[np.bool_]  # instants × event classes: came in the 24 h before
    stratum: Codes  # instants × event classes: how many events of other classes came, and kind of instant


def find_precursors(
    transitions: pa.Table,
    customers: pa.Table,
    history: pa.Table,
    *,
    states: Sequence[str],
    touches: Sequence[str],
    rng: np.random.Generator,
) -> pa.Table:
    """Per move (pair of states) and event class: how much more often it came in the 24 h before than else.

    Columns ``from_state, to_state, event_class, is_touch, n_with, n_moves, share_p, base_p, lift, low,
    high, q``.

    ``share_p`` is the share of moves with the class in the 24 h before, ``base_p`` the same at other
    instants of customers in ``from_state``, weighted so that as many events came before them; ``lift`` is
    their ratio with its 95 % interval. For a move by an event, instants are events, and the event itself
    does not count. For a move by silence, instants are the last events before it, and count. ``n_moves``
    are the moves with comparable instants. Intervals and ``q`` are null where fewer than 20 moves, 10
    customers or 5 expected hits stand behind them.
    """
    line = read_timeline(history, customers, states=states)
    names = class_names(history)
    is_touch = np.isin(names, list(touches))
    moves = transitions.filter(pc.is_valid(transitions["from_state"]))
    position, is_silent = place_moves(moves, customers, line, states=states)
    of_class = [np.flatnonzero(line.event_class == code) for code in range(len(names))]
    look = partial(_look_back, line, of_class, is_touch)
    placed = np.flatnonzero(position >= 0)
    from_state, to_state = codes_of(moves["from_state"], states), codes_of(moves["to_state"], states)
    is_moving, is_left = np.zeros((2, len(line.at_us)), dtype=bool)  # at a move; last before a move by silence
    is_moving[position[placed[~is_silent[placed]]]] = True
    is_left[position[placed[is_silent[placed]]]] = True
    found: list[dict[str, Any]] = []
    for code in np.unique(from_state[placed]).tolist():
        mine = placed[from_state[placed] == code]
        at_event, at_silence = position[mine[~is_silent[mine]]], position[mine[is_silent[mine]]]
        here = np.flatnonzero(line.state == code)
        others = _join(
            [
                look(_pick(here[~taken[here]], MAX_COMPARED, rng), silent=silent)
                for at, taken, silent in ((at_event, is_moving, False), (at_silence, is_left, True))
                if len(at)
            ]
        )
        for to in np.unique(to_state[mine]).tolist():
            pair = _pick(mine[to_state[mine] == to], MAX_MOVES, rng)
            by_event, by_silence = pair[~is_silent[pair]], pair[is_silent[pair]]
            moved = _join(
                [
                    look(np.sort(position[by_event]), silent=False),
                    look(np.sort(position[by_silence]), silent=True),
                ]
            )
            found.append({"from": code, "to": to, **compare(moved, others, line.customer)})
    return _table(found, states, names, is_touch)


def read_timeline(history: pa.Table, customers: pa.Table, *, states: Sequence[str]) -> Timeline:
    """History in the order customer, time; rows of one instant keep the table's order."""
    who, times = customer_rows(history["customer_id"], customers), instants_of(history["event_at"])
    by_time = np.arange(len(times)) if np.all(times[1:] >= times[:-1]) else np.argsort(times, kind="stable")
    times = times[by_time]
    is_new = np.append(True, times[1:] != times[:-1])[: len(times)]
    rank = np.maximum.accumulate(np.where(is_new, np.arange(len(times)), 0))
    within = stable_order(who[by_time])
    order = by_time[within]
    customer = who[order]
    return Timeline(
        customer=customer,
        event_class=codes_of(history["event_class"], class_names(history))[order],
        state=codes_of(history["state"], states)[order],
        key=customer.astype(np.int64) * (len(times) + 1) + rank[within],
        order=order,
        at_us=times[within],
        times_us=times,
    )


def stable_order(codes: Codes) -> Rows:
    """A stable sort of non-negative codes in linear time: NumPy has a radix sort for 16-bit numbers only."""
    order = np.argsort((codes & 0xFFFF).astype(np.uint16), kind="stable")
    if len(codes) and codes.max() > 0xFFFF:
        order = order[np.argsort((codes >> 16).astype(np.uint16)[order], kind="stable")]
    return order


def place_moves(
    moves: pa.Table, customers: pa.Table, line: Timeline, *, states: Sequence[str]
) -> tuple[Rows, npt.NDArray[np.bool_]]:
    """Where each move happened in the timeline, and whether silence caused it.

    A move by an event lies at that event (-1: not in the history). A move by silence lies at the customer's last
    event before it, or at -1 when the state then was another one: a second move in the same silence has no event
    of its own to look back from.
    """
    at, who = instants_of(moves["at"]), customer_rows(moves["customer_id"], customers)
    is_silent = codes_of(moves["cause"], ["event", "silence"]) == 1
    from_state = codes_of(moves["from_state"], states)
    key = line.key_at(who, at)
    order = np.argsort(key)  # sorted look-ups stay in the cache
    low, high = np.empty(len(key), dtype=np.int64), np.empty(len(key), dtype=np.int64)
    low[order] = np.searchsorted(line.key, key[order], side="left")
    high[order] = np.searchsorted(line.key, key[order], side="right")
    position = np.where(high > low, low, -1)
    tied = np.flatnonzero((high - low > 1) & ~is_silent)
    if len(tied):
        to_state = codes_of(moves["to_state"], states)
        position[tied] = _place_tied(line, low[tied], high[tied], from_state[tied], to_state[tied])
    silent = np.flatnonzero(is_silent)
    position[silent] = -1
    silent = silent[low[silent] > 0]
    before = low[silent] - 1
    is_own = (line.customer[before] == who[silent]) & (line.state[before] == from_state[silent])
    position[silent[is_own]] = before[is_own]
    return position, is_silent


def _place_tied(line: Timeline, low: Rows, high: Rows, from_state: Codes, to_state: Codes) -> Rows:
    """Positions of moves at an instant at which the customer has several events, ``low`` to ``high``.

    A move is where the published state turns from the one into the other; no time passes between the events, so
    silence cannot turn it. The k-th move of a kind within one instant is the k-th such turn.
    """
    length = high - low
    owner = np.repeat(np.arange(len(low)), length)
    candidate = np.repeat(low - np.append(0, np.cumsum(length)[:-1]), length) + np.arange(int(length.sum()))
    is_turn = line.state[candidate] == to_state[owner]
    is_turn &= (candidate == low[owner]) | (line.state[candidate - 1] == from_state[owner])
    owner, candidate = owner[is_turn], candidate[is_turn]
    first = np.searchsorted(owner, np.arange(len(low)))
    n_turns = np.bincount(owner, minlength=len(low))
    kind = np.lexsort((to_state, from_state, low))
    is_same = np.zeros(len(low), dtype=bool)
    is_same[1:] = np.all([x[kind][1:] == x[kind][:-1] for x in (low, from_state, to_state)], axis=0)
    since = np.arange(len(low))
    since = since - np.maximum.accumulate(np.where(is_same, 0, since))
    nth = np.empty_like(since)
    nth[kind] = since
    found = n_turns > nth
    place = np.full(len(low), -1, dtype=np.int64)
    place[found] = candidate[first[found] + nth[found]]
    return place


def _pick(positions: Rows, limit: int, rng: np.random.Generator) -> Rows:
    if len(positions) <= limit:
        return positions
    return np.sort(rng.choice(positions, limit, replace=False, shuffle=False))


def _look_back(
    line: Timeline, of_class: list[Rows], is_touch: npt.NDArray[np.bool_], position: Rows, *, silent: bool
) -> Instant:
    """What came in the 24 h before each position; with ``silent`` the event at the position counts too."""
    at = line.at_us[position]
    first = np.searchsorted(line.key, line.key_at(line.customer[position], at - WINDOW_US), side="left")
    until = position + 1 if silent else position
    kind = np.full(len(position), 2) if silent else is_touch[line.event_class[position]].astype(np.int64)
    has = np.zeros((len(position), len(of_class)), dtype=bool)
    stratum = np.zeros(has.shape, dtype=np.int32)
    for code, places in enumerate(of_class):
        n_own = np.searchsorted(places, until) - np.searchsorted(places, first)
        has[:, code] = n_own > 0
        # Counting only the other classes keeps one frequent class from pushing the rest below one.
        bucket = np.searchsorted(BUCKETS, until - first - n_own, side="right")
        stratum[:, code] = kind * N_BUCKETS + bucket
    return Instant(position, has, stratum)


def _join(parts: list[Instant]) -> Instant:
    return Instant(*(np.concatenate([getattr(p, x) for p in parts]) for x in ("position", "has", "stratum")))


def compare(moved: Instant, others: Instant, customer: Codes) -> dict[str, Any]:
    """Standardised ratios per event class with intervals.

    With a the moves that have the class, N1 the moves and b of N0 comparison instants per stratum, the
    ratio is sum(a) / sum(N1 b / N0). Its log is linearised, and the linear terms are added up per customer
    before they are squared, so that neither many events nor many moves of one customer count as
    independent.
    """
    n_others = _count(others.stratum, None)
    n_like = np.where(n_others >= MIN_STRATUM, _count(moved.stratum, None), 0.0)
    base = _count(others.stratum, others.has) / np.maximum(n_others, 1)
    column = np.arange(moved.has.shape[1])
    keep = n_others[moved.stratum, column] >= MIN_STRATUM
    has = moved.has & keep
    observed, expected, n_moves = has.sum(axis=0), (n_like * base).sum(axis=0), keep.sum(axis=0)
    weight = n_like / np.maximum(n_others, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        own = has / observed - keep * base[moved.stratum, column] / expected
        surplus = others.has - base[others.stratum, column]
        theirs = -weight[others.stratum, column] * surplus / expected
        lift = observed / expected
        share, base_share = observed / n_moves, expected / n_moves
    movers = customer[moved.position]
    total = sum_by_customer(np.concatenate([movers, customer[others.position]]), np.concatenate([own, theirs]))
    n_customers = len(np.unique(movers))
    variance = (total**2).sum(axis=0) * n_customers / max(n_customers - 1, 1)
    low, high, p = _limits(observed, expected, np.sqrt(variance), n_customers)
    is_given = (expected >= MIN_EXPECTED) & (n_moves >= MIN_MOVES) & (n_customers >= MIN_CUSTOMERS)
    is_given &= (others.has & (weight[others.stratum, column] > 0)).sum(axis=0) >= MIN_EXPECTED
    return {
        "n_with": observed,
        "n_moves": n_moves,
        "share_p": share,
        "base_p": base_share,
        "lift": lift,
        "low": np.where(is_given, low, np.nan),
        "high": np.where(is_given, high, np.nan),
        "p": np.where(is_given, p, np.nan),
    }


def _count(stratum: Codes, weights: npt.NDArray[np.bool_] | None) -> Floats:
    """Instants per stratum and event class: all, or those with weight 1."""
    n_strata, n_classes = N_KINDS * N_BUCKETS, stratum.shape[1]
    cell = stratum.astype(np.int64) * n_classes + np.arange(n_classes)
    cell = cell.ravel() if weights is None else cell[weights]
    return np.bincount(cell, minlength=n_strata * n_classes).reshape(n_strata, n_classes).astype(np.float64)


def sum_by_customer(customer: Codes, values: Matrix) -> Matrix:
    """Column sums of the rows of each customer, one row per customer that occurs."""
    order = np.argsort(customer, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(customer[order]) != 0))
    return np.asarray(np.add.reduceat(values[order], starts, axis=0))


def _limits(observed: Floats, expected: Floats, sd: Floats, n_customers: int) -> tuple[Floats, Floats, Floats]:
    """Interval and p value: t on the log ratio; exact Poisson where the class never came before."""
    freedom = max(n_customers - 1, 1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        log_ratio = np.log(observed / expected)
        width = t.ppf(0.975, freedom) * sd
        p = 2 * t.sf(np.abs(log_ratio / sd), freedom)
        low, high = np.exp(log_ratio - width), np.exp(log_ratio + width)
        never = observed == 0
        p = np.where(never, np.minimum(2 * np.exp(-expected), 1.0), p)
        return np.where(never, 0.0, low), np.where(never, -np.log(0.025) / expected, high), p


def adjust_p_values(p: Floats) -> Floats:
    """Benjamini–Hochberg q values; NaN stays NaN and is not counted.

    >>> adjust_p_values(np.array([0.01, 0.04, np.nan, 0.03])).round(3).tolist()
    [0.03, 0.04, nan, 0.04]
    """
    q = np.full(len(p), np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    raw = p[order] * len(order) / np.arange(1, len(order) + 1)
    q[order] = np.minimum(np.minimum.accumulate(raw[::-1])[::-1], 1.0)
    return q


def class_names(history: pa.Table) -> list[str]:
    """The event classes in the order of the history's dictionary, which is the playbook's."""
    column = history["event_class"]
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    chunks = column.unify_dictionaries().chunks
    return list(chunks[0].dictionary.to_pylist()) if chunks else []


def _table(
    found: list[dict[str, Any]], states: Sequence[str], names: list[str], is_touch: npt.NDArray[np.bool_]
) -> pa.Table:
    n = len(names)
    empty: Floats = np.zeros(0)

    def gather(what: str) -> Floats:
        return np.concatenate([empty, *(np.broadcast_to(row[what], n) for row in found)])

    q = adjust_p_values(gather("p"))
    place = np.tile(np.arange(n), len(found))
    from_code, to_code = gather("from").astype(np.int64), gather("to").astype(np.int64)
    table = pa.table(
        {
            "from_state": pa.array([states[i] for i in from_code], pa.string()),
            "to_state": pa.array([states[i] for i in to_code], pa.string()),
            "event_class": pa.array([names[i] for i in place], pa.string()),
            "is_touch": pa.array(is_touch[place], pa.bool_()),
            "n_with": pa.array(gather("n_with").astype(np.int64), pa.int64()),
            "n_moves": pa.array(gather("n_moves").astype(np.int64), pa.int64()),
            **{
                name: pa.array(column, pa.float64(), mask=~np.isfinite(column))
                for name, column in [(k, gather(k)) for k in ("share_p", "base_p", "lift", "low", "high")]
            },
            "q": pa.array(q, pa.float64(), mask=~np.isfinite(q)),
        }
    )
    order = np.lexsort((place, np.where(np.isfinite(q), q, 2.0), to_code, from_code))
    return table.take(pa.array(order)) if len(order) else table
