"""Stability: shares against a count by hand, the split against planted truth, half-lives against known lives."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plotly.offline import get_plotlyjs
from typer.testing import CliRunner

from sojourn.cli.main import app
from sojourn.errors import SojournError
from sojourn.frames.instants import DAY_US, WEEK_US, instant_us
from sojourn.prove.stability.audit import METHODS, SCHEMA, audit_stability
from sojourn.prove.stability.judge import (
    adjusted_rand,
    find_again,
    judge_segment,
    match_labels,
    rename_labels,
    split_reassigned,
)
from sojourn.prove.stability.membership import audit_segments, measure_lasting, read_segments, spells_of_panel
from sojourn.prove.stability.methods import fit_clusters
from sojourn.simulation.customers import simulate, true_state_at
from tests import ROOT
from tests.states.world import draw_events, make_book, make_rows

START = datetime(2024, 1, 1, tzinfo=UTC)
labels = st.lists(st.tuples(*[st.integers(-1, 3)] * 3), min_size=1, max_size=40)


# -- shares ----------------------------------------------------------------------------------------------


@given(labels)
def test_the_two_shares_add_up_and_are_what_one_counts_by_hand(rows: list[tuple[int, int, int]]) -> None:
    then, now, refit = (np.array(column) for column in zip(*rows, strict=True))
    r = split_reassigned(then, now, refit)
    asked = [row for row in rows if row[0] >= 0]
    n = max(len(asked), 1)
    assert r.n == len(asked)
    assert r.total == pytest.approx(r.behaviour + r.wobble)
    assert r.total == sum(a != c for a, _, c in asked) / n
    assert r.wobble == sum(a == b != c for a, b, c in asked) / n
    assert r.behaviour == sum(a != b and a != c for a, b, c in asked) / n
    assert r.both == sum(len({a, b, c}) == 3 for a, b, c in asked) / n
    assert r.undone == sum(a == c != b for a, b, c in asked) / n


@given(st.permutations(range(5)), st.integers(0, 2**31))
def test_labels_that_only_changed_their_numbers_are_matched(numbers: list[int], seed: int) -> None:
    kept = np.concatenate([np.arange(5), np.random.default_rng(seed).integers(0, 5, 60)])
    other = np.array(numbers)[kept]
    assert (rename_labels(other, match_labels(kept, other, 5)) == kept).all()
    assert adjusted_rand(kept, other) == pytest.approx(1.0)


def test_the_matching_is_the_best_of_all_permutations() -> None:
    from itertools import permutations

    rng = np.random.default_rng(3)
    for _ in range(20):
        kept, other = rng.integers(0, 4, (2, 50))
        agreed = (rename_labels(other, match_labels(kept, other, 4)) == kept).sum()
        assert agreed == max((np.array(p)[other] == kept).sum() for p in permutations(range(4)))


# -- the split against truth -----------------------------------------------------------------------------


def blobs(seed: int, n: int = 1500, n_groups: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Customers in groups far apart: where the groups are, who is in which, and each one's own deviation."""
    rng = np.random.default_rng(seed)
    corners = np.array([[20.0, 400.0], [400.0, 20.0], [20.0, 20.0], [400.0, 400.0]])[:n_groups]
    return corners, rng.integers(0, n_groups, n), rng.lognormal(0, 0.2, (n, 2))


@pytest.mark.parametrize("method", ["k-means", "mixture"])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.2])
def test_planted_moves_are_behaviour_and_nothing_else(method: str, share: float) -> None:
    corners, group, own = blobs(1)
    rng = np.random.default_rng(2)
    has_moved = rng.random(len(group)) < share
    later = np.where(has_moved, (group + rng.integers(1, 4, len(group))) % 4, group)
    old, new = (fit_clusters(method, corners[g] * own, 4, seed=0) for g in (group, later))
    now, refit = old(corners[later] * own), new(corners[later] * own)
    r = split_reassigned(old(corners[group] * own), now, rename_labels(refit, match_labels(now, refit, 4)))
    assert r.behaviour == pytest.approx(has_moved.mean(), abs=0.002)
    assert r.wobble <= 0.002


