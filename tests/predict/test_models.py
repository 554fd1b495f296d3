"""Models as plain arrays score as the libraries that fitted them do, also after a trip through JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest

from sojourn.errors import SojournError
from sojourn.predict.candidates import Candidate, list_candidates
from sojourn.predict.kinds import additive as predict_fit
from sojourn.predict.models import model_from_json, model_to_json, score_rows, split_score, with_marks
from sojourn.testing import check_model


def make_rows(rng: np.random.Generator, n: int) -> tuple[Any, Any]:
    """Four columns: a number, a skewed one, a few levels, and one that is often missing; and a label."""
    x = np.column_stack([rng.normal(size=n), rng.lognormal(0, 2, n), rng.integers(0, 3, n), rng.normal(size=n)])
    x[rng.random(n) < 0.3, 3] = np.nan
    log_odds = x[:, 0] + np.log1p(x[:, 1]) - x[:, 2] + np.nan_to_num(x[:, 3], nan=-2.0) * (x[:, 2] > 1)
    return x, (rng.random(n) < 1 / (1 + np.exp(-log_odds))).astype(np.int64)


def log_odds(fitted: Any, x: Any) -> Any:
    p = fitted.predict_proba(x)[:, 1]
    return np.log(np.clip(p, 1e-6, 1 - 1e-6) / (1 - np.clip(p, 1e-6, 1 - 1e-6)))


def spy(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[Any]:
    """The estimators that are fitted while the test runs."""
    seen: list[Any] = []
    plain = getattr(owner, name)

    class Spied(plain):  # type: ignore[misc, valid-type]
        def fit(self, *args: Any, **kwargs: Any) -> Any:
            seen.append(self)
            return super().fit(*args, **kwargs)

    Spied.__name__ = name
    list_candidates()  # imports the modules of all kinds
    kinds = [module for path, module in sys.modules.items() if path.startswith("sojourn.predict.kinds.")]
    for module in (owner, *kinds):
        if getattr(module, name, None) is plain:
            monkeypatch.setattr(module, name, Spied)
    return seen


CASES = {
    "logistic regression": ("sklearn.linear_model", "LogisticRegression"),
    "decision tree": ("sklearn.tree", "DecisionTreeClassifier"),
    "additive boosting": ("sklearn.ensemble", "HistGradientBoostingClassifier"),
    "explainable boosting": ("interpret.glassbox", "ExplainableBoostingClassifier"),
    "random forest": ("sklearn.ensemble", "RandomForestClassifier"),
    "gradient boosting": ("sklearn.ensemble", "HistGradientBoostingClassifier"),
    "support vectors": ("sklearn.svm", "SVC"),
    "neural network": ("sklearn.neural_network", "MLPClassifier"),
}


@pytest.mark.parametrize("name", CASES)
def test_plain_arrays_score_as_the_library_does(name, monkeypatch):
    module, estimator = CASES[name]
    owner = pytest.importorskip(module, reason=f"{name} needs sojourn[glass]")
    seen = spy(monkeypatch, owner, estimator)
    rng = np.random.default_rng(1)
    x, y = make_rows(rng, 900)
    candidate: Candidate = next(c for c in list_candidates() if c.name == name)
    model = candidate.fit(x, y, 0)
    fresh, _ = make_rows(rng, 500)
    ours = score_rows(model, fresh)[:, 0]
    fitted = seen[-1]  # those before it chose the strength of the penalty
    if name == "additive boosting":
        codes = np.column_stack([predict_fit._code(e, fresh[:, c]) for c, e in enumerate(model.edges)])
        theirs = fitted.decision_function(codes)
    elif name in {"logistic regression", "support vectors"}:
        theirs = fitted.decision_function(with_marks(model.scale, fresh))
    elif name == "neural network":
        theirs = log_odds(fitted, with_marks(model.scale, fresh))
        ours = np.clip(ours, -13.8, 13.8)
    elif name in {"decision tree", "random forest"}:
        theirs = log_odds(fitted, fresh)
    else:
        theirs = fitted.decision_function(fresh)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
    again = model_from_json(json.loads(json.dumps(model_to_json(model))))
    np.testing.assert_array_equal(score_rows(again, fresh)[:, 0], score_rows(model, fresh)[:, 0])
    parts = split_score(model, fresh)
    assert (parts is not None) == (name in {"logistic regression", "additive boosting", "explainable boosting"})
    if parts is not None:
        np.testing.assert_allclose(parts[0].sum(axis=1) + parts[1], score_rows(model, fresh), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["logistic regression", "additive boosting"])
def test_more_than_two_classes_score_as_the_library_does(name, monkeypatch):
    module, estimator = CASES[name]
    seen = spy(monkeypatch, pytest.importorskip(module), estimator)
    x, y = make_rows(np.random.default_rng(2), 900)
    three = y + (x[:, 0] > 0.5)
    model = next(c for c in list_candidates() if c.name == name).fit(x, three, 0)
    into = with_marks(model.scale, x) if name == "logistic regression" else None
    if into is None:
        into = np.column_stack([predict_fit._code(e, x[:, c]) for c, e in enumerate(model.edges)])
    np.testing.assert_allclose(score_rows(model, x), seen[-1].decision_function(into), rtol=1e-9, atol=1e-9)


def test_what_is_no_model_is_refused():
    with pytest.raises(SojournError, match="no model of this version"):
        model_from_json({"form": "oracle"})


@pytest.mark.parametrize("candidate", list_candidates(), ids=lambda one: one.name)
def test_every_kind_keeps_what_is_asked_of_kinds(candidate: Candidate) -> None:
    check_model(candidate)
