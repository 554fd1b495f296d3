"""Events in: raw rows of any source become checked, classed, deduplicated events in order of time.

Every row read ends as accepted, duplicate or quarantined, and the three add up to the rows read. What becomes of
which row is decided in ``docs/reference/events.md``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from sojourn.errors import EventsError, Problem
from sojourn.events.columns import find_column
from sojourn.events.identity import Links
from sojourn.events.log import LogBuilder
from sojourn.events.mapping import (
    Places,
    check_places,
    list_needed,
    list_optional,
    looks_like_segment,
    missing_column,
    place_source,
)
from sojourn.events.quarantine import quarantine_broken
from sojourn.events.rows import TOLERANCE, Reading, read_rows
from sojourn.events.sources import JSON_COLUMN, Chunk, Source, open_sources
from sojourn.events.values import read_instants
from sojourn.frames import connect
from sojourn.playbook import Playbook

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Progress = Callable[[int, int], None]

_SAMPLE_ROWS = 200


@dataclass(frozen=True)
class EventLog:
    """Accepted events in order of ``(event_at, seq)``, the quarantine, and how the rows read divide.

    ``by_class`` tells rows, customers, sessions and sums of measures per event class, ``raw_names`` how many rows had
    a raw event name that no class matches (the 100 most frequent), ``links`` which ids were found to be one customer.
    """

    events: pa.Table
    quarantine: pa.Table
    n_read: int
    n_accepted: int
    n_duplicate: int
    n_quarantined: int
    by_class: list[dict[str, Any]]
    n_sessions: int
    sources: tuple[str, ...]
    raw_names: dict[str, int]
    languages: dict[str, dict[str, int]]  # per measure of sentiment: texts by language, "scored" for those with a score
    warnings: tuple[str, ...]
    links: Links


def read_events(
    events: Any,
    playbook: Playbook,
    *,
    now: datetime | None,
    clock: datetime | None = None,
    progress: Progress | None = None,
    n_threads: int = 2,
) -> EventLog:
    """The events of a path, pattern, URL, ``-``, Arrow table, or a list of these, as the playbook reads them.

    An event more than a day after ``now`` (without it: after ``clock``) is quarantined. ``progress`` is told how
    much is done of how much. Raises EventsError for what cannot be read at all: no such file, a missing column,
    no row anywhere.

    >>> from sojourn.playbook.load import parse_playbook
    >>> text = "{playbook: p, source: {customer: who, time: at, event: what}, events: {view: {name: View}}, "
    >>> book = parse_playbook(text + "states: {keen: {about: Keen.}, away: {about: Away.}}}", "p.yaml")
    >>> rows = pa.table({"who": ["u1", "u2", ""], "at": ["2024-05-01", "soon", "2024-05-02"], "what": ["View"] * 3})
    >>> log = read_events(rows, book, now=datetime(2024, 6, 1, tzinfo=UTC))
    >>> log.n_read, log.n_accepted, log.quarantine["found"].to_pylist()
    (3, 1, ["'soon' is no instant (ISO 8601 or an epoch number; else set source time_format)", 'who is empty'])
    """
    limit = now or clock
    if limit is None:
        raise ValueError("give now, or the clock: an event of the future is a mistake")
    latest = (limit if limit.tzinfo else limit.replace(tzinfo=UTC)).astimezone(UTC) + TOLERANCE
    sources = open_sources(events, stdin=lambda: sys.stdin.buffer)
    connection = open_connection(playbook, n_threads)
    tables = [(s, _place_table(s, playbook)) for s in sources if s.schema is not None and s.schema.names]
    has_json = any(source.schema is None for source in sources)
    check_places(tables, playbook, has_json=has_json)
    builder = LogBuilder(playbook)
    unseen = {path: (what, line) for path, what, line in list_optional(playbook)} if has_json else {}
    for source, _ in tables:
        unseen = {path: use for path, use in unseen.items() if not find_column(path, source.schema)}
    keys: list[str] = []
    total, done = sum(max(1, source.size) for source in sources), 0
    for file, source in enumerate(sources):
        n_before, present = builder.n_read, set[str]()
        chunks, places, found_keys = _open_chunks(source, playbook)
        keys += found_keys
        reading = Reading(playbook, places, source.name, file, latest, connection)
        for chunk in chunks:
            if len(chunk.rows):
                piece = read_rows(chunk, reading)
                present |= piece.present
                builder.add(piece, chunk.n_read, places.customer)
            else:
                builder.add_quarantine(quarantine_broken(chunk, source.name))
            if progress:
                progress(min(done + chunk.done, total), total)
        done += max(1, source.size)
        if found_keys:
            present |= set(found_keys)  # a key that is always null is there
            _check_keys(source, places, playbook, present, found_keys)
        unseen = {path: use for path, use in unseen.items() if path not in present}
        builder.warnings += source.warnings
        if builder.n_read == n_before:
            builder.warnings.append(f"{source.name}: no rows")
    if not builder.n_read:
        raise EventsError(Problem(", ".join(source.name for source in sources), "no rows: there is nothing to read"))
    for path, (what, line) in unseen.items():
        names = ", ".join(source.name for source in sources[:3])
        builder.warnings.append(str(missing_column(playbook, line, what, (path,), names, list(dict.fromkeys(keys)))))
    if progress:
        progress(total, total)
    return EventLog(sources=tuple(source.name for source in sources), **builder.close())


def need_events(log: EventLog, playbook: Playbook) -> EventLog:
    """The same log. Raises EventsError where not one row of what was read can be used."""
    if log.events.num_rows:
        return log
    where, what = ", ".join(log.sources) or "events", f"none of the {log.n_read:,} rows read can be used"
    raise EventsError(Problem(where, what, command=f"sojourn check {playbook.path or playbook.name} EVENTS"))


def open_connection(playbook: Playbook, n_threads: int) -> DuckDBPyConnection:
    """A connection to read values with, in the zone of the source. Raises EventsError for an unknown zone or format."""
    where = f"{playbook.path or playbook.name}:{playbook.source.line}"
    try:
        connection = connect(n_threads=n_threads, timezone=playbook.source.timezone)
    except ValueError as error:
        raise EventsError(Problem(where, f"source timezone: {error}")) from None
    form = playbook.source.time_format
    if form is not None:
        try:
            read_instants(pa.array([""]), form, connection)
            read_instants(pa.array(["1"]), form, connection)
        except duckdb.Error as error:
            raise EventsError(Problem(where, f"source time_format '{form}' is no format: {error}")) from None
    return connection


def _place_table(source: Source, playbook: Playbook) -> Places:
    return place_source(playbook.source, is_segment=looks_like_segment(source.columns or (), playbook.source))


def _open_chunks(source: Source, playbook: Playbook) -> tuple[Iterator[Chunk], Places, list[str]]:
    """A source's chunks, where things are in them, and for JSON lines the keys of its first rows."""
    if source.schema is not None:
        places = _place_table(source, playbook)
        wanted = None
        if places.duplicates != "content":
            paths = places.paths(playbook)
            wanted = [c for c in source.schema.names if any(p == c or p.startswith(c + ".") for p in paths)]
        return source.read(wanted), places, []
    chunks, waiting, keys = source.read(None), [], list[str]()
    for chunk in chunks:
        waiting.append(chunk)
        if len(chunk.rows):
            keys = _list_keys(chunk.columns[JSON_COLUMN].slice(0, _SAMPLE_ROWS).to_pylist())
            break
    places = place_source(playbook.source, is_segment=looks_like_segment(keys, playbook.source))
    if keys:
        _check_keys(source, places, playbook, None, keys)
    return chain(waiting, chunks), places, keys


def _list_keys(rows: Sequence[str]) -> list[str]:
    """Paths of the keys in rows of JSON, those inside objects too, in the order in which they are met."""
    found: dict[str, None] = {}

    def visit(value: Any, name: str, depth: int) -> None:
        if name:
            found.setdefault(name)
        if isinstance(value, dict) and depth < 4:
            for key, inner in value.items():
                visit(inner, f"{name}.{key}" if name else key, depth + 1)

    for row in rows:
        try:
            visit(json.loads(row), "", 0)
        except (ValueError, RecursionError):  # what DuckDB accepts and Python does not, such as a trailing comma
            continue
    return list(found) or ["(no key)"]


def _check_keys(
    source: Source, places: Places, playbook: Playbook, present: set[str] | None, keys: Sequence[str]
) -> None:
    """Raises EventsError when customer, time or event are not set, or (with ``present``) are in no row."""
    problems = [
        missing_column(playbook, playbook.source.line, what, paths, source.name, keys)
        for what, paths in list_needed(places)
        if not paths or (present is not None and present.isdisjoint(paths))
    ]
    if problems:
        raise EventsError(*problems)
