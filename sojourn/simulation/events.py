"""The raw events that the lives of simulated customers leave behind, as number codes (no strings yet)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.frames import Bools
from sojourn.simulation import world
from sojourn.simulation.life import Lives, Stays, spread
from sojourn.simulation.people import Ints, People, cumulate, pick
from sojourn.simulation.text import text_codes
from sojourn.simulation.world import CODE, COMMITMENT, DECISION, Floats

Codes = dict[str, NDArray[Any]]
"""Columns of equal length; see COLUMNS."""

COLUMNS: dict[str, type] = {
    "time_us": np.int64,
    "who": np.int32,  # number of the customer
    "serial": np.int32,  # place among the customer's events
    "event": np.int8,
    "channel": np.int8,  # −1: none, here and below
    "device": np.int8,
    "anonymous": np.int64,  # −1: none; below −1: a shared kiosk
    "is_named": np.int8,  # 1: the customer was logged in, or we know the address
    "product": np.int16,
    "category": np.int8,
    "price_cents": np.int32,
    "revenue_cents": np.int32,  # 0: none
    "rating": np.int8,  # 0: none
    "sentiment": np.int16,  # hundredths; NO_SENTIMENT: none
    "text": np.int32,
    "label": np.int8,
    "country": np.int8,
    "postcode": np.int32,
    "analytics": np.int8,
    "marketing": np.int8,
    "blemish": np.int8,  # 1: no ids
}
NO_SENTIMENT = -1000

_PRODUCT_EVENTS = tuple(
    CODE[name]
    for name in (
        "Product Viewed",
        "Wishlist Product Added",
        "Products Compared",
        "Review Read",
        "Price Checked",
        "Product Added",
        "Product Removed",
        "Order Completed",
        "Product Reviewed",
        "Returns Policy Viewed",
    )
)
_CATEGORY_EVENTS = (*_PRODUCT_EVENTS, CODE["Products Searched"], CODE["Product List Viewed"])
_LOGIN_EVENTS = tuple(
    CODE[name]
    for name in (
        "Order Completed",
        "Order Tracked",
        "Order Refunded",
        "Product Reviewed",
        "Support Ticket Created",
        "Loyalty Page Viewed",
        "Referral Sent",
    )
)
_ORDER, _CHECKOUT, _TRACKED = CODE["Order Completed"], CODE["Checkout Started"], CODE["Order Tracked"]
_REFUNDED, _REVIEWED, _TICKET = CODE["Order Refunded"], CODE["Product Reviewed"], CODE["Support Ticket Created"]


@dataclass(frozen=True)
class _Visits:
    """Visits in order of (customer, time), with what one visit has in common."""

    who: Ints
    stay: Ints
    at_s: Floats
    is_click: Bools


def lost_at(stays: Stays, n: int) -> Floats:
    """When each of n customers was lost, in seconds (inf: not lost)."""
    result = np.full(n, np.inf)
    result[stays.who[stays.is_lost]] = stays.entered_s[stays.is_lost]
    return result


def find_stays(stays: Stays, who: Ints, at_s: Floats, horizon_s: float) -> Ints:
    """The row in ``stays`` that each customer was in at each instant (which must not lie before their arrival)."""
    order = np.lexsort((stays.entered_s, stays.who))
    width = horizon_s + 1.0
    ladder = stays.who[order] * width + np.maximum(stays.entered_s[order], 0.0)
    found = np.searchsorted(ladder, who * width + np.minimum(at_s, horizon_s), side="right") - 1
    return np.asarray(order[found])


def draw_events(
    rng: np.random.Generator, people: People, lives: Lives, start_us: int, horizon_s: float, blemishes: float
) -> Codes:
    """All events of a block of customers, sorted by (time, customer, serial)."""
    lost = lost_at(lives.stays, len(people))
    visits = _all_visits(rng, people, lives, lost, horizon_s)
    parts = [_draw_browsing(rng, people, lives, visits), _touch_rows(lives)]
    parts.append(_reply_rows(lives, visits, lost, horizon_s))
    parts.append(_draw_surveys(rng, people, lives, lost, horizon_s))
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.lexsort((rows["event"], rows["at_s"], rows["who"]))
    rows = {name: column[order] for name, column in rows.items()}
    _repair_orders(people, rows)
    return _finish(rng, people, lives, rows, start_us, blemishes)


def _all_visits(rng: np.random.Generator, people: People, lives: Lives, lost: Floats, horizon_s: float) -> _Visits:
    """Own visits, and those that follow a click in an e-mail."""
    touches = lives.touches
    opened = touches.replies_s[:, 1]
    is_click = rng.random(len(opened)) < world.CLICK_P[touches.state]
    is_click &= opened < np.minimum(lost[touches.who], horizon_s)
    who, at = touches.who[is_click], opened[is_click] + 30.0 * np.exp(rng.normal(size=int(is_click.sum())))
    possible = at < np.minimum(lost[who], horizon_s)
    who, at = who[possible], at[possible]
    stay = find_stays(lives.stays, who, at, horizon_s)
    own = lives.visits
    all_who, all_at = np.concatenate([own.who, who]), np.concatenate([own.at_s, at])
    order = np.lexsort((all_at, all_who))
    clicked = np.concatenate([np.zeros(len(own.who), dtype=bool), np.ones(len(who), dtype=bool)])
    return _Visits(all_who[order], np.concatenate([own.stay, stay])[order], all_at[order], clicked[order])


def _draw_browsing(rng: np.random.Generator, people: People, lives: Lives, visits: _Visits) -> Codes:
    """The events inside visits."""
    who, state = visits.who, lives.stays.state[visits.stay]
    mean = (world.VISIT_EVENTS[state] * people.depth[who] - 1.0) * rng.gamma(2.0, 0.5, len(who))
    counts = 1 + rng.poisson(np.maximum(mean, 0.2) * np.where(visits.is_click, 0.5, 1.0))
    visit, place = spread(counts)
    pause = world.WITHIN_VISIT_S * np.exp(world.WITHIN_VISIT_SD * rng.normal(size=len(visit)))
    pause = np.where(place == 0, 0.0, np.minimum(pause, 1500.0))
    run = np.cumsum(pause)
    first = np.cumsum(counts) - counts
    at = visits.at_s[visit] + run - run[first][visit]
    which = np.where(rng.random(len(who)) < world.IDLE_P, 5, state)
    cumulative = cumulate(people.mix).reshape(-1, len(world.MIX))
    event = pick(rng, cumulative, (who * 6 + which)[visit], len(visit))
    inside = at < lives.stays.left_s[visits.stay][visit]
    visit, at, event = visit[inside], at[inside], event[inside]
    event = _order_funnel(visit, event)
    common = _draw_visit_facts(rng, people, lives, visits, state)
    rows = _blank(len(visit), visits.who[visit], at, event)
    rows["state"] = state[visit]
    for name in ("channel", "device", "anonymous"):
        rows[name] = common[name][visit]
    rows["channel"][event == _TICKET] = world.CHANNELS.index("support")
    is_named = common["is_named"][visit] | np.isin(event, _LOGIN_EVENTS)
    rows["is_named"] = is_named | _since_first(visit, event == _ORDER)
    _fill_products(rng, people, common, visit, rows)
    _fill_opinions(rng, people, rows, "review", rows["event"] == _REVIEWED, 0.0)
    _fill_opinions(rng, people, rows, "ticket", rows["event"] == _TICKET, -0.35)
    return rows


def _blank(n: int, who: Ints, at_s: Floats, event: Ints) -> Codes:
    """Rows with nothing in them but who, when and what."""
    rows: Codes = {name: np.full(n, -1, dtype=kind) for name, kind in COLUMNS.items()}
    rows["revenue_cents"][:] = 0
    rows["rating"][:] = 0
    rows["sentiment"][:] = NO_SENTIMENT
    rows["blemish"][:] = 0
    rows["is_named"] = np.ones(n, dtype=bool)
    rows["who"], rows["at_s"], rows["event"] = who, at_s, event
    rows["state"] = np.full(n, -1, dtype=np.int64)
    return rows


def _order_funnel(visit: Ints, event: Ints) -> Ints:
    """At most one order in a visit, and the step before it is the checkout."""
    is_order = event == _ORDER
    event = np.where(is_order & ~_is_first(visit, is_order), _TRACKED, event)
    order = np.flatnonzero(event == _ORDER)
    order = order[(order > 0) & (visit[order - 1] == visit[order])]
    event[order - 1] = _CHECKOUT
    return event


def _is_first(group: Ints, mark: Bools) -> Bools:
    """True at the first mark of each group (groups lie together)."""
    where = np.flatnonzero(mark)
    result = np.zeros(len(group), dtype=bool)
    result[where[np.append(True, np.diff(group[where]) != 0)[: len(where)]]] = True
    return result


def _since_first(group: Ints, mark: Bools) -> Bools:
    """True from the first mark of each group on."""
    n_marks = np.cumsum(mark)
    first = np.searchsorted(group, group, side="left")
    return np.asarray(n_marks - n_marks[first] + mark[first] > 0)


def _draw_visit_facts(rng: np.random.Generator, people: People, lives: Lives, visits: _Visits, state: Ints) -> Codes:
    """Channel, device, login and interest, one for each visit."""
    who, n = visits.who, len(visits.who)
    channel = pick(rng, _by_state(people.channel, world.CHANNEL_TILT), who * 5 + state, n)
    device = pick(rng, cumulate(people.device), who, n)
    device[channel == world.CHANNELS.index("app")] = world.DEVICES.index("mobile")
    channel[visits.is_click] = world.CHANNELS.index("email")
    slot = device * 2 + (visits.at_s >= people.cookie_s[who, device])
    is_kiosk = (rng.random(n) < 0.015) & ~visits.is_click
    place = people.region[who] * world.N_KIOSKS_PER_REGION + rng.integers(0, world.N_KIOSKS_PER_REGION, n)
    # What a stay is about: those who decide or buy keep to one category and few products.
    stays = lives.stays
    tastes = cumulate(people.category)
    of_stay = pick(rng, tastes, stays.who, len(stays.who))
    shelf = np.clip(rng.normal(size=len(stays.who)) * 0.35, -0.7, 0.7)
    is_fixed = (rng.random(n) < 0.75) & ((state == DECISION) | (state == COMMITMENT))
    return {
        "channel": np.where(is_kiosk, world.CHANNELS.index("store"), channel).astype(np.int8),
        "device": np.where(is_kiosk, world.KIOSK, device).astype(np.int8),
        "anonymous": np.where(is_kiosk, -2 - place, people.number[who] * 6 + slot),
        "is_named": (rng.random(n) < people.login_p[who]) | visits.is_click,
        "category": np.where(is_fixed, of_stay[visits.stay], pick(rng, tastes, who, n)),
        "is_fixed": is_fixed,
        "shelf": shelf[visits.stay],
    }


def _by_state(weights: Floats, tilt: Floats) -> Floats:
    """Cumulative distributions in rows customer · states + state."""
    both = weights[:, None, :] * tilt[None, :, :]
    return cumulate(both).reshape(-1, weights.shape[1])


def _fill_products(rng: np.random.Generator, people: People, common: Codes, visit: Ints, rows: Codes) -> None:
    """Category, product, price and revenue, in place. A product's place on the shelf goes with its price."""
    event, who, n = rows["event"], rows["who"], len(visit)
    category = common["category"][visit]
    rows["category"] = np.where(np.isin(event, _CATEGORY_EVENTS), category, -1).astype(np.int8)
    spread_out = np.where(common["is_fixed"][visit], 0.04, 0.5)
    liking = common["shelf"][visit] + rng.normal(size=n) * spread_out + np.log(people.price_tier[who])
    middle = world.N_PRODUCTS_PER_CATEGORY // 2
    place = np.clip(np.rint(middle + liking * 16), 0, world.N_PRODUCTS_PER_CATEGORY - 1).astype(np.int64)
    is_product = np.isin(event, _PRODUCT_EVENTS)
    rows["product"] = np.where(is_product, category * world.N_PRODUCTS_PER_CATEGORY + place, -1).astype(np.int16)
    price = np.rint(world.CATEGORY_PRICE[category] * np.exp((place - middle) / 16.0) * 100).astype(np.int64)
    rows["price_cents"] = np.where(is_product, price, -1).astype(np.int32)
    n_pieces = 1 + rng.poisson(0.5, n)
    is_order = event == _ORDER
    rows["revenue_cents"] = np.where(is_order, price * n_pieces, 0).astype(np.int32)
    rows["postcode"] = np.where(is_order, people.postcode[who], -1).astype(np.int32)


