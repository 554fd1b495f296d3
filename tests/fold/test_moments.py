"""Moments: the compiled fold, the plain steps and the live engine against brute force over random streams."""

from __future__ import annotations

import random
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.errors import PlaybookError
from sojourn.fold.batch import fold_events, make_batch
from sojourn.fold.ids import IdTable
from sojourn.fold.layout import build_layout, moments_layout
from sojourn.fold.primitives import Event, Pattern, find_completions
from sojourn.fold.steps import step
from sojourn.live.replay.calls import read_calls
from sojourn.playbook.load import parse_playbook
from sojourn.playbook.objects import Playbook
from tests.fold.world import DAY, HOUR, START, Sent, code_events, make_pattern, make_table
from tests.live.engine_world import make_project, open_engine

LAW = settings(max_examples=120, deadline=None, print_blob=True)
CLASSES = ("view", "cart", "ship", "buy", "mail")
WINDOWS = {"1m": 60_000_000, "2h": 2 * HOUR, "1d": DAY, "7d": 7 * DAY}

BOOK = """
playbook: moments
version: 1
about: Moments of every form.
source: {{format: table, customer: user, time: time, event: event}}
events:
  view: {{name: [view]}}
  cart: {{name: [cart]}}
  ship: {{name: [ship]}}
  buy: {{name: [buy]}}
  mail: {{name: [mail], touch: true}}
features:
  views: count(view)
fingerprint: [views]
states:
  one: {{about: One., job: One., typical: {{view: 1}}}}
  two: {{about: Two., job: Two., typical: {{buy: 1}}}}
outcomes:
  conversion: {{event: buy, within: 7d}}
moments:
{moments}
"""


def make_book(moments: list[str]) -> Playbook:
    return parse_playbook(BOOK.format(moments="\n".join(f"  m{i}: {{{text}}}" for i, text in enumerate(moments))))


@st.composite
def moments(draw: st.DrawFn) -> str:
    """A moment of any form as YAML."""
    within = draw(st.sampled_from(list(WINDOWS)))
    counts = st.integers(1, 3)
    if draw(st.booleans()):
        steps = draw(st.lists(st.tuples(st.sampled_from(CLASSES), counts), min_size=1, max_size=4))
        parts = ["sequence: [" + ", ".join(f"{name}: {n}" if n > 1 else name for name, n in steps) + "]"]
        if draw(st.integers(0, 2)) == 0:
            absent, long = draw(st.sampled_from(CLASSES)), draw(st.sampled_from(list(WINDOWS)))
            parts.append(f"after_absence: {{class: {absent}, for: {long}}}")
    else:
        wanted = draw(st.dictionaries(st.sampled_from(CLASSES), counts, min_size=1, max_size=4))
        steps = list(wanted.items())
        parts = ["all_of: {" + ", ".join(f"{name}: {n}" for name, n in steps) + "}"]
    others = [name for name in CLASSES if name not in dict(steps)]
    if others and sum(n for _, n in steps) > 1 and draw(st.booleans()):
        parts.append(f"without: [{draw(st.sampled_from(others))}]")
    return ", ".join([*parts, f"within: {within}"])


GAPS = [0, 0, 1, 1_000_000, 60_000_000, 60_000_001, HOUR, 2 * HOUR, 2 * HOUR, DAY, DAY + 1, 7 * DAY, 7 * DAY]


@st.composite
def streams(draw: st.DrawFn) -> list[Sent]:
    """Few classes, many ties, and gaps that meet windows exactly."""
    at, sent = START, []
    names = [*draw(st.lists(st.sampled_from(CLASSES), min_size=1, max_size=3, unique=True)), "buy"]
    for _ in range(draw(st.integers(0, 40))):
        at += draw(st.sampled_from(GAPS))
        sent.append(Sent(draw(st.sampled_from(["a", "a", "b"])), Event(at, draw(st.sampled_from(names)))))
    return sent


def ask_brute_force(book: Playbook, sent: list[Sent]) -> list[tuple[int, int]]:
    """Which event completes which moment, by the oracle."""
    mine = defaultdict(list)
    for i, s in enumerate(sent):
        mine[s.customer].append(i)
    found = []
    for k, moment in enumerate(book.moments):
        for places in mine.values():
            done = find_completions([sent[i].event for i in places], make_pattern(moment))
            found += [(places[j], k) for j in done]
    return sorted(found)


