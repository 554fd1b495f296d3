"""Which events complete which moments, by the same fold that runs live."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sojourn.fold.batch import Batch, fold_events
from sojourn.fold.ids import IdTable
from sojourn.fold.layout import moments_layout
from sojourn.playbook import Playbook


def find_completions(
    playbook: Playbook,
    customer: NDArray[np.integer],
    event_at: NDArray[np.int64],
    event_class: Sequence[str],
    codes: NDArray[np.integer],
    *,
    n_threads: int = 1,
) -> NDArray[np.int64]:
    """Rows of (event, moment), in this order; ``moment`` is a position in ``playbook.moments``.

    ``customer`` are codes from 0, each customer's events in order of time; the class of an event is
    ``event_class[codes]``. At one instant a moment of a customer is completed once, as the live engine tells it.
    """
    layout = moments_layout(playbook)
    n = len(customer)
    place = {name: i for i, name in enumerate(layout.class_names)}
    of = np.array([place[name] for name in event_class] or [0], np.int16)
    batch = Batch(
        customer=np.ascontiguousarray(customer, np.int32),
        event_at=np.ascontiguousarray(event_at, np.int64),
        event_class=of[np.asarray(codes, np.int64)] if n else np.empty(0, np.int16),
        measures=np.empty((n, 0)),
        channel=np.empty(0, np.int32),
        properties=np.empty((n, 0), np.uint64),
        session=np.zeros(n if layout.has_sessions else 0, np.uint64),
        ids=IdTable(),
        n_customers=int(customer.max(initial=-1)) + 1,
    )
    found = fold_events(layout, batch, n_threads=n_threads).completions
    if found is None:
        return np.empty((0, 2), np.int64)
    who, at = batch.customer[found[:, 0]].astype(np.int64), batch.event_at[found[:, 0]]
    order = np.lexsort((found[:, 0], at, who, found[:, 1]))
    again = np.zeros(len(found), bool)
    again[order[1:]] = np.all([np.diff(x[order]) == 0 for x in (found[:, 1], who, at)], axis=0)
    return found[~again]
