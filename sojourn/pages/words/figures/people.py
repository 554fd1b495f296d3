"""Words of the figures of customers: captions, findings and hover labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from sojourn.pages.words.numbers import say_count, say_difference, say_instant, say_integer, say_list, say_share
from sojourn.pages.words.states import find_marks
from sojourn.pages.words.texts import plain

if TYPE_CHECKING:
    from sojourn.pages.words.types import Row

STATES_ABOUT = "Every customer is in one state, the published one, at the end of the data."
MARKS_ABOUT = (
    "What is more (orange) or less (blue) common in a state than among all customers. Rows are events, indicators and "
    "numbers from the playbook; hover for the figures."
)
EXAMPLE_ABOUT = (
    "The coloured area is what the model believed at each moment: the share of a colour is the probability of that "
    "state. The bar below is the state that was published. Marks are events; diamonds are messages of ours. Hover an "
    "event for its reasons."
)
STATES_MISSING = "No customer has a state yet."
MARKS_MISSING = "No event, indicator or number tells the states apart clearly."
EXAMPLE_MISSING = "This customer has no events."


def say_marks_finding(fingerprints: pa.Table, states: Sequence[str]) -> str:
    """The two event classes that mark each state most."""
    said = []
    for name in states:
        marks = [r["what"] for r in find_marks(fingerprints, name, 20) if r["kind"] == "event class"][:2]
        if marks:
            said.append(f"{name} by {say_list(marks)}")
    return f"What marks the states: {'; '.join(said[:6])}." if said else "What is more or less common in each state."


def say_example_finding(rows: list[Row], n_cut: int) -> str:
    """One customer: the states in order, and how many events."""
    visited = [rows[0]["state"]]
    for r in rows:
        if r["state"] != visited[-1]:
            visited.append(r["state"])
    visited = [str(name) for name in visited]
    shown = visited if len(visited) <= 7 else [*visited[:3], "…", *visited[-3:]]
    n = sum(r["kind"] == "event" for r in rows)
    cut = f" (the latest {say_integer(len(rows))} moments)" if n_cut else ""
    return f"{rows[0]['customer_id']}: {' → '.join(shown)}, {say_count(n, 'event')}{cut}"


def say_event(r: Row) -> str:
    """An event of one customer, in a hover label."""
    kind = " (a message of ours)" if r["kind"] == "touch" else ""
    lines = [f"<b>{plain(r['event_class'])}</b>{kind}, {say_instant(r['at'])}"]
    p = r.get(f"p_{r['state']}")
    if p is not None:
        lines.append(f"published: {plain(r['state'])} (believed at {say_share(p)})")
    lines += [f"{say_difference(x['weight'])} {plain(x['what'])}" for x in (r["reasons"] or [])[:5]]
    return "<br>".join(lines)


def say_states(now: Mapping[str, int]) -> str:
    """Which state holds most customers."""
    top, total = max(now, key=lambda name: now[name]), sum(now.values())
    part = f"{say_integer(now[top])} of {say_count(total, 'customer')} ({say_share(now[top] / total)})"
    return f"{part} are in {top}, more than in any other state."
