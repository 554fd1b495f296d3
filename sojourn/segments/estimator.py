"""Segments as a scikit-learn estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from sojourn.errors import SojournError
from sojourn.frames import F8
from sojourn.predict import K_MAX, LEAST, draw_seed
from sojourn.segments.choose import choose_number
from sojourn.segments.cluster import COUNTED
from sojourn.segments.find import fit_clusters
from sojourn.segments.prepare import learn_preparation
from sojourn.segments.space import learn_space, place_in_space


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
        if len(X) < LEAST:
            raise ValueError(f"n_samples={len(X)} are too few for segments; {LEAST} are needed")
        if self.method not in COUNTED:
            raise ValueError(f"method={self.method!r} is none of {', '.join(COUNTED)}")
        seed, table = draw_seed(self.random_state), _table(X)
        try:
            self._space = learn_space(table, learn_preparation(table, seed=seed), rng=np.random.default_rng(seed))
            placed = place_in_space(self._space, table)
            points = placed.coordinates[~placed.is_outlier]
            k = self.n_clusters
            if k is None:
                k = choose_number(points, self.method, k_max=max(2, min(K_MAX, len(points) // 5)), seed=seed).k
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


def _table(X: F8) -> pa.Table:
    """The rows as the table of customers that segments are made of."""
    ids = pa.array(np.arange(len(X)).astype(str))
    return pa.table({"customer_id": ids, **{f"column {c}": X[:, c] for c in range(X.shape[1])}})
