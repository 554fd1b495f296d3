"""The laws of the fold: it is the plain meaning, in any parts, for any company, with any number of threads."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from decimal import Decimal, getcontext

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.errors import EventsError
from sojourn.fold.batch import Batch, Folded, Observe, fold_events, make_batch, order_events, read_features, take_events
from sojourn.fold.cells import HALF, Cell
from sojourn.fold.cuts import choose_cuts
from sojourn.fold.ids import IdTable
from sojourn.fold.layout import Layout, build_layout
from sojourn.fold.primitives import Event
from sojourn.fold.steps import CodedEvent, exp2, read_programs, step
from sojourn.playbook.load import load_playbook, parse_playbook
from sojourn.playbook.objects import Feature, Playbook
from sojourn.playbook.rules import nodes as r
from tests.fold.golden import GOLDEN, make_golden, print_golden
from tests.fold.world import (
    CALLS,
    CONDITIONS,
    DAY,
    HOUR,
    START,
    Sent,
    ask_oracle,
    assert_close,
    code_events,
    make_playbook,
    make_setting,
    make_table,
    streams,
)

PLAYBOOKS = {False: make_playbook(), True: make_playbook(has_sessions=True)}
LAYOUTS = {key: build_layout(playbook) for key, playbook in PLAYBOOKS.items()}
CUTS = [np.array([0.0, 1.0, 2.5])] * len(LAYOUTS[False].fingerprint)
LAW = settings(max_examples=30, deadline=None, print_blob=True)
named_sessions = pytest.mark.parametrize("has_sessions", [False, True], ids=["silence", "named sessions"])


def fold_all(sent: list[Sent], has_sessions: bool = False, n_threads: int = 1) -> tuple[Batch, Folded]:
    batch = make_batch(make_table(sent, PLAYBOOKS[has_sessions]), PLAYBOOKS[has_sessions])
    observe = Observe(CUTS, is_raw=True)
    return batch, fold_events(LAYOUTS[has_sessions], batch, observe=observe, n_threads=n_threads)


def is_same(a: Folded, b: Folded) -> bool:
    return all(
        np.array_equal(x.view(np.uint8), y.view(np.uint8))
        for x, y in [(a.vectors, b.vectors), (a.symbols, b.symbols), (a.values, b.values)]
    )


@named_sessions
def test_the_fold_is_the_plain_meaning_of_every_primitive(has_sessions: bool) -> None:
    playbook, layout = PLAYBOOKS[has_sessions], LAYOUTS[has_sessions]
    setting, indicators = make_setting(playbook), layout.indicators
    assert len(indicators) == len(CONDITIONS)

    @LAW
    @given(streams(), st.sampled_from([0, 1, 1_800_000_000, 1_800_000_001, HOUR, 3 * DAY, 700 * DAY]))
    def check(sent: list[Sent], silence: int) -> None:
        batch, folded = fold_all(sent, has_sessions)
        seen = defaultdict(list)
        for i, (customer, event) in enumerate((s.customer, s.event) for s in sent):
            seen[customer].append(event)
            expected = [ask_oracle(f.program, seen[customer], event.event_at, setting) for f in playbook.features]
            assert_close(folded.values[i].tolist(), expected, playbook)
            fired = [ask_oracle(program, seen[customer], event.event_at, setting) for _, program in indicators]
            assert folded.symbols[i, -len(indicators) :].tolist() == fired
        now = (sent[-1].event.event_at if sent else START) + silence
        features = read_features(layout, folded.vectors, now)
        for row, customer in enumerate(batch.ids.names().to_pylist()):
            expected = [ask_oracle(f.program, seen[customer], now, setting) for f in playbook.features]
            assert_close(features[row].tolist(), expected, playbook)

    check()


@named_sessions
def test_one_step_after_the_other_is_the_compiled_loop(has_sessions: bool) -> None:
    layout = LAYOUTS[has_sessions]

    @LAW
    @given(streams(max_size=40, n_customers=2))
    def check(sent: list[Sent]) -> None:
        batch, folded = fold_all(sent, has_sessions)
        vectors = [layout.initial] * batch.n_customers
        for i, event in enumerate(code_events(batch)):
            row = int(batch.customer[i])
            vectors[row] = step(layout, vectors[row], event)
            values = read_programs(layout, layout.observed, vectors[row], event.event_at)
            expected = [*folded.values[i], *folded.symbols[i, len(layout.fingerprint) :]]
            np.testing.assert_allclose(values, expected, rtol=1e-12)
        for row, vector in enumerate(vectors):
            np.testing.assert_allclose(vector, folded.vectors[row], rtol=1e-12)

    check()


@LAW
@given(streams(), st.data())
def test_two_halves_are_the_whole(sent: list[Sent], data: st.DataObject) -> None:
    middle = data.draw(st.integers(0, len(sent)))
    playbook, layout = PLAYBOOKS[False], LAYOUTS[False]
    _, whole = fold_all(sent)
    ids = IdTable()
    observe = Observe(CUTS, is_raw=True)
    table = make_table(sent, playbook)
    first = fold_events(layout, make_batch(table[:middle], playbook, ids), observe=observe)
    before = first.vectors.copy()
    second = fold_events(layout, make_batch(table[middle:], layout, ids), vectors=first.vectors, observe=observe)
    assert np.array_equal(first.vectors.view(np.uint8), before.view(np.uint8)), "the vectors given were changed"
    joined = Folded(
        second.vectors,
        np.concatenate([first.symbols, second.symbols]),
        np.concatenate([first.values, second.values]),
    )
    assert is_same(joined, whole)


@LAW
@given(streams(), st.data())
def test_later_events_never_change_earlier_observations(sent: list[Sent], data: st.DataObject) -> None:
    n = data.draw(st.integers(0, len(sent)))
    _, whole = fold_all(sent)
    _, part = fold_all(sent[:n])
    assert is_same(part, Folded(part.vectors, whole.symbols[:n], whole.values[:n]))


@LAW
@given(streams())
def test_customers_do_not_touch_each_other(sent: list[Sent]) -> None:
    batch, whole = fold_all(sent)
    for row, customer in enumerate(batch.ids.names().to_pylist()):
        is_own = batch.customer == row
        _, alone = fold_all([s for s in sent if s.customer == customer])
        assert is_same(alone, Folded(whole.vectors[[row]], whole.symbols[is_own], whole.values[is_own]))


@LAW
@given(streams(n_customers=7), st.sampled_from([2, 3, 5]))
def test_threads_do_not_matter(sent: list[Sent], n_threads: int) -> None:
    _, one = fold_all(sent)
    _, many = fold_all(sent, n_threads=n_threads)
    assert is_same(one, many)


@LAW
@given(streams(), st.randoms(use_true_random=False))
def test_equal_instants_follow_their_sequence_numbers(sent: list[Sent], chance: random.Random) -> None:
    table = make_table(sent, PLAYBOOKS[False])
    places = list(range(len(sent)))
    chance.shuffle(places)
    shuffled = table.take(pa.array(places, pa.int64()))
    ordered = order_events(shuffled)
    assert ordered["seq"].to_pylist() == sorted(places)
    batch = make_batch(ordered, PLAYBOOKS[False])
    folded = fold_events(LAYOUTS[False], batch, observe=Observe(CUTS, is_raw=True))
    assert is_same(folded, fold_all(sent)[1])


def test_the_order_of_equal_instants_can_matter() -> None:
    playbook = make_playbook(features={"bought": "matches(buying)"})
    at = [START] * 3
    for names, expected in [(["view", "view", "buy"], 1.0), (["buy", "view", "view"], 0.0)]:
        table = simple_table(playbook, at, names)
        assert features_of(playbook, table)[0, 0] == expected


@LAW
@given(streams(), st.data())
def test_part_of_a_batch_is_the_batch_of_that_part(sent: list[Sent], data: st.DataObject) -> None:
    keep = sorted(data.draw(st.sets(st.integers(0, max(len(sent) - 1, 0)), max_size=len(sent)))) if sent else []
    batch, _ = fold_all(sent)
    part = take_events(batch, np.array(keep, np.int64))
    own, folded = fold_all([sent[i] for i in keep])
    assert part.ids.names().equals(own.ids.names())
    assert is_same(fold_events(LAYOUTS[False], part, observe=Observe(CUTS, is_raw=True)), folded)


PATHS = [r.LOAD, r.CONST, *range(r.ADD, r.IS_MISSING + 1)]


@st.composite
def programs(draw: st.DrawFn) -> r.Program:
    """Any valid program over calls that are sometimes missing, sometimes zero."""
    calls = tuple(
        r.Call(*parts)
        for parts in [("count", ("view",)), ("last", ("revenue",)), ("recency", ("buy",)), ("max", ("revenue",))]
    )
    codes, operands, depth = [], [], 0
    for _ in range(draw(st.integers(1, 40))):
        possible = [c for c in PATHS if (c < r.ADD and depth < r.MAX_DEPTH) or depth >= (1 if c in r.UNARY else 2)]
        possible = [c for c in possible if c >= r.ADD or depth < r.MAX_DEPTH]
        code = draw(st.sampled_from(possible))
        codes.append(code)
        if code == r.LOAD:
            operands.append(float(draw(st.integers(0, 3))))
        elif code == r.CONST:
            operands.append(draw(st.sampled_from([0.0, 1.0, -2.0, 3.5, 7.0])))
        else:
            operands.append(0.0)
        depth += 1 if code < r.ADD else 0 if code in r.UNARY else -1
    codes += [r.MAX] * (depth - 1)
    operands += [0.0] * (depth - 1)
    return r.Program(tuple(codes), tuple(operands), calls, "number", "drawn")


@LAW
@given(programs(), streams(max_size=15, n_customers=1))
def test_any_program_runs_as_its_plain_meaning(program: r.Program, sent: list[Sent]) -> None:
    base = make_playbook(features={"x": "count(view)"})
    playbook = replace(base, features=(Feature("x", program, 0),), fingerprint=("x",))
    batch = make_batch(make_table(sent, playbook), playbook)
    values = fold_events(build_layout(playbook), batch, observe=Observe()).values
    for i, s in enumerate(sent):
        events = [x.event for x in sent[: i + 1]]
        expected = ask_oracle(program, events, s.event.event_at, make_setting(playbook))
        np.testing.assert_equal(values[i, 0], expected)


def simple_table(playbook: Playbook, at: list[int], names: list[str], customer: str = "c") -> pa.Table:
    return make_table([Sent(customer, Event(t, name)) for t, name in zip(at, names, strict=True)], playbook)


def features_of(playbook: Playbook, table: pa.Table, now: int | None = None) -> np.ndarray:
    batch = make_batch(table, playbook)
    layout = build_layout(playbook)
    last = int(batch.event_at[-1]) if now is None else now
    return read_features(layout, fold_events(layout, batch).vectors, last)


def test_symbols_are_the_number_of_cuts_at_or_below_the_value() -> None:
    playbook = make_playbook(features={"n": "count(view)", "last": "last(revenue)"})
    layout = build_layout(playbook)
    batch = make_batch(simple_table(playbook, [START + i for i in range(5)], ["view"] * 5), playbook)
    cuts = [np.array([2.0, 4.0]), np.empty(0)]
    folded = fold_events(layout, batch, observe=Observe(cuts))
    assert folded.values is None
    assert folded.symbols[:, 0].tolist() == np.searchsorted(cuts[0], np.arange(1, 6), side="right").tolist()
    assert folded.symbols[:, 1].tolist() == [255] * 5
    with pytest.raises(ValueError, match="1 arrays of cuts for 2 features"):
        fold_events(layout, batch, observe=Observe(cuts[:1]))


def test_values_of_every_third_event() -> None:
    playbook = make_playbook(features={"n": "count(view)"})
    batch = make_batch(simple_table(playbook, [START + i for i in range(8)], ["view"] * 8), playbook)
    folded = fold_events(build_layout(playbook), batch, observe=Observe(every=3))
    assert folded.values[:, 0].tolist() == [1.0, 4.0, 7.0]
    assert folded.symbols is None
    assert fold_events(build_layout(playbook), batch).values is None


def test_a_late_event_is_refused_before_anything_changes() -> None:
    playbook, layout = PLAYBOOKS[False], LAYOUTS[False]
    ids = IdTable()
    vectors = fold_events(layout, make_batch(simple_table(playbook, [START], ["view"]), playbook, ids)).vectors
    before = vectors.copy()
    late = make_batch(simple_table(playbook, [START - 1, START + 1], ["view", "view"]), playbook, ids)
    with pytest.raises(EventsError, match="1 events are older than the last one of their customer, the first of 'c'"):
        fold_events(layout, late, vectors=vectors, is_in_place=True)
    assert np.array_equal(vectors.view(np.uint8), before.view(np.uint8))
    with pytest.raises(ValueError, match="a refold of all events"):
        step(layout, vectors[0], CodedEvent(START - 1, 0))
    with pytest.raises(ValueError, match="at or after"):
        read_features(layout, vectors, START - 1)


def test_vectors_can_be_changed_in_place_and_grow_when_they_must() -> None:
    playbook, layout = PLAYBOOKS[False], LAYOUTS[False]
    ids = IdTable()
    vectors = fold_events(layout, make_batch(simple_table(playbook, [START], ["view"]), playbook, ids)).vectors
    more = make_batch(simple_table(playbook, [START + 1], ["view"]), playbook, ids)
    assert fold_events(layout, more, vectors=vectors, is_in_place=True).vectors is vectors
    new = make_batch(simple_table(playbook, [START + 2], ["view"], customer="d"), playbook, ids)
    grown = fold_events(layout, new, vectors=vectors, is_in_place=True).vectors
    assert grown.shape == (2, layout.n_slots)
    with pytest.raises(ValueError, match="float64 slots are needed"):
        fold_events(layout, new, vectors=vectors[:, :-1])


def test_a_full_bucket_stays_full() -> None:
    playbook = make_playbook(features={"n": "count(view, within=1h)"})
    layout = build_layout(playbook)
    ring = next(slot for cell, slot in layout.slots.items() if cell.kind == "ring")
    vector = step(layout, layout.initial, CodedEvent(START, 0))
    odd = int(vector[ring]) % 2
    place = ring + 2 + int(vector[ring]) % 32 // 2
    vector[ring + 1] = HALF - 1
    vector[place] = (HALF - 1) * (HALF if odd else 1.0)
    after = step(layout, vector, CodedEvent(START, 0))
    batch = make_batch(simple_table(playbook, [START], ["view"], customer="c"), playbook)
    compiled = fold_events(layout, batch, vectors=vector[None, :].copy()).vectors[0]
    assert after[place] == compiled[place] == vector[place]
    assert after[ring + 1] == compiled[ring + 1] == HALF - 1


def test_exp2_is_exact_enough_and_the_same_everywhere() -> None:
    from sojourn.fold.kernels import events as kernel

    getcontext().prec = 40
    chance = random.Random(20)
    for x in [0.0, *(-chance.random() * chance.choice([1e-9, 1, 1, 40, 1021]) for _ in range(4000))]:
        y = exp2(x)
        assert kernel.exp2(x) == y
        true = (Decimal(2).ln() * Decimal(x)).exp()
        assert abs(Decimal(y) / true - 1) < Decimal("2.3e-16")
    assert all(exp2(-float(n)) == 2.0**-n for n in range(1022))
    assert exp2(-1021.5) == 0.0 == exp2(-math.inf)


def test_the_golden_file_is_what_the_oracle_says_and_what_the_fold_does() -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert is_near(golden, json.loads(print_golden(make_golden()))), "run: python -m tests.fold.golden"
    for case in golden["cases"]:
        playbook = parse_playbook(case["playbook"])
        layout = build_layout(playbook)
        assert layout.hash == case["layout"]["hash"]
        assert layout.op_ints.tolist() == case["layout"]["op_ints"]
        sent = [Sent(e.pop("customer"), Event(**e)) for e in case["events"]]
        folded = fold_events(layout, make_batch(make_table(sent, playbook), playbook), observe=Observe())
        for found, expected in zip(folded.values.tolist(), case["features_at_each_event"], strict=True):
            assert_close(found, with_nan(expected), playbook)
        features = read_features(layout, folded.vectors, case["now"])
        for row, customer in enumerate(case["customers"]):
            assert_close(features[row].tolist(), with_nan(customer["features"]), playbook)
            np.testing.assert_allclose(folded.vectors[row], with_nan(customer["vector"]), rtol=1e-12)


def is_near(a: object, b: object) -> bool:
    """Equal, numbers to 1e-12: another C library may round a logarithm differently."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(is_near(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(is_near(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-13)
    return a == b


