"""The command `predict`: what customers will do next. It reads arguments and prints."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from sojourn.cli import print as output
from sojourn.cli.options import Benefit, Budget, Cost, Json, Seed, SomeEvents, SomePlaybook
from sojourn.errors import Problem, SojournError
from sojourn.pages.words import (
    say_added,
    say_amount,
    say_count,
    say_date,
    say_error,
    say_integer,
    say_loss,
    say_number,
    say_price,
    say_probability,
    say_score,
    say_share,
    say_warning,
    say_window,
)
from sojourn.pipelines import predict as job
from sojourn.predict import Ahead, Foreseen, Prediction

SHORT_HELP = "What customers will do next, and why."


def command(
    events: SomeEvents = None,
    playbook: SomePlaybook = None,
    outcome: Annotated[
        list[str] | None,
        typer.Option(
            "--outcome", metavar="NAME", show_default="all of the playbook", help="An outcome; may be repeated."
        ),
    ] = None,
    horizon: Annotated[
        float | None,
        typer.Option(
            "--horizon", min=0.1, metavar="DAYS", show_default="of the outcome", help="Days ahead that are predicted."
        ),
    ] = None,
    gap: Annotated[
        float, typer.Option("--gap", min=0.0, metavar="DAYS", help="Days after the prediction that do not count yet.")
    ] = 0.0,
    table: Annotated[
        Path | None,
        typer.Option(
            "--table", metavar="FILE", show_default=False, help="A plain table with a label instead: CSV or Parquet."
        ),
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", metavar="COLUMN", show_default=False, help="The column to predict.")
    ] = None,
    positive: Annotated[
        str | None,
        typer.Option(
            "--positive",
            metavar="VALUE",
            show_default="yes, true or 1, else the rarer",
            help="The value of the label that means yes.",
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="COLUMN", show_default=False, help="Leave a column out; may be repeated."),
    ] = None,
    cost: Cost = 1,
    benefit: Benefit = 5,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", show_default=False, help="Folder for tables, models and a page."),
    ] = None,
    budget: Budget = 120,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Example: `sojourn predict shop-data/events.parquet --playbook shop --outcome conversion --out predicted`

    Predicts the outcomes of the playbook for every customer, with reasons that add up. Models are compared on later
    time and other customers; the most readable of the best is taken, and the price of reading it is printed.
    """
    if (table is None) == (not events):
        raise SojournError(Problem("predict", "give either EVENTS with --playbook, or --table with --label"))
    if table is not None and label is None:
        raise SojournError(Problem("--table", "name the column to predict with --label"))
    if table is None and playbook is None:
        raise SojournError(Problem("predict", "events need a playbook", command="sojourn predict EVENTS -p shop"))
    with output.progress_bars(is_silent=as_json) as progress:
        if table is not None:
            found = job.predict_label(
                table,
                label or "",
                positive=positive,
                without=without or (),
                cost=cost,
                benefit=benefit,
                budget_s=budget,
                out=out,
                seed=seed,
                progress=progress,
            )
        else:
            found = job.predict(
                events,
                playbook or "",
                outcomes=outcome or (),
                horizon_days=horizon,
                gap_days=gap,
                cost=cost,
                benefit=benefit,
                budget_s=budget,
                out=out,
                seed=seed,
                progress=progress,
            )
    if as_json:
        output.print_json(found.as_dict())
        return
    if found.label is not None:
        _print_prediction(found.label)
    for foreseen in found.outcomes:
        _print_foreseen(foreseen)
    if found.ahead is not None:
        _print_ahead(found.ahead)
    _say_written(out, found.tables)


def _say_written(out: Path | None, tables: Iterable[str]) -> None:
    if out is not None:
        names = [*(f"{name}.parquet" for name in tables), "prediction_models.json", "predictions.html"]
        output.say(f"\nWritten  {', '.join(str(out / name) for name in names)}")


