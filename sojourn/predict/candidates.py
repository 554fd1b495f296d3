"""Candidates to predict with: fitted by scikit-learn, handed on as the plain arrays of ``predict_models``."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.predict.models import Additive, Form, Kernel, Linear, Network, Pair, Scale, Trees, find_bins, with_marks

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]
Fit = Callable[[F8, I8, int], Form]

_STRENGTHS = (0.003, 0.03, 0.3)  # C of the logistic regression
_MANY_ROWS = 20_000  # from which on any of them will do
_MOST_BINS = 200
_SKEWED = 2.0  # |skewness| from which a column is put on a signed log scale
_MOST_KERNEL_ROWS = 4_000  # the time of a kernel machine grows with their square
_MOST_NETWORK_ROWS = 50_000


@dataclass(frozen=True)
class Candidate:
    """A way to predict. ``rank``: how hard it is to read, 1 is easiest; ``is_glass``: each column's part can be read.

    ``fit(x, y, seed)`` takes x [rows, columns] and y as whole numbers from 0, and gives the fitted model.
    """

    name: str
    rank: int
    is_glass: bool
    fit: Fit
    is_for_many: bool = False  # whether it does more than two classes


def list_candidates() -> tuple[Candidate, ...]:
    """All candidates in the order in which they are tried, the quickest of a kind first, for the sake of a budget.

    The explainable boosting machine takes longer than all others together: it is last, and only where it is installed.
    """
    slow = [Candidate("explainable boosting", 4, True, fit_explainable)] if find_spec("interpret") else []
    return (
        Candidate("logistic regression", 1, True, fit_logistic, True),
        Candidate("additive boosting", 3, True, fit_additive, True),
        Candidate("gradient boosting", 6, False, fit_boosting),
        Candidate("decision tree", 2, True, fit_tree),
        Candidate("random forest", 5, False, fit_forest),
        Candidate("support vectors", 7, False, fit_kernel),
        Candidate("neural network", 8, False, fit_network),
        *slow,
    )


def learn_scale(x: F8) -> Scale:
    """Mean and spread of each column, skewed ones on a signed log scale. A column without any value is left alone."""
    from scipy.stats import skew

    is_log = np.zeros(x.shape[1], bool)
    mean, spread = np.zeros(x.shape[1]), np.ones(x.shape[1])
    for c in range(x.shape[1]):
        known = x[~np.isnan(x[:, c]), c]
        if not len(known):
            continue
        if np.ptp(known) > 0 and len(np.unique(known[:2000])) > 2:
            is_log[c] = abs(float(skew(known))) > _SKEWED
        if is_log[c]:
            known = np.sign(known) * np.log1p(np.abs(known))
        mean[c] = known.mean()
        spread[c] = known.std() if known.std() > 1e-9 else 1.0
    return Scale(is_log, mean, spread)


def fit_logistic(x: F8, y: I8, seed: int) -> Linear:
    """Logistic regression, multinomial for more than two classes, drawn to zero as strongly as the data allow."""
    from sklearn.linear_model import LogisticRegression

    scale = learn_scale(x)
    z = with_marks(scale, x)
    fitted = LogisticRegression(C=_choose_strength(z, y, seed), max_iter=400).fit(z, y)
    weight = np.asarray(fitted.coef_.T, np.float64)
    n = x.shape[1]
    return Linear(scale, weight[:n].copy(), weight[n:].copy(), np.asarray(fitted.intercept_, np.float64))


def _choose_strength(z: F8, y: I8, seed: int) -> float:
    """The penalty (C) with the least loss on rows held out, in three folds."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    if len(y) > _MANY_ROWS or not z.shape[1]:
        return _STRENGTHS[-1]
    if np.bincount(y)[np.unique(y)].min() < 3:
        return _STRENGTHS[1]
    loss = np.zeros(len(_STRENGTHS))
    for a, b in StratifiedKFold(3, shuffle=True, random_state=seed).split(z, y):
        for i, strength in enumerate(_STRENGTHS):
            fitted = LogisticRegression(C=strength, max_iter=200).fit(z[a], y[a])
            p = fitted.predict_proba(z[b])[np.arange(len(b)), np.searchsorted(fitted.classes_, y[b])]
            loss[i] -= np.log(np.maximum(p, 1e-9)).sum()
    return _STRENGTHS[int(loss.argmin())]


