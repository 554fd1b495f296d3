"""How a playbook fits events: coverage, names without a class, what never fires; and starting a project."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from sojourn.errors import EventsError, PlaybookError
from sojourn.frames.schemas import CLASS, NAME, QUARANTINE, events_schema
from sojourn.pipelines.check import check, check_log, describe_values, find_all, list_unmapped
from sojourn.pipelines.start import init_project
from sojourn.playbook.load import load_playbook, parse_playbook
from sojourn.playbook.objects import Playbook

BOOK = """\
playbook: bikes
source: {customer: user_id, time: at, event: event, channel: medium, label: known}
events:
  look: {name: [Viewed], measures: {price: price}, properties: {product: sku}}
  buy: {name: Bought, measures: {revenue: total}}
  ride: {name: Bike Ridden}
  mail: {name: Mail Sent, touch: true}
features:
  looks: count(look)
  rides: count(ride)
  spend: sum(revenue)
  mails_answered: responsiveness(mail, ride)
  from_search: share(channel, serch)
fingerprint: [looks, rides]
states:
  dreaming:
    typical: {look: 3}
    indicators:
      - {when: "count(look) >= 1", strength: weak}
      - {when: "count(ride) >= 1", strength: strong}
      - {when: "count(look, within=1h) >= 2", strength: weak}
  riding: {typical: {ride: 2}}
