"""The stability audit: fit on data to T and to a week later, label everybody by both, and say who changed.

Reads events, so it stands above the pipeline; what it measures is in :mod:`sojourn.prove.stability.judge`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sojourn.frames import F8, WEEK_US, Progress
from sojourn.playbook import Playbook, load_playbook
from sojourn.prove.stability.judge import (
    FEWEST,
    NONE,
    Judged,
    Labels,
    Reassigned,
    adjusted_rand,
    find_again,
    judge_segment,
    match_labels,
    rename_labels,
    split_reassigned,
)
from sojourn.prove.stability.membership import Spells, measure_lasting, show_lasting, spells_of_panel
from sojourn.prove.stability.methods import (
    describe_clusters,
    find_states_again,
    fit_clusters,
    label_states,
    label_states_at,
    published_spells,
)
from sojourn.states import Past, StatesFit, features_at, fit_at, read_past, restart_rows, to_instant
from sojourn.transitions import names_at

METHODS = ("states, published", "states, likeliest", "k-means", "mixture")
"""What is compared: the state the world sees, the likeliest state, and two clusterings with as many clusters."""

N_WEEKS = 27
_NEARLY_ALL = 0.9

SCHEMA = pa.schema(
    [
        ("method", pa.string()),
        ("segment", pa.string()),  # null: all of the method's segments together
        ("about", pa.string()),
        ("n_customers", pa.int64()),
        ("reassigned_share", pa.float64()),
        ("behaviour_share", pa.float64()),
        ("wobble_share", pa.float64()),
        ("both_share", pa.float64()),
        ("undone_share", pa.float64()),
        ("ari", pa.float64()),
        ("ari_same_data", pa.float64()),
        ("found_again", pa.float64()),
        ("half_life_days", pa.float64()),
        ("half_life_low_days", pa.float64()),
        ("half_life_high_days", pa.float64()),
        ("changed_per_week", pa.float64()),
        ("unchanged_share", pa.float64()),
        ("verdict", pa.string()),
        ("says", pa.string()),
    ]
)
"""The table ``stability.parquet``."""


@dataclass(frozen=True)
class Audit:
    """What the audit found. ``table`` is ``stability.parquet``; ``at`` is T, ``later`` a week after it.

    ``n_known`` customers had done something themselves by T; ``n_customers`` were looked at in all. ``labels`` has one
    row per method and known customer: ``method, customer_id, then, now, refit``, the segments by the old model at T, by
    the old model a week later, and by the new one, matched.
    """

    playbook: str
    at: datetime
    later: datetime
    n_customers: int
    n_known: int
    table: pa.Table
    labels: pa.Table


def audit_stability(
    events: Any,
    playbook: str | Playbook,
    *,
    at: datetime | None = None,
    max_customers: int = 5_000,
    n_rounds: int = 20,
    seed: int = 0,
    n_threads: int | None = None,
    clock: datetime | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Refit with one more week of data: who is reassigned, by which method, and why.

    ``at`` is T, by default a week before the last event. At most ``max_customers`` are looked at, drawn at random;
    ``n_rounds`` bootstrap rounds (0: none). The same arguments give the same table. Raises SojournError when there is
    no history before T or no week after it.

    >>> from sojourn.simulation.customers import simulate
    >>> found = audit_stability(simulate(60, days=60, seed=1).events, "shop", n_rounds=0, n_threads=1)
    >>> found.table.column("method").unique().to_pylist() == list(METHODS)
    True
    """
    book = playbook if isinstance(playbook, Playbook) else load_playbook(playbook)
    tell = progress or (lambda stage, done, n: None)
    rng = np.random.default_rng(seed)
    threads = n_threads or os.cpu_count() or 1
    past = read_past(events, book, at, max_customers, rng, clock or datetime.now(UTC), tell)
    tell("fit to T", 0, 1)
    old = fit_at(past, past.at, np.random.default_rng(seed), threads)
    tell("fit to a week later", 0, 1)
    new = fit_at(past, past.later, np.random.default_rng(seed), threads)
    weeks = [past.at - k * WEEK_US for k in range(N_WEEKS, -1, -1) if past.at - k * WEEK_US >= past.batch.event_at[0]]
    tell("label by states", 0, 1)
    found = _audit_states(past, old, new, weeks, n_rounds, rng, threads)
    features = {t: features_at(past, t, threads) for t in {*weeks, past.at, past.later}}
    for method in ("k-means", "mixture"):
        tell(f"label by {method}", 0, 1)
        found.append(_audit_clusters(past, method, features, len(old.fit.model.states), weeks, n_rounds, seed, rng))
    rows = [row for one in found for row in _rows_of(one)]
    return Audit(
        book.name,
        to_instant(past.at),
        to_instant(past.later),
        past.batch.n_customers,
        int(past.is_known.sum()),
        pa.Table.from_pylist(rows, schema=SCHEMA),
        pa.concat_tables([_table_labels(past, one) for one in found]),
    )


