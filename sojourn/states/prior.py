"""What people wrote, as numbers: the playbook as a prior, and where the fitted model disagrees with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from sojourn.frames import F8
from sojourn.playbook import Playbook
from sojourn.states.hmm import MISSING, Channel, Model, Prior, Sequences

LABELS = "label"

# How much more often an indicator fires in its own state than in another, before the data speak.
LIFT_OF_STRENGTH = {"strong": 8.0, "medium": 4.0, "weak": 2.0}
_STAY_AT_EVENT = 0.95
_STAY_IN_SILENCE = 0.85
_ROW_COUNTS = 20.0  # pseudo-counts per row of a transition matrix
_SHRINK = 200.0  # pseudo-counts that draw a touched transition matrix to the untouched one


@dataclass(frozen=True)
class Disagreement:
    """A symbol that people and data see differently in a state."""

    channel: str
    symbol: str
    written_p: float
    fitted_p: float


@dataclass(frozen=True)
class Alignment:
    """Which fitted state a written state corresponds to, how alike they are (0 to 1), and where they differ."""

    state: str
    fitted: str
    similarity: float
    disagreements: tuple[Disagreement, ...]


def draft_model(
    playbook: Playbook,
    names: Sequence[str],
    kinds: Sequence[str],
    symbols: Sequence[Sequence[str]],
    weights: F8,
    label_likelihoods: F8,
    boundaries_s: Sequence[float],
    data: Sequences,
) -> Model:
    """The model that the playbook alone describes, on the pooled frequencies of the data.

    A class with relative weight w in a state's ``typical`` is 1 + w times as frequent there as in general.
    Extra states are drafted from the pooled frequencies: only the data can tell them apart.
    """
    states = (*playbook.state_names, *(f"extra_{i + 1}" for i in range(playbook.model.extra_states)))
    n_states, n_bins = len(states), len(boundaries_s) + 1
    channels = []
    owner = _indicator_owner(playbook)
    n_indicators = 0
    for c, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        pooled = pool_symbols(data, c, len(symbols[c]))
        theta = np.tile(pooled, (n_states, 1))
        if kind == "event class":
            theta = _draft_classes(playbook, symbols[c], theta)
        elif kind == "indicator":
            state, strength = owner[n_indicators]
            theta = _draft_indicator(pooled[1], state, strength, n_states)
            n_indicators += 1
        elif kind == "label":
            theta = label_likelihoods.T.copy()
        channels.append(Channel(name, tuple(symbols[c]), theta, float(weights[c]), kind != "label"))
    touched = 1 + len(playbook.touches)
    return Model(
        states=states,
        touches=playbook.touches,
        initial=np.full(n_states, 1.0 / n_states),
        event_transitions=np.tile(_sticky(n_states, _STAY_AT_EVENT), (touched, 1, 1)),
        boundaries_s=np.array(boundaries_s, np.float64),
        hazards=_draft_hazards(playbook, n_states, boundaries_s, data, touched),
        silent_transitions=np.tile(_sticky(n_states, _STAY_IN_SILENCE), (n_bins - 1, 1, 1)),
        channels=tuple(channels),
    )


def draft_prior(draft: Model, data: Sequences, strength: float) -> Prior:
    """Pseudo-counts around the drafted model: ``strength`` times the evidence that the data hold per state."""
    n_states = len(draft.states)
    per_state = strength * max(data.n_events, 1) / n_states
    per_customer = strength * max(len(data.starts) - 1, 1)
    hazards = np.stack([draft.hazards, 1 - draft.hazards], axis=-1)
    return Prior(
        initial=draft.initial * per_customer + 1.0 / n_states,
        event_transitions=draft.event_transitions[0] * _ROW_COUNTS,
        shrink=_SHRINK,
        hazards=hazards * per_state * _bin_shares(data, draft)[None, :, None] + 0.5,
        silent_transitions=draft.silent_transitions * _ROW_COUNTS,
        channels=tuple(
            channel.theta * (channel.weight or 1.0) * per_state + 1e-3
            if channel.is_learned
            else np.zeros_like(channel.theta)
            for channel in draft.channels
        ),
    )


def pool_symbols(data: Sequences, channel: int, n_symbols: int) -> F8:
    """The share of each symbol of a channel over all events, with half a count added to each."""
    mass = np.bincount(data.code, minlength=len(data.combos)).astype(np.float64)
    seen = np.bincount(data.combos[:, channel], weights=mass, minlength=MISSING + 1)[:n_symbols] + 0.5
    return np.asarray(seen / seen.sum())


def _sticky(n_states: int, stay: float) -> F8:
    if n_states == 1:
        return np.ones((1, 1))
    matrix = np.full((n_states, n_states), (1 - stay) / (n_states - 1))
    np.fill_diagonal(matrix, stay)
    return matrix


def _draft_classes(playbook: Playbook, classes: Sequence[str], theta: F8) -> F8:
    for s, state in enumerate(playbook.states):
        for name, weight in state.typical:
            theta[s, classes.index(name)] *= 1.0 + weight
    return np.asarray(theta / theta.sum(axis=1, keepdims=True))


def _indicator_owner(playbook: Playbook) -> list[tuple[int, str]]:
    return [(s, i.strength) for s, state in enumerate(playbook.states) for i in state.indicators]


def _draft_indicator(rate: float, state: int, strength: str, n_states: int) -> F8:
    lift = LIFT_OF_STRENGTH[strength]
    elsewhere = rate * n_states / (n_states - 1 + lift)
    fires = np.full(n_states, elsewhere)
    fires[state] = min(lift * elsewhere, 0.95)
    return np.stack([1 - fires, fires], axis=1)


def count_bins(data: Sequences, n_bins: int, touched: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """``(ended, survived)`` per silence bin, pooled over customers; first events have no silence before them."""
    is_first = np.zeros(data.n_events, bool)
    is_first[data.starts[:-1][np.diff(data.starts) > 0]] = True
    bins = data.step[~is_first] // touched
    ended = np.bincount(bins, minlength=n_bins)[:n_bins]
    closing = np.bincount(data.end[np.diff(data.starts) > 0], minlength=n_bins)[:n_bins]
    reached = (ended + closing)[::-1].cumsum()[::-1]
    return ended, np.append(reached[1:], 0)


def _draft_hazards(
    playbook: Playbook, n_states: int, boundaries_s: Sequence[float], data: Sequences, touched: int
) -> F8:
    n_bins = len(boundaries_s) + 1
    ended, survived = count_bins(data, n_bins, touched)
    pooled = ((ended + 0.5) / (ended + survived + 1.0))[:-1]
    hazards = np.tile(pooled, (n_states, 1))
    widths = np.diff(np.array(boundaries_s))
    for s, state in enumerate(playbook.states):
        if state.typical_gap_s is not None and n_bins > 2:
            # The first bin is the pace inside a visit; from the second on, a constant rate of return.
            hazards[s, 1:] = 1.0 - np.exp(-widths / state.typical_gap_s)
    return np.asarray(np.clip(hazards, 1e-4, 1 - 1e-4))


def _bin_shares(data: Sequences, draft: Model) -> F8:
    """How much of the data reaches each silence bin."""
    n_bins = len(draft.boundaries_s) + 1
    ended, survived = count_bins(data, n_bins, len(draft.event_transitions))
    reached = (ended + survived)[: n_bins - 1]
    return np.asarray(reached / max(data.n_events, 1), np.float64)


def align_states(
    written: Model, fitted: Model, n_disagreements: int = 5, *, has_labels: bool = False
) -> tuple[tuple[Alignment, ...], list[int]]:
    """Which fitted state is which written one, and the order of fitted states that says so.

    Likeness of two states is the Bhattacharyya coefficient of their tables, averaged over the learned
    channels by weight; the assignment maximises its sum. With labels every state keeps its name: people have said
    which is which, and their labels would pull to the wrong one under another.
    Source: Bhattacharyya 1943; Kuhn 1955, doi:10.1002/nav.3800020109.
    """
    likeness = np.zeros((len(written.states), len(fitted.states)))
    total = 0.0
    for w, f in zip(written.channels, fitted.channels, strict=True):
        if w.is_learned and w.weight > 0:
            likeness += w.weight * np.sqrt(w.theta[:, None, :] * f.theta[None, :, :]).sum(axis=2)
            total += w.weight
    likeness /= max(total, 1e-12)
    order = list(range(len(likeness))) if has_labels else [int(j) for j in linear_sum_assignment(-likeness)[1]]
    found = tuple(
        Alignment(
            written.states[i],
            fitted.states[j],
            float(likeness[i, j]),
            _find_disagreements(written, fitted, i, j, n_disagreements),
        )
        for i, j in enumerate(order)
    )
    return found, order


def _find_disagreements(written: Model, fitted: Model, i: int, j: int, n: int) -> tuple[Disagreement, ...]:
    """The symbols whose probability the data moved most, by their part in the divergence of the two tables."""
    found: list[tuple[float, Disagreement]] = []
    for w, f in zip(written.channels, fitted.channels, strict=True):
        if not w.is_learned:
            continue
        p, q = np.maximum(w.theta[i], 1e-12), np.maximum(f.theta[j], 1e-12)
        part = (q - p) * np.log(q / p)
        found += [
            (float(part[o]), Disagreement(w.name, w.symbols[o], float(p[o]), float(q[o])))
            for o in np.argsort(-part, kind="stable")[:n]
            if max(p[o] / q[o], q[o] / p[o]) >= 1.5
        ]
    found.sort(key=lambda item: -item[0])
    return tuple(d for _, d in found[:n])
