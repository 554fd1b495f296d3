"""Are newer customers faster? Moves by the month in which customers first entered a state.

Part of :mod:`sojourn.transitions.matrix`. Sources: cumulative incidence with other exits competing, Aalen & Johansen
1978
(https://www.jstor.org/stable/4615704), computed by statsmodels; limits on the log-minus-log scale, Choudhury 2002
(doi:10.1002/sim.1078); trend, the weighted regression of meta-analysis, DerSimonian & Laird 1986
(doi:10.1016/0197-2456(86)90046-2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.stats import t
from statsmodels.duration.survfunc import CumIncidenceRight

from sojourn.frames import INSTANT
from sojourn.playbook import Target
from sojourn.transitions.dwell import Z95, choose_horizon, fit_curve
from sojourn.transitions.precursors import adjust_p_values
from sojourn.transitions.stays import Floats, Instants, Stays, names_at
from sojourn.transitions.velocity.weekly import find_beginnings

MIN_COHORT = 20
"""A cohort of fewer customers than this is not judged."""

MIN_STILL_THERE = 10
"""Nor is one of which fewer than this were watched for as long as the horizon."""


def compare_cohorts(stays: Stays, now_us: int, *, targets: Sequence[Target] = ()) -> pa.Table:
    """Per move and month of first entering the origin state: the share that made the move within the same time.

    The table ``velocity_cohorts``, columns ``from_state, to_state, cohort_at`` (the month's first instant, UTC),
    ``within_s, n_customers, n_moves`` (within that time), ``n_watched`` (whom we could follow that long), ``share_p,
    low_p, high_p`` (95 %), ``median_s`` (half of those who made it had by then) and ``why_not`` in words where there is
    no share. Each customer counts once, by their first stay in the state. Stays not yet over are censored, other exits
    compete. ``within_s`` is the target's, else the horizon that ``velocity`` has for the move. Customers whose first
    event lies in the first weeks of the data may have been in their first state before: that stay is left out.
    """
    mine = _first_entries(stays)
    month = stays.start_us[mine].astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
    asked = {(t.from_state, t.to_state): t.within_s for t in targets}
    rows: list[tuple[Any, ...]] = []
    for code in range(len(stays.states)):
        here = stays.state == code
        if not (here & stays.is_over).any():
            continue
        curve = fit_curve(stays.dwell_s[here], stays.is_over[here])
        for to in np.unique(stays.to_state[here & stays.is_over]).tolist():
            within = asked.get((stays.states[code], stays.states[to]))
            within = within or choose_horizon(curve, stays.dwell_s[here & (stays.to_state == to)])
            for number in np.unique(month[stays.state[mine] == code]).tolist():
                cohort = mine[(stays.state[mine] == code) & (month == number)]
                rows.append((code, to, number, within, *_follow(stays, cohort, to, within, now_us)))
    return _table(stays.states, rows)


def _first_entries(stays: Stays) -> Instants:
    """Each customer's first stay in each state, where its beginning was seen."""
    n_states = len(stays.states)
    key = stays.customer.astype(np.int64) * max(n_states, 1) + stays.state
    order = np.lexsort((stays.start_us, key))
    first = order[np.unique(key[order], return_index=True)[1]]
    return np.sort(first[find_beginnings(stays).is_seen[first]]) if len(first) else first


Followed = tuple[int, int, int, float, float, float, float, str | None]


def _follow(stays: Stays, cohort: Instants, to: int, within_s: float, now_us: int) -> Followed:
    """Customers, moves, watched, share with limits, median, and why there is none."""
    dwell, target = stays.dwell_s[cohort], stays.to_state[cohort]
    n_moves = int(((target == to) & (dwell <= within_s)).sum())
    n_watched = int((stays.start_us[cohort] + within_s * 1e6 <= now_us).sum())
    nothing = (math.nan,) * 4
    if len(cohort) < MIN_COHORT:
        return len(cohort), n_moves, n_watched, *nothing, f"only {len(cohort)} entered; {MIN_COHORT} are needed"
    if n_watched < MIN_STILL_THERE:
        return len(cohort), n_moves, n_watched, *nothing, "too recent: too few could be followed for so long"
    times, incidence, se = accumulate(dwell, target, to)
    last = int(np.searchsorted(times, within_s, side="right")) - 1
    share = float(incidence[last]) if last >= 0 else 0.0
    low, high = limit_share(share, float(se[last]) if last >= 0 else 0.0, n_watched)
    median = float(times[np.searchsorted(incidence, share / 2 - 1e-12)]) if share > 0 else math.nan
    return len(cohort), n_moves, n_watched, share, low, high, median, None


def accumulate(dwell_s: Floats, to_state: npt.NDArray[Any], to: int) -> tuple[Floats, Floats, Floats]:
    """Times, cumulative incidence of the move to ``to`` and its standard error; other exits (>= 0) compete, -1 censors.

    >>> times, share, _ = accumulate(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1, 2, 1, -1]), 1)
    >>> times.tolist(), share.tolist()
    ([1.0, 2.0, 3.0, 4.0], [0.25, 0.25, 0.5, 0.5])
    """
    status = np.where(to_state == to, 1, np.where(to_state >= 0, 2, 0))
    if not (status == 1).any():
        none = np.zeros(len(np.unique(dwell_s)))
        return np.unique(dwell_s), none, none
    with np.errstate(divide="ignore", invalid="ignore"):
        found = CumIncidenceRight(dwell_s, status)
    se = np.nan_to_num(np.asarray(found.cinc_se[0]), nan=0.0, posinf=0.0)
    return np.asarray(found.times), np.asarray(found.cinc[0]), np.maximum.accumulate(se)


def limit_share(share: float, se: float, n: int) -> tuple[float, float]:
    """95 % limits of a cumulative incidence on the log-minus-log scale; exact for none or all of ``n``."""
    edge = 0.025 ** (1 / n)
    if share <= 0:
        return 0.0, 1 - edge
    if share >= 1 - 1e-12:
        return edge, 1.0
    width = math.exp(Z95 * se / (share * -math.log(share)))
    return share**width, share ** (1 / width)


def find_trends(cohorts: pa.Table) -> list[dict[str, Any]]:
    """Moves whose share rises or falls from cohort to cohort, the surest first: the false-discovery rate is 5 %.

    Each has ``from_state``, ``to_state``, ``first`` and ``last`` (their rows), and ``q``. Log odds are regressed on the
    month, weighted by how well they are known; weeks that scatter more than they should widen the error.
    """
    pairs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for r in cohorts.to_pylist():
        if r["share_p"] is not None and r["low_p"] > 0 and r["high_p"] < 1:
            pairs.setdefault((r["from_state"], r["to_state"]), []).append(r)
    pairs = {pair: rows for pair, rows in pairs.items() if len(rows) >= 3}
    p = []
    for rows in pairs.values():
        share = np.array([[_log_odds(r[name]) for name in ("low_p", "share_p", "high_p")] for r in rows])
        weight = (2 * Z95 / (share[:, 2] - share[:, 0])) ** 2
        month = np.array([12 * r["cohort_at"].year + r["cohort_at"].month for r in rows], dtype=np.float64)
        x = month - np.average(month, weights=weight)
        y = share[:, 1] - np.average(share[:, 1], weights=weight)
        slope = float((weight * x * y).sum() / (weight * x**2).sum())
        excess = max(float((weight * (y - slope * x) ** 2).sum() / (len(rows) - 2)), 1.0)
        error = math.sqrt(excess / float((weight * x**2).sum()))
        p.append(
            2 * float(t.sf(abs(slope) / error, len(rows) - 2))
            if excess > 1
            else math.erfc(abs(slope / error) / math.sqrt(2))
        )
    q = adjust_p_values(np.array(p))
    found = [
        {"from_state": a, "to_state": b, "first": rows[0], "last": rows[-1], "q": float(q[i])}
        for i, ((a, b), rows) in enumerate(pairs.items())
        if q[i] < 0.05
    ]
    return sorted(found, key=lambda r: r["q"])


def _log_odds(share: float) -> float:
    return math.log(share / (1 - share))


def _table(states: Sequence[str], rows: list[tuple[Any, ...]]) -> pa.Table:
    columns: list[list[Any]] = [list(c) for c in zip(*rows, strict=True)] if rows else [[] for _ in range(12)]
    code, to, month, within, n, n_moves, n_watched, share, low, high, median, why_not = columns
    at = np.array(month, dtype="datetime64[M]").astype("datetime64[us]").astype(np.int64)

    def numbers(values: list[float]) -> pa.Array:
        return pa.array([None if math.isnan(x) else x for x in values], pa.float64())

    return pa.table(
        {
            "from_state": names_at(states, np.array(code, dtype=np.int64)),
            "to_state": names_at(states, np.array(to, dtype=np.int64)),
            "cohort_at": pa.array(at, INSTANT),
            "within_s": pa.array(within, pa.float64()),
            "n_customers": pa.array(n, pa.int64()),
            "n_moves": pa.array(n_moves, pa.int64()),
            "n_watched": pa.array(n_watched, pa.int64()),
            "share_p": numbers(share),
            "low_p": numbers(low),
            "high_p": numbers(high),
            "median_s": numbers(median),
            "why_not": pa.array(why_not, pa.string()),
        }
    )
