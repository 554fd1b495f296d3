"""The parts of the live engine, each alone: no server, no thread of an engine, no store but a dictionary."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sojourn.act.changes import Change
from sojourn.errors import SojournError, StoreError, StoreFull
from sojourn.fold.layout import build_layout
from sojourn.live.deploy import WISH
from sojourn.live.engine import inbox as inbox_module
from sojourn.live.engine.commands import carry_out
from sojourn.live.engine.environment import Environment, Limits
from sojourn.live.engine.event_files import example_events
from sojourn.live.engine.inbox import MOST_CALLS, Inbox, answer, make_columns
from sojourn.live.engine.log_writer import LogWriter
from sojourn.live.engine.records import apply_record, check_command, read_command, spell_command
from sojourn.live.engine.recovery import ACTIVE
from sojourn.live.engine.rollout import Rollout
from sojourn.live.engine.service import Overloaded, Request
from sojourn.live.engine.timings import Histogram
from sojourn.live.engine.turns import Turns
from sojourn.live.engine.version import profiles as profiles_module
from sojourn.live.engine.version.customers import Customers
from sojourn.live.engine.version.feed import Fact, publish, reconcile, revoke
from sojourn.live.engine.version.identities import Identities
from sojourn.live.engine.version.intake import Intake, join_events, list_quarantined, split_seq, take_events
from sojourn.live.engine.version.memberships import Happened, list_memberships
from sojourn.live.engine.version.outcome import Outcome
from sojourn.live.engine.version.profiles import Profiles
from sojourn.live.engine.version.row_index import RowIndex
from sojourn.live.engine.version.version import Version
from sojourn.live.store.calls import decode_calls, encode_calls
from sojourn.live.store.changes import NOTHING, Profile, StoredChange
from sojourn.live.store.log import Record
from sojourn.playbook.load import load_playbook
from sojourn.states.model import draft_state_model

SECOND = 1_000_000
NOW = 1_760_000_000 * SECOND
BOOK = load_playbook("shop")


@dataclass
class Stored:
    """What was derived before, as a version reads it back."""

    changes: list[StoredChange] = field(default_factory=list)
    profiles: dict[int, Profile] = field(default_factory=dict)

    def customer_changes(self, customer_ids: Sequence[str], *, include_revoked: bool = False) -> list[StoredChange]:
        return [one for one in self.changes if one.customer_id in customer_ids]

    def read_profiles(self, nodes: Sequence[int]) -> Mapping[int, Profile]:
        return {node: self.profiles[node] for node in nodes if node in self.profiles}

    def take(self, outcome: Outcome, position: int) -> None:
        """Write an outcome, as a store does with the next record."""
        by = dict(outcome.revoked)
        old = [StoredChange(**{**spell(c), "revoked_by": by.get(c.seq, c.revoked_by)}) for c in self.changes]
        moved = {seq: new for _, new, seqs in outcome.reassigned for seq in seqs}
        old = [StoredChange(**{**spell(c), "customer_id": moved.get(c.seq, c.customer_id)}) for c in old]
        new = [StoredChange(**{**spell(c), "position": position, "revoked_by": None}) for c in outcome.changes]
        self.changes = old + new
        self.profiles |= {key: Profile(key, traits, {}) for key, (traits, _) in outcome.profiles.items()}


def spell(change: Any) -> dict[str, Any]:
    return {name: getattr(change, name) for name in type(change).__slots__}


def track(user: str = "", event: str = "Product Viewed", *, at: int = NOW, **more: Any) -> bytes:
    ids = {"userId": user} if user else {}
    return json.dumps({"type": "track", "event": event, "timestamp": at // 1_000, **ids, **more}).encode()


def record_of(calls: Sequence[bytes], at: int = NOW) -> Any:
    return decode_calls(encode_calls(list(calls), 0, at, None, "k"))


def make_version(folder: Path, stored: Stored) -> Version:
    return Version(1, BOOK, draft_state_model(BOOK), folder / "past", duplicates_within_us=10**12, stored=stored)


# The change feed


def stored_change(fact: Fact, seq: int, *, revoked_by: int | None = None, customer_id: str = "") -> StoredChange:
    who = customer_id or fact.customer_id
    return StoredChange(seq, f"chg_{seq}", fact.kind, who, fact.at, fact.name, fact.before, {}, 1, revoked_by)


def test_changes_are_numbered_in_order_of_time_and_named_by_what_they_say() -> None:
    late, early = Fact("u1", "moment", 9, "x", None, {}), Fact("u2", "transition", 5, "b", "a", {})
    changes = publish([(late, 0), (early, 0)], 40, 1)
    assert [(c.seq, c.at, c.customer_id) for c in changes] == [(41, 5, "u2"), (42, 9, "u1")]
    assert [c.id for c in changes] == [c.id for c in publish([(early, 0), (late, 0)], 7, 1)]
    assert len({c.id for v in (1, 2) for at in (0, 8) for c in publish([(early, at)], 0, v)}) == 4


def test_a_new_fold_is_reconciled_with_what_was_published() -> None:
    same, other, gone = (Fact("u1", "transition", at, "b", "a", {}) for at in (5, 6, 7))
    again, future = Fact("u1", "transition", 8, "b", "a", {}), Fact("u1", "transition", 9, "b", "a", {})
    published = [
        stored_change(same, 1), stored_change(other, 2, customer_id="anon"), stored_change(gone, 3),
        stored_change(again, 4, revoked_by=5), stored_change(future, 99),
    ]  # fmt: skip
    found = reconcile([same, other, again, future], published, 10)
    assert found.new == [again, future]
    assert found.reassigned == [(2, "anon", "u1")]
    assert [change.seq for change in found.revoked] == [3]
    fact = revoke(found.revoked[0], "u1")
    assert (fact.kind, fact.data) == ("transition_revoked", {"revokes": "chg_3", "revokes_seq": 3})


# From calls to events


def test_calls_are_read_quarantined_and_dropped_where_they_were_taken_before() -> None:
    layout = build_layout(BOOK, is_live=True)
    intake, identities = Intake(BOOK, layout, 5, 10**12), Identities(BOOK)
    calls = record_of([track("u1", at=NOW + 2, messageId="m1"), b"{", track("u2", messageId="m1"), track("u2")])
    read = intake.read(calls)
    assert [(q.position, q.place) for q in list_quarantined(7, calls, read)] == [(7, 1)]
    first, pairs = identities.take_in(read)
    is_new = intake.find_new(read, NOW)
    assert is_new.tolist() == [True, False, True]
    events = intake.make_events(7, read, first, is_new)
    assert {split_seq(seq) for seq in events.seq.tolist()} == {(7, 0), (7, 3)}
    assert events.event_at.tolist() == sorted(events.event_at.tolist())
    assert not intake.find_new(read, NOW)[:2].any()
    assert len(pairs) == 0


def test_events_are_taken_and_joined_in_the_order_given() -> None:
    events = example_events([(3, 50), (4, 60), (5, 70)])
    taken = take_events(events, np.array([2, 0]))
    assert join_events([taken, events]).event_at.tolist() == [70, 50, 50, 60, 70]


# Rows of customers


def make_rows() -> tuple[RowIndex, Identities, Customers]:
    identities, customers = Identities(BOOK), Customers(build_layout(BOOK), 5, 20, 4)
    return RowIndex(identities, customers), identities, customers


def link(rows: RowIndex, identities: Identities, calls: Sequence[bytes]) -> tuple[Any, np.ndarray[Any, Any]]:
    read = Intake(BOOK, build_layout(BOOK, is_live=True), 5, 10**12).read(record_of(calls))
    first, pairs = identities.take_in(read)
    return rows.join(identities.graph.link(pairs)), first


def test_a_visitor_who_signs_in_keeps_their_row() -> None:
    rows, identities, customers = make_rows()
    joined, first = link(rows, identities, [track(anonymousId="a1")])
    [row] = rows.make(first).tolist()
    customers.n_events[row] = customers.n_published[row] = 1
    joined, _ = link(rows, identities, [track("u1", anonymousId="a1")])
    a1, u1 = identities.find("a1"), identities.find("u1")
    assert (joined.redo.tolist(), joined.freed, joined.renamed) == ([], [], [(a1, u1)])
    assert rows.find_one(a1) == rows.find_one(u1) == row
    assert identities.names([a1]) == ["a1", "anonymous_id:a1"]


def test_a_visitor_who_proves_to_be_a_customer_with_events_is_folded_into_them() -> None:
    rows, identities, customers = make_rows()
    _, first = link(rows, identities, [track(anonymousId="a1"), track("u1")])
    of_a1, of_u1 = rows.make(first).tolist()
    customers.n_events[[of_a1, of_u1]] = 1
    joined, _ = link(rows, identities, [track("u1", anonymousId="a1")])
    a1 = identities.find("a1")
    assert (joined.redo.tolist(), joined.freed, joined.renamed) == ([of_u1], [a1], [])
    assert rows.row_of_owner(a1) == of_a1
    rows.release(a1)
    assert rows.row_of_owner(a1) == -1
    assert rows.find(np.array([a1, -1, identities.find("u1")], np.int32)).tolist() == [of_u1, -1, of_u1]
    assert customers.n_customers == 1


# Traits


def test_the_latest_value_of_a_trait_counts_whatever_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    stored, identities = Stored(), Identities(BOOK)
    profiles = Profiles(identities, stored)
    intake = Intake(BOOK, build_layout(BOOK, is_live=True), 5, 10**12)

    def note(position: int, user: str, at: int, **traits: Any) -> None:
        call = {"type": "identify", "userId": user, "timestamp": at // 1_000, "traits": traits}
        read = intake.read(record_of([json.dumps(call).encode()]))
        first, pairs = identities.take_in(read)
        identities.graph.link(pairs)
        profiles.make_room(len(identities))
        found = profiles.note(position, read, first)
        latest.clear()
        latest.update({identities.key(node): Profile(0, *profile) for node, profile in found.items()})

    latest: dict[int, Profile] = {}
    note(1, "u1", NOW, plan="gold", city="Rome")
    stored.profiles |= latest
    note(2, "u1", NOW - 60 * SECOND, plan="free", age=7)
    u1 = identities.find("u1")
    assert profiles.traits([u1]) == {"age": 7, "city": "Rome", "plan": "gold"}
    # The store does not have the last record yet: a cache that is full must not lose it.
    monkeypatch.setattr(profiles_module, "MOST_CACHED", 0)
    note(3, "u2", NOW, plan="new")
    stored.profiles = dict(stored.profiles)
    assert profiles.traits([identities.find("u2"), u1])["plan"] == "new"
    profiles.forget([u1])
    assert profiles.traits([u1]) == {}


# Audiences


def test_classes_of_events_are_listed_by_customer_in_order() -> None:
    happened = Happened(np.array([4, 2, 9, 4], np.int32), np.array([1, 0, 5, 3], np.int16))
    starts, classes = happened.of(np.array([2, 4, 7], np.int32), 10)
    assert (starts.tolist(), classes.tolist()) == ([0, 1, 3, 3], [0, 1, 3])


def test_memberships_are_read_from_bits() -> None:
    rules: Any = SimpleNamespace(names=["loyal", "ready", "gone"], n_segments=1)
    bits = np.array([0b101], np.uint8)
    assert list_memberships(rules, bits, is_segment=True) == ["loyal"]
    assert list_memberships(rules, bits, is_segment=False) == ["gone"]


# A version as a whole, without an engine


def test_an_engine_is_not_needed_to_fold_a_log(tmp_path: Path) -> None:
    stored = Stored()
    version = make_version(tmp_path, stored)
    for position in range(1, 6):
        at = NOW + position * 3_600 * SECOND
        calls = [track("u1", at=at), track("u1", "Order Completed", at=at + SECOND), track("u2", at=at)]
        stored.take(version.take_calls(position, at + SECOND, record_of(calls, at + SECOND)), position)
    assert version.is_due(NOW + 90 * 86_400 * SECOND)
    stored.take(version.pass_time(6, NOW + 90 * 86_400 * SECOND), 6)
    assert version.customers.n_customers == 2
    assert version.seq == max(change.seq for change in stored.changes)
    standing = {(c.customer_id, c.at, c.name) for c in stored.changes if c.kind == "transition" and not c.revoked_by}
    # A late event that changes nothing about states: everything is folded again, and nothing is published twice.
    late = record_of([track("u2", "nothing that counts", at=NOW + 2 * 3_600 * SECOND)], version.now)
    outcome = version.take_calls(7, version.now, late)
    stored.take(outcome, 7)
    assert version.counts["refolded"] == version.counts["late"] == 1
    again = {(c.customer_id, c.at, c.name) for c in stored.changes if c.kind == "transition" and not c.revoked_by}
    assert again == standing
    arrays, rest = version.save()
    assert "customers.n_told" in arrays  # snapshots that were written before stay readable
    other = make_version(tmp_path / "other", stored)
    with pytest.raises(SojournError):
        other.restore(arrays, {**rest, "number": 2})


# Records and commands


class Recorder:
    """A projection that notes what it takes."""

    def __init__(self) -> None:
        self.position = self.now = 0
        self.taken: list[tuple[Any, ...]] = []

    def take_calls(self, position: int, at: int, calls: Any) -> Outcome:
        self.taken.append(("calls", position, len(calls)))
        return Outcome()

    def pass_time(self, position: int, at: int) -> Outcome:
        self.taken.append(("clock", position))
        return Outcome()

    def take_command(self, position: int, at: int, name: str, arguments: dict[str, Any]) -> Outcome:
        self.taken.append((name, position))
        if name == "split":
            raise SojournError("refused")
        return Outcome()

    def skip(self, position: int, at: int) -> Outcome:
        self.taken.append(("skipped", position))
        return Outcome()


def test_records_do_what_their_kind_says() -> None:
    projection = Recorder()
    ids = {"a": "u1", "b": "u2"}
    payloads = [
        ("calls", encode_calls([track("u1")], 0, NOW, None, "k")), ("clock", b""),
        ("command", spell_command("merge", ids)), ("command", spell_command("switch", {"version": 2})),
        ("command", spell_command("split", ids)),
    ]  # fmt: skip
    for position, (kind, payload) in enumerate(payloads, 1):
        apply_record(projection, Record(position=position, at=NOW, kind=kind, n=1, payload=payload))
    assert projection.taken == [
        ("calls", 1, 1), ("clock", 2), ("merge", 3), ("skipped", 4), ("split", 5), ("skipped", 5),
    ]  # fmt: skip
    with pytest.raises(SojournError, match="record 9 of the log"):
        apply_record(projection, Record(position=9, at=NOW, kind="command", n=1, payload=b"{"))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("burn", {}), ("merge", {"a": "u1"}), ("merge", {"a": "u1", "b": 2}), ("switch", {"version": True}),
     ("erase", {"id": "x" * 1_000_000})],
)  # fmt: skip
def test_a_command_with_other_arguments_is_refused(name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(SojournError):
        check_command(name, arguments)
    assert read_command(spell_command("erase", {})) == ("erase", {})


class MetaStore:
    """The notes of a store."""

    def __init__(self, **notes: Any) -> None:
        self.notes = notes

    def get_meta(self, name: str, default: Any = None) -> Any:
        return self.notes.get(name, default)

    def set_meta(self, name: str, value: Any) -> None:
        self.notes[name] = value

    def read_version(self, number: int) -> Any:
        return None


def host_of(store: MetaStore) -> Any:
    env = Environment(store, Path(), Limits(), lambda: NOW)  # type: ignore[arg-type]
    return SimpleNamespace(env=env, version=SimpleNamespace(number=1))


def test_a_rollback_needs_a_version_before() -> None:
    store = MetaStore(**{ACTIVE: {"version": 1, "before": None}})
    with pytest.raises(SojournError, match="no version before"):
        carry_out(host_of(store), "rollback", {}, NOW)
    store.notes[ACTIVE] = {"version": 2, "before": {"version": 1}}
    assert carry_out(host_of(store), "rollback", {}, NOW)["action"] == "rollback"
    assert store.notes[WISH]["action"] == "rollback"


def test_a_version_that_cannot_be_used_is_reported_and_not_tried_again() -> None:
    store = MetaStore(**{ACTIVE: {"version": 1, "before": None}, WISH: {"number": 3, "action": "switch", "version": 8}})
    rollout = Rollout(host_of(store))
    rollout.poll()
    assert store.notes["deploy_done"] == 3
    assert rollout.describe() == {"status": "failed", "problem": rollout.problem}
    assert "there is no version 8" in str(rollout.problem)


# What waits


def ask(inbox: Inbox, *sizes: int) -> list[asyncio.Future[None]]:
    return [inbox.submit(Request([b"{}"] * size, "track", NOW, None, "k")) for size in sizes]


def test_requests_are_taken_together_up_to_the_size_of_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        inbox = Inbox(2 * MOST_CALLS)
        with pytest.raises(Overloaded):
            ask(inbox, 1)
        inbox.open()
        done = ask(inbox, MOST_CALLS - 10, 10, 5)
        assert inbox.n_waiting == MOST_CALLS + 5
        taken = inbox.take_requests()
        assert [len(one.request.calls) for one in taken] == [MOST_CALLS - 10, 10]
        answer(taken[:1], None)
        answer(taken[1:], StoreFull("full"))
        await done[0]
        with pytest.raises(StoreFull):
            await done[1]
        assert len(inbox.take_requests()) == 1
        ask(inbox, 2 * MOST_CALLS)
        with pytest.raises(Overloaded):  # too many calls
            ask(inbox, 1)
        assert len(inbox.take_requests()) == 1
        monkeypatch.setattr(inbox_module, "MOST_WAITING_BYTES", 1)
        [last] = ask(inbox, 1)
        with pytest.raises(Overloaded):  # too many bytes
            ask(inbox, 1)
        inbox.refuse_all()
        with pytest.raises(Overloaded):
            await last
        assert not inbox.wait(0)

    asyncio.run(run())


def test_what_waits_when_the_inbox_closes_is_still_taken() -> None:
    inbox = Inbox(10)
    inbox.open()
    done = inbox.submit_command("rollback", {}, None)
    inbox.close()
    with pytest.raises(Overloaded):
        inbox.submit_command("rollback", {}, None)
    assert inbox.wait(0)
    assert (inbox.take_command(), inbox.wait(0)) != (None, True)
    assert inbox.take_command() is None
    assert not done.done()


def test_calls_of_several_requests_become_one_record() -> None:
    columns = make_columns([Request([b"1", b"2"], "track", 5, None, "shop"), Request([b"3"], "page", 6, 4, "app")])
    assert columns.raw == [b"1", b"2", b"3"]
    assert columns.received_at.tolist() == [5, 5, 6]
    assert [columns.key_names[k] for k in columns.key.tolist()] == ["shop", "shop", "app"]


# The log and the listeners


class LogStore:
    """A log in memory that fails when it is told to."""

    def __init__(self) -> None:
        self.written: list[tuple[list[Any], Any]] = []
        self.is_writable, self.is_full = True, False

    def append(self, records: list[Any], derived: Any = NOTHING) -> int:
        if self.is_full:
            raise StoreError("the disk is full")
        self.written.append((records, derived))
        return len(self.written)


def test_what_was_derived_goes_with_the_next_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sojourn.live.engine.log_writer.RETRY_S", 0.0)
    store: Any = LogStore()
    woken: list[int] = []
    writer = LogWriter(store, threading.Lock(), lambda changes, now, version: ["row"], lambda: woken.append(1))  # type: ignore[list-item]
    heard: list[Change] = []
    stop = writer.subscribe(heard.extend)
    version: Any = SimpleNamespace(position=3)
    change = Change(1, "chg", "moment", "u1", NOW, "x", None, {})
    writer.settle(version, Outcome(), NOW)
    assert not writer.has_pending
    writer.settle(version, Outcome(changes=[change]), NOW)
    assert (heard, writer.has_pending, store.written) == ([change], True, [])
    late: list[Change] = []
    writer.subscribe(late.extend)  # they are not in the store yet
    assert late == [change]
    store.is_full = True
    writer.flush()
    assert writer.has_pending
    with pytest.raises(StoreError):
        writer.flush(is_last=True)
    store.is_full = False
    assert writer.append("record") == 1  # type: ignore[arg-type]
    [(records, derived)] = store.written
    assert (records, list(derived.changes), derived.position, derived.outbox) == (["record"], [change], 3, ["row"])
    assert (woken, writer.has_pending) == ([1], False)
    stop()
    stop()
    writer.settle(version, Outcome(changes=[change]), NOW)
    assert (len(heard), len(late), writer.n_listeners) == (1, 2, 1)


def test_a_reader_does_not_keep_the_engine_out() -> None:
    turns = Turns()
    with turns.write(), turns.try_read() as is_held:
        assert not is_held
    written: list[int] = []

    def write() -> None:
        with turns.write():
            written.append(1)

    with turns.try_read() as is_held:
        assert is_held
        writing = threading.Thread(target=write)
        writing.start()
        while not turns._is_wanted:
            time.sleep(0.001)
        with turns.try_read() as is_held_too:  # the engine waits already
            assert not is_held_too
    writing.join(10)
    assert written == [1]
    assert not turns.lock.locked()


def test_a_histogram_counts_what_took_longer_than_every_bound() -> None:
    histogram = Histogram()
    for seconds in (0.0001, 0.0005, 7.0):
        histogram.add(seconds)
    assert histogram.rows()["counts"][0] == 2
    assert histogram.rows()["counts"][-1] == 1
