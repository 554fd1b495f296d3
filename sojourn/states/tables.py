"""From arrays of inferred states to the tables that people and later stages read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sojourn.frames import F8, HISTORY, I8, INSTANT, NAME, TRANSITIONS, customers_schema
from sojourn.states.channels import ChannelPlan
from sojourn.states.hmm import Model, Sequences
from sojourn.states.hmm import hysteresis as publish
from sojourn.states.published import Chunk
from sojourn.states.reasons import find_runner_up, reasons_column, split_odds
from sojourn.states.rows import Rows


def name_column(index: NDArray[np.signedinteger], names: Sequence[str]) -> pa.DictionaryArray:
    """Names by index as a dictionary column; a negative index is null."""
    codes = pa.array(index.astype(np.int32), mask=index < 0)
    return pa.DictionaryArray.from_arrays(codes, pa.array(list(names), pa.string()))


def instant_column(at: I8, is_null: NDArray[np.bool_] | None = None) -> pa.Array:
    """Microseconds since 1970 as an instant column."""
    return pa.array(at, pa.int64(), mask=is_null).cast(INSTANT)


def number_column(values: F8) -> pa.Array:
    """Numbers with NaN as null."""
    return pa.array(values, mask=np.isnan(values))


def _best(p: F8) -> tuple[I8, F8]:
    """The likeliest state per row and its probability; -1 and NaN where there is none yet."""
    none = np.isnan(p[:, 0])
    best = np.where(none, -1, np.nan_to_num(p, nan=-1.0).argmax(axis=1))
    return best, np.where(none, np.nan, np.nan_to_num(p, nan=-1.0).max(axis=1))


def history_batch(
    chunk: Chunk, rows: Rows, events: pa.Table, customer_ids: pa.Array, states: Sequence[str]
) -> pa.Table:
    """A row per accepted event of the chunk's customers, in order of customer and time."""
    order = rows.order[chunk.lo : chunk.hi]
    customer = np.repeat(np.arange(chunk.first, chunk.last), np.diff(rows.starts[chunk.first : chunk.last + 1]))
    taken = events.select(["event_id", "event_class"]).take(pa.array(order))
    smoothed, smoothed_p = _best(chunk.smoothed)
    filtered, filtered_p = _best(chunk.filtered)
    columns = [
        customer_ids.take(pa.array(customer)),
        taken["event_id"],
        instant_column(rows.at[chunk.lo : chunk.hi]),
        taken["event_class"].cast(NAME),
        name_column(smoothed, states),
        number_column(smoothed_p),
        name_column(filtered, states),
        number_column(filtered_p),
        name_column(chunk.published.astype(np.int64), states),
    ]
    return pa.table(columns, schema=HISTORY)


def transitions_table(
    chunk: Chunk, rows: Rows, events: pa.Table, customer_ids: pa.Array, states: Sequence[str]
) -> pa.Table:
    """Every published switch of the chunk's customers, with what caused it."""
    moves = chunk.moves
    row = moves[:, publish.MOVE_ROW]
    is_silent = row < 0
    source = pa.array(rows.order[chunk.lo + np.maximum(row, 0)] if len(row) else row, mask=is_silent)
    taken = events.select(["event_id", "event_class"]).take(source)
    columns = [
        customer_ids.take(pa.array(chunk.first + moves[:, publish.MOVE_CUSTOMER])),
        instant_column(moves[:, publish.MOVE_AT]),
        name_column(moves[:, publish.MOVE_FROM], states),
        name_column(moves[:, publish.MOVE_TO], states),
        name_column(is_silent.astype(np.int64), ["event", "silence"]),
        taken["event_id"],
        taken["event_class"].cast(NAME),
        pa.array((moves[:, publish.MOVE_AT] - moves[:, publish.MOVE_SINCE]) / 1e6),
    ]
    return pa.table(columns, schema=TRANSITIONS)


def customers_table(
    chunk: Chunk, rows: Rows, model: Model, customer_ids: pa.Array, feature_names: Sequence[str], features: F8
) -> pa.Table:
    """One row per customer of the chunk as of now; nulls where a customer has done nothing themselves."""
    facts = chunk.facts
    has_own = facts[:, publish.N_OWN] > 0
    none = ~has_own
    state = np.where(has_own, facts[:, publish.STATE], -1)
    runner_up = np.where(has_own, find_runner_up(chunk.at_now, np.maximum(state, 0)), -1)
    state_p = np.where(has_own, chunk.at_now[np.arange(len(state)), np.maximum(state, 0)], np.nan)
    columns = [
        customer_ids.slice(chunk.first, chunk.last - chunk.first),
        instant_column(facts[:, publish.FIRST_OWN], none),
        instant_column(facts[:, publish.LAST_OWN], none),
        pa.array(np.diff(rows.starts[chunk.first : chunk.last + 1])),
        name_column(state, model.states),
        instant_column(facts[:, publish.STATE_SINCE], none),
        number_column(state_p),
        name_column(runner_up, model.states),
        *(number_column(np.where(has_own, p, np.nan)) for p in chunk.at_now.T),
        _reasons(chunk, rows, model, has_own, state, runner_up),
        *(number_column(f) for f in features.T),
    ]
    return pa.table(columns, schema=customers_schema(model.states, feature_names))


