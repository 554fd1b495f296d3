"""Frequent patterns against a miner that tries everything."""

from __future__ import annotations

import gzip
import importlib.util
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.fold.kernels.patterns import match_pattern
from sojourn.transitions.journeys.patterns import Limits, contrast_patterns, mine_patterns
from tests import ROOT

ROWS = st.lists(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=7), min_size=1, max_size=6
)
LIMITS = st.builds(
    Limits,
    st.integers(1, 4),
    max_gap=st.none() | st.integers(1, 3),
    max_gap_s=st.none() | st.integers(0, 4),
    max_span_s=st.none() | st.integers(0, 6),
)


def oracle(rows: list[list[tuple[int, int]]], limits: Limits, min_support: int) -> dict[tuple[int, ...], int]:
    """Every choice of positions of every sequence, tested limit by limit."""
    count: dict[tuple[int, ...], int] = {}
    for row in rows:
        at = np.cumsum([step for _, step in row])
        has = set()
        for length in range(1, limits.max_length + 1):
            for places in combinations(range(len(row)), length):
                gaps = list(pairwise(places))
                if limits.max_gap is not None and any(b - a > limits.max_gap for a, b in gaps):
                    continue
                if limits.max_gap_s is not None and any(at[b] - at[a] > limits.max_gap_s for a, b in gaps):
                    continue
                if limits.max_span_s is not None and at[places[-1]] - at[places[0]] > limits.max_span_s:
                    continue
                has.add(tuple(row[p][0] for p in places))
        for pattern in has:
            count[pattern] = count.get(pattern, 0) + 1
    return {pattern: n for pattern, n in count.items() if n >= min_support}


def arrays(rows: list[list[tuple[int, int]]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    who = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    at = np.concatenate([np.cumsum([step for _, step in row]) for row in rows]) * 1_000_000
    return who, np.array([x for row in rows for x, _ in row]), at


def is_part(short: tuple[int, ...], long: tuple[int, ...], *, is_free: bool) -> bool:
    if len(short) >= len(long):
        return False
    if is_free:
        rest = iter(long)
        return all(x in rest for x in short)
    return any(long[i : i + len(short)] == short for i in range(len(long)))


@settings(max_examples=300, deadline=None)
@given(ROWS, LIMITS, st.integers(1, 3))
def test_patterns_are_those_of_the_oracle(rows: list[list[tuple[int, int]]], limits: Limits, n: int) -> None:
    who, item, at = arrays(rows)
    truth = oracle(rows, limits, n)
    for keep in ("all", "closed", "maximal"):
        table = mine_patterns(who, item, at, limits=limits, min_support=n, keep=keep)
        found = {tuple(r["pattern"]): r["support"] for r in table.to_pylist()}
        around = {p: [m for q, m in truth.items() if is_part(p, q, is_free=limits.is_free)] for p in truth}
        least = {"all": lambda p: 10**9, "closed": lambda p: truth[p], "maximal": lambda p: 1}[keep]
        assert found == {p: m for p, m in truth.items() if max(around[p], default=0) < least(p)}
    starts = np.append(np.searchsorted(who, np.arange(len(rows))), len(who)).astype(np.int64)
    for pattern, m in truth.items():
        code = np.array(pattern, np.int32)
        assert match_pattern(code, item.astype(np.int32), at, starts, limits.as_array()).sum() == m


def test_limits_that_mean_nothing_and_too_many_patterns_are_refused() -> None:
    with pytest.raises(ValueError, match="max_gap"):
        Limits(3, max_gap=0)
    rows = np.zeros(6, np.int64), np.arange(6), np.arange(6)
    with pytest.raises(ValueError, match="more than 10 patterns"):
        mine_patterns(*rows, limits=Limits(6, max_gap=None), min_support=1, max_patterns=10)


@pytest.mark.data
def test_kosarak_has_the_published_counts(data_dir: Path) -> None:
    with gzip.open(data_dir / "sequences" / "kosarak10k.txt.gz", "rt") as file:
        rows = [[int(x) for x in line.split() if int(x) >= 0] for line in file if line.strip()]
    who = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    item = np.concatenate([np.array(row, np.int64) for row in rows])
    for share, n in ((0.02, 124), (0.01, 392)):
        support = int(np.ceil(share * len(rows)))
        table = mine_patterns(
            who, item, np.zeros(len(item), np.int64), limits=Limits(20, max_gap=None), min_support=support
        )
        assert table.num_rows == n


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "share", "length"),
    [("kosarak", 0.01, 20), ("kosarak", 0.004, 3), ("msweb", 0.005, 20), ("ecom_v5", 0.05, 6)],
)
def test_patterns_and_supports_are_those_of_prefixspan(
    name: str, share: float, length: int, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The miner of the package, on clicks, page areas and shop sessions, by the code of the benchmark."""
    path = ROOT / "benchmarks" / "journeys.py"
    monkeypatch.syspath_prepend(str(path.parent))  # scripts share how they time
    spec = importlib.util.spec_from_file_location("benchmark_journeys", path)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    rows = benchmark.READERS[name](data_dir)
    least = int(np.ceil(share * len(rows)))
    ours = benchmark.mine_ours(benchmark.as_arrays(rows), least, length)
    assert len(ours) > 100
    assert ours == benchmark.mine_theirs(rows, least, length)


def test_a_planted_journey_is_found_on_held_out_customers_and_noise_is_not() -> None:
    rng = np.random.default_rng(5)
    who = np.repeat(np.arange(1200), 8)
    item = rng.integers(0, 6, len(who))
    is_goal = rng.random(1200) < 0.5
    for c in np.flatnonzero(is_goal & (rng.random(1200) < 0.5)):
        item[c * 8 + 2 : c * 8 + 4] = 6, 7
    table = contrast_patterns(
        who, item, np.arange(len(who)), is_goal, limits=Limits(2, max_gap=1), min_share=0.1, rng=rng
    )
    rows = {tuple(r["pattern"]): r for r in table.to_pylist()}
    planted = rows.pop((6, 7))
    assert planted["q"] < 1e-6
    assert planted["low"] > 1
    assert planted["share_others"] == 0
    assert sum(r["q"] < 0.05 for p, r in rows.items() if not {6, 7} & set(p)) <= 4  # what replaced items is rarer