def with_nan(numbers: list[float | None]) -> list[float]:
    return [math.nan if x is None else x for x in numbers]


def test_a_new_playbook_compiles_nothing() -> None:
    from sojourn.fold.kernels.events import fold
    from sojourn.fold.kernels.read import read_rows

    for name in ("shop", "saas"):
        playbook = load_playbook(name)
        table = simple_table(playbook, [START, START + 1], list(playbook.class_names[:2]))
        assert features_of(playbook, table).shape == (1, len(playbook.features))
    assert len(fold.signatures) == 1
    assert len(read_rows.signatures) == 1


def test_importing_the_fold_loads_no_numba() -> None:
    code = "import sys, sojourn.fold.primitives; assert not {'numba', 'llvmlite'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_ready_playbook_has_a_layout() -> None:
    for name in ("shop", "saas", "finance", "health", "media"):
        layout = build_layout(load_playbook(name))
        assert layout.n_slots * 8 == layout.n_bytes <= 16_384
        assert layout.new_vectors(3).ctypes.data % 64 == 0
        assert {Cell("seen_at")} < set(layout.slots)


BASE = """
playbook: base
version: 1
about: A base.
source: {format: table, customer: user, time: time, event: event, channel: channel}
events:
  view: {name: [View, Look], properties: {product: product}}
  buy: {name: [Buy], measures: {revenue: total, unused: other_total}}
  mail: {name: [Mail], touch: true}
features:
  a: count(view, half_life=1d)
  b: sum(revenue)
  c: distinct(product)
  d: matches(m)
fingerprint: [a, b]
states:
  one:
    about: One.
    job: One.
    typical: {view: 1}
    indicators:
      - {when: "a > 2", strength: medium}
  two: {about: Two., job: Two., typical: {buy: 1}}
moments:
  m: {sequence: [view, buy], within: 1d}
  unread: {sequence: [buy, view], within: 1d}
"""
SAME = {
    "a feature's name": ("  b: sum", "  bb: sum", "fingerprint: [a, b]", "fingerprint: [a, bb]"),
    "the fingerprint": ("fingerprint: [a, b]", "fingerprint: [b]"),
    "a threshold": ("a > 2", "a > 3"),
    "texts": ("about: One.", "about: Two or one."),
    "the order of features": (
        "  b: sum(revenue)\n  c: distinct(product)\n", "  c: distinct(product)\n  b: sum(revenue)\n",
    ),
    "the order of raw names": ("[View, Look]", "[Look, View]"),
    "arithmetic": ("  b: sum(revenue)", "  b: sum(revenue) * 2"),
    "a measure that no feature reads": ("unused: other_total", "unused: yet_another"),
    "a moment that no feature reads": ("sequence: [buy, view], within: 1d", "sequence: [buy, view], within: 2d"),
    "the order of classes": (
        "  buy: {name: [Buy], measures: {revenue: total, unused: other_total}}\n  mail: {name: [Mail], touch: true}\n",
        "  mail: {name: [Mail], touch: true}\n  buy: {name: [Buy], measures: {revenue: total, unused: other_total}}\n",
    ),
}  # fmt: skip
OTHER = {
    "a half-life": ("half_life=1d", "half_life=2d"),
    "a new feature": ("  d: matches(m)", "  d: matches(m)\n  e: count(buy)"),
    "a raw name": ("[Buy]", "[Bought]"),
    "a touch": ("touch: true", "touch: false"),
    "a measure's path": ("revenue: total", "revenue: gross"),
    "a property's path": ("product: product", "product: sku"),
    "a class's name": ("  view: {", "  seen: {", "count(view", "count(seen", "typical: {view", "typical: {seen",
                       "[view, buy]", "[seen, buy]", "[buy, view]", "[buy, seen]"),
    "a moment's window": ("sequence: [view, buy], within: 1d", "sequence: [view, buy], within: 3d"),
    "a moment's order": ("sequence: [view, buy], within: 1d", "sequence: [buy, view], within: 1d"),
    "a condition on rows": ("{name: [Buy],", "{name: [Buy], where: total > 0,"),
    "who the customer is": ("customer: user", "customer: account"),
}  # fmt: skip


