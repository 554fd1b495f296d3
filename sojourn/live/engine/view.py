"""Customers, states and audiences as plain JSON for the HTTP side. Nothing here changes a version."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.fold import read_features
from sojourn.frames import show_instant
from sojourn.live.engine.predictions import show_predictions
from sojourn.live.engine.version import StatesAt, Version, list_memberships
from sojourn.states import find_runner_up, list_reasons, split_odds
from sojourn.states.hmm import FIRST_OWN, LAST_OWN, N_OWN, SEEN_SINCE, SEEN_STATE, SEEN_TICKS, STEP_TICKS, STEP_TOUCH
from sojourn.states.hmm import hysteresis as publish

FIELDS = (
    "ids",
    "state",
    "posterior",
    "reasons",
    "features",
    "segments",
    "audiences",
    "moments",
    "consent",
    "traits",
    "activity",
    "predictions",
)
"""The fields of a customer; ``state`` brings since_at, state_p and runner_up with it."""


def show_customer(version: Version, id: str, now: int, fields: Sequence[str] | None) -> dict[str, Any] | None:
    """The customer who has this id, all fields or some; None for an unknown id."""
    identities = version.identities
    node = identities.find(id)
    if node < 0:
        return None
    owner = int(identities.graph.owner[node])
    row = version.rows.find_one(node)
    wanted = set(FIELDS if fields is None else fields)
    nodes = identities.graph.members(owner)
    found: dict[str, Any] = {"customer_id": identities.customer_id(owner), "at": show_instant(now)}
    if row >= 0 and wanted & {"state", "posterior", "reasons"}:
        found |= _show_state(version, row, now, wanted)
    parts: dict[str, Callable[[], Any]] = {
        "ids": lambda: _list_ids(version, nodes),
        "features": lambda: _show_features(version, row, now),
        "segments": lambda: _list_rules(version, row, is_segment=True),
        "audiences": lambda: _list_rules(version, row, is_segment=False),
        "moments": lambda: _list_moments(version, row),
        "consent": lambda: identities.consent(nodes),
        "traits": lambda: version.profiles.traits(nodes),
        "activity": lambda: _show_activity(version, row),
        "predictions": lambda: show_predictions(version, row, now),
    }
    return found | {name: part() for name, part in parts.items() if name in wanted}


def _show_state(version: Version, row: int, now: int, wanted: set[str]) -> dict[str, Any]:
    rows = np.array([row], np.int32)
    states = version.states_at(rows, now)
    state = int(states.seen[0, SEEN_STATE])
    if state < 0:
        return {"state": None}
    names = version.state_model.model.states
    posterior = states.posterior[0]
    other = int(find_runner_up(states.posterior, np.array([state]))[0])
    found: dict[str, Any] = {}
    if "state" in wanted:
        found |= {
            "state": names[state],
            "since_at": show_instant(int(states.seen[0, SEEN_SINCE])),
            "state_p": float(posterior[state]),
            "runner_up": names[other],
        }
    if "posterior" in wanted:
        found["posterior"] = dict(zip(names, posterior.tolist(), strict=True))
    if "reasons" in wanted:
        found["reasons"] = _explain_state(version, rows, states, state, other)
    return found


def _explain_state(
    version: Version, rows: NDArray[np.int32], states: StatesAt, state: int, other: int
) -> list[dict[str, Any]]:
    """Why this state rather than the runner-up: parts that add up to the log-odds."""
    customers, model = version.customers, version.state_model.model
    kept = customers.kept[rows]
    facts = np.zeros((1, len(publish.FACTS)), np.int64)
    for into, column in (
        (publish.N_OWN, N_OWN),
        (publish.STEP_TICKS, STEP_TICKS),
        (publish.STEP_TOUCH, STEP_TOUCH),
    ):
        facts[:, into] = kept[:, column]
    facts[:, publish.TICKS_NOW] = states.seen[:, SEEN_TICKS]
    parts = split_odds(
        model,
        customers.seen[rows],
        customers.before[rows],
        facts,
        np.zeros(1, np.int32),
        np.array([state]),
        np.array([other]),
        version.steps.odds,
    )
    return list_reasons(model, parts)


def _list_ids(version: Version, nodes: Iterable[int]) -> list[dict[str, str]]:
    return [{"kind": kind, "id": text} for kind, text in map(version.identities.describe, nodes)]


def _show_features(version: Version, row: int, now: int) -> dict[str, float | None]:
    if row < 0:
        return {}
    layout = version.steps.layout
    vectors = version.customers.vectors[row : row + 1]
    [values] = read_features(layout, vectors, max(now, int(vectors[0, 0]))).tolist()
    return {name: value if isfinite(value) else None for name, value in zip(layout.feature_names, values, strict=True)}


def _list_rules(version: Version, row: int, *, is_segment: bool) -> list[str]:
    if row < 0:
        return []
    return list_memberships(version.steps.rules, version.customers.members[row], is_segment=is_segment)


def _list_moments(version: Version, row: int) -> list[dict[str, Any]]:
    """When each moment was last completed, the latest first."""
    if row < 0:
        return []
    slots = version.steps.moment_slots
    instants = version.customers.vectors[row, list(slots.values())].tolist()
    last = sorted(((at, name) for at, name in zip(instants, slots, strict=True) if isfinite(at)), reverse=True)
    return [{"moment": name, "last_at": show_instant(int(at))} for at, name in last]


def _show_activity(version: Version, row: int) -> dict[str, Any]:
    if row < 0:
        return {"n_events": 0}
    kept = version.customers.kept[row].tolist()
    found: dict[str, Any] = {"n_events": int(version.customers.n_events[row])}
    if kept[N_OWN]:
        found |= {"first_at": show_instant(kept[FIRST_OWN]), "last_at": show_instant(kept[LAST_OWN])}
    return found


def show_timeline(version: Version, id: str, *, limit: int, before: int | None) -> dict[str, Any] | None:
    """The latest events and changes of a customer before an instant, newest first; None for an unknown id.

    ``next`` is the instant to go on from, None at the end.
    """
    node = version.identities.find(id)
    if node < 0:
        return None
    owner = int(version.identities.graph.owner[node])
    nodes = version.identities.graph.members(owner)
    rows = [*_list_events(version, nodes, limit + 1, before), *_list_changes(version, nodes, before)]
    rows.sort(key=lambda row: row[:3], reverse=True)
    shown = rows[:limit]
    # All of one instant come together: the next page begins before it.
    while len(rows) > len(shown) > 0 and rows[len(shown)][0] == shown[-1][0]:
        shown.append(rows[len(shown)])
    return {
        "customer_id": version.identities.customer_id(owner),
        "items": [{"at": show_instant(at), **row} for at, _, _, row in shown],
        "next": shown[-1][0] if len(rows) > len(shown) else None,
    }


Line = tuple[int, bool, int, dict[str, Any]]
"""A line of a timeline: its instant, whether it is a change, its seq, and what it says."""


def _list_events(version: Version, nodes: Sequence[int], n: int, before: int | None) -> Iterable[Line]:
    events = version.event_files.latest(nodes, n, before)
    names = version.playbook.class_names
    columns = np.array((events.event_at, events.seq, events.event_class, events.node)).T.tolist()
    for (at, seq, which, by), event_id in zip(columns, events.event_id, strict=True):
        what = {"what": "event", "event_class": names[which], "event_id": event_id.decode() or None}
        yield at, False, seq, {**what, "id": version.identities.text(by)}


def _list_changes(version: Version, nodes: Sequence[int], before: int | None) -> Iterable[Line]:
    for change in version.stored.customer_changes(version.identities.names(nodes), include_revoked=True):
        if before is None or change.at < before:
            what = {"what": change.kind, "name": change.name, "before": change.before, "change_id": change.id}
            yield change.at, True, change.seq, {**what, "is_revoked": change.revoked_by is not None}


def list_states(version: Version, counts: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Per state how many customers are in it, and the playbook's words about it."""
    written: Mapping[str, Any] = {state.name: state for state in version.playbook.states}
    found = []
    for name, n in zip(version.state_model.model.states, counts.tolist(), strict=True):
        state = written.get(name)
        found.append(
            {
                "state": name,
                "n_customers": n,
                "job": state.job if state else None,
                "anxieties": list(state.anxieties) if state else [],
                "is_written": state is not None,
            }
        )
    return found


