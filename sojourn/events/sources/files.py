"""Raw rows of streams of bytes: CSV, TSV, JSON lines and Parquet, packed or not, recognised by their first bytes."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from sojourn.errors import EventsError, Problem
from sojourn.events.sources.chunks import JSON_COLUMN, NO_COLUMNS, Broken, Chunk, Source
from sojourn.events.sources.tables import open_parquet
from sojourn.events.sources.text import (
    BrokenStreamError,
    Page,
    count_read,
    find_delimiter,
    parse_fields,
    read_blocks,
    read_csv_records,
    read_header,
    read_lines,
)
from sojourn.frames import connect, run_query

_MAGIC = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"))
_BOM = b"\xef\xbb\xbf"
_SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".jsonl": "json", ".ndjson": "json", ".json": "json"}
_PACKED = (".gz", ".gzip", ".zst", ".zstd")
_LONGEST_HEADER = 1 << 20


class _Told:
    """Bytes read from a stream so far."""

    def __init__(self) -> None:
        self.n = 0

    def tell(self, n: int) -> None:
        self.n = n


def open_stream(stream: BinaryIO, name: str, size: int, file_name: str) -> Source:
    """The source of a stream of bytes; ``size`` in bytes, 0 when not known.

    gzip, zstd and Parquet are known by their first bytes. Otherwise the ending of ``file_name`` says what it is, and
    without one the first character: JSON lines begin with a brace. Raises EventsError when no row can be read at all.

    >>> import io
    >>> source = open_stream(io.BytesIO(b"user,event\\nu1,view\\n"), "-", 0, "")
    >>> source.columns, next(source.read(None)).columns.to_pylist()
    (('user', 'event'), [{'user': 'u1', 'event': 'view'}])
    """
    told = _Told()
    raw = count_read(stream, told.tell)
    head = raw.peek(8)[:8]
    compression = next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)
    if compression is None and head.startswith(b"PAR1"):
        if stream.seekable():
            stream.seek(0)
            return open_parquet(stream, name, size)
        return open_parquet(pa.BufferReader(raw.read()), name, size)
    first, rest = _peek(read_blocks(raw, compression))
    if first.startswith(b"PAR1"):
        return _unpack_parquet(first, rest, name, size)
    if first.startswith((b"\xff\xfe", b"\xfe\xff")):
        command = f"iconv -f UTF-16 -t UTF-8 '{name}'"
        raise EventsError(Problem(name, "is UTF-16 text; only UTF-8 is read", command=command))
    first = first.removeprefix(_BOM)
    blocks = chain([first], rest) if first else rest
    kind = _guess_format(file_name, first)
    if kind == "json":
        return Source(name, None, size, lambda wanted: _read_json(read_lines(blocks), told))
    return _open_csv(blocks, kind, name, size, told)


def _unpack_parquet(first: bytes, rest: Iterator[bytes], name: str, size: int) -> Source:
    pieces = [first]
    try:
        pieces += rest
    except BrokenStreamError:
        pieces.append(b"")  # the footer is missing, which open_parquet reports
    return open_parquet(pa.BufferReader(b"".join(pieces)), name, size)


def _peek(blocks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes (at least eight, where there are so many), and the blocks after them."""
    first = b""
    try:
        while len(first) < 8 and (block := next(blocks, b"")):
            first += block
    except BrokenStreamError as error:
        return first, _fail(error)
    return first, blocks


def _fail(error: Exception) -> Iterator[bytes]:
    yield from ()
    raise error


def _guess_format(file_name: str, first: bytes) -> str:
    """ "csv", "tsv" or "json": by the file's ending, else by the first byte that is no white space."""
    suffixes = [s.lower() for s in Path(file_name).suffixes if s.lower() not in _PACKED]
    if suffixes and suffixes[-1] in _SUFFIXES:
        return _SUFFIXES[suffixes[-1]]
    return "json" if first.lstrip()[:1] in (b"{", b"[") else "csv"


