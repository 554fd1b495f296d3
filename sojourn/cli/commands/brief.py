"""The command `brief`: one page for whoever writes to the people of a state. It reads arguments and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from sojourn.cli import print as output
from sojourn.cli.options import Json
from sojourn.pipelines import brief as job

SHORT_HELP = "One page for whoever writes to the people of a state."


def command(
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
    found = job.brief(out, state, form=form, out=None if as_json else to)
    if as_json:
        output.print_json(found.words)
        return
    if to is None:
        typer.echo(found.text, nl=False)
        return
    output.say(f"Written  {to}")
