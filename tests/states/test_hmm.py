"""The state model against enumeration of every hidden path, and the textbook model against hmmlearn."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.errors import SojournError
from sojourn.states.hmm import model as hm
from sojourn.states.hmm.textbook import fit


def random_model(rng: np.random.Generator, n_states=3, n_bins=3, n_touches=1) -> hm.Model:
    def rows(*shape):
        return rng.dirichlet(np.ones(shape[-1]), shape[:-1])

    channels = (
        hm.Channel("event_class", ("a", "b", "c"), rows(n_states, 3)),
        hm.Channel("level", ("low", "high"), rows(n_states, 2), weight=0.4),
        hm.Channel("label", ("none", "first"), rng.uniform(0.1, 1, (n_states, 2)), is_learned=False),
    )
    return hm.Model(
        states=tuple(f"s{i}" for i in range(n_states)),
        touches=tuple(f"t{i}" for i in range(n_touches)),
        initial=rows(n_states),
        event_transitions=rows(1 + n_touches, n_states, n_states),
        boundaries_s=np.array([10.0, 100.0])[: n_bins - 1],
        hazards=rng.uniform(0.1, 0.9, (n_states, n_bins - 1)),
        silent_transitions=rows(n_bins - 1, n_states, n_states),
        channels=channels,
    )


def random_data(rng: np.random.Generator, lengths, model: hm.Model) -> hm.Sequences:
    n = sum(lengths)
    symbols = np.column_stack([rng.integers(0, 3, n), rng.integers(0, 2, n), rng.integers(0, 2, n)]).astype(np.uint8)
    symbols[rng.random(n) < 0.2, 1] = hm.MISSING
    code, combos = hm.encode(symbols)
    return hm.Sequences(
        hm.index_starts(lengths),
        code,
        rng.integers(0, model.n_steps, n).astype(np.int32),
        rng.integers(0, len(model.boundaries_s) + 1, len(lengths)).astype(np.int64),
        combos,
    )


def enumerate_paths(model: hm.Model, data: hm.Sequences, k: int):
    """Every hidden path of customer k with its probability, and what it counts: written from DESIGN §6 alone."""
    n_states, n_bounds = len(model.states), len(model.boundaries_s)
    n_touches = len(model.event_transitions)
    lo, hi = data.starts[k], data.starts[k + 1]
    plan: list[tuple[str, int, int]] = [("first", 0, int(lo))]
    for i in range(lo + 1, hi):
        b, u = divmod(int(data.step[i]), n_touches)
        plan += [("tick", j, -1) for j in range(b)] + [("event", b * n_touches + u, int(i))]
    plan += [("tick", j, -1) for j in range(int(data.end[k]))]
    for path in itertools.product(range(n_states), repeat=len(plan)):
        p, counts = 1.0, []
        for j, ((kind, q, i), s) in enumerate(zip(plan, path, strict=True)):
            r = path[j - 1] if j else -1
            if kind == "first":
                p *= model.initial[s]
                counts.append(("initial", s))
            elif kind == "tick":
                p *= (1 - model.hazards[r, q]) * model.silent_transitions[q, r, s]
                counts += [("survived", r, q), ("silent", q, r, s)]
            else:
                b, u = divmod(q, n_touches)
                if b < n_bounds:
                    p *= model.hazards[r, b]
                    counts.append(("ended", r, b))
                p *= model.event_transitions[u, r, s]
                counts.append(("event", u, r, s))
            if i >= 0:
                for c, channel in enumerate(model.channels):
                    o = data.combos[data.code[i], c]
                    if o != hm.MISSING:
                        p *= channel.theta[s, o] ** channel.weight
                counts.append(("at", i, s))
        yield p, path, counts


@settings(max_examples=15, deadline=None, print_blob=True)
@given(st.integers(0, 10_000))
def test_expected_counts_equal_enumeration(seed):
    rng = np.random.default_rng(seed)
    model = random_model(rng, n_states=2)
    data = random_data(rng, [3, 1, 2], model)
    total, sums = 0.0, {}
    for k in range(3):
        paths = list(enumerate_paths(model, data, k))
        norm = sum(p for p, _, _ in paths)
        total += np.log(norm)
        for p, _, counts in paths:
            for key in counts:
                sums[key] = sums.get(key, 0.0) + p / norm
    found = hm.expect(model, data)
    assert found.log_likelihood == pytest.approx(total, rel=1e-10)
    factors = hm._factor_counts(model, found)
    for (kind, *where), value in sums.items():
        table = {
            "initial": found.initial,
            "event": factors.event_transitions,
            "ended": factors.ended,
            "survived": factors.survived,
            "silent": factors.silent,
        }.get(kind)
        if table is not None:
            assert table[tuple(where)] == pytest.approx(value, abs=1e-9), (kind, where)
    counted = sum(v for (kind, *_), v in sums.items() if kind == "silent")
    assert factors.silent.sum() == pytest.approx(counted, abs=1e-9)
    by_code = np.zeros_like(found.codes)
    for (kind, *where), value in sums.items():
        if kind == "at":
            by_code[data.code[where[0]], where[1]] += value
    np.testing.assert_allclose(found.codes, by_code, atol=1e-9)


@settings(max_examples=15, deadline=None, print_blob=True)
@given(st.integers(0, 10_000))
def test_em_never_loses_without_touches(seed):
    rng = np.random.default_rng(seed)
    model = random_model(rng, n_touches=0)
    data = random_data(rng, rng.integers(1, 30, 8).tolist(), model)
    prior = hm.Prior(
        model.initial, model.event_transitions[0], 0.0, np.stack([model.hazards, 1 - model.hazards], -1),
        model.silent_transitions, tuple(c.theta for c in model.channels),
    )  # fmt: skip
    trace = hm.fit_em(model, data, prior, max_iter=15, tol=-1.0).objectives
    assert np.diff(trace).min() > -1e-8 * abs(trace[0])


def test_threads_do_not_change_the_counts():
    rng = np.random.default_rng(3)
    model = random_model(rng)
    data = random_data(rng, rng.integers(1, 40, 50).tolist(), model)
    one, two = hm.expect(model, data, 1), hm.expect(model, data, 3)
    assert one.log_likelihood == two.log_likelihood
    assert np.array_equal(one.steps, two.steps)


def test_textbook_equals_hmmlearn_from_the_same_start():
    from hmmlearn.hmm import CategoricalHMM

    rng = np.random.default_rng(0)
    sequences = [rng.integers(0, 5, int(n)) for n in rng.integers(1, 60, 50)]
    start = rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(3), 3), rng.dirichlet(np.ones(5), 3)
    other = CategoricalHMM(3, n_iter=25, tol=-np.inf, init_params="", implementation="log", n_features=5)
    other.startprob_, other.transmat_, other.emissionprob_ = (p.copy() for p in start)
    column, lengths = np.concatenate(sequences)[:, None], [len(s) for s in sequences]
    other.fit(column, lengths)
    ours = fit(sequences, 3, 5, start=start, max_iter=25, tol=-1e9)
    assert ours.n_iter == 25
    assert ours.log_likelihood == pytest.approx(other.score(column, lengths), abs=1e-6)
    np.testing.assert_allclose(ours.transitions, other.transmat_, atol=1e-9)
    np.testing.assert_allclose(ours.emissions, other.emissionprob_, atol=1e-9)


def test_best_start_finds_planted_parameters():
    rng = np.random.default_rng(5)
    transitions = np.array([[0.95, 0.05], [0.10, 0.90]])
    emissions = np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]])
    sequences = []
    for _ in range(100):
        s, seen = 0, []
        for _ in range(200):
            seen.append(rng.choice(3, p=emissions[s]))
            s = rng.choice(2, p=transitions[s])
        sequences.append(np.array(seen))
    found = fit(sequences, 2, 3, n_starts=5, rng=1)
    order = np.argsort(-found.emissions[:, 0])
    np.testing.assert_allclose(found.emissions[order], emissions, atol=0.03)
    np.testing.assert_allclose(found.transitions[order][:, order], transitions, atol=0.03)


@pytest.mark.parametrize(
    ("sequences", "n_symbols", "message"),
    [
        ([], 2, "no observation"),
        ([[]], 2, "no observation"),
        ([[0, 2]], 2, "symbols must be 0 to 1"),
        ([[0.5]], 2, "whole numbers"),
        ([[0]], 300, "n_symbols must be 1 to 255"),
    ],
)
def test_bad_input_is_named(sequences, n_symbols, message):
    with pytest.raises(SojournError, match=message):
        fit(sequences, 2, n_symbols)


def test_encode_grows_and_tells_rows_apart():
    rng = np.random.default_rng(0)
    symbols = rng.integers(0, 40, (20_000, 3)).astype(np.uint8)
    code, combos = hm.encode(symbols, n_max=16)
    assert np.array_equal(combos[code], symbols)
    assert len(np.unique(combos, axis=0)) == len(combos)
