"""Rows of any event source as tracking calls in Segment's format, in order of time, ready to send.

What batch reading makes of a row, the live engine makes of its call: the same customer, event, instant and values.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from sojourn.errors import EventsError, Problem
from sojourn.events import (
    GOOD,
    Columns,
    Places,
    check_places,
    list_event_paths,
    looks_like_segment,
    open_connection,
    place_source,
    read_texts,
    read_times,
)
from sojourn.events.sources import JSON_COLUMN, Chunk, Integers, open_sources
from sojourn.playbook import Playbook, load_playbook
from sojourn.playbook import objects as words

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Progress = Callable[[int, int], None]
Row = dict[str, Any]

NO_NAME = "row"
"""The event name of rows of a playbook that tells event classes by their values alone."""

_CLOCKS = ("timestamp", "originalTimestamp", "sentAt", "receivedAt")
_OBJECTS = ("properties", "traits", "context", "integrations")
_MAX_WHOLE = 2.0**53
_TOLD = 5


@dataclass(frozen=True)
class Calls:
    """Calls in order of time: instants in microseconds since 1970, identifiers, and JSON objects that lack these two.

    ``n_read`` counts all rows. ``n_unusable`` of them are broken or have no instant; the first few are told in
    ``problems``.
    """

    at: Integers
    id: pa.LargeStringArray
    body: pa.LargeBinaryArray
    n_read: int
    n_unusable: int
    problems: tuple[Problem, ...]

    def __len__(self) -> int:
        return len(self.at)

    def write(self, start: int, end: int, *, shift_us: int = 0) -> list[bytes]:
        """The calls from ``start`` to before ``end``, whole. A shift moves their instants and makes their ids new.

        >>> calls = Calls(np.array([0]), pa.array(["r1"], pa.large_string()), pa.array([b"{}"]), 1, 0, ())
        >>> calls.write(0, 1)
        [b'{"timestamp":"1970-01-01T00:00:00.000000Z","messageId":"r1"}']
        """
        stamps = np.datetime_as_string((self.at[start:end] + shift_us).astype("datetime64[us]")).tolist()
        ids = self.id.slice(start, end - start).to_pylist()
        if shift_us:
            ids = [_hash_text(f"{shift_us} {one}") for one in ids]
        bodies = self.body.slice(start, end - start).to_pylist()
        return [_finish(*one) for one in zip(bodies, stamps, ids, strict=True)]


def _finish(body: bytes, stamp: str, id: str) -> bytes:
    comma = b"" if body == b"{}" else b","
    return body[:-1] + comma + f'"timestamp":"{stamp}Z","messageId":{json.dumps(id)}}}'.encode()


def read_calls(events: Any, playbook: Playbook | None, *, progress: Progress | None = None) -> Calls:
    """The rows of a path, pattern, URL, ``-``, Arrow table, or a list of these, as tracking calls in order of time.

    ``playbook`` says which column is what. Without one, rows must be in Segment's format; such rows stay as they are,
    but for their clocks. Raises EventsError for what cannot be read at all.

    >>> from sojourn.playbook.load import load_playbook
    >>> rows = pa.table({"user_id": ["u1"], "timestamp": ["2024-05-01"], "event": ["Product Viewed"], "price": [9.0]})
    >>> read_calls(rows, load_playbook("shop")).body[0].as_py()
    b'{"type":"track","userId":"u1","event":"Product Viewed","properties":{"price":9}}'
    """
    book = playbook or load_playbook("saas")  # of which only the source counts: Segment's format as it stands
    sources = open_sources(events, stdin=lambda: sys.stdin.buffer)
    connection = open_connection(book, 2)
    names = Counter[str]()
    pieces: list[_Piece] = []
    total, done = sum(max(1, source.size) for source in sources), 0
    for source in sources:
        base = source.name.replace("\\", "/").rpartition("/")[2]
        names[base] += 1
        setting = None
        for chunk in source.read(None):
            if setting is None and (len(chunk.rows) or source.columns):
                keys = source.columns or _list_keys(chunk)
                places = _place(source.name, keys, playbook)
                if source.schema is not None:
                    check_places([(source, places)], book, has_json=True)
                setting = _Setting(places, f"{base}#{names[base]}", book, connection)
            pieces.append(_read_chunk(chunk, setting, source.name))
            if progress:
                progress(min(done + chunk.done, total), total)
        done += max(1, source.size)
    calls = _order_pieces(pieces)
    if not calls.n_read:
        raise EventsError(Problem(", ".join(s.name for s in sources), "no rows: there is nothing to read"))
    return calls


def _place(source: str, keys: Sequence[str], playbook: Playbook | None) -> Places:
    if playbook is not None:
        return place_source(playbook.source, is_segment=looks_like_segment(keys, playbook.source))
    if not looks_like_segment(keys, words.Source()):
        what = "rows are not in Segment's format; say with --playbook which column is what"
        raise EventsError(Problem(source, what, command="sojourn replay --help"))
    return place_source(words.Source(), is_segment=True)


def _list_keys(chunk: Chunk) -> list[str]:
    rows = (_parse_object(text) or {} for text in chunk.columns[JSON_COLUMN].slice(0, 200).to_pylist())
    return list(dict.fromkeys(key for row in rows for key in row))


@dataclass(frozen=True)
class _Setting:
    """What turning the rows of one source into calls needs. ``name`` is the same wherever the file lies."""

    places: Places
    name: str
    playbook: Playbook
    connection: DuckDBPyConnection


@dataclass(frozen=True)
class _Piece:
    """The calls of one chunk, in the order of its rows."""

    at: Integers
    id: pa.LargeStringArray
    body: pa.LargeBinaryArray
    n_read: int
    problems: tuple[Problem, ...]


def _read_chunk(chunk: Chunk, setting: _Setting | None, source: str) -> _Piece:
    problems = [Problem(f"{source}:{b.line}", b.found) for b in chunk.broken]
    if setting is None or not len(chunk.rows):
        none = pa.array([], pa.large_string())
        return _Piece(np.zeros(0, np.int64), none, none.cast(pa.large_binary()), chunk.n_read, tuple(problems))
    places, form = setting.places, setting.playbook.source.time_format
    columns = Columns(chunk, [*places.paths(setting.playbook)], setting.connection)
    stamps, state = read_times(columns, places.time, form, setting.connection)
    rows = _list_rows(chunk, setting)
    calls = _make_segment_calls(rows) if places.type else _make_track_calls(rows, columns, setting)
    bodies = [_write_json(call) for call in calls]
    ids = _name_calls(bodies, stamps, chunk.rows, columns, setting)
    is_good = np.array([row is not None for row in rows], bool) & (state == GOOD)
    for i in np.flatnonzero(~is_good).tolist():
        what = "has no time that can be read" if rows[i] is not None else "no JSON object that can be read"
        problems.append(Problem(f"{source}:{chunk.lines[i]}", what))
    keep = pa.array(is_good)
    body = pa.array(bodies, pa.large_binary()).filter(keep)
    return _Piece(stamps[is_good], pa.array(ids, pa.large_string()).filter(keep), body, chunk.n_read, tuple(problems))


def _order_pieces(pieces: Sequence[_Piece]) -> Calls:
    """All calls by instant; those of one instant stay in the order of their rows."""
    at = np.concatenate([piece.at for piece in pieces]) if pieces else np.zeros(0, np.int64)
    order = pa.array(np.argsort(at, kind="stable"))
    ids = pa.chunked_array([piece.id for piece in pieces], pa.large_string()).combine_chunks()
    bodies = pa.chunked_array([piece.body for piece in pieces], pa.large_binary()).combine_chunks()
    problems = [problem for piece in pieces for problem in piece.problems]
    n_read = sum(piece.n_read for piece in pieces)
    return Calls(
        at[order.to_numpy()], ids.take(order), bodies.take(order), n_read, len(problems), tuple(problems[:_TOLD])
    )


def _list_rows(chunk: Chunk, setting: _Setting) -> list[Row | None]:
    """Each row as a dict without what is missing; None where it is no JSON object."""
    if chunk.is_json:
        return [_parse_object(text) for text in chunk.columns[JSON_COLUMN].to_pylist()]
    holders = _OBJECTS if setting.places.type else _find_json_columns(setting)
    columns = [_list_values(chunk.columns[name].combine_chunks()) for name in chunk.columns.column_names]
    for i, name in enumerate(chunk.columns.column_names):
        if name in holders:
            columns[i] = [_open_json(value) for value in columns[i]]
    names = chunk.columns.column_names
    pairs = (zip(names, values, strict=True) for values in zip(*columns, strict=True))
    return [{name: value for name, value in row if value is not None} for row in pairs]


def _find_json_columns(setting: _Setting) -> set[str]:
    """Columns into which some path of the playbook leads: where they hold JSON text, they become objects."""
    paths = setting.places.paths(setting.playbook)
    return {".".join(parts[:n]) for path in paths for parts in [path.split(".")] for n in range(1, len(parts))}


def _parse_object(text: str) -> Row | None:
    try:
        value = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _open_json(value: Any) -> Any:
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
        return value
    try:
        return json.loads(value, parse_constant=str)
    except (ValueError, RecursionError):
        return value


def _list_values(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """Values as JSON can hold them, None where missing: blank texts and NaN too. Whole floats are integers."""
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary.take(column.indices)
    kind = column.type
    if pa.types.is_nested(kind) or pa.types.is_floating(kind):
        return [_plain(value) for value in column.to_pylist()]
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return list(column.to_pylist())
    return list(read_texts(column).to_pylist())


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if math.isinf(value):  # no JSON number; read as a bad one, as from a file
            return str(value)
        return int(value) if value.is_integer() and abs(value) < _MAX_WHOLE else value
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def _make_segment_calls(rows: Sequence[Row | None]) -> Iterator[Row]:
    """Rows in Segment's format as they are. Their clocks are not the sender's: the instant alone counts."""
    for row in rows:
        yield {key: value for key, value in (row or {}).items() if key not in (*_CLOCKS, "messageId")}


def _make_track_calls(rows: Sequence[Row | None], columns: Columns, setting: _Setting) -> Iterator[Row]:
    places = setting.places
    ids = [columns.ids(path).array().to_pylist() for path in places.customer[:2]]
    names = columns.texts(places.event).to_pylist() if places.event else [NO_NAME] * columns.n_rows
    told = {*places.customer[:2], *places.time, places.event, places.id if places.duplicates == "id" else None}
    told -= {path for path, _, _ in list_event_paths(setting.playbook)}
    told -= {places.session, places.channel, places.label, places.label_p}  # one column may serve two ends
    for i, row in enumerate(rows):
        call = {"type": "track", "userId": ids[0][i], "anonymousId": ids[1][i] if len(ids) > 1 else None}
        call["event"] = names[i]
        kept = {key: value for key, value in (row or {}).items() if key not in told}
        yield {key: value for key, value in call.items() if value is not None} | {"properties": kept}


def _write_json(value: Row) -> bytes:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:  # an infinity, as 1e999 is
        return _write_json(_plain(value))
    try:
        return text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which only an escape can write
        return json.dumps(value, separators=(",", ":")).encode()


def _name_calls(
    bodies: Sequence[bytes], stamps: Integers, rows: Integers, columns: Columns, setting: _Setting
) -> list[str]:
    """What tells a call from every other, and is the same when the same row is sent again.

    Where the playbook keeps rows that look alike, an id of the row's own might be shared: the row's place counts then.
    """
    places = setting.places
    own: list[str | None] = [None] * len(bodies)
    if places.id and places.duplicates == "id":
        own = columns.texts(places.id).to_pylist()
    is_content = places.duplicates == "content"
    return [
        id or _hash_text("" if is_content else f"{setting.name} {row}", body, str(stamp).encode())
        for id, row, body, stamp in zip(own, rows.tolist(), bodies, stamps.tolist(), strict=True)
    ]


def _hash_text(text: str, *more: bytes) -> str:
    digest = blake2b(digest_size=16, person=b"sojourn replay")
    for part in (text.encode(), *more):
        digest.update(part + b"\0")
    return f"row-{digest.hexdigest()}"
