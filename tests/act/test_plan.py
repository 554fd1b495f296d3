"""Plans: sample sizes against a simulation and a textbook formula, rules that hold, the walk on a small run."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from sojourn.act.plan.audience import find_members, read_vocabulary
from sojourn.act.plan.plan import GOALS, make_plan
from sojourn.act.plan.states import choose_outcome, count_entries, find_states, watch_outcome
from sojourn.cli.main import app
from sojourn.errors import SojournError
from sojourn.frames.instants import instant_us
from sojourn.pages.words.plan import write_plan
from sojourn.playbook.load import load_playbook, parse_playbook
from sojourn.playbook.rules.compile import compile_audience
from sojourn.prove.power import count_needed, find_detectable, plan_test

NOW = datetime(2026, 6, 1, tzinfo=UTC)
BOOK = """
playbook: small
source: {format: segment}
events:
  look: {name: Looked}
  buy: {name: Bought}
  mail: {name: Mailed, touch: true}
features: {buys: count(buy), looks: "count(look, half_life=7d)", age: tenure() / 1d}
states:
  calm: {about: Calm., typical: {look: 1}, channels: [email], creative: Stay calm.}
  keen: {about: Keen., typical: {buy: 1}}
  tired: {about: Tired., typical: {look: 1}}
outcomes: {conversion: {event: buy, within: 28d}, churn: {silence: 28d}}
audiences: {sleepy: {when: "state == 'tired' and buys >= 1", purpose: marketing}}
activations: {wake: {audience: sleepy, channel: email, destination: webhook, holdout: 0.1, creative: Wake up.}}
consent: {purposes: {marketing: {default: denied}}}
protected: [gender]
"""


def make_tables(*, churn_p: dict[str, float] | None = None, n: int = 600, seed: int = 0) -> dict[str, pa.Table]:
    """Customers in three states who go on as planted: of those in a state, this share does nothing for 28 days."""
    rng = np.random.default_rng(seed)
    p = churn_p or {"calm": 0.1, "keen": 0.05, "tired": 0.6}
    history, customers, transitions = [], [], []
    for i in range(n):
        who, state = f"c{i}", ("calm", "keen", "tired")[i % 3]
        first = NOW - timedelta(days=60 if i % 2 else 45)
        history.append((who, first, "look", state))
        history.append((who, NOW - timedelta(days=35), "buy" if i % 4 == 0 else "look", state))
        last = NOW - timedelta(days=35)
        if rng.random() >= p[state]:
            last = NOW - timedelta(days=10)
            history.append((who, last, "buy" if state == "keen" else "look", state))
        history.append((who, NOW - timedelta(days=3), "mail", state))
        customers.append((who, first, NOW, 3, state, 0.9, float(i % 4 == 0 or state == "keen"), 1.0))
        transitions.append(
            (who, NOW - timedelta(days=20), "calm", "tired") if i % 30 == 2 else (who, first, None, state)
        )
    names = ("customer_id", "first_at", "last_at", "n_events", "state", "state_p", "f_buys", "f_looks")
    moves = [
        ("calm", "tired", 50, 0.8),
        ("tired", "calm", 30, 0.6),
        ("tired", "keen", 20, 0.4),
        ("calm", "keen", 10, 0.2),
    ]
    return {
        "history": _table(("customer_id", "event_at", "event_class", "state"), sorted(history, key=lambda row: row[1])),
        "customers": _table(names, customers),
        "transitions": _table(("customer_id", "at", "from_state", "to_state"), transitions),
        "matrix": _table(("from_state", "to_state", "n", "p", "median_dwell_s"), [(*m, 86_400.0) for m in moves]),
        "precedes": _table(
            ("from_state", "to_state", "event_class", "is_touch", "n_with", "lift", "low", "high", "q"),
            [
                ("tired", "calm", "mail", True, 9, 2.0, 1.5, 2.6, 0.001),
                ("tired", "calm", "look", False, 3, 3.0, 0.5, 9.0, None),
            ],
        ),
    }  # fmt: skip


def _table(names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> pa.Table:
    return pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


RUN = {"now": NOW.isoformat(), "foresight": []}


def test_a_test_of_the_planned_size_sees_the_effect_as_often_as_it_says() -> None:
    plan = plan_test(0.3, -0.2, 0.2, 0, 1.0, 28.0)
    rng = np.random.default_rng(1)
    held, treated = plan.n_holdout, plan.n - plan.n_holdout
    a, b = rng.binomial(held, 0.3, 20_000) / held, rng.binomial(treated, 0.24, 20_000) / treated
    pooled = (a * held + b * treated) / plan.n
    z = (a - b) / np.sqrt(pooled * (1 - pooled) * (1 / held + 1 / treated))
    assert np.mean(np.abs(z) > 1.96) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(("p", "q", "holdout"), [(0.5, 0.6, 0.5), (0.1, 0.12, 0.5), (0.3, 0.2, 0.1)])
def test_sample_sizes_are_those_of_the_textbook(p: float, q: float, holdout: float) -> None:
    size = 2 * math.asin(math.sqrt(q)) - 2 * math.asin(math.sqrt(p))  # Cohen's h
    expected = ((1.959964 + 0.841621) / size) ** 2 * (1 / holdout + 1 / (1 - holdout))
    assert count_needed(p, q, holdout) == pytest.approx(expected, rel=0.005)


def test_the_least_change_seen_is_the_inverse_of_the_size() -> None:
    found = find_detectable(0.3, -1.0, 0.2, count_needed(0.3, 0.24, 0.2))
    assert found == pytest.approx(-0.2, abs=0.002)
    assert find_detectable(0.01, -1.0, 0.1, 50) is None


def test_what_cannot_be_tested_is_refused() -> None:
    for p, effect, holdout in ((0.0, 0.2, 0.1), (0.9, 0.2, 0.1), (0.5, 0.0, 0.1), (0.5, 0.2, 0.0)):
        with pytest.raises(ValueError, match="cannot change"):
            plan_test(p, effect, holdout, 100, 1.0, 28.0)


def test_waiting_takes_as_long_as_customers_take_to_come() -> None:
    plan = plan_test(0.3, -0.2, 0.5, 400, 50.0, 28.0)
    assert plan.weeks == pytest.approx(4 + (plan.n - 400) / 50, abs=0.06)
    assert plan_test(0.3, -0.2, 0.5, 5_000, 0.0, 28.0).weeks == 4.0
    assert plan_test(0.3, -0.2, 0.5, 10, 0.0, 28.0).weeks is None


def test_retention_goes_where_the_losses_were_planted() -> None:
    playbook = parse_playbook(BOOK)
    plan = make_plan("retention", playbook, make_tables(), RUN)
    rates = {share.state: share.outcome_p for share in plan.states}
    assert plan.state == "tired"
    assert rates["tired"] == pytest.approx(0.6, abs=0.1)
    assert rates["calm"] == pytest.approx(0.1, abs=0.07)
    assert plan.outcome == "churn"
    assert plan.rule == "state == 'tired' and state_p > 0.6 and recency(any) < 28d"
    assert plan.n_audience == next(share.n_now for share in plan.states if share.state == "tired")
    assert [move.to_state for move in plan.moves if move.from_state == "tired"] == ["calm", "keen"]
    assert [row["event_class"] for row in plan.precedes] == ["mail"]
    assert (plan.audience, plan.activation, plan.channel, plan.purpose) == ("sleepy", "wake", "email", "marketing")
    assert [test.holdout_p for test in plan.tests] == [0.1, 0.2, 0.5]
    assert plan.effect == -0.2


def test_who_is_lost_already_is_not_asked() -> None:
    tables = make_tables()
    late = tables["history"].filter(pa.array([row["customer_id"] != "c2" for row in tables["history"].to_pylist()]))
    old = _table(
        ("customer_id", "event_at", "event_class", "state"), [("c2", NOW - timedelta(days=70), "look", "tired")]
    )
    with_old = pa.concat_tables([old.cast(late.schema), late])
    plan = make_plan("retention", parse_playbook(BOOK), {**tables, "history": with_old}, RUN)
    assert plan.n_known == 599


def test_upsell_asks_those_who_bought_and_onboarding_the_new() -> None:
    playbook, tables = parse_playbook(BOOK), make_tables(churn_p={"calm": 0.1, "keen": 0.05, "tired": 0.6}, n=900)
    upsell = make_plan("upsell", playbook, tables, RUN)
    assert (upsell.state, upsell.outcome, upsell.effect) == ("keen", "conversion", 0.2)
    assert upsell.rule == "state == 'keen' and state_p > 0.6 and count(buy) >= 1"
    assert upsell.n_known == 225  # every fourth had bought
    onboarding = make_plan("onboarding", playbook, tables, RUN, new_days=50.0)
    assert onboarding.n_known == 900  # all were new 28 days ago, and nobody was there 50 days before that
    assert sum(share.n_now for share in onboarding.states) == 450
    assert onboarding.state in ("calm", "tired")
    assert onboarding.rule.endswith("and tenure() <= 50d")
    bare = parse_playbook(BOOK.replace("buys: count(buy), ", "").replace(" and buys >= 1", ""))
    assert "add count(buy)" in " ".join(make_plan("upsell", bare, tables, RUN).doubts)


@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize("name", ["shop", "saas", "health", "finance", "media"])
def test_every_ready_playbook_has_an_outcome_for_every_goal(name: str, goal: str) -> None:
    playbook = load_playbook(name)
    assert choose_outcome(goal, playbook, None) in playbook.outcomes
    with pytest.raises(SojournError, match="there is no outcome 'chrun'"):
        choose_outcome(goal, playbook, "chrun")


def test_rules_hold_for_whom_the_parser_says() -> None:
    playbook, tables = parse_playbook(BOOK), make_tables(n=60)
    words, now = read_vocabulary(playbook), instant_us(NOW)
    rows = tables["customers"].to_pylist()

    def members(text: str) -> list[bool] | None:
        found = find_members(compile_audience(text, words), words, tables["customers"], now)
        return None if found is None else found.tolist()

    assert members("state == 'tired' and buys >= 1") == [r["state"] == "tired" and r["f_buys"] >= 1 for r in rows]
    assert members("count(buy) >= 1 or state in ['calm', 'keen']") == [
        r["f_buys"] >= 1 or r["state"] in ("calm", "keen") for r in rows
    ]
    assert members("not (tenure() > 50d)") == [(NOW - r["first_at"]) <= timedelta(days=50) for r in rows]
    assert members("looks / buys > 0.5") == [r["f_buys"] > 0 for r in rows]
    assert members("count(look) >= 1") is None  # the table does not have it
    assert members("trait(plan) == 'gold'") is None


def test_states_at_an_instant_are_the_last_published() -> None:
    history = _table(
        ("customer_id", "event_at", "event_class", "state"),
        [
            ("a", NOW - timedelta(days=9), "look", "calm"),
            ("b", NOW - timedelta(days=9), "look", None),
            ("a", NOW, "buy", "keen"),
        ],
    )  # fmt: skip
    moves = _table(("customer_id", "at", "to_state"), [("a", NOW - timedelta(days=5), "tired"), ("a", NOW, "keen")])
    known = pa.array(["a", "b", "c"])
    at = {
        days: find_states(moves, history, known, instant_us(NOW - timedelta(days=days))).tolist() for days in (8, 4, 0)
    }
    assert at == {8: ["calm", None, None], 4: ["tired", None, None], 0: ["keen", None, None]}
    assert count_entries(moves, "tired", NOW) == 1  # no more than a week is known
    for days, n in ((27, 1 / 4), (14 * 7 - 1, 1 / 8)):
        first = _table(("customer_id", "at", "to_state"), [("b", NOW - timedelta(days=days + 1), "calm")])
        assert count_entries(pa.concat_tables([first, moves]), "tired", NOW) == n


def test_touches_are_no_sign_of_life() -> None:
    playbook = parse_playbook(BOOK)
    rows = [("a", NOW - timedelta(days=30), "look", "calm"), ("b", NOW - timedelta(days=30), "look", "calm"),
            ("a", NOW - timedelta(days=1), "mail", "calm"), ("b", NOW - timedelta(days=1), "look", "calm")]  # fmt: skip
    history = _table(("customer_id", "event_at", "event_class", "state"), rows)
    cut = instant_us(NOW - timedelta(days=28))
    known, lost = watch_outcome(choose_outcome("retention", playbook, None), playbook, history, cut, 28 * 86_400.0)
    assert dict(zip(known.to_pylist(), lost.tolist(), strict=True)) == {"a": True, "b": False}


def test_the_words_say_the_numbers_and_what_is_missing() -> None:
    playbook = parse_playbook(BOOK)
    plan = make_plan("retention", playbook, make_tables(), RUN)
    text = write_plan(plan)
    assert plan.rule in text
    assert f"{plan.n_audience:,} customers now" in text
    assert "gender" in text
    assert "was not measured in this run" in text
    assert "agreed to the purpose `marketing`" in text
    bare = parse_playbook("".join(line for line in BOOK.splitlines(True) if not line.startswith("activations")))
    assert "no activation for state 'tired'" in write_plan(make_plan("retention", bare, make_tables(), RUN))
    small = make_plan("retention", playbook, make_tables(n=120), RUN, effect=0.02)
    assert "No test is done within a year" in write_plan(small)


def test_other_tables_of_the_folder_are_used() -> None:
    playbook, tables = parse_playbook(BOOK), make_tables()
    ids = tables["customers"]["customer_id"].to_pylist()
    n = len(ids)
    more = {
        "value": pa.table({"customer_id": ids, "value": [2.0] * len(ids)}),
        "predictions": pa.table(
            {"customer_id": ids * 2, "outcome": ["churn"] * n + ["x"] * n, "p": [0.25] * n + [0.9] * n}
        ),
        "send_times": pa.table(
            {"customer_id": ids, "channel": ["email"] * len(ids), "gain_observed": [0.05] * len(ids)}
        ),
        "triggers": _table(
            ("from_state", "to_state", "event_class", "kind", "hazard_ratio", "low", "high", "q"),
            [
                ("tired", "calm", "mail", "touch", 1.8, 1.2, 2.5, 0.01),
                ("tired", "calm", "look", "own", 9.0, 8.0, 9.9, 0.0),
            ],
        ),
    }
    plan = make_plan("retention", playbook, {**tables, **more}, RUN)
    assert plan.also["value"] == {"n": plan.n_audience, "total": 2.0 * (plan.n_audience or 0), "mean": 2.0}
    assert plan.also["predicted_p"] == 0.25
    assert [row["event_class"] for row in plan.also["triggers"]] == ["mail"]
    text = write_plan(plan)
    assert "+5.0 points" in text
    assert "1.8 times as likely" in text


def test_what_is_surest_of_all_is_not_left_out() -> None:
    names = ("from_state", "to_state", "event_class", "kind", "hazard_ratio", "low", "high", "q")
    rows = [
        ("tired", "calm", "mail", "touch", 3.0, 2.5, 3.5, 0.0),
        ("tired", "keen", "mail", "touch", None, None, None, 0.0),
        ("tired", "keen", "look", "touch", 2.0, 0.5, 3.0, None),
    ]
    plan = make_plan("retention", parse_playbook(BOOK), {**make_tables(), "triggers": _table(names, rows)}, RUN)
    assert [(row["to_state"], row["hazard_ratio"]) for row in plan.also["triggers"]] == [("calm", 3.0)]
    tables = make_tables()
    columns = {name: tables["precedes"][name].to_pylist()[:1] for name in tables["precedes"].column_names}
    sure = {
        "from_state": ["tired"],
        "to_state": ["calm"],
        "event_class": ["mail"],
        "q": [0.0],
        "low": [1.5],
        "lift": [2.0],
    }
    tables["precedes"] = pa.table(columns | sure | {"is_touch": [True], "high": [3.0], "n_with": [9]})
    assert [row["event_class"] for row in make_plan("retention", parse_playbook(BOOK), tables, RUN).precedes] == [
        "mail"
    ]


def test_tables_of_others_that_know_nothing_are_left_out() -> None:
    tables = make_tables()
    ids = tables["customers"]["customer_id"]
    nothing = pa.nulls(len(ids), pa.float64())
    for worth in (nothing, pa.array(["x"] * len(ids))):
        more = {
            "value": pa.table({"customer_id": ids, "value": worth}),
            "predictions": pa.table({"customer_id": ids, "outcome": ["churn"] * len(ids), "p": worth}),
            "send_times": pa.table({"customer_id": ids, "channel": ["email"] * len(ids), "gain_observed": worth}),
        }
        plan = make_plan("retention", parse_playbook(BOOK), {**tables, **more}, RUN)
        bare = make_plan("retention", parse_playbook(BOOK), tables, RUN)
        assert write_plan(plan) == write_plan(bare)


def test_a_state_without_the_outcome_is_not_given_the_share_of_all() -> None:
    tables = make_tables()
    keen = tables["customers"].filter(pc.equal(tables["customers"]["state"], "keen"))["customer_id"].to_pylist()
    bought = _table(tables["history"].column_names, [(who, NOW - timedelta(days=10), "buy", "keen") for who in keen])
    tables["history"] = pa.concat_tables([tables["history"], bought.cast(tables["history"].schema)])
    plan = make_plan("onboarding", parse_playbook(BOOK), tables, RUN, new_days=50.0)
    assert plan.base_p > 0.1
    assert {share.state: share.outcome_p for share in plan.states}[plan.state] == 0
    assert plan.tests == ()
    assert "No test can be planned: a share of 0 cannot change" in write_plan(plan)


def test_nothing_to_say_is_said() -> None:
    with pytest.raises(SojournError, match="customers could be watched"):
        make_plan("retention", parse_playbook(BOOK), make_tables(n=20), RUN)
    with pytest.raises(SojournError, match="there is no goal 'retain'"):
        make_plan("retain", parse_playbook(BOOK), make_tables(n=20), RUN)


def test_the_command_reads_a_folder_and_writes_the_plan(tmp_path: Path) -> None:
    for name, table in make_tables().items():
        pq.write_table(table, tmp_path / f"{name}.parquet")
    (tmp_path / "playbook.yaml").write_text(BOOK)
    (tmp_path / "run.json").write_text(json.dumps(RUN))
    done = CliRunner().invoke(app, ["plan", "retention", "--results", str(tmp_path), "--out", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    facts = json.loads(done.output)
    assert facts["state"] == "tired"
    assert json.loads((tmp_path / "plan_retention.json").read_text()) == facts
    assert (tmp_path / "plan_retention.md").read_text().startswith("# Plan: retention")
    missing = CliRunner().invoke(app, ["plan", "retention", "--results", str(tmp_path / "none")])
    assert missing.exit_code == 2
    assert "no whole folder of results" in missing.output


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("run.json", "[]", "no facts of a run"),
        ("run.json", "{}", "Invalid isoformat"),
        ("run.json", '{"now": "soon"}', "Invalid isoformat"),
        ("matrix.parquet", pa.table({"n": [1]}), "matrix.parquet has no column 'from_state'"),
        ("customers.parquet", pa.table({"customer_id": ["a"]}), "customers.parquet has no column 'first_at'"),
        ("transitions.parquet", pa.table({"at": [1]}), "transitions.parquet has no column 'customer_id'"),
        ("precedes.parquet", b"zz", "no whole folder of results"),
        ("history.parquet", pa.table({"x": [1]}), "no whole folder of results"),
    ],
)
def test_a_folder_that_is_not_whole_is_named(tmp_path: Path, name: str, content: Any, what: str) -> None:
    for key, table in make_tables().items():
        pq.write_table(table, tmp_path / f"{key}.parquet")
    (tmp_path / "playbook.yaml").write_text(BOOK)
    (tmp_path / "run.json").write_text(json.dumps(RUN))
    if isinstance(content, pa.Table):
        pq.write_table(content, tmp_path / name)
    else:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    done = CliRunner().invoke(app, ["plan", "retention", "--results", str(tmp_path)])
    assert done.exit_code == 2
    assert what in done.output.replace("\n", " ")
