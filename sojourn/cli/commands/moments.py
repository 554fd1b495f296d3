"""The command `moments`: proposes moments that announce an outcome. It reads arguments and prints."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from sojourn.cli import print as output
from sojourn.cli.options import Events, Json, PlaybookOption, Seed, parse_instant
from sojourn.errors import Problem, SojournError
from sojourn.pages.words import say_count, say_days, say_estimate, say_or_dash, say_share
from sojourn.pipelines import moments as job
from sojourn.playbook.rules import UNIT_SECONDS
from sojourn.transitions.moments import WINDOWS_S

SHORT_HELP = "Patterns that announce an outcome, to put into the playbook."


def command(
    events: Events,
    playbook: PlaybookOption,
    outcome: Annotated[
        str, typer.Option("--outcome", metavar="NAME", show_default=False, help="The playbook's outcome to announce.")
    ],
    within: Annotated[
        list[str] | None,
        typer.Option(
            "--within", metavar="DURATION", show_default="2h, 2d and 7d", help="Longest time; may be repeated."
        ),
    ] = None,
    min_share: Annotated[
        float, typer.Option("--min-share", min=1e-6, max=1.0, metavar="P", help="Of all customers, so many have it.")
    ] = 0.02,
    most: Annotated[int, typer.Option("--most", min=1, max=40, metavar="N", help="At most so many moments.")] = 10,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="DATE", show_default="last event", help="Up to when outcomes are known, UTC."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", show_default=False, help="Parquet file for the numbers."),
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Example: `sojourn moments shop-data/events.parquet --playbook shop --outcome conversion`

    Finds patterns on half of the customers that announce the outcome, judges them on the other half, and prints those
    that hold, with YAML to paste into the playbook. It proposes; a person decides which of them mean something.
    """
    now = parse_instant("--at", at)
    windows = tuple(_parse_duration(text) for text in within) if within else WINDOWS_S
    with output.progress_bars(is_silent=as_json) as progress:
        found = job.moments(
            events,
            playbook,
            outcome,
            within_s=windows,
            min_share=min_share,
            most=most,
            at=now,
            out=out,
            seed=seed,
            progress=progress,
        )
    if as_json:
        output.print_json(found.as_dict())
        return
    _print(found)
    if out is not None:
        output.say(f"\nWritten  {out}")


def _parse_duration(text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,9})([smhdw])", text)
    if found is None or not int(found[1]):
        raise SojournError(Problem("--within", f"'{text[:80]}' is not a duration; write it as 30m, 48h or 7d"))
    return float(found[1]) * UNIT_SECONDS[found[2]]


def _print(found: job.Proposed) -> None:
    rows, outcome = found.table.to_pylist(), found.outcome
    if not rows:
        output.say(
            f"No pattern announces {outcome} surely enough on customers it was not found on. Try a lower --min-share, "
            "other windows (--within), or more customers."
        )
        return
    output.say(f"{say_count(len(rows), 'moment')} that announce {outcome}, judged on held-out customers")
    table = output.make_grid(
        ("moment", "left"),
        ("followed", "right"),
        ("else", "right"),
        ("ratio (95 %)", "right"),
        ("lead", "right"),
    )
    for row in rows:
        lead = say_or_dash(row["lead_days"], say_days)
        table.add_row(
            row["moment"],
            say_share(row["precision_p"]),
            say_share(row["base_p"]),
            say_estimate(row["lift"], row["low"], row["high"]),
            lead,
        )
    output.open_console().print(table)
    output.say("\nFor the playbook (rename them, and leave out what means nothing):\n")
    output.say(found.yaml)
