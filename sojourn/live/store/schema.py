"""The tables of a store and how they came to be: one migration per version of the schema."""

from __future__ import annotations

import functools
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from sojourn.errors import Problem, StoreError


class StoredText(sa.types.TypeDecorator[str]):
    """Text as both databases take it: no zero characters and no halves of surrogate pairs, which ids may hold."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """The text to be stored, or to be looked for."""
        return None if value is None else spell_text(value)


def spell_text(text: str) -> str:
    """Text as it is stored.

    >>> spell_text("a\\0b")
    'a�b'
    """
    if "\0" in text:
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def hash_text(text: str) -> int:
    """What stands for a text in an index, which takes no long ones: 64 bits of its BLAKE2b."""
    return int.from_bytes(blake2b(spell_text(text).encode(), digest_size=8).digest(), signed=True)


metadata = sa.MetaData()
_WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # a key of SQLite is the row number only as INTEGER


def _key(name: str) -> sa.Column[int]:
    return sa.Column(name, _WHOLE, primary_key=True, autoincrement=False)


def _whole(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, _WHOLE, nullable=nullable)


def _text(name: str, *, nullable: bool = False, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(name, StoredText, nullable=nullable, primary_key=primary_key)


def _blob(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, nullable=False)


def _record() -> list[sa.Column[Any]]:
    return [_whole("at"), _text("kind"), _whole("n"), _blob("checksum"), _blob("payload")]


schema_version = sa.Table("schema_version", metadata, _key("version"))

log = sa.Table("log", metadata, _key("position"), *_record())
log_aside = sa.Table(
    "log_aside", metadata, sa.Column("id", _WHOLE, primary_key=True), _whole("position"), *_record()
)  # a position can be set aside more than once

changes = sa.Table(
    "changes",
    metadata,
    _key("seq"),
    sa.Column("id", StoredText, nullable=False, unique=True),
    _text("kind"),
    _text("customer_id"),
    _whole("customer_hash"),
    _whole("at"),
    _text("name"),
    _text("before", nullable=True),
    _text("data"),
    _whole("position"),
    _whole("revoked_by", nullable=True),
)
sa.Index("changes_customer", changes.c.customer_hash, changes.c.at, changes.c.seq)
sa.Index("changes_kind", changes.c.kind, changes.c.at, changes.c.seq)
sa.Index("changes_name", changes.c.name)

profiles = sa.Table("profiles", metadata, _key("node"), _text("traits"), _text("consent"))

quarantine = sa.Table(
    "quarantine", metadata, _key("position"), _key("place"), _whole("at"), _text("rule"), _text("found"), _text("raw")
)

outbox = sa.Table(
    "outbox",
    metadata,
    _text("destination", primary_key=True),
    _key("seq"),
    _text("id"),
    _text("body"),
    _text("status"),
    _whole("attempts"),
    _whole("next_at"),
    _whole("last_status", nullable=True),
    _text("last_error", nullable=True),
    _whole("updated_at", nullable=True),
)
sa.Index("outbox_due", outbox.c.destination, outbox.c.status, outbox.c.next_at, outbox.c.seq)

keys = sa.Table(
    "keys",
    metadata,
    _text("id", primary_key=True),
    _text("name"),
    _text("scopes"),
    _blob("salt"),
    _blob("hash"),
    _whole("created_at"),
    _whole("revoked_at", nullable=True),
    _whole("last_used_at", nullable=True),
)

versions = sa.Table(
    "versions", metadata, _key("version"), _whole("created_at"), _text("playbook"), _text("model"), _text("note")
)

meta = sa.Table("meta", metadata, _text("name", primary_key=True), _text("value"))


def _make_tables(connection: sa.Connection) -> None:
    # The first change of a table must give this migration its own, older tables.
    metadata.create_all(connection, checkfirst=False)


Migration = Callable[[sa.Connection], None]
MIGRATIONS: tuple[Migration, ...] = (_make_tables,)
"""Migration k (from 1) leads from version k − 1 of the schema to version k."""


def read_version(connection: sa.Connection) -> int:
    """The version of the database's schema; 0 where there is none."""
    if not sa.inspect(connection).has_table(schema_version.name):
        return 0
    return connection.execute(sa.select(sa.func.max(schema_version.c.version))).scalar() or 0


def migrate(begin: Callable[[], Any], where: str) -> None:
    """Bring a database to the newest schema. ``begin`` opens a transaction; each migration is one.

    Raises StoreError when the database is newer than this program.
    """
    with begin() as connection:
        found = read_version(connection)
    check_version(found, where, may_be_old=True)
    for version in range(found + 1, len(MIGRATIONS) + 1):
        with begin() as connection:
            MIGRATIONS[version - 1](connection)
            connection.execute(sa.insert(schema_version).values(version=version))


def check_version(found: int, where: str, *, may_be_old: bool) -> None:
    """Raises StoreError when this program cannot use a schema of the version found."""
    newest = len(MIGRATIONS)
    if found > newest:
        what = f"the store has schema version {found}, and this Sojourn knows versions up to {newest}"
        raise StoreError(Problem(where, what, command="pip install --upgrade sojourn"))
    if may_be_old or found == newest:
        return
    if found == 0:
        raise StoreError(Problem(where, "there is no store here yet", command="sojourn serve --project DIR"))
    what = f"the store has schema version {found} and needs {newest}; the next start of the server brings it there"
    raise StoreError(Problem(where, what, command="sojourn serve --project DIR"))


def insert_new(connection: sa.Connection, table: sa.Table) -> Any:
    """An insert that leaves rows as they are whose key is there already."""
    return _make_insert(connection.dialect.name, table, is_update=False)


def insert_or_update(connection: sa.Connection, table: sa.Table) -> Any:
    """An insert that replaces rows whose primary key is there already."""
    return _make_insert(connection.dialect.name, table, is_update=True)


@functools.cache
def _make_insert(dialect: str, table: sa.Table, *, is_update: bool) -> Any:
    statement = (sqlite if dialect == "sqlite" else postgresql).insert(table)
    if not is_update:
        return statement.on_conflict_do_nothing()
    rest = {column.name: statement.excluded[column.name] for column in table.columns if not column.primary_key}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=rest)
