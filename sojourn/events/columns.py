"""Columns of one chunk by path: plain columns, fields of structs and maps, and paths into JSON text. Each is read once.

A path is a column's name, or names joined by dots. A column whose name holds the dots is preferred.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sojourn.events.sources import JSON_COLUMN, Chunk, Flags
from sojourn.events.values import Numbers, read_coded, read_ids, read_numbers, read_texts
from sojourn.frames import Coded, run_query

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def find_column(path: str, schema: pa.Schema) -> tuple[str, tuple[str, ...]] | None:
    """The column that a path begins with and the rest of the path; None when the schema has no such thing.

    A text column may hold JSON, so that any path may lead into it.

    >>> schema = pa.schema([("properties", pa.struct([("total", pa.float64())])), ("a.b", pa.string())])
    >>> find_column("properties.total", schema), find_column("a.b", schema), find_column("properties.totl", schema)
    (('properties', ('total',)), ('a.b', ()), None)
    """
    parts = path.split(".")
    for n in range(len(parts), 0, -1):
        name = ".".join(parts[:n])
        at = schema.get_field_index(name)
        if at >= 0:
            rest = tuple(parts[n:])
            return (name, rest) if _leads_somewhere(schema.field(at).type, rest) else None
    return None


def _leads_somewhere(kind: pa.DataType, rest: Sequence[str]) -> bool:
    if not rest or _is_text(kind):
        return True
    if pa.types.is_struct(kind):
        at = kind.get_field_index(rest[0])
        return at >= 0 and _leads_somewhere(kind.field(at).type, rest[1:])
    return bool(pa.types.is_map(kind)) and _leads_somewhere(kind.item_type, rest[1:])


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    is_bytes = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)  # reading sees them as text
    return bool(is_bytes or pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def list_paths(schema: pa.Schema) -> list[str]:
    """Columns and fields of structs, as paths, for naming the nearest one.

    >>> list_paths(pa.schema([("id", pa.string()), ("p", pa.struct([("total", pa.float64())]))]))
    ['id', 'p', 'p.total']
    """
    found: list[str] = []

    def visit(name: str, kind: pa.DataType) -> None:
        found.append(name)
        if pa.types.is_struct(kind):
            for field in kind:
                visit(f"{name}.{field.name}", field.type)

    for field in schema:
        visit(field.name, field.type)
    return found


class Columns:
    """The columns of one chunk, read on demand and kept: as they came, as texts, as ids, or as numbers.

    A path that the chunk does not have is missing in every row.
    """

    def __init__(self, chunk: Chunk, paths: Iterable[str], connection: DuckDBPyConnection) -> None:
        """Takes the chunk, and all paths that will be asked for: those into one JSON text are read together."""
        self.n_rows = len(chunk.rows)
        self._connection = connection
        self._raw: dict[str, pa.Array] = {}
        self._texts: dict[str, pa.StringArray] = {}
        self._coded: dict[str, Coded | None] = {}
        self._numbers: dict[str, tuple[Numbers, Flags]] = {}
        table = chunk.columns.combine_chunks()
        if chunk.is_json:
            self._raw = _read_json_paths(_as_array(table[JSON_COLUMN]), list(dict.fromkeys(paths)), connection)
            return
        into_text: dict[str, dict[str, tuple[str, ...]]] = {}
        for path in dict.fromkeys(paths):
            found = find_column(path, table.schema)
            if found is None:
                continue
            column, rest = _walk(_as_array(table[found[0]]), found[1])
            if rest:
                into_text.setdefault(".".join(path.split(".")[: -len(rest)]), {})[path] = rest
            self._raw[path if not rest else ".".join(path.split(".")[: -len(rest)])] = column
        for holder, wanted in into_text.items():
            self._raw |= _read_json_fields(read_texts(self._raw[holder]), wanted, connection)

    def present(self) -> frozenset[str]:
        """The paths that some row has."""
        return frozenset(path for path, column in self._raw.items() if column.null_count < len(column))

    def raw(self, path: str) -> pa.Array | None:
        """The column as it came; None when the chunk has no such path."""
        return self._raw.get(path)

    def texts(self, path: str) -> pa.StringArray:
        """The column as texts; blank is null."""
        if path not in self._texts:
            raw = self._raw.get(path)
            self._texts[path] = pa.nulls(self.n_rows, pa.string()) if raw is None else read_texts(raw)
        return self._texts[path]

    def coded(self, path: str) -> Coded | None:
        """The column as coded texts; None when the chunk has no such path."""
        if path not in self._coded:
            raw = self._raw.get(path)
            self._coded[path] = None if raw is None else read_coded(raw)
        return self._coded[path]

    def ids(self, path: str) -> Coded:
        """The column as coded ids."""
        raw = self._raw.get(path)
        return read_coded(pa.nulls(self.n_rows, pa.string()) if raw is None else raw, read_ids)

    def numbers(self, path: str) -> tuple[Numbers, Flags]:
        """The column as numbers (NaN is missing), and which are there but are no finite number."""
        if path not in self._numbers:
            raw = self._raw.get(path)
            self._numbers[path] = (
                (np.full(self.n_rows, np.nan), np.zeros(self.n_rows, bool))
                if raw is None
                else read_numbers(raw, self._connection)
            )
        return self._numbers[path]


def _as_array(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _walk(column: pa.Array, rest: tuple[str, ...]) -> tuple[pa.Array, tuple[str, ...]]:
    """Follows a path through structs and maps; what is left of it leads into JSON text."""
    while rest and not _is_text(column.type):
        if pa.types.is_map(column.type):
            column = pc.map_lookup(column, rest[0], "first")
        else:
            column = pc.struct_field(column, rest[0])
        rest = rest[1:]
    return column, rest


def _read_json_paths(rows: pa.Array, paths: list[str], connection: DuckDBPyConnection) -> dict[str, pa.Array]:
    """Paths into rows of JSON objects. Where a path leads nowhere, a key that holds the dots itself is taken."""
    dotted = [path for path in paths if "." in path]
    pointers = [_make_pointer(path.split(".")) for path in paths] + [_make_pointer([path]) for path in dotted]
    found = _extract(rows, pointers, connection)
    columns = dict(zip(paths, found, strict=False))
    for path, whole in zip(dotted, found[len(paths) :], strict=True):
        columns[path] = pc.coalesce(columns[path], whole)
    return columns


def _read_json_fields(
    texts: pa.StringArray, wanted: dict[str, tuple[str, ...]], connection: DuckDBPyConnection
) -> dict[str, pa.Array]:
    """Paths into a column that should hold JSON. Where the text is no JSON, they are missing."""
    valid = _as_array(run_query(connection, "SELECT CASE WHEN json_valid(a) THEN a END AS x FROM t", a=texts)["x"])
    return dict(
        zip(wanted, _extract(valid, [_make_pointer(rest) for rest in wanted.values()], connection), strict=True)
    )


def _make_pointer(parts: Iterable[str]) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def _extract(rows: pa.Array, pointers: list[str], connection: DuckDBPyConnection) -> list[pa.Array]:
    """A column of texts per pointer; null where the row is null or has no such thing."""
    if not pointers:
        return []
    query = "SELECT CASE WHEN a IS NULL THEN $2::VARCHAR[] ELSE json_extract_string(a, $1::VARCHAR[]) END AS x FROM t"
    lists = _as_array(run_query(connection, query, [pointers, [None] * len(pointers)], a=rows)["x"])
    at = np.arange(len(rows)) * len(pointers)
    flat = lists.flatten()
    return [flat.take(pa.array(at + i)) for i in range(len(pointers))]
