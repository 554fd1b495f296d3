"""Reads what jobs start from: the playbook and the events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sojourn.cli.print import Progress

if TYPE_CHECKING:
    from sojourn.events.read import EventLog
    from sojourn.playbook.objects import Playbook


def read_log(events: Sequence[str], book: Playbook, progress: Progress) -> EventLog:
    """The events of the files and what became of every row. Raises SojournError where not one can be used."""
    from sojourn.events.read import need_events, read_events

    log = read_events(
        list(events), book, now=None, clock=datetime.now(UTC),
        progress=lambda done, all_: progress("read events", done, all_),
    )  # fmt: skip
    return need_events(log, book)
