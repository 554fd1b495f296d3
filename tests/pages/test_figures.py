"""Figures: one colour per state, findings with true numbers, words instead of codes, names that stay inert."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from sojourn.pages.figures.quality import draw_event_classes, draw_likelihood, draw_rows, draw_tradeoff
from sojourn.pages.figures.report import count_now_and_before, draw_all
from sojourn.pages.figures.style import COLORS, color_states, draw_nothing, duration_axis, plain
from sojourn.pages.results import Results
from sojourn.pages.words.states import find_marks, say_mark, strength_of
from sojourn.pages.words.transitions import find_signals
from tests.pages.fake_results import CLASSES, PLANTED, STATES, UNUSUAL, make_results

MARKUP = re.compile(r"<(?!br>|b>|/b>|extra></extra>|/extra>|span style=\"font-size:10px\">|/span>)")
NASTY = ("<script>alert(1)</script>", "<a href='javascript:alert(1)'>x</a>", "%{customdata[0]}", "a & b", "x" * 300)


@pytest.fixture(scope="module")
def results() -> Results:
    return make_results(n_customers=120)


@pytest.fixture(scope="module")
def figures(results: Results) -> dict[str, Any]:
    return draw_all(results)


def texts(value: Any) -> Iterator[str]:
    """Every text anywhere in a figure."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from texts(part)
    elif isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.dtype == object):
        for part in value:
            yield from texts(part)


def drawn(figure: Any) -> dict[str, Any]:
    """What Plotly draws of a figure; ``meta`` is for the page, which escapes it itself."""
    spec = figure.to_plotly_json()
    spec["layout"].pop("meta")
    return spec


def test_every_figure_is_there_with_a_finding_and_words(figures: dict[str, Any]) -> None:
    assert list(figures) == [
        "states", "fingerprints", "flow", "matrix", "dwell", "velocity", "tracked", "precedes", "triggers", "values",
        "growth", "moments", "paths", "journeys", "channels", "hybrid", "example_1", "example_2", "example_3",
        "example_4", "example_5", "tradeoff",
        "likelihood", "rows", "event_classes",
    ]  # fmt: skip
    for name, figure in figures.items():
        meta = figure.layout.meta
        assert meta["title"], name
        assert meta["about"], name
        assert figure.layout.title.text
        assert figure.data, name


def test_no_figure_shows_a_missing_number(figures: dict[str, Any]) -> None:
    for name, figure in figures.items():
        found = [t for t in texts(drawn(figure)) if re.search(r"\b(nan|None|inf)\b", t)]
        assert not found, (name, found[:3])
        for row in figure.layout.meta["rows"]:
            assert not re.search(r"\b(nan|None|inf)\b", " ".join(row)), (name, row)


def test_a_state_has_one_colour_everywhere(figures: dict[str, Any]) -> None:
    colors = color_states(STATES)
    assert list(figures["states"].data[0].marker.color) == list(colors.values())
    lines = {t.name: t.line.color for t in figures["dwell"].data if t.name}
    assert lines == {name: colors[name] for name in lines}
    assert len(lines) == len(STATES)
    flow = figures["flow"].data[0].node
    named = {label: color for label, color in zip(flow.label, flow.color, strict=True) if label in colors}
    assert named == {name: colors[name] for name in named}
    ribbons = {t.name: t.fillcolor for t in figures["example_1"].data if t.type == "scatter" and t.stackgroup}
    for name, fill in ribbons.items():
        r, g, b = (int(colors[name][i : i + 2], 16) for i in (1, 3, 5))
        assert fill.startswith(f"rgba({r},{g},{b},")


# Linear maps of red, green, blue as seen without one kind of cone: Machado, Oliveira, Fernandes 2009,
# doi:10.1109/TVCG.2009.113, severity 1.
BLINDNESS = {
    "none": np.eye(3),
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
}


def lightness_and_hue(color: str, seen: np.ndarray) -> np.ndarray:
    """The colour in Oklab (Ottosson 2020), where distances are about how different colours look."""
    rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(seen @ linear, 0, 1)
    cones = np.array(
        [
            [0.41222147, 0.53633254, 0.05144599],
            [0.21190350, 0.68069955, 0.10739696],
            [0.08830246, 0.28171884, 0.62997870],
        ]
    )
    lab = np.array(
        [
            [0.21045426, 0.79361779, -0.00407205],
            [1.97799850, -2.42859221, 0.45059371],
            [0.02590404, 0.78277177, -0.80867577],
        ]
    )
    return lab @ np.cbrt(cones @ linear)


@pytest.mark.parametrize("kind", BLINDNESS)
def test_colours_stay_apart_for_the_colour_blind(kind: str) -> None:
    seen = [lightness_and_hue(color, BLINDNESS[kind]) for color in COLORS]
    for n, least in ((5, 0.10), (len(COLORS), 0.045)):
        gaps = [np.linalg.norm(seen[i] - seen[k]) for i in range(n) for k in range(i)]
        assert min(gaps) >= least, (kind, n, min(gaps))


