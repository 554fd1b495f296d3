"""The command `init`: start a playbook of your own from a ready one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sojourn.cli import print as output
from sojourn.pipelines import init_project

SHORT_HELP = "Start a playbook of your own from a ready one."


def command(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", show_default=False, help="Folder for the new playbook; made if missing."),
    ],
    playbook: Annotated[
        str,
        typer.Option(
            "--playbook",
            "-p",
            metavar="NAME",
            help="The ready playbook to copy: shop, saas, finance, health, media.",
        ),
    ] = "shop",
    force: Annotated[bool, typer.Option("--force", help="Overwrite a playbook that is already there.")] = False,
) -> None:
    """Example: `sojourn init my-shop --playbook shop`

    Writes DIR/playbook.yaml, a copy of a ready playbook to edit (your event names, your states), and a page with
    the next commands.
    """
    files = init_project(folder, playbook, is_forced=force)
    output.say(f"Wrote {' and '.join(str(file) for file in files)}.")
    output.say(f"Next: edit {files[0]}, then run: sojourn check {files[0]} EVENTS")
