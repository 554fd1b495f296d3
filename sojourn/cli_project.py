"""What the commands on a project share: its options, its store, and instants as they are shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sojourn.errors import Problem, SojournError

if TYPE_CHECKING:
    from sojourn.store import Store

Project = Annotated[
    Path,
    typer.Option("--project", metavar="DIR", help="The project: a folder with playbook.yaml and settings.yaml."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, and nothing else there.")]
HERE = Path()
ARCHIVE = Path("live") / "archive"
"""Where in a project the days are that are no longer in the log."""
SNAPSHOT = Path("live") / "snapshot.arrow"
DAY_US = 86_400_000_000


@contextmanager
def open_project(project: Path, *, is_writer: bool = False) -> Iterator[Store]:
    """The store of a project. Where there is none yet, it is made; the server may run meanwhile but for a writer."""
    from sojourn.config import load_settings
    from sojourn.store import StoreBusy, StoreError, open_store

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
