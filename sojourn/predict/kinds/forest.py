"""A random forest."""

from __future__ import annotations

from sklearn.ensemble import RandomForestClassifier

from sojourn.frames import F8, I8
from sojourn.predict.candidates import Candidate
from sojourn.predict.kinds.tree import take_trees
from sojourn.predict.models import Trees

NAME = "random forest"


def fit_forest(x: F8, y: I8, seed: int) -> Trees:
    """A hundred trees on resampled rows."""
    model = RandomForestClassifier(100, min_samples_leaf=max(5, len(x) // 2000), max_samples=0.7, random_state=seed)
    return take_trees(model.fit(x, y).estimators_)


CANDIDATE = Candidate(NAME, rank=5, is_glass=False, fit=fit_forest, turn=5)