def _reasons(chunk: Chunk, rows: Rows, model: Model, has_own: NDArray[np.bool_], state: I8, runner_up: I8) -> pa.Array:
    """The reasons of each customer with an own event; null for the others."""
    who = np.flatnonzero(has_own)
    last_code = rows.data.code[rows.data.starts[chunk.first + who + 1] - 1]
    parts = split_odds(
        model, rows.data.combos, chunk.carried[who], chunk.facts[who], last_code, state[who], runner_up[who]
    )
    place = np.full(len(has_own), -1)
    place[who] = np.arange(len(who))
    return reasons_column(model, parts).take(pa.array(place, mask=place < 0))


def fingerprints_table(model: Model, plan: ChannelPlan, data: Sequences, features: F8 | None, mass: F8) -> pa.Table:
    """What marks each state: its events, features, indicators and silences beside those of everybody.

    ``mass`` [n, S] are smoothed posteriors of the own events of ``data``, ``features`` [n, F] the raw
    fingerprint values there. ``lift`` is value / overall, for features (value - overall) / standard deviation.
    """
    out: dict[str, list[object]] = {k: [] for k in ("state", "kind", "what", "value", "overall", "lift")}

    def add(state: int, kind: str, what: str, value: float, overall: float, lift: float) -> None:
        for key, v in zip(out, (model.states[state], kind, what, value, overall, lift), strict=True):
            out[key].append(v)

    weight = np.maximum(mass.sum(axis=0), 1e-12)
    for c, (channel, kind) in enumerate(zip(model.channels, plan.kinds, strict=True)):
        if kind not in ("event class", "indicator"):
            continue
        seen = data.combos[:, c][data.code]
        for o, symbol in enumerate(channel.symbols):
            if kind == "indicator" and symbol == "no":
                continue
            hit = seen == o
            overall = float(hit.mean())
            share = mass[hit].sum(axis=0) / weight
            what = symbol if kind == "event class" else channel.name.split(": ", 1)[1]
            for s in range(len(model.states)):
                add(s, kind, what, float(share[s]), overall, float(share[s] / overall) if overall else 1.0)
    names = [n for n, kind in zip(plan.names, plan.kinds, strict=True) if kind == "feature"]
    for f, name in enumerate(names if features is not None else ()):
        assert features is not None
        known = ~np.isnan(features[:, f])
        x, m = features[known, f], mass[known]
        overall, spread = (float(x.mean()), float(x.std())) if len(x) else (float("nan"), 0.0)
        for s in range(len(model.states)):
            total = m[:, s].sum()
            value = float((m[:, s] * x).sum() / total) if total > 0 else float("nan")
            add(s, "feature", name, value, overall, (value - overall) / spread if spread > 0 else 0.0)
    for s, (value, overall) in enumerate(_median_silences(model, weight)):
        add(s, "silence", "typical silence after an event", value, overall, value / overall if overall else 1.0)
    return pa.table(
        {k: pa.array(v, pa.string() if k in ("state", "kind", "what") else pa.float64()) for k, v in out.items()}
    )


def _median_silences(model: Model, weight: F8) -> list[tuple[float, float]]:
    """Median silence of each state and of all, in seconds, from the hazards, even inside each bin."""
    edges = np.concatenate([[0.0], model.boundaries_s])

    def median(survival: F8) -> float:
        for b in range(len(edges) - 1):
            if survival[b + 1] <= 0.5:
                share = (survival[b] - 0.5) / max(survival[b] - survival[b + 1], 1e-12)
                return float(edges[b] + share * (edges[b + 1] - edges[b]))
        return float(edges[-1])

    ended = np.concatenate([np.ones((len(model.states), 1)), np.cumprod(1 - model.hazards, axis=1)], axis=1)
    overall = median((ended * (weight / weight.sum())[:, None]).sum(axis=0))
    return [(median(survival), overall) for survival in ended]


def last_seen_table(chunk: Chunk, rows: Rows, model: Model, customer_ids: pa.Array) -> pa.Table:
    """What :func:`sojourn.explain` needs to ask "what if": the last own event, the belief after it, ticks since.

    ``symbols`` are the numbers of the symbols in the order of the channels of ``model.json`` (255: missing),
    ``posterior`` the filtered one right after that event, in the order of its states.
    """
    who = np.flatnonzero(chunk.facts[:, publish.N_OWN] > 0)
    last_code = rows.data.code[rows.data.starts[chunk.first + who + 1] - 1]
    learned = [c for c, channel in enumerate(model.channels) if channel.is_learned]
    symbols = rows.data.combos[last_code][:, learned]
    posterior = chunk.filtered[chunk.facts[who, publish.LAST_ROW]]
    return pa.table(
        {
            "customer_id": customer_ids.take(pa.array(chunk.first + who)),
            "n_ticks": pa.array(chunk.facts[who, publish.TICKS_NOW]),
            "symbols": pa.FixedSizeListArray.from_arrays(pa.array(symbols.ravel()), len(learned)),
            "posterior": pa.FixedSizeListArray.from_arrays(pa.array(posterior.ravel()), len(model.states)),
        }
    )
