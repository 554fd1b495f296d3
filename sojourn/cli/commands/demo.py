"""The command `demo`: the whole job on simulated customers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sojourn.cli import print as output
from sojourn.cli.commands.run import print_run
from sojourn.cli.options import Seed, refuse_file
from sojourn.pages.words import say_part
from sojourn.pipelines import demo as job

SHORT_HELP = "The whole job on simulated customers, in under a minute."


def command(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the demo's files.")] = Path(
        "demo"
    ),
    customers: Annotated[
        int, typer.Option("--customers", "-n", min=1, metavar="N", help="How many customers to simulate.")
    ] = 500,
    seed: Seed = 7,
) -> None:
    """Example: `sojourn demo`

    Simulates a shop's customers, finds their states, writes a report, and compares what it found with the truth,
    which only a simulation has.
    """
    refuse_file(out)
    with output.progress_bars() as progress:
        found = job.demo(out, customers=customers, seed=seed, progress=progress)
    print_run(found.results, out / "results")
    output.say(
        f"Against the truth: {say_part(found.n_right, found.n)} of {found.n:,} events in the right state "
        f"(the commonest state for all: {say_part(found.n_commonest, found.n)})"
    )
    output.say(f"\nNext: sojourn explain {found.example} --out {out / 'results'}")
