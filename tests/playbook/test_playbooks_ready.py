"""The five ready playbooks are whole, say what they mean, and their indicators are evidence of their own state."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest

from sojourn.events.read import read_events
from sojourn.fold.primitives import Event, Setting, read_primitive
from sojourn.playbook.load import list_ready_playbooks, load_playbook
from sojourn.playbook.objects import Playbook, State
from sojourn.playbook.rules.meaning import run_program
from sojourn.playbook.rules.nodes import Program
from tests.fold.world import make_pattern

READY = ("finance", "health", "media", "saas", "shop")
SENSITIVE = ("finance", "health")
HOUR_US = 3_600_000_000
DAY_S = 86_400.0


def test_the_ready_playbooks_are_these_five() -> None:
    assert list_ready_playbooks() == READY


@pytest.mark.parametrize("name", READY)
def test_it_has_what_a_playbook_needs(name: str) -> None:
    playbook = load_playbook(name)
    assert playbook.name == name
    assert playbook.warnings == ()
    assert 15 <= len(playbook.events) <= 30
    assert len(playbook.touches) >= 3
    assert 15 <= len(playbook.features) <= 30
    assert 4 <= len(playbook.fingerprint) <= 8
    assert 5 <= len(playbook.states) <= 6
    for section in (playbook.moments, playbook.outcomes, playbook.segments, playbook.audiences):
        assert len(section) >= 3
    assert playbook.protected
    assert playbook.consent
    assert len(playbook.activations) >= 3
    assert playbook.measure_names
    assert playbook.property_names
    assert all(moment.about for moment in playbook.moments)
    assert all(segment.about for segment in playbook.segments)


@pytest.mark.parametrize("name", READY)
def test_every_state_is_written_for_people_who_must_act_on_it(name: str) -> None:
    for state in load_playbook(name).states:
        assert len(state.about.split()) >= 15, state.name
        assert len(state.job.split()) >= 5, state.name
        assert len(state.anxieties) >= 2, state.name
        assert len(state.creative.split()) >= 25, state.name
        assert len(state.channels) >= 2, state.name
        assert 2 <= len(state.indicators) <= 4, state.name
        assert state.typical_gap_s, state.name
        assert len(state.typical) >= 4, state.name


@pytest.mark.parametrize("name", READY)
def test_nobody_marks_a_state_by_what_we_did_to_them(name: str) -> None:
    playbook = load_playbook(name)
    for state in playbook.states:
        assert not set(playbook.touches) & {event_class for event_class, _ in state.typical}, state.name


@pytest.mark.parametrize("name", READY)
def test_no_raw_name_is_claimed_twice(name: str) -> None:
    raw = [word for event in load_playbook(name).events if event.where is None for word in event.raw_names]
    assert sorted(set(raw)) == sorted(raw)


@pytest.mark.parametrize("name", READY)
def test_every_event_class_is_used_by_some_state_feature_or_moment(name: str) -> None:
    playbook = load_playbook(name)
    programs = [feature.program for feature in playbook.features] + [p for p, _ in indicators_of(playbook)]
    read = {word for program in programs for call in program.calls for word in call.of}
    read |= {event_class for state in playbook.states for event_class, _ in state.typical}
    read |= {step for moment in playbook.moments for step in moment.steps}
    assert [event.name for event in playbook.events if event.name not in read and not event.is_touch] == []


@pytest.mark.parametrize("name", READY)
def test_the_primitives_are_used_well(name: str) -> None:
    used = {call.primitive for feature in load_playbook(name).features for call in feature.program.calls}
    needed = {"count", "sum", "mean", "tenure", "cadence", "momentum", "session", "hour_share", "responsiveness"}
    assert needed | {"distinct", "matches"} <= used


@pytest.mark.parametrize("name", SENSITIVE)
def test_sensitive_trades_say_what_not_to_do_and_ask_first(name: str) -> None:
    playbook = load_playbook(name)
    for state in playbook.states:
        assert "What NOT to do:" in state.creative, state.name
    assert not any(purpose.is_granted_by_default for purpose in playbook.consent)
    assert len(playbook.protected) >= 6


def test_nobody_sells_to_people_in_need() -> None:
    in_need = {"finance": ("strain", "anxiety"), "health": ("worry", "slipping", "pause")}
    for name, states in in_need.items():
        for audience in load_playbook(name).audiences:
            assert audience.purpose != "marketing" or not any(state in audience.when.text for state in states)
    assert "marketing" not in {purpose.name for purpose in load_playbook("health").consent}


def test_help_in_distress_is_never_held_out() -> None:
    holdouts = {a.audience: a.holdout_p for name in SENSITIVE for a in load_playbook(name).activations}
    assert holdouts["offer_help"] == 0
    assert holdouts["reach_a_person"] == 0
    assert holdouts["mood_is_falling"] == 0


@pytest.mark.parametrize("name", [name for name in READY if name != "shop"])
def test_it_reads_rows_in_segment_format(name: str, tmp_path: Path) -> None:
    """Every raw name lands in its class, with its measures and properties, whoever sent it and with what context."""
    playbook = load_playbook(name)
    rows = []
    for event in playbook.events:
        for raw in event.raw_names:
            paths = [path for _, rule in event.measures for path in rule.paths]
            values: dict[str, object] = {path[-1]: 2.5 for path in paths}
            values |= {path.split(".")[-1]: "x" for _, path in event.properties}
            row = {"type": "track", "event": raw, "messageId": f"m{len(rows)}", "properties": values}
            row["timestamp"] = f"2025-03-01T10:{len(rows) // 60:02d}:{len(rows) % 60:02d}.000Z"
            row |= {"userId": "u1"} if len(rows) % 2 else {"anonymousId": "a1"}
            rows.append(row | ({"context": {"campaign": {"medium": "email"}}} if len(rows) % 3 else {}))
    path = tmp_path / "events.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    log = read_events(str(path), playbook, now=None, clock=datetime(2026, 1, 1, tzinfo=UTC))
    assert (log.n_accepted, log.n_quarantined, log.raw_names) == (len(rows), 0, {})
    found = {row["event_class"]: row for row in log.by_class}
    for event in playbook.events:
        assert found[event.name]["n_rows"] == len(event.raw_names), event.name
        assert found[event.name]["measures"] == {m: 2.5 * len(event.raw_names) for m, _ in event.measures}, event.name
    for word in playbook.property_names:
        assert set(log.events[f"p_{word}"].to_pylist()) == {"x", None}, word
    assert set(log.events["channel"].to_pylist()) == {"email", None}


# Indicators as evidence: people who live as the playbook says of a state must set off its indicators more often than
# people who live in the other states. The lives are drawn from `typical` and `typical_gap`, on top of how frequent
# things are in the trade in general: most of what people do is looking, and hardly anybody cancels on a given day.

LIVES_PER_STATE = 24
VISITS_READ = 8
PAST_VISITS = 24
BEGINNINGS = ("onboarding", "sampling")
OFTEN = {
    "shop": "list_view search product_view product_view product_view cart_view email_open",
    "saas": "sign_in sign_in feature_use feature_use feature_use feature_use value_moment email_open",
    "finance": "balance_view balance_view balance_view transactions_view bill_pay deposit",
    "health": "app_open app_open activity_log activity_log medication_log value_log article_read",
    "media": "home_view home_view start start finish shelf_browse detail_view",
}
SELDOM = {
    "shop": "unsubscribe refund referral_send survey_answer ticket_open review_write coupon_use",
    "saas": "sign_up invite_accept cancel downgrade data_export teammate_remove upgrade payment_failed score_given "
    "limit_hit pricing_view invite_send automation_set integration_connect setup_step tour_view ticket_open",
    "finance": "payment_failed hardship_view fee_charged overdraft_view dispute_open form_leave goal_set recommend "
    "alerts_off account_close application_start application_done autopilot_set calculator_use contact help_search "
    "credit_score_view market_view",
    "health": "programme_join programme_leave device_connect goal_set goal_lower appointment_missed appointment_kept "
    "appointment_book clinician_find symptom_check reminder_off target_missed goal_met coach_message community_post "
    "programme_view result_view",
    "media": "sign_up cancel cancel_look alerts_off newsletter_join playlist_make live_join share comment_write "
    "subscribe wall_met plan_view playback_error help_view follow rate",
}
MANY, FEW = 6.0, 0.1


@pytest.mark.parametrize("name", READY)
def test_indicators_fire_more_often_in_their_own_state(name: str) -> None:
    rates = firing_rates(name)
    playbook = load_playbook(name)
    wrong = []
    for number, (program, owner) in enumerate(indicators_of(playbook)):
        own = rates[owner][number]
        others = [rates[state.name][number] for state in playbook.states if state.name != owner]
        elsewhere = sum(others) / len(others)
        if own < 0.03 or own < 1.3 * elsewhere:
            wrong.append(f"{owner}: {program.text}: {own:.2f} in its own state, {elsewhere:.2f} elsewhere")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", READY)
def test_the_indicators_together_point_at_the_right_state(name: str) -> None:
    playbook = load_playbook(name)
    rates = firing_rates(name)
    for state in playbook.states:
        together = {
            other.name: sum(
                rates[state.name][i] for i, (_, owner) in enumerate(indicators_of(playbook)) if owner == other.name
            )
            / len(other.indicators)
            for other in playbook.states
        }
        assert max(together, key=lambda s: together[s]) == state.name, together


def indicators_of(playbook: Playbook) -> list[tuple[Program, str]]:
    """Every indicator with its state, in the playbook's order."""
    return [(indicator.when, state.name) for state in playbook.states for indicator in state.indicators]


