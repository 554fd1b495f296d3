"""Sentences about velocity: what a target asks, where it stands, which moves changed their pace, how cohorts differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sojourn.pages.words.numbers import say_date, say_duration, say_estimate, say_month, say_number, say_share
from sojourn.transitions.velocity import MET, MISSED, Standing

if TYPE_CHECKING:
    from sojourn.pages.words.types import Row
    from sojourn.playbook import Target

_PER = ((1.0, "week", 1.0), (7.0, "day", 7.0), (float("inf"), "hour", 168.0))


def say_target(target: Target) -> str:
    """What a target asks.

    >>> from sojourn.playbook import Target
    >>> say_target(Target("soon", "looking", "buying", None, 0.4, None, 604_800.0, "", 1))
    'at least 40\\xa0% of those who enter looking move to buying within 7 days'
    >>> say_target(Target("soon", "looking", "buying", 259_200.0, None, None, None, "", 1))
    'half of those who move from looking to buying do so within 3 days'
    """
    if target.median_s is not None:
        within = say_duration(target.median_s)
        return f"half of those who move from {target.from_state} to {target.to_state} do so within {within}"
    bound, share = ("at least", target.at_least_p) if target.at_least_p is not None else ("at most", target.at_most_p)
    return (
        f"{bound} {say_share(share)} of those who enter {target.from_state} move to {target.to_state} "
        f"within {say_duration(target.within_s)}"
    )


def say_pace(row: Mapping[str, Any], target: Target) -> str:
    """What the stays begun in a week did, in the target's terms, with its interval."""
    if target.median_s is not None:
        return say_estimate(row["median_s"], row["low_s"], row["high_s"], say_duration)
    return say_estimate(row["share_p"], row["share_low_p"], row["share_high_p"], say_share)


def say_verdict(verdict: str) -> str:
    """A verdict as a word for people."""
    return {MET: "met", MISSED: "missed"}.get(verdict, "too close to tell")


def say_standing(standing: Standing) -> str:
    """Where a target stands, in a sentence or three."""
    target, last = standing.target, standing.last
    text = f"{target.name}: {say_target(target)}."
    if last is None:
        follow = say_duration(target.within_s) if target.within_s else "as long as most such moves take"
        return f"{text} No week can be judged yet: that takes ten stays that could be followed for {follow}."
    text += (
        f" {say_verdict(last['verdict']).capitalize()} by those of the week of {say_date(last['week_at'])}, "
        f"the latest that can be judged: {say_pace(last, target)}."
    )
    n = standing.n_met + standing.n_missed + standing.n_open
    if n > 1:
        text += f" Of the last {n} weeks, {standing.n_met} met it, {standing.n_missed} missed it"
        text += f", and {standing.n_open} are too close to say." if standing.n_open else "."
    trends = {"better": " It is getting better.", "worse": " It is getting worse."}
    return text + trends.get(standing.trend, "")


def say_rates(*rates: float) -> tuple[list[str], str]:
    """Moves per customer and week as moves of a hundred customers, all in one unit of time.

    >>> say_rates(0.12, 0.19), say_rates(3.5, 2.0)
    ((['12', '19'], 'a week'), (['50', '29'], 'a day'))
    """
    most = max(rates, default=0.0)
    _, unit, divisor = next(per for per in _PER if most <= per[0])
    return [say_number(100 * rate / divisor) for rate in rates], f"a{'n' if unit == 'hour' else ''} {unit}"


def say_pace_change(row: Mapping[str, Any]) -> str:
    """A row of ``velocity_changes`` that is a change, in a sentence."""
    move = f"{row['from_state']} → {row['to_state']}"
    since = f"Since the week of {say_date(row['week_at'], year=True)}, {move}"
    names = ("before", "before_low", "before_high", "after", "after_low", "after_high")
    (b, b_low, b_high, a, a_low, a_high), per = say_rates(*(row[f"rate_{name}"] for name in names))
    rates = f"of 100 customers there, {b} ({b_low} to {b_high}) moved {per} before, and {a} ({a_low} to {a_high}) since"
    if row["ratio"] is None or not row["ratio"]:
        return f"{since} {'happens' if row['rate_after'] else 'no longer happens'}: {rates}."
    ratio, low, high = row["ratio"], row["ratio_low"], row["ratio_high"]
    times = say_estimate(ratio, low, high) if low and high else say_number(ratio)
    word = "faster" if ratio > 1 else "slower"
    return f"{since} is {word}, {times} times the pace: {rates}."


def say_cohorts(trend: Mapping[str, Any]) -> str:
    """How customers who came later differ, in a sentence; from ``find_trends``."""
    first, last = trend["first"], trend["last"]
    word = "more of those who came later move on so soon" if last["share_p"] > first["share_p"] else "fewer of them now"
    was, now = (say_estimate(r["share_p"], r["low_p"], r["high_p"], say_share) for r in (first, last))
    return (
        f"Of the customers who first entered {first['from_state']} in {say_month(first['cohort_at'])}, {was} had moved "
        f"to {first['to_state']} within {say_duration(first['within_s'])}; of those in {say_month(last['cohort_at'])}, "
        f"{now}: {word}."
    )


def find_pace_changes(changes: pa.Table) -> list[Row]:
    """The moves that became faster or slower, the surest first."""
    return sorted((r for r in changes.to_pylist() if r["is_change"]), key=lambda r: (r["q"], r["p"], -r["n_moves"]))
