"""The live engine against batch, and its laws: what comes late, twice or in pieces makes no difference."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from sojourn.live.replay.calls import Calls, read_calls
from sojourn.pages.results import Results
from sojourn.pipelines.run import run
from sojourn.playbook.load import load_playbook
from sojourn.simulation.customers import simulate
from tests.live.engine_world import SECOND, Engine, cut, make_project, open_engine, shuffle

DAY = 86_400 * SECOND


@pytest.fixture(scope="module")
def shop() -> tuple[pa.Table, Calls, Results, int]:
    """Simulated events, the same as calls, what batch finds, and the instant that batch is about."""
    events = simulate(40, days=50, seed=4).events
    calls = read_calls(events, load_playbook("shop"))
    now = int(calls.at[-1]) + 3 * DAY
    results = run(events, "shop", n_threads=1, now=datetime.fromtimestamp(now / 1e6, UTC))
    return events, calls, results, now


def list_moves(table: pa.Table) -> set[tuple[str, int, str, str]]:
    rows = (table[name].to_pylist() for name in ("customer_id", "from_state", "to_state"))
    at = table["at"].cast(pa.int64()).to_pylist()
    return {(who, when, a, b) for when, (who, a, b) in zip(at, zip(*rows, strict=True), strict=True)}


def compare(engine: Engine, results: Results, now: int) -> None:
    """States, beliefs, features and transitions of the engine are those of batch."""
    told = engine.changes()
    assert {(c.customer_id, c.at, c.before, c.name) for c in told} == list_moves(results.transitions)
    assert len(told) == results.transitions.num_rows
    version = engine.live.version
    states = version.state_model.model.states
    features = version.steps.layout.feature_names
    assert version.customers.n_customers == results.customers.num_rows
    for row in results.customers.to_pylist():
        found = engine.live.customer(row["customer_id"])
        assert found is not None
        assert found["customer_id"] == row["customer_id"]
        assert found["state"] == row["state"]
        assert datetime.fromisoformat(found["since_at"]) == row["since_at"]
        np.testing.assert_allclose(
            [found["posterior"][s] for s in states], [row[f"p_{s}"] for s in states], rtol=1e-9, atol=1e-12
        )
        mine = [np.nan if found["features"][name] is None else found["features"][name] for name in features]
        theirs = [np.nan if row[f"f_{name}"] is None else row[f"f_{name}"] for name in features]
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-9, err_msg=row["customer_id"])


def test_calls_in_order_give_what_batch_gives(
    tmp_path: Path, shop: tuple[pa.Table, Calls, Results, int]
) -> None:  # fmt: skip
    _, calls, results, now = shop
    project = make_project(tmp_path / "p", load_playbook("shop").text, results.model)
    with open_engine(project, int(calls.at[0])) as engine:
        for begin in range(0, len(calls), 500):
            end = min(begin + 500, len(calls))
            engine.now = max(engine.now, int(calls.at[end - 1]))
            engine.send(calls.write(begin, end))
        engine.now = now
        engine.settle()
        compare(engine, results, now)
        assert not engine.changes("transition_revoked")


@pytest.mark.parametrize("seed", [1, 2])
def test_calls_shuffled_repeated_and_cut_anew_give_what_batch_gives(
    tmp_path: Path, shop: tuple[pa.Table, Calls, Results, int], seed: int
) -> None:
    _, calls, results, now = shop
    rng = np.random.default_rng(seed)
    print(f"seed {seed}")
    raw = calls.write(0, len(calls))
    who = [str(call) for call in calls.id.to_pylist()]
    order = shuffle([(int(at), 0) for at in calls.at.tolist()], rng)
    again = rng.choice(len(order), len(order) // 5, replace=False).tolist()
    project = make_project(tmp_path / "p", load_playbook("shop").text, results.model)
    sent: set[int] = set()
    with open_engine(project, int(calls.at[-1]) + DAY) as engine:
        for rows in cut(order, rng, 800):
            sent |= set(rows)
            repeated = [row for row in again if row in sent][: len(rows) // 4]
            again = [row for row in again if row not in repeated]
            engine.send([raw[row] for row in [*rows, *repeated]])
            engine.pass_time(float(rng.choice([0.1, 5.0])))
        engine.now = now
        engine.settle()
        compare(engine, results, now)
        assert engine.live.version.counts["duplicate"] > 0
        assert len(set(who)) == engine.live.version.counts["accepted"]
