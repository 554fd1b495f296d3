"""Raw rows of tables: anything with the Arrow stream interface, and Parquet files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from sojourn.errors import EventsError, Problem
from sojourn.events.sources.chunks import NO_COLUMNS, RAW_CHARACTERS, Broken, Chunk, Integers, Source, chunk_broken
from sojourn.frames import connect

CHUNK_ROWS = 1 << 18
"""Rows that are handed out at once."""


def open_table(table: Any, name: str) -> Source:
    """The source of an object with the Arrow PyCapsule stream interface; it is read once, batch by batch.

    >>> source = open_table(pa.table({"user": ["u1", None]}), "people")
    >>> source.columns, [chunk.show(chunk.rows) for chunk in source.read(None)]
    (('user',), [['{"user":"u1"}', '{"user":null}']])
    """
    try:
        reader = pa.RecordBatchReader.from_stream(table)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise EventsError(Problem(name, f"cannot be read as an Arrow table: {error}")) from None
    names = reader.schema.names
    refuse_repeated(names, name)
    size = table.num_rows if isinstance(table, pa.Table) else 0

    def read(wanted: Sequence[str] | None) -> Iterator[Chunk]:
        chosen = _choose(names, wanted)
        pieces = (pa.Table.from_batches([batch]).select(chosen) for batch in reader)
        yield from _check_pieces(_slice(pieces), 0, lambda n_rows: n_rows if size else 0)

    return Source(name, reader.schema, size, read)


def open_parquet(file: BinaryIO | pa.BufferReader, name: str, size: int) -> Source:
    """The source of a Parquet file. One that cannot be opened is a source with one broken row."""
    try:
        opened = parquet.ParquetFile(file)
        coded = _find_coded(opened.metadata)
        if coded:
            opened = parquet.ParquetFile(file, metadata=opened.metadata, read_dictionary=coded)
        schema = opened.schema_arrow
    except (OSError, pa.ArrowException, ValueError) as error:
        chunk = chunk_broken(Broken(0, 1, "parquet", f"the file cannot be read: {error}", ""), size)
        return Source(name, NO_COLUMNS, size, lambda wanted: iter([chunk]))
    refuse_repeated(schema.names, name)
    return Source(name, schema, size, lambda wanted: _read_parquet(opened, _choose(schema.names, wanted), size))


def _find_coded(metadata: Any) -> list[str]:
    """Columns of which few values make up all rows: these stay coded, as they lie in the file."""
    found = []
    for i in range(metadata.num_columns):
        chunks = [metadata.row_group(group).column(i) for group in range(metadata.num_row_groups)]
        is_text = metadata.schema.column(i).physical_type == "BYTE_ARRAY"
        size, n = sum(c.total_uncompressed_size for c in chunks), sum(c.num_values for c in chunks)
        if is_text and all(c.has_dictionary_page for c in chunks) and size < _CODED_BYTES * n:
            found.append(metadata.schema.column(i).path)
    return found


_CODED_BYTES = 3


def refuse_repeated(names: Sequence[str], source: str) -> None:
    """Raises EventsError when two columns have the same name."""
    repeated = [name for name, n in Counter(names).items() if n > 1]
    if repeated:
        raise EventsError(Problem(source, f"more than one column is named '{repeated[0]}'"))


def _choose(names: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    """The wanted columns in the table's order; the first one when none is wanted, since rows still count."""
    return [name for name in names if wanted is None or name in wanted] or list(names[:1])


