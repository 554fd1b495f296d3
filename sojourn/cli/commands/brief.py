"""The command `brief`: one page for whoever writes to the people of a state. It reads a results folder and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from sojourn.cli import print as output
from sojourn.cli.options import Json
from sojourn.errors import Problem, SojournError
from sojourn.pipelines.folder import read_brief

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
    from sojourn.pages.brief import render_brief

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
