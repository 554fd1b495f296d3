"""What simulated customers write: reviews, support tickets and survey answers, put together from short phrases."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from sojourn.simulation.world import CATEGORIES

KINDS: tuple[str, ...] = ("review", "ticket", "survey")
N_MOODS = 5
"""Moods run from 0 (angry) to 4 (delighted)."""

_TOPIC = {
    "electronics": "the headphones",
    "home": "the lamp",
    "fashion": "the jacket",
    "beauty": "the cream",
    "sports": "the running shoes",
    "toys": "the building set",
    "books": "the book",
    "garden": "the planter",
}

_OPENERS: dict[str, tuple[tuple[str, ...], ...]] = {
    "review": (
        ("Terrible, {topic} broke on day one", "I hate {topic}", "Worst purchase in years", "Not good at all"),
        ("Disappointed by {topic}", "{Topic} looked better online", "I expected more of {topic}", "Meh"),
        ("{Topic} does what it should", "Nothing special, nothing wrong", "Okay for the price", "It is fine"),
        ("Happy with {topic}", "{Topic} works well", "A good buy", "Not bad at all"),
        ("I love {topic}", "Absolutely delighted with {topic}", "Perfect, just perfect", "Could not be better"),
    ),
    "ticket": (
        ("This is unacceptable: {topic} never came", "Third time I ask about {topic}", "I want my money back now"),
        ("{Topic} arrived damaged", "My parcel with {topic} is late", "The voucher was refused at checkout"),
        ("How do I return {topic}", "Where can I see the status of my order", "Can I change the address"),
        ("Small question about {topic}", "Please send the invoice for {topic}", "Thanks, one more thing on {topic}"),
        ("Great service, only one wish for {topic}", "Thank you for the quick help", "You solved it, wonderful"),
    ),
    "survey": (
        ("I will not come back", "Too many e-mails and bad service", "I gave up on this shop"),
        ("I found better prices elsewhere", "It takes too long to find things", "Lately I lost interest"),
        ("Just looking around", "No strong opinion", "I compare a few offers right now"),
        ("Good choice and clear pages", "I found what I need", "Friendly and fast"),
        ("My favourite shop", "I tell all my friends about you", "Everything works, great job"),
    ),
}

_CLOSERS: tuple[tuple[str, ...], ...] = (
    ("Never again.", "I am angry.", "Avoid.", "A waste of money and time."),
    ("Sadly not what I hoped for.", "Delivery was slow too.", "Rather poor.", "I may send it back."),
    ("We will see.", "Delivery as announced.", "Average, I would say.", "No further comment."),
    ("Would buy again.", "Delivery was quick.", "Nice quality.", "Well done."),
    ("Thank you so much!", "Best shop by far!", "Super fast and lovely wrapped!", "I recommend it to everyone!"),
)

N_CLOSERS = len(_CLOSERS[0])


def _write(kind: str, mood: int, opener: str, closer: str, category: str) -> str:
    topic = _TOPIC[category]
    return f"{opener.format(topic=topic, Topic=topic[0].upper() + topic[1:])}. {closer}"


@cache
def all_texts() -> tuple[str, ...]:
    """Every text there can be, each once, in the order of the codes that ``text_codes`` gives.

    >>> all_texts()[0]
    'Terrible, the headphones broke on day one. Never again.'
    """
    return tuple(dict.fromkeys(_written()))


@cache
def _written() -> tuple[str, ...]:
    """A text for each kind, mood, phrases and category; those that do not name the category come eight times."""
    return tuple(
        _write(kind, mood, opener, closer, category)
        for kind in KINDS
        for mood in range(N_MOODS)
        for opener, closer, category in product(_OPENERS[kind][mood], _CLOSERS[mood], CATEGORIES)
    )


@cache
def _code_of_written() -> NDArray[np.int32]:
    place = {text: code for code, text in enumerate(all_texts())}
    return np.array([place[text] for text in _written()], dtype=np.int32)


def text_codes(
    rng: np.random.Generator, kind: str, mood: NDArray[np.int64], category: NDArray[np.int64]
) -> NDArray[np.int32]:
    """A text for each mood and category: positions in ``all_texts()``.

    >>> codes = text_codes(np.random.default_rng(0), "survey", np.array([4]), np.array([0]))
    >>> all_texts()[codes[0]].split(".")[0] in ("My favourite shop", "I tell all my friends about you",
    ...                                          "Everything works, great job")
    True
    """
    before = sum(_size(name) for name in KINDS[: KINDS.index(kind)])
    n_openers = len(_OPENERS[kind][0])
    per_mood = n_openers * N_CLOSERS * len(CATEGORIES)
    n = len(mood)
    choice = rng.integers(0, n_openers, n) * N_CLOSERS + rng.integers(0, N_CLOSERS, n)
    return np.asarray(_code_of_written()[before + mood * per_mood + choice * len(CATEGORIES) + category])


def _size(kind: str) -> int:
    return N_MOODS * len(_OPENERS[kind][0]) * N_CLOSERS * len(CATEGORIES)
