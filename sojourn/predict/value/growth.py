"""How the expected value of customers changes with each move: on the Monday after it less on the Monday before.

What is expected of a customer in the next four weeks is learned from the behaviour of other customers, so that looking
around and falling silent change it, not only buying. Beside those who moved stand those who stayed in the state over
the same weeks. It describes, and proves no cause: :mod:`sojourn.transitions.values` makes customers alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sojourn.frames import DAY_US, F8, I8
from sojourn.predict.value.learners import LEAST_ROWS, learn_boosted
from sojourn.predict.value.purchases import Purchases
from sojourn.predict.value.revenue import rank_correlation
from sojourn.predict.value.rows import Behaviour, ValueRows, rename_purchases, trace_rows
from sojourn.transitions import Stays

GROWTH = pa.schema(
    [
        ("from_state", pa.string()),
        ("to_state", pa.string()),
        ("days", pa.int64()),
        ("n_moves", pa.int64()),
        ("n_customers", pa.int64()),
        ("value_before", pa.float64()),
        ("value_after", pa.float64()),
        ("growth", pa.float64()),
        ("growth_low", pa.float64()),
        ("growth_high", pa.float64()),
        ("growth_stayed", pa.float64()),
        ("against_stayed", pa.float64()),
        ("against_low", pa.float64()),
        ("against_high", pa.float64()),
        ("rank_correlation", pa.float64()),
        ("why_not", pa.string()),
    ]
)
HORIZON_DAYS = 28
LEAST_MOVES = 30
MOST_MOVES = 16
_WEEKS = 8  # the last ones, of which moves are told
_LEARNED_AT = 4  # Mondays that the value is learned at
_MONDAY = 4  # 1970-01-05, in days
_LEAST_RANK = 0.05


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Ends of Sundays [K], the state of each customer then [customers, K] (-1: none), and the value expected [same].

    ``rank_correlation``: Spearman's, of the value expected and what was spent, on the Mondays it was learned at but by
    customers it was not learned from. Value is NaN of customers not known yet.
    """

    days: tuple[int, ...]
    state: I8
    value: F8
    rank_correlation: float


def choose_landmarks(first: int, last: int, horizon: int = HORIZON_DAYS) -> tuple[list[int], list[int]]:
    """Ends of Sundays to tell moves between, and those to learn value at: early enough to see the horizon after them.

    >>> choose_landmarks(0, 100)
    ([45, 52, 59, 66, 73, 80, 87, 94], [45, 52, 59, 66])
    >>> choose_landmarks(0, 30)
    ([10, 17, 24], [])
    """
    sundays = [day for day in range(first + 7, last + 1) if (day + 1 - _MONDAY) % 7 == 0]
    learned = [day for day in sundays if day + horizon <= last]
    return sundays[-_WEEKS:], learned[-_LEARNED_AT:]


