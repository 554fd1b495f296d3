"""The command `brief`: one page for whoever writes to the people of a state. It reads a results folder and prints."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sojourn import cli_output as output
from sojourn.cli_project import Json
from sojourn.errors import Problem, SojournError


def brief_command(
    state: Annotated[str, typer.Argument(metavar="STATE", show_default=False, help="The state to write to.")],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="DIR", show_default=False, help="The folder that `sojourn run` wrote."),
    ],
    form: Annotated[
        Literal["md", "html"], typer.Option("--format", metavar="FORM", help="Markdown, or a page to print: md, html.")
    ] = "md",
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", show_default="standard output", help="The file to write the brief to."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Example: `sojourn brief decision --out results --format html --to brief.html`

    Writes a creative brief of one page: what people in the state want and fear, what brings them in and moves them
    on, where and when they are found, what to say and what not, and two journeys.
    """
    from sojourn.brief import render_brief

    words = read_brief(out, state)
    if as_json:
        output.print_json(words)
        return
    text = render_brief(words, form)
    if to is None:
        typer.echo(text, nl=False)
        return
    try:
        to.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SojournError(Problem(str(to), f"cannot be written ({error.strerror or error})")) from None
    output.say(f"Written  {to}")


def read_brief(out: Path, state: str) -> dict[str, Any]:
    """What the brief of a state says, from the folder that a run wrote."""
    import pyarrow.parquet as pq

    from sojourn.brief import TABLES, write_brief
    from sojourn.playbook import load_playbook

    missing = [f"{name}.parquet" for name in TABLES if not (out / f"{name}.parquet").is_file()]
    command = f"sojourn run EVENTS --playbook PLAYBOOK --out {out}"
    if len(missing) == len(TABLES):
        raise SojournError(Problem(str(out), "holds no results of a run", command=command))
    if missing:
        raise SojournError(Problem(str(out), f"there is no {missing[0]}; an older version made it", command=command))
    names = (*TABLES, *(("triggers",) if (out / "triggers.parquet").is_file() else ()))
    tables = {
        name: pq.read_table(out / f"{name}.parquet", columns=["state"] if name == "customers" else None)
        for name in names
    }
    examples = [pq.read_table(path) for path in sorted(out.glob("example_*.parquet"))]
    return write_brief(
        tables,
        examples,
        load_playbook(out / "playbook.yaml"),
        states=json.loads((out / "model.json").read_text(encoding="utf-8"))["states"],
        now=datetime.fromisoformat(json.loads((out / "run.json").read_text(encoding="utf-8"))["now"]),
        state=state,
    )


def register(app: typer.Typer) -> None:
    """Add the command to a command line."""
    app.command("brief", short_help="One page for whoever writes to the people of a state.")(brief_command)
