"""The command line: reads arguments, calls the pipeline, prints what it found. No computing happens here."""

from __future__ import annotations

import traceback
from errno import EPIPE
from typing import Annotated, Any

import typer

import sojourn
from sojourn.cli import print as output
from sojourn.cli.folder import FolderGroup
from sojourn.errors import SojournError

INPUT_ERROR = 2
INTERRUPTED = 130


class _Commands(FolderGroup):
    """The place where every command's errors become a message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            output.say_error("Stopped by Ctrl-C.")
            raise typer.Exit(INTERRUPTED) from None
        except SojournError as error:
            _show_traceback(ctx)
            for problem in error.problems:
                output.say_error(str(problem))
            raise typer.Exit(INPUT_ERROR) from None
        except Exception as error:
            # Typer's own exceptions carry an exit code; their classes moved between its versions.
            is_typers_own = hasattr(error, "exit_code") or isinstance(error, typer.Abort)
            if is_typers_own or (isinstance(error, OSError) and error.errno == EPIPE):
                raise
            _show_traceback(ctx)
            output.say_unexpected(error, version=sojourn.__version__)
            raise typer.Exit(1) from None


def _show_traceback(ctx: Any) -> None:
    if ctx.params.get("debug"):
        output.say_error(traceback.format_exc().rstrip(), is_marked=False)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"sojourn {sojourn.__version__}")
        raise typer.Exit


@app.callback()
def sojourn_command(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop."),
    ] = False,
) -> None:
    """Example: `sojourn demo`

    Which behavioural state each customer is in, since when, why, and what moves them on.
    """


def main() -> None:
    """Run the command line and exit: 0 done, 1 unexpected error, 2 unusable input, 130 Ctrl-C."""
    app(prog_name="sojourn")
