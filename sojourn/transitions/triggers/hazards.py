"""What sets moves off: hazard ratios of touches, own events, time, activity and dwell, per move.

Per origin state, the hazard of each move is log-linear in what had happened before (competing risks: a move elsewhere
ends the time at risk, Prentice et al. 1978, doi:10.2307/2530374). Moves are set against instants drawn evenly from
the time spent in the state, which makes a logistic regression give hazard ratios (Hanley & Miettinen 2009,
doi:10.2202/1557-4679.1125). Formulae and what may be called a cause: ``docs/explanation/triggers.md``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import norm

from sojourn.frames import DAY_US, Bools
from sojourn.transitions.precursors import Rows, adjust_p_values, class_names, read_timeline
from sojourn.transitions.stays import Floats, codes_of, read_stays
from sojourn.transitions.triggers.fits import Fit, e_value, fit_logit, weigh_by_chance
from sojourn.transitions.triggers.instants import (
    HOUR_US,
    AtRisk,
    Before,
    Columns,
    activity_columns,
    chance_columns,
    draw_at_events,
    draw_at_risk,
    dwell_columns,
    read_past,
    time_columns,
)

TOUCH_WINDOW_S = 2 * 86_400.0
"""How long a touch counts, unless told otherwise. What it does later, up to :data:`CARRY_US`, is a term of its own."""

CARRY_US = 7 * DAY_US

MAX_CUSTOMERS = 10_000
MAX_MOVES = 3_000
N_BASE = 8_000
"""So many customers, moves per pair and base instants per state are looked at; of more, so many at random."""

MIN_MOVES = 20
MIN_CUSTOMERS = 10
MIN_EXPECTED = 5.0
MOVES_PER_TERM = 5.0
"""Nothing is estimated from fewer moves, customers who moved, or moves expected to be exposed if the covariate did
nothing; nor are there more terms than a fifth of the moves."""

TRIGGERS = pa.schema(
    [
        ("from_state", pa.string()),
        ("to_state", pa.string()),
        ("covariate", pa.string()),
        ("kind", pa.string()),  # own, touch, time, feature, dwell
        ("event_class", pa.string()),  # null unless own or touch
        ("window_from_s", pa.float64()),
        ("window_to_s", pa.float64()),
        ("hazard_ratio", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("p", pa.float64()),
        ("q", pa.float64()),
        ("crude_ratio", pa.float64()),
        ("e_value", pa.float64()),
        ("e_value_limit", pa.float64()),
        ("n_moves", pa.int64()),
        ("n_exposed", pa.int64()),
        ("is_adjusted", pa.bool_()),
        ("why_not", pa.string()),
    ]
)


def find_triggers(
    transitions: pa.Table,
    customers: pa.Table,
    history: pa.Table,
    *,
    states: Sequence[str],
    touches: Sequence[str],
    now: datetime,
    rng: np.random.Generator,
    touch_window_s: Mapping[str, float] | None = None,
) -> pa.Table:
    """One row per move and covariate: how many times as likely the move is at any instant when it holds.

    Columns as :data:`TRIGGERS`. ``hazard_ratio`` with its 95 % interval ``low, high`` (robust by customer), ``p``, and
    ``q`` over all rows of the table (Benjamini–Hochberg). ``crude_ratio`` is the ratio before any adjustment.
    ``e_value``, for touches: how strong an unseen common cause must be to explain the ratio away; ``e_value_limit``:
    to pull the interval to 1. ``n_exposed`` of ``n_moves`` had the covariate. ``is_adjusted``: weighted by the chance
    of being touched. Where nothing can be estimated ``why_not`` says so and the numbers are null.

    Moves by silence are no moves here: the clock sets them off. ``history`` needs ``customer_id, event_at,
    event_class, state``. ``touch_window_s`` says for how long each touch counts (default 2 days).

    Raises :class:`ValueError` for a state, customer or window that the tables do not agree on.

    >>> from datetime import UTC
    >>> from sojourn.frames.schemas import HISTORY, TRANSITIONS, customers_schema
    >>> find_triggers(
    ...     TRANSITIONS.empty_table(), customers_schema(["a"], []).empty_table(), HISTORY.empty_table(),
    ...     states=["a"], touches=[], now=datetime(2026, 1, 5, tzinfo=UTC), rng=np.random.default_rng(0)).num_rows
    0
    """
    # threadpoolctl: reads all loaded libraries
    from threadpoolctl import threadpool_limits

    bad = [name for name, span in (touch_window_s or {}).items() if name not in touches or not span > 0]
    if bad:
        raise ValueError(f"touch_window_s: {bad[0]!r} is no touch, or its window is not over 0 s")
    transitions, customers, history = _draw_customers(transitions, customers, history, rng)
    names = class_names(history)
    windows = {name: (touch_window_s or {}).get(name, TOUCH_WINDOW_S) for name in names if name in touches}
    past = read_past(read_timeline(history, customers, states=states), np.isin(names, list(windows)))
    stays = read_stays(transitions, customers, states=states, now=now)
    known = transitions.filter(pc.is_valid(transitions["from_state"]))
    is_by_event = np.zeros(len(stays.state), dtype=bool)
    is_by_event[: known.num_rows] = codes_of(known["cause"], ["event", "silence"]) == 0
    found: list[_Row] = []
    with threadpool_limits(1):  # matrices too small for threads to help; and sums come out the same everywhere
        for state in np.unique(stays.state[stays.is_over]).tolist():
            to = np.unique(stays.to_state[(stays.state == state) & stays.is_over]).tolist()
            risk = draw_at_risk(stays, is_by_event, state, n_base=N_BASE, n_moves=MAX_MOVES, rng=rng)
            found += _touch_rows(past.before(risk), names, windows, (state, to), rng)
            risk = draw_at_events(past, stays, is_by_event, state, n_base=N_BASE, n_moves=MAX_MOVES, rng=rng)
            found += _other_rows(past.before(risk), names, windows, (state, to))
    return _table(found, states)


def _draw_customers(
    transitions: pa.Table, customers: pa.Table, history: pa.Table, rng: np.random.Generator
) -> tuple[pa.Table, pa.Table, pa.Table]:
    """The tables of at most ``MAX_CUSTOMERS`` customers, drawn at random."""
    if customers.num_rows <= MAX_CUSTOMERS:
        return transitions, customers, history
    chosen = customers.take(pa.array(np.sort(rng.choice(customers.num_rows, MAX_CUSTOMERS, replace=False))))
    ids = chosen["customer_id"].combine_chunks()
    kept = [table.filter(pc.is_in(table["customer_id"], value_set=ids)) for table in (transitions, history)]
    return kept[0], chosen, kept[1]


@dataclass
class _Row:
    """One row of the table; ``state`` and ``to`` are positions."""

    state: int
    to: int
    what: _Covariate
    n_moves: int
    n_exposed: int = 0
    crude: float = np.nan
    log_ratio: float = np.nan
    se: float = np.nan
    is_adjusted: bool = False
    why_not: str | None = None


@dataclass(frozen=True)
class _Covariate:
    """A column of the regression and what it means."""

    name: str
    kind: str
    column: Floats = field(repr=False)
    event_class: str | None = None
    window_s: tuple[float, float] | None = None

    @property
    def is_switch(self) -> bool:
        """Whether it holds or does not, rather than being a number."""
        return self.kind in ("own", "touch", "time")


def _touch_rows(
    before: Before,
    names: list[str],
    windows: Mapping[str, float],
    where: tuple[int, list[int]],
    rng: np.random.Generator,
) -> list[_Row]:
    """The rows of all touches, for one origin state and each state it leads to."""
    sent = {name: _touch_covariates(before, names.index(name), name, span) for name, span in windows.items()}
    chances = {name: _weigh(before, names.index(name), parts[0], rng) for name, parts in sent.items()}
    return [_fit_touch(pair, name, sent, chances[name]) for pair in _pairs(before.risk, where) for name in sent]


def _other_rows(
    before: Before, names: list[str], windows: Mapping[str, float], where: tuple[int, list[int]]
) -> list[_Row]:
    """The rows of everything but touches, for one origin state and each state it leads to."""
    own = _own_covariates(before, names, windows)
    touches = [
        part for name, span in windows.items() for part in _touch_covariates(before, names.index(name), name, span)
    ]
    return [row for pair in _pairs(before.risk, where) for row in _fit_own(pair, own, touches)]


def _pairs(risk: AtRisk, where: tuple[int, list[int]]) -> list[_Pair]:
    pairs = []
    for to in where[1]:
        kept = np.flatnonzero((risk.to_state == to) | (risk.to_state < 0))
        pairs.append(_Pair(where[0], to, kept, risk.take(kept), risk.to_state[kept] == to))
    return pairs


@dataclass(frozen=True)
class _Pair:
    """The instants of one move and the base instants of its origin; ``rows`` are their places among all instants."""

    state: int
    to: int
    rows: Rows
    risk: AtRisk
    is_move: Bools

    @property
    def n_moves(self) -> int:
        """Moves looked at."""
        return int(self.is_move.sum())

    def row(self, what: _Covariate) -> _Row:
        """A row with its counts and, where too little stands behind it, why nothing can be estimated."""
        row = _Row(self.state, self.to, what, self.n_moves)
        if self.n_moves == 0:
            row.why_not = "no such move was by an event of the customer's own: silence, the clock alone, set it off"
            return row
        if what.is_switch:
            has = what.column[self.rows] > 0
            row.n_exposed = int((has & self.is_move).sum())
            share = float(has[~self.is_move].mean()) if len(has) > self.n_moves else 0.0
            if 0 < share < 1:
                odds = row.n_exposed / max(self.n_moves - row.n_exposed, 0.5)
                row.crude = odds / (share / (1 - share))
            expected = (self.n_moves * share, self.n_moves * (1 - share))
        else:
            row.n_exposed, expected = self.n_moves, (np.inf, np.inf)
        if self.n_moves < MIN_MOVES:
            row.why_not = f"{self.n_moves} moves by an event, fewer than {MIN_MOVES}"
        elif len(np.unique(self.risk.customer[self.is_move])) < MIN_CUSTOMERS:
            row.why_not = f"fewer than {MIN_CUSTOMERS} customers made the move"
        elif expected[0] < MIN_EXPECTED:
            row.why_not = f"by chance {expected[0]:.1f} of the {self.n_moves} moves would have it, fewer than 5"
        elif expected[1] < MIN_EXPECTED:
            row.why_not = f"by chance {expected[1]:.1f} of the {self.n_moves} moves would be without it, fewer than 5"
        elif what.is_switch and row.n_exposed in (0, self.n_moves):
            row.why_not = "none of the moves had it" if not row.n_exposed else "all of the moves had it"
        return row


def _own_covariates(before: Before, names: list[str], windows: Mapping[str, float]) -> list[_Covariate]:
    """Everything except touches: what customers do, how busy they are, the clock, dwell."""
    found = []
    for code, name in enumerate(names):
        if name in windows:
            continue
        age = before.age_in_stay(code)
        for low, high, words in ((0, HOUR_US, "within 1 h"), (HOUR_US, DAY_US, "1 h to 1 d before")):
            has = ((age > low) & (age <= high)).astype(np.float64)
            found.append(_Covariate(f"{name} {words}", "own", has, name, (low / 1e6, high / 1e6)))
    found += [_Covariate(f"{k}, doubled", "feature", v) for k, v in activity_columns(before).items()]
    found += [_Covariate(k, "time", v) for k, v in time_columns(before.risk).items()]
    found.append(_Covariate("time in the state, doubled", "dwell", np.log2(before.risk.dwell_us / DAY_US)))
    return found


def _touch_covariates(before: Before, code: int, name: str, window_s: float) -> tuple[_Covariate, _Covariate]:
    """Whether the touch came within its window, and whether somewhat longer ago."""
    age, span = before.age_in_stay(code), round(window_s * 1e6)
    late = max(CARRY_US, 2 * span)
    days = f"{window_s / 86_400:g} d" if window_s >= 86_400 else f"{window_s / 3600:g} h"
    return (
        _Covariate(f"{name} within {days}", "touch", (age <= span).astype(np.float64), name, (0.0, window_s)),
        _Covariate(f"{name} earlier", "touch", ((age > span) & (age <= late)).astype(np.float64), name),
    )


@dataclass(frozen=True)
class _Chance:
    """For all instants of a state: the weight of each, and what decided whether the touch was sent."""

    weight: Floats
    columns: Columns


def _weigh(before: Before, code: int, touch: _Covariate, rng: np.random.Generator) -> _Chance | None:
    """Weights by the chance of having been touched, as things stood just before the touch.

    Those who were not touched are read as long ago as a touched one drawn at random: neither group is described by
    what happened after the touch, which may be its effect.
    """
    risk = before.risk
    has, is_base = touch.column > 0, risk.to_state < 0
    if min((has & is_base).sum(), (~has & is_base).sum()) < 2 * MIN_EXPECTED:
        return None
    age = before.age_in_stay(code)
    lag = np.where(has, age, rng.choice(age[has & is_base], len(age)))
    columns = chance_columns(before.past.before(risk.shift(lag)))
    weight = weigh_by_chance(_design(columns, is_base)[0], has, is_base, risk.customer)
    return None if weight is None else _Chance(weight, columns)


def _design(columns: Mapping[str, Floats], is_used: Bools) -> tuple[Any, list[str]]:
    """Constant and columns as a matrix without those that hardly vary; their names."""
    kept: dict[str, Floats] = {}
    for name, column in columns.items():
        seen = column[is_used]
        is_rare = len(np.unique(seen[:200])) <= 2 and np.isin(seen, (0, 1)).all()
        if np.ptp(seen) > 0 and not (is_rare and min(seen.sum(), len(seen) - seen.sum()) < 2 * MIN_EXPECTED):
            kept[name] = column
    n = len(is_used)
    return np.column_stack([np.ones(n), *kept.values()]), ["constant", *kept]


def _fit_touch(
    pair: _Pair, name: str, sent: Mapping[str, tuple[_Covariate, _Covariate]], chance: _Chance | None
) -> _Row:
    """The ratio of one touch, weighted by its chance and regressed on what decided it, other touches, clock, dwell."""
    touch = sent[name][0]
    row = pair.row(touch)
    if row.why_not:
        return row
    if chance is None:
        row.why_not = "the chance of being touched cannot be estimated"
        return row
    others = {part.name: part.column[pair.rows] for parts in sent.values() for part in parts if part is not touch}
    columns = {
        touch.name: touch.column[pair.rows],
        **_usable(others, pair.is_move),
        **dwell_columns(pair.risk, pair.is_move),
        **time_columns(pair.risk),
        **{k: v[pair.rows] for k, v in chance.columns.items() if k != "first stay"},
    }
    weight = chance.weight[pair.rows]
    is_used = weight > 0
    has = columns[touch.name] > 0
    if min((has & pair.is_move & is_used).sum(), (~has & pair.is_move & is_used).sum()) < 1:
        row.why_not = "touched and untouched customers have none alike among those who moved"
        return row
    x, names = _design(_usable(columns, is_used), is_used)
    row.is_adjusted = True
    fit = fit_logit(
        x[is_used], pair.is_move[is_used], weight[is_used], pair.risk.customer[is_used], n_free=2
    )  # the constant and the touch
    return _read(row, fit, names)


def _usable(columns: Mapping[str, Floats], is_move: Bools) -> Columns:
    """Without switches that no move, or hardly any, had: their coefficients would run away."""
    return {
        name: column
        for name, column in columns.items()
        if not np.isin(column, (0, 1)).all() or 3 <= column[is_move].sum() <= is_move.sum() - 3
    }


def _fit_own(pair: _Pair, own: list[_Covariate], touches: list[_Covariate]) -> list[_Row]:
    """One regression of everything that is not a touch, with touches held equal."""
    rows = [pair.row(what) for what in own]
    room = int(pair.n_moves / MOVES_PER_TERM) - 10 - len(touches)
    fixed = [row for row in rows if row.what.kind != "own" and not row.why_not]
    classes = sorted((row for row in rows if row.what.kind == "own" and not row.why_not), key=lambda r: -r.n_exposed)
    for row in classes[max(room, 0) :]:
        row.why_not = f"{pair.n_moves} moves are too few to tell so many covariates apart; rarer ones are left out"
    used = fixed + classes[: max(room, 0)]
    if not used:
        return rows
    held = _usable({what.name: what.column[pair.rows] for what in touches}, pair.is_move)
    spline = {k: v for k, v in dwell_columns(pair.risk, pair.is_move).items() if k != "dwell"}
    columns = {
        **{row.what.name: row.what.column[pair.rows] for row in used},
        **held,
        "first stay": spline["first stay"],
    }
    x, names = _design(columns, np.ones(len(pair.rows), dtype=bool))
    n_free = 1 + sum(row.what.name in names for row in used)
    fit = fit_logit(x, pair.is_move, np.ones(len(x)), pair.risk.customer, n_free=n_free)
    for row in used:
        _read(row, fit, names)
    return rows


def _read(row: _Row, fit: Fit | None, names: list[str]) -> _Row:
    """The row with its ratio out of a fit, or why there is none."""
    if fit is None:
        row.why_not, row.is_adjusted = "the regression has no finite maximum: covariates cannot be told apart", False
    elif row.what.name not in names:
        row.why_not, row.is_adjusted = "it hardly varies", False
    else:
        at = names.index(row.what.name)
        row.log_ratio, row.se = float(fit.beta[at]), float(fit.se[at])
    return row


def _table(found: list[_Row], states: Sequence[str]) -> pa.Table:
    ratio = np.array([row.log_ratio for row in found])
    se = np.array([row.se for row in found])
    p = 2 * norm.sf(np.abs(ratio) / se)
    q = adjust_p_values(p)
    table = []
    for i, row in enumerate(found):
        is_known = bool(np.isfinite(ratio[i]) and np.isfinite(se[i]))
        low, high = np.exp(ratio[i] - 1.959964 * se[i]), np.exp(ratio[i] + 1.959964 * se[i])
        is_touch = is_known and row.what.kind == "touch"
        nearest = 1.0 if low <= 1 <= high else (low if low > 1 else high)
        table.append(
            {
                "from_state": states[row.state],
                "to_state": states[row.to],
                "covariate": row.what.name,
                "kind": row.what.kind,
                "event_class": row.what.event_class,
                "window_from_s": row.what.window_s[0] if row.what.window_s else None,
                "window_to_s": row.what.window_s[1] if row.what.window_s else None,
                "hazard_ratio": float(np.exp(ratio[i])) if is_known else None,
                "low": float(low) if is_known else None,
                "high": float(high) if is_known else None,
                "p": float(p[i]) if is_known else None,
                "q": float(q[i]) if is_known else None,
                "crude_ratio": row.crude if np.isfinite(row.crude) else None,
                "e_value": e_value(float(np.exp(ratio[i]))) if is_touch else None,
                "e_value_limit": e_value(float(nearest)) if is_touch else None,
                "n_moves": row.n_moves,
                "n_exposed": row.n_exposed,
                "is_adjusted": row.is_adjusted and is_known,
                "why_not": row.why_not,
            }
        )
    return pa.Table.from_pylist(table, schema=TRIGGERS)
