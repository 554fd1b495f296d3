"""The scikit-learn estimators: its own checks, and that they say what the functions behind them say."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from sojourn.predict.estimators import AdditiveClassifier
from sojourn.predict.models import model_from_json, model_to_json, score_rows
from sojourn.segments.estimator import CustomerSegmenter


@parametrize_with_checks([AdditiveClassifier(), CustomerSegmenter(n_clusters=2)])
def test_conventions(estimator: Any, check: Any) -> None:
    """No check is expected to fail."""
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([CustomerSegmenter(), CustomerSegmenter(method="gmm", n_clusters=3)])
def test_conventions_of_other_ways(estimator: Any, check: Any) -> None:
    check(estimator)


def test_the_classifier_adds_up_and_can_be_written_down() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(500, 3))
    x[rng.random(500) < 0.2, 2] = np.nan
    y = np.where(x[:, 0] + np.isnan(x[:, 2]) > 0.5, "yes", "no")
    found = AdditiveClassifier().fit(pd.DataFrame(x, columns=["a", "b", "c"]), y)
    assert found.feature_names_in_.tolist() == ["a", "b", "c"]
    score = found.decision_function(pd.DataFrame(x, columns=["a", "b", "c"]))
    parts = found.explain(pd.DataFrame(x, columns=["a", "b", "c"]))
    np.testing.assert_allclose(parts.sum(axis=1)[:, 0] + found.model_.intercept[0], score, rtol=1e-9)
    weight = np.abs(parts[:, :, 0]).mean(axis=0)
    assert weight[1] < 0.2 * min(weight[0], weight[2])  # the column without meaning
    again = model_from_json(json.loads(json.dumps(model_to_json(found.model_))))
    np.testing.assert_allclose(score_rows(again, x)[:, 0], score, rtol=1e-12)
    np.testing.assert_allclose(found.predict_proba(x_frame(x))[:, 1], 1 / (1 + np.exp(-score)), rtol=1e-9)


def x_frame(x: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(x, columns=["a", "b", "c"])


def test_it_takes_part_in_cross_validation_and_pipelines() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(600, 2))
    y = (rng.random(600) < 1 / (1 + np.exp(-3 * x[:, 0]))).astype(int)
    scores = cross_val_score(make_pipeline(FunctionTransformer(), AdditiveClassifier()), x, y, cv=3, scoring="roc_auc")
    truth = np.array([(a > b) + 0.5 * (a == b) for a in x[y == 1, 0] for b in x[y == 0, 0]]).mean()
    assert abs(scores.mean() - truth) < 0.04  # the best that anybody can do


@pytest.mark.parametrize("method", ["kmeans", "minibatch", "gmm", "ward"])
def test_the_segmenter_finds_what_was_planted_also_in_new_rows(method: str) -> None:
    rng = np.random.default_rng(5)
    truth = np.repeat([0, 1, 2], 60)
    x = rng.normal(size=(180, 2)) + 12 * truth[:, None]
    found = CustomerSegmenter(method=method, n_clusters=3).fit(x)
    assert adjusted_rand_score(truth, found.labels_) > 0.97
    new = rng.normal(size=(30, 2)) + 12 * np.repeat([0, 1, 2], 10)[:, None]
    assert adjusted_rand_score(np.repeat([0, 1, 2], 10), found.predict(new)) > 0.97


def test_what_cannot_be_segmented_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="none of kmeans"):
        CustomerSegmenter(method="kmean").fit(np.arange(40.0).reshape(20, 2))
    with pytest.raises(ValueError, match="too few for 15 segments"):
        CustomerSegmenter(n_clusters=15).fit(np.random.default_rng(0).normal(size=(20, 2)))
    with pytest.raises(ValueError, match="nothing tells the 20"):
        CustomerSegmenter(n_clusters=2).fit(np.ones((20, 2)))
