"""The command `plan`: from a goal to states, predictions, audience and measurement."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sojourn.cli import print as output
from sojourn.cli.options import Json
from sojourn.pages.words import write_plan
from sojourn.pipelines import plan as job

SHORT_HELP = "From a goal to states, audience and a test that proves it."


def command(
    goal: Annotated[str, typer.Argument(metavar="GOAL", show_default=False, help="retention, upsell or onboarding.")],
    results: Annotated[
        Path,
        typer.Option("--results", "-r", metavar="DIR", show_default=False, help="A folder that `sojourn run` wrote."),
    ],
    outcome: Annotated[
        str | None,
        typer.Option(
            "--outcome", metavar="NAME", show_default="by the goal", help="The playbook's outcome to measure it by."
        ),
    ] = None,
    effect: Annotated[
        float, typer.Option("--effect", min=0.01, max=2.0, metavar="SHARE", help="The relative change worth seeing.")
    ] = 0.2,
    new_days: Annotated[
        float, typer.Option("--new-days", min=1.0, max=365.0, metavar="N", help="How long a customer is new.")
    ] = 30.0,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", show_default=False, help="Folder for plan_GOAL.md and .json."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Example: `sojourn plan retention --results results --out results`

    Walks from a goal to the state that matters, the moves to bring about, the audience, what to send, and a test that
    proves it. Reads the tables of a run; what `sojourn value` and `sojourn send-time` wrote there is used too.
    """
    found = job.plan(results, goal, outcome=outcome, effect=effect, new_days=new_days, out=out)
    if as_json:
        output.print_json(found.as_dict())
        return
    output.say(write_plan(found).rstrip("\n"))
    if out is not None:
        output.say(f"\nWritten  {out / f'plan_{goal}.md'}")
