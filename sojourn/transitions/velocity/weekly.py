"""Velocity as a number to watch: per week and move, how many of those who could move did, and was that usual.

Part of :mod:`sojourn.transitions.matrix`, which gives the stays. Two clocks run side by side. The medians of
:func:`~sojourn.dwell.estimate_velocity` follow the stays *begun* in a week, and so are late by as long as moving
takes. The rates here count what happened *in* a week, and so are there on Monday. Sources: moves over time at risk,
and moves over expected moves, Breslow & Day 1987 (ISBN 92-832-1182-9), chapter 2; exact limits of a count, Garwood 1936
(doi:10.1093/biomet/28.3-4.437).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.stats import gamma

from sojourn.frames import MONDAY_US, WEEK_US
from sojourn.playbook import Target
from sojourn.transitions.stays import Floats, Instants, Stays, names_at, week_instants
from sojourn.transitions.velocity.targets import TOO_FEW, TOO_RECENT, Judged, judge_nothing, judge_weeks

MIN_AT_RISK_DAYS = 70.0
"""A weekly rate of less than this time at risk, ten customers all week, is not given."""

MIN_EXPECTED = 5.0
"""A weekly index of fewer expected moves than this is not given."""

MOST_STAYS = 500_000
"""Kinds of stays and cohorts are told apart among customers drawn at random with about as many stays; rates are all."""

UNSEEN_SHARE, UNSEEN_US = 0.25, 4 * WEEK_US
"""Customers first seen in the first quarter of the data, at most four weeks, may have been there before."""

_MOST_AGES = 8
_MOST_TENURES = 7
_MOVES_PER_CELL = 30


@dataclass(frozen=True)
class Risk:
    """Moves out of one state and the time in which they could happen, per week; the last row of moves is leaving.

    ``n_moves`` has shape (states + 1, weeks), ``at_risk_days`` (weeks,), ``clusters`` (states + 1,): how many times as
    uncertain a count is because customers repeat a move within a week. Stays whose beginning was seen are also counted
    by kind: ``events`` (states + 1, kinds, weeks) and their time at risk ``times`` (kinds, weeks), in weeks. Stays of
    one kind have lasted about as long, and their customers were known for about as long when they entered. Before week
    ``first_judged`` (counted from ``first_week``) hardly any stay is there whose beginning was seen.
    """

    state: int
    first_week: int
    first_judged: int
    at_risk_days: Floats
    n_moves: Floats
    clusters: Floats
    events: Floats
    times: Floats

    @property
    def n_known(self) -> Floats:
        """Moves out of stays whose beginning was seen, shape (states + 1, weeks)."""
        return np.asarray(self.events.sum(axis=1))

    @property
    def expected(self) -> Floats:
        """As many moves as those stays would have had at the pace of all weeks, each kind its own; same shape."""
        pace = self.events.sum(axis=2) / np.maximum(self.times.sum(axis=1), 1e-12)
        return np.asarray(pace @ self.times)


def draw_stays(stays: Stays, rng: np.random.Generator) -> Stays:
    """All stays of customers drawn at random, about ``MOST_STAYS`` of them; of fewer, all."""
    if len(stays.start_us) <= MOST_STAYS:
        return stays
    n = np.bincount(stays.customer, minlength=stays.n_customers)
    order = rng.permutation(stays.n_customers)
    is_drawn = np.zeros(stays.n_customers, dtype=bool)
    is_drawn[order[: np.searchsorted(np.cumsum(n[order]), MOST_STAYS) + 1]] = True
    kept = is_drawn[stays.customer]
    columns = {name: getattr(stays, name)[kept] for name in ("customer", "state", "to_state", "start_us", "end_us")}
    return replace(stays, **columns)


def count_risk(stays: Stays, now_us: int, *, drawn: Stays | None = None) -> list[Risk]:
    """Per state that anybody was ever in, its weekly moves and time at risk, up to the week of ``now_us``.

    ``drawn`` are the stays that kinds are counted among, all of them by default.
    """
    drawn = drawn or stays
    if not len(stays.start_us):
        return []
    first_week = int(stays.week.min())
    last_us = max(now_us, int(stays.end_us.max()))
    n_weeks = int((last_us - MONDAY_US) // WEEK_US) - first_week + 1
    begun = find_beginnings(drawn)
    return [
        _count_state(stays, drawn, code, begun, first_week, n_weeks)
        for code in range(len(stays.states))
        if (stays.state == code).any()
    ]


@dataclass(frozen=True)
class Beginnings:
    """Per stay, for how long its customer was known when it began (µs; 0: their first), and whether we saw it begin.

    Customers first seen before ``unseen_until_us`` may have been where they were before.
    """

    tenure_us: Instants
    is_seen: npt.NDArray[np.bool_]
    unseen_until_us: int


def find_beginnings(stays: Stays) -> Beginnings:
    """What is known of how stays began; there must be one at least."""
    first_us = np.full(stays.n_customers, np.iinfo(np.int64).max)
    np.minimum.at(first_us, stays.customer, stays.start_us)
    begin, end = int(stays.start_us.min()), int(stays.end_us.max())
    unseen_until = begin + min(UNSEEN_US, int(UNSEEN_SHARE * (end - begin)))
    tenure = stays.start_us - first_us[stays.customer]
    return Beginnings(tenure, (tenure > 0) | (stays.start_us >= unseen_until), unseen_until)


def _count_state(stays: Stays, drawn: Stays, code: int, begun: Beginnings, first_week: int, n_weeks: int) -> Risk:
    n_rows = len(stays.states) + 1
    mine = np.flatnonzero(stays.state == code)
    over = mine[stays.is_over[mine]]
    week = (stays.end_us[over] - MONDAY_US) // WEEK_US - first_week
    some = np.flatnonzero((drawn.state == code) & begun.is_seen)
    events, times = _count_kinds(drawn, some, begun.tenure_us, first_week, n_weeks)
    return Risk(
        state=code,
        first_week=first_week,
        first_judged=-((MONDAY_US - begun.unseen_until_us) // WEEK_US) - first_week,
        at_risk_days=7 * _time_per_week(stays.start_us[mine], stays.end_us[mine], first_week, n_weeks),
        n_moves=_by_week(stays.to_state[over], week, n_rows, n_weeks),
        clusters=_count_repeats(stays.to_state[over], week, stays.customer[over], n_rows),
        events=events,
        times=times,
    )


def _by_week(to: npt.NDArray[Any], week: Instants, n_rows: int, n_weeks: int) -> Floats:
    """Moves by where to and week; the last row has their sum."""
    count = np.bincount(to * n_weeks + week, minlength=(n_rows - 1) * n_weeks).reshape(-1, n_weeks).astype(np.float64)
    return np.vstack([count, count.sum(axis=0)])


def _time_per_week(start_us: Instants, end_us: Instants, first_week: int, n_weeks: int) -> Floats:
    """Time that intervals spend in each week, in weeks: what a sweep over their beginnings and ends adds up."""
    origin = MONDAY_US + first_week * WEEK_US
    start, end = (start_us - origin) / WEEK_US, (end_us - origin) / WEEK_US
    begun, ended = (np.minimum(x.astype(np.int64), n_weeks - 1) for x in (start, end))
    n_open = np.cumsum(np.bincount(begun, minlength=n_weeks) - np.bincount(ended, minlength=n_weeks))
    within = np.bincount(begun, begun + 1 - start, n_weeks) - np.bincount(ended, ended + 1 - end, n_weeks)
    return np.asarray(np.maximum(np.append(0, n_open[:-1]) + within, 0.0))


def _count_kinds(
    stays: Stays, mine: Instants, tenure_us: Instants, first_week: int, n_weeks: int
) -> tuple[Floats, Floats]:
    """Moves and time at risk by kind of stay and week.

    Kinds are cut at quantiles: of how long stays had lasted when they ended, and of how long customers had been known,
    with first stays, which begin with somebody being noticed and not with a move, by themselves. Without the second
    cut, weeks near the beginning of the data look fast: whoever has moved twice by then is quick.
    """
    n_rows = len(stays.states) + 1
    moved = mine[stays.is_over[mine]]
    ages = _cut(stays.dwell_s[moved], _MOST_AGES)
    ages = np.concatenate([[0.0], ages[:1] / 2, ages, [np.inf]])  # hardly anybody leaves at once: halve the first
    again = moved[tenure_us[moved] > 0]
    tenures = np.concatenate([[0.0], _cut(tenure_us[again].astype(np.float64), _MOST_TENURES - 1)])
    group_of = np.searchsorted(tenures, tenure_us[mine], side="left")
    events, times = [], []
    for group in range(len(tenures) + 1):
        theirs = mine[group_of == group]
        lasted = stays.dwell_s[theirs]
        for low, high in pairwise(ages.tolist()):
            here = theirs[lasted > low]
            start = stays.start_us[here] + round(low * 1e6)
            end = np.minimum(stays.end_us[here], stays.start_us[here] + round(min(high, 1e12) * 1e6))
            times.append(_time_per_week(start, end, first_week, n_weeks))
            left = here[stays.is_over[here] & (stays.dwell_s[here] <= high)]
            week = (stays.end_us[left] - MONDAY_US) // WEEK_US - first_week
            events.append(_by_week(stays.to_state[left], week, n_rows, n_weeks))
    return np.stack(events, axis=1), np.stack(times)


def _cut(values: Floats, most: int) -> Floats:
    """Inner limits of up to ``most`` groups with about as many values in each, and not too few."""
    n_groups = int(np.clip(len(values) // _MOVES_PER_CELL, 1, most))
    return np.unique(np.quantile(values, np.arange(1, n_groups) / n_groups)) if n_groups > 1 else np.zeros(0)


def _count_repeats(to: npt.NDArray[Any], week: Instants, who: npt.NDArray[Any], n_rows: int) -> Floats:
    """Per row, the sum of squared moves per customer and week over the moves: 1 where nobody repeats one in a week."""
    factor = np.ones(n_rows)
    for row in range(n_rows):
        chosen = to == row if row < n_rows - 1 else np.ones(len(to), dtype=bool)
        if chosen.any():
            pairs = np.column_stack([week[chosen], who[chosen]])
            keys = np.ascontiguousarray(pairs[:, 0] * (int(who.max()) + 1) + pairs[:, 1])
            n = np.unique(keys, return_counts=True)[1]
            factor[row] = float((n**2).sum() / n.sum())
    return factor


def count_limits(n: Floats, factor: npt.ArrayLike = 1.0) -> tuple[Floats, Floats]:
    """95 % limits of the mean of counts ``n`` whose variance is ``factor`` times the mean; exact (Garwood) for 1.

    >>> low, high = count_limits(np.array([0.0, 10.0]))
    >>> low.round(2).tolist(), high.round(2).tolist()
    ([0.0, 4.8], [3.69, 18.39])
    """
    factor = np.broadcast_to(np.asarray(factor, dtype=np.float64), np.shape(n))
    low = np.where(n > 0, gamma.ppf(0.025, np.maximum(n / factor, 1e-9)), 0.0)
    return low * factor, gamma.ppf(0.975, n / factor + 1) * factor


# -- the table ---------------------------------------------------------------------------------------------


def track_velocity(
    by_start: pa.Table, risks: Sequence[Risk], stays: Stays, now_us: int, *, targets: Sequence[Target] = ()
) -> pa.Table:
    """The table ``velocity``: per week and move what stays begun in it did, what happened in it, and the target.

    ``by_start`` is what :func:`~sojourn.dwell.estimate_velocity` gives, whose columns stay as they are. Added:
    ``n_moves`` made in the week, ``at_risk_days`` that customers spent in ``from_state`` in it, ``rate`` (moves per
    customer and week at risk) with ``rate_low`` and ``rate_high``, ``index`` (moves over moves to be expected of the
    pace of all weeks) with ``index_low`` and ``index_high``, ``is_finished``, ``why_not`` in words where there is no
    rate or the week is not over, and, for moves that have a target, ``target``, ``share_p``, ``share_low_p``,
    ``share_high_p`` and ``verdict``. ``to_state`` null is leaving for whichever state.
    """
    place = {name: code for code, name in enumerate(stays.states)}
    begun: dict[tuple[int, int, int], dict[str, Any]] = {}
    horizons: dict[tuple[int, int], float | None] = {}
    for r in by_start.to_pylist():
        pair = place[r["from_state"]], -1 if r["to_state"] is None else place[r["to_state"]]
        begun[(*pair, (round(r["week_at"].timestamp() * 1e6) - MONDAY_US) // WEEK_US)] = r
        horizons[pair] = r["horizon_s"]
    asked = {(place[target.from_state], place[target.to_state]): target for target in targets}
    rows = [row for risk in risks for row in _rows_of(risk, now_us, {to for code, to in asked if code == risk.state})]
    judged = judge_weeks(by_start, stays, targets, now_us)
    for r in rows:
        if r.key[:2] in asked and r.key not in judged:  # nobody began to stay, or to move, in that week
            judged[r.key] = judge_nothing(asked[r.key[:2]], TOO_FEW if r.is_finished else TOO_RECENT)
    return pa.table(
        {
            "week_at": week_instants(np.array([r.week for r in rows], dtype=np.int64)),
            "from_state": names_at(stays.states, np.array([r.state for r in rows], dtype=np.int64)),
            "to_state": names_at(stays.states, np.array([r.to for r in rows], dtype=np.int64)),
            "n": pa.array([begun.get(r.key, {}).get("n", 0) for r in rows], pa.int64()),
            **{
                name: pa.array([begun.get(r.key, {}).get(name) for r in rows], pa.float64())
                for name in ("median_s", "low_s", "high_s")
            },
            "horizon_s": pa.array([horizons.get(r.key[:2]) for r in rows], pa.float64()),
            "n_moves": pa.array([r.n_moves for r in rows], pa.int64()),
            **{
                name: _numbers([getattr(r, name) for r in rows])
                for name in ("at_risk_days", "rate", "rate_low", "rate_high", "index", "index_low", "index_high")
            },
            "is_finished": pa.array([r.is_finished for r in rows], pa.bool_()),
            "why_not": pa.array([r.why_not for r in rows], pa.string()),
            **_judgements([judged.get(r.key) for r in rows]),
        }
    )


@dataclass(frozen=True)
class _Row:
    """One week of one move; ``to`` is -1 for leaving, and NaN stands for what is not given."""

    week: int
    state: int
    to: int
    n_moves: int
    at_risk_days: float
    rate: float
    rate_low: float
    rate_high: float
    index: float
    index_low: float
    index_high: float
    is_finished: bool
    why_not: str | None

    @property
    def key(self) -> tuple[int, int, int]:
        return self.state, self.to, self.week


def _rows_of(risk: Risk, now_us: int, asked: set[int]) -> list[_Row]:
    """Leaving first, then every move that ever happened or is ``asked`` for; the weeks in which somebody was there."""
    n_rows = len(risk.n_moves)
    weeks = np.flatnonzero((risk.at_risk_days > 0) | (risk.n_moves[-1] > 0))
    at_risk = risk.at_risk_days[weeks]
    is_finished = MONDAY_US + (risk.first_week + weeks + 1) * WEEK_US <= now_us
    all_known, all_expected = risk.n_known, risk.expected
    rows: list[_Row] = []
    for row in (n_rows - 1, *range(n_rows - 1)):
        if row < n_rows - 1 and not risk.n_moves[row].any() and row not in asked:
            continue
        n, known, expected = risk.n_moves[row, weeks], all_known[row, weeks], all_expected[row, weeks]
        with np.errstate(divide="ignore", invalid="ignore"):
            rates = np.array([n, *count_limits(n, risk.clusters[row])]) / (at_risk / 7)
            indices = np.array([known, *count_limits(known, risk.clusters[row])]) / expected
        rates[:, at_risk < MIN_AT_RISK_DAYS] = math.nan
        indices[:, expected < MIN_EXPECTED] = math.nan
        to = row if row < n_rows - 1 else -1
        for i, week in enumerate(weeks.tolist()):
            rate, index = ((float(x[0, i]), float(x[1, i]), float(x[2, i])) for x in (rates, indices))
            why_not = _say_why_not(float(at_risk[i]), bool(is_finished[i]))
            rows.append(
                _Row(
                    risk.first_week + week,
                    risk.state,
                    to,
                    int(n[i]),
                    float(at_risk[i]),
                    *rate,
                    *index,
                    is_finished=bool(is_finished[i]),
                    why_not=why_not,
                )
            )
    return rows


def _say_why_not(at_risk_days: float, is_finished: bool) -> str | None:
    if not is_finished:
        return "the week is not over"
    if at_risk_days < MIN_AT_RISK_DAYS:
        return f"only {at_risk_days:.3g} customer-days at risk; {MIN_AT_RISK_DAYS:g} are needed"
    return None


def _judgements(judged: list[Judged | None]) -> dict[str, pa.Array]:
    return {
        "target": pa.array([j and j.target for j in judged], pa.string()),
        **{
            name: _numbers([getattr(j, name) if j else math.nan for j in judged])
            for name in ("share_p", "share_low_p", "share_high_p")
        },
        "verdict": pa.array([j and j.verdict for j in judged], pa.string()),
    }


def _numbers(values: list[float]) -> pa.Array:
    """A float column in which NaN and infinity are null."""
    numbers = np.array(values, dtype=np.float64)
    return pa.array(numbers, pa.float64(), mask=~np.isfinite(numbers))