def layout_with(*changes: str) -> Layout:
    text = BASE
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        assert old in text
        text = text.replace(old, new)
    return build_layout(parse_playbook(text))


@pytest.mark.parametrize("what", SAME)
def test_the_hash_stays_when_the_vector_stays(what: str) -> None:
    base, changed = layout_with(), layout_with(*SAME[what])
    assert changed.hash == base.hash
    assert changed.slots == base.slots


@pytest.mark.parametrize("what", OTHER)
def test_the_hash_changes_with_what_is_in_the_vector(what: str) -> None:
    assert layout_with(*OTHER[what]).hash != layout_with().hash


def test_the_order_of_classes_counts_when_rows_could_match_two() -> None:
    view = "  view: {name: [View, Look], properties: {product: product}}\n"
    both = ("{name: [Buy],", "{name: [View, Buy],")
    swapped = (*both, view, "", "  mail: {name", f"{view}  mail: {{name")
    assert layout_with(*both).hash != layout_with(*swapped).hash


def test_calls_share_cells() -> None:
    playbook = make_playbook(features={
        "a": "count(view, within=1h, at_most=3)", "b": "count(view, within=1d, at_most=5)", "c": "recency(view)",
        "d": "count(view, half_life=1d)", "e": "momentum(view, short=1d, long=30d)",
    })  # fmt: skip
    layout = build_layout(replace(playbook, states=()))
    kinds = sorted((cell.kind, cell.width) for cell in layout.slots)
    assert kinds == [("at", 1), ("count", 1), ("decay", 1), ("decay", 1), ("latest", 5), ("seen_at", 1)]


