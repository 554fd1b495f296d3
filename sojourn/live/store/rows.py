"""Keys, versions of playbook and model, and single values by name. The functions work inside a transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from sojourn.live.store.schema import insert_or_update, keys, meta, versions

write_json = json.JSONEncoder(separators=(",", ":")).encode
"""JSON without spaces, in ASCII."""


@dataclass(frozen=True, slots=True)
class Key:
    """An access key as it is stored: never its text, only what can tell it. Instants in microseconds."""

    id: str
    name: str
    scopes: tuple[str, ...]
    salt: bytes
    hash: bytes
    created_at: int
    revoked_at: int | None = None
    last_used_at: int | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """A playbook and the model that was fitted for it, under a number that never changes."""

    version: int
    created_at: int
    playbook: str
    model: Mapping[str, Any]
    note: str


def add_key(connection: sa.Connection, key: Key) -> None:
    """Store a key."""
    columns = {column.name: getattr(key, column.name) for column in keys.columns}
    connection.execute(sa.insert(keys).values(columns | {"scopes": " ".join(key.scopes)}))


def read_keys(connection: sa.Connection, is_all: bool) -> list[Key]:
    """Keys in order of making; without ``is_all`` only those that are not revoked."""
    chosen = sa.select(keys).order_by(keys.c.created_at, keys.c.id)
    if not is_all:
        chosen = chosen.where(keys.c.revoked_at.is_(None))
    rows = connection.execute(chosen).mappings()
    return [Key(**{**row, "scopes": tuple(row["scopes"].split()), "id": row["id"]}) for row in rows]


def revoke_key(connection: sa.Connection, id: str, at: int) -> bool:
    """Revoke a key; False where there is none, or it is revoked already."""
    change = sa.update(keys).where(keys.c.id == id, keys.c.revoked_at.is_(None)).values(revoked_at=at)
    return connection.execute(change).rowcount > 0


def use_keys(connection: sa.Connection, used: Mapping[str, int]) -> None:
    """Note when keys were last used."""
    change = sa.update(keys).where(keys.c.id == sa.bindparam("of")).values(last_used_at=sa.bindparam("used_at"))
    if used:
        connection.execute(change, [{"of": id, "used_at": at} for id, at in used.items()])


def add_version(connection: sa.Connection, created_at: int, playbook: str, model: Mapping[str, Any], note: str) -> int:
    """Store a version; returns its number, one above the last."""
    version = (connection.execute(sa.select(sa.func.max(versions.c.version))).scalar() or 0) + 1
    values = {"version": version, "created_at": created_at, "playbook": playbook, "note": note}
    connection.execute(sa.insert(versions).values(values | {"model": write_json(model)}))
    return version


def read_versions(connection: sa.Connection, version: int | None = None) -> list[Version]:
    """All versions in order, or the one with a number."""
    chosen = sa.select(versions).order_by(versions.c.version)
    if version is not None:
        chosen = chosen.where(versions.c.version == version)
    rows = connection.execute(chosen)
    return [Version(row.version, row.created_at, row.playbook, json.loads(row.model), row.note) for row in rows]


def read_meta(connection: sa.Connection, name: str, default: Any = None) -> Any:
    """A value by name."""
    found = connection.execute(sa.select(meta.c.value).where(meta.c.name == name)).scalar()
    return default if found is None else json.loads(found)


def write_meta(connection: sa.Connection, name: str, value: Any) -> None:
    """Keep a value under a name."""
    connection.execute(insert_or_update(connection, meta), [{"name": name, "value": write_json(value)}])


def split_long(values: Sequence[Any], most: int = 500) -> list[Sequence[Any]]:
    """The values in runs that one statement takes."""
    return [values[at : at + most] for at in range(0, len(values), most)]
