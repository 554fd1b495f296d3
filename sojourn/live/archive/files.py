"""The files of the archive: written beside and renamed, read a group of rows at a time, each page with a checksum."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sojourn.errors import Problem, SojournError
from sojourn.live.archive.fields import FIELDS, read_fields
from sojourn.live.store import Record

"""Microseconds of a day."""

_INSTANT = pa.timestamp("us", tz="UTC")
COLUMNS = pa.schema(
    [
        ("position", pa.int64()),
        ("place", pa.int32()),
        ("received_at", _INSTANT),
        ("sent_at", _INSTANT),
        ("kind", pa.int8()),
        ("key", pa.string()),
        *((name, pa.string()) for name in FIELDS),
        ("receivedAt", _INSTANT),
        ("raw", pa.large_binary()),
        ("record_at", pa.int64()),
        ("record_n", pa.int32()),
    ]
)
"""The columns of a file of calls."""

_CONTENT = (*FIELDS, "raw")
_NEEDED = ["position", "place", "received_at", "sent_at", "kind", "key", "raw", "record_at", "record_n"]
_MARKS = pa.schema(
    [("position", pa.int64()), ("at", pa.int64()), ("kind", pa.string()), ("n", pa.int64()), ("payload", pa.binary())]
)
_ROWS, _BYTES = 50_000, 1 << 26  # a group of rows is written when it has so many
_ROWS_AT_ONCE = 8_192


class ArchiveDamaged(SojournError):
    """A file of the archive cannot be read, or records are missing."""


@contextmanager
def explain_file(path: Path) -> Iterator[None]:
    """Raises what goes wrong with reading a file as ArchiveDamaged."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, KeyError, AttributeError) as error:
        said = str(error).partition("\n")[0]
        raise ArchiveDamaged(Problem(str(path), f"this file of the archive cannot be read: {said}")) from error


@dataclass(frozen=True)
class Part:
    """A file of the archive. Its positions are between ``first`` and ``last``; it holds calls, or other records."""

    path: Path
    day: date
    first: int
    last: int
    is_calls: bool


@dataclass
class Day:
    """The files of a day as they are written: calls a group of rows at a time, other records at the end."""

    folder: Path
    day: int  # days since 1970
    _rows: list[pa.RecordBatch] = field(default_factory=list)
    _n_bytes: int = 0
    _marks: list[Record] = field(default_factory=list)
    _first: int = 0
    _writer: _Writer | None = None

    def add(self, record: Record, batch: pa.RecordBatch | None, rows: NDArray[np.int64]) -> None:
        """Add the calls of a record that have these places, or a record without calls."""
        if batch is None:
            self._marks.append(record)
            return
        if self._writer is None:
            self._writer = _Writer(self._path(f"part-{record.position:015d}.parquet"), COLUMNS)
        self._rows.append(_spell_calls(record, batch, rows))
        self._n_bytes += self._rows[-1].nbytes
        if self._n_bytes >= _BYTES or sum(len(some) for some in self._rows) >= _ROWS:
            self._flush()

    def close(self) -> list[Path]:
        """Finish the files; they are on disk then, under their names."""
        files = []
        if self._writer is not None:
            self._flush()
            files.append(self._writer.close())
        if self._marks:
            writer = _Writer(self._path(f"marks-{self._marks[0].position:015d}.pq"), _MARKS)
            columns = [[getattr(mark, name) for mark in self._marks] for name in _MARKS.names]
            writer.write(pa.table(columns, schema=_MARKS))
            files.append(writer.close())
        return files

    def _flush(self) -> None:
        if self._writer is not None and self._rows:
            self._writer.write(_add_fields(pa.Table.from_batches(self._rows)))
        self._rows, self._n_bytes = [], 0

    def _path(self, name: str) -> Path:
        folder = self.folder / f"day={datetime.fromtimestamp(self.day * 86_400, UTC).date()}"
        folder.mkdir(exist_ok=True)
        return folder / name


class _Writer:
    """A Parquet file that gets its name when it is complete."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._beside = path, path.with_name(path.name + ".tmp")
        self._writer = pq.ParquetWriter(
            self._beside,
            schema,
            compression="zstd",
            use_dictionary=[name for name in ("key", "type", "event", "kind") if name in schema.names],
            # Of nothing else: a footer's smallest and largest values are somebody's.
            write_statistics=[name for name in ("position", "received_at") if name in schema.names],
            write_page_checksum=True,
        )

    def write(self, table: pa.Table) -> None:
        """Write a group of rows."""
        self._writer.write_table(table, row_group_size=len(table))

    def close(self) -> Path:
        """Finish the file and rename it."""
        self._writer.close()
        rename_file(self._beside, self._path)
        return self._path


def rename_file(beside: Path, path: Path) -> None:
    """Give a complete file its name, in place of the one that has it, so that it is there after a power cut too."""
    _sync(beside)
    os.replace(beside, path)
    _sync(path.parent)
    _sync(path.parent.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _spell_calls(record: Record, batch: pa.RecordBatch, rows: NDArray[np.int64]) -> pa.RecordBatch:
    """What the log knows of a record's calls."""
    n = batch.num_rows
    if len(rows) < n:
        batch = batch.take(pa.array(rows))
    columns = {
        "position": np.full(len(rows), record.position),
        "place": rows.astype(np.int32),
        "received_at": batch.column("received_at"),
        "sent_at": batch.column("sent_at"),
        "kind": batch.column("kind"),
        "key": batch.column("key").cast(pa.string()),
        "raw": batch.column("raw"),
        "record_at": np.full(len(rows), record.at),
        "record_n": np.full(len(rows), n, np.int32),
    }
    return pa.RecordBatch.from_pydict(columns)


