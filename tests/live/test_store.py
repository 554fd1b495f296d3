"""The store keeps what it has acknowledged, over SQLite and PostgreSQL alike, and says what is wrong with a file."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from sojourn.act.changes import Change
from sojourn.act.outbox import Mark, OutboxRow
from sojourn.errors import StoreBusy, StoreError, StoreFull
from sojourn.live.archive import files as archive_files
from sojourn.live.store import open as store_open
from sojourn.live.store import schema as store_schema
from sojourn.live.store.calls import NO_INSTANT, decode_calls, encode_calls
from sojourn.live.store.changes import Derived, Forgotten, Quarantined, Wanted
from sojourn.live.store.log import LogDamaged, NewRecord, Record
from sojourn.live.store.rows import Key
from sojourn.live.store.store import Store, open_store
from tests import ROOT
from tests.live.postgres import run_postgres


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with run_postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with nothing in it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.sqlite"
    base: str = request.getfixturevalue("postgres")
    engine, _ = store_open.open_engine(base)
    with engine.begin() as connection:
        connection.execute(sa.schema.DropSchema("public", cascade=True))
        connection.execute(sa.schema.CreateSchema("public"))
    engine.dispose()
    return base


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.sqlite"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(url) as opened:
        yield opened


def record(n: int = 1, payload: bytes = b"some bytes", kind: str = "calls") -> NewRecord:
    return NewRecord(1_000 + n, kind, n, payload)


def change(seq: int, customer_id: str = "u1", *, kind: str = "transition", at: int = 0, name: str = "b") -> Change:
    return Change(seq, f"c{seq}", kind, customer_id, at or seq * 10, name, "a", {"cause": "silence", "state_p": 0.5})


def change_table(url: str, statement: sa.Executable) -> None:
    """Do something to the database behind the store's back."""
    engine, _ = store_open.open_engine(url)
    with engine.begin() as connection:
        connection.execute(statement)
    engine.dispose()


