"""From folded events to a fitted state model: what is observed, what people wrote, what the data say.

The rows of a run are put in order of customer and time (:func:`arrange_rows`); the playbook becomes a
prior (:mod:`sojourn.states.prior`); the model is fitted on a sample of customers and judged on others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sojourn.playbook import Playbook
from sojourn.states import hmm
from sojourn.states.channels import own_classes
from sojourn.states.hmm import Model, Sequences, channel_logs, encode, silence_matrices, step_matrices

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
    boundaries: NDArray[np.int64]
    now: int

    @property
    def n_customers(self) -> int:
        """Customers, those without an own event included."""
        return len(self.starts) - 1


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
    touch_names = playbook.touches
    touch_of = np.zeros(len(playbook.class_names), np.int16)
    own_of = np.zeros(len(playbook.class_names), np.uint8)
    own = own_classes(playbook)
    for i, name in enumerate(playbook.class_names):
        if name in touch_names:
            touch_of[i] = 1 + touch_names.index(name)
        else:
            own_of[i] = own.index(name)
    starts, order = hmm.group_rows(np.ascontiguousarray(customer), n_customers)
    at = event_at[order]
    touch = touch_of[event_class[order]]
    n = len(order)
    boundaries = np.array([round(b * 1e6) for b in boundaries_s], np.int64)
    own_starts, own_row = np.empty(n_customers + 1, np.int64), np.empty(n, np.int64)
    step, end = np.empty(n, np.int32), np.empty(n_customers, np.int64)
    m = hmm.find_steps(starts, at, touch, boundaries, 1 + len(touch_names), now, own_starts, own_row, step, end)
    own_row, step = own_row[:m].copy(), step[:m].copy()
    source = order[own_row]
    seen = np.empty((m, 1 + symbols.shape[1] + (labels is not None)), np.uint8)
    seen[:, 0] = own_of[event_class[source]]
    seen[:, 1 : 1 + symbols.shape[1]] = symbols[source]
    if labels is not None:
        seen[:, -1] = labels[source]
    code, combos = encode(seen)
    return Rows(starts, order, at, touch, own_row, Sequences(own_starts, code, step, end, combos), boundaries, now)


def take_customers(data: Sequences, chosen: NDArray[np.int64]) -> Sequences:
    """The sequences of some customers only, in the order given, with the codes that they use."""
    lengths = np.diff(data.starts)[chosen]
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    rows = np.repeat(data.starts[chosen] - starts[:-1], lengths) + np.arange(starts[-1])
    is_used = np.zeros(len(data.combos), bool)
    is_used[data.code[rows]] = True
    number = (np.cumsum(is_used) - 1).astype(np.int32)
    return Sequences(starts, number[data.code[rows]], data.step[rows], data.end[chosen], data.combos[is_used])


def restart_rows(rows: Rows, now: int) -> Rows:
    """The same customers as they were known at an earlier instant: later rows are taken away, ``now`` is moved."""
    kept = rows.at <= now
    before = np.concatenate([[0], np.cumsum(kept)])
    starts = before[rows.starts]
    touch = rows.touch[kept]
    own = kept[rows.own_row]
    own_before = np.concatenate([[0], np.cumsum(own)])
    data_starts = own_before[rows.data.starts]
    own_row = np.flatnonzero(touch == 0)
    last = np.zeros(rows.n_customers, np.int64)
    has_own = np.diff(data_starts) > 0
    last[has_own] = rows.at[kept][own_row[data_starts[1:][has_own] - 1]]
    end = np.searchsorted(rows.boundaries, np.where(has_own, now - last, 0), side="right")
    data = Sequences(data_starts, rows.data.code[own], rows.data.step[own], end * has_own, rows.data.combos)
    return replace(
        rows, starts=starts, order=rows.order[kept], at=rows.at[kept], touch=touch, own_row=own_row, data=data, now=now
    )


def decode_paths(model: Model, data: Sequences) -> NDArray[np.int8]:
    """The most likely state (Viterbi) at each own event, int8[n]; silent moves between events are summed out."""
    logs = np.zeros((len(data.combos), len(model.states)))
    for c, channel in enumerate(model.channels):
        logs += channel_logs(channel)[data.combos[:, c]]
    path = np.empty(data.n_events, np.int8)
    longest = int(np.diff(data.starts).max(initial=1))
    with np.errstate(divide="ignore"):
        hmm.decode(len(model.states))(
            data.starts,
            data.code,
            data.step,
            data.end,
            0,
            len(data.end),
            logs,
            np.log(step_matrices(model)),
            np.log(silence_matrices(model).sum(axis=2)),
            np.log(model.initial),
            np.empty((longest, len(model.states)), np.int8),
            path,
        )
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
        starts,
        rows.order[picked],
        rows.at[picked],
        touch,
        np.flatnonzero(touch == 0),
        take_customers(rows.data, chosen),
        rows.boundaries,
        rows.now,
    )
