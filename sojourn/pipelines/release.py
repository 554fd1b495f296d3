"""The job `release`: a playbook and its model, ready to be deployed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sojourn.errors import Problem, SojournError
from sojourn.pipelines.results import ResultsFolder
from sojourn.playbook import load_playbook, parse_playbook
from sojourn.states import read_state_model


@dataclass(frozen=True)
class Release:
    """A playbook's text, and its model as ``model.json`` has it; empty: the server drafts one from the playbook."""

    playbook: str
    model: Mapping[str, Any]
    note: str


def read_release(results: Path) -> Release:
    """The playbook and model of a folder that `sojourn run` wrote. Raises SojournError where they do not fit.

    >>> read_release(Path("none"))
    Traceback (most recent call last):
    sojourn.errors.SojournError: none: this is no folder of results. Run: sojourn run EVENTS --playbook P --out none
    """
    try:
        text = (results / "playbook.yaml").read_text(encoding="utf-8")
        model = ResultsFolder(results).read_json("model")
    except (OSError, ValueError):
        command = f"sojourn run EVENTS --playbook P --out {results}"
        raise SojournError(Problem(str(results), "this is no folder of results", command=command)) from None
    playbook = parse_playbook(text, str(results / "playbook.yaml"))
    read_state_model(model, playbook, str(results / "model.json"))
    return Release(text, model, f"results of {results.resolve().name}")


def draft_release(playbook: str) -> Release:
    """A playbook without a model, of a file or a ready one. Raises PlaybookError for one that is wrong.

    >>> draft_release("shop").model
    {}
    """
    return Release(load_playbook(playbook).text, {}, f"playbook {playbook}")
