"""The commands `retrain` and `models`: models that keep learning, and all that is known of each version."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sojourn.cli import print as output
from sojourn.cli.options import Benefit, Budget, Cost, Events, Json, ModelsFolder, PlaybookOption, Seed
from sojourn.errors import Problem, SojournError
from sojourn.pages.words.numbers import say_loss, say_score
from sojourn.pipelines.retrain import _choose, _digest, _look_at_segments, _read_states, _retrain_all

if TYPE_CHECKING:
    from sojourn.pipelines.retrain import Retrained
    from sojourn.predict.registry import Card

SHORT_HELP = "Let models keep learning: challenger against champion."

STALE_EXIT = 3
"""The exit code of --alarm where a segment is stale."""


def command(
    events: Events,
    playbook: PlaybookOption,
    models: ModelsFolder = Path("models"),
    outcome: Annotated[
        list[str] | None,
        typer.Option("--outcome", metavar="NAME", show_default="all of them", help="May be repeated."),
    ] = None,
    states: Annotated[
        Path | None,
        typer.Option(
            "--states",
            metavar="RESULTS",
            show_default="as the playbook says",
            help="Take the state model of a folder that `sojourn run` wrote.",
        ),
    ] = None,
    protected: Annotated[
        Path | None,
        typer.Option(
            "--protected",
            metavar="TABLE",
            show_default=False,
            help="Parquet or CSV with customer_id and protected attributes, which no new model may treat worse.",
        ),
    ] = None,
    unaudited: Annotated[
        bool, typer.Option("--unaudited", help="Allow models without a look at the playbook's protected attributes.")
    ] = False,
    if_drift: Annotated[
        bool, typer.Option("--if-drift", help="Train only where customers have changed since the model was made.")
    ] = False,
    cost: Cost = 1,
    benefit: Benefit = 5,
    budget: Budget = 120,
    every: Annotated[
        float | None,
        typer.Option(
            "--every", min=0.0001, metavar="DAYS", show_default="once", help="Do it again and again, until stopped."
        ),
    ] = None,
    segments: Annotated[
        Path | None,
        typer.Option(
            "--segments",
            metavar="PATH",
            show_default=False,
            help="Say what has not changed in six months: a folder of `sojourn segments`, or a table of exports.",
        ),
    ] = None,
    alarm: Annotated[
        bool, typer.Option("--alarm", help="End with exit code 3 where a segment is stale, for schedulers.")
    ] = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Example: `sojourn retrain shop-data/events.parquet --playbook shop --outcome conversion --models models`

    Trains a challenger on what is known now, compares it with the model in use on recent customers that neither has
    seen, and puts it into use only if it is better by more than chance and no worse for protected attributes.
    """
    from sojourn.frames.files import read_plain
    from sojourn.pages.words.segments import say_staleness
    from sojourn.pipelines.retrain import Asked
    from sojourn.playbook.load import load_playbook
    from sojourn.predict.registry import lock_models

    book = load_playbook(playbook)
    names = _choose(book, outcome or [])
    if book.protected and protected is None and not unaudited:
        what = f"the playbook protects {', '.join(book.protected)}: name a table of it with --protected, or --unaudited"
        raise SojournError(Problem("retrain", what))
    if alarm and segments is None:
        raise SojournError(Problem("--alarm", "name the segments to look at with --segments"))
    audited = None if protected is None else read_plain(protected, ["customer_id"])
    asked = Asked(cost, benefit, budget, seed, audited, if_drift)
    settings = {"cost": cost, "benefit": benefit, "budget_s": budget, "seed": seed, "protected": _digest(protected)}

    def work() -> bool:
        """One round; whether a segment is stale."""
        made_with = settings | {"states": _digest(states / "model.json" if states else None)}
        with lock_models(models):
            facts = _retrain_all(events, book, names, models, _read_states(book, states), asked, made_with, as_json)
            found = _look_at_segments(segments, models) if segments else None
        stale = [r["segment"] for r in found.to_pylist() if r["is_stale"]] if found is not None else []
        if as_json:
            told = {"models": str(models), "outcomes": facts}
            if found is not None:
                told |= {"segments": found.to_pylist(), "stale_segments": stale}
            output.print_json(told)
        elif found is not None:
            for sentence in say_staleness(found):
                output.say(sentence)
        return bool(stale)

    is_stale = work()
    while every is not None:
        time.sleep(every * 86_400)
        try:
            work()
        except SojournError as error:  # the next round may find what this one lacked
            output.say_error(str(error))
    if alarm and is_stale:
        raise typer.Exit(STALE_EXIT)


def _say_done(card: Card, models: Path, now: datetime, before: int | None, as_json: bool) -> dict[str, Any]:
    """Nothing to train. A winner that was stored when the process or the power went is put into use now."""
    from sojourn.predict.registry import list_decisions, put_into_use

    decided = {one.version for one in list_decisions(models, card.name)}
    is_late = card.is_winner and card.version not in decided
    if is_late:
        put_into_use(models, card.name, card.version, at=now.isoformat(), why=card.note)
    what = (
        "is in use now" if is_late else "is in use" if card.version == before else f"was kept, version {before} stays"
    )
    why = f"nothing new: version {card.version}, made of the same events, {what}"
    if not as_json:
        output.say(f"{card.name}: {why}.")
    return {"outcome": card.name, "version": card.version if is_late else None, "champion_before": before,
            "why_not": why, "metrics": None, "drift": []}  # fmt: skip


def _print(found: Retrained, card: Card | None, before: int | None) -> None:
    from sojourn.pages.words.predictions import say_drift

    if card is None:
        output.say(f"{found.outcome}: version {before} stays, {found.verdict.why}.")
    else:
        scores = f"log loss {say_loss(card.metrics['log_loss'])}, AUC {say_score(card.metrics['auc'])}"
        what = "is in use now" if found.verdict.is_promoted else f"is kept, version {before} stays"
        output.say(f"{found.outcome}: version {card.version} ({card.kind}, {scores}) {what}: {found.verdict.why}.")
    for sentence in say_drift(found.drift)[:5] if found.drift is not None else []:
        output.say(f"  {sentence}")
