"""Purchases from events, and what models of value read of them: how many, how recent, how long known, how much.

A purchase is a day on which a customer bought: ten lines of one order, or two orders on a day, are one. Days are UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sojourn.errors import EventsError, PlaybookError, Problem, nearest
from sojourn.frames import DAY_US, F8, I8
from sojourn.playbook import Playbook

_REVENUE = "revenue"
_PURCHASE = "purchase"


@dataclass(frozen=True, eq=False)
class Purchases:
    """Days on which customers bought, in order of customer and day; ``value`` is NaN where none is known.

    ``customer`` are rows of ``names``; ``day`` counts from 1970-01-01 UTC.
    """

    names: pa.Array
    customer: I8
    day: I8
    value: F8

    def __len__(self) -> int:
        return len(self.day)


@dataclass(frozen=True, eq=False)
class Histories:
    """What is known at the end of one day of everybody who had bought by then.

    ``customer`` are rows of ``names``; ``n_repeat`` purchases after the first, ``recency_days`` from the first to the
    last, ``age_days`` from the first to now; ``mean_value`` of those ``n_valued`` purchases whose value is known and
    above zero.
    """

    names: pa.Array
    customer: I8
    n_repeat: F8
    recency_days: F8
    age_days: F8
    n_valued: F8
    mean_value: F8

    def __len__(self) -> int:
        return len(self.customer)

    def as_table(self) -> pa.Table:
        """One row per customer, as :func:`summarise_purchases` returns it."""
        return pa.table(
            {
                "customer_id": self.names.take(pa.array(self.customer)),
                "n_purchases": (self.n_repeat + 1).astype(np.int64),
                "recency_days": self.recency_days,
                "age_days": self.age_days,
                "n_valued": self.n_valued.astype(np.int64),
                "mean_value": pa.array(self.mean_value, from_pandas=True),
            }
        )


def choose_purchases(
    book: Playbook, classes: Sequence[str] = (), measure: str | None = None
) -> tuple[tuple[str, ...], str | None]:
    """The event classes that are a purchase, and the measure that is its value (None: there is none).

    Without ``measure`` it is ``revenue``, or else that of the first outcome with one; without ``classes`` those that
    carry the measure, or else ``purchase``. Raises PlaybookError for names that the playbook does not have.

    >>> from sojourn.playbook.load import load_playbook
    >>> choose_purchases(load_playbook("shop")), choose_purchases(load_playbook("finance"))
    ((('purchase',), 'revenue'), (('deposit',), 'saved'))
    """
    where = str(book.path or book.name)
    for name in classes:
        if name not in book.class_names:
            raise PlaybookError(Problem(where, f"'{name}' is no event class", nearest(name, book.class_names)))
    if measure is not None and measure not in book.measure_names:
        raise PlaybookError(Problem(where, f"'{measure}' is no measure", nearest(measure, book.measure_names)))
    if measure is None:
        told = [one.measure for one in book.outcomes if one.measure is not None]
        measure = _REVENUE if _REVENUE in book.measure_names else next(iter(told), None)
    if not classes and measure is not None:
        classes = [one.name for one in book.events if any(name == measure for name, _ in one.measures)]
    if not classes and _PURCHASE in book.class_names:
        classes = [_PURCHASE]
    if not classes:
        raise PlaybookError(Problem(where, "no event class has a value; say what a purchase is with --purchase CLASS"))
    return tuple(classes), measure


def find_purchases(events: pa.Table, classes: Sequence[str], measure: str | None = None) -> Purchases:
    """The purchases in accepted events: days with an event of these classes, and the sum of the measure on each.

    ``events`` as :func:`sojourn.read_events` has them. Raises EventsError when there is none.
    """
    is_one = pc.is_in(events["event_class"].cast(pa.string()), pa.array(list(classes), pa.string()))
    names = ["customer_id", "event_at", *([f"m_{measure}"] if measure else [])]
    bought = events.select(names).filter(is_one).combine_chunks()
    if not bought.num_rows:
        raise EventsError(Problem("events", f"nobody has bought: there is no event of class {', '.join(classes)}"))
    encoded = bought["customer_id"].combine_chunks().dictionary_encode()
    day = bought["event_at"].cast(pa.int64()).to_numpy() // DAY_US
    value = bought[f"m_{measure}"].to_numpy() if measure else np.full(len(day), np.nan)
    return merge_days(encoded.dictionary, encoded.indices.to_numpy().astype(np.int64), day, value)


def merge_days(names: pa.Array, customer: I8, day: I8, value: F8) -> Purchases:
    """Purchases with one row per customer and day, values summed; in any order.

    >>> merge_days(pa.array(["u"]), np.array([0, 0, 0]), np.array([5, 2, 5]), np.array([1.0, np.nan, 2.0])).value
    array([nan,  3.])
    """
    first = int(day.min())
    key = customer * (int(day.max()) - first + 1) + day - first
    keys, places = np.unique(key, return_inverse=True)
    is_known = np.isfinite(value)
    total = np.bincount(places, np.where(is_known, value, 0.0), len(keys))
    n_known = np.bincount(places, is_known, len(keys))
    who, when = np.divmod(keys, int(day.max()) - first + 1)
    return Purchases(names, who, when + first, np.where(n_known > 0, total, np.nan))


def trace_histories(purchases: Purchases, day: int, *, is_first_valued: bool = True) -> Histories:
    """What was known at the end of a day: later purchases are not looked at.

    ``is_first_valued``: whether a customer's first purchase counts for their mean value, or only repeated ones.
    """
    past = purchases.day <= day
    who, when, value = purchases.customer[past], purchases.day[past], purchases.value[past]
    starts = np.flatnonzero(np.diff(who, prepend=-1))
    sizes = np.diff(np.append(starts, len(who)))
    is_valued = np.nan_to_num(value) > 0
    if not is_first_valued:
        is_valued[starts] = False
    n_valued = np.add.reduceat(is_valued, starts, dtype=float) if len(starts) else np.empty(0)
    total = np.add.reduceat(np.where(is_valued, value, 0.0), starts) if len(starts) else np.empty(0)
    mean = np.full(len(starts), np.nan)
    np.divide(total, n_valued, out=mean, where=n_valued > 0)
    first, last = when[starts], when[starts + sizes - 1]
    return Histories(
        purchases.names,
        who[starts],
        sizes - 1.0,
        (last - first).astype(float),
        (day - first).astype(float),
        n_valued,
        mean,
    )


def count_purchases(purchases: Purchases, customer: I8, after: int, until: int) -> tuple[F8, F8]:
    """Purchases of each of these customers on the days after one and until another, and their total value."""
    inside = (purchases.day > after) & (purchases.day <= until)
    who, value = purchases.customer[inside], purchases.value[inside]
    n = len(purchases.names)
    counts: F8 = np.bincount(who, minlength=n).astype(float)
    totals: F8 = np.bincount(who, np.nan_to_num(value), minlength=n).astype(float)
    return counts[customer], totals[customer]


def day_of(at: datetime) -> int:
    """The UTC day of an instant, counted from 1970-01-01; an instant without a zone is UTC.

    >>> day_of(datetime(1970, 1, 3, 12))
    2
    """
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).date().toordinal() - 719_163


def summarise_purchases(
    events: pa.Table,
    at: datetime,
    classes: Sequence[str] = (_PURCHASE,),
    measure: str | None = _REVENUE,
    *,
    is_first_valued: bool = True,
) -> pa.Table:
    """One row per customer who had bought by ``at``: ``customer_id, n_purchases, recency_days, age_days, n_valued``
    and ``mean_value`` (null where no value above zero is known).

    ``events`` as :func:`sojourn.read_events` has them; ``classes`` and ``measure`` say what a purchase is and what
    it is worth. ``recency_days`` counts from the first to the last purchase, ``age_days`` from the first to ``at``.
    Raises EventsError when nobody has bought.

    >>> day = [datetime(2025, 6, d, tzinfo=UTC) for d in (1, 1, 11, 30)]
    >>> columns = {"customer_id": ["u"] * 4, "event_at": day, "event_class": ["purchase"] * 4, "m_revenue": [1.0] * 4}
    >>> summarise_purchases(pa.table(columns), datetime(2025, 6, 21)).to_pylist()[0]["recency_days"]
    10.0
    """
    purchases = find_purchases(events, classes, measure)
    return trace_histories(purchases, day_of(at), is_first_valued=is_first_valued).as_table()
