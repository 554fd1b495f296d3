"""Words of the figures of journeys, paths and channels: captions, findings and hover labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sojourn.pages.words.numbers import (
    is_sure,
    measure_surety,
    say_count,
    say_duration,
    say_integer,
    say_interval,
    say_list,
    say_number,
    say_share,
    say_times,
)
from sojourn.pages.words.texts import plain, shorten

if TYPE_CHECKING:
    from sojourn.pages.words.types import Row

JOURNEYS_ABOUT = (
    "How much more often customers made a journey before the outcome than customers as active as they were who never "
    "had it. Steps follow each other with at most two others between. Right of the line: more often; bars are "
    "95\u00a0% intervals, grey dots may be chance. Journeys were found on half of the customers and counted on the "
    "other half. This shows what goes with an outcome, not what causes it."
)
PATHS_ABOUT = (
    "The ways through the states that most customers have gone, from left to right, each block a stay in a state. The "
    "share is of all customers with a state; a customer may be on several paths."
)
CHANNELS_ABOUT = (
    "Where people of each state are found: the share of what they do there on each channel, and in colour how that "
    "compares with all states. A star marks channels that the playbook names for the state."
)
PATHS_MISSING = "Too few customers have been in three states one after the other."
CHANNELS_MISSING = "The events do not say on which channel they happened."


def say_journeys_finding(rows: Sequence[Row]) -> str:
    """The surest journey before an outcome."""
    sure = sorted((r for r in rows if is_sure(r) and r["lift"] > 1), key=measure_surety, reverse=True)
    if not sure:
        return "No journey comes before an outcome clearly more often than among customers as active."
    r = sure[0]
    often = "far more often" if r["lift"] >= 10 else say_times(r["lift"]) + " as else"
    return (
        f"Before {r['outcome']}, {shorten(r['text'], 100)} comes {often}: in {say_share(r['with_p'])} of lives, "
        f"against {say_share(r['without_p'])} of those as active without it."
    )


def say_path(r: Row) -> str:
    """A path, in a hover label."""
    return (
        f"{plain(r['text'], 120)}<br>{say_count(r['n_customers'], 'customer')}, {say_integer(r['n'])} times<br>half "
        f"within {say_duration(r['median_s'])} from entering the first to entering the last"
    )


def say_paths_finding(every: Sequence[Row], top: Row) -> str:
    """The commonest path, and how often customers go straight back."""
    text = f"The commonest path is {shorten(top['text'], 120)} ({say_share(top['share_p'])} of customers)"
    loops = [r for r in every if r["kind"] == "loop"]
    if loops:
        loop = max(loops, key=lambda r: (r["n"], r["text"]))
        a, b, _ = loop["steps"]
        text += f"; of those who came to {shorten(b, 30)} from {shorten(a, 30)} and went on, "
        text += f"{say_share(loop['share_p'])} went back"
    return f"{text}."


def say_cell(r: Row) -> str:
    """A channel in a state, in a hover label."""
    interval = ""
    if r["low"] is not None:
        interval = f", {say_interval(r['low'], r['high'])}"
    gap = f"<br>{plain(r['gap'], 80)}" if r["gap"] else ""
    return (
        f"{plain(r['what'])}, {plain(r['state'])}: {say_share(r['share_p'])} of events, "
        f"overall {say_share(r['overall_p'])}<br>index {say_number(r['index'])}{interval}{gap}"
    )


def say_channels_finding(rows: Sequence[Row]) -> str:
    """Which state stands out by a channel, and which channels are not named."""
    sure = [r for r in rows if r["low"] is not None and r["low"] > 1 and r["share_p"] >= 0.05]
    missed = list(dict.fromkeys(shorten(r["what"], 24) for r in rows if r["gap"] and not r["is_named"]))
    open_ = f" Not named where many are found: {say_list(missed[:4])}." if missed else ""
    if not sure:
        return f"No state stands out by its channels.{open_}"
    top = max(sure, key=lambda r: (r["low"], r["what"]))
    who, where = shorten(top["state"], 40), shorten(top["what"], 40)
    return f"{who} is found on {where} {say_times(top['index'])} as all are.{open_}"


def say_dot(r: Row) -> str:
    """A journey and an outcome, in a hover label."""
    mine = f"{say_integer(r['n_with'])} of {say_count(r['of_with'], 'customer')}"
    return (
        f"{plain(r['text'], 80)}<br>before {plain(r['outcome'])}: {mine}, "
        f"others: {say_integer(r['n_without'])} of {say_integer(r['of_without'])}<br>{say_times(r['lift'])}, "
        f"{say_interval(r['low'], r['high'])}" + ("" if is_sure(r) else "<br>this may be chance")
    )


def say_no_journeys(why: str) -> str:
    """Why there are no journeys."""
    return f"No journeys to an outcome are known: {why}."
