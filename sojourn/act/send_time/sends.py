"""Messages sent to customers, the hour and weekday at which they arrived, and whether they were answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sojourn.errors import EventsError, Problem
from sojourn.frames import code_texts, instant_us
from sojourn.playbook import Playbook

Integers = NDArray[np.int64]
ZONE = "timezone"
"""The property of an event class that says a customer's own time zone, by its IANA name."""


@dataclass(frozen=True)
class Answers:
    """What answers a touch, and how long one may take: as a feature of the playbook says by ``responsiveness``."""

    sent: str
    answered: str
    within_s: float


@dataclass(frozen=True)
class Sends:
    """Messages in order of time; arrays of length n. ``customer`` and ``channel`` are places in the lists of names."""

    customer: Integers
    channel: Integers
    sent_at: Integers  # microseconds since 1970
    hour: Integers  # 0 to 23, in the customer's zone where it is known
    weekday: Integers  # 0 Monday to 6 Sunday
    is_answered: NDArray[np.bool_]
    customers: pa.Array
    channels: tuple[str, ...]
    zones: pa.Array  # of each customer

    def __len__(self) -> int:
        return len(self.customer)

    def take(self, rows: NDArray[np.bool_] | Integers) -> Sends:
        """Some of the messages."""
        return replace(
            self,
            customer=self.customer[rows],
            channel=self.channel[rows],
            sent_at=self.sent_at[rows],
            hour=self.hour[rows],
            weekday=self.weekday[rows],
            is_answered=self.is_answered[rows],
        )


def list_answers(playbook: Playbook) -> tuple[Answers, ...]:
    """For each touch what answers it: of the first feature with ``responsiveness`` that names it.

    >>> from sojourn.playbook.load import load_playbook
    >>> [(a.sent, a.answered, a.within_s / 86400) for a in list_answers(load_playbook("shop"))]
    [('email_sent', 'email_open', 3.0), ('push_sent', 'any', 1.0)]
    """
    found: dict[str, Answers] = {}
    for feature in playbook.features:
        for call in feature.program.calls:
            if call.primitive == "responsiveness" and call.of[0] in playbook.touches:
                answers = Answers(call.of[0], call.of[1], float(call.option("within") or 0.0))
                found.setdefault(answers.sent, answers)
    return tuple(found.values())


def list_sends(events: pa.Table, playbook: Playbook, now: datetime, timezone: str | None = None) -> Sends:
    """The messages whose time to be answered is over by ``now``.

    A message is answered when its answer comes in time and before the next message of the class. The channel is that
    of the event, else the name of its class. Hours are in the customer's zone where a property ``timezone`` says one,
    else in ``timezone`` (by default the source's). Raises EventsError when no feature says what answers a touch.
    """
    answers = list_answers(playbook)
    where = f"{playbook.path or playbook.name}"
    if not answers:
        what = "no feature says what answers a message; write one such as responsiveness(email_sent, email_open)"
        raise EventsError(Problem(where, what, command=f"sojourn check {where}"))
    customer = code_texts(_array(events["customer_id"]))
    at = events["event_at"].cast(pa.int64()).to_numpy()
    classes = np.array(playbook.class_names)[_codes(events["event_class"])]
    channel = _array(events["channel"].cast(pa.string()))
    rows, answered = [], []
    for pair in answers:
        own = np.flatnonzero(classes == pair.sent)
        replies = np.flatnonzero(_is_answer(classes, pair.answered, playbook.touches))
        is_answered = match_answers(customer.codes, at, own, replies, round(pair.within_s * 1e6))
        is_over = at[own] + round(pair.within_s * 1e6) <= instant_us(now)
        rows.append(own[is_over])
        answered.append(is_answered[is_over])
    row = np.concatenate(rows)
    order = np.argsort(row, kind="stable")
    row, is_answered = row[order], np.concatenate(answered)[order]
    spelled = pc.coalesce(channel.take(pa.array(row)), pa.array(classes[row].tolist(), pa.string()))
    channels = code_texts(spelled)
    zones = _find_zones(events, customer.codes, len(customer.names), timezone or playbook.source.timezone)
    codes = customer.codes.astype(np.int64)[row]
    hour, weekday = read_clock(at[row], zones.take(pa.array(codes)))
    names = tuple(channels.names.to_pylist())
    return Sends(
        codes, channels.codes.astype(np.int64), at[row], hour, weekday, is_answered, customer.names, names, zones
    )


