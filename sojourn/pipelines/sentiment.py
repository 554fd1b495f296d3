"""The job `sentiment`: how favourable texts are, and a model learned from labels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sojourn.errors import Problem, SojournError
from sojourn.frames import Progress, write_alone
from sojourn.pipelines.inputs import ignore
from sojourn.playbook.text import (
    LEAST_LABELS,
    Scored,
    compare_labels,
    correlate,
    load_model,
    read_texts_file,
    save_model,
    score_text,
    train_sentiment,
)


@dataclass(frozen=True, eq=False)
class Sentiment:
    """The scores (``row`` from 1, ``sentiment`` from -1 to 1 or null, ``language``), and the facts about them."""

    table: pa.Table
    facts: Mapping[str, Any]


def sentiment(
    file: str | Path,
    *,
    text: str = "text",
    label: str | None = None,
    model: str | Path | None = None,
    train: str | Path | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Sentiment:
    """How favourable the texts of a file are, as `sentiment(column)` in a playbook scores them.

    ``label``: a column to compare the scores with, or with ``train`` (a JSON file to write) to learn a model from.
    ``model``: a learned model to score with. ``out``: a Parquet file for the scores. Raises SojournError for files
    and columns that are not there.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder) / "reviews.csv"
    ...     n_bytes = file.write_text("text\\nI love this wonderful shop\\nterrible and broken\\n")
    ...     [score > 0 for score in sentiment(file).table["sentiment"].to_pylist()]
    [True, False]
    """
    if train is not None and label is None:
        raise SojournError(Problem("--train", "needs --label: the column of labels to learn from"))
    if train is not None and Path(train).suffix != ".json":
        raise SojournError(Problem("--train", f"'{train}' must end in .json, as a playbook names it"))
    read = read_texts_file(str(file), text, label)
    used = load_model(model) if model is not None else None
    scored = [score_text(said, used) for said in read.texts]
    facts: dict[str, Any] = {"texts": len(read.texts), **summarise_scores(scored, read.texts)}
    if read.labels is not None:
        facts["agreement"] = compare_scores([s.score for s in scored], read.labels)
        facts["labels_for_a_model"] = LEAST_LABELS
    if train is not None and read.labels is not None:
        (progress or ignore)("learn", 0, 0)
        learned = train_sentiment([said or "" for said in read.texts], read.labels, seed=seed)
        save_model(learned, Path(train))
        facts["trained"] = {
            "file": str(train),
            "kind": learned.kind,
            "texts": learned.n_texts,
            "terms": len(learned.terms),
            "languages": list(learned.languages),
            "evaluation": dict(learned.evaluation),
        }
    table = _tabulate(scored)
    if out is not None:
        write_alone(table, Path(out))
    return Sentiment(table, facts)


def summarise_scores(scored: Sequence[Scored], texts: Sequence[str | None]) -> dict[str, Any]:
    """How many have a score, which languages the others are in, and how the scores lie."""
    known = [s.score for s in scored if not math.isnan(s.score)]
    rest = Counter(
        s.language or "unknown"
        for s, said in zip(scored, texts, strict=True)
        if math.isnan(s.score) and said and said.strip()
    )
    return {
        "scored": len(known),
        "not_scored": dict(rest.most_common()),
        "mean": sum(known) / len(known) if known else None,
        "favourable": sum(score >= 0.05 for score in known),
        "unfavourable": sum(score <= -0.05 for score in known),
    }


def compare_scores(scores: Sequence[float], labels: Sequence[float]) -> dict[str, Any]:
    """How scores agree with labels: with two values accuracy and AUC, with more the correlation. NaN is left out."""
    x, y = np.array(scores, np.float64), np.array(labels, np.float64)
    is_both = np.isfinite(x) & np.isfinite(y)
    values = np.unique(y[np.isfinite(y)])
    found: dict[str, Any] = {"compared": int(is_both.sum()), "labelled": int(np.isfinite(y).sum())}
    if len(values) < 2 or is_both.sum() < 2:
        return found
    if len(values) == 2:
        return found | compare_labels(x[is_both], (y[is_both] == values[1]).astype(np.float64))
    return found | {"correlation": correlate(x[is_both], y[is_both])}


def _tabulate(scored: Sequence[Scored]) -> pa.Table:
    return pa.table(
        {
            "row": pa.array(range(1, len(scored) + 1), pa.int64()),
            "sentiment": pa.array([None if math.isnan(s.score) else s.score for s in scored], pa.float64()),
            "language": pa.array([s.language for s in scored], pa.string()),
        }
    )
