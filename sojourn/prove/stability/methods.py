"""The methods that are audited: k-means, a Gaussian mixture and the state model, each as labels of customers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from sojourn.frames import F8
from sojourn.prove.stability.judge import find_again
from sojourn.prove.stability.membership import Spells
from sojourn.states import (
    Rows,
    StateFit,
    Thresholds,
    draw_customers,
    infer_states,
    restart_rows,
    take_customers,
    take_rows,
)
from sojourn.states.hmm import Model, Prior, fit_em
from sojourn.states.hmm import hysteresis as publish

Labels = npt.NDArray[np.int64]

_N_STARTS = 10  # of k-means and of the mixture: with fewer, bad starts would pass for wobble
_BOOTSTRAP_EVENTS = 200_000
_BOOTSTRAP_ITER = 15


@dataclass(frozen=True)
class Scale:
    """How features were prepared when a model was fitted, so that later features are prepared alike."""

    is_used: npt.NDArray[np.bool_]
    middle: F8
    spread: F8


def learn_scale(features: F8) -> Scale:
    """Mean and standard deviation of features [customers, F] on a signed log scale; constant ones are dropped."""
    logged = _squeeze(features)
    is_known = ~np.isnan(logged)
    n = np.maximum(is_known.sum(axis=0), 1)
    middle = np.where(is_known, logged, 0.0).sum(axis=0) / n
    spread = np.sqrt(np.where(is_known, (logged - middle) ** 2, 0.0).sum(axis=0) / n)
    is_used = spread > 1e-9
    return Scale(is_used, middle[is_used], spread[is_used])


def apply_scale(scale: Scale, features: F8) -> F8:
    """Features in standard deviations from the mean; a missing one is at the mean."""
    return np.nan_to_num((_squeeze(features)[:, scale.is_used] - scale.middle) / scale.spread, nan=0.0)


def _squeeze(features: F8) -> F8:
    return np.asarray(np.sign(features) * np.log1p(np.abs(features)))


Assign = Callable[[F8], Labels]
"""The segment of each row of raw features [customers, F]."""


def fit_clusters(method: str, features: F8, n_clusters: int, seed: int, n_starts: int = _N_STARTS) -> Assign:
    """A clustering of customers by their features: ``method`` is ``k-means`` or ``mixture`` (of Gaussians).

    Clusters are numbered from the largest to the smallest.

    >>> x = np.array([[0.0], [0.1], [9.0], [9.1], [9.2]])
    >>> fit_clusters("k-means", x, 2, seed=0)(x).tolist()
    [1, 1, 0, 0, 0]
    """
    scale = learn_scale(features)
    prepared = apply_scale(scale, features)
    model = _fit_mixture(prepared, n_clusters, seed, n_starts) if method == "mixture" else None
    if model is None:
        model = KMeans(n_clusters, n_init=n_starts, random_state=seed).fit(prepared)
    sizes = np.bincount(model.predict(prepared), minlength=n_clusters)
    number = np.empty(n_clusters, np.int64)
    number[np.argsort(-sizes, kind="stable")] = np.arange(n_clusters)
    return lambda later: np.asarray(number[model.predict(apply_scale(scale, later))])


def _fit_mixture(prepared: F8, n_clusters: int, seed: int, n_starts: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # Features that are nearly multiples of each other would make a covariance that has no inverse.
        return GaussianMixture(n_clusters, n_init=n_starts, reg_covar=1e-3, random_state=seed).fit(prepared)


def describe_clusters(labels: Labels, features: F8, names: Sequence[str], n_clusters: int) -> list[str]:
    """What marks each cluster: the two features in which its members differ most from all, in words.

    >>> x = np.array([[0.0, 5.0], [0.0, 5.1], [3.0, 5.0]])
    >>> describe_clusters(np.array([0, 0, 1]), x, ["orders", "age"], 2)
    ['low orders, high age', 'high orders, low age']
    """
    scale = learn_scale(features)
    prepared = apply_scale(scale, features)
    used = [name for name, is_used in zip(names, scale.is_used, strict=True) if is_used]
    said = []
    for code in range(n_clusters):
        mine = labels == code
        middle = prepared[mine].mean(axis=0) if mine.any() else np.zeros(len(used))
        most = np.argsort(-np.abs(middle), kind="stable")[:2]
        said.append(", ".join(f"{'high' if middle[i] > 0 else 'low'} {used[i]}" for i in most))
    return said


# -- the state model -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StateLabels:
    """The state of each customer as of ``rows.now``: the published one and the likeliest one; −1 for none yet."""

    published: Labels
    likeliest: Labels


def label_states(model: Model, thresholds: Thresholds, rows: Rows) -> StateLabels:
    """Which state each customer is in by this model at ``rows.now``, silence up to then included."""
    published, likeliest = [], []
    for chunk in infer_states(model, thresholds, rows):
        has_own = chunk.facts[:, publish.N_OWN] > 0
        published.append(np.where(has_own, chunk.facts[:, publish.STATE], -1))
        likeliest.append(np.where(has_own, chunk.at_now.argmax(axis=1), -1))
    return StateLabels(np.concatenate(published).astype(np.int64), np.concatenate(likeliest).astype(np.int64))


def published_spells(model: Model, thresholds: Thresholds, rows: Rows) -> Spells:
    """Every stay in a published state up to ``rows.now``, to the microsecond: not only what a weekly look sees."""
    parts = []
    for chunk in infer_states(model, thresholds, rows):
        moves, facts = chunk.moves, chunk.facts
        here = np.flatnonzero(facts[:, publish.N_OWN] > 0)
        parts.append(
            (
                np.concatenate([moves[:, publish.MOVE_CUSTOMER], here]) + chunk.first,
                np.concatenate([moves[:, publish.MOVE_FROM], facts[here, publish.STATE]]),
                np.concatenate([moves[:, publish.MOVE_SINCE], facts[here, publish.STATE_SINCE]]),
                np.concatenate([moves[:, publish.MOVE_AT], np.full(len(here), rows.now)]),
                np.concatenate([np.ones(len(moves), bool), np.zeros(len(here), bool)]),
            )
        )
    customer, state, start, end, is_over = (np.concatenate([p[i] for p in parts]) for i in range(5))
    return Spells(
        model.states, rows.n_customers, customer, state, start, end, is_over.astype(bool), int(rows.at.min()), rows.now
    )


def find_states_again(
    fit: StateFit, thresholds: Thresholds, rows: Rows, rng: np.random.Generator, n_rounds: int, n_threads: int = 1
) -> F8:
    """Bootstrap stability of each state, as :func:`sojourn.prove.stability.judge.find_again` has it, float64[S].

    Each round fits the model again, with the weights of the channels as they are: from the playbook and from the fit
    that is audited, and takes the better of the two, as that fit is the best of several starts. Where the customers
    have more than 200,000 events, some are drawn: a smaller sample finds states less well, so the numbers are then
    rather too low than too high.
    """
    few = take_rows(rows, draw_customers(np.diff(rows.data.starts), rng, _BOOTSTRAP_EVENTS))
    prior = _scale_prior(fit.prior, few.data.n_events / max(rows.data.n_events, 1))

    def refit(drawn: npt.NDArray[np.int64]) -> Labels:
        data = take_customers(few.data, drawn)
        fits = [
            fit_em(start, data, prior, max_iter=_BOOTSTRAP_ITER, n_threads=n_threads)
            for start in (fit.written, fit.model)
        ]
        return label_states(max(fits, key=lambda f: f.objectives[-1]).model, thresholds, few).likeliest

    labels = label_states(fit.model, thresholds, few).likeliest
    return find_again(labels, refit, len(fit.model.states), rng, n_rounds)


def _scale_prior(prior: Prior, share: float) -> Prior:
    """The prior for a share of the data: what people wrote is worth so much per event."""
    return replace(
        prior,
        initial=prior.initial * share,
        hazards=prior.hazards * share,
        channels=tuple(channel * share for channel in prior.channels),
    )


def label_states_at(model: Model, thresholds: Thresholds, rows: Rows, instants_us: Sequence[int]) -> list[StateLabels]:
    """The same at several instants, each with nothing known of what came after it."""
    return [label_states(model, thresholds, restart_rows(rows, at)) for at in instants_us]
