"""Segments that nobody leaves: their history over refits, the verdict, and a command that may run twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import sojourn
from sojourn.cli.main import app
from sojourn.errors import SojournError
from sojourn.pages.words.segments import say_staleness
from sojourn.pipelines.segments import read_past
from sojourn.predict.registry import Card, add_model, find_champion, list_cards, lock_models
from sojourn.prove.stability.membership import read_segments
from sojourn.prove.stability.staleness import EXPORTS, add_descriptions, add_export, judge_staleness

START = datetime(2025, 1, 1, tzinfo=UTC)


def exported(customers, segments) -> pa.Table:
    return pa.table({"customer_id": list(customers), "segment": pa.array(list(segments), pa.int32())})


# -- the history ------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60, print_blob=True)
@given(st.lists(st.lists(st.sampled_from([None, 1, 2]), min_size=4, max_size=4), min_size=2, max_size=6))
def test_a_history_of_changes_says_what_the_whole_panel_says(panel):
    names = ["a", "b", "c", "d"]
    whole, kept = [], None
    for week, segments in enumerate(panel):
        at = START + timedelta(days=7 * week)
        kept = add_export(kept, exported(names, segments), at)
        kept = add_export(kept, exported(names, segments), at)  # once more changes nothing
        whole += [{"customer_id": n, "at": at, "segment": s} for n, s in zip(names, segments, strict=True)]
    assert kept.num_rows <= len(whole)
    everything = pa.Table.from_pylist(whole, schema=EXPORTS)
    if not any(segment for line in panel for segment in line):
        return
    one, two = (read_segments(table) for table in (kept, everything))
    assert (one.since_us, one.until_us, one.segments) == (two.since_us, two.until_us, two.segments)
    for name in ("segment", "start_us", "end_us", "is_over"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name


def test_who_is_gone_is_in_no_segment_and_an_export_may_come_again():
    first = add_export(None, exported("ab", [1, 1]), START)
    later = add_export(first, exported("b", [1]), START + timedelta(days=7))
    assert {"customer_id": "a", "at": START + timedelta(days=7), "segment": None} in later.to_pylist()
    put_right = add_export(later, exported("ab", [2, 1]), START + timedelta(days=7))
    assert [r["segment"] for r in put_right.to_pylist() if r["customer_id"] == "a"] == [1, 2]


# -- the verdict ------------------------------------------------------------------------------------------


def world(n_weeks: int, leave_p: float) -> pa.Table:
    """Segment 1 is never left, of 2 a share leaves for 3 each week; who comes back to 2 is another matter."""
    rng = np.random.default_rng(2)
    names = [f"c{i}" for i in range(300)]
    segment = np.repeat([1, 2, 3], 100)
    table = None
    for week in range(n_weeks):
        table = add_export(table, exported(names, segment), START + timedelta(days=7 * week))
        leaves = (segment > 1) & (rng.random(300) < leave_p)
        segment = np.where(leaves, 5 - segment, segment)
    assert table is not None
    return table


def test_the_segment_that_nobody_leaves_is_stale_and_no_other():
    told = add_descriptions([], [(1, "low spend"), (2, "many visits")], START)
    told = add_descriptions(told, [(1, "low spend"), (2, "few visits")], START + timedelta(days=70))
    found = judge_staleness(world(40, 0.1), "here", names={"1": "savers"}, told=told)
    rows = {r["segment"]: r for r in found.to_pylist()}
    assert {name for name, r in rows.items() if r["is_stale"]} == {"1"}
    assert rows["1"]["unchanged_share"] == 1.0
    assert rows["1"]["same_description_days"] == pytest.approx(39 * 7)
    assert rows["2"]["same_description_days"] == pytest.approx(29 * 7)
    # Members leave with 0.1 a week: half are gone after ln 2 / -ln 0.9 weeks, seen at whole weeks.
    assert rows["2"]["half_life_days"] == pytest.approx(7 * np.ceil(np.log(2) / -np.log(0.9)), abs=7)
    [sentence] = say_staleness(found)
    assert sentence.startswith("Segment 1 (savers) is stale: 100 %")
    assert sentence.endswith("has been the same for as long, too.")


def test_a_new_description_of_the_same_people_is_said():
    told = add_descriptions([], [(1, "low spend")], START)
    told = add_descriptions(told, [(1, "high spend")], START + timedelta(days=200))
    found = judge_staleness(world(40, 0.1), "here", told=told)
    assert "described otherwise since 73 days" in say_staleness(found)[0]


def test_what_cannot_be_told_yet_is_said_and_is_no_alarm():
    one = judge_staleness(world(1, 0.1), "here")
    assert "one export" in say_staleness(one)[0]
    few = judge_staleness(world(10, 0.1), "here")
    assert not any(few["is_stale"].to_pylist())
    assert say_staleness(few) == ["Segments: 63 days of them are known; half a year is needed to say what is stale."]
    fluid = judge_staleness(world(40, 0.1).filter(pa.compute.greater(world(40, 0.1)["segment"], 1)), "here")
    assert say_staleness(fluid) == ["Segments: none of 2 is stale."]


def test_a_table_that_is_none_is_refused(tmp_path):
    (tmp_path / "s.csv").write_text("customer_id,at\na,2025-01-01\n")
    with pytest.raises(SojournError, match="segment"):
        read_past(tmp_path / "s.csv")
    with pytest.raises(SojournError, match="no segments that can be read"):
        read_past(tmp_path)


# -- the lock and the command -----------------------------------------------------------------------------


def test_only_one_works_on_a_folder_and_a_dead_one_does_not_count(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from sojourn.predict.registry import lock_models\n"
        "with lock_models(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(SojournError, match=rf"another .* is at work .*process {holder.pid}"), lock_models(tmp_path):
            pass
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with lock_models(tmp_path):
        pass


def write_folder(folder: Path, n_weeks: int) -> None:
    folder.mkdir()
    history = world(n_weeks, 0.1)
    pq.write_table(history, folder / "segment_history.parquet")
    pq.write_table(exported("ab", [1, 2]), folder / "segments.parquet")
    said = {"segments": [{"number": 1, "name": "savers"}], "last_number": 3, "at": START.isoformat()}
    (folder / "segments.json").write_text(json.dumps(said))


def test_the_command_alarms_does_nothing_twice_and_finishes_what_was_cut_off(tmp_path, monkeypatch):
    """The training itself is tested in test_retrain; here it must not be reached."""
    from sojourn.playbook.load import load_playbook
    from sojourn.simulation.customers import simulate

    events, models, folder = tmp_path / "e.parquet", tmp_path / "models", tmp_path / "segments"
    rows = simulate(40, days=20, seed=1).events
    pq.write_table(rows, events)
    write_folder(folder, 40)
    last = max(rows["timestamp"].to_pylist()).isoformat()
    asked = {"cost": 1.0, "benefit": 5.0, "budget_s": 0.0, "seed": 0, "protected": None, "states": None}
    card = Card(
        "conversion", "logistic", START.isoformat(), START.isoformat(), last, 40, sojourn.__version__,
        load_playbook("shop").hash, ("x",), {"auc": 0.8}, note="better", asked=asked, is_winner=True,
    )  # fmt: skip
    add_model(models, card, {"weights": [0.5]})  # stored, and then the power went
    monkeypatch.setattr(
        "sojourn.pipelines.retrain.retrain_outcome", lambda *a, **k: pytest.fail("it was trained again")
    )
    ask = ["retrain", str(events), "-p", "shop", "--outcome", "conversion", "-m", str(models), "--budget", "0"]
    ask += ["--unaudited", "--segments", str(folder)]
    done = CliRunner().invoke(app, [*ask, "--alarm"])
    assert done.exit_code == 3, done.output
    assert "nothing new: version 1, made of the same events, is in use now." in done.stdout
    assert "Segment 1 (savers) is stale" in done.stdout
    assert find_champion(models, "conversion") == 1
    again = CliRunner().invoke(app, [*ask, "--json"])
    assert again.exit_code == 0, again.output
    told = json.loads(again.stdout)
    assert told["stale_segments"] == ["1"]
    assert told["outcomes"][0]["why_not"].endswith("is in use")
    assert len(list_cards(models, "conversion")) == 1
    table = pq.read_table(models / "segment_staleness.parquet")
    assert [r["segment"] for r in table.to_pylist() if r["is_stale"]] == ["1"]
    with lock_models(models):
        busy = CliRunner().invoke(app, ask)
    assert busy.exit_code == 2
    assert "at work on these models" in busy.output


def test_an_alarm_needs_segments(tmp_path):
    done = CliRunner().invoke(app, ["retrain", "e.parquet", "-p", "shop", "--unaudited", "--alarm"])
    assert done.exit_code == 2
    assert "--segments" in done.output
