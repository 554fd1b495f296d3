"""What comes next: the state that a customer will be in, and the time of their next purchase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import softmax

from sojourn.errors import EventsError, Problem
from sojourn.frames import F8, I8, instant_us
from sojourn.playbook import Playbook
from sojourn.predict.from_events import Cuts
from sojourn.predict.kinds import fit_logistic
from sojourn.predict.learning import add_posteriors, read_features_at, table_matrix
from sojourn.predict.models import Linear, score_rows
from sojourn.states import StateModel

_LEAST_P = 1e-6
_LEAST_STATE_P = 1e-3


@dataclass(frozen=True, eq=False)
class NextState:
    """The state of each customer a horizon later, by the most likely state then.

    ``compared``: a row per way to predict, with ``log_loss`` (nats a customer), its standard error over customers, the
    share ``right``, and ``log_loss_gain`` of features and states over it with standard error. ``rows``:
    ``customer_id``, ``next_state``, ``p``, and ``p_<state>`` for each state, as of now.
    """

    states: tuple[str, ...]
    horizon_s: float
    compared: pa.Table
    rows: pa.Table
    model: Linear


def predict_next_state(
    events: pa.Table, book: Playbook, cuts: Cuts, states: StateModel, *, truth: pa.Table | None = None, seed: int = 0
) -> NextState:
    """The next state from features and posterior, beside features alone, the posterior alone and staying as one is.

    Learned at ``cuts.train``, judged at ``cuts.test`` on customers drawn as a half who did not teach. The label is the
    most likely state a horizon later, or with ``truth`` (``customer_id``, ``at``, ``state``) what is known to be so.
    """
    known = _known(events, book, cuts, states)
    names = states.model.states
    inputs = [name for name in known.column_names if name not in {"customer_id", "at", "label"}]
    if truth is not None:
        known = _set_truth(known, truth, names, cuts.horizon_s)
    x, y = table_matrix(known, inputs), known["label"].to_numpy().astype(np.int64)
    is_test = known["at"].cast(pa.int64()).to_numpy() == instant_us(cuts.test)
    teaches = _draw_half(known["customer_id"], seed)
    a, b = np.flatnonzero(~is_test & teaches & (y >= 0)), np.flatnonzero(is_test & ~teaches & (y >= 0))
    if len(a) < 50 or len(b) < 50:
        raise EventsError(Problem("next state", f"{len(a)} rows to learn from and {len(b)} to test on are too few"))
    is_state = np.array([name.startswith("p_") for name in inputs])
    x[:, is_state] = np.log(x[:, is_state] + _LEAST_STATE_P)  # as log-odds add up, and states are carried on by factors
    said = {
        "features and states": _softmax(x, y, a, b, len(names)),
        "features alone": _softmax(x[:, ~is_state], y, a, b, len(names)),
        "states alone": _softmax(x[:, is_state], y, a, b, len(names)),
        "moves of the likeliest state": _moves(x[:, is_state].argmax(axis=1), y, a, b, len(names)),
    }
    whole = np.flatnonzero(~np.isin(np.arange(len(y)), np.flatnonzero(y < 0)))
    model = fit_logistic(x[whole], y[whole], seed)
    now = add_posteriors(read_features_at(events, book, [cuts.now]), events, book, states, 1)
    x_now = table_matrix(now, inputs)
    x_now[:, is_state] = np.log(x_now[:, is_state] + _LEAST_STATE_P)
    p = _spread(model, x_now, np.unique(y[whole]), len(names))
    best = p.argmax(axis=1)
    rows = pa.table(
        {"customer_id": now["customer_id"], "next_state": pa.array([names[k] for k in best]), "p": p.max(axis=1)}
        | {f"p_{name}": p[:, k].copy() for k, name in enumerate(names)}
    )
    return NextState(names, cuts.horizon_s, _compare(said, y[b]), rows, model)


def _known(events: pa.Table, book: Playbook, cuts: Cuts, states: StateModel) -> pa.Table:
    """Inputs at all instants, with the number of the likeliest state a horizon later as ``label``."""
    ahead = timedelta(seconds=cuts.horizon_s + cuts.gap_s)
    known = add_posteriors(read_features_at(events, book, cuts.instants), events, book, states, 1)
    later = known.select(["customer_id", "at"])
    at = later["at"].cast(pa.int64()).to_numpy() + round(ahead.total_seconds() * 1e6)
    later = add_posteriors(
        later.set_column(1, "at", pa.array(at).cast(pa.timestamp("us", tz="UTC"))), events, book, states, 1
    )
    posterior = table_matrix(later, [f"p_{name}" for name in states.model.states])
    return known.append_column("label", pa.array(posterior.argmax(axis=1)))


def _set_truth(known: pa.Table, truth: pa.Table, names: Sequence[str], horizon_s: float) -> pa.Table:
    place = {name: k for k, name in enumerate(names)}
    spans: dict[str, tuple[list[int], list[str]]] = {}
    for row in truth.sort_by([("customer_id", "ascending"), ("at", "ascending")]).to_pylist():
        times, states = spans.setdefault(row["customer_id"], ([], []))
        times.append(instant_us(row["at"]))
        states.append(row["state"])
    label = []
    for who, at in zip(known["customer_id"].to_pylist(), known["at"].cast(pa.int64()).to_pylist(), strict=True):
        times, states = spans.get(who, ([], []))
        k = int(np.searchsorted(times, at + round(horizon_s * 1e6), side="right")) - 1
        label.append(place.get(states[k], -1) if k >= 0 else -1)
    return known.set_column(known.column_names.index("label"), "label", pa.array(label))


def _draw_half(ids: Any, seed: int) -> NDArray[np.bool_]:
    coded = ids.combine_chunks().dictionary_encode()
    drawn = np.random.default_rng(seed).random(len(coded.dictionary)) < 0.5
    return np.asarray(drawn[coded.indices.to_numpy()])


def _softmax(x: F8, y: I8, a: I8, b: I8, n: int) -> F8:
    return _spread(fit_logistic(x[a], y[a], 0), x[b], np.unique(y[a]), n)


def _spread(model: Linear, x: F8, classes: I8, n: int) -> F8:
    """Probabilities of all classes; those never seen keep the least there is."""
    said = score_rows(model, x)
    if said.shape[1] == 1:
        said = np.hstack([np.zeros_like(said), said])
    p = np.full((len(x), n), _LEAST_P)
    p[:, classes] = np.maximum(softmax(said, axis=1), _LEAST_P)
    return np.asarray(p / p.sum(axis=1, keepdims=True))


def _moves(state: I8, y: I8, a: I8, b: I8, n: int) -> F8:
    """How often each state was followed by each, with half a count added."""
    counts = np.full((n, n), 0.5)
    np.add.at(counts, (state[a], y[a]), 1)
    return np.asarray((counts / counts.sum(axis=1, keepdims=True))[state[b]])


def _compare(said: dict[str, F8], y: I8) -> pa.Table:
    row = np.arange(len(y))
    loss = {name: -np.log(p[row, y]) for name, p in said.items()}
    best = next(iter(loss.values()))
    return pa.Table.from_pylist(
        [
            {
                "inputs": name,
                "log_loss": float(loss[name].mean()),
                "log_loss_se": float(loss[name].std() / np.sqrt(len(y))),
                "right": float((p.argmax(axis=1) == y).mean()),
                "log_loss_gain": float((loss[name] - best).mean()),
                "log_loss_gain_se": float((loss[name] - best).std() / np.sqrt(len(y))),
            }
            for name, p in said.items()
        ]
    )
