"""The numbers of the simulated world: states, rhythms, mixes, touches and what the touches truly do.

They are assumptions about people, written here in one place and explained in docs/reference/simulate.md. They are
not fitted to any data set, and none of them is known to the state model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HOUR = 3600.0
DAY = 86400.0

STATES: tuple[str, ...] = ("discovery", "decision", "commitment", "reinforcement", "fading")
"""The true states; a state code is a position in this tuple."""
DISCOVERY, DECISION, COMMITMENT, REINFORCEMENT, FADING = range(5)
LOST = 5  # destination only: a lost customer stays in `fading`, and does nothing any more

# Behaviour drawn inside a visit, with its weight in each state and, last, in an idle visit of any state.
MIX: dict[str, tuple[float, float, float, float, float, float]] = {
    "Product Viewed": (30, 22, 12, 14, 22, 30),
    "Products Searched": (17, 6, 2, 5, 8, 16),
    "Product List Viewed": (26, 7, 3, 8, 19, 28),
    "Wishlist Product Added": (7, 3, 0.8, 2, 1.5, 4),
    "Products Compared": (1.5, 13, 1.5, 0.6, 0.8, 2),
    "Review Read": (3, 15, 3, 1.5, 1.5, 4),
    "Price Checked": (3, 10, 3.5, 1.5, 5, 4),
    "Shipping Info Viewed": (0.8, 5.5, 7, 1.2, 1, 1),
    "Returns Policy Viewed": (0.6, 4.5, 2.2, 2, 2.5, 1),
    "Product Added": (1.8, 4.5, 17, 2.5, 1.2, 3),
    "Product Removed": (0.5, 1.2, 3, 0.5, 0.5, 0.8),
    "Cart Viewed": (1.2, 3.5, 17, 2, 1.6, 2.5),
    "Coupon Applied": (0.2, 0.6, 5.5, 0.8, 0.8, 0.3),
    "Checkout Started": (0.2, 0.4, 10, 1, 0.3, 0.2),
    "Order Completed": (0.08, 0.2, 7, 1.6, 0.2, 0.1),
    "Order Tracked": (0.4, 0.4, 3, 16, 2.2, 1),
    "Order Refunded": (0.03, 0.03, 0.2, 0.8, 0.9, 0.05),
    "Product Reviewed": (0.15, 0.15, 0.2, 7, 1, 0.2),
    "Help Viewed": (1.6, 1.3, 1.6, 7, 12, 1),
    "Support Ticket Created": (0.2, 0.25, 0.4, 2, 7, 0.1),
    "Loyalty Page Viewed": (0.7, 0.7, 0.8, 11, 4, 1),
    "Referral Sent": (0.08, 0.08, 0.1, 4.5, 0.2, 0.1),
}
COMMON_SHARE = 0.15  # of every state's mix is the average of all: people do everything in every state
REPLIES: tuple[str, ...] = ("Email Opened", "Email Clicked", "Survey Answered", "Unsubscribed")
TOUCHES: tuple[str, ...] = ("Email Sent", "Push Sent", "Ad Shown", "Voucher Sent")
EVENTS: tuple[str, ...] = (*MIX, *REPLIES, *TOUCHES)
"""Every raw event name; an event code is a position in this tuple."""
CODE: dict[str, int] = {name: code for code, name in enumerate(EVENTS)}
EMAIL, PUSH, AD, VOUCHER = range(4)
FIRST_TOUCH = CODE["Email Sent"]

CHANNELS: tuple[str, ...] = (
    "web",
    "app",
    "search",
    "social",
    "ad",
    "email",
    "push",
    "post",
    "store",
    "support",
)
CHANNEL_OF_TOUCH = tuple(CHANNELS.index(name) for name in ("email", "push", "ad", "post"))
VISIT_CHANNELS = np.array([0.34, 0.22, 0.24, 0.12, 0.08])  # web, app, search, social, ad
CHANNEL_TILT = np.array(  # how a state changes the way people come
    [
        [0.9, 0.7, 1.0, 1.7, 1.5],
        [1.0, 0.9, 1.5, 0.7, 1.0],
        [1.2, 1.2, 0.8, 0.6, 1.0],
        [1.1, 1.5, 0.7, 0.8, 0.6],
        [0.9, 0.7, 1.0, 1.2, 1.3],
    ]
)

DEVICES: tuple[str, ...] = ("mobile", "desktop", "tablet", "kiosk")
KIOSK = 3
N_KIOSKS_PER_REGION = 3
COUNTRIES: tuple[str, ...] = ("DE", "FR", "NL", "PL", "ES")
GENDERS: tuple[str, ...] = ("female", "male", "diverse")
AGE_BANDS: tuple[str, ...] = ("18-29", "30-44", "45-59", "60+")
REGIONS: tuple[str, ...] = ("north", "south", "east", "west")
CATEGORIES: tuple[str, ...] = (
    "electronics",
    "home",
    "fashion",
    "beauty",
    "sports",
    "toys",
    "books",
    "garden",
)
N_PRODUCTS_PER_CATEGORY = 50
CATEGORY_PRICE = np.array([180.0, 60.0, 45.0, 22.0, 50.0, 25.0, 14.0, 35.0])

# Dwell: log-normal, with an own factor of each customer and state. The intent of a stay makes it both shorter and
# busier, which confounds every touch that follows activity.
DWELL_DAYS = np.array([11.0, 6.0, 2.5, 24.0, 38.0])
DWELL_SD = np.array([0.70, 0.60, 0.60, 0.65, 0.70])
DWELL_PERSON_SD = 0.25
INTENT_IN_DWELL = 0.40
INTENT_IN_RHYTHM = 0.20

NEXT = np.array(  # from state (row) to state (column; the last is `lost`)
    [
        [0.00, 0.62, 0.05, 0.00, 0.33, 0.00],
        [0.20, 0.00, 0.56, 0.00, 0.24, 0.00],
        [0.00, 0.12, 0.00, 0.80, 0.08, 0.00],
        [0.28, 0.32, 0.00, 0.00, 0.40, 0.00],
        [0.44, 0.18, 0.00, 0.10, 0.00, 0.28],
    ]
)
LOYALTY_SD = 0.4  # the odds of fading and of being lost are divided by exp(loyalty)
FIRST_STATE_NEW = np.array([0.82, 0.14, 0.04, 0.0, 0.0])
FIRST_STATE_OLD = np.array([0.24, 0.12, 0.04, 0.32, 0.28])
NEW_SHARE = 0.4
ARRIVALS_UNTIL = 0.85  # share of the window in which new customers come

# Rhythm: log-normal gaps between visits, in hours weighted by the customer's own hours and weekdays.
GAP_DAYS = np.array([1.2, 0.42, 0.30, 3.2, 12.0])
GAP_SD = np.array([0.75, 0.65, 0.60, 0.75, 0.85])
ACTIVITY_SD = 0.30
VISIT_EVENTS = np.array([3.9, 4.3, 4.1, 3.9, 3.0])
WITHIN_VISIT_S = 40.0
WITHIN_VISIT_SD = 1.0
IDLE_P = 0.06  # visits without purpose, in any state

TASTE_SHAPE = 6.0  # gamma shape of a customer's lasting taste for each event class
TASTE_CONCENTRATION = 60.0  # Dirichlet concentration of a customer's own mix around the state's

# Campaigns
NEWSLETTER_P = 0.45
REMINDER_P = 0.12
RETARGET_P = 0.45
OPEN_P = np.array([0.30, 0.42, 0.35, 0.36, 0.11])
CLICK_P = np.array([0.25, 0.35, 0.35, 0.22, 0.12])
UNSUBSCRIBE_P = np.array([0.003, 0.003, 0.002, 0.003, 0.015])

# Opinions, and labels from surveys
SATISFACTION = np.array([0.10, 0.05, 0.15, 0.45, -0.45])
SURVEYED_SHARE = 0.08
LABELLED_SHARE = 0.6
LABEL_P = 0.9


@dataclass(frozen=True)
class Effect:
    """What a touch truly does: for ``window_s`` after it, while the customer stays in ``from_state``, the hazard of
    moving to ``to_state`` is multiplied by ``multiplier`` (at least 1). A later touch of the kind renews the window.

    >>> Effect("Email Sent", "decision", "commitment", 2.0, 172800.0).multiplier
    2.0
    """

    touch: str
    from_state: str
    to_state: str
    multiplier: float
    window_s: float


EFFECTS: tuple[Effect, ...] = (
    Effect("Email Sent", "decision", "commitment", 2.0, 2 * DAY),
    Effect("Email Sent", "reinforcement", "fading", 1.5, 2 * DAY),
    Effect("Push Sent", "fading", "discovery", 1.8, 3 * DAY),
    Effect("Voucher Sent", "fading", "decision", 3.0, 7 * DAY),
    Effect("Ad Shown", "decision", "commitment", 1.0, 2 * DAY),
    Effect("Ad Shown", "discovery", "decision", 1.0, 2 * DAY),
)
"""The true effects; every touch, origin and destination that is not listed has effect 1. ``Ad Shown`` is a placebo."""


def mixes() -> Floats:
    """Event-class probabilities, shape (6, classes in a visit): the five states, then an idle visit.

    >>> mixes().sum(axis=1).round(9).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    weights = np.array(list(MIX.values()), dtype=np.float64).T
    shares = weights / weights.sum(axis=1, keepdims=True)
    shares[:5] = (1 - COMMON_SHARE) * shares[:5] + COMMON_SHARE * shares[:5].mean(axis=0)
    return np.asarray(shares)


def describe_world(effects: tuple[Effect, ...] = EFFECTS) -> dict[str, object]:
    """All true numbers that an analysis could hope to find, as plain JSON values.

    >>> describe_world()["label_p"]
    0.9
    """
    destinations = (*STATES, "lost")
    shares = mixes()
    return {
        "states": list(STATES),
        "touches": [vars(effect).copy() for effect in effects],
        "dwell": {
            name: {"median_s": float(DWELL_DAYS[s] * DAY), "sd_log": float(DWELL_SD[s])}
            for s, name in enumerate(STATES)
        },
        "intent_in_dwell": INTENT_IN_DWELL,
        "transitions": {
            name: {to: float(NEXT[s, j]) for j, to in enumerate(destinations) if NEXT[s, j] > 0}
            for s, name in enumerate(STATES)
        },
        "visit_gap": {
            name: {"median_s": float(GAP_DAYS[s] * DAY), "sd_log": float(GAP_SD[s])} for s, name in enumerate(STATES)
        },
        "mix": {name: {event: float(shares[s, k]) for k, event in enumerate(MIX)} for s, name in enumerate(STATES)},
        "label_p": LABEL_P,
    }
