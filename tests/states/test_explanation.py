"""Explaining customers of a finished run: what is told adds up, and the change that flips really flips."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from sojourn import explain, run
from sojourn.errors import SojournError
from sojourn.states.hmm.model import Model, channel_logs, event_matrices, silence_matrices
from sojourn.states.model_file import load_model
from sojourn.states.reasons import name_symbol
from tests.states.world import START, draw_events, make_book, make_rows

ODD = ["é", "a b", "x'y\"", "../z", "漢字", "1e5", "0", "<b>"]


@pytest.fixture(scope="module", params=["at once", "later"])
def out(request, tmp_path_factory) -> Path:
    """A run with odd ids and a customer who was only sent mail, as of the last event and of two days later."""
    events = [(ODD[int(c[1:])] if int(c[1:]) < len(ODD) else c, h, e) for c, h, e in draw_events(6, 30, 40)]
    events.append(("mailed", 100.0, "mail"))
    events.sort(key=lambda e: e[1])
    now = None if request.param == "at once" else START + timedelta(days=42)
    folder = tmp_path_factory.mktemp("explain") / "out"
    # All channels count, so that all of them can flip.
    book = make_book(stability="{enter: 0.4, margin: 0, exit: 0.4, min_dwell: 1m}")
    run(make_rows(events), book, out=folder, now=now, n_threads=1)
    return folder


def read_model(out: Path) -> Model:
    return load_model(json.loads((out / "model.json").read_text()))


def test_every_customer_is_explained(out):
    model = read_model(out)
    table = {row["customer_id"]: row for row in pq.read_table(out / "customers.parquet").to_pylist()}
    history = pq.read_table(out / "history.parquet").to_pylist()
    moves = pq.read_table(out / "transitions.parquet").to_pylist()
    for customer, row in table.items():
        told = explain(out, customer)
        assert json.loads(json.dumps(told)) == told
        assert (told["customer_id"], told["state"], told["n_events"]) == (customer, row["state"], row["n_events"])
        mine = [h["event_id"] for h in history if h["customer_id"] == customer]
        assert [e["event_id"] for e in told["events"]] == mine[-20:]
        assert len(told["transitions"]) == sum(m["customer_id"] == customer for m in moves)
        assert set(told["features"]) == {"looks", "spend"}
        if customer == "mailed":
            assert told["flip"] is told["state"] is None
            assert told["reasons"] == []
            continue
        assert datetime.fromisoformat(told["since_at"]) == row["since_at"]
        assert sum(told["posterior"].values()) == pytest.approx(1)
        odds = np.log(told["posterior"][told["state"]] / told["posterior"][told["runner_up"]])
        assert sum(r["weight"] for r in told["reasons"]) == pytest.approx(odds, abs=1e-8)
    assert set(model.states) == {"browsing", "buying", "gone"}
    assert set(ODD) < set(table)


def test_the_flip_is_true_when_applied(out):
    """Change the last event as told, or let the coming events come, and filter again."""
    model = read_model(out)
    seen = {row["customer_id"]: row for row in pq.read_table(out / "last_seen.parquet").to_pylist()}
    n_changed = n_coming = 0
    for customer, last in seen.items():
        told = explain(out, customer)
        flip, posterior = told["flip"], np.array(last["posterior"])
        now = filter_on(model, posterior, last["n_ticks"])
        np.testing.assert_allclose(now, [told["posterior"][s] for s in model.states], atol=1e-9)
        if flip is None:
            continue
        assert flip["to_state"] != told["state"]
        if flip["changes"]:
            n_changed += 1
            for change in flip["changes"]:
                posterior = exchange(model, posterior, last["symbols"], change["seen"], change["instead"])
            after = filter_on(model, posterior, last["n_ticks"])
            for left_out in range(len(flip["changes"])):  # no change of them can be spared
                part = np.array(last["posterior"])
                for i, change in enumerate(flip["changes"]):
                    if i != left_out:
                        part = exchange(model, part, last["symbols"], change["seen"], change["instead"])
                assert filter_on(model, part, last["n_ticks"]).argmax() == model.states.index(told["state"])
        elif flip["next_event"]:
            n_coming += 1
            after, before = come(model, now, last["n_ticks"], flip["next_event"], flip["n_next"])
            assert model.states[before.argmax()] == told["state"]
        else:
            after = now  # the likeliest state is another already, the published one waits
        assert model.states[after.argmax()] == flip["to_state"]
    assert n_changed > 0 or n_coming > 0
    assert n_changed + n_coming > len(seen) / 2


def filter_on(model: Model, posterior: np.ndarray, n_ticks: int) -> np.ndarray:
    """The posterior after so many boundaries of silence."""
    p = posterior @ silence_matrices(model)[n_ticks]
    return p / p.sum()


def exchange(model: Model, posterior: np.ndarray, symbols: list[int], was: str, instead: str) -> np.ndarray:
    """The posterior with one symbol of the last event another one, both by the words that people read."""
    for c, channel in enumerate(model.channels):
        words = [name_symbol(channel.name, s) for s in channel.symbols]
        if instead in words and (symbols[c] == 255 or words[symbols[c]] == was):
            logs = channel_logs(channel)
            p = posterior * np.exp(logs[words.index(instead)] - logs[symbols[c]])
            return p / p.sum()
    raise AssertionError(f"no channel can change from {was} to {instead}")


def come(model: Model, now: np.ndarray, n_ticks: int, event: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The posterior after n such events, and before the last of them; what else they would change is left out."""
    likely = np.exp(channel_logs(model.channels[0])[model.channels[0].symbols.index(event)])
    p = before = now
    for i in range(n):
        before = p
        p = (p @ event_matrices(model)[n_ticks if i == 0 else 0, 0]) * likely
        p = p / p.sum()
    return p, before


def test_unknown_customers_and_folders_are_named(out, tmp_path):
    with pytest.raises(SojournError, match=r"no customer 'c2O'.*Did you mean 'c2"):
        explain(out, "c2O")
    with pytest.raises(SojournError, match="holds no results"):
        explain(tmp_path, "c1")
