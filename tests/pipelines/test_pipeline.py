"""The whole run: the same bytes again, tables that agree with each other and with the docs, edges of input."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sojourn.errors import SojournError
from sojourn.frames.schemas import HISTORY, QUARANTINE, TRANSITIONS, customers_schema
from sojourn.pages.results import Results
from sojourn.pipelines import results as results_of_jobs
from sojourn.pipelines import run as pipeline
from sojourn.pipelines.run import run
from sojourn.pipelines.stages import samples, states, transitions
from sojourn.pipelines.stages.work import TABLES, choose_stages
from sojourn.playbook.objects import Playbook
from sojourn.simulation.customers import simulate
from tests import ROOT
from tests.states.world import START, draw_events, make_book, make_rows

ALWAYS = {
    "customers", "history", "transitions", "quarantine", "fingerprints", "last_seen", "matrix", "weekly", "flow",
    "dwell", "velocity", "velocity_changes", "velocity_cohorts", "precedes", "triggers", "journeys", "paths",
    "channels", "values", "moments", "hybrid", "growth",
}  # fmt: skip


@pytest.fixture(scope="module")
def small() -> Results:
    """One run of the small shop in memory."""
    return run(make_rows(draw_events(1)), make_book(), n_threads=1)


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> tuple[Results, Path]:
    """One run of the ready playbook on simulated customers, written."""
    out = tmp_path_factory.mktemp("shop") / "out"
    return run(simulate(60, days=60, seed=4).events, "shop", out=out, n_threads=2), out


def check_tables(results: Results, n_rows: int) -> None:
    """What must hold of every run, whatever the input."""
    model = results.model
    states, customers, history = model["states"], results.customers, results.history
    features = [f.name for f in results.playbook.features]
    assert customers.schema.equals(customers_schema(states, features))
    assert history.schema.equals(HISTORY)
    assert results.transitions.schema.equals(TRANSITIONS)
    assert results.quarantine.schema.equals(QUARANTINE)
    assert history.num_rows == results.run["rows"]["accepted"]
    assert sum(results.run["rows"][k] for k in ("accepted", "duplicate", "quarantined")) == n_rows
    assert len(set(customers["customer_id"].to_pylist())) == customers.num_rows == results.run["customers"]
    touches = set(results.playbook.touches)
    now = datetime.fromisoformat(results.run["now"])
    by_customer, moves_of = defaultdict(list), defaultdict(list)
    for row in history.to_pylist():
        by_customer[row["customer_id"]].append(row)
    for move in results.transitions.to_pylist():
        moves_of[move["customer_id"]].append(move)
    for row in customers.to_pylist():
        mine, moves = by_customer[row["customer_id"]], moves_of[row["customer_id"]]
        own = [r for r in mine if r["event_class"] not in touches]
        assert row["n_events"] == len(mine)
        if not own:
            empty = ["first_at", "last_at", "state", "since_at", "state_p", "runner_up", "reasons"]
            empty += [f"p_{s}" for s in states]
            assert all(row[name] is None for name in empty)
            assert not moves
            continue
        p = np.array([row[f"p_{s}"] for s in states])
        assert p.sum() == pytest.approx(1, abs=1e-12)
        assert np.isfinite(p).all()
        assert (row["first_at"], row["last_at"]) == (own[0]["event_at"], own[-1]["event_at"])
        assert row["state_p"] == row[f"p_{row['state']}"]
        others = [s for s in states if s != row["state"]]
        assert row["runner_up"] == max(others, key=lambda s: row[f"p_{s}"])
        odds = np.log(row["state_p"] / row[f"p_{row['runner_up']}"])
        assert sum(r["weight"] for r in row["reasons"]) == pytest.approx(odds, abs=1e-8)
        replay(row, mine, moves, touches, now)


def replay(row: dict, mine: list[dict], moves: list[dict], touches: set[str], now: datetime) -> None:
    """The published states of the history and of now, again from the moves alone."""
    own = [r for r in mine if r["event_class"] not in touches]
    begun, since = moves[0]["from_state"] if moves else row["state"], own[0]["event_at"]
    state = begun
    for move in moves:
        assert move["from_state"] == state != move["to_state"]
        assert since <= move["at"] <= now
        assert move["dwell_s"] == pytest.approx((move["at"] - since).total_seconds(), abs=1e-6)
        assert (move["cause"] == "silence") == (move["event_id"] is None) == (move["event_class"] is None)
        state, since = move["to_state"], move["at"]
    assert (row["state"], row["since_at"]) == (state, since)
    waiting, state, is_begun = list(moves), begun, False
    for r in mine:  # in the order in which they happened
        while waiting and waiting[0]["cause"] == "silence" and waiting[0]["at"] <= r["event_at"]:
            state = waiting.pop(0)["to_state"]
        if waiting and waiting[0]["event_id"] == r["event_id"]:
            assert (waiting[0]["at"], waiting[0]["event_class"]) == (r["event_at"], r["event_class"])
            state = waiting.pop(0)["to_state"]
        is_begun |= r["event_class"] not in touches
        assert r["state"] == (state if is_begun else None)
        assert (r["smoothed_state"] is None) == (r["filtered_p"] is None) == (not is_begun)
        if is_begun:
            assert 1 / len(row) < r["smoothed_p"] <= 1 + 1e-12
            assert 1 / len(row) < r["filtered_p"] <= 1 + 1e-12
    assert all(move["cause"] == "silence" for move in waiting)


def digests(folder: Path) -> dict[str, str]:
    """A digest of each Parquet file of a folder, and of the model."""
    files = [*folder.glob("*.parquet"), folder / "model.json"]
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(files)}


# -- the same again ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_fresh_processes_write_the_same_bytes_also_with_ties(tmp_path):
    events = make_rows(draw_events(5, has_ties=True))
    assert len(set(events["at"].to_pylist())) < events.num_rows
    pq.write_table(events, tmp_path / "events.parquet")
    (tmp_path / "small.yaml").write_text(make_book().text)
    code = "import sys, sojourn; a = sys.argv; sojourn.run(a[1], a[2], out=a[3], seed=3, n_threads=int(a[4]))"
    found = []
    for n_threads in (1, 2):
        out = tmp_path / f"out{n_threads}"
        command = [sys.executable, "-c", code, str(tmp_path / "events.parquet"), str(tmp_path / "small.yaml"), str(out)]
        # Another seed of Python's own hashes: no order of a set may reach a table.
        env = {**os.environ, "PYTHONHASHSEED": str(n_threads)}
        subprocess.run([*command, str(n_threads)], check=True, cwd=ROOT, env=env, timeout=300)
        found.append(digests(out))
    assert found[0] == found[1]
    assert {Path(name).stem for name in found[0]} >= ALWAYS


@pytest.mark.slow
def test_threads_and_processes_change_no_byte_with_the_ready_playbook(shop, tmp_path):
    _, out = shop
    pq.write_table(simulate(60, days=60, seed=4).events, tmp_path / "events.parquet")
    code = "import sys, sojourn; sojourn.run(sys.argv[1], 'shop', out=sys.argv[2], n_threads=1)"
    command = [sys.executable, "-c", code, str(tmp_path / "events.parquet"), str(tmp_path / "out")]
    subprocess.run(command, check=True, cwd=ROOT, timeout=600)
    assert digests(tmp_path / "out") == digests(out)


def test_order_in_the_file_matters_only_among_equal_instants(small):
    rows = make_rows(draw_events(1))
    shuffled = rows.take(np.random.default_rng(0).permutation(rows.num_rows))
    again = run(shuffled, make_book(), n_threads=1)
    for name in ("customers", "history", "transitions", "fingerprints"):
        assert getattr(again, name).equals(getattr(small, name)), name
    tied = make_rows(draw_events(5, has_ties=True))
    # A stable shuffle: rows of one instant keep their order.
    when = np.array(tied["at"].cast(pa.int64()))
    chance = np.random.default_rng(1).random(len(when))[np.unique(when, return_inverse=True)[1]]
    kept = tied.take(np.argsort(chance, kind="stable"))
    first, second = (run(t, make_book(), n_threads=1) for t in (tied, kept))
    for name in ("customers", "history", "transitions", "fingerprints"):
        assert getattr(first, name).equals(getattr(second, name)), name


def test_seed_is_all_the_chance_there_is(small):
    assert run(make_rows(draw_events(1)), make_book(), n_threads=1).model == small.model
    assert run(make_rows(draw_events(1)), make_book(), seed=1, n_threads=1).run["seed"] == 1


def test_in_memory_and_written_agree(small, tmp_path):
    out = tmp_path / "out"
    written = run(make_rows(draw_events(1)), make_book(), out=out, n_threads=2)
    for name in ("customers", "history", "transitions", "quarantine", "fingerprints"):
        table = getattr(written, name)
        assert table.equals(getattr(small, name)), name
        assert table.schema.equals(getattr(small, name).schema), name
        stored = pq.read_table(out / f"{name}.parquet")
        assert stored.equals(table), name
        assert stored.schema.equals(table.schema), name
    for name, table in small.moves.items():
        assert table.equals(written.moves[name]), name
        assert pq.read_table(out / f"{name}.parquet").equals(table), name
    for i, trace in enumerate(small.examples):
        assert pq.read_table(out / f"example_{i + 1}.parquet").equals(trace)
    assert json.loads((out / "model.json").read_text()) == small.model == written.model
    stored_run = json.loads((out / "run.json").read_text())
    assert {f"{name}.parquet" for name in stored_run["tables"]} == {f.name for f in out.glob("*.parquet")}
    volatile = ("stages", "tables")
    assert {k: v for k, v in stored_run.items() if k not in volatile} == {
        k: v for k, v in small.run.items() if k not in volatile
    }
    assert [s["stage"] for s in stored_run["stages"]][-1] == "write results"
    assert (out / "playbook.yaml").read_text() == make_book().text
    assert "<html" in (out / "report.html").read_text()
    known = {f"{name}.parquet" for name in ALWAYS} | {f"example_{i + 1}.parquet" for i in range(5)}
    assert {f.name for f in out.iterdir()} == known | {"model.json", "run.json", "report.html", "playbook.yaml"}


# -- tables that agree with each other -----------------------------------------------------------------------


def test_tables_agree(small):
    check_tables(small, len(draw_events(1)))
    assert small.transitions.num_rows > 50
    assert {"event", "silence"} == set(small.transitions["cause"].to_pylist())


def test_tables_of_the_ready_playbook_agree(shop):
    check_tables(shop[0], shop[0].run["rows"]["read"])


def test_history_has_each_accepted_event_once(small):
    assert sorted(small.history["event_id"].to_pylist()) == sorted(f"m{i}" for i in range(small.history.num_rows))
    at_of = {f"m{i}": (e[0], e[2]) for i, e in enumerate(draw_events(1))}
    for row in small.history.to_pylist():
        customer, event_class = at_of[row["event_id"]]
        assert row["customer_id"] == customer
        assert row["event_class"] == ("other" if event_class == "Unknown" else event_class)


def test_channels_are_those_of_the_events_also_of_a_sample(monkeypatch):
    """A few customers drawn: every one of their events keeps its own channel and state."""
    events = simulate(40, days=60, seed=4).events
    seen = []

    def spy(work, found, names, travels, at, rng):
        seen.append(travels)
        return traced(work, found, names, travels, at, rng)

    traced = transitions.trace
    monkeypatch.setattr(samples, "MOST_EVENTS", 1_200)
    monkeypatch.setattr(transitions, "trace", spy)
    results = run(events, "shop", n_threads=1)
    raw = {row["message_id"]: row["channel"] for row in events.select(["message_id", "channel"]).to_pylist()}
    drawn = set(seen[0]["customer_id"].to_pylist())
    assert 3 < len(drawn) < 40
    truth = [
        (r["customer_id"], r["event_at"], r["event_class"], r["state"], raw[r["event_id"]])
        for r in results.history.to_pylist()
        if r["customer_id"] in drawn
    ]
    assert [tuple(row.values())[:5] for row in seen[0].to_pylist()] == truth
    own = Counter((state, channel) for *_, name, state, channel in truth if name not in results.playbook.touches)
    rows = [r for r in results.moves["channels"].to_pylist() if r["kind"] == "channel" and r["n_events"]]
    assert {(r["state"], r["what"]): r["n_events"] for r in rows} == {k: n for k, n in own.items() if all(k)}


def test_traces_tell_the_same_story_as_the_history(small):
    states = small.model["states"]
    history = {row["event_id"]: row for row in small.history.to_pylist()}
    customers = {row["customer_id"]: row for row in small.customers.to_pylist()}
    assert len(small.examples) == 5
    for trace in small.examples:
        rows = trace.to_pylist()
        for row in rows:
            p = {s: row[f"p_{s}"] for s in states}
            assert sum(p.values()) == pytest.approx(1, abs=1e-9)
            if row["kind"] == "silence":
                assert row["event_id"] is None
                assert row["reasons"] is None
                continue
            seen = history[row["event_id"]]
            assert seen["event_at"] == row["at"]
            assert (seen["event_class"], seen["state"]) == (row["event_class"], row["state"])
            assert seen["filtered_p"] == pytest.approx(max(p.values()), abs=1e-12)
            if row["kind"] == "event":
                rival = max((s for s in states if s != row["state"]), key=lambda s: p[s])
                told = sum(r["weight"] for r in row["reasons"])
                assert told == pytest.approx(np.log(p[row["state"]] / p[rival]), abs=1e-8)
        assert all(a["at"] <= b["at"] for a, b in pairwise(rows))
        last = customers[rows[-1]["customer_id"]]
        if last["since_at"] <= rows[-1]["at"]:
            assert rows[-1]["state"] == last["state"]
        for s in states:
            assert rows[-1][f"p_{s}"] == pytest.approx(last[f"p_{s}"], abs=1e-9)


def test_features_are_as_of_now(small):
    book = make_book(features="{looks: 'count(look)', spend: 'sum(revenue)', quiet: 'recency(any)'}")
    now = START + timedelta(days=61)
    found = run(make_rows(draw_events(1)), book, now=now, n_threads=1).customers.to_pylist()
    events = draw_events(1)
    for row in found:
        mine = [e for e in events if e[0] == row["customer_id"]]
        assert row["f_looks"] == sum(e[2] == "look" for e in mine)
        assert (row["f_spend"] or 0) == 10 * sum(e[2] == "buy" for e in mine)
        assert row["f_quiet"] == pytest.approx((now - row["last_at"]).total_seconds(), rel=1e-9)


# -- edges of input ------------------------------------------------------------------------------------------

ODD = ["é", "a b", "x'y\"", "../z", "漢字", "1e5", "null", "<b>", "a\tb"]
LIVES = {
    "one customer, one event": [("a", 0, "look")],
    "one customer": [("a", i * 5.0, ["look", "buy", "help"][i % 3]) for i in range(40)],
    "two customers, two events": [("a", 0, "look"), ("b", 1, "help")],
    "all at one instant": [(f"c{i % 7}", 3.0, ["look", "buy", "help", "mail"][i % 4]) for i in range(80)],
    "no event of any class": [(f"c{i % 7}", i * 3.0, "Unknown") for i in range(60)],
    "a customer with only touches": [*draw_events(2, 6, 20), ("touched", 5.0, "mail"), ("touched", 90.0, "mail")],
    "touches first": [("a", 0, "mail"), ("a", 1, "look"), ("b", 0, "mail"), ("b", 2, "mail"), ("b", 3, "buy")],
    "odd ids": [(odd, i * 7.0 + j, "look") for j, odd in enumerate(ODD) for i in range(4)],
}  # fmt: skip


@pytest.mark.parametrize("life", LIVES)
def test_unusual_lives(life, tmp_path):
    events = LIVES[life]
    results = run(make_rows(events), make_book(), out=tmp_path / "out", n_threads=1)
    check_tables(results, len(events))
    assert results.run["rows"]["accepted"] + results.run["rows"]["quarantined"] == len(events)
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000


BOOKS: dict[str, dict[str, str]] = {
    "silence off": {"model": "{silence: off}"},
    "silence learned": {"model": "{silence: learned}"},
    "one boundary": {"model": "{silence: [1d]}"},
    "extra states": {"model": "{extra_states: 2}"},
    "no fingerprint": {"fingerprint": "[]"},
    "no indicators": {"indicators": "[]"},
    "nothing but classes": {"fingerprint": "[]", "indicators": "[]"},
    "a constant feature": {"features": "{looks: '1 + 0 * count(look)', spend: 'count(help, within=1s) * 0'}"},
    "a feature that is never there": {"features": "{looks: 'last(revenue) / 0', spend: 'mean(revenue)'}"},
    "thresholds from the playbook": {"stability": "{enter: 0.7, margin: 0.1, exit: 0.3, min_dwell: 1h}"},
}


@pytest.mark.parametrize("name", BOOKS)
def test_unusual_playbooks(name, tmp_path):
    events = draw_events(8, 25, 40)
    results = run(make_rows(events), make_book(**BOOKS[name]), out=tmp_path / "out", n_threads=1)
    check_tables(results, len(events))
    boundaries = results.model["silence"]["boundaries_s"]
    if name == "silence off":
        assert boundaries == []
        assert all(len(hazards) == 0 for hazards in results.model["silence"]["hazards"].values())
    if name == "silence learned":
        assert 1 <= len(boundaries) <= 6
    if name == "extra states":
        assert results.model["states"][-2:] == ["extra_1", "extra_2"]
        assert results.model["written"] == ["browsing", "buying", "gone"]
    if name == "thresholds from the playbook":
        assert results.model["thresholds"] == {"enter": 0.7, "margin": 0.1, "exit": 0.3, "min_dwell_s": 3600.0}
        assert len(results.model["tradeoff"]) == 1


def make_states(n: int) -> Playbook:
    """The small shop with n states."""
    from sojourn.playbook.load import parse_playbook

    text = make_book().text
    head, tail = text.split("states:\n")[0], "stability:" + text.split("stability:")[1]
    classes = ["look", "buy", "help"]
    states = "".join(f"  s{i}: {{typical: {{{classes[i % 3]}: {2 + i}}}}}\n" for i in range(n))
    return parse_playbook(f"{head}states:\n{states}{tail}", "states.yaml")


@pytest.mark.parametrize("n", [2, pytest.param(12, marks=pytest.mark.slow)])
def test_numbers_of_states(n):
    events = draw_events(9, 25, 40)
    labels = [f"s{i % n}" if i % 50 == 0 else None for i in range(len(events))]
    check_tables(run(make_rows(events, labels), make_states(n), n_threads=1), len(events))


def test_only_touches_is_an_error(tmp_path):
    with pytest.raises(SojournError, match="touches"):
        run(make_rows([("a", 0, "mail"), ("b", 4, "mail")]), make_book(), out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_no_rows_is_an_error():
    with pytest.raises(SojournError, match=r"0 rows|no rows|none of"):
        run(make_rows([]), make_book())


def test_a_long_history_of_one_customer():
    events = [("a", i / 60, ["look", "look", "buy"][i % 3] if i % 3000 < 2000 else "help") for i in range(20_000)]
    check_tables(run(make_rows(events), make_book(), n_threads=2), len(events))


def test_labels_pull_the_smoothed_state():
    events = draw_events(3, 25, 40)
    rows = run(make_rows(events), make_book(), n_threads=1).history.to_pylist()
    browsing = [r for r in rows if r["event_class"] == "look" and r["smoothed_state"] == "browsing"]
    middle = browsing[len(browsing) // 2]
    near = [r["event_id"] for r in rows if r["customer_id"] == middle["customer_id"]]
    near = near[near.index(middle["event_id"]) - 1 :][:4]
    labels = ["buying" if f"m{i}" in near else None for i in range(len(events))]
    results = run(make_rows(events, labels), make_book(), n_threads=1)
    check_tables(results, len(events))
    after = next(r for r in results.history.to_pylist() if r["event_id"] == middle["event_id"])
    assert (after["smoothed_state"], after["filtered_state"]) == ("buying", "buying")
    assert "label" not in results.model["channels"]


def test_a_label_that_names_no_state_is_told():
    events = draw_events(3, 25, 40)
    labels = ["gonne" if i % 10 == 0 else None for i in range(len(events))]
    warnings = " ".join(run(make_rows(events, labels), make_book(), n_threads=1).run["warnings"])
    assert "gonne" in warnings


# -- now -----------------------------------------------------------------------------------------------------


def test_a_year_later_everyone_has_crossed_every_boundary(small, tmp_path):
    last = datetime.fromisoformat(small.run["now"])
    out = tmp_path / "out"
    later = run(make_rows(draw_events(1)), make_book(), now=last + timedelta(days=365), out=out, n_threads=1)
    check_tables(later, len(draw_events(1)))
    assert set(pq.read_table(out / "last_seen.parquet")["n_ticks"].to_pylist()) == {3}
    assert datetime.fromisoformat(later.run["now"]) == last + timedelta(days=365)
    assert later.customers["state"].to_pylist().count("gone") > 0.8 * later.customers.num_rows


def test_now_without_zone_is_utc():
    now = START + timedelta(days=70)
    events = make_rows(draw_events(1))
    one, two = (run(events, make_book(), now=n, n_threads=1) for n in (now, now.replace(tzinfo=None)))
    assert one.run["now"] == two.run["now"]
    assert one.customers.equals(two.customers)


def test_now_before_the_data_quarantines_what_lies_ahead():
    events = draw_events(1)
    with pytest.raises(SojournError, match="none of the"):
        run(make_rows(events), make_book(), now=START - timedelta(days=10))
    now = START + timedelta(days=30)
    results = run(make_rows(events), make_book(), now=now, n_threads=1)
    check_tables(results, len(events))
    ahead = sum(e[1] > 31 * 24 for e in events)
    assert results.run["rows"]["quarantined"] == ahead
    # Clocks differ: a day after now is let in, and then now is the last event.
    assert now <= datetime.fromisoformat(results.run["now"]) <= now + timedelta(days=1)


# -- progress, interrupts ------------------------------------------------------------------------------------


def test_progress_tells_every_stage_from_begin_to_end():
    told: list[tuple[str, int, int]] = []
    results = run(make_rows(draw_events(1, 12, 20)), make_book(), progress=lambda *a: told.append(a), n_threads=1)
    stages = list(dict.fromkeys(stage for stage, _, _ in told))
    assert stages == [s["stage"] for s in results.run["stages"]]
    for stage in stages:
        mine = [(done, n) for s, done, n in told if s == stage]
        assert mine[0][0] == 0
        assert mine[-1][0] == mine[-1][1]
        assert all(0 <= done <= n for done, n in mine)


STOPS = [
    (pipeline, "read"), (pipeline, "fit"), (states, "history_batch"), (pipeline, "analyse"),
    (results_of_jobs, "write_json"),
]  # fmt: skip


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop[1])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_stopping_anywhere_leaves_the_folder_as_it_was(stop, error, tmp_path, monkeypatch):
    rows, book = make_rows(draw_events(1, 12, 20)), make_book()
    out = tmp_path / "deep" / "out"
    run(rows, book, out=out, n_threads=1)
    (out / "notes.txt").write_text("mine")
    before = {f.name: f.read_bytes() for f in out.iterdir()}

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(*stop, fail)
    expected = KeyboardInterrupt if error is KeyboardInterrupt else SojournError
    with pytest.raises(expected):
        run(rows, book, out=out, seed=1, n_threads=1)
    assert {f.name: f.read_bytes() for f in out.iterdir()} == before
    with pytest.raises(expected):
        run(rows, book, out=tmp_path / "not" / "yet", n_threads=1)
    assert [f.name for f in tmp_path.iterdir()] == ["deep"]
    assert [f.name for f in out.parent.iterdir()] == ["out"]


def test_a_smaller_run_leaves_no_file_of_a_larger_one(tmp_path):
    out = tmp_path / "out"
    run(make_rows(draw_events(1, 12, 20)), make_book(), out=out, n_threads=1)
    assert (out / "example_5.parquet").exists()
    (out / "example_notes.parquet").write_text("mine")
    run(make_rows(LIVES["one customer"]), make_book(), out=out, n_threads=1)
    examples = sorted(f.name for f in out.glob("example_*"))
    assert examples == ["example_1.parquet", "example_notes.parquet"]
    assert pq.read_table(out / "customers.parquet").num_rows == 1


def test_history_is_found_after_the_working_directory_has_changed(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    results = run(make_rows(draw_events(1)), make_book(), out="here", n_threads=1)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert results.history.num_rows == results.run["rows"]["accepted"]


# -- stages that are left out --------------------------------------------------------------------------------


def test_a_run_of_some_stages_says_what_is_missing(small, tmp_path):
    out = tmp_path / "out"
    run(make_rows(draw_events(1)), make_book(), out=out, n_threads=1)
    few = run(make_rows(draw_events(1)), make_book(), out=out, n_threads=1, only=["states", "transitions"])
    assert set(few.moves) == set(TABLES["transitions"])
    assert few.customers.equals(small.customers)
    left_out = [name for name in TABLES if name not in ("transitions", "report")]
    assert few.run["left_out"] == left_out
    assert any("Left out of this run" in doubt and "journeys" in doubt for doubt in few.run["warnings"])
    stored = json.loads((out / "run.json").read_text())
    assert {f.stem for f in out.glob("*.parquet")} == set(stored["tables"])
    page = (out / "report.html").read_text()
    assert page.count("(left out of this run)") == 2 * 7
    assert "Left out of this run, as asked" in page


def test_leaving_stages_out_changes_no_other_table(small):
    skipped = run(make_rows(draw_events(1)), make_book(), n_threads=1, skip=["triggers", "hybrid", "growth"])
    assert set(small.moves) - set(skipped.moves) == {"triggers", "hybrid", "growth"}
    for name, table in skipped.moves.items():
        assert table.equals(small.moves[name]), name


def test_a_run_without_a_report_removes_that_of_an_earlier_run(tmp_path):
    rows = make_rows(draw_events(1, 12, 20))
    run(rows, make_book(), out=tmp_path, n_threads=1)
    run(rows, make_book(), out=tmp_path, n_threads=1, only=["states"], skip=["report"])
    assert not (tmp_path / "report.html").exists()
    assert not (tmp_path / "matrix.parquet").exists()


@pytest.mark.parametrize(
    ("only", "skip", "what"),
    [
        (["transition"], None, "there is no stage 'transition'; .* Did you mean 'transitions'"),
        (None, ["states"], "'states' cannot be left out: .*transitions.* need it"),
        (["values"], ["values"], "'values' is asked for by 'only' as well"),
    ],
)
def test_stages_that_cannot_be_chosen(only, skip, what):
    with pytest.raises(SojournError, match=what):
        choose_stages(only, skip)
