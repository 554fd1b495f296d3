"""Key sets against Python's own, and the window of recent keys."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.fold.keys import KeySet, RecentKeys

WORDS = st.integers(1, 2**64 - 1) | st.integers(1, 40)


@given(st.lists(st.lists(st.tuples(WORDS, WORDS), max_size=400), max_size=6), st.sampled_from([1, 2]))
@settings(max_examples=50, deadline=None)
def test_a_key_set_is_a_set(calls: list[list[tuple[int, int]]], n_words: int) -> None:
    seen: set[tuple[int, ...]] = set()
    keys = KeySet(n_words)
    for call in calls:
        rows = [key[:n_words] for key in call]
        expected = []
        for row in rows:
            expected.append(row not in seen)
            seen.add(row)
        given_keys = np.array(rows, np.uint64).reshape(len(rows), n_words)
        assert keys.add(given_keys).tolist() == expected
        assert keys.has(given_keys).all()
        assert not keys.has(np.array([[0x5EED, 0x5EED]], np.uint64)[:, :n_words])[0] or (0x5EED,) * n_words in seen
    assert keys.has(np.array(sorted(seen), np.uint64).reshape(len(seen), n_words)).all()
    assert len(keys) == len(seen)
    again = KeySet.from_arrays({name: array.copy() for name, array in keys.to_arrays().items()})
    assert len(again) == len(seen)
    assert {tuple(row) for row in again.keys().tolist()} == seen


def test_a_table_that_grows_is_moved_bit_by_bit() -> None:
    """No call moves much, all is found meanwhile, and the old table is gone before the new one is full."""
    rng = np.random.default_rng(1)
    keys, known = KeySet(2), rng.integers(1, 2**63, (40_000, 2)).astype(np.uint64)
    n_growths, n_moving = 0, 0
    for begin in range(0, len(known), 50):
        for some, is_expected in ((known[begin : begin + 50], True), (known[: begin + 50][-200:], False)):
            size, moved = len(keys._table), keys._moved
            assert keys.add(some).tolist() == [is_expected] * len(some)
            is_grown = len(keys._table) > size
            n_growths += is_grown
            n_moving += len(keys._old) > 0
            assert keys._moved - (0 if is_grown else moved) <= 8 * len(some)
        assert len(keys) == begin + 50
        picked = known[rng.integers(0, begin + 50, 30)]
        assert keys.has(picked).all()
        assert not keys.has(picked + np.uint64(1)).any()
    assert n_growths == 7
    assert n_moving > n_growths
    assert {tuple(key) for key in keys.keys().tolist()} == {tuple(key) for key in known.tolist()}


def test_many_keys_that_crowd() -> None:
    keys = KeySet(1)
    crowd = np.arange(1, 200_001, dtype=np.uint64) << np.uint64(32)
    assert keys.add(crowd).all()
    assert not keys.add(crowd).any()
    assert not keys.has(crowd + np.uint64(1)).any()


def test_the_first_word_may_not_be_something_else_than_a_key() -> None:
    with pytest.raises(ValueError, match="one or two words"):
        KeySet(3)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 8)), max_size=60), st.integers(1, 15))
@settings(max_examples=100, deadline=None)
def test_recent_keys_are_known_within_the_window_and_forgotten_after_two(
    steps: list[tuple[int, int]], within: int
) -> None:
    recent = RecentKeys(within)
    at, last_seen = 1_000, dict[int, int]()
    first_seen: dict[int, int] = {}
    for gap, key in steps:
        at += gap
        is_new = bool(recent.add(np.array([[key, 1]], np.uint64), at)[0])
        if key in last_seen and at - first_seen[key] < within:
            assert not is_new
        if key not in last_seen or at - last_seen[key] >= 2 * within:
            assert is_new
        if is_new:
            first_seen[key] = at
        last_seen[key] = at
        kept = {name: array.copy() for name, array in recent.to_arrays().items()}
        recent = RecentKeys.from_arrays(within, kept)
