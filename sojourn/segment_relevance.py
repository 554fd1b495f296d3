"""Are the segments worth having? How much of what customers did *later* is explained by knowing their segment.

Segments are made of what was known at an instant; outcomes are counted strictly after it. What is explained is measured
on customers whose outcomes did not set the expectation (five folds), beside random segments of the same sizes and RFM.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sojourn.instants import instant_us

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]

SEGMENTS, RANDOM = "segments", "random"
_DAY_US = 86_400_000_000
_FOLDS = 5
_REPEATS = 4
_RANDOMS = 20
_DRAWS = 200
_LEAST = 100
_ANSWERED_WITHIN = 3 * _DAY_US


@dataclass(frozen=True)
class Window:
    """Outcomes are counted after ``at`` (microseconds), until ``until``."""

    at: int
    until: int


def count_outcomes(
    events: pa.Table,
    customer_ids: pa.Array,
    at: object,
    days: float,
    *,
    touches: Sequence[str] = (),
    purchases: Sequence[str] = (),
    measure: str | None = None,
) -> pa.Table:
    """What each customer did in the ``days`` after ``at``: ``customer_id``, then one column per outcome.

    ``revenue``: sum of the measure; ``revenue, logged``: log(1 + that, or 0 where it is negative), in which a few large
    customers are not everything; ``bought`` and ``came back``: 1 for a purchase, for any event of their own;
    ``answered``: share of the touches sent to them that were followed by an event of their own within three days,
    null where nothing was sent. Columns that the events do not have are left out.
    """
    start = instant_us(at)  # type: ignore[arg-type]
    window = Window(start, start + round(days * _DAY_US))
    when = events["event_at"].cast(pa.int64()).to_numpy()
    rows = np.flatnonzero((when > window.at) & (when <= window.until))
    later = events.take(pa.array(rows))
    who = (
        pc.index_in(later["customer_id"].cast(pa.string()), value_set=_plain(customer_ids))
        .fill_null(-1)
        .to_numpy()
        .astype(np.int64)
    )
    kinds = later["event_class"].cast(pa.string())
    known, n = who >= 0, len(customer_ids)
    is_touch = pc.is_in(kinds, pa.array(list(touches), pa.string())).to_numpy(zero_copy_only=False)
    is_bought = pc.is_in(kinds, pa.array(list(purchases), pa.string())).to_numpy(zero_copy_only=False)
    found: dict[str, object] = {"customer_id": customer_ids}
    if measure is not None:
        value = np.nan_to_num(later[f"m_{measure}"].to_numpy())
        revenue = np.bincount(who[known & is_bought], value[known & is_bought], n)
        found |= {"revenue": revenue, "revenue, logged": np.log1p(np.maximum(revenue, 0.0))}
    found["bought"] = _is_any(who[known & is_bought], n)
    found["came back"] = _is_any(who[known & ~is_touch], n)
    if is_touch.any():
        found["answered"] = pa.array(_share_answered(when[rows], who, is_touch, n), from_pandas=True)
    return pa.table(found)


def _plain(ids: pa.Array | pa.ChunkedArray) -> pa.Array:
    return (ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids).cast(pa.string())


def _is_any(who: I8, n: int) -> F8:
    return (np.bincount(who, minlength=n) > 0).astype(float)


def _share_answered(when: I8, who: I8, is_touch: NDArray[np.bool_], n: int) -> F8:
    """Per customer, the share of touches that an own event follows within three days; NaN where there were none."""
    order = np.lexsort((when, who))
    at, whose, touch = when[order], who[order], is_touch[order]
    own = np.flatnonzero(~touch)
    place = np.searchsorted(own, np.flatnonzero(touch))
    sent = np.flatnonzero(touch)
    has_next = place < len(own)
    after = own[np.minimum(place, max(len(own) - 1, 0))] if len(own) else np.zeros(len(sent), np.int64)
    is_answer = has_next & (whose[after] == whose[sent]) & (at[after] - at[sent] <= _ANSWERED_WITHIN)
    counted = whose[sent] >= 0
    n_sent = np.bincount(whose[sent][counted], minlength=n)
    n_answered = np.bincount(whose[sent][counted], is_answer[counted], n)
    return np.where(n_sent > 0, n_answered / np.maximum(n_sent, 1), np.nan)


def measure_relevance(
    groups: Mapping[str, I8], outcomes: pa.Table, *, seed: int = 0, against: str = SEGMENTS
) -> pa.Table:
    """How much of each outcome each way of grouping explains: ``outcome, grouping, n_groups, n_customers, explained_p,
    low, high, more_p, more_low, more_high``.

    ``groups``: the group of every customer of ``outcomes`` under several ways, ``segments`` among them. ``explained_p``
    is 1 - squared error / that of the mean of all, in five folds, four times over; below zero where groups mislead.
    ``more_p`` is what ``segments`` explain beyond it, with 95 % intervals over customers drawn again. ``random`` stands
    for twenty ways to deal the customers into groups of the segments' sizes. Outcomes with fewer than 100 customers, or
    the same for all, are left out.
    """
    rng = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    for name in outcomes.column_names:
        if name == "customer_id":
            continue
        values = np.asarray(outcomes[name].to_numpy(), dtype=float)
        known = ~np.isnan(values)
        if known.sum() < _LEAST or np.ptp(values[known]) == 0:
            continue
        y = values[known]
        ways = {way: _recode(group[known]) for way, group in groups.items()}
        folds = [rng.permutation(np.arange(len(y)) % _FOLDS) for _ in range(_REPEATS)]
        errors = {way: _predict_errors(y, group, folds) for way, group in ways.items()}
        shuffled = [_predict_errors(y, rng.permutation(ways[against]), folds[:1]) for _ in range(_RANDOMS)]
        errors[RANDOM] = np.mean(shuffled, axis=0)
        base = _predict_errors(y, np.zeros(len(y), np.int64), folds)
        rows += _compare_ways(name, errors, base, {way: int(group.max()) + 1 for way, group in ways.items()}, rng)
    return pa.Table.from_pylist(rows)


def _recode(group: I8) -> I8:
    return np.asarray(np.unique(group, return_inverse=True)[1], np.int64)


def _predict_errors(y: F8, group: I8, folds: Sequence[I8]) -> F8:
    """Squared errors of the mean of a customer's group among the customers of the other folds.

    A group's mean is drawn toward the mean of all as if one more customer had been seen there: small groups, as the
    125 cells of RFM have, then mislead less.
    """
    k = int(group.max()) + 1
    total = np.zeros(len(y))
    for fold in folds:
        for i in range(_FOLDS):
            train, test = fold != i, fold == i
            mean = y[train].mean()
            sums = np.bincount(group[train], y[train], k)
            n = np.bincount(group[train], minlength=k)
            total[test] += (y[test] - ((sums + mean) / (n + 1))[group[test]]) ** 2
    return total / len(folds)


def _compare_ways(
    outcome: str, errors: Mapping[str, F8], base: F8, n_groups: Mapping[str, int], rng: np.random.Generator
) -> list[dict[str, object]]:
    n = len(base)
    draws = rng.multinomial(n, np.full(n, 1 / n), size=_DRAWS)
    under = draws @ base
    own = errors[SEGMENTS]
    rows: list[dict[str, object]] = []
    for way, error in errors.items():
        explained = 1 - (draws @ error) / under
        more = (draws @ (error - own)) / under
        low, high = np.quantile(explained, [0.025, 0.975])
        more_low, more_high = np.quantile(more, [0.025, 0.975])
        rows.append(
            {
                "outcome": outcome,
                "grouping": way,
                "n_groups": n_groups.get(way, n_groups[SEGMENTS]),
                "n_customers": n,
                "explained_p": float(1 - error.sum() / base.sum()),
                "low": float(low),
                "high": float(high),
                "more_p": float((error.sum() - own.sum()) / base.sum()),
                "more_low": float(more_low),
                "more_high": float(more_high),
            }
        )
    return rows


def choose_by_relevance(
    points: NDArray[np.floating], outcomes: pa.Table, *, k_max: int = 12, seed: int = 0
) -> tuple[int, pa.Table]:
    """How many segments pay: the fewest that explain as much as the best number does, within one standard error.

    Returns the number and ``k, explained_p, below_best_se, is_chosen`` for each tried; ``explained_p`` is the mean over
    the outcomes, ``below_best_se`` the standard error of the distance to the best, over customers drawn again. For
    customers without groups of their own, where silhouette and the like have nothing to find.
    """
    from sojourn.segment_cluster import KMEANS, cluster

    rng = np.random.default_rng(seed)
    kept = [name for name in outcomes.column_names if name != "customer_id"]
    known = {name: np.asarray(outcomes[name].to_numpy(), dtype=float) for name in kept}
    known = {n: y for n, y in known.items() if np.isfinite(y).all() and np.ptp(y) > 0 and len(y) >= _LEAST}
    n = len(points)
    draws = np.vstack([np.ones(n), rng.multinomial(n, np.full(n, 1 / n), size=_DRAWS)])
    folds = [rng.permutation(np.arange(n) % _FOLDS) for _ in range(_REPEATS)]
    explained = []
    numbers = list(range(2, max(3, min(k_max, n // 50) + 1)))
    for k in numbers:
        group = cluster(points, KMEANS, k, seed=seed).assign(points)[0]
        parts = []
        for y in known.values():
            base = draws @ _predict_errors(y, np.zeros(n, np.int64), folds)
            parts.append(1 - (draws @ _predict_errors(y, group, folds)) / base)
        explained.append(np.mean(parts, axis=0))
    found = np.stack(explained)
    best = int(found[:, 0].argmax())
    se = (found[best, 1:] - found[:, 1:]).std(axis=1, ddof=1)
    chosen = int(np.flatnonzero(found[:, 0] >= found[best, 0] - se)[0])
    table = pa.table(
        {
            "k": numbers,
            "explained_p": found[:, 0],
            "below_best_se": se,
            "is_chosen": [k == numbers[chosen] for k in numbers],
        }
    )
    return numbers[chosen], table
