"""Words for transitions: triggers, signals, journeys, moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sojourn.pages.words.numbers import (
    is_sure,
    measure_surety,
    say_count,
    say_days,
    say_interval,
    say_number,
    say_share,
    say_times,
)

if TYPE_CHECKING:
    from sojourn.pages.words.types import Row, Words

MOST_JOURNEYS = 12


def find_telling(rows: Sequence[Row]) -> list[Row]:
    """The surest journeys of more than one step first; those of which a longer one says the same are left out."""
    kept = [r for r in rows if r["is_closed"]]
    longer = [r for r in kept if len(r["pattern"]) > 1] or kept
    return sorted(longer, key=lambda r: (-measure_surety(r), r["text"]))[:MOST_JOURNEYS]


def say_journey(r: Row) -> str:
    """One journey in a sentence."""
    interval = say_interval(r["low"], r["high"])
    shares = f"{say_share(r['with_p'])} against {say_share(r['without_p'])}"
    return (
        f"{r['text']} comes {say_times(r['lift'])} before {r['outcome']} as among customers as active without it "
        f"({interval}): {shares}."
    )


def find_sure_moments(moments: pa.Table) -> list[Row]:
    """Rows whose ratio is surer than chance (q under 5 %), the surest first."""
    rows = [r for r in moments.to_pylist() if is_sure(r) and r["low"] is not None]
    return sorted(rows, key=lambda r: (-measure_surety(r), r["moment"]))


def say_moment_row(r: Row) -> str:
    """One moment and outcome in a sentence, of rows with a ratio."""
    lead = f", typically {say_days(r['lead_days'])} later" if r["lead_days"] is not None else ""
    often = f"{r['outcome']} follows {say_share(r['precision_p'])} of the time{lead}"
    return (
        f"After {r['moment']} ({r['definition']}) {often}: "
        f"{say_times(r['lift'])} as at other times of customers as busy "
        f"({say_interval(r['low'], r['high'])})."
    )


def say_moments(moments: pa.Table, most: int = 6) -> list[str]:
    """What the surest moments announce, in sentences; and which cannot be judged, and why."""
    sure = find_sure_moments(moments)
    said = [say_moment_row(r) for r in sure[:most]]
    if moments.num_rows and not sure:
        said = ["No moment is followed by an outcome clearly more or less often than other times are."]
    never = list(dict.fromkeys(r["moment"] for r in moments.to_pylist() if r["n_completions"] == 0))
    if never:
        said.append(f"{say_count(len(never), 'moment')} never came: {', '.join(never[:8])}.")
    return said


def find_medians(dwell: pa.Table) -> dict[str, float | None]:
    """Seconds by which half of the stays in each state are over; None where half never are."""
    found: dict[str, float | None] = {}
    for r in dwell.select(["state", "after_s", "survival_p"]).to_pylist():
        if found.setdefault(r["state"], None) is None and r["survival_p"] <= 0.5 + 1e-12:
            found[r["state"]] = r["after_s"]
    return found


def find_signals(precedes: pa.Table, *, more: bool | None = None) -> list[Row]:
    """Rows whose relation is surer than chance (q under 5 %), the least likely chance first, then the largest."""
    rows = [r for r in precedes.to_pylist() if is_sure(r)]
    if more is not None:
        rows = [r for r in rows if (r["lift"] > 1) == more]
    return sorted(rows, key=lambda r: (-measure_surety(r), r["q"]))


def find_sure_triggers(triggers: pa.Table, *, kind: str | None = None) -> list[Row]:
    """Rows that are surer than chance (q under 5 %), the largest that is certain first."""
    rows = [r for r in triggers.to_pylist() if is_sure(r)]
    return sorted((r for r in rows if kind in (None, r["kind"])), key=measure_surety, reverse=True)


def say_trigger(r: Mapping[str, Any]) -> str:
    """One row in a sentence a marketer can read, with what kind of claim it is."""
    claim = "association only"
    if r["kind"] == "touch":
        claim = (
            "adjusted for who gets it; an unseen cause would have to tilt both the message and the move "
            f"{say_number(r['e_value_limit'])} times to explain it"
        )
    return f"{say_trigger_briefly(r)} ({say_interval(r['low'], r['high'])}; {claim})."


def say_trigger_briefly(r: Mapping[str, Any]) -> str:
    """How much likelier the transition is, without interval, claim and full stop."""
    times = f"{say_number(r['hazard_ratio'])} times as likely"
    move = f"{r['from_state']} → {r['to_state']}"
    if r["kind"] == "touch":
        return f"{r['covariate']} goes with {move}: {times}"
    if r["kind"] == "own":
        return f"{r['covariate']} goes with {move}: {times} at the next thing they do"
    return f"{r['covariate']}: {move} is {times}"


def say_signal(r: Mapping[str, Any]) -> str:
    """One precursor in a sentence."""
    kind = f"{r['event_class']}, a message of ours," if r["is_touch"] else r["event_class"]
    move = f"Before moving from {r['from_state']} to {r['to_state']}"
    shares = f"in the 24 hours before {say_share(r['share_p'])} of the moves, against {say_share(r['base_p'])}"
    if not r["n_with"]:
        return f"{move}, {kind} does not come at all; it does before {say_share(r['base_p'])} of other moments."
    interval = say_interval(r["low"], r["high"])
    return f"{move}, {kind} comes {say_times(r['lift'])} as at other times ({interval}): {shares}."


def find_sure_journeys(journeys: pa.Table) -> list[Words]:
    """The two surest journeys to each outcome that are more than chance."""
    rows = [r for r in journeys.to_pylist() if is_sure(r) and r["lift"] > 1]
    return [
        r
        for name in dict.fromkeys(r["outcome"] for r in rows)
        for r in find_telling([r for r in rows if r["outcome"] == name])[:2]
    ]


def say_proposed(row: Mapping[str, Any]) -> str:
    """How often the outcome follows a proposed moment, and how often else.

    >>> say_proposed({"outcome": "churn", "precision_p": 0.25, "base_p": 0.1})
    'Followed by churn 25.0 % of the time, 10.0 % else.'
    """
    return (
        f"Followed by {row['outcome']} {100 * row['precision_p']:.1f} % of the time, {100 * row['base_p']:.1f} % else."
    )