def _add_fields(table: pa.Table) -> pa.Table:
    """The columns of the archive, with what the calls themselves say."""
    fields = read_fields(table["raw"].to_pylist(), table["kind"].to_pylist())
    columns = {name: table[name] for name in table.column_names} | fields | {"receivedAt": table["received_at"]}
    return pa.table([columns[name] for name in COLUMNS.names], names=COLUMNS.names).cast(COLUMNS)


def list_parts(folder: Path) -> list[Part]:
    """The files of the archive in the order of their first positions. Raises ArchiveDamaged."""
    parts = []
    for path in [*folder.glob("day=*/part-*.parquet"), *folder.glob("day=*/marks-*.pq")]:
        name, _, first = path.stem.partition("-")
        with explain_file(path):
            groups = pq.read_metadata(path)
            at = _find_position(groups)
            last = max(groups.row_group(i).column(at).statistics.max for i in range(groups.num_row_groups))
            day = date.fromisoformat(path.parent.name.removeprefix("day="))
        parts.append(Part(path, day, int(first), last, name == "part"))
    return sorted(parts, key=lambda part: (part.first, part.path))


def _find_position(metadata: pq.FileMetaData) -> int:
    return int(metadata.schema.names.index("position"))


def read_pieces(part: Part, after: int, until: int | None) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The records of a file after a position up to another, each with its rows."""
    rest: pa.RecordBatch | None = None
    with pq.ParquetFile(part.path, page_checksum_verification=True) as file:
        groups = _choose_groups(file.metadata, after, until)
        columns = _NEEDED if part.is_calls else _MARKS.names
        for batch in file.iter_batches(_ROWS_AT_ONCE, row_groups=groups, columns=columns) if groups else ():
            whole = batch if rest is None else pa.concat_batches([rest, batch])
            positions = whole.column("position").to_numpy()
            begins = [0, *(np.flatnonzero(np.diff(positions)) + 1).tolist()]
            for begin, end in pairwise(begins):
                if after < positions[begin] and (until is None or positions[begin] <= until):
                    yield int(positions[begin]), whole.slice(begin, end - begin)
            rest = whole.slice(begins[-1])
    if rest is not None:
        position = rest.column("position")[0].as_py()
        if after < position and (until is None or position <= until):
            yield position, rest


def _choose_groups(metadata: pq.FileMetaData, after: int, until: int | None) -> list[int]:
    at = _find_position(metadata)
    found = []
    for i in range(metadata.num_row_groups):
        of = metadata.row_group(i).column(at).statistics
        if of.max > after and (until is None or of.min <= until):
            found.append(i)
    return found


def erase_rows(part: Part, is_chosen: Callable[[NDArray[np.int64], NDArray[np.int32]], NDArray[np.bool_]]) -> int:
    """Write a file of calls anew without the content of some rows; returns of how many there was any left."""
    n_erased = 0
    with pq.ParquetFile(part.path, page_checksum_verification=True) as file:
        writer = _Writer(part.path, COLUMNS)
        for i in range(file.num_row_groups):
            table = file.read_row_group(i)
            is_gone = is_chosen(table["position"].to_numpy(), table["place"].to_numpy())
            n_erased += int((is_gone & table["raw"].is_valid().to_numpy()).sum())
            columns: dict[str, Any] = {name: table[name] for name in table.column_names}
            for name in _CONTENT:
                columns[name] = pa.compute.if_else(pa.array(is_gone), None, columns[name])
            writer.write(pa.table(columns).cast(COLUMNS))
        writer.close()
    return n_erased


def rewrite_marks(part: Part, rewrite: Callable[[str, bytes], bytes]) -> int:
    """Write a file of records that hold no calls anew, with what becomes of each kind and payload; of how many that is
    something else."""
    with pq.ParquetFile(part.path, page_checksum_verification=True) as file:
        table = file.read()
    before = table["payload"].to_pylist()
    after = [rewrite(kind, payload) for kind, payload in zip(table["kind"].to_pylist(), before, strict=True)]
    n: int = sum(old != new for old, new in zip(before, after, strict=True))
    if n:
        writer = _Writer(part.path, _MARKS)
        writer.write(
            table.set_column(_MARKS.names.index("payload"), _MARKS.field("payload"), pa.array(after, pa.binary()))
        )
        writer.close()
    return n
