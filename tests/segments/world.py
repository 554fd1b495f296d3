"""Customers of planted segments: unequal in size and spread, half of their numbers skewed, some far out."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def plant_segments(seed, k, *, n=3_000, d=8, apart=5.0, outliers=0.01):
    """A table of n customers with d numbers, and the segment of each, -1 for an outlier.

    Centres are at least ``apart`` typical standard deviations from each other; the smallest segment has about 5 %.
    """
    rng = np.random.default_rng(seed)
    sizes = np.maximum(rng.dirichlet(np.full(k, 3.0)), 0.06)
    centres = np.zeros((k, d))
    while np.min(np.linalg.norm(centres[:, None] - centres, axis=-1) + 99 * np.eye(k)) < apart:
        centres = rng.normal(0, 1.6 * apart / np.sqrt(2 * d), (k, d))
    group = rng.choice(k, n, p=sizes / sizes.sum())
    x = centres[group] + rng.normal(size=(n, d)) * rng.uniform(0.7, 1.3, (k, 1))[group]
    x[:, : d // 2] = 20 * np.exp(0.6 * x[:, : d // 2])
    is_out = rng.random(n) < outliers
    low, high = x.min(axis=0), x.max(axis=0)
    x[is_out] = rng.uniform(low - (high - low) / 2, high + (high - low) / 2, (is_out.sum(), d))
    columns = {f"n{j}": x[:, j] for j in range(d)}
    return pa.table({"customer_id": [f"c{i}" for i in range(n)], **columns}), np.where(is_out, -1, group)
