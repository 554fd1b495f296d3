"""Reasons in words, and what would flip a state; that they add up is in test_published."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.states.hmm import model as hm
from sojourn.states.reasons import (
    BELIEF,
    MOVE,
    REST,
    SILENCE_BEFORE,
    SILENCE_SINCE,
    START,
    Parts,
    find_flip,
    find_runner_up,
    name_part,
    name_symbol,
    reasons_column,
)


def make_model(seed: int = 0, n_states: int = 3) -> hm.Model:
    rng = np.random.default_rng(seed)

    def rows(*shape):
        return rng.dirichlet(np.ones(shape[-1]), shape[:-1])

    sticky = 0.8 * np.eye(n_states) + 0.2 * rows(n_states, n_states)
    return hm.Model(
        states=tuple(f"s{i}" for i in range(n_states)),
        touches=("mail", "call"),
        initial=rows(n_states),
        event_transitions=np.stack([sticky] * 3),
        boundaries_s=np.array([60.0, 3600.0]),
        hazards=rng.uniform(0.1, 0.9, (n_states, 2)),
        silent_transitions=np.stack([0.7 * np.eye(n_states) + 0.3 * rows(n_states, n_states) for _ in range(2)]),
        channels=(
            hm.Channel("event_class", ("x", "y", "other"), rows(n_states, 3), 0.7),
            hm.Channel("level", ("low", "high"), rows(n_states, 2), 0.5),
            hm.Channel("s0: count(x) > 2", ("no", "yes"), rows(n_states, 2), 0.0),
            hm.Channel("label", ("0", "1"), rng.uniform(0.1, 1, (n_states, 2)), 1.0, is_learned=False),
        ),
    )


def test_every_part_has_its_words():
    model = make_model()
    assert name_part(model, 0, -1) == BELIEF
    assert name_part(model, 0, -2) == START
    assert name_part(model, 1, -1) == SILENCE_BEFORE
    assert name_part(model, 2, -1) == MOVE
    assert name_part(model, 2, 2) == "touch before the last event: call"
    assert name_part(model, 3, 1) == "event: y"
    assert name_part(model, 4, 0) == "level: low"
    assert name_part(model, 4, hm.MISSING) == "level: missing"
    assert name_part(model, 5, 1) == "fired: count(x) > 2"
    assert name_part(model, 5, 0) == "did not fire: count(x) > 2"
    assert name_part(model, 6, 1) == "known state given"
    assert name_part(model, 6, 0) == "no known state"
    assert name_part(model, 7, -1) == SILENCE_SINCE
    assert name_symbol("level", "1 to 3") == "level: 1 to 3"


def test_small_reasons_are_added_up_and_nothing_is_not_told():
    model = make_model()
    weights = np.array([[0.5, -3.0, 0.0, 2.0, 0.1, 0.0, 0.2, 1.0], [0.0] * 8])
    symbols = np.array([[-1, -1, -1, 0, 1, 0, 0, -1]] * 2)
    parts = Parts(tuple("abcdefgh"), weights, symbols)
    some, none = reasons_column(model, parts, 3).to_pylist()
    assert [r["what"] for r in some] == [SILENCE_BEFORE, "event: x", SILENCE_SINCE, REST]
    assert [r["weight"] for r in some] == pytest.approx([-3.0, 2.0, 1.0, 0.8])
    assert none == []
    every = reasons_column(model, parts, 20).to_pylist()[0]
    assert len(every) == 6
    assert REST not in [r["what"] for r in every]


def test_the_runner_up_is_the_likeliest_other():
    posterior = np.array([[0.2, 0.5, 0.3], [0.5, 0.3, 0.2], [0.0, 0.0, 1.0]])
    assert find_runner_up(posterior, np.array([0, 0, 2])).tolist() == [1, 1, 0]


def symbols_of(model: hm.Model) -> list[int]:
    """Which channels may change: labels are not evidence of what happened, weight zero says nothing."""
    return [c for c, channel in enumerate(model.channels) if channel.is_learned and channel.weight > 0]


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(0, 2), st.integers(0, 1))
def test_no_smaller_change_flips(seed, first, second):
    """Against every combination of other symbols, without silence since: exact as the docs say."""
    model = make_model(seed)
    rng = np.random.default_rng(seed)
    at_event = rng.dirichlet(np.ones(3))
    row = np.array([first, second, 0, 0], np.uint8)
    state = int(at_event.argmax())
    flip = find_flip(model, row, at_event, 0, state)
    logs = [hm.channel_logs(c) for c in model.channels]

    def after(a: int, b: int) -> int:
        p = np.log(at_event) + logs[0][a] - logs[0][first] + logs[1][b] - logs[1][second]
        return int(p.argmax())

    flipping = [(int(a != first) + int(b != second)) for a in range(3) for b in range(2) if after(a, b) != state]
    assert symbols_of(model) == [0, 1]
    if flipping:
        assert flip is not None
        assert len(flip.changes) == min(flipping)
    else:
        assert flip is None or flip.changes == ()


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(0, 2))
def test_what_flips_after_silence_flips_through_the_ticks(seed, n_ticks):
    model = make_model(seed)
    at_event = np.random.default_rng(seed).dirichlet(np.ones(3))
    row = np.array([0, hm.MISSING, 0, 0], np.uint8)
    crossed = hm.silence_matrices(model)[n_ticks]
    state = int((at_event @ crossed).argmax())
    flip = find_flip(model, row, at_event, n_ticks, state)
    if flip is None:
        return
    assert flip.to_state != model.states[state]
    p = np.log(at_event)
    for _, instead in flip.changes:
        c = 0 if instead.startswith("event") else 1
        logs = hm.channel_logs(model.channels[c])
        p = p + logs[model.channels[c].symbols.index(instead.split(": ")[1])] - logs[row[c]]
    now = np.exp(p) @ crossed
    events = hm.event_matrices(model)
    for i in range(flip.n_next):
        assert int(now.argmax()) == state  # one event fewer does not do
        now = now @ events[n_ticks if i == 0 else 0, 0]
        now = now * np.exp(hm.channel_logs(model.channels[0])[model.channels[0].symbols.index(flip.next_event)])
    assert model.states[int(now.argmax())] == flip.to_state


def test_a_state_that_is_outdone_already_says_so():
    flip = find_flip(make_model(), np.zeros(4, np.uint8), np.array([0.6, 0.3, 0.1]), 0, 2)
    assert flip is not None
    assert (flip.to_state, flip.changes, flip.next_event, flip.n_next) == ("s0", (), None, 0)


def test_where_nothing_flips_nothing_is_told():
    """Two states that every event tells apart in the same way."""
    model = make_model(n_states=2)
    same = tuple(replace(c, theta=np.tile(c.theta[:1], (2, 1))) for c in model.channels)
    model = replace(
        model, channels=same, hazards=np.full((2, 2), 0.5), event_transitions=np.stack([np.eye(2)] * 3),
        silent_transitions=np.stack([np.eye(2)] * 2),
    )  # fmt: skip
    assert find_flip(model, np.zeros(4, np.uint8), np.array([0.7, 0.3]), 1, 0) is None