def test_events_that_cannot_be_folded_are_named() -> None:
    playbook = PLAYBOOKS[False]
    table = simple_table(playbook, [START, START + 1], ["view", "buy"])
    with pytest.raises(EventsError, match="event 2: events must be in the order"):
        make_batch(table.take(pa.array([1, 0])), playbook)
    with pytest.raises(EventsError, match="event 2: events must be in the order"):
        make_batch(table.take(pa.array([0, 0])), playbook)
    infinite = table.set_column(table.column_names.index("m_revenue"), "m_revenue", pa.array([1.0, math.inf]))
    with pytest.raises(EventsError, match="event 2: the measure 'revenue' is not finite"):
        make_batch(infinite, playbook)
    place = table.column_names.index("event_class")
    with pytest.raises(EventsError, match="no event class 'look'"):
        make_batch(table.set_column(place, "event_class", pa.array(["view", "look"])), playbook)
    with pytest.raises(EventsError, match="1 events have no event_class"):
        make_batch(table.set_column(place, "event_class", pa.array(["view", None])), playbook)


def test_columns_may_come_in_chunks_and_plain() -> None:
    playbook = PLAYBOOKS[False]
    names = ["view", "buy", "mail", "other", "view"]
    table = simple_table(playbook, [START + i * 1000 for i in range(5)], names)
    whole = fold_events(LAYOUTS[False], make_batch(table, playbook)).vectors
    chunked = pa.concat_tables([table[:2], table[2:3], table[3:]])
    plain = table.set_column(table.column_names.index("event_class"), "event_class", pa.array(names))
    place = table.column_names.index("event_at")
    milliseconds = table.set_column(place, "event_at", table["event_at"].cast(pa.timestamp("ms", tz="UTC")))
    for variant in (chunked, plain, milliseconds):
        found = fold_events(LAYOUTS[False], make_batch(variant, playbook)).vectors
        assert np.array_equal(found.view(np.uint8), whole.view(np.uint8))


def test_cuts_give_point_masses_a_level_of_their_own() -> None:
    values = np.array([0.0] * 50 + list(range(1, 41)) + [math.nan] * 7)[:, None]
    (cuts,) = choose_cuts(values, 4)
    levels = np.searchsorted(cuts, values[:90, 0], side="right")
    assert (levels[:50] == 0).all()
    assert np.bincount(levels)[1:].max() - np.bincount(levels)[1:].min() <= 1
    assert len(np.bincount(levels)) == 4
    assert [len(c) for c in choose_cuts(np.array([[math.nan, 5.0], [math.nan, 5.0]]))] == [0, 0]
    middle = np.array([1.0, 2.0, *[3.0] * 6, 4.0, 5.0])[:, None]
    assert choose_cuts(middle, 3)[0].tolist() == [3.0, np.nextafter(3.0, 4.0)]
    with pytest.raises(ValueError, match="two levels"):
        choose_cuts(values, 1)


def test_all_calls_of_the_tests_are_all_primitives() -> None:
    from sojourn.playbook.rules.calls import SIGNATURES

    assert set(SIGNATURES) == {text.split("(")[0] for text in CALLS}
