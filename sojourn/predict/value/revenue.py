"""Who foresees what customers spend: models of buying beside models learned on all that customers do.

All know what was known at the end of one day and are compared on the days after it: on the error per customer, on the
total, on the order of customers, on tenths of customers. The choice is by Poisson deviance, which a mean minimises as
it does squared error, but which a handful of large buyers does not decide (Gneiting 2011,
doi:10.1198/jasa.2011.r10138).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import rankdata

from sojourn.frames import F8
from sojourn.predict.value.buying import BUYING, expect_purchases, expect_worth, fit_spend
from sojourn.predict.value.draws import SPAN_P, foresee_spending
from sojourn.predict.value.holdout import LAST, LEARNED, MEAN, Holdout
from sojourn.predict.value.learners import (
    BOOSTED,
    HURDLE,
    LEARNERS,
    LEAST_ROWS,
    Predict,
    describe_habits,
    learn_ends,
    learn_purchases,
)
from sojourn.predict.value.likelihood import Fit
from sojourn.predict.value.purchases import Histories, Purchases, count_purchases, trace_histories
from sojourn.predict.value.rows import Behaviour, ValueRows, join_rows, rename_purchases, trace_rows

OWN = "own past"
"""Each customer goes on spending as until now: a reference that needs no model."""
_REFERENCES = (MEAN, LAST, OWN)
_MOST_CUSTOMERS = 20_000  # to learn from and to compare on, drawn at random
_MOST_DAYS = 4  # days to learn at
_SHARES = (0.4, 0.55, 0.7)  # of the time known, where it is too short for horizons of full length
_TAIL_P = (1 - SPAN_P) / 2


@dataclass(frozen=True)
class RevenueScore:
    """How well one candidate foresaw what customers spent in the holdout.

    ``mae`` and ``rmse`` per customer, in units of the value; ``bias`` expected over spent in total; ``spearman`` of
    expected and spent; ``gini`` how much of the concentration of spending the order of customers finds (1: all);
    ``calibration`` mean absolute difference of expected and spent over tenths of customers, as a share of the mean.
    ``deviance`` decides, with ``worse_se``: by how many standard errors (paired by customer) it is above the best.
    ``why_not`` says why the candidate may not be chosen, or why it has no numbers.
    """

    name: str
    mae: float = float("nan")
    rmse: float = float("nan")
    bias: float = float("nan")
    spearman: float = float("nan")
    gini: float = float("nan")
    calibration: float = float("nan")
    deviance: float = float("nan")
    worse_se: float = float("nan")
    why_not: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Coverage:
    """How many customers spent what an interval of 90 % said: shares inside it, below it and above it, and its width.

    ``kind``: of which model. Since spending is often nothing, an interval that begins there can have nobody below.
    """

    kind: str
    inside_p: float
    below_p: float
    above_p: float
    mean_width: float
    n_customers: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class RevenueHoldout:
    """The comparison on what was spent: scores, the choice, coverage of intervals, tenths of customers.

    ``expected`` by name and ``actual`` [N] are of the customers ``customer_id``. ``tenths``: per candidate the mean
    expected and spent of ten groups of customers, from those expected to spend least.
    """

    customer_id: pa.Array
    actual: F8
    expected: dict[str, F8]
    scores: tuple[RevenueScore, ...]
    coverage: tuple[Coverage, ...]
    tenths: dict[str, list[tuple[float, float]]]
    chosen: str

    @property
    def is_learned(self) -> bool:
        """Whether a model learned on all behaviour was chosen."""
        return self.chosen in LEARNERS


def compare_revenue(behaviour: Behaviour, purchases: Purchases, holdout: Holdout, *, seed: int = 0) -> RevenueHoldout:
    """Every candidate on what customers spent in the days of ``holdout``, from what was known before them.

    Chosen is what the comparison of purchases chose, unless a model learned on behaviour has a deviance that is lower
    by more than one standard error; of several such the best. At most 20,000 customers drawn at random.
    """
    cut, days = holdout.cut, holdout.days
    people, bought = _draw_people(behaviour, purchases, holdout.histories, seed)
    known = trace_histories(bought, cut)
    spend, base = fit_spend(trace_histories(purchases, cut)), choose_base(holdout.fits)
    n_bought, spent = count_purchases(bought, known.customer, cut, cut + days)
    actual = np.maximum(spent, 0.0) if spend is not None else n_bought
    expected, why_not = _expect_plainly(bought, known, holdout, spend, base, seed)
    train, test = _rows_of(people, bought, cut, days, base, spend), _rows_at(people, bought, cut, days, base, spend)
    coverage = []
    rng = np.random.default_rng(seed)
    if base is not None:
        low, high = foresee_spending(known, base, spend, days, rng)
        coverage.append(measure_coverage(base.model, low, high, actual))
    for name in LEARNERS:
        said = _why_not_learn(name, train, days)
        if said:
            why_not[name] = said
        else:
            expected[name] = learn_rows(name, train, seed)(test[0].inputs, test[1])
    if not _why_not_learn(BOOSTED, train, days) and train[0].ahead.min() >= days:
        low, high = _learn_span(train[0], seed)(test[0].inputs)
        coverage.append(measure_coverage("learned", low, high, actual))
    scores = score_revenue(expected, actual, why_not)
    chosen = choose_revenue(scores, holdout.chosen, expected, actual)
    tenths = {name: group_tenths(found, actual) for name, found in expected.items()}
    ids = bought.names.take(pa.array(known.customer))
    return RevenueHoldout(ids, actual, expected, scores, tuple(coverage), tenths, chosen)


def _draw_people(
    behaviour: Behaviour, purchases: Purchases, known: Histories, seed: int
) -> tuple[Behaviour, Purchases]:
    """Some of those known, their behaviour and their purchases, numbered alike."""
    ids = purchases.names.take(pa.array(known.customer)).cast(pa.large_string())
    place = pc.index_in(ids, behaviour.names.cast(pa.large_string())).drop_null().to_numpy().astype(np.int64)
    if len(place) > _MOST_CUSTOMERS:
        place = np.random.default_rng(seed).permutation(np.sort(place))[:_MOST_CUSTOMERS]
    people = behaviour.take(np.sort(place))
    return people, rename_purchases(purchases, people.names)


def choose_base(fits: dict[str, Fit]) -> Fit | None:
    """The likeliest of the models of buying that converged."""
    return max((fit for fit in fits.values() if fit.is_converged), key=lambda fit: fit.log_likelihood, default=None)


def _expect_plainly(
    bought: Purchases, known: Histories, holdout: Holdout, spend: Fit | None, base: Fit | None, seed: int
) -> tuple[dict[str, F8], dict[str, str]]:
    """What references and models of buying expect each customer to spend, and which of them may not be chosen."""
    cut, days, worth = holdout.cut, holdout.days, expect_worth(known, spend)
    rate = known.n_repeat.sum() / max(known.age_days.sum(), 1.0)
    n_last, last = count_purchases(bought, known.customer, cut - days, cut)
    is_new = known.age_days < days  # their first purchase made them customers; what counts is what comes after
    own = np.where(known.n_valued > 0, np.nan_to_num(known.mean_value), 0.0) if spend is not None else 1.0
    expected: dict[str, F8] = {
        MEAN: rate * days * worth,
        LAST: np.maximum((last if spend is not None else n_last) - is_new * own, 0.0),
        OWN: known.n_repeat * own * days / np.maximum(known.age_days, 7.0),
    }
    why_not = dict.fromkeys((LAST, OWN), "a reference only")
    for name, fit in holdout.fits.items():
        expected[name] = expect_purchases(name, fit.array, known, days) * worth
        if not fit.is_converged:
            why_not[name] = "; ".join(fit.doubts)
    learned = learn_purchases(bought, cut, base, days, seed=seed) if base is not None else None
    if learned is None:
        why_not[LEARNED] = "too little to learn from" if base else "no model of buying converged to build on"
    else:
        expected[LEARNED] = learned * worth
    return expected, why_not


# -- what to learn from ------------------------------------------------------------------------------------

Rows = tuple[ValueRows, F8]
"""Rows with all inputs, and what a plain model expects of each."""


def choose_days(first: int, last: int, days: int) -> list[tuple[int, int]]:
    """Days inside the time known to learn at, each with how many days after it count; none reaches beyond ``last``.

    Full horizons where there is room for them, else shorter ones.

    >>> choose_days(0, 300, 60)
    [(150, 60), (180, 60), (210, 60), (240, 60)]
    >>> choose_days(0, 100, 90)
    [(40, 60), (55, 45), (70, 30)]
    """
    begin = first + max(days // 2, 7)
    full = [last - days - days * k // 2 for k in range(_MOST_DAYS) if last - days - days * k // 2 >= begin]
    if full:
        return [(day, days) for day in sorted(full)]
    short = sorted({first + round((last - first) * share) for share in _SHARES})
    return [(day, min(days, last - day)) for day in short if last > day]


def _rows_of(people: Behaviour, bought: Purchases, last: int, days: int, base: Fit | None, spend: Fit | None) -> Rows:
    """Rows of the past of ``last``, with what followed until it."""
    first = int(bought.day.min())
    parts = [
        _rows_at(people, bought, day, ahead, base, spend)
        for day, ahead in choose_days(first, last, days)
        if day >= first
    ]
    return join_rows([rows for rows, _ in parts]), np.concatenate([expected for _, expected in parts])


def _rows_at(people: Behaviour, bought: Purchases, day: int, ahead: int, base: Fit | None, spend: Fit | None) -> Rows:
    """Rows of those who had bought by the end of a day: behaviour, buying, and what a model of buying makes of it."""
    rows = trace_rows(people, bought, [day], [ahead], is_buyers_only=True)
    known = trace_histories(bought, day)
    if base is None:
        rate = known.n_repeat.sum() / max(known.age_days.sum(), 1.0)
        return rows, np.maximum(rate * ahead * expect_worth(known, spend), 1e-9)
    habits = describe_habits(bought, known, day, base, ahead)
    worth = expect_worth(known, spend)
    expected = expect_purchases(base.model, base.array, known, ahead) * worth
    more = np.column_stack([habits, np.log(np.maximum(expected, 1e-9)), worth])
    more[~np.isfinite(more)] = np.nan
    inputs = np.hstack([rows.inputs, more])
    return ValueRows(rows.customer, rows.day, rows.ahead, inputs, rows.value, rows.n_bought), np.maximum(expected, 1e-9)


def _why_not_learn(name: str, rows: Rows, days: int) -> str | None:
    if len(rows[0]) < LEAST_ROWS or (rows[0].value > 0).sum() < LEAST_ROWS // 5:
        return f"too little to learn from: {(rows[0].value > 0).sum():,} of {len(rows[0]):,} rows spent anything"
    if name == HURDLE and rows[0].ahead.min() < days:
        return "the time known has no room for horizons as long as the holdout"
    return None


def learn_rows(name: str, rows: Rows, seed: int) -> Predict:
    """The learner of that name, trained."""
    train, expected = rows
    return LEARNERS[name](train.inputs, expected, np.maximum(train.value, 0.0), train.n_bought, seed)


def _learn_span(rows: ValueRows, seed: int) -> Any:
    """The ends of what a customer may spend; a quarter of customers, on the last day, are kept to correct them."""
    rng = np.random.default_rng(seed)
    is_kept = rng.random(int(rows.customer.max()) + 1)[rows.customer] < 0.25
    used = ~is_kept | (rows.day == rows.day.max())
    return learn_ends(rows.inputs[used], np.maximum(rows.value[used], 0.0), is_kept[used], _TAIL_P, seed)


# -- scores ------------------------------------------------------------------------------------------------


def score_revenue(expected: dict[str, F8], actual: F8, why_not: dict[str, str]) -> tuple[RevenueScore, ...]:
    """One score per candidate: references, models of buying, learned models."""
    wrong = {name: _deviate(found, actual) for name, found in expected.items() if np.isfinite(found).all()}
    allowed = [name for name in wrong if name not in why_not]
    best = wrong[min(allowed, key=lambda name: float(wrong[name].mean()))]
    scores = []
    for name in (*_REFERENCES, *BUYING, LEARNED, *LEARNERS):
        if name not in wrong:
            scores.append(RevenueScore(name, why_not=why_not.get(name, "its expectation is not finite")))
            continue
        found, more = expected[name], wrong[name] - best
        se = float(more.std() / np.sqrt(len(more)))
        tenths = np.array(group_tenths(found, actual))
        scores.append(
            RevenueScore(
                name,
                mae=float(np.abs(found - actual).mean()),
                rmse=float(np.sqrt(((found - actual) ** 2).mean())),
                bias=float(found.sum() / actual.sum()) if actual.sum() else float("nan"),
                spearman=rank_correlation(found, actual),
                gini=find_gini(found, actual),
                calibration=float(np.abs(tenths[:, 0] - tenths[:, 1]).mean() / actual.mean()) if actual.any() else 0.0,
                deviance=float(wrong[name].mean()),
                worse_se=float(more.mean()) / se if se > 0 else 0.0,
                why_not=why_not.get(name),
            )
        )
    return tuple(scores)


def _deviate(expected: F8, actual: F8) -> F8:
    """Poisson deviance of each customer. An expectation of nothing is taken as a thousandth of the mean."""
    mean = np.maximum(expected, max(float(expected.mean()), 1e-9) / 1_000)
    ratio = np.where(actual > 0, actual, 1.0) / mean
    return np.asarray(2 * (np.where(actual > 0, actual * np.log(ratio), 0.0) - actual + mean))


def choose_revenue(scores: Sequence[RevenueScore], plain: str, expected: dict[str, F8], actual: F8) -> str:
    """The best learned model if its deviance is below that of the ``plain`` choice by more than one standard error."""
    learned = [score for score in scores if score.name in LEARNERS and score.name in expected and score.why_not is None]
    if plain not in expected or not learned:
        return plain
    best = min(learned, key=lambda score: score.deviance)
    gain = _deviate(expected[plain], actual) - _deviate(expected[best.name], actual)
    return best.name if gain.mean() > gain.std() / np.sqrt(len(gain)) else plain


def rank_correlation(expected: F8, actual: F8) -> float:
    """Spearman's; NaN where one of the two is the same for all."""
    a, b = rankdata(expected), rankdata(actual)
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else float("nan")