def _fill_opinions(
    rng: np.random.Generator, people: People, rows: Codes, kind: str, where: Bools, shift: float
) -> None:
    """Rating, sentiment score and text where people speak their mind, in place."""
    at = np.flatnonzero(where)
    n = len(at)
    opinion = world.SATISFACTION[rows["state"][at]] + people.satisfaction[rows["who"][at]] + shift
    opinion = opinion + rng.normal(size=n) * 0.25
    mood = np.digitize(opinion + rng.normal(size=n) * 0.12, [-0.5, -0.15, 0.15, 0.5])
    topic = np.where(rows["category"][at] >= 0, rows["category"][at], rng.integers(0, 8, n))
    rows["text"][at] = text_codes(rng, kind, mood, topic.astype(np.int64))
    score = np.clip(opinion + rng.normal(size=n) * 0.2, -1, 1)
    rows["sentiment"][at] = np.rint(score * 100).astype(np.int16)
    if kind == "review":
        stars = np.rint(3.2 + 2.2 * opinion + rng.normal(size=n) * 0.5)
        rows["rating"][at] = np.clip(stars, 1, 5).astype(np.int8)


def _touch_rows(lives: Lives) -> Codes:
    touches = lives.touches
    rows = _blank(len(touches.who), touches.who, touches.at_s, touches.kind + world.FIRST_TOUCH)
    rows["channel"] = np.array(world.CHANNEL_OF_TOUCH, dtype=np.int8)[touches.kind]
    rows["state"] = touches.state
    return rows


