"""Words of the figures of the flow between states and the matrix: captions, findings and hover labels."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from sojourn.pages.words.numbers import say_count, say_date, say_integer, say_share
from sojourn.pages.words.texts import plain

if TYPE_CHECKING:
    from sojourn.pages.words.types import Row

FLOW_ABOUT = (
    "Each column is the start of a week, each block the customers in a state then. A band shows how many went from "
    "one state to another during the week; pale bands stayed where they were. The menu goes back in time."
)
MATRIX_ABOUT = (
    "Each row is the state that customers left, each column the one they went to: the share of all moves out of the "
    "row's state. Hover for counts and for how long they had stayed."
)
FLOW_MISSING = "There is no flow yet: no customer has a state."
MATRIX_MISSING = "Nobody has moved from one state to another yet."


def say_flow_finding(latest: list[Row], week: datetime) -> str:
    """How many changed state in the latest full week, and where most went."""
    moved = [r for r in latest if r["from_state"] not in (r["to_state"], "new")]
    new = sum(r["n"] for r in latest if r["from_state"] == "new")
    arrived = f"; {say_count(new, 'customer')} came new" if new else ""
    if not moved:
        return f"In the week of {say_date(week)}, no customer ended in another state than at its start{arrived}."
    top = max(moved, key=lambda r: r["n"])
    n = sum(r["n"] for r in moved)
    return (
        f"In the week of {say_date(week)}, {say_count(n, 'customer')} changed state, most often from "
        f"{top['from_state']} to {top['to_state']} ({say_integer(top['n'])}){arrived}."
    )


def say_block(n: int, name: str, at: datetime) -> str:
    """A block of the flow: customers in a state at the start of a week."""
    who = say_count(n, "customer")
    return (
        f"{who} came new in the week of {say_date(at)}"
        if name == "new"
        else f"{who} in {plain(name)} on {say_date(at)}"
    )


def say_flow(r: Row) -> str:
    """A band of the flow: customers from one state to another in a week."""
    week = f"in the week of {say_date(r['week_at'])}"
    who = say_count(r["n"], "customer")
    if r["from_state"] == "new":
        return f"{who} came new and ended {week} in {plain(r['to_state'])}"
    if r["from_state"] == r["to_state"]:
        return f"{who} began and ended in {plain(r['to_state'])} {week}"
    return f"{who} went from {plain(r['from_state'])} to {plain(r['to_state'])} {week}"


def say_matrix(rows: Sequence[Row]) -> str:
    """Which transition is most frequent."""
    top = max(rows, key=lambda r: r["n"])
    return (
        f"The most travelled way leads from {top['from_state']} to {top['to_state']}: {say_count(top['n'], 'move')}, "
        f"{say_share(top['p'])} of those out of {top['from_state']}."
    )
