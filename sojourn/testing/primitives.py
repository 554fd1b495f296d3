"""What every feature call must do: mean what the plain reading says, in any parts, and know nothing of later events."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from sojourn.fold import (
    Event,
    Folded,
    IdTable,
    Observe,
    Pattern,
    Setting,
    build_layout,
    fold_events,
    make_batch,
    read_features,
    read_primitive,
)
from sojourn.frames import CLASS, F8, INSTANT, NAME, OTHER
from sojourn.playbook import Playbook, parse_playbook
from sojourn.playbook.rules import run_program

_START_US = 1_700_000_000_000_000
_GAPS_S = (0, 0, 1, 60, 1_799, 1_800, 1_801, 3_600, 7_200, 86_400, 6 * 86_400, 40 * 86_400)
_SILENCES_S = (0, 1, 1_801, 3 * 86_400, 700 * 86_400)
_PLAYBOOK = """
playbook: check
source: {{customer: user, time: time, event: event, channel: channel}}
events:
  view: {{name: [View], measures: {{sentiment: mood}}, properties: {{product: product}}}}
  buy: {{name: [Buy], measures: {{revenue: total}}, properties: {{product: product}}}}
  mail: {{name: [Mail], touch: true}}
features: {{value: "{call}"}}
fingerprint: [value]
states:
  one: {{about: One., job: To be., typical: {{view: 1}}}}
  two: {{about: Two., job: To be., typical: {{buy: 1}}}}
moments:
  buying: {{sequence: [view, view, buy], within: 2h}}
"""


def check_primitive(call: str, *, n_events: int = 200, seed: int = 0) -> None:
    """Raise AssertionError unless the compiled fold gives for ``call`` what its plain meaning gives.

    ``call`` is the text of a feature over the event classes ``view`` (measure ``sentiment``), ``buy`` (measure
    ``revenue``) and ``mail`` (a touch), the property ``product``, the channels ``email`` and ``search``, and the moment
    ``buying``. Events of three customers are made with ties, bursts, long silences and missing values. Checked are
    each event, silence after the last one, and folding in two parts.

    >>> check_primitive("count(view, half_life=1d)", n_events=30)
    """
    playbook = parse_playbook(_PLAYBOOK.format(call=call))
    layout, observe = build_layout(playbook), Observe([np.array([0.0, 1.0])], is_raw=True)
    sent = _make_events(np.random.default_rng(seed), n_events)
    table = _make_table(sent, playbook)
    batch = make_batch(table, playbook)
    folded = fold_events(layout, batch, observe=observe)
    values = _values(folded)
    seen: dict[str, list[Event]] = defaultdict(list)
    for i, (customer, event) in enumerate(sent):
        seen[customer].append(event)
        _compare(call, float(values[i, 0]), _ask(playbook, seen[customer], event.event_at), f"at event {i}")
    for silence in _SILENCES_S:
        now = sent[-1][1].event_at + silence * 1_000_000
        features = read_features(layout, folded.vectors, now)
        for row, customer in enumerate(batch.ids.names().to_pylist()):
            _compare(
                call, float(features[row, 0]), _ask(playbook, seen[customer], now), f"after {silence} s of silence"
            )
    ids = IdTable()
    first = fold_events(layout, make_batch(table[: n_events // 2], playbook, ids), observe=observe)
    second = fold_events(
        layout, make_batch(table[n_events // 2 :], layout, ids), vectors=first.vectors, observe=observe
    )
    joined = np.concatenate([_values(first), _values(second)])
    assert np.array_equal(joined, values, equal_nan=True), f"{call}: folding in two parts gives other values"


def _values(folded: Folded) -> F8:
    assert folded.values is not None
    return folded.values


def _make_events(rng: np.random.Generator, n: int) -> list[tuple[str, Event]]:
    at, sent = _START_US, []
    for _ in range(n):
        at += int(rng.choice(_GAPS_S)) * 1_000_000 + int(rng.choice([0, 0, 7]))
        name = str(rng.choice(["view", "view", "buy", "mail", OTHER]))
        amount = math.nan if rng.random() < 0.1 else float(rng.integers(0, 50))
        measures = {"buy": {"revenue": amount}, "view": {"sentiment": amount / 25 - 1}}.get(name, {})
        has_product = name in ("view", "buy") and rng.random() < 0.7
        properties = {"product": str(rng.choice(["a", "b", "ü"]))} if has_product else {}
        channel = [None, "email", "search"][rng.integers(3)]
        sent.append((f"c{rng.integers(3)}", Event(at, name, measures, channel, None, properties)))
    return sent


def _make_table(sent: Sequence[tuple[str, Event]], playbook: Playbook) -> pa.Table:
    """The events as the table that the events stage makes."""
    events, n = [event for _, event in sent], len(sent)
    columns = {
        "customer_id": pa.array([customer for customer, _ in sent], pa.string()),
        "event_id": pa.array([str(i) for i in range(n)], pa.string()),
        "seq": pa.array(range(n), pa.int64()),
        "event_at": pa.array([e.event_at for e in events], pa.int64()).cast(INSTANT),
        "event_class": pa.array([e.event_class for e in events], pa.string()).cast(CLASS),
        "channel": pa.array([e.channel for e in events], pa.string()).cast(NAME),
        "session": pa.nulls(n, pa.string()),
    }
    for name in playbook.measure_names:
        columns[f"m_{name}"] = pa.array([e.measures.get(name, math.nan) for e in events], pa.float64())
    for name in playbook.property_names:
        columns[f"p_{name}"] = pa.array([e.properties.get(name) for e in events], pa.string())
    return pa.table(columns)


def _ask(playbook: Playbook, events: Sequence[Event], now: int) -> float:
    """The feature's value by the plain meaning of each call in it."""
    moments = {
        m.name: Pattern(m.sequence, m.within_s, m.all_of, m.without, m.absent, m.absent_s) for m in playbook.moments
    }
    setting, program = Setting(frozenset(playbook.touches), moments), playbook.features[0].program
    return run_program(
        program, [read_primitive(c.primitive, c.of, dict(c.options), events, now, setting) for c in program.calls]
    )


def _compare(call: str, found: float, expected: float, where: str) -> None:
    """Equal to 1e-9 relative, missing where the other is missing; sums of both signs may cancel to 1e-12."""
    is_same = (math.isnan(found) and math.isnan(expected)) or math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-12)
    assert is_same, f"{call} {where}: the fold gives {found!r}, its plain meaning is {expected!r}"
