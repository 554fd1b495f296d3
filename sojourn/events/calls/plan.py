"""What reading tracking calls needs to know of a playbook, worked out once: where everything is in a call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from sojourn.events.calls.instants import ReadInstants, make_instant_reader
from sojourn.events.calls.rules import FindPath, make_condition, make_measure
from sojourn.events.calls.shape import Call, Column, Get, Parts, Shape, make_shape, read_column, read_first
from sojourn.events.calls.values import read_text
from sojourn.events.mapping import Places, place_source
from sojourn.fold import Layout
from sojourn.playbook import EventClass, Playbook, Source
from sojourn.playbook.rules import RowRule

KINDS = ("", "track", "identify", "page", "screen", "group", "alias")
"""Kinds of tracking calls; the first one means that the call says itself, in ``type``."""
TRACK, GROUP = KINDS.index("track"), KINDS.index("group")

_SEGMENT = place_source(Source(), is_segment=True)
_CLOCKS = ("timestamp", "originalTimestamp")
_TRAITS: Parts = ("traits",)
_CONTEXT_TRAITS: Parts = ("context", "traits")
_CONSENT: Parts = ("context", "consent", "categoryPreferences")
_OF_THE_CALL = frozenset({"type", "messageId", "channel"})
"""Words at the top of a call that say how it was sent. No column of a row is meant by them."""

Step = tuple[int, Callable[[Call], bool] | None]


@dataclass(frozen=True)
class Measure:
    """A measure of an event class. ``column`` is its place in the layout, -1 where no feature reads it."""

    column: int
    name: str
    read: Callable[[Call], float]
    rule: RowRule


@dataclass(frozen=True)
class ClassPlan:
    """What is read of the calls of one event class: measures in order of name, properties with their columns."""

    measures: tuple[Measure, ...]
    properties: tuple[tuple[int, Get], ...]


@dataclass(frozen=True)
class Names:
    """Which class a raw name means: at once where no condition asks for more, else by the first step that holds."""

    sure: Mapping[str, int]
    steps: Mapping[str, tuple[Step, ...]]
    others: tuple[Step, ...]  # of names that no class has
    nameless: tuple[Step, ...]

    def classify(self, name: object, call: Call, n_classes: int) -> int:
        """The class of a call with this raw name, as it came; ``n_classes`` for "other"."""
        text = read_text(name)
        steps = self.nameless if text is None else self.steps.get(text, self.others)
        return next((code for code, holds in steps if holds is None or holds(call)), n_classes)


@dataclass(frozen=True)
class Purposes:
    """Purposes by what decides them: a category of the call's own consent, or a path of the playbook's."""

    categories: tuple[tuple[str, str], ...]  # (purpose, category)
    paths: tuple[tuple[str, Column], ...]


@dataclass(frozen=True)
class Plan:
    """Functions from decoded calls to their parts, in the order in which ids are preferred and times are asked."""

    shape: Shape
    id_names: tuple[str, ...]
    ids: tuple[Column, ...]
    identifiers: tuple[tuple[str, tuple[Column, ...]], ...]  # (kind, where it may be)
    previous: Column | None
    event_id: Column
    type: Column
    event: Column | None
    event_path: str
    is_type_named: bool  # the raw name is the type, but for "track"
    clocks: tuple[Column, Column] | None  # timestamp and originalTimestamp, where these are the time
    sent: Column
    time: Column | None  # of a path of the playbook's own
    time_path: str
    read_time: ReadInstants
    read_clock: ReadInstants
    read_sent: ReadInstants
    names: Names
    keeps_others: bool
    classes: tuple[ClassPlan, ...]  # the last one is "other"
    channels: Mapping[str, int]  # those that features read, by their place in the layout
    channel: Column | None
    session: Column | None
    states: Mapping[str, int]
    label: Column | None
    label_p: Column | float
    label_path: str
    traits: Column
    context_traits: Column
    consent: Column
    purposes: Purposes
    find: FindPath


def make_plan(playbook: Playbook, layout: Layout) -> Plan:
    """The plan of a playbook whose features are kept as the layout says."""
    source = playbook.source
    is_segment = is_segment_source(source)
    places = place_source(source, is_segment=True) if is_segment else _place_call(source)
    locate = partial(_locate, format="segment" if source.format == "segment" else "auto" if is_segment else "table")
    fixed: list[Parts] = [_TRAITS, _CONTEXT_TRAITS, _CONSENT, ("type",), ("sentAt",), *((clock,) for clock in _CLOCKS)]
    fixed += [(path,) for path in (*places.customer[:2], places.event, places.previous, places.id) if path]
    wanted = {path: locate(path) for path in _list_paths(playbook, layout, places, is_segment=is_segment)}
    shape = make_shape([*fixed, *(parts for found in wanted.values() for parts in found)])

    def find(path: str) -> Get:
        return read_first(shape, wanted[path])

    def column(path: str) -> Column:
        return read_column(shape, wanted[path])

    def top(*parts: str) -> Column:
        return read_column(shape, [parts])

    def own(path: str) -> Column:
        return column(path) if is_segment else top(path)

    is_clock = not is_segment or places.time == _SEGMENT.time
    return Plan(
        shape=shape,
        id_names=places.customer,
        ids=tuple(own(path) if i < 2 else column(path) for i, path in enumerate(places.customer)),
        identifiers=tuple((kind, tuple(map(column, paths))) for kind, paths in places.identifiers),
        previous=own(places.previous) if places.previous else None,
        event_id=own(places.id or "messageId"),
        type=top("type"),
        event=own(places.event) if places.event else None,
        event_path=places.event or "",
        is_type_named=places.type is not None,
        clocks=(top(_CLOCKS[0]), top(_CLOCKS[1])) if is_clock else None,
        sent=top("sentAt"),
        time=column(source.time) if source.time and not (is_segment and is_clock) else None,
        time_path=source.time or "",
        read_time=make_instant_reader(source.timezone, source.time_format),
        read_clock=make_instant_reader(source.timezone, source.time_format if is_segment and is_clock else None),
        read_sent=make_instant_reader(source.timezone, None),
        names=_plan_names(playbook, find),
        keeps_others=source.other != "quarantine",
        classes=(*(_plan_class(event, layout, find) for event in playbook.events), ClassPlan((), ())),
        channels={name: i for i, name in enumerate(layout.channels)},
        channel=column(places.channel) if places.channel and layout.channels else None,
        session=column(places.session) if places.session and layout.has_sessions else None,
        states={name: i for i, name in enumerate(playbook.state_names)},
        label=column(places.label) if places.label else None,
        label_p=column(places.label_p) if isinstance(places.label_p, str) else places.label_p,
        label_path=str(places.label_p),
        traits=top(*_TRAITS),
        context_traits=top(*_CONTEXT_TRAITS),
        consent=top(*_CONSENT),
        purposes=_plan_purposes(playbook, column),
        find=find,
    )


def is_segment_source(source: Source) -> bool:
    """Whether paths of the playbook begin at the top of a call; otherwise they are columns of a flat row.

    >>> is_segment_source(Source()), is_segment_source(Source(customer=("user_id",), time="at", event="what"))
    (True, False)
    """
    if source.format != "auto":
        return source.format == "segment"
    is_own = source.event not in (None, _SEGMENT.event) or source.time not in (None, *_SEGMENT.time)
    return not is_own and set(source.customer) <= set(_SEGMENT.customer)


def _place_call(source: Source) -> Places:
    """Where a call keeps what flat rows have in columns of any name."""
    n = len(source.customer) or len(_SEGMENT.customer)
    return replace(
        place_source(source, is_segment=False),
        customer=(*_SEGMENT.customer[:n], *source.customer[len(_SEGMENT.customer) :]),
        time=_SEGMENT.time,
        event=_SEGMENT.event if source.event else None,
        type=_SEGMENT.type,
        previous=_SEGMENT.previous,
        id=_SEGMENT.id,
    )


def _locate(path: str, format: str) -> list[Parts]:
    """Where a path of the playbook may lead in a call, best first: through objects, or to a key that has the dots."""
    parts = tuple(path.split("."))
    own: list[Parts] = [parts] if len(parts) == 1 else [parts, (path,)]
    roots: list[Parts] = [("properties",), (), _TRAITS, ("context",)]
    inside = [(*root, *one) for root in roots for one in own if root or one[0] not in _OF_THE_CALL]
    if format == "table":
        return inside
    return own if format == "segment" else list(dict.fromkeys(own + inside))


def _list_paths(playbook: Playbook, layout: Layout, places: Places, *, is_segment: bool) -> list[str]:
    """Paths of the playbook that are looked up in calls."""
    paths = [*places.customer, *places.time, places.event, places.previous, places.id] if is_segment else []
    paths += [*places.customer[len(_SEGMENT.customer) :], playbook.source.time, places.label]
    paths += [path for _, some in places.identifiers for path in some]
    paths += [places.channel] if layout.channels else []
    paths += [places.session] if layout.has_sessions else []
    paths += [places.label_p] if isinstance(places.label_p, str) else []
    paths += [purpose.path for purpose in playbook.consent]
    for event in playbook.events:
        rules = [rule for rule in (event.where, *(rule for _, rule in event.measures)) if rule]
        paths += [".".join(parts) for rule in rules for parts in rule.paths]
        paths += [path for name, path in event.properties if name in layout.properties]
    return list(dict.fromkeys(path for path in paths if path))


def _plan_names(playbook: Playbook, find: FindPath) -> Names:
    def list_steps(name: str | None) -> tuple[Step, ...]:
        steps: list[Step] = []
        for i, event in enumerate(playbook.events):
            if event.raw_names and name not in event.raw_names:
                continue
            steps.append((i, conditions[i]))
            if conditions[i] is None:
                break
        return tuple(steps)

    conditions = [make_condition(event.where, find) if event.where else None for event in playbook.events]
    known = dict.fromkeys(name for event in playbook.events for name in event.raw_names)
    steps = {name: list_steps(name) for name in known if read_text(name) == name}
    sure = {name: some[0][0] for name, some in steps.items() if some[0][1] is None}
    return Names(sure, steps, others=list_steps(""), nameless=list_steps(None))


def _plan_class(event: EventClass, layout: Layout, find: FindPath) -> ClassPlan:
    def place(name: str, names: tuple[str, ...]) -> int:
        return names.index(name) if name in names else -1

    measures = [
        Measure(place(name, layout.measures), name, make_measure(rule, find), rule)
        for name, rule in sorted(dict(event.measures).items())
    ]
    properties = [(place(name, layout.properties), path) for name, path in dict(event.properties).items()]
    return ClassPlan(tuple(measures), tuple((column, find(path)) for column, path in properties if column >= 0))


def _plan_purposes(playbook: Playbook, column: Callable[[str], Column]) -> Purposes:
    inside = ".".join(_CONSENT) + "."
    paths = [(purpose.name, purpose.path) for purpose in playbook.consent if purpose.path]
    return Purposes(
        tuple((name, path.removeprefix(inside)) for name, path in paths if path.startswith(inside)),
        tuple((name, column(path)) for name, path in paths if not path.startswith(inside)),
    )
