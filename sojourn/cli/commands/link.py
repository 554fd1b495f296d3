"""The command `link`: find records that are probably one person."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sojourn.cli import print as output
from sojourn.cli.options import Json
from sojourn.errors import Problem, SojournError
from sojourn.pipelines import link as job

SHORT_HELP = "Find records that are probably one person."


def command(
    records: Annotated[
        str, typer.Argument(metavar="RECORDS", show_default=False, help="A CSV or Parquet file: one record a row.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", show_default=False, help="Parquet file for the result.")
    ],
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="NAME=KIND",
            show_default="guessed by name",
            help="What a column holds; may be repeated.",
        ),
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option("--truth", metavar="COLUMN", show_default=False, help="A column that knows who is whom."),
    ] = None,
    threshold: Annotated[
        float, typer.Option("--threshold", min=0.0, max=1.0, metavar="P", help="Least probability of a match.")
    ] = 0.9,
    seed: Annotated[int, typer.Option("--seed", min=0, metavar="N", help="Start of the random numbers.")] = 0,
    as_json: Json = False,
) -> None:
    """Example: `sojourn link people.csv --out linked.parquet`

    Finds records that are probably one person, by names, birth dates, addresses and the like, where they share no
    id. Needs the extra `link`.
    """
    pairs = [one.partition("=") for one in column or []]
    for name, sign, _ in pairs:
        if not sign:
            raise SojournError(Problem("--column", f"'{name}' has no kind; write it as NAME=KIND, surname=family_name"))
    kinds = {name: kind for name, _, kind in pairs}
    linked = job.link(records, out=out, columns=kinds, truth=truth, threshold=threshold, seed=seed)
    for broken in linked.broken[:5]:
        output.say_error(f"{broken}; left out")
    if as_json:
        output.print_json({**linked.as_dict(), "out": str(out)})
        return
    for line in linked.found.describe():
        output.say(line)
    output.say(f"Written  {out}, with the columns cluster and match_p")
