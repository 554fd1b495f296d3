"""Words of the figures of value: captions, findings and hover labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sojourn.pages.words.numbers import say_gain
from sojourn.pages.words.value import say_value_briefly

if TYPE_CHECKING:
    from sojourn.pages.words.types import Row

VALUES_ABOUT = (
    "What a customer who makes a move brings afterwards, more or less than customers alike who stayed in the state "
    "that week. Bars are 95\u00a0% intervals. Grey: those who moved were different already before, or had no like who "
    "stayed, so the number cannot be trusted."
)
GROWTH_ABOUT = (
    "What is expected of a customer on the Monday after a move less what was expected on the Monday before, learned "
    "from the behaviour of other customers. Bars are 95\u00a0% intervals over customers; rings are those who stayed in "
    "the state over the same weeks. This describes who moves and is no effect of moving: what a move is worth stands "
    "above."
)
VALUES_MISSING = "There are too few moves, or too little time after them, to say what they are worth."
GROWTH_MISSING = "There is too little to say how value changes with moves."


def say_most_valuable(sure: Sequence[Row]) -> str:
    """What the transition of the highest certain value is worth."""
    return say_value_briefly(sure[0]) + "." if sure else "No move is surely worth more than staying."


def say_most_growth(top: Row) -> str:
    """With which transition expected value grows most."""
    if top["growth_low"] <= 0:
        return "No move surely raises what is expected of a customer."
    move = f"{top['from_state']} → {top['to_state']}"
    return f"What is expected of a customer grows most with {move}: {say_gain(top['growth'])}."
