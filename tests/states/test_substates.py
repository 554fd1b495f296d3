"""Substates: as many as there are, the behaviour that was left out, and names that follow it through refits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from sojourn import run
from sojourn.cli.main import app
from sojourn.errors import SojournError
from sojourn.pipelines.names import list_substates, name_substate, read_names, show_names
from sojourn.pipelines.substates import substates
from sojourn.playbook.load import load_playbook
from sojourn.simulation.customers import simulate, true_state_at
from sojourn.simulation.world import STATES
from sojourn.states.model_file import load_model
from sojourn.states.substates import (
    SAME,
    WORTH,
    Emission,
    Named,
    _choose,
    describe_substates,
    find_names,
    match_named,
    measure_distance,
    miss_names,
    read_emission,
)
from tests.states.world import draw_events, make_book, make_rows

EXTRA = "{silence: [30m, 1d, 7d], extra_states: 2}"


def emission(
    *theta: float, silence: tuple[float, ...] = (0.5, 0.5), symbols: tuple[str, ...] | None = None
) -> Emission:
    names = symbols or tuple("abcdef"[: len(theta)])
    return Emission({"event_class": (names, theta)}, silence, {"event_class": 1.0})


# -- how many --------------------------------------------------------------------------------------------


def test_the_smallest_number_within_a_standard_error_or_not_worth_more_is_chosen() -> None:
    rng = np.random.default_rng(1)
    base = rng.normal(-100, 30, 400)
    noise = rng.normal(0, 1, 400)
    n_events = 40_000

    def chosen(*gains: np.ndarray) -> int:
        trials = _choose([base, *(base + g for g in gains)], n_events)
        assert [t.is_chosen for t in trials].count(True) == 1
        return next(t.n_extra for t in trials if t.is_chosen)

    clear = WORTH * n_events / 400 * 4  # per customer, four times what a state must be worth
    assert chosen(noise - noise.mean(), noise - noise.mean() - 1) == 0
    assert chosen(clear + noise, clear + noise + 0.1) == 1
    assert chosen(clear + noise, 3 * clear + noise) == 2
    assert chosen(np.full(400, WORTH * n_events / 400 * 0.9)) == 0  # sure, but not worth a state
    assert chosen(rng.normal(clear, 40 * clear, 400)) == 0  # worth one, but not sure


# -- likeness --------------------------------------------------------------------------------------------


def test_distance_is_hellingers() -> None:
    p, q = (0.36, 0.64), (1.0, 0.0)
    by_hand = np.sqrt(0.5 * sum((np.sqrt(a) - np.sqrt(b)) ** 2 for a, b in zip(p, q, strict=True)))
    assert measure_distance(emission(*p), emission(*q)) == pytest.approx((by_hand + 0) / 2)  # silences are the same
    assert measure_distance(emission(*p), emission(*p)) == pytest.approx(0, abs=1e-7)
    apart = emission(1, 0, silence=(1, 0)), emission(0, 1, silence=(0, 1))
    assert measure_distance(*apart) == pytest.approx(1)


def test_classes_are_matched_by_name_and_levels_by_place() -> None:
    a, b = emission(0.2, 0.8, symbols=("x", "y")), emission(0.8, 0.2, symbols=("y", "x"))
    assert measure_distance(a, b) == pytest.approx(0, abs=1e-7)
    one = Emission({"spend": (("< 3", ">= 3"), (0.2, 0.8))}, (1.0,), {"spend": 1.0})
    other = Emission({"spend": (("< 4", ">= 4"), (0.2, 0.8))}, (1.0,), {"spend": 1.0})
    assert measure_distance(one, other) == pytest.approx(0, abs=1e-7)


# -- names -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("extra") / "out"
    run(make_rows(draw_events(1)), make_book(model=EXTRA), out=out, n_threads=1)
    return out


def test_names_follow_their_states_through_a_refit_and_nothing_else_changes(folder: Path, tmp_path: Path) -> None:
    events, book = make_rows(draw_events(1)), make_book(model=EXTRA)
    before = load_model(json.loads((folder / "model.json").read_text()))
    seen = [read_emission(before, i) for i in (3, 4)]
    assert measure_distance(*seen) > 0.01  # else there would be nothing to tell apart
    # As if the numbers had been given the other way round when they were named.
    for state, name in (("extra_1", "hunters"), ("extra_2", "readers")):
        name_substate(folder, state, name)
    swapped = {"extra_1": "extra_2", "extra_2": "extra_1"}
    kept = json.loads((folder / "names.json").read_text())
    out = tmp_path / "again"
    out.mkdir()
    (out / "names.json").write_text(json.dumps({swapped[state]: one for state, one in kept.items()}))
    after = run(events, book, out=out, n_threads=1)
    model = load_model(after.model)
    assert after.model["names"] == {"extra_2": "hunters", "extra_1": "readers"}
    for old, new in ((3, 4), (4, 3)):
        assert np.array_equal(before.channels[0].theta[old], model.channels[0].theta[new])
        assert np.array_equal(before.hazards[old], model.hazards[new])
        assert before.event_transitions[0][old, 0] == model.event_transitions[0][new, 0]
    (folder / "names.json").unlink()


def test_the_report_and_the_summary_say_the_name_and_the_tables_the_key(tmp_path: Path) -> None:
    events, book = make_rows(draw_events(1)), make_book(model=EXTRA)
    run(events, book, out=tmp_path, n_threads=1)
    name_substate(tmp_path, "extra_1", "price <hunters>")
    results = run(events, book, out=tmp_path, n_threads=1)
    page = (tmp_path / "report.html").read_text()
    assert "price &lt;hunters&gt;" in page
    assert "extra_1" not in page
    assert "extra_2" in page
    assert "p_extra_1" in results.customers.column_names
    shown = show_names(results)
    assert "p_price <hunters>" in shown.customers.column_names
    was = [s.replace("extra_1", "price <hunters>") if s else s for s in results.customers["state"].to_pylist()]
    assert shown.customers["state"].to_pylist() == was
    assert shown.customers.schema.field("state").type == results.customers.schema.field("state").type


def test_a_state_that_is_gone_loses_its_name_and_the_run_says_so(folder: Path) -> None:
    model = load_model(json.loads((folder / "model.json").read_text()))
    strange = Emission({"event_class": (("help",), (1.0,))}, (0.0, 0.0, 0.0, 1.0), {"event_class": 1.0})
    near = read_emission(model, 3)
    names = (Named("extra_2", "helpers", strange), Named("extra_1", "hunters", near))
    assert match_named(model, names) == {"extra_1": "extra_1"}
    assert find_names(model, names) == {"extra_1": "hunters"}
    (sentence,) = miss_names(model, names)
    assert "helpers" in sentence


def test_each_substate_is_described_against_its_nearest_state(folder: Path) -> None:
    model = load_model(json.loads((folder / "model.json").read_text()))
    for found in describe_substates(model, {"extra_1": "hunters"}):
        mine = read_emission(model, model.states.index(found.state))
        distances = {s: measure_distance(mine, read_emission(model, i)) for i, s in enumerate(model.states[:3])}
        assert found.nearest == min(distances, key=distances.__getitem__)
        assert found.distance == pytest.approx(distances[found.nearest])
        assert found.name == ("hunters" if found.state == "extra_1" else None)


@pytest.mark.parametrize(
    ("state", "name", "says"),
    [
        ("extra_9", "x", "no discovered state"),
        ("browsing", "x", "no discovered state"),
        ("extra_1", "buying", "another state"),
        ("extra_1", "extra_2", "another state"),
        ("extra_1", " x", "one line"),
        ("extra_1", "a\nb", "one line"),
        ("extra_1", "", "one line"),
        ("extra_1", "x" * 61, "at most 60"),
    ],
)
def test_a_name_that_cannot_be_is_refused_and_nothing_is_written(
    folder: Path, state: str, name: str, says: str
) -> None:
    with pytest.raises(SojournError, match=says):
        name_substate(folder, state, name)
    assert not (folder / "names.json").exists()


def test_a_broken_file_of_names_is_said_to_be_one(tmp_path: Path) -> None:
    for text in ("{", '{"extra_1": 3}', '{"extra_1": {"name": "x"}}', "[]"):
        (tmp_path / "names.json").write_text(text)
        if text == "[]":
            continue
        with pytest.raises(SojournError, match="no names that"):
            read_names(tmp_path)
    with pytest.raises(SojournError, match="no results"):
        list_substates(tmp_path)


def test_the_command_lists_and_names(folder: Path) -> None:
    def call(*args: object) -> str:
        done = CliRunner(env={"NO_COLOR": "1"}).invoke(app, [str(a) for a in args])
        assert done.exit_code == 0, done.output
        return done.stdout

    assert "not named; it could be called" in call("name", folder)
    assert "called 'hunters'" in call("name", folder, "extra_1", "hunters")
    assert json.loads(call("name", folder, "--json"))["substates"][0]["name"] == "hunters"
    (folder / "names.json").unlink()


# -- against truth ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_state_that_the_playbook_lacks_is_found_and_is_the_right_one(tmp_path: Path) -> None:
    """The shop without its playbook's `reinforcement`: one extra state, and it holds those who are in that one."""
    world = simulate(200, days=120, seed=3)
    full = load_playbook("shop")
    book = replace(full, states=tuple(s for s in full.states if s.name != "reinforcement"), targets=())
    found = substates(world.events, book, n_most=2, n_threads=1, max_customers=200)
    assert found.n_extra == 1
    assert found.substates[0].distance > SAME
    wider = replace(book, model=replace(book.model, extra_states=1))
    history = run(world.events, wider, n_threads=1).history
    mine = history.filter(pa.compute.equal(history["smoothed_state"], "extra_1"))
    truth = true_state_at(world.truth, mine["customer_id"], mine["event_at"])
    assert (truth == STATES.index("reinforcement")).mean() > 0.8


@pytest.mark.slow
def test_a_playbook_that_has_them_all_needs_no_more() -> None:
    assert substates(simulate(200, days=120, seed=3).events, "shop", n_most=1, n_threads=1).n_extra == 0
