"""The textbook categorical hidden Markov model, by maximum likelihood: the state model with silence off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sojourn.errors import SojournError
from sojourn.states.hmm.model import Channel, Fitted, Model, Prior, Sequences, fit_em, index_starts

_MAX_SYMBOLS = 255


@dataclass(frozen=True)
class Textbook:
    """Parameters of a categorical HMM and how they were reached.

    ``initial`` [S], ``transitions`` [S, S], ``emissions`` [S, symbols]; ``log_likelihood`` in nats;
    ``log_likelihoods`` before each update and at the end; ``n_iter`` updates of the best start.
    """

    initial: NDArray[np.float64]
    transitions: NDArray[np.float64]
    emissions: NDArray[np.float64]
    log_likelihood: float
    log_likelihoods: tuple[float, ...]
    n_iter: int
    is_converged: bool


def textbook_model(
    initial: NDArray[np.float64], transitions: NDArray[np.float64], emissions: NDArray[np.float64]
) -> Model:
    """The state model with one state channel, no silence and no touches."""
    n_states, n_symbols = emissions.shape
    return Model(
        states=tuple(str(s) for s in range(n_states)),
        touches=(),
        initial=np.array(initial, np.float64),
        event_transitions=np.array(transitions, np.float64)[None],
        boundaries_s=np.empty(0),
        hazards=np.empty((n_states, 0)),
        silent_transitions=np.empty((0, n_states, n_states)),
        channels=(Channel("symbol", tuple(str(o) for o in range(n_symbols)), np.array(emissions, np.float64)),),
    )


def flat_prior(model: Model) -> Prior:
    """No pseudo-count anywhere: MAP-EM is then maximum likelihood."""
    return Prior(
        initial=np.zeros_like(model.initial),
        event_transitions=np.zeros_like(model.event_transitions[0]),
        shrink=0.0,
        hazards=np.zeros((*model.hazards.shape, 2)),
        silent_transitions=np.zeros_like(model.silent_transitions),
        channels=tuple(np.zeros_like(c.theta) for c in model.channels),
    )


def symbol_sequences(sequences: Sequence[ArrayLike], n_symbols: int) -> Sequences:
    """The sequences of whole numbers ``0 … n_symbols - 1`` as the state model takes them."""
    if not 1 <= n_symbols <= _MAX_SYMBOLS:
        raise SojournError(f"n_symbols must be 1 to {_MAX_SYMBOLS}, found {n_symbols}")
    rows = [np.asarray(s) for s in sequences]
    rows = [r for r in rows if r.size]
    if not rows:
        raise SojournError("sequences hold no observation: at least one non-empty sequence is needed")
    flat = np.concatenate(rows)
    if flat.ndim != 1 or flat.dtype.kind not in "iu":
        raise SojournError("each sequence must be a one-dimensional array of whole numbers")
    if flat.min() < 0 or flat.max() >= n_symbols:
        raise SojournError(f"symbols must be 0 to {n_symbols - 1}, found {flat.min()} to {flat.max()}")
    return Sequences(
        starts=index_starts([len(r) for r in rows]),
        code=flat.astype(np.int32),
        step=np.zeros(len(flat), np.int32),
        end=np.zeros(len(rows), np.int64),
        combos=np.arange(n_symbols, dtype=np.uint8)[:, None],
    )


def fit(
    sequences: Sequence[ArrayLike],
    n_states: int,
    n_symbols: int,
    *,
    n_starts: int = 10,
    tol: float = 1e-6,
    max_iter: int = 500,
    rng: np.random.Generator | int = 0,
    start: tuple[ArrayLike, ArrayLike, ArrayLike] | None = None,
    n_threads: int = 1,
) -> Textbook:
    """The categorical HMM of highest likelihood over ``n_starts`` random starts (or from ``start`` alone).

    ``sequences``: arrays of whole numbers below ``n_symbols``. ``start``: initial [S], transitions [S, S],
    emissions [S, symbols]. A run stops when the log-likelihood gains less than ``tol`` nats, or after
    ``max_iter`` updates. Raises :class:`sojourn.errors.SojournError` on empty input or unknown symbols.

    >>> best = fit([[0, 0, 0, 1, 1, 1], [0, 0, 1, 1]], 2, 2, n_starts=5, rng=1)
    >>> round(best.log_likelihood, 3)
    -3.365

    Source: Rabiner 1989, doi:10.1109/5.18626.
    """
    if n_states < 1:
        raise SojournError(f"n_states must be at least 1, found {n_states}")
    data = symbol_sequences(sequences, n_symbols)
    rng = np.random.default_rng(rng)
    if start is not None:
        starts = [tuple(np.asarray(p, np.float64) for p in start)]
    else:
        starts = [
            (
                rng.dirichlet(np.ones(n_states)),
                rng.dirichlet(np.ones(n_states), n_states),
                rng.dirichlet(np.ones(n_symbols), n_states),
            )
            for _ in range(n_starts)
        ]
    best: Fitted | None = None
    for initial, transitions, emissions in starts:
        model = textbook_model(initial, transitions, emissions)
        found = fit_em(model, data, flat_prior(model), max_iter=max_iter, tol=tol / data.n_events, n_threads=n_threads)
        if best is None or found.log_likelihoods[-1] > best.log_likelihoods[-1]:
            best = found
    assert best is not None
    return Textbook(
        initial=best.model.initial,
        transitions=best.model.event_transitions[0],
        emissions=best.model.channels[0].theta,
        log_likelihood=best.log_likelihoods[-1],
        log_likelihoods=best.log_likelihoods,
        n_iter=len(best.log_likelihoods) - 1,
        is_converged=best.is_converged,
    )
