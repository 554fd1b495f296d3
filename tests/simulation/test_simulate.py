"""The simulated world is what it says it is, and the same each time."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sojourn.errors import SojournError
from sojourn.playbook.load import load_playbook
from sojourn.simulation import world
from sojourn.simulation.customers import Simulation, simulate, simulate_to, true_state_at, write_simulation
from sojourn.simulation.life import hazard_sum, invert_hazard
from sojourn.simulation.people import Clock
from sojourn.simulation.rows import RAW
from sojourn.simulation.world import EFFECTS, STATES, Effect

N, DAYS = 3000, 180
START = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def shop() -> Simulation:
    return simulate(N, days=DAYS, seed=11)


@pytest.fixture(scope="module")
def raw_shop() -> Simulation:
    return simulate(400, days=DAYS, seed=5, is_resolved=False)


def us(column: Any) -> np.ndarray:
    return np.asarray(pc.fill_null(column.cast(pa.int64()), np.iinfo(np.int64).max).combine_chunks())


def words(column: Any) -> np.ndarray:
    return np.asarray(column.cast(pa.string()).to_pylist(), dtype=object)


def rows_of(customers: pa.Table, ids: Any) -> np.ndarray:
    return np.asarray(pc.index_in(ids, customers["customer_id"].combine_chunks()).combine_chunks())


# Dwell and touches


def test_dwell_is_the_planned_log_normal() -> None:
    long = simulate(250, days=1500, seed=2, effects=())
    truth, people = long.truth, long.customers
    row = rows_of(people, truth["customer_id"])
    entered, left = us(truth["from_at"]), us(truth["to_at"])
    begin, end = int(START.timestamp() * 1e6), int((START + timedelta(days=1500)).timestamp() * 1e6)
    # Stays that began within the first 500 days have 1,000 days to end: none is cut off but those of the lost.
    whole = (entered > begin) & (entered < begin + 500 * 86_400_000_000) & (left < end)
    for name in STATES:
        mine = whole & (words(truth["state"]) == name)
        plan = long.effects["dwell"][name]
        factor = np.asarray(people[f"dwell_{name}"])[row[mine]]
        z = (np.log((left - entered)[mine] / 1e6) - np.log(plan["median_s"] * factor)) / plan["sd_log"]
        assert mine.sum() > 300
        assert stats.kstest(z, "norm").pvalue > 0.005, name


def stay_rows(shop: Simulation, ids: Any, at: np.ndarray) -> np.ndarray:
    """Row of the truth table at each instant, by an own search."""
    who, owner = rows_of(shop.customers, ids), rows_of(shop.customers, shop.truth["customer_id"])
    begin = int(START.timestamp() * 1e6)
    key = owner * 10.0**8 + (us(shop.truth["from_at"]) - begin) / 1e6
    assert (np.diff(key) > 0).all()
    return np.searchsorted(key, who * 10.0**8 + (at - begin) / 1e6, side="right") - 1


def windows(shop: Simulation, effect: Effect) -> pd.DataFrame:
    """Stay, begin and end (microseconds) of the time that a touch could work in; windows of a stay do not overlap."""
    truth, people, events = shop.truth, shop.customers, shop.events
    touched = events.filter(pc.equal(events["event"].cast(pa.string()), effect.touch))
    at = us(touched["timestamp"])
    stay = stay_rows(shop, touched["user_id"], at)
    lost = us(people["lost_at"])[rows_of(people, touched["user_id"])]
    mine = (words(truth["state"])[stay] == effect.from_state) & (at < lost)
    order = np.lexsort((at[mine], stay[mine]))
    at, stay = at[mine][order], stay[mine][order]
    following = np.where(np.append(stay[1:] == stay[:-1], False), np.append(at[1:], 0), np.iinfo(np.int64).max)
    end = np.minimum(np.minimum(at + effect.window_s * 1e6, following), stay_ends(shop)[stay])
    return pd.DataFrame({"stay": stay, "begin": at, "end": end.astype(np.int64)})


def stay_ends(shop: Simulation) -> np.ndarray:
    owner = rows_of(shop.customers, shop.truth["customer_id"])
    return np.minimum(us(shop.truth["to_at"]), us(shop.customers["lost_at"])[owner])


def expected_moves(shop: Simulation, effect: Effect, inside: pd.DataFrame) -> float:
    """Moves that the planned dwell alone, without any touch, would bring in the given windows."""
    plan, rho = shop.effects["dwell"][effect.from_state], shop.effects["intent_in_dwell"]
    stay = inside["stay"].to_numpy()
    who = rows_of(shop.customers, shop.truth["customer_id"])[stay]
    factor = np.asarray(shop.customers[f"dwell_{effect.from_state}"])[who]
    lean = np.exp(-rho * plan["sd_log"] * np.asarray(shop.truth["intent"])[stay])
    dwell = stats.lognorm(s=plan["sd_log"] * np.sqrt(1 - rho**2), scale=plan["median_s"] * factor * lean)
    entered = us(shop.truth["entered_at"])[stay]
    begin, end = ((inside[edge].to_numpy() - entered) / 1e6 for edge in ("begin", "end"))
    loyal = np.exp(-np.asarray(shop.customers["loyalty"])[who])
    ways = shop.effects["transitions"][effect.from_state]
    weight = {to: p * (loyal if to in ("fading", "lost") else 1.0) for to, p in ways.items()}
    return float(np.sum((dwell.logsf(begin) - dwell.logsf(end)) * weight[effect.to_state] / sum(weight.values())))


def observed_and_expected(shop: Simulation, effect: Effect, others: tuple[Effect, ...]) -> tuple[int, float]:
    """Moves in the windows after a touch, and how many there would be without it (but with the other touches)."""
    inside = windows(shop, effect)
    expected = expected_moves(shop, effect, inside)
    for other in others:
        if other.touch != effect.touch and (other.from_state, other.to_state) == (effect.from_state, effect.to_state):
            both = inside.merge(windows(shop, other), on="stay", suffixes=("", "_other"))
            both["begin"] = both[["begin", "begin_other"]].max(axis=1)
            both["end"] = both[["end", "end_other"]].min(axis=1)
            both = both[both["end"] > both["begin"]]
            expected += (other.multiplier - 1) * expected_moves(shop, effect, both)
    owner, state = words(shop.truth["customer_id"]), words(shop.truth["state"])
    same = np.append(owner[1:] == owner[:-1], False)
    target = np.where(same, np.append(state[1:], ""), "")
    stay = inside["stay"].to_numpy()
    moved = (inside["end"].to_numpy() == stay_ends(shop)[stay]) & (target[stay] == effect.to_state)
    return int(moved.sum()), expected


def ratio_interval(observed: int, expected: float) -> tuple[float, float]:
    """Exact Poisson interval of observed over expected, 99.5 %."""
    low = stats.chi2.ppf(0.0025, 2 * observed) / 2
    high = stats.chi2.ppf(0.9975, 2 * observed + 2) / 2
    return low / expected, high / expected


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda e: f"{e.touch} {e.from_state}>{e.to_state}")
def test_touches_do_what_they_are_said_to_do(shop: Simulation, effect: Effect) -> None:
    observed, expected = observed_and_expected(shop, effect, EFFECTS)
    low, high = ratio_interval(observed, expected)
    assert expected > 20
    assert low < effect.multiplier < high
    if effect.multiplier > 1.4 and observed > 100:
        assert low > 1


def test_nothing_works_in_a_world_without_effects() -> None:
    null = simulate(1000, seed=3, effects=())
    assert null.effects["touches"] == []
    low, high = ratio_interval(*observed_and_expected(null, EFFECTS[0], ()))
    assert low < 1 < high < 1.6


def test_other_effects_can_be_asked_for() -> None:
    strong = Effect("Push Sent", "reinforcement", "decision", 6.0, 5 * world.DAY)
    got = simulate(1500, seed=3, effects=[strong])
    low, high = ratio_interval(*observed_and_expected(got, strong, ()))
    assert 1 < low < 6.0 < high


@given(st.floats(1.0, 1e8), st.floats(2.0, 18.0), st.floats(0.2, 1.5))
@settings(print_blob=True, deadline=None)
def test_hazard_and_its_inverse_agree(at_s: float, log_median: float, sd: float) -> None:
    if abs(np.log(at_s) - log_median) > 5 * sd:
        return  # where nearly nobody stays, or nobody has left, the hazard says nothing in double precision
    total = hazard_sum(np.array([at_s]), np.array([log_median]), np.array([sd]))
    assert total[0] == pytest.approx(-stats.norm.logsf((np.log(at_s) - log_median) / sd), rel=1e-9)
    assert invert_hazard(total, np.array([log_median]), np.array([sd]))[0] == pytest.approx(at_s, rel=1e-6)


@given(st.floats(-1e7, 1e8), st.integers(0, 5), st.floats(0, 6e5))
@settings(print_blob=True, deadline=None)
def test_own_time_is_a_monotone_clock(at_s: float, profile: int, monday_s: float) -> None:
    clock, row = Clock(monday_s), np.array([profile, profile])
    own = clock.own(np.array([at_s, at_s + 60.0]), row)
    assert own[1] > own[0]
    assert clock.clock(own, row) == pytest.approx([at_s, at_s + 60.0], abs=1e-3)


def test_the_placebo_seems_to_work_to_the_unwary(shop: Simulation) -> None:
    """Ads and reminders follow the same visits: who forgets the reminders finds an effect of the ads."""
    placebo = next(e for e in EFFECTS if e.touch == "Ad Shown" and e.from_state == "decision")
    low, _ = ratio_interval(*observed_and_expected(shop, placebo, ()))
    assert low > 1


# What people do


def test_mixes_are_the_planned_ones(shop: Simulation) -> None:
    state = true_state_at(shop.truth, shop.events["user_id"], shop.events["timestamp"])
    event = words(shop.events["event"])
    for code, name in enumerate(STATES):
        seen = event[state == code]
        found = np.array([(seen == known).sum() for known in world.MIX], dtype=float)
        found /= found.sum()
        planned = np.array(list(shop.effects["mix"][name].values()))
        # Idle visits, the checkout before an order and the own tastes of the active move it a little.
        assert 0.5 * np.abs(found - planned).sum() < 0.10, name
        others = [np.array(list(shop.effects["mix"][other].values())) for other in STATES if other != name]
        assert min(np.abs(found - other).sum() for other in others) > np.abs(found - planned).sum()


def test_people_browse_in_every_state(shop: Simulation) -> None:
    state = true_state_at(shop.truth, shop.events["user_id"], shop.events["timestamp"])
    is_view = words(shop.events["event"]) == "Product Viewed"
    assert all(is_view[state == code].mean() > 0.1 for code in range(5))


def test_richness_and_silence(shop: Simulation) -> None:
    assert 230 < shop.events.num_rows / N < 350
    behaviour = shop.events.filter(pc.is_in(shop.events["event"].cast(pa.string()), pa.array(list(world.MIX))))
    who, at = rows_of(shop.customers, behaviour["user_id"]), us(behaviour["timestamp"])
    state = true_state_at(shop.truth, behaviour["user_id"], behaviour["timestamp"])
    order = np.lexsort((at, who))
    gap = np.diff(at[order]) / 86_400e6
    between = (np.diff(who[order]) == 0) & (gap > 1 / 48)
    medians = [np.median(gap[between & (state[order][:-1] == code)]) for code in range(5)]
    discovery, decision, commitment, reinforcement, fading = medians
    assert commitment < decision < discovery < reinforcement < fading
    # Visits are bursts: most pauses are minutes, the rest hours to months.
    assert np.mean(gap[np.diff(who[order]) == 0] < 1 / 48) > 0.6


def test_individual_tastes_differ_more_than_chance(shop: Simulation) -> None:
    event, who = words(shop.events["event"]), rows_of(shop.customers, shop.events["user_id"])
    state = true_state_at(shop.truth, shop.events["user_id"], shop.events["timestamp"])
    mine = (state == 1) & np.isin(event, list(world.MIX))
    n = np.bincount(who[mine], minlength=N)
    k = np.bincount(who[mine], weights=event[mine] == "Review Read", minlength=N)
    often = n > 50
    share = k[often] / n[often]
    by_chance = np.mean(share * (1 - share) / n[often])
    assert share.var() > 2 * by_chance


def test_revenue_prices_and_refunds(shop: Simulation) -> None:
    event = words(shop.events["event"])
    revenue = np.asarray(shop.events["revenue"].to_pandas())
    assert (revenue[event == "Order Completed"] > 0).all()
    assert (revenue[event == "Order Refunded"] < 0).all()
    assert np.isnan(revenue[~np.isin(event, ["Order Completed", "Order Refunded"])]).all()
    who = rows_of(shop.customers, shop.events["user_id"])
    last: dict[int, float] = {}
    n_refunds = 0
    for row in np.flatnonzero(np.isin(event, ["Order Completed", "Order Refunded"])):
        if event[row] == "Order Completed":
            last[who[row]] = revenue[row]
        else:
            n_refunds += 1
            assert revenue[row] == -last[who[row]]
    assert n_refunds > 50


def test_opinions_follow_state_and_customer(shop: Simulation) -> None:
    review = shop.events.filter(pc.equal(shop.events["event"].cast(pa.string()), "Product Reviewed"))
    state = true_state_at(shop.truth, review["user_id"], review["timestamp"])
    score, stars = np.asarray(review["sentiment"]), np.asarray(review["rating"])
    assert score[state == 3].mean() > score[state == 4].mean() + 0.4
    assert np.corrcoef(score, stars)[0, 1] > 0.6
    pleased = np.asarray(shop.customers["satisfaction"])[rows_of(shop.customers, review["user_id"])]
    assert np.corrcoef(score[state == 3], pleased[state == 3])[0, 1] > 0.3
    assert review["review_text"].null_count == 0
    text = words(review["review_text"])
    praise = np.array(["love" in t or "delighted" in t for t in text])
    assert score[praise].mean() > 0.4 > score.mean()


def test_attributes_show_in_what_people_do(shop: Simulation) -> None:
    """Protected attributes are in no raw row, yet rows give them away: that is what a proxy is."""
    assert not {"gender", "age_band", "region"} & set(shop.events.column_names)
    events, people = shop.events, shop.customers
    who = rows_of(people, events["user_id"])
    n = np.maximum(np.bincount(who, minlength=N), 1)

    def share(mark: np.ndarray) -> np.ndarray:
        return np.bincount(who, weights=mark, minlength=N) / n

    category, device = words(events["category"]), words(events["device"])
    hour = np.asarray(pc.hour(events["timestamp"]))
    soft = share(np.isin(category, ["fashion", "beauty"])) - share(np.isin(category, ["electronics", "sports"]))
    early = share(device == "desktop") - share(device == "mobile") + share(hour < 12) - share(hour >= 18)
    post = events.filter(pc.is_valid(events["postcode"]))
    east = np.zeros(N)
    area = np.asarray(post["postcode"].to_pylist(), dtype=int)
    east[rows_of(people, post["user_id"])] = (area >= 50_000) & (area < 70_000)
    for score, column, value in (
        (soft, "gender", "female"),
        (early, "age_band", "60+"),
        (east, "region", "east"),
    ):
        has = words(people[column]) == value
        area_under = stats.mannwhitneyu(score[has], score[~has]).statistic / (has.sum() * (~has).sum())
        assert 0.6 < area_under < 0.95, column


def test_mail_is_opened_after_it_is_sent_and_clicked_after_it_is_opened(shop: Simulation) -> None:
    event, at = words(shop.events["event"]), us(shop.events["timestamp"])
    who = rows_of(shop.customers, shop.events["user_id"])
    names = ["Email Sent", "Email Opened", "Email Clicked"]
    first = {name: np.full(N, np.iinfo(np.int64).max) for name in names}
    for name in names:
        np.minimum.at(first[name], who[event == name], at[event == name])
    sent, opened, clicked = ((event == name).sum() for name in names)
    assert 0.15 < opened / sent < 0.5
    assert 0.1 < clicked / opened < 0.5
    assert (first["Email Sent"] < first["Email Opened"])[first["Email Opened"] < first["Email Clicked"]].all()
    assert (first["Email Opened"] <= first["Email Clicked"]).all()
    # A click opens a visit at the same instant.
    key = set(zip(who[np.isin(event, list(world.MIX))], at[np.isin(event, list(world.MIX))], strict=True))
    clicks = list(zip(who[event == "Email Clicked"], at[event == "Email Clicked"], strict=True))
    assert set(clicks) <= key


# Truth, labels, consent, identities


def test_truth_has_no_gaps_from_arrival_to_the_end(shop: Simulation) -> None:
    owner, people = rows_of(shop.customers, shop.truth["customer_id"]), shop.customers
    begin, end = us(shop.truth["from_at"]), us(shop.truth["to_at"])
    assert len(np.unique(owner)) == N
    same = owner[1:] == owner[:-1]
    assert (end[:-1][same] == begin[1:][same]).all()
    assert (begin <= end).all()
    first, last = np.append(True, ~same), np.append(~same, True)
    start, stop = int(START.timestamp() * 1e6), int((START + timedelta(days=DAYS)).timestamp() * 1e6)
    arrived = us(people["arrived_at"])
    assert (begin[first] == np.where(arrived > stop, start, arrived)).all()
    assert (end[last] == stop).all()
    state = words(shop.truth["state"])
    assert (state[:-1][same] != state[1:][same]).all()
    assert (us(shop.truth["entered_at"]) <= begin).all()


def test_every_event_is_inside_the_window_and_has_a_true_state(shop: Simulation) -> None:
    at = us(shop.events["timestamp"])
    assert (np.diff(at) >= 0).all()
    assert at[0] >= START.timestamp() * 1e6
    assert at[-1] < (START + timedelta(days=DAYS)).timestamp() * 1e6
    assert (true_state_at(shop.truth, shop.events["user_id"], shop.events["timestamp"]) >= 0).all()


def test_the_lost_do_nothing_any_more(shop: Simulation) -> None:
    lost = us(shop.customers["lost_at"])[rows_of(shop.customers, shop.events["user_id"])]
    after = us(shop.events["timestamp"]) >= lost
    assert set(words(shop.events["event"])[after]) <= set(world.TOUCHES)
    assert after.sum() > 100
    gone = shop.customers.filter(pc.is_valid(shop.customers["lost_at"]))
    assert 0.05 < gone.num_rows / N < 0.5
    states = true_state_at(shop.truth, gone["customer_id"], gone["lost_at"])
    assert (states == STATES.index("fading")).all()


def test_labels_are_right_as_often_as_they_say(shop: Simulation) -> None:
    labelled = shop.events.filter(pc.is_valid(shop.events["known_state"]))
    assert set(words(labelled["event"])) == {"Survey Answered"}
    assert set(labelled["known_state_p"].to_pylist()) == {0.9}
    state = true_state_at(shop.truth, labelled["user_id"], labelled["timestamp"])
    right = np.array(STATES)[state] == words(labelled["known_state"])
    assert len(right) > 100
    assert stats.binomtest(int(right.sum()), len(right), 0.9).pvalue > 0.01
    assert shop.events["known_state_p"].null_count == shop.events["known_state"].null_count


def test_touches_need_consent_and_rows_carry_it(shop: Simulation) -> None:
    events, people = shop.events, shop.customers
    event, at, who = words(events["event"]), us(events["timestamp"]), rows_of(people, events["user_id"])
    for purpose in ("analytics", "marketing"):
        begin, until = (us(people[f"consent_{purpose}_{edge}_at"])[who] for edge in ("from", "until"))
        granted = (at >= begin) & (at < until)
        told = words(events[f"consent_{purpose}"]) == "granted"
        assert (granted == told).all()
        changed = people[f"consent_{purpose}_until_at"]
        assert changed.null_count < N
    touched = np.isin(event, world.TOUCHES)
    assert (words(events["consent_marketing"])[touched] == "granted").all()
    left = event == "Unsubscribed"
    assert left.sum() > 50
    end = np.full(N, np.iinfo(np.int64).max)
    end[who[left]] = at[left]
    assert (at[touched] < end[who[touched]]).all()


def test_identities_are_those_of_the_rows(raw_shop: Simulation) -> None:
    events, known = raw_shop.events, raw_shop.identities
    assert events["user_id"].null_count > 0.1 * events.num_rows
    both = events.filter(pc.and_(pc.is_valid(events["user_id"]), pc.is_valid(events["anonymous_id"])))
    seen = set(zip(both["anonymous_id"].to_pylist(), both["user_id"].to_pylist(), strict=True))
    told = set(zip(known["anonymous_id"].to_pylist(), known["customer_id"].to_pylist(), strict=True))
    assert seen <= told
    assert set(events["anonymous_id"].drop_null().to_pylist()) == set(known["anonymous_id"].to_pylist())
    owners: dict[str, set[str]] = {}
    for device, customer in told:
        owners.setdefault(device, set()).add(customer)
    shared = set(known.filter(known["is_shared"])["anonymous_id"].to_pylist())
    assert {device for device, many in owners.items() if len(many) > 1} <= shared
    assert any(len(owners[device]) > 5 for device in shared)
    devices = np.array([sum(c == customer for _, c in told) for customer in known["customer_id"].to_pylist()[:50]])
    assert devices.max() >= 3
    assert pc.any(pc.and_(pc.is_null(events["user_id"]), pc.is_null(events["anonymous_id"]))).as_py() is False


def test_resolved_rows_are_the_same_with_all_customers_named(raw_shop: Simulation) -> None:
    resolved = simulate(400, days=DAYS, seed=5)
    assert resolved.events["user_id"].null_count == 0
    shared = resolved.identities.filter(resolved.identities["is_shared"])["anonymous_id"]
    assert pc.any(pc.is_in(resolved.events["anonymous_id"], shared.combine_chunks())).as_py() is False
    same = [name for name in RAW.names if name not in ("user_id", "anonymous_id")]
    assert resolved.events.select(same).equals(raw_shop.events.select(same))
    named = pc.is_valid(raw_shop.events["user_id"])
    assert resolved.events.filter(named)["user_id"].equals(raw_shop.events.filter(named)["user_id"])


# Tables, files, seeds


def test_rows_have_the_promised_columns(shop: Simulation) -> None:
    assert shop.events.schema.equals(RAW)
    assert "session_id" not in RAW.names
    assert shop.events["message_id"].null_count == 0
    assert pc.count_distinct(shop.events["message_id"]).as_py() == shop.events.num_rows
    shop.events.validate(full=True)
    assert set(words(shop.events["event"])) == set(world.EVENTS)
    assert shop.customers["customer_id"].to_pylist()[:2] == ["c0000001", "c0000002"]


def test_the_ready_playbook_knows_every_event() -> None:
    playbook = load_playbook("shop")
    known = {name for event in playbook.events for name in event.raw_names}
    assert set(world.EVENTS) <= known
    touches = {name for event in playbook.events if event.is_touch for name in event.raw_names}
    assert set(world.EVENTS) & touches == set(world.TOUCHES)
    assert set(STATES) == {state.name for state in playbook.states}


def test_importing_the_simulator_loads_nothing_heavy() -> None:
    large = "('scipy', 'numba', 'duckdb', 'pandas')"
    code = f"import sys, sojourn.simulation.customers; print([m for m in {large} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_same_seed_same_bytes_whatever_the_chunk(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"days": 20, "seed": 8, "blemishes": 0.02}
    made = [write_simulation(simulate(2300, **asked), tmp_path / "memory")]
    made += [simulate_to(tmp_path / f"chunk{size}", 2300, chunk=size, **asked) for size in (1, 2000, 9000)]
    for name in ("events", "truth", "customers", "identities", "effects"):
        assert len({paths[name].read_bytes() for paths in made}) == 1, name
    assert sorted(p.name for p in (tmp_path / "chunk1").iterdir()) == sorted(p.name for p in made[0].values())
    other = simulate(2300, days=20, seed=9, blemishes=0.02)
    assert not other.events.equals(pq.read_table(made[0]["events"]))


def test_files_read_back(tmp_path: Path) -> None:
    small = simulate(30, days=40, seed=1)
    paths = write_simulation(small, tmp_path)
    for name in ("events", "truth", "customers", "identities"):
        written = pq.read_table(paths[name])
        assert written.schema.names == getattr(small, name).schema.names
        assert written.to_pylist() == getattr(small, name).to_pylist()
    assert json.loads(paths["effects"].read_text())["touches"][0]["multiplier"] == 2.0


def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    def stop(stage: str, done: int, total: int) -> None:
        assert (stage, total) == ("simulate", 1500)
        if done >= 1000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_to(tmp_path, 1500, days=10, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_blemishes_are_as_many_as_asked(shop: Simulation) -> None:
    spoilt = simulate(300, seed=4, blemishes=0.2).events
    year = np.asarray(pc.year(spoilt["timestamp"]))
    n_rows = pc.count_distinct(spoilt["message_id"]).as_py()
    n_twice = spoilt.num_rows - n_rows
    for count in (n_twice, (year == 1970).sum(), (year > 2030).sum(), spoilt["user_id"].null_count):
        assert count / n_rows == pytest.approx(0.05, rel=0.1)
    whole = simulate(300, seed=4).events
    assert n_rows == whole.num_rows


def test_start_moves_the_window() -> None:
    at = datetime(2023, 6, 15, 7, 30, tzinfo=UTC)
    moved = simulate(20, days=3, seed=1, start=at)
    begin = pc.min(moved.truth["from_at"]).as_py()
    assert begin == at
    assert pc.max(moved.truth["to_at"]).as_py() == at + timedelta(days=3)


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ({"n_customers": 0}, "n_customers"),
        ({"n_customers": 10_000_000}, "n_customers"),
        ({"days": 0}, "days"),
        ({"seed": -1}, "seed"),
        ({"start": datetime(2025, 1, 1)}, "time zone"),
        ({"blemishes": 1.0}, "blemishes"),
        ({"effects": [Effect("Email Snt", "decision", "commitment", 2.0, 1.0)]}, "Did you mean 'Email Sent'"),
        ({"effects": [Effect("Email Sent", "decision", "commitment", 0.5, 1.0)]}, "multiplier"),
    ],
)
def test_what_makes_no_sense_is_refused(asked: dict[str, Any], word: str) -> None:
    with pytest.raises(SojournError, match=word):
        simulate(**({"n_customers": 5} | asked))


def test_true_state_is_that_of_a_plain_search() -> None:
    small = simulate(25, days=60, seed=6)
    rng = np.random.default_rng(1)
    begin, end = int(START.timestamp() * 1e6), int((START + timedelta(days=60)).timestamp() * 1e6)
    at = rng.integers(begin - 10**11, end + 10**11, 600)
    ids = [*rng.choice(small.customers["customer_id"].to_pylist(), 599), "c9999999"]
    rows = small.truth.to_pylist()
    expected = []
    for customer, instant in zip(ids, at, strict=True):
        moment = datetime.fromtimestamp(instant / 1e6, UTC)
        hits = [r for r in rows if r["customer_id"] == customer and r["from_at"] <= moment < r["to_at"]]
        expected.append(STATES.index(hits[0]["state"]) if hits else -1)
    assert true_state_at(small.truth, ids, at).tolist() == expected
    shuffled = small.truth.take(pa.array(rng.permutation(small.truth.num_rows)))
    assert true_state_at(shuffled, pa.array(ids), at.astype("datetime64[us]")).tolist() == expected
    assert {-1, 0, 1} <= set(expected)