@cache
def firing_rates(name: str) -> dict[str, list[float]]:
    """For each state lived, the share of last events of a visit at which each indicator fires."""
    playbook = load_playbook(name)
    setting = Setting(
        frozenset(playbook.touches), {m.name: make_pattern(m) for m in playbook.moments}, has_sessions=False
    )
    programs = [program for program, _ in indicators_of(playbook)]
    rates: dict[str, list[float]] = {}
    rng = random.Random(20260101)
    for state in playbook.states:
        fired: dict[int, list[float]] = defaultdict(list)
        n_visits = round(min(max(14 * DAY_S / (state.typical_gap_s or DAY_S), VISITS_READ), 24))
        for _ in range(LIVES_PER_STATE):
            past = [] if state.name in BEGINNINGS else live(playbook, None, rng, 0, PAST_VISITS)
            events = past + live(playbook, state, rng, past[-1].event_at if past else 0, n_visits)
            ends = [i for i in range(len(past), len(events)) if is_last_of_visit(events, i)]
            for i in ends[-VISITS_READ:]:
                for number, program in enumerate(programs):
                    fired[number].append(fire(program, events[: i + 1], setting))
        rates[state.name] = [sum(fired[n]) / len(fired[n]) for n in range(len(programs))]
    return rates


def fire(program: Program, events: list[Event], setting: Setting) -> float:
    values = [
        read_primitive(call.primitive, call.of, dict(call.options), events, events[-1].event_at, setting)
        for call in program.calls
    ]
    return run_program(program, values)


