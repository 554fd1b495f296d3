"""Substates: extra states that the data hold and the playbook does not, how many, what marks them, and their names.

How many there are is chosen by people, in the playbook (``model: extra_states``); :func:`discover_substates` says how
many the data support. A discovered state is ``extra_1``, ``extra_2``, … and keeps its number across refits while it is
still the same behaviour (:func:`keep_substates`), and with the number the name that a person gave it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from sojourn.frames import F8
from sojourn.playbook import Playbook
from sojourn.states.channels import ChannelPlan, label_kinds
from sojourn.states.fit import StateFit, disturb_model, merge_codes, reorder_states
from sojourn.states.held_out import predict_classes
from sojourn.states.hmm import Model, Sequences, fit_em
from sojourn.states.prior import draft_model, draft_prior
from sojourn.states.rows import take_customers

EXTRA = "extra_"
MOST_EXTRA = 3
N_FOLDS = 4
_N_STARTS = 3
_N_ITER = 40
_STRENGTH = 0.1  # of the playbook as a prior, as in fit_states

SAME = 0.1
"""Hellinger distance, averaged over channels, up to which two discovered states are the same behaviour."""

WORTH = 0.005
"""Nats per event that more states must add to foresight, standard error or not: the same half a percent from which on
the report says that one model foresees better than another. With many customers the standard error is next to nothing,
and states that only mend the shape of the model (its dwell times, say) would all be chosen."""


@dataclass(frozen=True)
class Trial:
    """One number of extra states, on customers held out.

    ``mean`` is the log-probability of a customer's next event (its class and the silence before it), in nats per
    event; ``loss`` how much less that is than the best, with its standard error over customers.
    """

    n_extra: int
    mean: float
    loss: float
    loss_se: float
    is_chosen: bool


def discover_substates(
    playbook: Playbook,
    plan: ChannelPlan,
    weights: F8,
    boundaries_s: Sequence[float],
    data: Sequences,
    *,
    rng: np.random.Generator,
    n_most: int = MOST_EXTRA,
    n_folds: int = N_FOLDS,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Trial, ...]:
    """How many states the data hold beside the playbook's: a trial per number from 0 to ``n_most``, one of them chosen.

    Customers are cut into folds; for each number of extra states the model is fitted to all folds but one (the best of
    several starts by its objective) and asked to foresee the events of that one. Chosen is the smallest number whose
    held-out log-likelihood is within one standard error of the best, the error being that of the difference, over
    customers, or within :data:`WORTH` of it. ``weights`` are those of the channels.
    Sources: Breiman, Friedman, Olshen & Stone 1984, *Classification and Regression Trees*, section 3.4.3; why the
    likelihood alone asks for too many states: Pohle, Langrock, van Beest & Schmidt 2017,
    doi:10.1007/s13253-017-0283-8.
    """
    folds = np.array_split(rng.permutation(np.flatnonzero(np.diff(data.starts) > 0)), n_folds)
    held_out = [take_customers(data, np.sort(fold)) for fold in folds]
    scores = []
    for n_extra in range(n_most + 1):
        parts = []
        for i, test in enumerate(held_out):
            train = take_customers(data, np.sort(np.concatenate([f for j, f in enumerate(folds) if j != i])))
            model = _fit_extra(playbook, plan, weights, boundaries_s, train, n_extra, rng)
            foreseen = np.append(0.0, np.cumsum(predict_classes(model, test, with_silence=True)))
            parts.append(np.diff(foreseen[test.starts]))
            if progress:
                progress(n_extra * n_folds + i + 1, (n_most + 1) * n_folds)
        scores.append(np.concatenate(parts))
    return _choose(scores, data.n_events)


def _choose(scores: Sequence[F8], n_events: int) -> tuple[Trial, ...]:
    """The one-standard-error rule on scores per customer, with what a state must be worth."""
    best = int(np.argmax([s.sum() for s in scores]))
    losses = [scores[best] - s for s in scores]
    errors = [float(loss.std() * np.sqrt(len(loss))) for loss in losses]
    chosen = next(j for j, loss in enumerate(losses) if loss.sum() <= max(errors[j], WORTH * n_events))
    return tuple(
        Trial(j, float(s.sum()) / n_events, float(loss.sum()) / n_events, error / n_events, j == chosen)
        for j, (s, loss, error) in enumerate(zip(scores, losses, errors, strict=True))
    )


def _fit_extra(
    playbook: Playbook,
    plan: ChannelPlan,
    weights: F8,
    boundaries_s: Sequence[float],
    train: Sequences,
    n_extra: int,
    rng: np.random.Generator,
) -> Model:
    book = replace(playbook, model=replace(playbook.model, extra_states=n_extra))
    labels = label_kinds(len(book.states) + n_extra)
    draft = draft_model(book, plan.names, plan.kinds, plan.symbols, weights, labels, boundaries_s, train)
    prior = draft_prior(draft, train, _STRENGTH)
    seen = merge_codes(train, weights > 0)
    fits = [
        fit_em(disturb_model(draft, rng) if n_extra else draft, seen, prior, max_iter=_N_ITER)
        for _ in range(_N_STARTS if n_extra else 1)
    ]
    return max(fits, key=lambda f: f.objectives[-1]).model


# -- what they are like ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Emission:
    """What a state looks like: for each learned channel, the share of each symbol, and how it stands in silence."""

    channels: Mapping[str, tuple[tuple[str, ...], tuple[float, ...]]]
    silence: tuple[float, ...]
    weights: Mapping[str, float]


def read_emission(model: Model, state: int) -> Emission:
    """What one state of a model looks like."""
    learned = [c for c in model.channels if c.is_learned]
    hazards = np.append(model.hazards[state], 1.0)
    ended = np.append(1.0, np.cumprod(1.0 - hazards[:-1])) * hazards
    return Emission(
        {c.name: (c.symbols, tuple(float(p) for p in c.theta[state])) for c in learned},
        tuple(float(p) for p in ended),
        {c.name: c.weight for c in learned},
    )


def measure_distance(a: Emission, b: Emission) -> float:
    """Hellinger distance of two states, 0 the same to 1 nothing in common, averaged over channels by weight.

    Event classes are matched by name. Other channels have levels, whose edges move from fit to fit: level 2 of 4 is
    compared with level 2 of 4, and a channel with other levels is left out. The lengths of silences count as one more
    channel, of weight one, where both are cut alike.
    Source: Hellinger 1909, doi:10.1515/crll.1909.136.210.
    """
    total, weight = 0.0, 0.0
    for name in a.channels:
        if name not in b.channels:
            continue
        p, q = (_by_symbol(e, name) for e in (a, b))
        if name != "event_class" and len(p) != len(q):
            continue
        w = (a.weights[name] + b.weights[name]) / 2
        alike = sum(np.sqrt(p[symbol] * q[symbol]) for symbol in p if symbol in q)
        total += w * np.sqrt(max(0.0, 1.0 - alike))
        weight += w
    if len(a.silence) == len(b.silence):
        total += np.sqrt(max(0.0, 1.0 - sum(np.sqrt(p * q) for p, q in zip(a.silence, b.silence, strict=True))))
        weight += 1.0
    return float(total / weight) if weight else 1.0


def _by_symbol(emission: Emission, channel: str) -> dict[str | int, float]:
    symbols, theta = emission.channels[channel]
    return dict(zip(symbols if channel == "event_class" else range(len(symbols)), theta, strict=True))


@dataclass(frozen=True)
class Named:
    """A name that a person gave to a discovered state, and what that state looked like then."""

    state: str
    name: str
    emission: Emission


def match_named(model: Model, names: Sequence[Named], most: float = SAME) -> dict[str, str]:
    """Which discovered state of a model each named one is: state of the model by place at which it was named.

    The assignment minimises the sum of distances; pairs further apart than ``most`` are not the same behaviour and are
    left out.
    """
    extras = [i for i, name in enumerate(model.states) if name.startswith(EXTRA)]
    if not extras or not names:
        return {}
    seen = [read_emission(model, i) for i in extras]
    distance = np.array([[measure_distance(n.emission, e) for e in seen] for n in names])
    # What is too far counts as just too far, so that it pulls no other pair apart.
    rows, columns = linear_sum_assignment(np.minimum(distance, most + 1e-9))
    return {
        names[i].state: model.states[extras[j]] for i, j in zip(rows, columns, strict=True) if distance[i, j] <= most
    }


def find_names(model: Model, names: Sequence[Named]) -> dict[str, str]:
    """The name of each discovered state of a model that a person has named, unless a written state has it by now."""
    found = match_named(model, names)
    return {found[n.state]: n.name for n in names if n.state in found and n.name not in model.states}


def miss_names(model: Model, names: Sequence[Named]) -> list[str]:
    """A sentence for each name whose state is no longer there."""
    found = match_named(model, names)
    return [
        f"No state of this fit is like the one that was named '{n.name}' ({n.state}); its name is kept, but not shown."
        for n in names
        if n.state not in found
    ]


def keep_substates(fit: StateFit, names: Sequence[Named]) -> StateFit:
    """The fit with its discovered states under the numbers at which they were named; others get the free numbers."""
    model = fit.model
    place = {name: i for i, name in enumerate(model.states)}
    n_written = sum(not name.startswith(EXTRA) for name in model.states)
    order = list(range(len(model.states)))
    found = {old: new for old, new in match_named(model, names).items() if old in place}
    taken = {place[new] for new in found.values()}
    free = iter(i for i in range(n_written, len(model.states)) if i not in taken)
    for i in range(n_written, len(model.states)):
        order[i] = place[found[model.states[i]]] if model.states[i] in found else next(free)
    if order == list(range(len(order))):
        return fit
    alignment = tuple(fit.alignment[i] for i in order)
    alignment = tuple(replace(a, state=name) for a, name in zip(alignment, model.states, strict=True))
    return replace(fit, model=reorder_states(model, order, model.states), alignment=alignment)


@dataclass(frozen=True)
class Substate:
    """A discovered state in words: the written state it is most like, and in what it differs from that one."""

    state: str
    name: str | None
    nearest: str
    distance: float
    proposed: str
    differences: tuple[str, ...]


def describe_substates(model: Model, names: Mapping[str, str]) -> tuple[Substate, ...]:
    """Every discovered state against its nearest written one.

    ``names`` maps discovered states to the names that people gave them. ``differences`` are the symbols that speak
    most for it, by their part in the divergence of the two tables; ``proposed`` is made of the first.
    """
    written = [i for i, name in enumerate(model.states) if not name.startswith(EXTRA)]
    found = []
    for i, state in enumerate(model.states):
        if not state.startswith(EXTRA):
            continue
        mine = read_emission(model, i)
        near = min(written, key=lambda j: measure_distance(mine, read_emission(model, j)))
        marks = _find_marks(model, i, near)
        proposed = f"{model.states[near]}, with more {marks[0][0]}" if marks else f"like {model.states[near]}"
        found.append(
            Substate(
                state,
                names.get(state),
                model.states[near],
                measure_distance(mine, read_emission(model, near)),
                proposed,
                tuple(f"{what}: {100 * p:.0f} %, in {model.states[near]} {100 * q:.0f} %" for what, p, q in marks),
            )
        )
    return tuple(found)


def _find_marks(model: Model, state: int, near: int, n: int = 4) -> list[tuple[str, float, float]]:
    """The symbols in which a state exceeds another most: in words, with both shares."""
    found = []
    for channel in model.channels:
        if not channel.is_learned:
            continue
        p, q = np.maximum(channel.theta[state], 1e-12), np.maximum(channel.theta[near], 1e-12)
        part = max(channel.weight, 0.1) * p * np.log(p / q)
        for o, symbol in enumerate(channel.symbols):
            if part[o] > 0.01 and symbol != "no":
                what = symbol if channel.name == "event_class" else _say_channel(channel.name, symbol)
                found.append((float(part[o]), what, float(p[o]), float(q[o])))
    found.sort(key=lambda item: (-item[0], item[1]))
    return [item[1:] for item in found[:n]]


def _say_channel(name: str, symbol: str) -> str:
    return name.split(": ", 1)[1] if symbol == "yes" and ": " in name else f"{name} {symbol}"


# -- names as plain values, as they are kept beside the results ----------------------------------------------


def dump_named(names: Sequence[Named]) -> dict[str, Any]:
    """The names as plain values, for ``names.json``."""
    return {
        n.state: {
            "name": n.name,
            "channels": {c: {"symbols": list(s), "theta": list(t)} for c, (s, t) in n.emission.channels.items()},
            "silence": list(n.emission.silence),
            "weights": dict(n.emission.weights),
        }
        for n in names
    }


def load_named(plain: Mapping[str, Any]) -> tuple[Named, ...]:
    """The names that :func:`dump_named` made plain. Raises KeyError, TypeError or ValueError for anything else."""
    return tuple(
        Named(
            state,
            str(one["name"]),
            Emission(
                {
                    c: (tuple(str(s) for s in v["symbols"]), tuple(float(p) for p in v["theta"]))
                    for c, v in one["channels"].items()
                },
                tuple(float(p) for p in one["silence"]),
                {c: float(w) for c, w in one["weights"].items()},
            ),
        )
        for state, one in plain.items()
    )
