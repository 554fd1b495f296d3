"""The command `explain`: why a customer is in their state, and what would change it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from sojourn.cli import print as output
from sojourn.cli.options import Json
from sojourn.cli.print import BAR_WIDTH, make_grid, open_console, show_at, show_bar
from sojourn.pages.words import say_count, say_difference, say_duration, say_or_dash, say_probability
from sojourn.pipelines import explain as job

SHORT_HELP = "Why a customer is in their state, and what would change it."


def command(
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", show_default=False, help="The customer's id.")],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="DIR", show_default=False, help="The folder that `sojourn run` wrote."),
    ],
    as_json: Json = False,
) -> None:
    """Example: `sojourn explain c0000001 --out results`

    Shows one customer: the state and since when, how sure that is, the reasons for it, the smallest change
    that would flip it, and the latest events and transitions.
    """
    found = job.explain(out, customer)
    if as_json:
        output.print_json(found)
    else:
        print_explanation(found)


RECENT = 8
"""Events and transitions shown of one customer, the latest last."""


def print_explanation(found: Mapping[str, Any]) -> None:
    """Print one customer: state, posterior, reasons as bars, what would flip it, what happened lately."""
    console = open_console()
    console.print(Text(f"Customer {found['customer_id']}", style="bold"))
    console.print(
        f"{say_count(found['n_events'], 'event')} from {show_at(found['first_at'])} to {show_at(found['last_at'])}"
    )
    if found["state"] is None:
        console.print(
            "No state: so far there are only messages to this customer, and nothing that they did themselves."
        )
        return
    console.print(
        Text.assemble("In ", (found["state"], "bold cyan"), f" since {show_at(found['since_at'])}"), soft_wrap=True
    )
    _print_posterior(console, found)
    _print_reasons(console, found)
    _print_flip(console, found["flip"])
    _print_recent(console, found)


def _print_posterior(console: Console, found: Mapping[str, Any]) -> None:
    table = make_grid(("probability of", "left"), ("", "right"), ("", "left"))
    for name, p in sorted(found["posterior"].items(), key=lambda item: -item[1]):
        table.add_row(Text(name), say_probability(p), f"[cyan]{show_bar(p, 1.0)}[/]")
    console.print()
    console.print(table)


def _print_reasons(console: Console, found: Mapping[str, Any]) -> None:
    reasons = found["reasons"]
    if not reasons:
        return
    most = max(abs(reason["weight"]) for reason in reasons)
    table = make_grid(
        ("log-odds", "right"), ("", "left"), (f"why {found['state']} and not {found['runner_up']}", "left")
    )
    for reason in reasons:
        colour = "green" if reason["weight"] >= 0 else "red"
        what = Text(reason["what"])
        what.truncate(console.width - BAR_WIDTH - 14, overflow="ellipsis")
        table.add_row(say_difference(reason["weight"]), f"[{colour}]{show_bar(reason['weight'], most)}[/]", what)
    table.add_row(say_difference(sum(reason["weight"] for reason in reasons)), "", Text("together", style="dim"))
    console.print()
    console.print(table)


def _print_flip(console: Console, flip: Mapping[str, Any] | None) -> None:
    console.print()
    if flip is None:
        console.print("No small change would make another state likelier.")
    elif flip["changes"]:
        console.print(f"It would be {flip['to_state']} if the last event had shown", markup=False)
        for change in flip["changes"]:
            console.print(f"  {change['instead']}", markup=False, soft_wrap=True)
            console.print(f"    instead of {change['seen']}", markup=False, soft_wrap=True)
    else:
        times = "" if flip["n_next"] == 1 else f", {flip['n_next']} times in a row"
        console.print(f"It will be {flip['to_state']} if {flip['next_event']} comes next{times}.", markup=False)


def _print_recent(console: Console, found: Mapping[str, Any]) -> None:
    events = make_grid(("latest events", "left"), ("", "left"), ("state after it", "left"))
    for row in found["events"][-RECENT:]:
        events.add_row(show_at(row["event_at"]), Text(row["event_class"]), Text(row["state"] or "–"))
    console.print()
    console.print(events)
    moves = make_grid(("latest transitions", "left"), ("", "left"), ("set off by", "left"), ("after", "right"))
    for row in found["transitions"][-RECENT:]:
        cause = row["event_class"] if row["cause"] == "event" else "silence"
        move = Text(f"{row['from_state']} → {row['to_state']}")
        moves.add_row(show_at(row["at"]), move, Text(cause), say_or_dash(row["dwell_s"], say_duration))
    if found["transitions"]:
        console.print()
        console.print(moves)
