"""What people wrote, as a prior; which fitted state is which written one; the model as plain values and back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn import run
from sojourn.frames.files import write_json
from sojourn.states.channels import label_kinds, plan_channels
from sojourn.states.fit import disturb_model, reorder_states
from sojourn.states.hmm import model as hm
from sojourn.states.model_file import load_model
from sojourn.states.prior import LIFT_OF_STRENGTH, align_states, count_bins, draft_model, draft_prior, pool_symbols
from sojourn.states.rows import arrange_rows
from tests.states.world import draw_events, make_book, make_rows

BOOK = make_book()
BOUNDARIES = (1_800.0, 86_400.0, 604_800.0)


def make_draft(seed: int = 0, book=BOOK, n: int = 600) -> tuple[hm.Model, hm.Sequences]:
    """The playbook drafted on random rows, a quarter of them of a missing feature."""
    rng = np.random.default_rng(seed)
    at = np.cumsum(rng.choice([10**6, 10**9, 10**11, 10**12], n))
    symbols = np.column_stack([rng.integers(0, 2, n), rng.choice([0, 1, 255], n), rng.random((n, 2)) < 0.1])
    rows = arrange_rows(
        book, rng.integers(0, 9, n).astype(np.int32), at, rng.integers(0, 5, n).astype(np.int16),
        symbols.astype(np.uint8), None, BOUNDARIES, 9, int(at[-1]) + 1,
    )  # fmt: skip
    plan = plan_channels(book, (np.array([1.0]), np.array([5.0])), False)
    model = draft_model(
        book, plan.names, plan.kinds, plan.symbols, np.ones(len(plan.names)), label_kinds(3), BOUNDARIES, rows.data
    )
    return model, rows.data


def test_a_draft_says_what_the_playbook_says():
    model, data = make_draft()
    assert model.states == ("browsing", "buying", "gone")
    assert model.touches == ("mail",)
    pooled = pool_symbols(data, 0, 4)
    classes = model.channels[0]
    assert classes.symbols == ("look", "buy", "help", "other")
    # 1 + weight times as frequent, before the row is made to add up to one.
    odds = (classes.theta[0] / classes.theta[0, 3]) / (pooled / pooled[3])
    np.testing.assert_allclose(odds, [6, 1, 1, 1])
    odds = (classes.theta[1] / classes.theta[1, 3]) / (pooled / pooled[3])
    np.testing.assert_allclose(odds, [2, 6, 1, 1])
    for channel in model.channels:
        np.testing.assert_allclose(channel.theta.sum(axis=1), 1)
    fires = model.channels[3].theta[:, 1]  # the indicator of browsing, strong
    assert fires[0] == pytest.approx(LIFT_OF_STRENGTH["strong"] * fires[1])
    assert fires[1] == fires[2]
    assert fires.mean() == pytest.approx(pool_symbols(data, 3, 2)[1])
    # gone comes back every 20 days: the chance of ending a silence of a day within the week.
    assert model.hazards[2, 2] == pytest.approx(1 - np.exp(-6 / 20))
    assert model.hazards[0, 2] == model.hazards[1, 2]


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_every_distribution_of_draft_and_prior_is_one(seed):
    model, data = make_draft(seed)
    prior = draft_prior(model, data, 0.1)
    for rows in (model.initial, model.event_transitions, model.silent_transitions):
        np.testing.assert_allclose(rows.sum(axis=-1), 1)
    assert ((model.hazards > 0) & (model.hazards < 1)).all()
    assert all((c > 0).all() for c in prior.channels)
    assert all((t > 0).all() for t in (prior.initial, prior.event_transitions, prior.hazards, prior.silent_transitions))
    # All of them together are a tenth of the data, channel by channel.
    assert prior.channels[0].sum() == pytest.approx(0.1 * data.n_events, rel=0.01)


def test_bins_are_counted_as_they_pass():
    """One customer: silences in bins 0, 2 and 1, and the last still open in bin 3 of 4."""
    data = hm.Sequences(
        np.array([0, 4]), np.zeros(4, np.int32), np.array([0, 0, 2, 1], np.int32), np.array([3]),
        np.zeros((1, 1), np.uint8),
    )  # fmt: skip
    ended, survived = count_bins(data, 4, 1)
    assert ended.tolist() == [1, 1, 1, 0]
    assert survived.tolist() == [3, 2, 1, 0]


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.permutations(range(3)))
def test_aligning_undoes_a_permutation(seed, order):
    model, _ = make_draft(seed)
    shuffled = reorder_states(disturb_model(model, np.random.default_rng(seed), 0.1), order, ("x", "y", "z"))
    found, back = align_states(model, shuffled)
    assert [list(order)[j] for j in back] == [0, 1, 2]
    assert [a.fitted for a in found] == [("x", "y", "z")[j] for j in back]
    assert [a.state for a in found] == list(model.states)
    assert all(0.9 < a.similarity <= 1 + 1e-12 for a in found)
    # With labels, people have said which is which.
    kept, same = align_states(model, shuffled, has_labels=True)
    assert same == [0, 1, 2]
    assert sum(a.similarity for a in kept) <= sum(a.similarity for a in found) + 1e-12


def test_disagreements_name_what_the_data_moved():
    model, _ = make_draft()
    theta = model.channels[0].theta.copy()
    theta[1] = [0.1, 0.1, 0.7, 0.1]
    fitted = hm.replace(model, channels=(hm.replace(model.channels[0], theta=theta), *model.channels[1:]))
    found, _ = align_states(model, fitted, has_labels=True)
    assert found[0].disagreements == ()
    first = found[1].disagreements[0]
    assert (first.channel, first.symbol, first.fitted_p) == ("event_class", "help", 0.7)
    assert first.written_p == model.channels[0].theta[1, 2]


def test_channels_of_one_name_stay_apart():
    """Two indicators in the same words, and a feature called like the class channel."""
    twice = "[{when: 'count(look) > 2'}, {when: 'count(look) > 2'}]"
    book = make_book(indicators=twice, features="{event_class: 'count(look)'}", fingerprint="[event_class]")
    plan = plan_channels(book, (np.array([1.0]),), False)
    assert len(set(plan.names)) == len(plan.names) == 6


SETTINGS: list[dict[str, str]] = [
    {},
    {"model": "{silence: off}"},
    {"model": "{silence: [1d], extra_states: 1}"},
    {"indicators": "[{when: 'count(look) > 2'}, {when: 'count(look) > 2'}]"},
]


@pytest.mark.parametrize("changed", SETTINGS, ids=str)
def test_a_model_comes_back_from_json_as_it_was(changed, tmp_path, monkeypatch):
    from sojourn.pipelines import run as pipeline

    kept = []
    monkeypatch.setattr(pipeline, "describe_model", lambda fit, *a: kept.append(fit) or describe(fit, *a))
    from sojourn.states.model_file import describe_model as describe

    results = run(make_rows(draw_events(1, 15, 30)), make_book(**changed), n_threads=1)
    model = kept[0].model
    write_json(results.model, tmp_path / "model.json")
    for described in (results.model, json.loads((tmp_path / "model.json").read_text())):
        loaded = load_model(described)
        assert (loaded.states, loaded.touches) == (model.states, model.touches)
        for name in ("initial", "event_transitions", "boundaries_s", "hazards", "silent_transitions"):
            mine, theirs = getattr(loaded, name), getattr(model, name)
            assert mine.shape == theirs.shape, name
            assert np.array_equal(mine, theirs), name
        assert len(loaded.channels) == len(model.channels)
        for a, b in zip(loaded.channels, model.channels, strict=True):
            assert (a.name, a.symbols, a.weight, a.is_learned) == (b.name, b.symbols, b.weight, b.is_learned)
            assert np.array_equal(a.theta, b.theta)
