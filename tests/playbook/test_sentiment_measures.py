"""Sentiment as a measure of events: one meaning in rules, in columns of a batch and in calls of the live engine."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.errors import PlaybookError
from sojourn.events.calls.read import NO_INSTANT, CallReader
from sojourn.events.read import EventLog, read_events
from sojourn.fold.batch import fold_events, make_batch, read_features
from sojourn.fold.layout import build_layout
from sojourn.frames.files import copy_beside
from sojourn.playbook.load import load_playbook, parse_playbook
from sojourn.playbook.objects import Playbook
from sojourn.playbook.rules.meaning import read_row
from sojourn.playbook.rules.rows import compile_row_rule
from sojourn.playbook.text.model import save_model
from sojourn.playbook.text.sentiment import score_text
from sojourn.playbook.text.train import train_sentiment

NOW = datetime(2026, 6, 1, tzinfo=UTC)
NOW_US = int(NOW.timestamp()) * 1_000_000
TEXT = """
playbook: reviews
source: {format: segment}
events:
  review:
    name: Reviewed
    measures: {sentiment: sentiment(properties.text), weighed: sentiment(properties.text) * properties.stars}
  angry:
    name: Complained
    where: sentiment(properties.text) < -0.3
    measures: {sentiment: sentiment(properties.text)}
