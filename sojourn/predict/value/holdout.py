"""Which model to trust: all fitted on what was known at one day, and compared on what came after it.

Beside the models stand two references that anybody can compute. A model that does not beat them is not needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from sojourn.frames import F8
from sojourn.predict.value.buying import BUYING, expect_purchases, fit_buying
from sojourn.predict.value.learners import learn_purchases
from sojourn.predict.value.likelihood import Fit
from sojourn.predict.value.purchases import Histories, Purchases, count_purchases, trace_histories

MEAN, LAST, LEARNED = "mean of all", "last period", "learned"
SIMPLEST_FIRST = (MEAN, LAST, *BUYING, LEARNED)
_MOST_FREQUENT = 7


@dataclass(frozen=True)
class Score:
    """How well one candidate foresaw the purchases of the holdout.

    ``mae`` and ``rmse`` in purchases per customer, ``bias`` purchases expected over those made, ``beats_mean`` whether
    its squared error is below that of the mean of all. ``worse_se``: by how many standard errors (of the difference,
    paired by customer) its squared error is above the best one's. ``why_not`` says why it may not be chosen.
    """

    name: str
    mae: float = float("nan")
    rmse: float = float("nan")
    bias: float = float("nan")
    worse_se: float = float("nan")
    beats_mean: bool = False
    why_not: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Holdout:
    """The comparison: scores, what was chosen, fits on the calibration part, and what each candidate expected.

    ``expected`` [N] by name and ``actual`` [N] are of the customers of ``histories``.
    """

    cut: int
    days: int
    histories: Histories
    actual: F8
    expected: dict[str, F8]
    fits: dict[str, Fit]
    scores: tuple[Score, ...]
    chosen: str


def compare_models(purchases: Purchases, cut: int, days: int, *, seed: int = 0) -> Holdout:
    """Every candidate fitted on purchases until the day ``cut`` and compared on the ``days`` after it.

    Chosen is the simplest whose squared error is within one standard error of the best: squared, because the mean is
    what value needs, and absolute error rewards expecting too little. A model that did not converge is not chosen.
    """
    histories = trace_histories(purchases, cut)
    actual, _ = count_purchases(purchases, histories.customer, cut, cut + days)
    fits = {name: fit_buying(histories, name) for name in BUYING}
    expected: dict[str, F8] = {
        MEAN: np.full(len(histories), histories.n_repeat.sum() / max(histories.age_days.sum(), 1.0) * days),
        LAST: count_purchases(purchases, histories.customer, cut - days, cut)[0] - (histories.age_days < days),
    }
    for name, fit in fits.items():
        expected[name] = expect_purchases(name, fit.array, histories, days)
    sound = [fit for fit in fits.values() if fit.is_converged]
    why_not = {name: "; ".join(fit.doubts) for name, fit in fits.items() if not fit.is_converged}
    why_not[LAST] = "a reference only: it says nothing of other horizons"
    learned = learn_purchases(purchases, cut, max(sound, key=_likelihood), days, seed=seed) if sound else None
    if learned is None:
        why_not[LEARNED] = "too little to learn from" if sound else "no model of buying converged to build on"
    else:
        expected[LEARNED] = learned
    scores = score_candidates(expected, actual, why_not)
    return Holdout(cut, days, histories, actual, expected, fits, scores, choose_candidate(scores))


def _likelihood(fit: Fit) -> float:
    return fit.log_likelihood


def score_candidates(expected: dict[str, F8], actual: F8, why_not: dict[str, str]) -> tuple[Score, ...]:
    """One score per candidate, simplest first; those that expected nothing have no numbers."""
    wrong = {name: (found - actual) ** 2 for name, found in expected.items() if np.isfinite(found).all()}
    allowed = [name for name in wrong if name not in why_not]
    best = wrong[min(allowed, key=lambda name: float(wrong[name].mean()))]
    scores = []
    for name in SIMPLEST_FIRST:
        score = Score(name, why_not=why_not.get(name))
        if name in wrong:
            more = wrong[name] - best
            se = float(more.std() / np.sqrt(len(more)))
            score = replace(
                score,
                mae=float(np.abs(expected[name] - actual).mean()),
                rmse=float(np.sqrt(wrong[name].mean())),
                bias=float(expected[name].sum() / actual.sum()) if actual.sum() else float("nan"),
                worse_se=float(more.mean()) / se if se > 0 else 0.0,
                beats_mean=bool(wrong[name].mean() < wrong[MEAN].mean()),
            )
        scores.append(score)
    return tuple(scores)


def choose_candidate(scores: Sequence[Score]) -> str:
    """The first (simplest) that may be chosen and is within one standard error of the best.

    >>> choose_candidate([Score("mean of all", worse_se=4.0), Score("BG/NBD", worse_se=0.3), Score("learned")])
    'BG/NBD'
    """
    return next(score.name for score in scores if score.why_not is None and score.worse_se <= 1.0)


def tabulate_frequency(holdout: Holdout) -> dict[str, list[float]]:
    """Mean purchases in the holdout by repeat purchases before it (0, 1, … 7 or more): actual, and each candidate's.

    The table by which these models are usually shown. NaN where no customer has so many.
    """
    group = np.minimum(holdout.histories.n_repeat, _MOST_FREQUENT).astype(np.int64)
    size = np.bincount(group, minlength=_MOST_FREQUENT + 1)

    def means(found: F8) -> list[float]:
        with np.errstate(invalid="ignore"):
            return [float(one) for one in np.bincount(group, found, _MOST_FREQUENT + 1) / size]

    return {"actual": means(holdout.actual)} | {name: means(found) for name, found in holdout.expected.items()}
