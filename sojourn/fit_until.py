"""The state model of what was known up to an instant, and what any fit needs of events: labels, silence boundaries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sojourn.fitting import StateFit, fit_states
from sojourn.fold import Batch, Layout, Observe, choose_cuts, fold_events, slice_events
from sojourn.instants import instant_us
from sojourn.playbook import Playbook
from sojourn.silence import learn_boundaries
from sojourn.states import (
    Rows,
    arrange_rows,
    draw_customers,
    label_symbols,
    plan_channels,
    restart_rows,
    take_customers,
)

_EPOCH = datetime.fromtimestamp(0, UTC)


def to_instant(at_us: int) -> datetime:
    """Microseconds since 1970 as an instant."""
    return _EPOCH + timedelta(microseconds=at_us)


def has_labels(events: pa.Table) -> bool:
    """Whether any event carries a known state."""
    return bool(events["label"].null_count < events.num_rows)


def read_labels(book: Playbook, events: pa.Table) -> NDArray[np.uint8] | None:
    """Known states as symbols of the label channel; None when no event has one."""
    if not has_labels(events):
        return None
    known = pc.index_in(events["label"], pa.array(book.state_names)).fill_null(-1).to_numpy().astype(np.int64)
    label_p = events["label_p"].to_numpy(zero_copy_only=False).astype(np.float64)
    return label_symbols(known, label_p, len(book.states) + book.model.extra_states)


def set_boundaries(book: Playbook, batch: Batch, at: datetime) -> tuple[float, ...]:
    """The silence boundaries of the playbook, or learned from the gaps between own events."""
    if not book.model.is_silence_learned:
        return book.model.silence_s
    touches = [i for i, name in enumerate(book.class_names) if name in book.touches]
    own = np.flatnonzero(~np.isin(batch.event_class, touches))
    order = own[np.argsort(batch.customer[own], kind="stable")]
    customer, when = batch.customer[order], batch.event_at[order]
    follows = customer[1:] == customer[:-1]
    is_last = np.append(~follows, True)[: len(customer)]
    gaps = np.diff(when)[follows] / 1e6
    return learn_boundaries(gaps, (instant_us(at) - when[is_last]) / 1e6)


@dataclass(frozen=True)
class FitUntil:
    """A fit to what was known at an instant; ``rows`` are all events up to the end, as the model sees them."""

    fit: StateFit
    cuts: tuple[NDArray[np.float64], ...]
    rows: Rows


def fit_until(
    book: Playbook, layout: Layout, batch: Batch, labels: NDArray[np.uint8] | None, at: int, end: int,
    rng: np.random.Generator, *, max_events: int | None = None, n_threads: int = 1,
) -> FitUntil:  # fmt: skip
    """The state model and its cuts from what was known at ``at`` and nothing later, in microseconds since 1970.

    ``labels`` of the batch's events, which are those up to ``end``. With ``max_events`` the model is fitted on
    customers drawn at random who have so many together.
    """
    known = slice_events(batch, at)
    values = fold_events(layout, known, observe=Observe(is_raw=True), n_threads=n_threads).values
    assert values is not None
    cuts = choose_cuts(values)
    symbols = fold_events(layout, batch, observe=Observe(cuts), n_threads=n_threads).symbols
    assert symbols is not None
    boundaries = set_boundaries(book, known, to_instant(at))
    rows = arrange_rows(
        book, batch.customer, batch.event_at, batch.event_class, symbols, labels, boundaries, batch.n_customers, end
    )
    data = (rows if at >= end else restart_rows(rows, at)).data
    if max_events is not None:
        data = take_customers(data, draw_customers(np.diff(data.starts), rng, max_events))
    plan = plan_channels(book, cuts, labels is not None)
    return FitUntil(fit_states(book, plan, data, boundaries, rng=rng, n_threads=n_threads), tuple(cuts), rows)
