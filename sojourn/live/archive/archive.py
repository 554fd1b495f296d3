"""Old days of the log as Parquet files, one folder per day, that DuckDB and ``sojourn run`` read as well.

The calls of a day are in ``day=YYYY-MM-DD/part-<first position>.parquet``; records that hold no calls are beside them
in ``marks-<first position>.pq``. The columns are described in ``docs/reference/store.md``.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from sojourn.errors import Problem
from sojourn.frames import DAY_US
from sojourn.live.archive.files import (
    ArchiveDamaged,
    Day,
    Part,
    erase_rows,
    explain_file,
    list_parts,
    read_pieces,
    rename_file,
    rewrite_marks,
)
from sojourn.live.store import SCHEMA, Record, Store, encode_table, read_table

__all__ = [
    "ArchiveDamaged",
    "Compacted",
    "compact_log",
    "drop_days",
    "erase_calls",
    "read_archive",
    "read_records",
]

_UNTIL = "archived_until"  # in the store's meta: the last position that the archive holds whole
_LOST = "lost.json"
_OPEN_DAYS = 2  # a day's files are closed as a third day comes up: clocks go back a little, not by days


@dataclass(frozen=True)
class Compacted:
    """What went from the log into the archive: positions ``first`` to ``last`` (none where it is ``first - 1``)."""

    first: int
    last: int
    n_calls: int
    files: tuple[Path, ...]


def compact_log(store: Store, folder: Path, *, before_at: int, is_dropped: bool = True) -> Compacted:
    """Put the log's first records into the archive: those whose calls were all received on days (UTC) that ended
    before ``before_at`` (microseconds). Drops them from the log, once the files are complete and on disk.

    Killed at any instant, it loses nothing; the next call begins where this one had.
    """
    archived = int(store.get_meta(_UNTIL, 0))
    begin = max(archived, store.first_position() - 1)
    folder.mkdir(mode=0o700, exist_ok=True)  # personal data: for its owner only
    if begin > archived:
        _note_lost(folder, begin)
    for leftover in folder.glob("day=*/*.tmp"):
        leftover.unlink()
    last, n_calls, files = _write_days(store, folder, begin, before_at // DAY_US)
    if last > begin:
        store.set_meta(_UNTIL, last)
    if is_dropped and store.first_position() <= last:
        store.drop_log(last)
    return Compacted(begin + 1, last, n_calls, tuple(files))


def _write_days(store: Store, folder: Path, begin: int, closed_day: int) -> tuple[int, int, list[Path]]:
    days: dict[int, Day] = {}
    last, n_calls, files = begin, 0, []
    for record in store.read_log(begin):
        batch = read_table(record.payload) if record.kind == "calls" else None
        if batch is not None and not batch.num_rows:
            batch = None
        received = np.array([record.at]) if batch is None else batch.column("received_at").to_numpy()
        of = received // DAY_US
        if of.max() >= closed_day:
            break
        for day in np.unique(of).tolist():
            if day not in days:
                if len(days) == _OPEN_DAYS:
                    files += days.pop(next(iter(days))).close()
                days[day] = Day(folder, day)
            days[day].add(record, batch, np.flatnonzero(of == day))
        last, n_calls = record.position, n_calls + (0 if batch is None else batch.num_rows)
    for open_day in days.values():
        files += open_day.close()
    return last, n_calls, files


def read_archive(folder: Path, after: int = 0, *, until: int | None = None) -> Iterator[Record]:
    """The records of the archive after a position in order, up to ``until`` and that one too, as the log had them.

    Calls that were dropped with their day are as if erased; records of which nothing is left are passed over.
    Raises ArchiveDamaged where anything else is missing or cannot be read.
    """
    lost = _read_lost(folder)
    expected = after + 1
    for position, pieces in _merge_parts(list_parts(folder), after, until):
        if position > max(expected, lost + 1):
            raise _miss_records(folder, max(expected, lost + 1), position - 1)
        expected = position + 1
        yield _join_record(folder, position, pieces, is_whole=position > lost)
    if until is not None and until >= max(expected, lost + 1):
        raise _miss_records(folder, max(expected, lost + 1), until)


def read_records(store: Store, folder: Path, after: int = 0) -> Iterator[Record]:
    """All records after a position: first those that are in the archive, then the log's."""
    archived = int(store.get_meta(_UNTIL, 0))
    if after < archived:
        yield from read_archive(folder, after, until=archived)
    yield from store.read_log(max(after, archived))


def drop_days(folder: Path, before: date) -> list[date]:
    """Delete the days before one, for good; returns them."""
    parts = [part for part in list_parts(folder) if part.day < before]
    if parts:
        _note_lost(folder, max(part.last for part in parts))
    for part in parts:
        part.path.unlink()
    days = sorted({part.day for part in parts})
    for day in days:
        (folder / f"day={day}").rmdir()
    return days


