"""The job `value`: what each customer will be worth."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from sojourn.playbook.objects import Playbook
    from sojourn.predict.value.customers import Values
    from sojourn.predict.value.purchases import Purchases
    from sojourn.predict.value.revenue import RevenueHoldout


_MOST_MOVERS = 5_000  # whose moves are looked at, drawn at random


def value_facts(
    found: Values,
    day: int,
    classes: tuple[str, ...],
    measure: str | None,
    by_group: pa.Table | None,
    growth: pa.Table | None = None,
) -> dict[str, Any]:
    """What ``--json`` prints."""
    total, low, high = found.total
    return {
        "at": _show_day(day),
        "horizon_days": found.horizon_days,
        "yearly_discount": found.yearly_discount,
        "purchase": list(classes),
        "measure": measure,
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
        "groups": by_group.to_pylist() if by_group is not None else None,
        "growth": growth.to_pylist() if growth is not None else None,
    }


def _revenue_facts(revenue: RevenueHoldout) -> dict[str, Any]:
    return {
        "chosen": revenue.chosen,
        "scores": [score.as_dict() for score in revenue.scores],
        "coverage": [one.as_dict() for one in revenue.coverage],
        "tenths": [{"expected": e, "spent": s} for e, s in revenue.tenths.get(revenue.chosen, [])],
    }


def grow_in_run(
    events: pa.Table, book: Playbook, purchases: Purchases, day: int, run: tuple[pa.Table, pa.Table, tuple[str, ...]],
    seed: int,
) -> pa.Table:  # fmt: skip
    """Growth of value with each move of a run, until the end of ``day``, over at most 5,000 customers."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from sojourn.frames.schemas import INSTANT
    from sojourn.predict.value.growth import grow_values
    from sojourn.predict.value.purchases import DAY_US
    from sojourn.predict.value.rows import watch_behaviour
    from sojourn.transitions.stays import read_stays

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
