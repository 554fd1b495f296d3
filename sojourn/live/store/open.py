"""Opening the database of a store: which one, how it is set, who may write to it, and its errors in words."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc

from sojourn.errors import Problem, StoreBusy, StoreError, StoreFull, nearest
from sojourn.live.store.schema import check_version, migrate, read_version

IS_WRITING = "is_writing"
"""The execution option of a connection that writes: its transactions begin as such, so that none fails half-way.
With None, SQLite begins none."""

_SCHEMES = ("sqlite", "postgresql")
_LOCK = 0x50_6A  # with the schema's hash the number of the advisory lock
_BUSY_MS = 10_000
_WAL_PAGES = 4_000  # 16 MB, after which the log is copied into the file: four times the usual, a quarter of the waits
_WAL_LIMIT = 1 << 26  # bytes to which the write-ahead log shrinks again


def open_engine(url: str) -> tuple[sa.Engine, str]:
    """The engine for a database, not connected yet, and the database's name for people, without a password.

    Raises StoreError for other databases, and where the driver is missing.
    """
    try:
        parsed = sa.make_url(url)
    except exc.ArgumentError:
        what = "this is not the URL of a database, such as sqlite:///live/store.sqlite"
        raise StoreError(Problem(url.partition("@")[2] or url, what)) from None
    where = parsed.render_as_string(hide_password=True)
    scheme = parsed.drivername.partition("+")[0]
    if scheme in ("postgresql", "postgres"):
        return _open_postgresql(parsed, where), where
    if scheme != "sqlite":
        what = f"a store is kept in SQLite or PostgreSQL, not in '{scheme}'"
        raise StoreError(Problem(where, what, near=nearest(scheme, _SCHEMES)))
    if not parsed.database or parsed.database == ":memory:" or parsed.database.startswith("file:"):
        raise StoreError(Problem(where, "a store needs a file, such as sqlite:///live/store.sqlite"))
    engine = sa.create_engine(parsed.set(drivername="sqlite+pysqlite"))
    event.listen(engine, "connect", _set_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine, where


def _open_postgresql(url: sa.URL, where: str) -> sa.Engine:
    try:
        return sa.create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    except ModuleNotFoundError:
        what = "PostgreSQL needs a driver that is not installed"
        raise StoreError(Problem(where, what, command="pip install 'sojourn[postgresql]'")) from None


def _set_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver begins no transaction by itself
    for setting in (
        f"busy_timeout={_BUSY_MS}",
        "synchronous=FULL",
        "secure_delete=ON",  # what is erased is overwritten
        f"wal_autocheckpoint={_WAL_PAGES}",
        f"journal_size_limit={_WAL_LIMIT}",
    ):
        connection.execute(f"PRAGMA {setting}")


def _begin_sqlite(connection: sa.Connection) -> None:
    is_writing = connection.get_execution_options().get(IS_WRITING, False)
    if is_writing is not None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")


def run_pragma(engine: sa.Engine, pragma: str) -> Any:
    """The first value that a pragma of SQLite gives, run outside any transaction."""
    with engine.connect().execution_options(**{IS_WRITING: None}) as connection:
        return connection.exec_driver_sql(f"PRAGMA {pragma}").scalar()


def prepare_database(engine: sa.Engine, where: str, *, is_writer: bool) -> Callable[[], None]:
    """Make sure that the schema is there, and that nobody else writes if we do; returns what ends our writing.

    Raises StoreBusy when another process writes, StoreError for a schema that this program cannot use.
    """
    if not is_writer:
        _check_readable(engine, where)
        return lambda: None
    release = (_lock_file if engine.dialect.name == "sqlite" else _lock_session)(engine, where)
    try:
        with explain(where):
            if engine.dialect.name == "sqlite":
                _set_wal(engine, where)
            migrate(engine.execution_options(**{IS_WRITING: True}).begin, where)
    except BaseException:
        release()
        raise
    return release


def _check_readable(engine: sa.Engine, where: str) -> None:
    if engine.dialect.name == "sqlite" and not Path(str(engine.url.database)).is_file():
        check_version(0, where, may_be_old=False)
    with explain(where), engine.connect() as connection:
        check_version(read_version(connection), where, may_be_old=False)


def _set_wal(engine: sa.Engine, where: str) -> None:
    mode = run_pragma(engine, "journal_mode=WAL")
    if mode != "wal":
        what = f"SQLite cannot keep a write-ahead log here (its journal mode is '{mode}'); is this a network folder?"
        raise StoreError(Problem(where, what))


def _lock_file(engine: sa.Engine, where: str) -> Callable[[], None]:
    """Hold the lock of a file beside the database, which the system gives back when this process ends in any way."""
    path = Path(str(engine.url.database))
    try:
        path.parent.mkdir(exist_ok=True)
        lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(Problem(where, f"cannot write here: {error.strerror}")) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # personal data: for its owner only
    except BlockingIOError:
        pid = os.read(lock, 20).decode(errors="replace") or "?"
        os.close(lock)
        what = f"another process (pid {pid}) is writing to this store; stop it first"
        raise StoreBusy(Problem(where, what)) from None
    except OSError as error:
        os.close(lock)
        raise StoreError(Problem(where, f"cannot write here: {error.strerror}")) from None
    return lambda: os.close(lock)


def _lock_session(engine: sa.Engine, where: str) -> Callable[[], None]:
    """Hold an advisory lock of the database's schema on a connection of its own."""
    with explain(where):
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        is_ours = connection.execute(
            sa.select(sa.func.pg_try_advisory_lock(_LOCK, sa.func.hashtext(sa.func.current_schema())))
        ).scalar()
    if not is_ours:
        connection.close()
        raise StoreBusy(Problem(where, "another process is writing to this store; stop it first"))

    def release() -> None:
        connection.invalidate()  # closed, not kept for others: the lock is the session's
        connection.close()

    return release


@contextmanager
def explain(where: str) -> Iterator[None]:
    """Raises the errors of the database as StoreError, in words."""
    try:
        yield
    except exc.DBAPIError as error:
        raise _explain_error(error, where) from error


def _explain_error(error: exc.DBAPIError, where: str) -> StoreError:
    name = getattr(error.orig, "sqlite_errorname", None) or getattr(error.orig, "sqlstate", None) or ""
    said = str(error.orig).strip().partition("\n")[0]
    if name in ("SQLITE_FULL", "53100"):
        return StoreFull(Problem(where, f"there is no room left for the store ({said}); nothing was written"))
    if name.startswith("SQLITE_IOERR"):
        return StoreFull(Problem(where, f"the disk did not take or give the store's bytes ({said}, {name})"))
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        what = f"the store's file is damaged ({said}); put back a copy, or save what can be with sqlite3's .recover"
        return StoreError(Problem(where, what))
    if name.startswith("SQLITE_BUSY"):
        return StoreBusy(Problem(where, f"another process has kept the store to itself for {_BUSY_MS // 1000} s"))
    if error.connection_invalidated:
        return StoreError(Problem(where, f"the connection to the database was lost ({said})"))
    if isinstance(error, exc.OperationalError):
        return StoreError(Problem(where, f"the database cannot be used: {said}"))
    return StoreError(Problem(where, f"the database refused: {said}"))
