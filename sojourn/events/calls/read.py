"""Tracking calls in: JSON of single calls becomes events, with the meaning that batch reading gives the same rows.

Made for micro-batches of the live engine: everything that depends on the playbook is worked out once, and a call costs
some microseconds. What is read where, and what becomes of which call, is decided in
``docs/reference/tracking-calls.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sojourn.events.calls.plan import GROUP, KINDS, TRACK, Measure, Plan, make_plan
from sojourn.events.calls.shape import Call, Column, decode_calls
from sojourn.events.calls.values import INF, print_value, read_ids, read_number, read_text, read_texts, read_truth
from sojourn.events.identity import spell_identifier
from sojourn.events.quarantine import explain_no_customer, explain_no_instant, say_instant, show_value
from sojourn.events.rows import EARLIEST, TOLERANCE
from sojourn.events.sources import Integers
from sojourn.events.values import GOOD, MISSING, UNREADABLE
from sojourn.fold import Layout, hash_sessions, hash_strings
from sojourn.playbook import Playbook

NO_INSTANT = int(np.iinfo(np.int64).min)
"""Stands for no instant among others."""
LONGEST_CALL = 32 * 1024
"""Bytes of one call; a longer one is rejected."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_EARLIEST_US, _TOLERANCE_US = (EARLIEST - _EPOCH) // _MICROSECOND, TOLERANCE // _MICROSECOND
_FARTHEST_US = 1 << 60  # differences of such instants are still whole numbers of 64 bits
_SURE = 0.95  # of a label whose certainty is empty
_KIND_OF = {name: kind for kind, name in enumerate(KINDS) if name}

Reasons = dict[int, tuple[str, str]]


@dataclass(frozen=True)
class ReadCalls:
    """The events of some calls, n of them, in the order of the calls; and the calls that are none, with the reason.

    ``ids`` has one list per id level: the levels of customers in order of preference, then the kinds of identifiers.
    ``consent`` is what the call's own object says per category (an empty one refuses all), ``purposes`` what the call
    says about the playbook's purposes, by that object or where their ``from`` leads.
    """

    place: Integers  # position of the call, rising
    event_at: Integers  # microseconds since 1970, UTC, corrected for the sender's clock
    event_class: NDArray[np.int16]  # index in the playbook's class names
    measures: NDArray[np.float64]  # shape (n, measures of the layout); NaN: none
    channel: NDArray[np.int32]  # as in Batch; empty when no feature reads it
    properties: NDArray[np.uint64]  # shape (n, properties of the layout); hashes, 0: none
    session: NDArray[np.uint64]  # as in Batch; empty when no feature reads it
    label: Integers  # index in the playbook's state names, or -1
    label_p: NDArray[np.float64]  # NaN where there is no label
    event_id: list[str | None]
    ids: list[list[str | None]]
    previous: list[str | None]  # the earlier anonymous id
    traits: list[tuple[int, dict[str, Any]]]  # (position among these n events, traits)
    consent: list[tuple[int, dict[str, bool]]]
    purposes: list[tuple[int, dict[str, bool]]]
    rejected: list[tuple[int, str, str]]  # (position of the call, rule, found), rising

    def __len__(self) -> int:
        return len(self.place)


