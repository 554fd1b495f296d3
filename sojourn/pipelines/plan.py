"""The job `plan`: from a goal to states, predictions, audience and a test that proves it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from sojourn.act.plan import Plan, make_plan
from sojourn.errors import Problem, SojournError
from sojourn.frames import plain
from sojourn.pages.words import write_plan
from sojourn.pipelines.results import ResultsFolder

_NEEDED = ("customers", "history", "transitions", "matrix", "precedes")
_USED = ("triggers", "value", "predictions", "send_times")
_READ = {"history": ["customer_id", "event_at", "event_class", "state"]}
_COLUMNS = {
    "customers": ("customer_id", "state", "state_p", "first_at"),
    "transitions": ("customer_id", "at", "to_state"),
    "matrix": ("from_state", "to_state", "n", "p", "median_dwell_s"),
    "precedes": ("from_state", "to_state", "event_class", "is_touch", "lift", "low", "high", "n_with", "q"),
}


def plan(
    results: str | Path,
    goal: str,
    *,
    outcome: str | None = None,
    effect: float = 0.2,
    new_days: float = 30.0,
    out: str | Path | None = None,
) -> Plan:
    """What to do for a goal (retention, upsell or onboarding), from the folder that `sojourn run` wrote.

    ``outcome``: the playbook's outcome to measure by; by default the goal chooses. ``effect``: the relative change
    worth seeing. ``new_days``: how long a customer is new. With ``out`` the plan is written there, in words and as
    JSON. :func:`sojourn.pages.words.plan.write_plan` gives the words.

    >>> try:
    ...     plan("no-such-folder", "retention")
    ... except SojournError as error:
    ...     error.problems[0].command
    'sojourn run EVENTS --playbook P --out no-such-folder'
    """
    tables, run = read_results(Path(results))
    book = ResultsFolder(Path(results)).read_playbook()
    made = make_plan(goal, book, tables, run, outcome=outcome, effect=effect, new_days=new_days)
    if out is not None:
        with ResultsFolder(Path(out)).write() as draft:
            draft.add_text(f"plan_{goal}.md", write_plan(made))
            draft.add_json(f"plan_{goal}", plain(made.as_dict()))
    return made


def read_results(path: Path) -> tuple[dict[str, pa.Table], dict[str, Any]]:
    """The tables of a run by name, and what ``run.json`` says. Raises SojournError for a folder without them."""
    folder = ResultsFolder(path)
    try:
        run = folder.read_json("run")
        if not isinstance(run, dict):
            raise ValueError("run.json holds no facts of a run")
        datetime.fromisoformat(str(run.get("now")))
        tables = {name: folder.read(name, _READ.get(name)) for name in _NEEDED}
        for name, columns in _COLUMNS.items():
            if lacking := sorted({*columns} - {*tables[name].column_names}):
                raise ValueError(f"{name}.parquet has no column '{lacking[0]}'")
        for name in _USED:
            if folder.has(name):
                tables[name] = folder.read(name)
    except (OSError, ValueError, pa.ArrowInvalid) as error:
        what = f"this is no whole folder of results ({str(error).splitlines()[0]})"
        command = f"sojourn run EVENTS --playbook P --out {path}"
        raise SojournError(Problem(str(path), what, command=command)) from None
    return tables, run