def expect_at_landmarks(
    behaviour: Behaviour, purchases: Purchases, stays: Stays, last: int, *, rng: np.random.Generator
) -> Landmarks | str:
    """States and values of the customers at each landmark up to the day ``last``; or in words why not.

    ``behaviour``, ``purchases`` and ``stays`` number the customers alike.
    """
    if not len(behaviour.batch):
        return "no customer has done anything"
    told, learned = choose_landmarks(int(behaviour.batch.event_at[0] // DAY_US), last)
    if len(told) < 2 or not learned:
        return f"the events do not reach over {HORIZON_DAYS} days and two weeks"
    every = sorted({*told, *learned})
    rows = trace_rows(behaviour, purchases, every, [HORIZON_DAYS] * len(every), is_buyers_only=False)
    train = rows.take(np.isin(rows.day, learned))
    if len(train) < LEAST_ROWS or (train.value > 0).sum() < LEAST_ROWS // 5:
        return f"too little to learn from: {int((train.value > 0).sum()):,} of {len(train):,} rows spent anything"
    expected = _cross_fit(rows, train, len(behaviour.names), rng)
    is_seen = np.isin(rows.day, learned)
    value = np.full((len(behaviour.names), len(told)), np.nan)
    place = {day: k for k, day in enumerate(told)}
    is_told = np.isin(rows.day, told)
    value[rows.customer[is_told], [place[day] for day in rows.day[is_told].tolist()]] = expected[is_told]
    state = np.stack([states_at(stays, (day + 1) * DAY_US - 1) for day in told], axis=1)
    return Landmarks(tuple(told), state, value, rank_correlation(expected[is_seen], rows.value[is_seen]))


def grow_values(
    behaviour: Behaviour, bought: Purchases | str, stays: Stays, now_us: int, *, rng: np.random.Generator
) -> pa.Table:
    """Growth of value with each frequent move of these customers until the last whole day (:data:`GROWTH`).

    ``bought`` in words, where there are no purchases, is what each row then says.
    """
    pairs = Counter(zip(stays.state.tolist(), stays.to_state.tolist(), strict=True))
    frequent = [pair for pair, _ in sorted(pairs.items(), key=lambda one: (-one[1], one[0])) if pair[1] >= 0]
    last = (now_us + 1) // DAY_US - 1
    if isinstance(bought, str):
        return grow_by_move(bought, stays.states, frequent)
    purchases = rename_purchases(bought, behaviour.names)
    found = expect_at_landmarks(behaviour, purchases, stays, last, rng=rng)
    return grow_by_move(found, stays.states, frequent)


def _cross_fit(rows: ValueRows, train: ValueRows, n: int, rng: np.random.Generator) -> F8:
    """The value expected of each row, by a model of the other half of the customers."""
    half, seed = rng.permutation(n) % 2, int(rng.integers(1 << 31))
    expected = np.empty(len(rows))
    for k in (0, 1):
        some, theirs = train.take(half[train.customer] != k), half[rows.customer] == k
        mean = np.full(len(some), max(float(some.value.mean()), 1e-9))
        predict = learn_boosted(some.inputs, mean, np.maximum(some.value, 0.0), some.n_bought, seed)
        expected[theirs] = predict(rows.inputs[theirs], np.full(int(theirs.sum()), mean[0]))
    return expected


def states_at(stays: Stays, at_us: int) -> I8:
    """The published state of each customer at an instant, as a position in ``stays.states``; -1 for none yet."""
    is_there = (stays.start_us <= at_us) & ((stays.end_us > at_us) | (stays.to_state < 0))
    found = np.full(stays.n_customers, -1, np.int64)
    found[stays.customer[is_there]] = stays.state[is_there]
    return found


def grow_by_move(found: Landmarks | str, states: Sequence[str], pairs: Sequence[tuple[int, int]] = ()) -> pa.Table:
    """Growth of value with each frequent move (:data:`GROWTH`), the largest against those who stayed first.

    A row is a customer and a week. Intervals (95 %) take the rows of a customer as one observation. ``found`` in words,
    instead of landmarks: each of ``pairs`` gets a row that says so.

    >>> state, value = np.array([[0, 1], [0, 0]] * 40), np.array([[2.0, 5.0], [2.0, 3.0]] * 40)
    >>> row = grow_by_move(Landmarks((6, 13), state, value, 0.4), ["new", "keen"]).to_pylist()[0]
    >>> row["from_state"], row["to_state"], row["growth"], row["growth_stayed"], row["against_stayed"]
    ('new', 'keen', 3.0, 1.0, 2.0)
    """
    if isinstance(found, str):
        rows = [_blank(states, pair) | {"why_not": found} for pair in pairs[:MOST_MOVES]]
        return pa.Table.from_pylist(rows, schema=GROWTH)
    before, after = found.state[:, :-1], found.state[:, 1:]
    then, now = found.value[:, :-1], found.value[:, 1:]
    is_known = (before >= 0) & (after >= 0) & np.isfinite(then) & np.isfinite(now)
    moves = Counter(zip(before[is_known].tolist(), after[is_known].tolist(), strict=True))
    frequent = [pair for pair, _ in sorted(moves.items(), key=lambda one: (-one[1], one[0])) if pair[0] != pair[1]]
    rows = []
    for a, b in frequent[:MOST_MOVES]:
        is_moved = is_known & (before == a) & (after == b)
        is_stayed = is_known & (before == a) & (after == a)
        row = _blank(states, (a, b)) | {
            "n_moves": int(is_moved.sum()),
            "n_customers": int(is_moved.any(axis=1).sum()),
            "rank_correlation": found.rank_correlation,
        }
        if row["n_customers"] < LEAST_MOVES:
            row["why_not"] = f"{row['n_customers']} customers made it; {LEAST_MOVES} are needed"
        elif not found.rank_correlation >= _LEAST_RANK:
            row["why_not"] = "what customers will spend cannot be told from what they did before"
        else:
            row |= _compare(then, now, is_moved, is_stayed)
        rows.append(row)
    rows.sort(key=lambda row: (row["why_not"] is not None, -(row.get("against_stayed") or row.get("growth") or 0.0)))
    return pa.Table.from_pylist(rows, schema=GROWTH)


def _blank(states: Sequence[str], pair: tuple[int, int]) -> dict[str, Any]:
    return dict.fromkeys(GROWTH.names) | {
        "from_state": states[pair[0]],
        "to_state": states[pair[1]],
        "days": HORIZON_DAYS,
    }


def _compare(then: F8, now: F8, is_moved: NDArray[np.bool_], is_stayed: NDArray[np.bool_]) -> dict[str, float]:
    """Means of those who moved, and against those who stayed in the same weeks, with intervals by customer."""
    n = int(is_moved.sum())
    growth = np.where(np.isfinite(now - then), now - then, 0.0)
    mean = float(growth[is_moved].mean())
    pull = np.where(is_moved, (growth - mean) / n, 0.0).sum(axis=1)  # what each customer pulls the mean by
    half = 1.96 * float(np.sqrt(pull @ pull))
    told = {
        "value_before": float(then[is_moved].mean()),
        "value_after": float(now[is_moved].mean()),
        "growth": mean,
        "growth_low": mean - half,
        "growth_high": mean + half,
    }
    n_stayed = is_stayed.sum(axis=0)
    share = np.where(n_stayed > 0, is_moved.sum(axis=0), 0) / n
    if share.sum() < 1 - 1e-9 or n_stayed.sum() < LEAST_MOVES:
        return told
    weekly = (growth * is_stayed).sum(axis=0) / np.maximum(n_stayed, 1)
    stayed = float(share @ weekly)
    pull -= (is_stayed * (growth - weekly) * share / np.maximum(n_stayed, 1)).sum(axis=1)
    pull += (is_moved * (weekly - stayed) / n).sum(axis=1) * -1
    half = 1.96 * float(np.sqrt(pull @ pull))
    return told | {
        "growth_stayed": stayed,
        "against_stayed": mean - stayed,
        "against_low": mean - stayed - half,
        "against_high": mean - stayed + half,
    }