features: {mood: "mean(sentiment, half_life=30d)", lately: last(sentiment), weight: last(weighed)}
states: {keen: {about: Keen.}, away: {about: Away.}}
"""
SAYINGS = (
    "I love it!", "Terrible, broke after a day.", "Das ist nicht gut", "", "  ", ":)", "No.", "It is a box.", None, 5,
    True, "sooooo good &amp; cheap", {"a": "I love it"}, " I love it! ", "XJ-9",
)  # fmt: skip


def read_both(playbook: Playbook, rows: list[dict[str, Any]]) -> tuple[EventLog, np.ndarray, np.ndarray]:
    """The log of the rows, and measures and classes of the same rows as calls; NaN and -1 where refused."""
    lines = [json.dumps(row) for row in rows]
    columns = {key: [row[key] for row in rows] for key in ("type", "messageId", "userId", "event", "timestamp")}
    table = pa.table({**columns, "properties": [json.dumps(row["properties"]) for row in rows]})
    log = read_events(table, playbook, now=NOW)
    layout = build_layout(playbook)
    calls = CallReader(playbook, layout).read(
        [line.encode() for line in lines], [1] * len(rows), np.full(len(rows), NOW_US), np.full(len(rows), NO_INSTANT)
    )
    measures, classes = np.full((len(rows), len(layout.measures)), np.nan), np.full(len(rows), -1)
    measures[calls.place], classes[calls.place] = calls.measures, calls.event_class
    return log, measures, classes


def make_rows(texts: list[Any], event: str = "Reviewed", stars: Any = 3) -> list[dict[str, Any]]:
    return [
        {"type": "track", "messageId": f"m{i:04}", "userId": "u1", "event": event,
         "timestamp": f"2026-05-01T10:{i // 60:02}:{i % 60:02}Z", "properties": {"text": text, "stars": stars}}
        for i, text in enumerate(texts)
    ]  # fmt: skip


@settings(max_examples=30)
@given(
    texts=st.lists(
        st.one_of(st.sampled_from(SAYINGS), st.text(st.characters(codec="utf-8", min_codepoint=1), max_size=40)),
        min_size=1, max_size=12,
    ),
    event=st.sampled_from(["Reviewed", "Complained"]),
)  # fmt: skip
def test_batch_and_live_read_the_same_sentiment(texts: list[Any], event: str) -> None:
    playbook = parse_playbook(TEXT)
    log, measures, classes = read_both(playbook, make_rows(texts, event))
    layout = build_layout(playbook)
    order = {name: i for i, name in enumerate(log.events["event_id"].to_pylist())}
    for i in range(len(texts)):
        at = order[f"m{i:04}"]
        assert log.events["event_class"][at].as_py() == playbook.class_names[classes[i]]
        for j, name in enumerate(layout.measures):
            np.testing.assert_array_equal(log.events[f"m_{name}"][at].as_py(), measures[i, j])


def test_features_of_sentiment_are_what_the_texts_say() -> None:
    playbook = parse_playbook(TEXT)
    texts = ["I love it!", "Das ist nicht gut", "Terrible, broke after a day."]
    log, _, _ = read_both(playbook, make_rows(texts))
    layout = build_layout(playbook)
    batch = make_batch(log.events, playbook)
    features = read_features(layout, fold_events(layout, batch, n_threads=1).vectors, NOW_US)[0]
    first, last = score_text(texts[0]).score, score_text(texts[2]).score
    assert features[0] == pytest.approx((first + last) / 2, abs=1e-4)  # the German text is missing, not neutral
    assert features[1] == last
    assert features[2] == pytest.approx(3 * last)


def test_texts_without_a_score_are_counted_and_told() -> None:
    log, _, _ = read_both(
        parse_playbook(TEXT), make_rows(["I love it!", "Das ist nicht gut", "Das war toll und gut", "XJ-9", ""])
    )
    assert log.languages["sentiment"] == {"de": 2, "scored": 1, "unknown": 1}
    assert any(warning.startswith("3 of 4 texts have no sentiment") and "de 2" in warning for warning in log.warnings)
    assert read_both(parse_playbook(TEXT), make_rows(["I love it!"]))[0].warnings == ()


def test_a_bad_number_beside_a_text_is_quarantined_alike() -> None:
    rows = make_rows(["I love it!", "I love it!"], stars="many")
    log, _, classes = read_both(parse_playbook(TEXT), rows)
    assert log.n_quarantined == 2
    assert "properties.stars is 'many'" in log.quarantine["found"][0].as_py()
    assert classes.tolist() == [-1, -1]


@pytest.mark.parametrize("text", ["I love it!", "Das ist nicht gut", "", "Bad."])
def test_the_plain_meaning_of_the_rule(text: str) -> None:
    found = read_row(compile_row_rule("sentiment(said)", "number"), {"said": text})
    score = score_text(text).score
    assert found is None if math.isnan(score) else found == score
    assert read_row(compile_row_rule("sentiment(said) < 0", "boolean"), {"said": text}) is (score < 0)


@pytest.mark.parametrize(
    "rule",
    ["sentiment()", "sentiment('x')", "sentiment(a, b)", "sentiment(a, 'x.json', 'y.json')", "sentiment(a, 'x.bin')",
     "sentiment(a, weight=2)", "sentiment(5)"],
)  # fmt: skip
def test_what_it_may_not_be_given(rule: str) -> None:
    with pytest.raises(PlaybookError, match=r"write sentiment\(column\)"):
        compile_row_rule(rule, "number")
    with pytest.raises(PlaybookError, match=r"a number is needed|is a number"):
        compile_row_rule("lower(sentiment(a))", "text")


def test_a_protected_column_is_not_read() -> None:
    with pytest.raises(PlaybookError, match="protected"):
        compile_row_rule("sentiment(faith)", "number", ("faith",))


def test_a_learned_model_beside_the_playbook_is_used(tmp_path: Path) -> None:
    texts = [f"the lid {i} was {'crisp' if i % 2 else 'soggy'} and it came on time" for i in range(200)]
    save_model(train_sentiment(texts, [i % 2 for i in range(200)]), tmp_path / "own.json")
    path = tmp_path / "book.yaml"
    path.write_text(
        TEXT.replace("sentiment(properties.text)", "sentiment(properties.text, 'own.json')")
        .replace(
            "{sentiment: sentiment(properties.text, 'own.json')",
            "{sentiment: \"sentiment(properties.text, 'own.json')\"",
        )
        .replace("weighed: sentiment(properties.text, 'own.json') * properties.stars", "weighed: properties.stars")
    )
    playbook = load_playbook(path)
    log, measures, _ = read_both(playbook, make_rows(["the lid was crisp", "the lid was soggy"]))
    said = log.events["m_sentiment"].to_pylist()
    assert said[0] > 0.5 > -0.5 > said[1]
    column = build_layout(playbook).measures.index("sentiment")
    assert measures[:, column].tolist() == said
    assert playbook.sentiment_models == (("own.json", str(tmp_path / "own.json")),)
    copy_beside(tmp_path / "own.json", "models/own.json", tmp_path / "results")
    assert (tmp_path / "results" / "models" / "own.json").read_bytes() == (tmp_path / "own.json").read_bytes()
    copy_beside(tmp_path / "own.json", "../stray.json", tmp_path / "results")
    assert not (tmp_path / "stray.json").exists()
    (tmp_path / "own.json").unlink()
    with pytest.raises(PlaybookError, match=r"own\.json: the sentiment model cannot be read"):
        load_playbook(path)