class TestLog:
    def test_positions_have_no_gaps(self, store: Store) -> None:
        assert (store.first_position(), store.last_position()) == (1, 0)
        assert store.append([record(1), record(2, kind="clock")]) == 1
        assert store.append([]) == 2
        assert store.append([record(3, b"", kind="command")]) == 3
        assert list(store.read_log()) == [
            Record(1, 1_001, "calls", 1, b"some bytes"),
            Record(2, 1_002, "clock", 2, b"some bytes"),
            Record(3, 1_003, "command", 3, b""),
        ]
        assert store.last_position() == 3

    def test_reading_begins_and_ends_anywhere(self, store: Store) -> None:
        store.append([record(i) for i in range(100)])
        for after, until in [(0, None), (0, 100), (31, 33), (32, 64), (99, None), (100, None), (5, 5), (7, 500)]:
            end = min(until or 100, 100)
            assert [r.position for r in store.read_log(after, until=until)] == list(range(after + 1, end + 1))

    def test_another_kind_is_no_record(self, store: Store) -> None:
        with pytest.raises(ValueError, match="'event'"):
            store.append([record(1), record(2, kind="event")])
        assert store.last_position() == 0
        assert store.append([record()]) == 1

    def test_it_is_there_after_opening_again(self, url: str) -> None:
        with open_store(url) as store:
            store.append([record(1)], Derived(changes=[change(4)]))
            store.set_meta("model", {"a": [1, None]})
        with open_store(url) as store:
            assert store.append([record(2)]) == 2
            assert store.last_seq() == 4
            assert store.get_meta("model") == {"a": [1, None]}
            assert store.get_meta("other", 7) == 7

    def test_readers_beside_the_writer(self, url: str, store: Store) -> None:
        store.append([record(1)])
        with open_store(url, is_writer=False) as reader:
            assert reader.last_position() == 1
            store.append([record(2)], Derived(changes=[change(1)]))
            assert [r.position for r in reader.read_log()] == [1, 2]
            assert reader.last_position() == 2
            assert [c.seq for c in reader.read_changes(limit=5)] == [1]
            reader.set_meta("seen", 1)
            assert store.get_meta("seen") == 1
            for act in (
                lambda: reader.append([record()]),
                lambda: reader.drop_log(1),
                lambda: reader.set_tail_aside(1),
            ):
                with pytest.raises(StoreError, match="not open for writing"):
                    act()

    def test_a_second_writer_is_refused(self, url: str, store: Store) -> None:
        with pytest.raises(StoreBusy, match=r"another process .*is writing to this store"):
            open_store(url)
        store.append([record()])
        store.close()
        with open_store(url) as second:
            assert second.append([record()]) == 2

    def test_a_changed_record_is_named(self, url: str, store: Store) -> None:
        store.append([record(i) for i in range(50)])
        log = store_schema.log
        for values in ({"payload": b"some bytez"}, {"at": 5}, {"n": 5}, {"kind": "clock"}, {"checksum": b"0" * 16}):
            with open_store(url, is_writer=False) as reader:
                good = {r.position: r for r in store.read_log()}[40]
                change_table(url, sa.update(log).where(log.c.position == 40).values(values))
                read = []
                with pytest.raises(LogDamaged, match="record 40 of the log is damaged: its bytes are not") as found:
                    read += [r.position for r in reader.read_log()]
                error = found.value
                assert (error.position, error.n_before, error.n_after) == (40, 39, 10)
                assert "39 records before it and 10 records after it are good" in str(error)
                assert "Run: sojourn repair --project DIR" in str(error)
                assert len(list(reader.read_log(40))) == 10
            values = {"at": good.at, "n": good.n, "kind": good.kind}
            change_table(url, sa.update(log).where(log.c.position == 40).values(values))
            store.rewrite_record(40, good.payload, good.n)

    def test_a_missing_or_moved_record_is_named(self, url: str, store: Store) -> None:
        store.append([record(i) for i in range(5)])
        log = store_schema.log
        change_table(url, sa.delete(log).where(log.c.position == 2))
        with pytest.raises(LogDamaged, match="record 2 of the log is damaged: it is missing; 1 record before it and 3"):
            list(store.read_log())
        change_table(url, sa.update(log).where(log.c.position == 5).values(position=2))
        with pytest.raises(LogDamaged, match="record 2 of the log is damaged: its bytes are not"):
            list(store.read_log())

    def test_the_damaged_tail_is_set_aside(self, url: str, store: Store) -> None:
        call = Quarantined(3, 0, 1, "time", "no time", "{}")
        store.append([record(i) for i in range(5)], Derived(quarantine=[replace(call, position=p) for p in (2, 3)]))
        log = store_schema.log
        change_table(url, sa.update(log).where(log.c.position == 3).values(payload=b"x"))
        for nowhere in (0, 6):
            with pytest.raises(StoreError, match=f"no record {nowhere}; it has records 1 to 5"):
                store.set_tail_aside(nowhere)
        assert store.set_tail_aside(3) == 3
        assert [r.position for r in store.read_log()] == [1, 2]
        assert store.append([record(9)], Derived(quarantine=[replace(call, found="again")])) == 3
        assert [(q.position, q.found) for q in store.read_quarantine(limit=9)] == [(2, "no time"), (3, "again")]
        assert store.set_tail_aside(1) == 3
        assert store.append([record()]) == 1

    def test_an_erasure_rewrites_a_record(self, store: Store) -> None:
        store.append([record(1), record(2), record(3)])
        store.rewrite_record(2, b"less", 1)
        store.scrub()
        assert [(r.n, r.payload) for r in store.read_log()] == [(1, b"some bytes"), (1, b"less"), (3, b"some bytes")]
        with pytest.raises(StoreError, match="no record 4"):
            store.rewrite_record(4, b"", 0)

    def test_records_of_a_kind_are_found(self, store: Store) -> None:
        store.append([record(1), NewRecord(2, "command", 0, b"x"), record(3), NewRecord(4, "command", 0, b"y")])
        assert store.find_kind("command") == [2, 4]
        assert store.find_kind("clock") == []

    def test_records_are_dropped_a_few_at_a_time(self, store: Store) -> None:
        store.append([record(i) for i in range(25)])
        found = []
        while not store.drop_some(22, 10):
            found.append(store.first_position())
        assert [*found, store.first_position()] == [11, 21, 23]
        assert store.drop_some(22, 10)
        assert store.first_position() == 23

    def test_the_first_records_are_dropped(self, url: str) -> None:
        with open_store(url) as store:
            store.append([record(i) for i in range(2_500)])
            store.drop_log(2_400)
            assert (store.first_position(), store.last_position()) == (2_401, 2_500)
            with pytest.raises(StoreError, match="records 1 to 2400 are no longer in the log"):
                list(store.read_log())
            assert [r.position for r in store.read_log(2_400)] == list(range(2_401, 2_501))
            store.drop_log(10)
            store.drop_log(9_999)
            assert (store.first_position(), store.last_position()) == (2_501, 2_500)
        with open_store(url) as store:  # nothing is left that could tell
            assert (store.first_position(), store.last_position()) == (2_501, 2_500)
            assert store.append([record()]) == 2_501
            assert [r.position for r in store.read_log(2_500)] == [2_501]


