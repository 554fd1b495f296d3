"""Boundaries of silence learned from gaps."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.states.as_of import CANDIDATES_S, learn_boundaries

NONE = np.empty(0)


def draw_gaps(rng: np.random.Generator, n: int, edges: list[float], rates: list[float]) -> np.ndarray:
    """Gaps whose rate of return is constant between the edges."""
    steps = np.diff([0.0, *edges, np.inf])
    left = rng.exponential(1.0, n)  # cumulative hazard at the end of the gap
    gaps = np.zeros(n)
    for step, rate in zip(steps, rates, strict=True):
        used = np.minimum(left / rate, step)
        gaps += np.where(left > 0, used, 0)
        left = left - used * rate
    return gaps


@pytest.mark.parametrize(
    ("edges", "rates"),
    [
        ([1_800.0], [1 / 600, 1 / 200_000]),
        ([1_800.0, 604_800.0], [1 / 900, 1 / 500_000, 1 / 90_000]),
        ([3_600.0, 86_400.0, 2_592_000.0], [1 / 1_500, 1 / 100_000, 1 / 2_000_000, 1 / 200_000]),
    ],
)
def test_planted_boundaries_are_found(edges, rates):
    gaps = draw_gaps(np.random.default_rng(1), 20_000, edges, rates)
    assert learn_boundaries(gaps, NONE) == tuple(edges)


def test_a_constant_rate_needs_one_boundary_only():
    gaps = np.random.default_rng(2).exponential(50_000.0, 20_000)
    assert len(learn_boundaries(gaps, NONE)) == 1


def test_silences_still_open_count():
    """Without them, nobody would ever be seen to stay away."""
    rng = np.random.default_rng(3)
    gaps = draw_gaps(rng, 20_000, [604_800.0], [1 / 100_000, 1 / 10_000_000])
    seen = 604_800.0 * 4
    ended, still_open = gaps[gaps < seen], np.full(int((gaps >= seen).sum()), seen)
    assert len(still_open) > 20
    assert learn_boundaries(ended, still_open) == (604_800.0,)


def cost_of(gaps: np.ndarray, still_open: np.ndarray, bounds: tuple[float, ...]) -> float:
    """The Bayesian information criterion of these boundaries, by its formula."""
    edges = [0.0, *bounds, np.inf]
    total = 0.0
    for a, b in itertools.pairwise(edges):
        ended = ((gaps >= a) & (gaps < b)).sum()
        exposed = (np.clip(np.concatenate([gaps, still_open]), a, b) - a).sum()
        total += ended * np.log(ended / exposed) - ended if ended and exposed else 0.0
    return -2 * total + (2 * len(bounds) + 1) * np.log(max(len(gaps), 2))


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000))
def test_no_other_choice_is_better(seed):
    """Against every choice of one or two boundaries."""
    rng = np.random.default_rng(seed)
    gaps = np.exp(rng.normal(9, 3, 60))
    still_open = np.exp(rng.normal(12, 2, 10))
    found = learn_boundaries(gaps, still_open, max_boundaries=2)
    tried = [c for m in (1, 2) for c in itertools.combinations(CANDIDATES_S, m)]
    assert cost_of(gaps, still_open, found) <= min(cost_of(gaps, still_open, c) for c in tried) + 1e-9


@pytest.mark.parametrize(
    ("gaps", "still_open"),
    [(NONE, NONE), (np.zeros(50), NONE), (NONE, np.zeros(3)), (np.array([1e9]), NONE), (np.zeros(1), np.array([1e12]))],
)
def test_there_is_always_a_boundary(gaps, still_open):
    found = learn_boundaries(gaps, still_open)
    assert 1 <= len(found) <= 6
    assert set(found) <= set(CANDIDATES_S)
    assert list(found) == sorted(set(found))