def match_answers(
    customer: NDArray[np.int32], at: Integers, sent: Integers, replies: Integers, within_us: int
) -> NDArray[np.bool_]:
    """Which messages were answered; ``sent`` and ``replies`` are rows of events in order of time.

    >>> at = np.array([0, 5, 6, 20, 21]) * 1_000_000
    >>> match_answers(np.zeros(5, np.int32), at, np.array([0, 1, 3]), np.array([2, 4]), 3_000_000).tolist()
    [False, True, True]
    """
    if not len(sent):
        return np.zeros(0, bool)
    low = int(at.min())
    span = int(at.max()) - low + 1
    if span * (int(customer.max()) + 1) >= 1 << 62:  # too long to number instants of all customers in microseconds
        return match_answers(customer, at // 1_000, sent, replies, within_us // 1_000)
    key = customer.astype(np.int64) * span + (at - low)
    order = np.argsort(key[sent], kind="stable")
    sent_key, reply_key = key[sent][order], np.sort(key[replies])
    end = np.minimum(sent_key + within_us, (sent_key // span + 1) * span - 1)
    following = np.append(sent_key[1:], np.iinfo(np.int64).max)
    first = np.searchsorted(reply_key, sent_key, side="right")
    reply = np.append(reply_key, np.iinfo(np.int64).max)[first]
    found = np.zeros(len(sent), bool)
    found[order] = (reply <= end) & (reply <= following)
    return found


def read_clock(at: Integers, zones: pa.Array) -> tuple[Integers, Integers]:
    """Hour of the day and day of the week of instants, each in its zone.

    >>> [part.tolist() for part in read_clock(np.array([0, 0]), pa.array(["UTC", "Asia/Tokyo"]))]
    [[0, 9], [3, 3]]
    """
    hour, weekday = np.zeros(len(at), np.int64), np.zeros(len(at), np.int64)
    coded = code_texts(zones)
    for i, zone in enumerate(coded.names.to_pylist()):
        mine = np.flatnonzero(coded.codes == i)
        local = pa.array(at[mine]).cast(pa.timestamp("us", tz=zone))
        hour[mine], weekday[mine] = pc.hour(local).to_numpy(), pc.day_of_week(local).to_numpy()
    return hour, weekday


def _find_zones(events: pa.Table, customer: NDArray[np.int32], n_customers: int, default: str) -> pa.Array:
    """Each customer's zone: the last one that an event says and that exists."""
    zones = np.full(n_customers, default, object)
    if f"p_{ZONE}" in events.column_names:
        coded = code_texts(_array(events[f"p_{ZONE}"].cast(pa.string())))
        is_known = np.array([is_zone(name) for name in coded.names.to_pylist()] + [False])
        rows = np.flatnonzero(is_known[coded.codes])
        zones[customer[rows]] = np.array([*coded.names.to_pylist(), default], object)[coded.codes[rows]]
    return pa.array(zones.tolist(), pa.string())


def is_zone(name: str) -> bool:
    """Whether there is a time zone of this name."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _is_answer(classes: NDArray[np.str_], answered: str, touches: Sequence[str]) -> NDArray[np.bool_]:
    if answered == "any":
        return ~np.isin(classes, list(touches))
    return np.asarray(classes == answered)


def _array(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _codes(column: pa.ChunkedArray) -> Integers:
    return np.concatenate([chunk.indices.to_numpy() for chunk in column.chunks]).astype(np.int64)
