"""Predictions of yes-or-no outcomes: a model chosen on rows held out, calibrated, explained, doubted.

For a plain table here; for the outcomes of a playbook in :mod:`sojourn.predict.from_events`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from sojourn.frames import F8, Bools, Progress
from sojourn.predict.choose import Choice, Folds, compare_candidates, plain_folds, price_of_reading
from sojourn.predict.encoding import Encoding, learn_encoding, read_label
from sojourn.predict.leaks import Leak, find_leaks
from sojourn.predict.models import model_from_json, model_to_json
from sojourn.predict.reasons import Reader, read_model, reasons_of, weigh_columns
from sojourn.predict.scores import Threshold, fit_platt, set_threshold, tabulate_gains, to_p, trace_curve


@dataclass(frozen=True, eq=False)
class Prediction:
    """A deployed model of one outcome and all that is known about it.

    ``gains``, ``curve`` and ``threshold`` are of rows held out, ``weights`` says how much each column matters.
    """

    outcome: str
    choice: Choice
    reader: Reader
    n_rows: int
    base_rate: float
    leaks: tuple[Leak, ...]
    gains: pa.Table
    curve: pa.Table
    threshold: Threshold
    weights: pa.Table
    notes: tuple[str, ...] = ()

    @property
    def price(self) -> dict[str, Any]:
        """What being able to read the model costs (:func:`sojourn.predict.choose.price_of_reading`)."""
        return price_of_reading(self.choice)

    def predict(self, x: F8) -> pa.Table:
        """A row per encoded row: ``p``, ``rank`` (1: likeliest), ``reasons``, whose weights sum to the log-odds."""
        p = to_p(self.reader.log_odds(x))
        rank = np.empty(len(p), np.int64)
        rank[np.argsort(-p, kind="stable")] = np.arange(1, len(p) + 1)
        return pa.table({"p": p, "rank": rank, "reasons": reasons_of(self.reader, x)})


def learn_outcome(
    outcome: str,
    x: F8,
    y: Bools,
    encoding: Encoding,
    folds: Folds,
    *,
    cost: float = 1.0,
    benefit: float = 5.0,
    budget_s: float | None = None,
    seed: int = 0,
    notes: Sequence[str] = (),
    more_leaks: Sequence[Leak] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Prediction:
    """The prediction of one outcome: candidates compared on the folds, the chosen one fitted again on all rows.

    ``cost`` of acting on one customer and ``benefit`` of having acted on one to whom it would happen set the threshold.
    Raises EventsError where there is too little to learn from.
    """
    choice = compare_candidates(x, y, folds, budget_s=budget_s, seed=seed, progress=progress)
    chosen = choice[choice.deployed]
    model = chosen.candidate.fit(x, y.astype(np.int64), seed)
    slope, shift = fit_platt(chosen.raw, choice.happened)
    reader = read_model(model, encoding, x, slope, shift)
    held_out = to_p(chosen.log_odds)
    return Prediction(
        outcome,
        choice,
        reader,
        len(y),
        float(y.mean()),
        (*find_leaks(x, y, encoding, seed=seed), *more_leaks),
        tabulate_gains(held_out, choice.happened),
        trace_curve(held_out, choice.happened, cost, benefit),
        set_threshold(held_out, choice.happened, cost, benefit),
        weigh_columns(reader, x),
        (*encoding.left_out, *notes),
    )


def predict_table(
    table: pa.Table,
    label: str,
    *,
    positive: str | None = None,
    without: Sequence[str] = (),
    cost: float = 1.0,
    benefit: float = 5.0,
    budget_s: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Prediction, pa.Table]:
    """``(prediction, a row per row of the table)`` of a plain table with a label, such as a churn list.

    Five folds, since a plain table has no time. The rows have ``row`` (from 0), ``p``, ``rank``, ``reasons``, and
    ``held_out_p``: what was said of the row by a model that had not seen it. ``without`` are columns to leave out.
    Raises EventsError for a label that cannot be learned.
    """
    y, yes = read_label(table, label, positive)
    encoding = learn_encoding(table, [name for name in table.column_names if name != label and name not in without])
    x = encoding.encode(table)
    report = None if progress is None else (lambda done, all_: progress("compare models", done, all_))
    found = learn_outcome(
        f"{label} = {yes}",
        x,
        y,
        encoding,
        plain_folds(y.astype(np.int64), seed),
        cost=cost,
        benefit=benefit,
        budget_s=budget_s,
        seed=seed,
        progress=report,
    )
    held_out = np.empty(len(y))
    held_out[found.choice.test] = to_p(found.choice[found.choice.deployed].log_odds)
    rows = found.predict(x).add_column(0, "row", pa.array(np.arange(len(y))))
    return found, rows.append_column("held_out_p", pa.array(held_out))


def describe_prediction(found: Prediction) -> dict[str, Any]:
    """The model's card and the model itself, as ``prediction_models.json`` has them."""
    return {
        "outcome": found.outcome,
        "deployed": found.choice.deployed,
        "best": found.choice.best,
        "n_rows": found.n_rows,
        "base_rate": found.base_rate,
        "candidates": [
            {
                "name": t.name,
                "is_glass": t.candidate.is_glass,
                "rank": t.candidate.rank,
                "seconds": round(t.seconds, 2),
                "why_not": t.why_not,
                "log_loss_se": t.se_log_loss,
                "auc_se": t.se_auc,
                **(t.scores.as_dict() if t.scores else {}),
            }
            for t in found.choice.tried
        ],
        "price": found.price,
        "threshold": found.threshold.as_dict(),
        "gains": found.gains.to_pylist(),
        "curve": found.curve.to_pylist(),
        "leaks": [leak.as_dict() for leak in found.leaks],
        "weights": found.weights.to_pylist(),
        "notes": list(found.notes),
        "model": describe_reader(found.reader),
    }


def describe_reader(reader: Reader) -> dict[str, Any]:
    """All that scoring and explaining a row takes, as values that JSON can hold."""
    return {
        "columns": list(reader.encoding.columns),
        "levels": [list(ls) if ls is not None else None for ls in reader.encoding.levels],
        "slope": reader.slope,
        "shift": reader.shift,
        "centre": reader.centre.tolist(),
        "arrays": model_to_json(reader.model),
    }


def load_reader(described: dict[str, Any]) -> Reader:
    """The reader of :func:`describe_reader`: it scores without scikit-learn.

    >>> from sojourn.predict.models import Linear, Scale
    >>> scale = Scale(np.array([False]), np.zeros(1), np.ones(1))
    >>> model = Linear(scale, np.ones((1, 1)), np.zeros((1, 1)), np.zeros(1))
    >>> reader = Reader(model, Encoding(("visits",), (None,)), 1.0, 0.5, np.zeros(1))
    >>> load_reader(describe_reader(reader)).log_odds(np.array([[2.0]])).tolist()
    [2.5]
    """
    levels = tuple(tuple(ls) if ls is not None else None for ls in described["levels"])
    encoding = Encoding(tuple(described["columns"]), levels)
    return Reader(
        model_from_json(described["arrays"]),
        encoding,
        float(described["slope"]),
        float(described["shift"]),
        np.array(described["centre"], np.float64),
    )
