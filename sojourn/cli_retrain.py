"""The commands `retrain` and `models`: models that keep learning, and all that is known of each version."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from hashlib import sha256
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

STALE_EXIT = 3
"""The exit code of --alarm where a segment is stale."""

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
    from sojourn.plain_table import read_plain
    from sojourn.playbook import load_playbook
    from sojourn.registry import lock_models
    from sojourn.retrain_events import Asked
    from sojourn.staleness import say_staleness

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


def _digest(path: Path | None) -> str | None:
    """What tells a file from others."""
    return None if path is None or not path.is_file() else sha256(path.read_bytes()).hexdigest()[:16]


def _look_at_segments(segments: Path, models: Path) -> pa.Table:
    """The staleness of segments, kept beside the models."""
    from sojourn.output import write_alone
    from sojourn.segment_files import read_past
    from sojourn.staleness import judge_staleness

    past = read_past(segments)
    found = judge_staleness(past.exports, str(segments), names=past.names, told=past.told)
    write_alone(found, models / "segment_staleness.parquet")
    return found


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
    events: list[str], book: Playbook, names: list[str], models: Path, states: StateModel, asked: Asked,
    made_with: dict[str, Any], as_json: bool,
) -> list[dict[str, Any]]:  # fmt: skip
    with output.progress_bars(is_silent=as_json) as progress:
        log = read_log(events, book, progress)
        facts = []
        for k, name in enumerate(names):
            progress("retrain", k, len(names))
            facts.append(_retrain(log.events, book, name, models, states, asked, made_with, as_json))
        progress("retrain", len(names), len(names))
    return facts


def _retrain(
    events: pa.Table, book: Playbook, name: str, models: Path, states: StateModel, asked: Asked,
    made_with: dict[str, Any], as_json: bool,
) -> dict[str, Any]:  # fmt: skip
    from sojourn.errors import EventsError
    from sojourn.registry import add_model, find_champion, put_into_use, read_model
    from sojourn.retrain_events import retrain_outcome

    now, before = datetime.now(UTC), find_champion(models, name)
    done = _find_done(events, book, name, models, made_with)
    if done is not None:
        return _say_done(done, models, now, before, as_json)
    champion = read_model(models, name, before)[1] if before is not None else None
    try:
        found = retrain_outcome(events, book, name, states, champion=champion, asked=asked)
    except EventsError as error:
        why = "; ".join(problem.what for problem in error.problems)
        output.say_error(f"{name}: not trained, {why}", is_marked=False)
        return {"outcome": name, "why_not": why}
    card = None
    if found.record is not None:
        card = add_model(models, _make_card(found, book, now, made_with), found.record)
        if found.verdict.is_promoted:
            put_into_use(models, name, card.version, at=now.isoformat(), why=found.verdict.why)
    if not as_json:
        _print(found, card, before)
    return _describe(found, card, before)


def _find_done(events: pa.Table, book: Playbook, name: str, models: Path, made_with: dict[str, Any]) -> Card | None:
    """The version that was made of just this: the same last event, playbook, code and settings. None: there is none."""
    from sojourn.registry import list_cards

    last = events["event_at"][-1].as_py().isoformat()
    cards = [
        card for card in list_cards(models, name)
        if (card.data_to, card.playbook, card.code_version, dict(card.asked))
        == (last, book.hash, sojourn.__version__, made_with)
    ]  # fmt: skip
    return cards[-1] if cards else None


def _say_done(card: Card, models: Path, now: datetime, before: int | None, as_json: bool) -> dict[str, Any]:
    """Nothing to train. A winner that was stored when the process or the power went is put into use now."""
    from sojourn.registry import list_decisions, put_into_use

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


def _make_card(found: Retrained, book: Playbook, now: datetime, made_with: dict[str, Any]) -> Card:
    from sojourn.registry import Card

    record = found.record
    assert record is not None
    return Card(
        name=found.outcome, kind=record["deployed"], created_at=now.isoformat(), data_from=record["data_from"],
        data_to=record["data_to"], n_customers=record["n_customers"], code_version=sojourn.__version__,
        playbook=book.hash, inputs=tuple(record["model"]["columns"]), metrics=record["metrics"],
        audit=dict(found.audit or {}), note=found.verdict.why,
        asked=made_with, is_winner=found.verdict.is_promoted,
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
