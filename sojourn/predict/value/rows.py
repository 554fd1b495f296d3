"""Rows to learn value from: all that was known of a customer at the end of a day, and what they spent afterwards.

Features are those of the fold, replayed to the end of that day (:mod:`sojourn.predict.learning`), so that looking
around,
asking and complaining count beside buying. Days are UTC, as purchases are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sojourn.fold import Batch, Layout, build_layout, make_batch, take_events
from sojourn.frames import DAY_US, F8, I8, Bools
from sojourn.playbook import Playbook
from sojourn.predict.learning import HABITS, count_habits, own_events, replay_features
from sojourn.predict.value.purchases import Histories, Purchases, count_purchases, trace_histories

BUYING_HABITS = ("n_purchases", "silence_days", "mean_value", "purchases_28d", "purchases_90d", "value_90d")
"""What is read of purchases beside the features of the fold; missing for customers who never bought."""


@dataclass(frozen=True, eq=False)
class Behaviour:
    """The events of some customers, ready to be replayed to any day. ``names`` [customers] are their ids."""

    layout: Layout
    batch: Batch
    is_own: Bools
    names: pa.Array

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the columns of :meth:`at_ends` are."""
        return (*(f"f_{name}" for name in self.layout.feature_names), *HABITS)

    def at_ends(self, days: Sequence[int], *, n_threads: int = 1) -> Iterator[tuple[int, F8, Bools]]:
        """Each day, in order, what was known of the customers at its end [customers, inputs], and of whom anything."""
        last = {(day + 1) * DAY_US - 1: day for day in days}
        for at, features in replay_features(self.layout, self.batch, list(last), n_threads=n_threads):
            habits, is_known = count_habits(self.batch.customer, self.batch.event_at, self.is_own, len(self.names), at)
            yield last[at], np.hstack([features, habits]), is_known

    def take(self, chosen: I8) -> Behaviour:
        """Of these customers only, in this order."""
        place = np.full(len(self.names), -1, np.int32)
        place[chosen] = np.arange(len(chosen), dtype=np.int32)
        theirs = np.flatnonzero(place[self.batch.customer] >= 0)
        batch = replace(
            take_events(self.batch, theirs), customer=place[self.batch.customer[theirs]], n_customers=len(chosen)
        )
        return Behaviour(self.layout, batch, self.is_own[theirs], self.names.take(pa.array(chosen)))


def watch_behaviour(events: pa.Table, book: Playbook) -> Behaviour:
    """The behaviour in accepted events, as :func:`sojourn.read_events` has them. Raises EventsError if not in order."""
    layout = build_layout(book)
    batch = make_batch(events, layout)
    return Behaviour(layout, batch, own_events(book, batch), batch.ids.names())


def rename_purchases(purchases: Purchases, names: pa.Array) -> Purchases:
    """The purchases of the customers in ``names``, numbered by their place there."""
    ids, known = (column.cast(pa.large_string()) for column in (purchases.names, names))
    place = pc.index_in(ids, known).fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    who = place[purchases.customer]
    kept = np.flatnonzero(who >= 0)
    kept = kept[np.lexsort((purchases.day[kept], who[kept]))]
    return Purchases(names, who[kept], purchases.day[kept], purchases.value[kept])


@dataclass(frozen=True, eq=False)
class ValueRows:
    """A row per customer and day: ``inputs`` [N, F], and what followed in the ``ahead`` days after, [N] each.

    ``value`` is what they spent (the number of purchases where none has a value), ``n_bought`` how often they bought.
    """

    customer: I8
    day: I8
    ahead: F8
    inputs: F8
    value: F8
    n_bought: F8

    def __len__(self) -> int:
        return len(self.customer)

    def take(self, kept: NDArray[np.signedinteger] | Bools) -> ValueRows:
        """These rows."""
        return ValueRows(
            self.customer[kept],
            self.day[kept],
            self.ahead[kept],
            self.inputs[kept],
            self.value[kept],
            self.n_bought[kept],
        )


def trace_rows(
    behaviour: Behaviour, purchases: Purchases, days: Sequence[int], ahead: Sequence[int], *, is_buyers_only: bool
) -> ValueRows:
    """The rows of all customers known on each of the ``days``, or of those who had bought by then.

    ``purchases`` are numbered as the customers of ``behaviour`` (:func:`rename_purchases`).
    """
    is_valued = bool((np.nan_to_num(purchases.value) > 0).any())
    length, parts = dict(zip(days, ahead, strict=True)), []
    for day, inputs, is_known in behaviour.at_ends(days):
        histories = trace_histories(purchases, day)
        has_bought = np.zeros(len(behaviour.names), bool)
        has_bought[histories.customer] = True
        known = np.flatnonzero(has_bought if is_buyers_only else is_known | has_bought)
        n_bought, spent = count_purchases(purchases, known, day, day + length[day])
        habits = describe_buying(purchases, histories, day, len(behaviour.names))
        parts.append(
            ValueRows(
                known,
                np.full(len(known), day),
                np.full(len(known), float(length[day])),
                np.hstack([inputs[known], habits[known]]),
                spent if is_valued else n_bought,
                n_bought,
            )
        )
    return join_rows(parts)


def join_rows(parts: Sequence[ValueRows]) -> ValueRows:
    """All rows, one part after the other; at least one part."""
    columns = ("customer", "day", "ahead", "inputs", "value", "n_bought")
    return ValueRows(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))


def describe_buying(purchases: Purchases, histories: Histories, day: int, n_customers: int) -> F8:
    """The :data:`BUYING_HABITS` at the end of a day [customers, 6]; NaN for those who had not bought."""
    who = histories.customer
    found = np.full((n_customers, len(BUYING_HABITS)), np.nan)
    month, _ = count_purchases(purchases, who, day - 28, day)
    quarter, spent = count_purchases(purchases, who, day - 90, day)
    silence = histories.age_days - histories.recency_days
    found[who] = np.column_stack([histories.n_repeat + 1, silence, histories.mean_value, month, quarter, spent])
    return found
