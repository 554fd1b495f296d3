"""The report: self-contained, inert, true to its tables, and whole in unusual runs."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
import shutil
import subprocess
import time
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from sojourn.pages.html import LOADER
from sojourn.pages.report import render_report, write_page
from sojourn.pages.results import Results
from tests.pages.fake_results import CLASSES, PLANTED, STATES, UNUSUAL, make_quarantine, make_results

BROWSER = next((b for name in ("chromium", "chromium-browser", "google-chrome") if (b := shutil.which(name))), None)
HOSTILE = (
    "<script>document.title='owned'</script>",
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "'\"><svg/onload=document.title='owned'>",
    "{{ 7 * 7 }}{% raw %}",
)


class Page(HTMLParser):
    """Tags with attributes, texts outside scripts, and scripts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self._open: dict[str, str | None] | None = None
        self._style = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._style = tag == "style"
        if tag == "script":
            self._open = dict(attrs)
            self.scripts.append((self._open, ""))

    def handle_endtag(self, tag: str) -> None:
        self._style = False
        if tag == "script":
            self._open = None

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self.scripts[-1] = (self._open, self.scripts[-1][1] + data)
        elif not self._style:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def results() -> Results:
    return make_results(n_customers=120)


@pytest.fixture(scope="module")
def report(results: Results) -> str:
    return render_report(results)


@pytest.fixture(scope="module")
def page(report: str) -> Page:
    return Page(report)


def test_it_is_small_and_quick(results: Results, report: str) -> None:
    assert len(report.encode()) < 8_000_000
    fresh = Results(**fields_of(results))
    begin = time.process_time()
    render_report(fresh)
    assert time.process_time() - begin < 5


def test_the_same_results_give_the_same_page(results: Results, report: str) -> None:
    assert render_report(Results(**fields_of(results))) == report


def test_it_loads_nothing(page: Page) -> None:
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith("#"), (tag, name, value)
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
    assert {tag for tag, _ in page.tags}.isdisjoint({"link", "iframe", "object", "embed", "base", "form", "img"})


