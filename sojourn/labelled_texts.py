"""Texts and their labels out of a file: CSV, TSV, Parquet or JSON lines."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sojourn.errors import Problem, SojournError
from sojourn.plain_table import read_plain

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
