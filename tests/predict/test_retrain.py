"""Drift, the registry of models, and when a challenger takes the champion's place."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from sojourn.cli.main import app
from sojourn.errors import SojournError
from sojourn.events.read import read_events
from sojourn.pipelines.challenger import PREDICTED, Asked, retrain_outcome
from sojourn.playbook.load import load_playbook
from sojourn.predict.drift import describe_shares, measure_drift, stability_index
from sojourn.predict.registry import (
    Card,
    add_model,
    find_champion,
    list_decisions,
    put_into_use,
    read_model,
    write_card,
)
from sojourn.predict.retrain import Gap, decide, measure_gain, measure_gaps
from sojourn.simulation.customers import simulate
from sojourn.states.model import draft_state_model

CARD = Card(
    "churn", "logistic", "2026-01-05T00:00:00Z", "2025-01-01", "2026-01-01", 9, "0.1.0", "ab", ("x",), {"auc": 0.8}
)


# Drift


def test_the_index_is_that_of_the_definition() -> None:
    """By hand: (0.2 - 0.5) ln(0.2 / 0.5) + (0.5 - 0.2) ln(0.5 / 0.2)."""
    assert stability_index(np.array([50.0, 30, 20]), np.array([20.0, 30, 50])).psi == pytest.approx(0.6 * np.log(2.5))


def test_without_a_change_drift_is_found_as_rarely_as_promised() -> None:
    seed = 5
    print(f"seed {seed}")
    rng, n_false, n_over = np.random.default_rng(seed), 0, 0
    for _ in range(400):
        old, new = (
            pa.table({"a": rng.exponential(size=n), "b": rng.poisson(2.0, n), "c": rng.choice(["x", "y", "z"], n)})
            for n in (300, 200)
        )
        found = measure_drift(describe_shares(old), new).to_pylist()
        n_over += any(row["psi"] > row["limit"] for row in found)
        n_false += any(row["is_drift"] for row in found)
    assert n_over / 400 < 0.09  # 5 % and what chance adds to that
    assert n_false <= n_over


@pytest.mark.parametrize(
    "after",
    [
        pa.table({"a": [None] * 150 + [1.0] * 150}),  # it went missing
        pa.table({"a": np.linspace(2, 9, 300)}),
        pa.table({"a": ["word"] * 300}),
        pa.table({"b": np.arange(300.0)}),
    ],
)
def test_what_changed_or_cannot_be_compared_is_said(after: pa.Table) -> None:
    before = describe_shares(pa.table({"a": np.linspace(0, 1, 300)}))
    [row] = measure_drift(json.loads(json.dumps(before)), after).to_pylist()
    assert row["is_drift"] or row["why_not"]


# The registry


def test_versions_are_kept_and_decisions_written_down(tmp_path: Path) -> None:
    for weight in (1.0, 2.0):
        add_model(tmp_path, CARD, {"weight": weight})
    assert find_champion(tmp_path, "churn") is None
    with pytest.raises(SojournError, match="none of its 2 versions is in use"):
        read_model(tmp_path, "churn")
    for version in (2, 1):
        put_into_use(tmp_path, "churn", version, at="2026-01-05T00:00:00Z", why="a test")
    assert read_model(tmp_path, "churn")[1] == {"weight": 1.0}
    assert [(one.version, one.before) for one in list_decisions(tmp_path, "churn")] == [(2, None), (1, 2)]
    assert "version 1" in write_card(read_model(tmp_path, "churn")[0])
    # A decision that was being written when the process ended was never made, and does not stop later ones.
    decisions = tmp_path / "churn" / "decisions.jsonl"
    with decisions.open("a", encoding="utf-8") as file:
        file.write('{"version": 2, "befo')
    assert find_champion(tmp_path, "churn") == 1
    put_into_use(tmp_path, "churn", 2, at="2026-01-06T00:00:00Z", why="another test")
    assert [one.version for one in list_decisions(tmp_path, "churn")] == [2, 1, 2]
    decisions.write_text(decisions.read_text(encoding="utf-8") + "nonsense\n", encoding="utf-8")
    with pytest.raises(SojournError, match=r"decisions\.jsonl:5: this is no decision"):
        find_champion(tmp_path, "churn")
    with pytest.raises(SojournError, match="there is no version 3"):
        read_model(tmp_path, "churn", 3)
    decisions.unlink()
    with pytest.raises(SojournError, match="there is no version 3"):
        put_into_use(tmp_path, "churn", 3, at="", why="")
    (tmp_path / "churn" / "0002.json").write_text("{", encoding="utf-8")
    with pytest.raises(SojournError, match="this is no model"):
        read_model(tmp_path, "churn", 2)
    with pytest.raises(SojournError, match="no name of a model"):
        read_model(tmp_path, "../churn")


# Decisions


def test_a_gain_has_the_error_that_repetition_shows() -> None:
    seed = 3
    print(f"seed {seed}")
    rng, found = np.random.default_rng(seed), []
    for _ in range(300):
        p = rng.uniform(0.05, 0.95, 400)
        found.append(measure_gain(np.full(400, 0.5), p, rng.random(400) < p))
    gains = np.array([gain.log_loss for gain in found])
    assert np.mean([gain.se for gain in found]) == pytest.approx(gains.std(), rel=0.15)


def test_no_challenger_is_promoted_that_is_worse_for_a_group() -> None:
    better = measure_gain(np.full(200, 0.5), np.tile([0.9, 0.1], 100), np.tile([True, False], 100))
    fair, unfair = Gap("sex", 0.95, 0.85, 1.0, 0.0, 2), Gap("sex", 0.6, 0.5, 0.7, 0.2, 2)
    assert decide(better, (fair,), (fair,), is_audited=True).is_promoted
    assert not decide(better, (fair,), (unfair,), is_audited=True).is_promoted
    assert decide(better, (unfair,), (unfair,), is_audited=True).is_promoted  # no worse than what is in use
    assert not decide(None, (), (unfair,), is_audited=True).is_promoted
    assert "nobody has looked" in decide(None, (), (), is_audited=False).why


def test_the_gap_of_a_choice() -> None:
    """Shares chosen 0.5 and 0.25; among those to whom it happens 1.0 and 0.5."""
    group = np.array(["a"] * 40 + ["b"] * 40 + [None] * 5, object)
    happened = np.array(([True] * 20 + [False] * 20) * 2 + [True] * 5)
    chosen = np.array([True] * 20 + [False] * 20 + [True] * 10 + [False] * 30 + [True] * 5)
    [gap] = measure_gaps(chosen, happened, {"sex": group}, rng=np.random.default_rng(0))
    assert (gap.ratio, gap.reach_gap, gap.n_groups) == (0.5, 0.5, 2)
    assert gap.low < 0.5 < gap.high


# The whole


@pytest.fixture(scope="module")
def world() -> pa.Table:
    return simulate(500, days=170, seed=2).events


def read(rows: pa.Table, until: datetime) -> pa.Table:
    book = load_playbook("shop")
    known = rows.filter(pc.less_equal(rows["timestamp"], pa.scalar(until, rows["timestamp"].type)))
    return read_events(known, book, now=until, clock=until).events


@pytest.mark.slow
def test_a_model_keeps_learning(world: pa.Table) -> None:
    book, asked = load_playbook("shop"), Asked(budget_s=0.0)
    states = draft_state_model(book)
    start = datetime(2025, 1, 1, tzinfo=UTC)
    first = retrain_outcome(read(world, start + timedelta(days=100)), book, "conversion", states, asked=asked)
    assert first.verdict.is_promoted
    record = json.loads(json.dumps(first.record))
    # Too early to say anything new, although a day has passed.
    soon = read(world, start + timedelta(days=101))
    early = retrain_outcome(soon, book, "conversion", states, champion=record, asked=asked)
    for part in ("data_to", "threshold", "reference", "model"):
        harmed = {key: value for key, value in record.items() if key != part}
        with pytest.raises(SojournError, match="the record of the version in use is damaged"):
            retrain_outcome(soon, book, "conversion", states, champion=harmed, asked=asked)
    assert early.record is None
    assert "too early" in early.verdict.why
    # The same customers go on as before: what is new is chance.
    later = read(world, start + timedelta(days=160))
    same = retrain_outcome(later, book, "conversion", states, champion=record, asked=asked)
    assert same.verdict.gain is not None
    assert abs(same.verdict.gain.log_loss) < 4 * same.verdict.gain.se + 0.01
    # A model that says the opposite of what it learned is replaced.
    worse = json.loads(json.dumps(record))
    worse["model"]["slope"] *= -1
    replaced = retrain_outcome(later, book, "conversion", states, champion=worse, asked=asked)
    assert replaced.verdict.is_promoted
    assert replaced.verdict.gain is not None
    assert replaced.verdict.gain.is_better


@pytest.mark.slow
def test_customers_who_change_are_noticed(world: pa.Table) -> None:
    book = load_playbook("shop")
    states, start = draft_state_model(book), datetime(2025, 1, 1, tzinfo=UTC)
    made = retrain_outcome(
        read(world, start + timedelta(days=100)), book, "conversion", states, asked=Asked(budget_s=0)
    )
    record = json.loads(json.dumps(made.record))
    rng = np.random.default_rng(1)
    late = pc.greater(world["timestamp"], pa.scalar(start + timedelta(days=110), world["timestamp"].type)).to_numpy()
    changed = read(world.filter(pa.array(~late | (rng.random(len(late)) < 0.15))), start + timedelta(days=160))
    asked = Asked(budget_s=0.0, is_drift_needed=True)
    found = retrain_outcome(changed, book, "conversion", states, champion=record, asked=asked)
    assert found.record is not None
    assert found.drift is not None
    drifted = {row["column"] for row in found.drift.to_pylist() if row["is_drift"]}
    assert {"n_events_28d", PREDICTED} <= drifted
    # As it was when the model was made nothing has drifted.
    again = retrain_outcome(
        read(world, start + timedelta(days=100)), book, "conversion", states,
        champion=record | {"data_to": "2025-01-02T00:00:00+00:00"}, asked=asked,
    )  # fmt: skip
    assert again.record is None
    assert again.verdict.why.startswith("nothing has drifted")


@pytest.mark.slow
def test_the_commands(world: pa.Table, tmp_path: Path) -> None:
    events, models = tmp_path / "events.parquet", tmp_path / "models"
    pq.write_table(world.filter(pc.less(world["timestamp"], pa.scalar(datetime(2025, 4, 20, tzinfo=UTC)))), events)
    run = CliRunner().invoke
    ask = ["retrain", str(events), "-p", "shop", "--outcome", "conversion", "-m", str(models), "--budget", "0"]
    protects = bool(load_playbook("shop").protected)
    if protects:
        refused = run(app, ask)
        assert refused.exit_code == 2
        ask += ["--unaudited"]
    done = run(app, [*ask, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["outcomes"][0]["verdict"]["is_promoted"]
    again = run(app, ask)
    assert "nothing new: version 1, made of the same events, is in use" in again.stdout
    dearer = run(app, [*ask, "--cost", "2"])  # another question, so that it is asked
    assert "too early" in dearer.stdout
    assert "version 1 in use" in run(app, ["models", "-m", str(models)]).stdout
    card = run(app, ["models", "conversion", "-m", str(models)]).stdout
    assert "# conversion, version 1" in card
    assert run(app, ["models", "conversion", "-m", str(models), "--use", "7"]).exit_code == 2
