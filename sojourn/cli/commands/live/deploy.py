"""The command `deploy`: put a playbook and its model into use, or go back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sojourn.cli import print as output
from sojourn.cli.options import HERE, Json, Project, open_project
from sojourn.errors import Problem, SojournError
from sojourn.frames import now_us, show_second
from sojourn.live import deploy
from sojourn.pipelines import draft_release, read_release

if TYPE_CHECKING:
    from sojourn.live.store import Store

SHORT_HELP = "Put a playbook and its model into use, or go back."


def command(
    results: Annotated[
        Path | None,
        typer.Argument(metavar="RESULTS", show_default=False, help="The folder that `sojourn run` wrote."),
    ] = None,
    playbook: Annotated[
        str | None,
        typer.Option(
            "--playbook",
            "-p",
            metavar="PLAYBOOK",
            show_default=False,
            help="A playbook alone, for a start without data.",
        ),
    ] = None,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Only let it run beside the one in use, and report where they differ.")
    ] = False,
    switch: Annotated[
        int | None, typer.Option("--switch", metavar="N", show_default=False, help="Use version N.")
    ] = None,
    rollback: Annotated[bool, typer.Option("--rollback", help="Go back to the version used before.")] = False,
    is_list: Annotated[bool, typer.Option("--list", help="Only list the versions.")] = False,
    project: Project = HERE,
    as_json: Json = False,
) -> None:
    """Example: `sojourn deploy results --project my-shop --shadow`

    Stores a playbook and its model as a new version, and has the server use it: at once when it runs, else when it
    starts. Every version stays, so that going back is one command.
    """
    n_asked = (results is not None) + (playbook is not None) + (switch is not None) + rollback + is_list
    if n_asked != 1:
        what = "give one of: RESULTS, --playbook, --switch, --rollback, --list"
        raise SojournError(Problem("sojourn deploy", what, command="sojourn deploy --help"))
    with open_project(project) as store:
        if is_list:
            _print_versions(store, as_json)
            return
        action = "rollback" if rollback else "shadow" if shadow else "switch"
        if results is not None or playbook is not None:
            release = read_release(results) if results is not None else draft_release(playbook or "")
            switch = deploy.add_release(store, release, at=now_us())
        wished = deploy.wish(store, action, switch)
    if as_json:
        output.print_json(wished)
    elif rollback:
        output.say("The server goes back to the version before.")
    else:
        output.say(f"Version {switch} is {'run beside the one in use' if shadow else 'put into use'}.")


def _print_versions(store: Store, as_json: bool) -> None:
    versions = [
        {
            "version": one.version,
            "created_at": show_second(one.created_at),
            "note": one.note,
            "has_model": bool(one.model),
        }
        for one in store.list_versions()
    ]
    if as_json:
        output.print_json(versions)
        return
    table = output.make_grid(("version", "right"), ("made", "left"), ("what", "left"))
    for one in versions:
        table.add_row(str(one["version"]), str(one["created_at"]), str(one["note"]))
    output.open_console().print(table)
