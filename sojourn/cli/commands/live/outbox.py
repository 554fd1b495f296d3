"""The command `outbox`: what is sent out, and what could not be."""

from __future__ import annotations

from typing import Annotated

import typer

from sojourn.cli import print as output
from sojourn.cli.options import HERE, Json, Project, open_project
from sojourn.errors import Problem, SojournError, nearest
from sojourn.pages.words import say_count, say_integer

SHORT_HELP = "What is sent out, and what could not be."

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")


@app.callback()
def command() -> None:
    """Example: `sojourn outbox list --project my-shop`

    What waits to be sent to the destinations of settings.yaml, and what could not be.
    """


@app.command("list", short_help="Messages per destination and status.")
def list_outbox_command(
    dead: Annotated[
        str | None,
        typer.Option("--dead", metavar="DESTINATION", show_default=False, help="The dead letters of a destination."),
    ] = None,
    project: Project = HERE,
    as_json: Json = False,
) -> None:
    """Example: `sojourn outbox list --project my-shop`"""
    with open_project(project) as store:
        counts = store.outbox_counts()
        letters = store.read_outbox(dead, "dead", limit=1_000) if dead is not None else []
    if dead is not None:
        rows = [
            {"seq": one.seq, "id": one.id, "attempts": one.attempts, "status": one.last_status, "error": one.last_error}
            for one in letters
        ]
        if as_json:
            output.print_json(rows)
        for row in [] if as_json else rows:
            output.say("  ".join(f"{name} {value}" for name, value in row.items() if value is not None))
        return
    if as_json:
        output.print_json(counts)
        return
    statuses = ("waiting", "delivered", "dead", "refused")
    table = output.make_grid(("destination", "left"), *((status, "right") for status in statuses))
    for name, found in sorted(counts.items()):
        table.add_row(name, *(say_integer(found.get(status, 0)) for status in statuses))
    output.open_console().print(table)


@app.command("replay", short_help="Try the dead letters of a destination again.")
def replay_outbox_command(
    destination: Annotated[str, typer.Argument(metavar="DESTINATION", show_default=False, help="Its name.")],
    project: Project = HERE,
    as_json: Json = False,
) -> None:
    """Example: `sojourn outbox replay crm --project my-shop`"""
    with open_project(project) as store:
        known = list(store.outbox_counts())
        if destination not in known:
            what = f"nothing was ever sent to '{destination}'"
            raise SojournError(Problem("outbox", what, nearest(destination, known), "sojourn outbox list"))
        n = store.replay_dead(destination)
    if as_json:
        output.print_json({"destination": destination, "again": n})
    else:
        output.say(f"{say_count(n, 'message')} to {destination} will be tried again.")
