"""Fitting the state model: what people wrote, weighed evidence, several starts, customers held out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sojourn.frames import F8
from sojourn.playbook import Playbook
from sojourn.states.channels import ChannelPlan, label_kinds
from sojourn.states.held_out import compare_models, predict_classes
from sojourn.states.hmm import (
    MISSING,
    Fitted,
    Model,
    Prior,
    Sequences,
    encode,
    expect,
    fit_em,
    normalise,
    symbol_counts,
)
from sojourn.states.prior import Alignment, align_states, draft_model, draft_prior
from sojourn.states.rows import decode_paths, take_customers

_ROUGH_ITER = 12
_ROUGH_EVENTS = 60_000
_WEIGHT_ROUNDS, _SETTLED = 12, 0.03
_CLASS_WEIGHT, _DERIVED_SCALE = 0.6, 0.1  # where the search for weights begins
_FEWEST_TO_CHOOSE = 20  # validation customers; with fewer, chance would choose
DERIVED_SCALES = (0.0, 0.1, 0.3, 1.0)
"""How much of the weight of fingerprint and indicators is tried: they are made of the same events."""


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
    derived_scale: float
    n_train: int
    n_held_out: int
    n_starts: int


@dataclass(frozen=True)
class Split:
    """Customers to fit on, to choose weights on, and to report on."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split_held_out(data: Sequences, rng: np.random.Generator, share: float = 0.1) -> Split:
    """A tenth of the customers each for validation and test; with fewer than twenty all are used for everything."""
    drawn = rng.permutation(np.flatnonzero(np.diff(data.starts) > 0))
    n = round(len(drawn) * share)
    if len(drawn) < 20:
        return Split(np.sort(drawn), np.sort(drawn), np.sort(drawn))
    return Split(np.sort(drawn[2 * n :]), np.sort(drawn[:n]), np.sort(drawn[n : 2 * n]))


