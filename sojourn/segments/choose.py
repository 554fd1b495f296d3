"""How many segments: four criteria, measured on the same redrawn customers, and the fewest within one standard error.

Silhouette (Rousseeuw 1987, 10.1016/0377-0427(87)90125-7) asks how apart groups are, the elbow of the inertia (Sugar and
James 2003, 10.1198/016214503000000666) where more groups stop helping, BIC (Schwarz 1978, 10.1214/aos/1176344136) how
many the density needs, and stability (Hennig 2007, 10.1016/j.csda.2006.11.025) whether redrawn customers give the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score, pairwise_distances, silhouette_samples

from sojourn.frames import F8, I8, Progress
from sojourn.segments.cluster import (
    COUNTED,
    GMM,
    KMEANS,
    WARD,
    Clusters,
    cluster,
    count_kinds,
    cut_tree,
    draw,
    fit_mixture,
    grow_tree,
)

SAMPLE = 3_000
N_DRAWS = 12
_SILHOUETTES = 2_000
_MOST_POWER = 8
_TIGHT = 1e-9  # where groups are single points, nothing is left to be inside of
_WEAK = 0.25  # Kaufman and Rousseeuw 1990: "no substantial structure" below it
_UNSTABLE = 0.75  # Hennig 2007: a cluster found again less than so is none to rely on
CRITERIA = ("silhouette", "elbow", "bic", "stability")


@dataclass(frozen=True, eq=False)
class Choice:
    """How many segments one method makes best: ``k``, by the table of every number that was tried.

    ``table``: ``method, k, silhouette, inertia, elbow, bic, stability, score, score_se, is_chosen``. ``score`` is the
    mean of the four criteria, each from 0 (worst number tried) to 1 (best); ``score_se`` is the standard error of its
    distance to the best one. ``stability`` and ``stability_se`` are of the chosen number.
    """

    method: str
    k: int
    table: pa.Table
    score: float
    silhouette: float
    stability: float
    stability_se: float
    doubts: tuple[str, ...]


def choose_number(
    points: NDArray[np.floating],
    method: str = KMEANS,
    *,
    k: int | None = None,
    k_max: int = 10,
    n_draws: int = N_DRAWS,
    seed: int = 0,
    progress: Progress | None = None,
) -> Choice:
    """How many groups the points [N, D] make by a method, from 2 to ``k_max``. Looks at 3,000 of them at most.

    With ``k`` that number is taken, and those below it are measured beside it.

    >>> rng = np.random.default_rng(1)
    >>> points = rng.normal(size=(300, 2)) + np.repeat([[0.0, 0], [9, 0], [0, 9]], 100, axis=0)
    >>> choose_number(points, k_max=5, n_draws=5).k
    3
    """
    few = draw(points, SAMPLE, seed).astype(float)
    k_max = max(2, min(k_max, len(few) // 10, count_kinds(few, k_max))) if k is None else k
    rng = np.random.default_rng(seed)
    draws = [rng.integers(0, len(few), len(few)) for _ in range(n_draws)]
    measured = _Measures(few, method, seed, draws)
    for n in range(1, k_max + 1):
        measured.add(n)
        if progress:
            progress(f"number of segments, {method}", n, k_max)
    return _decide(measured, method, k_max, k)


class _Measures:
    """Every criterion for every number of groups, on all customers and on each draw of them."""

    def __init__(self, points: F8, method: str, seed: int, draws: list[I8]) -> None:
        self.points, self.method, self.seed, self.draws = points, method, seed, draws
        self.counts = np.stack([np.ones(len(points)), *(np.bincount(one, minlength=len(points)) for one in draws)])
        self.few = np.sort(np.random.default_rng(seed).permutation(len(points))[:_SILHOUETTES])
        self.apart = pairwise_distances(points[self.few])
        self.merges = grow_tree(points) if method == WARD else None
        self.trees = [grow_tree(points[rows]) for rows in draws] if method == WARD else []
        self.silhouette: list[F8] = []
        self.inertia: list[F8] = []
        self.bic: list[F8] = []
        self.stability: list[F8] = []

    def add(self, k: int) -> None:
        """Measure one number of groups; each criterion becomes [1 + draws] values."""
        # threadpoolctl: reads all loaded libraries
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            means = cluster(self.points, KMEANS, k, seed=self.seed, n_starts=10)
            own = self.points - means.centres[means.assign(self.points)[0]]
            self.inertia.append(self.counts @ (own**2).sum(axis=1))
            self._add_bic(k, means.centres)
            if k == 1:
                nothing = np.zeros(len(self.counts))
                self.silhouette.append(nothing)
                self.stability.append(nothing)
                return
            clusters = means if self.method == KMEANS else self._fit(self.points, k, self.merges)
            group = clusters.assign(self.points)[0]
            self._add_silhouette(group)
            self.stability.append(self._repeat(group, clusters, k))

    def _add_bic(self, k: int, centres: F8) -> None:
        fit, n_free = fit_mixture(self.points, k, centres, seed=self.seed)
        self.bic.append(-2 * (self.counts @ fit.score_samples(self.points)) + n_free * np.log(len(self.points)))

    def _add_silhouette(self, group: I8) -> None:
        own = group[self.few]
        if len(np.unique(own)) < 2:
            self.silhouette.append(np.full(len(self.counts), -1.0))
            return
        each = silhouette_samples(self.apart, own, metric="precomputed")
        weight = self.counts[:, self.few]
        self.silhouette.append(weight @ each / weight.sum(axis=1))

    def _repeat(self, group: I8, clusters: Clusters, k: int) -> F8:
        """How alike the groups are that redrawn customers give: adjusted Rand index over all customers."""
        found = [1.0]
        for i, rows in enumerate(self.draws):
            again = self._refit(self.points[rows], k, clusters, i + 1)
            found.append(float(adjusted_rand_score(group, again.assign(self.points)[0])))
        found[0] = float(np.mean(found[1:])) if self.draws else 1.0
        return np.array(found)

    def _refit(self, points: F8, k: int, clusters: Clusters, i: int) -> Clusters:
        """Once more from a start of its own, so that groups which hang on the start show as unstable."""
        if self.method == WARD:
            return cut_tree(points, self.trees[i - 1], k)
        return cluster(points, self.method, k, seed=self.seed + i, n_starts=10, shape=clusters.shape)

    def _fit(self, points: F8, k: int, merges: F8 | None) -> Clusters:
        if merges is not None:
            return cut_tree(points, merges, k)
        return cluster(points, self.method, k, seed=self.seed, n_starts=10)


def _decide(measured: _Measures, method: str, k_max: int, asked: int | None) -> Choice:
    silhouette, inertia, bic, stability = (
        np.stack(getattr(measured, name)) for name in ("silhouette", "inertia", "bic", "stability")
    )
    elbow = _find_jumps(inertia[:k_max], measured.points.shape[1])
    tried = slice(1, k_max)
    parts = {
        "silhouette": silhouette[tried],
        "elbow": elbow,
        "bic": -bic[tried],
        "stability": stability[tried],
    }
    score = np.mean([_scale(part) for part in parts.values()], axis=0)
    best = int(score[:, 0].argmax())
    se = (score[best][1:] - score[:, 1:]).std(axis=1, ddof=1) if len(measured.draws) > 1 else np.zeros(len(score))
    chosen = int(np.flatnonzero(score[:, 0] >= score[best, 0] - se)[0])
    chosen = chosen if asked is None else asked - 2
    k = chosen + 2
    table = pa.table(
        {
            "method": [method] * len(score),
            "k": np.arange(2, k_max + 1),
            "silhouette": silhouette[tried, 0],
            "inertia": inertia[tried, 0],
            "elbow": elbow[:, 0],
            "bic": bic[tried, 0],
            "stability": stability[tried, 0],
            "score": score[:, 0],
            "score_se": se,
            "is_chosen": np.arange(2, k_max + 1) == k,
        }
    )
    again = stability[k - 1]
    spread = float(again[1:].std(ddof=1)) if len(again) > 2 else 0.0
    doubts = tuple(_list_doubts(k, float(silhouette[k - 1, 0]), float(again[0]), bic[:, 0]))
    return Choice(
        method, k, table, float(score[chosen, 0]), float(silhouette[k - 1, 0]), float(again[0]), spread, doubts
    )


def _find_jumps(inertia: F8, n_directions: int) -> F8:
    """By how much the inertia to the power of minus half the dimension jumps with each group from the second on.

    Under Gaussian groups the elbow, made sharp: it is largest at their number (Sugar and James 2003,
    10.1198/016214503000000666).
    """
    power = -min(n_directions, _MOST_POWER) / 2
    return np.asarray(np.diff(np.maximum(inertia / inertia[0], _TIGHT) ** power, axis=0))


def _scale(part: F8) -> F8:
    """Each criterion from 0 to 1 over the numbers tried, in every draw by itself."""
    low, high = part.min(axis=0), part.max(axis=0)
    return np.asarray((part - low) / np.maximum(high - low, 1e-12))


def _list_doubts(k: int, silhouette: float, stability: float, bic: F8) -> list[str]:
    found = []
    if silhouette < _WEAK:
        found.append(
            f"the silhouette of {k} segments is {silhouette:.2f}: below {_WEAK} the customers form no groups of their "
            "own, and segments cut through a continuum. They can be useful; they are not natural."
        )
    if stability < _UNSTABLE:
        found.append(
            f"redrawn customers give other segments: agreement {stability:.2f} (adjusted Rand index), "
            f"below {_UNSTABLE}. Do not rely on who is in which."
        )
    if bic.argmin() == 0:
        found.append("a single Gaussian describes the customers best (BIC): there may be no segments at all.")
    return found


def choose_method(choices: list[Choice]) -> Choice:
    """The most stable method; of those within one standard error of it, the simplest: k-means, then mixture, then tree.

    Methods whose groups are much less apart (silhouette below 0.8 of the best) do not stand for choice.
    """
    most = max(choice.silhouette for choice in choices)
    apart = [choice for choice in choices if choice.silhouette >= 0.8 * most or most <= 0]
    best = max(apart, key=lambda choice: choice.stability)
    near = [one for one in apart if one.stability >= best.stability - best.stability_se]
    order = (KMEANS, GMM, WARD, *COUNTED)
    return min(near, key=lambda one: order.index(one.method))
