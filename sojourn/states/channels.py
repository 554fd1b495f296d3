"""Which channels the state model observes: event classes, fingerprint levels, indicators, labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sojourn.frames import F8
from sojourn.playbook import Playbook
from sojourn.states.hmm import MISSING
from sojourn.states.prior import LABELS


@dataclass(frozen=True)
class ChannelPlan:
    """The channels of a playbook, in the order of the columns of ``Sequences.combos``."""

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    symbols: tuple[tuple[str, ...], ...]


def own_classes(playbook: Playbook) -> tuple[str, ...]:
    """The event classes that customers do themselves, ``other`` last: the symbols of the first channel."""
    touches = set(playbook.touches)
    return tuple(name for name in playbook.class_names if name not in touches)


def label_levels(n_states: int) -> F8:
    """The confidences of a label that are told apart: up to 19, the highest 0.95, fewer the more states there are.

    >>> label_levels(5)[[0, 1, -1]].round(2).tolist(), len(label_levels(40))
    ([0.05, 0.1, 0.95], 6)
    """
    n = min(19, (MISSING - 1) // n_states)  # a symbol is one byte, and one of them means that it is missing
    return np.asarray(0.95 * np.arange(1, n + 1) / n)


def label_kinds(n_states: int) -> F8:
    """Likelihoods [1 + kinds, S] of a label: row 0 no label, then each state at rising confidences."""
    levels = label_levels(n_states)
    rows = [np.ones(n_states)]
    for s in range(n_states):
        for p in levels:
            row = np.full(n_states, (1 - p) / max(n_states - 1, 1))
            row[s] = p
            rows.append(row)
    return np.array(rows)


def label_symbols(labels: NDArray[np.int64], label_p: F8, n_states: int) -> NDArray[np.uint8]:
    """The row of :func:`label_kinds` for each (state index or -1, confidence); confidences are rounded."""
    levels = label_levels(n_states)
    n_levels = len(levels)
    level = np.clip(np.rint(np.nan_to_num(label_p, nan=0.95) / levels[0]), 1, n_levels).astype(np.int64)
    return np.where(labels < 0, 0, 1 + labels * n_levels + level - 1).astype(np.uint8)


def plan_channels(playbook: Playbook, cuts: Sequence[NDArray[np.float64]], with_labels: bool) -> ChannelPlan:
    """The channels of this playbook with these cuts: event class, fingerprint features, indicators, labels.

    Names are unique: one that is taken already gets a number.
    """
    names, kinds, symbols = ["event_class"], ["event class"], [own_classes(playbook)]
    for feature, edges in zip(playbook.fingerprint, cuts, strict=True):
        names.append(feature)
        kinds.append("feature")
        symbols.append(name_levels(edges))
    for state in playbook.states:
        for indicator in state.indicators:
            names.append(f"{state.name}: {indicator.when.text}")
            kinds.append("indicator")
            symbols.append(("no", "yes"))
    if with_labels:
        kinds_of_label = label_kinds(len(playbook.states) + playbook.model.extra_states)
        names.append(LABELS)
        kinds.append("label")
        symbols.append(tuple(str(i) for i in range(len(kinds_of_label))))
    for i, name in enumerate(names):
        n_before = names[:i].count(name)
        names[i] = f"{name} ({n_before + 1})" if n_before else name
    return ChannelPlan(tuple(names), tuple(kinds), tuple(symbols))


def name_levels(edges: NDArray[np.float64]) -> tuple[str, ...]:
    """Words for the levels that ``edges`` cut a feature into, one more than there are edges.

    An edge just above a round number sets that number apart from what is above it.

    >>> name_levels(np.array([1.0, np.nextafter(1.0, 2.0), 3.0]))
    ('< 1', '1', '> 1 to 3', '>= 3')
    """
    if not len(edges):
        return ("any",)
    below = np.nextafter(edges, -np.inf)
    is_above = [float(f"{b:.6g}") == b for b in below]
    shown = [f"{b if up else e:.4g}" for e, b, up in zip(edges, below, is_above, strict=True)]
    names = [f"<= {shown[0]}" if is_above[0] else f"< {shown[0]}"]
    for i in range(len(edges) - 1):
        exact = shown[i] == shown[i + 1] and is_above[i + 1] and not is_above[i]
        names.append(shown[i] if exact else f"{'> ' if is_above[i] else ''}{shown[i]} to {shown[i + 1]}")
    return (*names, f"{'>' if is_above[-1] else '>='} {shown[-1]}")
