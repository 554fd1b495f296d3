"""The golden file of the state model is what the plain reference says and what the compiled loops do."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from sojourn.fold.batch import Observe, fold_events, make_batch
from sojourn.fold.layout import build_layout
from sojourn.frames.schemas import events_schema
from sojourn.playbook.load import parse_playbook
from sojourn.states.hmm import hysteresis as publish
from sojourn.states.hmm.model import event_matrices, silence_matrices
from sojourn.states.model_file import load_model
from sojourn.states.published import Thresholds, infer_states
from sojourn.states.rows import Rows, arrange_rows
from tests.fold.golden import print_golden
from tests.states.golden import GOLDEN, make_golden


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def arranged(golden) -> tuple[Rows, list[str]]:
    """The golden events, folded and arranged by the package, and the customers in its order."""
    playbook = parse_playbook(golden["playbook"], "golden.yaml")
    events = golden["events"]
    schema = events_schema(["revenue"], [])
    columns = {
        "customer_id": [e["customer"] for e in events],
        "event_id": [str(i) for i in range(len(events))],
        "seq": list(range(len(events))),
        "event_at": [e["event_at"] for e in events],
        "event_class": [e["event_class"] for e in events],
        "m_revenue": [e["measures"].get("revenue") for e in events],
    }
    table = pa.table([pa.array(columns.get(f.name, [None] * len(events)), f.type) for f in schema], schema=schema)
    layout, batch = build_layout(playbook), make_batch(table, playbook)
    cuts = tuple(np.array(c) for c in golden["cuts"])
    symbols = fold_events(layout, batch, observe=Observe(cuts)).symbols
    rows = arrange_rows(
        playbook, batch.customer, batch.event_at, batch.event_class, symbols, None,
        golden["model"]["silence"]["boundaries_s"], batch.n_customers, golden["now"],
    )  # fmt: skip
    return rows, batch.ids.names().to_pylist()


def test_the_file_is_what_the_reference_says(golden):
    assert is_near(golden, json.loads(print_golden(make_golden()))), "run: python -m tests.states.golden"


def is_near(a: Any, b: Any) -> bool:
    """Equal, floats to the last few bits: powers differ between machines in the last."""
    if isinstance(a, float) and isinstance(b, float):
        return a == pytest.approx(b, rel=1e-12)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(is_near(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(is_near, a, b))
    return bool(a == b)


def test_the_file_holds_what_can_go_wrong(golden):
    """Ties, boundaries hit exactly, touches before the first event, missing symbols, every cause of a move."""
    at = [e["event_at"] for e in golden["events"]]
    assert len(set(at)) < len(at)
    assert any(e["filtered"] is None for e in golden["events"])
    assert any(e["symbols"] and 255 in e["symbols"] for e in golden["events"])
    assert any(c["state"] is None for c in golden["cases"][0]["customers"])
    for case in golden["cases"]:
        assert {t["cause"] for t in case["transitions"]} == {"event", "silence"}
    bounds = {round(b * 1e6) for b in golden["model"]["silence"]["boundaries_s"]}
    gaps = set()
    for name in {e["customer"] for e in golden["events"]}:
        own = [e["event_at"] for e in golden["events"] if e["customer"] == name and e["symbols"]]
        gaps |= {b - a for a, b in pairwise(own)}
    assert gaps & bounds


def test_the_fold_sees_the_symbols(golden, arranged):
    rows, _ = arranged
    own = rows.order[rows.own_row]
    for i, combo in zip(own.tolist(), rows.data.combos[rows.data.code].tolist(), strict=True):
        assert combo == golden["events"][i]["symbols"]
    assert sorted(own.tolist()) == [i for i, e in enumerate(golden["events"]) if e["symbols"] is not None]


@pytest.mark.parametrize("n_case", range(4))
def test_the_loops_believe_and_publish_the_same(golden, arranged, n_case):
    (rows, names), case = arranged, golden["cases"][n_case]
    model = load_model(golden["model"])
    states = golden["model"]["states"]
    transitions, customers = [], []
    for chunk in infer_states(model, Thresholds(**case["thresholds"]), rows):
        for i in range(chunk.lo, chunk.hi):
            event, published = int(rows.order[i]), int(chunk.published[i - chunk.lo])
            expected = golden["events"][event]["filtered"]
            if expected is None:
                assert np.isnan(chunk.filtered[i - chunk.lo]).all()
            else:
                np.testing.assert_allclose(chunk.filtered[i - chunk.lo], expected, rtol=1e-9)
            assert case["states"][event] == (None if published < 0 else states[published])
        for move in chunk.moves.tolist():
            row = move[publish.MOVE_ROW]
            transitions.append(
                {
                    "customer": names[chunk.first + move[publish.MOVE_CUSTOMER]],
                    "at": move[publish.MOVE_AT],
                    "from": states[move[publish.MOVE_FROM]],
                    "to": states[move[publish.MOVE_TO]],
                    "event": None if row < 0 else int(rows.order[chunk.lo + row]),
                    "cause": "silence" if row < 0 else "event",
                    "dwell_s": (move[publish.MOVE_AT] - move[publish.MOVE_SINCE]) / 1e6,
                }
            )
        for k in range(chunk.first, chunk.last):
            facts, p = chunk.facts[k - chunk.first], chunk.at_now[k - chunk.first]
            has_own = facts[publish.N_OWN] > 0
            customers.append(
                {
                    "customer": names[k],
                    "state": states[facts[publish.STATE]] if has_own else None,
                    "since_at": int(facts[publish.STATE_SINCE]) if has_own else None,
                    "posterior": p.tolist() if has_own else None,
                }
            )
    assert sorted(transitions, key=lambda t: t["customer"]) == case["transitions"]
    for mine, golden_one in zip(sorted(customers, key=lambda c: c["customer"]), case["customers"], strict=True):
        assert {k: v for k, v in mine.items() if k != "posterior"} == {
            k: v for k, v in golden_one.items() if k != "posterior"
        }
        assert mine["posterior"] == (golden_one["posterior"] and pytest.approx(golden_one["posterior"], rel=1e-9))


def test_matrices_are_those_of_the_reference(golden):
    """The products that the loops multiply by, for whoever writes them in another language."""
    from tests.states.golden import cross_boundary, see_event

    model = load_model(golden["model"])
    missing = [255] * len(model.channels)
    for r in range(3):
        start = [float(r == s) for s in range(3)]
        for b in range(4):
            p = np.array(start)
            for tick in range(b):
                p = np.array(cross_boundary(golden["model"], p.tolist(), tick))
            crossed = silence_matrices(model)[b][r]
            np.testing.assert_allclose(p, crossed / crossed.sum(), rtol=1e-12)
            for u, touch in enumerate(("none", "mail")):
                moved = p @ event_matrices(model)[b, u]
                expected = see_event(golden["model"], p.tolist(), b, touch, missing)
                np.testing.assert_allclose(moved / moved.sum(), expected, rtol=1e-12)
