"""Velocity: rates against a plain count, changes against planted ones and chance, cohorts and dwell against truth."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.frames.instants import MONDAY_US, WEEK_US
from sojourn.pages.figures.style import color_states
from sojourn.pages.figures.velocity import draw_tracked
from sojourn.pages.words.numbers import say_date, say_share
from sojourn.pages.words.velocity import find_pace_changes, say_pace_change, say_rates, say_standing
from sojourn.playbook.objects import Target
from sojourn.simulation import world as simulate_world
from sojourn.simulation.life import hazard_sum, invert_hazard
from sojourn.transitions.dwell import estimate_dwell, estimate_velocity
from sojourn.transitions.stays import Stays
from sojourn.transitions.velocity import weekly as velocity
from sojourn.transitions.velocity.changes import compare_levels, find_change, find_changes
from sojourn.transitions.velocity.cohorts import accumulate, compare_cohorts, find_trends
from sojourn.transitions.velocity.targets import find_standings, judge_weeks, share_limits
from sojourn.transitions.velocity.weekly import count_limits, count_risk, draw_stays, track_velocity

PROPERTY = settings(max_examples=25, deadline=None, print_blob=True)
DAY_S = 86_400.0
ORIGIN = MONDAY_US + 2_900 * WEEK_US  # a Monday in 2025
STATES = ("a", "b", "c")

MEDIAN_S, SD = np.array([8, 4, 15]) * DAY_S, np.array([0.65, 0.6, 0.7])
NEXT_P = np.array([[0, 0.7, 0.3], [0.4, 0, 0.6], [0.6, 0.4, 0]])


def us(seconds: np.ndarray) -> np.ndarray:
    return (ORIGIN + np.rint(np.asarray(seconds) * 1e6)).astype(np.int64)


def make_stays(rows: list[tuple[int, int, int, float, float]]) -> Stays:
    """Stays from (customer, state, to, start, end in days)."""
    who, state, to, start, end = (np.array(x) for x in zip(*rows, strict=True))
    return Stays(
        STATES, int(who.max()) + 1, who.astype(np.int32), state.astype(np.int32), to.astype(np.int32),
        us(start * DAY_S), us(end * DAY_S),
    )  # fmt: skip


def wander(
    seed: int, n: int = 900, days: int = 180, *, change_day: float | None = None, factor: float = 1.0,
    old_share: float = 0.5, own_sd: float = 0.25,
) -> tuple[Stays, int]:  # fmt: skip
    """Customers with log-normal dwell and a pace of their own; from ``change_day`` on, a → b is ``factor`` as likely.

    A share of them were there before the data begin, in stays whose age nobody knows.
    """
    rng = np.random.default_rng(seed)
    pace = np.exp(own_sd * rng.normal(size=(n, 3)))
    at = np.where(rng.random(n) < old_share, -40 * DAY_S, rng.random(n) * days * DAY_S)
    who, state, end_s = np.arange(n), rng.integers(0, 3, n), days * DAY_S
    rounds = []
    while len(who):
        median, sd = np.log(MEDIAN_S[state] * pace[who, state]), SD[state]
        end = at + np.exp(median + sd * rng.normal(size=len(who)))
        to = (rng.random(len(who))[:, None] > np.cumsum(NEXT_P[state], axis=1)).sum(axis=1).clip(0, 2)
        if change_day is not None:  # a hazard times m is the hazard, and m − 1 times the hazard besides
            m = (state == 0) & (end > change_day * DAY_S)
            base = hazard_sum(np.maximum(change_day * DAY_S - at[m], 0), median[m], sd[m])
            more = rng.exponential(size=int(m.sum())) / ((factor - 1) * NEXT_P[0, 1])
            early = at[m] + invert_hazard(base + more, median[m], sd[m])
            to[m] = np.where(early < end[m], 1, to[m])
            end[m] = np.minimum(early, end[m])
        is_over = end < end_s
        rounds.append((who, state, np.where(is_over, to, -1), at, np.minimum(end, end_s)))
        who, state, at = who[is_over], to[is_over], end[is_over]
    who, state, to, start, end = (np.concatenate(x) for x in zip(*rounds, strict=True))
    seen = end > 0
    return Stays(
        STATES, n, who[seen].astype(np.int32), state[seen].astype(np.int32), to[seen].astype(np.int32),
        us(np.maximum(start[seen], 0)), us(end[seen]),
    ), int(us(np.array(end_s)))  # fmt: skip


def table_of(stays: Stays, now_us: int, targets: tuple[Target, ...] = ()) -> pa.Table:
    return track_velocity(estimate_velocity(stays, now_us), count_risk(stays, now_us), stays, now_us, targets=targets)


# --- weekly rates ---------------------------------------------------------------------------------------------

lives = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 2), st.integers(0, 1), st.booleans(),
              st.floats(0, 40, width=32), st.floats(0.125, 30, width=32)),
    min_size=1, max_size=20,
)  # fmt: skip


@PROPERTY
@given(lives)
def test_moves_and_time_at_risk_equal_a_plain_count(some: list[tuple[int, int, int, bool, float, float]]) -> None:
    now = 71.0
    stays = make_stays(
        [
            (who, state, (state + 1 + to) % 3 if over else -1, start, start + length if over else now)
            for who, state, to, over, start, length in some
        ]
    )
    now_us = int(us(np.array(now * DAY_S)))
    table = table_of(stays, now_us).to_pylist()
    for row in table:
        low = round(row["week_at"].timestamp() * 1e6)
        code = STATES.index(row["from_state"])
        days, moves = 0.0, 0
        for i in np.flatnonzero(stays.state == code):
            overlap = min(stays.end_us[i], low + WEEK_US) - max(stays.start_us[i], low)
            days += max(int(overlap), 0) / 86_400e6
            went = (
                stays.to_state[i] >= 0
                if row["to_state"] is None
                else stays.to_state[i] == STATES.index(row["to_state"])
            )
            moves += bool(went and low <= stays.end_us[i] < low + WEEK_US)
        assert row["n_moves"] == moves
        assert row["at_risk_days"] == pytest.approx(days, abs=1e-6)
        assert row["is_finished"] == (low + WEEK_US <= now_us)
        if days >= 71:
            assert row["rate"] == pytest.approx(moves / (days / 7))
            assert row["rate_low"] <= row["rate"] <= row["rate_high"]
        elif days <= 69:
            assert row["rate"] is None
            assert row["why_not"]
    assert sum(r["n_moves"] for r in table if r["to_state"]) == int(stays.is_over.sum())


def test_the_medians_of_stays_begun_stay_as_they_were() -> None:
    stays, now_us = wander(1)
    before = estimate_velocity(stays, now_us)
    after = {(r["week_at"], r["from_state"], r["to_state"]): r for r in table_of(stays, now_us).to_pylist()}
    for r in before.to_pylist():
        row = after[r["week_at"], r["from_state"], r["to_state"]]
        assert {name: row[name] for name in r} == r


def test_the_week_that_is_not_over_is_marked() -> None:
    stays, now_us = wander(2)
    rows = table_of(stays, now_us - 3 * 86_400_000_000).to_pylist()
    last = max(r["week_at"] for r in rows)
    assert [r["is_finished"] for r in rows] == [r["week_at"] < last for r in rows]
    assert {r["why_not"] for r in rows if r["week_at"] == last} == {"the week is not over"}


def test_limits_of_counts_are_garwoods() -> None:
    # The exact limits of a Poisson mean, as tables print them.
    low, high = count_limits(np.array([0.0, 1.0, 5.0, 20.0]))
    assert low == pytest.approx([0, 0.0253, 1.6235, 12.2165], abs=1e-4)
    assert high == pytest.approx([3.6889, 5.5716, 11.6683, 30.8884], abs=1e-4)


def flip(rng: np.random.Generator, n: int, weeks: int, per_week: float) -> Stays:
    """Customers who go back and forth between two states, a Poisson number of times."""
    rows = []
    for who in range(n):
        at, state = 0.0, 0
        while at < 7 * weeks:
            end = at + rng.exponential(7 / per_week)
            rows.append((who, state, 1 - state if end < 7 * weeks else -1, at, min(end, 7.0 * weeks)))
            at, state = end, 1 - state
    return make_stays(rows)


def test_intervals_of_rates_hold_the_truth_as_often_as_they_say() -> None:
    inside, n = 0, 0
    for seed in range(4):
        stays = flip(np.random.default_rng(seed), 60, 30, per_week=0.7)
        for row in table_of(stays, int(us(np.array(210 * DAY_S)))).to_pylist():
            if row["to_state"] is not None and row["rate"] is not None and row["is_finished"]:
                inside += row["rate_low"] <= 0.7 <= row["rate_high"]
                n += 1
    assert n > 200
    assert 0.93 <= inside / n <= 0.995, inside / n  # exact limits of counts hold a little more than they say


def test_the_index_is_one_on_average_and_near_one_where_nothing_changes() -> None:
    stays, now_us = wander(3, n=2_000)
    for risk in count_risk(stays, now_us):
        assert risk.expected.sum(axis=1) == pytest.approx(risk.n_known.sum(axis=1))
    rows = [r for r in table_of(stays, now_us).to_pylist() if r["index"] is not None and r["to_state"]]
    held = np.mean([r["index_low"] <= 1 <= r["index_high"] for r in rows])
    assert len(rows) > 60
    assert held >= 0.93, held


def test_the_index_heeds_how_long_customers_have_been_there() -> None:
    """A wave of newcomers makes the rate fall and rise again, as nobody leaves at once; the index heeds that."""
    rng = np.random.default_rng(4)
    rows = []
    for who in range(4_000):
        start = rng.uniform(0, 200) if who % 2 else rng.uniform(100, 103)
        end = start + 20 * math.exp(0.3 * rng.normal())
        rows.append((who, 0, 1 if end < 200 else -1, start, min(end, 200.0)))
    table = table_of(make_stays(rows), int(us(np.array(200 * DAY_S)))).to_pylist()
    mine = {r["week_at"]: r for r in table if r["to_state"] == "b" and r["is_finished"]}
    weeks = sorted(mine)[10:24]
    rate, index = ([mine[w][name] for w in weeks] for name in ("rate", "index"))
    assert max(rate) / min(rate) > 10
    assert max(index) / min(index) < 2.5


def test_of_very_many_stays_some_customers_are_drawn_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    stays, now_us = wander(7)
    monkeypatch.setattr(velocity, "MOST_STAYS", 1_500)
    drawn = draw_stays(stays, np.random.default_rng(0))
    assert 1_500 <= len(drawn.state) <= 1_550
    n, n_drawn = (np.bincount(s.customer, minlength=stays.n_customers) for s in (stays, drawn))
    assert np.all((n_drawn == 0) | (n_drawn == n))
    assert drawn.end_us.max() == now_us
    for risk, whole in zip(count_risk(stays, now_us, drawn=drawn), count_risk(stays, now_us), strict=True):
        assert np.array_equal(risk.n_moves, whole.n_moves)
        assert np.array_equal(risk.at_risk_days, whole.at_risk_days)
        assert 0 < risk.n_known.sum() < whole.n_known.sum()


# --- changes --------------------------------------------------------------------------------------------------


def test_a_planted_change_is_found_at_its_week_with_its_size() -> None:
    found, inside, others, places = 0, 0, 0, []
    runs, day = 14, 91  # the 14th Monday
    for seed in range(runs):
        stays, now_us = wander(100 + seed, change_day=day, factor=1.7)
        for r in find_changes(count_risk(stays, now_us), STATES, now_us, np.random.default_rng(seed)).to_pylist():
            if (r["from_state"], r["to_state"]) != ("a", "b"):
                others += r["is_change"]
            elif r["is_change"]:
                found += 1
                places.append((round(r["week_at"].timestamp() * 1e6) - ORIGIN) / WEEK_US - day / 7)
                inside += r["ratio_low"] <= 1.7 <= r["ratio_high"]
                assert r["rate_after"] / r["rate_before"] == pytest.approx(r["ratio"])
                assert r["rate_before_low"] < r["rate_before"] < r["rate_before_high"]
    assert found >= 0.9 * runs
    assert np.mean(np.abs(places) <= 1) >= 0.9, places
    assert inside >= 0.85 * found
    assert others / (5 * runs) <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("old_share", [0.0, 0.5])
def test_without_a_change_none_is_claimed_more_often_than_it_may(old_share: float) -> None:
    runs, p, claims = 120, [], 0
    for seed in range(runs):
        stays, now_us = wander(1_000 + seed, n=700, old_share=old_share)
        table = find_changes(count_risk(stays, now_us), STATES, now_us, np.random.default_rng(seed))
        p += [x for x in table["p"].to_pylist() if x is not None]
        claims += any(table["is_change"].to_pylist())
    assert len(p) > 600
    assert np.mean(np.array(p) < 0.05) <= 0.07
    assert claims / runs <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs), claims


@pytest.mark.parametrize("scatter", [0.0, 0.3])
def test_weeks_that_scatter_more_than_chance_are_no_change(scatter: float) -> None:
    rng = np.random.default_rng(9)
    runs, hits, naive = 200, 0, 0
    for _ in range(runs):
        expected = rng.uniform(20, 60, 26)
        n = rng.poisson(expected * np.exp(scatter * rng.normal(size=26) - scatter**2 / 2)).astype(float)
        change = find_change(n, expected, rng)
        assert change is not None
        hits += change.p < 0.05
        ratio = compare_levels(n[None], expected[None], 13)  # as if weeks were Poisson
        naive += not ratio.ratio[1] <= 1 <= ratio.ratio[2]
    assert hits / runs <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs), hits / runs
    if scatter:
        assert naive / runs > 0.15  # so the case is hard enough to tell


def test_the_ratio_agrees_with_a_poisson_regression() -> None:
    import statsmodels.api as sm

    rng = np.random.default_rng(10)
    times = rng.uniform(20, 200, (6, 20))
    times[:, 10:] *= np.linspace(0.3, 2.0, 6)[:, None]  # kinds change their shares: a crude ratio would mislead
    pace = np.linspace(0.1, 1.0, 6)[:, None] * np.where(np.arange(20) < 10, 1.0, 1.5)
    events = rng.poisson(pace * times).astype(float)
    ours = compare_levels(events, times, 10)
    late = np.repeat([0.0, 1.0], 6)
    n = np.concatenate([events[:, :10].sum(axis=1), events[:, 10:].sum(axis=1)])
    t = np.concatenate([times[:, :10].sum(axis=1), times[:, 10:].sum(axis=1)])
    design = np.column_stack([late, np.tile(np.eye(6), (2, 1))])
    fit = sm.GLM(n, design, family=sm.families.Poisson(), offset=np.log(t)).fit()
    low, high = fit.conf_int()[0]
    assert ours.ratio == pytest.approx(np.exp([fit.params[0], low, high]), rel=0.02)
    assert ours.ratio[1] < 1.5 < ours.ratio[2]
    crude = n[late == 1].sum() / t[late == 1].sum() / (n[late == 0].sum() / t[late == 0].sum())
    assert not ours.ratio[1] < crude < ours.ratio[2]


def test_why_no_change_is_looked_for_is_said() -> None:
    stays, now_us = wander(5, n=40, days=60)
    table = find_changes(count_risk(stays, now_us), STATES, now_us, np.random.default_rng(0)).to_pylist()
    assert table
    for r in table:
        assert r["why_not"], r
        assert not r["is_change"]
        assert r["p"] is None


def test_the_same_seed_gives_the_same_changes() -> None:
    stays, now_us = wander(6)
    one, two = (find_changes(count_risk(stays, now_us), STATES, now_us, np.random.default_rng(3)) for _ in range(2))
    assert one.equals(two)


# --- cohorts --------------------------------------------------------------------------------------------------


@PROPERTY
@given(st.lists(st.tuples(st.integers(1, 20), st.integers(-1, 2)), min_size=2, max_size=60))
def test_cumulative_incidence_equals_a_plain_one(some: list[tuple[int, int]]) -> None:
    from scipy.stats import CensoredData, ecdf

    dwell, to = np.array([float(d) for d, _ in some]), np.array([t for _, t in some])
    total = np.zeros(len(np.unique(dwell)))
    for target in range(3):
        times, share, se = accumulate(dwell, to, target)
        left, plain = 1.0, []
        sum_ = 0.0
        for at in times:
            risk = int((dwell >= at).sum())
            sum_ += left * ((dwell == at) & (to == target)).sum() / risk
            left *= 1 - ((dwell == at) & (to >= 0)).sum() / risk
            plain.append(sum_)
        assert share == pytest.approx(plain)
        assert np.all(se >= 0)
        total += share
    if (to >= 0).any():  # the ways out add up to having left
        there = ecdf(CensoredData(uncensored=dwell[to >= 0], right=dwell[to < 0])).sf
        assert total == pytest.approx(1 - there.evaluate(times))


def test_cohorts_hold_the_true_share_though_many_stays_go_on() -> None:
    inside, n, censored = 0, 0, 0
    for seed in range(12):
        stays, now_us = wander(200 + seed, n=600, old_share=0.0, own_sd=0.0)
        for r in compare_cohorts(stays, now_us).to_pylist():
            if r["share_p"] is None:
                assert r["why_not"]
                continue
            a, b = STATES.index(r["from_state"]), STATES.index(r["to_state"])
            truth = NEXT_P[a, b] * -math.expm1(-float(hazard_sum(
                np.array([r["within_s"]]), np.log(MEDIAN_S[[a]]), SD[[a]])[0]))  # fmt: skip
            inside += r["low_p"] <= truth <= r["high_p"]
            censored += r["n_watched"] < r["n_customers"]
            n += 1
    assert n > 250
    assert censored > 25
    assert 0.92 <= inside / n <= 0.985, inside / n


def test_a_cohort_too_recent_to_follow_says_so() -> None:
    rows = [(i, 0, 1 if i % 2 else -1, 60.0 + i / 100, 60.5 + i / 100 if i % 2 else 62.0) for i in range(60)]
    rows += [(100 + i, 0, 1, 2.0, 20.0 + i / 10) for i in range(60)]
    rows += [(200 + i, 1, -1, 0.0, 62.0) for i in range(5)]  # the data begin a while before
    table = compare_cohorts(make_stays(rows), int(us(np.array(62 * DAY_S))))
    last = table.to_pylist()[-1]
    assert last["share_p"] is None
    assert "too recent" in last["why_not"]


def test_a_trend_over_cohorts_is_found_where_there_is_one_and_seldom_elsewhere() -> None:
    rng = np.random.default_rng(11)

    def cohorts(slope: float) -> pa.Table:
        rows = []
        for who in range(1_500):
            start = 30 + 180 * rng.random()
            moves = rng.random() < 0.3 + slope * (start - 120) / 90
            rows.append((who, 0, 1 if moves else 2, start, start + 5 * rng.random()))
        rows.append((1_500, 0, -1, 0.0, 250.0))
        return compare_cohorts(make_stays(rows), int(us(np.array(250 * DAY_S))))

    found = [find_trends(cohorts(0.15)) for _ in range(5)]
    assert all({(r["from_state"], r["to_state"]) for r in some} == {("a", "b"), ("a", "c")} for some in found)
    risen = {r["to_state"]: r["last"]["share_p"] > r["first"]["share_p"] for r in found[0]}
    assert risen == {"b": True, "c": False}
    assert sum(bool(find_trends(cohorts(0.0))) for _ in range(40)) <= 5


# --- targets --------------------------------------------------------------------------------------------------


def target(**what: float | None) -> Target:
    given_ = {"median_s": None, "at_least_p": None, "at_most_p": None, "within_s": None, **what}
    return Target("quick", "a", "b", about="", line=1, **given_)  # type: ignore[arg-type]


def test_wilsons_limits_by_hand() -> None:
    # (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n) for 30 of 100.
    z = 1.959963984540054
    centre, half = (0.3 + z**2 / 200), z * math.sqrt(0.21 / 100 + z**2 / 40_000)
    found = share_limits(30, 100)
    assert found == pytest.approx((0.3, (centre - half) / (1 + z**2 / 100), (centre + half) / (1 + z**2 / 100)))
    assert share_limits(60, 200, repeats=2.0)[1:] == pytest.approx(found[1:])


@pytest.mark.parametrize(
    ("what", "verdicts"),
    [
        # 100 stays a week: 40 % move to b after 2 days, 20 % after 6, the rest to c after 8. Now is day 35.
        ({"at_least_p": 0.25, "within_s": 3 * DAY_S}, ["met"] * 4 + ["too recent"]),
        ({"at_least_p": 0.55, "within_s": 3 * DAY_S}, ["missed"] * 4 + ["too recent"]),
        ({"at_least_p": 0.42, "within_s": 3 * DAY_S}, ["not to be told"] * 4 + ["too recent"]),
        ({"at_least_p": 0.45, "within_s": 6.5 * DAY_S}, ["met"] * 4 + ["too recent"]),
        ({"at_most_p": 0.25, "within_s": 3 * DAY_S}, ["missed"] * 4 + ["too recent"]),
        ({"at_most_p": 0.55, "within_s": 3 * DAY_S}, ["met"] * 4 + ["too recent"]),
        ({"at_most_p": 0.42, "within_s": 8 * DAY_S}, ["missed"] * 3 + ["too recent"] * 2),
        ({"median_s": 4 * DAY_S}, ["met"] * 4 + ["too recent"]),
        ({"median_s": 1 * DAY_S}, ["missed"] * 4 + ["too recent"]),
    ],
)
def test_verdicts_by_hand(what: dict[str, float], verdicts: list[str]) -> None:
    rows = []
    for week in range(5):
        for i in range(100):
            to, dwell = (1, 2.0) if i < 40 else (1, 6.0) if i < 60 else (2, 8.0)
            start = 7 * week + i / 100
            end = start + dwell
            rows.append((week * 100 + i, 0, to if end < 35 else -1, start, min(end, 35.0)))
    stays, now_us = make_stays(rows), int(us(np.array(35 * DAY_S)))
    table = table_of(stays, now_us, (target(**what),))
    mine = [r for r in table.to_pylist() if r["to_state"] == "b"]
    assert [r["verdict"] for r in mine] == verdicts
    assert {r["target"] for r in mine} == {"quick"}
    assert all(r["target"] is None and r["verdict"] is None for r in table.to_pylist() if r["to_state"] != "b")
    if "within_s" in what and verdicts[0] != "too recent":
        share = 0.4 if what["within_s"] < 6 * DAY_S else 0.6
        assert mine[0]["share_p"] == pytest.approx(share)
    standing = find_standings(table, [target(**what)])[0]
    assert (standing.n_met, standing.n_missed, standing.n_open) == tuple(
        verdicts.count(v) for v in ("met", "missed", "not to be told")
    )
    assert standing.trend == "too few"


def test_a_move_that_nobody_makes_misses_its_target() -> None:
    rows = [(i, 0, 2, i / 10, 3.0 + i / 10) for i in range(300)]
    table = table_of(make_stays(rows), int(us(np.array(60 * DAY_S))), (target(at_least_p=0.1, within_s=7 * DAY_S),))
    verdicts = [r["verdict"] for r in table.to_pylist() if r["to_state"] == "b"]
    assert verdicts[:4] == ["missed"] * 4
    assert find_standings(table, [target(at_least_p=0.1, within_s=7 * DAY_S)])[0].n_missed >= 4


def test_few_stays_are_not_judged() -> None:
    rows = [(i, 0, 1, 1.0 + i, 3.0 + i) for i in range(5)] + [(9, 0, 1, 29.0, 30.0)]
    judged = judge_weeks(
        pa.table({}), make_stays(rows), [target(at_least_p=0.5, within_s=DAY_S)], int(us(np.array(60 * DAY_S)))
    )
    assert {j.verdict for j in judged.values()} == {"too few"}


@pytest.mark.parametrize(("sign", "what", "trend"), [
    (1, "at_least_p", "better"), (-1, "at_least_p", "worse"), (1, "at_most_p", "worse"), (0, "at_least_p", "none"),
])  # fmt: skip
def test_the_trend_of_a_target(sign: int, what: str, trend: str) -> None:
    rng = np.random.default_rng(12)
    rows = []
    for week in range(14):
        for i in range(200):
            moves = rng.random() < 0.4 + sign * 0.03 * (week - 6)
            start = 7 * week + i / 200
            rows.append((week * 200 + i, 0, 1 if moves else 2, start, start + 1))
    goal = target(**{what: 0.4, "within_s": 2 * DAY_S})
    table = table_of(make_stays(rows), int(us(np.array(130 * DAY_S))), (goal,))
    assert find_standings(table, [goal])[0].trend == trend


# --- the simulator's truth ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_dwell_and_velocity_are_the_simulators() -> None:
    """True stays of simulated customers: their dwell is log-normal, and where they lead does not depend on it."""
    from scipy.stats import norm

    from sojourn.simulation.customers import simulate

    days = 240
    world = simulate(2_500, days=days, seed=5, effects=())
    truth = world.truth.to_pydict()
    lost_at = dict(zip(world.customers["customer_id"].to_pylist(), world.customers["lost_at"].to_pylist(), strict=True))
    begin = datetime(2025, 1, 1, tzinfo=UTC)
    rows: list[tuple[int, int, int, float, float]] = []
    ids = {name: i for i, name in enumerate(lost_at)}
    names = simulate_world.STATES
    n = len(truth["state"])
    for i in range(n):
        who = truth["customer_id"][i]
        if truth["entered_at"][i] < begin or truth["state"][i] == "fading":
            continue  # begun before the window; or may have ended by being lost, which no event tells
        follows = i + 1 < n and truth["customer_id"][i + 1] == who
        to = names.index(truth["state"][i + 1]) if follows else -1
        start, end = ((truth[name][i] - begin).total_seconds() for name in ("from_at", "to_at"))
        rows.append((ids[who], names.index(truth["state"][i]), to, start, end))
    who, state, to, start, end = (np.array(x) for x in zip(*rows, strict=True))
    stays = Stays(tuple(names), len(ids), who.astype(np.int32), state.astype(np.int32), to.astype(np.int32),
                  us(start), us(end))  # fmt: skip
    now_us = int(us(np.array(days * DAY_S)))

    dwell = estimate_dwell(stays).to_pylist()
    for code, name in enumerate(names[:4]):
        spread = math.hypot(simulate_world.DWELL_SD[code], simulate_world.DWELL_PERSON_SD)
        median = simulate_world.DWELL_DAYS[code] * DAY_S
        curve = [r for r in dwell if r["state"] == name]
        for share in (0.25, 0.5, 0.75):
            at = median * math.exp(spread * norm.ppf(share))
            row = [r for r in curve if r["after_s"] <= at][-1]
            room = 2 * (row["high_p"] - row["low_p"]) / 2 + 0.005  # twice the interval: twelve looks, one after another
            assert abs(row["survival_p"] - (1 - share)) <= room, (name, share, row)
            assert row["high_p"] - row["low_p"] < 0.12

    inside, several = 0, 0
    for r in compare_cohorts(stays, now_us).to_pylist():
        a, b = names.index(r["from_state"]), names.index(r["to_state"])
        if r["share_p"] is None or b == 4 or a == 4:
            continue  # moves to fading depend on loyalty, a customer's own
        spread = math.hypot(simulate_world.DWELL_SD[a], simulate_world.DWELL_PERSON_SD)
        left = norm.cdf(math.log(r["within_s"] / DAY_S / simulate_world.DWELL_DAYS[a]) / spread)
        odds = simulate_world.NEXT[a]
        inside += r["low_p"] - 0.02 <= odds[b] * left <= r["high_p"] + 0.02
        several += 1
    assert several >= 20
    assert inside / several >= 0.9


# --- said and drawn -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def faster() -> tuple[pa.Table, pa.Table, Target]:
    """Tables of a world in which a → b became 1.7 times as likely on the 14th Monday, and a target for it."""
    stays, now_us = wander(21, change_day=91, factor=1.7)
    goal = target(at_least_p=0.6, within_s=7 * DAY_S)
    risks = count_risk(stays, now_us)
    return table_of(stays, now_us, (goal,)), find_changes(risks, STATES, now_us, np.random.default_rng(0)), goal


def test_a_change_is_said_with_its_week_and_numbers(faster: tuple[pa.Table, pa.Table, Target]) -> None:
    row = find_pace_changes(faster[1])[0]
    text = say_pace_change(row)
    assert text.startswith(f"Since the week of {say_date(row['week_at'], year=True)}, a → b is faster, 1.")
    (before, after), per = say_rates(row["rate_before"], row["rate_after"])
    assert f"of 100 customers there, {before} (" in text
    assert f"moved {per} before, and {after} (" in text
    assert "is slower" in say_pace_change({**row, "ratio": 0.5, "ratio_low": 0.4, "ratio_high": 0.6})
    assert "no longer happens" in say_pace_change({**row, "ratio": 0.0, "rate_after": 0.0})


def test_a_standing_is_said_with_the_numbers_of_its_week(faster: tuple[pa.Table, pa.Table, Target]) -> None:
    standing = find_standings(faster[0], [faster[2]])[0]
    text, last = say_standing(standing), standing.last
    assert last is not None
    assert text.startswith("quick: at least 60\u00a0% of those who enter a move to b within 7 days.")
    assert f"by those of the week of {say_date(last['week_at'])}" in text
    assert f"{say_share(last['share_p'])} ({say_share(last['share_low_p'])}" in text
    assert "No week can be judged yet" in say_standing(find_standings(faster[0].slice(0, 0), [faster[2]])[0])


def test_the_figure_has_the_tables_numbers_the_target_and_the_week(faster: tuple[pa.Table, pa.Table, Target]) -> None:
    velocity_, changes, goal = faster
    figure = draw_tracked(velocity_, changes, [goal], color_states(STATES))
    rows = [r for r in velocity_.to_pylist() if (r["from_state"], r["to_state"]) == ("a", "b")]
    judged = [r for r in rows if r["share_p"] is not None]
    lines = [t for t in figure.data if t.mode == "lines+markers"]
    assert len(lines) == 6
    assert list(lines[0].y) == pytest.approx([100 * r["share_p"] for r in judged])
    shapes = {"missed": "x", "met": "circle", "not to be told": "circle-open"}
    assert list(lines[0].marker.symbol) == [shapes[r["verdict"]] for r in judged]
    assert 60 in [s.y0 for s in figure.layout.shapes if s.y0 == s.y1]
    week = find_pace_changes(changes)[0]["week_at"]
    assert week in [s.x0 for s in figure.layout.shapes if s.x0 == s.x1]
    assert figure.layout.meta["title"] == say_pace_change(find_pace_changes(changes)[0])
    without = draw_tracked(velocity_, changes, [], color_states(STATES))
    first = next(t for t in without.data if t.mode == "lines+markers")  # the changed move leads
    told = [r for r in rows if r["rate"] is not None]
    assert list(first.y) == pytest.approx([100 * r["rate"] for r in told])
