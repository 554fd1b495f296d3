"""The command `repair`: the log checked, and a damaged end set aside."""

from __future__ import annotations

from typing import Annotated

import typer

from sojourn.cli import print as output
from sojourn.cli.options import HERE, SNAPSHOT, Json, Project, open_project
from sojourn.live.store import LogDamaged
from sojourn.pages.words import say_count, say_integer

SHORT_HELP = "Check the log, and set a damaged end aside."


def command(
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; without it the command only says what it would do.")
    ] = False,
    project: Project = HERE,
    as_json: Json = False,
) -> None:
    """Example: `sojourn repair --project my-shop`

    Checks every record of the log. From the first damaged one on, the records are set aside, so that the server can
    start with what is whole. The server must not run.
    """
    with open_project(project, is_writer=True) as store:
        n_good, damage = store.first_position() - 1, ""
        try:
            for record in store.read_log(n_good):
                n_good = record.position
        except LogDamaged as error:
            damage = str(error)
        n_aside = 0
        if damage and yes:
            n_aside = store.set_tail_aside(n_good + 1)
            (project / SNAPSHOT).unlink(missing_ok=True)  # it may be of records that are no longer there
        n_lost = store.last_position() - n_good
    if as_json:
        output.print_json({"last_good": n_good, "damage": damage or None, "set_aside": n_aside})
    elif not damage:
        output.say(f"The log is whole, up to record {say_integer(n_good)}.")
    elif yes:
        output.say(f"{say_count(n_aside, 'record')} after record {say_integer(n_good)} are set aside.")
    else:
        output.say(damage)
        output.say(f"With --yes, {say_count(n_lost, 'record')} after record {say_integer(n_good)} would be set aside.")
