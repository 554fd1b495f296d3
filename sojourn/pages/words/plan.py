"""A plan in words: Markdown that a person can read, change and sign."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sojourn.pages.words.numbers import (
    say_amount,
    say_date,
    say_duration,
    say_exact,
    say_integer,
    say_interval,
    say_number,
    say_points,
    say_relative,
    say_score,
    say_share,
    say_times,
    say_window,
)
from sojourn.prove import ALPHA, POWER

if TYPE_CHECKING:
    from sojourn.act.plan import Plan

_AIMS = {
    "retention": "Fewer customers leave",
    "upsell": "More of those who bought come back for more",
    "onboarding": "More new customers arrive where they meant to",
}


def write_plan(plan: Plan) -> str:
    """The plan as Markdown."""
    parts = [
        _write_head(plan),
        _write_states(plan),
        _write_moves(plan),
        _write_audience(plan),
        _write_action(plan),
        _write_test(plan),
        _write_stops(plan),
    ]
    if plan.doubts:
        parts.append("## Doubts\n\n" + "\n".join(f"- {doubt}" for doubt in plan.doubts))
    return "\n\n".join(parts) + "\n"


def _write_head(plan: Plan) -> str:
    what = f"{plan.outcome} within {say_window(plan.window_days * 86_400)}"
    about = f" ({plan.outcome_about.strip()})" if plan.outcome_about else ""
    seen = (
        f"Of {say_integer(plan.n_known)} such customers who could be watched so long, {say_share(plan.base_p)} had it."
    )
    lines = [
        f"# Plan: {plan.goal}",
        f"{_AIMS[plan.goal]}. Measured by **{what}**{about}. {seen}",
        f"As of {say_date(plan.now, year=True)}. It says what was seen of like customers; only the test below "
        "tells what reaching out changes.",
    ]
    return "\n\n".join(lines)


def _write_states(plan: Plan) -> str:
    rows = [
        (
            f"**{s.state}**" if s.state == plan.state else s.state,
            say_integer(s.n_then),
            "too few" if s.outcome_p is None else say_share(s.outcome_p),
            say_integer(s.n_now),
            "–" if s.expected is None else say_integer(round(s.expected)),
        )
        for s in plan.states
    ]
    why = {
        "retention": "most losses are to be expected in",
        "upsell": "most further purchases are to be expected in",
        "onboarding": "most new customers who do not get there are in",
    }[plan.goal]
    text = f"Among states that differ from the average, {why} **{plan.state}**; the plan acts there."
    head = ("state", "customers then", f"{plan.outcome} after", "customers now", "to expect of them")
    return f"## 1. The state that matters\n\n{text}\n\n{_write_table(head, rows)}"


def _write_moves(plan: Plan) -> str:
    out = [m for m in plan.moves if m.from_state == plan.state]
    into = [m for m in plan.moves if m.to_state == plan.state]
    lines = ["## 2. The moves to bring about"]
    if out:
        rows = [
            (f"{m.from_state} → {m.to_state}", say_integer(m.n), say_share(m.p), say_duration(m.median_dwell_s))
            for m in out
        ]
        lines.append(_write_table(("to better states", "times", "of all moves out", "after a median of"), rows))
    else:
        lines.append("No move leads from there to a state that does better: keep people where they are well.")
    if into:
        origins = ", ".join(f"{m.from_state} ({say_integer(m.n)} times)" for m in into)
        lines.append(f"People come from {origins}.")
    lines += [_say_before(row) for row in plan.precedes]
    lines += [_say_trigger(row) for row in plan.also.get("triggers", ())]
    return "\n\n".join(lines[:1]) + "\n\n" + _join_lines(lines[1:])


def _say_before(row: Mapping[str, Any]) -> str:
    kind = "we sent" if row["is_touch"] else "they did"
    move = f"{row['from_state']} → {row['to_state']}"
    often = f"{say_times(row['lift'])} as at other times ({say_interval(row['low'], row['high'])})"
    return f"- {move}: {kind} `{row['event_class']}` {often}"


def _say_trigger(row: Mapping[str, Any]) -> str:
    return (
        f"- trigger: after `{row['event_class']}` the move to {row['to_state']} is {say_number(row['hazard_ratio'])} "
        f"times as likely at any moment ({say_interval(row['low'], row['high'])})"
    )


def _write_audience(plan: Plan) -> str:
    size = "unknown" if plan.n_audience is None else f"{say_integer(plan.n_audience)} customers now"
    lines = [
        "## 3. Prediction and audience",
        _say_prediction(plan),
        f"```text\n{plan.rule}\n```",
        f"{size}, and about {say_number(plan.n_per_week)} more a week.",
    ]
    if plan.audience:
        lines.append(f"The playbook's audience for the same state is `{plan.audience}`: `{plan.audience_rule}`.")
    if (value := plan.also.get("value")) and value["n"]:
        worth = f"{say_amount(value['total'])} in all, {say_amount(value['mean'])} each"
        lines.append(f"Worth of the {say_integer(value['n'])} that the value table knows: {worth}.")
    if (p := plan.also.get("predicted_p")) is not None:
        lines.append(f"The prediction gives them {say_share(p)} on average.")
    return "\n\n".join(lines)


def _say_prediction(plan: Plan) -> str:
    known = plan.foresight
    if known is None or known.get("why_not"):
        why = f" ({known['why_not']})" if known else ""
        return f"How well {plan.outcome} can be predicted was not measured in this run{why}."
    gain = "add nothing that differs from chance" if known["low"] <= 0 else f"add {say_score(known['gain'])}"
    return (
        f"{plan.outcome} was predicted with an AUC of {say_score(known['auc_both'])} at a later time "
        f"({say_score(known['auc_features'])} without states, which {gain})."
    )


def _write_action(plan: Plan) -> str:
    lines = ["## 4. What to do", f"Channel: **{plan.channel or 'none is named in the playbook'}**."]
    if plan.activation:
        lines.append(f"Activation of the playbook: `{plan.activation}`, to `{plan.destination}`.")
    if plan.creative:
        lines.append(f"> {' '.join(plan.creative.split())}")
    lines += [
        f"Sent at each customer's own time, {say_points(row['gain'])} of answers are to be expected "
        f"({say_integer(row['n'])} times are known)."
        for row in plan.also.get("send_times", ())
        if row["channel"] == plan.channel
    ]
    consent = f"Only those who agreed to the purpose `{plan.purpose}`."
    lines.append(
        consent if plan.purpose else "No purpose of consent is named: name one in the audience before you send."
    )
    return "\n\n".join(lines)


def _write_test(plan: Plan) -> str:
    state_p = next((s.outcome_p for s in plan.states if s.state == plan.state), None)
    lines = [
        "## 5. How to prove it",
        f"Hold some of the audience out by chance, and compare {plan.outcome} of all who were meant to get the message "
        f"with those held out. Without it, {say_share(state_p)} of them have it. To see "
        f"{say_relative(plan.effect)} of that with a power of {say_share(POWER)} and {say_share(ALPHA)} false alarms:",
    ]
    rows = [
        (
            say_share(t.holdout_p),
            say_integer(t.n),
            say_integer(t.n_holdout),
            "more than a year" if t.weeks is None else f"{say_exact(t.weeks)} weeks",
            "none" if t.detectable is None else say_relative(t.detectable),
        )
        for t in plan.tests
    ]
    if rows:
        head = ("held out", "customers needed", "of them held out", "done after", "least change seen in 8 weeks")
        lines.append(_write_table(head, rows))
        lines.append(
            "Decide before the start and look once, at the end: peeking at a test of this kind finds what is not there."
        )
    return "\n\n".join(lines)


def _write_stops(plan: Plan) -> str:
    protected = ", ".join(plan.protected)
    worse = "more" if plan.is_loss else "fewer"
    lines = [
        "## 6. What stops it",
        f"- {worse} of those reached than of those held out have {plan.outcome}, by more than chance: stop, and say so",
        "- complaints or withdrawn consent above what the channel usually sees: stop at once",
        "- the planned number is reached without a difference: the message does nothing; spend the money elsewhere",
        f"- the audience treats groups unequally: before the start, audit it against {protected}"
        if protected
        else "- no protected attributes are named in the playbook, so nobody can audit the audience: name them first",
    ]
    return _join_lines(lines)


def _write_table(head: Iterable[str], rows: Iterable[tuple[str, ...]]) -> str:
    names = list(head)
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _join_lines(lines: list[str]) -> str:
    """Lines as paragraphs, those of a list next to each other."""
    text = ""
    for line in lines:
        is_next = line.startswith("- ") and text.rpartition("\n")[2].startswith("- ")
        text += f"\n{line}" if is_next else f"\n\n{line}" if text else line
    return text