@LAW
@given(
    st.one_of(st.lists(moments(), min_size=1, max_size=6), st.lists(moments(), min_size=12, max_size=70)),
    streams(),
    st.data(),
)
def test_the_fold_is_brute_force_and_two_halves_are_the_whole(
    drawn: list[str], sent: list[Sent], data: st.DataObject
) -> None:
    book = make_book(drawn)
    layout = moments_layout(book)
    table = make_table(sent, book)
    batch = make_batch(table, layout)
    whole = fold_events(layout, batch, n_threads=data.draw(st.sampled_from([1, 2])))
    assert [tuple(row) for row in whole.completions.tolist()] == ask_brute_force(book, sent)
    vectors = [layout.initial] * batch.n_customers
    for i, event in enumerate(code_events(batch)):
        vectors[batch.customer[i]] = step(layout, vectors[batch.customer[i]], event)
    np.testing.assert_array_equal(np.array(vectors).reshape(whole.vectors.shape), whole.vectors)
    middle, ids = data.draw(st.integers(0, len(sent))), IdTable()
    first = fold_events(layout, make_batch(table[:middle], layout, ids))
    second = fold_events(layout, make_batch(table[middle:], layout, ids), vectors=first.vectors)
    np.testing.assert_array_equal(second.vectors, whole.vectors)
    joined = [*first.completions.tolist(), *([i + middle, k] for i, k in second.completions.tolist())]
    assert joined == whole.completions.tolist()


def test_random_streams_complete_moments_of_every_form() -> None:
    """That the law above is about something: with its moments and gaps, all forms are completed, and often."""
    rng = random.Random(3)
    book = make_book([
        "sequence: [view: 3], within: 1d", "sequence: [view, cart, buy], within: 7d",
        "all_of: {cart: 1, view: 2}, without: [buy], within: 7d",
        "sequence: [view, cart], without: [buy], within: 7d",
        "sequence: [view: 2], within: 1d, after_absence: {class: view, for: 1d}",
        "sequence: [view], within: 1d, after_absence: {class: mail, for: 7d}",
    ])  # fmt: skip
    at, sent = START, []
    for _ in range(2_000):
        at += rng.choice(GAPS)
        sent.append(Sent("a", Event(at, rng.choice(CLASSES))))
    layout = moments_layout(book)
    found = fold_events(layout, make_batch(make_table(sent, book), layout)).completions
    assert [tuple(row) for row in found.tolist()] == ask_brute_force(book, sent)
    assert np.bincount(found[:, 1], minlength=6).min() > 20


@pytest.mark.parametrize("seed", [1, 2])  # of the stream, and which moments
def test_the_live_engine_tells_what_brute_force_finds(tmp_path: Path, seed: int) -> None:
    told = tell_live(tmp_path / "p", LIVE[seed], random.Random(seed), 600)
    assert {name for _, _, name in told} == {f"m{k}" for k in range(len(LIVE[seed]))}
    assert len(told) > 60


