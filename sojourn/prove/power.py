"""How many customers and weeks a test with a holdout needs, and what it could see with those there are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from scipy.optimize import brentq
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import proportion_effectsize

POWER, ALPHA = 0.8, 0.05
_MOST_WEEKS = 52.0


@dataclass(frozen=True)
class TestPlan:
    """One way to divide customers. ``n`` in all, ``weeks`` until so many have entered and been watched (None: over a
    year), ``detectable`` the least relative change that the customers of the next ``8`` weeks would show."""

    holdout_p: float
    n: int
    n_holdout: int
    weeks: float | None
    detectable: float | None

    __test__ = False  # no test of pytest's


def plan_test(
    base_p: float, effect: float, holdout_p: float, n_now: int, n_per_week: float, window_days: float
) -> TestPlan:
    """The test that sees a relative change ``effect`` (negative: fewer) of a share ``base_p``, two-sided.

    Two proportions by the arcsine transformation (Cohen 1988), power 80 %, 5 % false alarms. ``n_now`` customers are
    there, ``n_per_week`` follow. Raises ValueError for a share or effect that leaves nothing to test.

    >>> plan = plan_test(0.2, -0.25, 0.5, 400, 100.0, 28.0)
    >>> plan.n, plan.n_holdout, plan.weeks
    (1805, 903, 18.1)
    """
    target = base_p * (1 + effect)
    if not (0 < base_p < 1 and 0 < target < 1 and effect and 0 < holdout_p < 1):
        raise ValueError(
            f"a share of {base_p:g} cannot change by {effect:+.0%}, or the holdout {holdout_p:g} is no share"
        )
    n = count_needed(base_p, target, holdout_p)
    waiting = max(0.0, n - n_now)
    weeks = window_days / 7 + (waiting / n_per_week if n_per_week > 0 else 0.0 if waiting == 0 else math.inf)
    seen = find_detectable(base_p, math.copysign(1.0, effect), holdout_p, n_now + 8 * n_per_week)
    return TestPlan(holdout_p, n, math.ceil(n * holdout_p), round(weeks, 1) if weeks <= _MOST_WEEKS else None, seen)


def count_needed(base_p: float, target_p: float, holdout_p: float) -> int:
    """Customers in all, treated and held out, that tell two shares apart.

    >>> count_needed(0.5, 0.6, 0.5)
    775
    """
    size = abs(proportion_effectsize(target_p, base_p))
    ratio = holdout_p / (1 - holdout_p)
    treated: Any = NormalIndPower().solve_power(effect_size=size, alpha=ALPHA, power=POWER, ratio=ratio)
    return math.ceil(float(treated) * (1 + ratio))


def find_detectable(base_p: float, sign: float, holdout_p: float, n: float) -> float | None:
    """The least relative change, of that sign, that ``n`` customers tell from none; None where no change would do.

    >>> round(find_detectable(0.5, 1.0, 0.5, 775), 3)
    0.2
    """
    most = (0.999 - base_p) / base_p if sign > 0 else 0.999
    if n < 4 or count_needed(base_p, base_p * (1 + sign * most), holdout_p) > n:
        return None
    excess = lambda change: count_needed(base_p, base_p * (1 + sign * change), holdout_p) - n  # noqa: E731
    return float(sign * brentq(excess, 1e-4, most, xtol=1e-4))
