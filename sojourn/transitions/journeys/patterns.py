"""Journeys: what many customers do in the same order, within limits of length, gap and span."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import fisher_exact

from sojourn.fold import kernels
from sojourn.transitions.precursors import adjust_p_values

Keep = Literal["all", "closed", "maximal"]
NO_LIMIT = 2**62


@dataclass(frozen=True)
class Limits:
    """Bounds of a pattern: items, positions from one item to the next, seconds likewise, seconds in all.

    ``max_gap`` 1 means: right after each other. ``None`` is no limit, and has to be spelled out.
    """

    max_length: int
    max_gap: int | None
    max_gap_s: float | None = None
    max_span_s: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.max_length <= 100:
            raise ValueError(f"max_length: 1 to 100, not {self.max_length}")
        if self.max_gap is not None and self.max_gap < 1:
            raise ValueError(f"max_gap: 1 or more, or None, not {self.max_gap}")
        if min(self.max_gap_s or 0, self.max_span_s or 0) < 0:
            raise ValueError("max_gap_s and max_span_s: 0 or more, or None")

    @property
    def is_free(self) -> bool:
        """Whether any later position may follow."""
        return self.max_gap is None and self.max_gap_s is None and self.max_span_s is None

    def as_array(self) -> NDArray[np.int64]:
        """Length, gap, gap in microseconds, span in microseconds, for the kernel."""
        us = [NO_LIMIT if s is None else round(s * 1e6) for s in (self.max_gap_s, self.max_span_s)]
        return np.array([self.max_length, NO_LIMIT if self.max_gap is None else self.max_gap, *us], np.int64)


def mine_patterns(
    customer: NDArray[np.integer],
    item: NDArray[np.integer],
    at_us: NDArray[np.int64],
    *,
    limits: Limits,
    min_support: int,
    keep: Keep = "all",
    max_patterns: int = 1_000_000,
    progress: Callable[[int, int], None] | None = None,
) -> pa.Table:
    """``pattern`` (list of items) and ``support`` (customers), most supported first, then by length and items.

    Rows are in the order customer, time; items are codes from 0. A closed pattern has more support than any longer
    one around it, a maximal one has no frequent one around it. With a limit of gap or span "around" means one
    unbroken part of the longer pattern, since only such parts have at least its support; both judge among patterns of
    at most ``max_length``. Raises :class:`ValueError` for over ``max_patterns`` patterns: ask for more support.

    >>> table = mine_patterns(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.arange(4),
    ...     limits=Limits(3, max_gap=1), min_support=2, keep="maximal")
    >>> table.to_pylist()
    [{'pattern': [0, 1], 'support': 2}]
    """
    if min_support < 1:
        raise ValueError(f"min_support: 1 customer or more, not {min_support}")
    change = np.diff(customer)
    owner = np.append(0, np.cumsum(change != 0))[: len(customer)]
    if np.any(change < 0) or np.any((np.diff(at_us) < 0) & (change == 0)):
        raise ValueError("rows: not in the order customer, time")
    starts = np.append(np.searchsorted(owner, np.arange(owner.max(initial=-1) + 1)), len(owner)).astype(np.int64)
    pairs = np.sort(owner * (int(item.max(initial=0)) + 1) + item)
    is_first = np.diff(pairs, prepend=-1) != 0  # quicker than np.unique
    support_of = np.bincount(pairs[is_first] % (int(item.max(initial=0)) + 1))
    frequent = np.flatnonzero(support_of >= min_support)
    place = np.full(len(support_of) or 1, -1, np.int32)
    place[frequent] = np.arange(len(frequent))
    codes = place[item]
    ends, firsts = (np.empty((limits.max_length, len(codes)), np.int32) for _ in range(2))
    found: list[tuple[NDArray[np.int32], NDArray[np.int64]]] = []
    size, n_all = 1024, 0
    for root in range(len(frequent)):
        n = -1
        while n < 0:
            out, support = np.empty((size, limits.max_length), np.int32), np.empty(size, np.int64)
            n = kernels.grow_patterns(
                root,
                codes,
                at_us.astype(np.int64),
                owner.astype(np.int32),
                starts,
                len(frequent),
                min_support,
                limits.as_array(),
                limits.is_free,
                ends,
                firsts,
                out,
                support,
            )
            if n_all + max(n, size if n < 0 else n) > max_patterns:
                raise ValueError(f"more than {max_patterns:,} patterns have the support of {min_support}: ask for more")
            size = size if n >= 0 else size * 2
        n_all += n
        found.append((out[:n].copy(), support[:n].copy()))
        if progress:
            progress(root + 1, len(frequent))
    rows = [
        (tuple(int(frequent[x]) for x in row if x >= 0), int(n))
        for out, support in found
        for row, n in zip(out, support, strict=True)
    ]
    rows = _keep_outer(rows, keep, is_free=limits.is_free)
    rows.sort(key=lambda row: (-row[1], len(row[0]), row[0]))
    return pa.table(
        {
            "pattern": pa.array([list(pattern) for pattern, _ in rows], pa.list_(pa.int64())),
            "support": pa.array([n for _, n in rows], pa.int64()),
        }
    )


def _keep_outer(
    rows: Sequence[tuple[tuple[int, ...], int]], keep: Keep, *, is_free: bool
) -> list[tuple[tuple[int, ...], int]]:
    """The closed or maximal ones. Parts one item shorter are enough, for support never grows with length."""
    if keep == "all":
        return list(rows)
    around: dict[tuple[int, ...], int] = {}
    for pattern, n in rows:
        for i in range(len(pattern)) if is_free else {0, len(pattern) - 1}:
            part = pattern[:i] + pattern[i + 1 :]
            around[part] = max(around.get(part, 0), n)
    return [(pattern, n) for pattern, n in rows if around.get(pattern, 0) < (n if keep == "closed" else 1)]


def contrast_patterns(
    customer: NDArray[np.integer],
    item: NDArray[np.integer],
    at_us: NDArray[np.int64],
    is_goal: NDArray[np.bool_],
    *,
    limits: Limits,
    min_share: float,
    rng: np.random.Generator,
    keep: Keep = "closed",
    most: int | None = None,
) -> pa.Table:
    """Patterns of one half of the customers, judged on the other: who reached a goal against who did not.

    ``customer`` are codes from 0 into ``is_goal``. A pattern is kept with ``min_share`` of either group of the mined
    half; with ``most`` only so many are judged, those that set the groups of the mined half apart the most, so that
    fewer share the false discoveries. Cut each customer's rows before the goal, or it becomes a pattern. Columns, all
    of the held-out half but ``lift_mined``: ``pattern``, ``n_goal``, ``n_others`` (customers with it), ``share_goal``,
    ``share_others``, ``lift`` (ratio of the shares), ``odds_ratio`` with ``low`` and ``high`` (95 %, Woolf's logit with
    Haldane's half added to each cell), ``p`` (Fisher, two-sided) and ``q`` (Benjamini-Hochberg); best first.
    """
    is_mined = np.zeros(len(is_goal), bool)
    for group in (np.flatnonzero(is_goal), np.flatnonzero(~is_goal)):
        is_mined[rng.permutation(group)[: len(group) // 2]] = True
    patterns: set[tuple[int, ...]] = set()
    for chosen in (is_mined & is_goal, is_mined & ~is_goal):
        rows = np.flatnonzero(chosen[customer])
        least = max(2, int(np.ceil(min_share * chosen.sum())))
        mined = mine_patterns(customer[rows], item[rows], at_us[rows], limits=limits, min_support=least, keep=keep)
        patterns.update(tuple(p) for p in mined["pattern"].to_pylist())
    starts = np.searchsorted(customer, np.arange(len(is_goal) + 1)).astype(np.int64)
    codes, at, out = item.astype(np.int32), at_us.astype(np.int64), []
    tried = []
    for pattern in sorted(patterns):
        has = kernels.match_pattern(np.array(pattern, np.int32), codes, at, starts, limits.as_array())
        _, log_odds, width = _odds(has[is_mined & is_goal], has[is_mined & ~is_goal])
        tried.append((abs(log_odds) / width, pattern, has))
    for _, pattern, has in sorted(tried, key=lambda row: (-row[0], row[1]))[:most]:
        lift_mined = _share(has, is_mined & is_goal) / max(_share(has, is_mined & ~is_goal), 1e-12)
        (a, b, c, d), log_odds, width = _odds(has[~is_mined & is_goal], has[~is_mined & ~is_goal])
        share_goal, share_others = a / max(a + b, 1), c / max(c + d, 1)
        out.append(
            {
                "pattern": list(pattern),
                "n_goal": a,
                "n_others": c,
                "share_goal": share_goal,
                "share_others": share_others,
                "lift": share_goal / share_others if share_others else None,
                "lift_mined": lift_mined if lift_mined < 1e9 else None,
                "odds_ratio": float(np.exp(log_odds)),
                "low": float(np.exp(log_odds - width)),
                "high": float(np.exp(log_odds + width)),
                "p": float(fisher_exact([[a, b], [c, d]])[1]),
            }
        )
    names = ("lift", "lift_mined", "share_goal", "share_others", "odds_ratio", "low", "high", "p", "q")
    schema = pa.schema(
        [("pattern", pa.list_(pa.int64())), ("n_goal", pa.int64()), ("n_others", pa.int64())]
        + [(name, pa.float64()) for name in names]
    )
    q = adjust_p_values(np.array([row["p"] for row in out], np.float64))
    rows_out = [{**row, "q": float(value)} for row, value in zip(out, q, strict=True)]
    return pa.Table.from_pylist(sorted(rows_out, key=lambda row: (row["q"], row["pattern"])), schema=schema)


def _odds(goal: NDArray[np.bool_], others: NDArray[np.bool_]) -> tuple[tuple[int, int, int, int], float, float]:
    """With and without the pattern, with and without the goal; the log-odds ratio, and half of its 95 % interval."""
    a, b, c, d = (int(n) for n in (goal.sum(), (~goal).sum(), others.sum(), (~others).sum()))
    log_odds = np.log((a + 0.5) * (d + 0.5) / ((b + 0.5) * (c + 0.5)))
    return (a, b, c, d), float(log_odds), float(1.959964 * np.sqrt(sum(1 / (n + 0.5) for n in (a, b, c, d))))


def _share(has: NDArray[np.bool_], group: NDArray[np.bool_]) -> float:
    return float(has[group].mean()) if group.any() else 0.0
