"""Fitting: the textbook model as a special case, evidence weighed by what it is worth, starts, customers held out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.playbook.objects import Playbook
from sojourn.states.channels import ChannelPlan, label_kinds, label_symbols, plan_channels
from sojourn.states.fit import (
    DERIVED_SCALES,
    disturb_model,
    fit_states,
    learn_tables,
    measure_dispersion,
    merge_codes,
    reorder_states,
    split_held_out,
    weigh_by_change,
)
from sojourn.states.held_out import only_classes, predict_classes, score_chain
from sojourn.states.hmm import model as hm
from sojourn.states.hmm.textbook import fit, flat_prior
from sojourn.states.prior import draft_model, draft_prior
from sojourn.states.rows import arrange_rows, decode_paths
from tests.states.world import make_book

NOTHING_BUT_CLASSES = {"fingerprint": "[]", "indicators": "[]"}
CLASSES = ("look", "buy", "help", "other")
THETA = np.array([[0.75, 0.1, 0.1, 0.05], [0.2, 0.65, 0.1, 0.05], [0.15, 0.1, 0.7, 0.05]])


def draw_world(
    seed: int, n_customers: int = 200, n_each: int = 60, theta: np.ndarray = THETA, stay: float = 0.93
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``(customer, state, class)`` of events drawn from a hidden Markov model with three states."""
    rng = np.random.default_rng(seed)
    state = np.empty((n_customers, n_each), np.int64)
    state[:, 0] = rng.integers(0, 3, n_customers)
    for i in range(1, n_each):
        moved = (state[:, i - 1] + rng.integers(1, 3, n_customers)) % 3
        state[:, i] = np.where(rng.random(n_customers) < stay, state[:, i - 1], moved)
    state = state.ravel()
    seen = (theta.cumsum(axis=1)[state] < rng.random(len(state))[:, None]).sum(axis=1)
    return np.repeat(np.arange(n_customers), n_each), state, seen


def make_sequences(customer: np.ndarray, *columns: np.ndarray) -> hm.Sequences:
    """Sequences of these symbols, with no silence and no touch."""
    n_customers = int(customer.max()) + 1
    code, combos = hm.encode(np.column_stack(columns).astype(np.uint8))
    zeros = np.zeros(n_customers, np.int64)
    starts = hm.index_starts(np.bincount(customer, minlength=n_customers))
    return hm.Sequences(starts, code, np.zeros(len(code), np.int32), zeros, combos)


def make_plan(*features: int) -> ChannelPlan:
    """The event class, and features of so many levels."""
    names = ("event_class", *(f"f{i}" for i in range(len(features))))
    symbols = (CLASSES, *(tuple(f"level {j}" for j in range(n)) for n in features))
    return ChannelPlan(names, ("event class", *("feature",) * len(features)), symbols)


def silent_book() -> Playbook:
    return make_book(model="{silence: off}", **NOTHING_BUT_CLASSES)


# -- the textbook model as a special case --------------------------------------------------------------------


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_flat_prior_one_channel_and_no_silence_is_the_textbook_model(seed):
    """By the whole way from events to fit: arranged rows, planned channels, drafted model, MAP-EM."""
    rng = np.random.default_rng(seed)
    book = silent_book()
    n = 300
    customer = rng.integers(0, 7, n).astype(np.int32)
    at = np.cumsum(rng.integers(0, 10**10, n))
    event_class = rng.choice([0, 1, 2, 4], n).astype(np.int16)  # 3 is the touch
    rows = arrange_rows(
        book, customer, at, event_class, np.empty((n, 0), np.uint8), None, book.model.silence_s, 7, int(at[-1]) + 10**12
    )
    plan = plan_channels(book, (), False)
    drafted = draft_model(
        book, plan.names, plan.kinds, plan.symbols, np.ones(1), np.ones((1, 3)), book.model.silence_s, rows.data
    )
    # One touch in the playbook and none in the data: its matrix is never used.
    start = disturb_model(drafted, rng)
    ours = hm.fit_em(start, rows.data, flat_prior(start), max_iter=20, tol=-1.0)
    symbol = np.array([0, 1, 2, -1, 3])[event_class]
    theirs = fit(
        [symbol[customer == k] for k in range(7)], 3, 4, max_iter=20, tol=-1e9,
        start=(start.initial, start.event_transitions[0], start.channels[0].theta),
    )  # fmt: skip
    np.testing.assert_allclose(ours.log_likelihoods, theirs.log_likelihoods, rtol=1e-10)
    np.testing.assert_allclose(ours.model.event_transitions[0], theirs.transitions, atol=1e-8)
    np.testing.assert_allclose(ours.model.channels[0].theta, theirs.emissions, atol=1e-8)
    np.testing.assert_allclose(ours.model.initial, theirs.initial, atol=1e-8)


