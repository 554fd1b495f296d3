"""Words for predictions: what states add, drift, early warning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from sojourn.pages.words.numbers import (
    say_count,
    say_days,
    say_error,
    say_loss,
    say_number,
    say_or_dash,
    say_score,
    say_share,
    say_window,
)
from sojourn.predict import INPUTS, EarlyWarning, Foresight


def say_drift(found: pa.Table) -> list[str]:
    """A sentence per column that drifts, the largest first."""
    return [
        f"{row['column']} has changed (stability index {say_number(row['psi'])}; "
        f"{say_number(row['limit'])} may be chance)"
        for row in found.to_pylist()
        if row["is_drift"]
    ]


def say_foresight(found: Sequence[Foresight]) -> list[str]:
    """One sentence per outcome: what the states add, or that it is nothing."""
    said = []
    for f in found:
        days = say_window(86_400 * f.horizon_days)
        if f.why_not or f.gain is None or f.low is None or f.high is None:
            said.append(f"{f.outcome} within {days}: not measured, {f.why_not}.")
            continue
        numbers = (
            f"AUC {say_or_dash(f.auc_features, say_score)} without, {say_or_dash(f.auc_both, say_score)} with, "
            f"{say_or_dash(f.auc_states, say_score)} with "
            "states alone"
        )
        if f.low > 0:
            said.append(f"{f.outcome} within {days}: the states add {say_score(f.gain)} ({numbers}).")
        elif f.high < 0:
            said.append(f"{f.outcome} within {days}: the states make it worse by {say_score(-f.gain)} ({numbers}).")
        else:
            said.append(f"{f.outcome} within {days}: the states add nothing that can be told from chance ({numbers}).")
    return said


def say_warning(found: EarlyWarning) -> str:
    """How early, in one or two sentences."""
    said = (
        f"Of {say_count(found.n_lost, 'customer')} who fell silent for {say_window(86_400 * found.silence_days)}, the "
        f"model warned of {say_share(found.warned)}, {say_days(found.lead_days)} before the silence rule (median), at "
        f"{say_share(found.false_alarms)} false alarms; a shorter silence ({say_days(found.rule_days)}) at the same "
        f"rate warned of {say_share(found.rule_warned)}, {say_days(found.rule_lead_days)} before."
    )
    down = [row["column"] for row in found.signals.to_pylist() if row["difference"] < -0.1][:3]
    up = [row["column"] for row in found.signals.to_pylist() if row["difference"] > 0.1][:3]
    if down:
        said += f" Before the warning declined: {', '.join(down)}."
    if up:
        said += f" Rose: {', '.join(up)}."
    return said


def say_price(price: Mapping[str, Any]) -> str:
    """What being able to read the model costs, in one sentence; from ``price_of_reading``."""
    if "auc_price" not in price:
        return "What reading the model costs is not known: a glass box or a black box was not tried."
    within = "within" if price["is_within"] else "not within"
    return (
        f"The best glass box ({price['glass']}) has AUC {say_score(price['auc_glass'])} and is right in "
        f"{say_share(price['accuracy_glass'])}, the best black box ({price['black']}) {say_score(price['auc_black'])} "
        f"and {say_share(price['accuracy_black'])}: being able to read it costs {say_score(price['auc_price'])} AUC "
        f"(± {say_score(price['auc_se'])}), and its log loss is {within} one standard error of the black box's."
    )


def say_added(added: pa.Table) -> str:
    """What the states add, in one sentence; two standard errors are what can be told from chance."""
    rows = {row["inputs"]: row for row in added.to_pylist()}
    said = []
    for name in INPUTS[1:]:
        gain, error = rows[name]["log_loss_gain"], rows[name]["log_loss_gain_se"]
        if gain > 2 * error:
            said.append(f"better than {name} by {say_error(gain, error, say_loss)}")
        elif gain < -2 * error:
            said.append(f"worse than {name} by {say_error(-gain, error, say_loss)}")
        else:
            said.append(f"not to be told from {name} ({say_error(gain, error, say_loss)})")
    return f"With features and states the log loss is {', '.join(said)}."
