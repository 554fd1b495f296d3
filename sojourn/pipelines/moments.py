"""The job `moments`: patterns that precede an outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sojourn.events.read import EventLog
    from sojourn.playbook.objects import Playbook
    from sojourn.transitions.moments.measure import Streams


_MOST_EVENTS = 400_000


def _draw_streams(log: EventLog, book: Playbook, rng: Any) -> Streams:
    """All customers, or of very many events those of customers drawn at random."""
    import numpy as np
    import pyarrow as pa

    from sojourn.states.rows import draw_customers
    from sojourn.transitions.moments.measure import read_streams

    table = log.events.select(["customer_id", "event_at", "event_class"])
    codes = table["customer_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    chosen = draw_customers(np.bincount(codes), rng, _MOST_EVENTS)
    rows = np.flatnonzero(np.isin(codes, chosen))
    rows = rows[np.argsort(codes[rows], kind="stable")]
    return read_streams(table.take(pa.array(rows)), book.touches)


def _find_completions(book: Playbook, streams: Streams) -> Any:
    from sojourn.fold.completions import find_completions

    return find_completions(book, streams.customer, streams.at, streams.names, streams.item)
