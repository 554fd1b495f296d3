"""Logistic regression, multinomial for more than two classes."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from sojourn.frames import F8, I8
from sojourn.predict.candidates import Candidate
from sojourn.predict.models import Linear, with_marks
from sojourn.predict.scale import learn_scale

NAME = "logistic regression"
_STRENGTHS = (0.003, 0.03, 0.3)  # C of the logistic regression
_MANY_ROWS = 20_000  # from which on any of them will do


def fit_logistic(x: F8, y: I8, seed: int) -> Linear:
    """Logistic regression, multinomial for more than two classes, drawn to zero as strongly as the data allow."""
    scale = learn_scale(x)
    z = with_marks(scale, x)
    fitted = LogisticRegression(C=_choose_strength(z, y, seed), max_iter=400).fit(z, y)
    weight = np.asarray(fitted.coef_.T, np.float64)
    n = x.shape[1]
    return Linear(scale, weight[:n].copy(), weight[n:].copy(), np.asarray(fitted.intercept_, np.float64))


def _choose_strength(z: F8, y: I8, seed: int) -> float:
    """The penalty (C) with the least loss on rows held out, in three folds."""
    if len(y) > _MANY_ROWS or not z.shape[1]:
        return _STRENGTHS[-1]
    if np.bincount(y)[np.unique(y)].min() < 3:
        return _STRENGTHS[1]
    loss = np.zeros(len(_STRENGTHS))
    for a, b in StratifiedKFold(3, shuffle=True, random_state=seed).split(z, y):
        for i, strength in enumerate(_STRENGTHS):
            fitted = LogisticRegression(C=strength, max_iter=200).fit(z[a], y[a])
            p = fitted.predict_proba(z[b])[np.arange(len(b)), np.searchsorted(fitted.classes_, y[b])]
            loss[i] -= np.log(np.maximum(p, 1e-9)).sum()
    return _STRENGTHS[int(loss.argmin())]


CANDIDATE = Candidate(NAME, rank=1, is_glass=True, fit=fit_logistic, is_for_many=True, turn=1)
