"""The tables that stages pass to each other: columns, types and units, in one place.

Instants (``_at``) are UTC with microseconds, durations end in ``_s`` (seconds), probabilities in ``_p``.
Columns that depend on the playbook are named in the functions that add them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

INSTANT = pa.timestamp("us", tz="UTC")
CLASS = pa.dictionary(pa.int16(), pa.string())
NAME = pa.dictionary(pa.int32(), pa.string())
REASONS = pa.list_(pa.struct([("what", pa.string()), ("weight", pa.float64())]))

OTHER = "other"
"""The event class of accepted rows that no class of the playbook matches; always the last class."""

QUARANTINE = pa.schema(
    [
        ("source", pa.string()),  # file name, URL, table or "-"
        ("line", pa.int64()),  # 1-based; the header of a CSV file is line 1
        ("rule", pa.string()),  # e.g. "time", "customer", "number", "utf-8"
        ("found", pa.string()),  # what was wrong, in words with the value
        ("raw", pa.string()),  # the row as it came, at most 4,096 characters
    ]
)

TRANSITIONS = pa.schema(
    [
        ("customer_id", pa.string()),
        ("at", INSTANT),
        ("from_state", NAME),
        ("to_state", NAME),
        ("cause", NAME),  # "event" or "silence"
        ("event_id", pa.string()),  # null when the cause is silence
        ("event_class", NAME),  # null when the cause is silence
        ("dwell_s", pa.float64()),  # time spent in from_state
    ]
)

HISTORY = pa.schema(
    [
        ("customer_id", pa.string()),
        ("event_id", pa.string()),
        ("event_at", INSTANT),
        ("event_class", NAME),
        ("smoothed_state", NAME),
        ("smoothed_p", pa.float64()),
        ("filtered_state", NAME),
        ("filtered_p", pa.float64()),
        ("state", NAME),  # the published one, right after this event
    ]
)


def events_schema(measures: Sequence[str], properties: Sequence[str]) -> pa.Schema:
    """The schema of accepted events, sorted by ``(event_at, seq)``.

    ``seq`` orders equal instants: file index and row, so that two runs fold ties alike.

    >>> events_schema(["revenue"], []).names[-1]
    'm_revenue'
    """
    fields: list[Any] = [
        ("customer_id", pa.string()),
        ("event_id", pa.string()),
        ("seq", pa.int64()),
        ("event_at", INSTANT),
        ("event_class", CLASS),
        ("channel", NAME),
        ("session", pa.string()),
        ("label", pa.string()),
        ("label_p", pa.float64()),
    ]
    fields += [(f"m_{name}", pa.float64()) for name in measures]
    fields += [(f"p_{name}", pa.string()) for name in properties]
    return pa.schema(fields)


def customers_schema(states: Sequence[str], features: Sequence[str]) -> pa.Schema:
    """The schema of the customers table: one row each, as of ``now``.

    >>> customers_schema(["discovery"], ["spend"]).names[-3:]
    ['p_discovery', 'reasons', 'f_spend']
    """
    fields: list[Any] = [
        ("customer_id", pa.string()),
        ("first_at", INSTANT),
        ("last_at", INSTANT),
        ("n_events", pa.int64()),
        ("state", NAME),
        ("since_at", INSTANT),
        ("state_p", pa.float64()),
        ("runner_up", NAME),
    ]
    fields += [(f"p_{name}", pa.float64()) for name in states]
    fields += [("reasons", REASONS)]
    fields += [(f"f_{name}", pa.float64()) for name in features]
    return pa.schema(fields)
