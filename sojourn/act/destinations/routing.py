"""Which change goes to which destination, and the message that says it. Pure: the engine asks it for every record."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from sojourn.act.destinations.port import Destination
from sojourn.act.outbox import OutboxRow
from sojourn.frames import show_instant

if TYPE_CHECKING:
    from sojourn.act.changes import Change

ConsentOf = Callable[[str], Mapping[str, bool]]
Predict = Callable[[Sequence[str]], Sequence[Mapping[str, float]]]
"""Per customer the probability of each outcome that can be foreseen for them now."""
_REVOKED = "_revoked"


def route_changes(
    changes: Sequence[Change],
    destinations: Sequence[Destination],
    *,
    now: int,
    consent_of: ConsentOf,
    purpose_of_audience: Mapping[str, str | None],
    predict: Predict | None = None,
) -> list[OutboxRow]:
    """A row for every destination that wants a change: to be sent, or refused, with the reason.

    A message about an audience needs consent to the audience's purpose, any message that to its destination's.
    ``predict`` is asked once, and only where a destination reads predictions.
    """
    said = _predict(changes, destinations, predict)
    rows = []
    for destination in destinations:
        for change in changes:
            if not _wants(destination, change):
                continue
            purposes = {destination.purpose, purpose_of_audience.get(change.name) if _is_entry(change) else None}
            p = said.get(change.customer_id, {})
            why = _refuse(destination, change, now, purposes - {None}, consent_of)
            why = why or _miss(destination, change, p)
            status = "waiting" if why is None else "refused"
            rows.append(
                OutboxRow(
                    destination.name, change.seq, change.id, spell_change(change, _pick(destination, p)), status, 0, why
                )
            )
    return rows


def _predict(
    changes: Sequence[Change], destinations: Sequence[Destination], predict: Predict | None
) -> dict[str, Mapping[str, float]]:
    """What is predicted of all whom a change is about that goes to a destination which reads that."""
    reading = [one for one in destinations if one.predictions or one.at_least]
    who = list(dict.fromkeys(c.customer_id for c in changes if any(_wants(one, c) for one in reading)))
    return dict(zip(who, predict(who), strict=True)) if who and predict is not None else {}


def _miss(destination: Destination, change: Change, p: Mapping[str, float]) -> str | None:
    """Why a message is not sent for what is predicted; who leaves and what is taken back is told all the same."""
    if change.kind == "audience_left" or change.kind.endswith(_REVOKED):
        return None
    for outcome, least in destination.at_least:
        if outcome not in p:
            return f"{outcome} is not predicted"
        if p[outcome] < least:
            return f"{outcome} is predicted with {p[outcome]:.3f}, less than {least:g}"
    return None


def _pick(destination: Destination, p: Mapping[str, float]) -> dict[str, float | None] | None:
    """The predictions that its messages have; null where there is none. None: they have no such field."""
    return {name: p.get(name) for name in destination.predictions} if destination.predictions else None


def _wants(destination: Destination, change: Change) -> bool:
    kind = change.kind.removesuffix(_REVOKED)
    if kind not in destination.changes:
        return False
    wanted = {
        "transition": destination.states,
        "moment": destination.moments,
    }.get(kind, destination.audiences)
    return wanted is None or change.name in wanted


def _is_entry(change: Change) -> bool:
    return change.kind == "audience_entered"


def _refuse(
    destination: Destination, change: Change, now: int, purposes: set[str | None], consent_of: ConsentOf
) -> str | None:
    """Why a message is not sent; None: it is. Who leaves is always told; a revocation goes as what it takes back."""
    if change.kind == "audience_left":
        return None
    if destination.max_age_s is not None and now - change.at > destination.max_age_s * 1e6:
        return f"older than {destination.max_age_s:g} s"
    if purposes:
        consent = consent_of(change.customer_id)
        missing = sorted(purpose for purpose in purposes if purpose and not consent.get(purpose, False))
        if missing:
            return f"no consent to {missing[0]}"
    return None


def spell_change(change: Change, predictions: Mapping[str, float | None] | None = None) -> str:
    """The message about a change, as JSON, with what is predicted of the customer where that is asked for."""
    stamp = show_instant(change.at)
    data = {
        "id": change.id,
        "seq": change.seq,
        "customer_id": change.customer_id,
        "at": stamp,
        "name": change.name,
        "before": change.before,
        **{name: value for name, value in change.data.items() if name != "revokes_seq"},
    }
    if predictions is not None:
        data["predictions"] = dict(predictions)
    return json.dumps({"type": f"customer.{change.kind}", "timestamp": stamp, "data": data}, ensure_ascii=False)
