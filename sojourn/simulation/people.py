"""Who the simulated customers are: attributes, tastes, rhythm, devices, consent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.simulation import world
from sojourn.simulation.world import DAY, HOUR, Floats

Ints = NDArray[np.int64]

WEEK_HOURS = 168


@dataclass(frozen=True)
class People:
    """One block of customers: arrays of n rows. Instants are seconds after the start of the window."""

    number: Ints  # position among all customers; the id is made of it
    gender: Ints
    age_band: Ints
    region: Ints
    country: Ints
    postcode: Ints
    is_new: NDArray[np.bool_]
    arrived_s: Floats
    first_state: Ints
    activity: Floats  # visits per unit of time, relative
    depth: Floats  # events per visit, relative
    loyalty: Floats
    satisfaction: Floats
    dwell_factor: Floats  # (n, 5) multiplies the median dwell
    mix: Floats  # (n, 6, classes) own event-class probabilities
    category: Floats  # (n, 8)
    channel: Floats  # (n, 5)
    device: Floats  # (n, 3)
    cookie_s: Floats  # (n, 3) when the device got a new anonymous id (inf: never)
    price_tier: Floats
    rhythm: Ints  # profile of hours and weekdays
    login_p: Floats
    open_factor: Floats
    has_app: NDArray[np.bool_]
    analytics_s: Floats  # (n, 2) consent from, until
    marketing_s: Floats  # (n, 2)

    def __len__(self) -> int:
        return len(self.number)


def pick(rng: np.random.Generator, cumulative: Floats, row: Any, n: int) -> Ints:
    """n draws, the i-th from the distribution whose cumulative probabilities are ``cumulative[row[i]]``.

    >>> pick(np.random.default_rng(0), np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([0, 1]), 2).tolist()
    [1, 0]
    """
    width = cumulative.shape[1]
    # One sorted array for all rows: row r covers (r, r + 1], so that one binary search serves them all.
    steps = (cumulative + np.arange(len(cumulative))[:, None]).ravel()
    rows = np.broadcast_to(np.asarray(row, dtype=np.int64), (n,))
    found = np.searchsorted(steps, rows + rng.random(n), side="right") - rows * width
    return np.asarray(np.clip(found, 0, width - 1), dtype=np.int64)


def cumulate(weights: Floats) -> Floats:
    """Cumulative probabilities along the last axis, of weights that need not sum to one.

    >>> cumulate(np.array([[1.0, 3.0]])).tolist()
    [[0.25, 1.0]]
    """
    total = np.cumsum(weights, axis=-1)
    return np.asarray(total / total[..., -1:])


def draw_people(rng: np.random.Generator, first: int, n: int, horizon_s: float) -> People:
    """``n`` customers numbered from ``first``, for a window of ``horizon_s`` seconds."""
    gender = rng.choice(3, n, p=[0.50, 0.47, 0.03])
    age = rng.choice(4, n, p=[0.26, 0.32, 0.25, 0.17])
    region = rng.choice(4, n, p=[0.22, 0.31, 0.17, 0.30])
    is_new = rng.random(n) < world.NEW_SHARE
    arrived = np.where(is_new, rng.random(n) * horizon_s * world.ARRIVALS_UNTIL, 0.0)
    first_state = np.where(
        is_new,
        rng.choice(5, n, p=world.FIRST_STATE_NEW),
        rng.choice(5, n, p=world.FIRST_STATE_OLD),
    )
    n_classes = len(world.MIX)
    taste = rng.gamma(world.TASTE_SHAPE, 1.0, (n, 1, n_classes))
    own = rng.gamma(np.broadcast_to(world.mixes() * world.TASTE_CONCENTRATION, (n, 6, n_classes)))
    mix = own * taste + 1e-9
    has_app = rng.random(n) < np.array([0.65, 0.55, 0.40, 0.25])[age]
    return People(
        number=np.arange(first, first + n, dtype=np.int64),
        gender=gender,
        age_band=age,
        region=region,
        country=_draw_country(rng, region),
        postcode=_draw_postcode(rng, region),
        is_new=is_new,
        arrived_s=arrived,
        first_state=first_state,
        activity=np.exp(rng.normal(0, world.ACTIVITY_SD, n) + np.array([0.12, 0.05, -0.03, -0.12])[age]),
        depth=np.exp(rng.normal(0, 0.25, n)),
        loyalty=rng.normal(0, world.LOYALTY_SD, n),
        satisfaction=rng.normal(0, 0.25, n),
        dwell_factor=np.exp(rng.normal(0, world.DWELL_PERSON_SD, (n, 5))),
        mix=mix / mix.sum(axis=-1, keepdims=True),
        category=_draw_categories(rng, gender, age),
        channel=_draw_channels(rng, has_app),
        device=_draw_devices(rng, age),
        cookie_s=np.where(rng.random((n, 3)) < 0.3, rng.random((n, 3)) * horizon_s, np.inf),
        price_tier=np.exp(rng.normal(0, 0.3, n) + np.array([0.05, 0.10, -0.20, 0.05])[region]),
        rhythm=_draw_rhythm(rng, age),
        login_p=rng.beta(4, 3, n),
        open_factor=np.minimum(rng.gamma(4.0, 0.25, n), 2.2),
        has_app=has_app,
        analytics_s=_draw_consent(rng, n, 0.88, horizon_s),
        marketing_s=_draw_consent(rng, n, 0.72, horizon_s),
    )


def _draw_country(rng: np.random.Generator, region: Ints) -> Ints:
    """Countries that lean on the region: a weak proxy."""
    weights = np.array([[3, 1, 3, 2, 1], [2, 4, 1, 1, 4], [2, 1, 1, 6, 1], [4, 3, 3, 1, 1]], dtype=np.float64)
    return pick(rng, cumulate(weights), region, len(region))


def _draw_postcode(rng: np.random.Generator, region: Ints) -> Ints:
    """Five-digit postcodes; four in five lie in the region's own range: a strong proxy."""
    n = len(region)
    block = np.where(rng.random(n) < 0.8, region, rng.integers(0, 4, n))
    return np.asarray(10000 + block * 20000 + rng.integers(0, 200, n) * 100, dtype=np.int64)


