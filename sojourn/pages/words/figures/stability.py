"""Words of the figures of the stability audit: captions, findings and hover labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sojourn.pages.words.numbers import say_share

SPLIT_ABOUT = (
    "Two models of each kind: one fitted to the data up to a day, one to a week more. A bar is the share of customers "
    "who ended up in another segment. The first part is people whom the old model, unchanged, moves too: they did "
    "something, or went silent. The second is people whom only the new model moves."
)
TURNOVER_ABOUT = (
    "How many of a segment's members leave it in a week, on average over all that is known. A segment that nobody ever "
    "leaves says who people were when it was made."
)
SPLIT_MISSING = "Nothing was refitted."
TURNOVER_MISSING = "No segment was looked at for any time."


def say_split(whole: Sequence[Mapping[str, Any]]) -> str:
    """With which method the model reassigns most customers, and with which fewest."""
    most = max(whole, key=lambda r: r["wobble_share"])
    least = min(whole, key=lambda r: r["wobble_share"])
    return (
        f"Refitted a week later, {say_share(most['wobble_share'])} of the customers move for no reason of theirs with "
        f"{most['method']}, {say_share(least['wobble_share'])} with {least['method']}."
    )


def say_stale(parts: Sequence[Mapping[str, Any]]) -> str:
    """How many segments are stale."""
    n = sum(r["verdict"] == "stale" for r in parts)
    if n:
        return f"{n} of {len(parts)} segments are stale: their members have not changed in six months."
    return f"In none of the {len(parts)} segments has nearly everybody been for six months."
