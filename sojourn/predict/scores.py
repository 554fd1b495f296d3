"""How good probabilities are: ranking, calibration, lift and gain, and what acting on them brings."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import rankdata

from sojourn.frames import F8, Bools

_LEAST_P = 1e-6


@dataclass(frozen=True)
class Scores:
    """How good probabilities were: ``log_loss`` in nats (less is better), area under the ROC curve, Brier score,
    expected calibration error (mean |promised - kept| over ten groups of equal size), share right at one half.
    """

    log_loss: float
    auc: float
    brier: float
    calibration_error: float
    accuracy: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def score_p(p: F8, happened: Bools) -> Scores:
    """The scores of probabilities against what happened; both kinds must be there.

    >>> score_p(np.array([0.2, 0.2, 0.6, 0.9]), np.array([False, False, True, True])).auc
    1.0

    Sources: Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2; Naeini et al. 2015 (AAAI).
    """
    p = np.clip(p, _LEAST_P, 1 - _LEAST_P)
    return Scores(
        float(-np.mean(np.where(happened, np.log(p), np.log1p(-p)))),
        area_under_curve(p, happened),
        float(np.mean((p - happened) ** 2)),
        measure_calibration(p, happened),
        float(np.mean((p >= 0.5) == happened)),
    )


def measure_calibration(p: F8, happened: Bools, n_groups: int = 10) -> float:
    """The mean over rows of |mean promised - share kept| in groups of equal size by ``p``.

    >>> measure_calibration(np.array([0.5] * 10), np.array([True] * 8 + [False] * 2), n_groups=1).__round__(2)
    0.3
    """
    groups = np.array_split(np.argsort(p, kind="stable"), min(n_groups, len(p)))
    return float(sum(abs(p[g].mean() - happened[g].mean()) * len(g) for g in groups) / len(p))


def to_p(log_odds: F8) -> F8:
    """Probabilities of log-odds, without overflow."""
    return np.asarray(expit(log_odds))


def fit_platt(log_odds: F8, happened: Bools) -> tuple[float, float]:
    """``(slope, shift)`` that make ``slope * log_odds + shift`` calibrated; it keeps what adds up adding up.

    The slope is never negative: a score that ranks the wrong way round is worth nothing, not its opposite. Targets are
    drawn in a little, as in Platt's paper, so that a perfect separation stays finite.

    Source: Platt 1999, Probabilistic outputs for support vector machines (targets as in its section 2.2).
    """
    n_yes = int(happened.sum())
    n_no = len(happened) - n_yes
    target = np.where(happened, (n_yes + 1) / (n_yes + 2), 1 / (n_no + 2))
    spread = max(float(log_odds.std()), 1e-9)
    z = log_odds / spread

    def loss(parameters: F8) -> tuple[float, F8]:
        said = parameters[0] * z + parameters[1]
        error = to_p(said) - target
        return float(np.sum(np.logaddexp(0, said) - target * said)), np.array([error @ z, error.sum()])

    start = np.array([1.0, np.log((n_yes + 1) / (n_no + 1))])
    found = minimize(loss, start, jac=True, bounds=[(0, None), (None, None)], method="L-BFGS-B").x
    return float(found[0] / spread), float(found[1])


def tabulate_gains(p: F8, happened: Bools, n_groups: int = 10) -> pa.Table:
    """The lift and gain table: a row per group of equal size, the likeliest first.

    ``group`` from 1, ``share`` of all rows up to here, ``n``, ``promised`` (mean p), ``kept`` (share it happened to),
    ``lift`` (kept over the overall rate), ``gain`` (share of all that it happened to, up to here).

    >>> table = tabulate_gains(np.array([0.9, 0.8, 0.2, 0.1]), np.array([True, True, False, True]), n_groups=2)
    >>> table["gain"].to_pylist(), table["lift"].to_pylist()
    ([0.6666666666666666, 1.0], [1.3333333333333333, 0.6666666666666666])
    """
    groups = np.array_split(np.argsort(-p, kind="stable"), min(n_groups, len(p)))
    total, rows, seen, found = happened.sum(), [], 0, 0
    for k, group in enumerate(groups):
        seen, found = seen + len(group), found + int(happened[group].sum())
        kept = float(happened[group].mean())
        rows.append(
            {
                "group": k + 1,
                "share": seen / len(p),
                "n": len(group),
                "promised": float(p[group].mean()),
                "kept": kept,
                "lift": kept / float(happened.mean()),
                "gain": found / float(total),
            }
        )
    return pa.Table.from_pylist(rows)


@dataclass(frozen=True)
class Threshold:
    """From which probability on acting pays, and what it brought on rows held out, per row.

    ``profit`` is of acting from ``p`` on, ``profit_all`` of acting on everybody, ``profit_best`` of the threshold that
    would have been best in hindsight (``p_best``).
    """

    cost: float
    benefit: float
    p: float
    share_acted: float
    profit: float
    profit_all: float
    p_best: float
    profit_best: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def set_threshold(p: F8, happened: Bools, cost: float, benefit: float) -> Threshold:
    """Act where the expected benefit is over the cost: from ``cost / benefit`` on, as p is calibrated.

    ``cost`` is of acting on one customer, ``benefit`` of having acted on one to whom it would happen.

    >>> t = set_threshold(np.array([0.9, 0.4, 0.1]), np.array([True, False, False]), cost=1, benefit=4)
    >>> t.p, round(t.share_acted, 2), round(t.profit, 2)
    (0.25, 0.67, 0.67)

    Source: Elkan 2001, The foundations of cost-sensitive learning (IJCAI).
    """
    limit = min(cost / benefit, 1.0)
    order = np.argsort(-p, kind="stable")
    profits = np.concatenate([[0.0], np.cumsum(benefit * happened[order] - cost)]) / len(p)
    best = int(profits.argmax())
    acted = int((p >= limit).sum())
    return Threshold(
        cost,
        benefit,
        limit,
        acted / len(p),
        float(profits[acted]),
        float(profits[-1]),
        float(p[order[best - 1]]) if best else 1.0,
        float(profits[best]),
    )


def trace_curve(p: F8, happened: Bools, cost: float, benefit: float, most: int = 120) -> pa.Table:
    """What acting on the likeliest customers brings, for more and more of them: a row per number of customers.

    ``share`` of all that is reached, ``p`` of the last one reached, ``gain`` (share of those to whom it happens that is
    reached: the gain curve, and with ``false_p``, the share of the others, the ROC curve), and ``profit`` per row as
    :func:`set_threshold` counts it. At most so many rows, the first for nobody; equal ``p`` are reached together.

    >>> trace_curve(np.array([0.9, 0.4, 0.1]), np.array([True, False, True]), 1, 4)["gain"].to_pylist()
    [0.0, 0.5, 0.5, 1.0]

    Source: Fawcett 2006, doi:10.1016/j.patrec.2005.10.010.
    """
    order = np.argsort(-p, kind="stable")
    n, said, found = len(p), p[order], np.concatenate([[0], np.cumsum(happened[order])])
    ends = np.concatenate([[0], np.flatnonzero(np.diff(said)) + 1, [n]])  # not within equal ones
    if len(ends) > most:
        ends = ends[np.unique(np.linspace(0, len(ends) - 1, most).round().astype(np.int64))]
    n_yes = int(happened.sum())
    return pa.table(
        {
            "share": ends / n,
            "p": np.concatenate([[1.0], said])[ends],
            "gain": found[ends] / max(n_yes, 1),
            "false_p": (ends - found[ends]) / max(n - n_yes, 1),
            "profit": (benefit * found[ends] - cost * ends) / n,
        }
    )


def area_under_curve(score: F8, happened: NDArray[np.bool_]) -> float:
    """The area under the ROC curve, ties at half.

    >>> area_under_curve(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))
    0.75

    Source: Hanley & McNeil 1982, doi:10.1148/radiology.143.1.7063747.
    """
    n_yes = int(happened.sum())
    n_no = len(happened) - n_yes
    return float((rankdata(score)[happened].sum() - n_yes * (n_yes + 1) / 2) / (n_yes * n_no))
