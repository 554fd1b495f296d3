"""When a customer buys next: discrete hazards with censoring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import expit

from sojourn.errors import EventsError, Problem
from sojourn.frames import F8, I8, instant_us
from sojourn.playbook import Playbook
from sojourn.predict.from_events import Cuts
from sojourn.predict.kinds import fit_logistic
from sojourn.predict.learning import add_posteriors, read_features_at, table_matrix
from sojourn.predict.models import Linear, score_rows
from sojourn.predict.next import _LEAST_P, _draw_half
from sojourn.states import StateModel

_QUANTILES = (0.25, 0.5, 0.75)
_BINS = 12


@dataclass(frozen=True, eq=False)
class NextPurchase:
    """When each customer will do the event next, in days: by discrete hazards over bins of the horizon.

    ``rows``: ``customer_id``, ``days_25``, ``days_50``, ``days_75`` (null: not within the horizon), ``p`` (within it).
    ``log_loss`` per customer of the bin in which it came (or that it did not) on later time and other customers, beside
    ``log_loss_base`` of hazards that are the same for everybody, ``log_loss_gain_se`` the standard error of the gain.
    """

    event: str
    horizon_s: float
    log_loss: float
    log_loss_base: float
    log_loss_gain_se: float
    n_test: int
    rows: pa.Table


def predict_next_time(
    events: pa.Table, book: Playbook, event: str, cuts: Cuts, states: StateModel, *, seed: int = 0
) -> NextPurchase:
    """The time of the next event of a class, learned at ``cuts.train`` and judged at ``cuts.test``.

    A logistic hazard for each twelfth of the horizon: the chance that it comes in this one when it has not yet come.

    Source: Singer & Willett 1993, doi:10.3102/10769986018002155 (discrete-time survival analysis).
    """
    known = add_posteriors(read_features_at(events, book, cuts.instants), events, book, states, 1)
    inputs = [name for name in known.column_names if name not in {"customer_id", "at"}]
    x = table_matrix(known, inputs)
    bins = _time_bins(known, events, event, cuts.horizon_s)
    is_test = known["at"].cast(pa.int64()).to_numpy() == instant_us(cuts.test)
    teaches = _draw_half(known["customer_id"], seed)
    a, b = np.flatnonzero(~is_test & teaches), np.flatnonzero(is_test & ~teaches)
    if min((bins[a] < _BINS).sum(), len(b)) < 50:
        raise EventsError(Problem(event, "fewer than fifty came to learn from, or fewer than fifty people to test on"))
    row = np.arange(len(b))
    loss = -np.log(_chances(_fit_hazards(x[a], bins[a], seed), x[b])[row, bins[b]])
    flat = -np.log(_chances(_fit_hazards(np.zeros((len(a), 0)), bins[a], seed), np.zeros((len(b), 0)))[row, bins[b]])
    now = add_posteriors(read_features_at(events, book, [cuts.now]), events, book, states, 1)
    chances = _chances(_fit_hazards(x, bins, seed), table_matrix(now, inputs))
    come = chances[:, :_BINS].cumsum(axis=1)
    days = cuts.horizon_s / 86_400
    columns: dict[str, Any] = {"customer_id": now["customer_id"]}
    for q in _QUANTILES:
        place = (come < q).sum(axis=1)
        before = np.where(place > 0, come[np.arange(len(come)), np.maximum(place - 1, 0)], 0.0)
        inside = np.minimum(place, _BINS - 1)
        step = np.maximum(come[np.arange(len(come)), inside] - before, _LEAST_P)
        when = (place + (q - before) / step) * days / _BINS
        columns[f"days_{round(100 * q)}"] = pa.array(when, mask=place >= _BINS)
    columns["p"] = come[:, -1]
    return NextPurchase(
        event,
        cuts.horizon_s,
        float(loss.mean()),
        float(flat.mean()),
        float((flat - loss).std() / np.sqrt(len(loss))),
        len(b),
        pa.table(columns),
    )


def _time_bins(known: pa.Table, events: pa.Table, event: str, horizon_s: float) -> I8:
    """The twelfth of the horizon in which the event first came after each row's instant; 12 where it did not."""
    chosen = events.filter(pc.equal(events["event_class"].cast(pa.string()), event)).select(["customer_id", "event_at"])
    names = known["customer_id"].combine_chunks().dictionary_encode()
    who = pc.index_in(chosen["customer_id"], names.dictionary).fill_null(-1).to_numpy()
    when = chosen["event_at"].cast(pa.int64()).to_numpy()
    row_who, at = names.indices.to_numpy(), known["at"].cast(pa.int64()).to_numpy()
    found = np.full(len(at), _BINS, np.int64)
    for instant in np.unique(at):
        later = (when > instant) & (when <= instant + round(horizon_s * 1e6)) & (who >= 0)
        first = np.full(len(names.dictionary), np.iinfo(np.int64).max)
        np.minimum.at(first, who[later], when[later])
        rows = np.flatnonzero((at == instant) & (first[row_who] < np.iinfo(np.int64).max))
        waited = (first[row_who[rows]] - instant) / (horizon_s * 1e6)
        found[rows] = np.minimum(np.ceil(waited * _BINS) - 1, _BINS - 1).astype(np.int64)
    return found


def _fit_hazards(x: F8, bins: I8, seed: int) -> Linear:
    """A logistic model of rows times bins that were reached; the first columns mark the bin."""
    reached = np.minimum(bins, _BINS - 1) + 1
    row = np.repeat(np.arange(len(x)), reached)
    step = np.arange(len(row)) - np.repeat(np.cumsum(reached) - reached, reached)
    came = (step == bins[row]).astype(np.int64)
    return fit_logistic(np.hstack([_marks(step), x[row]]), came, seed)


def _marks(step: I8) -> F8:
    return np.asarray(step[:, None] == np.arange(1, _BINS), np.float64)


def _chances(model: Linear, x: F8) -> F8:
    """The chance of each bin [rows, 12], then of none of them."""
    hazard = np.column_stack(
        [expit(score_rows(model, np.hstack([_marks(np.full(len(x), k)), x]))[:, 0]) for k in range(_BINS)]
    )
    survival = np.cumprod(1 - hazard, axis=1)
    before = np.hstack([np.ones((len(x), 1)), survival[:, :-1]])
    return np.asarray(np.maximum(np.hstack([hazard * before, survival[:, -1:]]), _LEAST_P))
