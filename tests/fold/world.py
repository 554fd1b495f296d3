"""A playbook that uses every primitive, random events for it, and what the oracle says of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
from hypothesis import strategies as st

from sojourn.fold.batch import Batch
from sojourn.fold.primitives import Event, Pattern, Setting, read_primitive
from sojourn.fold.steps import CodedEvent
from sojourn.frames.schemas import CLASS, INSTANT, NAME, OTHER
from sojourn.playbook.load import parse_playbook
from sojourn.playbook.objects import Moment, Playbook
from sojourn.playbook.rules.meaning import run_program
from sojourn.playbook.rules.nodes import Program

HOUR = 3_600_000_000
DAY = 24 * HOUR
START = 1_700_000_000_000_000

CALLS = [
    "count(view)", "count(any)", "count(other)", "count(mail)",
    "count(view, half_life=1h)", "count(view, half_life=7d)", "count(any, half_life=1d)",
    "count(view, within=1h, at_most=1)", "count(view, within=2h, at_most=5)", "count(any, within=1d, at_most=64)",
    "count(view, within=1h)", "count(any, within=7d)", "count(view, within=30d)",
    "sum(revenue)", "sum(revenue, half_life=3d)", "sum(revenue, within=1d)", "sum(revenue, within=30d)",
    "mean(revenue)", "mean(revenue, half_life=2h)", "last(revenue)", "min(revenue)", "max(revenue)",
    "recency(view)", "recency(any)", "recency(mail)", "tenure()",
    "cadence(view)", "cadence(view, regularity)", "cadence(any)", "cadence(any, regularity)",
    "momentum(view)", "momentum(any, short=1h, long=1d)",
    "session(depth)", "session(duration_s)", "session(velocity)", "session(count)",
    "share(channel, email)", "share(channel, search)", "hour_share(9, 17)", "hour_share(22, 6)", "hour_share(18, 24)",
    "responsiveness(mail, view)", "responsiveness(mail, any, within=1h)", "responsiveness(view, view, within=1d)",
    "distinct(product)", "distinct(topic)",
    "matches(buying)", "matches(buying, within=1d)", "matches(twice)", "matches(single)", "matches(wide)",
    "sentiment(half_life=5d)",
]  # fmt: skip

PROGRAMS = {
    "ratio": "count(buy) / count(view)",
    "ratio_missing": "mean(revenue) / (recency(buy) / 1h) + count(view)",
    "smallest": "min(count(view), count(buy), last(revenue))",
    "size": "abs(last(revenue) - 3) + max(1, count(any))",
}

CONDITIONS = [
    "count(view, within=1h) >= 3 and recency(buy) > 1d",
    "not (count(view) < 2) or is_missing(last(revenue))",
    "last(revenue) != 5",
    "count(any, within=1d) in [1, 2, 3] or matches(buying, within=12h) == 1",
    "session(depth) > 2 and count(view, within=2h) <= 4",
]


def make_playbook(*, has_sessions: bool = False, features: dict[str, str] | None = None) -> Playbook:
    """The playbook; every call is a feature ``c0``, ``c1`` … and in the fingerprint, every condition an indicator."""
    chosen = features or {**{f"c{i}": text for i, text in enumerate(CALLS)}, **PROGRAMS}
    lines = "\n".join(f"  {name}: {text}" for name, text in chosen.items())
    rules = "\n".join(f'      - {{when: "{text}", strength: medium}}' for text in CONDITIONS)
    session = "session: visit" if has_sessions else ""
    return parse_playbook(f"""
playbook: everything
version: 1
about: Every primitive, for tests.
source:
  format: table
  customer: user
  time: time
  event: event
  channel: channel
  {session}
events:
  view: {{name: [View], measures: {{sentiment: mood}}, properties: {{product: product}}}}
  buy: {{name: [Buy], measures: {{revenue: total}}, properties: {{product: product, topic: topic}}}}
  refund: {{name: [Refund], measures: {{revenue: total}}}}
  mail: {{name: [Mail], touch: true, properties: {{topic: topic}}}}
features:
{lines}
fingerprint: [{", ".join(chosen)}]
states:
  only:
    about: The only state.
    job: To be there.
    typical: {{view: 1}}
    indicators:
{rules}
  another:
    about: Another state.
    job: To be another.
    typical: {{buy: 1}}
moments:
  buying: {{sequence: [view, view, buy], within: 2h}}
  twice: {{sequence: [mail, view, mail, buy], within: 2d}}
  single: {{sequence: [buy], within: 1h}}
  wide: {{sequence: [view, buy, view, buy], within: 30d}}
