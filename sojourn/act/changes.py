"""The kinds of changes that the change feed publishes and destinations receive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CHANGE_KINDS = (
    "transition",
    "transition_revoked",
    "moment",
    "moment_revoked",
    "audience_entered",
    "audience_left",
)
"""The kinds of changes."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change: one line of the change feed, in the order of ``seq``, which rises by at least one.

    ``id`` is the same whenever the same change is computed again. ``kind`` is ``transition``, ``transition_revoked``
    (a late event, a merge or an erasure shows that it does not hold), ``moment``, ``audience_entered`` or
    ``audience_left``. ``name`` is the state that was entered, the moment, or the audience; ``before`` the state that
    was left. ``data`` is the rest, as plain JSON: cause, event_id, event_class, dwell_s, state_p, version, revokes.
    """

    seq: int
    id: str
    kind: str
    customer_id: str
    at: int
    name: str
    before: str | None
    data: Mapping[str, Any]
