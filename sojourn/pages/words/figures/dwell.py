"""Words of the figures of pace: captions, findings and hover labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from sojourn.pages.words.numbers import say_date, say_duration

if TYPE_CHECKING:
    from sojourn.pages.words.types import Row

DWELL_ABOUT = (
    "The share of stays that still last after a given time (Kaplan–Meier): a curve that falls early is a state that "
    "customers pass through quickly. The time axis is stretched, so that minutes and months fit on it. Bands are "
    "95\u00a0% intervals; stays that still go on today are counted for as long as they have lasted."
)
VELOCITY_ABOUT = (
    "For the customers who entered a state in each week, the time by which half had left it; bars are 95\u00a0% "
    "intervals. Lower is faster. The menu splits one state by where they went. Weeks with fewer than ten stays, or too "
    "recent to know, are left out rather than guessed."
)
DWELL_MISSING = "No stay in any state has ended yet, so nothing can be said about how long they last."
VELOCITY_MISSING = "No week has enough finished stays yet to say how fast customers move."


def say_dwell_finding(medians: Mapping[str, float]) -> str:
    """Which state is left fastest, and which slowest."""
    if not medians:
        return "In no state has half of the stays ended yet."
    fast = min(medians, key=lambda name: medians[name])
    slow = max(medians, key=lambda name: medians[name])
    first = f"Half of the stays in {fast} are over within {say_duration(medians[fast])}"
    return f"{first}; in {slow} that takes {say_duration(medians[slow])}." if slow != fast else f"{first}."


def say_velocity_finding(rows: list[Row]) -> str:
    """The change of the state whose last four weekly medians differ most from the four before."""
    best: tuple[float, str] | None = None
    for name in dict.fromkeys(r["from_state"] for r in rows):
        mine = [r["median_s"] for r in rows if r["from_state"] == name and r["median_s"] > 0]
        if len(mine) < 8:
            continue
        late, before = float(np.median(mine[-4:])), float(np.median(mine[-8:-4]))
        change = abs(math.log(late / before))
        if best is None or change > best[0]:
            ago = f"in the four weeks before it was {say_duration(before)}"
            best = change, f"Half of those who enter {name} leave within {say_duration(late)} lately; {ago}."
    if best is not None:
        return best[1]
    last = rows[-1]
    return (
        f"Half of those who entered {last['from_state']} in the week of {say_date(last['week_at'])} left within "
        f"{say_duration(last['median_s'])}."
    )