def find_gini(expected: F8, actual: F8) -> float:
    """How much of the concentration of spending the order by expectation finds: 1 all of it, 0 none.

    Twice the area between the share of customers and their share of spending, over the same in the order of spending.
    Customers expected to spend the same count as their mean.

    >>> spent = np.array([0.0, 1.0, 9.0])
    >>> find_gini(np.array([1.0, 2.0, 3.0]), spent), find_gini(np.ones(3), spent)
    (1.0, 0.0)
    """

    def area(order_by: F8) -> float:
        _, place = np.unique(order_by, return_inverse=True)
        size = np.bincount(place)
        even = (np.bincount(place, actual) / size)[place]
        ordered = even[np.argsort(order_by, kind="stable")]
        n = len(ordered)
        return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * ordered.sum()))

    if not actual.any() or np.ptp(actual) == 0:
        return float("nan")
    return area(expected) / area(actual)


def group_tenths(expected: F8, actual: F8) -> list[tuple[float, float]]:
    """Mean expected and mean spent of ten groups of customers of equal size, from the least expected up."""
    order = np.argsort(expected, kind="stable")
    return [
        (float(expected[part].mean()), float(actual[part].mean())) for part in np.array_split(order, 10) if len(part)
    ]


def measure_coverage(kind: str, low: F8, high: F8, actual: F8) -> Coverage:
    """The shares of customers inside, below and above their intervals.

    >>> measure_coverage("", np.array([0.0, 1.0]), np.array([1.0, 2.0]), np.array([0.0, 3.0])).above_p
    0.5
    """
    below, above = actual < low - 1e-9, actual > high + 1e-9
    return Coverage(
        kind,
        float((~below & ~above).mean()),
        float(below.mean()),
        float(above.mean()),
        float((high - low).mean()),
        len(actual),
    )


