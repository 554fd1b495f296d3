"""Which journeys go with an outcome: people before it happened against people as active to whom it did not happen.

Association, not cause: a journey may be a sign of what people had in mind anyway. Sources: control instants drawn from
those at which it could have happened, Breslow 1996 (doi:10.1080/01621459.1996.10476660); interval of a ratio of
shares, Katz et al. 1978 (doi:10.2307/2530610), with half a customer added to each count as Pettigrew et al. 1986
(doi:10.1093/biomet/73.2.425) have it; q values, Benjamini & Hochberg 1995 (doi:10.1111/j.2517-6161.1995.tb02031.x).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sojourn.frames import DAY_US, I8, OTHER, instant_us
from sojourn.playbook import Outcome
from sojourn.transitions.journeys.patterns import Limits, contrast_patterns
from sojourn.transitions.precursors import adjust_p_values
from sojourn.transitions.stays import instants_of

Flags = NDArray[np.bool_]

LIMITS = Limits(max_length=4, max_gap=3)
"""Journeys of up to four steps, with at most two other steps between one and the next, and all within the window.

Gaps are not limited in time: that would make journeys of slow people rarer, whatever they do (those about to fall
silent are slow), and say nothing about what they do.
"""

WINDOW_US = 30 * DAY_US
"""How long before the outcome steps count."""

MAX_STEPS = 12
"""The latest so many steps count: among many more, almost any journey comes by chance, and nothing stands out."""

MIN_SHARE = 0.05
"""A journey is tried when so many of either group of the mined half made it."""

MOST_JUDGED = 40
"""Per outcome: those that stand out most in the mined half."""

MIN_CUSTOMERS = 40
"""With and without the outcome, after matching: half of them are mined, half judge."""

MOST_CONTROLS = 4
"""Further ones per customer with the outcome narrow the intervals by less than a tenth."""

SCHEMA = pa.schema(
    [
        ("outcome", pa.string()),
        ("pattern", pa.list_(pa.string())),
        ("text", pa.string()),
        ("n_with", pa.int64()),
        ("n_without", pa.int64()),
        ("of_with", pa.int64()),
        ("of_without", pa.int64()),
        ("with_p", pa.float64()),
        ("without_p", pa.float64()),
        ("lift", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("q", pa.float64()),
        ("is_closed", pa.bool_()),
        ("is_maximal", pa.bool_()),
        ("why_not", pa.string()),
    ]
)


@dataclass(frozen=True)
class Lives:
    """What customers did themselves, by customer and time, as parallel arrays; ``item`` are positions in ``names``.

    ``instant_row`` is the first row of the same customer and instant, ``window_row`` the first inside the window,
    ``is_step`` whether a row is no repetition and not ``other``, ``next_row`` the next row that is not ``other``.
    """

    names: tuple[str, ...]
    customer: I8
    at: I8
    item: I8
    instant_row: I8
    window_row: I8
    is_step: Flags
    next_row: I8


@dataclass(frozen=True)
class Ends:
    """Where a life may be cut: rows ``[window_row[anchor], end)`` are the journey. One per customer in ``goal``."""

    goal: I8  # anchors, of customers with the outcome
    others: I8  # all anchors that customers without it offer
    end: I8  # per row as an anchor: the row after the last that counts


def find_journeys(
    history: pa.Table,
    outcomes: Sequence[Outcome],
    *,
    touches: Sequence[str],
    now: datetime,
    rng: np.random.Generator,
    limits: Limits = LIMITS,
    min_share: float = MIN_SHARE,
) -> pa.Table:
    """Per outcome the journeys that customers made before it, and as many customers who had none as fit them.

    ``history`` needs ``customer_id``, ``event_at`` and ``event_class``, customer by customer and in time order. A
    journey lies in the last twelve steps of the 30 days strictly before the outcome first happened (before the first
    silence for an outcome of silence, its last event included); repetitions count as one step, touches and ``other``
    not at all. Each customer with the outcome is held against up to four who never had it, cut at an event of theirs
    with just as many steps before it, and known for as long after as the outcome may take. Journeys come from half of
    the customers, all numbers from the other half: ``n_with`` of ``of_with`` customers made it, ``with_p``,
    ``without_p``, ``lift`` with its 95 % interval, ``q`` over all outcomes.
    ``is_closed``: no longer journey of the table has as many; ``is_maximal``: none has this one in it. An outcome that
    cannot be judged has one row that says ``why_not``.

    >>> from datetime import UTC
    >>> empty = pa.table({"customer_id": pa.array([], pa.string()), "event_at": pa.array([], pa.timestamp("us", "UTC")),
    ...     "event_class": pa.array([], pa.string())})
    >>> outcome = Outcome("conversion", "purchase", None, None, 86_400.0, "", 1)
    >>> table = find_journeys(empty, [outcome], touches=[], now=datetime(2026, 1, 1, tzinfo=UTC),
    ...     rng=np.random.default_rng(0))
    >>> table["why_not"].to_pylist()
    ['fewer than 40 customers with it (0)']
    """
    lives = read_lives(history, touches)
    rows: list[dict[str, Any]] = []
    for outcome in outcomes:
        found = _judge(lives, outcome, instant_us(now), rng, limits, min_share)
        rows += [{"outcome": outcome.name, "why_not": found}] if isinstance(found, str) else found
    judged = [row for row in rows if row.get("pattern")]
    q = adjust_p_values(np.array([row.pop("p") for row in judged], np.float64))
    for row, value in zip(judged, q, strict=True):
        row["q"] = float(value)
    place = {outcome.name: i for i, outcome in enumerate(outcomes)}
    rows.sort(key=lambda r: (place[r["outcome"]], r.get("q", 2.0), -abs(np.log(r.get("lift") or 1)), r.get("text", "")))
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def read_lives(history: pa.Table, touches: Sequence[str]) -> Lives:
    """The customers' own events; raises :class:`ValueError` for rows that are not by customer and time."""
    ids, classes = (_encode(history[name]) for name in ("customer_id", "event_class"))
    names = classes.dictionary.to_pylist()
    item = np.asarray(classes.indices, np.int64)
    own = np.flatnonzero(~np.isin(item, [i for i, name in enumerate(names) if name in touches]))
    customer, at, item = np.asarray(ids.indices, np.int64)[own], instants_of(history["event_at"])[own], item[own]
    is_new = np.diff(customer, prepend=-1) != 0
    if is_new.sum() != len(np.unique(customer)) or np.any((np.diff(at, prepend=0) < 0) & ~is_new):
        raise ValueError("history: not in the order customer, time")
    customer = np.cumsum(is_new) - 1
    n, times = len(at), np.sort(at)
    key = customer * (n + 1)
    window = np.searchsorted(
        key + np.searchsorted(times, at), key + np.searchsorted(times, at - WINDOW_US), side="left"
    )
    is_later = is_new | (np.diff(at, prepend=0) != 0)
    first = np.maximum.accumulate(np.where(is_later, np.arange(n), 0)) if n else np.zeros(0, np.int64)
    named = np.flatnonzero(item != (names.index(OTHER) if OTHER in names else -1))
    is_step = np.zeros(n, bool)
    is_step[named] = (np.diff(item[named], prepend=-1) != 0) | (np.diff(customer[named], prepend=-1) != 0)
    following = np.append(named, n)[np.searchsorted(named, np.arange(n))]
    return Lives(tuple(names), customer, at, item, first, window, is_step, following)


