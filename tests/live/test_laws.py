"""What the live engine promises: starts, identity, erasure, versions, audiences, clocks, full disks."""

from __future__ import annotations

import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sojourn.errors import Problem, SojournError, StoreFull
from sojourn.fold.kernels.audiences import BY_ALL
from sojourn.live import deploy
from sojourn.live.archive.archive import compact_log, read_records
from sojourn.live.engine import erasure
from sojourn.live.engine.recovery import note_active
from sojourn.live.engine.service import Overloaded
from sojourn.live.replay.calls import Calls, read_calls
from sojourn.live.store.store import open_store
from sojourn.playbook.load import load_playbook
from sojourn.simulation.customers import simulate
from tests.live.engine_world import SECOND, Engine, make_project, open_engine
from tests.live.postgres import run_postgres

START = 1_760_000_000 * SECOND
SHOP = load_playbook("shop").text
SAAS = load_playbook("saas").text


@pytest.fixture(scope="module")
def calls() -> Calls:
    return read_calls(simulate(70, days=45, seed=9).events, load_playbook("shop"))


def track(user: str, event: str = "Product Viewed", **more: Any) -> dict[str, Any]:
    return {"type": "track", "userId": user, "event": event, **more}


def send_all(engine: Engine, calls: Calls, begin: int = 0, end: int | None = None) -> None:
    """Calls in order, each batch at the instant of its last one."""
    end = len(calls) if end is None else end
    for a in range(begin, end, 300):
        b = min(a + 300, end)
        engine.send_at(int(calls.at[b - 1]), calls.write(a, b))


def picture(engine: Engine) -> tuple[Any, Any]:
    """All that is told, and every array of the version but room to grow."""
    engine.settle()
    told = engine.store.read_changes(0, limit=1_000_000)
    version = engine.live.version
    customers = {name: a.copy() for name, a in version.customers.to_arrays().items()}
    return [(c.seq, c.id, c.customer_id, c.at, c.name, c.revoked_by) for c in told], (customers, version.seq)


def assert_same(one: tuple[Any, Any], other: tuple[Any, Any]) -> None:
    assert one[0] == other[0]
    assert one[1][1] == other[1][1]
    for name, array in one[1][0].items():
        np.testing.assert_array_equal(array, other[1][0][name], err_msg=name)


# Starts