def test_a_fit_finds_what_was_planted():
    customer, state, seen = draw_world(1)
    data = make_sequences(customer, seen)
    found = fit_states(silent_book(), make_plan(), data, (), rng=np.random.default_rng(0))
    np.testing.assert_allclose(found.model.channels[0].theta, THETA, atol=0.05)
    np.testing.assert_allclose(np.diag(found.model.event_transitions[0]), 0.93, atol=0.02)
    assert (decode_paths(found.model, data) == state).mean() > 0.85
    assert found.fitted.is_converged
    assert np.diff(found.fitted.objectives).min() > -1e-8 * abs(found.fitted.objectives[0])
    # The rates of the data are those of a hidden chain: a chain of classes foresees less, the textbook as much.
    assert found.held_out["sojourn"] > found.held_out["markov_chain"]
    assert found.held_out["sojourn"] == pytest.approx(found.held_out["textbook_hmm"], abs=0.02)


def test_the_same_seed_fits_the_same_whatever_the_threads():
    customer, _, seen = draw_world(2, 60, 40)
    lag = np.roll(seen, 1)
    data = make_sequences(customer, seen, lag)
    one, two = (
        fit_states(silent_book(), make_plan(4), data, (), rng=np.random.default_rng(5), n_threads=n) for n in (1, 3)
    )
    assert one.fitted.objectives == two.fitted.objectives
    assert one.held_out == two.held_out
    for a, b in zip(one.model.channels, two.model.channels, strict=True):
        assert a.weight == b.weight
        assert np.array_equal(a.theta, b.theta)


# -- how much evidence counts --------------------------------------------------------------------------------


def dispersion_of(data: hm.Sequences, n_symbols: int = 4) -> float:
    """Of the class channel under the true model."""
    move = np.full((3, 3), 0.035)
    np.fill_diagonal(move, 0.93)
    truth = hm.Model(
        ("a", "b", "c"), (), np.full(3, 1 / 3), move[None], np.empty(0), np.empty((3, 0)), np.empty((0, 3, 3)),
        (hm.Channel("event_class", CLASSES, THETA),),
    )  # fmt: skip
    return float(measure_dispersion(truth, data)[0])


def test_independent_symbols_keep_their_weight():
    customer, _, seen = draw_world(3)
    assert dispersion_of(make_sequences(customer, seen)) == pytest.approx(1.0, abs=0.15)


def test_symbols_that_people_have_tastes_in_lose_weight():
    """Dirichlet tastes per stay with concentration 5: about 1 + (n - 1) / 6 for n symbols in a stay."""
    customer, state, _ = draw_world(3)
    rng = np.random.default_rng(4)
    begins = np.append(True, (state[1:] != state[:-1]) | (customer[1:] != customer[:-1]))
    taste = np.array([rng.dirichlet(5 * THETA[s]) for s in state[begins]])[np.cumsum(begins) - 1]
    seen = (taste.cumsum(axis=1) < rng.random(len(state))[:, None]).sum(axis=1)
    spread = dispersion_of(make_sequences(customer, np.minimum(seen, 3)))
    assert spread > 1.8
    # A symbol that is repeated four times counts for less than one that is not.
    _, _, once = draw_world(3)
    repeated = make_sequences(np.repeat(customer, 4), np.repeat(once, 4))
    assert dispersion_of(repeated) > dispersion_of(make_sequences(customer, once)) + 0.5


