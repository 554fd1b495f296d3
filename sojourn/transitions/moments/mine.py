"""Proposes moments: patterns that announce an outcome, found on half of the customers and judged on the other half."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sojourn.frames import DAY_US, I8, OTHER
from sojourn.playbook import Moment, Outcome, Playbook
from sojourn.playbook.rules import format_duration
from sojourn.transitions.journeys import Limits, mine_patterns
from sojourn.transitions.moments.measure import SCHEMA, Streams, measure_moments

Progress = Callable[[int, int], None]

WINDOWS_S = (2 * 3_600.0, 2 * 86_400.0, 7 * 86_400.0)
MAX_LENGTH = 3
MOST_TRIED = 150
"""Patterns per window: the best supported ones."""
MOST_JUDGED = 40
"""Those that stand out most in the mined half: fewer share the false discoveries."""
SURE_Q = 0.05
OVERLAP = 0.7
"""A moment is dropped when so many of its completions come on a day on which a better one comes to the customer."""
LEAST_CUSTOMERS = 20

PROPOSED = pa.schema([*SCHEMA, ("lift_mined", pa.float64())])
"""The columns of :func:`sojourn.transitions.moments.measure.measure_moments`, of the held-out half, and the lift of
the mined half."""


def propose_moments(
    streams: Streams,
    playbook: Playbook,
    outcome: Outcome,
    find: Callable[[Playbook, Streams], I8],
    *,
    now: datetime,
    rng: np.random.Generator,
    windows_s: Sequence[float] = WINDOWS_S,
    min_share: float = 0.02,
    most: int = 10,
    progress: Progress | None = None,
) -> tuple[pa.Table, tuple[Moment, ...]]:
    """Moments that announce ``outcome``, the surest first, and a row of numbers about each.

    Sequences of two or three own events inside a window, and the same in any order where several orders are frequent,
    by at least ``min_share`` of the customers. Those whose interval of lift on the mined half is above 1 are judged on
    the other half; kept are those with ``q`` under 5 % over all judged and an interval above 1 there too. One is
    dropped that comes mostly with a better one. ``find`` gives the completions of a playbook's moments.
    """
    is_mined = np.zeros(streams.n_customers, bool)
    is_mined[rng.permutation(streams.n_customers)[: streams.n_customers // 2]] = True
    mined, held_out = (_take(streams, chosen) for chosen in (is_mined, ~is_mined))
    tried = _draw_candidates(mined, outcome, windows_s, min_share)
    rows: list[dict[str, Any]] = []
    for i in range(0, len(tried), MOST_JUDGED):
        rows += _measure(mined, playbook, outcome, tried[i : i + MOST_JUDGED], find, now, rng)
        if progress:
            progress(i, len(tried))
    promising = sorted((row["low"], i) for i, row in enumerate(rows) if row["low"] is not None and row["low"] > 1)
    chosen = _drop_overlapping([tried[i] for _, i in reversed(promising)], mined, playbook, find, MOST_JUDGED)
    named = _name(chosen, {moment.name for moment in playbook.moments}, outcome)
    judged = _measure(held_out, playbook, outcome, named, find, now, rng)
    lifts = {tried[i]: rows[i]["lift"] for _, i in promising}
    for row, candidate in zip(judged, chosen, strict=True):
        row["lift_mined"] = lifts[candidate]
    kept = sorted(
        (i for i, row in enumerate(judged) if row["q"] is not None and row["q"] < SURE_Q and row["low"] > 1),
        key=lambda i: -judged[i]["low"],
    )[:most]
    return pa.Table.from_pylist([judged[i] for i in kept], schema=PROPOSED), tuple(named[i] for i in kept)


def _take(streams: Streams, chosen: NDArray[np.bool_]) -> Streams:
    """The streams of some customers, numbered anew."""
    rows = np.flatnonzero(chosen[streams.customer])
    customer = (np.cumsum(chosen) - 1)[streams.customer[rows]].astype(np.int64)
    at = streams.at[rows]
    times = np.sort(at)
    key = customer * (len(at) + 1) + np.searchsorted(times, at)
    return Streams(streams.names, customer, at, streams.item[rows], streams.is_own[rows], key, times)


def _draw_candidates(streams: Streams, outcome: Outcome, windows_s: Sequence[float], min_share: float) -> list[Moment]:
    left_out = [i for i, name in enumerate(streams.names) if name in (OTHER, outcome.event)]
    rows = np.flatnonzero(streams.is_own & ~np.isin(streams.item, left_out))
    support = max(LEAST_CUSTOMERS, int(np.ceil(min_share * streams.n_customers)))
    found: list[Moment] = []
    for window_s in windows_s:
        limits = Limits(max_length=MAX_LENGTH, max_gap=None, max_span_s=window_s)
        table = mine_patterns(
            streams.customer[rows], streams.item[rows], streams.at[rows], limits=limits, min_support=support
        )
        patterns = [tuple(p) for p in table["pattern"].to_pylist() if len(p) > 1][:MOST_TRIED]
        found += [_sequence(tuple(streams.names[i] for i in p), window_s) for p in patterns]
        orders = Counter(tuple(sorted(streams.names[i] for i in p)) for p in patterns)
        found += [_any_order(names, window_s) for names, n in orders.items() if n > 1]
    return found


def _sequence(names: tuple[str, ...], window_s: float) -> Moment:
    return Moment("candidate", names, window_s, "", 0)


def _any_order(names: tuple[str, ...], window_s: float) -> Moment:
    return Moment("candidate", (), window_s, "", 0, all_of=tuple(sorted(Counter(names).items())))


def _measure(
    streams: Streams,
    playbook: Playbook,
    outcome: Outcome,
    moments: Sequence[Moment],
    find: Callable[[Playbook, Streams], I8],
    now: datetime,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    """A row per moment, with ``q`` over these."""
    named = [replace(moment, name=f"m{i}", outcome=outcome.name) for i, moment in enumerate(moments)]
    completions = find(replace(playbook, moments=tuple(named)), streams)
    rows: list[dict[str, Any]] = measure_moments(streams, completions, named, [outcome], now=now, rng=rng).to_pylist()
    for row, moment in zip(rows, moments, strict=True):
        row["moment"] = moment.name
    return rows


def _drop_overlapping(
    moments: Sequence[Moment], streams: Streams, playbook: Playbook, find: Callable[[Playbook, Streams], I8], most: int
) -> list[Moment]:
    """The first of the moments, best first, but those that are a better one but for the window, or come with it."""
    kept: list[Moment] = []
    taken: list[set[tuple[int, int]]] = []
    for i in range(0, len(moments), MOST_JUDGED):
        part = [replace(moment, name=f"m{k}") for k, moment in enumerate(moments[i : i + MOST_JUDGED])]
        completions = find(replace(playbook, moments=tuple(part)), streams)
        for k, moment in enumerate(moments[i : i + MOST_JUDGED]):
            rows = completions[completions[:, 1] == k, 0]
            days = list(zip(streams.customer[rows].tolist(), (streams.at[rows] // DAY_US).tolist(), strict=True))
            is_new = all((moment.sequence, moment.all_of) != (other.sequence, other.all_of) for other in kept)
            if is_new and len(kept) < most and all(sum(d in of for d in days) < OVERLAP * len(days) for of in taken):
                kept.append(moment)
                taken.append(set(days))
    return kept


def _name(moments: Sequence[Moment], taken: set[str], outcome: Outcome) -> list[Moment]:
    """The moments with names that say what they are, and which outcome they announce."""
    found = []
    for moment in moments:
        joint = "_and_" if moment.all_of else "_then_"
        stem = joint.join(dict.fromkeys(moment.steps))[:52].rstrip("_")
        name, n = stem, 1
        while name in taken:
            n += 1
            name = f"{stem}_{n}"
        taken.add(name)
        found.append(replace(moment, name=name, outcome=outcome.name))
    return found


def write_moments(moments: Sequence[Moment], about: Sequence[str]) -> str:
    """The moments as YAML for a playbook; ``about`` are their words.

    >>> print(write_moments([Moment("seen", ("view", "cart"), 7200.0, "", 0, outcome="sale")], ["Often bought."]))
    moments:
      seen:
        sequence: [view, cart]
        within: 2h
        outcome: sale
        about: Often bought.
    """
    lines = ["moments:"]
    for moment, words in zip(moments, about, strict=True):
        steps = f"sequence: [{', '.join(moment.sequence)}]"
        if moment.all_of:
            steps = f"all_of: {{{', '.join(f'{name}: {n}' for name, n in moment.all_of)}}}"
        lines += [f"  {moment.name}:", f"    {steps}", f"    within: {format_duration(moment.within_s)}"]
        lines += [f"    outcome: {moment.outcome}"] if moment.outcome else []
        lines += [f"    about: {words}"]
    return "\n".join(lines)
