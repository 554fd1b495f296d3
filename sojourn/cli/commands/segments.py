"""The command `segments`: who the customers are, strategically. It reads arguments and prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from sojourn.cli import print as output
from sojourn.cli.options import Events, Json, PlaybookOption, Seed, parse_instant
from sojourn.pages.words import say_count, say_date, say_integer, say_part, say_segment_standing, say_share
from sojourn.pipelines import segments as job

if TYPE_CHECKING:
    import pyarrow as pa

    from sojourn.segments import Study

SHORT_HELP = "Groups of customers who are alike, and what they are worth knowing."


def command(
    events: Events,
    playbook: PlaybookOption,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", show_default=False, help="Folder for tables and the page.")
    ],
    recipe: Annotated[
        str, typer.Option("--recipe", metavar="NAME", help="behavioural, demographic, predictive, lifecycle or value.")
    ] = "behavioural",
    method: Annotated[
        str, typer.Option("--method", metavar="NAME", help="auto, kmeans, minibatch, gmm, ward, hdbscan or dbscan.")
    ] = "auto",
    number: Annotated[
        int | None,
        typer.Option("--k", min=2, max=100, metavar="N", show_default="chosen", help="How many segments."),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input", metavar="COLUMN", show_default="of the recipe", help="A column to segment by; may be repeated."
        ),
    ] = None,
    traits: Annotated[
        Path | None,
        typer.Option(
            "--traits",
            metavar="FILE",
            show_default=False,
            help="What is known beside events: Parquet or CSV with customer_id.",
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", show_default="the last event", help="The instant that segments are of."),
    ] = None,
    days: Annotated[
        int | None,
        typer.Option(
            "--days",
            min=1,
            max=36_500,
            metavar="N",
            show_default="90, at most a quarter",
            help="How far later outcomes reach.",
        ),
    ] = None,
    previous: Annotated[
        Path | None,
        typer.Option(
            "--previous", metavar="DIR", show_default=False, help="Segments of last time: numbers and names are kept."
        ),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            "--results", metavar="DIR", show_default=False, help="A folder of `sojourn run`: segments by states."
        ),
    ] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, metavar="N", help="Threads for reading features.")] = 1,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Example: `sojourn segments shop-data/events.parquet --playbook shop --out segments`

    Groups customers by what they do, who they are, what is expected of them, how far they have come, or what they are
    worth. Says how many groups there are and why, what sets each apart, and whether they explain what came later.
    """
    instant = parse_instant("--at", at)
    with output.progress_bars(is_silent=as_json) as progress:
        found = job.segments(
            events,
            playbook,
            out=out,
            recipe=recipe,
            method=method,
            k=number,
            inputs=inputs,
            traits=traits,
            at=instant,
            horizon_days=days,
            previous=previous,
            results=results,
            seed=seed,
            n_threads=threads,
            progress=progress,
        )
    if as_json:
        output.print_json({**found.as_dict(), "out": str(out)})
        return
    _print_study(found.study, out)


def _print_study(study: Study, out: Path) -> None:
    found = study.segments
    output.say(
        f"{say_count(found.customers.num_rows, 'customer')} in "
        f"{say_count(len(found.segments), 'segment')} ({study.recipe.name}) as of {say_date(study.at, year=True)}"
    )
    output.say(f"How: {found.why}")
    table = output.make_grid(("", "right"), ("segment", "left"), ("customers", "right"), ("share", "right"))
    for one in sorted(found.segments, key=lambda one: one.number):
        share = say_part(one.n_customers, found.customers.num_rows)
        table.add_row(str(one.number), Text(one.name), say_integer(one.n_customers), share)
    output.open_console().print(table)
    agreement = found.rules.agreement_p
    if agreement == agreement:
        output.say(f"Rules of three questions put {say_share(agreement)} of the customers where they are.")
    if found.match is not None and found.match.n_shared:
        moved = say_share(found.match.moved_p)
        output.say(f"Since last time {moved} of {say_integer(found.match.n_shared)} customers are in another segment.")
    if study.relevance is not None:
        _print_relevance(study.relevance, study.horizon_days)
    for doubt in (*study.doubts, *([study.why_not] if study.why_not else [])):
        output.say(f"Note: {doubt}")
    output.say(f"Written  {out / 'segments.html'}")


def _print_relevance(relevance: pa.Table, days: int) -> None:
    rows = relevance.to_pylist()
    ways = list(dict.fromkeys(row["grouping"] for row in rows))
    output.say(f"\nExplained of what came in the {days} days after (segments as of then)")
    table = output.make_grid(("", "left"), *((way, "right") for way in ways))
    for outcome in dict.fromkeys(row["outcome"] for row in rows):
        own = {row["grouping"]: row["explained_p"] for row in rows if row["outcome"] == outcome}
        table.add_row(outcome, *(say_share(own[way]) for way in ways))
    output.open_console().print(table)
    output.say(say_segment_standing(relevance))