def _print_ahead(ahead: Ahead) -> None:
    if ahead.next_state is not None:
        output.say(f"\nState in {say_window(ahead.next_state.horizon_s)}, judged on later time and other customers")
        table = output.make_grid(("inputs", "left"), ("log loss", "right"), ("right", "right"))
        for row in ahead.next_state.compared.to_pylist():
            table.add_row(
                row["inputs"], say_error(row["log_loss"], row["log_loss_se"], say_loss), say_share(row["right"])
            )
        output.open_console().print(table)
    if ahead.next_time is not None:
        t = ahead.next_time
        output.say(
            f"\nTime of the next {t.event}: log loss {say_loss(t.log_loss)}, {say_loss(t.log_loss_base)} when "
            f"everybody is alike (gain {say_error(t.log_loss_base - t.log_loss, t.log_loss_gain_se, say_loss)})"
        )
    if ahead.warning is not None:
        output.say(f"\n{say_warning(ahead.warning)}")
    for name, why in ahead.why_not.items():
        output.say(f"\n{name.replace('_', ' ').capitalize()}: not told, {why}")


def _print_foreseen(found: Foreseen) -> None:
    if found.prediction is None or found.cuts is None or found.added is None:
        output.say(f"\n{found.outcome}: not predicted, {found.why_not}")
        return
    output.say(
        f"\n{found.outcome} within {say_window(found.cuts.horizon_s)}: learned at "
        f"{say_count(len(found.cuts.train), 'instant')} up to "
        f"{say_date(found.cuts.train[-1], year=True)}, judged at {say_date(found.cuts.test, year=True)}"
    )
    _print_prediction(found.prediction)
    output.say("\nThe same learner on other inputs")
    table = output.make_grid(("inputs", "left"), ("log loss", "right"), ("AUC", "right"), ("", "left"))
    for row in found.added.to_pylist():
        table.add_row(row["inputs"], say_loss(row["log_loss"]), say_error(row["auc"], row["auc_se"]), "")
    output.open_console().print(table)
    output.say(say_added(found.added))


def _print_prediction(found: Prediction) -> None:
    output.say(f"{found.outcome}: {say_share(found.base_rate)} of {say_integer(found.n_rows)} rows")
    table = output.make_grid(
        ("model", "left"),
        ("log loss", "right"),
        ("AUC", "right"),
        ("Brier", "right"),
        ("calibration", "right"),
        ("right", "right"),
        ("", "left"),
    )
    for t in sorted(found.choice.tried, key=lambda t: t.candidate.rank):
        if t.scores is None:
            continue
        s = t.scores
        note = ", ".join(
            word for word, name in (("deployed", found.choice.deployed), ("best", found.choice.best)) if name == t.name
        )
        table.add_row(
            t.name,
            say_error(s.log_loss, t.se_log_loss, say_loss),
            say_error(s.auc, t.se_auc),
            say_loss(s.brier),
            say_score(s.calibration_error),
            say_share(s.accuracy),
            note,
        )
    output.open_console().print(table)
    left = [t for t in found.choice.tried if t.why_not is not None]
    if left:
        output.say(f"Note: {', '.join(t.name for t in left)}: {left[0].why_not}")
    output.say(say_price(found.price))
    first, limit = found.gains.to_pylist()[0], found.threshold
    output.say(
        f"The likeliest {say_share(first['share'])} hold {say_share(first['gain'])} of all "
        f"(lift {say_number(first['lift'])}). Acting pays from a probability of {say_probability(limit.p)} on: "
        f"{say_amount(limit.profit)} a row; on everybody {say_amount(limit.profit_all)}"
    )
    top = ", ".join(f"{row['column']} {say_number(row['weight'])}" for row in found.weights.slice(0, 5).to_pylist())
    output.say(f"What counts (mean part of the log-odds): {top}")
    for leak in found.leaks:
        output.say(f"Warning: {leak.why}")
    for note in found.notes:
        output.say(f"Note: {note}")
