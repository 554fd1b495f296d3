"""Targets of velocity: which weeks met what the playbook asks of a move, which missed it, and where it is going.

Part of :mod:`sojourn.transitions.matrix`. A week is judged once every stay begun in it can have been followed for as
long as
the target says, so that nothing is censored; its share is then a plain proportion. Interval: Wilson 1927
(doi:10.1080/01621459.1927.10502953); trend over weeks: Kendall 1938 (doi:10.1093/biomet/30.1-2.81).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import kendalltau
from statsmodels.stats.proportion import proportion_confint

from sojourn.frames import MONDAY_US, WEEK_US
from sojourn.playbook import Target
from sojourn.transitions.dwell import MIN_MEDIAN
from sojourn.transitions.stays import Stays

MET, MISSED, OPEN, TOO_FEW, TOO_RECENT = "met", "missed", "not to be told", "too few", "too recent"
"""Verdicts: the whole interval is on the right side of the target, on the wrong one, or on both."""

TREND_WEEKS = 12
"""A trend is looked for in as many judged weeks, the latest."""

SURE_TREND_P = 0.01
"""A trend of a smaller p value than this is told."""

_MIN_TREND_WEEKS = 6


@dataclass(frozen=True)
class Judged:
    """One week of one target. Shares are NaN for a target of a median, and where the verdict is none."""

    target: str
    share_p: float
    share_low_p: float
    share_high_p: float
    verdict: str


Judgements = dict[tuple[int, int, int], Judged]
"""By origin, destination and week."""


def judge_weeks(by_start: pa.Table, stays: Stays, targets: Sequence[Target], now_us: int) -> Judgements:
    """The verdict of every week in which there were such stays; ``by_start`` is what ``estimate_velocity`` gives."""
    judged: Judgements = {}
    for target in targets:
        if target.median_s is not None:
            judged |= _judge_medians(by_start, stays, target, target.median_s, now_us)
        else:
            judged |= _judge_shares(stays, target, now_us)
    return judged


def _codes(stays: Stays, target: Target) -> tuple[int, int]:
    return stays.states.index(target.from_state), stays.states.index(target.to_state)


def _judge_medians(by_start: pa.Table, stays: Stays, target: Target, most_s: float, now_us: int) -> Judgements:
    code, to = _codes(stays, target)
    found: Judgements = {}
    for r in by_start.to_pylist():
        if r["from_state"] != target.from_state or r["to_state"] != target.to_state:
            continue
        week = (round(r["week_at"].timestamp() * 1e6) - MONDAY_US) // WEEK_US
        verdict = OPEN
        if _end_us(week) + r["horizon_s"] * 1e6 > now_us:
            verdict = TOO_RECENT
        elif r["median_s"] is None:
            verdict = TOO_FEW
        elif r["high_s"] <= most_s:
            verdict = MET
        elif r["low_s"] > most_s:
            verdict = MISSED
        found[code, to, week] = judge_nothing(target, verdict)
    return found


def judge_nothing(target: Target, verdict: str) -> Judged:
    """A verdict without a share."""
    return Judged(target.name, math.nan, math.nan, math.nan, verdict)


def _end_us(week: int) -> int:
    return MONDAY_US + (week + 1) * WEEK_US


def _judge_shares(stays: Stays, target: Target, now_us: int) -> Judgements:
    assert target.within_s is not None
    code, to = _codes(stays, target)
    mine = np.flatnonzero(stays.state == code)
    mine = mine[np.argsort(stays.week[mine], kind="stable")]
    has_moved = (stays.to_state[mine] == to) & (stays.dwell_s[mine] <= target.within_s)
    weeks, first, n = np.unique(stays.week[mine], return_index=True, return_counts=True)
    found: Judgements = {}
    for week, low, high in zip(weeks.tolist(), first.tolist(), (first + n).tolist(), strict=True):
        if _end_us(week) + target.within_s * 1e6 > now_us:
            found[code, to, week] = judge_nothing(target, TOO_RECENT)
            continue
        if high - low < MIN_MEDIAN:
            found[code, to, week] = judge_nothing(target, TOO_FEW)
            continue
        per_customer = np.unique(stays.customer[mine[low:high]], return_counts=True)[1]
        repeats = float((per_customer**2).sum() / per_customer.sum())
        share, least, most = share_limits(int(has_moved[low:high].sum()), high - low, repeats)
        found[code, to, week] = Judged(target.name, share, least, most, _judge(target, least, most))
    return found


def _judge(target: Target, low: float, high: float) -> str:
    if target.at_least_p is not None:
        return MET if low >= target.at_least_p else MISSED if high < target.at_least_p else OPEN
    assert target.at_most_p is not None
    return MET if high <= target.at_most_p else MISSED if low > target.at_most_p else OPEN


def share_limits(n_yes: int, n: int, repeats: float = 1.0) -> tuple[float, float, float]:
    """A share with Wilson's 95 % limits; ``repeats`` is how many times as uncertain it is as of so many customers.

    >>> [round(x, 4) for x in share_limits(4, 10)]
    [0.4, 0.1682, 0.6873]
    """
    low, high = proportion_confint(n_yes / repeats, n / repeats, method="wilson")
    return n_yes / n, max(float(low), 0.0), min(float(high), 1.0)


# -- where it stands -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Standing:
    """Where a target stands: its weeks judged, latest last, counts of verdicts among the last eight, and the trend.

    ``trend`` is ``better``, ``worse``, ``none`` (none that can be told from chance) or ``too few`` weeks.
    """

    target: Target
    weeks: tuple[dict[str, Any], ...]
    n_met: int
    n_missed: int
    n_open: int
    trend: str

    @property
    def last(self) -> dict[str, Any] | None:
        """The latest judged week's row of the velocity table."""
        return self.weeks[-1] if self.weeks else None


def find_standings(velocity: pa.Table, targets: Sequence[Target]) -> list[Standing]:
    """Where each target stands, in the order of the playbook, from the velocity table."""
    rows = [r for r in velocity.to_pylist() if r["target"] is not None] if targets else []
    return [_stand(target, [r for r in rows if r["target"] == target.name]) for target in targets]


def _stand(target: Target, rows: list[dict[str, Any]]) -> Standing:
    weeks = sorted((r for r in rows if r["verdict"] in (MET, MISSED, OPEN)), key=lambda r: r["week_at"])
    recent = [r["verdict"] for r in weeks[-8:]]
    return Standing(
        target, tuple(weeks), recent.count(MET), recent.count(MISSED), recent.count(OPEN), _find_trend(target, weeks)
    )


def _find_trend(target: Target, weeks: list[dict[str, Any]]) -> str:
    values = [r["median_s" if target.median_s is not None else "share_p"] for r in weeks]
    values = [value for value in values if value is not None][-TREND_WEEKS:]
    if len(values) < _MIN_TREND_WEEKS:
        return "too few"
    found = kendalltau(np.arange(len(values)), values)
    if not found.pvalue < SURE_TREND_P:
        return "none"
    return "better" if (found.statistic > 0) == (target.at_least_p is not None) else "worse"
