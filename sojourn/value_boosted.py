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

F8 = NDArray[np.float64]

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
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import TweedieRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

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
    from sklearn.ensemble import HistGradientBoostingClassifier

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
    LINE: learn_line, BOOSTED: learn_boosted, HURDLE: learn_hurdle,
}  # fmt: skip


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


def _weigh(expected: F8) -> F8:
    return np.asarray(expected / expected.mean())


def _bound(factor: F8) -> F8:
    return np.minimum(np.asarray(factor), _MOST_FACTOR)


def _trees(seed: int) -> dict[str, Any]:
    return {
        "learning_rate": 0.05, "max_iter": 80, "max_leaf_nodes": 6, "min_samples_leaf": _LEAF, "l2_regularization": 5.0,
        "interaction_cst": "no_interactions", "early_stopping": False, "random_state": seed,
    }  # fmt: skip


def _boost(loss: str, seed: int, **more: Any) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    n_trees = {"max_iter": 40} if loss == "quantile" else {}  # each leaf sorts its rows: slow
    return HistGradientBoostingRegressor(loss=loss, **(_trees(seed) | n_trees), **more)
