"""The silence-aware state model: its parameters, the matrices they make, and MAP-EM.

Between two events of a customer the model crosses the silence boundaries one by one (survive, then move
silently), ends the silence (hazard), moves under the touch received, and emits a symbol per channel. The
product of those matrices depends only on the silence bin and the touch, so a customer's sequence is a
sequence of (step kind, code), and the compiled loops of :mod:`sojourn.states.hmm.kernel` need not know the rest.
The expected counts of every factor are recovered exactly from those of the product, because they are
linear in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sojourn.frames import F8
from sojourn.states import hmm

T = TypeVar("T")
MISSING = 255
_N_CHUNKS = 8  # fixed, so that the number of threads changes no sum


@dataclass(frozen=True)
class Channel:
    """One observed symbol per event: ``theta[s, o]`` = P(symbol o | state s), counted with ``weight``.

    A channel that is not ``is_learned`` holds likelihoods that are given (labels) and need not sum to 1.
    """

    name: str
    symbols: tuple[str, ...]
    theta: F8
    weight: float = 1.0
    is_learned: bool = True


@dataclass(frozen=True)
class Model:
    """All parameters. S states, U touches (+ none), B silence boundaries (B + 1 bins).

    ``initial[S]``, ``event_transitions[1 + U, S, S]`` (index 0: no touch), ``boundaries_s[B]``,
    ``hazards[S, B]`` (chance that the silence ends in bin b, given that it got there; 1 in the last bin),
    ``silent_transitions[B, S, S]``, and one :class:`Channel` per kind of symbol.
    """

    states: tuple[str, ...]
    touches: tuple[str, ...]
    initial: F8
    event_transitions: F8
    boundaries_s: F8
    hazards: F8
    silent_transitions: F8
    channels: tuple[Channel, ...]

    @property
    def n_steps(self) -> int:
        """How many step kinds there are: silence bins times (touches + none)."""
        return (len(self.boundaries_s) + 1) * len(self.event_transitions)


@dataclass(frozen=True)
class Prior:
    """Pseudo-counts, in the shapes of the parameters that they guide.

    ``event_transitions`` guides the matrix without a touch; each touched one is drawn to the fitted
    untouched one with ``shrink`` pseudo-counts per row. ``hazards[S, B, 2]`` counts (ended, survived).
    """

    initial: F8
    event_transitions: F8
    shrink: float
    hazards: F8
    silent_transitions: F8
    channels: tuple[F8, ...]


@dataclass(frozen=True)
class Sequences:
    """Own events by customer and time.

    ``starts`` int64[K + 1]; ``code`` int32[n] into ``combos`` uint8[n_codes, C] (255: missing);
    ``step`` int32[n] = silence bin before the event × (1 + U) + touch; ``end`` int64[K] silence bin at now.
    """

    starts: NDArray[np.int64]
    code: NDArray[np.int32]
    step: NDArray[np.int32]
    end: NDArray[np.int64]
    combos: NDArray[np.uint8]

    @property
    def n_events(self) -> int:
        """Events in all."""
        return len(self.code)


@dataclass(frozen=True)
class Fitted:
    """A fitted model with its trace: log-likelihood and objective (with log prior) per iteration."""

    model: Model
    log_likelihoods: tuple[float, ...]
    objectives: tuple[float, ...]
    is_converged: bool


# -- parameters to matrices ----------------------------------------------------------------------------


def _survivals(model: Model) -> F8:
    return 1.0 - model.hazards


def tick_matrices(model: Model) -> F8:
    """[B, S, S]: survive bin b, then move in silence, for each boundary."""
    return np.ascontiguousarray(_survivals(model).T[:, :, None] * model.silent_transitions)


def event_matrices(model: Model) -> F8:
    """[B + 1, 1 + U, S, S]: end the silence in bin b, then move under touch u."""
    n_states = len(model.states)
    ending = np.concatenate([model.hazards.T, np.ones((1, n_states))])
    return np.ascontiguousarray(ending[:, None, :, None] * model.event_transitions[None])


def silence_matrices(model: Model) -> F8:
    """[B + 1, S, S]: having crossed the first b boundaries."""
    crossed = [np.eye(len(model.states))]
    for tick in tick_matrices(model):
        crossed.append(crossed[-1] @ tick)
    return np.array(crossed)


def step_matrices(model: Model) -> F8:
    """[steps, S, S]: all that lies between two events, per step kind."""
    n_states = len(model.states)
    steps = silence_matrices(model)[:, None] @ event_matrices(model)
    return np.ascontiguousarray(steps.reshape(-1, n_states, n_states))


def emission_table(model: Model, combos: NDArray[np.uint8]) -> tuple[F8, F8]:
    """Likelihoods [codes, S] scaled so that each row's largest is 1, and the logs of those scales [codes]."""
    logs = np.array([channel_logs(channel) for channel in model.channels])
    table, top = np.empty((len(combos), len(model.states))), np.empty(len(combos))
    hmm.score_codes(len(model.states))(combos, logs, 0, len(combos), table, top)
    return table, top


