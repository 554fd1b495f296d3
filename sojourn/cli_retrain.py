"""The commands `retrain` and `models`: models that keep learning, and all that is known of each version."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import sojourn
from sojourn import cli_output as output
from sojourn.cli_events import Benefit, Budget, Cost, Events, PlaybookOption, Seed, read_log
from sojourn.cli_project import Json
from sojourn.errors import Problem, SojournError

if TYPE_CHECKING:
    import pyarrow as pa

    from sojourn.playbook import Playbook
    from sojourn.registry import Card
    from sojourn.retrain_events import Asked, Retrained
    from sojourn.state_model import StateModel

ModelsFolder = Annotated[Path, typer.Option("--models", "-m", metavar="DIR", help="The folder of models.")]


def retrain_command(
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
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Example: `sojourn retrain shop-data/events.parquet --playbook shop --outcome conversion --models models`

    Trains a challenger on what is known now, compares it with the model in use on recent customers that neither has
    seen, and puts it into use only if it is better by more than chance and no worse for protected attributes.
    """
    from sojourn.plain_table import read_plain
    from sojourn.playbook import load_playbook
    from sojourn.retrain_events import Asked

    book = load_playbook(playbook)
    names = _choose(book, outcome or [])
    if book.protected and protected is None and not unaudited:
        what = f"the playbook protects {', '.join(book.protected)}: name a table of it with --protected, or --unaudited"
        raise SojournError(Problem("retrain", what))
    audited = None if protected is None else read_plain(protected, ["customer_id"])
    asked = Asked(cost, benefit, budget, seed, audited, if_drift)
    while True:
        facts = _retrain_all(events, book, names, models, _read_states(book, states), asked, as_json)
        if as_json:
            output.print_json({"models": str(models), "outcomes": facts})
        if every is None:
            return
        time.sleep(every * 86_400)


def _choose(book: Playbook, wanted: list[str]) -> list[str]:
    from sojourn.learning import find_outcome

    if not book.outcomes:
        raise SojournError(Problem(str(book.path or book.name), "the playbook has no outcomes to foresee"))
    return [find_outcome(book, name).name for name in wanted] or [one.name for one in book.outcomes]


def _read_states(book: Playbook, results: Path | None) -> StateModel:
    """The state model of a run, or the one that the playbook alone describes."""
    from sojourn.deploy import read_release
    from sojourn.state_model import draft_state_model, read_state_model

    if results is None:
        return draft_state_model(book)
    return read_state_model(read_release(results).model, book, str(results / "model.json"))


def _retrain_all(
    events: list[str], book: Playbook, names: list[str], models: Path, states: StateModel, asked: Asked, as_json: bool
) -> list[dict[str, Any]]:
    with output.progress_bars(is_silent=as_json) as progress:
        log = read_log(events, book, progress)
        facts = []
        for k, name in enumerate(names):
            progress("retrain", k, len(names))
            facts.append(_retrain(log.events, book, name, models, states, asked, as_json))
        progress("retrain", len(names), len(names))
    return facts


def _retrain(
    events: pa.Table, book: Playbook, name: str, models: Path, states: StateModel, asked: Asked, as_json: bool
) -> dict[str, Any]:
    from sojourn.errors import EventsError
    from sojourn.registry import add_model, find_champion, put_into_use, read_model
    from sojourn.retrain_events import retrain_outcome

    now, before = datetime.now(UTC), find_champion(models, name)
    champion = read_model(models, name, before)[1] if before is not None else None
    try:
        found = retrain_outcome(events, book, name, states, champion=champion, asked=asked)
    except EventsError as error:
        why = "; ".join(problem.what for problem in error.problems)
        output.say_error(f"{name}: not trained, {why}", is_marked=False)
        return {"outcome": name, "why_not": why}
    card = None
    if found.record is not None:
        card = add_model(models, _make_card(found, book, now), found.record)
        if found.verdict.is_promoted:
            put_into_use(models, name, card.version, at=now.isoformat(), why=found.verdict.why)
    if not as_json:
        _print(found, card, before)
    return _describe(found, card, before)