def _encode(column: Any) -> Any:
    column = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    return column.unify_dictionaries().combine_chunks()


def _judge(
    lives: Lives, outcome: Outcome, now_us: int, rng: np.random.Generator, limits: Limits, min_share: float
) -> list[dict[str, Any]] | str:
    """Rows without ``q`` but with ``p``, or why there are none."""
    if outcome.measure is not None:
        return "it is an amount, not something that happens or does not"
    ends = (
        cut_at_silence(lives, outcome.silence_s, now_us)
        if outcome.silence_s is not None
        else (cut_at_event(lives, outcome.event or "", outcome.within_s or 0.0, now_us))
    )
    if len(ends.goal) < MIN_CUSTOMERS:
        return f"fewer than {MIN_CUSTOMERS} customers with it ({len(ends.goal):,})"
    goal, others = match_exposure(lives, ends, rng)
    if min(len(goal), len(others)) < MIN_CUSTOMERS:
        return f"fewer than {MIN_CUSTOMERS} customers without it who were as active ({len(others):,})"
    anchors, is_goal = np.concatenate([goal, others]), np.arange(len(goal) + len(others)) < len(goal)
    customer, item, at = take_steps(lives, anchors, ends.end)
    found = contrast_patterns(
        customer, item, at, is_goal, limits=limits, min_share=min_share, rng=rng, most=MOST_JUDGED
    )
    if not found.num_rows:
        return f"no journey is made by {min_share:.0%} of the customers"
    of_goal, of_others = len(goal) - len(goal) // 2, len(others) - len(others) // 2  # what is held out
    return _describe(found.to_pylist(), outcome.name, lives.names, of_goal, of_others, limits)


