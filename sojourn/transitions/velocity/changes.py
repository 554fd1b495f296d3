"""When did a move become faster or slower? One change of level per move, against chance.

Part of :mod:`sojourn.transitions.matrix`. Weeks of moves over expected moves are cut in two where a Poisson
likelihood gains
most by it; weeks in random order say how much chance gains. A move is a counting process: given how likely it was for
those at risk, what one week has too many of says nothing about the next (Aalen 1978, doi:10.1214/aos/1176344247), so
that under no change the weeks may be put in any order. That holds for weeks that scatter more than Poisson too.

Sources: likelihood-ratio scan for a change of a Poisson rate, Worsley 1986 (doi:10.1093/biomet/73.1.91); permutation
p values, Phipson & Smyth 2010 (doi:10.2202/1544-6115.1585).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import xlogy

from sojourn.frames import INSTANT, MONDAY_US, WEEK_US
from sojourn.transitions.dwell import Z95
from sojourn.transitions.precursors import adjust_p_values
from sojourn.transitions.stays import Floats, names_at
from sojourn.transitions.velocity.weekly import Risk, count_limits

MIN_WEEKS = 8
"""Finished weeks without which no change is looked for."""

MIN_MOVES = 40
MIN_SIDE_WEEKS = 2
MIN_SIDE_EXPECTED = 8.0
"""What must lie on either side of a change: so many weeks, so many moves to be expected."""

SURE_Q = 0.05

_ROUNDS = (999, 9_999)
"""Random orders of the weeks; the second number where the first finds next to nothing as good."""


@dataclass(frozen=True)
class Change:
    """The clearest change of level of a weekly series: before week ``place`` and from it on.

    ``dispersion`` is the variance of the weeks around the two levels over that of a Poisson, at least 1. ``p`` is of
    the hypothesis that there is no change.
    """

    place: int
    dispersion: float
    p: float


def find_change(n_moves: Floats, expected: Floats, rng: np.random.Generator) -> Change | None:
    """The change that explains most of a weekly series, however little; None where no place for one is left.

    ``n_moves`` and ``expected`` are equally long. Levels are moves over expected moves.

    >>> rng = np.random.default_rng(0)
    >>> found = find_change(np.array([20.0] * 6 + [34.0] * 6), np.full(12, 27.0), rng)
    >>> found.place, found.p < 0.01
    (6, True)
    """
    n, e = np.asarray(n_moves, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    allowed = _allowed(e)
    if not allowed.any() or n.sum() == 0:
        return None
    gains = _gain(n[None, :], e[None, :])[0]
    place = int(np.argmax(np.where(allowed, gains, -np.inf))) + 1
    sums = np.array([[x[:place].sum(), x[place:].sum()] for x in (n, e)])
    level = np.repeat(sums[0] / sums[1], [place, len(n) - place])
    return Change(place, _dispersion(n, e * level), _find_p(n, e, float(gains[place - 1]), rng))


@dataclass(frozen=True)
class Levels:
    """Moves per unit of time before and after, and after over before, each with 95 % limits for a known place."""

    before: tuple[float, float, float]
    after: tuple[float, float, float]
    ratio: tuple[float, float, float]


def compare_levels(events: Floats, times: Floats, place: int, dispersion: float = 1.0) -> Levels:
    """How fast before week ``place`` and from it on, kinds of stays held equal; arrays are (kinds, weeks).

    The ratio is that of Mantel and Haenszel for rates, its variance Greenland and Robins' (1985, doi:10.2307/2530643)
    times ``dispersion``. Rates are those of the kinds that there were over the whole time.

    >>> halves = np.array([[10.0, 20.0], [5.0, 10.0]]), np.array([[10.0, 10.0], [50.0, 50.0]])
    >>> compare_levels(*halves, place=1).ratio[0]
    2.0
    """
    n = np.stack([events[:, :place].sum(axis=1), events[:, place:].sum(axis=1)])
    time = np.stack([times[:, :place].sum(axis=1), times[:, place:].sum(axis=1)])
    used = time.sum(axis=0) > 0
    n, time = n[:, used], time[:, used]
    whole = time.sum(axis=0)
    up, down = float((n[1] * time[0] / whole).sum()), float((n[0] * time[1] / whole).sum())
    width = math.inf
    if up > 0 and down > 0:
        information = float((n.sum(axis=0) * time[0] * time[1] / whole**2).sum())
        width = Z95 * math.sqrt(dispersion * information / (up * down))
    ratio = up / down if down > 0 else math.inf
    base = float((n.sum(axis=0) / np.maximum(time[0] + min(ratio, 1e9) * time[1], 1e-12) * whole).sum() / whole.sum())
    low, high = count_limits(n.sum(axis=1), dispersion)
    before, after = (
        (rate, rate * float(low[i]) / float(n[i].sum()), rate * float(high[i]) / float(n[i].sum()))
        if n[i].sum()
        else (0.0, 0.0, float(high[i]) / float(time[i].sum()))
        for i, rate in enumerate((base, base * ratio))
    )
    return Levels(before, after, (ratio, ratio * math.exp(-width), ratio * math.exp(width)))


def _allowed(expected: Floats) -> npt.NDArray[np.bool_]:
    """Per cut after each week but the last, whether enough lies on both sides. Last axis: weeks."""
    done = np.cumsum(expected, axis=-1)
    weeks = np.arange(1, expected.shape[-1])
    is_wide = (weeks >= MIN_SIDE_WEEKS) & (expected.shape[-1] - weeks >= MIN_SIDE_WEEKS)
    rest = done[..., -1:] - done[..., :-1]
    return np.asarray(is_wide & (done[..., :-1] >= MIN_SIDE_EXPECTED) & (rest >= MIN_SIDE_EXPECTED))


def _gain(n: Floats, e: Floats) -> Floats:
    """Log likelihood ratio of two levels against one, per cut."""
    n_before, e_before = np.cumsum(n, axis=-1), np.cumsum(e, axis=-1)
    n_all, e_all = n_before[..., -1:], e_before[..., -1:]
    n_before, e_before = n_before[..., :-1], np.maximum(e_before[..., :-1], 1e-12)
    n_after, e_after = n_all - n_before, np.maximum(e_all - e_before, 1e-12)
    return np.asarray(
        xlogy(n_before, n_before / e_before) + xlogy(n_after, n_after / e_after) - xlogy(n_all, n_all / e_all)
    )


def _find_p(n: Floats, e: Floats, best: float, rng: np.random.Generator) -> float:
    """How often weeks in random order gain as much at their best cut; never 0."""
    better, done = 0, 0
    for rounds in _ROUNDS:
        order = np.argsort(rng.random((rounds - done, len(n))), axis=1)
        shuffled = e[order]
        gains = np.where(_allowed(shuffled), _gain(n[order], shuffled), -np.inf)
        better += int((gains.max(axis=1) >= best - 1e-9).sum())
        done = rounds
        if better >= 10:
            break
    return (better + 1) / (done + 1)


def _dispersion(n: Floats, fitted: Floats) -> float:
    """Pearson's chi-squared around two levels, per degree of freedom; at least 1."""
    used = fitted > 0
    return max(float(((n[used] - fitted[used]) ** 2 / fitted[used]).sum() / max(used.sum() - 2, 1)), 1.0)