def _draw_categories(rng: np.random.Generator, gender: Ints, age: Ints) -> Floats:
    """Own tastes for product categories, which lean on gender and age: proxies."""
    by_gender = np.array(
        [
            [0.7, 1.1, 1.7, 1.9, 0.8, 1.1, 1.1, 1.0],
            [1.8, 0.9, 0.8, 0.5, 1.6, 0.9, 0.9, 1.0],
            [1.0, 1.0, 1.2, 1.1, 1.0, 1.0, 1.2, 1.0],
        ]
    )
    by_age = np.array(
        [
            [1.3, 0.6, 1.5, 1.3, 1.3, 0.5, 0.8, 0.4],
            [1.0, 1.1, 1.0, 1.0, 1.1, 1.9, 0.9, 0.8],
            [1.0, 1.2, 0.9, 0.9, 1.0, 0.8, 1.1, 1.3],
            [0.8, 1.2, 0.7, 0.8, 0.6, 0.9, 1.6, 1.9],
        ]
    )
    return np.asarray(by_gender[gender] * by_age[age] * rng.gamma(1.5, 1.0, (len(age), 8)) + 1e-6)


def _draw_channels(rng: np.random.Generator, has_app: NDArray[np.bool_]) -> Floats:
    weights = rng.gamma(np.broadcast_to(world.VISIT_CHANNELS * 6, (len(has_app), 5))) + 1e-6
    weights[:, 1] *= has_app
    return np.asarray(weights)


def _draw_devices(rng: np.random.Generator, age: Ints) -> Floats:
    """Preference for mobile, desktop, tablet, which leans on age: a proxy."""
    by_age = np.array([[7.0, 2.0, 0.5], [5.5, 3.0, 0.8], [4.0, 4.5, 1.2], [2.5, 5.5, 2.0]])
    return np.asarray(rng.gamma(by_age[age] * 0.5) + 1e-6)


