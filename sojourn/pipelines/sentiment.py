"""The job `sentiment`: how favourable texts are."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sojourn.playbook.text.sentiment import Scored


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
    import numpy as np

    from sojourn.playbook.text.train import compare_labels, correlate

    x, y = np.array(scores, np.float64), np.array(labels, np.float64)
    is_both = np.isfinite(x) & np.isfinite(y)
    values = np.unique(y[np.isfinite(y)])
    found: dict[str, Any] = {"compared": int(is_both.sum()), "labelled": int(np.isfinite(y).sum())}
    if len(values) < 2 or is_both.sum() < 2:
        return found
    if len(values) == 2:
        return found | compare_labels(x[is_both], (y[is_both] == values[1]).astype(np.float64))
    return found | {"correlation": correlate(x[is_both], y[is_both])}


def _write_scores(scored: Sequence[Scored], out: Path) -> None:
    import pyarrow as pa

    from sojourn.frames.files import write_alone

    table = pa.table(
        {
            "row": pa.array(range(1, len(scored) + 1), pa.int64()),
            "sentiment": pa.array([None if math.isnan(s.score) else s.score for s in scored], pa.float64()),
            "language": pa.array([s.language for s in scored], pa.string()),
        }
    )
    write_alone(table, out)
