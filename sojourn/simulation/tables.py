"""The truth about simulated customers as tables: states over time, who they are, and which ids are theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sojourn.frames import INSTANT, NAME
from sojourn.simulation import world
from sojourn.simulation.events import Codes, lost_at
from sojourn.simulation.life import Lives
from sojourn.simulation.people import People
from sojourn.simulation.rows import customer_ids, device_ids

TRUTH = pa.schema(
    [
        ("customer_id", pa.string()),
        ("state", NAME),
        ("from_at", INSTANT),  # the start of the window, if the stay began before it
        ("to_at", INSTANT),  # the end of the window, if the stay lasted longer
        ("entered_at", INSTANT),  # when the stay truly began
        ("intent", pa.float64()),  # standard normal; makes a stay shorter and busier
    ]
)
IDENTITIES = pa.schema(
    [
        ("anonymous_id", pa.string()),
        ("customer_id", pa.string()),
        ("is_shared", pa.bool_()),  # a kiosk in a shop, used by many
    ]
)
_PROFILES = ("early/weekday", "early/weekend", "day/weekday", "day/weekend", "evening/weekday", "evening/weekend")
CUSTOMERS = pa.schema(
    [
        ("customer_id", pa.string()),
        ("gender", NAME),  # protected, as are age_band and region: in no raw row
        ("age_band", NAME),
        ("region", NAME),
        ("country", NAME),
        ("postcode", pa.string()),
        ("arrived_at", INSTANT),  # null: a customer before the window began
        ("lost_at", INSTANT),  # null: not lost
        ("activity", pa.float64()),
        ("depth", pa.float64()),
        ("loyalty", pa.float64()),
        ("satisfaction", pa.float64()),
        ("rhythm", NAME),
        ("has_app", pa.bool_()),
        ("price_tier", pa.float64()),
        ("login_p", pa.float64()),
        ("open_factor", pa.float64()),
        *[(f"dwell_{name}", pa.float64()) for name in world.STATES],  # multiplies the median dwell
        *[(f"category_{name}", pa.float64()) for name in world.CATEGORIES],  # shares of interest
        *[(f"device_{name}", pa.float64()) for name in world.DEVICES[: world.KIOSK]],
        *[
            (f"consent_{purpose}_{edge}_at", INSTANT)  # granted from (null: never) until (null: no end)
            for purpose in ("analytics", "marketing")
            for edge in ("from", "until")
        ],
    ]
)


def instants(start_us: int, at_s: NDArray[np.float64]) -> pa.Array:
    """Instants of seconds after the start, to the millisecond as in the events; null where not finite."""
    known = np.isfinite(at_s)
    whole = np.floor(np.where(known, at_s, 0.0) * 1000).astype(np.int64) * 1000
    return pa.array(start_us + whole, mask=~known).cast(INSTANT)


def truth_table(people: People, lives: Lives, start_us: int, horizon_s: float) -> pa.Table:
    """The true state of each customer over time, without gaps from arrival to the end of the window."""
    stays = lives.stays
    lost = lost_at(stays, len(people))
    # The silent rest of a lost customer belongs to the stay in fading that it follows.
    left = np.where(~stays.is_lost & (stays.left_s == lost[stays.who]), horizon_s, stays.left_s)
    from_s = np.maximum(stays.entered_s, 0.0)
    rows = np.flatnonzero(~stays.is_lost)
    rows = rows[np.lexsort((from_s[rows], stays.who[rows]))]
    columns = [
        customer_ids(people.number[stays.who[rows]]),
        _names(stays.state[rows], world.STATES),
        instants(start_us, from_s[rows]),
        instants(start_us, left[rows]),
        instants(start_us, stays.entered_s[rows]),
        pa.array(stays.intent[rows]),
    ]
    return pa.Table.from_arrays(columns, schema=TRUTH)


def people_table(people: People, lives: Lives, start_us: int, horizon_s: float) -> pa.Table:
    """Who the customers are: protected attributes, tastes, habits, consent. Of the future, nothing is told."""
    n = len(people)
    category = people.category / people.category.sum(axis=1, keepdims=True)
    device = people.device / people.device.sum(axis=1, keepdims=True)
    lost = lost_at(lives.stays, n)
    spans = []
    for consent in (people.analytics_s, lives.marketing_s):
        granted = np.maximum(consent[:, 0], 0.0)
        spans += [np.where(edge < horizon_s, edge, np.nan) for edge in (granted, consent[:, 1])]
    columns = [
        customer_ids(people.number),
        _names(people.gender, world.GENDERS),
        _names(people.age_band, world.AGE_BANDS),
        _names(people.region, world.REGIONS),
        _names(people.country, world.COUNTRIES),
        pa.array(np.char.mod("%05d", people.postcode)),
        instants(start_us, np.where(people.is_new, people.arrived_s, np.nan)),
        instants(start_us, lost),
        *[pa.array(a) for a in (people.activity, people.depth, people.loyalty, people.satisfaction)],
        _names(people.rhythm, _PROFILES),
        pa.array(people.has_app),
        *[pa.array(a) for a in (people.price_tier, people.login_p, people.open_factor)],
        *[pa.array(column) for column in people.dwell_factor.T.copy()],
        *[pa.array(column) for column in category.T.copy()],
        *[pa.array(column) for column in device.T.copy()],
        *[instants(start_us, span) for span in spans],
    ]
    return pa.Table.from_arrays(columns, schema=CUSTOMERS)


def pairs_of(codes: Codes) -> NDArray[np.int64]:
    """Each (device code, customer number) that occurs, shape (n, 2), sorted."""
    has_device = codes["anonymous"] != -1
    # One number for both: far faster to sort than pairs. Customer numbers stay below 2^24.
    both = np.unique(codes["anonymous"][has_device] * (1 << 24) + codes["who"][has_device])
    return np.stack([both >> 24, both & ((1 << 24) - 1)], axis=1)


def identity_table(pairs: NDArray[np.int64]) -> pa.Table:
    """Whose anonymous ids are whose: one row for each device and customer who used it."""
    columns = [device_ids(pairs[:, 0]), customer_ids(pairs[:, 1]), pa.array(pairs[:, 0] < -1)]
    return pa.Table.from_arrays(columns, schema=IDENTITIES)


def _names(code: NDArray[Any], names: Sequence[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(code.astype(np.int32)), pa.array(list(names), pa.string()))