def fit_tree(x: F8, y: I8, seed: int) -> Trees:
    """One tree of at most sixteen leaves, each of at least 1 % of the rows."""
    from sklearn.tree import DecisionTreeClassifier

    model = DecisionTreeClassifier(max_leaf_nodes=16, min_samples_leaf=max(20, len(x) // 100), random_state=seed)
    return _take_trees([model.fit(x, y)])


def fit_forest(x: F8, y: I8, seed: int) -> Trees:
    """A hundred trees on resampled rows."""
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(100, min_samples_leaf=max(5, len(x) // 2000), max_samples=0.7, random_state=seed)
    return _take_trees(model.fit(x, y).estimators_)


def _take_trees(fitted: Any) -> Trees:
    """Trees whose leaves are probabilities, as flat arrays."""
    parts = [tree.tree_ for tree in fitted]
    sizes = np.array([part.node_count for part in parts])
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)

    def join(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in parts])

    shift = np.repeat(roots, sizes)
    is_leaf = join("children_left") < 0
    value = join("value")[:, 0, :]
    return Trees(
        roots, np.where(is_leaf, -1, join("feature")).astype(np.int64), join("threshold").astype(np.float64),
        (join("children_left") + shift).astype(np.int64), (join("children_right") + shift).astype(np.int64),
        join("missing_go_to_left").astype(bool), value[:, 1] / value.sum(axis=1), np.zeros(1), True,
    )  # fmt: skip


def _boost(x: F8, y: I8, seed: int, **settings: Any) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    is_large = len(x) >= 400  # with fewer there is too little to stop early on
    settings = {"learning_rate": 0.05, "max_iter": 400 if is_large else 60, "l2_regularization": 1.0} | settings
    return HistGradientBoostingClassifier(
        early_stopping=is_large, validation_fraction=0.15, n_iter_no_change=20, random_state=seed, **settings
    ).fit(x, y)


def fit_boosting(x: F8, y: I8, seed: int) -> Trees:
    """Gradient boosting of trees that may combine columns."""
    fitted = _boost(x, y, seed, max_leaf_nodes=15, min_samples_leaf=20)
    nodes = [part[0].nodes for part in fitted._predictors]
    sizes = np.array([len(part) for part in nodes])
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    shift = np.repeat(roots, sizes)
    whole = np.concatenate(nodes)
    is_leaf = whole["is_leaf"].astype(bool)
    return Trees(
        roots, np.where(is_leaf, -1, whole["feature_idx"]).astype(np.int64), whole["num_threshold"].astype(np.float64),
        whole["left"].astype(np.int64) + shift, whole["right"].astype(np.int64) + shift,
        whole["missing_go_to_left"].astype(bool), np.where(is_leaf, whole["value"], 0.0),
        np.ravel(fitted._baseline_prediction).astype(np.float64), False,
    )  # fmt: skip


def cut_column(values: F8) -> F8:
    """Edges between at most 200 bins of about as many rows each; between neighbouring values while they are few."""
    known = np.unique(values[~np.isnan(values)])
    if len(known) > _MOST_BINS:
        known = np.unique(np.quantile(values[~np.isnan(values)], np.linspace(0, 1, _MOST_BINS + 1), method="nearest"))
    return np.asarray(known[1:] - np.diff(known) / 2) if len(known) > 1 else np.empty(0)


def fit_additive(x: F8, y: I8, seed: int) -> Additive:
    """Gradient boosting in which no tree combines columns, so that the model is a table per column.

    Columns are binned before, the fitted model is then asked for each bin of each column: what it answers is the table.
    """
    edges = tuple(cut_column(x[:, c]) for c in range(x.shape[1]))
    codes = np.column_stack([_code(e, x[:, c]) for c, e in enumerate(edges)])
    fitted = _boost(codes, y, seed, interaction_cst="no_interactions", max_leaf_nodes=6, min_samples_leaf=20)

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


def _code(edges: F8, column: F8) -> F8:
    return np.where(np.isnan(column), np.nan, np.searchsorted(edges, column, side="right"))


def fit_explainable(x: F8, y: I8, seed: int) -> Additive:
    """The explainable boosting machine of ``interpret-core``, with a few pairs of columns.

    Source: Nori et al. 2019, arXiv:1909.09223.
    """
    from interpret.glassbox import ExplainableBoostingClassifier

    fitted = ExplainableBoostingClassifier(
        outer_bags=4, interactions=10, learning_rate=0.04, early_stopping_rounds=50, n_jobs=1, random_state=seed,
        feature_types=["continuous"] * x.shape[1],
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that its own drawings leave out missing values; these are not drawn by it
        fitted.fit(x, y)
    edges, tables, pairs = [np.empty(0)] * x.shape[1], [np.zeros((2, 1))] * x.shape[1], []
    for columns, scores in zip(fitted.term_features_, fitted.term_scores_, strict=True):
        cuts = [np.asarray(fitted.bins_[c][min(len(columns), len(fitted.bins_[c])) - 1], np.float64) for c in columns]
        inner = scores[tuple(slice(0, -1) for _ in columns)]  # the last is for values never seen: there are none
        for axis in range(len(columns)):
            inner = np.roll(inner, -1, axis=axis)  # missing comes first there, last here
        if len(columns) == 1:
            edges[columns[0]], tables[columns[0]] = cuts[0], inner[:, None]
        else:
            pairs.append(Pair((int(columns[0]), int(columns[1])), (cuts[0], cuts[1]), inner[:, :, None]))
    return Additive(tuple(edges), tuple(tables), tuple(pairs), np.asarray(fitted.intercept_, np.float64))


def fit_kernel(x: F8, y: I8, seed: int) -> Kernel:
    """A support vector machine with a Gaussian kernel, on at most 4,000 rows drawn at random."""
    from sklearn.svm import SVC

    scale = learn_scale(x)
    rows = np.random.default_rng(seed).permutation(len(x))[:_MOST_KERNEL_ROWS]
    z = with_marks(scale, x)[rows]
    gamma = 1.0 / max(z.shape[1] * float(z.var()), 1e-9)
    fitted = SVC(C=1.0, gamma=gamma, cache_size=100).fit(z, y[rows])
    return Kernel(
        scale, np.asarray(fitted.support_vectors_, np.float64), np.asarray(fitted.dual_coef_.T, np.float64), gamma,
        np.asarray(fitted.intercept_, np.float64),
    )  # fmt: skip


def fit_network(x: F8, y: I8, seed: int) -> Network:
    """A network with one hidden layer of 32, stopped early."""
    from sklearn.neural_network import MLPClassifier

    scale = learn_scale(x)
    rows = np.random.default_rng(seed).permutation(len(x))[:_MOST_NETWORK_ROWS]
    fitted = MLPClassifier(
        (32,), alpha=1e-2, early_stopping=len(rows) >= 400, n_iter_no_change=5, max_iter=60, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that 60 rounds were not enough shows in its scores
        fitted.fit(with_marks(scale, x)[rows], y[rows])
    return Network(
        scale, tuple(np.asarray(w, np.float64) for w in fitted.coefs_),
        tuple(np.asarray(s, np.float64) for s in fitted.intercepts_),
    )  # fmt: skip