@pytest.mark.parametrize("harm", ["none", "no snapshot", "one byte", "cut short", "past", "not a file of ours"])
def test_a_start_comes_to_what_was_before(tmp_path: Path, calls: Calls, harm: str) -> None:
    project = make_project(tmp_path / "p", SHOP)
    with open_engine(project, int(calls.at[0])) as engine:
        send_all(engine, calls, 0, len(calls) // 2)
        before, now = picture(engine), engine.now
    snapshot = project / "live" / "snapshot.arrow"
    past = project / "live" / "past" / "v1" / "event_at.bin"
    data = bytearray(snapshot.read_bytes())
    if harm == "no snapshot":
        snapshot.unlink()
    elif harm == "one byte":
        data[len(data) // 2] ^= 1
        snapshot.write_bytes(data)
    elif harm == "cut short":
        snapshot.write_bytes(data[: len(data) // 3])
    elif harm == "past":
        with past.open("r+b") as file:
            file.write(b"\1\2\3")
    elif harm == "not a file of ours":
        snapshot.write_bytes(b"PK" + bytes(1_000))
    with open_engine(project, now) as engine:
        assert_same(picture(engine), before)
        send_all(engine, calls, len(calls) // 2)
        half = picture(engine)
    with open_engine(make_project(tmp_path / "q", SHOP), int(calls.at[0])) as engine:
        send_all(engine, calls, 0, len(calls) // 2)
        send_all(engine, calls, len(calls) // 2)
        assert_same(half, picture(engine))


def test_what_the_store_lacks_of_the_last_record_is_told_after_a_start(tmp_path: Path, calls: Calls) -> None:
    """As after a crash between writing a record and writing what came of it."""
    project = make_project(tmp_path / "p", SHOP)
    engine = Engine(project, int(calls.at[0]))
    engine.start()
    send_all(engine, calls, 0, 3_000)
    original = engine.store.append

    def append(records: Any, *derived: Any) -> int:
        if not records or records[0].kind != "calls":
            raise StoreFull("as if the process had ended")
        return original(records, *derived)

    engine.store.append = append  # type: ignore[method-assign]
    n_before = len(engine.published)
    begin = 3_000
    while len(engine.published) == n_before:
        engine.now = int(calls.at[begin + 299])
        engine.submit(calls.write(begin, begin + 300))
        begin += 300
        while engine.live.version.position < engine.store.last_position():
            time.sleep(0.001)
        with engine.live.lock:  # it is applied, and told
            pass
    now, told = engine.now, list(engine.published)
    stored = {change.seq for change in engine.store.read_changes(0, limit=1_000_000)}
    missing = [change for change in told if change.seq not in stored]
    engine.live.stop(30)  # it cannot write what came of the last record, and ends without a snapshot
    engine.close(is_saved=False)
    assert missing
    assert not (project / "live" / "snapshot.arrow").exists()
    with open_engine(project, now) as again:
        again.settle()
        found = {change.seq: change.id for change in again.store.read_changes(0, limit=1_000_000)}
        assert {change.seq: change.id for change in missing}.items() <= found.items()


@pytest.mark.slow
def test_postgresql_keeps_what_sqlite_keeps(tmp_path: Path, calls: Calls) -> None:
    found = []
    with run_postgres() as url:
        for name, settings in (("sqlite", ""), ("postgresql", f"store: {url}\n")):
            project = make_project(tmp_path / name, SHOP, settings=settings)
            with open_engine(project, int(calls.at[0])) as engine:
                send_all(engine, calls, 0, 1_500)
            (project / "live" / "snapshot.arrow").unlink()
            with open_engine(project, engine.now) as engine:
                send_all(engine, calls, 1_500, 3_000)
                engine.send([{"type": "identify", "userId": "c0000001", "traits": {"plan": "x"}}])
                assert engine.live.customer("c0000001")["traits"]["plan"] == "x"  # type: ignore[index]
                assert engine.live.command("erase", {"id": "c0000002"})["n_calls"] > 0
                found.append(picture(engine))
    assert_same(*found)


# Identity


def test_ids_that_meet_are_one_customer_with_both_pasts(tmp_path: Path) -> None:
    with open_engine(make_project(tmp_path / "p", SHOP), START) as engine:
        engine.send([{"type": "track", "anonymousId": "a1", "event": "Product Viewed"}] * 3)
        engine.pass_time(60)
        engine.send([track("u1"), track("u1")])
        first = engine.live.customer("a1")
        assert first is not None
        assert first["customer_id"] == "a1"
        engine.send([{"type": "identify", "userId": "u1", "anonymousId": "a1"}])
        for id in ("a1", "u1"):
            found = engine.live.customer(id)
            assert found is not None
            assert found["customer_id"] == "u1"
            assert found["activity"]["n_events"] == 6


def test_what_people_decided_about_the_erased_is_erased_and_a_refusal_holds_nothing_up(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", SHOP)
    with open_engine(project, START) as engine:
        engine.send([track("ann@x.org"), track("bob"), track("cyd"), track("dan")])
        engine.live.command("merge", {"a": "ann@x.org", "b": "bob"})
        engine.live.command("merge", {"a": "cyd", "b": "dan"})
        with pytest.raises(SojournError, match="neither merged nor split"):
            engine.live.command("undo", {"a": "ann@x.org", "b": "cyd"})
        engine.settle()
        assert engine.live.command("erase", {"id": "bob"})["n_ids"] == 2
        engine.settle()
        told = [record.payload for record in engine.store.read_log() if record.kind == "command"]
        assert len(told) == 4
        assert not any(id in payload for payload in told for id in (b"ann", b"bob"))
        assert sum(b"dan" in payload for payload in told) == 1
    (project / "live" / "snapshot.arrow").unlink()
    with open_engine(project, START) as engine:
        assert engine.live.customer("ann@x.org") is None
        assert engine.live.customer("dan")["customer_id"] == "cyd"  # type: ignore[index]


def test_what_people_decided_about_the_erased_is_erased_from_the_archive(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", SHOP)
    day = 86_400 * SECOND
    with open_engine(project, START) as engine:
        engine.send([track("ann@x.org"), track("bob"), track("cyd"), track("dan")])
        engine.live.command("merge", {"a": "ann@x.org", "b": "bob"})
        engine.live.command("merge", {"a": "cyd", "b": "dan"})
        engine.pass_time(3 * 86_400)
    folder = project / "live" / "archive"
    with open_store(f"sqlite:///{project}/live/store.sqlite") as store:
        compact_log(store, folder, before_at=START + 2 * day)
    with open_engine(project, START + 4 * day) as engine:
        assert engine.live.command("erase", {"id": "bob"})["n_ids"] == 2
        told = [one.payload for one in read_records(engine.store, folder, 0) if one.kind == "command"]
        assert engine.store.first_position() > 3
    assert not any(id in payload for payload in told for id in (b"ann", b"bob"))
    assert sum(b"dan" in payload for payload in told) == 1
    (project / "live" / "snapshot.arrow").unlink()
    with open_engine(project, START + 5 * day) as engine:
        assert engine.live.customer("dan")["customer_id"] == "cyd"  # type: ignore[index]
        assert engine.live.customer("bob") is None


def test_people_merge_users_and_take_it_back(tmp_path: Path) -> None:
    with open_engine(make_project(tmp_path / "p", SHOP), START) as engine:
        engine.send([track("u1"), track("u2"), track("u2")])
        assert engine.live.command("merge", {"a": "u1", "b": "u2"}) in ({"a": "u1", "b": "u1"}, {"a": "u2", "b": "u2"})
        found = engine.live.customer("u2")
        assert found is not None
        assert found["activity"]["n_events"] == 3
        assert engine.live.command("undo", {"a": "u1", "b": "u2"}) == {"a": "u1", "b": "u2"}
        counts = [engine.live.customer(id)["activity"]["n_events"] for id in ("u1", "u2")]  # type: ignore[index]
        assert counts == [1, 2]
        with pytest.raises(SojournError, match="nobody has the id 'u9'"):
            engine.live.command("merge", {"a": "u1", "b": "u9"})
        with pytest.raises(SojournError, match="were neither merged nor split"):
            engine.live.command("undo", {"a": "u1", "b": "u2"})


def test_two_known_users_are_never_merged_by_what_they_share(tmp_path: Path) -> None:
    with open_engine(make_project(tmp_path / "p", SHOP), START) as engine:
        engine.send([{**track("u1"), "anonymousId": "a1"}, {**track("u2"), "anonymousId": "a1"}])
        assert engine.live.customer("u1")["customer_id"] == "u1"  # type: ignore[index]
        assert engine.live.customer("u2")["customer_id"] == "u2"  # type: ignore[index]


# Traits and consent


def test_the_latest_word_counts_wherever_it_comes(tmp_path: Path) -> None:
    at = ["2025-10-09T08:00:00Z", "2025-10-09T09:00:00Z"]
    with open_engine(make_project(tmp_path / "p", SAAS), START + 86_400 * SECOND) as engine:
        engine.send([{"type": "identify", "userId": "u1", "traits": {"plan": "pro", "age": 3}, "timestamp": at[1]}])
        engine.send([{"type": "identify", "userId": "u1", "traits": {"plan": "free", "town": "x"}, "timestamp": at[0]}])
        assert engine.live.customer("u1")["traits"] == {"age": 3, "plan": "pro", "town": "x"}  # type: ignore[index]


# Erasure


def test_an_erased_customer_is_nowhere(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", SHOP)
    secret = {"userId": "zelda-secret", "anonymousId": "anon-secret", "messageId": "m-secret"}
    with open_engine(project, START) as engine:
        engine.send([{"type": "track", "event": "Product Viewed", **secret}, track("other")])
        engine.send([{"type": "track", "event": "Product Viewed", **secret}])  # the same again: it is in the log only
        engine.send([{"type": "identify", "traits": {"email": "zelda@secret.org"}, **secret, "messageId": "m2-secret"}])
        engine.send([{"type": "track", "event": "", **secret, "messageId": "m3-secret"}])  # in quarantine
        engine.pass_time(20 * 86_400)
        assert engine.live.customer("anon-secret") is not None
        said = engine.live.command("erase", {"id": "anon-secret"})
        assert said == {"n_ids": 2, "n_calls": 4, "n_files": 0}
        assert engine.live.customer("zelda-secret") is None
        assert engine.live.customer("other") is not None
        engine.send([track("later")])
    for file in [path for path in project.rglob("*") if path.is_file()]:
        assert b"secret" not in file.read_bytes(), file
    with open_engine(project, engine.now) as engine:
        assert engine.live.customer("zelda-secret") is None
        assert engine.live.command("erase", {"id": "zelda-secret"}) == {"n_ids": 0, "n_calls": 0, "n_files": 0}
        engine.send([{"type": "track", "event": "Product Viewed", **secret, "messageId": "m9"}])
        assert engine.live.customer("zelda-secret")["activity"]["n_events"] == 1  # type: ignore[index]
    (project / "live" / "snapshot.arrow").unlink()
    with open_engine(project, engine.now) as engine:  # the whole log, with its holes
        assert engine.live.customer("zelda-secret")["activity"]["n_events"] == 1  # type: ignore[index]
        assert engine.live.customer("other") is not None


@pytest.mark.parametrize("is_joined_meanwhile", [False, True])
def test_calls_are_taken_while_an_erasure_looks_through_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_joined_meanwhile: bool
) -> None:
    """What comes of the same person meanwhile is erased too, under an id that only then proves to be theirs as well."""
    project = make_project(tmp_path / "p", SHOP)
    secret = {"userId": "zelda-secret", "anonymousId": "anon-secret"}
    is_looking, may_go_on, looked = threading.Event(), threading.Event(), list[int]()
    look = erasure._find_calls

    def look_slowly(record: Any, *arguments: Any) -> Any:
        looked.append(record.position)
        if threading.current_thread().name == "asking":
            is_looking.set()
            assert may_go_on.wait(30)
        return look(record, *arguments)

    monkeypatch.setattr(erasure, "_find_calls", look_slowly)
    with open_engine(project, START) as engine:
        engine.send([{**track("x"), **secret, "messageId": "secret-1"}, track("other")])
        engine.send([{**track("x"), "userId": "", "anonymousId": "phone-secret", "messageId": "secret-2"}])
        said: list[dict[str, Any]] = []
        asking = threading.Thread(
            target=lambda: said.append(engine.live.command("erase", {"id": "zelda-secret"})), name="asking"
        )
        asking.start()
        assert is_looking.wait(30)
        more = {"anonymousId": "phone-secret"} if is_joined_meanwhile else {}
        engine.send([{**track("x"), **secret, **more, "messageId": "secret-3"}, track("other")])
        last = engine.store.last_position()
        may_go_on.set()
        asking.join(30)
        expected = (3, 3) if is_joined_meanwhile else (2, 2)
        assert [(one["n_ids"], one["n_calls"]) for one in said] == [expected]
        assert looked[:2] == [1, 2]
        in_engine = looked[2:]
        assert in_engine[:2] == [1, 2] if is_joined_meanwhile else min(in_engine) == last
        assert engine.live.customer("zelda-secret") is None
        assert engine.live.customer("other")["activity"]["n_events"] == 2  # type: ignore[index]
    word = b"secret" if is_joined_meanwhile else b"zelda-secret"
    for file in [path for path in project.rglob("*") if path.is_file()]:
        assert word not in file.read_bytes(), file


STEPS = ("set_meta", "append", "rewrite_record", "scrub")


@pytest.mark.parametrize(("step", "turn"), [(step, turn) for step in STEPS for turn in (1, 2)])
def test_an_erasure_that_was_cut_off_is_finished_by_the_next_start(tmp_path: Path, step: str, turn: int) -> None:
    """As after a kill before the store did the n-th of such a step."""
    project = make_project(tmp_path / "p", SHOP)
    engine = Engine(project, START)
    engine.start()
    secret = {"userId": "zelda-secret", "anonymousId": "anon-secret"}
    for i in range(3):
        engine.send([{**track("x"), **secret, "messageId": f"secret-{i}"}, track("other")])
    engine.pass_time(20 * 86_400)
    original, n_calls = getattr(engine.store, step), [0]

    def cut_off(*arguments: Any, **more: Any) -> Any:
        n_calls[0] += 1
        if n_calls[0] >= turn:
            raise StoreFull("as if the process had ended")
        return original(*arguments, **more)

    setattr(engine.store, step, cut_off)
    try:
        engine.live.command("erase", {"id": "anon-secret"})
        was_cut_off = False
    except StoreFull:
        was_cut_off = True
    assert was_cut_off or n_calls[0] < turn
    # Until it is noted nothing has been done, and the caller was told that it failed.
    is_begun = not was_cut_off or bool(engine.store.get_meta("erasures", []))
    assert is_begun or turn == 1
    engine.live.stop(30)
    engine.close(is_saved=False)
    with open_engine(project, engine.now) as again:
        assert (again.live.customer("zelda-secret") is None) == is_begun
        again.live.command("erase", {"id": "zelda-secret"})
        again.send([track("later")])
        assert again.live.customer("other")["activity"]["n_events"] == 3  # type: ignore[index]
    for file in [path for path in project.rglob("*") if path.is_file()]:
        assert b"secret" not in file.read_bytes(), file


# The archive


def test_old_days_go_into_the_archive_and_a_start_reads_them(tmp_path: Path, calls: Calls) -> None:
    settings = "archive_after: 2d\nretention: never\n"
    project = make_project(tmp_path / "p", SHOP, settings=settings)
    with open_engine(project, int(calls.at[0])) as engine:
        for end in range(1_000, 4_000, 1_000):
            send_all(engine, calls, end - 1_000, end)
            engine.live.worker.archiver.look_at = 0.0  # it is time
            first = engine.store.first_position()
            wait_until(partial(lambda before: engine.store.first_position() > before, first))
            engine.settle()
        before, n_calls = picture(engine), engine.live.version.counts["accepted"]
    days = sorted(path.name for path in (project / "live" / "archive").glob("day=*"))
    assert len(days) > 5
    (project / "live" / "snapshot.arrow").unlink()
    with open_engine(project, engine.now) as engine:
        assert_same(picture(engine), before)
        assert engine.live.version.counts["accepted"] == n_calls
        assert engine.live.command("erase", {"id": "c0000003"})["n_calls"] > 0
    for file in [path for path in project.rglob("*") if path.is_file()]:
        assert b"c0000003" not in file.read_bytes(), file


def test_old_days_that_cannot_be_dropped_wait_for_the_next_look(
    tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    project = make_project(tmp_path / "p", SHOP, settings="archive_after: 2d\nretention: never\n")
    with open_engine(project, int(calls.at[0])) as engine:
        send_all(engine, calls, 0, 3_000)

        def refuse(*_: Any) -> bool:
            raise StoreFull(Problem("store", "the disk is full"))

        with monkeypatch.context() as patch:
            patch.setattr(engine.store, "drop_some", refuse)
            engine.live.worker.archiver.look_at = 0.0
            wait_until(lambda: "old days are still in the log" in caplog.text)
        assert engine.store.first_position() == 1
        engine.send([track("goes-on")])
        engine.live.worker.archiver.look_at = 0.0
        wait_until(lambda: engine.store.first_position() > 1)


def wait_until(is_so: Any) -> None:
    end = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.005)


# Stops and limits


def test_what_comes_while_the_engine_ends_is_refused_and_never_waits(tmp_path: Path) -> None:
    engine = Engine(make_project(tmp_path / "p", SHOP), START)
    engine.start()
    results: list[str] = []

    def ask() -> None:
        while True:
            try:
                engine.live.command("rollback", {})
            except Overloaded:
                results.append("refused")
                return
            except SojournError:
                continue

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    engine.close()
    for thread in threads:
        thread.join(10)
    assert results == ["refused"] * 4


def test_what_waits_is_bounded_in_bytes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sojourn.live.engine.inbox.MOST_WAITING_BYTES", 10_000)
    with open_engine(make_project(tmp_path / "p", SHOP), START) as engine:
        with engine.live.lock:  # nothing is applied meanwhile
            taken = []

            def send_one(i: int) -> None:
                taken.append(engine.submit_later([track(f"u{i}", properties={"x": "y" * 2_000})]))

            with pytest.raises(Overloaded):
                list(map(send_one, range(50)))
        for future in taken:
            future.result(20)
        engine.settle()
        assert 4 <= len(taken) < 10
        assert engine.live.version.counts["accepted"] == len(taken)


# Audiences


def test_to_look_at_every_rule_again_changes_nothing(tmp_path: Path, calls: Calls) -> None:
    with open_engine(make_project(tmp_path / "p", SHOP), int(calls.at[0])) as engine:
        for end in range(1_000, len(calls), 1_000):
            send_all(engine, calls, end - 1_000, end)
            engine.pass_time(5)
            with engine.live.lock:
                version = engine.live.version
                rows = np.flatnonzero(version.customers.owner[: len(version.customers)] >= 0).astype(np.int32)
                rows = rows[~version.customers.is_held[rows]]
                states = version.states_at(rows, version.now)
                n_published = version.customers.n_published.copy()
                why = np.full(len(rows), BY_ALL, np.uint8)
                at = np.full(len(rows), version.now)
                assert version.memberships.evaluate(rows, at, why, None, states, version.position) == []
                assert np.array_equal(n_published, version.customers.n_published)
        assert version.counts["audience_entered"] > version.counts["audience_left"] > 0


# Versions


def wait_for_wish(engine: Engine) -> None:
    end = time.monotonic() + 30
    while engine.store.get_meta("deploy_done", 0) < (engine.store.get_meta("deploy_wish") or {"number": 0})["number"]:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_new_version_runs_beside_takes_over_and_goes_back(tmp_path: Path, calls: Calls) -> None:
    project = make_project(tmp_path / "p", SHOP)
    with open_engine(project, int(calls.at[0])) as engine:
        send_all(engine, calls, 0, 2_000)
        number = deploy.add_release(engine.store, deploy.Release(SHOP + "\n# second\n", {}, "second"), at=engine.now)
        engine.live.command("shadow", {"version": number})
        wait_for_wish(engine)
        send_all(engine, calls, 2_000, 4_000)
        shadow = engine.live.status()["shadow"]
        assert shadow["version"] == number
        assert shadow["status"] == "beside"
        assert shadow["n_in_other_state"] == 0
        assert shadow["n_compared"] > 0
        states = {id: engine.live.customer(id)["state"] for id in list_customers(engine)}  # type: ignore[index]
        engine.live.command("switch", {"version": number})
        wait_for_wish(engine)
        assert engine.live.status()["version"] == number
        assert not [c for c in engine.changes() if c.data.get("cause") == "deploy"]
        assert {id: engine.live.customer(id)["state"] for id in states} == states  # type: ignore[index]
        send_all(engine, calls, 4_000)
        assert not engine.changes("transition_revoked")
        before = picture(engine)
        now = engine.now
    with open_engine(project, now) as engine:
        assert_same(picture(engine), before)
        engine.live.command("rollback", {})
        wait_for_wish(engine)
        assert engine.live.status()["version"] == 1
        engine.settle()
    (project / "live" / "snapshot.arrow").unlink()
    with open_engine(project, engine.now) as engine:
        assert engine.live.status()["version"] == 1


def list_customers(engine: Engine) -> list[str]:
    version = engine.live.version
    owners = version.customers.owner[: len(version.customers)]
    return [version.identities.customer_id(int(owner)) for owner in owners[owners >= 0]]


def test_a_switch_that_was_noted_and_never_written_does_not_count(tmp_path: Path) -> None:
    """As after a kill between noting which version is in use and writing the command."""
    project = make_project(tmp_path / "p", SHOP)
    with open_engine(project, START) as engine:
        engine.send([track("u1")])
        number = deploy.add_release(engine.store, deploy.Release(SHOP + "\n# 2\n", {}, "second"), at=START)
        note_active(engine.store, number, since_at=START, position=engine.store.last_position() + 1)
    for i in range(3):  # what is written then comes to the position of the command that never was
        with open_engine(project, engine.now) as engine:
            assert engine.live.status()["version"] == 1
            engine.send([track(f"u{i}")])


def test_a_version_that_cannot_be_is_refused_and_the_one_in_use_goes_on(tmp_path: Path) -> None:
    with open_engine(make_project(tmp_path / "p", SHOP), START) as engine:
        number = deploy.add_release(engine.store, deploy.Release("playbook: [", {}, "broken"), at=START)
        engine.live.command("switch", {"version": number})
        wait_for_wish(engine)
        assert engine.live.status()["version"] == 1
        assert "playbook of version 2" in engine.live.status()["shadow"]["problem"]
        with pytest.raises(SojournError, match="no version before"):
            engine.live.command("rollback", {})
        with pytest.raises(SojournError, match="there is no version 77"):
            engine.live.command("switch", {"version": 77})
        engine.send([track("u1")])


# Clocks and disks


def test_a_clock_that_goes_back_takes_nothing_back(tmp_path: Path, calls: Calls) -> None:
    with open_engine(make_project(tmp_path / "p", SHOP), int(calls.at[0])) as engine:
        send_all(engine, calls, 0, 2_000)
        engine.pass_time(40 * 86_400)
        before = engine.live.status()["now"], len(engine.changes())
        engine.now -= 400 * 86_400 * SECOND
        engine.settle()
        engine.send([track("u1")])
        assert engine.live.status()["now"] == before[0]
        assert len(engine.changes()) >= before[1]
        assert not engine.changes("transition_revoked")
        records = [record.at for record in engine.store.read_log()]
        assert records == sorted(records)


def test_a_full_disk_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", SHOP)
    with open_engine(project, START) as engine:
        engine.send([track("u1")])
        original, n_failures = engine.store.append, [0]

        def append(records: Any, *derived: Any) -> int:
            if records:
                n_failures[0] += 1
                raise StoreFull("no space left")
            return original(records, *derived)

        engine.store.append = append  # type: ignore[method-assign]
        with pytest.raises(StoreFull):
            engine.send([track("u2")])
        assert engine.live.is_ready
        engine.store.append = original  # type: ignore[method-assign]
        engine.send([track("u3")])
        assert n_failures[0] == 1
        assert [engine.live.customer(id) is not None for id in ("u1", "u2", "u3")] == [True, False, True]
    with open_engine(project, START) as engine:
        assert [engine.live.customer(id) is not None for id in ("u1", "u2", "u3")] == [True, False, True]
