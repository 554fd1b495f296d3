"""Models of outcomes as a version can use them: fitted to its features and states, or refused with the reason."""

from __future__ import annotations

from dataclasses import dataclass

from sojourn.errors import Problem
from sojourn.frames import F8, I8
from sojourn.live.engine.version.steps import Inputs
from sojourn.predict import Chance, Reader, Score, Split


@dataclass(frozen=True, eq=False)
class Deployed:
    """A model that fits the version in use. ``columns`` are its inputs among all that the version offers.

    ``silence_us`` is set where the outcome is a silence: customers who are silent for longer have no prediction.
    """

    outcome: str
    version: int
    kind: str
    threshold: float
    data_to: str
    reader: Reader
    score: Score
    chance: Chance
    split: Split
    columns: I8
    silence_us: int | None


@dataclass(frozen=True)
class Refused:
    """A model that cannot be used with the version in use, and why, in words."""

    outcome: str
    version: int | None
    problem: Problem


InUse = Deployed | Refused


def score(model: Deployed, inputs: Inputs) -> F8:
    """The probability of the outcome per row of inputs; NaN where the model does not apply."""
    return model.chance(model.score(inputs.values), inputs.when)
