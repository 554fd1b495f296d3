"""The space in which customers are compared: main directions of the prepared inputs, and who stands apart in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from sojourn.frames import F8, I8
from sojourn.segments.prepare import F4, Preparation

_KEPT = 0.9  # share of the variance that the directions keep
_MOST_DIRECTIONS = 20
_NEAR_DIRECTIONS = 5  # of the space of neighbours, beside the distance to it
_NEIGHBOURS = 10
_REFERENCES = 5_000
_FENCE = 3.0
_CHUNK = 100_000


@dataclass(frozen=True, eq=False)
class Space:
    """Principal components of the prepared inputs, exact: ``(x - mean) @ directions``.

    ``directions`` [inputs, D] hold 90 % of the variance, at most 20; ``share`` [D] is what each explains.
    ``references`` [R, 6] are customers that new ones are measured against, in the first five directions and the
    distance to them; a customer farther than ``fence`` from the tenth of them is an outlier.
    """

    preparation: Preparation
    mean: F8
    directions: F8
    share: F8
    references: F8
    reference_rows: I8
    fence: float


@dataclass(frozen=True, eq=False)
class Placed:
    """Customers in a space: ``coordinates`` [N, D], their nearest references ``near`` [N, 10] with ``distance``
    [N, 10], and ``is_outlier`` [N]."""

    coordinates: F4
    near: I8
    distance: F8
    is_outlier: NDArray[np.bool_]


def learn_space(table: pa.Table, preparation: Preparation, *, rng: np.random.Generator) -> Space:
    """The space of these customers, with at most 5,000 of them drawn as references."""
    total, cross, n = np.zeros(len(preparation.inputs)), 0.0, table.num_rows
    for start in range(0, n, _CHUNK):
        part = preparation.apply(table.slice(start, _CHUNK)).astype(float)
        total = total + part.sum(axis=0)
        cross = cross + part.T @ part
    mean = total / n
    values, vectors = np.linalg.eigh(cross / n - np.outer(mean, mean))
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    share = values / max(float(values.sum()), 1e-300)
    n_kept = min(int(np.searchsorted(np.cumsum(share), _KEPT - 1e-9)) + 1, _MOST_DIRECTIONS, len(values))
    directions = vectors[:, : max(n_kept, min(2, len(values)))]
    largest = np.abs(directions).argmax(axis=0)
    directions = directions * np.sign(directions[largest, np.arange(directions.shape[1])])  # one sign on any machine
    rows = np.sort(rng.choice(n, min(n, _REFERENCES), replace=False))
    bare = Space(preparation, mean, directions, share[: directions.shape[1]], np.empty((0, 1)), rows, np.inf)
    references = _locate(bare, table.take(pa.array(rows)))[1]
    distance, _ = _find_near(references, references)
    return Space(preparation, mean, directions, bare.share, references, rows, _find_fence(distance[:, -1]))


def place_in_space(space: Space, table: pa.Table) -> Placed:
    """Where customers are, new ones or those that the space was learned from."""
    parts = [_place(space, table.slice(start, _CHUNK)) for start in range(0, max(table.num_rows, 1), _CHUNK)]
    return Placed(
        np.concatenate([one.coordinates for one in parts]),
        np.concatenate([one.near for one in parts]),
        np.concatenate([one.distance for one in parts]),
        np.concatenate([one.is_outlier for one in parts]),
    )


def _place(space: Space, table: pa.Table) -> Placed:
    coordinates, place = _locate(space, table)
    distance, near = _find_near(space.references, place)
    return Placed(coordinates.astype(np.float32), near, distance, distance[:, -1] > space.fence)


def _locate(space: Space, table: pa.Table) -> tuple[F8, F8]:
    """Coordinates with tails cut, and the place among references with tails as long as they are."""
    inside = space.preparation.apply(table) - space.mean
    whole = space.preparation.apply(table, is_clipped=False) - space.mean
    place = whole @ space.directions[:, :_NEAR_DIRECTIONS]
    rest = np.maximum((whole**2).sum(axis=1) - (place**2).sum(axis=1), 0.0)
    usual = max(float(len(space.mean) - place.shape[1]), 1.0)  # what the rest is, where each input has unit spread
    beside = np.sqrt(rest) - min(np.sqrt(usual), np.inf)
    return inside @ space.directions, np.column_stack([place, np.maximum(beside, 0.0)])


def _find_near(references: F8, place: F8) -> tuple[F8, I8]:
    """Distances to the ten nearest references and which they are; a reference is no neighbour of itself."""
    n = min(_NEIGHBOURS, max(len(references) - 1, 1))
    distance, near = cKDTree(references).query(place, k=n + 1 if len(references) > n else n)
    distance, near = np.atleast_2d(distance.reshape(len(place), -1)), np.atleast_2d(near.reshape(len(place), -1))
    if distance.shape[1] == n:
        return distance, near.astype(np.int64)
    is_self = distance[:, :1] == 0
    return np.where(is_self, distance[:, 1:], distance[:, :-1]), np.where(is_self, near[:, 1:], near[:, :-1])


def _find_fence(distance: F8) -> float:
    """Three interquartile ranges beyond the upper quartile of the logarithm (Tukey 1977, outer fence)."""
    known = np.log(distance[distance > 0])
    if len(known) < 20:
        return float("inf")
    q1, q3 = np.quantile(known, [0.25, 0.75])
    return float(np.exp(q3 + _FENCE * max(q3 - q1, 0.1)))
