"""Reads what jobs start from: the playbook, the events, plain tables."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sojourn.events import need_events, read_events
from sojourn.frames import Progress, read_plain
from sojourn.playbook import Playbook, load_playbook

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from sojourn.events import EventLog


def ignore(stage: str, done: int, total: int) -> None:
    """The progress that nobody asked for."""


def read_playbook(playbook: str | Path | Playbook) -> Playbook:
    """The playbook of a file, or the ready one of that name. Raises PlaybookError with every problem."""
    return playbook if isinstance(playbook, Playbook) else load_playbook(playbook)


def read_log(events: Any, book: Playbook, progress: Progress) -> EventLog:
    """The events and what became of every row. Raises SojournError where not one can be used."""
    log = read_events(
        events,
        book,
        now=None,
        clock=datetime.now(UTC),
        progress=lambda done, all_: progress("read events", done, all_),
    )
    return need_events(log, book)


def read_table(source: Any, columns: Sequence[str] = ()) -> pa.Table:
    """A plain table: of a file (CSV, TSV, JSON lines, Parquet), or anything with the Arrow interface."""
    if isinstance(source, (str, Path)):
        return read_plain(source, columns)

    return pa.table(source)
