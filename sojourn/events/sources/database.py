"""Raw rows of databases and object stores, through DuckDB: ``duckdb:///shop.db?table=events``, ``s3://bucket/*.parquet``."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

import duckdb
import pyarrow as pa

from sojourn.errors import EventsError, Problem, nearest
from sojourn.events.sources.chunks import Chunk, Source
from sojourn.events.sources.files import open_stream
from sojourn.events.sources.tables import CHUNK_ROWS, open_table
from sojourn.frames import connect

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def open_database(url: str) -> Source:
    """The source of one table: ``duckdb:///file?table=t``, ``sqlite:///file?table=t``, ``postgresql://…?table=t``.

    Three slashes begin a relative path, four an absolute one. Raises EventsError when there is no such file or table,
    or DuckDB's extension is not installed. SQLite is then read by Python's own module, and a warning says so.
    """
    parts = urlsplit(url)
    options = parse_qs(parts.query)
    table = options.pop("table", [""])[-1]
    name = hide_password(url)
    if not table:
        raise EventsError(Problem(name, "names no table; add it to the URL as '?table=events'"))
    if parts.scheme.lower() in ("postgresql", "postgres"):
        query = "&".join(f"{key}={value}" for key, values in options.items() for value in values)
        return _open_postgres(urlunsplit(("postgresql", parts.netloc, parts.path, query, "")), table, name)
    path = unquote(parts.netloc + parts.path.removeprefix("/"))
    if not Path(path).is_file():
        raise EventsError(
            Problem(name, f"no such file: '{path}' (three slashes begin a relative path, four an absolute one)")
        )
    return _open_duckdb(path, table, name) if parts.scheme.lower() == "duckdb" else _open_sqlite(path, table, name)


def hide_password(url: str) -> str:
    """The URL without its password and its signature, as it may be shown.

    >>> hide_password("postgresql://me:secret@db/shop?table=events")
    'postgresql://me@db/shop?table=events'
    """
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    query = "&".join(
        part
        for part in parts.query.split("&")
        if not any(word in part.lower() for word in ("password", "signature", "token"))
    )
    return urlunsplit((parts.scheme, user.partition(":")[0] + at + host, parts.path, query, ""))


def _open_duckdb(path: str, table: str, name: str) -> Source:
    try:
        connection = connect(database=path)
    except duckdb.Error as error:
        raise EventsError(Problem(name, f"DuckDB cannot open it: {_first_line(error)}")) from None
    found = connection.execute(
        "SELECT table_schema, table_name FROM information_schema.tables WHERE table_catalog = current_database()"
    ).fetchall()
    # The words of the query are the catalog's own, never the URL's: the URL only chooses among them.
    chosen = [(s, t) for s, t in found if table in (t if s == "main" else f"{s}.{t}", f"{s}.{t}")]
    if not chosen:
        raise _no_table(name, table, [t if s == "main" else f"{s}.{t}" for s, t in found])
    query = f"FROM {quote_name(chosen[0][0])}.{quote_name(chosen[0][1])}"
    return _open_relation(connection, connection.sql(query), name, is_sorted=True)


def quote_name(name: str) -> str:
    """The name as an SQL identifier.

    >>> quote_name('a "b"')
    '"a ""b""\"'
    """
    return '"' + name.replace('"', '""') + '"'


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _no_table(name: str, table: str, known: Sequence[str]) -> EventsError:
    return EventsError(
        Problem(name, f"has no table '{table}', only {', '.join(sorted(known)) or 'none'}", nearest(table, known))
    )


def _open_relation(connection: DuckDBPyConnection, relation: Any, name: str, *, is_sorted: bool) -> Source:
    """The source of a relation. Rows without an order of their own are sorted by all columns, for equal results."""

    def refuse(error: Exception) -> EventsError:
        return EventsError(Problem(name, f"reading stopped: {_first_line(error)}"))

    try:
        schema = relation.limit(0).to_arrow_table().schema
    except duckdb.Error as error:
        raise refuse(error) from None
    names = schema.names

    def read(wanted: Sequence[str] | None) -> Iterator[Chunk]:
        chosen = [quote_name(c) for c in names if wanted is None or c in wanted] or [quote_name(names[0])]
        try:
            picked = relation.project(", ".join(chosen))
            if not is_sorted:
                picked = picked.order(", ".join(chosen))
            yield from open_table(picked.to_arrow_reader(CHUNK_ROWS), name).read(None)
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise refuse(error) from None
        finally:
            connection.close()

    return Source(name, schema, 0, read)


def _open_postgres(dsn: str, table: str, name: str) -> Source:
    connection = connect(database=":memory:")
    _need_extension(connection, "postgres", name)
    schema, _, plain = table.rpartition(".")
    try:
        relation = connection.table_function("postgres_scan", [dsn, schema or "public", plain])
    except duckdb.Error as error:
        raise EventsError(Problem(name, f"PostgreSQL: {_first_line(error).replace(dsn, name)}")) from None
    return _open_relation(connection, relation, name, is_sorted=False)


def _need_extension(connection: DuckDBPyConnection, extension: str, name: str) -> None:
    try:
        connection.load_extension(extension)
        return
    except duckdb.Error:
        pass
    try:
        connection.install_extension(extension)
        connection.load_extension(extension)
    except duckdb.Error as error:
        what = (
            f"needs DuckDB's extension '{extension}', which is not here and could not be fetched: {_first_line(error)}"
        )
        command = f"python -c \"import duckdb; duckdb.connect().install_extension('{extension}')\""
        raise EventsError(Problem(name, what, command=command)) from None


def _open_sqlite(path: str, table: str, name: str) -> Source:
    known = _list_sqlite_tables(path, name)
    if table not in known:
        raise _no_table(name, table, known)
    connection = connect(database=":memory:")
    try:
        connection.load_extension("sqlite")
    except duckdb.Error:
        return _read_sqlite_plainly(path, table, name)
    connection.execute("SET GLOBAL sqlite_all_varchar = true")  # a column may hold any type: text holds all of them
    return _open_relation(connection, connection.table_function("sqlite_scan", [path, table]), name, is_sorted=True)


def _list_sqlite_tables(path: str, name: str) -> list[str]:
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            rows = database.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')").fetchall()
    except sqlite3.Error as error:
        raise EventsError(Problem(name, f"SQLite cannot open it: {error}")) from None
    return [row[0] for row in rows]


def _read_sqlite_plainly(path: str, table: str, name: str) -> Source:
    """The source of an SQLite table by Python's own module, for want of DuckDB's extension; says so in its warnings."""
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    database.text_factory = bytes  # decoded below, so that broken text is one broken row
    rows = database.execute(f"SELECT * FROM {quote_name(table)}")  # noqa: S608  # a name from sqlite_master, quoted
    names = [column[0] for column in rows.description]
    schema = pa.schema([(column, pa.string()) for column in names])

    def batches() -> Iterator[pa.RecordBatch]:
        while piece := rows.fetchmany(50_000):
            columns = [pa.array([_to_bytes(v) for v in column], pa.binary()) for column in zip(*piece, strict=True)]
            # Seen as text without a check: the reader of tables finds what is no UTF-8.
            yield pa.RecordBatch.from_arrays([column.view(pa.string()) for column in columns], schema=schema)
        database.close()

    source = open_table(pa.RecordBatchReader.from_batches(schema, batches()), name)
    warning = f"{name}: DuckDB's extension 'sqlite' is not installed, so Python's slower module read this table"
    return Source(source.name, source.schema, 0, source.read, (warning,))


def _to_bytes(value: Any) -> bytes | None:
    return value if value is None or isinstance(value, bytes) else str(value).encode()


def open_remote(url: str) -> list[Source]:
    """The sources behind an object-store URL or pattern (``s3://``, ``gs://``) or a web address, in order of name.

    Parquet is scanned in place; anything else is fetched whole, one file at a time. Keys come from DuckDB's
    persistent secrets. Raises EventsError when httpfs is not installed or nothing answers.
    """
    connection = connect(database=":memory:")
    _need_extension(connection, "httpfs", hide_password(url))
    try:
        is_pattern = any(c in url for c in "*[") and not url.startswith("http")
        found = (
            connection.execute("SELECT file FROM glob($1) ORDER BY file", [url]).fetchall() if is_pattern else [(url,)]
        )
        if not found:
            raise EventsError(Problem(hide_password(url), "no object matches this pattern"))
        return [_open_object(file) for (file,) in found]
    except duckdb.Error as error:
        raise EventsError(Problem(hide_password(url), f"cannot be read: {_first_line(error)}")) from None


def _open_object(url: str) -> Source:
    connection = connect(database=":memory:")
    connection.load_extension("httpfs")
    name, file_name = hide_password(url), PurePosixPath(urlsplit(url).path).name
    if file_name.endswith((".parquet", ".pq")):
        return _open_relation(connection, connection.read_parquet(url), name, is_sorted=True)
    content = connection.execute("SELECT content, size FROM read_blob($1)", [url]).fetchall()
    connection.close()
    pieces = chain(row[0] for row in content)
    return open_stream(io.BytesIO(b"".join(pieces)), name, sum(row[1] for row in content), file_name)
