"""The compiled loop that takes the odds of two states apart (:mod:`sojourn.states.reasons` says what for)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from sojourn.states.hmm.hysteresis import N_OWN, STEP_TICKS, STEP_TOUCH, TICKS_NOW


@njit(cache=True, nogil=True, error_model="numpy")
def split(
    combos: Any,
    carried: Any,
    facts: Any,
    code: Any,
    state: Any,
    against: Any,
    initial: Any,
    ending: Any,
    silence: Any,
    events: Any,
    ticks: Any,
    logs: Any,
    weights: Any,
) -> None:
    """Fill ``weights`` [customers, 4 + channels]: start, silence, move, each channel, silence since.

    Each is what that step adds to the logarithm of the odds of ``state`` over ``against``.
    """
    n_states, n_channels = len(initial), len(logs)
    before, silent, moved = np.empty(n_states), np.empty(n_states), np.empty(n_states)
    told, at_event = np.empty(n_states), np.empty(n_states)
    now, then = np.empty(n_states), np.empty(n_states)
    for i in range(len(state)):
        a, b = state[i], against[i]
        crossed, touch = facts[i, STEP_TICKS], facts[i, STEP_TOUCH]
        if facts[i, N_OWN] == 1:
            for s in range(n_states):
                before[s] = silent[s] = moved[s] = initial[s]
        else:
            for s in range(n_states):
                before[s] = carried[i, s]
            for s in range(n_states):
                then[s] = 0.0
                for r in range(n_states):
                    then[s] += before[r] * silence[crossed, r, s]
            for s in range(n_states):
                silent[s] = then[s] * ending[crossed, s]
                moved[s] = 0.0
                for r in range(n_states):
                    moved[s] += then[r] * events[crossed, touch, r, s]
        for s in range(n_states):
            told[s] = 0.0
            for c in range(n_channels):
                told[s] += logs[c, combos[code[i], c], s]
        most, total = told[0], 0.0
        for s in range(1, n_states):
            most = max(most, told[s])
        for s in range(n_states):
            at_event[s] = moved[s] * np.exp(told[s] - most)
            total += at_event[s]
        for s in range(n_states):
            now[s] = at_event[s] / total
        for k in range(facts[i, TICKS_NOW]):
            total = 0.0
            for s in range(n_states):
                then[s] = 0.0
                for r in range(n_states):
                    then[s] += now[r] * ticks[k, r, s]
                total += then[s]
            for s in range(n_states):
                now[s] = then[s] / total
        start, waited = np.log(before[a] / before[b]), np.log(silent[a] / silent[b])
        weights[i, 0] = start
        weights[i, 1] = waited - start
        weights[i, 2] = np.log(moved[a] / moved[b]) - waited
        for c in range(n_channels):
            weights[i, 3 + c] = logs[c, combos[code[i], c], a] - logs[c, combos[code[i], c], b]
        weights[i, 3 + n_channels] = np.log(now[a] / now[b]) - np.log(at_event[a] / at_event[b])
