"""The example playbooks on the public data they are for: every row accounted for, the published figures reproduced.

The figures are those of the data's README; those it does not have are computed here by DuckDB from the file itself.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from sojourn.events.read import EventLog, read_events
from sojourn.fold.primitives import Event, Pattern, Setting, read_primitive
from sojourn.playbook.load import load_playbook
from tests import ROOT

EXAMPLES = ROOT / "examples"
CLOCK = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("completejourney", "ecom_v5", "online_retail")

pytestmark = pytest.mark.data


def playbook_of(name: str) -> Path:
    return EXAMPLES / name / "playbook.yaml"


def load_prepare() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prepare", EXAMPLES / "completejourney" / "prepare.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def online_retail(data_dir: Path) -> Path:
    return data_dir / "online_retail" / "online_retail.csv.gz"


@pytest.fixture(scope="module")
def ecom_v5(data_dir: Path) -> Path:
    return data_dir / "ecom_v5" / "ecom_v5.csv.gz"


@pytest.fixture(scope="module")
def completejourney(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completejourney") / "events.parquet"
    pq.write_table(load_prepare().prepare(data_dir / "completejourney"), path)
    return path


@pytest.fixture(scope="module")
def retail_log(online_retail: Path) -> EventLog:
    return read_events(str(online_retail), load_playbook(playbook_of("online_retail")), now=None, clock=CLOCK)


@pytest.fixture(scope="module")
def ecom_log(ecom_v5: Path) -> EventLog:
    return read_events(str(ecom_v5), load_playbook(playbook_of("ecom_v5")), now=None, clock=CLOCK)


@pytest.fixture(scope="module")
def journey_log(completejourney: Path) -> EventLog:
    return read_events(str(completejourney), load_playbook(playbook_of("completejourney")), now=None, clock=CLOCK)


def of_class(log: EventLog, *names: str) -> pa.Table:
    """The accepted events of these classes."""
    return log.events.filter(pc.is_in(log.events["event_class"].cast(pa.string()), pa.array(names)))


def count_distinct(column: pa.ChunkedArray) -> int:
    return int(pc.count_distinct(column).as_py())


@pytest.mark.parametrize("name", NAMES)
def test_the_example_is_a_playbook_with_a_page_on_how_to_run_it(name: str) -> None:
    playbook = load_playbook(playbook_of(name))
    assert playbook.name == name
    assert playbook.warnings == ()
    assert f"examples/{name}/playbook.yaml" in (EXAMPLES / name / "README.md").read_text(encoding="utf-8")


# Online Retail


def test_every_invoice_line_is_accounted_for(retail_log: EventLog) -> None:
    log = retail_log
    assert log.n_read == 541_909
    assert log.n_accepted + log.n_duplicate + log.n_quarantined == log.n_read
    assert log.n_duplicate == 0
    assert log.n_quarantined == log.quarantine.num_rows == 135_080
    assert set(log.quarantine["rule"].to_pylist()) == {"customer"}
    assert log.events.num_rows == 406_829


def test_purchases_are_the_published_ones(retail_log: EventLog) -> None:
    purchases = of_class(retail_log, "purchase")
    assert purchases.num_rows == 397_884
    assert count_distinct(purchases["customer_id"]) == 4_338
    assert count_distinct(purchases["session"]) == 18_532
    assert round(pc.sum(purchases["m_revenue"]).as_py(), 2) == 8_911_407.90


def test_coverage_says_the_same_as_the_events(retail_log: EventLog) -> None:
    by_class = {row["event_class"]: row for row in retail_log.by_class}
    assert by_class["purchase"]["n_rows"] == 397_884
    assert by_class["purchase"]["n_customers"] == 4_338
    assert by_class["purchase"]["n_sessions"] == 18_532
    assert round(by_class["purchase"]["measures"]["revenue"], 2) == 8_911_407.90
    assert by_class["return"]["n_rows"] + by_class["credit"]["n_rows"] == 8_905
    assert by_class["free_item"]["n_rows"] == 40
    assert by_class["other"]["n_rows"] == 0
    assert retail_log.raw_names == {}


def test_customers_keep_the_number_they_have_in_the_file(retail_log: EventLog) -> None:
    ids = pc.unique(of_class(retail_log, "purchase")["customer_id"]).to_pylist()
    assert {len(word) for word in ids} == {5}  # the file writes 17850.0, a float for want of something better
    assert "17850" in ids


# ecom_v5


def test_every_click_is_accounted_for(ecom_log: EventLog) -> None:
    log = ecom_log
    assert log.n_read == log.n_accepted == 31_106
    assert log.n_duplicate == log.n_quarantined == 0
    assert log.n_sessions == 3_605
    assert count_distinct(log.events["customer_id"]) == 600
    assert log.raw_names == {}


def test_sessions_reach_the_published_steps_of_the_funnel(ecom_log: EventLog) -> None:
    steps = ("cart", "shipping", "purchase")
    reached = np.zeros(len(steps))
    n_sessions = 0
    for clicks in sessions_of(ecom_log):
        n_sessions += 1
        reached[: count_steps(clicks, steps)] += 1
    assert n_sessions == 3_605
    assert (100 * reached / n_sessions).round(1).tolist() == [28.3, 14.2, 4.8]


def test_the_moment_funnel_finds_every_finished_funnel(ecom_log: EventLog) -> None:
    """A moment may also finish across two sessions or twice in one, so it finds the sessions' funnels or more."""
    moment = next(m for m in load_playbook(playbook_of("ecom_v5")).moments if m.name == "funnel")
    steps, setting = moment.sequence, Setting(moments={"funnel": Pattern(moment.sequence, moment.within_s)})
    n_found = n_finished = 0
    for clicks in list(sessions_of(ecom_log))[:600]:
        events = [Event(number, event_class) for number, event_class in enumerate(clicks)]
        n_found += read_primitive("matches", ("funnel",), {}, events, len(events) - 1, setting) >= 1
        n_finished += count_steps(clicks, steps) == len(steps)
    assert n_found == n_finished > 0


