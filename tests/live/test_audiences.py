"""Live audiences: evaluated whenever one may have changed, published once, and only of customers with events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.fold.kernels.audiences import BY_ALL
from sojourn.frames.instants import show_instant
from sojourn.playbook.load import load_playbook
from tests.live.engine_world import SECOND, Engine, make_project, open_engine

NOW = 1_795_000_000 * SECOND
HOUR = 3_600 * SECOND
RULES = """audiences:
  in_lately: {when: "count(sign_in, within=1h) >= 1", purpose: service}
  in_once: {when: "count(sign_in, within=90d) == 1", purpose: service}
  as_before: {when: "count(upgrade, within=90d) < 1", purpose: service}
  gone: {when: "not (count(sign_in, within=1d) >= 1)", purpose: service}
"""
BOOK = load_playbook("saas").text.replace("audiences:\n", RULES, 1)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with open_engine(make_project(tmp_path / "p", BOOK), NOW) as opened:
        yield opened


def call(event: str = "Signed In", *, at: int = NOW, **ids: str) -> dict[str, Any]:
    return {"type": "track", "event": event, "timestamp": show_instant(at), **ids}


def published(engine: Engine) -> list[tuple[str, str, str]]:
    """The changes of audiences since the last call: entered or left, who, and which."""
    changes = [change for change in engine.published if "audience" in change.kind]
    engine.published.clear()
    return sorted((c.kind.removeprefix("audience_"), c.customer_id, c.name) for c in changes)


def test_a_rule_that_holds_of_a_new_customer_is_told_at_once(engine: Engine) -> None:
    engine.send([call(userId="u1")])
    assert published(engine) == [("entered", "u1", name) for name in ("as_before", "in_lately", "in_once")]
    engine.send([call("Subscription Upgraded", userId="u1")])
    assert published(engine) == [("left", "u1", "as_before")]


def test_a_late_event_tells_what_has_changed_and_nothing_again(engine: Engine) -> None:
    engine.send([call(userId="u1")])
    published(engine)
    engine.send([call(userId="u1", at=NOW - 30 * SECOND)])
    assert engine.live.version.counts["refolded"] == 1
    assert published(engine) == [("left", "u1", "in_once")]
    assert engine.live.members("as_before", limit=9) == {"members": ["u1"], "next": None}


def test_a_device_of_two_users_is_no_customer(engine: Engine) -> None:
    engine.send([call(userId="u1", anonymousId="a1")])
    engine.send([call(userId="u2", anonymousId="a1")])
    engine.pass_time(3 * 86_400)
    assert {who for _, who, _ in published(engine)} == {"u1", "u2"}
    assert engine.live.status()["n_customers"] == 2
    found = engine.live.customer("a1")
    assert found is not None
    assert (found["customer_id"], found["activity"], found["audiences"]) == ("a1", {"n_events": 0}, [])
    assert "state" not in found
    engine.send([call(anonymousId="a1", at=engine.now)])  # now it is
    assert engine.live.status()["n_customers"] == 3
    assert ("entered", "a1", "as_before") in published(engine)


def test_who_is_left_without_an_event_leaves(engine: Engine) -> None:
    engine.send([call(anonymousId="a1", messageId="m1")])
    engine.send([call(userId="u1", anonymousId="a1", messageId="m1")])  # no event, but it says who a1 is
    assert engine.live.customer("a1")["customer_id"] == "u1"  # type: ignore[index]
    published(engine)
    engine.send([call(userId="u2", anonymousId="a1", at=NOW + 1)])
    assert engine.live.status()["n_customers"] == 2
    left = [(who, name) for what, who, name in published(engine) if what == "left"]
    assert sorted(left) == [("u1", "as_before"), ("u1", "in_lately"), ("u1", "in_once")]


def test_what_is_due_when_an_event_comes_is_not_forgotten(engine: Engine) -> None:
    engine.send([call(userId="u1")])
    published(engine)
    later = NOW + HOUR + SECOND
    engine.send_at(later, [call("Subscription Upgraded", userId="u1", at=later)])
    assert published(engine) == [("left", "u1", "as_before"), ("left", "u1", "in_lately")]


def test_whose_past_is_coming_in_is_looked_at_with_the_first_event_of_now(engine: Engine) -> None:
    engine.send_at(NOW, [call("Feature Used", userId="u1", at=NOW - 30 * 24 * HOUR)])
    assert published(engine) == []
    engine.send_at(NOW + 1, [call("Feature Used", userId="u1", at=NOW)])
    assert published(engine) == [("entered", "u1", "as_before"), ("entered", "u1", "gone")]


USERS, DEVICES = st.sampled_from(["", "u1", "u2"]), st.sampled_from(["", "a1", "a2", "a3"])
STEPS = st.lists(
    st.tuples(
        USERS, DEVICES, st.sampled_from(["Signed In", "Subscription Upgraded", "Feature Used"]),
        st.sampled_from([0, 0, 30, 3_000, 90_000]), st.sampled_from([0, 1, 1_000, 4_000, 100_000]),
        st.sampled_from(["", "", "m1", "m2"]),
    ),
    min_size=2, max_size=25,
)  # fmt: skip


@given(STEPS)
@settings(max_examples=25, deadline=None)
def test_what_is_told_adds_up_to_who_is_in(tmp_path_factory: pytest.TempPathFactory, steps: Any) -> None:
    with open_engine(make_project(tmp_path_factory.mktemp("law") / "p", BOOK), NOW) as engine:
        for user, device, event, ago, after, id in steps:
            engine.now += after * SECOND
            given_ids = {"userId": user, "anonymousId": device, "messageId": id}
            ids = {name: text for name, text in given_ids.items() if text}
            engine.send([call(event, at=engine.now - ago * SECOND, **ids)])
        engine.pass_time(5)
        check_all(engine)
        engine.pass_time(100 * 86_400)
        check_all(engine)


def check_all(engine: Engine) -> None:
    live = engine.live
    names = [one["audience"] for one in live.audiences()]
    is_in: set[tuple[str, str]] = set()
    for change in engine.store.read_changes(0, limit=1_000_000, kinds=["audience_entered", "audience_left"]):
        who = (change.customer_id, change.name)
        assert (change.kind == "audience_left") == (who in is_in), change
        is_in ^= {who}
    members = {name: (live.members(name, limit=1_000) or {})["members"] for name in names}
    assert is_in == {(who, name) for name, found in members.items() for who in found}
    with live.lock:
        version = live.version
        rows = np.flatnonzero(version.customers.owner[: len(version.customers)] >= 0).astype(np.int32)
        assert (version.customers.n_events[rows] > 0).all()
        assert not version.customers.is_held[rows].any()
        why, at = np.full(len(rows), BY_ALL, np.uint8), np.full(len(rows), version.now)
        states = version.states_at(rows, version.now)
        assert version.memberships.evaluate(rows, at, why, None, states, version.position) == []