def is_last_of_visit(events: list[Event], i: int) -> bool:
    return i == len(events) - 1 or events[i + 1].event_at - events[i].event_at > HOUR_US


def live(playbook: Playbook, state: State | None, rng: random.Random, at: int, visits: int) -> list[Event]:
    """Visits of somebody in a state; without one, of somebody in no particular state, every two days.

    Half of what people do is what everybody does; the other half is what marks the state.
    """
    own = [event for event in playbook.events if not event.is_touch]
    typical = dict(state.typical) if state else {}
    often, seldom = OFTEN[playbook.name].split(), SELDOM[playbook.name].split()
    everybody = [FEW if e.name in seldom else MANY * often.count(e.name) or 1.0 for e in own]
    marks = [typical.get(e.name, 0.0) for e in own] if state else everybody
    gap_s = state.typical_gap_s if state and state.typical_gap_s else 2 * DAY_S
    events = []
    for _ in range(visits):
        at += int(gap_s * rng.uniform(0.5, 1.5) * 1e6) + 2 * HOUR_US
        for _ in range(rng.randint(3, 7)):
            at += rng.randint(20, 240) * 1_000_000
            event = rng.choices(own, everybody if rng.random() < 0.5 else marks)[0]
            measures = {name: rng.uniform(1, 100) for name, _ in event.measures}
            properties = {name: str(rng.randrange(8)) for name, _ in event.properties}
            events.append(Event(at, event.name, measures, None, None, properties))
    return events
