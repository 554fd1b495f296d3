"""Instants at which customers could have moved, and what had happened to them by then.

Part of :mod:`sojourn.transitions.triggers.hazards`. Moves are compared with *base* instants. For touches these are
drawn evenly from all
the time that customers spent in the state: case-base sampling, Hanley & Miettinen 2009 (doi:10.2202/1557-4679.1125).
For the rest they are customers' own events that moved nobody: a published state moves at such events only, so that
against evenly drawn time whatever belongs to a visit would look like a cause.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sojourn.frames import DAY_US, Bools
from sojourn.transitions.precursors import Rows, Timeline
from sojourn.transitions.stays import Codes, Floats, Instants, Stays

HOUR_US = 3_600_000_000
LONG_US = 90 * DAY_US
"""Silence and other times since something are counted up to 90 days; never is as long."""

SILENCES_US = tuple(int(days * DAY_US) for days in (0.25, 1, 3, 7, 14, 28, 56))
"""Silence is cut here where it says who gets touched: campaigns wait for so many days without a visit."""

Columns = dict[str, Floats]


@dataclass(frozen=True)
class AtRisk:
    """Instants of customers in one state, as parallel arrays; ``to_state`` -1: a base instant, no move."""

    customer: Codes
    at_us: Instants
    start_us: Instants  # when the stay began
    is_first: Bools  # the customer's first stay, which may have begun before anything was seen
    to_state: Codes

    def take(self, rows: Rows | Bools) -> AtRisk:
        """The instants at ``rows``."""
        return AtRisk(*(getattr(self, f.name)[rows] for f in fields(self)))

    def shift(self, back_us: Instants) -> AtRisk:
        """So much earlier, but not before the stay began."""
        return replace(self, at_us=np.maximum(self.at_us - back_us, self.start_us))

    @property
    def dwell_us(self) -> Instants:
        """Time in the state so far, at least a minute."""
        return np.asarray(np.maximum(self.at_us - self.start_us, 60_000_000))


def draw_at_risk(
    stays: Stays, is_by_event: Bools, state: int, *, n_base: int, n_moves: int, rng: np.random.Generator
) -> AtRisk:
    """The moves out of ``state`` by an event (at most ``n_moves`` to each state), and ``n_base`` base instants.

    Moves by silence end a stay, but are none of the moves: the clock alone sets them off.
    """
    here = np.flatnonzero((stays.state == state) & (stays.end_us > stays.start_us))
    moved = _pick_moves(stays, here[stays.is_over[here] & is_by_event[here]], n_moves, rng)
    length = stays.end_us[here] - stays.start_us[here]
    ends = np.cumsum(length)
    drawn = np.sort(rng.integers(0, ends[-1], n_base)) if len(here) else np.zeros(0, dtype=np.int64)
    place = np.searchsorted(ends, drawn, side="right")
    base = here[place]
    return _collect(stays, moved, base, stays.end_us[base] - (ends[place] - drawn))


def _pick_moves(stays: Stays, moved: Rows, n_moves: int, rng: np.random.Generator) -> Rows:
    """At most ``n_moves`` of the stays ``moved`` for each state they led to."""
    kept = [np.zeros(0, dtype=np.int64)]
    for to in np.unique(stays.to_state[moved]).tolist():
        pair = moved[stays.to_state[moved] == to]
        kept.append(pair if len(pair) <= n_moves else np.sort(rng.choice(pair, n_moves, replace=False)))
    return np.concatenate(kept)


def _collect(stays: Stays, moved: Rows, base: Rows, base_us: npt.NDArray[Any]) -> AtRisk:
    """The ends of the stays ``moved`` and the instants ``base_us`` in the stays ``base``, by customer and time."""
    first = np.full(max(stays.n_customers, 1), np.iinfo(np.int64).max)
    np.minimum.at(first, stays.customer, stays.start_us)
    row = np.concatenate([moved, base])
    start = stays.start_us[row]
    risk = AtRisk(
        customer=stays.customer[row],
        at_us=np.concatenate([stays.end_us[moved], base_us]),
        start_us=start,
        is_first=start == first[stays.customer[row]],
        to_state=np.concatenate([stays.to_state[moved], np.full(len(base), -1)]).astype(np.int32),
    )
    return risk.take(np.lexsort((risk.at_us, risk.customer)))  # sorted look-ups stay in the cache


@dataclass(frozen=True)
class Past:
    """The timeline, with the places of each event class and of all that customers did themselves."""

    line: Timeline
    of_class: tuple[Rows, ...]
    own: Rows

    def before(self, risk: AtRisk) -> Before:
        """What came before each of the instants."""
        return Before(self, risk, self.line.key_at(risk.customer, risk.at_us))


@dataclass(frozen=True)
class Before:
    """The past of some instants: all that came strictly before each; ``key`` is their place in the timeline."""

    past: Past
    risk: AtRisk
    key: Instants

    def last_age(self, places: Rows) -> Instants:
        """Time since the last event among ``places``; ``LONG_US`` where none."""
        line, risk = self.past.line, self.risk
        found = np.searchsorted(line.key[places], self.key, side="left") - 1
        age = np.full(len(self.key), LONG_US)
        has = np.flatnonzero(found >= 0)
        place = places[found[has]]
        is_own = line.customer[place] == risk.customer[has]
        age[has[is_own]] = risk.at_us[has[is_own]] - line.at_us[place[is_own]]
        return np.asarray(np.minimum(age, LONG_US))

    def count_own(self, since_us: Instants) -> Floats:
        """How many things customers did themselves since ``since_us``."""
        line = self.past.line
        key = line.key[self.past.own]
        until = np.searchsorted(key, self.key, side="left")
        since = np.searchsorted(key, line.key_at(self.risk.customer, since_us), side="left")
        return np.asarray(np.maximum(until - since, 0), dtype=np.float64)

    def age_in_stay(self, code: int) -> Instants:
        """Time since the last event of a class after the stay began; ``LONG_US`` where none.

        What came before, or began the stay, belongs to how the customer got here.
        """
        age = self.last_age(self.past.of_class[code])
        return np.where(age < self.risk.at_us - self.risk.start_us, age, LONG_US)


def read_past(line: Timeline, is_touch: Bools) -> Past:
    """The timeline, ready to be asked; ``is_touch`` is by event class."""
    of_class = tuple(np.flatnonzero(line.event_class == code) for code in range(len(is_touch)))
    return Past(line, of_class, np.flatnonzero(~is_touch[line.event_class]))


def draw_at_events(
    past: Past, stays: Stays, is_by_event: Bools, state: int, *, n_base: int, n_moves: int, rng: np.random.Generator
) -> AtRisk:
    """As :func:`draw_at_risk`, but base instants are own events in ``state`` that ended no stay.

    Moves that no own event of the customer shares its instant with are left out.
    """
    line = past.line
    key, own_us, owner = line.key[past.own], line.at_us[past.own], line.customer[past.own]
    here = np.flatnonzero((stays.state == state) & (stays.end_us > stays.start_us))
    # An instant between events has the key of the next one, so that equal keys need not be equal instants.
    start_key, end_key = (line.key_at(stays.customer[here], at[here]) for at in (stays.start_us, stays.end_us))
    at_end = np.searchsorted(key, end_key, side="left")
    has_event = np.zeros(len(here), dtype=bool)
    found = np.flatnonzero(at_end < len(key))
    last = at_end[found]
    has_event[found] = (owner[last] == stays.customer[here[found]]) & (own_us[last] == stays.end_us[here[found]])
    moved = _pick_moves(stays, here[has_event & stays.is_over[here] & is_by_event[here]], n_moves, rng)
    order = np.argsort(start_key, kind="stable")
    place = np.searchsorted(start_key[order], key, side="right") - 1  # the last stay begun by then
    row = here[order[np.maximum(place, 0)]] if len(here) else np.zeros(len(key), dtype=np.int64)
    inside = np.flatnonzero(
        (place >= 0) & (stays.customer[row] == owner) & (own_us > stays.start_us[row]) & (own_us < stays.end_us[row])
    )
    if len(inside) > n_base:
        inside = np.sort(rng.choice(inside, n_base, replace=False))
    return _collect(stays, moved, row[inside], own_us[inside])


def dwell_columns(risk: AtRisk, is_move: Bools) -> Columns:
    """The baseline: log dwell so far as a restricted cubic spline, and whether it is the first stay.

    Four knots at the 5, 35, 65 and 95 % points of the moves (Harrell 2015, doi:10.1007/978-3-319-19425-7).
    """
    x = np.log2(risk.dwell_us / DAY_US)
    columns = {"dwell": x, "first stay": risk.is_first.astype(np.float64)}
    knots = np.unique(np.quantile(x[is_move], (0.05, 0.35, 0.65, 0.95)))
    if len(knots) < 3:
        return columns
    last, before = knots[-1], knots[-2]
    scale = (last - knots[0]) ** 2

    def cube(knot: float) -> Floats:
        return np.asarray(np.maximum(x - knot, 0.0) ** 3)

    for i, knot in enumerate(knots[:-2]):
        tail = (last - knot) / (last - before) * cube(before) - (before - knot) / (last - before) * cube(last)
        columns[f"dwell {i + 1}"] = (cube(knot) - tail) / scale
    return columns


def time_columns(risk: AtRisk) -> Columns:
    """Part of the day and of the week, UTC; beside mornings from Monday to Friday."""
    hour = risk.at_us % DAY_US // HOUR_US
    weekday = (risk.at_us // DAY_US + 3) % 7
    return {
        "night (0-6 h)": (hour < 6).astype(np.float64),
        "afternoon (12-18 h)": ((hour >= 12) & (hour < 18)).astype(np.float64),
        "evening (18-24 h)": (hour >= 18).astype(np.float64),
        "weekend": (weekday >= 5).astype(np.float64),
    }


def activity_columns(before: Before) -> Columns:
    """How busy the customer has been with things of their own, up to each instant, in doublings."""
    counts = {
        f"own events in {name}": np.log2(1 + before.count_own(before.risk.at_us - span))
        for name, span in (("1 h", HOUR_US), ("1 d", DAY_US), ("7 d", 7 * DAY_US))
    }
    silence = np.maximum(before.last_age(before.past.own), 60_000_000)
    return {**counts, "silence": np.log2(silence / HOUR_US)}


def chance_columns(before: Before) -> Columns:
    """What decides who gets touched: silence in steps, how busy, the rhythm of the stay, dwell."""
    risk, silence = before.risk, before.last_age(before.past.own)
    rhythm = (1 + before.count_own(risk.start_us)) / (1 + risk.dwell_us / DAY_US)
    return {
        **{f"silence over {cut // HOUR_US} h": (silence >= cut).astype(np.float64) for cut in SILENCES_US},
        **{k: v for k, v in activity_columns(before).items() if k != "silence"},
        "rhythm": np.log2(rhythm),
        "dwell then": np.log2(risk.dwell_us / DAY_US),
        "first stay": risk.is_first.astype(np.float64),
    }