class TestDerived:
    def test_the_feed(self, store: Store) -> None:
        changes = [change(1), change(3, kind="moment"), change(7, "u2")]
        store.append([record(), record()], Derived(changes=changes))
        store.append([], Derived(changes=[change(8)], position=1))
        found = store.read_changes(limit=10)
        assert [Change(*[getattr(c, name) for name in Change.__slots__]) for c in found] == [*changes, change(8)]
        assert [c.position for c in found] == [2, 2, 2, 1]
        assert [c.seq for c in store.read_changes(1, limit=2)] == [3, 7]
        assert [c.seq for c in store.read_changes(limit=5, kinds=["moment"])] == [3]
        assert store.read_changes(limit=5, kinds=[]) == []
        assert store.last_seq() == 8

    def test_deriving_again_repeats_nothing(self, store: Store) -> None:
        row = OutboxRow("crm", 1, "c1", "{}")
        call = Quarantined(1, 0, 5, "time", "userId is empty", "{}")
        derived = Derived(changes=[change(1), change(2)], outbox=[row], quarantine=[call])
        store.append([record()], derived)
        store.mark([Mark("crm", 1, "delivered", 1, updated_at=9, last_status=200)])
        before = store.read_changes(limit=9)
        again = replace(
            derived,
            changes=[replace(change(1), name="z"), replace(change(5), id="c2"), change(6)],
            outbox=[replace(row, body="new"), replace(row, seq=6, id="c6")],
            position=1,
        )
        store.append([], again)
        assert store.read_changes(limit=9)[:2] == before
        assert [c.seq for c in store.read_changes(limit=9)] == [1, 2, 6]
        assert [item.seq for item in store.claim_due("crm", 9, 9)] == [6]
        assert store.outbox_counts()["crm"]["delivered"] == 1
        assert store.count_quarantine() == 1

    def test_it_is_one_transaction(self, store: Store) -> None:
        bad = replace(change(2), data={"what": object()})
        with pytest.raises(TypeError):
            store.append([record()], Derived(changes=[change(1), bad]))
        assert (store.last_position(), store.last_seq()) == (0, 0)
        assert list(store.read_log()) == []
        bad = replace(change(2), name=None)  # type: ignore[arg-type]
        with pytest.raises(StoreError, match="refused"):
            store.append([record()], Derived(outbox=[OutboxRow("a", 1, "c1", "{}")], changes=[change(1), bad]))
        assert (list(store.read_log()), store.last_seq(), store.outbox_counts()) == ([], 0, {})
        assert store.append([record()], Derived(changes=[change(1)])) == 1

    def test_transitions(self, store: Store) -> None:
        changes = [change(i, f"u{i % 3}", at=100 - i // 2, name="bc"[i % 2]) for i in range(1, 20)]
        changes += [change(20, kind="moment"), change(21, kind="transition_revoked", at=5)]
        store.append([record()], Derived(changes=changes, revoked=[(4, 21)]))
        kept = [c for c in changes if c.kind == "transition" and c.seq != 4]
        by_time = sorted(kept, key=lambda c: (c.at, c.seq))
        for is_newest_first in (True, False):
            expected = [c.seq for c in (by_time[::-1] if is_newest_first else by_time)]
            found: list[int] = []
            after = None
            while page := store.read_transitions(limit=4, after=after, is_newest_first=is_newest_first):
                found += [c.seq for c in page]
                after = (page[-1].at, page[-1].seq)
            assert found == expected
        chosen = {
            Wanted(customer_id="u1"): [c for c in by_time if c.customer_id == "u1"],
            Wanted(to_state="c", since_at=93): [c for c in by_time if c.name == "c" and c.at >= 93],
            Wanted(until_at=95, from_state="a"): [c for c in by_time if c.at < 95],
            Wanted(from_state="b"): [],
        }
        for wanted, expected_changes in chosen.items():
            found_changes = store.read_transitions(wanted, limit=99, is_newest_first=False)
            assert [c.seq for c in found_changes] == [c.seq for c in expected_changes]
        with_revoked = store.read_transitions(Wanted(include_revoked=True), limit=99)
        assert {c.seq: c.revoked_by for c in with_revoked if c.revoked_by} == {4: 21}

    def test_changes_of_customers(self, store: Store) -> None:
        long = "x" * 5_000
        ids = ["u1", "u1\0", "ü\ud800", long, long + "y", ""]
        store.append([record()], Derived(changes=[change(i, id) for i, id in enumerate(ids, start=1)]))
        for i, id in enumerate(ids, start=1):
            assert [c.seq for c in store.customer_changes([id])] == [i]
            assert [c.seq for c in store.read_transitions(Wanted(customer_id=id), limit=9)] == [i]
        everybody = [*ids, *(f"other{i}" for i in range(1_200))]
        assert [c.seq for c in store.customer_changes(everybody)] == [1, 2, 3, 4, 5, 6]
        assert store.customer_changes(["u1"], kinds=["moment"]) == []

    def test_merges_move_changes(self, store: Store) -> None:
        store.append([record()], Derived(changes=[change(i, "a1") for i in range(1, 1_202)] + [change(2_000, "u2")]))
        moved = [("a1", "u1", range(2, 1_202)), ("u1", "u3", [2_000])]  # the last is not u1's
        store.append([], Derived(moved=moved, revoked=[(3, 2_001)], changes=[change(2_001, "u1")]))
        assert [c.seq for c in store.customer_changes(["a1"])] == [1]
        assert [c.seq for c in store.customer_changes(["u1"])] == [2, *range(4, 1_202), 2_001]
        assert [c.seq for c in store.customer_changes(["u2"])] == [2_000]
        assert store.customer_changes(["u1"], include_revoked=True)[1].revoked_by == 2_001

    def test_profiles(self, store: Store) -> None:
        store.append([record()], Derived(profiles={1: ({"email": "a@b"}, {}), 2: ({}, {"ads": False})}))
        store.append([record()], Derived(profiles={2: ({"plan": "pro\0\ud800"}, {"ads": True}), 3: ({}, {})}))
        found = store.read_profiles([1, 2, 9])
        assert {node: (p.traits, p.consent) for node, p in found.items()} == {
            1: ({"email": "a@b"}, {}),
            2: ({"plan": "pro\0\ud800"}, {"ads": True}),
        }
        assert len(store.read_profiles(range(2_000))) == 3

    def test_quarantine(self, store: Store) -> None:
        calls = [Quarantined(p, place, 5, "time", "no time", "é" * 5_000) for p in (1, 2) for place in range(3)]
        store.append([record(), record()], Derived(quarantine=calls))
        assert store.count_quarantine() == 6
        first = store.read_quarantine(limit=4)
        rest = store.read_quarantine(limit=4, after=(first[-1].position, first[-1].place))
        assert [(q.position, q.place) for q in first + rest] == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]
        assert {len(q.raw) for q in first} == {4_096}

    def test_whoever_is_forgotten_leaves_nothing(self, url: str) -> None:
        with open_store(url) as store:
            rows = [OutboxRow("crm", seq, f"c{seq}", f'{{"customer_id": "u{seq}"}}') for seq in (1, 2, 3)]
            calls = [Quarantined(1, place, 1, "time", "", "u3") for place in range(3)]
            changes = [change(seq, f"u{seq}") for seq in (1, 2, 3)]
            profiles = {1: ({}, {}), 3: ({}, {})}
            store.append([record()], Derived(changes, outbox=rows, quarantine=calls, profiles=profiles))
            forgotten = Forgotten(customer_ids=["u2", "u3"], nodes=[3], calls=[(1, 0), (1, 2)])
            store.append([record()], Derived(forgotten=forgotten))
            assert [c.seq for c in store.read_changes(limit=9)] == [1]
            assert [item.seq for item in store.claim_due("crm", 9, 9)] == [1]
            assert list(store.read_profiles([1, 3])) == [1]
            assert [q.place for q in store.read_quarantine(limit=9)] == [1]
        with open_store(url) as store:
            assert store.last_seq() == 3  # a number that was given is not given again
            store.append([], Derived(changes=[change(5)]))
            assert store.last_seq() == 5


class TestOutbox:
    def test_rows_go_from_waiting_to_delivered_or_dead(self, store: Store) -> None:
        rows = [OutboxRow(to, seq, f"c{seq}", "{}", next_at=seq) for to in ("crm", "ads") for seq in range(1, 7)]
        rows.append(OutboxRow("crm", 7, "c7", "{}", status="refused", last_error="no consent"))
        store.append([record()], Derived(outbox=rows))
        assert store.next_due("crm") == 1
        assert [item.seq for item in store.claim_due("crm", 4, 3)] == [1, 2, 3]
        assert [item.seq for item in store.claim_due("crm", 4, 3)] == [4]
        assert store.next_due("crm") == 5
        assert [item.seq for item in store.claim_due("ads", 2, 9)] == [1, 2]
        store.mark(
            [
                Mark("crm", 1, "delivered", 1, updated_at=50, last_status=200),
                Mark("crm", 2, "waiting", 1, updated_at=50, next_at=90, last_status=503, last_error="busy"),
                Mark("crm", 3, "dead", 9, updated_at=50, last_error="gone"),
            ]
        )
        assert [item.seq for item in store.claim_due("crm", 60, 9)] == [5, 6]
        [item] = store.claim_due("crm", 90, 9)
        assert (item.seq, item.attempts, item.last_status, item.last_error) == (2, 1, 503, "busy")
        counts = {"waiting": 4, "delivered": 1, "dead": 1, "refused": 1}
        assert store.outbox_counts() == {"crm": counts, "ads": {"waiting": 6, "delivered": 0, "dead": 0, "refused": 0}}
        assert [i.seq for i in store.read_outbox("crm", "dead", limit=9)] == [3]
        assert store.replay_dead("ads") == 0
        assert store.replay_dead("crm") == 1
        [item] = store.claim_due("crm", 0, 9)
        assert (item.seq, item.attempts) == (3, 0)
        assert store.next_due("crm") is None
        store.release_claims("crm")
        assert [item.seq for item in store.claim_due("crm", 99, 9)] == [3, 4, 5, 6, 2]

    def test_a_claim_ends_with_the_process(self, url: str) -> None:
        with open_store(url) as store:
            store.append([record()], Derived(outbox=[OutboxRow("crm", 1, "c1", "{}")]))
            assert [item.id for item in store.claim_due("crm", 1, 9)] == ["c1"]
        with open_store(url) as store:
            assert [item.id for item in store.claim_due("crm", 1, 9)] == ["c1"]

    def test_another_status_is_refused(self, store: Store) -> None:
        with pytest.raises(ValueError, match="'sent'"):
            store.mark([Mark("crm", 1, "sent", 1, updated_at=1)])

    def test_marks_while_records_are_appended(self, store: Store) -> None:
        n = 60
        store.append([record()], Derived(outbox=[OutboxRow("crm", i, f"c{i}", "{}") for i in range(n)]))
        failed: list[BaseException] = []

        def deliver() -> None:
            try:
                while items := store.claim_due("crm", 1, 7):
                    store.mark([Mark("crm", item.seq, "delivered", 1, updated_at=1) for item in items])
            except BaseException as error:
                failed.append(error)

        worker = threading.Thread(target=deliver)
        worker.start()
        for _ in range(50):
            store.append([record()])
        worker.join()
        assert not failed
        assert store.outbox_counts()["crm"]["delivered"] == n
        assert len(list(store.read_log())) == 51


class TestRows:
    def test_keys(self, store: Store) -> None:
        web = Key("k1", "web", ("write",), b"\0salt", b"\xffhash", 5)
        ops = Key("k2", "ops", ("read", "admin"), b"s", b"h", 4)
        store.add_key(web)
        store.add_key(ops)
        with pytest.raises(StoreError):
            store.add_key(web)
        assert store.list_keys() == store.find_keys() == [ops, web]
        assert store.revoke_key("k1", 9)
        assert not store.revoke_key("k1", 10)
        assert not store.revoke_key("k9", 9)
        store.use_keys({"k2": 77, "k9": 1})
        store.use_keys({})
        ops = replace(ops, last_used_at=77)
        assert store.list_keys() == [ops, replace(web, revoked_at=9)]
        assert store.find_keys() == [ops]

    def test_versions(self, store: Store) -> None:
        assert store.list_versions() == []
        assert store.add_version(created_at=5, playbook="a: 1", model={"p": [0.1, None]}, note="first") == 1
        assert store.add_version(created_at=6, playbook="a: 2", model={}) == 2
        first = store.read_version(1)
        assert first is not None
        assert (first.playbook, first.model, first.note, first.created_at) == ("a: 1", {"p": [0.1, None]}, "first", 5)
        assert [v.version for v in store.list_versions()] == [1, 2]
        assert store.read_version(3) is None

    def test_values_are_replaced(self, store: Store) -> None:
        for value in ({"a": 1}, [1, 2], None, "x\0"):
            store.set_meta("name", value)
            assert store.get_meta("name") == value


class TestSchema:
    def test_a_newer_one_is_refused(self, url: str) -> None:
        open_store(url).close()
        change_table(url, sa.insert(store_schema.schema_version).values(version=99))
        for is_writer in (True, False):
            with pytest.raises(StoreError, match="schema version 99, and this Sojourn knows versions up to 1"):
                open_store(url, is_writer=is_writer)

    def test_an_older_one_is_brought_up(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with open_store(url) as store:
            store.append([record()])
        added = sa.Table("added", sa.MetaData(), sa.Column("n", sa.Integer))

        def add_table(connection: sa.Connection) -> None:
            added.create(connection)
            connection.execute(sa.insert(added).values(n=connection.execute(sa.select(store_schema.log.c.n)).scalar()))

        def fail(connection: sa.Connection) -> None:
            add_table(connection)
            raise RuntimeError("half-way")

        monkeypatch.setattr(store_schema, "MIGRATIONS", (*store_schema.MIGRATIONS, fail))
        with pytest.raises(StoreError, match="schema version 1 and needs 2"):
            open_store(url, is_writer=False)
        with pytest.raises(RuntimeError):
            open_store(url)
        monkeypatch.setattr(store_schema, "MIGRATIONS", (*store_schema.MIGRATIONS[:1], add_table))
        with open_store(url) as store, open_store(url, is_writer=False):
            assert [r.n for r in store.read_log()] == [1]
        engine, _ = store_open.open_engine(url)
        with engine.connect() as connection:
            assert store_schema.read_version(connection) == 2
            assert connection.execute(sa.select(added.c.n)).scalars().all() == [1]
        engine.dispose()

    def test_a_reader_makes_nothing(self, url: str, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="no store here yet"):
            open_store(url, is_writer=False)
        assert list(tmp_path.iterdir()) == []


def test_what_is_no_store_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for url, words in {
        "nonsense": "not the URL of a database",
        "sqlit:///a.sqlite": "Did you mean 'sqlite'",
        "mysql://u:secret@h/d": "not in 'mysql'",
        "sqlite://": "needs a file",
        "sqlite:///:memory:": "needs a file",
        f"sqlite:///{tmp_path}/no/such/store.sqlite": "cannot write here: No such file",
        "postgresql://u:secret@127.0.0.1:1/d": "cannot be used",
    }.items():
        with pytest.raises(StoreError, match=words) as found:
            open_store(url)
        assert "secret" not in str(found.value)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=r"Run: pip install 'sojourn\[postgresql\]'"):
        open_store("postgresql://h/d")


class TestFile:
    """What only a file of SQLite can suffer."""

    def test_it_is_for_its_owner_only(self, sqlite_url: str, tmp_path: Path) -> None:
        with open_store(sqlite_url) as store:
            store.append([record()])
            assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}

    def test_every_commit_is_synced(self, sqlite_url: str) -> None:
        with open_store(sqlite_url) as store:
            for connection in (store._log, store._engine.connect()):
                assert connection is not None
                assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
                assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
                connection.rollback()

    def test_it_is_cut_short(self, sqlite_url: str, tmp_path: Path) -> None:
        with open_store(sqlite_url) as store:
            store.append([record(payload=bytes(20_000)) for _ in range(20)])
        path = tmp_path / "store.sqlite"
        whole = path.read_bytes()
        for n in (len(whole) // 2, 5_000, 50):
            path.write_bytes(whole[:n])
            for is_writer in (True, False):
                with pytest.raises(StoreError, match="file is damaged"):
                    open_store(sqlite_url, is_writer=is_writer)
        path.write_bytes(whole)
        with open_store(sqlite_url) as store:
            assert len(list(store.read_log())) == 20

    def test_a_flipped_byte_of_the_file_is_named(self, sqlite_url: str, tmp_path: Path) -> None:
        marker = bytes(range(256)) * 40
        with open_store(sqlite_url) as store:
            for i in range(5):
                store.append([record(payload=b"%d" % i + marker)])
        path = tmp_path / "store.sqlite"
        content = bytearray(path.read_bytes())
        at = content.index(b"3" + marker[:50]) + 20
        content[at] ^= 4
        path.write_bytes(content)
        with open_store(sqlite_url) as store, pytest.raises(LogDamaged) as found:
            list(store.read_log())
        assert (found.value.position, found.value.n_before, found.value.n_after) == (4, 3, 1)

    def test_erased_bytes_are_gone(self, sqlite_url: str, tmp_path: Path) -> None:
        with open_store(sqlite_url) as store:
            store.append([record(payload=b"keep this"), record(payload=b"SECRET" * 2_000)])
            change_of = Derived(changes=[change(1, "SECRETIVE")])
            store.append([], change_of)
            store.rewrite_record(2, b"", 0)
            store.append([], Derived(forgotten=Forgotten(customer_ids=["SECRETIVE"])))
            store.scrub()
            content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
            assert b"SECRET" not in content
            assert b"keep this" in content

    def test_no_room_left(self, sqlite_url: str) -> None:
        with open_store(sqlite_url) as store:
            store.append([record(1)], Derived(changes=[change(1)]))
            log = store._log
            assert log is not None
            pages = log.exec_driver_sql("PRAGMA page_count").scalar()
            log.exec_driver_sql(f"PRAGMA max_page_count={pages + 3}")
            log.rollback()
            for _ in range(2):
                with pytest.raises(StoreFull, match="no room left"):
                    store.append([record(2), record(3, bytes(100_000))], Derived(changes=[change(2)]))
                assert (store.last_position(), store.last_seq()) == (1, 1)
                assert len(list(store.read_log())) == 1
            log.exec_driver_sql("PRAGMA max_page_count=100000")
            log.rollback()
            assert store.append([record(2), record(3, bytes(100_000))], Derived(changes=[change(2)])) == 2
        with open_store(sqlite_url) as store:
            assert [r.n for r in store.read_log()] == [1, 2, 3]
            assert store.last_seq() == 2

    def test_the_disk_takes_no_more(self, sqlite_url: str) -> None:
        """A limit on the size of files that a process may write stands for a disk that is full, and gets room again."""
        program = """
import resource, sys
from sojourn.live.store.log import NewRecord
from sojourn.errors import StoreFull
from sojourn.live.store.store import open_store
with open_store(sys.argv[1]) as store:
    add = lambda: store.append([NewRecord(1, "calls", 1, bytes(range(256)) * 400)])
    add()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))
    n_failed = 0
    while n_failed < 3:
        try:
            add()
        except StoreFull as error:
            n_failed += 1
            at_failure = len(list(store.read_log()))
            assert at_failure == store.last_position()
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert add() == at_failure + 1
    print(store.last_position())
"""
        done = subprocess.run([sys.executable, "-c", program, sqlite_url], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        with open_store(sqlite_url) as store:
            assert len(list(store.read_log())) == int(done.stdout) > 2


APPENDING = """
import sys
from sojourn.act.changes import Change
from sojourn.live.store.changes import Derived
from sojourn.live.store.log import NewRecord
from sojourn.act.outbox import OutboxRow
from sojourn.live.store.store import open_store
with open_store(sys.argv[1]) as store:
    position = store.last_position()
    while True:
        n = 1 + position % 3
        news = [NewRecord(1, "calls", p, b"%d" % p * 3000) for p in range(position + 1, position + n + 1)]
        position += n
        changes = [Change(position, f"c{position}", "transition", "u1", 1, "b", None, {})]
        store.append(news, Derived(changes=changes, outbox=[OutboxRow("crm", position, f"c{position}", "{}")]))
        print(position, flush=True)
"""


def test_a_killed_process_loses_nothing_acknowledged(url: str) -> None:
    draw = random.Random(5)
    acknowledged = 0
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", APPENDING, url], stdout=subprocess.PIPE)
        assert process.stdout is not None
        for _ in range(draw.randrange(2, 60)):
            acknowledged = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        acknowledged = max([acknowledged, *(int(line) for line in process.stdout if line.endswith(b"\n"))])
        process.stdout.close()
        process.wait()
        with open_once_free(url) as store:
            records = list(store.read_log())
            assert store.last_position() == len(records) >= acknowledged
            assert all(r.payload == b"%d" % r.position * 3000 and r.n == r.position for r in records)
            seqs = [c.seq for c in store.read_changes(limit=10**6)]
            assert seqs[-1] == len(records)  # records and what is derived: both or neither
            assert [item.seq for item in store.claim_due("crm", 1, 10**6)] == seqs


def open_once_free(url: str) -> Store:
    """PostgreSQL needs a moment to see that a client is gone."""
    for _ in range(200):
        try:
            return open_store(url)
        except StoreBusy:
            threading.Event().wait(0.05)
    return open_store(url)


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)  # SQLite has no connections to lose
def test_a_lost_connection_ends_writing(url: str) -> None:
    with open_store(url) as store:
        store.append([record(1)])
        pids = sa.select(sa.func.pg_terminate_backend(sa.column("pid"))).select_from(sa.table("pg_stat_activity"))
        others = (sa.column("datname") == "postgres") & (sa.column("pid") != sa.func.pg_backend_pid())
        change_table(url, pids.where(others))
        with pytest.raises(StoreError, match="connection to the database was lost"):
            store.append([record(2)])
        with pytest.raises(StoreError, match="not open for writing"):
            store.append([record(2)])
        assert [r.n for r in store.read_log()] == [1]
    with open_once_free(url) as store:
        assert store.append([record(2)]) == 2


calls_of_any_kind = st.lists(
    st.tuples(
        st.one_of(st.none(), st.binary(max_size=30)),
        st.integers(-128, 127),
        st.integers(-(2**62), 2**62),
        st.one_of(st.none(), st.integers(-(2**62), 2**62)),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
    ),
    max_size=20,
)


@given(calls_of_any_kind, st.booleans())
def test_calls_come_back_from_their_payload(
    calls: list[tuple[bytes, int, int, int | None, str]], as_arrays: bool
) -> None:
    raw, kinds, received, sent, keys = (list(column) for column in zip(*calls, strict=True)) if calls else ([],) * 5
    if as_arrays:
        sent_array = np.array([NO_INSTANT if at is None else at for at in sent], np.int64)
        payload = encode_calls(raw, np.array(kinds, np.int8), np.array(received, np.int64), sent_array, keys)
    else:
        payload = encode_calls(raw, kinds, received, sent, keys)
    found = decode_calls(payload)
    assert found.raw == raw
    assert found.kind.tolist() == kinds
    assert found.received_at.tolist() == received
    assert found.sent_at.tolist() == [NO_INSTANT if at is None else at for at in sent]
    assert [found.key_names[key] for key in found.key] == keys
    assert (found.kind.dtype, found.received_at.dtype, found.sent_at.dtype) == (np.int8, np.int64, np.int64)


@given(st.binary(max_size=200))
def test_other_bytes_are_no_payload(noise: bytes) -> None:
    with pytest.raises(ValueError, match="not the payload"):
        decode_calls(noise)


@pytest.mark.parametrize("n", [1, 7, 8, 300])
def test_a_cut_payload_is_told(n: int) -> None:
    payload = encode_calls([json.dumps({"userId": i}).encode() for i in range(n)], 1, 5, 4, "web")
    for cut in (0, 10, len(payload) // 2, len(payload) - 20):
        with pytest.raises(ValueError, match="not the payload"):
            decode_calls(payload[:cut])


def test_the_store_is_no_other_sqlite_file(sqlite_url: str, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "store.sqlite")
    connection.execute("CREATE TABLE log (line TEXT)")
    connection.close()
    with pytest.raises(StoreError):
        open_store(sqlite_url)
    with pytest.raises(StoreError, match="no store here yet"):
        open_store(sqlite_url, is_writer=False)


def test_every_table_and_column_is_described() -> None:
    page = (ROOT / "docs" / "reference" / "store.md").read_text()
    for table in store_schema.metadata.sorted_tables:
        [line] = [line for line in page.splitlines() if line.startswith(f"| `{table.name}` |")]
        named = re.findall(r"`(\w+)`", line)[1:]
        if table.name == "log_aside":
            named = ["id", *store_schema.log.columns.keys()]
        assert named == table.columns.keys()
    described = re.findall(r"`(\w+)`", page.partition("\n| `position`, `place`")[2].partition("\n\n")[0])
    assert set(archive_files.COLUMNS.names) - {"position", "place"} <= set(described)