def test_the_policy_lets_only_the_two_scripts_run(page: Page) -> None:
    policy = next(
        a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    code = [text for attributes, text in page.scripts if attributes.get("type") != "application/json"]
    assert len(code) == 2
    assert code[1] == LOADER
    for text in code:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "connect-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "unsafe-inline" not in policy.split("style-src")[0]


def test_plotly_is_there_once_and_safe_inside_a_script(report: str, page: Page) -> None:
    code = page.scripts[-2][1]
    assert report.count(code[:200]) == 1
    assert "\r" not in code
    assert not re.search(r"<!--|</?script", code, re.IGNORECASE)


def test_every_figure_has_data_a_heading_and_words_for_those_who_cannot_see_it(page: Page, results: Results) -> None:
    data = {a["id"]: json.loads(text) for a, text in page.scripts if a.get("type") == "application/json"}
    assert set(data) == {f"data-{name}" for name in results.figures}
    boxes = [a for tag, a in page.tags if tag == "div" and a.get("class") == "plot"]
    assert {a["data-figure"] for a in boxes} == set(data)
    for box in boxes:
        assert box["role"] == "img"
        assert len(box["aria-label"] or "") > 60
    for figure in data.values():
        assert figure["data"]
        assert "title" not in figure["layout"]
        assert "meta" not in figure["layout"]


def test_headings_form_an_outline(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    ids = [a["id"] for _, a in page.tags if a.get("id")]
    assert len(ids) == len(set(ids))
    targets = {(a["href"] or "")[1:] for tag, a in page.tags if tag == "a"}
    assert targets <= set(ids)
    assert {a["aria-labelledby"] for _, a in page.tags if "aria-labelledby" in a} <= set(ids)


def test_findings_say_the_true_numbers(results: Results, page: Page) -> None:
    held = results.customers["state"].to_pylist()
    top = max(STATES, key=held.count)
    n, total = held.count(top), len(held)
    exits = [r for r in results.moves["matrix"].to_pylist() if r["from_state"] == top]
    goes_to = max(exits, key=lambda r: r["n"])
    said = write_page(results)["findings"]
    assert said[0].startswith(f"{n} customers ({100 * n / total:.0f}\u00a0%) are in {top}, ")
    assert f"most often to {goes_to['to_state']} ({100 * goes_to['p']:.0f}\u00a0%)" in said[0]
    assert any(f"Before moving from {STATES[1]} to {STATES[2]}, {PLANTED} comes" in sentence for sentence in said)
    for sentence in said:
        assert " ".join(sentence.split()) in page.text


def test_targets_are_said_with_where_they_stand(results: Results) -> None:
    said = write_page(results)["targets"]
    assert [sentence.split(":")[0] for sentence in said] == ["goal_0", "goal_1"]
    assert "within 2 days" in said[0]
    book = results.playbook.__class__(**{**vars(results.playbook), "targets": ()})
    assert write_page(Results(**{**fields_of(results), "playbook": book}))["targets"] == []


def test_every_state_has_its_card(page: Page, results: Results) -> None:
    cards = [a for tag, a in page.tags if tag == "article" and "card" in (a.get("class") or "")]
    assert len(cards) == len(STATES)
    for words in ("Pick the right product without regret.", "hidden costs, wrong size", "search, email"):
        assert page.text.count(words) == len(STATES)


def test_caveats_doubts_and_refused_rows_are_said(page: Page) -> None:
    for words in (
        "This is association, not cause",
        "30\u00a0% by the playbook, 7\u00a0% in the data",
        "events.jsonl:12",
        "time 'soon' cannot be read",
        "Legacy Ping",
        "2 of the rows could not be used",
        "Predictive value of states: conversion within 28 days: the states add nothing",
        "better than a chain that knows only the last event",
        "A customer moves to a state once it is at least 60\u00a0% likely",
    ):
        assert " ".join(words.split()) in page.text, words


def test_a_worse_model_is_said_to_be_worse(results: Results) -> None:
    run = {**results.run, "held_out": {"sojourn": -2.6, "textbook_hmm": -2.5, "markov_chain": -2.6}}
    said = write_page(Results(**{**fields_of(results), "run": run}))["trust"]
    assert any("worse than a textbook hidden Markov model" in sentence for sentence in said)
    assert any("as well as a chain" in sentence for sentence in said)


def fields_of(results: Results) -> dict[str, Any]:
    names = ("playbook", "customers", "transitions", "quarantine", "fingerprints", "moves", "examples", "model", "run")
    return {**{name: getattr(results, name) for name in names}, "load_history": results.load_history}


def hostile_results() -> Results:
    classes = (*HOSTILE, *CLASSES[5:])
    results = make_results(n_customers=80, states=HOSTILE, classes=classes, about=HOSTILE[0])
    run = {
        **results.run,
        "warnings": [HOSTILE[0]],
        "unmapped_events": {HOSTILE[2]: 3},
        "quarantined_by_rule": {HOSTILE[1]: 2},
    }
    return Results(**{**fields_of(results), "quarantine": make_quarantine(raw=HOSTILE[1]), "run": run})


def test_hostile_names_change_no_tag_of_the_page() -> None:
    states = ("a", "b", "c", "d", "e")
    harmless = make_results(
        n_customers=80, states=states, classes=("v", "w", "x", "y", "z", *CLASSES[5:]), about="about"
    )
    run = {**harmless.run, "warnings": ["w"], "unmapped_events": {"u": 3}, "quarantined_by_rule": {"r": 2}}
    tame = Page(render_report(Results(**{**fields_of(harmless), "run": run})))
    wild = Page(render_report(hostile_results()))

    def shape(page: Page) -> Counter[Any]:
        return Counter((tag, tuple(sorted(attributes))) for tag, attributes in page.tags)

    assert shape(wild) == shape(tame)
    for name in HOSTILE:
        assert " ".join(name.split()) in wild.text
    for attributes, text in wild.scripts:
        if attributes.get("type") == "application/json":
            assert "<" not in text
            json.loads(text)


@pytest.mark.parametrize("case", UNUSUAL, ids=lambda case: ",".join(case))
def test_unusual_runs_have_a_report(case: dict[str, Any]) -> None:
    page = Page(render_report(make_results(**{"n_customers": 40, **case})))
    assert not re.search(r"\b(nan|None|inf)\b", page.text)
    assert "Findings" in page.text
    if "never" in case:
        assert re.search(r"Nobody is in [a-z, ]*commitment[a-z, ]* now\.", page.text)
    if case.get("is_moving") is False:
        assert "Nobody has moved from one state to another yet." in page.text
    if case.get("n_examples") == 0:
        assert "close up" not in page.text
        assert "Rows that could not be used" not in page.text


def test_a_state_that_the_playbook_lacks_has_a_card_too(results: Results) -> None:
    book = results.playbook.__class__(**{**vars(results.playbook), "states": results.playbook.states[:-1]})
    cards = write_page(Results(**{**fields_of(results), "playbook": book}))["cards"]
    assert "still to be named" in cards[-1]["about"]


def browse(path: Path, profile: Path) -> tuple[str, str]:
    """The page as a browser has drawn it, and what its console says."""
    assert BROWSER is not None
    done = subprocess.run(
        [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", f"--user-data-dir={profile}", "--window-size=1280,2000",
            "--enable-logging=stderr", "--virtual-time-budget=20000", "--dump-dom", path.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium or chrome on this machine")
def test_a_browser_draws_every_figure_and_complains_of_nothing(report: str, results: Results, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(report, encoding="utf-8")
    drawn, console = browse(tmp_path / "report.html", tmp_path / "profile")
    assert console == ""
    assert drawn.count('data-drawn="yes"') == len(results.figures)
    assert drawn.count("js-plotly-plot") >= len(results.figures)


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium or chrome on this machine")
def test_hostile_names_do_nothing_in_a_browser(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(render_report(hostile_results()), encoding="utf-8")
    drawn, console = browse(tmp_path / "report.html", tmp_path / "profile")
    assert console == ""
    assert "<title>Who is in which state: shop</title>" in drawn
    assert "<img src=x" not in drawn
    assert 'href="javascript' not in drawn
