"""The command `retrain`: models that keep learning."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from sojourn.cli import print as output
from sojourn.cli.options import Benefit, Budget, Cost, Events, Json, ModelsFolder, PlaybookOption, Seed
from sojourn.errors import Problem, SojournError
from sojourn.pages.words import say_drift, say_loss, say_score, say_staleness
from sojourn.pipelines import Asked
from sojourn.pipelines import retrain as job

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
    if alarm and segments is None:
        raise SojournError(Problem("--alarm", "name the segments to look at with --segments"))

    def work() -> bool:
        """One round; whether a segment is stale."""
        with output.progress_bars(is_silent=as_json) as progress:
            found = job.retrain(
                events,
                playbook,
                models=models,
                outcomes=outcome or (),
                states=states,
                protected=protected,
                is_unaudited=unaudited,
                segments=segments,
                asked=Asked(cost, benefit, budget, seed, is_drift_needed=if_drift),
                progress=progress,
            )
        _print(found, as_json=as_json)
        return bool(found.stale_segments)

    is_stale = work()
    while every is not None:
        time.sleep(every * 86_400)
        try:
            work()
        except SojournError as error:  # the next round may find what this one lacked
            output.say_error(str(error))
    if alarm and is_stale:
        raise typer.Exit(STALE_EXIT)


def _print(found: job.Retraining, *, as_json: bool) -> None:
    for one in found.attempts:
        if one.found is None and not one.is_done:
            output.say_error(f"{one.outcome}: not trained, {one.why_not}", is_marked=False)
        elif not as_json:
            _print_attempt(one)
    if as_json:
        output.print_json(found.as_dict())
    elif found.staleness is not None:
        for sentence in say_staleness(found.staleness):
            output.say(sentence)


def _print_attempt(one: job.Attempt) -> None:
    found, card, before = one.found, one.card, one.before
    if found is None:
        output.say(f"{one.outcome}: {one.why_not}.")
        return
    if card is None:
        output.say(f"{found.outcome}: version {before} stays, {found.verdict.why}.")
    else:
        scores = f"log loss {say_loss(card.metrics['log_loss'])}, AUC {say_score(card.metrics['auc'])}"
        what = "is in use now" if found.verdict.is_promoted else f"is kept, version {before} stays"
        output.say(f"{found.outcome}: version {card.version} ({card.kind}, {scores}) {what}: {found.verdict.why}.")
    for sentence in say_drift(found.drift)[:5] if found.drift is not None else []:
        output.say(f"  {sentence}")