def _reply_rows(lives: Lives, visits: _Visits, lost: Floats, horizon_s: float) -> Codes:
    """E-mails opened, clicked and unsubscribed from (the lost do neither). A click comes with the visit it opens."""
    touches = lives.touches
    found = [(CODE["Email Clicked"], visits.who[visits.is_click], visits.at_s[visits.is_click])]
    for column, event in ((1, CODE["Email Opened"]), (0, CODE["Unsubscribed"])):
        at = touches.replies_s[:, column]
        real = at < np.minimum(lost[touches.who], horizon_s)
        found.append((event, touches.who[real], at[real]))
    parts = [_blank(len(who), who, at, np.full(len(who), event)) for event, who, at in found]
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    rows["channel"][:] = world.CHANNELS.index("email")
    return rows


def _draw_surveys(rng: np.random.Generator, people: People, lives: Lives, lost: Floats, horizon_s: float) -> Codes:
    """Survey answers of a few customers, most of them with the state that an interviewer heard in it."""
    n = len(people)
    asked = np.flatnonzero(rng.random(n) < world.SURVEYED_SHARE)
    who = np.concatenate([asked, asked[rng.random(len(asked)) < 0.4]])
    until = np.minimum(lost[who], horizon_s)
    at = people.arrived_s[who] + rng.random(len(who)) * (until - people.arrived_s[who])
    rows = _blank(len(who), who, at, np.full(len(who), CODE["Survey Answered"]))
    state = lives.stays.state[find_stays(lives.stays, who, at, horizon_s)]
    rows["state"] = state
    rows["channel"][:] = world.CHANNELS.index("email")
    heard = np.where(
        rng.random(len(who)) < world.LABEL_P, state, (state + rng.integers(1, 5, len(who))) % len(world.STATES)
    )
    is_labelled = rng.random(len(who)) < world.LABELLED_SHARE
    rows["label"] = np.where(is_labelled, heard, -1).astype(np.int8)
    _fill_opinions(rng, people, rows, "survey", np.ones(len(who), dtype=bool), 0.0)
    return rows