def test_the_states_figure_counts_customers(results: Results, figures: dict[str, Any]) -> None:
    held = results.customers["state"].to_pylist()
    bar = figures["states"].data[0]
    assert list(bar.x) == [held.count(name) for name in STATES]
    now, before = count_now_and_before(results)
    assert sum(before.values()) <= sum(now.values()) == len(held)
    top = max(STATES, key=held.count)
    assert f"{held.count(top)} of {len(held)} customers" in figures["states"].layout.meta["title"]


def test_the_flow_adds_up_to_the_customers_of_each_week(results: Results, figures: dict[str, Any]) -> None:
    window = figures["flow"].data[0]
    weeks = sorted(set(results.moves["flow"]["week_at"].to_pylist()))[-6:]
    rows = [r for r in results.moves["flow"].to_pylist() if r["week_at"] in weeks]
    assert sum(window.link.value) == sum(r["n"] for r in rows)
    assert np.all((np.array(window.node.y) > 0) & (np.array(window.node.y) < 1))
    into_last = [v for v, t in zip(window.link.value, window.link.target, strict=True) if window.node.x[t] > 0.99]
    assert sum(into_last) == results.customers.num_rows


def test_the_planted_precursor_leads_the_figure(figures: dict[str, Any], results: Results) -> None:
    assert PLANTED in figures["precedes"].layout.meta["title"]
    first = find_signals(results.moves["precedes"])[0]
    assert (first["from_state"], first["to_state"], first["event_class"]) == (STATES[1], STATES[2], PLANTED)
    assert figures["precedes"].layout.yaxis.ticktext[-1].startswith(PLANTED)
    assert sum(trace.visible for trace in figures["precedes"].data) == 1


def test_menus_show_one_set_at_a_time_and_together_everything(figures: dict[str, Any]) -> None:
    for name in ("flow", "velocity", "precedes"):
        figure = figures[name]
        shown = np.array([button.args[0]["visible"] for button in figure.layout.updatemenus[0].buttons])
        assert shown.shape[1] == len(figure.data), name
        assert np.all(shown.sum(axis=0) == 1), name


def test_an_example_ends_now_and_its_belief_adds_up(figures: dict[str, Any], results: Results) -> None:
    figure = figures["example_1"]
    ribbons = [t for t in figure.data if t.type == "scatter" and t.stackgroup]
    assert np.sum([t.y for t in ribbons], axis=0) == pytest.approx(1.0, abs=1e-3)
    bars = [t for t in figure.data if t.type == "bar"]
    published = results.examples[0]["state"].to_pylist()
    assert len(bars) == 1 + sum(a != b for a, b in itertools.pairwise(published))
    total = sum(t.x[0] for t in bars) / 1000
    begin, now = figure.layout.xaxis.range
    assert total == pytest.approx((now - begin).total_seconds())
    assert any("event:" in text for text in figure.data[-1].customdata)


def test_long_histories_are_cut_to_the_latest_moments(results: Results) -> None:
    trace = pa.concat_tables([results.examples[0]] * 30)
    assert trace.num_rows > 1_500
    more = Results(**{**vars_of(results), "examples": (trace,)})
    figure = draw_all(more)["example_1"]
    assert len(next(t for t in figure.data if t.type == "scatter" and t.stackgroup).y) == 1_501
    assert "latest 1,500 moments" in figure.layout.meta["title"]


def vars_of(results: Results) -> dict[str, Any]:
    names = ("playbook", "customers", "transitions", "quarantine", "fingerprints", "moves", "examples", "model", "run")
    return {**{name: getattr(results, name) for name in names}, "load_history": results.load_history}


def test_hostile_names_are_drawn_as_they_are_and_never_as_markup() -> None:
    results = make_results(n_customers=60, states=(*NASTY[:4], "fading"), classes=(*NASTY, "other"), about=NASTY[0])
    for name, figure in draw_all(results).items():
        found = [text for text in texts(drawn(figure)) if MARKUP.search(text)]
        assert not found, (name, found[:2])
    assert plain(NASTY[0]) == "&lt;script&gt;alert(1)&lt;/script&gt;"
    templates = {t for f in draw_all(results).values() for t in texts(drawn(f)) if "%{" in t and "extra" in t}
    assert templates == {"%{customdata}<extra></extra>"}


@pytest.mark.parametrize("case", UNUSUAL, ids=lambda case: ",".join(case))
def test_unusual_runs_are_drawn(case: dict[str, Any]) -> None:
    results = make_results(**{"n_customers": 40, **case})
    for name, figure in draw_all(results).items():
        assert figure.layout.meta["title"], name
        assert not [t for t in texts(drawn(figure)) if re.search(r"\b(nan|None)\b", t)], name


def test_a_run_of_nothing_says_so() -> None:
    empty = make_results(n_customers=1, n_examples=0)
    fields = vars_of(empty)
    for name in ("customers", "transitions", "quarantine", "fingerprints"):
        fields[name] = fields[name].schema.empty_table()
    fields["moves"] = {name: table.schema.empty_table() for name, table in empty.moves.items()}
    zero = {"read": 0, "accepted": 0, "duplicate": 0, "quarantined": 0}
    fields["run"] = {**empty.run, "rows": zero, "quarantined_by_rule": {}, "event_classes": [], "likelihood": []}
    fields["model"] = {**empty.model, "tradeoff": []}
    figures = draw_all(Results(**fields))
    assert all(figure.layout.meta.get("is_empty") for figure in figures.values())


