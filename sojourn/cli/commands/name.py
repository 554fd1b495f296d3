"""The command `name`: list the discovered states, and give them names."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sojourn.cli import print as output
from sojourn.cli.commands.substates import print_substates
from sojourn.cli.options import Json
from sojourn.errors import Problem, SojournError
from sojourn.pipelines import list_substates, name_substate

SHORT_HELP = "List the discovered states, and give them names."


def command(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", show_default=False, help="The folder that `sojourn run` wrote.")
    ],
    state: Annotated[
        str | None,
        typer.Argument(metavar="STATE", show_default=False, help="The discovered state to name, as extra_1."),
    ] = None,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", show_default=False, help="What it is called from now on.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Example: `sojourn name results extra_1 "price hunters"`

    Without STATE it lists the discovered states and what marks them. A name is kept in DIR/names.json with what the
    state looks like, so that the next run into DIR knows it again, or says that it is no longer there.
    """
    if state is not None and name is None:
        raise SojournError(Problem("name", "which name?", command=f'sojourn name {folder} {state} "NAME"'))
    named = name_substate(folder, state, name) if state is not None and name is not None else None
    found, lost = list_substates(folder)
    if as_json:
        output.print_json({"substates": [asdict(s) for s in found], "lost": [n.name for n in lost]})
        return
    if named is not None:
        output.say(f"{named.state} is called '{named.name}' from the next run into {folder} on.")
        return
    if not found:
        output.say(f"There are no discovered states in {folder}. See: sojourn substates --help")
    print_substates(found)
    for n in lost:
        output.say(f"\n'{n.name}' ({n.state}): no state of the latest run is like it any more")