class CallReader:
    """Reads tracking calls for one playbook and layout.

    >>> from sojourn.fold.layout import build_layout
    >>> from sojourn.playbook.load import load_playbook
    >>> playbook = load_playbook("saas")
    >>> reader = CallReader(playbook, build_layout(playbook))
    >>> calls = [b'{"userId": "u1", "event": "Signed In"}', b'{"event": "Signed In"}']
    >>> found = reader.read(calls, [1, 1], np.full(2, 1767607201000000), np.full(2, NO_INSTANT))
    >>> playbook.class_names[found.event_class[0]], found.ids[0], found.rejected
    ('sign_in', ['u1'], [(1, 'customer', 'userId and anonymousId are empty')])
    """

    def __init__(self, playbook: Playbook, layout: Layout) -> None:
        self._layout = layout
        self._plan = make_plan(playbook, layout)

    def read(
        self,
        calls: Sequence[bytes],
        kinds: Sequence[int] | NDArray[np.int8],
        received_at: Integers,
        sent_at: Integers,
    ) -> ReadCalls:
        """The events of calls, whatever their bytes are.

        Per call: its kind (an index in :data:`~sojourn.call_plan.KINDS`; 0: the call says so itself), when it was
        received, and when the request says that it was sent (:data:`NO_INSTANT` where it does not), in microseconds.
        """
        plan = self._plan
        decoded, place, rejected = _decode(plan, calls)
        at = _list_positions(place)
        received, sent = np.asarray(received_at, np.int64)[at], np.asarray(sent_at, np.int64)[at]
        reasons = Reasons()
        ids = _read_ids(plan, decoded, reasons)
        stamps = _read_times(plan, decoded, received, sent, reasons)
        kind = _read_kinds(plan, decoded, kinds, place)
        codes = _classify(plan, decoded, kind, reasons)
        measures = _read_measures(plan, decoded, codes, len(self._layout.measures), reasons)
        label, label_p = _read_labels(plan, decoded, reasons)
        kept = [i for i in range(len(decoded)) if i not in reasons] if reasons else range(len(decoded))

        def keep(values: list[Any]) -> list[Any]:
            return [values[i] for i in kept] if reasons else values

        rows = _list_positions(kept)
        decoded, codes, kind = keep(decoded), keep(codes), keep(kind)
        consent = _read_consent(plan, decoded)
        return ReadCalls(
            place=at[rows],
            event_at=stamps[rows],
            event_class=np.array(codes, np.int16),
            measures=measures[rows],
            channel=_read_channels(plan, decoded),
            properties=_read_properties(plan, decoded, codes, len(self._layout.properties)),
            session=_read_sessions(plan, decoded),
            label=label[rows],
            label_p=label_p[rows],
            event_id=read_texts(plan.event_id(decoded)),
            ids=[keep(level) for level in ids],
            previous=read_ids(plan.previous(decoded)) if plan.previous else [None] * len(decoded),
            traits=_read_traits(plan, decoded, kind),
            consent=consent,
            purposes=_read_purposes(plan, decoded, consent),
            rejected=sorted(rejected + [(place[i], *reason) for i, reason in reasons.items()]),
        )


def _list_positions(positions: Sequence[int]) -> Integers:
    return np.arange(len(positions)) if isinstance(positions, range) else np.array(positions, np.int64)


def _decode(plan: Plan, calls: Sequence[bytes]) -> tuple[list[Call], Sequence[int], list[tuple[int, str, str]]]:
    """The calls that are JSON objects, their positions, and why the others are none."""
    if not calls or max(map(len, calls)) <= LONGEST_CALL:
        return decode_calls(plan.shape, calls)
    short = [i for i, raw in enumerate(calls) if len(raw) <= LONGEST_CALL]
    decoded, place, rejected = decode_calls(plan.shape, [calls[i] for i in short])
    long = [
        (i, "length", f"{len(raw):,} bytes; a call may have {LONGEST_CALL:,}")
        for i, raw in enumerate(calls)
        if len(raw) > LONGEST_CALL
    ]
    return decoded, [short[i] for i in place], long + [(short[i], rule, found) for i, rule, found in rejected]


def _read_ids(plan: Plan, calls: Sequence[Call], reasons: Reasons) -> list[list[str | None]]:
    """The ids of each level; calls without any id of a customer are rejected."""
    levels = [read_ids(column(calls)) for column in plan.ids]
    if None in levels[0]:
        for i, found in enumerate(zip(*levels, strict=True)):
            if found.count(None) == len(found):
                texts = [print_value(column(calls[i : i + 1])[0]) for column in plan.ids]
                reasons[i] = ("customer", explain_no_customer(plan.id_names, texts))
    return levels + [_read_identifiers(kind, columns, calls) for kind, columns in plan.identifiers]


