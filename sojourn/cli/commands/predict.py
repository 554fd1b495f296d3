"""The command `predict`: what customers will do next. It reads arguments, prints and writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sojourn.cli import print as output
from sojourn.cli.options import Benefit, Budget, Cost, Json, Seed, SomeEvents, SomePlaybook
from sojourn.errors import Problem, SojournError
from sojourn.pages.words.numbers import (
    say_amount,
    say_count,
    say_date,
    say_error,
    say_integer,
    say_loss,
    say_number,
    say_probability,
    say_score,
    say_share,
    say_window,
)
from sojourn.pipelines.inputs import read_log
from sojourn.pipelines.predict import _card, _foreseen_card, _without_arrays, _write

if TYPE_CHECKING:
    import pyarrow as pa

    from sojourn.pipelines.predict import Ahead
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
    if table is not None:
        if label is None:
            raise SojournError(Problem("--table", "name the column to predict with --label"))
        _predict_table(table, label, positive, without or [], cost, benefit, out, budget, seed, as_json)
        return
    if playbook is None:
        raise SojournError(Problem("predict", "events need a playbook", command="sojourn predict EVENTS -p shop"))
    _predict_events(events or [], playbook, outcome or [], horizon, gap, cost, benefit, out, budget, seed, as_json)


def _predict_table(
    path: Path, label: str, positive: str | None, without: list[str], cost: float, benefit: float, out: Path | None,
    budget: float, seed: int, as_json: bool,
) -> None:  # fmt: skip
    from sojourn.errors import nearest
    from sojourn.frames.files import read_plain
    from sojourn.predict.outcome import predict_table

    plain = read_plain(path, [label])
    for name in without:
        if name not in plain.column_names:
            raise SojournError(Problem("--without", f"there is no column '{name}'", nearest(name, plain.column_names)))
    with output.progress_bars(is_silent=as_json) as progress:
        found, rows = predict_table(
            plain, label, positive=positive, without=without, cost=cost, benefit=benefit, budget_s=budget, seed=seed,
            progress=progress,
        )  # fmt: skip
    facts = {"source": str(path), "rows": plain.num_rows, "outcomes": [_card(found)]}
    _write(out, {"predictions": rows}, facts)
    if as_json:
        output.print_json(_without_arrays(facts))
        return
    _print_prediction(found)
    _say_written(out, {"predictions": rows})


def _predict_events(
    events: list[str], playbook: str, outcomes: list[str], horizon: float | None, gap: float, cost: float,
    benefit: float, out: Path | None, budget: float, seed: int, as_json: bool,
) -> None:  # fmt: skip
    import pyarrow as pa

    from sojourn.pages.words.predictions import say_warning
    from sojourn.pipelines.predict import look_ahead
    from sojourn.playbook.load import load_playbook
    from sojourn.predict.from_events import predict_outcomes
    from sojourn.predict.learning import find_outcome

    book = load_playbook(playbook)
    for name in outcomes:
        find_outcome(book, name)  # said before the work starts
    days = None if horizon is None else horizon * 86_400
    with output.progress_bars(is_silent=as_json) as progress:
        log = read_log(events, book, progress)
        found = predict_outcomes(
            log.events, book, outcomes=outcomes, gap_s=gap * 86_400,
            horizon_s=days, cost=cost, benefit=benefit, budget_s=budget,
            seed=seed, progress=progress,
        )  # fmt: skip
        ahead = look_ahead(log.events, book, horizon_s=days, seed=seed) if not outcomes else None
    facts: dict[str, Any] = {"source": list(log.sources), "playbook_hash": book.hash, "seed": seed}
    facts["outcomes"] = [_foreseen_card(f) for f in found]
    tables = [f.rows for f in found if f.rows is not None]
    written = {"predictions": pa.concat_tables(tables)} if tables else {}
    if ahead is not None:
        facts["ahead"] = ahead.as_dict()
        if ahead.next_state is not None:
            written["next_state"] = ahead.next_state.rows
        if ahead.next_time is not None:
            written["next_time"] = ahead.next_time.rows
    _write(out, written, facts, say_warning(ahead.warning) if ahead is not None and ahead.warning else None)
    if as_json:
        output.print_json(_without_arrays(facts))
        return
    for foreseen in found:
        _print_foreseen(foreseen)
    if ahead is not None:
        _print_ahead(ahead)
    _say_written(out, written)


def _say_written(out: Path | None, tables: dict[str, pa.Table]) -> None:
    if out is not None:
        names = [*(f"{name}.parquet" for name in tables), "prediction_models.json", "predictions.html"]
        output.say(f"\nWritten  {', '.join(str(out / name) for name in names)}")


def _print_ahead(ahead: Ahead) -> None:
    from sojourn.pages.words.predictions import say_warning

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
    from sojourn.pages.words.predictions import say_added

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
    from sojourn.pages.words.predictions import say_price

    output.say(f"{found.outcome}: {say_share(found.base_rate)} of {say_integer(found.n_rows)} rows")
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
            t.name, say_error(s.log_loss, t.se_log_loss, say_loss), say_error(s.auc, t.se_auc), say_loss(s.brier),
            say_score(s.calibration_error), say_share(s.accuracy), note,
        )  # fmt: skip
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
