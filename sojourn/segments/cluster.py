"""Ways to group customers, each with a rule that puts new ones into the groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import linkage
from scipy.spatial import cKDTree
from sklearn.cluster import HDBSCAN as Hdbscan
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.mixture import GaussianMixture

from sojourn.errors import EventsError, Problem, nearest
from sojourn.frames import F8, I8

KMEANS, MINI_BATCH, GMM, WARD, HDBSCAN, DBSCAN = "kmeans", "minibatch", "gmm", "ward", "hdbscan", "dbscan"
METHODS = (KMEANS, MINI_BATCH, GMM, WARD, HDBSCAN, DBSCAN)
COUNTED = (KMEANS, MINI_BATCH, GMM, WARD)
"""Methods that are told how many groups to make; the others find out."""

DIAGONAL, FULL = "diag", "full"

NONE = -1
"""The group of those that belong to none."""

MOST_TREE = 4_000  # customers in a tree of merges: it takes the square of them
MOST_DENSITY = 20_000
MOST_MIXTURE = 100_000
N_TWIGS = 30
_DENSITY_DIRECTIONS = 5
_NEAR = 5
_CHUNK = 100_000
_LOOKED_AT = 3_000
_FLOOR = 1e-3  # least variance of a group, where every input has about 1


@dataclass(frozen=True, eq=False)
class Clusters:
    """Groups in a space of D directions, and how customers are put into them.

    ``centres`` [K, D]; ``spread`` the variance per direction around them. A mixture has ``weights`` [K] and
    ``precisions`` [K, D, D] (Cholesky factors of the inverse covariances) of a ``shape``, diagonal or full. Groups by
    density have ``anchors`` [M, 5] with their group in ``anchor_group``, and ``reach``, beyond which a customer belongs
    to none. A tree is cut fine, and ``parent`` says which group each of its ``twigs`` [30, D] is part of.
    """

    method: str
    centres: F8
    spread: float
    weights: F8 | None = None
    precisions: F8 | None = None
    shape: str | None = None
    anchors: F8 | None = None
    anchor_group: I8 | None = None
    reach: float = float("inf")
    twigs: F8 | None = None
    parent: I8 | None = None

    def __len__(self) -> int:
        return len(self.centres)

    def assign(self, points: NDArray[np.floating]) -> tuple[I8, F8]:
        """The group of each point (-1: none) and the probability that it belongs there.

        Of a mixture it is the posterior. K-means and trees know none: it is that of equal round Gaussians of the
        variance seen, of which k-means is the limit. By density it is the share of the five nearest that are in it.
        """
        parts = [self._assign(points[i : i + _CHUNK].astype(float)) for i in range(0, max(len(points), 1), _CHUNK)]
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])

    def _assign(self, points: F8) -> tuple[I8, F8]:
        if self.anchors is not None and self.anchor_group is not None:
            return _assign_by_density(points, self.anchors, self.anchor_group, self.reach)
        logs = self.score(points)
        p = np.exp(logs - logs.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        if self.parent is not None:
            group = self.parent[logs.argmax(axis=1)]  # nested: a twig is in one group as a whole
            p = p @ np.eye(len(self))[self.parent]
            return group, p[np.arange(len(p)), group]
        return logs.argmax(axis=1), p.max(axis=1)

    def score(self, points: F8) -> F8:
        """Log density times weight of each group (of a tree: twig) [N, K], up to a constant without a mixture."""
        if self.precisions is None or self.weights is None:
            centres = self.centres if self.twigs is None else self.twigs
            squared = (points**2).sum(axis=1)[:, None] - 2 * points @ centres.T + (centres**2).sum(axis=1)
            return np.asarray(-0.5 * squared / self.spread)
        logs = np.empty((len(points), len(self)))
        for k, (centre, factor) in enumerate(zip(self.centres, self.precisions, strict=True)):
            turned = (points - centre) @ factor
            inside = np.log(np.diag(factor)).sum() - 0.5 * points.shape[1] * np.log(2 * np.pi)
            logs[:, k] = np.log(self.weights[k]) + inside - 0.5 * (turned**2).sum(axis=1)
        return logs


def cluster(
    points: NDArray[np.floating],
    method: str,
    k: int,
    *,
    seed: int,
    n_starts: int = 10,
    start: F8 | None = None,
    shape: str | None = None,
) -> Clusters:
    """Groups of points [N, D] by one of :data:`METHODS`; ``k`` counts for those that are told how many.

    ``start``: centres to begin from, with k-means; ``shape`` of covariances, with a mixture. Raises EventsError for
    another method or fewer points than groups.

    >>> points = np.random.default_rng(0).normal(size=(60, 2)) + np.repeat([[0.0], [9.0]], 30, axis=0)
    >>> groups, _ = cluster(points, "kmeans", 2, seed=0).assign(points)
    >>> bool(np.ptp(groups[:30]) == np.ptp(groups[30:]) == 0)
    True
    """
    if method not in METHODS:
        what = f"'{method}' is no method of clustering; there are {', '.join(METHODS)}"
        raise EventsError(Problem("--method", what, nearest(method, METHODS)))
    if len(points) < max(2 * k, 10):
        raise EventsError(Problem("customers", f"{len(points)} customers are too few for {k} segments"))
    # threadpoolctl: reads all loaded libraries
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # sums in one order: the same seed gives the same groups
        if method in (KMEANS, MINI_BATCH):
            return _cluster_by_means(points, method, k, seed, n_starts, start)
        if method == GMM:
            return _cluster_by_mixture(points, k, seed, n_starts, shape)
        if method == WARD:
            return _cluster_by_tree(points, k, seed)
        return _cluster_by_density(points, method, seed)


def _cluster_by_means(
    points: NDArray[np.floating], method: str, k: int, seed: int, n_starts: int, start: F8 | None
) -> Clusters:
    kind = KMeans if method == KMEANS else MiniBatchKMeans
    more = {} if method == KMEANS else {"batch_size": 4_096}
    begin = {"init": start.astype(points.dtype), "n_init": 1} if start is not None else {"n_init": n_starts}
    fit = kind(k, random_state=seed, **begin, **more).fit(points)
    spread = float(fit.inertia_) / max((len(points) - k) * points.shape[1], 1)
    return Clusters(method, np.asarray(fit.cluster_centers_, float), max(spread, _FLOOR))


def _cluster_by_mixture(points: NDArray[np.floating], k: int, seed: int, n_starts: int, shape: str | None) -> Clusters:
    few = draw(points, MOST_MIXTURE, seed).astype(float)
    centres = _cluster_by_means(few, KMEANS, k, seed, n_starts, None).centres
    fit = fit_mixture(few, k, centres, seed=seed, shape=shape)[0]
    factors = fit.precisions_cholesky_
    full = np.stack([np.diag(one) for one in factors]) if factors.ndim == 2 else np.asarray(factors)
    return Clusters(GMM, fit.means_, 1.0, weights=fit.weights_, precisions=full, shape=fit.covariance_type)


def fit_mixture(points: F8, k: int, centres: F8, *, seed: int, shape: str | None = None) -> tuple[Any, float]:
    """A Gaussian mixture of scikit-learn that starts from these centres, and how many numbers it has.

    With full or with diagonal covariances, whichever has the lower BIC; full ones only where there are five points
    per number.
    """
    d = points.shape[1]
    found = []
    for kind, n_shape in ((DIAGONAL, d), (FULL, d * (d + 1) / 2)):
        n_free = k * (d + n_shape) + k - 1
        if (shape or kind) != kind or (kind == FULL and len(points) < 5 * n_free and shape is None):
            continue
        fit = GaussianMixture(
            k, covariance_type=kind, reg_covar=_FLOOR, means_init=centres, max_iter=300, random_state=seed
        ).fit(points)
        found.append((float(fit.bic(points)), fit, n_free))
    _, best, n_free = min(found, key=lambda one: one[0])
    return best, n_free


def _cluster_by_tree(points: NDArray[np.floating], k: int, seed: int) -> Clusters:
    few = draw(points, MOST_TREE, seed).astype(float)
    return cut_tree(few, grow_tree(few), k)


def grow_tree(points: F8) -> F8:
    """The merges of Ward's tree (1963, 10.1080/01621459.1963.10500845), as SciPy's linkage has them."""
    return np.asarray(linkage(points, "ward"))


def cut_tree(points: F8, merges: F8, k: int) -> Clusters:
    """The k groups of a tree of merges. It is cut into 30 twigs too: others go to the nearest, and with it to a group.

    So groups of one tree are nested, for those who were not in the tree as well.
    """
    group = cut_merges(merges, k)
    twig = cut_merges(merges, min(max(N_TWIGS, k), len(points)))
    centres, _ = find_centres(points, group)
    twigs, spread = find_centres(points, twig)
    parent = np.zeros(len(twigs), np.int64)
    parent[twig] = group
    return Clusters(WARD, centres, spread, twigs=twigs, parent=parent)


def cut_merges(merges: F8, k: int) -> I8:
    """The group 0 … k-1 of each leaf, where the last k - 1 merges are undone; groups in the order of their first leaf.

    >>> cut_merges(np.array([[0, 1, 1.0, 2], [2, 3, 1.0, 2], [4, 5, 9.0, 4]]), 2).tolist()
    [0, 0, 1, 1]
    """
    n = len(merges) + 1
    top = np.arange(2 * n - 1)
    for i in range(n - 1 - k, -1, -1):  # from the last merge kept down: both halves belong where the merge does
        top[merges[i, :2].astype(int)] = top[n + i]
    _, first, group = np.unique(top[:n], return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[group], np.int64)


def _cluster_by_density(points: NDArray[np.floating], method: str, seed: int) -> Clusters:
    few = draw(points, MOST_DENSITY, seed).astype(float)
    near = np.ascontiguousarray(few[:, :_DENSITY_DIRECTIONS])
    least = max(10, round(0.02 * len(few)))
    fit = Hdbscan(min_cluster_size=least, min_samples=10, copy=True).fit(near)
    own = _core_distances(near)
    if method == DBSCAN:
        group = np.asarray(fit.dbscan_clustering(_find_knee(own), min_cluster_size=least), np.int64)
    else:
        group = np.asarray(fit.labels_, np.int64)
    if group.max(initial=-1) < 0:
        raise EventsError(Problem("--method", f"{method} finds no dense group; take kmeans or gmm"))
    names, group = np.unique(group, return_inverse=True)
    group = group - (1 if names[0] < 0 else 0)
    centres, spread = find_centres(few, group)
    inside = group >= 0
    reach = float(np.quantile(own[inside], 0.99))
    return Clusters(method, centres, spread, anchors=near, anchor_group=group, reach=reach)


def _core_distances(points: F8) -> F8:
    return np.asarray(cKDTree(points).query(points, k=min(_NEAR + 1, len(points)))[0][:, -1])


def _find_knee(distance: F8) -> float:
    """Where the sorted distances bend: the point farthest from the line between their ends (Satopää et al. 2011,
    10.1109/ICDCSW.2011.20)."""
    y = np.sort(distance)
    line = np.linspace(y[0], y[-1], len(y))
    return float(max(y[int((line - y).argmax())], 1e-12))


def _assign_by_density(points: F8, anchors: F8, group: I8, reach: float) -> tuple[I8, F8]:
    n = min(_NEAR, len(anchors))
    distance, near = cKDTree(anchors).query(points[:, : anchors.shape[1]], k=n)
    found = group[near.reshape(len(points), n)]
    votes = np.stack([(found == k).sum(axis=1) for k in range(-1, int(group.max()) + 1)], axis=1)
    best = votes.argmax(axis=1) - 1
    best[distance.reshape(len(points), n)[:, -1] > reach] = NONE
    p = votes[np.arange(len(points)), best + 1] / n
    return best, p


def find_centres(points: F8, group: I8) -> tuple[F8, float]:
    """Centres of the groups 0 … K-1 and the variance per direction around them; group -1 does not count."""
    inside = group >= 0
    points, group = points[inside], group[inside]
    n = np.bincount(group)
    centres = np.stack([np.bincount(group, column) / n for column in points.T], axis=1)
    spread = float(((points - centres[group]) ** 2).sum()) / max((len(points) - len(n)) * points.shape[1], 1)
    return centres, max(spread, _FLOOR)


def count_kinds(points: NDArray[np.floating], most: int) -> int:
    """How many different points there are, or ``most`` where there are more.

    >>> count_kinds(np.array([[0.0, 1], [0, 1], [2, 1]]), 10)
    2
    """
    for part in (draw(points, _LOOKED_AT, 0), points):
        n = len(np.unique(part, axis=0))
        if n >= most or len(part) == len(points):
            break
    return min(n, most)


def draw(points: NDArray[np.floating], most: int, seed: int) -> NDArray[np.floating]:
    """At most so many of the points, in their order."""
    if len(points) <= most:
        return points
    return points[np.sort(np.random.default_rng(seed).choice(len(points), most, replace=False))]
