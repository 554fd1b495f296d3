"""What a run's tables say of an outcome: who had it, in which state they were before, and what moves lead there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sojourn.errors import Problem, SojournError, nearest
from sojourn.frames import DAY_US, instant_us
from sojourn.playbook import Outcome, Playbook

_NAMES = {
    "retention": ("churn", "silence", "lapse", "cancel"),
    "upsell": ("upsell", "upgrade", "expansion", "conversion"),
    "onboarding": ("activation", "onboarding", "conversion"),
}
"""Outcomes that a goal is measured by, the first that the playbook has."""
LEAST_CUSTOMERS = 30
"""In a state, below which nothing is said of its share."""
_WEEKS = 8
"""Microseconds."""


@dataclass(frozen=True)
class StateShare:
    """A state: who was in it when the outcome's time began, the share with the outcome, and who is in it now."""

    state: str
    n_then: int
    outcome_p: float | None
    n_now: int
    expected: float | None  # outcomes to expect of those in it now


@dataclass(frozen=True)
class Move:
    """A move that the plan hopes for or fears."""

    from_state: str
    to_state: str
    n: int
    p: float
    median_dwell_s: float | None
    is_wanted: bool


def choose_outcome(goal: str, playbook: Playbook, name: str | None) -> Outcome:
    """The outcome of the playbook that a goal is measured by: an event or a silence."""
    usable = {o.name: o for o in playbook.outcomes if o.event or o.silence_s}
    where = f"{playbook.path or playbook.name}"
    if name is not None:
        if name not in usable:
            what = f"there is no outcome '{name}' by an event or a silence; there are {', '.join(usable) or 'none'}"
            raise SojournError(Problem(where, what, nearest(name, usable)))
        return usable[name]
    found = next((usable[word] for word in _NAMES[goal] if word in usable), None)
    if found is None and goal == "retention":
        found = next((o for o in usable.values() if o.silence_s), None)
    if found is None and goal != "retention":
        found = next((o for o in usable.values() if o.event), None)
    if found is None:
        what = f"no outcome measures {goal}; name one with --outcome, of {', '.join(usable) or 'none'}"
        raise SojournError(Problem(where, what))
    return found


