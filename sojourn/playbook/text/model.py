"""A sentiment model learned from labelled texts: words and pairs of words beside what the lexicon says.

It is trained with scikit-learn, kept as JSON (vocabulary and weights), and applied in plain Python.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property, lru_cache
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

from sojourn.errors import Problem, SojournError
from sojourn.frames import read_plain
from sojourn.playbook.text.lexicon import Polarity, measure_polarity

FORMAT = "sojourn-sentiment-1"

_TOKEN = re.compile(r"(?u)\b\w\w+\b")
_MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class SentimentModel:
    """Weights of terms and of the lexicon's two numbers. ``kind``: "labels" (logistic) or "ratings" (linear).

    ``middle`` and ``half`` turn a rating into a score from -1 to 1. ``languages`` are those it was trained on.
    """

    kind: str
    terms: Mapping[str, tuple[float, float]]  # term: (inverse document frequency, weight)
    lexicon: tuple[float, float]  # weights of the compound score and of the balance
    intercept: float
    middle: float
    half: float
    languages: tuple[str, ...]
    n_texts: int
    evaluation: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def key(self) -> bytes:
        """What tells this model from others: a hash of all it says."""
        return sha256(json.dumps(_describe(self), sort_keys=True).encode()).digest()[:16]

    def predict(self, text: str, language: str | None) -> float:
        """The score of a cleaned text from -1 to 1; NaN where its language or all its words are unknown."""
        is_strange = language is not None and language not in self.languages
        if is_strange or (language is None and self.terms.keys().isdisjoint(list_terms(text))):
            return math.nan
        total = self.add_up(text, read_lexicon(text, language))
        if self.kind == "labels":
            return math.tanh(total / 2.0)  # 2 p - 1
        return min(1.0, max(-1.0, (total - self.middle) / self.half))

    def add_up(self, text: str, says: Polarity) -> float:
        """The log-odds of the favourable label, or the rating, of a cleaned text of which the lexicon says this."""
        counts = Counter(term for term in list_terms(text) if term in self.terms)
        told = {term: (1.0 + math.log(n)) * self.terms[term][0] for term, n in counts.items()}
        size = math.sqrt(math.fsum(value * value for value in told.values())) or 1.0
        total = math.fsum(value / size * self.terms[term][1] for term, value in told.items())
        return total + self.intercept + self.lexicon[0] * says.compound + self.lexicon[1] * says.balance


def list_terms(text: str) -> list[str]:
    """Words of two letters or more in small letters, and pairs of neighbours.

    >>> list_terms("Not a good one")
    ['not', 'good', 'one', 'not good', 'good one']
    """
    words = _TOKEN.findall(text.lower())
    return words + [f"{a} {b}" for a, b in pairwise(words)]


def read_lexicon(text: str, language: str | None) -> Polarity:
    """What the English lexicon says of a cleaned text; nothing of one in another language."""
    return measure_polarity(text) if language in ("en", None) else Polarity(0.0, 0.0)


def save_model(model: SentimentModel, path: Path) -> None:
    """Writes the model as JSON."""
    path.write_text(json.dumps(_describe(model), ensure_ascii=False, sort_keys=True), encoding="utf-8")


def load_model(path: str | Path) -> SentimentModel:
    """The model that :func:`save_model` wrote, read once until the file changes. Raises SojournError for others."""
    try:
        stat = Path(path).stat()
        return _load(str(path), stat.st_mtime_ns, stat.st_size)
    except OSError as error:
        what = f"the sentiment model cannot be read: {error.strerror or error}"
        raise SojournError(Problem(str(path), what, command="sojourn sentiment LABELLED --train MODEL.json")) from None


@lru_cache(maxsize=16)
def _load(path: str, mtime_ns: int, size: int) -> SentimentModel:
    if size > _MOST_BYTES:
        raise SojournError(Problem(path, f"{size:,} bytes; a sentiment model has at most {_MOST_BYTES:,}"))
    try:
        said = json.loads(Path(path).read_text(encoding="utf-8"))
        if said["format"] != FORMAT:
            raise ValueError
        model = SentimentModel(
            kind=str(said["kind"]),
            terms={str(term): (float(idf), float(weight)) for term, (idf, weight) in said["terms"].items()},
            lexicon=(float(said["lexicon"][0]), float(said["lexicon"][1])),
            intercept=float(said["intercept"]),
            middle=float(said["middle"]),
            half=float(said["half"]),
            languages=tuple(map(str, said["languages"])),
            n_texts=int(said["n_texts"]),
            evaluation={str(name): float(value) for name, value in said["evaluation"].items()},
        )
        if model.kind not in ("labels", "ratings") or not model.half > 0:
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        what = "this is no sentiment model that Sojourn wrote"
        raise SojournError(Problem(path, what, command="sojourn sentiment LABELLED --train MODEL.json")) from None
    return model


def _describe(model: SentimentModel) -> dict[str, Any]:
    return {"format": FORMAT} | {f.name: getattr(model, f.name) for f in fields(model)}


_LABELS = {"positive": 1.0, "pos": 1.0, "good": 1.0, "negative": 0.0, "neg": 0.0, "bad": 0.0}


@dataclass(frozen=True)
class LabelledTexts:
    """The texts of a file in order, and their labels where a column of labels was asked for (NaN: none)."""

    texts: list[str | None]
    labels: list[float] | None


def read_texts_file(path: str, text: str, label: str | None) -> LabelledTexts:
    """The column of texts, and that of labels: numbers, or ``positive`` and ``negative``.

    Raises SojournError for a file that cannot be read, a column that is not there, and a label that is neither.
    """
    table = read_plain(path, [text, *([label] if label else [])])
    texts = [None if value is None else str(value) for value in table[text].to_pylist()]
    if label is None:
        return LabelledTexts(texts, None)
    return LabelledTexts(texts, [_read_label(path, i, value) for i, value in enumerate(table[label].to_pylist())])


def _read_label(path: str, row: int, value: object) -> float:
    if value is None or value == "":
        return math.nan
    word = str(value).strip().lower()
    try:
        number = _LABELS[word] if word in _LABELS else float(word)
    except ValueError:
        number = math.inf
    if math.isinf(number):
        what = f"'{str(value)[:80]}' is no label; write a number, or positive and negative"
        raise SojournError(Problem(f"{path}, row {row + 1}", what))
    return number