def channel_logs(channel: Channel) -> F8:
    """[256, S]: weighted log-likelihood of each symbol of a channel; a missing symbol says nothing."""
    table = np.zeros((MISSING + 1, channel.theta.shape[0]))
    with np.errstate(divide="ignore"):
        table[: channel.theta.shape[1]] = channel.weight * np.log(channel.theta.T)
    return table


# -- the E-step ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Counts:
    """Expected counts under the current parameters."""

    log_likelihood: float
    initial: F8
    codes: F8
    steps: F8
    closing: F8


def expect(model: Model, data: Sequences, n_threads: int = 1) -> Counts:
    """The expected counts of one E-step; the same sums whatever the number of threads."""
    # Numba: compiles when imported
    from sojourn.states.hmm.kernel import accumulate

    n_states = len(model.states)
    loop = accumulate(n_states)
    emissions, scales = emission_table(model, data.combos)
    steps = step_matrices(model)
    turned = np.ascontiguousarray(steps.transpose(0, 2, 1))
    silence = np.ascontiguousarray(silence_matrices(model).sum(axis=2))
    bounds = split_customers(data.starts, _N_CHUNKS)
    longest = int(np.diff(data.starts).max(initial=0))

    def run(chunk: int) -> tuple[float, F8, F8, F8, F8]:
        alpha, scale = np.empty((longest, n_states)), np.empty(longest)
        codes, outer = np.zeros_like(emissions), np.zeros_like(steps)
        closing, begun = np.zeros_like(silence), np.zeros(n_states)
        total = loop(
            data.starts,
            data.code,
            data.step,
            data.end,
            bounds[chunk],
            bounds[chunk + 1],
            emissions,
            steps,
            turned,
            silence,
            model.initial,
            alpha,
            scale,
            codes,
            outer,
            closing,
            begun,
        )
        return total, begun, codes, outer, closing

    parts = run_chunks(run, len(bounds) - 1, n_threads)
    total = sum(p[0] for p in parts)
    begun, codes, outer, closing = (_add_up([p[j] for p in parts]) for j in range(1, 5))  # type: ignore[misc]
    return Counts(float(total + codes.sum(axis=1) @ scales), begun, codes, outer, closing)


def _add_up(parts: Sequence[F8]) -> F8:
    """The sum, in order: the same bits whichever thread was first."""
    total = parts[0].copy()
    for part in parts[1:]:
        total += part
    return total


def split_customers(starts: NDArray[np.int64], n_chunks: int) -> NDArray[np.int64]:
    """Bounds of at most ``n_chunks`` ranges of customers with about as many events each."""
    targets = np.linspace(0, starts[-1], n_chunks + 1)
    bounds = np.searchsorted(starts, targets)
    bounds[0], bounds[-1] = 0, len(starts) - 1
    return np.unique(bounds)


def run_chunks(run: Callable[[int], T], n: int, n_threads: int) -> list[T]:
    """``run(0) … run(n - 1)`` in order of number, on ``n_threads`` threads."""
    if n_threads <= 1 or n <= 1:
        return [run(i) for i in range(n)]
    with ThreadPoolExecutor(n_threads) as pool:
        return list(pool.map(run, range(n)))


