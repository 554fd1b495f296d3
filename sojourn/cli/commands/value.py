"""The command `value`: what each customer is worth. It reads arguments and prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sojourn.cli import print as output
from sojourn.cli.options import Events, Json, PlaybookOption, Seed, parse_instant
from sojourn.pages.words import (
    DASH,
    say_amount,
    say_count,
    say_estimate,
    say_exact,
    say_gain,
    say_integer,
    say_or_dash,
    say_range,
    say_score,
    say_share,
)
from sojourn.pipelines import value as job
from sojourn.predict.value import LAST

if TYPE_CHECKING:
    import pyarrow as pa

    from sojourn.predict.value import RevenueHoldout, Values

SHORT_HELP = "What each customer will buy, and what that is worth."


def command(
    events: Events,
    playbook: PlaybookOption,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="DATE", show_default="day of the last event", help="The last day known, UTC."),
    ] = None,
    days: Annotated[
        int, typer.Option("--days", min=1, max=36_500, metavar="N", help="Purchases of the next N days count.")
    ] = 365,
    discount: Annotated[
        float,
        typer.Option("--discount", min=0.0, max=10.0, metavar="RATE", help="What a year takes: 0.1 is 10 %."),
    ] = 0.1,
    holdout: Annotated[
        int | None,
        typer.Option(
            "--holdout",
            min=7,
            metavar="N",
            show_default="as --days, at most a third",
            help="The last N days, on which models are compared.",
        ),
    ] = None,
    purchase: Annotated[
        list[str] | None,
        typer.Option(
            "--purchase",
            metavar="CLASS",
            show_default="what carries the measure",
            help="The event class that is a purchase; may be repeated.",
        ),
    ] = None,
    measure: Annotated[
        str | None,
        typer.Option("--measure", metavar="NAME", show_default="revenue, or of an outcome", help="What it is worth."),
    ] = None,
    by: Annotated[
        Path | None,
        typer.Option(
            "--by",
            metavar="TABLE",
            show_default=False,
            help="Value by group: Parquet with customer_id and --group, as RESULTS/customers.parquet.",
        ),
    ] = None,
    group: Annotated[str, typer.Option("--group", metavar="COLUMN", help="The column of --by to group by.")] = "state",
    moves: Annotated[
        Path | None,
        typer.Option(
            "--moves",
            metavar="RESULTS",
            show_default=False,
            help="A folder that `sojourn run` wrote: how value grows with each move between its states.",
        ),
    ] = None,
    is_plain: Annotated[
        bool, typer.Option("--plain", help="Read purchases only; learn nothing from the rest of the behaviour.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", show_default=False, help="Parquet file for the customers."),
    ] = None,
    draws: Annotated[
        int, typer.Option("--draws", min=0, max=10_000, metavar="N", help="Samples for the intervals; 0 for none.")
    ] = 100,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Example: `sojourn value shop-data/events.parquet --playbook shop --out value.parquet`

    Estimates what each customer will buy and what that is worth today. Compares several models on the last days, also
    such that learn from all that customers do, takes the simplest of the best, and says when none of them fits.
    """
    last = parse_instant("--at", at)
    with output.progress_bars(is_silent=as_json) as progress:
        valued = job.value(
            events,
            playbook,
            at=last,
            horizon_days=days,
            yearly_discount=discount,
            holdout_days=holdout,
            purchase=purchase or (),
            measure=measure,
            by=by,
            group=group,
            results=moves,
            is_plain=is_plain,
            out=out,
            n_draws=draws,
            seed=seed,
            progress=progress,
        )
    if as_json:
        output.print_json(valued.as_dict())
        return
    _print_values(valued)
    if valued.by_group is not None:
        _print_groups(valued.by_group, group)
    if valued.growth is not None:
        _print_growth(valued.growth)
    if out is not None:
        output.say(f"Written  {out}")


def _print_values(valued: job.Valued) -> None:
    found, measure = valued.found, valued.measure
    total, low, high = found.total
    n = found.customers.num_rows
    output.say(f"{say_count(n, 'customer')} had bought by {valued.day} ({', '.join(valued.purchase)}).")
    what = measure if measure and found.spend is not None else "purchases"
    output.say(
        f"Worth of the next {found.horizon_days} days, at {say_share(found.yearly_discount)} a year: "
        f"{say_estimate(total, low, high, say_amount)} {what}, {say_amount(total / n)} each"
    )
    if found.learned is not None:
        output.say(f"Value is that of the {found.learned.removeprefix('learned ')} learned on all that customers do.")
    _print_purchases(found)
    if found.revenue is not None:
        _print_revenue(found, found.revenue)
    _print_fits(found)
    for doubt in found.doubts:
        output.say(f"Note: {doubt}")


