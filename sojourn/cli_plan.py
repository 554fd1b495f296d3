"""The command `plan`: from a goal to states, predictions, audience and measurement."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from sojourn import cli_output as output
from sojourn.cli_project import Json
from sojourn.errors import Problem, SojournError

_NEEDED = ("customers", "history", "transitions", "matrix", "precedes")
_USED = ("triggers", "value", "predictions", "send_times")
_READ = {"history": ["customer_id", "event_at", "event_class", "state"]}
_COLUMNS = {
    "customers": ("customer_id", "state", "state_p", "first_at"),
    "transitions": ("customer_id", "at", "to_state"),
    "matrix": ("from_state", "to_state", "n", "p", "median_dwell_s"),
    "precedes": ("from_state", "to_state", "event_class", "is_touch", "lift", "low", "high", "n_with", "q"),
}


def plan_command(
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
    from sojourn.output import open_output, write_json
    from sojourn.plan import make_plan
    from sojourn.plan_words import write_plan
    from sojourn.playbook import load_playbook

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


def read_results(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tables of a run by name, and what ``run.json`` says. Raises SojournError for a folder without them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    command = f"sojourn run EVENTS --playbook P --out {folder}"
    try:
        run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        if not isinstance(run, dict):
            raise ValueError("run.json holds no facts of a run")
        datetime.fromisoformat(str(run.get("now")))
        tables = {name: pq.read_table(folder / f"{name}.parquet", columns=_READ.get(name)) for name in _NEEDED}
        for name, columns in _COLUMNS.items():
            if lacking := sorted({*columns} - {*tables[name].column_names}):
                raise ValueError(f"{name}.parquet has no column '{lacking[0]}'")
        for name in _USED:
            if (folder / f"{name}.parquet").exists():
                tables[name] = pq.read_table(folder / f"{name}.parquet")
    except (OSError, ValueError, pa.ArrowInvalid) as error:
        what = f"this is no whole folder of results ({str(error).splitlines()[0]})"
        raise SojournError(Problem(str(folder), what, command=command)) from None
    return tables, run


def register(app: typer.Typer) -> None:
    """Add the command to a command line."""
    app.command("plan", short_help="From a goal to states, audience and a test that proves it.")(plan_command)