def list_audiences(version: Version) -> list[dict[str, Any]]:
    """Per audience its purpose, rule, and how many are in it now."""
    rules = version.steps.rules
    rows = np.flatnonzero(version.customers.owner[: len(version.customers)] >= 0)
    bits = np.unpackbits(version.customers.members[rows], axis=1, bitorder="little")
    return [
        {
            "audience": audience.name,
            "when": audience.when.text,
            "purpose": audience.purpose,
            "n_customers": int(bits[:, rules.names.index(audience.name)].sum()),
        }
        for audience in version.playbook.audiences
    ]


def list_members(version: Version, audience: str, *, limit: int, after: int) -> dict[str, Any] | None:
    """Members of an audience from a row on; None for an unknown one. ``next`` is the row to go on from."""
    rules = version.steps.rules
    if audience not in rules.names[rules.n_segments :]:
        return None
    k = rules.names.index(audience, rules.n_segments)
    n = len(version.customers)
    is_in = (version.customers.members[after:n, k // 8] >> (k % 8)) & 1
    is_in &= version.customers.owner[after:n] >= 0
    rows = np.flatnonzero(is_in)[: limit + 1] + after
    members = [version.identities.customer_id(int(version.customers.owner[row])) for row in rows[:limit].tolist()]
    return {"members": members, "next": int(rows[limit]) if len(rows) > limit else None}
