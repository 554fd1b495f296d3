"""Where customers are in their life with us: new, activated, loyal, at risk, lost, won back, in their own rhythm.

A month of silence is long for one customer and usual for another. So silence is measured in each customer's own typical
gap between purchases, drawn toward that of all as long as few gaps are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sojourn.frames import DAY_S, F8, I8
from sojourn.playbook import Playbook
from sojourn.predict.value import Purchases

NEW, ACTIVATED, LOYAL, AT_RISK, LOST, WON_BACK = "new", "activated", "loyal", "at risk", "lost", "won back"
STAGES = (NEW, ACTIVATED, LOYAL, AT_RISK, LOST, WON_BACK)


@dataclass(frozen=True)
class Rhythm:
    """The thresholds. Gaps are in the customer's own typical gap.

    ``activated_at`` and ``loyal_at``: so many purchases; ``risk_gaps``: at risk after so many gaps of silence;
    ``lost_gaps``: lost after so many, unless ``lost_days`` says how many days for all (the playbook's silence that is
    churn); ``won_back_for``: won back until so many purchases after the return. ``shared_gaps``: the gap of all counts
    like so many of the customer's own. ``usual_days``: the gap of all where nobody has bought twice.
    """

    activated_at: int = 2
    loyal_at: int = 4
    risk_gaps: float = 2.0
    lost_gaps: float = 4.0
    lost_days: float | None = None
    won_back_for: int = 2
    shared_gaps: float = 2.0
    usual_days: float = 30.0


def read_rhythm(book: Playbook) -> Rhythm:
    """The thresholds of a playbook: what its outcomes call churn by silence is lost; all else as :class:`Rhythm` has it.

    >>> from sojourn.playbook.load import load_playbook
    >>> read_rhythm(load_playbook("shop")).lost_days
    90.0
    """  # noqa: E501
    silences = [one.silence_s for one in book.outcomes if one.silence_s is not None]
    return Rhythm(lost_days=min(silences) / DAY_S if silences else None)


def stage_customers(purchases: Purchases, day: int, rhythm: Rhythm | None = None) -> pa.Table:
    """One row per customer who had bought by the end of ``day``: ``customer_id, stage, silence_days, gap_days,
    gaps_of_silence, n_purchases, n_since_return``.

    ``gap_days`` is the typical gap, ``n_since_return`` purchases since the last return from a silence in which the
    customer was lost, null where there was none. Later purchases are not looked at.

    >>> from sojourn.predict.value.purchases import merge_days
    >>> days = [0, 10, 20, 30, 0, 300]
    >>> two = merge_days(pa.array(["steady", "back"]), np.array([0, 0, 0, 0, 1, 1]), np.array(days), np.ones(6))
    >>> [stage_customers(two, at, Rhythm(lost_days=90))["stage"].to_pylist() for at in (35, 301)]
    [['loyal', 'at risk'], ['lost', 'won back']]
    """
    rule = rhythm or Rhythm()
    past = purchases.day <= day
    who, when = purchases.customer[past], purchases.day[past].astype(float)
    starts = np.flatnonzero(np.diff(who, prepend=-1))
    n = np.diff(np.append(starts, len(who)))
    last = when[starts + n - 1]
    silence = day - last
    was_lost, gap = _typical_gaps(when, starts, n, rule)
    lost_after = np.full(len(n), rule.lost_days) if rule.lost_days is not None else rule.lost_gaps * gap
    risk_after = np.minimum(rule.risk_gaps * gap, 0.75 * lost_after)
    since = _count_since_return(was_lost, starts, n)
    is_back = (since > 0) & (since <= rule.won_back_for)
    stage = np.select(
        [silence > lost_after, silence > risk_after, is_back, n >= rule.loyal_at, n >= rule.activated_at],
        [LOST, AT_RISK, WON_BACK, LOYAL, ACTIVATED],
        NEW,
    )
    return pa.table(
        {
            "customer_id": purchases.names.take(pa.array(who[starts])),
            "stage": pa.array(stage),
            "silence_days": silence,
            "gap_days": gap,
            "gaps_of_silence": silence / gap,
            "n_purchases": n.astype(np.int64),
            "n_since_return": pa.array(since, mask=since == 0),
        }
    )


def _typical_gaps(when: F8, starts: I8, n: I8, rule: Rhythm) -> tuple[NDArray[np.bool_], F8]:
    """Which purchases [P] ended a silence in which the customer was lost, and the mean of the other gaps [N].

    Each is drawn toward the median of all customers' means, as if that had been seen a few times. Whether somebody was
    lost is judged by what was known of them then.
    """
    customer = np.repeat(np.arange(len(n)), n)
    place = np.arange(len(when)) - starts[customer]
    gap = np.diff(when, prepend=when[:1])
    gap[starts] = 0.0
    last, again = when[starts + n - 1], n > 1
    usual = float(np.median((last - when[starts])[again] / (n - 1)[again])) if again.any() else rule.usual_days
    drawn = rule.shared_gaps * usual
    then = (np.roll(when, 1) - when[starts][customer] + drawn) / np.maximum(place - 1 + rule.shared_gaps, 1.0)
    lost_after = rule.lost_days if rule.lost_days is not None else rule.lost_gaps * np.maximum(then, 1.0)
    was_lost = (place > 0) & (gap > lost_after)
    n_own = n - 1 - np.bincount(customer, was_lost, len(n))
    own = np.bincount(customer, np.where(was_lost, 0.0, gap), len(n))
    return was_lost, np.asarray(np.maximum((own + drawn) / (n_own + rule.shared_gaps), 1.0))


def _count_since_return(was_lost: NDArray[np.bool_], starts: I8, n: I8) -> I8:
    """Purchases since the last return of somebody who was lost, the return among them; 0: never lost."""
    customer = np.repeat(np.arange(len(n)), n)
    place = np.arange(len(was_lost)) - starts[customer]
    back = np.zeros(len(n), np.int64)
    np.maximum.at(back, customer[was_lost], place[was_lost])
    return np.where(back > 0, n - back, 0)


def list_rules(rule: Rhythm) -> Sequence[tuple[str, str]]:
    """Each stage with its rule in words, in the order in which they are asked."""
    lost = f"{rule.lost_days:g} days" if rule.lost_days is not None else f"{rule.lost_gaps:g} typical gaps"
    return (
        (LOST, f"silent for more than {lost}"),
        (AT_RISK, f"silent for more than {rule.risk_gaps:g} typical gaps, or three quarters of the time to lost"),
        (WON_BACK, f"was lost, came back, and has bought at most {rule.won_back_for} times since"),
        (LOYAL, f"{rule.loyal_at} purchases or more"),
        (ACTIVATED, f"{rule.activated_at} purchases or more"),
        (NEW, "all others"),
    )
