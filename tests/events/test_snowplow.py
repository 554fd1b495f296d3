"""Snowplow's public web events give the sessions, page views and users that Snowplow itself publishes."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from sojourn.events.read import EventLog, read_events
from sojourn.live.replay.calls import read_calls
from sojourn.playbook.load import load_playbook
from tests import ROOT
from tests.live.engine_world import make_project, open_engine

EXAMPLE = ROOT / "examples" / "snowplow_web"

pytestmark = pytest.mark.data


def prepare_visits(data_dir: Path) -> pa.Table:
    spec = importlib.util.spec_from_file_location("prepare_snowplow", EXAMPLE / "prepare.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    visits: pa.Table = module.prepare(data_dir / "event_specs/snowplow_web/source/snowplow_web_events.csv.gz")
    return visits


@pytest.fixture(scope="module")
def visits(data_dir: Path) -> pa.Table:
    return prepare_visits(data_dir)


@pytest.fixture(scope="module")
def log(visits: pa.Table) -> EventLog:
    playbook = load_playbook(EXAMPLE / "playbook.yaml")
    assert playbook.warnings == ()
    return read_events(visits, playbook, now=None, clock=datetime(2026, 1, 1, tzinfo=UTC))


def expected(data_dir: Path, name: str, column: str) -> list[str]:
    path = data_dir / "event_specs/snowplow_web/expected" / name
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        return [row[column] for row in csv.DictReader(file) if row[column]]


def test_the_numbers_are_the_published_ones(log: EventLog) -> None:
    by_class = {row["event_class"]: row for row in log.by_class}
    assert (log.n_read, log.n_accepted, log.n_quarantined) == (77, 77, 0)
    assert log.n_sessions == 18
    assert by_class["page_view"]["n_rows"] == 43
    assert by_class["other"]["n_rows"] == 0
    assert log.warnings == ()


def test_sessions_page_views_and_users_are_the_published_ones(log: EventLog, data_dir: Path) -> None:
    sessions = expected(data_dir, "default/snowplow_web_sessions_expected.csv", "domain_sessionid")
    users = expected(data_dir, "snowplow_web_users_expected.csv", "domain_userid")
    views = expected(data_dir, "snowplow_web_page_views_expected.csv.gz", "event_id")
    assert (len(sessions), len(users), len(views)) == (18, 11, 43)
    assert set(log.events["session"].to_pylist()) == set(sessions)
    customers = set(log.events["customer_id"].cast(pa.string()).to_pylist())
    assert len(customers - set(users)) == 1  # the visit without a cookie
    assert customers > set(users)
    found = log.events.filter(pc.equal(log.events["event_class"].cast(pa.string()), "page_view"))
    assert sorted(found["event_id"].to_pylist()) == sorted(views)


def test_as_tracking_calls_they_carry_the_same_ids_names_and_sessions(visits: pa.Table) -> None:
    calls = read_calls(visits, load_playbook(EXAMPLE / "playbook.yaml"))
    sent = [json.loads(call) for call in calls.write(0, len(calls))]
    assert [call["messageId"] for call in sent] == visits["event_id"].to_pylist()
    assert [call["event"] for call in sent] == visits["event_name"].to_pylist()
    assert len({call["properties"]["domain_sessionid"] for call in sent if call["event"] == "page_view"}) == 15
    assert len({call["userId"] for call in sent if "userId" in call}) == 11


def test_sent_as_tracking_calls_the_engine_counts_the_same(visits: pa.Table, tmp_path: Path) -> None:
    book = load_playbook(EXAMPLE / "playbook.yaml")
    calls = read_calls(visits, book)
    raw = calls.write(0, len(calls))
    with open_engine(make_project(tmp_path / "p", book.text), int(calls.at[-1]) + 1) as engine:
        for begin in range(0, len(raw), 10):
            engine.send([*raw[begin : begin + 10], *raw[:begin:7]])
        version = engine.live.version
        kept = version.event_files.gather(np.arange(len(version.identities), dtype=np.int32))
        assert len(kept.seq) == 77
        assert len(set(kept.session.tolist())) == 18
        assert (kept.event_class == book.class_names.index("page_view")).sum() == 43
        owners = version.customers.owner[: len(version.customers)].tolist()
        users = [owner for owner in owners if owner >= 0 and version.identities.level(owner) == 0]
        assert len(users) == 11
