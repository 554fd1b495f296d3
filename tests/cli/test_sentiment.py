"""The commands `sentiment` and `send-time`, and a run whose playbook reads texts."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from sojourn.cli.main import app
from sojourn.errors import SojournError
from sojourn.playbook.text.model import read_texts_file
from sojourn.simulation.customers import simulate

ROWS = [
    ("I love it, works perfectly!", "positive"),
    ("Terrible. It broke after a day.", "negative"),
    ("Leider nicht gut, die Farbe ist falsch.", "negative"),
    ("", "positive"),
]


def invoke(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return done.exit_code, done.output


def write_rows(path: Path, rows: list[tuple[str, object]], names: tuple[str, str] = ("text", "label")) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writerow(names)
        writer.writerows(rows)
    return path


def test_texts_are_scored_counted_and_compared(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv", list(ROWS))
    code, text = invoke("sentiment", path, "--label", "label", "--out", tmp_path / "s.parquet", "--json")
    assert code == 0, text
    facts = json.loads(text)
    assert (facts["texts"], facts["scored"], facts["not_scored"]) == (4, 2, {"de": 1})
    assert facts["agreement"] == {"compared": 2, "labelled": 4, "accuracy": 1.0, "auc": 1.0}
    table = pq.read_table(tmp_path / "s.parquet")
    assert table.column_names == ["row", "sentiment", "language"]
    assert table["language"].to_pylist() == ["en", "en", "de", None]
    code, text = invoke("sentiment", path)
    assert "4 texts, 2 scored" in text
    assert "de 1" in text


def test_a_model_is_learned_written_and_used(tmp_path: Path) -> None:
    rows = [(f"the lid {i} was {'crisp' if i % 2 else 'soggy'} and it came on time", i % 2) for i in range(200)]
    path = write_rows(tmp_path / "a.tsv", list(rows))
    model = tmp_path / "m.json"
    code, text = invoke("sentiment", path, "--label", "label", "--train", model)
    assert code == 0, text
    assert "accuracy 1.000" in text
    code, text = invoke("sentiment", path, "--label", "label", "--model", model, "--json")
    assert json.loads(text)["agreement"]["accuracy"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--train", "m.json"), "needs --label"),
        (("--label", "label", "--train", "m.bin"), "must end in .json"),
        (("--label", "label", "--train", "m.json"), "it takes 200"),
        (("--label", "labels",), "there is no column 'labels'"),
        (("--text", "txt",), "there is no column 'txt'"),
        (("--model", "none.json",), "cannot be read"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    code, text = invoke("sentiment", write_rows(tmp_path / "a.csv", list(ROWS)), *arguments)
    assert code == 2
    assert says in text


def test_files_of_every_kind_are_read(tmp_path: Path) -> None:
    lines = tmp_path / "a.jsonl"
    lines.write_text('{"text": "a", "stars": 5}\n{"text": null, "stars": null}\n')
    assert read_texts_file(str(lines), "text", None).texts == ["a", None]
    pq.write_table(pa.table({"text": ["x"], "stars": [4.5]}), tmp_path / "a.parquet")
    assert read_texts_file(str(tmp_path / "a.parquet"), "text", "stars").labels == [4.5]
    with pytest.raises(SojournError, match="'maybe' is no label"):
        read_texts_file(str(write_rows(tmp_path / "b.csv", [("x", "maybe")])), "text", "label")
    for name in ("a.doc", "none.csv"):
        with pytest.raises(SojournError, match=r"is read from|no such file"):
            read_texts_file(str(tmp_path / name), "text", None)


def test_check_tells_the_languages_that_have_no_score(tmp_path: Path) -> None:
    book = tmp_path / "book.yaml"
    book.write_text(
        "{playbook: r, source: {format: table, customer: who, time: at, event: what}, events: {review: {measures: "
        "{sentiment: sentiment(text)}}}, states: {keen: {about: Keen.}, away: {about: Away.}}}"
    )
    events = tmp_path / "events.csv"
    with events.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("who", "at", "what", "text"))
        rows.writerows(("u", f"2026-05-0{i + 1}", "review", said) for i, (said, _) in enumerate(ROWS))
    code, text = invoke("check", book, events, "--json")
    assert code == 0, text
    facts = json.loads(text)["events"]
    assert facts["sentiment_texts"] == {"sentiment": {"scored": 2, "de": 1}}
    assert any("1 of 3 texts have no sentiment" in warning for warning in facts["warnings"])


def test_send_times_are_written_and_the_same_again(tmp_path: Path) -> None:
    pq.write_table(simulate(120, days=120, seed=2).events, tmp_path / "events.parquet")
    for name in ("a", "b"):
        code, text = invoke("send-time", tmp_path / "events.parquet", "-p", "shop", "--out", tmp_path / name)
        assert code == 0, text
    assert "email:" in text
    table = pq.read_table(tmp_path / "a" / "send_times.parquet")
    assert table.equals(pq.read_table(tmp_path / "b" / "send_times.parquet"))
    facts = json.loads((tmp_path / "a" / "send_times.json").read_text())
    assert table.num_rows == facts["customers"]
    assert [check["channel"] for check in facts["channels"]] == ["email", "push"]
    code, text = invoke("send-time", tmp_path / "events.parquet", "-p", "shop", "--timezone", "Mars/Base")
    assert code == 2
    assert "not a time zone" in text
