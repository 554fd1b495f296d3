"""Leaks: columns of a learning table that know the future, found before a model is praised for using them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.ensemble import HistGradientBoostingClassifier

from sojourn.frames import F8, I8, Bools
from sojourn.predict.encoding import Encoding
from sojourn.predict.kinds import cut_column
from sojourn.predict.models import find_bins
from sojourn.predict.scores import area_under_curve

_ALONE = 0.75  # area of one column alone under which no column is suspected for what it explains
_MARGIN = 0.02  # and how much better it must be than all others together
_FUTURE = 0.1  # area that a column may know the future better than the past before it is suspected
_MOST_ROWS = 20_000
_N_FOLDS = 5


@dataclass(frozen=True)
class Leak:
    """A suspicion: ``explains too much``, ``missing tells``, ``knows the future``, ``changes`` or ``later``.

    ``auc`` is the area under the ROC curve of the column alone, ``auc_rest`` that of all other columns together.
    """

    column: str
    kind: str
    why: str
    auc: float | None = None
    auc_rest: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def find_leaks(x: F8, happened: Bools, encoding: Encoding, *, seed: int = 0) -> tuple[Leak, ...]:
    """Columns that explain too much: alone they do better than all the others together, measured on held-out fifths.

    ``x`` [rows, encoded columns]. At most 20,000 rows are looked at. A column whose being missing tells nearly all is
    named too. That a column is strong is no proof: whether it is known at the instant of prediction, only people know.

    >>> rng = np.random.default_rng(0)
    >>> y = rng.random(800) < 0.3
    >>> x = np.column_stack([rng.normal(size=800) + 0.5 * y, np.where(y, 1.0, rng.random(800) < 0.1)])
    >>> [leak.column for leak in find_leaks(x, y, Encoding(("age", "refund"), (None, None)))]
    ['refund']
    """
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(x))[:_MOST_ROWS]
    x, y = x[rows], happened[rows]
    fold = np.arange(len(x)) % _N_FOLDS
    source = np.array(encoding.source)
    found = []
    for i, name in enumerate(encoding.columns):
        own = source == i
        missing = np.isnan(x[:, own]).all(axis=1)
        alone = area_under_curve(_rate_alone(x[:, own], y, fold), y)
        gone = max(area_under_curve(missing.astype(float), y), area_under_curve(-missing.astype(float), y))
        if gone >= _ALONE:
            why = f"whether '{name}' is missing nearly tells the label (AUC {gone:.3f}): it may be filled in later"
            found.append(Leak(name, "missing tells", why, gone))
        elif alone >= _ALONE and not own.all():
            rest = area_under_curve(_fit_rest(x[:, ~own], y, fold, seed), y)
            if alone > rest + _MARGIN:
                why = (
                    f"'{name}' alone explains more (AUC {alone:.3f}) than all other columns together ({rest:.3f}): "
                    "it may be known only when the outcome is"
                )
                found.append(Leak(name, "explains too much", why, alone, rest))
        elif alone >= 0.99:
            found.append(
                Leak(name, "explains too much", f"'{name}' is nearly the label itself (AUC {alone:.3f})", alone)
            )
    return tuple(sorted(found, key=lambda leak: -(leak.auc or 0)))


def _rate_alone(x: F8, y: Bools, fold: I8) -> F8:
    """For each row the rate among rows of the other folds with like values, drawn to the overall rate where few."""
    code = np.zeros(len(x), np.int64)
    for c in range(x.shape[1]):
        bins = find_bins(_thin(cut_column(x[:, c])), x[:, c])
        code = code * (int(bins.max()) + 1) + bins
    _, code = np.unique(code, return_inverse=True)
    said = np.zeros(len(x))
    for k in range(_N_FOLDS):
        known, asked = fold != k, fold == k
        n = np.bincount(code[known], minlength=code.max() + 1)
        hits = np.bincount(code[known], y[known], minlength=code.max() + 1)
        said[asked] = ((hits + 5 * y[known].mean()) / (n + 5))[code[asked]]
    return said


def _thin(edges: F8, most: int = 20) -> F8:
    return edges if len(edges) <= most else edges[np.linspace(0, len(edges) - 1, most).astype(int)]


def _fit_rest(x: F8, y: Bools, fold: I8, seed: int) -> F8:
    """Held-out scores of a quick model on the other columns."""
    said = np.zeros(len(x))
    for k in range(_N_FOLDS):
        model = HistGradientBoostingClassifier(
            max_iter=80, max_leaf_nodes=15, learning_rate=0.08, early_stopping=False, random_state=seed
        )
        said[fold == k] = model.fit(x[fold != k], y[fold != k]).decision_function(x[fold == k])
    return said


def find_future_knowledge(x: F8, happened: Bools, names: Sequence[str], group: I8, at: I8) -> tuple[Leak, ...]:
    """Columns that know the future better than the past, in a table of customers at several instants.

    What is read from the past is at least as near to the last label as to the next one. So each column is compared
    with the label at its own instant (which comes after it) and with that of the instant before: a column that ranks
    the next one much better than the last one has seen it.
    """
    order = np.lexsort((at, group))
    follows = np.flatnonzero((group[order][1:] == group[order][:-1]) & (at[order][1:] > at[order][:-1]))
    now, before = order[follows + 1], order[follows]
    found = []
    for label in (happened[now], happened[before]):
        if len(label) < 50 or not 10 <= label.sum() <= len(label) - 10:
            return ()
    for c, name in enumerate(names):
        value = np.nan_to_num(x[now, c], nan=-np.inf)
        ahead, behind = (abs(area_under_curve(value, happened[r]) - 0.5) + 0.5 for r in (now, before))
        if ahead >= _ALONE and ahead - behind > _FUTURE:
            why = (
                f"'{name}' knows what happened next (AUC {ahead:.3f}) much better than what happened before "
                f"({behind:.3f}): it may have been read after the instant that it is said to be of"
            )
            found.append(Leak(name, "knows the future", why, ahead))
    return tuple(found)


def find_changes(table: pa.Table, again: pa.Table, names: Sequence[str]) -> tuple[Leak, ...]:
    """Columns that differ when what came after the instants is taken away.

    ``table`` and ``again`` have the same rows by ``customer_id`` and ``at``; ``again`` was made from events that end at
    its instants. A customer who is not there without the future is a leak of the rows, named ``customer_id``.

    >>> table = pa.table({"customer_id": ["a"], "at": [1], "spend": [9.0], "visits": [2.0]})
    >>> again = table.set_column(2, "spend", pa.array([4.0]))
    >>> [leak.column for leak in find_changes(table, again, ["spend", "visits"])]
    ['spend']
    """
    keys = [list(zip(t["customer_id"].to_pylist(), t["at"].to_pylist(), strict=True)) for t in (table, again)]
    place = {key: row for row, key in enumerate(keys[1])}
    kept = [row for row, key in enumerate(keys[0]) if key in place]
    found = []
    if len(kept) < len(keys[0]):
        n = len(keys[0]) - len(kept)
        found.append(Leak("customer_id", "changes", f"{n:,} rows are of customers who were not known at the instant"))
    there = [place[keys[0][row]] for row in kept]
    for name in names:
        a, b = table[name].take(pa.array(kept, pa.int64())), again[name].take(pa.array(there, pa.int64()))
        pairs = zip(a.to_pylist(), b.to_pylist(), strict=True)
        n = sum(not (u == v or (u != u and v != v)) for u, v in pairs)
        if n:
            found.append(Leak(name, "changes", f"'{name}' is another in {n:,} rows when what came later is taken away"))
    return tuple(found)


def find_later_instants(table: pa.Table, at: str = "at") -> tuple[Leak, ...]:
    """Columns of instants that are later than the instant of prediction in some row.

    >>> from datetime import datetime
    >>> rows = pa.table({"at": [datetime(2025, 1, 1)], "refund_at": [datetime(2025, 2, 1)]})
    >>> [leak.column for leak in find_later_instants(rows)]
    ['refund_at']
    """
    found = []
    for field in table.schema:
        if field.name in {at, "from_at", "until_at"} or not pa.types.is_timestamp(field.type):
            continue
        limit = table[at].cast(field.type) if field.type != table[at].type else table[at]
        n = pc.sum(pc.greater(table[field.name], limit)).as_py() or 0
        if n:
            found.append(Leak(field.name, "later", f"'{field.name}' is after the instant of prediction in {n:,} rows"))
    return tuple(found)