def find_changes(risks: Sequence[Risk], states: Sequence[str], now_us: int, rng: np.random.Generator) -> pa.Table:
    """Per move: since when it is faster or slower, if it is; the table ``velocity_changes``.

    Columns ``from_state, to_state, n_weeks, n_moves, week_at, rate_before, rate_before_low, rate_before_high,
    rate_after, rate_after_low, rate_after_high, ratio, ratio_low, ratio_high, dispersion, p, q, is_change, why_not``.
    Rates are moves per customer and week at risk, kinds of stays held equal. ``q`` is ``p`` after Benjamini and
    Hochberg over all moves; ``is_change`` is ``q`` below 5 %. ``why_not`` says in words why no change was looked for.
    """
    found = [
        _look(risk, to, now_us, rng) for risk in risks for to in np.flatnonzero(risk.n_moves[:-1].any(axis=1)).tolist()
    ]
    q = adjust_p_values(np.array([f.change.p if f.change else math.nan for f in found]))
    week = np.array([f.first_week + (f.change.place if f.change else 0) for f in found], dtype=np.int64)
    is_none = np.array([f.change is None for f in found], dtype=bool)
    numbers = {
        f"{name}{end}": _numbers([getattr(f.levels, side)[i] if f.levels else math.nan for f in found])
        for name, side in (("rate_before", "before"), ("rate_after", "after"), ("ratio", "ratio"))
        for i, end in enumerate(("", "_low", "_high"))
    }
    return pa.table(
        {
            "from_state": names_at(states, np.array([f.state for f in found], dtype=np.int64)),
            "to_state": names_at(states, np.array([f.to for f in found], dtype=np.int64)),
            "n_weeks": pa.array([f.n_weeks for f in found], pa.int64()),
            "n_moves": pa.array([f.n_moves for f in found], pa.int64()),
            "week_at": pa.array(week * WEEK_US + MONDAY_US, INSTANT, mask=is_none),
            **numbers,
            "dispersion": _numbers([f.change.dispersion if f.change else math.nan for f in found]),
            "p": _numbers([f.change.p if f.change else math.nan for f in found]),
            "q": _numbers(q),
            "is_change": pa.array([bool(x < SURE_Q) for x in q], pa.bool_()),
            "why_not": pa.array([f.why_not for f in found], pa.string()),
        }
    )