def cut_at_event(lives: Lives, event: str, within_s: float, now_us: int) -> Ends:
    """Before the first event of the class, or, for customers without one, before any event that is old enough."""
    is_it = lives.item == (lives.names.index(event) if event in lives.names else -1)
    rows = np.flatnonzero(is_it)
    _, first = np.unique(lives.customer[rows], return_index=True)
    has = np.zeros(lives.customer.max(initial=-1) + 1, bool)
    has[lives.customer[rows]] = True
    is_known = lives.at + round(within_s * 1e6) <= now_us
    others = np.flatnonzero(~has[lives.customer] & is_known)
    return _with_steps(lives, rows[first], others, lives.instant_row)


def cut_at_silence(lives: Lives, silence_s: float, now_us: int) -> Ends:
    """After the last event before the first long silence, or, for who never fell silent, any event but the last."""
    is_last = np.append(np.diff(lives.customer) != 0, True)[: len(lives.at)]
    next_at = np.where(is_last, now_us, np.append(lives.at[1:], 0)[: len(lives.at)])
    rows = np.flatnonzero(next_at - lives.at >= round(silence_s * 1e6))
    _, first = np.unique(lives.customer[rows], return_index=True)
    has = np.zeros(lives.customer.max(initial=-1) + 1, bool)
    has[lives.customer[rows]] = True
    return _with_steps(
        lives, rows[first], np.flatnonzero(~has[lives.customer] & ~is_last), np.arange(1, len(lives.at) + 1)
    )


def _with_steps(lives: Lives, goal: I8, others: I8, end: I8) -> Ends:
    """The anchors with at least one event before them: without, there is no journey to look at."""
    has_any = count_steps(lives, end) > 0
    return Ends(goal[has_any[goal]], others[has_any[others]], end)