def _make_card(found: Retrained, book: Playbook, now: datetime) -> Card:
    from sojourn.registry import Card

    record = found.record
    assert record is not None
    return Card(
        name=found.outcome, kind=record["deployed"], created_at=now.isoformat(), data_from=record["data_from"],
        data_to=record["data_to"], n_customers=record["n_customers"], code_version=sojourn.__version__,
        playbook=book.hash, inputs=tuple(record["model"]["columns"]), metrics=record["metrics"],
        audit=dict(found.audit or {}), note=found.verdict.why,
    )  # fmt: skip


def _describe(found: Retrained, card: Card | None, before: int | None) -> dict[str, Any]:
    return {
        "outcome": found.outcome,
        "version": card.version if card else None,
        "champion_before": before,
        "verdict": found.verdict.as_dict(),
        "metrics": dict(card.metrics) if card else None,
        "drift": found.drift.to_pylist() if found.drift is not None else [],
    }


def _print(found: Retrained, card: Card | None, before: int | None) -> None:
    from sojourn.drift import say_drift

    if card is None:
        output.say(f"{found.outcome}: version {before} stays, {found.verdict.why}.")
    else:
        scores = f"log loss {card.metrics['log_loss']:.4f}, AUC {card.metrics['auc']:.3f}"
        what = "is in use now" if found.verdict.is_promoted else f"is kept, version {before} stays"
        output.say(f"{found.outcome}: version {card.version} ({card.kind}, {scores}) {what}: {found.verdict.why}.")
    for sentence in say_drift(found.drift)[:5] if found.drift is not None else []:
        output.say(f"  {sentence}")


def models_command(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", show_default=False, help="The model of one outcome: its card.")
    ] = None,
    models: ModelsFolder = Path("models"),
    use: Annotated[
        int | None,
        typer.Option("--use", min=1, metavar="VERSION", show_default=False, help="Put a version of NAME into use."),
    ] = None,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for the record.")] = "by hand",
    as_json: Json = False,
) -> None:
    """Example: `sojourn models --models models`

    Lists the models that `sojourn retrain` made, with the version in use; with NAME the card of that version, every
    version and every decision; with --use another version is put into use.
    """
    from dataclasses import asdict

    from sojourn.registry import (
        find_champion,
        list_cards,
        list_decisions,
        list_names,
        put_into_use,
        read_model,
        write_card,
    )

    if name is None:
        found = [(one, find_champion(models, one), list_cards(models, one)) for one in list_names(models)]
        if as_json:
            rows = [{"name": one, "in_use": used, "versions": len(cards)} for one, used, cards in found]
            output.print_json({"models": rows})
            return
        for one, used, cards in found:
            output.say(f"{one}: {len(cards)} versions, {f'version {used} in use' if used else 'none in use'}")
        if not found:
            output.say(f"No models in {models}. Next: sojourn retrain EVENTS --playbook PLAYBOOK --models {models}")
        return
    if use is not None:
        put_into_use(models, name, use, at=datetime.now(UTC).isoformat(), why=why)
    card = read_model(models, name)[0]
    decisions = list_decisions(models, name)
    if as_json:
        versions = [asdict(one) for one in list_cards(models, name)]
        output.print_json(
            {"in_use": asdict(card), "versions": versions, "decisions": [asdict(one) for one in decisions]}
        )
        return
    output.say(write_card(card))
    for decision in decisions:
        output.say(f"{decision.at[:16]}  version {decision.version} in use: {decision.why}")


def register(app: typer.Typer) -> None:
    """Add the commands to a command line."""
    app.command("retrain", short_help="Let models keep learning: challenger against champion.")(retrain_command)
    app.command("models", short_help="The models there are, their cards, and which is in use.")(models_command)
