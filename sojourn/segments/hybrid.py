"""Strategic segment by tactical state: who is where, and who moved between the cells."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sojourn.errors import EventsError, Problem
from sojourn.frames import instant_us

NEW = "new"
"""Where customers come from who were not there yet."""


def cross_states(segmented: pa.Table, customers: pa.Table) -> pa.Table:
    """A row per segment and state: ``segment, name, state, n_customers, share_p`` of the segment, ``share_all_p`` of all
    customers in a segment and a state, and ``ratio`` of the two.

    ``segmented`` has ``customer_id, segment, name``; ``customers`` is the table of a run. Customers who are in only one
    of them, or in no segment or state, do not count. Raises EventsError where that is nobody.

    >>> segmented = pa.table({"customer_id": ["a", "b"], "segment": [1, 2], "name": ["big", "small"]})
    >>> found = cross_states(segmented, pa.table({"customer_id": ["a", "b"], "state": ["keen", "away"]}))
    >>> list(zip(*(found[name].to_pylist() for name in ("name", "state", "ratio"))))[:2]
    [('big', 'away', 0.0), ('big', 'keen', 2.0)]
    """  # noqa: E501
    both = _join(segmented, customers.select(["customer_id", "state"]))
    segments = _list_segments(both)
    states = sorted(set(both["state"].to_pylist()))
    counts = np.zeros((len(segments), len(states)))
    numbers = np.array([number for number, _ in segments])
    np.add.at(
        counts,
        (
            np.searchsorted(numbers, both["segment"].to_numpy()),
            pc.index_in(both["state"], value_set=pa.array(states)).to_numpy(),
        ),
        1,
    )
    share_all = counts.sum(axis=0) / counts.sum()
    share = counts / counts.sum(axis=1, keepdims=True)
    return pa.Table.from_pylist(
        [
            {
                "segment": number,
                "name": name,
                "state": state,
                "n_customers": int(counts[i, j]),
                "share_p": float(share[i, j]),
                "share_all_p": float(share_all[j]),
                "ratio": float(share[i, j] / share_all[j]),
            }
            for i, (number, name) in enumerate(segments)
            for j, state in enumerate(states)
        ]
    )


def flow_between_cells(
    segmented: pa.Table,
    customers: pa.Table,
    transitions: pa.Table,
    *,
    now: datetime,
    days: float = 28,
    before: pa.Table | None = None,
) -> pa.Table:
    """Customers by the cell they were in ``days`` ago and the one they are in now: ``from_segment, from_state,
    to_segment, to_state, n_customers``, the largest first; staying is a row too.

    States are the published ones of a run. ``before``: the segments of then (``customer_id, segment``); without it, and
    for customers it does not know, the segment of now counts for then, since segments are slow. Customers who were not
    there come from the state ``new``.
    """
    both = _join(segmented, customers.select(["customer_id", "state", "first_at"]))
    then = instant_us(now) - round(days * 86_400_000_000)
    was = _states_at(both, transitions, then)
    segment = both["segment"].to_numpy()
    from_segment = segment
    if before is not None:
        place = pc.index_in(both["customer_id"], value_set=before["customer_id"].combine_chunks().cast(pa.string()))
        old = before["segment"].combine_chunks().take(place)
        from_segment = np.where(pc.is_valid(old).to_numpy(zero_copy_only=False), old.fill_null(0).to_numpy(), segment)
    cells = pa.table(
        {
            "from_segment": pa.array(from_segment, pa.int32()),
            "from_state": was,
            "to_segment": pa.array(segment, pa.int32()),
            "to_state": both["state"],
        }
    )
    counted = cells.group_by(cells.column_names).aggregate([([], "count_all")])
    counted = counted.rename_columns([*cells.column_names, "n_customers"])
    order = [("n_customers", "descending"), *((name, "ascending") for name in cells.column_names)]
    return counted.sort_by(order)


def _join(segmented: pa.Table, customers: pa.Table) -> pa.Table:
    known = segmented.select(["customer_id", "segment", "name"]).filter(pc.is_valid(segmented["segment"]))
    ids = known["customer_id"].cast(pa.string())
    place = pc.index_in(ids, value_set=customers["customer_id"].combine_chunks().cast(pa.string()))
    found = pa.table(
        {
            "customer_id": ids,
            "segment": known["segment"],
            "name": known["name"].cast(pa.string()),
            **{n: customers[n].combine_chunks().take(place.combine_chunks()) for n in customers.column_names[1:]},
        }
    )
    found = found.set_column(found.schema.get_field_index("state"), "state", found["state"].cast(pa.string()))
    found = found.filter(pc.is_valid(found["state"])).combine_chunks()
    if not found.num_rows:
        raise EventsError(
            Problem("--results", "no customer of these results is in a segment; are they of other events?")
        )
    return found


def _list_segments(both: pa.Table) -> list[tuple[int, str]]:
    pairs = both.group_by(["segment", "name"]).aggregate([]).to_pylist()
    return sorted((row["segment"], row["name"]) for row in pairs)


def _states_at(both: pa.Table, transitions: pa.Table, at: int) -> pa.Array:
    """The state of each customer at an instant: what the last transition by then led to, or the next one came from."""
    who = pc.index_in(transitions["customer_id"].cast(pa.string()), value_set=both["customer_id"].combine_chunks())
    place = who.fill_null(-1).to_numpy().astype(np.int64)
    when = transitions["at"].cast(pa.int64()).to_numpy()
    n = both.num_rows
    led, came = np.full(n, -1), np.full(n, -1)
    rows = np.flatnonzero(place >= 0)
    past, later = rows[when[rows] <= at], rows[when[rows] > at][::-1]
    led[place[past]] = past  # in order of time: the last one stays
    came[place[later]] = later  # in reverse: the first one stays
    to_state = np.array(transitions["to_state"].cast(pa.string()).to_pylist(), object)
    from_state = np.array(transitions["from_state"].cast(pa.string()).to_pylist(), object)
    now_state = np.array(both["state"].to_pylist(), object)
    first = both["first_at"].cast(pa.int64()).fill_null(np.iinfo(np.int64).max).to_numpy()
    found: NDArray[np.object_] = np.where(first <= at, now_state, NEW)
    moved_later = came >= 0
    found[moved_later] = [state or NEW for state in from_state[came[moved_later]]]
    found[led >= 0] = to_state[led[led >= 0]]
    return pa.array(found, pa.string())
