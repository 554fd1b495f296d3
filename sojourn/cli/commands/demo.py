"""The command `demo`: the whole job on simulated customers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sojourn.cli import print as output
from sojourn.cli.commands import run as summary
from sojourn.cli.options import Seed, _refuse_file
from sojourn.cli.print import open_console
from sojourn.pages.words.numbers import say_integer, say_part

if TYPE_CHECKING:
    from sojourn.pages.results import Results

SHORT_HELP = "The whole job on simulated customers, in under a minute."


def command(
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
    from sojourn.pipelines.run import run
    from sojourn.simulation.simulate import simulate_to

    _refuse_file(out)
    with output.progress_bars() as progress:
        files = simulate_to(out, customers, seed=seed, progress=progress)
        found = run(str(files["events"]), "shop", out=out / "results", seed=seed, progress=progress)
    summary.print_run(found, out / "results")
    print_truth(found, files["truth"])
    output.say(f"\nNext: sojourn explain {choose_example(found)} --out {out / 'results'}")


def print_truth(results: Results, truth: Path) -> None:
    """Print how often the smoothed state is the true one, beside what always guessing the commonest would reach."""
    n, n_right, n_commonest = _compare_with_truth(results, truth)
    open_console().print(
        f"Against the truth: {say_part(n_right, n)} of {say_integer(n)} events in the right state "
        f"(the commonest state for all: {say_part(n_commonest, n)})"
    )


def _compare_with_truth(results: Results, truth: Path) -> tuple[int, int, int]:
    import duckdb

    with duckdb.connect() as connection:
        connection.register("history", results.history)
        connection.register("truth", connection.read_parquet(str(truth)).to_arrow_table())
        rows = connection.sql(
            """
            select t.state, count(*), count(*) filter (where h.smoothed_state::text = t.state::text)
            from history h asof join truth t on h.customer_id = t.customer_id and h.event_at >= t.from_at
            group by 1
            """
        ).fetchall()
    counts = [n for _, n, _ in rows]
    return sum(counts), sum(right for _, _, right in rows), max(counts, default=0)


def choose_example(results: Results) -> str:
    """The id of a customer worth explaining: the first of the report's examples."""
    return str(results.examples[0].column("customer_id")[0].as_py())
