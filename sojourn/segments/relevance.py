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

from sojourn.errors import EventsError
from sojourn.frames import DAY_US, F8, I8, instant_us
from sojourn.segments.cluster import KMEANS, cluster, count_kinds

SEGMENTS, RANDOM = "segments", "random"
REVENUE, LOGGED = "revenue", "revenue, logged"
MOST_PAYING = 20
"""So many segments are tried at most; RFM scores, added up, make 13 groups."""
_FOLDS = 5
_REPEATS = 4
_RANDOMS = 20
_DRAWS = 200
_LEAST = 100
_ANSWERED_WITHIN = 3 * DAY_US


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
    null where nothing was sent; touches of the last three days do not count, as nobody can know yet. Columns that the
    events do not have are left out.
    """
    start = instant_us(at)  # type: ignore[arg-type]
    window = Window(start, start + round(days * DAY_US))
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
        found |= {REVENUE: revenue, LOGGED: np.log1p(np.maximum(revenue, 0.0))}
    found["bought"] = _is_any(who[known & is_bought], n)
    found["came back"] = _is_any(who[known & ~is_touch], n)
    if is_touch.any():
        counted = is_touch & (when[rows] <= window.until - _ANSWERED_WITHIN)
        found["answered"] = pa.array(_share_answered(when[rows], who, is_touch, counted, n), from_pandas=True)
    return pa.table(found)


def _plain(ids: pa.Array | pa.ChunkedArray) -> pa.Array:
    return (ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids).cast(pa.string())


def _is_any(who: I8, n: int) -> F8:
    return (np.bincount(who, minlength=n) > 0).astype(float)


def _share_answered(when: I8, who: I8, is_touch: NDArray[np.bool_], counted: NDArray[np.bool_], n: int) -> F8:
    """Per customer, the share of counted touches that an own event follows within three days; NaN without any."""
    order = np.lexsort((when, who))
    at, whose, touch = when[order], who[order], is_touch[order]
    own, sent = np.flatnonzero(~touch), np.flatnonzero(counted[order])
    place = np.searchsorted(own, sent)
    has_next = place < len(own)
    after = own[np.minimum(place, max(len(own) - 1, 0))] if len(own) else np.zeros(len(sent), np.int64)
    is_answer = has_next & (whose[after] == whose[sent]) & (at[after] - at[sent] <= _ANSWERED_WITHIN)
    known = whose[sent] >= 0
    n_sent = np.bincount(whose[sent][known], minlength=n)
    n_answered = np.bincount(whose[sent][known], is_answer[known], n)
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
        folds = draw_folds(len(y), rng)
        errors = {way: predict_errors(y, group, folds) for way, group in ways.items()}
        shuffled = [predict_errors(y, rng.permutation(ways[against]), folds[:1]) for _ in range(_RANDOMS)]
        errors[RANDOM] = np.mean(shuffled, axis=0)
        base = predict_errors(y, np.zeros(len(y), np.int64), folds)
        rows += _compare_ways(name, errors, base, {way: int(group.max()) + 1 for way, group in ways.items()}, rng)
    return pa.Table.from_pylist(rows)


def _recode(group: I8) -> I8:
    return np.asarray(np.unique(group, return_inverse=True)[1], np.int64)


def draw_folds(n: int, rng: np.random.Generator) -> list[I8]:
    """The fold of each customer, 0 to 4, four times over."""
    return [rng.permutation(np.arange(n) % _FOLDS) for _ in range(_REPEATS)]


def predict_errors(y: F8, group: I8, folds: Sequence[I8]) -> F8:
    """Squared errors of what is expected of a customer's group, by the customers of the other folds.

    >>> y, group = np.array([0.0, 9, 1, 8] * 50), np.array([0, 1] * 100)
    >>> folds = draw_folds(200, np.random.default_rng(0))
    >>> one, two = (predict_errors(y, way, folds).sum() for way in (np.zeros(200, int), group))
    >>> round(float(1 - two / one), 2)
    0.98
    """
    total = np.zeros(len(y))
    for fold in folds:
        for i in range(_FOLDS):
            train, test = fold != i, fold == i
            total[test] += (y[test] - _expect_of_groups(y[train], group[train], int(group.max()) + 1)[group[test]]) ** 2
    return total / len(folds)


def _expect_of_groups(y: F8, group: I8, k: int) -> F8:
    """The mean of each group [K], drawn toward the mean of all by as much as groups of its size are chance.

    So many small groups, as the 125 cells of RFM, are worth what can be had of them, and no way of grouping is favoured
    for its number of groups. How far groups differ beyond chance is the analysis-of-variance estimate (Searle, Casella
    and McCulloch 1992, 10.1002/9780470316856); where they do not, or no group has two customers, it is the mean of all.
    """
    middle = y.mean()
    y = y - middle
    n = np.bincount(group, minlength=k)
    sums = np.bincount(group, y, k)
    n_groups = int((n > 0).sum())
    if n_groups < 2 or n_groups == len(y):
        return np.full(k, middle)
    means = sums / np.maximum(n, 1)
    apart = float(sums @ means)
    within = max(float(y @ y) - apart, 0.0) / (len(y) - n_groups)
    usual_n = (len(y) - float(n @ n) / len(y)) / (n_groups - 1)
    between = (apart / (n_groups - 1) - within) / usual_n
    if between <= 0:
        return np.full(k, middle)
    return np.asarray(middle + sums / np.maximum(n + within / between, 1e-12))


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
    points: NDArray[np.floating], outcomes: pa.Table, *, k_max: int = MOST_PAYING, seed: int = 0
) -> tuple[int, pa.Table]:
    """How many segments pay: the fewest that explain as much as the best number does, within one standard error.

    Returns the number and ``k, explained_p, below_best_se, is_chosen`` for each tried; ``explained_p`` is the mean over
    the outcomes, ``below_best_se`` the standard error of the distance to the best, over customers drawn again. Where
    revenue is there logged, that stands for it: as it is, a few large customers would decide. For customers without
    groups of their own, where silhouette and the like have nothing to find. Raises EventsError where no outcome tells
    100 customers apart.
    """
    rng = np.random.default_rng(seed)
    skipped = {"customer_id", REVENUE} if LOGGED in outcomes.column_names else {"customer_id"}
    kept = [name for name in outcomes.column_names if name not in skipped]
    known = {name: np.asarray(outcomes[name].to_numpy(), dtype=float) for name in kept}
    known = {n: y for n, y in known.items() if np.isfinite(y).all() and np.ptp(y) > 0 and len(y) >= _LEAST}
    if not known:
        raise EventsError("nothing that happened after tells enough customers apart")
    n = len(points)
    draws = np.vstack([np.ones(n), rng.multinomial(n, np.full(n, 1 / n), size=_DRAWS)])
    folds = draw_folds(n, rng)
    explained = []
    numbers = list(range(2, max(2, min(k_max, n // 50, count_kinds(points, k_max))) + 1))
    for k in numbers:
        group = cluster(points, KMEANS, k, seed=seed).assign(points)[0]
        parts = []
        for y in known.values():
            base = draws @ predict_errors(y, np.zeros(n, np.int64), folds)
            parts.append(1 - (draws @ predict_errors(y, group, folds)) / base)
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