def _read_identifiers(kind: str, columns: Sequence[Column], calls: Sequence[Call]) -> list[str | None]:
    found: list[str | None] = [None] * len(calls)
    for column in columns:
        found = [a or b for a, b in zip(found, read_ids(column(calls)), strict=True)]
    return [id and spell_identifier(kind, id) for id in found]


def _read_times(plan: Plan, calls: Sequence[Call], received: Integers, sent: Integers, reasons: Reasons) -> Integers:
    """The instant of each call; those without a usable one are rejected."""
    if plan.clocks:
        stamps, state, told = _read_clocks(plan, plan.clocks, calls, received, sent)
    else:
        told = plan.time(calls) if plan.time else [None] * len(calls)
        stamps, state = plan.read_time(told)
    latest = received + _TOLERANCE_US
    for i in np.flatnonzero((state != GOOD) | (stamps < _EARLIEST_US) | (stamps > latest)).tolist():
        if i in reasons:
            continue
        if state[i] == MISSING:
            reasons[i] = ("time", f"{plan.time_path} is empty")
        elif state[i] == UNREADABLE:
            reasons[i] = ("time", explain_no_instant(print_value(told[i])))
        elif stamps[i] < _EARLIEST_US:
            reasons[i] = ("early", f"{say_instant(int(stamps[i]))} is before 1990")
        else:
            limit = (_EPOCH + int(latest[i]) * _MICROSECOND).isoformat(timespec="seconds").replace("+00:00", "Z")
            reasons[i] = ("future", f"{say_instant(int(stamps[i]))} is after {limit}")
    return stamps


def _read_clocks(
    plan: Plan, clocks: tuple[Column, Column], calls: Sequence[Call], received: Integers, sent: Integers
) -> tuple[Integers, NDArray[np.uint8], list[Any]]:
    """Instants by the sender's clock, moved by what that clock was off when the call was sent; and what was read.

    A call that says nothing of when it was is of the instant of its arrival.
    """
    told, originals = (clock(calls) for clock in clocks)
    stamps, state = plan.read_clock(told)
    original, original_state = plan.read_clock(originals)
    own, own_state = plan.read_sent(plan.sent(calls))
    sent = np.where(own_state == GOOD, own, sent)
    is_sent = sent != NO_INSTANT
    is_original = (original_state != MISSING) & (is_sent | (state == MISSING))
    if is_original.any():
        stamps, state = np.where(is_original, original, stamps), np.where(is_original, original_state, state)
        told = [b if chosen else a for a, b, chosen in zip(told, originals, is_original.tolist(), strict=True)]
    if is_sent.any():
        delay = sent.clip(-_FARTHEST_US, _FARTHEST_US) - stamps.clip(-_FARTHEST_US, _FARTHEST_US)
        stamps = np.where(is_sent & (state == GOOD), received - delay, stamps)
    rest = np.flatnonzero(state == MISSING)
    stamps[rest], state[rest] = received[rest], GOOD
    if rest.size and plan.time:  # a flat row may carry its time as any other column
        values = plan.time([calls[i] for i in rest.tolist()])
        late, late_state = plan.read_time(values)
        for i, value, stamp, found in zip(rest.tolist(), values, late.tolist(), late_state.tolist(), strict=True):
            if found != MISSING:
                stamps[i], state[i], told[i] = stamp, found, value
    return stamps, state, told


