"""Fitted models scored by compiled loops: for a few rows at a time, where what NumPy does around each call is dear."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sojourn.errors import Problem, SojournError
from sojourn.fold import kernels
from sojourn.frames import F8, I8
from sojourn.predict.models import Additive, Form, Linear, Trees, score_rows
from sojourn.predict.reasons import Reader

Score = Callable[[F8], F8]
Chance = Callable[[F8, I8], F8]
Split = Callable[[F8], tuple[F8, float] | None]

_LEAST_P = 1e-6


def compile_score(model: Form, columns: I8, where: str = "model") -> Score:
    """A function from rows [n, any number of columns], float64 in C order, to log-odds [n]: those that ``score_rows``
    has first for ``columns`` of them.

    Sums are in another order, so that the last digits may differ. Raises SojournError for a model whose parts do not
    belong together, or that reads other than so many columns: compiled loops check nothing.

    >>> model = Additive((np.array([1.0]),), (np.array([[-1.0], [1.0], [0.0]]),), (), np.array([0.5]))
    >>> compile_score(model, np.array([1]))(np.array([[7.0, 0.0], [7.0, 1.0], [7.0, np.nan]])).tolist()
    [-0.5, 1.5, 0.5]
    """
    if isinstance(model, Additive) and not model.pairs:
        return _compile_sum(model, columns, where)
    if isinstance(model, Trees):
        return _compile_trees(model, columns, where)
    if isinstance(model, Linear):
        return _compile_linear(model, columns, where)
    return lambda x: np.ascontiguousarray(score_rows(model, x[:, columns])[:, 0])


def compile_chance(reader: Reader, longest_us: int | None) -> Chance:
    """A function from log-odds [n] and ``when`` [n, 2] to calibrated probabilities, in the place of the log-odds.

    The second of ``when`` is a silence in microseconds: NaN for one that is -1, or not below the longest.

    >>> from sojourn.predict.encoding import Encoding
    >>> none = np.zeros(0)
    >>> model = Additive((), (), (), np.zeros(1))
    >>> chance = compile_chance(Reader(model, Encoding((), ()), 2.0, 0.0, none), 100)
    >>> chance(np.array([0.0, 0.5, 0.0, 0.0]), np.array([[9, 5], [9, 5], [9, -1], [9, 100]])).round(3).tolist()
    [0.5, 0.731, nan, nan]
    """
    slope, shift = reader.slope, reader.shift
    longest = int(np.iinfo(np.int64).max) if longest_us is None else longest_us

    def say(log_odds: F8, when: I8) -> F8:
        kernels.say_chance(slope, shift, when, longest, log_odds)
        return log_odds

    return say


def compile_split(reader: Reader, where: str = "model") -> Split:
    """The same for ``reader.split``: what each column of these rows adds, and the base; None where nothing adds up.

    For a reader whose columns are all numbers.
    """
    model = reader.model
    if not isinstance(model, Additive) or model.pairs:
        return reader.split
    look_up = _compile_tables(model, len(reader.encoding.columns), where)
    base = float(reader.slope * (model.intercept[0] + reader.centre.sum()) + reader.shift)
    return lambda x: (np.asarray(reader.slope * (look_up(x) - reader.centre)), base)


def _compile_tables(model: Additive, n_columns: int, where: str) -> Score:
    """From rows to what each column says, [n, columns]."""
    starts, edges, values = _lay_out(model, n_columns, where)

    def tell(x: F8) -> F8:
        parts = np.empty((len(x), n_columns))
        kernels.look_up(x, starts, edges, values, parts)
        return parts

    return tell


def _compile_sum(model: Additive, columns: I8, where: str) -> Score:
    starts, edges, values = _lay_out(model, len(columns), where)
    intercept = float(model.intercept[0])

    def score(x: F8) -> F8:
        total = np.empty(len(x))
        kernels.add_tables(x, columns, intercept, starts, edges, values, total)
        return total

    return score


def _lay_out(model: Additive, n_columns: int, where: str) -> tuple[I8, F8, F8]:
    """Where each column's edges begin, all edges, and all values."""
    sizes = [len(edges) for edges in model.edges]
    is_whole = len(model.edges) == len(model.values) == n_columns and all(
        values.ndim == 2 and len(values) == n + 2 and values.shape[1] >= 1
        for n, values in zip(sizes, model.values, strict=True)
    )
    if not is_whole:
        raise SojournError(Problem(where, "its tables do not belong together"))
    starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)
    nothing = np.empty(0)
    edges = np.ascontiguousarray(np.concatenate([*model.edges, nothing]), np.float64)
    values = np.ascontiguousarray(np.concatenate([*(v[:, 0] for v in model.values), nothing]), np.float64)
    return starts, edges, values


def _compile_linear(model: Linear, columns: I8, where: str) -> Score:
    scale = model.scale
    is_log = np.ascontiguousarray(scale.is_log, np.bool_)
    given = (scale.mean, scale.spread, model.weight[:, 0], model.missing[:, 0])
    mean, spread, weight, missing = (np.ascontiguousarray(part, np.float64) for part in given)
    if {len(is_log), len(mean), len(spread), len(weight), len(missing)} != {len(columns)}:
        raise SojournError(Problem(where, "its weights do not belong together"))
    intercept = float(model.intercept[0])

    def score(x: F8) -> F8:
        total = np.empty(len(x))
        kernels.add_columns(x, columns, intercept, is_log, mean, spread, weight, missing, total)
        return total

    return score


def _compile_trees(model: Trees, columns: I8, where: str) -> Score:
    n = len(model.feature)
    node = np.arange(n)
    is_inner = model.feature >= 0
    lengths = {len(a) for a in (model.threshold, model.left, model.right, model.is_missing_left, model.value)}
    is_whole = lengths == {n} and bool(((model.roots >= 0) & (model.roots < n)).all())
    is_whole = is_whole and bool((model.feature < len(columns)).all())
    for child in (model.left, model.right):  # each further on than its parent: so every walk ends
        is_whole = is_whole and bool(((child > node) & (child < n))[is_inner].all())
    if not is_whole:
        raise SojournError(Problem(where, "its trees do not belong together"))
    feature = np.where(is_inner, columns[np.maximum(model.feature, 0)], -1) if len(columns) else model.feature
    parts = (
        np.ascontiguousarray(model.roots, np.int64),
        np.ascontiguousarray(feature, np.int64),
        np.ascontiguousarray(model.threshold, np.float64),
        np.ascontiguousarray(model.left, np.int64),
        np.ascontiguousarray(model.right, np.int64),
        np.ascontiguousarray(model.is_missing_left, np.bool_),
        np.ascontiguousarray(model.value, np.float64),
    )
    intercept = float(model.intercept[0])

    def score(x: F8) -> F8:
        total = np.empty(len(x))
        kernels.add_trees(x, *parts, model.is_mean, _LEAST_P, intercept, total)
        return total

    return score
