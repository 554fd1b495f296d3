"""What happens to simulated customers: stays in states, visits, touches, and the moves that touches set off.

All customers of a block go through their stays together: round r handles everybody's r-th stay.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.frames import Bools
from sojourn.simulation import world
from sojourn.simulation.people import Clock, Ints, People, cumulate, gap_of, pick
from sojourn.simulation.world import AD, DAY, EMAIL, FADING, HOUR, LOST, PUSH, VOUCHER, Effect, Floats


@dataclass(frozen=True)
class Stays:
    """Stays of customers in states, in rounds; row numbers serve as names. Seconds after the start of the window."""

    who: Ints
    state: Ints
    entered_s: Floats  # may lie before the window for customers who were there already
    left_s: Floats
    intent: Floats
    is_lost: Bools  # the silent rest of a lost customer


@dataclass(frozen=True)
class Visits:
    """Visits in time order: whose, in which stay, when (seconds since the start)."""

    who: Ints
    stay: Ints
    at_s: Floats


@dataclass(frozen=True)
class Touches:
    """What was sent: to whom, what kind, when (seconds since the start), and what it did."""

    who: Ints
    kind: Ints
    at_s: Floats
    state: Ints
    is_lost: Bools
    replies_s: Floats  # (n, 2) instants of unsubscribing (inf: not), and of opening (inf: not)


@dataclass(frozen=True)
class Lives:
    """The lives of a block of customers: stays in states, visits, touches."""

    stays: Stays
    visits: Visits
    touches: Touches
    marketing_s: Floats  # (n, 2) the consent, ended by unsubscribing


@dataclass
class _Now:
    """Where everybody still in the window stands between two rounds."""

    who: Ints
    state: Ints  # LOST for the lost
    entered_s: Floats
    intent: Floats
    dwell_s: Floats
    last_visit_s: Floats
    touches: tuple[Ints, Ints, Floats] = field(  # already on their way: who, kind, at
        default_factory=lambda: (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    )


def spread(counts: Ints) -> tuple[Ints, Ints]:
    """Owner and place within the owner, for ``counts[i]`` things of each owner i.

    >>> [part.tolist() for part in spread(np.array([2, 0, 1]))]
    [[0, 0, 2], [0, 1, 0]]
    """
    counts = np.asarray(counts, dtype=np.int64)
    owner = np.repeat(np.arange(len(counts)), counts)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)


def hazard_sum(at_s: Floats, log_median: Floats, sd: Floats) -> Floats:
    """Cumulative hazard of a log-normal dwell after ``at_s`` seconds.

    >>> hazard_sum(np.array([100.0]), np.log([100.0]), np.array([1.0])).round(6).tolist()
    [0.693147]
    """
    from scipy.special import log_ndtr  # SciPy: only a simulation needs it

    return np.asarray(-log_ndtr(-(np.log(np.maximum(at_s, 1e-9)) - log_median) / sd))


def invert_hazard(total: Floats, log_median: Floats, sd: Floats) -> Floats:
    """The age in seconds at which the cumulative hazard reaches ``total``; the inverse of ``hazard_sum``."""
    from scipy.special import ndtri_exp  # SciPy: only a simulation needs it

    return np.asarray(np.exp(log_median - sd * ndtri_exp(-total)))


def draw_lives(
    rng: np.random.Generator, people: People, clock: Clock, horizon_s: float, effects: tuple[Effect, ...]
) -> Lives:
    """Stays, visits and touches of ``people`` from their arrival to ``horizon_s``."""
    now = _first_stays(rng, people)
    marketing = people.marketing_s.copy()
    rounds: list[tuple[Stays, Visits, Touches]] = []
    n_stays = 0
    while len(now.who):
        result, now = _round(rng, people, clock, horizon_s, effects, now, marketing, n_stays)
        rounds.append(result)
        n_stays += len(result[0].who)
    return Lives(
        Stays(*_join([r[0] for r in rounds])),
        Visits(*_join([r[1] for r in rounds])),
        Touches(*_join([r[2] for r in rounds])),
        marketing,
    )


def _join(parts: list[Stays] | list[Visits] | list[Touches]) -> list[NDArray[Any]]:
    return [np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])]


def conditional_dwell(people: People, who: Ints, state: Ints, intent: Floats) -> tuple[Floats, Floats]:
    """Log-median (of seconds) and log-sd of the dwell of given customers in given states, at a given intent."""
    sd = world.DWELL_SD[state]
    median = np.log(world.DWELL_DAYS[state] * DAY * people.dwell_factor[who, state])
    rest = np.sqrt(1 - world.INTENT_IN_DWELL**2)
    return median - sd * world.INTENT_IN_DWELL * intent, sd * rest


def destination_p(people: People, who: Ints, state: Ints) -> Floats:
    """Own probabilities of the next state, shape (n, 6); the last is being lost."""
    odds = world.NEXT[state].copy()
    odds[:, FADING:] *= np.exp(-people.loyalty[who])[:, None]
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def _first_stays(rng: np.random.Generator, people: People) -> _Now:
    n = len(people)
    who = np.arange(n)
    state = people.first_state
    sd = world.DWELL_SD[state]
    # A stay that a given instant falls into is length-biased, which for a log-normal is a shift of both its parts.
    shift = np.where(people.is_new, 0.0, sd)
    intent = rng.normal(size=n) - world.INTENT_IN_DWELL * shift
    rest = np.sqrt(1 - world.INTENT_IN_DWELL**2)
    median, own_sd = conditional_dwell(people, who, state, intent)
    dwell = np.exp(median + own_sd * (rng.normal(size=n) + rest * shift))
    age = np.where(people.is_new, 0.0, rng.random(n) * dwell)
    gap = gap_of(people, who, state, intent) * np.exp(world.GAP_SD[state] * rng.normal(size=n))
    last = np.where(people.is_new, people.arrived_s, -rng.random(n) * gap)
    return _Now(who, state, people.arrived_s - age, intent, dwell, last)


def _round(
    rng: np.random.Generator,
    people: People,
    clock: Clock,
    horizon_s: float,
    effects: tuple[Effect, ...],
    now: _Now,
    marketing: Floats,
    first_row: int,
) -> tuple[tuple[Stays, Visits, Touches], _Now]:
    """One stay of everybody, and where they stand after it. ``marketing`` is cut short by those who unsubscribe."""
    is_lost = now.state == LOST
    state = np.where(is_lost, FADING, now.state)
    from_s = np.maximum(now.entered_s, people.arrived_s[now.who])
    end = np.where(is_lost, np.inf, now.entered_s + now.dwell_s)
    to = pick(rng, cumulate(destination_p(people, now.who, state)), np.arange(len(state)), len(state))

    planned_s = np.minimum(end, horizon_s)
    row, at = _draw_visits(rng, people, clock, now, state, from_s, np.where(is_lost, from_s, planned_s))
    plan = _draw_touches(rng, people, now, row, at, from_s, planned_s, horizon_s)
    t_row, kind, t_at, later = _due(now, plan, planned_s)
    t_row, kind, t_at, unsubscribe = _heed_consent(rng, now.who, state, is_lost, t_row, kind, t_at, marketing)
    early, early_to = _moved_by_touches(rng, people, now, state, is_lost, t_row, kind, t_at, planned_s, effects)
    is_early = early < planned_s
    left = np.where(is_early, early, planned_s)
    to = np.where(is_early, early_to, to)

    seen = at < left[row]
    row, at = row[seen], at[seen]
    is_due = t_at < left[t_row]
    unsubscribe = np.where(unsubscribe < left[t_row], unsubscribe, np.inf)[is_due]
    stays = Stays(now.who, state, now.entered_s, left, now.intent, is_lost)
    visits = Visits(now.who[row], row + first_row, at)
    touches = Touches(
        now.who[t_row[is_due]],
        kind[is_due],
        t_at[is_due],
        state[t_row[is_due]],
        is_lost[t_row[is_due]],
        _draw_replies(
            rng,
            people,
            now.who[t_row[is_due]],
            state[t_row[is_due]],
            kind[is_due],
            t_at[is_due],
            is_lost[t_row[is_due]],
            unsubscribe,
        ),
    )
    np.minimum.at(marketing[:, 1], touches.who, unsubscribe)

    last = now.last_visit_s.copy()
    np.maximum.at(last, row, at)
    goes_on = (left < horizon_s) & ~is_lost
    following = _next_stays(rng, people, now.who[goes_on], to[goes_on], left[goes_on], last[goes_on])
    # A touch that a visit of this stay set off may reach the customer in the next one.
    row, kind, t_at, cause = later
    kept = (t_at >= left[row]) & (cause < left[row]) & goes_on[row]
    following.touches = (now.who[row[kept]], kind[kept], t_at[kept])
    return (stays, visits, touches), following


def _next_stays(
    rng: np.random.Generator, people: People, who: Ints, state: Ints, entered: Floats, last: Floats
) -> _Now:
    n = len(who)
    intent = rng.normal(size=n)
    known = np.minimum(state, FADING)
    median, sd = conditional_dwell(people, who, known, intent)
    return _Now(who, state, entered, intent, np.exp(median + sd * rng.normal(size=n)), last)


def _draw_visits(
    rng: np.random.Generator,
    people: People,
    clock: Clock,
    now: _Now,
    state: Ints,
    from_s: Floats,
    until_s: Floats,
) -> tuple[Ints, Floats]:
    """Visits as (row of the stay, instant), by row and time: log-normal gaps in own time."""
    profile = people.rhythm[now.who]
    at, until = clock.own(from_s, profile), clock.own(until_s, profile)
    median = gap_of(people, now.who, state, now.intent)
    sd = world.GAP_SD[state]
    # A new customer's first visit is the arrival; anybody else is somewhere between two visits.
    is_arrival = people.is_new[now.who] & (from_s == people.arrived_s[now.who])
    at = at + np.where(is_arrival, 0.0, rng.random(len(at)) * median * np.exp(sd * rng.normal(size=len(at))))
    rows, times = [np.flatnonzero(at < until)], [at[at < until]]
    alive = rows[0]
    while len(alive):
        mean = median[alive] * np.exp(sd[alive] ** 2 / 2)
        counts = np.ceil((until[alive] - at[alive]) / mean * 1.3).astype(np.int64) + 2
        owner, _ = spread(counts)
        gaps = median[alive][owner] * np.exp(sd[alive][owner] * rng.normal(size=len(owner)))
        total = np.cumsum(gaps)
        ends = np.cumsum(counts)
        before = np.where(ends > counts, total[ends - counts - 1], 0.0)
        reached = at[alive][owner] + total - before[owner]
        inside = reached < until[alive][owner]
        rows.append(alive[owner[inside]])
        times.append(reached[inside])
        at[alive] = reached[ends - 1]
        alive = alive[at[alive] < until[alive]]
    row, own = np.concatenate(rows), np.concatenate(times)
    order = np.lexsort((own, row))
    row, own = row[order], own[order]
    # The map to clock time rounds: keep what it moves by a hair inside the stay.
    return row, np.clip(clock.clock(own, profile[row]), from_s[row], until_s[row])


def _draw_touches(
    rng: np.random.Generator,
    people: People,
    now: _Now,
    visit_row: Ints,
    visit_at: Floats,
    from_s: Floats,
    until_s: Floats,
    horizon_s: float,
) -> tuple[Ints, Ints, Floats, Floats]:
    """What the campaigns plan: (row, kind, instant, instant of the visit that sets it off or inf)."""
    week = 7 * DAY
    send_s = 1.4 * DAY  # the weekly newsletter
    first: Floats = np.ceil((from_s - send_s) / week)
    row, place = spread(np.maximum(np.ceil((until_s - send_s) / week) - first, 0).astype(np.int64))
    at: Floats = np.asarray((first[row] + place) * week + send_s, np.float64)
    chosen = rng.random(len(row)) < world.NEWSLETTER_P
    parts = [_planned(row[chosen], EMAIL, at[chosen], np.inf)]

    chosen = rng.random(len(visit_row)) < world.REMINDER_P
    wait = 4 * HOUR * np.exp(0.5 * rng.normal(size=int(chosen.sum())))
    parts.append(_planned(visit_row[chosen], EMAIL, visit_at[chosen] + wait, visit_at[chosen]))
    chosen = rng.random(len(visit_row)) < world.RETARGET_P
    wait = 8 * HOUR * np.exp(1.0 * rng.normal(size=int(chosen.sum())))
    parts.append(_planned(visit_row[chosen], AD, visit_at[chosen] + wait, visit_at[chosen]))

    # Win-back: after so many days without a visit.
    n = len(from_s)
    rows = np.concatenate([np.arange(n), visit_row])
    since = np.concatenate([now.last_visit_s, visit_at])
    order = np.lexsort((since, rows))
    rows, since = rows[order], since[order]
    is_last = np.append(rows[1:] != rows[:-1], True)
    until = np.where(is_last, until_s[rows], np.append(since[1:], 0.0))
    for kind, days, share in ((PUSH, 10, 0.7), (VOUCHER, 21, 0.6), (PUSH, 30, 0.6), (VOUCHER, 60, 0.5)):
        at = since + days * DAY
        chosen = (at >= from_s[rows]) & (at < until) & (rng.random(len(rows)) < share)
        if kind == PUSH:
            chosen &= people.has_app[now.who[rows]]
        parts.append(_planned(rows[chosen], kind, at[chosen], np.inf))
    rows, kinds, ats, causes = (np.concatenate(column) for column in zip(*parts, strict=True))
    soon = ats < horizon_s
    return rows[soon], kinds[soon], ats[soon], causes[soon]


def _planned(row: Ints, kind: int, at: Floats, cause: Floats | float) -> tuple[Ints, Ints, Floats, Floats]:
    return row, np.full(len(row), kind), at, np.broadcast_to(np.asarray(cause, dtype=np.float64), at.shape)


def _due(
    now: _Now, planned: tuple[Ints, Ints, Floats, Floats], until_s: Floats
) -> tuple[Ints, Ints, Floats, tuple[Ints, Ints, Floats, Floats]]:
    """Touches of this stay by (row, time), and all touches with a cause, from which the next stay takes its own."""
    place = np.full(int(now.who.max()) + 1, -1)
    place[now.who] = np.arange(len(now.who))
    who, kinds, at = now.touches
    row = np.concatenate([planned[0], place[who]])
    kind = np.concatenate([planned[1], kinds])
    at = np.concatenate([planned[2], at])
    cause = np.concatenate([planned[3], np.full(len(who), -np.inf)])  # on their way already
    order = np.lexsort((kind, at, row))
    row, kind, at, cause = row[order], kind[order], at[order], cause[order]
    inside = at < until_s[row]
    return row[inside], kind[inside], at[inside], (row, kind, at, cause)


def _heed_consent(
    rng: np.random.Generator,
    who: Ints,
    state: Ints,
    is_lost: Bools,
    row: Ints,
    kind: Ints,
    at: Floats,
    marketing: Floats,
) -> tuple[Ints, Ints, Floats, Floats]:
    """The touches that consent allows, and for each when the customer unsubscribes because of it (inf: not)."""
    allowed = (at >= marketing[who[row], 0]) & (at < marketing[who[row], 1])
    row, kind, at = row[allowed], kind[allowed], at[allowed]
    hit = (kind == EMAIL) & ~is_lost[row] & (rng.random(len(row)) < world.UNSUBSCRIBE_P[state[row]])
    leaves = np.where(hit, at + HOUR * np.exp(rng.normal(size=len(row))), np.inf)
    first = np.full(len(who), np.inf)
    np.minimum.at(first, row, leaves)
    kept = at < first[row]
    only_first = np.where(leaves == first[row], leaves, np.inf)
    return row[kept], kind[kept], at[kept], only_first[kept]


def _moved_by_touches(
    rng: np.random.Generator,
    people: People,
    now: _Now,
    state: Ints,
    is_lost: Bools,
    row: Ints,
    kind: Ints,
    at: Floats,
    until_s: Floats,
    effects: tuple[Effect, ...],
) -> tuple[Floats, Ints]:
    """When touches move each customer before their time (inf: never), and to which state.

    A multiplier m on a hazard h is the hazard h plus an independent one of (m − 1)·h: the earlier event wins.
    """
    first = np.full(len(now.who), np.inf)
    to = np.zeros(len(now.who), dtype=np.int64)
    for effect in effects:
        origin, target = world.STATES.index(effect.from_state), world.STATES.index(effect.to_state)
        mine = (kind == world.TOUCHES.index(effect.touch)) & (state[row] == origin) & ~is_lost[row]
        if effect.multiplier == 1.0 or not mine.any():
            continue
        r, sent = row[mine], at[mine]
        renewed = np.where(np.append(r[1:] == r[:-1], False), np.append(sent[1:], np.inf), np.inf)
        until = np.minimum(np.minimum(sent + effect.window_s, renewed), until_s[r])
        median, sd = conditional_dwell(people, now.who[r], state[r], now.intent[r])
        share = (effect.multiplier - 1) * destination_p(people, now.who[r], state[r])[:, target]
        base = hazard_sum(sent - now.entered_s[r], median, sd)
        room = hazard_sum(until - now.entered_s[r], median, sd) - base
        drawn = rng.exponential(size=len(r)) / np.maximum(share, 1e-12)
        moved_at = now.entered_s[r] + invert_hazard(base + np.minimum(drawn, room), median, sd)
        hit = np.flatnonzero(drawn < room)
        hit = hit[np.lexsort((moved_at[hit], r[hit]))]
        hit = hit[np.append(True, r[hit][1:] != r[hit][:-1])[: len(hit)]]
        hit = hit[moved_at[hit] < first[r[hit]]]
        first[r[hit]], to[r[hit]] = moved_at[hit], target
    return first, to


def _draw_replies(
    rng: np.random.Generator,
    people: People,
    who: Ints,
    state: Ints,
    kind: Ints,
    at: Floats,
    is_lost: Bools,
    unsubscribe: Floats,
) -> Floats:
    """Instants of unsubscribing and of opening, shape (n, 2); who unsubscribes has opened."""
    opens = rng.random(len(at)) < world.OPEN_P[state] * people.open_factor[who]
    wait = 2.5 * HOUR * np.exp(1.2 * rng.normal(size=len(at)))
    opened = np.where((kind == EMAIL) & opens & ~is_lost, at + wait, np.inf)
    opened = np.where(np.isfinite(unsubscribe), at + (unsubscribe - at) * 0.5, opened)
    return np.stack([unsubscribe, opened], axis=1)
