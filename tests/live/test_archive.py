"""The archive: what the log had comes back from it call by call, and DuckDB and batch runs read it too."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.errors import StoreError
from sojourn.events.read import read_events
from sojourn.live.archive.archive import compact_log, drop_days, erase_calls, read_archive, read_records
from sojourn.live.archive.files import ArchiveDamaged
from sojourn.live.store.calls import NO_INSTANT, decode_calls, encode_calls
from sojourn.live.store.log import NewRecord, Record
from sojourn.live.store.store import Store, open_store
from sojourn.playbook.load import load_playbook

DAY = 86_400_000_000
DAY_0 = 20_000  # 2024-10-04
NOON = DAY_0 * DAY + DAY // 2


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/store.sqlite") as opened:
        yield opened


def show(record: Record) -> tuple[object, ...]:
    """A record in a form that compares: calls by their columns, not by how they are packed."""
    if record.kind != "calls":
        return (record.position, record.at, record.kind, record.n, record.payload)
    columns = {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in asdict(decode_calls(record.payload)).items()
    }
    return (record.position, record.at, record.kind, record.n, columns)


instants = st.integers(DAY_0 * DAY, (DAY_0 + 4) * DAY - 1)
texts = st.one_of(
    st.none(),
    st.binary(max_size=20),
    st.builds(lambda user: json.dumps({"userId": user, "type": "track", "event": "x"}).encode(), st.text(max_size=5)),
)


@st.composite
def records(draw: st.DrawFn) -> NewRecord:
    at = draw(instants)
    kind = draw(st.sampled_from(["calls", "calls", "calls", "clock", "command"]))
    if kind != "calls":
        return NewRecord(at, kind, draw(st.integers(0, 3)), draw(st.binary(max_size=10)))
    calls = draw(st.lists(texts, max_size=5))
    n = len(calls)
    near = st.one_of(st.just(at), instants)  # a record may be of several days
    received = draw(st.lists(near, min_size=n, max_size=n))
    sent = draw(st.lists(st.one_of(st.none(), st.integers(-(2**60), 2**60)), min_size=n, max_size=n))
    kinds = draw(st.lists(st.integers(0, 6), min_size=n, max_size=n))
    keys = draw(st.lists(st.sampled_from(["web", "shop", ""]), min_size=n, max_size=n))
    return NewRecord(at, "calls", n, encode_calls(calls, kinds, received, sent, keys))


@settings(max_examples=25)
@given(st.lists(records(), max_size=10), st.lists(st.integers(DAY_0, DAY_0 + 5), max_size=3), st.booleans())
def test_what_was_compacted_comes_back_as_it_was(news: list[NewRecord], days: list[int], is_dropped: bool) -> None:
    with TemporaryDirectory() as name, open_store(f"sqlite:///{name}/store.sqlite") as store:
        folder = Path(name) / "archive"
        for new in news:
            store.append([new])
        before = [show(record) for record in store.read_log()]
        for day in days:
            done = compact_log(store, folder, before_at=day * DAY, is_dropped=is_dropped)
            assert [show(r) for r in read_records(store, folder)] == before
            assert [show(r) for r in read_archive(folder)] == before[: done.last]
            for after in {len(before) // 2, done.last} - {len(before)}:
                assert [show(r) for r in read_records(store, folder, after)] == before[after:]
            assert store.first_position() == (done.last + 1 if is_dropped else 1)


def add_calls(store: Store, at: int, *calls: dict[str, object] | bytes, kind: int = 0) -> int:
    raw = [call if isinstance(call, bytes) else json.dumps(call).encode() for call in calls]
    return store.append([NewRecord(at, "calls", len(raw), encode_calls(raw, kind, at, at - 5, "web"))])


def test_only_days_that_have_ended_are_taken(store: Store, tmp_path: Path) -> None:
    add_calls(store, NOON, {"userId": "u1"})
    add_calls(store, NOON + DAY, {"userId": "u1"})
    add_calls(store, NOON, {"userId": "u1"})  # after one of an open day: it has to wait
    done = compact_log(store, tmp_path / "a", before_at=NOON + DAY)
    assert (done.first, done.last, done.n_calls) == (1, 1, 1)
    assert [str(path.relative_to(tmp_path / "a")) for path in done.files] == [
        "day=2024-10-04/part-000000000000001.parquet"
    ]
    assert store.first_position() == 2
    again = compact_log(store, tmp_path / "a", before_at=NOON + DAY)
    assert (again.first, again.last, again.files) == (2, 1, ())


def test_duckdb_reads_it(store: Store, tmp_path: Path) -> None:
    track = {"userId": 7, "event": "Paid", "messageId": "m1", "properties": {"total": 1.50, "é": "ß"}}
    add_calls(store, NOON, track, kind=1)
    identify = b'{"type": "identify", "anonymousId": "a", "traits": {"plan": "pro"}}'
    add_calls(store, NOON + DAY, identify, b"{broken", b"\xff")
    store.append([NewRecord(NOON + DAY, "clock", 0, b"")])
    compact_log(store, tmp_path / "a", before_at=NOON + 2 * DAY)
    query = f"FROM read_parquet('{tmp_path}/a/**/*.parquet', hive_partitioning=true)"
    rows = duckdb.sql(
        "SELECT day, position, place, epoch_us(received_at), epoch_us(sent_at), kind, key, type, event, userId,"
        f" anonymousId, messageId, properties->>'$.total', properties->>'$.é', traits, raw {query} ORDER BY ALL"
    ).fetchall()
    first, second = date(2024, 10, 4), date(2024, 10, 5)
    at = NOON + DAY
    none = (None,) * 7
    assert rows == [
        (first, 1, 0, NOON, NOON - 5, 1, "web", "track", "Paid", "7", None, "m1", "1.5", "ß", None,
         json.dumps(track).encode()),
        (second, 2, 0, at, at - 5, 0, "web", "identify", None, None, "a", None, None, None,
         '{"plan": "pro"}', identify),
        (second, 2, 1, at, at - 5, 0, "web", None, *none, b"{broken"),
        (second, 2, 2, at, at - 5, 0, "web", None, *none, b"\xff"),
    ]  # fmt: skip
    [(n,)] = duckdb.sql(f"SELECT count(*) {query} WHERE day = DATE '2024-10-05'").fetchall()
    assert n == 3


def test_batch_runs_read_it(store: Store, tmp_path: Path) -> None:
    calls = []
    for i in range(200):
        name = ["Signed In", "Feature Used", "Docs Viewed"][i % 3]
        when = f"2024-10-04T{i % 24:02d}:{i % 60:02d}:00.000Z"
        call = {"type": "track", "event": name, "userId": f"u{i % 7}", "messageId": f"m{i}", "timestamp": when}
        calls.append(call | {"context": {"campaign": {"medium": "email"}}})
    del calls[0]["timestamp"]  # it counts as received
    add_calls(store, NOON, *calls[:120])
    add_calls(store, NOON + DAY, *calls[120:])
    add_calls(store, NOON + DAY, b"{broken")
    compact_log(store, tmp_path / "a", before_at=NOON + 2 * DAY)
    lines = tmp_path / "calls.jsonl"
    calls[0]["timestamp"] = "2024-10-04T12:00:00Z"
    lines.write_text("\n".join(json.dumps(call) for call in calls))
    pattern = str(tmp_path / "a" / "**" / "*.parquet")
    now, playbook = datetime(2024, 11, 1, tzinfo=UTC), load_playbook("saas")
    ours, theirs = (read_events(events, playbook, now=now) for events in (pattern, str(lines)))
    columns = [name for name in theirs.events.column_names if name != "seq"]
    seen = [sorted(map(str, log.events.select(columns).to_pylist())) for log in (ours, theirs)]
    assert seen[0] == seen[1]
    assert len(seen[0]) == 200
    assert ours.quarantine["rule"].to_pylist() == ["customer"]


def test_erased_calls_keep_their_places(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    for i in range(4):
        add_calls(store, NOON + i * DAY // 2, *[{"userId": f"secret-{i}-{j}", "event": "x"} for j in range(3)], kind=1)
    before = list(store.read_log())
    compact_log(store, folder, before_at=NOON + 5 * DAY)
    assert erase_calls(folder, [(2, 1), (4, 0), (4, 2), (9, 0)]) == 3
    assert erase_calls(folder, [(2, 1)]) == 0
    for old, new in zip(before, read_archive(folder), strict=True):
        was, now = decode_calls(old.payload), decode_calls(new.payload)
        gone = {2: {1}, 4: {0, 2}}.get(old.position, set())
        assert now.raw == [None if j in gone else raw for j, raw in enumerate(was.raw)]
        assert now.received_at.tolist() == was.received_at.tolist()
        assert now.kind.tolist() == was.kind.tolist()
    left = duckdb.sql(f"FROM '{folder}/**/*.parquet' ORDER BY position, place").to_arrow_table()
    kept = [f"secret-{i}-{j}" for i in range(4) for j in range(3) if (i, j) not in [(1, 1), (3, 0), (3, 2)]]
    assert [user for user in left["userId"].to_pylist() if user] == kept
    assert left["raw"].null_count == left["type"].null_count == 3
    assert not list(folder.glob("**/*.tmp"))


def test_days_are_dropped_and_the_rest_is_read(store: Store, tmp_path: Path) -> None:
    folder, midnight = tmp_path / "a", (DAY_0 + 1) * DAY
    add_calls(store, NOON, {"userId": "u1"})
    both = encode_calls([b'"old"', b'"new"'], 0, [midnight - 1, midnight], None, ["web", "shop"])
    store.append([NewRecord(midnight, "calls", 2, both)])
    store.append([NewRecord(midnight, "clock", 0, b"tick")])
    add_calls(store, NOON + DAY, {"userId": "u2"})
    compact_log(store, folder, before_at=NOON + 2 * DAY)
    add_calls(store, NOON + 2 * DAY, {"userId": "u3"})
    assert drop_days(folder, date(2024, 10, 5)) == [date(2024, 10, 4)]
    assert drop_days(folder, date(2024, 10, 5)) == []
    assert [path.name for path in folder.glob("day=*")] == ["day=2024-10-05"]
    found = list(read_records(store, folder))
    assert [(r.position, r.kind, r.n) for r in found] == [
        (2, "calls", 2),
        (3, "clock", 0),
        (4, "calls", 1),
        (5, "calls", 1),
    ]
    halved = decode_calls(found[0].payload)
    assert halved.raw == [None, b'"new"']
    assert halved.received_at.tolist() == [midnight, midnight]
    assert halved.sent_at.tolist() == [NO_INSTANT, NO_INSTANT]


def random_text(seed: int) -> str:
    return np.random.default_rng(seed).bytes(5_000).hex()


def test_what_is_missing_or_damaged_is_told(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    for i in range(5):
        add_calls(store, NOON + i * DAY, {"userId": f"u{i}", "text": random_text(i)})
    compact_log(store, folder, before_at=NOON + 9 * DAY)
    add_calls(store, NOON + 9 * DAY, {"userId": "u9"})
    [path] = folder.glob("day=2024-10-06/*.parquet")
    whole = path.read_bytes()
    at = len(whole) // 2
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(ArchiveDamaged, match=r"day=2024-10-06/part-.*cannot be read"):
        list(read_records(store, folder))
    path.write_bytes(whole[:-7])
    with pytest.raises(ArchiveDamaged, match="cannot be read"):
        list(read_records(store, folder))
    path.unlink()
    with pytest.raises(ArchiveDamaged, match="records 3 to 3 are missing"):
        list(read_records(store, folder))
    shutil.rmtree(folder / "day=2024-10-08")  # the last one
    with pytest.raises(ArchiveDamaged, match="records 5 to 5 are missing"):
        list(read_records(store, folder, 3))


def test_the_log_asks_for_the_archive(store: Store, tmp_path: Path) -> None:
    for i in range(3):
        add_calls(store, NOON + i * DAY, {"userId": f"u{i}"})
    compact_log(store, tmp_path / "a", before_at=(DAY_0 + 2) * DAY)
    with pytest.raises(StoreError, match="records 1 to 2 are no longer in the log; read them from the archive"):
        list(store.read_log())
    assert [record.position for record in store.read_log(2)] == [3]


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("killed_at", ["rename", "set_meta", "drop_log"])
def test_killed_while_compacting(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: str) -> None:
    folder = tmp_path / "a"
    for i in range(6):
        add_calls(store, NOON + i * DAY, {"userId": f"u{i}"}, {"userId": "v"})
        store.append([NewRecord(NOON + i * DAY, "clock", 0, b"")])
    before = [show(record) for record in store.read_log()]

    def kill(*_: object) -> None:
        raise Killed

    real, left = os.replace, [0]

    def rename(*names: Path) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        real(*names)

    for n in range(4):
        left[0] = 2 * n
        with monkeypatch.context() as patch:
            if killed_at == "rename":
                patch.setattr(os, "replace", rename)
            else:
                patch.setattr(store, killed_at, kill)
            with pytest.raises(Killed):
                compact_log(store, folder, before_at=(DAY_0 + n + 2) * DAY)
        assert [show(r) for r in read_records(store, folder)] == before
    done = compact_log(store, folder, before_at=(DAY_0 + 5) * DAY)
    assert [show(r) for r in read_records(store, folder)] == before
    assert (done.last, store.first_position()) == (10, 11)
    assert [show(r) for r in read_archive(folder)] == before[:10]
    assert not list(folder.glob("**/*.tmp"))
