"""The command `check`: find mistakes in a playbook, and see how it fits the events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from sojourn.cli import print as output
from sojourn.cli.commands.run import print_rows
from sojourn.cli.options import Json
from sojourn.cli.print import make_grid, open_console
from sojourn.pages.words import say_count, say_integer, say_share
from sojourn.pipelines import check as job

SHORT_HELP = "Find mistakes in a playbook, and see how it fits the events."


def command(
    playbook: Annotated[
        str,
        typer.Argument(metavar="PLAYBOOK", show_default=False, help="A playbook file or the name of a ready one."),
    ],
    events: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="EVENTS",
            show_default=False,
            help="Event files, to see what the rules match, what they miss, and what never fires.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Example: `sojourn check shop shop-data/events.parquet`

    Reports every mistake in the playbook at once, with its line and what was probably meant. With events, it
    also says how much of them the playbook covers.
    """
    with output.progress_bars(is_silent=as_json) as progress:
        found = job.check(playbook, events or None, progress=progress)
    if as_json:
        output.print_json(found)
    else:
        print_check(found)


def print_check(found: Mapping[str, Any]) -> None:
    """Print what a playbook says, how it covers the events, and everything that deserves a look."""
    console = open_console()
    console.print(
        f"Playbook {found['playbook']}: {say_count(len(found['states']), 'state')}, "
        f"{say_count(found['n_event_classes'], 'event class', 'event classes')}, "
        f"{say_count(found['n_features'], 'feature')}, {say_count(found['n_indicators'], 'indicator')}"
        + (f", {say_count(found['n_targets'], 'target')}" if found["n_targets"] else "")
        + ". No mistakes.",
        markup=False,
        soft_wrap=True,
    )
    if found["events"]:
        print_rows(console, found["events"])
        _print_coverage(console, found["events"])
    for finding in found["findings"]:
        console.print(Text.assemble(("look: ", "bold yellow"), finding["text"]), soft_wrap=True)


def _print_coverage(console: Console, facts: Mapping[str, Any]) -> None:
    classes = make_grid(("event class", "left"), ("rows", "right"), ("share", "right"), ("customers", "right"))
    for row in facts["classes"]:
        name = row["event_class"] + (" (touch)" if row["is_touch"] else "")
        share = say_share(row["share"])
        classes.add_row(Text(name), say_integer(row["n_rows"]), share, say_integer(row["n_customers"]))
    console.print()
    console.print(classes)
    indicators = make_grid(("indicator of", "left"), ("fires at", "right"), ("when", "left"))
    for row in facts["indicators"]:
        when = Text(row["when"])
        when.truncate(console.width - 34, overflow="ellipsis")  # else the longest rule squeezes the other columns
        indicators.add_row(Text(row["state"]), say_share(row["share"]), when)
    if facts["indicators"]:
        console.print()
        console.print(indicators)
    console.print()