def test_marks_are_frequent_and_stand_out(results: Results) -> None:
    for state in STATES:
        marks = find_marks(results.fingerprints, state)
        assert len(marks) <= 5
        assert all(strength_of(row) > 0 for row in marks)
    row = {"kind": "event class", "what": "compare", "value": 0.14, "overall": 0.044, "lift": 3.18}
    assert say_mark(row) == "compare is 14\u00a0% of the events here, 3.2 times as often as over all (4\u00a0%)"
    assert strength_of({**row, "overall": 0.0001, "lift": 40.0}) == 0
    assert strength_of({**row, "lift": None}) == 0
    assert "not enough data" in say_mark({**row, "value": float("nan")})


def test_trust_figures_by_hand() -> None:
    points = [
        {"delay_s": 60.0, "flaps_per_month": 2.0, "enter": 0.5, "is_chosen": False},
        {"delay_s": 600.0, "flaps_per_month": 0.4, "enter": 0.6, "is_chosen": True},
        {"delay_s": 700.0, "flaps_per_month": 0.9, "enter": 0.7, "is_chosen": False},
    ]
    figure = draw_tradeoff(points, 0.5)
    best, chosen = figure.data[1], figure.data[2]
    assert list(best.x) == [60.0, 600.0]  # the third is later and flips more: nobody would take it
    assert (list(chosen.x), list(chosen.y)) == ([600.0], [0.4])
    assert "10 minutes" in figure.layout.meta["title"]
    assert "still improving" in draw_likelihood([-100.0, -60.0, -40.0]).layout.meta["title"]
    assert "had settled" in draw_likelihood([-100.0, -60.0, -60.01]).layout.meta["title"]
    rows = draw_rows(
        {"rows": {"read": 10, "accepted": 7, "duplicate": 2, "quarantined": 1}, "quarantined_by_rule": {"time": 1}}
    )
    assert list(rows.data[0].x) == [7, 2, 1, 1]
    classes = draw_event_classes([{"event_class": f"c{i}", "n_rows": i} for i in range(1, 41)])
    assert "10 rarer classes" in classes.layout.meta["title"]
    assert list(classes.data[0].x)[:2] == [40, 39]


def test_duration_axes_have_ticks_inside() -> None:
    axis = duration_axis(50, 90_000)
    assert axis["ticktext"] == ["1 min", "10 min", "1 h", "6 h", "1 day"]
    assert duration_axis(0, 0)["range"][0] < duration_axis(0, 0)["range"][1]


def test_nothing_is_a_figure_too() -> None:
    figure = draw_nothing("Nobody <b>moved</b>.", "How to read it.")
    assert figure.layout.annotations[0].text == "Nobody &lt;b&gt;moved&lt;/b&gt;."
    assert figure.layout.meta["is_empty"] is True


def test_drawing_is_pure(results: Results) -> None:
    once, again = draw_all(results), draw_all(results)
    assert {k: v.to_json() for k, v in once.items()} == {k: v.to_json() for k, v in again.items()}
    assert len(CLASSES) == 10


def test_paths_are_rows_of_blocks_with_the_shares_of_the_table(results: Results, figures: dict[str, Any]) -> None:
    rows = [r for r in results.moves["paths"].to_pylist() if r["kind"] == "path"]
    rows = sorted(rows, key=lambda r: (-r["n_customers"], r["text"]))[:12]
    bars = [t for t in figures["paths"].data if t.type == "bar"]
    assert {bar.width for bar in bars} == {0.75}  # all blocks are as thick, and less than a row
    blocks = {(y, x): bar.name for bar in bars for y, x in zip(bar.y, bar.base, strict=True)}
    drawn = [[blocks[y, x] for x in range(5) if (y, x) in blocks] for y in reversed(range(len(rows)))]
    assert drawn == [r["steps"] for r in rows]
    assert rows[0]["text"] in figures["paths"].layout.meta["title"]


def test_journeys_and_channels_show_the_numbers_of_their_tables(results: Results, figures: dict[str, Any]) -> None:
    by_text = {r["text"]: r for r in results.moves["journeys"].to_pylist()}
    dots = figures["journeys"].data[0]
    names = figures["journeys"].layout.yaxis.ticktext
    assert len(names) > 3
    for name, x in zip(names, dots.x, strict=True):
        assert x == pytest.approx(min(max(by_text[name]["lift"], 0.05), 50))
    cells = {(r["state"], r["what"]): r for r in results.moves["channels"].to_pylist() if r["kind"] == "channel"}
    heat = figures["channels"].data[0]
    for channel, row in zip(figures["channels"].layout.yaxis.ticktext, heat.z, strict=True):
        for state, z in zip(STATES, row, strict=True):
            assert 2**z == pytest.approx(cells[state, channel]["index"])