@settings(max_examples=8)
@given(chosen=st.lists(moments(), min_size=1, max_size=6), seed=st.integers(0, 2**32))
def test_the_live_engine_tells_what_brute_force_finds_of_any_moments(chosen: list[str], seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tell_live(Path(folder) / "p", chosen, random.Random(seed), 250)


def tell_live(project: Path, chosen: list[str], rng: random.Random, n_events: int) -> set[tuple[str, int, str]]:
    """What the live engine tells of a random stream in records of 37: the same as brute force finds in it."""
    text = BOOK.format(moments="\n".join(f"  m{i}: {{{one}}}" for i, one in enumerate(chosen)))
    book = parse_playbook(text)
    at, sent = START, []
    for _ in range(n_events):
        at += rng.choice(GAPS[2:10])
        sent.append(Sent(f"u{rng.randrange(3)}", Event(at, rng.choice(CLASSES))))
    made = make_table(sent, book)
    rows = {"user": made["customer_id"], "time": made["event_at"], "event": made["event_class"].cast("string")}
    calls = read_calls(pa.table(rows), book)
    with open_engine(make_project(project, text), int(calls.at[0])) as engine:
        for a in range(0, len(calls), 37):
            b = min(a + 37, len(calls))
            engine.now = int(calls.at[b - 1])
            engine.send(calls.write(a, b))
        told = {(c.customer_id, c.at, c.name) for c in engine.changes("moment")}
    expected = ask_brute_force(book, sent)
    assert told == {(sent[i].customer, sent[i].event.event_at, f"m{k}") for i, k in expected}
    return told


LIVE = {
    1: ["sequence: [view: 2, buy], within: 7d", "all_of: {cart: 1, ship: 1, view: 2}, without: [buy], within: 7d",
        "sequence: [mail, view], within: 1d, after_absence: {class: mail, for: 7d}",
        "all_of: [ship, mail], within: 2h"],
    2: ["sequence: [view, cart, view], without: [buy, mail], within: 7d", "all_of: {buy: 2}, within: 7d",
        "sequence: [buy], within: 1d, after_absence: {class: ship, for: 7d}",
        "sequence: [view, buy], within: 1d", "sequence: [view, buy], within: 1d, about: The same again."],
}  # fmt: skip


def test_values_worked_out_by_hand() -> None:
    def at(*events: tuple[int, str]) -> list[Event]:
        return [Event(t, name) for t, name in events]

    mails = at((0, "sent"), (60, "open"), (61, "open"), (62, "open"), (122, "open"), (123, "open"))
    absent = Pattern(("open", "open"), 2e-6, absent="open", absent_s=60e-6)
    assert find_completions(mails, absent) == [2, 5]  # never opened before: absent since the first mail
    assert find_completions(mails[1:], absent) == [4]  # the first event of a customer follows no absence
    left = Pattern((), 10e-6, all_of=(("cart", 1), ("view", 2)), without=("buy",))
    assert find_completions(at((0, "view"), (1, "cart"), (10, "view")), left) == [2]
    assert find_completions(at((0, "view"), (1, "cart"), (11, "view")), left) == []
    assert find_completions(at((0, "view"), (1, "buy"), (2, "cart"), (3, "view")), left) == []
    assert find_completions(at((0, "buy"), (0, "view"), (0, "cart"), (0, "view"), (1, "view")), left) == [3]


LINE = BOOK.splitlines().index("{moments}") + 1
WRONG = {
    "sequence: [view], all_of: {view: 2}, within: 1d": "needs 'sequence' or 'all_of', and has both",
    "within: 1d": "needs 'sequence' or 'all_of', and has none of them",
    "sequence: [], within: 1d": "and has none of them",
    "sequence: [view]": "needs 'within'",
    "sequence: [view, vew], within: 1d": "there is no event class 'vew'",
    "all_of: {vew: 1}, within: 1d": "there is no event class 'vew'",
    "sequence: [view: 17], within: 1d": "'view' must be from 1 to 16, not 17",
    "sequence: [view: 9, buy: 9], within: 1d": "has 18 steps; at most 16 are allowed",
    "all_of: {view: 9, buy: 9}, within: 1d": "has 18 steps; at most 16 are allowed",
    "all_of: {view: 1.5}, within: 1d": "must be a whole number, not 1.5",
    "all_of: {view: 0}, within: 1d": "must be from 1 to 16, not 0",
    "all_of: {view: many}, within: 1d": "must be a number, not 'many'",
    "all_of: [view, view], within: 1d": "all_of names 'view' twice; write view: 2",
    "sequence: [[view]], within: 1d": "must be an event class, or one with a number",
    "sequence: [view, buy], without: [buy], within: 1d": "'buy' is a step, so it cannot be in 'without' too",
    "sequence: [view, buy], without: [chip], within: 1d": "there is no event class 'chip'",
    "sequence: [view], without: [buy], within: 1d": "has one step, so nothing can come between",
    "all_of: {view: 2}, after_absence: {class: buy, for: 1d}, within: 1d": "'after_absence' needs 'sequence'",
    "sequence: [view], after_absence: {class: buy}, within: 1d": "after_absence needs 'for'",
    "sequence: [view], after_absence: {for: 1d}, within: 1d": "after_absence needs 'class'",
    "sequence: [view], after_absence: {class: by, for: 1d}, within: 1d": "there is no event class 'by'",
    "sequence: [view], after_absence: buy, within: 1d": "after_absence must be a mapping",
    "sequence: [view], outcome: convert, within: 1d": "there is no outcome 'convert'",
    "sequence: [view], witout: [buy], within: 1d": "has no key 'witout'",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_said_with_its_line(text: str) -> None:
    with pytest.raises(PlaybookError) as caught:
        make_book([text])
    said = [problem for problem in caught.value.problems if WRONG[text] in problem.what]
    assert said, caught.value.problems
    assert all("moment 'm0'" in problem.what and problem.where == f"playbook:{LINE}" for problem in said)


def test_a_number_expands_to_steps() -> None:
    moment = make_book(["sequence: [view: 2, buy], within: 1d, outcome: conversion"]).moments[0]
    assert (moment.sequence, moment.outcome) == (("view", "view", "buy"), "conversion")
    assert make_book(["all_of: [view, {buy: 2}], within: 1d"]).moments[0].all_of == (("buy", 2), ("view", 1))


PARTS = ["sequence: [view, cart]", "within: 1d", "without: [buy]", "after_absence: {class: mail, for: 7d}"]
CHANGED = [
    ["sequence: [cart, view]", *PARTS[1:]], [PARTS[0], "within: 2d", *PARTS[2:]], [*PARTS[:2], PARTS[3]],
    [*PARTS[:2], "without: [mail]", PARTS[3]], PARTS[:3], [*PARTS[:3], "after_absence: {class: buy, for: 7d}"],
    [*PARTS[:3], "after_absence: {class: mail, for: 8d}"], ["all_of: [view, cart]", *PARTS[1:3]],
    ["all_of: {view: 2, cart: 1}", *PARTS[1:3]],
]  # fmt: skip


def test_the_hash_of_the_layout_changes_with_every_part() -> None:
    hashes = {build_layout(make_book([", ".join(p)]), is_live=True).hash for p in [PARTS, *CHANGED]}
    assert len(hashes) == 1 + len(CHANGED)
    same = [make_book([f"{', '.join(PARTS)}, outcome: conversion, about: Other words."]), make_book([", ".join(PARTS)])]
    assert len({build_layout(book, is_live=True).hash for book in same}) == 1
