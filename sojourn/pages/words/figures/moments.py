"""Words of the figures of moments: captions, findings and hover labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sojourn.pages.words.numbers import say_count, say_integer, say_interval, say_share, say_times
from sojourn.pages.words.texts import plain
from sojourn.pages.words.transitions import say_moment_row

if TYPE_CHECKING:
    from sojourn.pages.words.types import Row

MOMENTS_ABOUT = (
    "How much more often an outcome follows a moment than other events of customers who were as busy just before. "
    "Right of the line: more often; bars are 95\u00a0% intervals, grey dots may be chance. The number behind a moment "
    "says how often it comes, in a hundred weeks of a customer. This shows what goes with a moment, not what causes it."
)
MOMENTS_MISSING = "The moments came too seldom, or too recently, to say what they announce."
MOMENTS_UNDEFINED = "The playbook has no moments."


def say_surest_moment(sure: Sequence[Row]) -> str:
    """What the surest moment announces."""
    return say_moment_row(sure[0]).split(": ")[0] + "." if sure else "No moment surely announces an outcome."


def say_moment_dot(r: Row) -> str:
    """A moment and an outcome, in a hover label."""
    came = f"came {say_integer(r['n_completions'])} times to {say_count(r['n_customers'], 'customer')}"
    return (
        f"{plain(r['definition'], 120)}<br>{came}<br>"
        f"{plain(r['outcome'])} followed {say_share(r['precision_p'])}, at other times {say_share(r['base_p'])}<br>"
        f"{say_times(r['lift'])}, {say_interval(r['low'], r['high'])}"
    )
