"""Two of Sojourn's models as scikit-learn estimators, for pipelines, searches and cross-validation there.

They delegate to the functions that ``sojourn predict`` and ``sojourn segments`` use, and keep scikit-learn's
conventions: its own checks run over them in the tests. Importing this module loads scikit-learn, which
``import sojourn`` does not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, ClusterMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from sojourn.errors import SojournError
from sojourn.predict_fit import fit_additive
from sojourn.predict_models import score_rows, split_score
from sojourn.segment_choose import choose_number
from sojourn.segment_cluster import COUNTED
from sojourn.segment_prepare import learn_preparation
from sojourn.segment_space import learn_space, place_in_space
from sojourn.segments import fit_clusters

F8 = NDArray[np.float64]

_LEAST = 10
_K_MAX = 10


class AdditiveClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Additive boosting: a classifier whose every column can be read by itself, as ``sojourn predict`` offers it.

    The log-odds is an intercept and a looked-up number per column (:meth:`explain`); no tree combines two columns.
    Missing values are values: NaN has a number of its own. More than two classes share a softmax.

    Attributes after ``fit``: ``classes_``, ``n_features_in_``, ``feature_names_in_`` where columns have names, and
    ``model_``, which :func:`sojourn.predict_models.model_to_json` writes as plain numbers.

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
        self.model_ = fit_additive(X, code.astype(np.int64), _seed(self.random_state))
        return self

    def decision_function(self, X: Any) -> F8:
        """Log-odds [rows] of the second class; for more classes the scores [rows, classes] before the softmax."""
        rows = self._check(X)
        scores = score_rows(self.model_, rows)
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def predict_proba(self, X: Any) -> F8:
        """Probabilities [rows, classes], in the order of ``classes_``."""
        from scipy.special import expit, softmax

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


class CustomerSegmenter(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """Segments of rows that are alike, prepared and counted as ``sojourn segments`` does.

    Skewed columns are put on a logarithmic scale, tails cut, all made comparable; outliers take no part in finding the
    segments and are put into the nearest. ``method``: ``kmeans``, ``minibatch``, ``gmm`` or ``ward``. ``n_clusters``
    None: chosen by silhouette, elbow, BIC and stability together, at most ten.

    Attributes after ``fit``: ``labels_`` [rows], ``is_outlier_`` [rows], ``n_clusters_``, ``n_features_in_``, and
    ``feature_names_in_`` where columns have names.

    >>> X = np.random.default_rng(0).normal(size=(90, 2)) + np.repeat([[0.0], [9.0], [20.0]], 30, axis=0)
    >>> found = CustomerSegmenter().fit(X)
    >>> found.n_clusters_, np.bincount(found.labels_).tolist()
    (3, [30, 30, 30])
    """

    def __init__(self, *, method: str = "kmeans", n_clusters: int | None = None, random_state: Any = 0) -> None:
        self.method = method
        self.n_clusters = n_clusters
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def fit(self, X: Any, y: Any = None) -> CustomerSegmenter:
        """Finds the segments of rows ``X`` [rows, columns]; ``y`` is not looked at.

        ``ValueError`` for fewer than ten rows, an unknown method, and columns that tell no row from another.
        """
        X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan")
        if len(X) < _LEAST:
            raise ValueError(f"n_samples={len(X)} are too few for segments; {_LEAST} are needed")
        if self.method not in COUNTED:
            raise ValueError(f"method={self.method!r} is none of {', '.join(COUNTED)}")
        seed, table = _seed(self.random_state), _table(X)
        try:
            self._space = learn_space(table, learn_preparation(table, seed=seed), rng=np.random.default_rng(seed))
            placed = place_in_space(self._space, table)
            points = placed.coordinates[~placed.is_outlier]
            k = self.n_clusters
            if k is None:
                k = choose_number(points, self.method, k_max=max(2, min(_K_MAX, len(points) // 5)), seed=seed).k
            self._clusters = fit_clusters(points, self.method, k, seed=seed)
        except SojournError as error:
            raise ValueError(str(error)) from None
        self.labels_ = self._clusters.assign(placed.coordinates)[0].astype(np.int64)
        self.is_outlier_ = placed.is_outlier
        self.n_clusters_ = len(self._clusters)
        return self

    def predict(self, X: Any) -> NDArray[np.int64]:
        """The segment of each row, of rows that were not there too."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)
        placed = place_in_space(self._space, _table(X))
        return np.asarray(self._clusters.assign(placed.coordinates)[0], np.int64)


def _seed(random_state: Any) -> int:
    """A whole number from what scikit-learn allows: one, a generator, or None for another each time."""
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def _table(X: F8) -> pa.Table:
    """The rows as the table of customers that segments are made of."""
    ids = pa.array(np.arange(len(X)).astype(str))
    return pa.table({"customer_id": ids, **{f"column {c}": X[:, c] for c in range(X.shape[1])}})
