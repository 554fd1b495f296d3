"""The command `simulate`: make customers whose true states are known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sojourn.cli import print as output
from sojourn.cli.options import Seed, refuse_file
from sojourn.simulation import simulate_to

SHORT_HELP = "Make customers whose true states are known."


def command(
    customers: Annotated[int, typer.Option("--customers", "-n", min=1, metavar="N", help="How many customers.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", show_default=False, help="Folder for the files.")],
    days: Annotated[int, typer.Option("--days", "-d", min=1, metavar="D", help="Days of events.")] = 180,
    seed: Seed = 0,
    anonymous: Annotated[
        bool, typer.Option("--anonymous", help="Leave the user id empty where a real visitor is not logged in.")
    ] = False,
    blemishes: Annotated[
        float,
        typer.Option("--blemishes", min=0, max=1, metavar="SHARE", help="Share of rows that go wrong, as they do."),
    ] = 0.0,
) -> None:
    """Example: `sojourn simulate --customers 300 --days 90 --seed 1 --out shop-data`

    Writes DIR/events.parquet, for the ready playbook `shop`, and the truth behind it beside: the state of every
    customer at every instant, who they are, their devices, and what each touch really does.
    """
    refuse_file(out)
    with output.progress_bars() as progress:
        files = simulate_to(
            out,
            customers,
            days=days,
            seed=seed,
            is_resolved=not anonymous,
            blemishes=blemishes,
            progress=progress,
        )
    output.say(f"Events in {files['events']}, the truth about them in {files['truth']} and beside.")
    output.say(f"Next: sojourn run {files['events']} --playbook shop --out {out / 'results'}")
