"""Texts and their labels out of a file: CSV, TSV, Parquet or JSON lines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from sojourn.errors import Problem, SojournError, nearest

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
    table = _read_table(Path(path))
    for name in [text, *([label] if label else [])]:
        if name not in table.column_names:
            what = f"there is no column '{name}'; it has {', '.join(table.column_names[:20])}"
            raise SojournError(Problem(path, what, nearest(name, table.column_names)))
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


def _read_table(path: Path) -> pa.Table:
    kinds = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    kind = kinds[-1] if kinds else ""
    try:
        if kind == ".parquet":
            import pyarrow.parquet as pq

            return pq.read_table(path)
        if kind in (".csv", ".tsv"):
            from pyarrow import csv

            form = csv.ParseOptions(delimiter="\t" if kind == ".tsv" else ",", newlines_in_values=True)
            return csv.read_csv(path, parse_options=form)
        if kind in (".jsonl", ".ndjson"):
            from pyarrow import json

            return json.read_json(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise SojournError(Problem(str(path), f"cannot be read: {str(error).splitlines()[0]}")) from None
    raise SojournError(Problem(str(path), "texts are read from .csv, .tsv, .parquet and .jsonl files"))