"""
CLOCK = datetime(2025, 6, 1, tzinfo=UTC)


def make_log(playbook: Playbook, rows: list[dict[str, Any]], **others: Any) -> Any:
    schema = events_schema(playbook.measure_names, playbook.property_names)
    columns: dict[str, Any] = {}
    for field in schema:
        values = [row.get(field.name) for row in rows]
        if field.type == CLASS:
            codes = pa.array([playbook.class_names.index(v) for v in values], pa.int16())
            columns[field.name] = pa.DictionaryArray.from_arrays(codes, pa.array(playbook.class_names))
        elif field.type == NAME:
            columns[field.name] = pa.array(values, pa.string()).dictionary_encode()
        else:
            columns[field.name] = pa.array(values, field.type)
    events = pa.table(columns).cast(schema)
    quarantine = pa.table({f.name: pa.array(others.get(f.name, []), f.type) for f in QUARANTINE})
    counts = {"n_read": len(rows), "n_accepted": len(rows), "n_duplicate": 0, "n_quarantined": quarantine.num_rows}
    of_class = {name: [r["customer_id"] for r in rows if r["event_class"] == name] for name in playbook.class_names}
    by_class = [{"event_class": n, "n_rows": len(c), "n_customers": len(set(c))} for n, c in of_class.items()]
    found = {"raw_names": others.get("raw_names", {}), "languages": {}, "warnings": tuple(others.get("warnings", ()))}
    return SimpleNamespace(events=events, quarantine=quarantine, by_class=by_class, **found, **counts)


def row(i: int, who: str, what: str, **others: Any) -> dict[str, Any]:
    at = datetime(2025, 1, 1, 0, i, tzinfo=UTC)
    return {"customer_id": who, "event_id": f"0:{i}", "seq": i, "event_at": at, "event_class": what, **others}


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    playbook = parse_playbook(BOOK)
    rows = [
        row(0, "a", "look", m_price=5.0, channel="search", label="dreaming"),
        row(1, "b", "look", channel="search", label="dreamng"),
        row(2, "a", "mail"),
        row(3, "a", "look", p_product="x"),
        row(4, "b", "look"),
        row(5, "b", "other"),
    ]
    bad = {"source": ["f"], "line": [9], "rule": ["time"], "found": ["x"], "raw": ["x"]}
    names = {"bike_ridden": 40, "Zzz": 2}
    return check_log(playbook, make_log(playbook, rows, raw_names=names, **bad))


def test_coverage(facts: dict[str, Any]) -> None:
    classes = {r["event_class"]: r for r in facts["classes"]}
    assert list(classes) == ["look", "buy", "ride", "mail", "other"]
    assert (classes["look"]["n_rows"], classes["look"]["n_customers"]) == (4, 2)
    assert classes["look"]["share"] == pytest.approx(4 / 6)
    assert classes["mail"]["is_touch"]
    assert classes["buy"]["n_rows"] == 0
    assert sum(r["n_rows"] for r in facts["classes"]) == facts["rows"]["accepted"] == 6
    assert facts["customers"] == 2
    assert facts["quarantined_by_rule"] == {"time": 1}
    assert facts["channels"] == {"search": 2}
    assert facts["labels"] == {"dreaming": 1, "dreamng": 1}
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_indicators_and_features(facts: dict[str, Any]) -> None:
    fired = [(r["when"], r["n_fired"], r["share"]) for r in facts["indicators"]]
    assert fired == [  # the touch is no event of the customer
        ("count(look) >= 1", 5, 1.0),
        ("count(ride) >= 1", 0, 0.0),
        ("count(look, within=1h) >= 2", 3, 0.6),
    ]
    features = {r["feature"]: r for r in facts["features"]}
    assert features["looks"]["min"] == features["looks"]["max"] == 2.0
    assert features["mails_answered"]["missing_share"] == 0.5  # b got none


def test_findings_have_lines_and_near_misses(facts: dict[str, Any]) -> None:
    found = [finding["text"] for finding in find_all(parse_playbook(BOOK), facts, "p.yaml")]
    for expected in [
        "1 of 6 rows is quarantined by the rule 'time'.",
        "p.yaml:6: event class 'ride' matches no row. Did you mean 'bike_ridden'?",
        "p.yaml:5: event class 'buy' matches no row.",
        "'bike_ridden' (40 rows) belongs to no event class. Did you mean 'ride'?",
        "'Zzz' (2 rows) belongs to no event class.",
        "p.yaml:4: the measure 'price' of 'look' is missing in 3 of 4 rows.",
        "p.yaml:4: the property 'product' of 'look' is missing in 3 of 4 rows.",
        "p.yaml:13: feature 'from_search': no row came through the channel 'serch'. Did you mean 'search'?",
        "p.yaml:2: 1 rows have the label 'dreamng', which is no state. Did you mean 'dreaming'?",
        "p.yaml:20: state 'dreaming': the indicator 'count(ride) >= 1' never fires.",
        "p.yaml:19: state 'dreaming': the indicator 'count(look) >= 1' fires at every event, so it tells nothing.",
        "p.yaml:9: feature 'looks' of the fingerprint is 2 for every customer.",
        "p.yaml:10: feature 'rides' of the fingerprint is 0 for every customer.",
    ]:
        assert expected in found, "\n".join(found)
    assert not any("count(look, within=1h) >= 2" in text for text in found)


def test_no_rows_is_a_finding() -> None:
    playbook = parse_playbook(BOOK)
    facts = check_log(playbook, make_log(playbook, [], warnings=["e.csv: no rows"]))
    found = [finding["text"] for finding in find_all(playbook, facts, "p.yaml")]
    assert found[:2] == ["e.csv: no rows.", "none of 0 rows can be used."]


def test_unmapped_names_find_their_class_however_they_are_spelt() -> None:
    names = {"productViewed": 1, "ORDER COMPLETED": 9, "qqqqqqqq": 5}
    assert [(r["raw_name"], r["nearest"]) for r in list_unmapped(load_playbook("shop"), names)] == [
        ("ORDER COMPLETED", "purchase"),
        ("qqqqqqqq", None),
        ("productViewed", "product_view"),
    ]


def test_values_are_described_without_the_missing() -> None:
    none = describe_values(np.array([np.nan, np.nan]))
    assert none == {"missing_share": 1.0, "min": None, "median": None, "max": None, "n_distinct": 0}


def test_a_playbook_alone_is_checked_without_events() -> None:
    found = check("saas", clock=CLOCK)
    assert found["events"] is None
    assert found["findings"] == []
    assert found["n_indicators"] > 5
    assert json.dumps(found)
    with pytest.raises(PlaybookError, match="Did you mean 'saas'"):
        check("sas", clock=CLOCK)


def test_warnings_are_findings(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(BOOK.replace("count(ride) >= 1", "recency(any) > 9d"), encoding="utf-8")
    (found,) = check(path, clock=CLOCK)["findings"]
    assert (found["about"], found["line"]) == ("playbook", 20)
    assert "can never fire" in found["text"]


def test_events_are_read_and_checked(tmp_path: Path) -> None:
    book, rows = tmp_path / "p.yaml", tmp_path / "e.csv"
    book.write_text(BOOK, encoding="utf-8")
    rows.write_text(
        "user_id,at,event,medium,known,price,sku,total\n"
        "a,2025-01-01T00:00:00Z,Viewed,search,,5,x,\n"
        "a,2025-01-01T00:01:00Z,Bought,search,,,,oops\n"
        "b,2025-01-01T00:02:00Z,Bike Riden,,,,,\n"
        "b,long ago,Viewed,,,,,\n",
        encoding="utf-8",
    )
    found = check(book, [str(rows)], clock=CLOCK)
    facts = found["events"]
    counts = facts["rows"]
    assert counts["read"] == 4 == counts["accepted"] + counts["duplicate"] + counts["quarantined"]
    assert sum(facts["quarantined_by_rule"].values()) == counts["quarantined"] >= 1
    assert facts["unmapped"] == [{"raw_name": "Bike Riden", "n_rows": 1, "nearest": "ride"}]
    assert any("belongs to no event class. Did you mean 'ride'?" in f["text"] for f in found["findings"])
    assert json.dumps(found, allow_nan=False)
    with pytest.raises(EventsError):
        check(book, [str(tmp_path / "none.csv")], clock=CLOCK)


def test_a_project_starts_from_a_ready_playbook(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "shop"
    book, page = init_project(folder, "media")
    assert load_playbook(book).name == "media"
    assert "sojourn check playbook.yaml EVENTS" in page.read_text(encoding="utf-8")
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "playbook.yaml"]


def test_a_project_overwrites_nothing_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine", encoding="utf-8")
    assert init_project(tmp_path) == (tmp_path / "playbook.yaml",)
    (tmp_path / "playbook.yaml").write_text("mine", encoding="utf-8")
    with pytest.raises(PlaybookError, match=r"exists already\. Run: sojourn init .* --force"):
        init_project(tmp_path)
    assert (tmp_path / "playbook.yaml").read_text(encoding="utf-8") == "mine"
    init_project(tmp_path, is_forced=True)
    assert load_playbook(tmp_path / "playbook.yaml").name == "shop"
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == "mine"


def test_a_project_needs_a_ready_playbook_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(PlaybookError, match="Did you mean 'shop'"):
        init_project(tmp_path / "x", "shp")
    assert not (tmp_path / "x").exists()
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(PlaybookError, match="cannot be written"):
        init_project(tmp_path / "file" / "x")
