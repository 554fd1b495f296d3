"""Two maps of the customers: the exact one of principal components, and one by t-SNE that keeps neighbours together.

t-SNE (van der Maaten and Hinton 2008) places only those it was fitted on. It is fitted on a sample; everybody else, new
customers too, goes to the weighted mean of their five nearest in it. So a new customer never lies outside of the map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from sklearn.manifold import TSNE

from sojourn.frames import F8, I8
from sojourn.segments.space import Placed

_SAMPLE = 1_000
_NEAR = 5
_PERPLEXITY = 30.0
_STEPS = 500


@dataclass(frozen=True, eq=False)
class Map:
    """Positions [R, 2] of the references of a space; those that t-SNE was not fitted on are placed already."""

    positions: F8

    def place(self, placed: Placed) -> F8:
        """Positions of customers [N, 2]: the mean of the five nearest references, weighted by inverse distance."""
        return mean_of_near(placed.near[:, :_NEAR], placed.distance[:, :_NEAR], self.positions)


def learn_map(references: Placed, *, seed: int = 0) -> Map:
    """The map of the references of a space, themselves placed in it; t-SNE is fitted on at most 1,000 of them."""
    # threadpoolctl: reads all loaded libraries
    from threadpoolctl import threadpool_limits

    points = references.coordinates.astype(float)
    n = len(points)
    inside = np.flatnonzero(~references.is_outlier)
    rows = inside if len(inside) >= 10 else np.arange(n)
    if len(rows) > _SAMPLE:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _SAMPLE, replace=False))
    perplexity = min(_PERPLEXITY, max(1.0, (len(rows) - 1) / 3))
    with threadpool_limits(1):
        begin = _begin(points[rows])
        fit = TSNE(2, perplexity=perplexity, init=begin, max_iter=_STEPS, random_state=seed, n_jobs=1).fit_transform(
            points[rows]
        )
    distance, near = cKDTree(points[rows]).query(points, k=min(_NEAR, len(rows)))
    near, distance = near.reshape(n, -1), distance.reshape(n, -1)
    positions = mean_of_near(near, distance, np.asarray(fit, float))
    positions[rows] = fit
    return Map(positions)


def _begin(points: F8) -> NDArray[np.float32]:
    """The first two directions, made small: what t-SNE starts from, so that far groups keep their places."""
    two = np.zeros((len(points), 2), np.float32)
    two[:, : points.shape[1]] = points[:, :2]
    return two / np.float32(max(float(two[:, 0].std()), 1e-12)) * np.float32(1e-4)


def mean_of_near(near: I8, distance: F8, positions: F8) -> F8:
    """Means of the positions of neighbours, the nearer the weightier.

    >>> mean_of_near(np.array([[0, 1]]), np.array([[1.0, 3.0]]), np.array([[0.0, 0.0], [4.0, 8.0]]))
    array([[1., 2.]])
    """
    weight = 1.0 / np.maximum(distance, 1e-9)
    weight /= weight.sum(axis=1, keepdims=True)
    return np.asarray(np.einsum("ij,ijd->id", weight, positions[near]))
