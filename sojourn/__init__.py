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
    from sojourn.pipelines.explain import explain
    from sojourn.pipelines.run import run
    from sojourn.playbook.load import load_playbook
    from sojourn.playbook.objects import Playbook
    from sojourn.simulation.simulate import simulate

__version__ = "0.1.0"

__all__ = [
    "EventsError",
    "Playbook",
    "PlaybookError",
    "Problem",
    "Results",
    "SojournError",
    "explain",
    "load_playbook",
    "read_events",
    "run",
    "simulate",
]

_HOME = {
    "EventsError": "sojourn.errors",
    "Playbook": "sojourn.playbook.objects",
    "PlaybookError": "sojourn.errors",
    "Problem": "sojourn.errors",
    "Results": "sojourn.pages.results",
    "SojournError": "sojourn.errors",
    "explain": "sojourn.pipelines.explain",
    "load_playbook": "sojourn.playbook.load",
    "read_events": "sojourn.events.read",
    "run": "sojourn.pipelines.run",
    "simulate": "sojourn.simulation.simulate",
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
    """Keeps a public name for its function where a submodule is called the same (``sojourn.simulate``).

    Importing a submodule binds it on its package, which would hide the function from then on.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
