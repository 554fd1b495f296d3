"""The commands of the live side: serve, replay, deploy, archive, repair, link. They read arguments and print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sojourn.cli.options import HERE, Project
from sojourn.server import serve

if TYPE_CHECKING:
    pass

SHORT_HELP = "Take tracking calls over HTTP and keep every state current."


def command(
    project: Project = HERE,
    host: Annotated[
        str | None,
        typer.Option(
            "--host", metavar="ADDRESS", show_default="of settings.yaml, or 127.0.0.1", help="Where to listen."
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, metavar="N", show_default="as in settings.yaml", help="The port."),
    ] = None,
) -> None:
    """Example: `sojourn serve --project my-shop`

    Takes tracking calls over HTTP and keeps every customer's state current, until stopped by Ctrl-C or SIGTERM.
    """
    serve(project, host, port)
