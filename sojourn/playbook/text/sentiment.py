"""How favourable a text is, from -1 to 1: by a lexicon, or by a model learned from labelled texts.

The same functions score columns of a batch and single calls of the live engine.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from sojourn.playbook.text.language import find_language
from sojourn.playbook.text.lexicon import _MOST_KEPT, LONGEST, _is_sign_only, _lexicon, clean_text, measure_polarity

if TYPE_CHECKING:
    from sojourn.playbook.text.model import SentimentModel


@dataclass(frozen=True, slots=True)
class Scored:
    """What a text says: its score (NaN: not known) and its language (None: its words do not tell)."""

    score: float
    language: str | None


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
