"""How well a fitted model foresees the next event, beside simpler models, on customers held out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sojourn.frames import F8
from sojourn.states import hmm
from sojourn.states.hmm import (
    Model,
    Sequences,
    emission_table,
    fit_em,
    flat_prior,
    normalise,
    step_matrices,
    textbook_model,
)


def predict_classes(model: Model, data: Sequences, *, with_silence: bool = False) -> F8:
    """Log-probability of each own event's class given all before it (and the silence and touch before it).

    ``with_silence``: that of the silence bin and the class together, given only what was before the silence.
    """
    emissions, _ = emission_table(model, data.combos)
    log_p = np.empty(data.n_events)
    symbol = data.combos[:, 0][data.code]
    hmm.predict_symbols(len(model.states))(
        data.starts,
        data.code,
        data.step,
        symbol,
        emissions,
        step_matrices(model),
        model.initial,
        np.ascontiguousarray(model.channels[0].theta),
        with_silence,
        log_p,
    )
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
    return normalise(theta * rng.lognormal(0.0, 0.3, theta.shape) + 1e-3)


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
