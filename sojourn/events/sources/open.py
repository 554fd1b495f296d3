"""Raw rows of files, tables, databases, URLs and standard input, each with its source and line; nothing is interpreted.

Text formats give text columns. Whatever the bytes are, every row is in a chunk's columns or among its broken rows.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from sojourn.errors import EventsError, Problem, nearest
from sojourn.events.sources.chunks import Chunk, Source
from sojourn.events.sources.files import open_stream
from sojourn.events.sources.tables import open_table

REMOTE = ("s3", "gs", "gcs", "r2", "http", "https")
"""Schemes of object stores and web servers, read through DuckDB's httpfs."""
DATABASES = ("duckdb", "sqlite", "postgresql", "postgres")
"""Schemes of databases."""


def open_sources(events: Any, *, stdin: Callable[[], BinaryIO] | None = None) -> tuple[Source, ...]:
    """The sources of a path, pattern, URL, ``-``, Arrow table, or a list of these; a pattern's files in order of name.

    Any object with the Arrow PyCapsule stream interface is a table. ``stdin`` gives the stream of ``-``.
    Raises EventsError with every input that cannot be opened.

    >>> import pyarrow as pa
    >>> [source] = open_sources(pa.table({"user": ["u1", "u2"]}))
    >>> source.name, [chunk.n_read for chunk in source.read(None)]
    ('table', [2])
    """
    inputs = list(events) if isinstance(events, (list, tuple)) else [events]
    n_tables = sum(hasattr(one, "__arrow_c_stream__") for one in inputs)
    sources: list[Source] = []
    problems: list[Problem] = []
    for i, one in enumerate(inputs):
        try:
            if hasattr(one, "__arrow_c_stream__"):
                sources.append(open_table(one, "table" if n_tables == 1 else f"table {i + 1}"))
            elif isinstance(one, (str, Path)):
                sources += _open_named(str(one), stdin)
            else:
                what = f"cannot read events from {type(one).__name__}; give a path, a URL or an Arrow table"
                raise EventsError(Problem("", what))
        except EventsError as error:
            problems += error.problems
    if problems:
        raise EventsError(*problems)
    if not sources:
        raise EventsError("there is nothing to read: the list of events is empty")
    return tuple(sources)


def _open_named(name: str, stdin: Callable[[], BinaryIO] | None) -> list[Source]:
    if name == "-":
        if stdin is None:
            raise EventsError(Problem("-", "standard input is not available here; give a path"))
        return [open_stream(stdin(), "-", 0, "")]
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", name)
    if scheme is None:
        return [_open_file(path) for path in _find_files(name)]

    from sojourn.events.sources.database import open_database, open_remote  # DuckDB: only where there is a URL

    kind = scheme[1].lower()
    if kind in DATABASES:
        return [open_database(name)]
    if kind in REMOTE:
        return open_remote(name)
    known = (*REMOTE, *DATABASES)
    raise EventsError(Problem(name, f"'{kind}://' is not supported, only {', '.join(known)}", nearest(kind, known)))


def _find_files(name: str) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        raise EventsError(Problem(name, f"is a folder; name its files, for example as '{path}/*.parquet'"))
    if path.exists():
        return [path]
    if glob.has_magic(name):
        files = [path for path in sorted(Path(p) for p in glob.glob(name, recursive=True)) if path.is_file()]
        if not files:
            raise EventsError(Problem(name, "no file matches this pattern"))
        return files
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = nearest(path.name, beside)
    raise EventsError(Problem(name, "no such file", str(path.parent / near) if near else None))


def _open_file(path: Path) -> Source:
    """The source of a file, which is open only while it is looked at, so that a pattern may match thousands."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            source = open_stream(stream, str(path), size, path.name)
    except OSError as error:
        raise EventsError(Problem(str(path), f"cannot be read: {error.strerror or error}")) from None

    def read(wanted: Sequence[str] | None) -> Iterator[Chunk]:
        with path.open("rb") as stream:
            yield from open_stream(stream, str(path), size, path.name).read(wanted)

    return replace(source, read=read)
