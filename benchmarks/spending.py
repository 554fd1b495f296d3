"""Who foresees what customers spend, and how often intervals of spending hold: models of buying beside learned ones.

Run: python benchmarks/spending.py [cdnow online_retail completejourney simulation] [--data DIR] [--customers 1500]
Each data set is cut once: all is fitted and learned before the cut, scores and coverage are of the time after it.
``simulation`` is the shop of ``sojourn simulate``, whose customers look around before they buy; ``planted`` is a world
of the BG/NBD itself, where intervals must hold what they say.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from value_world import buy_by_bgnbd

from sojourn.events.read import read_events
from sojourn.frames.duck import connect
from sojourn.playbook.load import load_playbook, parse_playbook
from sojourn.playbook.objects import Playbook
from sojourn.predict.value.buying import fit_buying, fit_spend
from sojourn.predict.value.draws import foresee_spending
from sojourn.predict.value.holdout import compare_models
from sojourn.predict.value.purchases import choose_purchases, count_purchases, day_of, find_purchases, trace_histories
from sojourn.predict.value.revenue import Coverage, RevenueHoldout, compare_revenue, measure_coverage
from sojourn.predict.value.rows import watch_behaviour
from sojourn.simulation.customers import simulate

BOOK = """
playbook: orders
source: {customer: who, time: at, event: what, duplicates: keep}
events: {purchase: {name: Order, measures: {revenue: paid}}}
features:
  often: "count(purchase, half_life=30d)"
  lately: "count(purchase, half_life=90d)"
  spent: "sum(revenue, half_life=60d)"
  silence: "recency(purchase)"
  rhythm: "cadence(purchase)"
states: {keen: {about: Keen.}, away: {about: Away.}}
"""
NAMES = ("cdnow", "online_retail", "completejourney", "simulation")


def read_cdnow(folder: Path) -> pa.Table:
    lines = gzip.decompress((folder / "cdnow" / "CDNOW_sample.txt.gz").read_bytes()).decode().splitlines()
    fields = [line.split() for line in lines if line.strip()]
    at = [datetime.strptime(f[2], "%Y%m%d").replace(tzinfo=UTC) for f in fields]
    return pa.table({"who": [f[1] for f in fields], "at": at, "paid": [float(f[4]) for f in fields]})


def read_retail(folder: Path) -> pa.Table:
    query = (
        'select CustomerID::bigint::varchar as who, InvoiceDate::timestamp as "at", sum(Quantity * UnitPrice) as paid '
        "from read_csv($file) where CustomerID is not null and Quantity > 0 and UnitPrice > 0 "
        "and InvoiceNo not like 'C%' group by all"
    )
    file = str(folder / "online_retail" / "online_retail.csv.gz")
    return connect(n_threads=1).sql(query, params={"file": file}).to_arrow_table()


def read_journey(folder: Path) -> pa.Table:
    query = (
        'select household_id::varchar as who, transaction_timestamp::timestamp as "at", sum(sales_value) as paid '
        "from read_csv($file) group by all"
    )
    file = str(next((folder / "completejourney").glob("transactions*")))
    return connect(n_threads=1).sql(query, params={"file": file}).to_arrow_table()


READERS = {"cdnow": read_cdnow, "online_retail": read_retail, "completejourney": read_journey}


def compare(name: str, folder: Path, n_customers: int) -> tuple[RevenueHoldout, int, int]:
    """The comparison, the days of the holdout, and how many customers are compared."""
    clock = datetime.now(UTC)
    book: Playbook
    if name == "simulation":
        book = load_playbook("shop")
        events = read_events(simulate(n_customers, days=300, seed=3).events, book, now=None, clock=clock).events
    else:
        book = parse_playbook(BOOK, "orders.yaml")
        table = READERS[name](folder)
        table = table.append_column("what", pa.array(["Order"] * table.num_rows))
        events = read_events(table, book, now=None, clock=clock).events
    purchases = find_purchases(events, *choose_purchases(book))
    first, last = int(purchases.day.min()), int(purchases.day.max())
    days = (last - first) // 3
    cut = last - days
    if name == "cdnow":
        cut, days = day_of(datetime(1997, 9, 30)), 273  # the published split
    holdout = compare_models(purchases, cut, days)
    found = compare_revenue(watch_behaviour(events, book), purchases, holdout)
    return found, days, len(found.actual)


def plant(n: int, parameters: tuple[float, float, float, float], weeks: int, seed: int) -> Coverage:
    """Coverage in a world of the BG/NBD and gamma-gamma, with parameters fitted on its first half."""
    rng = np.random.default_rng(seed)
    purchases = buy_by_bgnbd(n, parameters, weeks=weeks, rng=rng)
    cut = 7 * weeks // 2
    known = trace_histories(purchases, cut)
    low, high = foresee_spending(known, fit_buying(known, "BG/NBD"), fit_spend(known), 7 * weeks - cut - 1, rng)
    actual = count_purchases(purchases, known.customer, cut, 7 * weeks - 1)[1]
    return measure_coverage("BG/NBD", low, high, actual)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[*NAMES, "planted"], help="data sets")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SOJOURN_DATA", "../shared/data")))
    parser.add_argument("--customers", type=int, default=1_500)
    asked = parser.parse_args()
    told: list[dict[str, Any]] = []
    for name in asked.names:
        if name == "planted":
            covered = [plant(3_000, (1.0, 5.0, 0.6, 3.0), 104, seed) for seed in range(5)]
            mean = {k: float(np.mean([getattr(c, k) for c in covered])) for k in ("inside_p", "below_p", "above_p")}
            print(f"\nplanted BG/NBD, 5 worlds of 3,000 customers: {mean}")
            told.append({"data": name, "coverage": mean})
            continue
        if name != "simulation" and not (asked.data / name).is_dir():
            print(f"{name} is left out: there is no {asked.data / name}; name the folder of the data with --data DIR.")
            continue
        found, days, n = compare(name, asked.data, asked.customers)
        print(f"\n{name}: {n:,} customers, {days} days, chosen: {found.chosen}\n")
        print("| model | MAE | RMSE | expected / spent | Spearman | Gini | tenths off | deviance |")
        print("|---|---|---|---|---|---|---|---|")
        for s in found.scores:
            if s.mae == s.mae:
                print(
                    f"| {s.name} | {s.mae:.2f} | {s.rmse:.2f} | {s.bias:.2f} | {s.spearman:.3f} | {s.gini:.3f} "
                    f"| {s.calibration:.2f} | {s.deviance:.2f} |"
                )
            else:
                print(f"| {s.name} | – | – | – | – | – | – | {s.why_not} |")
        for c in found.coverage:
            print(
                f"90 % interval, {c.kind}: inside {c.inside_p:.3f}, below {c.below_p:.3f}, above {c.above_p:.3f}, "
                f"width {c.mean_width:.2f}"
            )
        told.append(
            {
                "data": name, "days": days, "chosen": found.chosen, "scores": [s.as_dict() for s in found.scores],
                "coverage": [c.as_dict() for c in found.coverage],
            }
        )  # fmt: skip
    print(json.dumps({"benchmark": "spending", "rows": told}))


if __name__ == "__main__":
    main()
