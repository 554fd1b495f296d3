"""DuckDB connections with everything that matters set: threads, memory, order, zone, no extension by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def connect(*, n_threads: int = 2, timezone: str = "UTC", database: str = ":memory:") -> DuckDBPyConnection:
    """A connection that keeps the order of rows; a database file is opened for reading only.

    Raises ValueError when DuckDB does not know the time zone.

    >>> connect(timezone="Mars/Phobos")
    Traceback (most recent call last):
    ValueError: no time zone 'Mars/Phobos'
    """
    import duckdb

    config: dict[str, Any] = {
        "threads": n_threads,
        "memory_limit": "1GB",
        "preserve_insertion_order": True,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    connection = duckdb.connect(database, read_only=database != ":memory:", config=config)
    zones = connection.execute("SELECT 1 FROM pg_timezone_names() WHERE name = $1", [timezone]).fetchall()
    if not zones:
        raise ValueError(f"no time zone '{timezone}'")
    connection.execute("SET TimeZone = $1", [timezone])
    return connection


def run_query(
    connection: DuckDBPyConnection, query: str, values: Sequence[Any] = (), **columns: pa.Array | pa.ChunkedArray
) -> pa.Table:
    """The result of a query over the table ``t`` that has these columns; rows keep their order.

    What people wrote never stands in the query: it comes as a column, or as one of ``values`` for ``$1``, ``$2``…

    >>> import pyarrow as pa
    >>> run_query(connect(), "SELECT a + 1 AS b FROM t", a=pa.array([1, 2])).to_pydict()
    {'b': [2, 3]}
    """
    connection.register("t", pa.table(columns))
    try:
        return (
            connection.sql(query, params=list(values)).to_arrow_table()
            if values
            else connection.sql(query).to_arrow_table()
        )
    finally:
        connection.unregister("t")
