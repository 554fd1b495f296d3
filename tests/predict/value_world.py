"""Purchases of customers who buy and leave as the BG/NBD tells it, and spend as the gamma-gamma does."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from sojourn.predict.value.purchases import Purchases, merge_days


def buy_by_bgnbd(
    n: int, parameters: tuple[float, float, float, float], *, weeks: int, rng: np.random.Generator
) -> Purchases:
    """Customers by the model's own story, one row per purchase: who, when in days, what it brought."""
    r, alpha, a, b = parameters
    rate, leaves, level = rng.gamma(r, 1 / alpha, n), rng.beta(a, b, n), rng.gamma(5.0, 1 / 60.0, n)
    now, alive = rng.uniform(0, 90, n), np.arange(n)
    who, when = [alive], [now.copy()]
    while len(alive):
        now[alive] += 7 * rng.exponential(1 / np.maximum(rate[alive], 1e-12))
        alive = alive[now[alive] < 7.0 * weeks]
        who.append(alive)
        when.append(now[alive].copy())
        alive = alive[rng.random(len(alive)) > leaves[alive]]
    customer, day = np.concatenate(who), np.floor(np.concatenate(when)).astype(np.int64)
    return merge_days(pa.array([f"c{k}" for k in range(n)]), customer, day, rng.gamma(4.0, 1 / level[customer]))
