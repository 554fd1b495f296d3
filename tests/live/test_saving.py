"""Snapshots that a copy of the process writes: what was at one instant, whatever comes after it."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sojourn.live.engine import saver
from sojourn.live.engine.recovery import SNAPSHOT
from sojourn.live.engine.snapshot import read_snapshot, write_snapshot
from sojourn.live.replay.calls import read_calls
from sojourn.playbook.load import load_playbook
from sojourn.simulation.customers import simulate
from tests.live.engine_world import SECOND, Engine, make_project, open_engine

pytestmark = pytest.mark.skipif(not saver.IS_COPIED, reason="this system does not copy processes")
BOOK = load_playbook("shop")


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    calls = read_calls(simulate(30, days=30, seed=5).events, BOOK)
    with open_engine(make_project(tmp_path / "p", BOOK.text), int(calls.at[-1])) as engine:
        engine.send(calls.write(0, len(calls)))
        yield engine


def begin(engine: Engine) -> None:
    with engine.live.lock:
        engine.live.worker.saver.begin(engine.live.version)


def wait(engine: Engine) -> None:
    wait_until(lambda: engine.live.worker.saver._pid is None)  # the engine looks whether it has ended


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.005)


def delay(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    def write_late(*arguments: Any) -> None:
        time.sleep(seconds)
        write_snapshot(*arguments)

    monkeypatch.setattr(saver, "write_snapshot", write_late)


def path_of(engine: Engine) -> Path:
    return engine.live.env.folder / SNAPSHOT


def test_what_comes_while_it_is_written_is_not_in_it(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays, rest = engine.live.version.save()
    expected = {name: array.copy() for name, array in arrays.items()}
    delay(monkeypatch, 0.5)
    begin(engine)
    more = [{"type": "track", "userId": f"new-{i}", "event": "Product Viewed"} for i in range(3_000)]
    engine.send(more)
    assert engine.live.worker.saver._pid is not None
    wait(engine)
    found, said = read_snapshot(path_of(engine))
    assert said == rest
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    assert engine.live.version.customers.n_customers > len(expected["customers.owner"])


def test_a_start_from_it_and_the_end_of_the_log_comes_to_the_same(engine: Engine, tmp_path: Path) -> None:
    begin(engine)
    wait(engine)
    engine.send([{"type": "track", "userId": "late", "event": "Product Viewed"}])
    copy = shutil.copytree(engine.project, tmp_path / "copy")  # as a process that ended now would leave it
    with open_engine(copy, engine.now) as again:
        assert again.live.worker.n_since_snapshot == 1
        after, before = again.live.version.save()[0], engine.live.version.save()[0]
        for name, array in before.items():
            np.testing.assert_array_equal(after[name], array, err_msg=name)
        assert again.live.customer("late") == engine.live.customer("late") is not None


def test_an_erasure_leaves_nothing_in_what_is_being_written(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.send([{"type": "identify", "userId": "forget-me-soon", "traits": {"plan": "gold"}}])
    delay(monkeypatch, 1.0)
    begin(engine)
    pid = engine.live.worker.saver._pid
    engine.live.command("erase", {"id": "forget-me-soon"})
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    wait(engine)  # for the one without them
    for path in engine.live.env.folder.glob("snapshot*"):
        assert b"forget-me-soon" not in path.read_bytes()
    assert path_of(engine).exists()


def test_one_that_fails_or_takes_too_long_is_said_and_the_next_one_is_written(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    delay(monkeypatch, 60)
    begin(engine)
    pid = engine.live.worker.saver._pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait(engine)
    assert "the process that wrote it has ended" in caplog.text
    begin(engine)
    monkeypatch.setattr(saver, "LONGEST_S", 0.0)
    wait(engine)
    assert "it was not written in 0 s" in caplog.text
    assert not path_of(engine).exists()
    monkeypatch.undo()
    begin(engine)
    wait(engine)
    assert read_snapshot(path_of(engine))[1]["position"] == engine.live.version.position


def test_the_engine_saves_as_often_as_the_settings_say(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", BOOK.text, settings="snapshot_every: 500\n")
    with open_engine(project, 1_760_000_000 * SECOND) as engine:
        for n in range(6):
            engine.send([{"type": "track", "userId": f"u{n}-{i}", "event": "Product Viewed"} for i in range(300)])
            if n % 2:
                wait_until(lambda: saved_position(engine) == engine.live.version.position)
            else:
                assert saved_position(engine) == max(engine.live.version.position - 1, 0)


def saved_position(engine: Engine) -> int:
    return int(read_snapshot(path_of(engine))[1]["position"]) if path_of(engine).exists() else 0
