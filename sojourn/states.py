"""From folded events to a fitted state model: what is observed, what people wrote, what the data say.

The rows of a run are put in order of customer and time (:func:`arrange_rows`); the playbook becomes a
prior (:mod:`sojourn.guidance`); the model is fitted on a sample of customers and judged on others.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sojourn.guidance import LABELS, Alignment, align_states, draft_model, draft_prior
from sojourn.hmm.model import (
    MISSING,
    Fitted,
    Model,
    Prior,
    Sequences,
    channel_logs,
    emission_table,
    encode,
    fit_em,
    silence_matrices,
    step_matrices,
)
from sojourn.hmm.textbook import flat_prior, textbook_model
from sojourn.playbook import Playbook

F8 = NDArray[np.float64]
_ROUND_ITER = 15


@dataclass(frozen=True)
class Rows:
    """Accepted events in order of customer, instant and sequence number.

    ``order`` gives each row's place in the events table; ``touch`` is 0 for a customer's own event, else
    1 + which touch; ``own_row`` the rows that are own events, ``data`` those as sequences, ``classes`` the
    own class of each own event. Instants in microseconds.
    """

    starts: NDArray[np.int64]
    order: NDArray[np.int64]
    at: NDArray[np.int64]
    touch: NDArray[np.int16]
    own_row: NDArray[np.int64]
    data: Sequences
    now: int

    @property
    def n_customers(self) -> int:
        """Customers, those without an own event included."""
        return len(self.starts) - 1


@dataclass(frozen=True)
class ChannelPlan:
    """The channels of a playbook, in the order of the columns of ``Sequences.combos``."""

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    symbols: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class StateFit:
    """A fitted state model, how it was reached, and how it compares on customers held out."""

    plan: ChannelPlan
    model: Model
    prior: Prior
    written: Model
    fitted: Fitted
    alignment: tuple[Alignment, ...]
    held_out: Mapping[str, float | str]
    n_train: int
    n_held_out: int
    n_starts: int


def own_classes(playbook: Playbook) -> tuple[str, ...]:
    """The event classes that customers do themselves, ``other`` last: the symbols of the first channel."""
    touches = set(playbook.touches)
    return tuple(name for name in playbook.class_names if name not in touches)


def label_kinds(n_states: int, step: float = 0.05) -> F8:
    """Likelihoods [1 + kinds, S] of a label: row 0 no label, then each state at rising confidences.

    Confidences are rounded to ``step`` so that labels stay a small alphabet.
    """
    levels = np.arange(1, round(1 / step)) * step
    rows = [np.ones(n_states)]
    for s in range(n_states):
        for p in levels:
            row = np.full(n_states, (1 - p) / max(n_states - 1, 1))
            row[s] = p
            rows.append(row)
    return np.array(rows)


def label_symbols(labels: NDArray[np.int64], label_p: F8, n_states: int, step: float = 0.05) -> NDArray[np.uint8]:
    """The row of :func:`label_kinds` for each (state index or -1, confidence)."""
    n_levels = round(1 / step) - 1
    level = np.clip(np.rint(np.nan_to_num(label_p, nan=0.95) / step), 1, n_levels).astype(np.int64)
    return np.where(labels < 0, 0, 1 + labels * n_levels + level - 1).astype(np.uint8)


def arrange_rows(
    playbook: Playbook,
    customer: NDArray[np.int32],
    event_at: NDArray[np.int64],
    event_class: NDArray[np.int16],
    symbols: NDArray[np.uint8],
    labels: NDArray[np.uint8] | None,
    boundaries_s: Sequence[float],
    n_customers: int,
    now: int,
) -> Rows:
    """Rows and own-event sequences, from columns in time order.

    ``symbols`` uint8[n, C'] are the fold's observations (fingerprint, then indicators); the event class
    goes before them and the label, if any, after.
    """
    from sojourn.hmm.kernel import find_steps, group_rows

    touch_names = playbook.touches
    touch_of = np.zeros(len(playbook.class_names), np.int16)
    own_of = np.zeros(len(playbook.class_names), np.uint8)
    own = own_classes(playbook)
    for i, name in enumerate(playbook.class_names):
        if name in touch_names:
            touch_of[i] = 1 + touch_names.index(name)
        else:
            own_of[i] = own.index(name)
    starts, order = group_rows(np.ascontiguousarray(customer), n_customers)
    at = event_at[order]
    touch = touch_of[event_class[order]]
    n = len(order)
    boundaries = np.array([round(b * 1e6) for b in boundaries_s], np.int64)
    own_starts, own_row = np.empty(n_customers + 1, np.int64), np.empty(n, np.int64)
    step, end = np.empty(n, np.int32), np.empty(n_customers, np.int64)
    m = find_steps(starts, at, touch, boundaries, 1 + len(touch_names), now, own_starts, own_row, step, end)
    own_row, step = own_row[:m].copy(), step[:m].copy()
    source = order[own_row]
    seen = np.empty((m, 1 + symbols.shape[1] + (labels is not None)), np.uint8)
    seen[:, 0] = own_of[event_class[source]]
    seen[:, 1 : 1 + symbols.shape[1]] = symbols[source]
    if labels is not None:
        seen[:, -1] = labels[source]
    code, combos = encode(seen)
    return Rows(starts, order, at, touch, own_row, Sequences(own_starts, code, step, end, combos), now)


def plan_channels(playbook: Playbook, cuts: Sequence[NDArray[np.float64]], with_labels: bool) -> ChannelPlan:
    """The channels of this playbook with these cuts: event class, fingerprint features, indicators, labels."""
    names, kinds, symbols = ["event_class"], ["event class"], [own_classes(playbook)]
    for feature, edges in zip(playbook.fingerprint, cuts, strict=True):
        names.append(feature)
        kinds.append("feature")
        symbols.append(_level_names(edges))
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
    return ChannelPlan(tuple(names), tuple(kinds), tuple(symbols))


def _level_names(edges: NDArray[np.float64]) -> tuple[str, ...]:
    """Words for the levels that ``edges`` cut a feature into: ``< 1``, ``1 to 3``, ``>= 3``."""
    shown = [f"{e:.4g}" for e in edges]
    if not shown:
        return ("any",)
    middle = [f"{a} to {b}" for a, b in itertools.pairwise(shown)]
    return (f"< {shown[0]}", *middle, f">= {shown[-1]}")


def take_customers(data: Sequences, chosen: NDArray[np.int64]) -> Sequences:
    """The sequences of some customers only, in the order given."""
    lengths = np.diff(data.starts)[chosen]
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    rows = np.repeat(data.starts[chosen] - starts[:-1], lengths) + np.arange(starts[-1])
    return Sequences(starts, data.code[rows], data.step[rows], data.end[chosen], data.combos)


def weigh_by_change(plan: ChannelPlan, data: Sequences) -> F8:
    """A first weight per channel from how often its symbol changes: 1 for the event class, less for what lingers.

    A fingerprint symbol that seldom changes from one event to the next repeats old evidence. Its weight is
    (1 - r) / (1 + r), the share of independent observations in a first-order chain of autocorrelation r.
    Source: Bayley & Hammersley 1946, doi:10.2307/2983560.
    """
    weights = np.ones(len(plan.names))
    follows = np.ones(data.n_events, bool)
    follows[data.starts[:-1][np.diff(data.starts) > 0]] = False
    later = np.flatnonzero(follows)
    if not len(later):
        return weights
    for c, kind in enumerate(plan.kinds):
        if kind not in ("feature", "indicator"):
            continue
        symbols = data.combos[:, c][data.code]
        shares = np.bincount(symbols, minlength=MISSING + 1) / len(symbols)
        independent = 1.0 - float((shares**2).sum())
        changed = float((symbols[later] != symbols[later - 1]).mean())
        r = min(max(1.0 - changed / independent, 0.0), 0.999) if independent > 1e-9 else 0.999
        weights[c] = (1 - r) / (1 + r)
    return weights


def measure_dispersion(model: Model, data: Sequences) -> F8:
    """How much more the symbols of each channel vary between stays than independent draws would: 1 or more.

    A stay is a run of one state in the Viterbi path. People have tastes and symbols linger, so the counts
    inside a stay scatter more than a multinomial; Pearson's X² over its degrees of freedom says how much.
    Evidence counted at 1 / dispersion is a quasi-likelihood, and the posterior it gives is calibrated.
    Source: Wedderburn 1974, doi:10.1093/biomet/61.3.439; McCullagh & Nelder 1989, ISBN 0412317605, §9.
    """
    path = decode_paths(model, data).astype(np.int64)
    customer = np.repeat(np.arange(len(data.end)), np.diff(data.starts))
    begins = np.ones(data.n_events, bool)
    begins[1:] = (path[1:] != path[:-1]) | (customer[1:] != customer[:-1])
    stay = np.cumsum(begins) - 1
    state_of_stay = path[begins]
    found = np.ones(len(model.channels))
    for c, channel in enumerate(model.channels):
        if channel.is_learned:
            symbols = data.combos[:, c][data.code]
            known = symbols != MISSING
            found[c] = _pearson_dispersion(stay[known], symbols[known], state_of_stay, channel.theta.shape)
    return found


def _pearson_dispersion(
    stay: NDArray[np.int64], symbols: NDArray[np.uint8], state_of_stay: NDArray[np.int64], shape: tuple[int, ...]
) -> float:
    n_states, n_symbols = shape
    n_stays = len(state_of_stay)
    seen = np.bincount(stay * n_symbols + symbols, minlength=n_stays * n_symbols).reshape(n_stays, n_symbols)
    pooled = np.zeros((n_states, n_symbols))
    np.add.at(pooled, state_of_stay, seen)
    shares = pooled / np.maximum(pooled.sum(axis=1, keepdims=True), 1)
    totals = seen.sum(axis=1)
    counted = totals >= 2
    expected = totals[counted, None] * shares[state_of_stay[counted]]
    chi2 = np.divide((seen[counted] - expected) ** 2, expected, out=np.zeros_like(expected), where=expected > 0)
    freedom = float(((shares > 0).sum(axis=1) - 1)[state_of_stay[counted]].sum())
    return max(float(chi2.sum()) / freedom, 1.0) if freedom > 0 else 1.0


def decode_paths(model: Model, data: Sequences) -> NDArray[np.int8]:
    """The most likely state (Viterbi) at each own event, int8[n]; silent moves between events are summed out."""
    from sojourn.hmm.kernel import decode

    logs = np.zeros((len(data.combos), len(model.states)))
    for c, channel in enumerate(model.channels):
        logs += channel_logs(channel)[data.combos[:, c]]
    path = np.empty(data.n_events, np.int8)
    longest = int(np.diff(data.starts).max(initial=1))
    with np.errstate(divide="ignore"):
        decode(len(model.states))(
            data.starts, data.code, data.step, data.end, 0, len(data.end), logs, np.log(step_matrices(model)),
            np.log(silence_matrices(model).sum(axis=2)), np.log(model.initial),
            np.empty((longest, len(model.states)), np.int8), path,
        )  # fmt: skip
    return path


def draw_customers(sizes: NDArray[np.int64], rng: np.random.Generator, max_events: int) -> NDArray[np.int64]:
    """Customers with events, drawn at random until they have ``max_events`` together; in rising order."""
    drawn = rng.permutation(np.flatnonzero(sizes > 0))
    return np.sort(drawn[: int(np.searchsorted(np.cumsum(sizes[drawn]), max_events)) + 1])


def take_rows(rows: Rows, chosen: NDArray[np.int64]) -> Rows:
    """The rows of some customers only."""
    lengths = np.diff(rows.starts)[chosen]
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    picked = np.repeat(rows.starts[chosen] - starts[:-1], lengths) + np.arange(starts[-1])
    touch = rows.touch[picked]
    return Rows(
        starts, rows.order[picked], rows.at[picked], touch, np.flatnonzero(touch == 0),
        take_customers(rows.data, chosen), rows.now,
    )  # fmt: skip


def fit_states(
    playbook: Playbook,
    plan: ChannelPlan,
    data: Sequences,
    boundaries_s: Sequence[float],
    *,
    rng: np.random.Generator,
    strength: float = 0.1,
    n_starts: int = 3,
    held_out_share: float = 0.2,
    max_iter: int = 60,
    n_threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> StateFit:
    """The state model at the best of ``n_starts`` maxima of the posterior, scored on customers held out.

    Two short fits measure how much each channel repeats itself, and evidence is counted accordingly
    (:func:`measure_dispersion`). The first start of the real fit is the playbook itself, the others are the
    playbook with its tables disturbed. States come back in the playbook's order whatever the fit did to them.
    """
    drawn = rng.permutation(np.flatnonzero(np.diff(data.starts) > 0))
    n_held = round(len(drawn) * held_out_share) if len(drawn) >= 10 else 0
    train, held = np.sort(drawn[n_held:]), np.sort(drawn[:n_held])
    sample = take_customers(data, train)
    labels = label_kinds(len(playbook.states) + playbook.model.extra_states)

    def draft(weights: F8) -> tuple[Model, Prior]:
        model = draft_model(playbook, plan.names, plan.kinds, plan.symbols, weights, labels, boundaries_s, sample)
        return model, draft_prior(model, sample, strength)

    def begin(model: Model, j: int) -> Model:
        return model if j == 0 and not playbook.model.extra_states else disturb_model(model, rng)

    n_rounds, weights = 2, weigh_by_change(plan, sample)
    total = n_rounds * _ROUND_ITER + n_starts * max_iter

    def count_from(base: int) -> Callable[[int, int], None] | None:
        return None if progress is None else lambda i, _: progress(base + i, total)

    for r in range(n_rounds):
        written, prior = draft(weights)
        rough = fit_em(
            begin(written, 0), sample, prior, max_iter=_ROUND_ITER, n_threads=n_threads,
            progress=count_from(r * _ROUND_ITER),
        ).model  # fmt: skip
        weights = 1.0 / measure_dispersion(rough, sample)
    written, prior = draft(weights)
    best: Fitted | None = None
    for j in range(n_starts):
        found = fit_em(
            begin(written, j), sample, prior, max_iter=max_iter, n_threads=n_threads,
            progress=count_from(n_rounds * _ROUND_ITER + j * max_iter),
        )  # fmt: skip
        if best is None or found.objectives[-1] > best.objectives[-1]:
            best = found
    assert best is not None
    alignment, order = align_states(written, best.model)
    model = reorder_states(best.model, order, written.states)
    test = take_customers(data, held if len(held) else train)
    scores = compare_models(model, sample, test, len(plan.symbols[0]), rng, n_threads)
    return StateFit(plan, model, prior, written, best, alignment, scores, len(train), len(held), n_starts)


def disturb_model(model: Model, rng: np.random.Generator, size: float = 0.3) -> Model:
    """The same model with its learned tables multiplied by log-normal noise: another place to start from."""
    channels = tuple(
        replace(c, theta=_scale_rows(c.theta * rng.lognormal(0.0, size, c.theta.shape))) if c.is_learned else c
        for c in model.channels
    )
    return replace(model, channels=channels)


def _scale_rows(theta: F8) -> F8:
    return np.asarray(theta / theta.sum(axis=-1, keepdims=True))


def reorder_states(model: Model, order: Sequence[int], names: tuple[str, ...]) -> Model:
    """The model with its states in another order, under these names."""
    o = np.asarray(order)
    return replace(
        model,
        states=names,
        initial=model.initial[o],
        event_transitions=np.ascontiguousarray(model.event_transitions[:, o][:, :, o]),
        hazards=model.hazards[o],
        silent_transitions=np.ascontiguousarray(model.silent_transitions[:, o][:, :, o]),
        channels=tuple(replace(c, theta=c.theta[o]) if c.is_learned else c for c in model.channels),
    )


def predict_classes(model: Model, data: Sequences) -> F8:
    """Log-probability of each own event's class given all before it (and the silence and touch before it)."""
    from sojourn.hmm.kernel import predict_symbols

    emissions, _ = emission_table(model, data.combos)
    log_p = np.empty(data.n_events)
    symbol = data.combos[:, 0][data.code]
    predict_symbols(len(model.states))(
        data.starts, data.code, data.step, symbol, emissions, step_matrices(model), model.initial,
        np.ascontiguousarray(model.channels[0].theta), log_p,
    )  # fmt: skip
    return log_p


def compare_models(
    model: Model, train: Sequences, test: Sequences, n_classes: int, rng: np.random.Generator, n_threads: int = 1
) -> dict[str, float | str]:
    """Mean log-probability of the next event's class on customers held out, in nats per event.

    Beside ours: the textbook HMM with as many states, and an order-1 Markov chain of classes (both on the
    classes alone; ours also knows the silence and the touch before the event).
    """
    n_states = len(model.states)
    plain = textbook_model(
        np.full(n_states, 1.0 / n_states),
        rng.dirichlet(np.full(n_states, 5.0), n_states),
        rng.dirichlet(np.full(n_classes, 5.0), n_states),
    )
    start = replace(plain, channels=(replace(plain.channels[0], theta=_textbook_start(model, rng)),))
    classes = only_classes(train, n_classes)
    flat = flat_prior(start)
    smoothed = replace(flat, channels=(np.full_like(flat.channels[0], 0.5),))
    textbook = fit_em(start, classes, smoothed, max_iter=60, n_threads=n_threads).model
    return {
        "unit": "nats per event (log-probability of the next event's class)",
        "sojourn": float(predict_classes(model, test).mean()),
        "textbook_hmm": float(predict_classes(textbook, only_classes(test, n_classes)).mean()),
        "markov_chain": score_chain(train, test, n_classes),
    }


def _textbook_start(model: Model, rng: np.random.Generator) -> F8:
    theta = model.channels[0].theta
    return _scale_rows(theta * rng.lognormal(0.0, 0.3, theta.shape) + 1e-3)


def only_classes(data: Sequences, n_classes: int) -> Sequences:
    """The same sequences seen through the event class alone, with silence and touches off."""
    return Sequences(
        data.starts,
        data.combos[:, 0][data.code].astype(np.int32),
        np.zeros_like(data.step),
        np.zeros_like(data.end),
        np.arange(n_classes, dtype=np.uint8)[:, None],
    )


def score_chain(train: Sequences, test: Sequences, n_classes: int) -> float:
    """Mean log-probability of each class under an order-1 Markov chain with half a count added to each move."""

    def pairs(data: Sequences) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        classes = data.combos[:, 0][data.code].astype(np.int64)
        before = np.roll(classes, 1)
        before[data.starts[:-1][np.diff(data.starts) > 0]] = n_classes  # the start of a sequence
        return before, classes

    counts = np.full((n_classes + 1, n_classes), 0.5)
    np.add.at(counts, pairs(train), 1.0)
    log_p = np.log(counts / counts.sum(axis=1, keepdims=True))
    return float(log_p[pairs(test)].mean())
