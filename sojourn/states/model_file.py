"""The model and the run as plain values: what ``model.json`` and ``run.json`` say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sojourn.states.fit import StateFit
from sojourn.states.hmm import Channel, Model
from sojourn.states.published import Calm

if TYPE_CHECKING:
    pass


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
