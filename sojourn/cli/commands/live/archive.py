"""The command `archive`: whole days of the log, moved into Parquet files."""

from __future__ import annotations

from typing import Annotated

import typer

from sojourn.cli import print as output
from sojourn.cli.options import ARCHIVE, HERE, Json, Project, open_project
from sojourn.frames import DAY_US, now_us
from sojourn.live.archive import compact_log
from sojourn.pages.words import say_count

SHORT_HELP = "Move whole days of the log into Parquet files."


def command(
    days: Annotated[int, typer.Option("--days", min=0, metavar="N", help="Whole days that stay in the log.")] = 7,
    project: Project = HERE,
    as_json: Json = False,
) -> None:
    """Example: `sojourn archive --project my-shop --days 7`

    Moves whole days of the log into Parquet files, a folder per day, that DuckDB and `sojourn run` read. The server
    does that by itself, so it must not run.
    """
    folder = project / ARCHIVE
    with open_project(project, is_writer=True) as store:
        found = compact_log(store, folder, before_at=now_us() - days * DAY_US)
    n_records = found.last - found.first + 1
    if as_json:
        output.print_json({"records": n_records, "calls": found.n_calls, "files": [str(file) for file in found.files]})
    else:
        moved = f"{say_count(found.n_calls, 'call')} of {say_count(n_records, 'record')}"
        output.say(f"{moved} moved to {say_count(len(found.files), 'file')} in {folder}.")
