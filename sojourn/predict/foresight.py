"""What the states add to prediction, on the user's own data: nothing, something, and how much."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.frames import DAY_US, F8
from sojourn.playbook import Outcome, Playbook
from sojourn.predict.learning import count_habits, tell_outcome
from sojourn.predict.scores import area_under_curve
from sojourn.states import Rows, posterior_now, restart_rows
from sojourn.states.hmm import Model
from sojourn.transitions import fit_logistic

_LEAST_OF_EACH = 20  # customers with and without the outcome, in training and in test
_N_BOOTSTRAP = 200


@dataclass(frozen=True)
class Foresight:
    """How well one outcome is foreseen: areas under the ROC curve of the same logistic model on three inputs.

    ``gain`` is what the states add to the features, with a 95 % interval by bootstrap over customers; ``why_not``
    says in words why there are no numbers.
    """

    outcome: str
    horizon_days: float
    n_train: int = 0
    n_test: int = 0
    base_rate: float | None = None
    auc_features: float | None = None
    auc_states: float | None = None
    auc_both: float | None = None
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    why_not: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as ``run.json`` has them."""
        return asdict(self)


def measure_foresight(
    book: Playbook,
    model: Model,
    rows: Rows,
    event_class: NDArray[np.int16],
    features_at: Callable[[int], F8],
    *,
    rng: np.random.Generator,
) -> tuple[Foresight, ...]:
    """One result per outcome of the playbook that is an event or a silence.

    A logistic model is trained on what was known two horizons before now and tested on what was known one
    horizon before now, each with what happened in the horizon after; so the outcomes tested are later than all
    those trained on. Inputs: the playbook's features with recency, frequency, tenure and events in the last 7,
    28 and 90 days; the posterior of the states; both. The state model itself has seen the whole history of its
    sample, which flatters it a little.

    ``event_class`` is the class of each row, ``features_at(instant)`` the playbook's features [customers, F].
    """
    found = []
    features_once = cache(features_at)  # outcomes share instants: one's late one may be the next one's early one
    posterior_once = cache(lambda instant: posterior_now(model, restart_rows(rows, instant)))
    for outcome in book.outcomes:
        horizon_s = outcome.silence_s if outcome.silence_s is not None else outcome.within_s
        if horizon_s is None or outcome.measure is not None:
            continue
        found.append(
            _foresee(book, rows, event_class, features_once, posterior_once, outcome, round(horizon_s * 1e6), rng)
        )
    return tuple(found)


def _foresee(
    book: Playbook,
    rows: Rows,
    event_class: NDArray[np.int16],
    features_at: Callable[[int], F8],
    posterior_at: Callable[[int], F8],
    outcome: Outcome,
    horizon: int,
    rng: np.random.Generator,
) -> Foresight:
    blank = Foresight(outcome.name, horizon / DAY_US)
    early, late = rows.now - 2 * horizon, rows.now - horizon
    if early <= int(rows.at.min(initial=rows.now)):
        return replace(blank, why_not="the history is shorter than twice the horizon")
    train, test = (
        _know(book, rows, event_class, features_at, posterior_at, outcome, at, horizon) for at in (early, late)
    )
    blank = replace(blank, n_train=len(train.happened), n_test=len(test.happened))
    for known in (train, test):
        if min(known.happened.sum(), (~known.happened).sum()) < _LEAST_OF_EACH:
            return replace(blank, why_not=f"fewer than {_LEAST_OF_EACH} customers with or without it")
    scores = [
        _fit_and_score(a, train.happened, b)
        for a, b in (
            (train.features, test.features),
            (train.posterior, test.posterior),
            (np.hstack([train.features, train.posterior]), np.hstack([test.features, test.posterior])),
        )
    ]
    plain, states, both = (area_under_curve(s, test.happened) for s in scores)
    gains = []
    ranks = [np.unique(scores[j], return_inverse=True)[1] for j in (2, 0)]
    for _ in range(_N_BOOTSTRAP):
        drawn = rng.integers(0, len(test.happened), len(test.happened))
        if 0 < test.happened[drawn].sum() < len(drawn):
            pair = [_area_of_ranks(rank[drawn], test.happened[drawn]) for rank in ranks]
            gains.append(pair[0] - pair[1])
    low, high = np.quantile(gains, [0.025, 0.975])
    return replace(
        blank,
        base_rate=float(test.happened.mean()),
        auc_features=plain,
        auc_states=states,
        auc_both=both,
        gain=both - plain,
        low=float(low),
        high=float(high),
    )


@dataclass(frozen=True)
class _Known:
    """What was known of each customer at an instant, and what happened after it."""

    features: F8
    posterior: F8
    happened: NDArray[np.bool_]


def _know(
    book: Playbook,
    rows: Rows,
    event_class: NDArray[np.int16],
    features_at: Callable[[int], F8],
    posterior_at: Callable[[int], F8],
    outcome: Outcome,
    at: int,
    horizon: int,
) -> _Known:
    customer = np.repeat(np.arange(rows.n_customers), np.diff(rows.starts))
    is_own = rows.touch == 0
    habits, is_asked = count_habits(customer, rows.at, is_own, rows.n_customers, at)
    happened = tell_outcome(
        outcome, book.class_names, customer, rows.at, event_class, is_own, rows.n_customers, at, at + horizon
    )
    if outcome.event is None:
        is_asked &= habits[:, 0] * DAY_US < horizon  # the others have been silent for so long already
    inputs = np.column_stack([features_at(at), habits])
    return _Known(inputs[is_asked], posterior_at(at)[is_asked], happened[is_asked])


def _fit_and_score(train: F8, happened: NDArray[np.bool_], test: F8) -> F8:
    """Log-odds for ``test`` of a logistic regression on ``train``; skewed inputs on a signed log scale."""

    def prepare(x: F8) -> F8:
        is_missing = np.isnan(x)
        return np.hstack([np.sign(x) * np.log1p(np.abs(np.where(is_missing, 0.0, x))) * ~is_missing, is_missing])

    a, b = np.nan_to_num(prepare(train)), np.nan_to_num(prepare(test))
    spread = a.std(axis=0)
    used = spread > 1e-9
    a, b = ((x[:, used] - a[:, used].mean(axis=0)) / spread[used] for x in (a, b))
    return fit_logistic(a, happened, max_iter=500).log_odds(b)


def _area_of_ranks(rank: NDArray[np.signedinteger], happened: NDArray[np.bool_]) -> float:
    """As :func:`area_under_curve`, of scores given by their place among all distinct ones: counted, not sorted."""
    yes, no = np.bincount(rank[happened]), np.bincount(rank[~happened])
    n = min(len(yes), len(no))
    below = np.cumsum(no)
    won = (yes[:n] * (below[:n] - no[:n] / 2)).sum() + yes[n:].sum() * below[-1]
    return float(won / (yes.sum() * below[-1]))