def erase_calls(folder: Path, calls: Collection[tuple[int, int]]) -> int:
    """Erase calls, given by (position, place), from the archive; returns how many were there.

    They keep their places, with nothing of their content. Each file is written anew beside the old one.
    """
    places: dict[int, list[int]] = {}
    for position, place in calls:
        places.setdefault(position, []).append(place)
    wanted = np.array(sorted(places), np.int64)

    def is_chosen(position: NDArray[np.int64], place: NDArray[np.int32]) -> NDArray[np.bool_]:
        found = np.isin(position, wanted)
        for at in np.flatnonzero(found).tolist():
            found[at] = int(place[at]) in places[int(position[at])]
        return found

    n_erased = 0
    for part in list_parts(folder):
        if part.is_calls and ((wanted >= part.first) & (wanted <= part.last)).any():
            with explain_file(part.path):
                n_erased += erase_rows(part, is_chosen)
    return n_erased


def rewrite_commands(folder: Path, rewrite: Callable[[bytes], bytes]) -> int:
    """Put something else in the place of commands of the archive, given by their payloads; returns of how many."""
    n = 0
    for part in list_parts(folder):
        if not part.is_calls:
            with explain_file(part.path):
                n += rewrite_marks(part, lambda kind, payload: rewrite(payload) if kind == "command" else payload)
    return n


def _merge_parts(parts: list[Part], after: int, until: int | None) -> Iterator[tuple[int, list[pa.RecordBatch]]]:
    """The records of all files in order, each with its rows. A file is open only as long as its positions come up."""
    waiting = [part for part in parts if part.last > after and (until is None or part.first <= until)][::-1]
    heads: list[tuple[int, int, Any]] = []  # (position of the next record, file, its rows)
    opened: list[tuple[Path, Iterator[tuple[int, pa.RecordBatch]]]] = []

    def advance(file: int) -> None:
        path, pieces = opened[file]
        with explain_file(path):
            for position, piece in pieces:
                heapq.heappush(heads, (position, file, piece))
                return

    while waiting or heads:
        if waiting and (not heads or waiting[-1].first <= heads[0][0]):
            part = waiting.pop()
            opened.append((part.path, read_pieces(part, after, until)))
            advance(len(opened) - 1)
            continue
        position, found = heads[0][0], []
        while heads and heads[0][0] == position:
            _, file, piece = heapq.heappop(heads)
            found.append(piece)
            advance(file)
        yield position, found


def _join_record(folder: Path, position: int, pieces: Sequence[pa.RecordBatch], *, is_whole: bool) -> Record:
    """The record of these rows. Places that are missing, where they may be, are erased calls."""
    rows = pieces[0]
    if "payload" in rows.schema.names:
        [mark] = rows.to_pylist()
        return Record(position, mark["at"], mark["kind"], mark["n"], mark["payload"])
    if len(pieces) > 1:
        rows = pa.concat_batches(list(pieces))
        rows = rows.take(pa.compute.sort_indices(rows.column("place")))
    at, n = rows.column("record_at")[0].as_py(), rows.column("record_n")[0].as_py()
    if len(rows) < n:
        if is_whole:
            what = f"{n - len(rows)} of the {n} calls of record {position} are missing; put back the archive's files"
            raise ArchiveDamaged(Problem(str(folder), what))
        where = np.full(n, -1)
        where[rows.column("place").to_numpy()] = np.arange(len(rows))
        rows = rows.take(pa.array(where, mask=where < 0))
    return Record(position, at, "calls", n, encode_table(_spell_log(rows, at)))


def _spell_log(rows: pa.RecordBatch, at: int) -> pa.RecordBatch:
    """The columns as the log has them."""
    columns = [
        rows.column("raw"),
        rows.column("kind").fill_null(0),
        rows.column("received_at").cast(pa.int64()).fill_null(at),
        rows.column("sent_at").cast(pa.int64()),
        rows.column("key").fill_null("").dictionary_encode(),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def _read_lost(folder: Path) -> int:
    """The last position up to which records may be missing."""
    with explain_file(folder / _LOST):
        return int(json.loads((folder / _LOST).read_text())["until_position"]) if (folder / _LOST).exists() else 0


def _note_lost(folder: Path, until: int) -> None:
    beside = folder / f"{_LOST}.tmp"
    beside.write_text(json.dumps({"until_position": max(until, _read_lost(folder))}))
    rename_file(beside, folder / _LOST)


def _miss_records(folder: Path, first: int, last: int) -> ArchiveDamaged:
    what = f"records {first} to {last} are missing from the archive; put back its files"
    return ArchiveDamaged(Problem(str(folder), what))
