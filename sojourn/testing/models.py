"""What every kind of model must do: the same again, finite answers, through JSON, and better than a guess."""

from __future__ import annotations

import json

import numpy as np

from sojourn.frames import F8, I8
from sojourn.predict import Candidate, model_from_json, model_to_json, score_rows, split_score

LEAST_AUC = 0.65
"""A guess has .5; with the rows that are made here a neural network, which needs most rows, has .87 or more."""


def check_model(candidate: Candidate, *, n_rows: int = 1_200, seed: int = 0) -> None:
    """Raise AssertionError unless a kind of model can be fitted, stored, scored and, where it says so, read.

    >>> from sojourn.predict.kinds.logistic import CANDIDATE
    >>> check_model(CANDIDATE, n_rows=300)
    """
    rng = np.random.default_rng(seed)
    x, y = make_rows(rng, n_rows)
    fresh, happened = make_rows(rng, n_rows)
    given, labels = x.copy(), y.copy()
    model = candidate.fit(x, y, seed)
    assert np.array_equal(x, given, equal_nan=True), "fit changed x"
    assert np.array_equal(y, labels), "fit changed y"
    score = score_rows(model, fresh)
    assert score.shape == (n_rows, 1), f"scores have shape {score.shape}, not {(n_rows, 1)}"
    assert np.isfinite(score).all(), "a score is not finite; missing values and constant columns must be borne"
    again = score_rows(candidate.fit(x, y, seed), fresh)
    assert np.array_equal(score, again), "the same seed gives another model"
    stored = model_from_json(json.loads(json.dumps(model_to_json(model))))
    assert np.array_equal(score, score_rows(stored, fresh)), "the model scores otherwise after a trip through JSON"
    auc = measure_auc(score[:, 0], happened)
    assert auc >= LEAST_AUC, f"AUC {auc:.3f} on fresh rows, less than {LEAST_AUC}: it has not learned what was planted"
    if candidate.is_glass and (parts := split_score(model, fresh)) is not None:
        whole = parts[0].sum(axis=1) + parts[1]
        assert np.allclose(whole, score, rtol=1e-9, atol=1e-9), "the parts of the columns do not add up to the score"
    if candidate.is_for_many:
        three = np.digitize(np.nan_to_num(x[:, 0]), [-0.5, 0.5]).astype(np.int64)
        many = score_rows(candidate.fit(x, three, seed), fresh)
        assert many.shape == (n_rows, 3), f"scores of three classes have shape {many.shape}, not {(n_rows, 3)}"


def make_rows(rng: np.random.Generator, n: int) -> tuple[F8, I8]:
    """``(x [n, 5], y [n])``: a number, a skewed one, few levels, one often missing, one constant; y depends on them."""
    x = np.column_stack(
        [rng.normal(size=n), rng.lognormal(0, 2, n), rng.integers(0, 3, n), rng.normal(size=n), np.ones(n)]
    )
    x[rng.random(n) < 0.3, 3] = np.nan
    log_odds = 2 * x[:, 0] + np.log1p(x[:, 1]) - x[:, 2] + np.nan_to_num(x[:, 3], nan=-1.0)
    return x, (rng.random(n) < 1 / (1 + np.exp(-log_odds))).astype(np.int64)


def measure_auc(score: F8, happened: I8) -> float:
    """The probability that a row with the outcome has the higher score; ties count half."""
    yes, no = np.sort(score[happened == 1]), np.sort(score[happened == 0])
    below = np.searchsorted(no, yes, side="left") + np.searchsorted(no, yes, side="right")
    return float(below.sum() / 2 / (len(yes) * len(no)))
