"""What the commands on events share: their arguments, and reading what the arguments name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from sojourn.cli_output import Progress
from sojourn.errors import Problem, SojournError

if TYPE_CHECKING:
    from sojourn.events import EventLog
    from sojourn.playbook import Playbook

EVENTS_HELP = "Event files (CSV, TSV, JSON lines, Parquet; .gz, .zst too), globs, URLs, or - for stdin."
Events = Annotated[list[str], typer.Argument(metavar="EVENTS", show_default=False, help=EVENTS_HELP)]
SomeEvents = Annotated[list[str] | None, typer.Argument(metavar="EVENTS", show_default=False, help=EVENTS_HELP)]
"""Where something else may be given in their place."""

_PLAYBOOK = typer.Option(
    "--playbook",
    "-p",
    metavar="PLAYBOOK",
    show_default=False,
    help="A playbook file, or the name of a ready one: shop, saas, finance, health, media.",
)
PlaybookOption = Annotated[str, _PLAYBOOK]
SomePlaybook = Annotated[str | None, _PLAYBOOK]
Seed = Annotated[int, typer.Option("--seed", min=0, metavar="N", help="Start of the random numbers.")]
Cost = Annotated[float, typer.Option("--cost", min=0.0, metavar="X", help="What acting on one customer costs.")]
Benefit = Annotated[
    float, typer.Option("--benefit", min=1e-9, metavar="X", help="What acting on the right one brings.")
]
Budget = Annotated[
    float,
    typer.Option("--budget", min=0.0, metavar="SECONDS", help="After this long no further kind of model is tried."),
]


def read_log(events: Sequence[str], book: Playbook, progress: Progress) -> EventLog:
    """The events of the files and what became of every row. Raises SojournError where not one can be used."""
    from sojourn.events import need_events, read_events

    log = read_events(
        list(events), book, now=None, clock=datetime.now(UTC),
        progress=lambda done, all_: progress("read events", done, all_),
    )  # fmt: skip
    return need_events(log, book)


def parse_instant(option: str, text: str | None) -> datetime | None:
    """The instant that an option names; UTC where it names no zone. Raises SojournError for anything else.

    >>> parse_instant("--at", "2025-06-01").isoformat()
    '2025-06-01T00:00:00+00:00'
    """
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        what = f"'{text}' is not a date or time; write it as 2025-06-01 or 2025-06-01T12:00:00Z"
        raise SojournError(Problem(option, what)) from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
