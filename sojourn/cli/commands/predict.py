"""The command `predict`: what customers will do next. It reads arguments and prints."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from sojourn.cli import print as output
from sojourn.cli.options import Benefit, Budget, Cost, Json, Seed, SomeEvents, SomePlaybook
from sojourn.errors import Problem, SojournError
from sojourn.pages.words.predictions import say_added, say_warning
from sojourn.pipelines import predict as job
from sojourn.predict.ahead import Ahead
from sojourn.predict.choose import say_price
from sojourn.predict.from_events import Foreseen
from sojourn.predict.outcome import Prediction

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
                table, label or "", positive=positive, without=without or (), cost=cost, benefit=benefit,
                budget_s=budget, out=out, seed=seed, progress=progress,
            )  # fmt: skip
        else:
            found = job.predict(
                events, playbook or "", outcomes=outcome or (), horizon_days=horizon, gap_days=gap, cost=cost,
                benefit=benefit, budget_s=budget, out=out, seed=seed, progress=progress,
            )  # fmt: skip
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
        output.say(f"\nState in {ahead.next_state.horizon_s / 86_400:g} days, judged on later time and other customers")
        table = output.make_grid(("inputs", "left"), ("log loss", "right"), ("right", "right"))
        for row in ahead.next_state.compared.to_pylist():
            table.add_row(
                row["inputs"], f"{row['log_loss']:.4f} ± {row['log_loss_se']:.4f}", output.show_share(row["right"], 1)
            )
        output.open_console().print(table)
    if ahead.next_time is not None:
        t = ahead.next_time
        output.say(
            f"\nTime of the next {t.event}: log loss {t.log_loss:.4f}, {t.log_loss_base:.4f} when everybody is alike "
            f"(gain ± {t.log_loss_gain_se:.4f})"
        )
    if ahead.warning is not None:
        output.say(f"\n{say_warning(ahead.warning)}")
    for name, why in ahead.why_not.items():
        output.say(f"\n{name.replace('_', ' ').capitalize()}: not told, {why}")


def _print_foreseen(found: Foreseen) -> None:
    if found.prediction is None or found.cuts is None or found.added is None:
        output.say(f"\n{found.outcome}: not predicted, {found.why_not}")
        return
    days = found.cuts.horizon_s / 86_400
    output.say(
        f"\n{found.outcome} within {days:g} days: learned at {len(found.cuts.train)} instants up to "
        f"{found.cuts.train[-1]:%Y-%m-%d}, judged at {found.cuts.test:%Y-%m-%d}"
    )
    _print_prediction(found.prediction)
    output.say("\nThe same learner on other inputs")
    table = output.make_grid(("inputs", "left"), ("log loss", "right"), ("AUC", "right"), ("", "left"))
    for row in found.added.to_pylist():
        table.add_row(row["inputs"], f"{row['log_loss']:.4f}", f"{row['auc']:.3f} ± {row['auc_se']:.3f}", "")
    output.open_console().print(table)
    output.say(say_added(found.added))


def _print_prediction(found: Prediction) -> None:
    output.say(f"{found.outcome}: {100 * found.base_rate:.1f} % of {found.n_rows:,} rows")
    table = output.make_grid(
        ("model", "left"), ("log loss", "right"), ("AUC", "right"), ("Brier", "right"), ("calibration", "right"),
        ("right", "right"), ("", "left"),
    )  # fmt: skip
    for t in sorted(found.choice.tried, key=lambda t: t.candidate.rank):
        if t.scores is None:
            continue
        s = t.scores
        note = ", ".join(
            word for word, name in (("deployed", found.choice.deployed), ("best", found.choice.best)) if name == t.name
        )
        table.add_row(
            t.name, f"{s.log_loss:.4f} ± {t.se_log_loss:.4f}", f"{s.auc:.3f} ± {t.se_auc:.3f}", f"{s.brier:.4f}",
            f"{s.calibration_error:.3f}", output.show_share(s.accuracy, 1), note,
        )  # fmt: skip
    output.open_console().print(table)
    left = [t for t in found.choice.tried if t.why_not is not None]
    if left:
        output.say(f"Note: {', '.join(t.name for t in left)}: {left[0].why_not}")
    output.say(say_price(found.price))
    first, limit = found.gains.to_pylist()[0], found.threshold
    output.say(
        f"The likeliest {100 * first['share']:.0f} % hold {100 * first['gain']:.0f} % of all "
        f"(lift {first['lift']:.1f}). "
        f"Acting pays from p = {limit.p:.2f} on: {limit.profit:.3f} a row; on everybody {limit.profit_all:.3f}"
    )
    top = ", ".join(f"{row['column']} {row['weight']:.2f}" for row in found.weights.slice(0, 5).to_pylist())
    output.say(f"What counts (mean part of the log-odds): {top}")
    for leak in found.leaks:
        output.say(f"Warning: {leak.why}")
    for note in found.notes:
        output.say(f"Note: {note}")