# -- the M-step ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Factors:
    """Expected counts of each factor of the steps."""

    event_transitions: F8
    ended: F8
    survived: F8
    silent: F8


def _factor_counts(model: Model, counts: Counts) -> _Factors:
    """Take the expected counts of the products apart into those of their factors.

    For a product L·M·R with W = Σ left⊗right outside it, the expected count of M is (LᵀWRᵀ)∘M.
    """
    n_bins, n_touches = len(model.boundaries_s) + 1, len(model.event_transitions)
    n_states = len(model.states)
    crossed, survive = silence_matrices(model), _survivals(model)
    ending = event_matrices(model)
    outer = counts.steps.reshape(n_bins, n_touches, n_states, n_states)
    moved = np.zeros_like(model.event_transitions)
    ended = np.zeros((n_states, n_bins))
    survived, silent = np.zeros_like(model.hazards), np.zeros_like(model.silent_transitions)
    # What reaches the ticks from their far side, summed over the touches that ended the silence there:
    # one S x S matrix per bin, to which the closing silence (nothing but survival) adds itself.
    reached = np.zeros((n_bins, n_states, n_states))
    for b in range(n_bins):
        for u in range(n_touches):
            before = crossed[b].T @ outer[b, u]
            joint = before * ending[b, u]
            moved[u] += joint
            ended[:, b] += joint.sum(axis=1)
            reached[b] += outer[b, u] @ ending[b, u].T
        reached[b] += counts.closing[b][:, None]
    for j in range(n_bins - 1):
        far = np.zeros((n_states, n_states))
        beyond = np.eye(n_states)
        for b in range(j + 1, n_bins):
            far += reached[b] @ beyond.T
            if b < n_bins - 1:
                beyond = beyond @ (survive[:, b][:, None] * model.silent_transitions[b])
        joint = (crossed[j].T @ far) * survive[:, j][:, None] * model.silent_transitions[j]
        silent[j] = joint
        survived[:, j] = joint.sum(axis=1)
    return _Factors(moved, ended[:, : n_bins - 1], survived, silent)


def normalise(counts: F8) -> F8:
    """Rows that sum to one; a row with no count at all is uniform."""
    totals = counts.sum(axis=-1, keepdims=True)
    even = np.full_like(counts, 1.0 / counts.shape[-1])
    return np.asarray(np.divide(counts, totals, out=even, where=totals > 0))


def symbol_counts(combos: NDArray[np.uint8], mass: F8) -> F8:
    """[channels, 256, S]: posterior mass of each symbol of each channel, from that of the codes."""
    # Numba: compiles when imported
    from sojourn.states.hmm.kernel import count_symbols

    counts = np.zeros((combos.shape[1], MISSING + 1, mass.shape[1]))
    count_symbols(mass.shape[1])(combos, mass, 0, len(combos), counts)
    return counts


def maximise(model: Model, counts: Counts, data: Sequences, prior: Prior) -> Model:
    """The parameters that maximise the expected log-likelihood plus log prior: all in closed form."""
    factors = _factor_counts(model, counts)
    untouched = normalise(factors.event_transitions[0] + prior.event_transitions)
    touched = normalise(factors.event_transitions[1:] + prior.shrink * untouched)
    ended = factors.ended + prior.hazards[:, :, 0]
    survived = factors.survived + prior.hazards[:, :, 1]
    either = ended + survived
    hazards = np.divide(ended, either, out=model.hazards.copy(), where=either > 0)
    seen = symbol_counts(data.combos, counts.codes)
    channels = tuple(
        replace(channel, theta=normalise(channel.weight * table[: channel.theta.shape[1]].T + guide))
        if channel.is_learned and channel.weight > 0
        else channel
        for channel, table, guide in zip(model.channels, seen, prior.channels, strict=True)
    )
    return replace(
        model,
        initial=normalise(counts.initial + prior.initial),
        event_transitions=np.concatenate([untouched[None], touched]),
        hazards=hazards,
        silent_transitions=normalise(factors.silent + prior.silent_transitions),
        channels=channels,
    )


