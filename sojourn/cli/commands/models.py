"""The command `models`: the models there are, their cards, and which is in use."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sojourn.cli import print as output
from sojourn.cli.options import Json, ModelsFolder
from sojourn.pipelines import models as job
from sojourn.predict import write_card

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
    if name is None:
        _print_list(models, as_json=as_json)
        return
    if use is not None:
        job.use_version(models, name, use, why=why)
    found = job.read_history(models, name)
    if as_json:
        output.print_json(found.as_dict())
        return
    output.say(write_card(found.card))
    for decision in found.decisions:
        output.say(f"{decision.at[:16]}  version {decision.version} in use: {decision.why}")


def _print_list(models: Path, *, as_json: bool) -> None:
    found = job.list_models(models)
    if as_json:
        output.print_json({"models": [asdict(one) for one in found]})
        return
    for one in found:
        used = f"version {one.in_use} in use" if one.in_use else "none in use"
        output.say(f"{one.name}: {one.versions} versions, {used}")
    if not found:
        output.say(f"No models in {models}. Next: sojourn retrain EVENTS --playbook PLAYBOOK --models {models}")
