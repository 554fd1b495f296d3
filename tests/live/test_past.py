"""Kept events in files: what comes back after a start, what is found when a file was changed by somebody else."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

import sojourn.live.engine.event_files as event_files
from sojourn.errors import SojournError
from sojourn.live.engine.event_files import Past, PastError, PastEvents, example_events


def make_past(folder: Path) -> Past:
    return Past(folder, "hash", n_measures=1, n_properties=2)


def draw_events(rng: np.random.Generator, n: int) -> PastEvents:
    events = example_events(
        list(zip(rng.integers(0, 6, n).tolist(), rng.integers(0, 1_000, n).tolist(), strict=True)), n_properties=2
    )
    return PastEvents(**{**events.__dict__, "event_id": [b"id-%d" % i * int(i % 3) for i in rng.integers(0, 99, n)]})


def same(one: PastEvents, other: PastEvents) -> bool:
    return all(np.array_equal(value, other.__dict__[name]) for name, value in one.__dict__.items())


@pytest.mark.parametrize("seed", range(4))
def test_checksums_follow_whatever_was_appended_and_erased(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """In pieces of a few rows, so that appends begin and end inside of them and across them."""
    print(f"seed {seed}")
    monkeypatch.setattr(event_files, "_CHECKED", 7)
    rng = np.random.default_rng(seed)
    past = make_past(tmp_path)
    for _ in range(30):
        if rng.random() < 0.25:
            past.erase([int(rng.integers(0, 6))])
        else:
            past.append(draw_events(rng, int(rng.integers(0, 30))))
        state, head = past.to_state()
        again = make_past(tmp_path)
        again.reopen(state, head.copy())
        assert len(again) == len(past)
        for node in range(6):
            assert same(again.gather([node]), past.gather([node]))
        again.close()
    for path in tmp_path.glob("*.bin"):
        kept = state["columns"][path.stem]["n"]
        width = path.read_bytes()
        if not kept or not width:
            continue
        place = int(rng.integers(0, kept))  # a byte of the rows that count, whatever a row's size
        path.write_bytes(width[:place] + bytes([width[place] ^ 0x40]) + width[place + 1 :])
        with pytest.raises(PastError, match="damaged"):
            make_past(tmp_path).reopen(state, head)
        path.write_bytes(width)
    make_past(tmp_path).reopen(state, head)


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file with a hole would do as well, until something is written where there is no room."""
    past = make_past(tmp_path)
    past.append(example_events([(1, 1)], n_properties=2))
    used = sum(path.stat().st_blocks * 512 for path in tmp_path.glob("*.bin"))
    assert used >= sum(path.stat().st_size for path in tmp_path.glob("*.bin"))

    def refuse(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(SojournError, match=r"cannot grow to [\d,]+ bytes \(No space left on device\)"):
        past.append(example_events([(1, 2)] * 70_000, n_properties=2))