@dataclass(frozen=True)
class _Looked:
    """What looking at one move found: over how many weeks and moves, and a change or why there is none."""

    state: int
    to: int
    first_week: int
    n_weeks: int
    n_moves: int
    change: Change | None
    levels: Levels | None
    why_not: str | None


def _look(risk: Risk, to: int, now_us: int, rng: np.random.Generator) -> _Looked:
    weeks = _judged_weeks(risk, now_us)
    events, times = risk.events[to, :, weeks], risk.times[:, weeks]
    n = events.sum(axis=0)
    why_not = _say_why_not(len(n), int(n.sum()))
    change = levels = None
    if why_not is None:
        pace = events.sum(axis=1) / np.maximum(times.sum(axis=1), 1e-12)
        change = find_change(n, pace @ times, rng)
        why_not = None if change else "too few moves to be expected on one side of every week"
    if change is not None:
        levels = compare_levels(events, times, change.place, change.dispersion)
    return _Looked(risk.state, to, risk.first_week + weeks.start, len(n), int(n.sum()), change, levels, why_not)


def _judged_weeks(risk: Risk, now_us: int) -> slice:
    """The finished weeks, but for the first, in which those who can move are a selection of the quick."""
    n_finished = int((now_us - MONDAY_US) // WEEK_US) - risk.first_week
    return slice(risk.first_judged, max(n_finished, risk.first_judged))


def _say_why_not(n_weeks: int, n_moves: int) -> str | None:
    if n_weeks < MIN_WEEKS:
        return f"{n_weeks} finished weeks; {MIN_WEEKS} are needed"
    if n_moves < MIN_MOVES:
        return f"{n_moves} moves; {MIN_MOVES} are needed"
    return None


def _numbers(values: npt.ArrayLike) -> pa.Array:
    """A float column in which NaN and infinity are null."""
    numbers = np.asarray(values, dtype=np.float64)
    return pa.array(numbers, pa.float64(), mask=~np.isfinite(numbers))
