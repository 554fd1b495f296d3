"""Calls that another process reads come to the same, whatever becomes of that process."""

from __future__ import annotations

import json
import logging
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sojourn.live.engine.reader_process import FEWEST, ReaderProcess
from sojourn.live.replay.calls import Calls
from sojourn.pages.results import Results
from sojourn.playbook.load import load_playbook
from tests.live.engine_world import Engine, make_project, open_engine
from tests.live.test_laws import wait_until
from tests.live.test_live import compare, shop  # noqa: F401

SHOP = load_playbook("shop").text


def start_reading(engine: Engine, calls: list[bytes]) -> None:
    """Send enough for the process to be started, and wait for it."""
    engine.send(calls)
    wait_until(lambda: engine.live.status()["is_reading_beside"])


def submit_all(engine: Engine, batches: list[list[bytes]]) -> None:
    """Send requests without waiting for what comes of them, so that records follow each other closely."""
    waiting: list[Future[None]] = []
    for batch in batches:
        waiting.append(engine.submit_later(batch))
        if len(waiting) > 4:
            waiting.pop(0).result(30)
    for future in waiting:
        future.result(30)
    engine.settle()


def test_calls_read_beside_give_what_batch_gives(
    tmp_path: Path,
    shop: tuple[pa.Table, Calls, Results, int],  # noqa: F811
) -> None:
    _, calls, results, now = shop
    raw = calls.write(0, len(calls))
    project = make_project(tmp_path / "p", SHOP, results.model)
    with open_engine(project, int(calls.at[-1]) + 1_000_000, is_read_beside=True) as engine:
        start_reading(engine, raw[:500])
        submit_all(engine, [raw[i : i + 130] for i in range(500, len(raw), 130)])
        assert engine.live.status()["is_reading_beside"]
        engine.now = now
        engine.settle()
        compare(engine, results, now)


def send_mixed(project: Path, *, is_read_beside: bool, is_killed: bool = False) -> dict[str, Any]:
    """What comes of good and bad calls, some with values that few encodings carry."""
    traits = {"number": 10**30, "deep": [{"a": None}], "text": "\ud83d\ude00 é", "small": 5e-324, "yes": True}
    good = [
        json.dumps({"type": "track", "userId": f"u{i % 40}", "event": "Product Viewed", "messageId": f"m{i}"}).encode()
        for i in range(600)
    ]
    odd = [b"{", b"\xff", b'{"type":"track"}', b'{"type":"track","userId":"u1","event":"x","timestamp":"no"}', b"[]"]
    odd += [json.dumps({"type": "identify", "userId": "u7", "traits": traits}).encode()]
    odd += [b'{"type":"identify","userId":"u8","traits":{"n":1e999,"x":' + b"9" * 300 + b"}}"]
    with open_engine(make_project(project, SHOP), 1_760_000_000_000_000, is_read_beside=is_read_beside) as engine:
        if is_read_beside:
            start_reading(engine, good[:100])
        else:
            engine.send(good[:100])
        batches = [good[i : i + 100] + odd for i in range(100, 600, 100)]
        submit_all(engine, batches[:2])
        if is_killed:
            beside = engine.live.worker.reader._running
            assert beside is not None
            beside.process.kill()
        submit_all(engine, batches[2:])
        assert engine.live.status()["is_reading_beside"] == (is_read_beside and not is_killed)
        counts = engine.live.version.counts
        assert engine.live.customer("u7")["traits"]["number"] == 10**30  # type: ignore[index]
        found: dict[str, Any] = {name: counts[name] for name in ("accepted", "duplicate", "quarantined")}
        found["customers"] = [engine.live.customer(f"u{i}") for i in range(40)]
        found["told"] = sorted((c.customer_id, c.at, c.name) for c in engine.changes())
        return found


@pytest.mark.parametrize("is_killed", [False, True])
def test_odd_calls_and_an_end_of_the_process_make_no_difference(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, is_killed: bool
) -> None:
    here = send_mixed(tmp_path / "here", is_read_beside=False)
    with caplog.at_level(logging.ERROR, "sojourn.live"):
        beside = send_mixed(tmp_path / "beside", is_read_beside=True, is_killed=is_killed)
    assert here == beside
    assert here["quarantined"] > 20
    assert ("the process for reading has ended" in caplog.text) == is_killed


def test_few_calls_are_read_by_the_engine(tmp_path: Path) -> None:
    with open_engine(make_project(tmp_path / "p", SHOP), 1_760_000_000_000_000, is_read_beside=True) as engine:
        engine.send([{"type": "track", "userId": "u", "event": "x"}] * (FEWEST - 1))
        assert engine.live.worker.reader._running is None


def test_a_process_that_ends_before_it_is_ready_is_said(caplog: pytest.LogCaptureFixture) -> None:
    reading = ReaderProcess("playbook: [")
    with caplog.at_level(logging.ERROR, "sojourn.live"):
        assert not reading.send(b"", FEWEST)
        assert reading._running is not None
        reading._running.process.wait(60)
        assert not reading.send(b"", FEWEST)
    assert "the process for reading has ended" in caplog.text
    assert not reading.send(b"", FEWEST)
    assert not reading.is_ready
    assert reading._running is None  # not at once again
