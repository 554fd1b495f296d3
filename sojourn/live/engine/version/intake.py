"""From tracking calls to events: read, quarantined where they break a rule, dropped where they were taken before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sojourn.events.calls import CallReader, ReadCalls
from sojourn.fold import Layout, RecentKeys, hash_strings
from sojourn.live.engine.event_files import PastEvents
from sojourn.live.store import CallsColumns, Quarantined
from sojourn.playbook import Playbook
from sojourn.states import label_symbols

Rows = NDArray[np.int32]

PLACE_BITS = 20
"""``seq`` of an event is its record's position above this many bits, and its place in the record below."""


class Intake:
    """The reader of calls, and which message ids it has seen lately."""

    def __init__(self, playbook: Playbook, layout: Layout, n_labels: int, duplicates_within_us: int) -> None:
        """No message has been seen. ``n_labels``: symbols of the label channel, one per state."""
        self.reader = CallReader(playbook, layout)
        self.recent = RecentKeys(duplicates_within_us)
        self._n_labels = n_labels

    def read(self, calls: CallsColumns) -> ReadCalls:
        """The events of a record's calls. An erased call is read as an empty one."""
        raw = [call if call is not None else b"" for call in calls.raw]
        return self.reader.read(raw, calls.kind, calls.received_at, calls.sent_at)

    def find_new(self, read: ReadCalls, now: int) -> NDArray[np.bool_]:
        """Which events were not taken before; from now on they count as taken. One without an id is always new."""
        has_id = np.fromiter((id is not None for id in read.event_id), np.bool_, len(read))
        is_new = np.ones(len(read), np.bool_)
        if has_id.any():
            texts = pa.array([id for id in read.event_id if id is not None], pa.string())
            keys = np.stack([hash_strings(texts), hash_strings(texts, seed=1)], axis=1)
            is_new[has_id] = self.recent.add(keys, now)
        return is_new

    def make_events(self, position: int, read: ReadCalls, first: Rows, is_new: NDArray[np.bool_]) -> PastEvents:
        """The new events in order of ``(event_at, seq)``; ``first`` is the id that each was sent under."""
        n = len(read)
        labels = label_symbols(read.label, read.label_p, self._n_labels)
        events = PastEvents(
            node=first,
            event_at=read.event_at,
            seq=np.int64(position) << PLACE_BITS | read.place,
            event_class=read.event_class,
            label=labels,
            measures=read.measures,
            channel=read.channel if len(read.channel) else np.full(n, -1, np.int32),
            properties=read.properties,
            session=read.session if len(read.session) else np.zeros(n, np.uint64),
            event_id=[(id or "").encode() for id in read.event_id],
        )
        rows = np.flatnonzero(is_new)
        return take_events(events, rows[np.lexsort((events.seq[rows], events.event_at[rows]))])


def list_quarantined(position: int, calls: CallsColumns, read: ReadCalls) -> list[Quarantined]:
    """The calls of a record that cannot be used, with the rule that each breaks. An erased call is none of them."""
    found = []
    for place, rule, what in read.rejected:
        raw = calls.raw[place]
        if raw is not None:
            at = int(calls.received_at[place])
            found.append(Quarantined(position, place, at, rule, what, raw.decode("utf-8", errors="replace")))
    return found


def split_seq(seq: int) -> tuple[int, int]:
    """The position and the place of an event's ``seq``.

    >>> split_seq(7 << PLACE_BITS | 3)
    (7, 3)
    """
    return seq >> PLACE_BITS, seq & ((1 << PLACE_BITS) - 1)


def take_events(events: PastEvents, rows: Any) -> PastEvents:
    """Some of the events, in the order given."""
    picked: dict[str, Any] = {name: value[rows] for name, value in events.__dict__.items() if name != "event_id"}
    return PastEvents(event_id=[events.event_id[i] for i in rows.tolist()], **picked)


def join_events(parts: list[PastEvents]) -> PastEvents:
    """Events put end to end; at least one part."""
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in parts[0].__dict__
        if name != "event_id"
    }
    return PastEvents(event_id=[name for part in parts for name in part.event_id], **joined)
