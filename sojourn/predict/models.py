"""Fitted models as plain arrays: scored with NumPy alone, written as JSON, explained where they add up.

A model gives log-odds [rows, outputs]: one output for yes or no, one per class (to be put through a softmax) for more.
Inputs are float64 [rows, columns], NaN is missing. Nothing here needs scikit-learn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.errors import Problem, SojournError
from sojourn.frames import F8, I8


@dataclass(frozen=True, eq=False)
class Scale:
    """Columns on a common scale: signed log where ``is_log``, then ``(x - mean) / spread``; missing becomes 0."""

    is_log: NDArray[np.bool_]
    mean: F8
    spread: F8


@dataclass(frozen=True, eq=False)
class Linear:
    """A weight per scaled column [C, K], another where it is missing [C, K], and the log-odds [K] to begin with."""

    scale: Scale
    weight: F8
    missing: F8
    intercept: F8


@dataclass(frozen=True, eq=False)
class Pair:
    """What two columns say together: ``values[i, j]``, the last row and column for missing."""

    columns: tuple[int, int]
    edges: tuple[F8, F8]
    values: F8  # [I + 1, J + 1, K]


@dataclass(frozen=True, eq=False)
class Additive:
    """A lookup table per column: ``values[c][number of edges at or below x]``, the last row for missing; and pairs."""

    edges: tuple[F8, ...]
    values: tuple[F8, ...]  # each [bins + 1, K]
    pairs: tuple[Pair, ...]
    intercept: F8


@dataclass(frozen=True, eq=False)
class Trees:
    """Binary trees, one after the other in flat arrays; ``x <= threshold`` goes left. ``feature`` -1 marks a leaf.

    ``is_mean``: the leaves are probabilities, averaged over trees, whose log-odds is the score, and values are compared
    in single precision, as scikit-learn does; else the leaves add up.
    """

    roots: I8
    feature: I8
    threshold: F8
    left: I8
    right: I8
    is_missing_left: NDArray[np.bool_]
    value: F8
    intercept: F8
    is_mean: bool


@dataclass(frozen=True, eq=False)
class Network:
    """Layers of weights and shifts with ReLU between them, on scaled columns and their missing marks."""

    scale: Scale
    weights: tuple[F8, ...]
    shifts: tuple[F8, ...]


@dataclass(frozen=True, eq=False)
class Kernel:
    """A sum of Gaussian bells around support vectors, on scaled columns and their missing marks."""

    scale: Scale
    vectors: F8
    weight: F8
    gamma: float
    intercept: F8


Form = Linear | Additive | Trees | Network | Kernel
_FORMS: Mapping[str, type[Any]] = {
    form.__name__.lower(): form for form in (Linear, Additive, Trees, Network, Kernel, Scale, Pair)
}
_LEAST_P = 1e-6


def score_rows(model: Form, x: F8) -> F8:
    """The log-odds [rows, outputs] of each row of ``x`` [rows, columns].

    >>> scale = Scale(np.array([False]), np.array([1.0]), np.array([2.0]))
    >>> model = Linear(scale, np.array([[4.0]]), np.array([[-1.0]]), np.array([0.5]))
    >>> score_rows(model, np.array([[2.0], [np.nan]])).ravel().tolist()
    [2.5, -0.5]
    """
    rows = np.asarray(x, np.float64)
    match model:
        case Linear():
            return np.asarray(
                scaled(model.scale, rows) @ model.weight + np.isnan(rows) @ model.missing + model.intercept
            )
        case Additive():
            return np.asarray(sum(_add_columns(model, rows), start=np.tile(model.intercept, (len(rows), 1))))
        case Trees():
            return _score_trees(model, rows)
        case Network():
            return _score_network(model, with_marks(model.scale, rows))
        case Kernel():
            z = with_marks(model.scale, rows)
            square = (z**2).sum(1)[:, None] + (model.vectors**2).sum(1) - 2.0 * z @ model.vectors.T
            return np.asarray(np.exp(-model.gamma * square) @ model.weight + model.intercept)


def scaled(scale: Scale, x: F8) -> F8:
    """The columns on the common scale; missing is 0, the mean."""
    z = np.where(scale.is_log, np.sign(x) * np.log1p(np.abs(x)), x)
    return np.nan_to_num((z - scale.mean) / scale.spread)


def with_marks(scale: Scale, x: F8) -> F8:
    """The scaled columns, then for each whether it is missing."""
    return np.hstack([scaled(scale, x), np.isnan(x)])


def find_bins(edges: F8, x: F8) -> I8:
    """The number of edges at or below each value; one more than there can be for missing."""
    return np.where(np.isnan(x), len(edges) + 1, np.searchsorted(edges, x, side="right"))


def _add_columns(model: Additive, x: F8) -> list[F8]:
    """What each column, then each pair, adds to the log-odds: [rows, K] each."""
    found = [
        values[find_bins(edges, x[:, c])]
        for c, (edges, values) in enumerate(zip(model.edges, model.values, strict=True))
    ]
    for pair in model.pairs:
        place = [find_bins(edges, x[:, c]) for c, edges in zip(pair.columns, pair.edges, strict=True)]
        found.append(pair.values[place[0], place[1]])
    return found


def _score_trees(model: Trees, x: F8) -> F8:
    total = np.zeros(len(x))
    x = x.astype(np.float32) if model.is_mean else x
    row = np.arange(len(x))
    for root in model.roots:
        node = np.full(len(x), root)
        while True:
            feature = model.feature[node]
            inner = feature >= 0
            if not inner.any():
                break
            value = x[row, np.maximum(feature, 0)]
            is_left = np.where(np.isnan(value), model.is_missing_left[node], value <= model.threshold[node])
            node = np.where(inner, np.where(is_left, model.left[node], model.right[node]), node)
        total += model.value[node]
    if model.is_mean:
        p = np.clip(total / len(model.roots), _LEAST_P, 1 - _LEAST_P)
        return np.log(p / (1 - p))[:, None] + model.intercept
    return total[:, None] + model.intercept


def _score_network(model: Network, z: F8) -> F8:
    for k, (weight, shift) in enumerate(zip(model.weights, model.shifts, strict=True)):
        z = z @ weight + shift
        if k < len(model.weights) - 1:
            z = np.maximum(z, 0.0)
    return z


def split_score(model: Form, x: F8) -> tuple[F8, F8] | None:
    """``(parts [rows, columns, K], base [K])``: what each column adds, so that base plus parts is the log-odds.

    What a pair says is divided equally between its two columns. None for models that do not add up.
    """
    rows = np.asarray(x, np.float64)
    if isinstance(model, Linear):
        parts = scaled(model.scale, rows)[:, :, None] * model.weight + np.isnan(rows)[:, :, None] * model.missing
        return parts, model.intercept
    if not isinstance(model, Additive):
        return None
    found = _add_columns(model, rows)
    parts = (
        np.stack(found[: len(model.edges)], axis=1) if model.edges else np.zeros((len(rows), 0, len(model.intercept)))
    )
    for pair, both in zip(model.pairs, found[len(model.edges) :], strict=True):
        for c in pair.columns:
            parts[:, c] += both / 2
    return parts, model.intercept


def model_to_json(model: Any) -> dict[str, Any]:
    """The model as values that JSON can hold; numbers keep every digit."""
    return {"form": type(model).__name__.lower()} | {f.name: _plain(getattr(model, f.name)) for f in fields(model)}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if isinstance(value, Scale | Pair):
        return model_to_json(value)
    return value


def model_from_json(described: Mapping[str, Any], where: str = "prediction_models.json") -> Form:
    """The model of :func:`model_to_json`. Raises SojournError for anything else."""
    try:
        return _read(described)  # type: ignore[no-any-return]
    except (KeyError, TypeError, ValueError) as error:
        what = f"this is no model of this version of Sojourn ({type(error).__name__}: {error})"
        raise SojournError(
            Problem(where, what, command="sojourn predict EVENTS --playbook PLAYBOOK --out DIR")
        ) from None


_WHOLE = {"roots", "feature", "left", "right"}
_YES_NO = {"is_log", "is_missing_left"}


def _read(described: Mapping[str, Any]) -> Any:
    form = _FORMS[described["form"]]
    values: dict[str, Any] = {}
    for f in fields(form):
        value = described[f.name]
        if isinstance(value, Mapping):
            values[f.name] = _read(value)
        elif f.name == "pairs":
            values[f.name] = tuple(_read(v) for v in value)
        elif f.name == "columns":
            values[f.name] = tuple(int(v) for v in value)
        elif f.name in {"edges", "weights", "shifts"} or (form is Additive and f.name == "values"):
            values[f.name] = tuple(np.array(v, np.float64) for v in value)
        elif isinstance(value, list):
            kind = np.int64 if f.name in _WHOLE else np.bool_ if f.name in _YES_NO else np.float64
            values[f.name] = np.array(value, kind)
        else:
            values[f.name] = value
    return form(**values)
