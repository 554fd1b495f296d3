"""Words of the figures of triggers and precursors: captions, findings and hover labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from sojourn.pages.words.numbers import is_sure, say_integer, say_interval, say_number, say_share, say_times
from sojourn.pages.words.texts import plain
from sojourn.pages.words.transitions import find_sure_triggers, say_trigger_briefly

if TYPE_CHECKING:
    from sojourn.pages.words.types import Row

KINDS = {
    "touch": "what we sent",
    "own": "what customers did",
    "feature": "how busy they were",
    "time": "when it was",
    "dwell": "time in the state",
}
TRIGGERS_ABOUT = (
    "How many times as likely a move is when something holds, compared with customers in the same state for whom it "
    "does not; all else shown held equal. After a message of ours: at any moment of its window. For the rest: at the "
    "next thing that the customer does. Right of the line: likelier; bars are 95\u00a0% intervals, and grey ones may "
    "be chance. Diamonds are our own messages, adjusted for who gets them as far as that can be seen. Everything else "
    "is association, not cause."
)
PRECEDES_ABOUT = (
    "How much more often an event came in the 24 hours before a move than at other moments of customers in the same "
    "state with about as much activity. Right of the line: more often; bars are 95\u00a0% intervals, and bars that "
    "touch the line may be chance. Diamonds are our own messages. This shows what goes with a move, not what causes it."
)
TRIGGERS_MISSING = "There are too few moves yet to say what sets them off."
PRECEDES_MISSING = "There are too few moves yet to say what comes before them."


def say_finding(triggers: pa.Table) -> str:
    """The finding that matters most."""
    touches = find_sure_triggers(triggers, kind="touch")
    if touches:
        return say_trigger_briefly(touches[0]) + "."
    own = [r for r in find_sure_triggers(triggers, kind="own") if r["hazard_ratio"] > 1]
    if own:
        return say_trigger_briefly(own[0]) + "."
    return "Nothing sets a move off more clearly than chance would."


def say_trigger_hover(r: Row) -> str:
    """The row, in a hover label."""
    claim = "adjusted for who gets it" if r["is_adjusted"] else "association only"
    counts = f"{say_integer(r['n_exposed'])} of " if r["kind"] in ("touch", "own", "time") else ""
    return (
        f"{plain(r['covariate'])}: {plain(r['from_state'])} → {plain(r['to_state'])}<br>"
        f"{say_number(r['hazard_ratio'])} times as likely, 95\u00a0% interval {say_number(r['low'])} to "
        f"{say_number(r['high'])}<br>{counts}{say_integer(r['n_moves'])} moves; {claim}"
        + ("" if is_sure(r) else "<br>may be chance")
    )


def say_precursor_finding(signals: list[Row]) -> str:
    """The clearest event before a transition."""
    if not signals:
        return "No event comes before a move clearly more or less often than at other times."
    r = next((s for s in signals if s["lift"] > 1), signals[0])
    often = f"{r['event_class']} comes {say_times(r['lift'])}"
    interval = say_interval(r["low"], r["high"])
    return f"Before a move from {r['from_state']} to {r['to_state']}, {often} as at other times ({interval})."


def say_precursor(r: Row) -> str:
    """An event before a transition, in a hover label."""
    touch = " (a message of ours)" if r["is_touch"] else ""
    move = f"from {plain(r['from_state'])} to {plain(r['to_state'])}"
    return (
        f"{plain(r['event_class'])}{touch} came before {say_share(r['share_p'])} of the "
        f"{say_integer(r['n_moves'])} moves<br>"
        f"{move}, and before {say_share(r['base_p'])} of other moments<br>"
        f"{say_times(r['lift'])}, {say_interval(r['low'], r['high'])}"
        + ("" if is_sure(r) else "<br>this may be chance")
    )
