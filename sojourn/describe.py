"""The model and the run as plain values: what ``model.json`` and ``run.json`` say."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sojourn.fitting import StateFit
from sojourn.foresight import Foresight, say_foresight
from sojourn.hmm.model import Channel, Model
from sojourn.published import Calm

if TYPE_CHECKING:
    from sojourn.events import EventLog

_LIBRARIES = ("numpy", "scipy", "numba", "pyarrow", "duckdb", "statsmodels", "plotly")


def describe_model(
    fit: StateFit, chosen: Calm, curve: Sequence[Calm], cuts: Mapping[str, NDArray[np.float64]]
) -> dict[str, Any]:
    """Every parameter of the state model by name, the thresholds, and where people and data disagree.

    ``cuts`` are where each feature of the fingerprint is cut into levels.
    """
    model = fit.model
    names = model.states

    def matrix(values: Any) -> dict[str, dict[str, float]]:
        return {a: {b: float(values[i, j]) for j, b in enumerate(names)} for i, a in enumerate(names)}

    return {
        "states": list(names),
        "written": [name for name in names if not name.startswith("extra_")],
        "channels": {
            channel.name: {
                "symbols": list(channel.symbols),
                "weight": channel.weight,
                "theta": {name: [float(p) for p in channel.theta[s]] for s, name in enumerate(names)},
            }
            for channel in model.channels
            if channel.is_learned
        },
        "initial": {name: float(p) for name, p in zip(names, model.initial, strict=True)},
        "event_transitions": {
            touch: matrix(values)
            for touch, values in zip(("none", *model.touches), model.event_transitions, strict=True)
        },
        "silence": {
            "boundaries_s": [float(b) for b in model.boundaries_s],
            "hazards": {name: [float(h) for h in model.hazards[s]] for s, name in enumerate(names)},
            "transitions": [matrix(values) for values in model.silent_transitions],
        },
        "cuts": {name: [float(cut) for cut in edges] for name, edges in cuts.items()},
        "thresholds": asdict(chosen.thresholds),
        "tradeoff": [
            {
                **asdict(point.thresholds),
                "flaps_per_month": point.flaps_per_month,
                "delay_s": point.delay_s,
                "is_chosen": point is chosen,
            }
            for point in curve
        ],
        "alignment": [{**asdict(a), "disagreements": [asdict(d) for d in a.disagreements]} for a in fit.alignment],
        "fit": {
            "is_converged": fit.fitted.is_converged,
            "n_iterations": len(fit.fitted.log_likelihoods) - 1,
            "n_starts": fit.n_starts,
            "derived_scale": fit.derived_scale,
            "n_train_customers": fit.n_train,
            "n_held_out_customers": fit.n_held_out,
            "objective": [float(x) for x in fit.fitted.objectives],
        },
    }


def load_model(described: Mapping[str, Any]) -> Model:
    """The model that :func:`describe_model` described; labels, which are not part of a model, are left out."""
    names = tuple(described["states"])

    def square(values: Mapping[str, Mapping[str, float]]) -> list[list[float]]:
        return [[values[a][b] for b in names] for a in names]

    moves, silence = described["event_transitions"], described["silence"]
    n_bounds = len(silence["boundaries_s"])
    return Model(
        states=names,
        touches=tuple(touch for touch in moves if touch != "none"),
        initial=np.array([described["initial"][name] for name in names]),
        event_transitions=np.array([square(values) for values in moves.values()]),
        boundaries_s=np.array(silence["boundaries_s"], np.float64),
        hazards=np.array([silence["hazards"][name] for name in names], np.float64).reshape(len(names), n_bounds),
        silent_transitions=np.array([square(v) for v in silence["transitions"]]).reshape(-1, len(names), len(names)),
        channels=tuple(
            Channel(name, tuple(c["symbols"]), np.array([c["theta"][s] for s in names]), c["weight"])
            for name, c in described["channels"].items()
        ),
    )


def describe_run(
    log: EventLog,
    fit: StateFit,
    *,
    n_customers: int,
    now: datetime,
    seed: int,
    before: Calm,
    after: Calm,
    foreseen: Sequence[Foresight],
    stages: Sequence[dict[str, Any]],
    warnings: Sequence[str],
) -> dict[str, Any]:
    """The facts of a run."""
    return {
        "sojourn": version("sojourn"),
        "seed": seed,
        "now": now.isoformat(),
        "sources": list(log.sources),
        "rows": {
            "read": log.n_read,
            "accepted": log.n_accepted,
            "duplicate": log.n_duplicate,
            "quarantined": log.n_quarantined,
        },
        "quarantined_by_rule": _count_rules(log.quarantine),
        "customers": n_customers,
        "event_classes": list(log.by_class),
        "unmapped_events": dict(log.raw_names),
        "sessions": log.n_sessions,
        "sentiment_texts": dict(log.languages),
        "stages": list(stages),
        "likelihood": [float(x) for x in fit.fitted.log_likelihoods],
        "held_out": dict(fit.held_out),
        "flaps": {"before": before.flaps_per_month, "after": after.flaps_per_month},
        "delay_s": {"before": before.delay_s, "after": after.delay_s},
        "foresight": [f.as_dict() for f in foreseen],
        "foresight_in_words": say_foresight(foreseen),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}},
        "warnings": list(warnings),
    }


def _count_rules(quarantine: pa.Table) -> dict[str, int]:
    counts = pc.value_counts(quarantine["rule"])
    return {c["values"]: c["counts"] for c in sorted(counts.to_pylist(), key=lambda c: (-c["counts"], c["values"]))}


def list_doubts(log: EventLog, fit: StateFit, chosen: Calm, is_within: bool, budget: float) -> list[str]:
    """What a person should know before trusting the results, in sentences."""
    doubts = list(log.warnings)
    if log.n_quarantined:
        doubts.append(f"{log.n_quarantined:,} of {log.n_read:,} rows could not be used; see quarantine.parquet.")
    other = sum(c["n_rows"] for c in log.by_class if c["event_class"] == "other")
    if other > 0.05 * max(log.n_accepted, 1):
        doubts.append(f"{other / log.n_accepted:.0%} of the events match no event class of the playbook.")
    strange = sorted(set(pc.unique(log.events["label"].drop_null()).to_pylist()) - set(fit.model.states))
    if strange:
        shown = ", ".join(f"'{name}'" for name in strange[:5]) + (", …" if len(strange) > 5 else "")
        doubts.append(f"Known states that the playbook does not have were ignored: {shown}.")
    if not fit.fitted.is_converged:
        doubts.append(f"The fit had not settled after {len(fit.fitted.log_likelihoods) - 1} iterations.")
    doubts += [
        f"The data see state '{a.state}' quite differently from the playbook; see its disagreements."
        for a in fit.alignment
        if a.similarity < 0.7
    ]
    if not fit.n_held_out:
        doubts.append("Too few customers to hold some out: the held-out likelihood is that of the fitted ones.")
    if isinstance(fit.held_out["sojourn"], float) and fit.held_out["sojourn"] < float(fit.held_out["markov_chain"]):
        doubts.append("An order-1 Markov chain predicts the next event better than the states do.")
    if not is_within:
        doubts.append(
            f"No thresholds keep the flap budget of {budget:g} per customer and month: "
            f"the calmest leave {chosen.flaps_per_month:.2g}."
        )
    return doubts
