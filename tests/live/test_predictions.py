"""Predictions of the live service: as batch makes them at the same instant, refused where they cannot be."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from sojourn.act.changes import Change
from sojourn.act.destinations.port import Destination
from sojourn.cli.main import app
from sojourn.errors import SojournError
from sojourn.events.read import read_events
from sojourn.fold.kernels.past import count_recent
from sojourn.live import deploy as versions
from sojourn.live.engine.event_files import Past, example_events
from sojourn.live.engine.predictions import list_inputs, predict_customers, read_inputs
from sojourn.live.replay.calls import Calls, read_calls
from sojourn.live.settings import Settings
from sojourn.pipelines.release import draft_release
from sojourn.pipelines.run import run
from sojourn.playbook.load import load_playbook, parse_playbook
from sojourn.predict.candidates import list_candidates
from sojourn.predict.compiled import compile_score
from sojourn.predict.encoding import Encoding
from sojourn.predict.from_events import input_table
from sojourn.predict.kinds.additive import fit_additive
from sojourn.predict.kinds.boosting import fit_boosting
from sojourn.predict.kinds.logistic import fit_logistic
from sojourn.predict.learning import find_outcome, hash_meaning, table_matrix
from sojourn.predict.models import Additive, Trees, score_rows
from sojourn.predict.outcome import describe_reader, load_reader
from sojourn.predict.reasons import read_model, reasons_of
from sojourn.predict.registry import Card, add_model, put_into_use
from sojourn.predict.registry import read_model as read_registered
from sojourn.predict.scores import to_p
from sojourn.server.process import _route_to
from sojourn.simulation.customers import simulate
from sojourn.states.model import draft_state_model, read_state_model
from tests.live.engine_world import SECOND, Engine, cut, make_project, open_engine, shuffle

DAY = 86_400 * SECOND
BOOK = load_playbook("shop")
STATES = draft_state_model(BOOK)
OUTCOMES = {"conversion": fit_additive, "churn": fit_logistic}


@pytest.fixture(scope="module")
def world() -> tuple[pa.Table, Calls]:
    """Events as batch reads them, and the same as calls. Fifty days and one customer who is heard of for a year."""
    table = simulate(40, days=50, seed=4).events
    calls = read_calls(table, BOOK)
    now = datetime.fromtimestamp(int(calls.at[-1]) / 1e6, UTC)
    return read_events(table, BOOK, now=now).events, calls


def inputs_at(events: pa.Table, at: int) -> pa.Table:
    return input_table(events, BOOK, datetime.fromtimestamp(at / 1e6, UTC), STATES)


def make_record(table: pa.Table, fit: Callable[..., Any], **more: Any) -> dict[str, Any]:
    """A model of something that depends on the inputs, as the registry keeps it; rows are drawn about these ones."""
    names, rng = table.column_names[2:], np.random.default_rng(0)
    x = table_matrix(table, names)[rng.integers(0, table.num_rows, 600)]
    x *= rng.uniform(0.7, 1.4, x.shape)
    y = (np.nan_to_num(x[:, names.index("n_events")]) > np.median(x[:, names.index("n_events")])).astype(np.int64)
    encoding = Encoding(tuple(names), tuple(None for _ in names))
    reader = read_model(fit(x, y, 0), encoding, x, 0.9, 0.1)
    return {
        "model": describe_reader(reader), "threshold": 0.4, "data_to": "2025-01-01T00:00:00+00:00",
        "states": STATES.hash, **more,
    }  # fmt: skip


def deploy(models: Path, outcome: str, record: dict[str, Any], playbook: str = BOOK.hash) -> int:
    columns = tuple(record.get("model", {"columns": ()})["columns"])
    if playbook == BOOK.hash and outcome in OUTCOMES:
        record = record | {"meaning": hash_meaning(BOOK, outcome)}
    card = Card(outcome, "additive boosting", "2025-01-01T00:00:00Z", "", "", 9, "0.1.0", playbook, columns, {})
    made = add_model(models, card, record)
    put_into_use(models, outcome, made.version, at="2025-01-01T00:00:00Z", why="a test")
    return made.version


def wait_for(engine: Engine, is_so: Callable[[], bool]) -> None:
    """The engine looks every second for what is decided."""
    engine.live.worker.models._look_at = 0.0
    for _ in range(12_000):
        if is_so():
            return
        engine.live.worker.models._look_at = 0.0
        time.sleep(0.01)
    raise AssertionError("what was decided has not come about")


def own_rows(engine: Engine, ids: list[str]) -> np.ndarray[Any, np.dtype[np.int32]]:
    version = engine.live.version
    return version.rows.find(np.array([version.identities.find(id) for id in ids], np.int32))


@pytest.mark.parametrize("seed", [1, 2])
def test_what_models_read_live_is_the_learning_table_at_that_instant(
    tmp_path: Path, world: tuple[pa.Table, Calls], seed: int
) -> None:
    """Calls in any order, so that customers are folded again; at three instants, missing values included."""
    events, calls = world
    rng = np.random.default_rng(seed)
    print(f"seed {seed}")
    raw, n = calls.write(0, len(calls)), len(calls)
    cuts = [int(calls.at[n // 3]), int(calls.at[2 * n // 3]) + 1, int(calls.at[-1]) + 40 * DAY]
    is_sent = np.zeros(n, bool)
    with open_engine(make_project(tmp_path / "p", BOOK.text), cuts[0]) as engine:
        for at in cuts:
            engine.now = at
            due = np.flatnonzero((calls.at <= at) & ~is_sent)
            is_sent[due] = True
            order = shuffle([(int(when), 0) for when in calls.at[due].tolist()], rng)
            for rows in cut([int(due[i]) for i in order], rng, 900):
                engine.send([raw[row] for row in rows])
            engine.settle()
            known = inputs_at(events, at)
            version = engine.live.version
            assert list_inputs(version) == known.column_names[2:]
            rows_live = own_rows(engine, known["customer_id"].to_pylist())
            found = read_inputs(version, rows_live, at).values
            expected = table_matrix(known, known.column_names[2:])
            assert np.isnan(expected).any()
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
            has_own = version.customers.kept[: len(version.customers), 0] > 0
            assert known.num_rows == has_own.sum()
        assert version.counts["late"] > 0


def test_late_events_do_not_hide_later_ones_of_a_window(tmp_path: Path) -> None:
    """An old event that came in last must not end the walk back at those that came in before it."""
    rng = np.random.default_rng(3)
    at, who = rng.integers(0, 200 * DAY, 400), rng.integers(0, 5, 400)
    past = Past(tmp_path, "hash", n_measures=1, n_properties=0)
    for begin in range(0, 400, 37):
        chunk = slice(begin, begin + 37)
        past.append(example_events(list(zip(who[chunk].tolist(), at[chunk].tolist(), strict=True))))
    spans, now = np.array([7, 28, 90]) * DAY, 150 * DAY
    heads, *trails = past.trails()
    for id in range(5):
        counts, mine = np.zeros(3), at[who == id]
        count_recent(heads[id], *trails, np.array([True]), now, spans, counts)
        assert counts.tolist() == [((mine > now - span) & (mine <= now)).sum() for span in spans]


@pytest.fixture(scope="module")
def trained(world: tuple[pa.Table, Calls]) -> dict[str, dict[str, Any]]:
    events, calls = world
    known = inputs_at(events, int(calls.at[len(calls) // 2]))
    made = {name: make_record(known, fit) for name, fit in OUTCOMES.items()}
    return made | {"boosted": make_record(known, fit_boosting)}


@pytest.fixture
def engine(tmp_path: Path, world: tuple[pa.Table, Calls], trained: dict[str, dict[str, Any]]) -> Iterator[Engine]:
    """All has happened, and there are models of two outcomes."""
    project = make_project(tmp_path / "p", BOOK.text)
    for name in OUTCOMES:
        deploy(project / "models", name, trained[name])
    _, calls = world
    with open_engine(project, int(calls.at[-1])) as engine:
        engine.send(calls.write(0, len(calls)))
        engine.pass_time(70 * 86_400)
        yield engine


def test_predictions_are_those_of_batch_with_reasons_that_add_up(
    engine: Engine, world: tuple[pa.Table, Calls], trained: dict[str, dict[str, Any]]
) -> None:
    known = inputs_at(world[0], engine.now)
    told: dict[str, list[float]] = {name: [] for name in OUTCOMES}
    for name in OUTCOMES:
        reader = load_reader(trained[name]["model"])
        x = reader.encoding.encode(known)
        p, reasons = to_p(reader.log_odds(x)), reasons_of(reader, x).to_pylist()
        silence = find_outcome(BOOK, name).silence_s
        for i, id in enumerate(known["customer_id"].to_pylist()):
            customer = engine.live.customer(id, ["predictions"])
            assert customer is not None
            assert set(customer["predictions"]) == set(OUTCOMES)
            said = customer["predictions"][name]
            if silence is not None and known["recency_days"][i].as_py() * 86_400 >= silence:
                assert said["p"] is None
                assert "silent" in said["why_not"]
                continue
            told[name].append(said["p"])
            assert said["p"] == pytest.approx(p[i], rel=1e-9)
            assert (said["model"], said["version"], said["at"]) == ("additive boosting", 1, customer["at"])
            assert [one["what"] for one in said["reasons"]] == [one["what"] for one in reasons[i]]
            total = sum(one["weight"] for one in said["reasons"])
            assert total == pytest.approx(np.log(said["p"] / (1 - said["p"])), rel=1e-6)
    assert len(told["conversion"]) == known.num_rows > len(told["churn"])
    assert all(np.ptp(p) > 0.1 for p in told.values())


def test_a_message_has_what_is_predicted_as_of_the_change(engine: Engine) -> None:
    """Many at once are scored as each alone, and the destination that wants the likely ones gets those."""
    version, now = engine.live.version, engine.now
    ids = [version.identities.customer_id(int(owner)) for owner in version.customers.owner[: len(version.customers)]]
    many = predict_customers(version, ["nobody", *ids], now)
    assert many[0] == {}
    for id, found in zip(ids, many[1:], strict=True):
        alone = (engine.live.customer(id, ["predictions"]) or {})["predictions"]
        assert set(found) == {name for name, said in alone.items() if said["p"] is not None}
        assert all(p == pytest.approx(alone[name]["p"], rel=1e-12) for name, p in found.items())
    crm = Destination("crm", "https://x.org", predictions=("conversion",), at_least=(("conversion", 0.5),))
    route = _route_to(Settings(destinations=(crm,)))
    assert route is not None
    changes = [Change(i, f"chg_{i}", "moment", id, now, "cart_doubt", None, {}) for i, id in enumerate(ids)]
    rows = route(changes, now, version)
    sent = {json.loads(row.body)["data"]["customer_id"] for row in rows if row.status == "waiting"}
    assert sent == {id for id, found in zip(ids, many[1:], strict=True) if found["conversion"] >= 0.5}
    assert 0 < len(sent) < len(ids)
    for row, found in zip(rows, many[1:], strict=True):
        assert json.loads(row.body)["data"]["predictions"] == {"conversion": found["conversion"]}


def test_fields_choose_and_a_customer_without_events_of_their_own_is_told_why(engine: Engine) -> None:
    [id] = [str(call) for call in engine.live.version.identities.ids.names()[:1].to_pylist()]
    assert "predictions" not in (engine.live.customer(id[1:], ["state"]) or {})
    engine.send([{"type": "track", "userId": "nobody-yet", "event": "Email Sent"}])
    found = engine.live.customer("nobody-yet", ["predictions"])
    assert found is not None
    assert {one["why_not"] for one in found["predictions"].values()} == {"there is no event of their own yet"}


def test_another_champion_is_used_without_a_restart(engine: Engine, trained: dict[str, dict[str, Any]]) -> None:
    id = engine.live.version.identities.customer_id(int(engine.live.version.customers.owner[0]))
    before = (engine.live.customer(id, ["predictions"]) or {})["predictions"]["conversion"]
    models = engine.project / "models"
    assert deploy(models, "conversion", trained["boosted"]) == 2
    wait_for(engine, lambda: engine.live.models()[1]["version"] == 2)
    after = (engine.live.customer(id, ["predictions"]) or {})["predictions"]["conversion"]
    assert after["version"] == 2
    assert after["p"] != before["p"]
    assert after["reasons"] is None  # this kind of model does not add up
    put_into_use(models, "conversion", 1, at="2025-01-02T00:00:00Z", why="back")
    wait_for(engine, lambda: engine.live.models()[1]["version"] == 1)
    assert (engine.live.customer(id, ["predictions"]) or {})["predictions"]["conversion"]["p"] == before["p"]


def harm_states(record: dict[str, Any]) -> None:
    record["states"] = "of another model"


def harm_column(record: dict[str, Any]) -> None:
    record["model"]["columns"][0] = "t_plan"


def harm_levels(record: dict[str, Any]) -> None:
    record["model"]["levels"][0] = ["gold", "silver"]


def harm_arrays(record: dict[str, Any]) -> None:
    record["model"]["columns"] = record["model"]["columns"][:-3]
    record["model"]["levels"] = record["model"]["levels"][:-3]


def harm_record(record: dict[str, Any]) -> None:
    del record["model"]


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (harm_states, "another state model"),
        (harm_column, "it reads 't_plan', which a live engine does not have"),
        (harm_levels, "which a live engine does not have"),
        (harm_arrays, "do not belong together"),
        (harm_record, "its record is damaged"),
    ],
)
def test_a_model_that_does_not_fit_predicts_nothing_and_says_why(
    engine: Engine, trained: dict[str, dict[str, Any]], harm: Callable[[dict[str, Any]], None], why: str
) -> None:
    record = json.loads(json.dumps(trained["churn"]))
    harm(record)
    deploy(engine.project / "models", "churn", record)
    wait_for(engine, lambda: bool(engine.live.models()[0]["why_not"]))
    assert why in engine.live.models()[0]["why_not"]
    id = engine.live.version.identities.customer_id(int(engine.live.version.customers.owner[0]))
    found = (engine.live.customer(id, ["predictions"]) or {})["predictions"]
    assert found["churn"]["p"] is None
    assert why in found["churn"]["why_not"]
    assert found["conversion"]["p"] is not None


def test_a_model_of_another_playbook_or_of_no_outcome_is_refused(
    engine: Engine, trained: dict[str, dict[str, Any]]
) -> None:
    deploy(engine.project / "models", "churn", trained["churn"], playbook="f" * 64)
    deploy(engine.project / "models", "chrun", trained["churn"])
    wait_for(engine, lambda: len(engine.live.models()) == 3)
    by_name = {one["outcome"]: one for one in engine.live.models()}
    assert "another playbook (ffffffffffff)" in by_name["churn"]["why_not"]
    assert "there is no outcome 'chrun'" in by_name["chrun"]["why_not"]
    assert by_name["conversion"]["why_not"] is None


@pytest.mark.parametrize(
    ("old", "new", "refused"),
    [
        ("\naudiences:\n", "\naudiences:\n  lookers: {purpose: marketing, when: looking_share > 0.4}\n", ()),
        ("Product Viewed", "Product Looked At", ("conversion", "churn")),
        ("half_life=2d", "half_life=3d", ("conversion", "churn")),
        ("event: purchase, within: 28d", "event: purchase, within: 29d", ("conversion",)),
    ],
)
def test_a_deploy_asks_the_models_again(
    engine: Engine, tmp_path: Path, old: str, new: str, refused: tuple[str, ...]
) -> None:
    """A model is used on under another playbook that means the same to it, and only there."""
    assert old in BOOK.text
    text = BOOK.text.replace(old, new)
    assert {name for name in OUTCOMES if hash_meaning(parse_playbook(text), name) != hash_meaning(BOOK, name)} == set(
        refused
    )
    other = tmp_path / "other.yaml"
    other.write_text(text)
    id = engine.live.version.identities.customer_id(int(engine.live.version.customers.owner[0]))
    before = (engine.live.customer(id, ["predictions"]) or {})["predictions"]
    number = versions.add_release(engine.store, draft_release(str(other)), at=engine.now)
    versions.wish(engine.store, "switch", number)
    wait_for(engine, lambda: engine.live.version.number == number)
    after = (engine.live.customer(id, ["predictions"]) or {})["predictions"]
    for name in OUTCOMES:
        if name in refused:
            assert "something else there" in after[name]["why_not"]
        else:
            assert after[name] == before[name]


def test_models_are_there_again_after_a_start(tmp_path: Path, trained: dict[str, dict[str, Any]]) -> None:
    project = make_project(tmp_path / "p", BOOK.text)
    deploy(project / "models", "churn", trained["churn"])
    for _ in range(2):
        with open_engine(project, 1_760_000_000 * SECOND) as engine:
            assert [(one["outcome"], one["why_not"]) for one in engine.live.models()] == [("churn", None)]


@pytest.mark.parametrize("name", [c.name for c in list_candidates() if c.name != "explainable boosting"])
def test_compiled_models_say_what_plain_ones_do(name: str) -> None:
    """Every kind of model, on rows with missing values and values exactly at edges and thresholds."""
    rng = np.random.default_rng(4)
    x = np.round(rng.normal(size=(500, 4)), 1)
    x[rng.random(x.shape) < 0.1] = np.nan
    y = (np.nan_to_num(x[:, 0]) + rng.normal(size=500) > 0).astype(np.int64)
    model = next(c for c in list_candidates() if c.name == name).fit(x, y, 0)
    edges = [e for c in range(4) for e in getattr(model, "edges", [[]] * 4)[c][:20]]
    thresholds = getattr(model, "threshold", np.empty(0))[:100]
    more = np.resize([*edges, *thresholds, 1e30, -1e30, 0.1], (200, 4))
    rows = np.ascontiguousarray(np.vstack([x, more]) if name != "support vectors" else x)
    expected = score_rows(model, rows)[:, 0]
    wide = np.ascontiguousarray(rows[:, [1, 2, 0, 0, 1, 3]])  # columns of others among them
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(compile_score(model, np.array([3, 0, 1, 5]))(wide), expected, rtol=1e-9, atol=1e-9)


def test_trees_that_would_never_end_are_not_walked() -> None:
    def tree(**more: Any) -> Trees:
        whole: dict[str, Any] = {
            "roots": np.array([0]), "feature": np.array([0, -1, -1]), "threshold": np.zeros(3),
            "left": np.array([1, 0, 0]), "right": np.array([2, 0, 0]), "is_missing_left": np.zeros(3, bool),
            "value": np.arange(3.0), "intercept": np.zeros(1), "is_mean": False,
        }  # fmt: skip
        return Trees(**(whole | more))

    assert compile_score(tree(), np.array([0]))(np.array([[-1.0], [1.0]])).tolist() == [1.0, 2.0]
    for harm in (
        {"left": np.array([0, 0, 0])}, {"right": np.array([3, 0, 0])}, {"feature": np.array([1, -1, -1])},
        {"roots": np.array([3])}, {"value": np.arange(2.0)}, {"roots": np.array([-1])},
    ):  # fmt: skip
        with pytest.raises(SojournError, match="do not belong together"):
            compile_score(tree(**harm), np.array([0]))
    with pytest.raises(SojournError, match="do not belong together"):
        compile_score(Additive((np.zeros(2),), (np.zeros((3, 1)),), (), np.zeros(1)), np.array([0]))


@pytest.mark.slow
def test_what_retrain_puts_into_use_is_served(tmp_path: Path) -> None:
    """A fitted state model and a model trained on its posteriors, by the commands, to the answer of the engine."""
    table = simulate(150, days=100, seed=3).events
    calls = read_calls(table, BOOK)
    now = int(calls.at[-1])
    project = make_project(tmp_path / "p", BOOK.text)
    pq.write_table(table, tmp_path / "events.parquet")
    results, playbook = project / "results", str(project / "playbook.yaml")
    run(str(tmp_path / "events.parquet"), playbook, out=results, n_threads=1)
    (project / "model.json").write_bytes((results / "model.json").read_bytes())
    for states in ([], ["--states", str(results)]):
        done = CliRunner().invoke(
            app,
            ["retrain", str(tmp_path / "events.parquet"), "--playbook", playbook, "--outcome", "conversion", *states,
             "--models", str(project / "models"), "--budget", "0", "--unaudited"],
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        if not states:
            with open_engine(project, int(calls.at[0])) as engine:
                [refused] = engine.live.models()
                assert "another state model" in refused["why_not"]
            shutil.rmtree(project / "models")
    with open_engine(project, now) as engine:
        engine.send(calls.write(0, len(calls)))
        [used] = engine.live.models()
        assert used["why_not"] is None
        card, record = read_registered(project / "models", "conversion")
        events = read_events(table, BOOK, now=datetime.fromtimestamp(now / 1e6, UTC)).events
        fitted = read_state_model(json.loads((results / "model.json").read_text()), BOOK)
        known = input_table(events, BOOK, datetime.fromtimestamp(engine.now / 1e6, UTC), fitted)
        reader = load_reader(record["model"])
        p = to_p(reader.log_odds(reader.encoding.encode(known)))
        assert np.ptp(p) > 0.05
        ids = known["customer_id"].to_pylist()
        assert set(card.inputs) >= {f"p_{state}" for state in BOOK.state_names}
        live = [found["conversion"] for found in predict_customers(engine.live.version, ids, engine.now)]
        np.testing.assert_allclose(live, p, rtol=1e-9)
