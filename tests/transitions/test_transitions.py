"""Moves: counts by hand, curves against an independent estimator, precursors against chance."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.frames.instants import instant_us
from sojourn.frames.schemas import HISTORY, TRANSITIONS, customers_schema
from sojourn.transitions.dwell import choose_horizon, estimate_dwell, estimate_velocity, fit_curve
from sojourn.transitions.matrix import analyse_moves, count_states
from sojourn.transitions.precursors import adjust_p_values, find_precursors, stable_order
from sojourn.transitions.stays import Stays, codes_of, read_stays
from tests.pages.fake_results import CLASSES, DAY_S, NAME, PLANTED, START, STATES, TOUCHES, Moves, instants, make_moves

PROPERTY = settings(max_examples=60, deadline=None, print_blob=True)


@pytest.fixture(scope="module")
def moves() -> Moves:
    return make_moves(n_customers=250, planted_p=0.6)


@pytest.fixture(scope="module")
def tables(moves: Moves) -> dict[str, pa.Table]:
    return analyse(moves)


def analyse(moves: Moves, states: tuple[str, ...] = STATES) -> dict[str, pa.Table]:
    return analyse_moves(
        moves.transitions, moves.customers, moves.history,
        states=states, touches=TOUCHES, now=moves.now, rng=np.random.default_rng(0),
    )  # fmt: skip


def rows(table: pa.Table, **where: Any) -> list[dict[str, Any]]:
    return [row for row in table.to_pylist() if all(row[k] == v for k, v in where.items())]


def stays_of(dwell: list[float], is_over: list[bool], who: list[int] | None = None) -> Stays:
    n = len(dwell)
    end = np.array([round(d * 1e6) for d in dwell], dtype=np.int64)
    return Stays(
        states=("a", "b"), n_customers=n, customer=np.array(who or range(n), dtype=np.int32),
        state=np.zeros(n, dtype=np.int32), to_state=np.where(is_over, 1, -1).astype(np.int32),
        start_us=np.zeros(n, dtype=np.int64), end_us=end,
    )  # fmt: skip


# --- counts ---------------------------------------------------------------------------------------------------


def by_hand() -> Moves:
    """Ann: a from day 0, b from day 2, a from day 9 (silence). Bob: a from day 8 on. Now is day 10."""
    schema = customers_schema(["a", "b"], [])
    customers = pa.table(
        {
            "customer_id": ["ann", "bob"], "first_at": instants([0.0, 8 * DAY_S]),
            "last_at": instants([2 * DAY_S, 9 * DAY_S]), "n_events": [2, 2], "state": ["a", "a"],
            "since_at": instants([9 * DAY_S, 8 * DAY_S]), "state_p": [0.9, 0.8], "runner_up": ["b", "b"],
            "p_a": [0.9, 0.8], "p_b": [0.1, 0.2], "reasons": pa.array([[], []], schema.field("reasons").type),
        }
    )  # fmt: skip
    transitions = pa.table(
        {
            "customer_id": ["ann", "ann"], "at": instants([2 * DAY_S, 9 * DAY_S]),
            "from_state": ["a", "b"], "to_state": ["b", "a"], "cause": ["event", "silence"],
            "event_id": ["e2", None], "event_class": ["buy", None], "dwell_s": [2 * DAY_S, 7 * DAY_S],
        }
    )  # fmt: skip
    history = pa.table(
        {
            "customer_id": ["ann", "ann", "bob", "bob"], "event_id": ["e1", "e2", "e3", "e4"],
            "event_at": instants([0.0, 2 * DAY_S, 8 * DAY_S, 9 * DAY_S]),
            "event_class": ["view", "buy", "view", "view"], "smoothed_state": ["a", "b", "a", "a"],
            "smoothed_p": [0.9] * 4, "filtered_state": ["a", "b", "a", "a"], "filtered_p": [0.9] * 4,
            "state": ["a", "b", "a", "a"],
        }
    )  # fmt: skip
    return Moves(transitions, customers, history, START + timedelta(days=10))


def test_counts_by_hand() -> None:
    tables = analyse(by_hand(), ("a", "b"))
    assert tables["matrix"].to_pylist() == [
        {"from_state": "a", "to_state": "b", "n": 1, "p": 1.0, "n_customers": 1, "median_dwell_s": 2 * DAY_S},
        {"from_state": "b", "to_state": "a", "n": 1, "p": 1.0, "n_customers": 1, "median_dwell_s": 7 * DAY_S},
    ]
    week = START + timedelta(days=7)
    assert tables["weekly"].to_pylist() == [
        {"week_at": START, "from_state": "a", "to_state": "b", "n": 1, "n_event": 1, "n_silence": 0},
        {"week_at": week, "from_state": "b", "to_state": "a", "n": 1, "n_event": 0, "n_silence": 1},
    ]
    assert tables["flow"].to_pylist() == [
        {"week_at": START, "from_state": "new", "to_state": "b", "n": 1},
        {"week_at": week, "from_state": "b", "to_state": "a", "n": 1},
        {"week_at": week, "from_state": "new", "to_state": "a", "n": 1},
    ]


def test_counts_at_an_instant_by_hand() -> None:
    moves = by_hand()

    def at(days: float) -> dict[str, int]:
        return count_states(moves.transitions, moves.customers, states=["a", "b"], at=START + timedelta(days=days))

    assert at(-1) == {"a": 0, "b": 0}
    assert at(1) == {"a": 1, "b": 0}
    assert at(2) == {"a": 0, "b": 1}
    assert at(8.5) == {"a": 1, "b": 1}
    assert at(10) == {"a": 2, "b": 0}


def test_matrix_agrees_with_a_plain_count(moves: Moves, tables: dict[str, pa.Table]) -> None:
    pairs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for move in moves.transitions.to_pylist():
        pairs.setdefault((move["from_state"], move["to_state"]), []).append(move)
    table = tables["matrix"].to_pylist()
    assert {(r["from_state"], r["to_state"]) for r in table} == set(pairs)
    for row in table:
        mine = pairs[row["from_state"], row["to_state"]]
        assert row["n"] == len(mine)
        assert row["n_customers"] == len({m["customer_id"] for m in mine})
        assert row["median_dwell_s"] == pytest.approx(np.median([m["dwell_s"] for m in mine]))
        out = sum(len(v) for k, v in pairs.items() if k[0] == row["from_state"])
        assert row["p"] == pytest.approx(len(mine) / out)
    assert sum(r["n"] for r in tables["weekly"].to_pylist()) == moves.transitions.num_rows


def test_flow_joins_up_from_week_to_week_and_ends_at_now(moves: Moves, tables: dict[str, pa.Table]) -> None:
    flow = tables["flow"].to_pylist()
    weeks = sorted({r["week_at"] for r in flow})
    known = dict.fromkeys(STATES, 0)
    for week in weeks:
        mine = [r for r in flow if r["week_at"] == week]
        starts = {s: sum(r["n"] for r in mine if r["from_state"] == s) for s in STATES}
        assert starts == known
        known = {s: sum(r["n"] for r in mine if r["to_state"] == s) for s in STATES}
        assert "new" not in {r["to_state"] for r in mine}
    now = moves.customers["state"].to_pylist()
    assert known == {s: now.count(s) for s in STATES}
    assert known == count_states(moves.transitions, moves.customers, states=STATES, at=moves.now)
    assert weeks == [START + timedelta(weeks=k) for k in range(len(weeks))]


def test_a_state_that_is_not_known_is_an_error(moves: Moves) -> None:
    with pytest.raises(ValueError, match="'fading' is not one of"):
        analyse(moves, STATES[:-1])


def test_a_customer_that_is_not_known_is_an_error(moves: Moves) -> None:
    some = Moves(moves.transitions, moves.customers.slice(1), moves.history, moves.now)
    with pytest.raises(ValueError, match="no row in customers"):
        analyse(some)


def test_nothing_moved() -> None:
    tables = analyse(make_moves(n_customers=3, is_moving=False))
    assert tables["matrix"].num_rows == tables["weekly"].num_rows == tables["precedes"].num_rows == 0
    assert tables["dwell"].to_pylist() == [
        {"state": STATES[0], "after_s": 0.0, "survival_p": 1.0, "low_p": 1.0, "high_p": 1.0, "n_at_risk": 3}
    ]
    assert {r["n"] for r in tables["velocity"].to_pylist()} <= {0, 1, 2, 3}
    assert tables["velocity"]["median_s"].null_count == tables["velocity"].num_rows


def test_no_customers_at_all() -> None:
    empty = Moves(TRANSITIONS.empty_table(), customers_schema(STATES, []).empty_table(), HISTORY.empty_table(), START)
    assert {name: table.num_rows for name, table in analyse(empty).items()} == dict.fromkeys(
        ("matrix", "weekly", "flow", "dwell", "velocity", "velocity_changes", "velocity_cohorts", "precedes"), 0
    )


def test_codes_survive_several_chunks_with_other_dictionaries() -> None:
    column = pa.chunked_array([pa.array(["b", None]).dictionary_encode(), pa.array(["a", "b"]).dictionary_encode()])
    assert codes_of(column, ["a", "b"]).tolist() == [1, -1, 0, 1]


# --- dwell ----------------------------------------------------------------------------------------------------

dwells = st.lists(st.tuples(st.integers(0, 30), st.booleans(), st.integers(0, 8)), min_size=1, max_size=60)


@PROPERTY
@given(dwells)
def test_dwell_equals_an_independent_kaplan_meier(some: list[tuple[int, bool, int]]) -> None:
    from scipy.stats import CensoredData, ecdf

    dwell, over = np.array([float(d) for d, _, _ in some]), np.array([o for _, o, _ in some])
    table = estimate_dwell(stays_of(dwell.tolist(), over.tolist(), [w for *_, w in some]))
    sample = CensoredData(uncensored=dwell[over], right=dwell[~over])
    reference = ecdf(sample).sf.evaluate(np.array(table["after_s"])[1:])
    assert np.array(table["survival_p"])[1:] == pytest.approx(reference, abs=1e-12)
    assert table["after_s"].to_pylist() == [0.0, *sorted(set(dwell[over].tolist()))]
    at_risk = [int((dwell >= t).sum()) for t in table["after_s"].to_pylist()]
    assert table["n_at_risk"].to_pylist() == at_risk
    for row in table.to_pylist():
        assert 0 <= row["low_p"] <= row["survival_p"] <= row["high_p"] <= 1


@PROPERTY
@given(dwells)
def test_with_one_stay_each_the_interval_is_greenwoods(some: list[tuple[int, bool, int]]) -> None:
    from statsmodels.duration.survfunc import SurvfuncRight

    dwell, over = [float(d) for d, _, _ in some], [o for _, o, _ in some]
    table = estimate_dwell(stays_of(dwell, over)).to_pylist()[1:]
    if not any(over):
        assert table == []
        return
    fit = SurvfuncRight(np.array(dwell), np.array(over).astype(int))
    sd = dict(zip(fit.surv_times, fit.surv_prob_se, strict=True))
    for row in table:
        p = row["survival_p"]
        if 0 < p < 1:
            width = 1.959963984540054 * sd[row["after_s"]] / (p * abs(np.log(p)))
            assert row["low_p"] == pytest.approx(p ** np.exp(width), abs=1e-9)
            assert row["high_p"] == pytest.approx(p ** np.exp(-width), abs=1e-9)


def test_stays_repeated_by_their_customer_add_no_certainty() -> None:
    rng = np.random.default_rng(5)
    dwell, over = rng.integers(1, 50, 40).astype(float).tolist(), (rng.random(40) < 0.7).tolist()
    once = estimate_dwell(stays_of(dwell, over))
    often = estimate_dwell(stays_of(dwell * 4, over * 4, list(range(40)) * 4))
    for column in ("after_s", "survival_p", "low_p", "high_p"):
        assert np.array(often[column]) == pytest.approx(np.array(once[column]))
    as_strangers = estimate_dwell(stays_of(dwell * 4, over * 4))
    middle = as_strangers.num_rows // 2
    assert as_strangers["low_p"][middle].as_py() > once["low_p"][middle].as_py()


def test_a_long_curve_is_thinned_but_keeps_its_median_and_end() -> None:
    rng = np.random.default_rng(6)
    dwell = np.round(rng.lognormal(10, 2, 5_000), 3)
    over = rng.random(5_000) < 0.8
    table = estimate_dwell(stays_of(dwell.tolist(), over.tolist()))
    full = fit_curve(dwell, over)
    assert 60 <= table.num_rows <= 165
    after, survival = np.array(table["after_s"]), np.array(table["survival_p"])
    assert after[survival <= 0.5][0] == full.times[full.survival <= 0.5][0]
    assert after[-1] == full.times[-1]
    assert np.all(np.diff(after) > 0)


# --- velocity -------------------------------------------------------------------------------------------------


def test_velocity_agrees_with_plain_medians(moves: Moves, tables: dict[str, pa.Table]) -> None:
    stays = read_stays(moves.transitions, moves.customers, states=STATES, now=moves.now)
    seen = 0
    for row in tables["velocity"].to_pylist():
        if row["to_state"] is None:
            continue
        mine = [
            d
            for d, s, to, week in zip(stays.dwell_s, stays.state, stays.to_state, stays.week, strict=True)
            if STATES[s] == row["from_state"] and to >= 0 and STATES[to] == row["to_state"]
            and week == (instant_us(row["week_at"]) + 3 * 86_400_000_000) // (7 * 86_400_000_000)
            and d <= row["horizon_s"]
        ]  # fmt: skip
        assert row["n"] == len(mine)
        is_followed = row["week_at"] + timedelta(days=7, seconds=row["horizon_s"]) <= moves.now
        assert (row["median_s"] is not None) == (len(mine) >= 10 and is_followed)
        if row["median_s"] is not None:
            seen += 1
            assert row["median_s"] == pytest.approx(np.median(mine))
            assert row["low_s"] <= row["median_s"] <= row["high_s"]
    assert seen >= 3


def test_leaving_is_timed_with_stays_not_yet_over() -> None:
    # Half of twenty stays ended after 1..10 h; the others still last: the median is the last of those ends.
    dwell = [3600.0 * k for k in range(1, 11)] + [36_000.0 + k for k in range(10)]
    table = estimate_velocity(stays_of(dwell, [True] * 10 + [False] * 10), 0)
    row = rows(table, to_state=None)[0]
    assert (row["n"], row["median_s"], row["horizon_s"]) == (20, 36_000.0, None)
    assert row["low_s"] < 36_000
    assert row["high_s"] is None


def test_the_horizon_counts_competing_exits_and_censoring() -> None:
    # 10 stays: moves at 1..4 h, another exit at 5 h, five still there after 6 h. By hand: each of the first
    # four adds 1/10; 80 % of 0.4 is reached with the fourth.
    dwell = np.array([1, 2, 3, 4, 5, 6, 6, 6, 6, 6]) * 3600.0
    over = np.array([True] * 5 + [False] * 5)
    assert choose_horizon(fit_curve(dwell, over), dwell[:4]) == 4 * 3600.0


def test_median_intervals_hold_what_they_promise() -> None:
    rng = np.random.default_rng(8)
    week = 7 * 86_400_000_000
    n_weeks, n = 400, 25
    start = np.repeat(np.arange(n_weeks), n) * week - 3 * 86_400_000_000
    dwell = rng.lognormal(0, 1, n_weeks * n) * 3600
    stays = Stays(
        ("a", "b"), n_weeks * n, np.arange(n_weeks * n, dtype=np.int32),
        np.zeros(n_weeks * n, dtype=np.int32), np.ones(n_weeks * n, dtype=np.int32),
        start.astype(np.int64), (start + dwell * 1e6).astype(np.int64),
    )  # fmt: skip
    table = estimate_velocity(stays, int(start[-1] + 10 * week))
    leaving = rows(table, to_state=None)
    share = np.mean([r["low_s"] <= 3600 <= r["high_s"] for r in leaving])
    assert 0.92 <= share <= 0.985
    moving = rows(table, to_state="b")
    truth = np.median(dwell[dwell <= moving[0]["horizon_s"]])
    share = np.mean([r["low_s"] <= truth <= r["high_s"] for r in moving])
    assert 0.93 <= share <= 0.99


# --- what precedes --------------------------------------------------------------------------------------------


def test_a_planted_precursor_is_found(tables: dict[str, pa.Table]) -> None:
    found = rows(tables["precedes"], from_state=STATES[1], to_state=STATES[2])
    first = found[0]
    assert first["event_class"] == PLANTED
    assert first["low"] > 2
    assert first["q"] < 1e-6
    assert first["share_p"] == pytest.approx(0.6, abs=0.12)
    assert {r["event_class"] for r in found} == set(CLASSES)
    assert {r["event_class"] for r in found if r["is_touch"]} == set(TOUCHES)


def bursts(seed: int, n_customers: int = 150) -> Moves:
    """Customers with tastes of their own and bursts of events, who flip between two states at events picked
    without a look at what came before: nothing precedes anything."""
    rng = np.random.default_rng(seed)
    classes = [f"c{k}" for k in range(8)]
    columns: dict[str, list[Any]] = {k: [] for k in ("who", "at", "class", "state")}
    transitions: list[dict[str, Any]] = []
    for who in range(n_customers):
        taste, pace, move_p = rng.dirichlet(np.full(8, 0.7)), rng.lognormal(0, 0.7), rng.beta(2, 20)
        starts = np.cumsum(rng.exponential(DAY_S * pace, 20))
        at = np.sort(np.concatenate([s + np.cumsum(rng.exponential(900, rng.geometric(0.3))) for s in starts]))
        state, since = 0, at[0]
        for k, t in enumerate(at):
            code = int(rng.choice(8, p=taste))
            if k and rng.random() < move_p:
                transitions.append(
                    {"customer_id": str(who), "at": t, "from_state": "ab"[state], "to_state": "ab"[1 - state],
                     "event_id": f"{who}-{t}", "event_class": classes[code], "dwell_s": t - since}
                )  # fmt: skip
                state, since = 1 - state, t
            for name, value in zip(columns, (who, t, code, state), strict=True):
                columns[name].append(value)
    order = np.argsort(columns["at"])
    at = [columns["at"][i] for i in order]
    state_names = [["a", "b"][columns["state"][i]] for i in order]
    history = pa.table(
        {
            "customer_id": [str(columns["who"][i]) for i in order],
            "event_id": [f"{columns['who'][i]}-{columns['at'][i]}" for i in order],
            "event_at": instants(at),
            "event_class": pa.array([classes[columns["class"][i]] for i in order]).cast(NAME),
            "state": state_names,
        }
    )
    transitions.sort(key=lambda move: move["at"])
    moved = pa.table(
        {
            **{k: [m[k] for m in transitions] for k in transitions[0] if k != "at"},
            "at": instants([m["at"] for m in transitions]),
            "cause": ["event"] * len(transitions),
        }
    )
    customers = pa.table({"customer_id": [str(who) for who in range(n_customers)]})
    return Moves(moved, customers, history, START)


def precursors(moves: Moves, states: tuple[str, ...]) -> pa.Table:
    return find_precursors(
        moves.transitions, moves.customers, moves.history,
        states=states, touches=[], rng=np.random.default_rng(0),
    )  # fmt: skip


@pytest.mark.slow
def test_without_a_relation_intervals_exclude_one_no_more_often_than_they_may() -> None:
    excluded, n, discoveries = 0, 0, 0
    runs = 40
    for seed in range(runs):
        table = precursors(bursts(seed), ("a", "b")).to_pylist()
        given_ = [r for r in table if r["low"] is not None]
        excluded += sum(not r["low"] <= 1 <= r["high"] for r in given_)
        n += len(given_)
        discoveries += any(r["q"] < 0.05 for r in given_)
    assert n > 500
    # Without the sum over customers it would be 0.12. Intervals of one run share customers: hence two points of room.
    assert excluded / n <= 0.07, (excluded, n)
    assert discoveries / runs <= 0.15


stream = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 60), st.integers(0, 2), st.integers(0, 9)),
    min_size=4,
    max_size=80,
)


@PROPERTY
@given(stream)
def test_precursor_counts_equal_a_plain_reading(events: list[tuple[int, int, int, int]]) -> None:
    """Hours, three customers, three classes; a draw of 0-2 moves the customer on; many events share an hour."""
    events = sorted(events, key=lambda e: e[1])
    state, since = {0: 0, 1: 0, 2: 0}, {}
    history, moved = [], []
    for row, (who, hour, code, draw) in enumerate(events):
        since.setdefault(who, hour)
        if draw < 3 and row:
            to = (state[who] + 1 + draw % 2) % 3
            moved.append((row, who, hour, state[who], to, (hour - since[who]) * 3600.0))
            state[who], since[who] = to, hour
        history.append((row, who, hour, code, state[who]))
    names = ["a", "b", "c"]
    classes = pa.DictionaryArray.from_arrays(pa.array([h[3] for h in history], pa.int32()), pa.array(["x", "y", "z"]))
    table = find_precursors(
        pa.table(
            {
                "customer_id": pa.array([str(m[1]) for m in moved], pa.string()),
                "at": instants([m[2] * 3600.0 for m in moved]),
                "from_state": pa.array([names[m[3]] for m in moved], pa.string()),
                "to_state": pa.array([names[m[4]] for m in moved], pa.string()),
                "cause": pa.array(["event"] * len(moved), pa.string()),
                "event_id": pa.array([str(m[0]) for m in moved], pa.string()),
            }
        ),
        pa.table({"customer_id": ["0", "1", "2"]}),
        pa.table(
            {
                "customer_id": [str(h[1]) for h in history],
                "event_id": [str(h[0]) for h in history],
                "event_at": instants([h[2] * 3600.0 for h in history]),
                "event_class": classes,
                "state": [names[h[4]] for h in history],
            }
        ),
        states=names,
        touches=["y"],
        rng=np.random.default_rng(0),
    )
    expected = {key: value for key, value in plain_precursors(history, moved).items() if value["n_moves"]}
    got = {
        ("abc".index(r["from_state"]), "abc".index(r["to_state"]), "xyz".index(r["event_class"])): r
        for r in table.to_pylist()
        if r["n_moves"]
    }
    assert got.keys() == expected.keys()
    for key, row in got.items():
        assert (row["n_with"], row["n_moves"]) == (expected[key]["n_with"], expected[key]["n_moves"])
        assert row["base_p"] == pytest.approx(expected[key]["base_p"])


def plain_precursors(history: list[Any], moved: list[Any]) -> dict[Any, dict[str, float]]:
    """The same counts with loops: moves and other instants, by how many other events came in the 24 h before."""
    moving_rows = {m[0] for m in moved}

    def look(row: int, code: int) -> tuple[int, int, bool]:
        _, who, hour, own, _ = history[row]
        before = [h[3] for h in history[:row] if h[1] == who and h[2] >= hour - 24]
        n_others = sum(c != code for c in before)
        return int(own == 1), n_others.bit_length(), code in before

    result = {}
    for pair in {(m[3], m[4]) for m in moved}:
        mine = [m[0] for m in moved if (m[3], m[4]) == pair]
        base = [h[0] for h in history if h[4] == pair[0] and h[0] not in moving_rows]
        for code in range(3):
            strata: dict[tuple[int, int], list[bool]] = {}
            for row in base:
                kind, bucket, has = look(row, code)
                strata.setdefault((kind, bucket), []).append(has)
            n_with = n_moves = 0
            expected = 0.0
            for row in mine:
                kind, bucket, has = look(row, code)
                like = strata.get((kind, bucket), [])
                if len(like) >= 5:
                    n_moves, n_with, expected = n_moves + 1, n_with + has, expected + sum(like) / len(like)
            result[*pair, code] = {
                "n_moves": n_moves, "n_with": n_with, "base_p": expected / n_moves if n_moves else 0.0,
            }  # fmt: skip
    return result


def test_the_order_of_history_rows_of_different_instants_does_not_matter(moves: Moves) -> None:
    mixed = moves.history.take(pa.array(np.random.default_rng(1).permutation(moves.history.num_rows)))
    again = precursors(Moves(moves.transitions, moves.customers, mixed, moves.now), STATES)
    assert again.equals(precursors(moves, STATES))


def test_history_by_customer_with_coded_ids_gives_the_same(moves: Moves) -> None:
    """As a run hands it over: customer by customer, repeated strings as dictionaries, only the columns needed."""
    by_customer = moves.history.sort_by([("customer_id", "ascending"), ("event_at", "ascending")])
    coded = by_customer.select(["event_at", "event_class", "state"]).append_column(
        "customer_id", by_customer["customer_id"].dictionary_encode()
    )
    halves = pa.concat_tables([coded.slice(0, 1_000), coded.slice(1_000)])
    again = precursors(Moves(moves.transitions, moves.customers, halves, moves.now), STATES)
    assert again.equals(precursors(moves, STATES))


def test_a_move_by_silence_looks_back_from_the_last_event() -> None:
    """Thirty customers view, call support, fall silent; thirty others view, view, and stay."""
    transitions, history = [], []
    for who in range(60):
        is_mover = who < 30
        for k, name in enumerate(["view", "support" if is_mover else "view", *([] if is_mover else ["view"] * 3)]):
            history.append((k * 3600.0, str(who), name))
        if is_mover:
            transitions.append((40 * DAY_S, str(who)))
    history.sort()
    table = find_precursors(
        pa.table(
            {
                "customer_id": [m[1] for m in transitions], "at": instants([m[0] for m in transitions]),
                "from_state": ["a"] * 30, "to_state": ["b"] * 30, "cause": ["silence"] * 30,
                "event_id": pa.nulls(30, pa.string()),
            }
        ),
        pa.table({"customer_id": [str(who) for who in range(60)]}),
        pa.table(
            {
                "customer_id": [h[1] for h in history], "event_id": [str(i) for i in range(len(history))],
                "event_at": instants([h[0] for h in history]), "event_class": [h[2] for h in history],
                "state": ["a"] * len(history),
            }
        ),
        states=["a", "b"], touches=[], rng=np.random.default_rng(0),
    )  # fmt: skip
    support = rows(table, event_class="support")[0]
    assert (support["n_with"], support["n_moves"], support["base_p"]) == (30, 30, 0.0)
    assert support["lift"] is None
    assert support["low"] is None


@PROPERTY
@given(st.lists(st.integers(0, 200_000), max_size=50))
def test_the_radix_order_is_the_stable_one(codes: list[int]) -> None:
    numbers = np.array(codes, dtype=np.int32)
    assert stable_order(numbers).tolist() == np.argsort(numbers, kind="stable").tolist()


def test_q_values_equal_an_independent_implementation() -> None:
    from scipy.stats import false_discovery_control

    p = np.random.default_rng(2).random(50) ** 2
    assert adjust_p_values(p) == pytest.approx(false_discovery_control(p))
