"""Why a model says what it says: for all customers, and for each one in parts that add up to the log-odds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from sojourn.frames import F8, REASONS
from sojourn.predict.encoding import Encoding
from sojourn.predict.models import Form, Trees, score_rows, split_score

N_REASONS = 5


@dataclass(frozen=True, eq=False)
class Reader:
    """A deployed model of a yes-or-no outcome with all that reading it takes.

    The log-odds of a row is ``slope * score + shift`` (the calibration). ``centre`` [columns of the encoding] are the
    mean parts over the rows that it learned from, so that a part says how a customer differs from the average one.
    """

    model: Form
    encoding: Encoding
    slope: float
    shift: float
    centre: F8

    def log_odds(self, x: F8) -> F8:
        """The calibrated log-odds of encoded rows."""
        return np.asarray(self.slope * score_rows(self.model, x)[:, 0] + self.shift)

    def split(self, x: F8) -> tuple[F8, float] | None:
        """``(parts [rows, columns], base)``: base plus parts is the log-odds. None where a model does not add up."""
        found = _raw_parts(self.model, self.encoding, x)
        if found is None:
            return None
        parts, base = found
        return self.slope * (parts - self.centre), float(self.slope * (base + self.centre.sum()) + self.shift)


def read_model(model: Form, encoding: Encoding, x: F8, slope: float, shift: float) -> Reader:
    """The reader of a model; ``x`` are the rows that it learned from."""
    found = _raw_parts(model, encoding, x)
    centre = found[0].mean(axis=0) if found is not None else np.zeros(len(encoding.columns))
    return Reader(model, encoding, slope, shift, centre)


def _raw_parts(model: Form, encoding: Encoding, x: F8) -> tuple[F8, float] | None:
    """Parts by column of the table: the levels of one column are one thing."""
    if isinstance(model, Trees):
        return _walk_tree(model, encoding, x) if len(model.roots) == 1 and model.is_mean else None
    found = split_score(model, x)
    if found is None:
        return None
    parts = np.zeros((len(x), len(encoding.columns)))
    for c, source in enumerate(encoding.source):
        parts[:, source] += found[0][:, c, 0]
    return parts, float(found[1][0])


def _walk_tree(model: Trees, encoding: Encoding, x: F8) -> tuple[F8, float]:
    """What each split on the way down adds to the log-odds of the rows that took it.

    Source: Saabas 2014, Interpreting random forests.
    """
    parts = np.zeros((len(x), len(encoding.columns)))
    source = np.array(encoding.source)
    rows32 = x.astype(np.float32)

    def log_odds(node: Any) -> F8:
        p = np.clip(model.value[node], 1e-6, 1 - 1e-6)
        return np.asarray(np.log(p / (1 - p)))

    node = np.zeros(len(x), np.int64)
    while True:
        feature = model.feature[node]
        inner = np.flatnonzero(feature >= 0)
        if not len(inner):
            return parts, float(log_odds(0) + model.intercept[0])
        here = node[inner]
        value = rows32[inner, feature[inner]]
        is_left = np.where(np.isnan(value), model.is_missing_left[here], value <= model.threshold[here])
        after = np.where(is_left, model.left[here], model.right[here])
        parts[inner, source[feature[inner]]] += log_odds(after) - log_odds(here)
        node[inner] = after


def weigh_columns(reader: Reader, x: F8) -> pa.Table:
    """How much each column matters: ``column`` and ``weight``, the mean size of its part in log-odds, largest first.

    For a model that does not add up: how much the log-odds moves, on average, when the column is shuffled.
    """
    found = reader.split(x)
    if found is not None:
        weight = np.abs(found[0]).mean(axis=0)
    else:
        rng, plain, weight = np.random.default_rng(0), reader.log_odds(x), np.zeros(len(reader.encoding.columns))
        for i in range(len(weight)):
            own = np.array(reader.encoding.source) == i
            mixed = x.copy()
            mixed[:, own] = x[rng.permutation(len(x))][:, own]
            weight[i] = np.abs(reader.log_odds(mixed) - plain).mean()
    order = np.argsort(-weight, kind="stable")
    return pa.table({"column": [reader.encoding.columns[i] for i in order], "weight": weight[order]})


def reasons_of(reader: Reader, x: F8, n_most: int = N_REASONS) -> pa.Array:
    """For each row its strongest reasons as ``what``, ``weight`` (log-odds against the average customer).

    The last one, ``all else``, is what is left, base included: the weights add up to the log-odds. Null for a model
    that does not add up.
    """
    found = reader.split(x)
    if found is None:
        return pa.nulls(len(x), REASONS)
    parts, base = found
    order = np.argsort(-np.abs(parts), axis=1, kind="stable")[:, :n_most]
    taken = np.take_along_axis(parts, order, axis=1)
    rest = parts.sum(axis=1) - taken.sum(axis=1) + base
    names = np.array([*reader.encoding.columns, "all else"], object)
    what = np.column_stack([names[order], np.full(len(x), "all else", object)])
    weight = np.column_stack([taken, rest])
    flat = pa.StructArray.from_arrays(
        [pa.array(what.ravel(), pa.string()), pa.array(weight.ravel())], ["what", "weight"]
    )
    return pa.ListArray.from_arrays(np.arange(0, what.size + 1, what.shape[1], dtype=np.int32), flat).cast(REASONS)
