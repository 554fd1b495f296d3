"""The command `stability`: how far segments hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from sojourn.cli import print as output
from sojourn.cli.options import Json, Seed, SomeEvents, SomePlaybook, parse_instant
from sojourn.pages.words import say_count, say_days, say_instant, say_integer, say_or_dash, say_score, say_share
from sojourn.pipelines import stability as job

Row = Mapping[str, Any]

SHORT_HELP = "Which segments hold: who is reassigned by a refit, and why."


def command(
    events: SomeEvents = None,
    playbook: SomePlaybook = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", show_default="a week before the last event", help="T, in UTC."),
    ] = None,
    segments: Annotated[
        Path | None,
        typer.Option(
            "--segments",
            metavar="TABLE",
            show_default=False,
            help="Audit a segmentation of yours instead: Parquet or CSV with customer_id, at and segment.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="DIR", show_default=False, help="Folder for stability.parquet and stability.html."
        ),
    ] = None,
    customers: Annotated[
        int, typer.Option("--customers", min=20, metavar="N", help="Customers looked at, drawn at random.")
    ] = 5_000,
    rounds: Annotated[
        int, typer.Option("--rounds", min=0, max=1_000, metavar="N", help="Bootstrap rounds; 0 for none.")
    ] = 20,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Example: `sojourn stability shop-data/events.parquet --playbook shop --out results`

    Fits states, k-means and a mixture to the data up to T and to a week more, and says who was reassigned: because
    their behaviour changed, or only because the model did. With --segments it audits a segmentation that you have.
    """
    moment = parse_instant("--at", at)
    with output.progress_bars(is_silent=as_json) as progress:
        found = job.stability(
            events,
            playbook,
            segments=segments,
            at=moment,
            max_customers=customers,
            n_rounds=rounds,
            out=out,
            seed=seed,
            progress=progress,
        )
    if as_json:
        output.print_json(found.as_dict())
        return
    _print(found)
    if out is not None:
        output.say(f"\nWritten  {out / 'stability.parquet'}, {out / 'stability.html'}")


def _print(found: job.Audited) -> None:
    rows, facts = found.rows, found.facts
    if found.is_of_segments:
        output.say(f"{say_count(facts['customers'], 'customer')} in {facts['segments']}")
    else:
        output.say(
            f"{say_count(facts['known_customers'], 'customer')} known on {say_instant(facts['at'])}; "
            f"refitted with the data up to {say_instant(facts['later'])}"
        )
        _print_methods(rows)
    for method in dict.fromkeys(r["method"] for r in rows):
        if method != "states, likeliest":
            _print_segments(method, [r for r in rows if r["method"] == method])


def _print_methods(rows: Sequence[Row]) -> None:
    table = output.make_grid(
        ("method", "left"),
        ("reassigned", "right"),
        ("behaviour changed", "right"),
        ("model wobbled", "right"),
        ("adj. Rand", "right"),
        ("on same data", "right"),
    )
    for row in rows:
        if row["segment"] is None:
            shares = (say_share(row[f"{k}_share"]) for k in ("reassigned", "behaviour", "wobble"))
            rand = (say_or_dash(row[k], say_score) for k in ("ari", "ari_same_data"))
            table.add_row(row["method"], *shares, *rand)
    output.say("")
    output.open_console().print(table)
    output.say("One seed is one random draw: run again with --seed 1 and --seed 2 before you trust these shares.")


def _print_segments(method: str, rows: Sequence[Row]) -> None:
    output.say("")
    table = output.make_grid(
        (method, "left"), ("customers", "right"), ("found again", "right"), ("half-life", "right"), ("verdict", "left")
    )
    for row in rows:
        if row["segment"] is not None:
            half_life = say_or_dash(row["half_life_days"], say_days)
            table.add_row(
                row["segment"],
                say_integer(row["n_customers"]),
                say_or_dash(row["found_again"], say_score),
                half_life,
                row["verdict"],
            )
    output.open_console().print(table)
    for row in rows:
        what = row["segment"] if row["segment"] is not None else "all"
        output.say(f"  {what}: {row['says']}")