def test_symbols_that_seldom_change_begin_with_less_weight():
    customer, _, seen = draw_world(5, 50, 60)
    rng = np.random.default_rng(0)
    slow = np.repeat(rng.integers(0, 3, len(seen) // 20), 20)
    free = rng.integers(0, 3, len(seen))
    constant, absent = np.zeros(len(seen)), np.full(len(seen), hm.MISSING)
    data = make_sequences(customer, seen, slow, free, constant, absent)
    weights = weigh_by_change(make_plan(3, 3, 1, 1), data)
    assert weights[0] == 1
    assert weights[1] < 0.1
    assert weights[2] == pytest.approx(1, abs=0.1)
    assert weights[3] == weights[4] == pytest.approx(0, abs=0.001)


def test_a_feature_made_of_the_events_themselves_counts_nothing():
    """The share of each class among the last five events: it says again what the classes have said."""
    customer, _, seen = draw_world(6, 400, 60)
    derived = []
    for c in range(3):
        hits = (seen == c).reshape(400, 60)
        recent = np.array([hits[:, max(0, i - 4) : i + 1].mean(axis=1) for i in range(60)]).T.ravel()
        derived.append(np.digitize(recent, [0.3, 0.7]))
    found = fit_states(
        silent_book(), make_plan(3, 3, 3), make_sequences(customer, seen, *derived), (), rng=np.random.default_rng(0)
    )
    assert found.derived_scale <= 0.1
    assert found.model.channels[0].weight > 0.8


@pytest.mark.parametrize("n_said_by_classes", [0.3, 0.6, 1.0])
def test_a_feature_that_says_something_new_keeps_its_weight(n_said_by_classes):
    """Its level depends on the state and is no function of the classes, which say little, some or much themselves."""
    theta = (1 - n_said_by_classes) * np.full((3, 4), 0.25) + n_said_by_classes * THETA
    customer, state, seen = draw_world(7, 400, 60, theta=theta)
    rng = np.random.default_rng(1)
    level = np.where(rng.random(len(state)) < 0.8, state, rng.integers(0, 3, len(state)))
    data = make_sequences(customer, seen, level)
    found = fit_states(silent_book(), make_plan(3), data, (), rng=np.random.default_rng(0))
    assert found.derived_scale == 1.0
    assert found.model.channels[1].weight > 0.9
    assert (decode_paths(found.model, data) == state).mean() > 0.94
    plain = fit_states(silent_book(), make_plan(), make_sequences(customer, seen), (), rng=np.random.default_rng(0))
    assert found.held_out["sojourn"] > plain.held_out["sojourn"] + 0.01


def test_labels_name_the_states():
    customer, state, seen = draw_world(8, 60, 40)
    rng = np.random.default_rng(2)
    # Truth under other names than the playbook's classes suggest: labels are stronger than the playbook.
    known = np.where(rng.random(len(state)) < 0.5, (state + 1) % 3, -1)
    labels = label_symbols(known, np.full(len(known), 0.95), 3)
    base = make_plan()
    plan = ChannelPlan(
        (*base.names, "label"), (*base.kinds, "label"),
        (*base.symbols, tuple(str(i) for i in range(len(label_kinds(3))))),
    )  # fmt: skip
    data = make_sequences(customer, seen, labels)
    found = fit_states(silent_book(), plan, data, (), rng=np.random.default_rng(0))
    assert (decode_paths(found.model, data) == (state + 1) % 3).mean() > 0.9


@pytest.mark.parametrize("n_states", [2, 5, 13, 14, 40, 64])
def test_labels_fit_in_a_byte(n_states):
    kinds = label_kinds(n_states)
    assert len(kinds) <= 255  # 255 itself is a missing symbol
    known = np.arange(-1, n_states)
    symbols = label_symbols(known, np.full(len(known), np.nan), n_states)
    assert symbols[0] == 0
    for s, symbol in enumerate(symbols[1:]):
        assert kinds[symbol, s] == pytest.approx(0.95)
        assert kinds[symbol].sum() == pytest.approx(1)
    sure, unsure = label_symbols(np.array([1, 1]), np.array([1.0, 0.6]), n_states)
    assert kinds[sure, 1] > kinds[unsure, 1] > kinds[unsure, 0]


# -- the parts of a fit --------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 80))
def test_customers_are_held_out_or_not(seed, n_customers):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 4, n_customers)
    lengths[0] = 1
    n = int(lengths.sum())
    data = make_sequences(np.repeat(np.arange(n_customers), lengths), np.zeros(n))
    data = replace(data, starts=hm.index_starts(lengths), end=np.zeros(n_customers, np.int64))
    split = split_held_out(data, rng)
    with_events = np.flatnonzero(lengths)
    if len(with_events) < 20:
        assert all(np.array_equal(part, with_events) for part in (split.train, split.validation, split.test))
        return
    parts = np.concatenate([split.train, split.validation, split.test])
    assert np.array_equal(np.sort(parts), with_events)
    assert len(split.validation) == len(split.test) == round(len(with_events) / 10)


def drafted(data: hm.Sequences, plan: ChannelPlan, weights: np.ndarray) -> tuple[hm.Model, hm.Prior]:
    model = draft_model(silent_book(), plan.names, plan.kinds, plan.symbols, weights, label_kinds(3), (), data)
    return model, draft_prior(model, data, 0.1)


def test_channels_of_weight_zero_change_nothing_and_are_learned_in_the_end():
    customer, state, seen = draw_world(9, 50, 30)
    extra = np.where(np.arange(len(seen)) % 7 == 0, hm.MISSING, state)
    data, plan = make_sequences(customer, seen, extra), make_plan(3)
    model, prior = drafted(data, plan, np.array([0.7, 0.0]))
    merged = merge_codes(data, np.array([True, False]))
    assert len(merged.combos) == 4 < len(data.combos)
    whole, less = hm.fit_em(model, data, prior, max_iter=8), hm.fit_em(model, merged, prior, max_iter=8)
    np.testing.assert_allclose(whole.objectives, less.objectives, rtol=1e-12)
    learned = learn_tables(less.model, data, prior)
    assert np.array_equal(learned.channels[0].theta, less.model.channels[0].theta)
    assert learned.channels[1].weight == 0
    assert (np.diag(learned.channels[1].theta) > 0.5).all()
    np.testing.assert_allclose(learned.channels[1].theta.sum(axis=1), 1)
    assert hm.log_likelihood(learned, data) == pytest.approx(hm.log_likelihood(less.model, merged), rel=1e-12)


@settings(max_examples=20)
@given(st.permutations(range(3)))
def test_another_order_of_states_is_the_same_model(order):
    customer, _, seen = draw_world(10, 10, 20)
    data = make_sequences(customer, seen)
    model, _ = drafted(data, make_plan(), np.ones(1))
    model = disturb_model(model, np.random.default_rng(0))
    turned = reorder_states(model, order, tuple(f"new{i}" for i in range(3)))
    assert hm.log_likelihood(turned, data) == pytest.approx(hm.log_likelihood(model, data), rel=1e-12)
    back = reorder_states(turned, np.argsort(order), model.states)
    assert np.array_equal(back.event_transitions, model.event_transitions)
    assert np.array_equal(back.channels[0].theta, model.channels[0].theta)
    assert back.states == model.states


# -- scores --------------------------------------------------------------------------------------------------


def test_predictions_are_probabilities_given_the_past():
    customer, _, seen = draw_world(11, 5, 6)
    data = make_sequences(customer, seen)
    model, _ = drafted(data, make_plan(), np.ones(1))
    model = disturb_model(model, np.random.default_rng(3), 0.8)
    log_p = predict_classes(model, data)
    # The chain rule: they add up to the likelihood of everything.
    assert log_p.sum() == pytest.approx(hm.log_likelihood(model, data), rel=1e-10)
    for k in range(5):
        last = data.starts[k + 1] - 1
        total = 0.0
        for symbol in range(4):
            changed = np.array(seen)
            changed[last] = symbol
            total += np.exp(predict_classes(model, make_sequences(customer, changed))[last])
        assert total == pytest.approx(1, rel=1e-10)


def test_an_order_one_chain_is_scored_by_counts():
    train = make_sequences(np.zeros(4, int), np.array([0, 1, 0, 1]))
    test = make_sequences(np.zeros(2, int), np.array([0, 1]))
    # Half a count everywhere: after 0 came 1 twice; at the start came 0 once.
    assert score_chain(train, test, 2) == pytest.approx(np.log([1.5 / 2, 2.5 / 3]).mean())
    assert only_classes(train, 2).combos.tolist() == [[0], [1]]


def test_scales_that_are_tried_rise_from_nothing_to_all():
    assert DERIVED_SCALES[0] == 0.0
    assert DERIVED_SCALES[-1] == 1.0
    assert sorted(DERIVED_SCALES) == list(DERIVED_SCALES)
