"""Gradient boosting of trees that may combine columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from sojourn.frames import F8, I8
from sojourn.predict.candidates import Candidate
from sojourn.predict.models import Trees

NAME = "gradient boosting"


def fit_boosting(x: F8, y: I8, seed: int) -> Trees:
    """Gradient boosting of trees that may combine columns."""
    fitted = boost_trees(x, y, seed, max_leaf_nodes=15, min_samples_leaf=20)
    nodes = [part[0].nodes for part in fitted._predictors]
    sizes = np.array([len(part) for part in nodes])
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    shift = np.repeat(roots, sizes)
    whole = np.concatenate(nodes)
    is_leaf = whole["is_leaf"].astype(bool)
    return Trees(
        roots,
        np.where(is_leaf, -1, whole["feature_idx"]).astype(np.int64),
        whole["num_threshold"].astype(np.float64),
        whole["left"].astype(np.int64) + shift,
        whole["right"].astype(np.int64) + shift,
        whole["missing_go_to_left"].astype(bool),
        np.where(is_leaf, whole["value"], 0.0),
        np.ravel(fitted._baseline_prediction).astype(np.float64),
        False,
    )


def boost_trees(x: F8, y: I8, seed: int, **settings: Any) -> Any:
    """The fitted estimator of scikit-learn, stopped early where there are rows enough to see when."""
    is_large = len(x) >= 400  # with fewer there is too little to stop early on
    settings = {"learning_rate": 0.05, "max_iter": 400 if is_large else 60, "l2_regularization": 1.0} | settings
    return HistGradientBoostingClassifier(
        early_stopping=is_large, validation_fraction=0.15, n_iter_no_change=20, random_state=seed, **settings
    ).fit(x, y)


CANDIDATE = Candidate(NAME, rank=6, is_glass=False, fit=fit_boosting, turn=3)
