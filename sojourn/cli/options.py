"""What the commands on events share: their arguments, and reading what the arguments name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sojourn.errors import Problem, SojournError, StoreBusy, StoreError
from sojourn.live import load_settings
from sojourn.live.store import open_store

if TYPE_CHECKING:
    from sojourn.live.store import Store

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


def refuse_file(out: Path) -> None:
    """Raise SojournError for a file; before the work starts, since the work can take minutes."""
    if out.exists() and not out.is_dir():
        raise SojournError(Problem("--out", f"{out} is a file, not a folder"))


Project = Annotated[
    Path,
    typer.Option("--project", metavar="DIR", help="The project: a folder with playbook.yaml and settings.yaml."),
]


Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, and nothing else there.")]
HERE = Path()
ARCHIVE = Path("live") / "archive"
"""Where in a project the days are that are no longer in the log."""


SNAPSHOT = Path("live") / "snapshot.arrow"


@contextmanager
def open_project(project: Path, *, is_writer: bool = False) -> Iterator[Store]:
    """The store of a project. Where there is none yet, it is made; the server may run meanwhile but for a writer."""
    if not project.is_dir():
        raise SojournError(Problem(str(project), "there is no such folder", command=f"sojourn init {project}"))
    url = load_settings(project).store
    try:
        opened = open_store(url, is_writer=is_writer)
    except StoreBusy:
        raise
    except StoreError:
        if is_writer:
            raise
        open_store(url).close()  # a new project, or one of an older version: its server does not run
        opened = open_store(url, is_writer=False)
    with opened as store:
        yield store


ModelsFolder = Annotated[Path, typer.Option("--models", "-m", metavar="DIR", help="The folder of models.")]