def _repair_orders(people: People, rows: Codes) -> None:
    """Nothing follows an order that was never placed; refunds take back the last order. In place."""
    who, event = rows["who"], rows["event"]
    place = np.where(event == _ORDER, np.arange(len(event)), -1)
    last = np.maximum.accumulate(place) if len(place) else place
    has_ordered = (last >= 0) & (who[np.maximum(last, 0)] == who)
    is_customer = has_ordered | ~people.is_new[who]  # who was there before the window had bought before
    event[(event == _TRACKED) & ~is_customer] = CODE["Shipping Info Viewed"]
    unfounded = (event == _REFUNDED) & ~has_ordered
    event[unfounded & is_customer] = _TRACKED
    event[unfounded & ~is_customer] = CODE["Returns Policy Viewed"]
    early = (event == _REVIEWED) & ~is_customer
    event[early] = CODE["Review Read"]
    rows["rating"][early], rows["sentiment"][early], rows["text"][early] = 0, NO_SENTIMENT, -1
    refund = np.flatnonzero(event == _REFUNDED)
    rows["revenue_cents"][refund] = -rows["revenue_cents"][last[refund]]


def _finish(
    rng: np.random.Generator, people: People, lives: Lives, rows: Codes, start_us: int, blemishes: float
) -> Codes:
    """Consent, country, instants in microseconds, serial numbers and flaws; sorted by time."""
    who, at = rows["who"], rows["at_s"]
    for name, span in (("analytics", people.analytics_s), ("marketing", lives.marketing_s)):
        rows[name] = (at >= span[who, 0]) & (at < span[who, 1])
    rows["country"] = people.country[who]
    rows["time_us"] = start_us + np.floor(at * 1000).astype(np.int64) * 1000
    first = np.searchsorted(who, who, side="left")
    rows["serial"] = np.arange(len(who)) - first
    rows["who"] = people.number[who]
    codes: Codes = {name: rows[name].astype(kind) for name, kind in COLUMNS.items()}
    if blemishes > 0:
        codes = _spoil(rng, codes, blemishes)
    order = np.lexsort((codes["serial"], codes["who"], codes["time_us"]))
    return {name: column[order] for name, column in codes.items()}


def _spoil(rng: np.random.Generator, codes: Codes, share: float) -> Codes:
    """A share of rows goes wrong: sent twice, dated 1970, dated ten years ahead, or without any id."""
    flaw = np.where(rng.random(len(codes["who"])) < share, rng.integers(0, 4, len(codes["who"])), -1)
    codes["time_us"][flaw == 1] %= 86_400_000_000
    codes["time_us"][flaw == 2] += 3650 * 86_400_000_000
    codes["blemish"][flaw == 3] = 1
    return {name: np.concatenate([column, column[flaw == 0]]) for name, column in codes.items()}