def log_prior(model: Model, prior: Prior) -> float:
    """The log density of the Dirichlet and Beta priors at these parameters, without their constants."""

    def term(counts: F8, p: F8) -> float:
        used = counts > 0
        with np.errstate(divide="ignore"):
            return float((counts[used] * np.log(p[used])).sum())

    hazards = np.stack([model.hazards, 1.0 - model.hazards], axis=-1)
    total = term(prior.initial, model.initial) + term(prior.hazards, hazards)
    total += term(prior.event_transitions, model.event_transitions[0])
    # How far each touched matrix is from the untouched one. Without the second term, a prior's own entropy, the
    # total would fall as the untouched one sharpens, and the fit would stop too early.
    drawn_to = np.broadcast_to(prior.shrink * model.event_transitions[0], model.event_transitions[1:].shape)
    total += term(drawn_to, model.event_transitions[1:])
    total -= term(drawn_to, np.broadcast_to(model.event_transitions[0], drawn_to.shape))
    total += term(prior.silent_transitions, model.silent_transitions)
    for channel, guide in zip(model.channels, prior.channels, strict=True):
        if channel.is_learned and channel.weight > 0:
            total += term(guide, channel.theta)
    return total


def fit_em(
    model: Model,
    data: Sequences,
    prior: Prior,
    *,
    max_iter: int = 100,
    tol: float = 1e-5,
    n_threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Fitted:
    """The model at a maximum of the posterior, with its log-likelihood and objective at every iteration.

    Stops when the objective gains less than ``tol`` nats per event. The reported traces are of the
    parameters *before* each update, the last one of the returned parameters.
    Source: Dempster, Laird & Rubin 1977, doi:10.1111/j.2517-6161.1977.tb01600.x; scaled forward–backward
    as in Rabiner 1989, doi:10.1109/5.18626.
    """
    likelihoods: list[float] = []
    objectives: list[float] = []
    is_converged = False
    for i in range(max_iter + 1):
        counts = expect(model, data, n_threads)
        likelihoods.append(counts.log_likelihood)
        objectives.append(counts.log_likelihood + log_prior(model, prior))
        if progress:
            progress(i, max_iter)
        if i > 0 and objectives[-1] - objectives[-2] < tol * max(data.n_events, 1):
            is_converged = True
            break
        if i < max_iter:
            model = maximise(model, counts, data, prior)
    return Fitted(model, tuple(likelihoods), tuple(objectives), is_converged)


def log_likelihood(model: Model, data: Sequences, n_threads: int = 1) -> float:
    """Σ log P(sequence) over customers, in nats, the closing silence included."""
    return expect(model, data, n_threads).log_likelihood


def encode(symbols: NDArray[np.uint8], n_max: int | None = None) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """``(code int32[n], combos uint8[n_codes, C])``: the distinct rows of ``symbols``, numbered as they appear.

    >>> code, combos = encode(np.array([[1, 0], [2, 0], [1, 0]], np.uint8))
    >>> code.tolist(), combos.tolist()
    ([0, 1, 0], [[1, 0], [2, 0]])
    """
    # Numba: compiles when imported
    from sojourn.states.hmm.kernel import find_codes

    symbols = np.ascontiguousarray(symbols)
    code = np.empty(len(symbols), np.int32)
    room = min(len(symbols), n_max or 1 << 16) or 1
    while True:
        table = np.full(1 << int(2 * room).bit_length(), -1, np.int32)
        combos = np.empty((room, symbols.shape[1]), np.uint8)
        found = find_codes(symbols, table, code, combos)
        if found >= 0:
            return code, combos[:found].copy()
        room = min(len(symbols), room * 4)


def index_starts(lengths: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Offsets of consecutive sequences with these lengths."""
    return np.concatenate([[0], np.cumsum(np.asarray(lengths, np.int64))]).astype(np.int64)