# -- values by the choice ----------------------------------------------------------------------------------


def learn_value(
    behaviour: Behaviour,
    purchases: Purchases,
    day: int,
    days: int,
    name: str,
    base: Fit | None,
    spend: Fit | None,
    *,
    seed: int = 0,
) -> tuple[F8, F8] | None:
    """What each customer known at the end of ``day`` is learned to spend in the next ``days``, and what the plain
    model expects: [N] each, in the order of ``trace_histories(purchases, day)``.

    None where there is too little to learn from.
    """
    known = trace_histories(purchases, day)
    people, bought = _draw_people(behaviour, purchases, known, seed)
    train = _rows_of(people, bought, day, days, base, spend)
    if _why_not_learn(name, train, days):
        return None
    predict = learn_rows(name, train, seed)
    renamed = rename_purchases(purchases, behaviour.names)
    rows, expected = _rows_at(behaviour, renamed, day, days, base, spend)
    ids = purchases.names.take(pa.array(known.customer)).cast(pa.large_string())
    place = np.full(len(behaviour.names), -1, np.int64)
    place[rows.customer] = np.arange(len(rows))
    order = place[pc.index_in(ids, behaviour.names.cast(pa.large_string())).to_numpy().astype(np.int64)]
    return predict(rows.inputs, expected)[order], expected[order]
