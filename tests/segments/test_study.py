"""Recipes, relevance for later data, segment by state, the audit, files and the command."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats.contingency import association
from typer.testing import CliRunner

from sojourn.cli.main import app
from sojourn.errors import EventsError, SojournError
from sojourn.events.read import read_events
from sojourn.pages.words.segments import say_segment_standing
from sojourn.pipelines.segments import read_before, read_past, read_run
from sojourn.playbook.load import load_playbook
from sojourn.segments.features import foresee_outcomes
from sojourn.segments.hybrid import cross_states, flow_between_cells
from sojourn.segments.recipes import RECIPES, make_recipe
from sojourn.segments.relevance import choose_by_relevance, count_outcomes, measure_relevance
from sojourn.segments.study import RFM_CELLS, RFM_SEGMENTS, RFM_TOTAL, study_segments
from sojourn.simulation.customers import simulate
from sojourn.trust.fairness import audit_segments
from tests import ROOT

START = datetime(2025, 1, 1, tzinfo=UTC)


def at_day(day):
    return START + timedelta(days=float(day))


@pytest.fixture(scope="module")
def shop():
    return load_playbook("shop")


@pytest.fixture(scope="module")
def rows():
    return simulate(240, days=150, seed=4).events


@pytest.fixture(scope="module")
def events(rows, shop):
    return read_events(rows, shop, now=None, clock=datetime(2026, 1, 1, tzinfo=UTC)).events


# -- outcomes and relevance -------------------------------------------------------------------------------


def test_outcomes_are_counted_strictly_after_the_instant_and_until_the_horizon():
    who = ["a", "a", "a", "b", "b", "b", "c", "a"]
    kind = ["purchase", "purchase", "mail", "mail", "view", "mail", "mail", "purchase"]
    day = [10, 10.5, 11, 11, 13, 15, 16, 41]
    order = np.argsort(day, kind="stable")
    table = pa.table(
        {
            "customer_id": who, "event_class": kind, "event_at": [at_day(d) for d in day],
            "m_revenue": [5.0, 7.0, None, None, None, None, None, 9.0],
        }
    ).take(pa.array(order))  # fmt: skip
    found = count_outcomes(
        table, pa.array(["a", "b", "c", "d"]), at_day(10), 30, touches=["mail"], purchases=["purchase"],
        measure="revenue",
    )  # fmt: skip
    assert found["revenue"].to_pylist() == [7, 0, 0, 0]
    assert found["bought"].to_pylist() == [1, 0, 0, 0]
    assert found["came back"].to_pylist() == [1, 1, 0, 0]
    assert found["answered"].to_pylist() == [0, 0.5, 0, None]


def test_touches_that_nobody_could_have_answered_yet_do_not_count():
    days = {"a": [(37, "mail"), (38, "view"), (39, "mail")], "b": [(39, "mail")]}
    rows = sorted((day, who, kind) for who, did in days.items() for day, kind in did)
    table = pa.table(
        {
            "customer_id": [r[1] for r in rows], "event_class": [r[2] for r in rows],
            "event_at": [at_day(r[0]) for r in rows],
        }
    )  # fmt: skip
    found = count_outcomes(table, pa.array(["a", "b"]), at_day(10), 30, touches=["mail"])
    assert found["answered"].to_pylist() == [1, None]


def test_explained_share_is_what_was_planted_and_nothing_for_random_groups():
    rng = np.random.default_rng(0)
    group = rng.integers(0, 4, 4_000)
    y = group + rng.normal(0, 1.0, 4_000)
    planted = np.var(np.arange(4)) / (np.var(np.arange(4)) + 1)
    outcomes = pa.table({"customer_id": np.arange(4_000).astype(str), "y": y})
    found = measure_relevance({"segments": group, "half": group // 2}, outcomes).to_pylist()
    by_way = {row["grouping"]: row for row in found}
    assert by_way["segments"]["explained_p"] == pytest.approx(planted, abs=0.03)
    assert abs(by_way["random"]["explained_p"]) < 0.01
    assert by_way["half"]["more_low"] > 0
    assert by_way["half"]["explained_p"] < by_way["segments"]["explained_p"]


def test_intervals_hold_what_was_planted():
    planted, covered = np.var(np.arange(4)) / (np.var(np.arange(4)) + 1), 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        group = rng.integers(0, 4, 600)
        outcomes = pa.table({"customer_id": np.arange(600).astype(str), "y": group + rng.normal(0, 1.0, 600)})
        row = measure_relevance({"segments": group}, outcomes).to_pylist()[0]
        covered += row["low"] < planted < row["high"]
    assert covered >= 25


def test_groups_of_single_customers_explain_nothing():
    rng = np.random.default_rng(1)
    outcomes = pa.table({"customer_id": np.arange(600).astype(str), "y": rng.normal(size=600)})
    found = measure_relevance({"segments": np.arange(600)}, outcomes).to_pylist()
    assert found[0]["explained_p"] < 0.02


def test_many_small_groups_are_neither_favoured_nor_punished():
    rng = np.random.default_rng(4)
    group, part = rng.integers(0, 5, 1_000), rng.integers(0, 25, 1_000)
    ids = np.arange(1_000).astype(str)
    planted = pa.table({"customer_id": ids, "y": group + rng.normal(0, 3.0, 1_000)})
    noise = pa.table({"customer_id": ids, "y": rng.normal(0, 3.0, 1_000)})
    cells = {"segments": group, "cells": group * 25 + part}
    five, split, _ = measure_relevance(cells, planted).to_pylist()
    assert five["explained_p"] > 0.15
    assert 0.1 < split["explained_p"] < five["explained_p"] + 0.01
    assert all(abs(row["explained_p"]) < 0.015 for row in measure_relevance(cells, noise).to_pylist())


def test_a_few_large_customers_do_not_decide_the_number():
    rng = np.random.default_rng(5)
    x = rng.uniform(0, 1, 2_000)
    logged = np.floor(x * 3) + rng.normal(size=2_000)
    outcomes = pa.table({"customer_id": np.arange(2_000).astype(str), "revenue, logged": logged})
    whale = np.where(x > 0.99, 1e6 * rng.random(2_000), 0.0)
    both = outcomes.append_column("revenue", pa.array(whale))
    assert choose_by_relevance(x[:, None], both)[1] == choose_by_relevance(x[:, None], outcomes)[1]


def test_a_number_cannot_be_chosen_by_what_did_not_happen():
    outcomes = pa.table({"customer_id": np.arange(300).astype(str), "bought": np.zeros(300)})
    with pytest.raises(EventsError, match="nothing that happened"):
        choose_by_relevance(np.random.default_rng(0).normal(size=(300, 2)), outcomes)


@pytest.mark.parametrize(
    ("differences", "said"),
    [
        ([(0.01, 0.02), (0.01, 0.03)], "more than every use of RFM of “bought”"),
        ([(0.01, 0.02), (-0.01, 0.03)], "Within chance segments explain as much as the best of these of “bought”"),
        ([(0.01, 0.02), (-0.03, -0.01)], "explain less of “bought” (RFM 1)"),
    ],
)
def test_more_is_said_only_where_no_use_of_rfm_may_be_as_good(differences, said):
    names = {"segments": (0.0, 0.0), "random": (0.1, 0.2)} | {f"RFM {i}": d for i, d in enumerate(differences)}
    rows = [{"outcome": "bought", "grouping": n, "more_low": a, "more_high": b} for n, (a, b) in names.items()]
    found = say_segment_standing(pa.Table.from_pylist(rows))
    assert said in found
    assert found.count("“") == 1


def test_as_many_segments_are_taken_as_pay():
    rng = np.random.default_rng(2)
    x = rng.uniform(0, 1, 3_000)
    steps = np.floor(x * 3)
    outcomes = pa.table({"customer_id": np.arange(3_000).astype(str), "y": steps * 3 + rng.normal(size=3_000)})
    k, table = choose_by_relevance(x[:, None], outcomes, k_max=8)
    assert k == 3
    assert table["is_chosen"].to_pylist().count(True) == 1
    nothing = pa.table({"customer_id": outcomes["customer_id"], "y": rng.normal(size=3_000)})
    assert choose_by_relevance(x[:, None], nothing, k_max=8)[0] <= 4


def test_what_is_foreseen_was_not_seen():
    rng = np.random.default_rng(3)
    now = pa.table({"customer_id": np.arange(1_500).astype(str), "x": rng.normal(size=1_500)})
    noise = pa.table({"customer_id": now["customer_id"], "bought": rng.integers(0, 2, 1_500).astype(float)})
    table, added = foresee_outcomes(now, None, noise, ["x"], seed=0)
    assert added == ("expected_bought",)
    assert abs(np.corrcoef(table["expected_bought"].to_numpy(), noise["bought"].to_numpy())[0, 1]) < 0.1


# -- recipes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "demographic"])
def test_no_recipe_looks_at_what_came_later(name, events, shop):
    at = at_day(90)
    whole = make_recipe(name, events, shop, at, horizon_days=30)
    when = events["event_at"].to_pylist()
    cut = events.slice(0, sum(one <= at for one in when))
    past = make_recipe(name, cut, shop, at, horizon_days=30)
    pd.testing.assert_frame_equal(whole.table.to_pandas(), past.table.to_pandas())
    assert whole.inputs == past.inputs
    assert set(whole.inputs) <= set(whole.table.column_names)


def test_protected_traits_are_audited_and_never_inputs(events, shop):
    ids = events["customer_id"].unique()
    rng = np.random.default_rng(0)
    income = rng.lognormal(3, 0.5, len(ids))
    gender = np.where(income > np.median(income), "f", "m")
    traits = pa.table({"customer_id": ids, "income": income, "gender": gender})
    made = make_recipe("demographic", events, shop, at_day(120), traits=traits)
    assert made.inputs == ("income", "mood")
    study = study_segments(events, shop, "demographic", traits=traits, method="kmeans", k=2, inputs=["income"])
    assert study.audit["attribute"].unique().to_pylist() == ["gender"]
    assert study.audit["association"][0].as_py() > 0.5
    with pytest.raises(EventsError, match="'gender' is protected"):
        study_segments(events, shop, "demographic", traits=traits, inputs=["income", "gender"])


def test_association_is_that_of_scipy_but_for_the_bias():
    rng = np.random.default_rng(0)
    segment, level = rng.integers(1, 4, 900), rng.integers(0, 3, 900)
    level = np.where(rng.random(900) < 0.4, segment, level)
    ids = np.arange(900).astype(str)
    found = audit_segments(
        pa.table({"customer_id": ids, "segment": segment}),
        pa.table({"customer_id": ids, "x": level.astype(str)}),
        ["x"],
    )
    counts = np.zeros((4, 3), int)
    np.add.at(counts, (level, segment - 1), 1)
    assert found["association"][0].as_py() == pytest.approx(association(counts[counts.sum(axis=1) > 0]), abs=0.01)
    independent = pa.table({"customer_id": ids, "x": rng.integers(0, 3, 900).astype(str)})
    assert (
        audit_segments(pa.table({"customer_id": ids, "segment": segment}), independent, ["x"])["association"][0].as_py()
        < 0.06
    )


# -- segment by state -------------------------------------------------------------------------------------


def cells_world():
    segmented = pa.table(
        {"customer_id": list("abcd"), "segment": pa.array([1, 1, 2, 2], pa.int32()), "name": list("xxyy")}
    )
    customers = pa.table(
        {
            "customer_id": list("abcde"),
            "state": ["keen", "away", "away", "keen", "keen"],
            "first_at": pa.array([at_day(0), at_day(0), at_day(0), at_day(95), at_day(0)], pa.timestamp("us", "UTC")),
        }
    )
    moves = [("a", 50, "away", "keen"), ("b", 80, "keen", "away"), ("c", 75, "away", "keen"), ("c", 90, "keen", "away")]
    transitions = pa.table(
        {
            "customer_id": [m[0] for m in moves],
            "at": pa.array([at_day(m[1]) for m in moves], pa.timestamp("us", "UTC")),
            "from_state": [m[2] for m in moves],
            "to_state": [m[3] for m in moves],
        }
    )
    return segmented, customers, transitions


def test_cells_hold_every_customer_of_both_once():
    segmented, customers, _ = cells_world()
    found = {(r["name"], r["state"]): r["n_customers"] for r in cross_states(segmented, customers).to_pylist()}
    assert found == {("x", "keen"): 1, ("x", "away"): 1, ("y", "away"): 1, ("y", "keen"): 1}


def test_flows_start_where_customers_were_then():
    segmented, customers, transitions = cells_world()
    flows = flow_between_cells(segmented, customers, transitions, now=at_day(100), days=28)
    found = {
        (r["from_segment"], r["from_state"], r["to_segment"], r["to_state"]): r["n_customers"]
        for r in flows.to_pylist()
    }
    # Day 72: a had moved to keen, b was still keen, c was away and would come and go, d was not there yet.
    assert found == {
        (1, "keen", 1, "keen"): 1, (1, "keen", 1, "away"): 1, (2, "away", 2, "away"): 1, (2, "new", 2, "keen"): 1,
    }  # fmt: skip
    before = pa.table({"customer_id": ["a"], "segment": [2]})
    moved = flow_between_cells(segmented, customers, transitions, now=at_day(100), days=28, before=before)
    assert (2, "keen", 1, "keen") in {
        (r["from_segment"], r["from_state"], r["to_segment"], r["to_state"]) for r in moved.to_pylist()
    }


# -- the command ------------------------------------------------------------------------------------------


def test_the_command_writes_tables_and_a_page_that_loads_nothing_and_keeps_numbers(rows, tmp_path):
    source, first, second = tmp_path / "events.parquet", tmp_path / "first", tmp_path / "second"
    pq.write_table(rows, source)
    common = ["segments", str(source), "-p", "shop", "--recipe", "value", "--k", "3", "--days", "30", "--json"]
    done = CliRunner().invoke(app, [*common, "--out", str(first)])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert len(told["segments"]) == 3
    assert told["customers"] == sum(one["n_customers"] for one in told["segments"])
    table = pq.read_table(first / "segments.parquet")
    assert table.column_names[:5] == ["customer_id", "segment", "name", "segment_p", "is_outlier"]
    assert {"map_x", "map_y", "level_3"} <= set(table.column_names)
    page = (first / "segments.html").read_text(encoding="utf-8")
    assert "Content-Security-Policy" in page
    assert "default-src &#39;none&#39;" in page
    head = page[: page.index("<script")] if "<script" in page else page
    assert "http" not in head.replace("http-equiv", "")
    for one in told["segments"]:
        assert one["name"] in page
    again = CliRunner().invoke(app, [*common, "--seed", "5", "--previous", str(first), "--out", str(second)])
    assert again.exit_code == 0, again.output
    kept = json.loads(again.stdout)
    history = pq.read_table(second / "segment_history.parquet")
    assert set(history["at"].to_pylist()) == {table_at(first)}  # the same instant again: replaced
    assert kept["before"]["moved_p"] < 0.2
    assert {one["number"] for one in kept["segments"]} == {1, 2, 3}


def table_at(folder):
    return datetime.fromisoformat(json.loads((folder / "segments.json").read_text())["at"])


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--recipe", "behavior"], "Did you mean 'behavioural'"),
        (["--method", "gm"], "Did you mean 'gmm'"),
        (["--previous", "nowhere"], "no segments that can be read"),
        (["--at", "soon"], "is not a date or time"),
        (["--seed", "9000000000"], "9000000000 is too large"),
    ],
)
def test_wrong_options_are_named_before_anything_is_read(options, what, tmp_path):
    done = CliRunner().invoke(app, ["segments", "none.csv", "-p", "shop", "--out", str(tmp_path / "o"), *options])
    assert done.exit_code == 2
    assert what in done.output.replace("\n", " ")


def test_traits_without_protected_attributes_and_with_markup_are_segmented(rows, events, tmp_path):
    ids = events["customer_id"].unique().cast(pa.string())
    rng = np.random.default_rng(0)
    plan = pa.array(np.where(rng.random(len(ids)) < 0.5, "[/bold]<b>gold", "plain"))
    pq.write_table(rows, tmp_path / "events.parquet")
    pq.write_table(pa.table({"customer_id": ids, "plan": plan}), tmp_path / "traits.parquet")
    asked = ["--recipe", "demographic", "--method", "kmeans", "--k", "2", "--input", "plan"]
    where = ["--traits", str(tmp_path / "traits.parquet"), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, ["segments", str(tmp_path / "events.parquet"), "-p", "shop", *asked, *where])
    assert done.exit_code == 0, done.output
    assert "[/bold]<b>gold" in done.output
    assert json.loads((tmp_path / "out" / "segments.json").read_text())["audit"] == {}
    assert "<b>gold" not in (tmp_path / "out" / "segments.html").read_text(encoding="utf-8")


def test_a_feature_that_nobody_had_yet_is_no_reason_to_foresee_nothing():
    rng = np.random.default_rng(0)
    x = rng.normal(size=600)
    empty = pa.array([None] * 600, pa.float64())
    then = pa.table({"customer_id": np.arange(600).astype(str), "x": x, "mood": empty})
    now = then.set_column(2, "mood", pa.array(rng.normal(size=600)))
    outcomes = pa.table({"customer_id": then["customer_id"], "bought": (x > 0).astype(float)})
    table, _ = foresee_outcomes(now, then, outcomes, ["x", "mood"], seed=0)
    assert np.corrcoef(table["expected_bought"].to_numpy(), x > 0)[0, 1] > 0.9


def test_a_horizon_before_the_calendar_leaves_relevance_out(events, shop):
    study = study_segments(events, shop, "lifecycle", horizon_days=10_000_000)
    assert study.relevance is None
    assert "there is no date" in study.why_not
    with pytest.raises(EventsError, match="there is no date"):
        make_recipe("predictive", events, shop, at_day(90), horizon_days=10_000_000)


@pytest.fixture
def folder(tmp_path):
    ids = pa.array([f"c{i}" for i in range(40)])
    pq.write_table(pa.table({"customer_id": ids, "segment": [1] * 20 + [2] * 20}), tmp_path / "segments.parquet")
    told = {"segments": [{"number": 1, "name": "one"}], "last_number": 2, "at": "2025-05-01T00:00:00+00:00"}
    (tmp_path / "segments.json").write_text(json.dumps(told))
    return tmp_path


@pytest.mark.parametrize(
    "broken",
    [
        [], None, {}, {"segments": 3}, {"segments": [{}]}, {"last_number": None}, {"at": 3}, {"at": "soon"},
        pa.table({"customer_id": ["a"], "segment": ["gold"]}), pa.table({"x": [1]}),
    ],
)  # fmt: skip
def test_segments_of_last_time_that_are_broken_are_named(folder, broken):
    assert read_past(folder).names == {"1": "one"}
    told = json.loads((folder / "segments.json").read_text())
    if isinstance(broken, pa.Table):
        pq.write_table(broken, folder / "segments.parquet")
    else:
        (folder / "segments.json").write_text(json.dumps(told | broken if broken else broken))
    with pytest.raises(SojournError, match=r"cannot be read|can be read"):
        read_past(folder)


@pytest.mark.parametrize(("earlier", "now"), [("lifecycle", "value"), ("value", "lifecycle")])
def test_stages_and_found_segments_do_not_continue_each_other(folder, earlier, now):
    told = json.loads((folder / "segments.json").read_text())
    (folder / "segments.json").write_text(json.dumps(told | {"recipe": earlier}))
    assert read_before(folder, earlier).last_number == 2
    with pytest.raises(SojournError, match=f"'{earlier}' segments, which '{now}' ones cannot continue"):
        read_before(folder, now)


def test_a_history_of_words_that_is_broken_is_named(folder):
    told = json.loads((folder / "segments.json").read_text())
    pq.write_table(read_past(folder).exports, folder / "segment_history.parquet")
    said = [{"number": 1, "described_as": "low spend", "from_at": "2025-05-01T00:00:00+00:00"}]
    (folder / "segments.json").write_text(json.dumps(told | {"descriptions": said}))
    assert list(read_past(folder).told) == said
    for wrong in (4, ["x"], [{"number": 1}], [{"from_at": 3}]):
        (folder / "segments.json").write_text(json.dumps(told | {"descriptions": wrong}))
        with pytest.raises(SojournError, match="history of the segments cannot be read"):
            read_past(folder)


@pytest.mark.parametrize("run", ["[]", "null", "{}", '{"now": 3}', '{"now": "soon"}', "transitions"])
def test_results_that_are_no_run_are_named(tmp_path, run):
    _, customers, transitions = cells_world()
    pq.write_table(customers, tmp_path / "customers.parquet")
    pq.write_table(transitions, tmp_path / "transitions.parquet")
    (tmp_path / "run.json").write_text(f'{{"now": "{START.isoformat()}"}}')
    assert read_run(tmp_path)[2] == START
    if run == "transitions":
        pq.write_table(transitions.drop_columns(["at"]), tmp_path / "transitions.parquet")
    else:
        (tmp_path / "run.json").write_text(run)
    with pytest.raises(SojournError, match="no results of a run"):
        read_run(tmp_path)


# -- real data --------------------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.slow
def test_on_online_retail_value_segments_explain_more_of_later_revenue_than_rfm_quintiles(data_dir):
    book = load_playbook(ROOT / "examples" / "online_retail" / "playbook.yaml")
    file = str(data_dir / "online_retail" / "online_retail.csv.gz")
    log = read_events(file, book, now=None, clock=datetime(2026, 1, 1, tzinfo=UTC))
    study = study_segments(log.events, book, "value")
    by = {(r["outcome"], r["grouping"]): r for r in study.relevance.to_pylist()}
    for outcome in ("revenue", "revenue, logged", "bought", "came back"):
        assert by[outcome, "segments"]["explained_p"] > by[outcome, RFM_CELLS]["explained_p"]
        assert by[outcome, RFM_TOTAL]["more_high"] > 0
        assert by[outcome, RFM_SEGMENTS]["more_low"] > 0
        assert by[outcome, "random"]["more_low"] > 0
    for way in (RFM_CELLS, RFM_TOTAL):
        assert by["revenue", way]["more_low"] > 0
        assert by["revenue, logged", "segments"]["explained_p"] > by["revenue, logged", way]["explained_p"]
    assert len(study.segments.segments) <= 20
