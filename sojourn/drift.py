"""Whether recent customers look like those that a model was trained on: the population stability index, per column.

The index is 0 where both have the same shares in every bin and grows with the difference. Whatever the customers do, it
is not 0 in a sample; so a column drifts only where its index is both larger than chance makes it and large enough to
matter.

Source: Yurdakul & Naranjo 2020, "Statistical properties of the population stability index", Journal of Risk Model
Validation 14(4), doi:10.21314/JRMV.2020.227, for its distribution under no change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

F8 = NDArray[np.float64]

MATTERS = 0.1
"""An index below this is no drift, however sure it is: the usual rule of the credit industry."""
N_BINS = 10
_MOST_WORDS = 20  # values of a text column that have a bin of their own
_LEAST_ROWS = 50

DRIFT = pa.schema(
    [
        ("column", pa.string()),
        ("psi", pa.float64()),
        ("limit", pa.float64()),
        ("is_drift", pa.bool_()),
        ("missing_before_p", pa.float64()),
        ("missing_after_p", pa.float64()),
        ("why_not", pa.string()),
    ]
)
"""One row per column. ``limit``: what some column would exceed by chance once in twenty times, had nothing changed;
``why_not``: why there is no number."""


@dataclass(frozen=True)
class Index:
    """A population stability index, and what no change would exceed with the given probability."""

    psi: float
    limit: float


def measure_drift(before: pa.Table, after: pa.Table, *, columns: Sequence[str] | None = None) -> pa.Table:
    """The drift of each column that both tables have (:data:`DRIFT`), the largest first.

    A row is one customer: rows of the same customer would make chance look smaller than it is. Missing is a bin of its
    own.

    >>> rng = np.random.default_rng(0)
    >>> old = pa.table({"visits": rng.poisson(3.0, 500), "spend": rng.normal(size=500)})
    >>> new = pa.table({"visits": rng.poisson(6.0, 500), "spend": rng.normal(size=500)})
    >>> [(row["column"], row["is_drift"]) for row in measure_drift(old, new).to_pylist()]
    [('visits', True), ('spend', False)]
    """
    names = [name for name in before.column_names if name in after.column_names]
    names = [name for name in names if columns is None or name in columns]
    rows = [_measure(name, before[name], after[name], 0.05 / len(names)) for name in names]
    rows.sort(key=lambda row: -(row["psi"] if isinstance(row["psi"], float) else -1.0))
    return pa.Table.from_pylist(rows, schema=DRIFT)


def _measure(name: str, before: pa.ChunkedArray, after: pa.ChunkedArray, chance: float) -> dict[str, object]:
    row: dict[str, object] = {"column": name, "psi": None, "limit": None, "is_drift": False}
    row |= {"missing_before_p": _missing_p(before), "missing_after_p": _missing_p(after), "why_not": None}
    if min(len(before), len(after)) < _LEAST_ROWS:
        return row | {"why_not": f"fewer than {_LEAST_ROWS} customers"}
    if not (_is_number(before.type) and _is_number(after.type)) and before.type != after.type:
        return row | {"why_not": f"it was {before.type} and is {after.type}"}
    counts = _count_numbers if _is_number(before.type) else _count_words
    index = stability_index(*counts(before, after), chance=chance)
    is_drift = index.psi > max(index.limit, MATTERS)
    return row | {"psi": index.psi, "limit": index.limit, "is_drift": is_drift}


def stability_index(before: F8, after: F8, *, chance: float = 0.05) -> Index:
    """The index of counts per bin in two samples. A bin that one of them lacks counts as half a customer there.

    >>> index = stability_index(np.array([50.0, 30, 20]), np.array([20.0, 30, 50]))
    >>> round(index.psi, 4), round(index.limit, 4)
    (0.5498, 0.1198)
    """
    from scipy.stats import chi2

    n, m = before.sum(), after.sum()
    used = (before > 0) | (after > 0)
    p = np.maximum(before[used], 0.5) / n
    q = np.maximum(after[used], 0.5) / m
    psi = float(((q - p) * np.log(q / p)).sum())
    return Index(psi, float((1 / n + 1 / m) * chi2.ppf(1 - chance, max(int(used.sum()) - 1, 1))))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _as_numbers(column: pa.ChunkedArray) -> F8:
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _missing_p(column: pa.ChunkedArray) -> float:
    missing = column.null_count
    if pa.types.is_floating(column.type):
        missing += pc.sum(pc.is_nan(column.drop_null())).as_py() or 0
    return float(missing / max(len(column), 1))


def _count_numbers(before: pa.ChunkedArray, after: pa.ChunkedArray) -> tuple[F8, F8]:
    """Customers per tenth of those before; equal values are in one bin, and the missing in the last."""
    a, b = _as_numbers(before), _as_numbers(after)
    known = np.sort(a[np.isfinite(a)])
    cuts = np.unique(np.quantile(known, np.arange(1, N_BINS) / N_BINS, method="lower")) if len(known) else known

    def count(values: F8) -> F8:
        is_known = np.isfinite(values)
        found = np.bincount(np.searchsorted(cuts, values[is_known], side="left"), minlength=len(cuts) + 2)
        found[-1] = (~is_known).sum()
        return found.astype(np.float64)

    return count(a), count(b)


def _count_words(before: pa.ChunkedArray, after: pa.ChunkedArray) -> tuple[F8, F8]:
    """Customers per value, for the most frequent ones before; then all others, and the missing."""
    a, b = before.cast(pa.string()).to_pylist(), after.cast(pa.string()).to_pylist()
    values, n = np.unique([text for text in a if text is not None], return_counts=True)
    known = {text: i for i, text in enumerate(values[np.argsort(-n, kind="stable")][:_MOST_WORDS].tolist())}

    def count(texts: list[str | None]) -> F8:
        place = [len(known) + 1 if text is None else known.get(text, len(known)) for text in texts]
        return np.bincount(place, minlength=len(known) + 2).astype(np.float64)

    return count(a), count(b)


def say_drift(found: pa.Table) -> list[str]:
    """A sentence per column that drifts, the largest first."""
    return [
        f"{row['column']} has changed (stability index {row['psi']:.2f}; {row['limit']:.2f} may be chance)."
        for row in found.to_pylist()
        if row["is_drift"]
    ]
