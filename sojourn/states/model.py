"""A fitted state model as the live engine uses it: read from ``model.json``, or drafted from the playbook alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from sojourn.errors import Problem, SojournError
from sojourn.frames import F8
from sojourn.playbook import Playbook
from sojourn.states.channels import ChannelPlan, label_kinds, plan_channels
from sojourn.states.hmm import Channel, Model, Sequences
from sojourn.states.model_file import load_model
from sojourn.states.prior import LABELS, draft_model
from sojourn.states.published import Thresholds

_CLASS_WEIGHT = 0.6
"""How much an event's class counts before there are data to say so; what fitted models of ready playbooks end at."""
_DRAFT = Thresholds(enter=0.6, margin=0.0, exit=1.0, min_dwell_s=1_800.0)


@dataclass(frozen=True)
class StateModel:
    """All that turns symbols into states: the model with its label channel last, cuts of features, thresholds."""

    model: Model
    cuts: tuple[F8, ...]
    thresholds: Thresholds
    is_fitted: bool

    @property
    def n_observed(self) -> int:
        """Columns of the fold's symbols that are channels: features and indicators."""
        return len(self.model.channels) - 2

    @cached_property
    def hash(self) -> str:
        """Names the posteriors that the model gives: two models of one hash see the same in the same events.

        Of ten digits of each number: those after them differ between machines.
        """
        model, found = self.model, hashlib.sha256()
        numbers = [model.initial, model.event_transitions, model.boundaries_s, model.hazards, model.silent_transitions]
        numbers += [np.append(channel.theta.ravel(), channel.weight) for channel in model.channels]
        names = (model.states, model.touches, [(channel.name, channel.symbols) for channel in model.channels])
        found.update(repr(names).encode())
        for array in (*numbers, *self.cuts):
            found.update(repr((array.shape, [f"{value:.9e}" for value in array.ravel().tolist()])).encode())
        return found.hexdigest()


def read_state_model(described: Mapping[str, Any], playbook: Playbook, where: str = "model.json") -> StateModel:
    """The state model of a ``model.json`` for a playbook. Raises SojournError when the two do not belong together."""
    rerun = "sojourn run EVENTS --playbook playbook.yaml --out RESULTS"
    try:
        model = load_model(described)
        cuts = tuple(np.array(described["cuts"][name], np.float64) for name in playbook.fingerprint)
        thresholds = Thresholds(**{name: float(described["thresholds"][name]) for name in _DRAFT.__dict__})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"this is no model of this version of Sojourn for this playbook ({type(error).__name__}: {error})"
        raise SojournError(Problem(where, what, command=rerun)) from None
    plan = plan_channels(playbook, cuts, with_labels=False)
    found = [(channel.name, channel.symbols) for channel in model.channels]
    if found != list(zip(plan.names, plan.symbols, strict=True)):
        wrong = next((name for name, _ in found if name not in plan.names), None)
        wrong = wrong or next((name for name in plan.names if name not in dict(found)), plan.names[0])
        what = f"the model was fitted with another playbook: they differ in '{wrong}'"
        raise SojournError(Problem(where, what, command=rerun))
    if model.touches != playbook.touches or [s for s in model.states if s in playbook.state_names] != list(
        playbook.state_names
    ):
        what = "the model was fitted with another playbook: its states or touches are others"
        raise SojournError(Problem(where, what, command=rerun))
    return StateModel(_add_labels(model), cuts, thresholds, True)


def draft_state_model(playbook: Playbook) -> StateModel:
    """The model that the playbook alone describes, for a start without any history.

    Only event classes and silence count in it: how far to trust features and indicators, data have to say.
    """
    cuts = tuple(np.empty(0) for _ in playbook.fingerprint)
    plan = plan_channels(playbook, cuts, with_labels=False)
    book = replace(playbook, model=replace(playbook.model, extra_states=0))
    weights = np.zeros(len(plan.names))
    weights[0] = _CLASS_WEIGHT
    likely = label_kinds(len(playbook.states))
    nothing = _no_sequences(plan)
    model = draft_model(book, plan.names, plan.kinds, plan.symbols, weights, likely, playbook.model.silence_s, nothing)
    set_by_hand = {
        name: value
        for name in ("enter", "margin", "exit", "min_dwell_s")
        if (value := getattr(playbook.stability, name)) is not None
    }
    return StateModel(_add_labels(model), cuts, replace(_DRAFT, **set_by_hand), False)


def _no_sequences(plan: ChannelPlan) -> Sequences:
    none = np.zeros(0, np.int64)
    combos = np.zeros((0, len(plan.names)), np.uint8)
    return Sequences(np.zeros(1, np.int64), none.astype(np.int32), none.astype(np.int32), none, combos)


def _add_labels(model: Model) -> Model:
    """The model with a channel for known states. An event without one says nothing there."""
    likely = label_kinds(len(model.states))
    channel = Channel(LABELS, tuple(str(i) for i in range(len(likely))), likely.T.copy(), 1.0, is_learned=False)
    return replace(model, channels=(*model.channels, channel))
