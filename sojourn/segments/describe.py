"""What sets each segment apart, in numbers with intervals, in rules that a person can read, and in a name.

Differences are standardized (Cohen's d) with the interval of Hedges and Olkin (1985). The rules are those of a tree of
at most three questions, which agrees with the segments only so far: how far is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.tree import DecisionTreeClassifier

from sojourn.frames import F8, I8
from sojourn.segments.prepare import FLAG, LEVEL, LOG, MISSING, NUMBER, Preparation, learn_preparation, read_numbers

_NAMED_BY = 2
_MARK, _STRONG = 0.5, 1.2  # Cohen 1988: 0.5 is a middling difference
_DEPTH = 3
_SAMPLE = 20_000
_FOLDS = 5


@dataclass(frozen=True, eq=False)
class Rules:
    """A shallow tree that says who is in which segment, and how often it is right.

    ``text`` is a rule per segment, "" where no leaf is mostly of it; ``agreement_p`` the share of customers that the
    tree puts where the clustering did, on customers it was not grown on; ``share_p`` what the largest segment alone
    would reach. ``precision_p``: of those a segment's rule holds for, how many are in it; ``recall_p`` the reverse.
    """

    text: tuple[str, ...]
    precision_p: tuple[float, ...]
    recall_p: tuple[float, ...]
    agreement_p: float
    share_p: float


def describe_segments(
    table: pa.Table, preparation: Preparation, group: I8, k: int, *, seed: int = 0, extra: Sequence[str] = ()
) -> pa.Table:
    """A row per group and input: ``group, input, n_customers, median, median_rest, mean, mean_rest, difference,
    difference_low, difference_high``, the strongest first within a group.

    Medians and means are in the input's own unit; ``difference`` is between the means of the prepared values, in
    standard deviations within, with its 95 % interval. ``extra``: further columns to describe that were no inputs.
    """
    names = [name for name in extra if name in table.column_names]
    rest = learn_preparation(table, names, seed=seed).inputs if names else ()
    both = Preparation((*preparation.inputs, *rest), ())
    matrix = both.apply(table)
    rows: list[dict[str, Any]] = []
    for j, one in enumerate(both.inputs):
        raw = _read_raw(table, one.column, one.kind, one.level)
        rows += [{"group": g, "input": one.name, **_compare(matrix[:, j], raw, group == g)} for g in range(k)]
    rows.sort(key=lambda row: (row["group"], -abs(row["difference"]), row["input"]))
    return pa.Table.from_pylist(rows)


def _read_raw(table: pa.Table, column: str, kind: str, level: str) -> F8:
    if kind == LEVEL:
        found = pc.fill_null(pc.equal(table[column].cast(pa.string()), level), False)
        return np.asarray(found.cast(pa.float64()).to_numpy(zero_copy_only=False))
    values = read_numbers(table[column])
    return np.isnan(values).astype(float) if kind == MISSING else values


def _compare(values: NDArray[np.float32], raw: F8, inside: NDArray[np.bool_]) -> dict[str, Any]:
    n, m = int(inside.sum()), int((~inside).sum())
    found: dict[str, Any] = {"n_customers": n}
    for name, of in (("", inside), ("_rest", ~inside)):
        known = raw[of]
        known = known[~np.isnan(known)]
        found[f"median{name}"] = float(np.median(known)) if len(known) else None
        found[f"mean{name}"] = float(known.mean()) if len(known) else None
    if min(n, m) < 2:
        return found | {"difference": 0.0, "difference_low": None, "difference_high": None}
    one, other = values[inside].astype(float), values[~inside].astype(float)
    pooled = np.sqrt(((n - 1) * one.var(ddof=1) + (m - 1) * other.var(ddof=1)) / (n + m - 2))
    d = float((one.mean() - other.mean()) / max(pooled, 1e-3))
    half = 1.96 * np.sqrt(1 / n + 1 / m + d * d / (2 * (n + m)))
    return found | {"difference": d, "difference_low": d - half, "difference_high": d + half}


def name_segments(described: pa.Table, k: int) -> tuple[str, ...]:
    """A name in words per group, from the one or two inputs that set it apart most; no two are the same.

    >>> rows = [{"group": g, "input": "spend_90d", "difference": d} for g, d in ((0, 2.0), (1, -0.8), (2, 0.1))]
    >>> name_segments(pa.Table.from_pylist(rows), 3)
    ('very high spend 90d', 'low spend 90d', 'about average')
    """
    marks: list[list[str]] = [[] for _ in range(k)]
    for row in sorted(described.to_pylist(), key=lambda row: -abs(row["difference"])):
        if abs(row["difference"]) >= _MARK:
            marks[row["group"]].append(_say_mark(row["input"], row["difference"]))
    names: list[str] = []
    for own in marks:
        n = min(_NAMED_BY, len(own))
        name = ", ".join(own[:n]) if own else "about average"
        while name in names and n < len(own):
            n += 1
            name = ", ".join(own[:n])
        same = sum(other.partition(" (")[0] == name for other in names)
        names.append(f"{name} ({same + 1})" if name in names else name)
    return tuple(names)


def _say_mark(name: str, difference: float) -> str:
    if " = " in name:
        level = name.partition(" = ")[2]
        return level if difference > 0 else f"not {level}"
    words = name.removeprefix("f_").replace("_", " ")
    if name.endswith(" unknown"):
        return words if difference > 0 else words.replace(" unknown", " known")
    size = "very " if abs(difference) >= _STRONG else ""
    return f"{size}{'high' if difference > 0 else 'low'} {words}"


def find_rules(table: pa.Table, preparation: Preparation, group: I8, k: int, *, seed: int = 0) -> Rules:
    """The rules of a tree of at most three questions on the inputs as they are, cross-validated in five folds."""
    rows = np.flatnonzero(group >= 0)
    if len(rows) > _SAMPLE:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _SAMPLE, replace=False))
    part, own = table.take(pa.array(rows)), group[rows]
    used = [one for one in preparation.inputs if one.kind in (NUMBER, LOG, FLAG, LEVEL)] or preparation.inputs
    columns = [_read_raw(part, one.column, one.kind, one.level) for one in used]
    matrix = np.stack(columns, axis=1)
    tree = DecisionTreeClassifier(max_depth=_DEPTH, min_samples_leaf=max(5, len(own) // 200), random_state=seed)
    n_least = int(np.bincount(own, minlength=k)[np.unique(own)].min())
    agreement = float("nan")
    if n_least >= 2:
        folds = StratifiedKFold(min(_FOLDS, n_least), shuffle=True, random_state=seed)
        agreement = float((cross_val_predict(tree, matrix, own, cv=folds) == own).mean())
    tree.fit(matrix, own)
    leaves, says = tree.apply(matrix), tree.predict(matrix)
    paths = _list_paths(tree, [(one.name, one.kind) for one in used])
    text, precision, recall = [], [], []
    for g in range(k):
        mine = [(int((own[leaves == leaf] == g).sum()), leaf) for leaf in np.unique(leaves[says == g])]
        text.append(" or ".join(paths[leaf] for _, leaf in sorted(mine, reverse=True)))
        said = says == g
        precision.append(float((own[said] == g).mean()) if said.any() else float("nan"))
        recall.append(float((says[own == g] == g).mean()) if (own == g).any() else float("nan"))
    return Rules(
        tuple(text), tuple(precision), tuple(recall), agreement, float(np.bincount(own, minlength=k).max() / len(own))
    )


def _list_paths(tree: Any, inputs: Sequence[tuple[str, str]]) -> dict[int, str]:
    """What leads to each leaf: at most one lower and one upper bound per input, in the order of the questions."""
    grown, paths = tree.tree_, dict[int, str]()

    def walk(node: int, bounds: dict[int, tuple[float, float]]) -> None:
        if grown.children_left[node] < 0:
            said = [_say_bounds(*inputs[j], low, high) for j, (low, high) in bounds.items()]
            paths[node] = " and ".join(said) or "everybody"
            return
        j, cut = int(grown.feature[node]), float(grown.threshold[node])
        low, high = bounds.get(j, (-np.inf, np.inf))
        walk(int(grown.children_left[node]), {**bounds, j: (low, min(high, cut))})
        walk(int(grown.children_right[node]), {**bounds, j: (max(low, cut), high)})

    walk(0, {})
    return paths


def _say_bounds(name: str, kind: str, low: float, high: float) -> str:
    if kind == LEVEL:
        return name if low > 0 else name.replace(" = ", " is not ")
    if kind == MISSING:
        return name if low > 0 else name.removesuffix(" unknown") + " known"
    if np.isinf(low):
        return f"{name} <= {high:.4g}"
    if np.isinf(high):
        return f"{name} > {low:.4g}"
    return f"{low:.4g} < {name} <= {high:.4g}"
