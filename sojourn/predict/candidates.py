"""Candidates to predict with, a file each in ``predict/kinds`` or an entry point in the group ``sojourn.models``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sojourn.errors import Problem, SojournError
from sojourn.frames import F8, I8, find_plugins, load_plugins
from sojourn.predict.models import Form

Fit = Callable[[F8, I8, int], Form]

KINDS = Path(__file__).parent / "kinds"
GROUP = "sojourn.models"


@dataclass(frozen=True)
class Candidate:
    """A way to predict. ``rank``: how hard it is to read, 1 is easiest; ``is_glass``: each column's part can be read.

    ``fit(x, y, seed)`` takes x [rows, columns] and y as whole numbers from 0, and gives the fitted model as plain
    arrays, one of the forms of :mod:`sojourn.predict.models`.
    """

    name: str
    rank: int
    is_glass: bool
    fit: Fit
    is_for_many: bool = False  # whether it does more than two classes
    turn: int = 100  # candidates are tried in this order, and then by name
    library: str | None = None  # what must be importable besides what Sojourn needs


def list_candidates() -> tuple[Candidate, ...]:
    """All candidates in the order in which they are tried, the quickest of a kind first, for the sake of a budget.

    The explainable boosting machine takes longer than all others together: it is last, and only where it is installed.
    Raises SojournError for a plugin whose module has no ``CANDIDATE``.
    """
    found = []
    for name, module in load_plugins(find_plugins(KINDS, GROUP, "NAME")).items():
        candidate = getattr(module, "CANDIDATE", None)
        if not isinstance(candidate, Candidate):
            raise SojournError(Problem(f"model '{name}'", "its module has no CANDIDATE of sojourn.predict.candidates"))
        if candidate.library is None or find_spec(candidate.library):
            found.append(candidate)
    return tuple(sorted(found, key=lambda one: (one.turn, one.name)))