@pytest.mark.parametrize("method", ["k-means", "mixture"])
def test_people_who_do_not_change_only_wobble(method: str) -> None:
    """Seven clusters where there is one cloud: every refit cuts it elsewhere, and nobody has done anything."""
    rng = np.random.default_rng(4)
    people = rng.lognormal(0, 1, (1500, 3))
    old = fit_clusters(method, people[:1200], 7, seed=0)
    new = fit_clusters(method, people, 7, seed=0)
    then, refit = old(people), new(people)
    r = split_reassigned(then, then, rename_labels(refit, match_labels(then, refit, 7)))
    assert r.behaviour == 0
    assert r.wobble > 0.05


def test_both_at_once_are_told_apart() -> None:
    """A cloud that is cut anew, and 10 % of it who really moved far away."""
    rng = np.random.default_rng(5)
    people = np.exp(np.concatenate([rng.normal(0, 1, (1200, 2)), rng.normal(12, 0.3, (300, 2))]))
    later = people.copy()
    movers = rng.permutation(1200)[:120]
    later[movers] = np.exp(rng.normal(12, 0.3, (120, 2)))
    old, new = fit_clusters("k-means", people, 6, seed=0), fit_clusters("k-means", later, 6, seed=0)
    now, refit = old(later), new(later)
    then = old(people)
    matched = rename_labels(refit, match_labels(now, refit, 6))
    r = split_reassigned(then, now, matched)
    assert r.behaviour + r.undone == pytest.approx(120 / 1500, abs=0.003)
    stayed = np.setdiff1d(np.arange(1500), movers)
    assert r.wobble == pytest.approx((matched != then)[stayed].sum() / 1500, abs=1e-9)


# -- bootstrap -------------------------------------------------------------------------------------------


def test_groups_that_are_there_are_found_again_and_cuts_through_a_cloud_are_not() -> None:
    corners, group, own = blobs(6, n=600)

    def measure(people: np.ndarray, k: int) -> np.ndarray:
        kept = fit_clusters("k-means", people, k, seed=0)(people)
        again = lambda drawn: fit_clusters("k-means", people[drawn], k, seed=0, n_starts=2)(people)  # noqa: E731
        return find_again(kept, again, k, np.random.default_rng(7), n_rounds=10)

    assert measure(corners[group] * own, 4).min() > 0.98
    assert measure(np.random.default_rng(8).lognormal(0, 1, (600, 3)), 7).mean() < 0.75


def test_found_again_is_the_mean_of_the_best_jaccards() -> None:
    kept = np.array([0, 0, 0, 1, 1, 1])
    new = np.array([0, 0, 1, 1, 1, 1])
    seen = []

    def again(drawn: np.ndarray) -> np.ndarray:
        seen.append(np.unique(drawn))
        return new

    found = find_again(kept, again, 2, np.random.default_rng(1), n_rounds=8)
    for code in (0, 1):
        best = []
        for who in seen:
            mine = {i for i in who if kept[i] == code}
            others = [{i for i in who if new[i] == j} for j in (0, 1)]
            if mine:
                best.append(max(len(mine & o) / len(mine | o) for o in others))
        assert found[code] == pytest.approx(np.mean(best))


# -- memberships -----------------------------------------------------------------------------------------


