"""Tables of a results folder for whoever reads them from elsewhere: named, a page at a time, one run's and never two's.

A table is one that the run itself names in ``run.json``, or that another command is known to put beside them; what else
lies in the folder is not shown. Rows that could not be read (``quarantine``) and what only ``sojourn explain``
needs are not shown.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sojourn.errors import Problem, SojournError, nearest
from sojourn.frames import instant_us, show_instant

COMMAND_TABLES = (
    "predictions",
    "next_state",
    "next_time",
    "segments",
    "segment_profiles",
    "segment_choice",
    "segment_relevance",
    "segment_audit",
    "segment_states",
    "segment_flows",
    "stability",
    "send_times",
)
"""What other commands put beside the tables of a run."""
HIDDEN = ("quarantine", "last_seen")
_MOST_LOOKED_AT = 2_000_000  # rows, for one page
_BATCH = 16_384
_LONGEST_MOVE_S = 60.0  # a run moves its files in well under a second; what is older was left by one that was killed
_RUN = "sojourn run EVENTS --playbook PLAYBOOK --out RESULTS"


class UnknownTable(SojournError):
    """There is no such table, or no results at all."""


class BadQuery(SojournError):
    """A filter or a cursor that says nothing of this table."""


class Replaced(SojournError):
    """A newer run has written the table since the page before."""


class BeingWritten(SojournError):
    """A run is moving its files into the folder just now."""


@dataclass(frozen=True)
class Page:
    """Rows as plain values, where the next page begins (None: there is none), and when the table was written."""

    rows: list[dict[str, Any]]
    next: tuple[int, int] | None
    written_at: int


def list_tables(folder: Path) -> list[dict[str, Any]]:
    """Every table that can be read: its name, rows, columns with their types, and when it was written.

    A folder that is not there has none. Raises BeingWritten while a run moves its files into it.
    """
    found = []
    for name in _list_names(folder):
        with _open_table(folder, name) as (parquet, written_at):
            columns = [{"column": field.name, "type": _say_type(field.type)} for field in parquet.schema_arrow]
            n_rows = parquet.metadata.num_rows
        found.append({"table": name, "n_rows": n_rows, "columns": columns, "written_at": show_instant(written_at)})
    return found


def read_page(
    folder: Path, name: str, wanted: Sequence[tuple[str, str]] = (), *, limit: int, after: tuple[int, int] | None = None
) -> Page:
    """Up to ``limit`` rows in which each column of ``wanted`` has the value said, from the cursor ``after`` on.

    A page may have fewer rows, or none, while there is more: no more than two million rows are looked at for one.
    Raises UnknownTable, BadQuery, Replaced or BeingWritten.
    """
    names = _list_names(folder)
    if name not in names:
        what = f"there is no table '{name[:80]}'" if names else "there are no results of a run"
        raise UnknownTable(Problem("results", what, nearest(name, names), None if names else _RUN))
    with _open_table(folder, name) as (parquet, written_at):
        if after is not None and after[1] != written_at:
            raise Replaced(Problem("cursor", f"'{name}' is another run's by now: begin again without it"))
        tests = [_read_test(parquet.schema_arrow, column, text) for column, text in wanted]
        begin = after[0] if after is not None else 0
        at, end = _find(parquet, tests, begin, limit)
        rows = [_plain_row(row) for row in _take(parquet, at).to_pylist()]
        return Page(rows, None if end is None else (end, written_at), written_at)


def _list_names(folder: Path) -> list[str]:
    """The tables that there are. Raises BeingWritten where that cannot be told now."""
    if not folder.is_dir():
        return []
    now = time.time()
    for moving in folder.glob(".sojourn.*.partial/replaced"):
        age = _age(moving, now)
        if age is not None and age < _LONGEST_MOVE_S:
            raise BeingWritten(Problem("results", "a run is being put into place; come again in a second"))
    try:
        told = json.loads((folder / "run.json").read_text(encoding="utf-8")).get("tables", [])
    except (OSError, ValueError, AttributeError):
        told = []
    names = [name for name in told if isinstance(name, str) and name.isidentifier() and name not in HIDDEN]
    return [name for name in dict.fromkeys((*names, *COMMAND_TABLES)) if (folder / f"{name}.parquet").is_file()]


def _age(path: Path, now: float) -> float | None:
    try:
        return now - path.stat().st_mtime
    except OSError:
        return None  # it has just gone


@contextmanager
def _open_table(folder: Path, name: str) -> Iterator[tuple[pq.ParquetFile, int]]:
    """The file, opened once: another that takes its name meanwhile is not seen."""
    path = folder / f"{name}.parquet"
    try:
        with path.open("rb") as file:
            yield pq.ParquetFile(file), os.fstat(file.fileno()).st_mtime_ns // 1_000
    except FileNotFoundError:
        raise UnknownTable(Problem("results", f"there is no table '{name}' any more")) from None
    except (OSError, pa.ArrowException) as error:
        raise SojournError(Problem("results", f"'{name}' cannot be read ({type(error).__name__})")) from None


@dataclass(frozen=True)
class _Test:
    column: str
    value: pa.Scalar


def _read_test(schema: pa.Schema, column: str, text: str) -> _Test:
    """What a column must be. Raises BadQuery for a column that there is not, or a value that it cannot have."""
    where = f"where={column[:60]}"
    if column not in schema.names:
        raise BadQuery(Problem(where, "there is no such column", nearest(column, schema.names)))
    kind = _value_type(schema.field(column).type)
    try:
        return _Test(column, pa.scalar(_read_value(kind, text), kind))
    except (ValueError, OverflowError, pa.ArrowException):
        said = _say_type(kind)
        what = f"'{text[:60]}' is no value of a column of type {said}" if said != "list" else "lists have no one value"
        raise BadQuery(Problem(where, what)) from None


def _read_value(kind: pa.DataType, text: str) -> Any:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return text
    if pa.types.is_boolean(kind):
        return ("false", "true").index(text.lower()) == 1
    if pa.types.is_integer(kind):
        return int(text)
    if pa.types.is_floating(kind):
        return float(text)
    if pa.types.is_timestamp(kind):
        return datetime.fromisoformat(text)
    raise ValueError(text)


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _say_type(kind: pa.DataType) -> str:
    kind = _value_type(kind)
    words = (
        (pa.types.is_boolean, "boolean"),
        (pa.types.is_integer, "integer"),
        (pa.types.is_floating, "number"),
        (pa.types.is_timestamp, "instant"),
        (pa.types.is_nested, "list"),
    )
    return next((word for is_it, word in words if is_it(kind)), "string")


def _find(
    parquet: pq.ParquetFile, tests: Sequence[_Test], begin: int, limit: int
) -> tuple[NDArray[np.int64], int | None]:
    """The first rows from ``begin`` on that pass, and where to go on; None at the end."""
    n = parquet.metadata.num_rows
    if not tests:
        end = min(begin + limit, n)
        return np.arange(begin, end), end if end < n else None
    found: list[NDArray[np.int64]] = []
    n_found = first = 0
    for group in range(parquet.num_row_groups):
        last = first + parquet.metadata.row_group(group).num_rows
        if last > begin:
            table = parquet.read_row_group(group, columns=list(dict.fromkeys(test.column for test in tests)))
            is_in = np.ones(last - first, np.bool_)
            for test in tests:
                column = table[test.column].cast(test.value.type)
                is_in &= pc.fill_null(pc.equal(column, test.value), False).to_numpy()
            rows = np.flatnonzero(is_in) + first
            found.append(rows[rows >= begin][: limit - n_found])
            n_found += len(found[-1])
            if n_found == limit:
                end = int(found[-1][-1]) + 1 if len(found[-1]) else last
                return np.concatenate(found), end if end < n else None
            if last - begin >= _MOST_LOOKED_AT and last < n:
                return np.concatenate(found), last
        first = last
    return np.concatenate([*found, np.empty(0, np.int64)]).astype(np.int64), None


def _take(parquet: pq.ParquetFile, at: NDArray[np.int64]) -> pa.Table:
    """These rows, which are in order; no more of the file is read than holds them."""
    parts = []
    first = 0
    for group in range(parquet.num_row_groups):
        last = first + parquet.metadata.row_group(group).num_rows
        mine = at[(at >= first) & (at < last)]
        if len(mine):
            parts += _take_batches(parquet, group, mine - first)
        first = last
    return pa.Table.from_batches(parts) if parts else parquet.schema_arrow.empty_table()


def _take_batches(parquet: pq.ParquetFile, group: int, at: NDArray[np.int64]) -> list[pa.RecordBatch]:
    parts: list[pa.RecordBatch] = []
    first = 0
    for batch in parquet.iter_batches(batch_size=_BATCH, row_groups=[group]):
        mine = at[(at >= first) & (at < first + len(batch))]
        if len(mine):
            parts.append(batch.take(pa.array(mine - first)))
        first += len(batch)
        if first > at[-1]:
            break
    return parts


def _plain_row(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, datetime):
        return show_instant(instant_us(value))
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value
