"""How long customers stay in a state, and how fast they move on.

Part of :mod:`sojourn.transitions.matrix`, which gives the stays. Sources: Kaplan & Meier 1958
(doi:10.1080/01621459.1958.10501452); variance for several stays of one customer: Williams 1995
(doi:10.1007/BF00985768); interval of a median: Brookmeyer & Crowley 1982 (doi:10.2307/2530286).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.stats import binom
from statsmodels.duration.survfunc import SurvfuncRight

from sojourn.frames import MONDAY_US, WEEK_US
from sojourn.transitions.stays import Codes, Floats, Stays, names_at, week_instants

Z95 = 1.959963984540054
MAX_POINTS = 160
"""Points kept of one dwell curve: more cannot be seen."""

MIN_MEDIAN = 10
"""A weekly median of fewer moves than this is not given."""

HORIZON_SHARE = 0.8
"""Velocity to a state looks at moves within the time in which this share of all such moves happens."""


@dataclass(frozen=True)
class Curve:
    """A Kaplan–Meier curve at the times at which someone left."""

    times: Floats
    survival: Floats
    n_at_risk: Floats
    n_left: Floats


def fit_curve(dwell_s: Floats, is_over: npt.NDArray[np.bool_]) -> Curve:
    """The share still in the state after each time at which one left; stays not yet over are censored."""
    if not is_over.any():
        none = np.zeros(0)
        return Curve(none, none, none, none)
    fit = SurvfuncRight(dwell_s, is_over.astype(np.int64))
    some = np.asarray(fit.n_events) > 0
    return Curve(*(np.asarray(x, dtype=np.float64)[some] for x in _columns(fit)))


def _columns(fit: Any) -> tuple[Any, Any, Any, Any]:
    return fit.surv_times, fit.surv_prob, fit.n_risk, fit.n_events


def estimate_dwell(stays: Stays) -> pa.Table:
    """Kaplan–Meier curves: ``state, after_s, survival_p, low_p, high_p, n_at_risk``, each from 0 s on.

    Intervals are pointwise 95 % on the log-minus-log scale. Their variance adds up each customer's stays
    before squaring, so that customers with many stays do not make it look surer than it is; with one stay
    per customer it is Greenwood's. Where nobody is left, ``low_p`` is 0 and ``high_p`` keeps its last
    value. States that nobody was ever in have no rows.
    """
    columns: list[tuple[Any, ...]] = []
    for code in range(len(stays.states)):
        mine = np.flatnonzero(stays.state == code)
        if not len(mine):
            continue
        dwell, is_over = stays.dwell_s[mine], stays.is_over[mine]
        curve = fit_curve(dwell, is_over)
        kept = choose_points(curve)
        spread = _log_survival_sd(curve, kept, dwell, is_over, stays.customer[mine])
        low, high = _log_log_limits(curve.survival[kept], spread)
        n = len(kept) + 1
        columns.append(
            (
                np.full(n, code),
                np.append(0.0, curve.times[kept]),
                np.append(1.0, curve.survival[kept]),
                np.append(1.0, low),
                np.append(1.0, high),
                np.append(len(mine), curve.n_at_risk[kept]),
            )
        )
    state, after, survival, low, high, at_risk = (
        np.concatenate([c[i] for c in columns]) if columns else np.zeros(0) for i in range(6)
    )
    return pa.table(
        {
            "state": names_at(stays.states, state.astype(np.int64)),
            "after_s": pa.array(after, pa.float64()),
            "survival_p": pa.array(survival, pa.float64()),
            "low_p": pa.array(low, pa.float64()),
            "high_p": pa.array(high, pa.float64()),
            "n_at_risk": pa.array(at_risk.astype(np.int64), pa.int64()),
        }
    )


def choose_points(curve: Curve) -> npt.NDArray[np.int64]:
    """Positions of about ``MAX_POINTS`` times, even in share left and in log time; the median always."""
    n = len(curve.times)
    if n <= MAX_POINTS:
        return np.arange(n)
    shares = np.searchsorted(-curve.survival, -np.linspace(1, curve.survival[-1], MAX_POINTS // 2))
    positive = np.maximum(curve.times, 1.0)
    in_time = np.searchsorted(positive, np.geomspace(positive[0], positive[-1], MAX_POINTS // 2))
    median = np.flatnonzero(curve.survival <= 0.5 + 1e-12)[:1]
    return np.unique(np.clip(np.concatenate([shares, in_time, median, [n - 1]]), 0, n - 1))


def _log_survival_sd(
    curve: Curve, kept: npt.NDArray[np.int64], dwell: Floats, is_over: npt.NDArray[np.bool_], who: Codes
) -> Floats:
    """Standard deviation of log survival at the kept times, from squared influences of customers.

    The influence of one stay on log S(t) is -[left by t] / (Y - d) + sum over times up to min(stay, t) of
    d / (Y (Y - d)), with Y at risk and d leaving. Squared and summed stay by stay that is Greenwood's
    formula.
    """
    left_after = curve.n_at_risk - curve.n_left
    with np.errstate(divide="ignore", invalid="ignore"):
        jump = np.where(left_after > 0, 1 / left_after, 0.0)
    rise = np.append(0.0, np.cumsum(curve.n_left * jump / curve.n_at_risk))
    # What a finished stay adds for good, and the first kept time from which on it is finished.
    n_times = np.searchsorted(curve.times, dwell, side="right")
    settled = np.where(is_over, np.append(0.0, jump)[n_times], 0.0) - rise[n_times]
    since = np.searchsorted(curve.times[kept], dwell)
    _, cluster = np.unique(who, return_inverse=True)
    order = np.argsort(cluster, kind="stable")
    cluster, settled, since = cluster[order], settled[order], since[order]
    n_kept = len(kept)
    total = np.zeros(n_kept)
    n_clusters = int(cluster[-1]) + 1
    step = 20_000  # customers at a time: the table of customers by times stays small
    for first in range(0, n_clusters, step):
        low, high = np.searchsorted(cluster, [first, first + step])
        cell = (cluster[low:high] - first) * (n_kept + 1) + since[low:high]
        size = (min(first + step, n_clusters) - first) * (n_kept + 1)
        done = np.bincount(cell, weights=settled[low:high], minlength=size).reshape(-1, n_kept + 1)
        n_done = np.bincount(cell, minlength=size).reshape(-1, n_kept + 1)
        n_open = n_done.sum(axis=1, keepdims=True) - np.cumsum(n_done, axis=1)[:, :-1]
        influence = np.cumsum(done, axis=1)[:, :-1] - n_open * rise[kept + 1]
        total += (influence**2).sum(axis=0)
    return np.sqrt(total)


def _log_log_limits(survival: Floats, sd: Floats) -> tuple[Floats, Floats]:
    low, high = np.zeros(len(survival)), np.ones(len(survival))
    inside = (survival > 0) & (survival < 1)
    log_survival = np.log(survival[inside])
    width = np.exp(Z95 * sd[inside] / -log_survival)
    low[inside] = np.exp(log_survival * width)
    high[inside] = np.exp(log_survival / width)
    high[survival <= 0] = high[inside][-1] if inside.any() else 1.0
    return low, high


def estimate_velocity(stays: Stays, now_us: int) -> pa.Table:
    """Per week in which stays began: median time to leave, and median time to each move, with 95 % intervals.

    Columns ``week_at, from_state, to_state, n, median_s, low_s, high_s, horizon_s``.

    - ``to_state`` null: leaving for whichever state; ``n`` stays, Kaplan–Meier median with stays not yet over
      censored, interval of Brookmeyer and Crowley (log-minus-log). Null where half have not left yet.
    - ``to_state`` named: the cumulative incidence of this move among the week's stays with other exits
      competing (Aalen–Johansen), scaled to the moves within ``horizon_s``: ``n`` of them, and the time by
      which half of them had happened; interval from order statistics. The horizon is the time within which
      80 % of all such moves happen, rounded up; weeks that ``now`` does not yet let us follow that long
      have no median, since only their quick moves would be known.

    No median is given for fewer than ten (``n``).
    """
    parts = [_leaving(stays, code) for code in range(len(stays.states))]
    for code in range(len(stays.states)):
        gone_to = np.unique(stays.to_state[(stays.state == code) & stays.is_over])
        curve = fit_curve(stays.dwell_s[stays.state == code], stays.is_over[stays.state == code])
        parts += [_moving(stays, code, other, curve, now_us) for other in gone_to.tolist()]
    rows = [row for part in parts for row in part]
    columns: list[list[Any]] = [list(c) for c in zip(*rows, strict=True)] if rows else [[] for _ in range(8)]
    week, code_of, to, n, median, low, high, horizon = columns
    return pa.table(
        {
            "week_at": week_instants(np.array(week, dtype=np.int64)),
            "from_state": names_at(stays.states, np.array(code_of, dtype=np.int64)),
            "to_state": names_at(stays.states, np.array(to, dtype=np.int64)),
            "n": pa.array(n, pa.int64()),
            "median_s": _finite(median),
            "low_s": _finite(low),
            "high_s": _finite(high),
            "horizon_s": _finite(horizon),
        }
    )


Row = tuple[int, int, int, int, float, float, float, float]


def _leaving(stays: Stays, code: int) -> list[Row]:
    mine = np.flatnonzero(stays.state == code)
    mine = mine[np.argsort(stays.week[mine], kind="stable")]
    rows: list[Row] = []
    for group in np.split(mine, np.flatnonzero(np.diff(stays.week[mine])) + 1):
        if not len(group):
            continue
        median, low, high = math.nan, math.nan, math.nan
        if len(group) >= MIN_MEDIAN and stays.is_over[group].any():
            with np.errstate(divide="ignore", invalid="ignore"):
                fit = SurvfuncRight(stays.dwell_s[group], stays.is_over[group].astype(np.int64))
                half = np.flatnonzero(fit.surv_prob <= 0.5 + 1e-12)[:1]
                if len(half):
                    median = float(fit.surv_times[half[0]])
                    low, high = (float(x) for x in fit.quantile_ci(0.5))
        rows.append((int(stays.week[group[0]]), code, -1, len(group), median, low, high, math.nan))
    return rows


def _moving(stays: Stays, code: int, other: int, curve: Curve, now_us: int) -> list[Row]:
    moved = np.flatnonzero((stays.state == code) & (stays.to_state == other))
    horizon = choose_horizon(curve, stays.dwell_s[moved])
    moved = moved[stays.dwell_s[moved] <= horizon]
    moved = moved[np.lexsort((stays.dwell_s[moved], stays.week[moved]))]
    weeks, first, n = np.unique(stays.week[moved], return_index=True, return_counts=True)
    dwell = stays.dwell_s[moved]
    # Order statistics j and n + 1 - j hold the median with at least 95 %, whatever the distribution.
    j = np.maximum(binom.ppf(0.025, n, 0.5).astype(np.int64), 1)
    end_us = (weeks + 1) * WEEK_US + MONDAY_US + int(horizon * 1e6)
    is_given = (n >= MIN_MEDIAN) & (end_us <= now_us)
    numbers = (
        (dwell[first + (n - 1) // 2] + dwell[first + n // 2]) / 2,
        dwell[first + j - 1],
        dwell[first + n - j],
    )
    median, low, high = (np.where(is_given, x, math.nan).tolist() for x in numbers)
    return [
        (int(w), code, other, int(c), m, lo, hi, horizon)
        for w, c, m, lo, hi in zip(weeks, n, median, low, high, strict=True)
    ]


def choose_horizon(curve: Curve, moved_s: Floats) -> float:
    """Seconds within which ``HORIZON_SHARE`` of the moves happen, other exits competing (Aalen–Johansen).

    ``curve`` is that of leaving the state, ``moved_s`` are the dwells that ended in the move. Rounded up to
    whole hours below two days, else to whole days, so that it can be said in words.
    """
    n_moves = np.bincount(np.searchsorted(curve.times, moved_s), minlength=len(curve.times))
    before = np.append(1.0, curve.survival[:-1])
    incidence = np.cumsum(before * n_moves / curve.n_at_risk)
    exact = float(curve.times[np.searchsorted(incidence, HORIZON_SHARE * incidence[-1])])
    unit = 3600.0 if exact <= 2 * 86_400 else 86_400.0
    return max(math.ceil(exact / unit), 1) * unit


def _finite(values: list[float]) -> pa.Array:
    """A float column in which NaN and infinity are null."""
    numbers = np.array(values, dtype=np.float64)
    return pa.array(numbers, pa.float64(), mask=~np.isfinite(numbers))
