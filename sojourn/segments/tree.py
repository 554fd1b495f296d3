"""Segments at several granularities: one tree of merges (Ward), cut where few, more and many groups are left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sojourn.frames import F8, I8
from sojourn.segments.cluster import N_TWIGS, Clusters, cut_merges, cut_tree, draw, grow_tree

LEVELS = (3, 6, 12)


@dataclass(frozen=True, eq=False)
class Tree:
    """The top of a tree of merges: ``twigs`` and how they come together.

    ``merges`` [T-1, 4] joins the T twigs, as SciPy's linkage does leaves; ``sizes`` [T] are their customers in the
    sample; ``parents`` says for each level which of its groups a twig is in.
    """

    twigs: Clusters
    merges: F8
    sizes: I8
    parents: Mapping[int, I8]

    def place(self, points: NDArray[np.floating]) -> dict[int, I8]:
        """The group of each point at each level, from 1, nested: who is together in a finer level is in a coarser."""
        twig, _ = self.twigs.assign(points)
        return {level: parent[twig] + 1 for level, parent in self.parents.items()}


def find_tree(points: NDArray[np.floating], *, most: int, seed: int) -> Tree | None:
    """The tree of at most so many of the points; None where there are fewer than thirty."""
    few = draw(points, most, seed).astype(float)
    if len(few) < N_TWIGS:
        return None
    merges = grow_tree(few)
    n = min(N_TWIGS, len(few))
    twig = cut_merges(merges, n)
    parents = {}
    for level in LEVELS:
        parents[level] = np.zeros(n, np.int64)
        parents[level][twig] = cut_merges(merges, level)
    return Tree(cut_tree(few, merges, n), _cut_top(merges, twig, n), np.bincount(twig), parents)


def _cut_top(merges: F8, twig: I8, n: int) -> F8:
    """The last n - 1 merges, with twigs for leaves."""
    n_leaves = len(merges) + 1
    place = np.full(2 * n_leaves - 1, -1, np.int64)
    place[:n_leaves] = twig
    for i, (left, _right) in enumerate(merges[: n_leaves - n, :2].astype(int)):
        place[n_leaves + i] = place[left]
    top = merges[n_leaves - n :].copy()
    n_twigs = np.ones(2 * n - 1)
    for i, row in enumerate(top):
        row[:2] = sorted(place[row[:2].astype(int)])
        place[2 * n_leaves - n + i] = n + i
        row[3] = n_twigs[n + i] = n_twigs[row[:2].astype(int)].sum()
    return np.asarray(top)
