"""One decision tree."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.tree import DecisionTreeClassifier

from sojourn.frames import F8, I8
from sojourn.predict.candidates import Candidate
from sojourn.predict.models import Trees

NAME = "decision tree"


def fit_tree(x: F8, y: I8, seed: int) -> Trees:
    """One tree of at most sixteen leaves, each of at least 1 % of the rows."""
    model = DecisionTreeClassifier(max_leaf_nodes=16, min_samples_leaf=max(20, len(x) // 100), random_state=seed)
    return take_trees([model.fit(x, y)])


def take_trees(fitted: Any) -> Trees:
    """Trees whose leaves are probabilities, as flat arrays."""
    parts = [tree.tree_ for tree in fitted]
    sizes = np.array([part.node_count for part in parts])
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)

    def join(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in parts])

    shift = np.repeat(roots, sizes)
    is_leaf = join("children_left") < 0
    value = join("value")[:, 0, :]
    return Trees(
        roots,
        np.where(is_leaf, -1, join("feature")).astype(np.int64),
        join("threshold").astype(np.float64),
        (join("children_left") + shift).astype(np.int64),
        (join("children_right") + shift).astype(np.int64),
        join("missing_go_to_left").astype(bool),
        value[:, 1] / value.sum(axis=1),
        np.zeros(1),
        True,
    )


CANDIDATE = Candidate(NAME, rank=2, is_glass=True, fit=fit_tree, turn=4)
