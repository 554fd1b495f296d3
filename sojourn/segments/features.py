"""What is known of every customer at an instant, and what is foreseen for them: tables that segments are made of.

Nothing after the instant is looked at. What is foreseen is learned on an earlier instant, with what followed it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from sojourn.errors import EventsError, PlaybookError, Problem
from sojourn.frames import F8, instant_us
from sojourn.playbook import Playbook
from sojourn.predict import HABITS, read_features_at
from sojourn.predict.value import choose_purchases
from sojourn.segments.prepare import read_numbers
from sojourn.segments.relevance import count_outcomes

_FOLDS = 5
_LEAST = 100


@dataclass(frozen=True)
class Meaning:
    """What the playbook says a purchase is, what it is worth, and what we did ourselves."""

    purchases: tuple[str, ...]
    measure: str | None
    touches: tuple[str, ...]


def read_meaning(book: Playbook) -> Meaning:
    """The purchases, measure and touches of a playbook; no purchases where it knows none."""
    try:
        classes, measure = choose_purchases(book)
    except PlaybookError:
        classes, measure = (), None
    return Meaning(tuple(classes), measure, book.touches)


def cut_events(events: pa.Table, at: datetime) -> pa.Table:
    """The events until an instant, it included; they are in order of time."""
    when = events["event_at"].cast(pa.int64()).to_numpy()
    return events.slice(0, int(np.searchsorted(when, instant_us(at), side="right")))


def features_at(events: pa.Table, book: Playbook, at: datetime, *, n_threads: int = 1) -> pa.Table:
    """One row per customer with an event of their own by ``at``: ``customer_id``, the playbook's features and the
    habits of :func:`sojourn.predict.learning.read_features_at`, under the names of :func:`feature_columns`."""
    past = cut_events(events, at)
    if not past.num_rows:
        raise EventsError(Problem("events", f"there is none by {at:%Y-%m-%d}"))
    table = read_features_at(past, book, [at], n_threads=n_threads).drop_columns(["at"])
    table = table.rename_columns(["customer_id", *feature_columns(book)])
    return table.set_column(0, "customer_id", table["customer_id"].cast(pa.string()))


def feature_columns(book: Playbook) -> tuple[str, ...]:
    """The playbook's features, then the habits; ``f_`` is before a feature that is called like a habit."""
    return (*(f"f_{name}" if name in HABITS else name for name in book.feature_names), *HABITS)


def foresee_outcomes(
    now: pa.Table, earlier: pa.Table | None, outcomes: pa.Table, names: Sequence[str], *, seed: int
) -> tuple[pa.Table, tuple[str, ...]]:
    """``now`` with what is expected of each customer appended, and the names of the new columns.

    ``outcomes`` followed ``earlier``, whose customers they are of; a model learns them from the columns ``names`` and
    reads ``now``. Without ``earlier`` they followed ``now`` itself, and each customer is read by models that did not
    see them. Outcomes that are the same for all, or known of fewer than 100 customers, are left out.
    """
    known = now if earlier is None else earlier
    inputs = _matrix(known, names)
    target = inputs if earlier is None else _matrix(now, names)
    added: list[str] = []
    table = now
    for outcome in outcomes.column_names:
        if outcome in ("customer_id", "revenue"):  # its logarithm stands for revenue
            continue
        values, name = _read_outcome(outcomes, outcome)
        has = ~np.isnan(values)
        if has.sum() < _LEAST or np.ptp(values[has]) == 0:
            continue
        expected = _expect(inputs, values, has, target, is_same=earlier is None, seed=seed)
        table = table.append_column(name, pa.array(expected))
        added.append(name)
    return table, tuple(added)


def _read_outcome(outcomes: pa.Table, outcome: str) -> tuple[F8, str]:
    """What is to be learned, and what the expectation is called. Revenue is that of those who buy, so that whether
    they do and how much they spend are two things."""
    values = np.array(outcomes[outcome].to_numpy(), dtype=float)
    if outcome != "revenue, logged":
        return values, "expected_" + outcome.replace(" ", "_")
    return np.where(values > 0, values, np.nan), "expected_revenue_if_bought"


def _matrix(table: pa.Table, names: Sequence[str]) -> F8:
    return np.stack([read_numbers(table[name]) for name in names], axis=1)


def _expect(inputs: F8, values: F8, has: NDArray[np.bool_], target: F8, *, is_same: bool, seed: int) -> F8:
    """Additive boosting: each input's part can be read by itself, and it ranks as well as any here."""

    def expect(rows: NDArray[np.bool_], of: F8) -> F8:
        is_known = ~np.isnan(inputs[rows]).all(axis=0)  # a feature that nobody has yet cannot be learned from
        model = HistGradientBoostingRegressor(
            max_iter=120,
            learning_rate=0.06,
            min_samples_leaf=max(20, int(rows.sum()) // 100),
            interaction_cst="no_interactions",
            random_state=seed,
            early_stopping=False,
        )
        return np.asarray(model.fit(inputs[rows][:, is_known], values[rows]).predict(of[:, is_known]))

    if not is_same:
        return expect(has, target)
    fold = np.random.default_rng(seed).permutation(np.arange(len(values)) % _FOLDS)
    found = np.empty(len(values))
    for i in range(_FOLDS):
        found[fold == i] = expect(has & (fold != i), target[fold == i])
    return found


def outcomes_after(events: pa.Table, ids: pa.ChunkedArray, at: datetime, days: float, meaning: Meaning) -> pa.Table:
    """What these customers did in the days after the instant (:func:`sojourn.segments.relevance.count_outcomes`)."""
    return count_outcomes(
        events,
        pc.cast(ids, pa.string()).combine_chunks(),
        at,
        days,
        touches=meaning.touches,
        purchases=meaning.purchases,
        measure=meaning.measure,
    )


def days_before(at: datetime, days: float) -> datetime:
    """The instant so many days earlier. Raises EventsError where the calendar does not reach so far."""
    try:
        return at - timedelta(days=days)
    except OverflowError:
        raise EventsError(Problem("--days", f"{days:g} days before {at:%Y-%m-%d} there is no date")) from None