# -- the methods -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Labelled:
    """One method's labels: old model at T, old model later, new model later (matched); memberships by the old model."""

    method: str
    segments: tuple[str, ...]
    about: tuple[str | None, ...]
    then: Labels
    now: Labels
    refit: Labels
    spells: Spells
    found_again: F8 | None


def _audit_states(
    past: Past,
    old: StatesFit,
    new: StatesFit,
    weeks: Sequence[int],
    n_rounds: int,
    rng: np.random.Generator,
    threads: int,
) -> list[_Labelled]:
    """Published and likeliest state. Written states are matched by name, since people know them by it."""
    model, names = old.fit.model, old.fit.model.states
    at_t = restart_rows(old.rows, past.at)
    then, now = label_states(model, old.thresholds, at_t), label_states(model, old.thresholds, old.rows)
    refit = label_states(new.fit.model, new.thresholds, new.rows)
    matched = _match_extras(now.likeliest, refit.likeliest, len(past.book.states), len(names))
    weekly = np.array([w.likeliest for w in label_states_at(model, old.thresholds, old.rows, weeks)])
    spells = (
        published_spells(model, old.thresholds, at_t),
        spells_of_panel(weekly, np.array(weeks), names),
    )
    again = find_states_again(old.fit, old.thresholds, at_t, rng, n_rounds, threads) if n_rounds else None
    about = tuple(s.about for s in past.book.states) + (None,) * (len(names) - len(past.book.states))
    return [
        _Labelled(
            method,
            names,
            about,
            getattr(then, kind),
            getattr(now, kind),
            rename_labels(getattr(refit, kind), matched),
            known,
            again,
        )
        for method, kind, known in zip(METHODS[:2], ("published", "likeliest"), spells, strict=True)
    ]


def _match_extras(kept: Labels, other: Labels, n_written: int, n_states: int) -> Labels:
    """The permutation of states that keeps written ones and matches discovered ones by whom they hold."""
    matched = np.arange(n_states)
    if n_states > n_written + 1:
        shift = [np.where(x >= n_written, x - n_written, NONE) for x in (kept, other)]
        matched[n_written:] = n_written + match_labels(shift[0], shift[1], n_states - n_written)
    return matched


