"""Words for predictions: what states add, drift, early warning."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from sojourn.predict.early_warning import EarlyWarning
from sojourn.predict.foresight import Foresight
from sojourn.predict.from_events import INPUTS


def say_drift(found: pa.Table) -> list[str]:
    """A sentence per column that drifts, the largest first."""
    return [
        f"{row['column']} has changed (stability index {row['psi']:.2f}; {row['limit']:.2f} may be chance)"
        for row in found.to_pylist()
        if row["is_drift"]
    ]


def say_foresight(found: Sequence[Foresight]) -> list[str]:
    """One sentence per outcome: what the states add, or that it is nothing."""
    said = []
    for f in found:
        days = f"{f.horizon_days:g} days"
        if f.why_not or f.gain is None or f.low is None or f.high is None:
            said.append(f"{f.outcome} within {days}: not measured, {f.why_not}.")
            continue
        numbers = f"AUC {f.auc_features:.3f} without, {f.auc_both:.3f} with, {f.auc_states:.3f} with states alone"
        if f.low > 0:
            said.append(f"{f.outcome} within {days}: the states add {f.gain:.3f} ({numbers}).")
        elif f.high < 0:
            said.append(f"{f.outcome} within {days}: the states make it worse by {-f.gain:.3f} ({numbers}).")
        else:
            said.append(f"{f.outcome} within {days}: the states add nothing that can be told from chance ({numbers}).")
    return said


def say_warning(found: EarlyWarning) -> str:
    """How early, in one or two sentences."""
    said = (
        f"Of {found.n_lost:,} customers who fell silent for {found.silence_days:g} days, the model warned of "
        f"{100 * found.warned:.0f} %, {found.lead_days:.0f} days before the silence rule (median), at "
        f"{100 * found.false_alarms:.0f} % false alarms; a shorter silence ({found.rule_days:.0f} days) at the same "
        f"rate warned of {100 * found.rule_warned:.0f} %, {found.rule_lead_days:.0f} days before."
    )
    down = [row["column"] for row in found.signals.to_pylist() if row["difference"] < -0.1][:3]
    up = [row["column"] for row in found.signals.to_pylist() if row["difference"] > 0.1][:3]
    if down:
        said += f" Before the warning declined: {', '.join(down)}."
    if up:
        said += f" Rose: {', '.join(up)}."
    return said


def say_added(added: pa.Table) -> str:
    """What the states add, in one sentence; two standard errors are what can be told from chance."""
    rows = {row["inputs"]: row for row in added.to_pylist()}
    said = []
    for name in INPUTS[1:]:
        gain, error = rows[name]["log_loss_gain"], rows[name]["log_loss_gain_se"]
        if gain > 2 * error:
            said.append(f"better than {name} by {gain:.4f} ± {error:.4f}")
        elif gain < -2 * error:
            said.append(f"worse than {name} by {-gain:.4f} ± {error:.4f}")
        else:
            said.append(f"not to be told from {name} ({gain:+.4f} ± {error:.4f})")
    return f"With features and states the log loss is {', '.join(said)}."
