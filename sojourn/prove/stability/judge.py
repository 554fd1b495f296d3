"""Would the same customers be in the same segments a week later, and if not: who changed, they or the model?

Everything here is about labels: which segment each customer is in, by an old model on old data, by the old model on
later data, and by a model fitted anew to the later data. Where the labels come from is not its business, so k-means,
mixtures and the state model are measured alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

from sojourn.frames import F8

Labels = npt.NDArray[np.int64]

NONE = -1
"""The label of a customer who is in no segment."""

FOUND_AGAIN = 0.75
DISSOLVED = 0.6
"""Mean Jaccard similarity from which a segment counts as stable, and below which it should not be trusted."""

FEWEST = 20
"""Members below which nothing is said about a segment."""

MOST_WOBBLE = 0.05
"""Share of members that a refit may move before a segment is called wobbly."""

STALE_SHARE = 0.9
"""A segment is stale when so many of its members have been there for :data:`STALE_DAYS` or longer."""

STALE_DAYS = 182
QUICK_DAYS = 91
"""Half of the members leave a state within so many days; where it takes longer it is a slow segment."""


@dataclass(frozen=True)
class Reassigned:
    """How many of ``n`` customers have another segment after a refit, as shares, and why.

    ``total`` = ``behaviour`` + ``wobble``, exactly. ``both`` is the part of ``behaviour`` whom the refit moved once
    more, ``undone`` (in no other share) those who moved by the old model and whom the refit put back.
    """

    n: int
    total: float
    behaviour: float
    wobble: float
    both: float
    undone: float


def match_labels(kept: Labels, other: Labels, n_labels: int) -> Labels:
    """The label of ``kept`` that each label of ``other`` corresponds to, int64[n_labels]; a permutation.

    It maximises the number of customers on whom the two agree. Those whom either puts nowhere do not count.
    Source: Kuhn 1955, doi:10.1002/nav.3800020109.

    >>> match_labels(np.array([0, 0, 1, 2]), np.array([2, 2, 0, 1]), 3).tolist()
    [1, 2, 0]
    """
    rows, columns = linear_sum_assignment(-count_pairs(other, kept, n_labels))
    matched = np.empty(n_labels, np.int64)
    matched[rows] = columns
    return matched


def count_pairs(a: Labels, b: Labels, n_labels: int) -> npt.NDArray[np.int64]:
    """Customers by label in ``a`` (rows) and in ``b`` (columns)."""
    known = (a >= 0) & (b >= 0)
    counts = np.bincount(a[known] * n_labels + b[known], minlength=n_labels * n_labels)
    return counts.reshape(n_labels, n_labels)


def rename_labels(labels: Labels, names: Labels) -> Labels:
    """Labels under other numbers; none stays none."""
    return np.where(labels >= 0, names[np.maximum(labels, 0)], NONE)


def split_reassigned(
    then: Labels, now: Labels, refit: Labels, among: npt.NDArray[np.bool_] | None = None
) -> Reassigned:
    """Who was reassigned between two fits, split into *behaviour changed* and *model wobbled*.

    ``then`` is the old model on data to T, ``now`` the old model on data to T + 1 week, ``refit`` the new model on data
    to T + 1 week, its labels already matched to the old ones. A customer is reassigned when ``refit`` differs from
    ``then``. If the old model, which has not changed, moves them too, their behaviour changed (silence is behaviour);
    if it does not, only the model did. ``among`` restricts it to some customers, for the share of one segment.

    >>> r = split_reassigned(np.array([0, 0, 0, 0]), np.array([0, 1, 0, 1]), np.array([0, 1, 1, 0]))
    >>> r.total, r.behaviour, r.wobble, r.undone
    (0.5, 0.25, 0.25, 0.25)
    """
    asked = then >= 0
    if among is not None:
        asked &= among
    then, now, refit = then[asked], now[asked], refit[asked]
    n = len(then)
    is_other, has_moved = refit != then, now != then
    counts = (is_other & has_moved, is_other & ~has_moved, is_other & has_moved & (refit != now), has_moved & ~is_other)
    behaviour, wobble, both, undone = (int(c.sum()) / max(n, 1) for c in counts)
    return Reassigned(n, int(is_other.sum()) / max(n, 1), behaviour, wobble, both, undone)


def adjusted_rand(a: Labels, b: Labels) -> float | None:
    """Agreement of two groupings over chance: 1 the same, 0 as by chance. None with fewer than two customers.

    Source: Hubert & Arabie 1985, doi:10.1007/BF01908075, as scikit-learn computes it.

    >>> adjusted_rand(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0]))
    1.0
    """
    known = (a >= 0) & (b >= 0)
    return float(adjusted_rand_score(a[known], b[known])) if known.sum() > 1 else None


def find_again(
    labels: Labels,
    fit_labels: Callable[[npt.NDArray[np.int64]], Labels],
    n_labels: int,
    rng: np.random.Generator,
    n_rounds: int = 20,
) -> F8:
    """How well each segment is found again in other samples of the same customers, float64[n_labels] from 0 to 1.

    In each round customers are drawn with replacement, ``fit_labels(drawn)`` fits the method to those and returns the
    labels of all customers. Compared are the customers who were drawn: for each segment, the largest Jaccard
    similarity with any of the new ones. The mean over rounds is returned, NaN where no member was ever drawn.
    Above 0.75 a segment is stable, below 0.6 it should not be trusted.
    Source: Hennig 2007, doi:10.1016/j.csda.2006.11.025.

    >>> two = np.repeat([0, 1], 50)
    >>> find_again(two, lambda drawn: 1 - two, 2, np.random.default_rng(1), n_rounds=3).tolist()
    [1.0, 1.0]
    """
    total, n_seen = np.zeros(n_labels), np.zeros(n_labels)
    for _ in range(n_rounds):
        drawn = rng.integers(0, len(labels), len(labels))
        found = fit_labels(drawn)
        once = np.unique(drawn)
        kept, new = labels[once], found[once]
        shared = count_pairs(kept, new, n_labels)
        n_kept = np.bincount(kept[kept >= 0], minlength=n_labels)
        n_new = np.bincount(new[new >= 0], minlength=n_labels)
        either = n_kept[:, None] + n_new[None, :] - shared
        jaccard = np.divide(shared, either, out=np.zeros(shared.shape), where=either > 0)
        has_members = n_kept > 0
        total[has_members] += jaccard.max(axis=1)[has_members]
        n_seen += has_members
    return np.asarray(np.divide(total, n_seen, out=np.full(n_labels, np.nan), where=n_seen > 0))


def _say_days(days: float) -> str:
    if days >= 2:
        return f"{days:.0f} days"
    return f"{days * 24:.0f} hours" if days * 24 >= 2 else f"{days * 1440:.0f} minutes"


@dataclass(frozen=True)
class Judged:
    """``verdict`` is one of ``state``, ``slow``, ``stale``, ``wobbly``, ``too few``, ``unknown``; ``says`` is why."""

    verdict: str
    says: str


def judge_segment(
    n_customers: int,
    *,
    reassigned: Reassigned | None = None,
    found_again: float | None = None,
    half_life_days: float | None = None,
    unchanged_share: float | None = None,
    observed_days: float = 0.0,
) -> Judged:
    """Is this segment a state: found again, left for reasons of the customers' own, and left soon enough to matter?

    ``n_customers`` have been in it at some time.
    ``half_life_days`` None: fewer than half have left in the ``observed_days``. Checked in this order: enough members,
    found again at all, moved by refits more than by behaviour, unchanged for months, half-life.

    >>> judge_segment(500, found_again=0.9, half_life_days=12.0, unchanged_share=0.1, observed_days=200).verdict
    'state'
    >>> print(judge_segment(500, half_life_days=None, unchanged_share=0.97, observed_days=400).says)
    97 % of its members have been in it for six months or longer: it says who they were, not what they do now.
    """
    if n_customers < FEWEST:
        return Judged("too few", f"{n_customers} customers have been in it, fewer than {FEWEST}: nothing can be said.")
    if found_again is not None and found_again < DISSOLVED:
        return Judged(
            "wobbly",
            f"Other samples of the same customers do not give it again (Jaccard {found_again:.2f}, below {DISSOLVED}).",
        )
    if reassigned is not None and reassigned.n >= FEWEST and reassigned.wobble > max(MOST_WOBBLE, reassigned.behaviour):
        return Judged(
            "wobbly",
            f"A refit moved {100 * reassigned.wobble:.0f} % of its members whom nothing they did would have moved, "
            f"against {100 * reassigned.behaviour:.0f} % whose behaviour changed.",
        )
    if unchanged_share is not None and unchanged_share >= STALE_SHARE:
        return Judged(
            "stale",
            f"{100 * unchanged_share:.0f} % of its members have been in it for six months or longer: "
            "it says who they were, not what they do now.",
        )
    roughly = "" if found_again is None or found_again >= FOUND_AGAIN else ", though other samples give it only roughly"
    if reassigned is not None and reassigned.n < FEWEST:
        roughly = f"; only {reassigned.n} were in it at T, too few to say whether a refit keeps it"
    if half_life_days is not None and half_life_days <= QUICK_DAYS:
        return Judged("state", f"Half of its members leave within {_say_days(half_life_days)}{roughly}.")
    if half_life_days is not None:
        return Judged("slow", f"Half of its members leave only after {_say_days(half_life_days)}{roughly}.")
    if observed_days < QUICK_DAYS:
        what = f"Fewer than half have left in the {observed_days:.0f} days known: too short to tell"
        return Judged("unknown", f"{what}{roughly}.")
    return Judged("slow", f"Fewer than half of its members have left in {observed_days:.0f} days{roughly}.")