def _audit_clusters(
    past: Past,
    method: str,
    features: dict[int, F8],
    n_clusters: int,
    weeks: Sequence[int],
    n_rounds: int,
    seed: int,
    rng: np.random.Generator,
) -> _Labelled:
    """A clustering of features at T and a week later, labels matched by whom they hold."""
    known = np.flatnonzero(past.is_known)
    known_later = np.flatnonzero(past.first_own <= past.later)
    n_clusters = min(n_clusters, len(known))
    old = fit_clusters(method, features[past.at][known], n_clusters, seed)
    new = fit_clusters(method, features[past.later][known_later], n_clusters, seed)

    def label(assign: Callable[[F8], Labels], t: int) -> Labels:
        return np.where(past.first_own <= t, assign(features[t]), NONE)

    then, now, refit = label(old, past.at), label(old, past.later), label(new, past.later)
    among = past.is_known
    matched = match_labels(now[among], refit[among], n_clusters)
    again = None
    if n_rounds:
        x = features[past.at][known]

        def refit_labels(drawn: npt.NDArray[np.int64]) -> Labels:
            return fit_clusters(method, x[drawn], n_clusters, seed)(x)

        again = find_again(then[known], refit_labels, n_clusters, rng, n_rounds)
    segments = tuple(f"cluster {i + 1}" for i in range(n_clusters))
    spells = spells_of_panel(np.array([label(old, t) for t in weeks]), np.array(weeks), segments)
    about = describe_clusters(then[known], features[past.at][known], past.layout.feature_names, n_clusters)
    return _Labelled(
        method,
        segments,
        tuple(about),
        then,
        now,
        rename_labels(refit, matched),
        spells,
        again,
    )


# -- the table -------------------------------------------------------------------------------------------


def _table_labels(past: Past, found: _Labelled) -> pa.Table:
    who = np.flatnonzero(past.is_known)
    columns = {name: names_at(found.segments, getattr(found, name)[who]) for name in ("then", "now", "refit")}
    ids = past.batch.ids.names().take(pa.array(who))
    return pa.table({"method": pa.array([found.method] * len(who), pa.string()), "customer_id": ids, **columns})


def _rows_of(found: _Labelled) -> list[dict[str, Any]]:
    """A row for the method as a whole (``segment`` null), then one per segment."""
    known = found.then >= 0
    rows = []
    for code in (None, *range(len(found.segments))):
        among = None if code is None else found.then == code
        reassigned = split_reassigned(found.then, found.now, found.refit, among)
        lasting = measure_lasting(found.spells, code)
        again = None if code is None or found.found_again is None else float(found.found_again[code])
        again = None if again is not None and (np.isnan(again) or reassigned.n < FEWEST) else again
        judged = judge_segment(
            lasting.n_ever,
            reassigned=reassigned,
            found_again=again,
            half_life_days=lasting.half_life_days,
            unchanged_share=lasting.unchanged_share,
            observed_days=found.spells.observed_days,
        )
        rows.append(
            {
                "method": found.method,
                "segment": None if code is None else found.segments[code],
                "about": None if code is None else found.about[code],
                "n_customers": reassigned.n,
                **{f"{k}_share": getattr(reassigned, k) for k in ("behaviour", "wobble", "both", "undone")},
                "reassigned_share": reassigned.total,
                "ari": adjusted_rand(found.then[known], found.refit[known]) if code is None else None,
                "ari_same_data": adjusted_rand(found.now[known], found.refit[known]) if code is None else None,
                "found_again": again,
                **show_lasting(lasting),
                "verdict": None if code is None else judged.verdict,
                "says": say_method(found, reassigned) if code is None else judged.says,
            }
        )
    return rows


def say_method(found: _Labelled, r: Reassigned) -> str:
    """One method in a sentence: how many were reassigned, and why; and where nearly all are in one segment, that."""
    text = (
        f"{100 * r.total:.1f} % were reassigned by a refit a week later: {100 * r.behaviour:.1f} % because their "
        f"behaviour changed, {100 * r.wobble:.1f} % because the model did."
    )
    sizes = np.bincount(found.then[found.then >= 0], minlength=len(found.segments))
    most = int(sizes.argmax())
    if sizes[most] >= _NEARLY_ALL * max(r.n, 1):
        text += (
            f" {100 * sizes[most] / max(r.n, 1):.1f} % were in {found.segments[most]} at T: a look once a week sees "
            "little of the others."
        )
    return text


def find_verdicts(audit: Audit, method: str = METHODS[0]) -> dict[str, Judged]:
    """The verdict on each segment of one method."""
    return {
        row["segment"]: Judged(row["verdict"], row["says"])
        for row in audit.table.to_pylist()
        if row["method"] == method and row["segment"] is not None
    }
