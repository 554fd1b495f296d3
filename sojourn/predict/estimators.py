"""Two of Sojourn's models as scikit-learn estimators, for pipelines, searches and cross-validation there.

They delegate to the functions that ``sojourn predict`` and ``sojourn segments`` use, and keep scikit-learn's
conventions: its own checks run over them in the tests. Importing this module loads scikit-learn, which
``import sojourn`` does not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from sojourn.frames import F8
from sojourn.predict.kinds import fit_additive
from sojourn.predict.models import score_rows, split_score

LEAST = 10
K_MAX = 10


class AdditiveClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Additive boosting: a classifier whose every column can be read by itself, as ``sojourn predict`` offers it.

    The log-odds is an intercept and a looked-up number per column (:meth:`explain`); no tree combines two columns.
    Missing values are values: NaN has a number of its own. More than two classes share a softmax.

    Attributes after ``fit``: ``classes_``, ``n_features_in_``, ``feature_names_in_`` where columns have names, and
    ``model_``, which :func:`sojourn.predict.models.model_to_json` writes as plain numbers.

    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(400, 3))
    >>> y = np.where(X[:, 0] > 0, "stays", "leaves")
    >>> found = AdditiveClassifier().fit(X, y)
    >>> found.score(X, y) > 0.95, found.explain(X).shape
    (True, (400, 3, 1))

    Source: Lou, Caruana & Gehrke 2012, doi:10.1145/2339530.2339556 (generalized additive models by boosting).
    """

    def __init__(self, *, random_state: Any = 0) -> None:
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def fit(self, X: Any, y: Any) -> AdditiveClassifier:
        """Learns the tables from rows ``X`` [rows, columns] and their classes; ``ValueError`` for fewer than two."""
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_all_finite="allow-nan")
        check_classification_targets(y)
        self.classes_, code = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"there is only 1 class in y, {self.classes_[0]!r}; a classifier needs two")
        self.model_ = fit_additive(X, code.astype(np.int64), draw_seed(self.random_state))
        return self

    def decision_function(self, X: Any) -> F8:
        """Log-odds [rows] of the second class; for more classes the scores [rows, classes] before the softmax."""
        rows = self._check(X)
        scores = score_rows(self.model_, rows)
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def predict_proba(self, X: Any) -> F8:
        """Probabilities [rows, classes], in the order of ``classes_``."""
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.column_stack([expit(-scores), expit(scores)])
        return np.asarray(softmax(scores, axis=1))

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest class of each row."""
        scores = self.decision_function(X)
        code = (scores > 0).astype(np.int64) if scores.ndim == 1 else scores.argmax(axis=1)
        return np.asarray(self.classes_[code])

    def explain(self, X: Any) -> F8:
        """What each column adds [rows, columns, outputs]; with the intercept of ``model_`` it is the score, exactly."""
        rows = self._check(X)
        found = split_score(self.model_, rows)
        assert found is not None  # an additive model adds up
        return found[0]

    def _check(self, X: Any) -> F8:
        check_is_fitted(self)
        return np.asarray(validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False))


def draw_seed(random_state: Any) -> int:
    """A whole number from what scikit-learn allows: one, a generator, or None for another each time."""
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))