def draw_lives(half_life_days: float, n: int, seed: int, days: int = 300) -> pa.Table:
    """A change log of customers who alternate between two segments after exponential times, and a stale third one."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        at, segment = 0.0, int(rng.integers(0, 2))
        while at < days:
            rows.append((f"c{i}", at, "ab"[segment]))
            at += rng.exponential(half_life_days / np.log(2))
            segment = 1 - segment
    rows += [(f"s{i}", 0.0, "old") for i in range(50)]
    rows.append(("s0", float(days), "old"))
    who, at_days, segments = zip(*rows, strict=True)
    return pa.table(
        {
            "customer_id": pa.array(who),
            "at": pa.array([START + timedelta(days=d) for d in at_days], pa.timestamp("us", tz="UTC")),
            "segment": pa.array(segments),
        }
    )


@pytest.mark.parametrize("half_life", [10.0, 40.0])
def test_half_life_is_that_of_the_lives_drawn(half_life: float) -> None:
    inside = 0
    for seed in range(5):
        spells = read_segments(draw_lives(half_life, 150, seed))
        found = measure_lasting(spells, spells.segments.index("a"))
        assert found.half_life_days == pytest.approx(half_life, rel=0.25)
        assert found.changed_per_week == pytest.approx(7 * np.log(2) / half_life, rel=0.2)
        inside += found.low_days <= half_life <= (found.high_days or np.inf)
    assert inside >= 4


def test_the_audit_of_a_segmentation_knows_states_from_stale_segments() -> None:
    rows = {row["segment"]: row for row in audit_segments(read_segments(draw_lives(10.0, 150, 1)))}
    assert rows["a"]["verdict"] == rows["b"]["verdict"] == "state"
    assert rows["old"]["verdict"] == "stale"
    assert rows["old"]["unchanged_share"] == 1.0
    assert rows[None]["verdict"] is None
    assert rows[None]["n_customers"] == 200


def test_weekly_exports_and_a_log_of_changes_are_the_same_table() -> None:
    log = pa.table(
        {
            "customer_id": ["x", "x", "y", "y"],
            "at": pa.array([0, 14 * DAY_US, 0, 28 * DAY_US], pa.timestamp("us", tz="UTC")),
            "segment": ["a", "b", "b", "b"],
        }
    )
    weekly = spells_of_panel(np.array([[0, 1], [0, 1], [1, 1], [1, 1], [1, 1]]), np.arange(5) * WEEK_US, ["a", "b"])
    given_log = read_segments(log)
    for name in ("customer", "segment", "start_us", "end_us", "is_over"):
        assert getattr(given_log, name).tolist() == getattr(weekly, name).tolist(), name


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.rename_columns(["customer", "at", "segment"]), "no column 'customer_id'"),
        (lambda t: t.slice(0, 0), "no rows"),
        (lambda t: t.set_column(1, "at", pa.array(["soon"] * t.num_rows)), "no instant"),
        (lambda t: t.slice(0, 1), "at least two exports"),
        (lambda t: pa.concat_tables([t, t.set_column(2, "segment", pa.array(["z"] * t.num_rows))]), "at one instant"),
    ],
)
def test_a_table_that_is_no_segmentation_is_refused_in_words(change, says: str) -> None:
    with pytest.raises(SojournError, match=says):
        read_segments(change(draw_lives(10.0, 5, 1)), "mine.parquet")


def test_verdicts_come_in_the_order_that_the_docs_give() -> None:
    wobble = split_reassigned(np.zeros(100, int), np.zeros(100, int), np.repeat([0, 1], 50))
    assert judge_segment(5, found_again=0.1).verdict == "too few"
    assert judge_segment(100, found_again=0.5, unchanged_share=1.0).verdict == "wobbly"
    assert judge_segment(100, reassigned=wobble, found_again=0.9).verdict == "wobbly"
    assert judge_segment(100, half_life_days=10.0).verdict == "state"
    assert judge_segment(100, half_life_days=120.0).verdict == "slow"
    assert judge_segment(100, observed_days=200.0).verdict == "slow"
    assert judge_segment(100, observed_days=30.0).verdict == "unknown"
    assert "only roughly" in judge_segment(100, found_again=0.7, half_life_days=10.0).says


# -- the whole audit -------------------------------------------------------------------------------------


def test_the_audit_is_the_same_twice_and_adds_up() -> None:
    rows = make_rows(draw_events(1))
    first, second = (audit_stability(rows, make_book(), n_rounds=2, n_threads=1, seed=3) for _ in range(2))
    assert first.table.equals(second.table)
    assert first.table.schema.equals(SCHEMA)
    for method in METHODS:  # the shares are those of the labels
        mine = first.labels.filter(pc.equal(first.labels["method"], method))
        then, now, refit = (mine[name].to_numpy(zero_copy_only=False) for name in ("then", "now", "refit"))
        whole = next(r for r in first.table.to_pylist() if r["method"] == method and r["segment"] is None)
        assert whole["wobble_share"] == pytest.approx(((then == now) & (refit != then)).mean())
        assert whole["behaviour_share"] == pytest.approx(((then != now) & (refit != then)).mean())
    assert first.later - first.at == timedelta(days=7)
    table = first.table.to_pylist()
    assert {row["method"] for row in table} == set(METHODS)
    for row in table:
        assert row["reassigned_share"] == pytest.approx(row["behaviour_share"] + row["wobble_share"])
    for method in METHODS:
        mine = [row for row in table if row["method"] == method]
        assert mine[0]["segment"] is None
        assert mine[0]["n_customers"] == sum(row["n_customers"] for row in mine[1:]) == first.n_known
        both = sum(row["n_customers"] * row["reassigned_share"] for row in mine[1:])
        assert mine[0]["n_customers"] * mine[0]["reassigned_share"] == pytest.approx(both)


def test_the_audit_needs_a_week_after_t_and_a_history_before_it() -> None:
    rows = make_rows(draw_events(1))
    with pytest.raises(SojournError, match="week before the last event"):
        audit_stability(rows, make_book(), at=datetime(2034, 1, 1, tzinfo=UTC))
    with pytest.raises(SojournError, match="no events before T"):
        audit_stability(rows, make_book(), at=datetime(2014, 1, 1, tzinfo=UTC))


@pytest.mark.slow
def test_on_simulated_customers_behaviour_is_what_truly_changed() -> None:
    """Truth from the simulator: who was in another state a week later. The state model says nearly as many, and of
    those of whom it says so, far more than of others had moved then or just before.
    """
    world = simulate(400, days=150, seed=11)
    found = audit_stability(world.events, "shop", n_rounds=0, n_threads=1)
    rows = {row["method"]: row for row in found.table.to_pylist() if row["segment"] is None}
    labels = found.labels.filter(pc.equal(found.labels["method"], "states, likeliest"))
    instants = [instant_us(found.at) + d * DAY_US for d in range(-7, 8)]
    truth = np.array(
        [true_state_at(world.truth, labels["customer_id"], np.full(labels.num_rows, at)) for at in instants]
    )
    states = rows["states, likeliest"]
    assert states["behaviour_share"] == pytest.approx((truth[7] != truth[14]).mean(), abs=0.06)
    assert states["wobble_share"] < 0.03
    has_moved = pc.not_equal(labels["then"], labels["now"]).to_numpy(zero_copy_only=False)
    truly = (truth != truth[0]).any(axis=0)  # the state that is known lags behind the true one
    assert truly[has_moved].mean() > 2 * truly[~has_moved].mean()
    assert max(rows[m]["wobble_share"] for m in ("k-means", "mixture")) > 3 * states["wobble_share"]


def draw_types(n: int, days: int, share: float, seed: int) -> tuple[pa.Table, set[str]]:
    """Customers who look or who buy, three events a day; a share of them changes sides as the last week begins."""
    rng = np.random.default_rng(seed)
    movers = set(rng.permutation(n)[: round(share * n)].tolist())
    events = []
    for i in range(n):
        for hour in np.sort(rng.uniform(0, days * 24, 3 * days)):
            is_buyer = (i % 2 == 0) != (i in movers and hour > (days - 7) * 24)
            events.append((f"c{i}", float(hour), "buy" if rng.random() < (0.7 if is_buyer else 0.1) else "look"))
    events.append(("c0", days * 24.0, "buy"))
    return make_rows(sorted(events, key=lambda e: e[1])), {f"c{i}" for i in movers}


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.2])
def test_planted_moves_in_events_are_found_and_noise_is_not_taken_for_them(share: float) -> None:
    rows, movers = draw_types(150, 50, share, seed=5)
    book = make_book(stability="{flaps_per_month: 1}")
    found = audit_stability(rows, book, n_rounds=0, n_threads=1)
    table = {row["method"]: row for row in found.table.to_pylist() if row["segment"] is None}
    labels = found.labels.filter(pc.equal(found.labels["method"], "states, published"))
    is_mover = np.array([c in movers for c in labels["customer_id"].to_pylist()])
    then, now, refit = (labels[name].to_numpy(zero_copy_only=False) for name in ("then", "now", "refit"))
    behaviour = (then != now) & (then != refit)
    assert behaviour[~is_mover].mean() < 0.05
    assert share == 0 or behaviour[is_mover].mean() > 0.9
    assert table["states, published"]["behaviour_share"] == pytest.approx(share, abs=0.05)
    assert table["states, published"]["wobble_share"] < 0.02


# -- the command -----------------------------------------------------------------------------------------


def call(*args: object) -> Any:
    return CliRunner(env={"NO_COLOR": "1"}).invoke(app, [str(a) for a in args])


def test_the_command_audits_a_table_and_writes_a_page_that_loads_nothing(tmp_path: Path) -> None:
    table = draw_lives(10.0, 100, 1)
    nasty = pc.if_else(pc.equal(table["segment"], "a"), "<script>alert(1)</script>", table["segment"])
    table = table.set_column(2, "segment", nasty)
    pq.write_table(table, tmp_path / "mine.parquet")
    done = call("stability", "--segments", tmp_path / "mine.parquet", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "stale" in done.stdout
    written = pq.read_table(tmp_path / "out" / "stability.parquet")
    assert written.schema.equals(SCHEMA)
    page = (tmp_path / "out" / "stability.html").read_text()
    assert "<script>alert" not in page
    assert "1 of 3 segments are stale" in page
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=", page.replace(get_plotlyjs(), ""))
    pa_csv.write_csv(table, tmp_path / "mine.csv")
    again = json.loads(call("stability", "--segments", tmp_path / "mine.csv", "--json").stdout)
    assert again["stability"] == json.loads(json.dumps(written.to_pylist()))


def test_the_command_audits_events(tmp_path: Path) -> None:
    pq.write_table(make_rows(draw_events(1)), tmp_path / "events.parquet")
    (tmp_path / "small.yaml").write_text(make_book().text)
    out = tmp_path / "out"
    args = ("stability", tmp_path / "events.parquet", "-p", tmp_path / "small.yaml", "--rounds", 0, "-o", out)
    done = call(*args)
    assert done.exit_code == 0, done.output
    for method in METHODS:
        assert method in done.stdout
    assert "behaviour changed" in (out / "stability.html").read_text()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("stability",), "what is to be audited"),
        (("stability", "x.csv", "--segments", "y.csv"), "by itself"),
        (("stability", "--segments", "nowhere.parquet"), "there is no such file"),
        (("stability", "x.csv", "-p", "shop", "--at", "soon"), "is not a date or time"),
    ],
)
def test_the_command_says_what_is_wrong(args: tuple[str, ...], says: str) -> None:
    done = call(*args)
    assert done.exit_code == 2
    assert says in " ".join(done.stderr.split())


def test_every_column_of_the_table_is_documented() -> None:
    text = (ROOT / "docs" / "reference" / "outputs.md").read_text(encoding="utf-8")
    section = re.search(r"^## stability\.parquet\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert section
    missing = [name for name in SCHEMA.names if not re.search(rf"^\| .*`{name}`.* \|", section[1], re.M)]
    assert not missing
