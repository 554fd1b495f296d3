"""Gradient boosting in which no tree combines columns: a table per column."""

from __future__ import annotations

import numpy as np

from sojourn.frames import F8, I8
from sojourn.predict.candidates import Candidate
from sojourn.predict.kinds.boosting import boost_trees
from sojourn.predict.models import Additive, find_bins

NAME = "additive boosting"
_MOST_BINS = 200


def fit_additive(x: F8, y: I8, seed: int) -> Additive:
    """Gradient boosting in which no tree combines columns, so that the model is a table per column.

    Columns are binned before, the fitted model is then asked for each bin of each column: what it answers is the table.
    """
    edges = tuple(cut_column(x[:, c]) for c in range(x.shape[1]))
    codes = np.column_stack([_code(e, x[:, c]) for c, e in enumerate(edges)])
    fitted = boost_trees(codes, y, seed, interaction_cst="no_interactions", max_leaf_nodes=6, min_samples_leaf=20)

    def ask(rows: F8) -> F8:
        said = np.asarray(fitted.decision_function(rows), np.float64)
        return said[:, None] if said.ndim == 1 else said

    start = ask(np.zeros((1, x.shape[1])))
    tables, intercept = [], start[0].copy()
    for c, edge in enumerate(edges):
        probe = np.zeros((len(edge) + 2, x.shape[1]))
        probe[:, c] = [*range(len(edge) + 1), np.nan]
        part = ask(probe) - start
        share = np.bincount(find_bins(edge, x[:, c]), minlength=len(part)) / len(x)
        tables.append(part - share @ part)
        intercept += share @ part
    return Additive(edges, tuple(tables), (), intercept)


def cut_column(values: F8) -> F8:
    """Edges between at most 200 bins of about as many rows each; between neighbouring values while they are few."""
    known = np.unique(values[~np.isnan(values)])
    if len(known) > _MOST_BINS:
        known = np.unique(np.quantile(values[~np.isnan(values)], np.linspace(0, 1, _MOST_BINS + 1), method="nearest"))
    return np.asarray(known[1:] - np.diff(known) / 2) if len(known) > 1 else np.empty(0)


def _code(edges: F8, column: F8) -> F8:
    return np.where(np.isnan(column), np.nan, np.searchsorted(edges, column, side="right"))


CANDIDATE = Candidate(NAME, rank=3, is_glass=True, fit=fit_additive, is_for_many=True, turn=2)
