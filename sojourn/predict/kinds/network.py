"""A neural network with one hidden layer."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.neural_network import MLPClassifier

from sojourn.frames import F8, I8
from sojourn.predict.candidates import Candidate
from sojourn.predict.models import Network, with_marks
from sojourn.predict.scale import learn_scale

NAME = "neural network"
_MOST_NETWORK_ROWS = 50_000


def fit_network(x: F8, y: I8, seed: int) -> Network:
    """A network with one hidden layer of 32, stopped early."""
    scale = learn_scale(x)
    rows = np.random.default_rng(seed).permutation(len(x))[:_MOST_NETWORK_ROWS]
    fitted = MLPClassifier(
        (32,), alpha=1e-2, early_stopping=len(rows) >= 400, n_iter_no_change=5, max_iter=60, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that 60 rounds were not enough shows in its scores
        fitted.fit(with_marks(scale, x)[rows], y[rows])
    return Network(
        scale,
        tuple(np.asarray(w, np.float64) for w in fitted.coefs_),
        tuple(np.asarray(s, np.float64) for s in fitted.intercepts_),
    )


CANDIDATE = Candidate(NAME, rank=8, is_glass=False, fit=fit_network, turn=7)
