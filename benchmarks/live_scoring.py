"""Scoring at event time: what does it add to an event that every customer it concerns is predicted anew?

Run: python benchmarks/live_scoring.py [--customers 500] [--days 60]

The engine in this process takes the same simulated calls, in records of several sizes: alone, then with every customer
whose row has changed scored after each record, in turns, for each kind of model that can be deployed; CPU time per
event, the least of the rounds, that of scoring within the second run. Models learn conversion from the same events.
What is asked of each is equal first: customers scored together and each alone, to 1e-12. Last, what it costs to read
the prediction of one customer, with reasons, as `GET /v1/customers/{id}` does.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).resolve().parent))

from live import head, make_version, say

from sojourn.events.read import read_events
from sojourn.live.engine.predictions import fit_model, score_rows, show_predictions
from sojourn.live.engine.version.in_use import Deployed
from sojourn.live.engine.version.version import Version
from sojourn.live.replay.calls import Calls, read_calls
from sojourn.live.store.calls import decode_calls, encode_calls
from sojourn.playbook.load import load_playbook
from sojourn.predict.candidates import list_candidates
from sojourn.predict.encoding import Encoding
from sojourn.predict.from_events import choose_instants
from sojourn.predict.learning import find_outcome, horizon_of, make_learning_table
from sojourn.predict.outcome import describe_reader
from sojourn.predict.reasons import read_model
from sojourn.predict.registry import Card
from sojourn.simulation.customers import simulate
from sojourn.states.model import draft_state_model

SIZES = (500, 100, 20, 1)
OUTCOME = "conversion"
BOOK = load_playbook("shop")
STATES = draft_state_model(BOOK)


def train(table: Any, kinds: str = "") -> dict[str, tuple[Card, dict[str, Any]]]:
    """A model of each kind, as the registry keeps them."""
    events = read_events(table, BOOK, now=datetime(2100, 1, 1, tzinfo=UTC)).events
    outcome, now = find_outcome(BOOK, OUTCOME), events["event_at"][-1].as_py()
    cuts = choose_instants(events["event_at"][0].as_py(), now, horizon_of(outcome) / 4)
    assert cuts is not None
    made = make_learning_table(
        events, BOOK, outcome, cuts.instants, horizon_s=cuts.horizon_s, now=now, states=STATES
    )  # fmt: skip
    x, y = made.input_matrix(), made.table["label"].to_numpy().astype(np.int64)
    encoding, found = Encoding(made.inputs, tuple(None for _ in made.inputs)), {}
    for candidate in list_candidates():
        if candidate.name == "explainable boosting" or (kinds and candidate.name not in kinds):
            continue  # the first has the form of additive boosting
        reader = read_model(candidate.fit(x, y, 0), encoding, x, 1.0, 0.0)
        card = Card(OUTCOME, candidate.name, "", "", "", len(x), "", BOOK.hash, made.inputs, {}, version=1)
        record = {"model": describe_reader(reader), "threshold": 0.5, "data_to": "", "states": STATES.hash}
        found[candidate.name] = (card, json.loads(json.dumps(record)))
    return found


def feed(version: Version, raw: list[bytes], at: list[int], size: int, *, is_scored: bool) -> tuple[float, float]:
    """CPU seconds for all records, and of them for scoring: each record's customers, at its instant."""
    stepped: list[Any] = []
    step = version.steps.step
    version.steps.step = lambda customers, rows, events: (stepped.append(rows), step(customers, rows, events))[1]  # type: ignore[method-assign]
    begin, scoring = time.process_time(), 0.0
    for position, first in enumerate(range(0, len(raw), size), 1):
        some, now = raw[first : first + size], at[min(first + size, len(raw)) - 1]
        version.take_calls(position, now, decode_calls(encode_calls(some, 0, now, None, "k")))
        if is_scored:
            rows = np.unique(np.concatenate(stepped)) if stepped else np.empty(0, np.int32)
            before = time.thread_time()
            score_rows(version, rows.astype(np.int32), now)
            scoring += time.thread_time() - before
        stepped.clear()
    return time.process_time() - begin, scoring


def run(calls: Calls, n: int, size: int, model: Any, *, is_scored: bool) -> tuple[float, float]:
    """CPU microseconds per event, and of them for scoring."""
    with tempfile.TemporaryDirectory() as folder:
        version = make_version(Path(folder), (files("sojourn.playbook") / "ready" / "shop.yaml").read_text("utf-8"))
        version.models = (fit_model(version, *model),)
        assert isinstance(version.models[0], Deployed), version.models
        cost = feed(version, calls.write(0, n), calls.at[:n].tolist(), size, is_scored=is_scored)
        version.event_files.close()
    return cost[0] / n * 1e6, cost[1] / n * 1e6


def check(version: Version, now: int) -> None:
    """Scored together and alone customers get the same."""
    rows = np.arange(len(version.customers), dtype=np.int32)
    together = score_rows(version, rows, now)[OUTCOME]
    alone = [show_predictions(version, int(row), now)[OUTCOME]["p"] for row in rows]
    np.testing.assert_allclose(together, [np.nan if p is None else p for p in alone], rtol=1e-12)


def read_one(calls: Calls, model: Any) -> float:
    """CPU microseconds to read the predictions of one customer once all has happened."""
    with tempfile.TemporaryDirectory() as folder:
        version = make_version(Path(folder), (files("sojourn.playbook") / "ready" / "shop.yaml").read_text("utf-8"))
        version.models = (fit_model(version, *model),)
        raw, at = calls.write(0, len(calls)), calls.at.tolist()
        feed(version, raw, at, 500, is_scored=False)
        check(version, at[-1])
        rows = list(range(len(version.customers))) * 3
        begin = time.process_time()
        for row in rows:
            show_predictions(version, row, at[-1])
        cost = (time.process_time() - begin) / len(rows) * 1e6
        version.event_files.close()
    return cost


def main() -> None:
    """All kinds, all sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=500)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", default="", help="some of the kinds, with a comma between them")
    asked = parser.parse_args()
    table = simulate(asked.customers, days=asked.days, seed=1).events
    models, calls = train(table, asked.kinds), read_calls(table, BOOK)
    first = next(iter(models.values()))
    run(calls, min(len(calls), 2_000), 500, first, is_scored=True)  # what is compiled is loaded then
    head(["model", "calls in a record", "µs per event, engine alone", "added by scoring", "ratio"])
    found: list[dict[str, Any]] = []
    for name, model in models.items():
        for size in SIZES:
            n = min(len(calls), max(size * 40, 1_000))
            plain, scored = [], []
            for _ in range(asked.rounds):
                plain.append(run(calls, n, size, model, is_scored=False)[0])
                scored.append(run(calls, n, size, model, is_scored=True))
            alone, added = min(plain), min(cost for _, cost in scored)
            found.append(
                {"model": name, "size": size, "us_alone": round(alone, 1), "us_added": round(added, 1),
                 "ratio": round((alone + added) / alone, 2)}
            )  # fmt: skip
            say(found[-1])
    print()
    head(["model", "µs to read one customer's prediction, with reasons"])
    reads = [{"model": name, "us": round(read_one(calls, model))} for name, model in models.items()]
    for row in reads:
        say(row)
    print("\n" + json.dumps({"scoring": found, "reading": reads}))


if __name__ == "__main__":
    main()
