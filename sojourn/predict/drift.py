"""Whether recent customers look like those that a model was trained on: the population stability index, per column.

The index is 0 where both have the same shares in every bin and grows with the difference. Whatever the customers do, it
is not 0 in a sample; so a column drifts only where its index is both larger than chance makes it and large enough to
matter.

Source: Yurdakul & Naranjo 2020, "Statistical properties of the population stability index", Journal of Risk Model
Validation 14(4), doi:10.21314/JRMV.2020.227, for its distribution under no change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import chi2

from sojourn.frames import F8

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


@dataclass(frozen=True)
class Shares:
    """How the values of a column lie: customers per bin. The last bin is of the missing.

    A column of numbers has ``cuts``, the upper ends of all its other bins but the last of them; one of words has
    ``words``, a bin each, and one for all others.
    """

    counts: tuple[float, ...]
    cuts: tuple[float, ...] | None
    words: tuple[str, ...] | None


def describe_shares(table: pa.Table, columns: Sequence[str] | None = None) -> dict[str, dict[str, Any]]:
    """The shares of each column as plain data, to be kept with a model that was trained on the table."""
    names = table.column_names if columns is None else columns
    return {name: vars(learn_shares(table[name])) for name in names if is_counted(table[name].type)}


def is_counted(kind: pa.DataType) -> bool:
    """Whether columns of a type can drift: numbers, yes and no, and words."""
    return _is_number(kind) or bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def learn_shares(column: pa.ChunkedArray) -> Shares:
    """Bins of a column, of about as many customers each, and its customers in them.

    >>> learn_shares(pa.chunked_array([["a", "b", "a", None]]))
    Shares(counts=(2.0, 1.0, 0.0, 1.0), cuts=None, words=('a', 'b'))
    """
    cuts: tuple[float, ...] | None = None
    words: tuple[str, ...] | None = None
    if _is_number(column.type):
        values = _as_numbers(column)
        known = values[np.isfinite(values)]
        found = np.quantile(known, np.arange(1, N_BINS) / N_BINS, method="lower") if len(known) else known
        cuts = tuple(np.unique(found).tolist())
    else:
        texts = [text for text in column.cast(pa.string()).to_pylist() if text is not None]
        names, n = np.unique(texts, return_counts=True)
        words = tuple(str(name) for name in names[np.argsort(-n, kind="stable")][:_MOST_WORDS])
    empty = Shares((), cuts, words)
    return Shares(tuple(count_in(empty, column).tolist()), cuts, words)


def count_in(bins: Shares, column: pa.ChunkedArray) -> F8:
    """The customers of another column in the bins of one."""
    if bins.cuts is not None:
        values = _as_numbers(column)
        is_known = np.isfinite(values)
        found = np.bincount(np.searchsorted(bins.cuts, values[is_known], side="left"), minlength=len(bins.cuts) + 2)
        found[-1] = (~is_known).sum()
        return found.astype(np.float64)
    known = {word: i for i, word in enumerate(bins.words or ())}
    texts = column.cast(pa.string()).to_pylist()
    place = [len(known) + 1 if text is None else known.get(text, len(known)) for text in texts]
    return np.bincount(place, minlength=len(known) + 2).astype(np.float64)


def measure_drift(before: Mapping[str, Mapping[str, Any]], after: pa.Table) -> pa.Table:
    """The drift of each column whose shares were kept (:data:`DRIFT`), the largest first.

    A row is one customer: rows of the same customer would make chance look smaller than it is. Missing is a bin of its
    own.

    >>> rng = np.random.default_rng(0)
    >>> old = pa.table({"visits": rng.poisson(3.0, 500), "spend": rng.normal(size=500)})
    >>> new = pa.table({"visits": rng.poisson(6.0, 500), "spend": rng.normal(size=500)})
    >>> [(row["column"], row["is_drift"]) for row in measure_drift(describe_shares(old), new).to_pylist()]
    [('visits', True), ('spend', False)]
    """
    chance = 0.05 / max(len(before), 1)
    rows = [_measure(name, Shares(**shares), after, chance) for name, shares in before.items()]
    rows.sort(key=lambda row: -row["psi"] if row["psi"] is not None else 1.0)
    return pa.Table.from_pylist(rows, schema=DRIFT)


def _measure(name: str, before: Shares, after: pa.Table, chance: float) -> dict[str, Any]:
    row: dict[str, Any] = {"column": name, "psi": None, "limit": None, "is_drift": False, "why_not": None}
    if name not in after.column_names:
        return row | {"why_not": "there is no such column any more"}
    if min(sum(before.counts), after.num_rows) < _LEAST_ROWS:
        return row | {"why_not": f"fewer than {_LEAST_ROWS} customers"}
    if (before.cuts is not None) != _is_number(after[name].type):
        return row | {"why_not": f"it is of another kind now, {after[name].type}"}
    index = stability_index(np.array(before.counts), count_in(before, after[name]), chance=chance)
    return row | {"psi": index.psi, "limit": index.limit, "is_drift": index.psi > max(index.limit, MATTERS)}


def stability_index(before: F8, after: F8, *, chance: float = 0.05) -> Index:
    """The index of counts per bin in two samples. A bin that one of them lacks counts as half a customer there.

    >>> index = stability_index(np.array([50.0, 30, 20]), np.array([20.0, 30, 50]))
    >>> round(index.psi, 4), round(index.limit, 4)
    (0.5498, 0.1198)
    """
    n, m = before.sum(), after.sum()
    used = (before > 0) | (after > 0)
    p = np.maximum(before[used], 0.5) / n
    q = np.maximum(after[used], 0.5) / m
    psi = float(((q - p) * np.log(q / p)).sum())
    return Index(psi, float((1 / n + 1 / m) * chi2.ppf(1 - chance, max(int(used.sum()) - 1, 1))))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _as_numbers(column: pa.ChunkedArray) -> F8:
    numbers = column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column
    return np.asarray(numbers.cast(pa.float64()).to_numpy(), np.float64)
