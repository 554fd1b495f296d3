"""The brief: true to its tables, one page, inert, and silent about customers and what is protected."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from sojourn.cli.main import app
from sojourn.errors import SojournError
from sojourn.pages.brief import TABLES, render_brief, write_brief
from sojourn.pages.results import Results
from sojourn.playbook.load import load_playbook
from tests.pages.fake_results import STATES, make_results

BROWSER = next((b for name in ("chromium", "chromium-browser", "google-chrome") if (b := shutil.which(name))), None)
TRIGGERS = pa.table(
    {
        "from_state": ["discovery", "decision", "decision"],
        "to_state": ["decision", "commitment", "commitment"],
        "covariate": ["review_read", "gender: female", "shipping_view"],
        "kind": ["event class"] * 3,
        "hazard_ratio": [2.4, 9.0, 1.7],
        "low": [2.1, 8.0, 1.2],
        "high": [2.7, 9.9, 2.1],
        "q": [0.001, 0.001, 0.01],
    }
)


@pytest.fixture(scope="module")
def results() -> Results:
    return make_results(seed=3)


def tables_of(results: Results) -> dict[str, pa.Table]:
    found = {"customers": results.customers, "fingerprints": results.fingerprints, **results.moves}
    return {name: found[name] for name in TABLES}


def brief_of(results: Results, state: str = "decision", **tables: pa.Table) -> dict[str, Any]:
    return write_brief(
        tables_of(results) | tables,
        results.examples,
        results.playbook,
        states=list(STATES),
        now=datetime.fromisoformat(results.run["now"]),
        state=state,
    )


@pytest.mark.parametrize("state", STATES)
def test_it_says_what_the_tables_say(state: str, results: Results) -> None:
    words = brief_of(results, state)
    moves = [r for r in results.moves["matrix"].to_pylist() if r["from_state"] == state]
    n = sum(r["n"] for r in moves)
    if moves:
        top = max(moves, key=lambda r: (r["n"], r["to_state"]))
        assert f"of the {n:,} moves out" in words["moves_on"][0]
        assert words["moves_on"][0].startswith(f"to {top['to_state']}: {100 * top['n'] / n:.0f}")
    held = results.customers["state"].to_pylist().count(state)
    assert words["size"].startswith(f"{held:,} customer")
    assert words["anxieties"] == ["hidden costs", "wrong size"]
    assert words["channels"] == ["search", "email"]
    best = max((r for r in results.moves["channels"].to_pylist() if (r["state"], r["kind"]) == (state, "channel")),
               key=lambda r: r["share_p"])  # fmt: skip
    assert words["where"][0].startswith(best["what"])
    assert any("app" in gap for gap in words["gaps"])
    assert words["avoid"]
    assert 1 <= len(words["journeys"]) <= 3


def test_triggers_are_told_where_they_are_known(results: Results) -> None:
    assert not any("2.4 times" in line for line in brief_of(results)["comes_in"])
    words = brief_of(results, triggers=TRIGGERS)
    assert any(line.startswith("review_read goes with 2.4 times as many moves") for line in words["comes_in"])


def test_an_unknown_state_is_an_error_with_the_nearest(results: Results) -> None:
    with pytest.raises(SojournError, match="Did you mean 'decision'"):
        brief_of(results, "decison")


def test_no_customer_and_nothing_protected_is_in_it(results: Results) -> None:
    states = tuple(
        replace(s, about="Mostly of one Gender.", anxieties=("age band", "wrong size"), channels=("email", "age-band"))
        for s in results.playbook.states
    )
    channels = pa.Table.from_pylist(
        [
            {**r, "what": "gender_club" if r["what"] == "app" else r["what"]}
            for r in results.moves["channels"].to_pylist()
        ],
        schema=results.moves["channels"].schema,
    )
    guarded = replace(
        results, playbook=replace(results.playbook, protected=("traits.gender", "age_band"), states=states)
    )
    words = brief_of(guarded, triggers=TRIGGERS, channels=channels)
    text = render_brief(words) + render_brief(words, "html") + json.dumps(words)
    assert not re.search(r"gender|age.?band", text, re.IGNORECASE)
    assert "customer-0" not in text
    assert "3 texts of the playbook are left out" in words["notes"][-1]
    assert words["anxieties"] == ["wrong size"]
    assert any("shipping_view" in line for line in words["moves_on"])


def test_hostile_words_stay_words(results: Results) -> None:
    evil = "<script>alert(1)</script> [x](javascript:1) `*b*`\n# heading"
    states = tuple(replace(s, about=evil, creative=evil, anxieties=(evil,)) for s in results.playbook.states)
    words = brief_of(replace(results, playbook=replace(results.playbook, states=states)))
    page = render_brief(words, "html")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "default-src 'none'" in html.unescape(page)
    assert not re.search(r"(src|href)=\"(?!#)", page)
    text = render_brief(words)
    assert not re.search(r"(?<!\\)<script", text)
    assert r"\[x\](javascript:1)" in text
    assert "\n# heading" not in text
    assert len(re.findall(r"^# ", text, re.M)) == 1


def test_markdown_and_page_have_the_same_parts(results: Results) -> None:
    words = brief_of(results)
    text, page = render_brief(words), render_brief(words, "html")
    assert set(re.findall(r"^## (.+)$", text, re.M)) == set(re.findall(r"<h2>(.+?)</h2>", page))
    assert "\n\n\n" not in text


@pytest.mark.skipif(BROWSER is None, reason="no chromium or chrome on this machine")
@pytest.mark.slow
def test_it_prints_on_one_page(results: Results, tmp_path: Path) -> None:
    long = "A sentence that goes on about what people in this state want and fear. " * 40
    states = tuple(
        replace(s, about=long, job=long, creative=long, anxieties=(long,) * 9) for s in results.playbook.states
    )
    for name, playbook in (("usual", load_playbook("shop")), ("long", replace(results.playbook, states=states))):
        page = tmp_path / f"{name}.html"
        page.write_text(render_brief(brief_of(replace(results, playbook=playbook)), "html"), encoding="utf-8")
        subprocess.run(
            [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
             f"--print-to-pdf={tmp_path / name}.pdf", "--no-pdf-header-footer", page.as_uri()],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        counts = re.findall(rb"/Type /Pages\s*/Count (\d+)|/Count (\d+)", (tmp_path / f"{name}.pdf").read_bytes())
        assert {int(a or b) for a, b in counts} == {1}, name


@pytest.fixture
def folder(results: Results, tmp_path: Path) -> Path:
    """What the command reads of a run."""
    for name, table in tables_of(results).items():
        pq.write_table(table, tmp_path / f"{name}.parquet")
    for i, trace in enumerate(results.examples):
        pq.write_table(trace, tmp_path / f"example_{i + 1}.parquet")
    (tmp_path / "playbook.yaml").write_text(load_playbook("shop").text, encoding="utf-8")
    (tmp_path / "model.json").write_text(json.dumps({"states": list(STATES)}), encoding="utf-8")
    (tmp_path / "run.json").write_text(json.dumps({"now": results.run["now"]}), encoding="utf-8")
    return tmp_path


def call(*args: str | Path) -> Any:
    return CliRunner(env={"NO_COLOR": "1"}).invoke(app, ["brief", *map(str, args)])


def test_the_command_writes_prints_and_refuses(folder: Path, tmp_path: Path) -> None:
    done = call("decision", "--out", folder)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("# Creative brief: decision")
    done = call("decision", "--out", folder, "--format", "html", "--to", folder / "brief.html")
    assert done.exit_code == 0
    assert (folder / "brief.html").read_text(encoding="utf-8").lower().startswith("<!doctype html>")
    assert json.loads(call("decision", "--out", folder, "--json").stdout)["state"] == "decision"
    pq.write_table(TRIGGERS, folder / "triggers.parquet")
    assert "2.4 times as many moves" in call("decision", "--out", folder).stdout
    for args, said in (
        (("decison", "--out", folder), "Did you mean 'decision'?"),
        (("decision", "--out", folder / "nowhere"), "holds no results"),
        (("decision", "--out", folder, "--to", folder / "no" / "where"), "cannot be written"),
    ):
        done = call(*args)
        assert done.exit_code == 2, done.output
        assert said in done.stderr
    (folder / "paths.parquet").unlink()
    assert "paths.parquet" in call("decision", "--out", folder).stderr
