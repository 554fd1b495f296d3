"""From a goal to a plan: the states that matter, the outcome, whom to reach, with what, and how to prove it.

Everything is read off the tables of one run. A plan says what was seen of like customers before; whether reaching out
changes it, only the test that it asks for can tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sojourn.act.plan.audience import find_members, read_vocabulary
from sojourn.act.plan.states import (
    LEAST_CUSTOMERS,
    Move,
    StateShare,
    add_own_at,
    choose_customers,
    choose_outcome,
    choose_state,
    count_entries,
    find_states,
    list_moves,
    share_of,
    share_states,
    watch_outcome,
)
from sojourn.errors import PlaybookError, Problem, SojournError, nearest
from sojourn.frames import DAY_US, instant_us
from sojourn.playbook import Activation, Audience, Outcome, Playbook
from sojourn.playbook.rules import compile_audience, format_duration
from sojourn.prove import TestPlan, plan_test

GOALS = ("retention", "upsell", "onboarding")
_LEAST_STATE_P = 0.6
_MOST_FALSE = 0.05  # share of claims that may be chance
_N_CUTS = 6  # instants at which new customers are looked at


@dataclass(frozen=True)
class Plan:
    """What to do for a goal, as numbers and names; :func:`sojourn.pages.words.plan.write_plan` puts it into words."""

    goal: str
    now: datetime
    outcome: str
    outcome_about: str
    is_loss: bool
    window_days: float
    base_p: float
    n_known: int
    states: tuple[StateShare, ...]
    state: str
    moves: tuple[Move, ...]
    precedes: tuple[Mapping[str, Any], ...]  # events before wanted moves
    rule: str
    n_audience: int | None
    purpose: str | None
    audience: str | None  # of the playbook, that is for the same state
    audience_rule: str | None
    activation: str | None
    channel: str | None
    destination: str | None
    creative: str
    effect: float
    n_per_week: float
    tests: tuple[TestPlan, ...]
    protected: tuple[str, ...]
    foresight: Mapping[str, Any] | None
    also: Mapping[str, Any]  # from other tables of the folder: triggers, value, predictions, send times
    doubts: tuple[str, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)


def make_plan(
    goal: str,
    playbook: Playbook,
    tables: Mapping[str, pa.Table],
    run: Mapping[str, Any],
    *,
    outcome: str | None = None,
    effect: float = 0.2,
    new_days: float = 30.0,
) -> Plan:
    """The plan for ``retention``, ``upsell`` or ``onboarding`` from the tables of a run, by name without ``.parquet``.

    Needs ``customers``, ``history``, ``transitions``, ``matrix`` and ``precedes``; ``triggers``, ``value``,
    ``predictions`` and ``send_times`` are used where they are. ``effect``: the relative change worth seeing.
    Raises SojournError for an unknown goal or outcome, or where nothing can be said.
    """
    if goal not in GOALS:
        raise SojournError(
            Problem("goal", f"there is no goal '{goal}'; there are {', '.join(GOALS)}", nearest(goal, GOALS))
        )
    chosen = choose_outcome(goal, playbook, outcome)
    window_s = float(chosen.silence_s or chosen.within_s or 0.0)
    now = datetime.fromisoformat(str(run["now"]))
    is_loss = goal == "retention"
    customers = add_own_at(tables["customers"], tables["history"], playbook.touches, instant_us(now))
    then, had = _watch(goal, chosen, playbook, tables, instant_us(now) - round(window_s * 1e6), window_s, new_days)
    if len(then) < LEAST_CUSTOMERS:
        what = f"only {len(then)} customers could be watched for the {window_s / 86400:g} days of '{chosen.name}'"
        raise SojournError(Problem("results", what, command="sojourn run EVENTS --playbook P --out DIR"))
    base_p = float(had.mean())
    is_now = _are_asked_now(goal, chosen, customers, tables["history"], now, new_days)
    shares = share_states(playbook, then, had, customers, is_now)
    state = choose_state(goal, shares, base_p)
    rates = {share.state: share.outcome_p for share in shares}
    moves = list_moves(goal, tables["matrix"], state, rates)
    rule, n_audience, doubts = _write_rule(goal, playbook, state, chosen, customers, now, new_days)
    audience = _find_audience(playbook, state)
    activation = next((a for a in playbook.activations if audience and a.audience == audience.name), None)
    about = next((s for s in playbook.states if s.name == state), None)
    n_per_week = count_entries(tables["transitions"], state, now) * share_of(is_now, customers, state)
    own_p = rates[state]
    state_p = base_p if own_p is None else own_p
    signed = -effect if is_loss else effect
    tests, more = _plan_tests(state_p, signed, activation, n_audience or 0, n_per_week, window_s / 86400)
    return Plan(
        goal=goal,
        now=now,
        outcome=chosen.name,
        outcome_about=chosen.about,
        is_loss=is_loss,
        window_days=window_s / 86400,
        base_p=base_p,
        n_known=len(then),
        states=shares,
        state=state,
        moves=moves,
        precedes=_list_precedes(tables["precedes"], moves),
        rule=rule,
        n_audience=n_audience,
        purpose=audience.purpose if audience else None,
        audience=audience.name if audience else None,
        audience_rule=audience.when.text if audience else None,
        activation=activation.name if activation else None,
        channel=activation.channel if activation else (about.channels[0] if about and about.channels else None),
        destination=activation.destination if activation else None,
        creative=activation.creative if activation else (about.creative if about else ""),
        effect=signed,
        n_per_week=n_per_week,
        tests=tests,
        protected=playbook.protected,
        foresight=next((f for f in run.get("foresight") or () if f.get("outcome") == chosen.name), None),
        also=_read_others(tables, state, chosen.name, customers, playbook, rule, now),
        doubts=(*doubts, *more, *(() if activation else (_say_no_activation(state),))),
    )


# -- parts of the walk ----------------------------------------------------------------------------------------


def _watch(
    goal: str,
    outcome: Outcome,
    playbook: Playbook,
    tables: Mapping[str, pa.Table],
    cut: int,
    window_s: float,
    new_days: float,
) -> tuple[NDArray[np.object_], NDArray[np.bool_]]:
    """The states of the customers that a goal is about, and whether they then had the outcome.

    New customers are few at any instant, so those of some earlier ones count too; nobody is new at two of them.
    """
    states, outcomes = [], []
    for i in range(_N_CUTS if goal == "onboarding" else 1):
        at = cut - round(i * new_days * DAY_US)
        known, had = watch_outcome(outcome, playbook, tables["history"], at, window_s)
        early = add_own_at(tables["customers"], tables["history"], playbook.touches, at)
        asked = choose_customers(goal, outcome, early, tables["history"], known, at, new_days)
        then = find_states(tables["transitions"], tables["history"], known, at)
        states.append(then[asked])
        outcomes.append(had[asked])
    return np.concatenate(states), np.concatenate(outcomes)


def _are_asked_now(
    goal: str, outcome: Outcome, customers: pa.Table, history: pa.Table, now: datetime, new_days: float
) -> NDArray[np.bool_]:
    return choose_customers(
        goal, outcome, customers, history, customers["customer_id"].combine_chunks(), instant_us(now), new_days
    )


def _write_rule(
    goal: str, playbook: Playbook, state: str, outcome: Outcome, customers: pa.Table, now: datetime, new_days: float
) -> tuple[str, int | None, tuple[str, ...]]:
    """A valid rule, how many it holds for now, and what had to be left out."""
    words = read_vocabulary(playbook)
    plain = f"state == '{state}' and state_p > {_LEAST_STATE_P:g}"
    if goal == "onboarding":
        plain += f" and tenure() <= {format_duration(new_days * 86_400)}"
    if goal == "retention" and outcome.silence_s:
        plain += f" and recency(any) < {format_duration(outcome.silence_s)}"
    candidates = [plain]
    if goal == "upsell" and outcome.event:
        candidates.insert(0, f"{plain} and count({outcome.event}) >= 1")
    for text in candidates:
        try:
            rule = compile_audience(text, words)
        except PlaybookError:
            continue  # a state that was found and not written has no place in rules
        members = find_members(rule, words, customers, instant_us(now))
        if members is not None:
            left_out = text != candidates[0]
            what = f"No feature counts '{outcome.event}', so the rule leaves it out; add count({outcome.event})."
            return rule.text, int(members.sum()), (what,) if left_out else ()
    raise SojournError(
        Problem("state", f"'{state}' is not written in the playbook, so no rule can name it; write it down")
    )


def _find_audience(playbook: Playbook, state: str) -> Audience | None:
    """The first audience that is for a state."""
    return next((a for a in playbook.audiences if f"state == '{state}'" in a.when.text.replace('"', "'")), None)


def _say_no_activation(state: str) -> str:
    return (
        f"The playbook has no activation for state '{state}': the channel and creative are those of the state itself."
    )


def _plan_tests(
    base_p: float, effect: float, activation: Activation | None, n_now: int, n_per_week: float, window_days: float
) -> tuple[tuple[TestPlan, ...], tuple[str, ...]]:
    own = activation.holdout_p if activation and activation.holdout_p else 0.1
    try:
        tests = [plan_test(base_p, effect, p, n_now, n_per_week, window_days) for p in sorted({own, 0.2, 0.5})]
    except ValueError as error:
        return (), (f"No test can be planned: {error}.",)
    doubts = []
    if all(test.weeks is None for test in tests):
        doubts.append(
            f"No test is done within a year: {n_now:,} customers now and {n_per_week:.1f} more a week are too few for "
            f"a change of {effect:+.0%}. Widen the audience, or look for a larger change."
        )
    return tuple(tests), tuple(doubts)


def _list_precedes(precedes: pa.Table, moves: tuple[Move, ...]) -> tuple[Mapping[str, Any], ...]:
    """What comes before wanted moves more often than otherwise, beyond chance."""
    wanted = {(move.from_state, move.to_state) for move in moves if move.is_wanted}
    rows = [
        {
            key: row[key]
            for key in ("from_state", "to_state", "event_class", "is_touch", "lift", "low", "high", "n_with")
        }
        for row in precedes.to_pylist()
        if (row["from_state"], row["to_state"]) in wanted and _is_sure(row["q"]) and (row["low"] or 0.0) > 1
    ]
    return tuple(sorted(rows, key=lambda row: (not row["is_touch"], -row["low"]))[:6])


def _is_sure(q: float | None) -> bool:
    return q is not None and q < _MOST_FALSE


def _read_others(
    tables: Mapping[str, pa.Table],
    state: str,
    outcome: str,
    customers: pa.Table,
    playbook: Playbook,
    rule: str,
    now: datetime,
) -> dict[str, Any]:
    """What other tables of the folder say of the audience, where they are there and have the columns for it."""
    words = read_vocabulary(playbook)
    members = find_members(compile_audience(rule, words), words, customers, instant_us(now))
    ids = customers["customer_id"].filter(pa.array(members)) if members is not None else pa.array([], pa.string())
    found: dict[str, Any] = {}
    triggers = tables.get("triggers")
    if triggers is not None and {
        "from_state",
        "to_state",
        "event_class",
        "kind",
        "hazard_ratio",
        "low",
        "high",
        "q",
    } <= set(triggers.column_names):
        rows = [
            r
            for r in triggers.to_pylist()
            if r["from_state"] == state and r["kind"] == "touch" and r["hazard_ratio"] is not None and _is_sure(r["q"])
        ]
        keys = ("to_state", "event_class", "hazard_ratio", "low", "high")
        found["triggers"] = [
            {key: row[key] for key in keys} for row in sorted(rows, key=lambda r: -r["hazard_ratio"])[:5]
        ]
    value = tables.get("value")
    if value is not None and _has(value, "customer_id", number="value"):
        worth = value["value"].filter(pc.is_in(value["customer_id"].cast(pa.string()), ids.cast(pa.string())))
        worth = worth.drop_null()
        found["value"] = {"n": len(worth), "total": pc.sum(worth).as_py(), "mean": pc.mean(worth).as_py()}
    predictions = tables.get("predictions")
    if predictions is not None and _has(predictions, "customer_id", "outcome", number="p"):
        theirs = pc.is_in(predictions["customer_id"].cast(pa.string()), ids.cast(pa.string()))
        asked = pc.and_(theirs, pc.equal(predictions["outcome"].cast(pa.string()), outcome))
        found["predicted_p"] = pc.mean(predictions["p"].filter(asked)).as_py()
    times = tables.get("send_times")
    if times is not None and _has(times, "customer_id", "channel", number="gain_observed"):
        known = times.filter(pc.is_valid(times["gain_observed"]))
        mine = known.filter(pc.is_in(known["customer_id"].cast(pa.string()), ids.cast(pa.string())))
        by = mine.group_by("channel").aggregate([("gain_observed", "mean"), ("customer_id", "count")]).to_pylist()
        found["send_times"] = [
            {"channel": row["channel"], "n": row["customer_id_count"], "gain": row["gain_observed_mean"]} for row in by
        ]
    return found


def _has(table: pa.Table, *columns: str, number: str) -> bool:
    """Whether a table of that name is the one that is meant: it has the columns, and numbers where they are."""
    if not {*columns, number} <= set(table.column_names):
        return False
    kind = table[number].type
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))
