"""A folder holds the old results or the new ones, whatever happens in between."""
# ruff: noqa: PT012  (what happens inside the folder's block is what is tested)

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sojourn.errors import SojournError
from sojourn.frames.files import open_output, read_history, write_alone, write_json, write_table
from sojourn.frames.schemas import HISTORY


def write_old(folder: Path) -> dict[str, str]:
    """An earlier run's files and one of somebody else's."""
    folder.mkdir(parents=True)
    for name in ("a.json", "example_1.parquet", "example_2.parquet", "mine.txt"):
        (folder / name).write_text(f"old {name}")
    return read_all(folder)


def read_all(folder: Path) -> dict[str, str]:
    return {f.name: f.read_text() for f in sorted(folder.iterdir())}


def test_no_folder_no_files():
    with open_output(None) as folder:
        assert folder is None


@pytest.mark.parametrize("where", ["out", "deep/er/out"])
def test_a_new_folder_appears_whole(tmp_path, where, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_output(where) as folder:
        assert not Path(where).exists()
        (folder / "a.json").write_text("new")
    assert read_all(Path(where)) == {"a.json": "new"}
    assert [p.name for p in tmp_path.iterdir()] == [where.split("/")[0]]
    assert (tmp_path / where).stat().st_mode & 0o077 == 0o777 & ~_umask() & 0o077


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_second_run_replaces_all_of_the_first_and_nothing_else(tmp_path):
    out = tmp_path / "out"
    write_old(out)
    with open_output(out, is_run=True) as folder:
        (folder / "a.json").write_text("new")
        (folder / "example_1.parquet").write_text("new")
    assert read_all(out) == {"a.json": "new", "example_1.parquet": "new", "mine.txt": "old mine.txt"}


def test_what_is_added_to_a_run_takes_nothing_of_it_away(tmp_path):
    out = tmp_path / "out"
    before = write_old(out)
    with open_output(out) as folder:
        (folder / "stability.parquet").write_text("new")
    assert read_all(out) == before | {"stability.parquet": "new"}


def test_a_table_alone_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    file = tmp_path / "t.parquet"
    write_alone(pa.table({"a": [1]}), file)
    with pytest.raises(SojournError, match="cannot be written"):
        write_alone(pa.table({"a": [1]}), tmp_path / "nowhere" / "t.parquet")
    monkeypatch.setattr(
        "sojourn.frames.files.write_table", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left"))
    )
    with pytest.raises(SojournError, match="No space left"):
        write_alone(pa.table({"a": [2]}), file)
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]
    assert pq.read_table(file)["a"].to_pylist() == [1]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("x"), OSError(28, "No space left on device")])
def test_an_error_inside_changes_nothing(tmp_path, error):
    out = tmp_path / "out"
    before = write_old(out)
    expected = SojournError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected), open_output(out) as folder:
        (folder / "a.json").write_text("new")
        raise error
    assert read_all(out) == before
    with pytest.raises(expected), open_output(tmp_path / "fresh" / "out") as folder:
        (folder / "a.json").write_text("new")
        raise error
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("n_moves", range(6))
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupt_while_files_move_undoes_the_moves(tmp_path, monkeypatch, n_moves, when):
    out = tmp_path / "out"
    before = write_old(out)
    move, count = os.replace, 0

    def interrupted(source, to):
        nonlocal count
        count += 1
        if count - 1 == n_moves:
            if when == "after":
                move(source, to)
            raise KeyboardInterrupt
        move(source, to)

    with pytest.raises(KeyboardInterrupt), open_output(out, is_run=True) as folder:
        for name in ("a.json", "b.json", "example_1.parquet"):
            (folder / name).write_text("new")
        monkeypatch.setattr(os, "replace", interrupted)
    assert count > n_moves
    assert read_all(out) == before


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "out").write_text("mine")
    for out in (tmp_path / "out", tmp_path / "out" / "below"):
        with pytest.raises(SojournError, match="is a file"), open_output(out):
            pytest.fail("nothing may run before this is found out")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_folder_where_a_file_should_be(tmp_path):
    out = tmp_path / "out"
    (out / "b.json").mkdir(parents=True)
    (out / "b.json" / "mine").write_text("mine")
    (out / "a.json").write_text("old")
    with pytest.raises(SojournError, match="is a folder"), open_output(out) as folder:
        (folder / "a.json").write_text("new")
        (folder / "b.json").write_text("new")
    assert (out / "a.json").read_text() == "old"
    assert (out / "b.json" / "mine").read_text() == "mine"
    assert sorted(p.name for p in out.iterdir()) == ["a.json", "b.json"]


@pytest.mark.parametrize("out", ["/proc/nobody/out", "x" * 300])
def test_a_place_that_cannot_be_written(tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SojournError, match="cannot be written"), open_output(out) as folder:
        (folder / "a.json").write_text("new")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_may_not_be_written(tmp_path, monkeypatch):
    """Told before the work begins. Root may write anywhere, so the refusal is made up."""

    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(SojournError, match=r"cannot be written \(Permission denied\)"), open_output(tmp_path / "out"):
        pytest.fail("nothing may run before this is found out")


def test_two_runs_into_one_folder_do_not_mix(tmp_path):
    out = tmp_path / "out"
    with open_output(out) as one:
        with open_output(out) as two:
            assert one != two
            (two / "a.json").write_text("two")
            (two / "b.json").write_text("two")
        (one / "a.json").write_text("one")
    assert read_all(out) == {"a.json": "one", "b.json": "two"}


def test_a_link_to_a_folder_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with open_output(tmp_path / "link") as folder:
        (folder / "a.json").write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert read_all(tmp_path / "real") == {"a.json": "new"}


def test_json_has_only_what_json_has(tmp_path):
    write_json({"a": math.nan, "b": (1, math.inf), 3: {"ü": 0.1}}, tmp_path / "x.json")
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"a": None, "b": [1, None], "3": {"ü": 0.1}}
    assert "ü" in text


def test_history_comes_back_in_its_schema(tmp_path):
    table = pa.Table.from_pylist(
        [{"customer_id": f"c{i % 3}", "event_id": str(i), "event_class": "look", "smoothed_p": 0.5} for i in range(9)],
        schema=HISTORY,
    )
    write_table(table, tmp_path / "history.parquet")
    assert read_history(tmp_path).schema.equals(HISTORY)
    assert read_history(tmp_path).equals(table)
    some = read_history(tmp_path, ["customer_id", "event_class"])
    assert pa.types.is_dictionary(some.schema.field("customer_id").type)
    assert some["customer_id"].to_pylist() == table["customer_id"].to_pylist()
    assert pq.read_schema(tmp_path / "history.parquet").equals(HISTORY)