def fit_states(
    playbook: Playbook,
    plan: ChannelPlan,
    data: Sequences,
    boundaries_s: Sequence[float],
    *,
    rng: np.random.Generator,
    strength: float = 0.1,
    n_starts: int = 3,
    max_iter: int = 60,
    n_threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> StateFit:
    """The state model at the best of ``n_starts`` maxima of the posterior, scored on customers held out.

    Evidence is weighed first (:func:`weigh_evidence`). The first start is the playbook itself, the others are
    the playbook with its tables disturbed. States come back in the playbook's order whatever the fit did to them.
    """
    split = split_held_out(data, rng)
    sample = take_customers(data, split.train)
    labels = label_kinds(len(playbook.states) + playbook.model.extra_states)

    def draft(weights: F8, of: Sequences) -> tuple[Model, Prior]:
        model = draft_model(playbook, plan.names, plan.kinds, plan.symbols, weights, labels, boundaries_s, of)
        return model, draft_prior(model, of, strength)

    weighed = weigh_evidence(plan, draft, data, split, n_threads)
    written, prior = draft(weighed.weights, sample)
    seen = merge_codes(sample, weighed.weights > 0)
    best: Fitted | None = None
    for j in range(n_starts):
        start = written if j == 0 and not playbook.model.extra_states else disturb_model(written, rng)
        report = None if progress is None else (lambda i, _, j=j: progress(j * max_iter + i, n_starts * max_iter))
        found = fit_em(start, seen, prior, max_iter=max_iter, n_threads=n_threads, progress=report)
        if best is None or found.objectives[-1] > best.objectives[-1]:
            best = found
    assert best is not None
    learned = learn_tables(best.model, sample, prior)
    alignment, order = align_states(written, learned, has_labels="label" in plan.kinds)
    model = reorder_states(learned, order, written.states)
    test = take_customers(data, split.test)
    scores = compare_models(model, sample, test, len(plan.symbols[0]), rng, n_threads)
    return StateFit(
        plan,
        model,
        prior,
        written,
        best,
        alignment,
        scores,
        weighed.derived_scale,
        len(split.train),
        0 if split.test is split.train else len(split.test),
        n_starts,
    )


@dataclass(frozen=True)
class Weighed:
    """A weight per channel; ``derived_scale`` is how much of theirs fingerprint and indicators kept."""

    weights: F8
    derived_scale: float


def weigh_evidence(
    plan: ChannelPlan,
    draft: Callable[[F8, Sequences], tuple[Model, Prior]],
    data: Sequences,
    split: Split,
    n_threads: int = 1,
) -> Weighed:
    """How much each channel counts.

    First, each channel at one over its dispersion (:func:`sojourn.states.fit.measure_dispersion`). Second, the
    fingerprint and the indicators are made of the same events as the event class: counted beside it they
    repeat it. So of :data:`DERIVED_SCALES` the largest is taken that foresees the next event (its class and
    the silence before it) on the validation customers as well as the best does, to within one standard error. With
    few of them 0.1 is taken.

    Third, where they count, dispersion is measured again on better and better paths until it settles: a feature
    that says something new looks dispersed on the paths of a model that hardly listens to it.
    """
    rough = take_customers(data, _thin_out(data, split.train, _ROUGH_EVENTS))
    check = take_customers(data, _thin_out(data, split.validation, _ROUGH_EVENTS))
    is_derived = np.array([kind in ("feature", "indicator") for kind in plan.kinds])
    weights = weigh_by_change(plan, rough)
    weights[0] = _CLASS_WEIGHT
    weights[is_derived] *= _DERIVED_SCALE
    model, prior = draft(weights, rough)
    dispersed = 1.0 / measure_dispersion(fit_em(model, rough, prior, max_iter=_ROUGH_ITER).model, rough)
    scores, fits = [], []
    scales = DERIVED_SCALES if len(check.end) >= _FEWEST_TO_CHOOSE else (_DERIVED_SCALE,)
    scales = scales if is_derived.any() else (0.0,)
    for scale in scales:
        weights = np.where(is_derived, scale * dispersed, dispersed)
        model, prior = draft(weights, rough)
        seen = merge_codes(rough, weights > 0)
        fits.append(fit_em(model, seen, prior, max_iter=_ROUGH_ITER, n_threads=n_threads).model)
        foreseen = np.append(0.0, np.cumsum(predict_classes(fits[-1], check, with_silence=True)))
        scores.append(np.diff(foreseen[check.starts]))
    best = int(np.argmax([s.sum() for s in scores]))
    chosen = best
    for j in range(best + 1, len(scores)):
        loss = scores[best] - scores[j]
        if loss.sum() <= loss.std() * np.sqrt(len(loss)):
            chosen = j
    scale = scales[chosen]
    model, weights = fits[chosen], np.array([c.weight for c in fits[chosen].channels])
    for _ in range(_WEIGHT_ROUNDS if scale > 0 else 1):
        before, dispersed = weights, 1.0 / measure_dispersion(model, rough)
        weights = np.where(is_derived, scale * dispersed, dispersed)
        if np.abs(weights - before).max() < _SETTLED * weights.max():
            break
        channels = tuple(replace(c, weight=float(w)) for c, w in zip(model.channels, weights, strict=True))
        prior = draft(weights, rough)[1]
        model = fit_em(replace(model, channels=channels), rough, prior, max_iter=_ROUGH_ITER, n_threads=n_threads).model
    return Weighed(weights, scale)


def _thin_out(data: Sequences, customers: NDArray[np.int64], n_events: int) -> NDArray[np.int64]:
    """One in so many of the customers, so that they have about ``n_events`` together."""
    step = max(1, round(int(np.diff(data.starts)[customers].sum()) / n_events))
    return customers[::step]


def merge_codes(data: Sequences, is_used: NDArray[np.bool_]) -> Sequences:
    """The same sequences with observations told apart only by the channels used: fewer distinct codes."""
    if is_used.all():
        return data
    merged, combos = encode(np.where(is_used, data.combos, 0).astype(np.uint8))
    return replace(data, code=merged[data.code], combos=combos)


def learn_tables(model: Model, data: Sequences, prior: Prior) -> Model:
    """The model with the tables of channels of weight zero learned too: what they would say, if asked."""
    counts = symbol_counts(data.combos, expect(model, data).codes)
    channels = tuple(
        replace(c, theta=normalise(counts[i, : c.theta.shape[1]].T + guide)) if c.weight == 0 else c
        for i, (c, guide) in enumerate(zip(model.channels, prior.channels, strict=True))
    )
    return replace(model, channels=channels)


def disturb_model(model: Model, rng: np.random.Generator, size: float = 0.3) -> Model:
    """The same model with its learned tables multiplied by log-normal noise: another place to start from."""
    channels = tuple(
        replace(c, theta=normalise(c.theta * rng.lognormal(0.0, size, c.theta.shape))) if c.is_learned else c
        for c in model.channels
    )
    return replace(model, channels=channels)


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
