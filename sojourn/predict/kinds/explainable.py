"""The explainable boosting machine, where ``interpret-core`` is installed."""

from __future__ import annotations

import warnings

import numpy as np

from sojourn.frames import F8, I8
from sojourn.predict.candidates import Candidate
from sojourn.predict.models import Additive, Pair

NAME = "explainable boosting"


def fit_explainable(x: F8, y: I8, seed: int) -> Additive:
    """The explainable boosting machine of ``interpret-core``, with a few pairs of columns.

    Source: Nori et al. 2019, arXiv:1909.09223.
    """
    # interpret: an extra
    from interpret.glassbox import ExplainableBoostingClassifier

    fitted = ExplainableBoostingClassifier(
        outer_bags=4,
        interactions=10,
        learning_rate=0.04,
        early_stopping_rounds=50,
        n_jobs=1,
        random_state=seed,
        feature_types=["continuous"] * x.shape[1],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that its own drawings leave out missing values; these are not drawn by it
        fitted.fit(x, y)
    edges, tables, pairs = [np.empty(0)] * x.shape[1], [np.zeros((2, 1))] * x.shape[1], []
    for columns, scores in zip(fitted.term_features_, fitted.term_scores_, strict=True):
        cuts = [np.asarray(fitted.bins_[c][min(len(columns), len(fitted.bins_[c])) - 1], np.float64) for c in columns]
        inner = scores[tuple(slice(0, -1) for _ in columns)]  # the last is for values never seen: there are none
        for axis in range(len(columns)):
            inner = np.roll(inner, -1, axis=axis)  # missing comes first there, last here
        if len(columns) == 1:
            edges[columns[0]], tables[columns[0]] = cuts[0], inner[:, None]
        else:
            pairs.append(Pair((int(columns[0]), int(columns[1])), (cuts[0], cuts[1]), inner[:, :, None]))
    return Additive(tuple(edges), tuple(tables), tuple(pairs), np.asarray(fitted.intercept_, np.float64))


CANDIDATE = Candidate(NAME, rank=4, is_glass=True, fit=fit_explainable, turn=8, library="interpret")
