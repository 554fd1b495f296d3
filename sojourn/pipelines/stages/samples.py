"""The sample of a run: customers drawn at random, whose events the analyses work on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sojourn.errors import SojournError
from sojourn.fold import take_events
from sojourn.pipelines.stages.work import Work
from sojourn.playbook import Playbook
from sojourn.predict.value import Purchases, choose_purchases, find_purchases
from sojourn.segments import read_purchases
from sojourn.states import draw_customers

if TYPE_CHECKING:
    from sojourn.events import EventLog
    from sojourn.fold import Batch

MOST_CUSTOMERS = 5_000  # predictive value and growth are measured on so many
MOST_EVENTS = 400_000  # moments, journeys, channels and values are counted over customers with so many events
MOVE_COLUMNS = ["customer_id", "event_at", "event_class", "state"]  # what the analysis of transitions reads of history


@dataclass(frozen=True)
class Sample:
    """Customers drawn at random, with what is needed of their events once the events are let go.

    ``customers`` are at most 5,000, ``batch`` their events, ``bought`` their purchases (or why none are known), all
    numbered alike. ``travellers`` are customers with at most 400,000 events together, ``columns`` what is kept of each
    of their events, by customer and time. ``purchases`` are those of everybody. ``rng`` and ``travel_rng`` are chance
    of its own for each, so that one does not change the other.
    """

    customers: NDArray[np.int64]
    batch: Batch
    bought: Purchases | str
    travellers: NDArray[np.int64]
    columns: pa.Table
    purchases: Purchases | None
    rng: np.random.Generator
    travel_rng: np.random.Generator

    def take_history(self, customers: pa.Table, history: pa.Table) -> pa.Table:
        """The history of the travellers, with their columns. Both are by customer and time, so that rows fit."""
        n = customers["n_events"].to_numpy()
        starts = np.cumsum(n) - n
        parts = [history.slice(int(starts[who]), int(n[who])) for who in self.travellers]
        taken = pa.concat_tables(parts).select(MOVE_COLUMNS).unify_dictionaries().combine_chunks()
        for name in self.columns.column_names:
            taken = taken.append_column(name, self.columns[name])
        return taken


def draw_sample(work: Work, log: EventLog, batch: Batch) -> Sample:
    """Draw the customers, and keep what is needed of their events."""
    rng, travel_rng = work.rng.spawn(2)
    travellers = draw_customers(np.bincount(batch.customer, minlength=batch.n_customers), travel_rng, MOST_EVENTS)
    purchases = read_purchases(log.events, work.book) if work.has("hybrid") else None
    customers = np.sort(rng.permutation(batch.n_customers)[:MOST_CUSTOMERS])
    taken, rows = _take_customers(batch, customers)
    bought = _find_purchases(work.book, log, rows) if work.has("growth") else "growth was left out"
    columns = _take_columns(work.book, log, batch, travellers)
    return Sample(customers, taken, bought, travellers, columns, purchases, rng, travel_rng)


def _take_customers(batch: Batch, chosen: NDArray[np.int64]) -> tuple[Batch, NDArray[np.int64]]:
    """The events of these customers, who are numbered anew, and where those are among all."""
    place = np.full(batch.n_customers, -1, np.int32)
    place[chosen] = np.arange(len(chosen))
    theirs = np.flatnonzero(place[batch.customer] >= 0)
    taken = replace(take_events(batch, theirs), customer=place[batch.customer[theirs]], n_customers=len(chosen))
    return taken, theirs


def _find_purchases(book: Playbook, log: EventLog, rows: NDArray[np.int64]) -> Purchases | str:
    """What was bought in these events, or in words why that is not known."""
    try:
        classes, measure = choose_purchases(book)
        columns = ["customer_id", "event_at", "event_class", *([f"m_{measure}"] if measure else [])]
        return find_purchases(log.events.select(columns).take(pa.array(rows)), classes, measure)
    except SojournError as error:
        return error.problems[0].what


def _take_columns(book: Playbook, log: EventLog, batch: Batch, chosen: NDArray[np.int64]) -> pa.Table:
    """The channel and the measures that outcomes add up, of the events of these customers, by customer and time."""
    is_drawn = np.zeros(batch.n_customers, bool)
    is_drawn[chosen] = True
    theirs = np.flatnonzero(is_drawn[batch.customer])
    theirs = theirs[np.argsort(batch.customer[theirs], kind="stable")]
    names = ["channel", *dict.fromkeys(f"m_{outcome.measure}" for outcome in book.outcomes if outcome.measure)]
    return log.events.select(names).take(pa.array(theirs)).combine_chunks()