def watch_outcome(
    outcome: Outcome, playbook: Playbook, history: pa.Table, cut: int, window_s: float
) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Customers known at the instant ``cut`` (microseconds), and which of them had the outcome in the time after it."""
    at = history["event_at"].cast(pa.int64())
    names = history["event_class"].cast(pa.string())
    own = pc.invert(pc.is_in(names, pa.array(playbook.touches, pa.string())))
    before = pc.and_(own, pc.less_equal(at, cut))
    known = pc.unique(history["customer_id"].filter(before)).cast(pa.string())
    counted = own if outcome.silence_s else pc.equal(names, outcome.event)
    inside = pc.and_(counted, pc.and_(pc.greater(at, cut), pc.less_equal(at, cut + round(window_s * 1e6))))
    did = pc.is_in(known, pc.unique(history["customer_id"].filter(inside)).cast(pa.string()))
    found = did.to_numpy(zero_copy_only=False)
    return known, ~found if outcome.silence_s else found


def find_states(transitions: pa.Table, history: pa.Table, known: pa.Array, cut: int) -> NDArray[np.object_]:
    """The published state of each customer at an instant; None for none."""
    found: dict[str, str | None] = {}
    at = history["event_at"].cast(pa.int64())
    early = history.filter(pc.less_equal(at, cut))
    latest: dict[str, int] = {}
    for who, when, state in zip(
        early["customer_id"].to_pylist(),
        early["event_at"].cast(pa.int64()).to_pylist(),
        early["state"].cast(pa.string()).to_pylist(),
        strict=True,
    ):
        if when >= latest.get(who, when):
            latest[who], found[who] = when, state
    moved = transitions.filter(pc.less_equal(transitions["at"].cast(pa.int64()), cut))
    for who, when, state in zip(
        moved["customer_id"].to_pylist(),
        moved["at"].cast(pa.int64()).to_pylist(),
        moved["to_state"].cast(pa.string()).to_pylist(),
        strict=True,
    ):
        if when >= latest.get(who, when):
            latest[who], found[who] = when, state
    return np.array([found.get(who) for who in known.to_pylist()], object)


def choose_state(goal: str, shares: tuple[StateShare, ...], base_p: float) -> str:
    """Where to act: where most outcomes are at stake among states that are worse (or readier) than the average.

    For retention and onboarding where things go wrong more often than on average; for upsell where readiness is higher.
    """
    told = [share for share in shares if share.outcome_p is not None and share.n_now]
    if not told:
        raise SojournError(
            Problem("results", f"no state has customers now and {LEAST_CUSTOMERS} before who could be watched")
        )

    def at_stake(share: StateShare) -> float:
        p = share.outcome_p or 0.0
        return share.n_now * ((1 - p) if goal == "onboarding" else p)

    sign = -1 if goal == "onboarding" else 1
    some = [share for share in told if sign * ((share.outcome_p or 0.0) - base_p) > 0] or told
    return max(some, key=at_stake).state


def list_moves(goal: str, matrix: pa.Table, state: str, rates: Mapping[str, float | None]) -> tuple[Move, ...]:
    """Moves out of a state to better ones, and moves into it, the most frequent first."""
    is_loss = goal == "retention"
    own = rates.get(state)
    found = []
    for row in matrix.to_pylist():
        if row["from_state"] == state and own is not None:
            other = rates.get(row["to_state"])
            if other is not None and (other < own if is_loss else other > own):
                found.append(Move(state, row["to_state"], row["n"], row["p"], row["median_dwell_s"], True))
        elif row["to_state"] == state:
            found.append(Move(row["from_state"], state, row["n"], row["p"], row["median_dwell_s"], goal == "upsell"))
    found.sort(key=lambda move: (move.from_state != state, -move.n))
    return tuple([m for m in found if m.from_state == state][:3] + [m for m in found if m.to_state == state][:3])


def count_entries(transitions: pa.Table, state: str, now: datetime) -> float:
    """Customers who enter a state per week, over the last eight, or as many as there are since the first transition."""
    at = transitions["at"].cast(pa.int64())
    first = pc.min(at).as_py()
    known = 0.0 if first is None else (instant_us(now) - first) / (7 * DAY_US)
    recent = pc.and_(
        pc.greater(at, instant_us(now) - _WEEKS * 7 * DAY_US),
        pc.equal(transitions["to_state"].cast(pa.string()), state),
    )
    n = float(pc.count_distinct(transitions["customer_id"].filter(recent)).as_py())
    return n / min(_WEEKS, max(known, 1.0))


def choose_customers(
    goal: str, outcome: Outcome, customers: pa.Table, history: pa.Table, known: pa.Array, cut: int, new_days: float
) -> NDArray[np.bool_]:
    """Of those known at the cut whom a goal is about: the new ones for onboarding, for upsell those who had bought, for
    retention those who are not lost already.

    ``customers`` has the column ``own_at`` that :func:`add_own_at` makes as of the cut.
    """
    names = known.to_pylist()
    if goal == "onboarding":
        first_at = customers["first_at"].cast(pa.int64()).to_pylist()
        first = dict(zip(customers["customer_id"].to_pylist(), first_at, strict=True))
        return np.array([(first.get(who) or 0) > cut - new_days * DAY_US for who in names], bool)
    if goal == "upsell":
        had = _who_had(outcome, history, cut)
        return np.array([who in had for who in names], bool) if had else np.ones(len(known), bool)
    if not outcome.silence_s:
        gone = _who_had(outcome, history, cut)
        return np.array([who not in gone for who in names], bool)
    last = dict(zip(customers["customer_id"].to_pylist(), customers["own_at"].to_pylist(), strict=True))
    return np.array([(last.get(who) or 0) > cut - outcome.silence_s * 1e6 for who in names], bool)


def add_own_at(customers: pa.Table, history: pa.Table, touches: tuple[str, ...], until: int) -> pa.Table:
    """The customers with ``own_at``: their last event until an instant that was no touch, in microseconds."""
    at = history["event_at"].cast(pa.int64())
    own = pc.invert(pc.is_in(history["event_class"].cast(pa.string()), pa.array(touches, pa.string())))
    rows = pc.and_(own, pc.less_equal(at, until))
    told = pa.table({"who": history["customer_id"].cast(pa.string()).filter(rows), "at": at.filter(rows)})
    last = told.group_by("who").aggregate([("at", "max")])
    place = pc.index_in(customers["customer_id"].cast(pa.string()), last["who"].combine_chunks())
    return customers.append_column("own_at", last["at_max"].combine_chunks().take(place.combine_chunks()))


def _who_had(outcome: Outcome, history: pa.Table, until: int) -> set[str]:
    hit = pc.and_(
        pc.equal(history["event_class"].cast(pa.string()), outcome.event or ""),
        pc.less_equal(history["event_at"].cast(pa.int64()), until),
    )
    return set(pc.unique(history["customer_id"].filter(hit)).to_pylist())


def share_states(
    playbook: Playbook,
    then: NDArray[np.object_],
    had: NDArray[np.bool_],
    customers: pa.Table,
    is_now: NDArray[np.bool_],
) -> tuple[StateShare, ...]:
    """Per state how many were in it then, which share of these had the outcome, and how many are in it now."""
    present = np.array(customers["state"].cast(pa.string()).to_pylist(), object)
    found = []
    for name in dict.fromkeys([*playbook.state_names, *(s for s in present if s)]):
        mine = then == name
        n_then, n_now = int(mine.sum()), int(((present == name) & is_now).sum())
        p = float(had[mine].mean()) if n_then >= LEAST_CUSTOMERS else None
        found.append(StateShare(name, n_then, p, n_now, None if p is None else p * n_now))
    return tuple(found)


def share_of(is_now: NDArray[np.bool_], customers: pa.Table, state: str) -> float:
    """The share of those in a state that the plan is about."""
    here = np.array(customers["state"].cast(pa.string()).to_pylist(), object) == state
    return float(is_now[here].mean()) if here.any() else 0.0