def _print_purchases(found: Values) -> None:
    output.say(f"\nForesight of purchases in the last {found.holdout.days} days, per customer")
    table = output.make_grid(
        ("model", "left"), ("error", "right"), ("abs. error", "right"), ("expected/made", "right"), ("", "left")
    )
    for score in found.holdout.scores:
        note = (
            "chosen"
            if score.name == found.chosen
            else "reference"
            if score.name == LAST
            else "not usable"
            if score.why_not
            else ""
        )
        numbers = (say_or_dash(number, say_score) for number in (score.rmse, score.mae, score.bias))
        table.add_row(score.name, *numbers, note)
    output.open_console().print(table)


def _print_revenue(found: Values, revenue: RevenueHoldout) -> None:
    what = "what was spent" if found.spend is not None else "purchases"
    output.say(f"\nForesight of {what} in the last {found.holdout.days} days, models of buying times gamma-gamma")
    table = output.make_grid(
        ("model", "left"),
        ("abs. error", "right"),
        ("error", "right"),
        ("expected/spent", "right"),
        ("rank", "right"),
        ("gini", "right"),
        ("tenths off", "right"),
        ("deviance", "right"),
        ("", "left"),
    )
    for score in revenue.scores:
        shown = (
            (score.mae, say_amount),
            (score.rmse, say_amount),
            (score.bias, say_score),
            (score.spearman, say_score),
            (score.gini, say_score),
            (score.calibration, say_score),
            (score.deviance, say_score),
        )
        note = "chosen" if score.name == revenue.chosen else "not usable" if score.why_not else ""
        note = "reference" if score.why_not == "a reference only" else note
        numbers = (say_or_dash(number, how) for number, how in shown)
        table.add_row(score.name, *numbers, note)
    output.open_console().print(table)
    for one in revenue.coverage:
        output.say(
            f"Intervals of what a customer will spend ({one.kind}): {say_share(one.inside_p)} were inside, "
            f"{say_share(one.above_p)} above, {say_share(one.below_p)} below; meant are "
            f"{say_share(0.9)}, {say_share(0.05)}, {say_share(0.05)}. Mean width {say_amount(one.mean_width)}."
        )


def _print_fits(found: Values) -> None:
    output.say("\nParameters (times in weeks)")
    table = output.make_grid(("model", "left"), ("parameters", "left"), ("log-likelihood", "right"), ("", "left"))
    for fit in [*found.fits.values(), *([found.spend] if found.spend else [])]:
        shown = ", ".join(f"{name} {say_exact(value)}" for name, value in fit.parameters.items())
        table.add_row(fit.model, shown, say_amount(fit.log_likelihood), "" if fit.is_converged else "does not converge")
    output.open_console().print(table)


def _print_groups(by_group: pa.Table, column: str) -> None:
    output.say(f"\nValue by {column}")
    table = output.make_grid(
        (column, "left"), ("customers", "right"), ("value each", "right"), ("95 %", "right"), ("share", "right")
    )
    for row in by_group.to_pylist():
        low, high = row["mean_low"], row["mean_high"]
        between = say_range(low, high, say_amount) if low is not None else DASH
        share = say_share(row["value_share"])
        table.add_row(
            str(row[column] or "–"), say_integer(row["n_customers"]), say_amount(row["mean_value"]), between, share
        )
    output.open_console().print(table)


def _print_growth(growth: pa.Table) -> None:
    output.say("\nExpected value just before and after a move (Mondays; describes, proves no cause)")
    table = output.make_grid(
        ("move", "left"),
        ("customers", "right"),
        ("before", "right"),
        ("after", "right"),
        ("growth", "right"),
        ("95 %", "right"),
        ("of those who stayed", "right"),
    )
    for row in growth.to_pylist():
        if row["growth"] is None:
            continue
        stayed = say_or_dash(row["growth_stayed"], say_gain)
        between = say_range(row["growth_low"], row["growth_high"], say_gain)
        table.add_row(
            f"{row['from_state']} → {row['to_state']}",
            say_integer(row["n_customers"]),
            say_amount(row["value_before"]),
            say_amount(row["value_after"]),
            say_gain(row["growth"]),
            between,
            stayed,
        )
    output.open_console().print(table)
    for why in growth["why_not"].unique().drop_null().to_pylist()[:3]:
        output.say(f"Note: some moves have no number: {why}.")
    output.say("What a move adds against customers alike: values.parquet of the run.")
