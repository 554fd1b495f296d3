"""How favourable a text is, from -1 to 1: by a lexicon, or by a model learned from labelled texts.

The same functions score columns of a batch and single calls of the live engine.
"""

from __future__ import annotations

import html
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING

from sojourn.language import find_language

if TYPE_CHECKING:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    from sojourn.sentiment_model import SentimentModel

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
class Scored:
    """What a text says: its score (NaN: not known) and its language (None: its words do not tell)."""

    score: float
    language: str | None


@dataclass(frozen=True, slots=True)
class Polarity:
    """What the lexicon says of a text: the normalised sum, and shares of favourable less unfavourable words."""

    compound: float
    balance: float


def score_text(text: str | None, model: SentimentModel | None = None) -> Scored:
    """The score of a text and its language. NaN for no text, and for a language that is not known.

    Without a model the score is VADER's compound score of the text with entities resolved, stretched words
    shortened, and links left out; it knows English. Scores are remembered by a hash of the text, never with it.
    Source: Hutto & Gilbert (2014), VADER, https://doi.org/10.1609/icwsm.v8i1.14550

    >>> score_text("Great phone, I love it!").score > 0.7, score_text("Das ist ein sehr gutes Telefon").score
    (True, nan)
    """
    if text is None or not text.strip():
        return Scored(math.nan, None)
    key = (b"" if model is None else model.key) + blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()
    found = _kept.get(key)
    if found is None:
        if len(_kept) >= _MOST_KEPT:
            _kept.clear()
        found = _kept[key] = _score(text[:LONGEST], model)
    return found


_kept: dict[bytes, Scored] = {}


def _score(text: str, model: SentimentModel | None) -> Scored:
    plain = clean_text(text)
    language = find_language(plain, _lexicon())
    if model is not None:
        return Scored(model.predict(plain, language), language)
    if language == "en" or (language is None and _is_sign_only(plain)):
        return Scored(measure_polarity(plain).compound, language)
    return Scored(math.nan, language)


def score_texts(texts: Iterable[str | None], model: SentimentModel | None = None) -> list[float]:
    """:func:`score_text` of each, scores only.

    >>> score_texts(["Awful.", None, ""])[1:]
    [nan, nan]
    """
    return [score_text(text, model).score for text in texts]


def count_languages(texts: Sequence[str | None], model: SentimentModel | None = None) -> Counter[str]:
    """How many texts were scored (``scored``), and how many were not, by language (``unknown`` where none is told).

    >>> count_languages(["I like it.", "C'est très bien", "XJ-9", None])
    Counter({'scored': 1, 'fr': 1, 'unknown': 1})
    """
    found: Counter[str] = Counter()
    for text in texts:
        if text and text.strip():
            scored = score_text(text, model)
            found["scored" if scored.score == scored.score else scored.language or "unknown"] += 1
    return found


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
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()
