"""How right the states are: against the truth of a simulation, and against a published figure of real careers."""

from __future__ import annotations

import gzip
import importlib.util
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sojourn.states.hmm.model import Channel, Sequences, fit_em, index_starts
from sojourn.states.hmm.textbook import fit, flat_prior, textbook_model
from tests import ROOT


def load_benchmark(name: str):
    """A script of the benchmarks as a module: tests and benchmarks measure with the same code."""
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_states_against_the_truth():
    """One seed and few customers, so the bounds are looser than what five seeds of a thousand reach."""
    found = load_benchmark("states").measure(400, seed=7, n_starts=4)
    assert found.n_events > 80_000
    assert found.of_ceiling >= 0.97, found
    assert found.above_textbook >= 6.0, found
    assert found.calibration_error < 0.03, found
    assert found.filtered < found.smoothed <= found.ceiling + 0.005, found
    assert found.flaps_after <= 0.5 < found.flaps_before, found


def test_calibration_error():
    """Eight answers at 0.75 of which six are right are perfect; four at 0.95 of which two are right are not."""
    calibration_error = load_benchmark("states").calibration_error
    sure = np.repeat([0.75, 0.95], [8, 4])
    is_right = np.array([True] * 6 + [False] * 2 + [True] * 2 + [False] * 2)
    assert calibration_error(sure[:8], is_right[:8]) == 0.0
    assert calibration_error(sure, is_right) == pytest.approx(4 / 12 * 0.45)


def test_states_without_names_are_matched_as_well_as_can_be():
    """Names that are merely exchanged cost nothing; one event in four in the wrong state costs a quarter."""
    matched_share = load_benchmark("states").matched_share
    truth = np.array([0, 0, 1, 1, 2, 2, 3, 4])
    assert matched_share((truth + 2) % 5, truth) == 1.0
    assert matched_share(np.array([1, 1, 0, 0, 2, 0, 3, 2]), truth) == 6 / 8


# School leavers month by month: employment, further and higher education, joblessness, school, training. Their states
# are seen, so what the model learns from them as labels has a known answer: the frequencies of the moves.
# Source: McVicar & Anyadike-Danes 2002, doi:10.1111/1467-985X.00641; the diagonal is the one published with TraMineR.
CAREER_STATES = ("employment", "FE", "HE", "joblessness", "school", "training")
PUBLISHED_STAYS = (0.99, 0.95, 0.99, 0.94, 0.95, 0.94)


@pytest.fixture(scope="module")
def careers(data_dir) -> np.ndarray:
    """712 people × 70 months from September 1993, as positions in ``CAREER_STATES``."""
    with gzip.open(data_dir / "hmm" / "mvad.csv.gz", "rt") as file:
        table = pd.read_csv(file).loc[:, "Sep.93":"Jun.99"]
    return table.apply(lambda month: month.map(CAREER_STATES.index)).to_numpy(np.int64)


def count_moves(careers: np.ndarray) -> np.ndarray:
    moves = np.zeros((6, 6))
    np.add.at(moves, (careers[:, :-1].ravel(), careers[:, 1:].ravel()), 1)
    return moves


def best_log_likelihood(careers: np.ndarray) -> float:
    """Of an order-1 Markov chain, in closed form: Σ n log(n / row total), the first months included."""
    moves, first = count_moves(careers), np.bincount(careers[:, 0], minlength=6)
    p, q = moves / moves.sum(axis=1, keepdims=True), first / first.sum()
    return float((moves[moves > 0] * np.log(p[moves > 0])).sum() + (first[first > 0] * np.log(q[first > 0])).sum())


@pytest.mark.data
def test_labels_give_the_published_moves(careers):
    """Known states enter as labels beside a channel that says nothing; EM finds the published diagonal."""
    assert careers.shape == (712, 70)
    n = careers.size
    even = textbook_model(np.full(6, 1 / 6), np.full((6, 6), 1 / 6), np.ones((6, 1)))
    label = Channel("label", CAREER_STATES, np.eye(6), is_learned=False)
    data = Sequences(
        index_starts([70] * 712), careers.ravel().astype(np.int32), np.zeros(n, np.int32), np.zeros(712, np.int64),
        np.column_stack([np.zeros(6, np.uint8), np.arange(6, dtype=np.uint8)]),
    )  # fmt: skip
    model = replace(even, channels=(*even.channels, label))
    found = fit_em(model, data, flat_prior(model), tol=1e-12)
    moves = found.model.event_transitions[0]
    np.testing.assert_allclose(moves.diagonal(), PUBLISHED_STAYS, atol=0.005)
    seen = count_moves(careers)
    np.testing.assert_allclose(moves, seen / seen.sum(axis=1, keepdims=True), atol=1e-12)
    assert found.log_likelihoods[-1] == pytest.approx(best_log_likelihood(careers), abs=1e-6)


@pytest.mark.data
def test_textbook_with_seen_states_is_the_markov_chain(careers):
    """Where each state emits itself alone, the textbook HMM is a Markov chain and has its likelihood."""
    start = (np.full(6, 1 / 6), np.full((6, 6), 1 / 6), np.eye(6))
    found = fit(list(careers), 6, 6, start=start)
    np.testing.assert_allclose(found.transitions.diagonal(), PUBLISHED_STAYS, atol=0.005)
    assert found.log_likelihood == pytest.approx(best_log_likelihood(careers), abs=1e-6)
