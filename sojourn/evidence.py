"""How much an observation counts: less where it repeats what earlier ones have said."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sojourn.hmm.model import MISSING, Model, Sequences
from sojourn.states import ChannelPlan, decode_paths

F8 = NDArray[np.float64]


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
