"""Purchases to come, learned: how far customers with such habits deviate from what a model of buying expects.

Trained on days inside the time known, each with what followed until its end, so that nothing of the future enters.
The target is purchases over those expected, weighted by those expected, under Poisson loss: a factor on the model,
which makes horizons of different length comparable. Without interactions, so that each feature's part can be read.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sojourn.value_fitting import Fit
from sojourn.value_models import expect_purchases, find_alive_p
from sojourn.value_purchases import Histories, Purchases, count_purchases, trace_histories

F8 = NDArray[np.float64]

FEATURES = (
    "log_expected", "alive_p", "n_repeat", "recency_share", "silence_days", "silence_gaps", "age_days",
    "recent_half", "recent_quarter", "log_value", "last_value",
)  # fmt: skip
"""What the learned model reads of a customer; :func:`describe_habits` says how each is computed."""

_CUTS = (0.4, 0.55, 0.7)  # of the time known: late enough to know customers, early enough that something follows
_LEAST_ROWS = 300


def describe_habits(purchases: Purchases, histories: Histories, day: int, base: Fit, days: float) -> F8:
    """The features at the end of a day [N, F], in the order of ``FEATURES``; NaN is missing.

    Silences are since the last purchase, in days and in typical gaps; ``recent_…`` are the shares of purchases in the
    last half and quarter of the time known; ``last_value`` is the log ratio of the last value to the mean.
    """
    expected = expect_purchases(base.model, base.array, histories, days)
    age, silence = histories.age_days, histories.age_days - histories.recency_days
    past = purchases.day <= day
    who, when, value = purchases.customer[past], purchases.day[past], purchases.value[past]
    place = np.searchsorted(histories.customer, who)
    n = len(histories)
    since = day - when
    half, quarter = (np.bincount(place, since < share * age[place], n) for share in (0.5, 0.25))
    last = np.full(n, np.nan)
    last[place] = value  # purchases are in order of day: the last one stays
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = histories.recency_days / histories.n_repeat
        found = np.column_stack(
            [
                np.log(expected), find_alive_p(base.model, base.array, histories), histories.n_repeat,
                histories.recency_days / age, silence, silence / gap, age,
                half / (histories.n_repeat + 1), quarter / (histories.n_repeat + 1),
                np.log(histories.mean_value), np.log(last / histories.mean_value),
            ]
        )  # fmt: skip
    found[~np.isfinite(found)] = np.nan
    return np.asarray(found)


def learn_purchases(purchases: Purchases, day: int, base: Fit, days: int, *, seed: int = 0) -> F8 | None:
    """Expected purchases in the ``days`` after ``day`` of each customer known by then, learned on earlier days.

    ``base``: a model of buying fitted on what was known at the end of ``day``. None where there is too little to
    learn from.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    first = int(purchases.day.min())
    inputs, targets, weights = [], [], []
    for cut in (first + round((day - first) * share) for share in _CUTS):
        ahead = min(days, day - cut)
        known = trace_histories(purchases, cut)
        if ahead < 1 or not len(known):
            continue
        expected = np.maximum(expect_purchases(base.model, base.array, known, ahead), 1e-6)
        inputs.append(describe_habits(purchases, known, cut, base, ahead))
        targets.append(count_purchases(purchases, known.customer, cut, cut + ahead)[0] / expected)
        weights.append(expected)
    if sum(map(len, targets)) < _LEAST_ROWS or not sum(t.sum() for t in targets):
        return None
    model = HistGradientBoostingRegressor(
        loss="poisson", learning_rate=0.05, max_iter=60, max_leaf_nodes=6, min_samples_leaf=100,
        l2_regularization=5.0, interaction_cst="no_interactions", early_stopping=False, random_state=seed,
    )  # fmt: skip
    model.fit(np.vstack(inputs), np.concatenate(targets), sample_weight=np.concatenate(weights))
    now = trace_histories(purchases, day)
    factor = model.predict(describe_habits(purchases, now, day, base, days))
    return np.asarray(factor * expect_purchases(base.model, base.array, now, days))
