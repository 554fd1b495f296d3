"""Sojourn: which behavioural state each customer is in, since when, why, and what moves them on.

The public names below load on first use, so ``import sojourn`` is quick and compiles nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sojourn.errors import EventsError, PlaybookError, Problem, SojournError
    from sojourn.events.read import read_events
    from sojourn.pages.results import Results
    from sojourn.pipelines.brief import brief
    from sojourn.pipelines.check import check
    from sojourn.pipelines.explain import explain
    from sojourn.pipelines.link import link
    from sojourn.pipelines.moments import moments
    from sojourn.pipelines.plan import plan
    from sojourn.pipelines.predict import predict, predict_label
    from sojourn.pipelines.results import ResultsFolder
    from sojourn.pipelines.retrain import retrain
    from sojourn.pipelines.run import run
    from sojourn.pipelines.segments import segments
    from sojourn.pipelines.send_times import send_times
    from sojourn.pipelines.sentiment import sentiment
    from sojourn.pipelines.stability import stability
    from sojourn.pipelines.substates import substates
    from sojourn.pipelines.value import value
    from sojourn.playbook.load import load_playbook
    from sojourn.playbook.objects import Playbook
    from sojourn.simulation.customers import simulate

__version__ = "0.1.0"

__all__ = [
    "EventsError",
    "Playbook",
    "PlaybookError",
    "Problem",
    "Results",
    "ResultsFolder",
    "SojournError",
    "brief",
    "check",
    "explain",
    "link",
    "load_playbook",
    "moments",
    "plan",
    "predict",
    "predict_label",
    "read_events",
    "retrain",
    "run",
    "segments",
    "send_times",
    "sentiment",
    "simulate",
    "stability",
    "substates",
    "value",
]

_HOME = {
    "EventsError": "sojourn.errors",
    "Playbook": "sojourn.playbook.objects",
    "PlaybookError": "sojourn.errors",
    "Problem": "sojourn.errors",
    "Results": "sojourn.pages.results",
    "ResultsFolder": "sojourn.pipelines.results",
    "SojournError": "sojourn.errors",
    "brief": "sojourn.pipelines.brief",
    "check": "sojourn.pipelines.check",
    "explain": "sojourn.pipelines.explain",
    "link": "sojourn.pipelines.link",
    "load_playbook": "sojourn.playbook.load",
    "moments": "sojourn.pipelines.moments",
    "plan": "sojourn.pipelines.plan",
    "predict": "sojourn.pipelines.predict",
    "predict_label": "sojourn.pipelines.predict",
    "read_events": "sojourn.events.read",
    "retrain": "sojourn.pipelines.retrain",
    "run": "sojourn.pipelines.run",
    "segments": "sojourn.pipelines.segments",
    "send_times": "sojourn.pipelines.send_times",
    "sentiment": "sojourn.pipelines.sentiment",
    "simulate": "sojourn.simulation.customers",
    "stability": "sojourn.pipelines.stability",
    "substates": "sojourn.pipelines.substates",
    "value": "sojourn.pipelines.value",
}


_SUBPACKAGES = {"fold": "sojourn.fold", "hmm": "sojourn.states.hmm"}
"""Also reached as attributes: ``sojourn.hmm.fit``."""


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return import_module(_SUBPACKAGES[name])
    if name not in _HOME:
        raise AttributeError(f"module 'sojourn' has no attribute {name!r}")
    found = getattr(import_module(_HOME[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_SUBPACKAGES})


class _Package(ModuleType):
    """Keeps a public name for its function where a package is called the same: ``sojourn.segments``.

    Importing a package binds it on its parent, which would hide the function from then on. What is in the package is
    imported as ever: ``from sojourn.segments import find``.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
