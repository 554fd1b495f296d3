"""Why a customer is in a state: exact additive log-odds against the runner-up, and what would flip it.

The posterior odds of two states are a product: odds carried over from before the last event, times what
the silence before it says, times the move under its touch, times each channel's likelihood ratio, times
what the silence since then says. In logarithms that is a sum, so the reasons add up to the log-odds with
nothing left over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sojourn.frames import F8, REASONS
from sojourn.states import hmm
from sojourn.states.hmm import MISSING, Model, channel_logs, event_matrices, silence_matrices, tick_matrices
from sojourn.states.hmm import hysteresis as publish

BELIEF = "belief carried over"
START = "how customers begin"
SILENCE_BEFORE = "silence before the last event"
MOVE = "usual moves between events"
SILENCE_SINCE = "silence since the last event"
REST = "all else"
MAX_REASONS = 8


@dataclass(frozen=True)
class Parts:
    """Log-odds of one state over another, taken apart: ``names`` [P], ``weights`` [customers, P].

    The name of a channel's part depends on its symbol: ``symbols`` [customers, P] is the symbol of each
    channel part, -1 for the parts that are not a channel's.
    """

    names: tuple[str, ...]
    weights: F8
    symbols: NDArray[np.int64]


@dataclass(frozen=True)
class OddsTables:
    """What :func:`split_odds` works out of a model: who asks often keeps it."""

    initial: F8
    ending: F8  # [boundaries + 1, states]: the silence ends in this bin
    silence: F8
    events: F8
    ticks: F8
    logs: F8  # [channels, symbols, states]


def make_tables(model: Model) -> OddsTables:
    """The tables of a model."""
    logs = np.array([channel_logs(channel) for channel in model.channels])
    ending = np.concatenate([model.hazards.T, np.ones((1, len(model.states)))])
    return OddsTables(
        np.asarray(model.initial, np.float64),
        ending,
        silence_matrices(model),
        event_matrices(model),
        tick_matrices(model),
        logs,
    )


def find_runner_up(posterior: F8, state: NDArray[np.int64]) -> NDArray[np.int64]:
    """The likeliest state other than the given one, per customer."""
    others = posterior.copy()
    others[np.arange(len(state)), state] = -1.0
    return np.asarray(others.argmax(axis=1))


def split_odds(
    model: Model,
    combos: NDArray[np.uint8],
    carried: F8,
    facts: NDArray[np.int64],
    last_code: NDArray[np.int32],
    state: NDArray[np.int64],
    against: NDArray[np.int64],
    tables: OddsTables | None = None,
) -> Parts:
    """The log-odds of ``state`` over ``against`` at now, in parts that sum to it exactly.

    ``carried``, ``facts``: from the walk; ``last_code`` the code of each customer's last own event. Only
    customers with at least one own event.
    """
    tables = tables or make_tables(model)
    weights = np.empty((len(state), 4 + len(model.channels)))
    hmm.split(
        combos,
        carried,
        facts,
        last_code,
        state,
        against,
        tables.initial,
        tables.ending,
        tables.silence,
        tables.events,
        tables.ticks,
        tables.logs,
        weights,
    )
    touch = facts[:, publish.STEP_TOUCH]
    symbols = np.full(weights.shape, -1)
    symbols[:, 0] = np.where(facts[:, publish.N_OWN] == 1, -2, -1)
    symbols[:, 2] = np.where(touch > 0, touch, -1)
    symbols[:, 3:-1] = combos[last_code]
    names = (BELIEF, SILENCE_BEFORE, MOVE, *(channel.name for channel in model.channels), SILENCE_SINCE)
    return Parts(names, weights, symbols)


def name_part(model: Model, part: int, symbol: int) -> str:
    """A part in words: ``event: Products Compared``, ``views_1h: 1 to 3``, ``fired: count(…) >= 3``."""
    if part == 0:
        return START if symbol == -2 else BELIEF
    if part == 1:
        return SILENCE_BEFORE
    if part == 2:
        return f"touch before the last event: {model.touches[symbol - 1]}" if symbol > 0 else MOVE
    c = part - 3
    if c == len(model.channels):
        return SILENCE_SINCE
    channel = model.channels[c]
    if symbol == MISSING:
        return f"{channel.name}: missing"
    return name_symbol(channel.name, channel.symbols[symbol], channel.is_learned)


def name_symbol(channel: str, symbol: str, is_learned: bool = True) -> str:
    """A channel's symbol in words.

    >>> name_symbol("event_class", "compare"), name_symbol("decision: views_1h >= 3", "yes")
    ('event: compare', 'fired: views_1h >= 3')
    """
    if channel == "event_class":
        return f"event: {symbol}"
    if not is_learned:
        return "known state given" if symbol != "0" else "no known state"
    if ": " in channel and symbol in ("yes", "no"):
        return f"{'fired' if symbol == 'yes' else 'did not fire'}: {channel.split(': ', 1)[1]}"
    return f"{channel}: {symbol}"


def reasons_column(model: Model, parts: Parts, n_most: int = MAX_REASONS) -> pa.Array:
    """A list of ``{what, weight}`` per customer, weightiest first; small ones are summed as ``all else``."""
    n, width = parts.weights.shape
    n_most = min(n_most, width)
    order = np.argsort(-np.abs(parts.weights), axis=1, kind="stable")[:, :n_most]
    each = np.arange(n)[:, None]
    kept = parts.weights[each, order]
    rest = parts.weights.sum(axis=1) - kept.sum(axis=1)
    # Names repeat by the million, so they are made once per distinct (part, symbol).
    key = order * 1000 + parts.symbols[each, order] + 2
    known, index = np.unique(key, return_inverse=True)
    words = [name_part(model, int(k) // 1000, int(k) % 1000 - 2) for k in known] + [REST]
    index = np.concatenate([index.reshape(kept.shape), np.full((n, 1), len(known))], axis=1)
    values = np.concatenate([kept, rest[:, None]], axis=1)
    shown = np.abs(values) > 1e-12
    offsets = np.concatenate([[0], np.cumsum(shown.sum(axis=1))]).astype(np.int32)
    what = pa.DictionaryArray.from_arrays(pa.array(index[shown].astype(np.int32)), pa.array(words, pa.string()))
    structs = pa.StructArray.from_arrays([what.cast(pa.string()), pa.array(values[shown])], ["what", "weight"])
    return pa.ListArray.from_arrays(pa.array(offsets), structs).cast(REASONS)


def list_reasons(model: Model, parts: Parts, row: int = 0, n_most: int = MAX_REASONS) -> list[dict[str, Any]]:
    """The same for one customer, as plain data."""
    weights = parts.weights[row].tolist()
    order = sorted(range(len(weights)), key=lambda part: -abs(weights[part]))[:n_most]
    found = [(name_part(model, part, int(parts.symbols[row, part])), weights[part]) for part in order]
    found.append((REST, sum(weights) - sum(weight for _, weight in found)))
    return [{"what": what, "weight": weight} for what, weight in found if abs(weight) > 1e-12]


@dataclass(frozen=True)
class Flip:
    """The smallest change that would make another state the likeliest.

    ``changes``: what is seen and what would have to be seen instead, at the last event; empty when no
    change at the last event suffices, and then ``next_event`` and ``n_next`` say which event, how many times in
    a row; with neither, another state is the likeliest already.
    """

    to_state: str
    changes: tuple[tuple[str, str], ...]
    next_event: str | None = None
    n_next: int = 0


def find_flip(model: Model, combos_row: NDArray[np.uint8], at_event: F8, ticks_now: int, state: int) -> Flip | None:
    """The fewest symbols of the last event that, changed, would make another state likelier than ``state``.

    ``at_event`` is the posterior right after that event, ``ticks_now`` the boundaries crossed since. Gains are
    additive in log-odds while no boundary has been crossed, so taking the largest first is exact; after a tick
    each candidate is checked through the ticks. Failing that, the fewest repetitions (up to 20) of one event
    class to come, the first of them now. None when nothing of the kind flips it.
    """
    crossed = silence_matrices(model)[ticks_now]
    at_now = at_event @ crossed
    if int(at_now.argmax()) != state:  # it has flipped already, and waits for the thresholds
        return Flip(model.states[int(at_now.argmax())], ())
    tables = [channel_logs(c) for c in model.channels]
    best: tuple[int, float, Flip] | None = None
    for rival in range(len(model.states)):
        if rival == state:
            continue
        found = _flip_towards(model, tables, combos_row, at_event, crossed, state, rival)
        if found and (best is None or found[:2] < best[:2]):
            best = found
    if best:
        return best[2]
    return _flip_by_events(model, at_now, ticks_now, state)


def _flip_towards(
    model: Model, tables: list[F8], row: NDArray[np.uint8], at_event: F8, crossed: F8, state: int, rival: int
) -> tuple[int, float, Flip] | None:
    gains = []
    for c, channel in enumerate(model.channels):
        if not channel.is_learned or channel.weight == 0:
            continue
        gain = tables[c][: len(channel.symbols)] - tables[c][row[c]]
        towards = gain[:, rival] - gain[:, state]
        o = int(towards.argmax())
        if towards[o] > 0:
            gains.append((float(towards[o]), c, o, gain[o]))
    gains.sort(key=lambda g: -g[0])
    p = np.log(np.maximum(at_event, 1e-300))
    changes = []
    for _, c, o, shift in gains[:3]:
        p = p + shift
        seen = model.channels[c]
        was = "missing" if row[c] == MISSING else name_symbol(seen.name, seen.symbols[row[c]])
        changes.append((was, name_symbol(seen.name, seen.symbols[o])))
        now = np.exp(p - p.max()) @ crossed
        if now.argmax() != state:
            gap = float(np.log(now.max()) - np.log(now[state]))
            flip = Flip(model.states[int(now.argmax())], tuple(changes))
            return len(changes), -gap, flip
    return None


def _flip_by_events(model: Model, at_now: F8, ticks_now: int, state: int) -> Flip | None:
    """The fewest repetitions of one event class, its other symbols missing, that make another state the likeliest."""
    first, later = event_matrices(model)[[ticks_now, 0], 0]
    classes = model.channels[0]
    likely = np.exp(channel_logs(classes)[: len(classes.symbols)])
    found: list[tuple[int, int, int]] = []
    for o in range(len(classes.symbols)):
        p = at_now
        for n in range(1, 21):
            p = (p @ (first if n == 1 else later)) * likely[o]
            p = p / p.sum()
            if p.argmax() != state:
                found.append((n, o, int(p.argmax())))
                break
    if not found:
        return None
    n, o, to = min(found)
    return Flip(model.states[to], (), classes.symbols[o], n)
