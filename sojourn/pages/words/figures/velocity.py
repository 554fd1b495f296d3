"""Words of the figures of velocity: captions, findings and hover labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sojourn.pages.words.velocity import say_pace_change

if TYPE_CHECKING:
    from sojourn.pages.words.types import Row

TRACKED_ABOUT = (
    "One panel per move: first those with a target, then those that changed, then the most frequent. With a target, "
    "the stays that began in each week: dashed is the target; dots met it, crosses missed it, rings are too close to "
    "tell; weeks too recent to be followed are left out. Without one, moves made in each week per hundred customers "
    "in the state; the last week is a ring while it is not over. Bands are 95\u00a0% intervals. A dotted line is where "
    "the pace changed, by moves against as many as were to be expected from how long customers had been there."
)
TRACKED_MISSING = "No week has enough customers yet to say how often they move."


def say_tracked(changed: Sequence[Row]) -> str:
    """The finding that matters most."""
    if changed:
        return say_pace_change(changed[0])
    return "No move became faster or slower at some week by more than chance would have it."
