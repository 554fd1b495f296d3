"""Who a customer is by what they do now: the two segmentations that need no fitting, crossed with the states of a run.

Life cycle and value (RFM) follow from the purchases alone. Segments found by clustering are crossed in the same way by
``sojourn segments --results``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sojourn.errors import EventsError
from sojourn.playbook import Playbook
from sojourn.predict.value import Purchases, day_of, find_purchases, trace_histories
from sojourn.segments.features import read_meaning
from sojourn.segments.hybrid import cross_states
from sojourn.segments.lifecycle import STAGES, read_rhythm, stage_customers
from sojourn.segments.rfm import BOXES, OTHERS, score_rfm

LIFECYCLE, VALUE = "lifecycle", "value"
NONE_YET = "no purchase yet"
MOST_CUSTOMERS = 200_000
"""Who are crossed; of more, so many drawn at random. Scores of value are among all who have bought."""

HYBRID = pa.schema(
    [
        ("segmentation", pa.string()),
        ("segment", pa.string()),
        ("state", pa.string()),
        ("n_customers", pa.int64()),
        ("share_p", pa.float64()),
        ("share_all_p", pa.float64()),
        ("ratio", pa.float64()),
        ("why_not", pa.string()),
    ]
)
"""A row per segment and state of each segmentation; where there is none, one row that says why."""


def read_purchases(events: pa.Table, book: Playbook) -> Purchases | None:
    """The purchases of accepted events, None where the playbook knows none or nobody has bought."""
    meaning = read_meaning(book)
    if not meaning.purchases:
        return None
    try:
        return find_purchases(events, meaning.purchases, meaning.measure)
    except EventsError:
        return None


def cross_segments(
    purchases: Purchases | None, customers: pa.Table, book: Playbook, now: datetime, *, rng: np.random.Generator
) -> pa.Table:
    """Segment by state (:data:`HYBRID`), by life cycle and by value, as of ``now``.

    ``customers`` has ``customer_id, state`` and holds everybody; those without a state do not count. Customers who have
    not bought are a segment of their own. Segments and states are in the order in which life cycle, RFM and playbook
    list them. The shares are those of :func:`sojourn.segments.hybrid.cross_states`.

    >>> from sojourn.playbook.load import load_playbook
    >>> from sojourn.predict.value.purchases import merge_days
    >>> bought = merge_days(pa.array(["a", "b"]), np.array([0, 1]), np.array([20_000, 20_050]), np.ones(2))
    >>> people = pa.table({"customer_id": ["a", "b", "c"], "state": ["away", "decision", "decision"]})
    >>> at, rng = datetime(2024, 12, 20), np.random.default_rng(0)
    >>> table = cross_segments(bought, people, load_playbook("shop"), at, rng=rng)
    >>> [(r["segment"], r["state"]) for r in table.to_pylist() if r["segmentation"] == "lifecycle" and r["n_customers"]]
    [('no purchase yet', 'decision'), ('new', 'decision'), ('at risk', 'away')]
    """
    why = None
    if purchases is None:
        why = "nobody has bought, or the playbook does not say what a purchase is"
    elif not pc.is_valid(customers["state"]).to_numpy(zero_copy_only=False).any():
        why = "no customer has a state"
    if purchases is None or why is not None:
        return pa.Table.from_pylist([{"segmentation": s, "why_not": why} for s in (LIFECYCLE, VALUE)], schema=HYBRID)
    if customers.num_rows > MOST_CUSTOMERS:
        customers = customers.take(pa.array(np.sort(rng.permutation(customers.num_rows)[:MOST_CUSTOMERS])))
    day = day_of(now)
    staged = stage_customers(purchases, day, read_rhythm(book))
    scored = score_rfm(trace_histories(purchases, day))
    boxes = [*(name for name, *_ in BOXES), OTHERS]
    states = list(book.state_names)
    rows = [
        *_cross(LIFECYCLE, staged["customer_id"], staged["stage"], STAGES, customers, states),
        *_cross(VALUE, scored["customer_id"], scored["rfm_segment"], boxes, customers, states),
    ]
    return pa.Table.from_pylist(rows, schema=HYBRID)


def _cross(
    segmentation: str,
    who: pa.ChunkedArray,
    names: pa.ChunkedArray,
    order: Sequence[str],
    customers: pa.Table,
    states: Sequence[str],
) -> list[dict[str, object]]:
    """The rows of one segmentation; ``order`` lists its segments, from the second on: the first have not bought."""
    every = [NONE_YET, *order]
    number = pc.index_in(names.combine_chunks().cast(pa.string()), value_set=pa.array(every)).to_numpy()
    place = pc.index_in(customers["customer_id"].cast(pa.string()), value_set=who.combine_chunks().cast(pa.string()))
    place = place.combine_chunks().fill_null(len(number)).to_numpy()
    segment = np.append(number, 0)[place].astype(np.int32)
    segmented = pa.table(
        {
            "customer_id": customers["customer_id"],
            "segment": segment,
            "name": pa.DictionaryArray.from_arrays(pa.array(segment), pa.array(every)),
        }
    )
    rows = cross_states(segmented, customers).to_pylist()
    last = len(states)
    rows.sort(key=lambda r: (r["segment"], states.index(r["state"]) if r["state"] in states else last))
    return [
        {"segmentation": segmentation, "segment": r["name"], "why_not": None}
        | {key: r[key] for key in ("state", "n_customers", "share_p", "share_all_p", "ratio")}
        for r in rows
    ]