def _draw_rhythm(rng: np.random.Generator, age: Ints) -> Ints:
    """Profile 0–5: early, day or evening person (older people are earlier), times weekday or weekend shopper."""
    by_age = np.array([[0.12, 0.33, 0.55], [0.20, 0.35, 0.45], [0.33, 0.40, 0.27], [0.48, 0.40, 0.12]])
    kind = pick(rng, cumulate(by_age), age, len(age))
    return np.asarray(kind * 2 + (rng.random(len(age)) < 0.4), dtype=np.int64)


def _draw_consent(rng: np.random.Generator, n: int, granted: float, horizon_s: float) -> Floats:
    """From and until of a consent: most never change it, one in ten does so once."""
    is_granted = rng.random(n) < granted
    changed_at = np.where(rng.random(n) < 0.1, rng.random(n) * horizon_s, np.inf)
    start = np.where(is_granted, -np.inf, changed_at)
    until = np.where(is_granted, changed_at, np.inf)
    return np.stack([start, until], axis=1)


def week_rates() -> Floats:
    """Relative activity by profile (6) and hour of the week (168, from Monday 00:00 UTC), of mean 1.

    >>> week_rates().mean(axis=1).round(9).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    hour = np.arange(WEEK_HOURS) % 24
    is_weekend = np.arange(WEEK_HOURS) >= 120
    rows = []
    for peak in (8.0, 13.0, 20.0):
        away = np.minimum(np.abs(hour - peak), 24 - np.abs(hour - peak))
        day = 0.12 + np.exp(-0.5 * (away / 3.0) ** 2) + 0.5 * np.exp(-0.5 * ((hour - 17.0) / 3.0) ** 2)
        for weekend in (0.75, 1.8):
            rate = day * np.where(is_weekend, weekend, 1.0)
            rows.append(rate / rate.mean())
    return np.array(rows)


class Clock:
    """The map between clock time and a customer's own time, in which their activity has no hours or weekdays.

    Both are seconds; own time runs fast in the customer's preferred hours. ``monday_s`` is how far the start of the
    window lies after a Monday 00:00 UTC.
    """

    def __init__(self, monday_s: float) -> None:
        self.monday_s = monday_s
        self.rates = week_rates()
        self.edges = np.concatenate([np.zeros((6, 1)), np.cumsum(self.rates, axis=1)], axis=1)
        # Rows laid end to end, each shifted past the one before, so that one binary search inverts all profiles.
        self.shift = 2.0 * WEEK_HOURS
        self.ladder = (self.edges[:, :-1] + np.arange(6)[:, None] * self.shift).ravel()

    def own(self, at_s: Floats, profile: Ints) -> Floats:
        """Own time of clock instants."""
        weeks, hour = np.divmod((at_s + self.monday_s) / HOUR, WEEK_HOURS)
        slot = np.minimum(hour.astype(np.int64), WEEK_HOURS - 1)
        inside = self.edges[profile, slot] + self.rates[profile, slot] * (hour - slot)
        return np.asarray((weeks * WEEK_HOURS + inside) * HOUR)

    def clock(self, own_s: Floats, profile: Ints) -> Floats:
        """Clock instants of own time; the inverse of ``own``."""
        weeks, inside = np.divmod(own_s / HOUR, WEEK_HOURS)
        slot = np.searchsorted(self.ladder, inside + profile * self.shift, side="right") - 1
        slot = np.clip(slot - profile * WEEK_HOURS, 0, WEEK_HOURS - 1)
        hour = slot + (inside - self.edges[profile, slot]) / self.rates[profile, slot]
        return np.asarray((weeks * WEEK_HOURS + hour) * HOUR - self.monday_s)


def gap_of(people: People, who: Ints, state: Ints, intent: Floats) -> Floats:
    """Median gap between visits in own seconds, for each of the given stays."""
    return np.asarray(world.GAP_DAYS[state] * DAY / people.activity[who] * np.exp(-world.INTENT_IN_RHYTHM * intent))