""")


@dataclass(frozen=True)
class Sent:
    """One event of one customer."""

    customer: str
    event: Event


CLASSES = ("view", "buy", "refund", "mail", OTHER)
GAPS = [0, 0, 1, 1_000_000, 60_000_000, 29 * 60_000_000, 1_800_000_000, 1_800_000_001, HOUR, 2 * HOUR, 5 * HOUR, DAY,
        6 * DAY, 40 * DAY, 400 * DAY]  # fmt: skip


@st.composite
def streams(draw: st.DrawFn, *, max_size: int = 40, n_customers: int = 3) -> list[Sent]:
    """Events of a few customers in the order of time, with ties, bursts and long silences."""
    size = draw(st.integers(0, max_size))
    at = START + draw(st.integers(0, 3 * DAY))
    sent = []
    for _ in range(size):
        at += draw(st.sampled_from(GAPS)) + draw(st.sampled_from([0, 0, 7, 123_456_789]))
        sent.append(Sent(f"c{draw(st.integers(0, n_customers - 1))}", draw(events_at(at))))
    return sent


@st.composite
def events_at(draw: st.DrawFn, at: int) -> Event:
    name = draw(st.sampled_from(CLASSES))
    amounts = st.one_of(st.integers(0, 50).map(float), st.floats(0.01, 1e4), st.just(math.nan))
    words = st.sampled_from(["a", "b", "shoe", "a longer name of a product", "ü"])
    measures = {}
    if name in ("buy", "refund"):
        measures["revenue"] = draw(amounts)
    if name == "view":
        measures["sentiment"] = draw(st.one_of(st.floats(-1, 1), st.just(math.nan)))
    properties = {}
    if name in ("view", "buy") and draw(st.booleans()):
        properties["product"] = draw(words)
    if name in ("buy", "mail") and draw(st.booleans()):
        properties["topic"] = draw(words)
    return Event(
        event_at=at,
        event_class=name,
        measures=measures,
        channel=draw(st.sampled_from([None, "email", "search", "elsewhere"])),
        session=draw(st.sampled_from([None, "s1", "s2"])),
        properties=properties,
    )


def make_table(sent: Sequence[Sent], playbook: Playbook) -> pa.Table:
    """The events as the table that the events stage makes."""
    events = [s.event for s in sent]
    n = len(events)
    columns = {
        "customer_id": pa.array([s.customer for s in sent], pa.string()),
        "event_id": pa.array([str(i) for i in range(n)], pa.string()),
        "seq": pa.array(range(n), pa.int64()),
        "event_at": pa.array([e.event_at for e in events], pa.int64()).cast(INSTANT),
        "event_class": pa.array([e.event_class for e in events], pa.string()).cast(CLASS),
        "channel": pa.array([e.channel for e in events], pa.string()).cast(NAME),
        "session": pa.array([e.session for e in events], pa.string()),
    }
    for name in playbook.measure_names:
        columns[f"m_{name}"] = pa.array([e.measures.get(name, math.nan) for e in events], pa.float64())
    for name in playbook.property_names:
        columns[f"p_{name}"] = pa.array([e.properties.get(name) for e in events], pa.string())
    return pa.table(columns)


def code_events(batch: Batch) -> list[CodedEvent]:
    """The batch's events one by one, for single steps."""
    channels = batch.channel.tolist() or [-1] * len(batch)
    sessions = batch.session.tolist() or [0] * len(batch)
    return [
        CodedEvent(at, kind, measures, channel, [int(x) for x in properties], session)
        for at, kind, measures, channel, properties, session in zip(
            batch.event_at.tolist(), batch.event_class.tolist(), batch.measures.tolist(), channels,
            batch.properties, sessions, strict=True,
        )
    ]  # fmt: skip


def make_pattern(moment: Moment) -> Pattern:
    """The moment as the oracle takes it."""
    return Pattern(moment.sequence, moment.within_s, moment.all_of, moment.without, moment.absent, moment.absent_s)


def make_setting(playbook: Playbook) -> Setting:
    return Setting(
        touches=frozenset(playbook.touches),
        moments={m.name: make_pattern(m) for m in playbook.moments},
        has_sessions=playbook.source.session is not None,
    )


def ask_oracle(program: Program, events: Sequence[Event], now: int, setting: Setting) -> float:
    """The program's value by the plain meaning of each call."""
    values = [read_primitive(c.primitive, c.of, dict(c.options), events, now, setting) for c in program.calls]
    return run_program(program, values)


def assert_close(found: Sequence[float], expected: Sequence[float], playbook: Playbook) -> None:
    """Equal to 1e-9 relative, missing where the other is missing; sums of both signs may cancel to 1e-12."""
    for feature, x, y in zip(playbook.features, found, expected, strict=True):
        absolute = 1e-12 if "sentiment" in feature.program.text else 1e-300
        is_same = (math.isnan(x) and math.isnan(y)) or math.isclose(x, y, rel_tol=1e-9, abs_tol=absolute)
        assert is_same, f"{feature.program.text}: the fold says {x!r}, the oracle {y!r}"