def _read_parquet(file: Any, wanted: list[str], size: int) -> Iterator[Chunk]:
    """Row group by row group. One that cannot be decoded ends as one broken row, which says how many rows are lost."""
    first, total = 0, max(1, file.metadata.num_rows)
    for group in range(file.metadata.num_row_groups):
        n_rows, n_done = file.metadata.row_group(group).num_rows, 0
        try:
            for batch in file.iter_batches(CHUNK_ROWS, row_groups=[group], columns=wanted):
                piece = pa.Table.from_batches([batch])
                yield from _check_pieces([piece], first + n_done, lambda n: size * n // total)
                n_done += batch.num_rows
            if n_done < n_rows:  # Arrow takes a page that is damaged in some ways for an empty one
                raise OSError("it has fewer rows than the file says")
        except (OSError, pa.ArrowException) as error:
            found = f"row group {group + 1} is broken, {n_rows - n_done:,} rows are lost: {error}"
            at = first + n_done
            yield chunk_broken(Broken(at, at + 1, "parquet", found, ""), size * (first + n_rows) // total)
        first += n_rows


def _slice(pieces: Iterator[pa.Table]) -> Iterator[pa.Table]:
    for piece in pieces:
        for at in range(0, piece.num_rows, CHUNK_ROWS):
            yield piece.slice(at, CHUNK_ROWS)


def _check_pieces(
    pieces: Iterator[pa.Table] | list[pa.Table], first: int, tell: Callable[[int], int]
) -> Iterator[Chunk]:
    """A chunk per piece, without the rows whose text is no UTF-8: these are broken."""
    for piece in map(_see_bytes_as_text, pieces):
        rows = first + np.arange(piece.num_rows, dtype=np.int64)
        first += piece.num_rows
        bad = find_invalid_text(piece)
        broken: tuple[Broken, ...] = ()
        if bad.size:
            broken = tuple(
                Broken(int(rows[i]), int(rows[i]) + 1, "utf-8", "text that is no UTF-8", _show_bytes(piece, int(i)))
                for i in bad
            )
            keep = np.setdiff1d(np.arange(piece.num_rows), bad)
            piece, rows = piece.take(keep), rows[keep]
        yield Chunk(piece, rows, rows + 1, broken, tell(first), _make_show(piece))


def _see_bytes_as_text(table: pa.Table) -> pa.Table:
    """Columns of bytes as text, without a copy: some writers leave out that they are text."""
    for i, field in enumerate(table.schema):
        if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
            kind = pa.string() if pa.types.is_binary(field.type) else pa.large_string()
            pieces = [piece.view(kind) for piece in table.column(i).chunks]
            table = table.set_column(i, field.name, pa.chunked_array(pieces, kind))
    return table


def find_invalid_text(table: pa.Table) -> Integers:
    """Positions of rows that hold text that is no UTF-8, at any depth of any column.

    >>> bad = pa.array([b"a", b"\\xff"]).view(pa.string())
    >>> find_invalid_text(pa.table({"x": bad})).tolist()
    [1]
    """
    found: set[int] = set()
    for column in table.columns:
        if not _has_text(column.type):
            continue
        at = 0
        for piece in column.chunks:
            found.update(at + i for i in _bisect_invalid(piece, 0, len(piece)))
            at += len(piece)
    return np.array(sorted(found), np.int64)


def _has_text(kind: pa.DataType) -> bool:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return True
    if pa.types.is_dictionary(kind):
        return _has_text(kind.value_type)
    return bool(pa.types.is_nested(kind))


def _bisect_invalid(column: pa.Array, first: int, size: int) -> list[int]:
    if _is_ascii(column):
        return []
    part = column.slice(first, size)
    if pa.types.is_nested(column.type):  # its slice would still hold the other rows
        part = part.take(pa.array(np.arange(size)))
    try:
        part.validate(full=True)
    except pa.ArrowInvalid:
        if size == 1:
            return [first]
        half = size // 2
        return _bisect_invalid(column, first, half) + _bisect_invalid(column, first + half, size - half)
    return []


def _is_ascii(column: pa.Array) -> bool:
    """Whether a plain text column is ASCII throughout, which is much quicker to see than UTF-8."""
    if not pa.types.is_string(column.type) or not len(column):
        return False
    _, offsets, data = column.buffers()
    ends = np.frombuffer(offsets, np.int32)[[column.offset, column.offset + len(column)]]
    if data is None or not data.size:
        return True
    part = np.frombuffer(data, np.uint8)[ends[0] : ends[1]]
    return bool(part.size == 0 or part.max() < 128)


def _make_show(table: pa.Table) -> Callable[[Integers], list[str]]:
    def show(positions: Integers) -> list[str]:
        import duckdb  # loads DuckDB when a query runs

        rows = table.take(pa.array(positions))
        connection = connect()
        connection.register("t", rows)
        query = "SELECT left(CAST(to_json(shown_row) AS VARCHAR), $1) AS raw FROM t AS shown_row"
        try:
            found: list[str] = connection.sql(query, params=[RAW_CHARACTERS]).to_arrow_table()["raw"].to_pylist()
        except duckdb.Error:  # a type of Arrow that DuckDB does not have
            found = [json.dumps(row, ensure_ascii=False, default=str)[:RAW_CHARACTERS] for row in rows.to_pylist()]
        return found

    return show


def _show_bytes(table: pa.Table, i: int) -> str:
    """A row with text that is no UTF-8, as JSON: that text with U+FFFD, or its type where it lies inside a struct."""
    row: dict[str, Any] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        value = column[i]
        try:
            row[name] = value.as_py()
        except UnicodeDecodeError:
            is_plain = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
            row[name] = value.as_buffer().to_pybytes().decode("utf-8", "replace") if is_plain else f"<{column.type}>"
    return json.dumps(row, ensure_ascii=False, default=str)[:RAW_CHARACTERS]