def _open_csv(blocks: Iterator[bytes], kind: str, name: str, size: int, told: _Told) -> Source:
    header, line, rest = _read_header_line(blocks)
    if header is None:
        return Source(name, NO_COLUMNS, size, lambda wanted: _read_rest(rest, told))
    where = f"{name}:{line - 1}"
    try:
        text = header.decode("utf-8").rstrip("\r")
        delimiter = "\t" if kind == "tsv" else find_delimiter(text)
        names = read_header(text, delimiter)
    except UnicodeDecodeError:
        raise EventsError(Problem(where, "the header is no UTF-8 text, so no column has a name")) from None
    except csv.Error as error:
        raise EventsError(Problem(where, f"the header cannot be read: {error}")) from None
    pages = read_csv_records(rest, delimiter, first_line=line)
    schema = pa.schema([(column, pa.string()) for column in names])
    return Source(name, schema, size, lambda wanted: _read_csv(pages, delimiter, names, wanted, told))


def _read_header_line(blocks: Iterator[bytes]) -> tuple[bytes | None, int, Iterator[bytes]]:
    """The first line that is not blank (None: there is none), the number of the next line, and the bytes after it."""
    seen, line = b"", 1
    while True:
        at = seen.find(b"\n")
        if at >= 0:
            text, seen, line = seen[:at], seen[at + 1 :], line + 1
            if text.strip():
                return text, line, chain([seen], blocks) if seen else blocks
            continue
        try:
            block = next(blocks, b"") if len(seen) < _LONGEST_HEADER else b""
        except BrokenStreamError as error:
            return None, line, chain([seen], _fail(error)) if seen else _fail(error)
        if not block:
            return (seen, line + 1, blocks) if seen.strip() else (None, line, iter(()))
        seen += block


def _read_rest(rest: Iterator[bytes], told: _Told) -> Iterator[Chunk]:
    """Chunks of what is broken, where there is no header."""
    for page in read_lines(rest):
        yield _make_chunk(page, pa.table({}), told)


def _make_chunk(page: Page, columns: pa.Table, told: _Told) -> Chunk:
    return Chunk(columns, page.rows, page.lines, page.broken, told.n, page.show)


def _read_csv(
    pages: Iterator[Page], delimiter: str, names: list[str], wanted: Sequence[str] | None, told: _Told
) -> Iterator[Chunk]:
    # Where no column is wanted rows still count: the first one carries them.
    chosen = [name for name in names if wanted is None or name in wanted] or names[:1]
    for page in pages:
        columns, kept = parse_fields(page, delimiter, names, chosen)
        yield _make_chunk(kept, columns, told)


def _read_json(pages: Iterator[Page], told: _Told) -> Iterator[Chunk]:
    connection = connect()
    for page in pages:
        texts = _make_texts(page)
        kinds = run_query(connection, "SELECT CASE WHEN json_valid(a) THEN json_type(a) END AS kind FROM t", a=texts)
        is_object = kinds["kind"].to_numpy() == "OBJECT"
        if not is_object.all():
            page = _drop_bad_json(page, is_object)
            texts = texts.filter(pa.array(is_object))
        yield replace(_make_chunk(page, pa.table({JSON_COLUMN: texts}), told), is_json=True)


def _drop_bad_json(page: Page, is_object: np.ndarray) -> Page:
    bad = np.flatnonzero(~is_object)
    broken = [
        Broken(
            int(page.rows[i]), int(page.lines[i]), "json", explain_json(page.data[page.starts[i] : page.ends[i]]), raw
        )
        for i, raw in zip(bad, page.show(bad), strict=True)
    ]
    return page.select(is_object, broken)


def _make_texts(page: Page) -> pa.StringArray:
    """Each record's text. Where nothing lies between records it is a view of the page, with the line ends."""
    if page.broken or not page.rows.size:
        pairs = zip(page.starts.tolist(), page.ends.tolist(), strict=True)
        return pa.array([page.data[a:b] for a, b in pairs], pa.binary()).cast(pa.string())
    offsets = np.append(page.starts, len(page.data)).astype(np.int32)
    return pa.StringArray.from_buffers(page.rows.size, pa.py_buffer(offsets), pa.py_buffer(page.data))


_KINDS = {list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}


def explain_json(text: bytes) -> str:
    """What to say of a text that should be a JSON object and is none."""
    try:
        value = json.loads(text)
    except RecursionError:
        return "JSON that nests too deep"
    except ValueError as error:
        return f"no JSON: {error}"
    return "no JSON" if isinstance(value, dict) else f"{_KINDS.get(type(value), 'null')} where an object is needed"
