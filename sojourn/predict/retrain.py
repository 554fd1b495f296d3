"""A challenger beside the model in use: trained on newer data, compared on customers neither has seen, promoted or not.

Promoted is only what is better by more than chance on recent customers and no worse in the audit of protected
attributes. Both decisions are functions here; what trains and stores is :mod:`sojourn.cli.commands.retrain`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sojourn.frames import F8, Bools

_LEAST_P = 1e-6
_LEAST_GROUP = 30  # customers of a group; of fewer a rate says little
_N_DRAWS = 500
FOUR_FIFTHS = 0.8


@dataclass(frozen=True)
class Gain:
    """How much less log loss per customer one model has than another, and the standard error of that."""

    log_loss: float
    se: float
    n: int

    @property
    def is_better(self) -> bool:
        """Better by more than two standard errors."""
        return self.log_loss > 2 * self.se


@dataclass(frozen=True)
class Gap:
    """How unequally a model's choice falls on the groups of one attribute.

    ``ratio``: the smallest share of a group that is chosen over the largest, ``low`` and ``high`` its 95 % interval by
    bootstrap over customers; ``reach_gap``: the largest difference, between groups, of the share that is chosen among
    those to whom it happens.
    """

    attribute: str
    ratio: float
    low: float
    high: float
    reach_gap: float
    n_groups: int


@dataclass(frozen=True)
class Verdict:
    """Whether a challenger is put into use, and why, in words."""

    is_promoted: bool
    why: str
    gain: Gain | None
    gaps_before: tuple[Gap, ...]
    gaps_after: tuple[Gap, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def measure_gain(champion_p: F8, challenger_p: F8, happened: Bools) -> Gain:
    """What the challenger gains over the champion for the same customers, one row each.

    >>> happened = np.array([True, False] * 50)
    >>> measure_gain(np.full(100, 0.5), np.where(happened, 0.9, 0.1), happened).is_better
    True
    """
    losses = [_log_loss(p, happened) for p in (champion_p, challenger_p)]
    difference = losses[0] - losses[1]
    return Gain(float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(len(difference))), len(difference))


def _log_loss(p: F8, happened: Bools) -> F8:
    p = np.clip(p, _LEAST_P, 1 - _LEAST_P)
    return np.asarray(-np.where(happened, np.log(p), np.log1p(-p)))


def measure_gaps(
    chosen: Bools, happened: Bools, protected: Mapping[str, NDArray[Any]], *, rng: np.random.Generator
) -> tuple[Gap, ...]:
    """The gap of a choice for each protected attribute; ``protected`` has a value per customer, None where unknown.

    Groups of fewer than thirty customers are left out, and attributes that have no two groups.

    Sources: 29 CFR 1607.4 D (the four-fifths rule); Hardt, Price & Srebro 2016, arXiv:1610.02413 (equal opportunity).
    """
    found = []
    for name, values in protected.items():
        code = _number_groups(values)
        if code is None:
            continue
        ratio = _ratio(chosen, code)
        draws = []
        for _ in range(_N_DRAWS):
            rows = rng.integers(0, len(code), len(code))
            draws.append(_ratio(chosen[rows], code[rows]))
        low, high = np.nanquantile(draws, [0.025, 0.975]).tolist()
        reach = _rates(chosen[happened], code[happened], int(code.max()) + 1)
        found.append(Gap(name, ratio, low, high, float(np.nanmax(reach) - np.nanmin(reach)), int(code.max()) + 1))
    return tuple(found)


def _number_groups(values: NDArray[Any]) -> NDArray[np.int64] | None:
    """The number of each customer's group, -1 for none or a small one; None where there are no two groups."""
    texts = np.array(["" if value is None else str(value) for value in values.tolist()])
    names, code, n = np.unique(texts, return_inverse=True, return_counts=True)
    kept = np.flatnonzero((n >= _LEAST_GROUP) & (names != ""))
    place = np.full(len(names), -1)
    place[kept] = np.arange(len(kept))
    return place[code].astype(np.int64) if len(kept) > 1 else None


def _rates(chosen: Bools, code: NDArray[np.int64], n_groups: int) -> F8:
    known = code >= 0
    n = np.bincount(code[known], minlength=n_groups)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.bincount(code[known], chosen[known], n_groups) / n)


def _ratio(chosen: Bools, code: NDArray[np.int64]) -> float:
    rates = _rates(chosen, code, int(code.max()) + 1)
    most = float(np.nanmax(rates))
    return float(np.nanmin(rates)) / most if most > 0 else 1.0


def decide(
    gain: Gain | None, gaps_before: tuple[Gap, ...], gaps_after: tuple[Gap, ...], *, is_audited: bool
) -> Verdict:
    """Whether the challenger is put into use. ``gain`` None: there is no champion to compare with.

    A first model is put into use unless its choice breaks the four-fifths rule by more than chance. A challenger has to
    be better by more than two standard errors; and for no attribute may its ratio lie below the champion's whole
    interval, or break the four-fifths rule by more than chance where the champion's does not.

    >>> decide(None, (), (), is_audited=False).why
    'the first model; nobody has looked at protected attributes'
    """

    def say(is_promoted: bool, why: str) -> Verdict:
        note = "" if is_audited else "; nobody has looked at protected attributes"
        return Verdict(is_promoted, why + note, gain, gaps_before, gaps_after)

    before = {gap.attribute: gap for gap in gaps_before}
    for gap in gaps_after:
        was = before.get(gap.attribute)
        is_broken = gap.high < FOUR_FIFTHS
        if is_broken and (was is None or was.high >= FOUR_FIFTHS):
            return say(False, f"its choice breaks the four-fifths rule for {gap.attribute}: {gap.ratio:.2f}")
        if was is not None and gap.ratio < was.low:
            return say(False, f"it is worse for {gap.attribute}: {gap.ratio:.2f} after {was.ratio:.2f}")
    if gain is None:
        return say(True, "the first model")
    shown = f"by {gain.log_loss:+.4f} ± {gain.se:.4f} log loss on {gain.n:,} customers"
    return say(gain.is_better, f"better {shown}" if gain.is_better else f"not better by more than chance: {shown}")


def join_protected(customers: pa.Array, protected: pa.Table) -> dict[str, NDArray[Any]]:
    """Per attribute of a table with ``customer_id`` the value of each of these customers, None where it has none."""
    row = pc.index_in(customers, protected["customer_id"].combine_chunks())
    return {
        name: np.array(protected[name].combine_chunks().take(row).to_pylist(), object)
        for name in protected.column_names
        if name != "customer_id"
    }