def _read_kinds(
    plan: Plan, calls: Sequence[Call], kinds: Sequence[int] | NDArray[np.int8], place: Sequence[int]
) -> list[int]:
    """The kind of each call: as given, else as the call says; 0 where it says no kind that is known."""
    given = kinds.tolist() if isinstance(kinds, np.ndarray) else kinds
    told = [_KIND_OF.get(value, 0) if value.__class__ is str else 0 for value in plan.type(calls)]
    found = [given[i] or kind for i, kind in zip(place, told, strict=True)]
    if 0 in found:
        for i, kind in enumerate(found):
            if kind == 0:
                found[i] = _KIND_OF.get(read_text(_read_type(plan, calls[i])) or "", 0)
    return found


def _read_type(plan: Plan, call: Call) -> Any:
    return plan.type([call])[0]


def _classify(plan: Plan, calls: Sequence[Call], kinds: Sequence[int], reasons: Reasons) -> list[int]:
    """The class of each call; those that name no event, or none that the playbook wants, are rejected."""
    names = plan.event(calls) if plan.event else [None] * len(calls)
    if plan.event and plan.is_type_named:
        names = [name if kind <= TRACK else KINDS[kind] for name, kind in zip(names, kinds, strict=True)]
    n_classes = len(plan.classes) - 1
    find = plan.names.sure.get
    codes = [find(name, -1) if name.__class__ is str else -1 for name in names]
    if min(codes, default=0) < 0:
        for i, code in enumerate(codes):
            if code < 0:
                codes[i] = plan.names.classify(names[i], calls[i], n_classes)
                if codes[i] == n_classes and i not in reasons and (found := _explain_other(plan, names[i])):
                    reasons[i] = found
    for i, kind in enumerate(kinds) if 0 in kinds else ():
        if kind == 0 and reasons.get(i, ("event",))[0] in ("event", "class"):
            reasons[i] = ("event", _explain_kind(print_value(_read_type(plan, calls[i]))))
    return codes


def _explain_other(plan: Plan, name: object) -> tuple[str, str] | None:
    text = read_text(name)
    if text is None and plan.event:
        return "event", f"'{plan.event_path}' is empty, so the event has no name"
    if plan.keeps_others:
        return None
    return "class", f"no event class matches {'this row' if text is None else show_value(text)}"


def _explain_kind(type: str | None) -> str:
    return f"type is {show_value(type)}, which is no kind of call" if read_text(type) else "type is empty"


def _read_measures(
    plan: Plan, calls: Sequence[Call], codes: Sequence[int], n_measures: int, reasons: Reasons
) -> NDArray[np.float64]:
    """The measures that features read; calls with one, read or not, that is no finite number are rejected."""
    rows, columns, values = [], [], []
    measures_of = [of.measures for of in plan.classes]
    for i, code in enumerate(codes):
        for measure in measures_of[code]:
            value = measure.read(calls[i])
            if value == INF:
                reasons.setdefault(i, ("number", _explain_number(plan, measure, calls[i])))
            elif measure.column >= 0 and value == value:
                rows.append(i)
                columns.append(measure.column)
                values.append(value)
    found = np.full((len(calls), n_measures), np.nan)
    if rows:
        found[rows, columns] = values
    return found


def _explain_number(plan: Plan, measure: Measure, call: Call) -> str:
    for path in (".".join(parts) for parts in measure.rule.number_paths):
        value = plan.find(path)(call)
        if read_number(value) == INF:
            return f"{measure.name}: {path} is {show_value(print_value(value))}, which is no finite number"
    return f"{measure.name} is too large for a number"


def _read_labels(plan: Plan, calls: Sequence[Call], reasons: Reasons) -> tuple[Integers, NDArray[np.float64]]:
    """Known states and how sure they are; calls with a label whose certainty is none are rejected."""
    label, label_p = np.full(len(calls), -1, np.int64), np.full(len(calls), np.nan)
    if plan.label is None:
        return label, label_p
    for i, value in enumerate(plan.label(calls)):
        text = None if value is None else read_text(value)
        if text is None:
            continue
        sure = plan.label_p
        if not isinstance(sure, float):
            given = sure(calls[i : i + 1])[0]
            sure = read_number(given)
            if sure != sure:
                sure = _SURE
            elif not 0 < sure <= 1:
                found = f"{plan.label_path} is {show_value(print_value(given))}, which is no probability"
                reasons.setdefault(i, ("label", found))
        label[i] = plan.states.get(text, -1)
        label_p[i] = sure if text in plan.states else np.nan
    return label, label_p


