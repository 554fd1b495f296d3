"""Snapshots that are damaged anywhere are refused, and never end the process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from sojourn.live.engine.snapshot import SnapshotError, read_snapshot, write_snapshot

ARRAYS = {"x": np.arange(300.0), "empty": np.empty((0, 4), np.int32), "flags": np.eye(5, dtype=bool)}


def test_a_snapshot_is_an_arrow_file_that_gives_back_what_it_was_made_of(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.arrow"
    for n in range(2):  # the second in place of the first
        write_snapshot(path, {**ARRAYS, "x": ARRAYS["x"] + n}, {"position": n})
        arrays, rest = read_snapshot(path)
        assert rest == {"position": n}
        np.testing.assert_array_equal(arrays["x"], ARRAYS["x"] + n)
        assert arrays["empty"].shape == (0, 4)
        assert arrays["flags"].dtype == bool
    with pa.ipc.open_file(str(path)) as reader:
        assert reader.read_all()["name"].to_pylist() == ["x", "empty", "flags", ""]


def test_any_byte_that_is_wrong_is_found(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.arrow"
    write_snapshot(path, ARRAYS, {"position": 1})
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        data = bytearray(whole)
        data[place] ^= 0x55
        path.write_bytes(data)
        with pytest.raises(SnapshotError, match="damaged"):
            read_snapshot(path)
    for size in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(SnapshotError):
            read_snapshot(path)
    path.write_bytes(whole)
    assert read_snapshot(path)[1] == {"position": 1}


@pytest.mark.parametrize("is_renamed", [False, True])
def test_a_crash_between_checksum_and_snapshot_leaves_one_that_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_renamed: bool
) -> None:
    path = tmp_path / "snapshot.arrow"
    write_snapshot(path, ARRAYS, {"position": 1})
    replace = Path.replace

    def cut_off(self: Path, target: Path) -> Path:
        if target == path:
            if is_renamed:
                replace(self, target)
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", cut_off)
    with pytest.raises(KeyboardInterrupt):
        write_snapshot(path, ARRAYS, {"position": 2})
    assert read_snapshot(path)[1] == {"position": 2 if is_renamed else 1}
