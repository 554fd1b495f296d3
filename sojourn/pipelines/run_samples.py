"""The samples of customers that the analyses of a run work on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sojourn.errors import SojournError
from sojourn.playbook.objects import Playbook
from sojourn.states.rows import draw_customers

if TYPE_CHECKING:
    from sojourn.events.read import EventLog
    from sojourn.fold.batch import Batch
    from sojourn.predict.value.purchases import Purchases


_FORESIGHT_CUSTOMERS = 5_000
_LIVED_EVENTS = 400_000  # journeys, ends and channels are counted over customers with so many events
_MOVE_COLUMNS = ["customer_id", "event_at", "event_class", "state"]  # what the analysis of moves reads of the history


@dataclass(frozen=True)
class _Past:
    """The events of customers drawn at random, for :func:`_foresee` and :func:`_grow`: who they are, their batch and
    what they bought (or why that is not known), numbered alike."""

    chosen: NDArray[np.int64]
    batch: Batch
    bought: Purchases | str


def _keep_past(book: Playbook, log: EventLog, batch: Batch, rng: np.random.Generator) -> _Past:
    from sojourn.fold.batch import take_events
    from sojourn.predict.value.purchases import choose_purchases, find_purchases

    chosen = np.sort(rng.permutation(batch.n_customers)[:_FORESIGHT_CUSTOMERS])
    place = np.full(batch.n_customers, -1, np.int32)
    place[chosen] = np.arange(len(chosen))
    theirs = np.flatnonzero(place[batch.customer] >= 0)
    taken = replace(take_events(batch, theirs), customer=place[batch.customer[theirs]], n_customers=len(chosen))
    try:
        classes, measure = choose_purchases(book)
        columns = ["customer_id", "event_at", "event_class", *([f"m_{measure}"] if measure else [])]
        bought: Purchases | str = find_purchases(log.events.select(columns).take(pa.array(theirs)), classes, measure)
    except SojournError as error:
        bought = error.problems[0].what
    return _Past(chosen, taken, bought)


@dataclass(frozen=True)
class _Lives:
    """Customers drawn at random, what is kept of each of their events, by customer and time, and chance for later."""

    chosen: NDArray[np.int64]
    kept: pa.Table  # channel, and the measures that outcomes add up
    rng: np.random.Generator


def _keep_lives(book: Playbook, log: EventLog, batch: Batch, rng: np.random.Generator) -> _Lives:
    chosen = draw_customers(np.bincount(batch.customer, minlength=batch.n_customers), rng, _LIVED_EVENTS)
    is_drawn = np.zeros(batch.n_customers, bool)
    is_drawn[chosen] = True
    theirs = np.flatnonzero(is_drawn[batch.customer])
    theirs = theirs[np.argsort(batch.customer[theirs], kind="stable")]
    names = ["channel", *dict.fromkeys(f"m_{outcome.measure}" for outcome in book.outcomes if outcome.measure)]
    return _Lives(chosen, log.events.select(names).take(pa.array(theirs)).combine_chunks(), rng)


def _keep_purchases(book: Playbook, log: EventLog) -> Purchases | None:
    """Who bought when and for how much, which life cycle and value are read from."""
    from sojourn.segments.grid import read_purchases

    return read_purchases(log.events, book)


def _take_lives(customers: pa.Table, history: pa.Table, lived: _Lives) -> pa.Table:
    """The history of the customers drawn, with channels. Both are by customer and time, so that rows fit together."""
    n = customers["n_events"].to_numpy()
    starts = np.cumsum(n) - n
    parts = [history.slice(int(starts[who]), int(n[who])) for who in lived.chosen]
    lives = pa.concat_tables(parts).select(_MOVE_COLUMNS).unify_dictionaries().combine_chunks()
    for name in lived.kept.column_names:
        lives = lives.append_column(name, lived.kept[name])
    return lives