def _read_channels(plan: Plan, calls: Sequence[Call]) -> NDArray[np.int32]:
    if plan.channel is None:
        return np.zeros(len(calls) if plan.channels else 0, np.int32) - 1
    n = len(plan.channels)
    texts = read_texts(plan.channel(calls))
    return np.array([-1 if text is None else plan.channels.get(text, n) for text in texts], np.int32)


def _read_sessions(plan: Plan, calls: Sequence[Call]) -> NDArray[np.uint64]:
    if plan.session is None:
        return np.zeros(0, np.uint64)
    return hash_sessions(pa.array(read_texts(plan.session(calls)), pa.string()))


def _read_properties(plan: Plan, calls: Sequence[Call], codes: Sequence[int], n_properties: int) -> NDArray[np.uint64]:
    rows, columns, texts = [], [], []
    properties_of = [of.properties for of in plan.classes]
    for i, code in enumerate(codes):
        for column, get in properties_of[code]:
            text = read_text(get(calls[i]))
            if text is not None:
                rows.append(i)
                columns.append(column)
                texts.append(text)
    found = np.zeros((len(calls), n_properties), np.uint64)
    if rows:
        found[rows, columns] = hash_strings(pa.array(texts, pa.string()))
    return found


def _read_traits(plan: Plan, calls: Sequence[Call], kinds: Sequence[int]) -> list[tuple[int, dict[str, Any]]]:
    """What calls say about the customer. The traits of a group call are the group's."""
    found = []
    for i, (said, own) in enumerate(zip(plan.context_traits(calls), plan.traits(calls), strict=True)):
        if said is None and own is None:
            continue
        parts = (said,) if kinds[i] == GROUP else (said, own)
        if traits := {key: value for part in parts if isinstance(part, dict) for key, value in part.items()}:
            found.append((i, traits))
    return found


def _read_consent(plan: Plan, calls: Sequence[Call]) -> list[tuple[int, dict[str, bool]]]:
    return [
        (i, {category: read_truth(given) is True for category, given in of.items()})
        for i, of in enumerate(plan.consent(calls))
        if isinstance(of, dict)
    ]


def _read_purposes(
    plan: Plan, calls: Sequence[Call], consent: Sequence[tuple[int, dict[str, bool]]]
) -> list[tuple[int, dict[str, bool]]]:
    """What calls say about purposes. A category that a call's consent does not name is refused."""
    found: dict[int, dict[str, bool]] = {}
    for i, of in consent if plan.purposes.categories else ():
        found[i] = {purpose: of.get(category, False) for purpose, category in plan.purposes.categories}
    if not plan.purposes.paths:
        return sorted(found.items())
    names = [purpose for purpose, _ in plan.purposes.paths]
    known: dict[Any, dict[str, bool]] = {}  # most calls say what others said, too
    for i, said in enumerate(zip(*(column(calls) for _, column in plan.purposes.paths), strict=True)):
        try:
            # Equal values of other types, 1 and true, mean the same here.
            purposes = known.get(said)
        except TypeError:
            purposes = _grant(names, said)
        else:
            if purposes is None:
                purposes = known[said] = _grant(names, said)
        if purposes:
            found[i] = {**found[i], **purposes} if i in found else purposes
    return sorted(found.items())


def _grant(names: Sequence[str], said: Sequence[Any]) -> dict[str, bool]:
    truths = ((name, None if value is None else read_truth(value)) for name, value in zip(names, said, strict=True))
    return {name: is_granted for name, is_granted in truths if is_granted is not None}
