"""Polarity of one text by a lexicon."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer


LONGEST = 5_000
"""Characters of a text that are read."""


_MOST_KEPT = 100_000
_STRETCHED = re.compile(r"([a-z])\1{2,}")
_GLUED = re.compile(r"(?<=[A-Za-z]{2})([.,!?]+)(?=[A-Za-z]{2})")
_LINK = re.compile(r"(?:https?://|www\.)\S+")
_MENTION = re.compile(r"@\w+")
_HASH = re.compile(r"#(?=[A-Za-z])")
_EDGE = "!?.,;:\"'()*"
_STRAIGHT = str.maketrans({"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "\u00a0": " "})


@dataclass(frozen=True, slots=True)
class Polarity:
    """What the lexicon says of a text: the normalised sum, and shares of favourable less unfavourable words."""

    compound: float
    balance: float


def clean_text(text: str) -> str:
    """The text as it is scored: entities resolved, quotes straight, links and hashes out, stretched words shortened.

    >>> clean_text("sooooo goooood &amp; cheap http://x.y #love")
    'so good & cheap love'
    """
    text = _HASH.sub("", _LINK.sub(" ", html.unescape(text).translate(_STRAIGHT)))
    words = _GLUED.sub(r"\1 ", text).split()
    return " ".join(map(_shorten, words) if _STRETCHED.search(text.lower()) else words)


def _shorten(word: str) -> str:
    core = word.strip(_EDGE)
    low = core.lower()
    if not _STRETCHED.search(low) or low in _lexicon():
        return word
    for times in (r"\1\1", r"\1"):
        short = _STRETCHED.sub(times, low)
        if short in _lexicon() or short in ("so", "very", "too", "really", "not", "no"):
            return word.replace(core, short.upper() if core.isupper() else short)
    return word


def measure_polarity(text: str) -> Polarity:
    """What the lexicon says of a cleaned English text."""
    found = _analyzer().polarity_scores(text)
    return Polarity(float(found["compound"]), float(found["pos"] - found["neg"]))


def _is_sign_only(text: str) -> bool:
    """Whether a text has no words but signs that the lexicon knows in any language: smileys, emoji."""
    text = _MENTION.sub(" ", text)
    return not any(letter.isalpha() and ord(letter) < 0x2000 for letter in text) and (
        any(word in _lexicon() for word in text.split()) or any(letter in _analyzer().emojis for letter in text)
    )


@cache
def _lexicon() -> frozenset[str]:
    return frozenset(_analyzer().lexicon)


@cache
def _analyzer() -> SentimentIntensityAnalyzer:
    # vaderSentiment: reads its lexicon when imported
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()
