"""The command line: reads arguments, calls the pipeline, prints what it found. No computing happens here."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime
from errno import EPIPE
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import sojourn
from sojourn import (
    cli_brief,
    cli_live,
    cli_moments,
    cli_plan,
    cli_predict,
    cli_retrain,
    cli_segments,
    cli_send_time,
    cli_sentiment,
    cli_stability,
    cli_value,
)
from sojourn import cli_output as output
from sojourn import cli_summary as summary
from sojourn.cli_events import Events, PlaybookOption, Seed, parse_instant
from sojourn.cli_project import Json
from sojourn.errors import Problem, SojournError

INPUT_ERROR = 2
INTERRUPTED = 130


class _Commands(TyperGroup):
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
    add_completion=False,
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


@app.command("run", short_help="From an event file to states, transitions and a report.")
def run_command(
    events: Events,
    playbook: PlaybookOption,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", show_default=False, help="Folder for the results.")
    ],
    now: Annotated[
        str | None,
        typer.Option(
            "--now",
            metavar="TIME",
            show_default="the last event",
            help="The instant the results are for: 2025-06-01 or 2025-06-01T12:00:00Z. UTC if no zone.",
        ),
    ] = None,
    seed: Seed = 0,
    threads: Annotated[
        int | None,
        typer.Option("--threads", min=1, metavar="N", show_default="all cores", help="Threads to compute with."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Example: `sojourn run shop-data/events.parquet --playbook shop --out results`

    Reads the events, works out who is in which state, since when and why, who moved and what set it off,
    and writes tables, the model and a report to DIR.
    """
    at = parse_instant("--now", now)
    _refuse_file(out)
    from sojourn.naming import show_names
    from sojourn.pipeline import run

    with output.progress_bars(is_silent=as_json) as progress:
        results = run(events, playbook, out=out, now=at, seed=seed, n_threads=threads, progress=progress)
    if as_json:
        output.print_json(summary.run_facts(results, out))
    else:
        summary.print_run(show_names(results), out)


@app.command("check", short_help="Find mistakes in a playbook, and see how it fits the events.")
def check_command(
    playbook: Annotated[
        str,
        typer.Argument(metavar="PLAYBOOK", show_default=False, help="A playbook file or the name of a ready one."),
    ],
    events: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="EVENTS",
            show_default=False,
            help="Event files, to see what the rules match, what they miss, and what never fires.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Example: `sojourn check shop shop-data/events.parquet`

    Reports every mistake in the playbook at once, with its line and what was probably meant. With events, it
    also says how much of them the playbook covers.
    """
    from sojourn.checks import check_playbook

    with output.progress_bars(is_silent=as_json) as progress:
        found = check_playbook(playbook, events or None, clock=datetime.now(UTC), progress=progress)
    if as_json:
        output.print_json(found)
    else:
        summary.print_check(found)


@app.command("init", short_help="Start a playbook of your own from a ready one.")
def init_command(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", show_default=False, help="Folder for the new playbook; made if missing."),
    ],
    playbook: Annotated[
        str,
        typer.Option(
            "--playbook",
            "-p",
            metavar="NAME",
            help="The ready playbook to copy: shop, saas, finance, health, media.",
        ),
    ] = "shop",
    force: Annotated[bool, typer.Option("--force", help="Overwrite a playbook that is already there.")] = False,
) -> None:
    """Example: `sojourn init my-shop --playbook shop`

    Writes DIR/playbook.yaml, a copy of a ready playbook to edit (your event names, your states), and a page with
    the next commands.
    """
    from sojourn.starter import init_project

    files = init_project(folder, playbook, is_forced=force)
    output.say(f"Wrote {' and '.join(str(file) for file in files)}.")
    output.say(f"Next: edit {files[0]}, then run: sojourn check {files[0]} EVENTS")


@app.command("explain", short_help="Why a customer is in their state, and what would change it.")
def explain_command(
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", show_default=False, help="The customer's id.")],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="DIR", show_default=False, help="The folder that `sojourn run` wrote."),
    ],
    as_json: Json = False,
) -> None:
    """Example: `sojourn explain c0000001 --out results`

    Shows one customer: the state and since when, how sure that is, the reasons for it, the smallest change
    that would flip it, and the latest events and transitions.
    """
    from sojourn.explanation import explain

    found = explain(out, customer)
    if as_json:
        output.print_json(found)
    else:
        summary.print_explanation(found)


@app.command("simulate", short_help="Make customers whose true states are known.")
def simulate_command(
    customers: Annotated[int, typer.Option("--customers", "-n", min=1, metavar="N", help="How many customers.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", show_default=False, help="Folder for the files.")],
    days: Annotated[int, typer.Option("--days", "-d", min=1, metavar="D", help="Days of events.")] = 180,
    seed: Seed = 0,
    anonymous: Annotated[
        bool, typer.Option("--anonymous", help="Leave the user id empty where a real visitor is not logged in.")
    ] = False,
    blemishes: Annotated[
        float,
        typer.Option("--blemishes", min=0, max=1, metavar="SHARE", help="Share of rows that go wrong, as they do."),
    ] = 0.0,
) -> None:
    """Example: `sojourn simulate --customers 300 --days 90 --seed 1 --out shop-data`

    Writes DIR/events.parquet, for the ready playbook `shop`, and the truth behind it beside: the state of every
    customer at every instant, who they are, their devices, and what each touch really does.
    """
    from sojourn.simulate import simulate_to

    _refuse_file(out)
    with output.progress_bars() as progress:
        files = simulate_to(
            out,
            customers,
            days=days,
            seed=seed,
            is_resolved=not anonymous,
            blemishes=blemishes,
            progress=progress,
        )
    output.say(f"Events in {files['events']}, the truth about them in {files['truth']} and beside.")
    output.say(f"Next: sojourn run {files['events']} --playbook shop --out {out / 'results'}")


@app.command("demo", short_help="The whole job on simulated customers, in under a minute.")
def demo_command(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the demo's files.")] = Path(
        "demo"
    ),
    customers: Annotated[
        int, typer.Option("--customers", "-n", min=1, metavar="N", help="How many customers to simulate.")
    ] = 500,
    seed: Seed = 7,
) -> None:
    """Example: `sojourn demo`

    Simulates a shop's customers, finds their states, writes a report, and compares what it found with the truth,
    which only a simulation has.
    """
    from sojourn.pipeline import run
    from sojourn.simulate import simulate_to

    _refuse_file(out)
    with output.progress_bars() as progress:
        files = simulate_to(out, customers, seed=seed, progress=progress)
        found = run(str(files["events"]), "shop", out=out / "results", seed=seed, progress=progress)
    summary.print_run(found, out / "results")
    summary.print_truth(found, files["truth"])
    output.say(f"\nNext: sojourn explain {summary.choose_example(found)} --out {out / 'results'}")


def _refuse_file(out: Path) -> None:
    """Said before the work starts, since the work can take minutes."""
    if out.exists() and not out.is_dir():
        raise SojournError(Problem("--out", f"{out} is a file, not a folder"))


cli_retrain.register(app)
cli_segments.register(app)
cli_moments.register(app)
cli_value.register(app)
cli_predict.register(app)
cli_stability.register(app)
cli_brief.register(app)
cli_sentiment.register(app)
cli_send_time.register(app)
cli_plan.register(app)
cli_live.register(app)


def main() -> None:
    """Run the command line and exit: 0 done, 1 unexpected error, 2 unusable input, 130 Ctrl-C."""
    app(prog_name="sojourn")
