"""The command `models`: the models there are, their cards, and which is in use."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from sojourn.cli import print as output
from sojourn.cli.options import Json, ModelsFolder

SHORT_HELP = "The models there are, their cards, and which is in use."


def command(
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

    from sojourn.predict.registry import (
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