def sessions_of(log: EventLog) -> Iterator[list[str]]:
    """The event classes of each session, in order of time."""
    events = log.events.select(["session", "event_class"])
    order = pc.sort_indices(events["session"])  # stable: time order stays within a session
    sessions = events["session"].take(order).to_numpy(zero_copy_only=False)
    classes = events["event_class"].cast(pa.string()).take(order).to_numpy(zero_copy_only=False)
    edges = np.flatnonzero(sessions[1:] != sessions[:-1]) + 1
    for part in np.split(classes, edges):
        yield part.tolist()


def count_steps(clicks: list[str], steps: tuple[str, ...]) -> int:
    """How many steps the clicks go, in order, others between them allowed."""
    done = 0
    for click in clicks:
        if done < len(steps) and click == steps[done]:
            done += 1
    return done


# The Complete Journey


def test_prepared_events_are_the_rows_of_the_tables(completejourney: Path, data_dir: Path) -> None:
    made = pq.read_table(completejourney)
    kinds = dict(zip(*np.unique(made["kind"].to_numpy(zero_copy_only=False), return_counts=True), strict=True))
    assert kinds == {"line": 75_000, "mailing": 6_589, "redemption": 2_102}
    lines = duckdb.read_csv(str(data_dir / "completejourney" / "transactions_sample.csv.gz"))
    spent = lines.aggregate("sum(sales_value)").fetchall()[0][0]
    assert pc.sum(made["sales_value"]).as_py() == pytest.approx(spent, abs=1e-6)
    assert not set(made.column_names) & set(load_playbook(playbook_of("completejourney")).protected)


def test_every_receipt_line_mailing_and_redemption_is_accounted_for(journey_log: EventLog) -> None:
    log = journey_log
    assert log.n_read == log.n_accepted == 83_691
    assert log.n_duplicate == log.n_quarantined == 0
    by_class = {row["event_class"]: row["n_rows"] for row in log.by_class}
    assert by_class["fuel"] + by_class["fresh"] + by_class["household"] + by_class["grocery"] == 75_000
    assert by_class["fuel"] == 674
    assert by_class["coupon_redeem"] == 2_102
    assert by_class["mailing_personal"] + by_class["mailing_general"] == 6_589
    assert min(by_class[name] for name in ("fuel", "fresh", "household", "grocery", "mailing_personal")) > 0


def test_households_are_the_published_ones(journey_log: EventLog) -> None:
    assert count_distinct(of_class(journey_log, "fuel", "fresh", "household", "grocery")["customer_id"]) == 2_377
    assert count_distinct(of_class(journey_log, "mailing_personal", "mailing_general")["customer_id"]) == 1_559
    assert count_distinct(of_class(journey_log, "coupon_redeem")["customer_id"]) == 410


def test_mailings_are_touches_at_the_start_of_their_campaign(journey_log: EventLog, data_dir: Path) -> None:
    assert load_playbook(playbook_of("completejourney")).touches == ("mailing_personal", "mailing_general")
    campaigns = duckdb.read_csv(str(data_dir / "completejourney" / "campaign_descriptions.csv.gz"))
    starts = {row[0] for row in campaigns.project("start_date").fetchall()}
    mailed = pc.unique(of_class(journey_log, "mailing_personal", "mailing_general")["event_at"]).to_pylist()
    assert {at.date() for at in mailed} == starts
    assert {at.hour for at in mailed} == {6}


# Whole runs


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_whole_run_gives_every_customer_a_state(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    from sojourn.pipelines.run import run

    events: Path = request.getfixturevalue(name)
    playbook = load_playbook(playbook_of(name))
    results = run(str(events), playbook, out=tmp_path / "out", seed=1)
    rows: dict[str, Any] = results.run["rows"]
    assert rows["accepted"] + rows["duplicate"] + rows["quarantined"] == rows["read"]
    assert rows["read"] == {"completejourney": 83_691, "ecom_v5": 31_106, "online_retail": 541_909}[name]
    customers = results.customers
    assert customers.num_rows == results.run["customers"]
    has_state = pc.is_valid(customers["state"])
    assert customers.num_rows - pc.sum(has_state).as_py() == {"completejourney": 2}.get(name, 0)  # only mailed to
    customers = customers.filter(has_state)
    probabilities = np.column_stack([customers[f"p_{state}"].to_numpy() for state in playbook.state_names])
    assert np.allclose(probabilities.sum(axis=1), 1.0, atol=1e-9)
    seen = {row["values"]: row["counts"] for row in results.history["smoothed_state"].value_counts().to_pylist()}
    for state in playbook.state_names:  # nobody need be in it now, but somebody was
        assert seen[state] > 0.005 * rows["accepted"], seen
    assert pq.read_metadata(tmp_path / "out" / "history.parquet").num_rows == rows["accepted"]
    for found in results.model["alignment"]:  # the states that were fitted are the ones that were written
        assert found["fitted"] == found["state"]
        assert found["similarity"] > 0.9
