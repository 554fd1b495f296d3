"""Learners of value: factors on a plain expectation, by boosted trees, a hurdle, or a line.

The target is what was spent over what was expected, weighted by what was expected. That is a Poisson regression with
the expectation as its exposure: it aims at the mean, is not upset by the many who spend nothing, and makes horizons of
different length comparable. Nothing here knows where rows come from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import TweedieRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sojourn.frames import F8
from sojourn.predict.value.buying import expect_purchases, find_alive_p
from sojourn.predict.value.likelihood import Fit
from sojourn.predict.value.purchases import Histories, Purchases, count_purchases, trace_histories

LINE, BOOSTED, HURDLE = "learned line", "learned trees", "learned hurdle"
Predict = Callable[[F8, F8], F8]
"""From inputs [N, F] and expected values [N] to learned ones [N]."""

LEAST_ROWS = 300
_MOST_FACTOR = 50.0  # beyond it a factor is an accident of few rows
_LEAF = 60


def learn_line(x: F8, expected: F8, value: F8, n_bought: F8, seed: int) -> Predict:
    """A Tweedie regression (power 1.5: many zeros, then a spread of amounts) with a log link on scaled inputs.

    Source: Jørgensen 1987, doi:10.1111/j.2517-6161.1987.tb01685.x.
    """

    def widen(x: F8) -> F8:
        return np.asarray(np.sign(x) * np.log1p(np.abs(x)))

    prepare = make_pipeline(
        FunctionTransformer(widen), SimpleImputer(add_indicator=True, keep_empty_features=True), StandardScaler()
    )
    z = np.clip(prepare.fit_transform(x), -4, 4)
    model = TweedieRegressor(power=1.5, link="log", alpha=0.1, max_iter=300)
    model.fit(z, value / expected, sample_weight=_weigh(expected))
    return lambda x, expected: expected * _bound(model.predict(np.clip(prepare.transform(x), -4, 4)))


def learn_boosted(x: F8, expected: F8, value: F8, n_bought: F8, seed: int) -> Predict:
    """Boosted trees without interactions under Poisson loss."""
    model = _boost("poisson", seed)
    kept = _find_usable(x)
    model.fit(x[:, kept], value / expected, sample_weight=_weigh(expected))
    return lambda x, expected: expected * _bound(model.predict(x[:, kept]))


def learn_hurdle(x: F8, expected: F8, value: F8, n_bought: F8, seed: int) -> Predict:
    """The chance to buy at all times what those who buy spend, both boosted (Cragg 1971, doi:10.2307/1909582)."""
    has_bought, kept = (n_bought > 0) & (value > 0), _find_usable(x[(n_bought > 0) & (value > 0)])
    amount = _boost("gamma", seed)
    amount.fit(x[has_bought][:, kept], value[has_bought])
    chance = HistGradientBoostingClassifier(**_trees(seed))
    chance.fit(x[:, kept], has_bought)
    most = float(value.max(initial=0.0))

    def predict(x: F8, expected: F8) -> F8:
        return np.asarray(chance.predict_proba(x[:, kept])[:, 1] * np.minimum(amount.predict(x[:, kept]), most))

    return predict


LEARNERS: dict[str, Callable[[F8, F8, F8, F8, int], Predict]] = {
    LINE: learn_line,
    BOOSTED: learn_boosted,
    HURDLE: learn_hurdle,
}


def learn_ends(
    x: F8, value: F8, is_calibrating: NDArray[np.bool_], tail_p: float, seed: int
) -> Callable[[F8], tuple[F8, F8]]:
    """From inputs to the ends that a value is below, or above, with probability ``tail_p`` each.

    Boosted quantiles, moved by how far they were from right on customers they were not fitted on (conformalised
    quantile regression: Romano, Patterson & Candès 2019, arXiv:1905.03222). That covers customers of the same time;
    how many of a later time it covers is to be measured. ``is_calibrating``: rows of customers kept for that.
    """
    fitted, kept = ~is_calibrating, is_calibrating
    usable = _find_usable(x[fitted])
    x, ends = x[:, usable], []
    for p, sign in ((tail_p, -1.0), (1 - tail_p, 1.0)):
        model = _boost("quantile", seed, quantile=p)
        model.fit(x[fitted], value[fitted])
        beyond = np.sort(sign * (value[kept] - model.predict(x[kept])))
        rank = min(int(np.ceil((1 - tail_p) * (len(beyond) + 1))), len(beyond)) - 1
        ends.append((model, float(sign * beyond[rank])))

    def foresee(x: F8) -> tuple[F8, F8]:
        low, high = (np.maximum(model.predict(x[:, usable]) + moved, 0.0) for model, moved in ends)
        return np.minimum(low, high), high

    return foresee


def _find_usable(x: F8) -> NDArray[np.intp]:
    """Columns that say anything: trees cannot be grown on one that is missing for everybody."""
    return np.flatnonzero(np.isfinite(x).any(axis=0))


def _weigh(expected: F8) -> F8 | None:
    """Weights of mean one; None where all are equal: with weights scikit-learn sorts each column once per bin."""
    if (expected == expected[0]).all():
        return None
    return np.asarray(expected / expected.mean())


def _bound(factor: F8) -> F8:
    return np.minimum(np.asarray(factor), _MOST_FACTOR)


def _trees(seed: int) -> dict[str, Any]:
    return {
        "learning_rate": 0.05,
        "max_iter": 80,
        "max_leaf_nodes": 6,
        "min_samples_leaf": _LEAF,
        "l2_regularization": 5.0,
        "interaction_cst": "no_interactions",
        "early_stopping": False,
        "random_state": seed,
    }


def _boost(loss: str, seed: int, **more: Any) -> Any:
    n_trees = {"max_iter": 40} if loss == "quantile" else {}  # each leaf sorts its rows: slow
    return HistGradientBoostingRegressor(loss=loss, **(_trees(seed) | n_trees), **more)


FEATURES = (
    "log_expected",
    "alive_p",
    "n_repeat",
    "recency_share",
    "silence_days",
    "silence_gaps",
    "age_days",
    "recent_half",
    "recent_quarter",
    "log_value",
    "last_value",
)
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
                np.log(expected),
                find_alive_p(base.model, base.array, histories),
                histories.n_repeat,
                histories.recency_days / age,
                silence,
                silence / gap,
                age,
                half / (histories.n_repeat + 1),
                quarter / (histories.n_repeat + 1),
                np.log(histories.mean_value),
                np.log(last / histories.mean_value),
            ]
        )
    found[~np.isfinite(found)] = np.nan
    return np.asarray(found)


def learn_purchases(purchases: Purchases, day: int, base: Fit, days: int, *, seed: int = 0) -> F8 | None:
    """Expected purchases in the ``days`` after ``day`` of each customer known by then, learned on earlier days.

    ``base``: a model of buying fitted on what was known at the end of ``day``. None where there is too little to
    learn from.
    """
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
        loss="poisson",
        learning_rate=0.05,
        max_iter=60,
        max_leaf_nodes=6,
        min_samples_leaf=100,
        l2_regularization=5.0,
        interaction_cst="no_interactions",
        early_stopping=False,
        random_state=seed,
    )
    model.fit(np.vstack(inputs), np.concatenate(targets), sample_weight=np.concatenate(weights))
    now = trace_histories(purchases, day)
    factor = model.predict(describe_habits(purchases, now, day, base, days))
    return np.asarray(factor * expect_purchases(base.model, base.array, now, days))