def match_exposure(lives: Lives, ends: Ends, rng: np.random.Generator) -> tuple[I8, I8]:
    """Anchors of customers with the outcome and of others, as many per one in each class of activity.

    A class of activity is the number of steps that :func:`take_steps` would take. Each customer without the outcome
    gives one anchor, drawn so that classes are spread as among those with it; then each class keeps the same number of
    others per customer with the outcome, 1 to 4, whichever leaves most to learn from. Sorted by row.
    """
    level = count_steps(lives, ends.end)
    top = int(level.max(initial=0)) + 1
    wanted, offered = (np.bincount(level[rows], minlength=top) for rows in (ends.goal, ends.others))
    weight = (wanted / np.maximum(offered, 1))[level[ends.others]]
    with np.errstate(divide="ignore"):
        wait = rng.exponential(size=len(ends.others)) / weight  # the first to come is a weighted draw
    order = np.lexsort((wait, lives.customer[ends.others]))
    _, first = np.unique(lives.customer[ends.others][order], return_index=True)
    others = ends.others[order[first]]
    n_goal, n_others = (np.bincount(level[rows], minlength=top) for rows in (ends.goal, others))
    kept = {per: np.minimum(n_goal, n_others // per) for per in range(1, MOST_CONTROLS + 1)}
    per = max(kept, key=lambda k: (kept[k].sum() * k / (k + 1), -k))
    goal, others = (
        np.concatenate(
            [np.zeros(0, np.int64)]
            + [rng.permutation(rows[level[rows] == i])[:most] for i, most in enumerate((kept[per] * times).tolist())]
        )
        for rows, times in ((ends.goal, 1), (others, per))
    )
    return np.sort(goal), np.sort(others)


def count_steps(lives: Lives, end: I8) -> I8:
    """Per row as an anchor: the steps before it, at most :data:`MAX_STEPS`."""
    before = np.append(0, np.cumsum(lives.is_step))
    first = lives.next_row[lives.window_row]
    is_cut = np.append(~lives.is_step, False)[first] & (first < end)  # a repetition of what lies before the window
    n = before[np.maximum(end, lives.window_row)] - before[lives.window_row] + is_cut
    return np.asarray(np.minimum(n, MAX_STEPS), np.int64)


def take_steps(lives: Lives, anchors: I8, end: I8) -> tuple[I8, I8, I8]:
    """Customers (positions in ``anchors``), items and instants of the steps before each anchor, repetitions once."""
    lo, hi = lives.window_row[anchors], end[anchors]
    n = hi - lo
    customer = np.repeat(np.arange(len(anchors)), n)
    rows = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n) + np.repeat(lo, n)
    other = lives.names.index(OTHER) if OTHER in lives.names else -1
    customer, rows = customer[lives.item[rows] != other], rows[lives.item[rows] != other]
    item = lives.item[rows]
    is_step = (np.diff(item, prepend=-1) != 0) | (np.diff(customer, prepend=-1) != 0)
    customer, rows = customer[is_step], rows[is_step]
    left = np.searchsorted(customer, customer, side="right") - np.arange(len(customer))  # steps to the end, its own too
    late = left <= MAX_STEPS
    return customer[late], lives.item[rows[late]], lives.at[rows[late]]


def _describe(
    found: list[dict[str, Any]], outcome: str, names: Sequence[str], of_with: int, of_without: int, limits: Limits
) -> list[dict[str, Any]]:
    patterns = {tuple(row["pattern"]): row["n_goal"] + row["n_others"] for row in found}
    around: dict[tuple[int, ...], int] = {}  # the most that a longer one of the table has
    for pattern, n in patterns.items():
        for part in _parts(pattern, is_free=limits.is_free):
            around[part] = max(around.get(part, -1), n)
    rows = []
    for row in found:
        pattern = tuple(row["pattern"])
        lift, low, high = share_ratio(row["n_goal"], of_with, row["n_others"], of_without)
        steps = [names[i] for i in pattern]
        rows.append(
            {
                "outcome": outcome,
                "pattern": steps,
                "text": " → ".join(steps),
                "n_with": row["n_goal"],
                "n_without": row["n_others"],
                "of_with": of_with,
                "of_without": of_without,
                "with_p": row["n_goal"] / of_with,
                "without_p": row["n_others"] / of_without,
                "lift": lift,
                "low": low,
                "high": high,
                "p": row["p"],
                "is_closed": around.get(pattern, -1) < patterns[pattern],
                "is_maximal": pattern not in around,
            }
        )
    return rows


def _parts(pattern: tuple[int, ...], *, is_free: bool) -> set[tuple[int, ...]]:
    """All shorter journeys inside: any steps left out without limits of gap and span, else only at the ends."""
    parts: set[tuple[int, ...]] = set()
    queue = [pattern]
    while queue:
        whole = queue.pop()
        for i in range(len(whole)) if is_free else {0, len(whole) - 1}:
            part = whole[:i] + whole[i + 1 :]
            if part and part not in parts:
                parts.add(part)
                queue.append(part)
    return parts


def share_ratio(n_with: int, of_with: int, n_without: int, of_without: int) -> tuple[float, float, float]:
    """The ratio of two shares and its 95 % interval, half a customer added to each count.

    >>> [round(x, 3) for x in share_ratio(30, 100, 15, 100)]
    [1.968, 1.141, 3.395]
    """
    a, b, c, d = n_with + 0.5, of_with + 0.5, n_without + 0.5, of_without + 0.5
    ratio = (a / b) / (c / d)
    width = 1.959963984540054 * np.sqrt(1 / a - 1 / b + 1 / c - 1 / d)
    return ratio, float(ratio * np.exp(-width)), float(ratio * np.exp(width))
