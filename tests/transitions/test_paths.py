"""Paths, loops, entries and exits against counting by hand, on made-up and on random lives."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from statistics import median

import pyarrow as pa
import pytest

from sojourn.playbook.objects import Outcome
from sojourn.transitions.journeys.paths import GONE_S, choose_silence, find_paths
from tests.pages.fake_results import CLASSES, STATES, TOUCHES, Moves, make_moves


@pytest.fixture(scope="module")
def moves() -> Moves:
    return make_moves(n_customers=200, n_days=120, seed=4)


def ordered_history(moves: Moves) -> pa.Table:
    return moves.history.sort_by([("customer_id", "ascending"), ("event_at", "ascending")])


def stays_by_hand(moves: Moves) -> dict[str, list[tuple[str, datetime]]]:
    """Per customer the states held and when each began."""
    lives: dict[str, list[tuple[str, datetime]]] = {}
    for row in moves.transitions.sort_by("at").to_pylist():
        if row["from_state"] is not None:
            begin = row["at"] - timedelta(seconds=row["dwell_s"])
            lives.setdefault(row["customer_id"], [(row["from_state"], begin)])
            lives[row["customer_id"]].append((row["to_state"], row["at"]))
    for row in moves.customers.to_pylist():
        lives.setdefault(row["customer_id"], [(row["state"], row["since_at"])])
    return lives


def test_paths_and_loops_are_those_counted_by_hand(moves: Moves) -> None:
    table = find_paths(moves.transitions, moves.customers, ordered_history(moves), states=STATES, touches=TOUCHES,
                       gone_s=GONE_S, now=moves.now)  # fmt: skip
    rows = {(row["kind"], tuple(row["steps"])): row for row in table.to_pylist() if row["kind"] in ("path", "loop")}
    times: dict[tuple[str, ...], list[float]] = {}
    who: dict[tuple[str, ...], set[str]] = {}
    for name, life in stays_by_hand(moves).items():
        for length in (3, 4, 5):
            for i in range(len(life) - length + 1):
                steps = tuple(state for state, _ in life[i : i + length])
                times.setdefault(steps, []).append((life[i + length - 1][1] - life[i][1]).total_seconds())
                who.setdefault(steps, set()).add(name)
    for length in (3, 4, 5):
        found = {steps: row for (kind, steps), row in rows.items() if kind == "path" and len(steps) == length}
        ranked = sorted((len(who[s]) for s in who if len(s) == length and len(who[s]) > 1), reverse=True)[:50]
        assert sorted((row["n_customers"] for row in found.values()), reverse=True) == ranked
        for steps, row in found.items():
            assert (row["n"], row["n_customers"]) == (len(times[steps]), len(who[steps]))
            assert row["median_s"] == pytest.approx(median(times[steps]), abs=1e-3)
            assert row["share_p"] == row["n_customers"] / 200
    for (kind, steps), row in rows.items():
        if kind == "loop":
            going_on = sum(len(t) for s, t in times.items() if len(s) == 3 and s[:2] == steps[:2])
            assert (row["n"], row["of"]) == (len(times[steps]), going_on)
    assert {s for k, s in rows if k == "loop"} == {s for s in times if len(s) == 3 and s[0] == s[2]}


def test_entries_and_exits_are_those_counted_by_hand(moves: Moves) -> None:
    history = ordered_history(moves)
    table = find_paths(moves.transitions, moves.customers, history, states=STATES, touches=TOUCHES,
                       gone_s=86_400.0, now=moves.now)  # fmt: skip
    lives: dict[str, list[dict]] = {}
    for row in history.to_pylist():
        if row["event_class"] not in TOUCHES:
            lives.setdefault(row["customer_id"], []).append(row)
    firsts = [life[0] for life in lives.values()]
    lasts = [life[-1] for life in lives.values() if moves.now - life[-1]["event_at"] >= timedelta(days=1)]
    assert lasts
    for kind, ends in (("entry", firsts), ("exit", lasts)):
        for what, column in (("state", "state"), ("event class", "event_class")):
            found = {r["text"]: r["n"] for r in table.to_pylist() if (r["kind"], r["what"]) == (kind, what)}
            assert found == dict(Counter(row[column] for row in ends if row[column] is not None))
    assert {row["of"] for row in table.to_pylist() if row["kind"] == "exit"} == {len(lasts)}


def test_nobody_moves_and_nobody_is_gone() -> None:
    moves = make_moves(n_customers=5, is_moving=False, seed=2)
    table = find_paths(moves.transitions, moves.customers, ordered_history(moves), states=STATES, touches=TOUCHES,
                       gone_s=10**9, now=moves.now)  # fmt: skip
    assert set(table["kind"].to_pylist()) == {"entry"}
    assert len(set(table["what"].to_pylist())) == 2
    assert set(CLASSES) >= {row["text"] for row in table.to_pylist() if row["what"] == "event class"}


def test_gone_is_what_the_playbook_says() -> None:
    silence = Outcome("churn", None, None, 5.0, None, "", 1)
    assert choose_silence([Outcome("sale", "purchase", None, None, 9.0, "", 1), silence]) == 5.0
    assert choose_silence([]) == GONE_S
