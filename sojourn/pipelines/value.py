"""The job `value`: what each customer will buy, and what that is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sojourn.frames import DAY_US, INSTANT, Progress, read_plain, write_alone
from sojourn.pipelines.inputs import ignore, read_log, read_playbook, read_table
from sojourn.playbook import Playbook
from sojourn.predict.value import (
    Purchases,
    RevenueHoldout,
    Values,
    choose_purchases,
    day_of,
    find_purchases,
    grow_values,
    value_by_group,
    value_customers,
    watch_behaviour,
)
from sojourn.transitions import read_stays

_MOST_MOVERS = 5_000  # customers whose transitions are looked at, drawn at random


@dataclass(frozen=True, eq=False)
class Valued:
    """The value of each customer as of the end of ``day``, by group and by transition where that was asked for."""

    found: Values
    day: str
    purchase: tuple[str, ...]
    measure: str | None
    by_group: pa.Table | None
    growth: pa.Table | None

    def as_dict(self) -> dict[str, Any]:
        """The numbers as plain values, without the customers."""
        found = self.found
        total, low, high = found.total
        return {
            "at": self.day,
            "horizon_days": found.horizon_days,
            "yearly_discount": found.yearly_discount,
            "purchase": list(self.purchase),
            "measure": self.measure,
            "customers": found.customers.num_rows,
            "chosen": found.chosen,
            "total": {"value": total, "low": low, "high": high},
            "fits": [
                {
                    "model": fit.model,
                    "parameters": fit.parameters,
                    "log_likelihood": fit.log_likelihood,
                    "is_converged": fit.is_converged,
                    "doubts": fit.doubts,
                }
                for fit in [*found.fits.values(), *([found.spend] if found.spend else [])]
            ],
            "holdout": {"days": found.holdout.days, "scores": [score.as_dict() for score in found.holdout.scores]},
            "learned": found.learned,
            "revenue": _revenue_facts(found.revenue) if found.revenue is not None else None,
            "doubts": found.doubts,
            "groups": self.by_group.to_pylist() if self.by_group is not None else None,
            "growth": self.growth.to_pylist() if self.growth is not None else None,
        }


def value(
    events: Any,
    playbook: str | Path | Playbook,
    *,
    at: datetime | None = None,
    horizon_days: int = 365,
    yearly_discount: float = 0.1,
    holdout_days: int | None = None,
    purchase: Sequence[str] = (),
    measure: str | None = None,
    by: Any = None,
    group: str = "state",
    results: str | Path | None = None,
    is_plain: bool = False,
    out: str | Path | None = None,
    n_draws: int = 100,
    seed: int = 0,
    progress: Progress | None = None,
) -> Valued:
    """What each customer will buy in the ``horizon_days`` after the day of ``at``, and what that is worth.

    ``by``: a table with ``customer_id`` and the column ``group``, to add values up by. ``results``: a folder of
    `sojourn run`, for how value grows with each transition between its states. ``is_plain``: learn from purchases
    only. ``out``: a Parquet file for the customers. Raises SojournError for what cannot be done.

    >>> from sojourn.simulation.customers import simulate
    >>> valued = value(simulate(250, days=90, seed=1).events, "shop", horizon_days=30, is_plain=True, n_draws=0)
    >>> valued.purchase, valued.measure, "alive_p" in valued.found.customers.column_names
    (('purchase',), 'revenue', True)
    """
    run = read_run(Path(results)) if results is not None else None
    groups = read_table(by, ["customer_id", group]) if by is not None else None
    book, tell = read_playbook(playbook), progress or ignore
    classes, worth = choose_purchases(book, purchase, measure)
    log = read_log(events, book, tell)
    purchases = find_purchases(log.events, classes, worth)
    day = day_of(at or log.events["event_at"][-1].as_py())
    found = value_customers(
        purchases,
        day,
        horizon_days=horizon_days,
        yearly_discount=yearly_discount,
        holdout_days=holdout_days,
        n_bootstrap=n_draws,
        seed=seed,
        behaviour=None if is_plain else watch_behaviour(log.events, book),
        progress=tell,
    )
    growth = grow_in_run(log.events, book, purchases, day, run, seed) if run is not None else None
    if out is not None:
        write_alone(found.customers, Path(out))
    by_group = value_by_group(found.customers, groups, group) if groups is not None else None
    return Valued(found, _show_day(day), classes, worth, by_group, growth)


def read_run(folder: Path) -> tuple[pa.Table, pa.Table, tuple[str, ...]]:
    """Customers, transitions and states of a run. Raises SojournError where they cannot be read."""
    customers = read_plain(folder / "customers.parquet", ["customer_id", "state", "since_at"])
    transitions = read_plain(folder / "transitions.parquet", ["customer_id", "at", "from_state", "to_state", "dwell_s"])
    named = [customers["state"], transitions["from_state"], transitions["to_state"]]
    states = sorted({s for column in named for s in pc.unique(column.cast("string")).to_pylist() if s is not None})
    return customers, transitions, tuple(states)


def _revenue_facts(revenue: RevenueHoldout) -> dict[str, Any]:
    return {
        "chosen": revenue.chosen,
        "scores": [score.as_dict() for score in revenue.scores],
        "coverage": [one.as_dict() for one in revenue.coverage],
        "tenths": [{"expected": e, "spent": s} for e, s in revenue.tenths.get(revenue.chosen, [])],
    }


def grow_in_run(
    events: pa.Table,
    book: Playbook,
    purchases: Purchases,
    day: int,
    run: tuple[pa.Table, pa.Table, tuple[str, ...]],
    seed: int,
) -> pa.Table:
    """Growth of value with each transition of a run, until the end of ``day``, over at most 5,000 customers."""
    customers, transitions, states = run
    rng = np.random.default_rng(seed)
    seen = watch_behaviour(events, book)
    place = pc.index_in(seen.names.cast(pa.string()), customers["customer_id"].cast(pa.string()).combine_chunks())
    rows = place.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    chosen = np.sort(rng.permutation(np.flatnonzero(rows >= 0))[:_MOST_MOVERS])
    people, theirs = seen.take(chosen), customers.take(pa.array(rows[chosen])).combine_chunks()
    moved = transitions.filter(pc.is_in(transitions["customer_id"], theirs["customer_id"].combine_chunks()))
    now_us = (day + 1) * DAY_US - 1
    stays = read_stays(moved, theirs, states=states, now=pa.scalar(now_us, INSTANT).as_py())
    return grow_values(people, purchases, stays, now_us, rng=rng)


def _show_day(day: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()
