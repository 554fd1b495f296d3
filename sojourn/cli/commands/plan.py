"""The command `plan`: from a goal to states, predictions, audience and measurement."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sojourn.cli import print as output
from sojourn.cli.options import Json
from sojourn.pipelines.folder import read_results

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
    from sojourn.act.plan.plan import make_plan
    from sojourn.frames.files import open_output, write_json
    from sojourn.pages.words.plan import write_plan
    from sojourn.playbook.load import load_playbook

    tables, run = read_results(results)
    plan = make_plan(
        goal, load_playbook(results / "playbook.yaml"), tables, run, outcome=outcome, effect=effect, new_days=new_days
    )
    text = write_plan(plan)
    if out is not None:
        with open_output(out) as folder:
            assert folder is not None
            (folder / f"plan_{goal}.md").write_text(text, encoding="utf-8")
            write_json(output.plain(plan.as_dict()), folder / f"plan_{goal}.json")
    if as_json:
        output.print_json(plan.as_dict())
        return
    output.say(text.rstrip("\n"))
    if out is not None:
        output.say(f"\nWritten  {out / f'plan_{goal}.md'}")
