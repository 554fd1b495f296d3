"""What value segments know of later time, beside RFM quintiles, random groups and a learned model: several instants.

Run: python benchmarks/relevance.py [online_retail] [cdnow] [completejourney] [simulation] [--data DIR]
At each instant the recipe `value` is followed as `sojourn segments` follows it: the number of segments is chosen on the
horizon before, and outcomes are counted in the horizon after. Explained is the share of squared error, in five folds,
the mean of the instants; intervals are over customers drawn again, each with all of their instants. The learned model
(additive boosting on the same inputs and all features of the playbook, same folds) needs no groups: what can be hoped.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from predict import ROOT, read_journey

from sojourn.events.read import read_events
from sojourn.playbook.load import load_playbook, parse_playbook
from sojourn.playbook.objects import Playbook
from sojourn.segments.cluster import KMEANS
from sojourn.segments.features import feature_columns, outcomes_after, read_meaning
from sojourn.segments.prepare import learn_preparation
from sojourn.segments.recipes import VALUE, make_recipe
from sojourn.segments.relevance import RANDOM, SEGMENTS, draw_folds, predict_errors
from sojourn.segments.study import find_groups, find_paying_number, rfm_groups
from sojourn.simulation.customers import simulate

LEARNED = "learned model"
DRAWS = 500
CLOCK = datetime(2030, 1, 1, tzinfo=UTC)
PURCHASES = """
playbook: purchases
version: 1
source: {format: table, customer: customer, time: at, timezone: UTC, event: kind, duplicates: keep}
events:
  purchase: {measures: {revenue: revenue}}
features:
  orders: session(count)
states:
  first: {about: Bought once., typical: {purchase: 1}}
  steady: {about: Buys again., typical: {purchase: 1}}
"""


def read_retail(data: Path) -> tuple[pa.Table, Playbook]:
    book = load_playbook(ROOT / "examples" / "online_retail" / "playbook.yaml")
    return read_events(str(data / "online_retail" / "online_retail.csv.gz"), book, now=None, clock=CLOCK).events, book


def read_cdnow(data: Path) -> tuple[pa.Table, Playbook]:
    lines = gzip.decompress((data / "cdnow" / "CDNOW_sample.txt.gz").read_bytes()).decode().splitlines()
    fields = [line.split() for line in lines if line.strip()]
    rows = pa.table(
        {
            "customer": [f[1] for f in fields],
            "at": pa.array([datetime.strptime(f[2], "%Y%m%d") for f in fields], pa.timestamp("us", "UTC")),
            "kind": ["purchase"] * len(fields),
            "revenue": [float(f[4]) for f in fields],
        }
    )
    book = parse_playbook(PURCHASES)
    return read_events(rows, book, now=None, clock=CLOCK).events, book


def read_simulation(data: Path) -> tuple[pa.Table, Playbook]:
    book = load_playbook("shop")
    return read_events(simulate(2_500, days=270, seed=21).events, book, now=None, clock=CLOCK).events, book


SETS: dict[str, tuple[Callable[[Path], tuple[pa.Table, Playbook]], int, tuple[int, ...]]] = {
    "online_retail": (read_retail, 90, (90, 120, 150, 180)),
    "cdnow": (read_cdnow, 90, (90, 150, 210, 270)),
    "completejourney": (read_journey, 60, (60, 105, 150, 210)),
    "simulation": (read_simulation, 45, (45, 75, 105)),
}
"""How each is read, the horizon in days, and how many days before the last event segments are made."""


def judge(events: pa.Table, book: Playbook, horizon: int, ends: tuple[int, ...]) -> list[dict[str, Any]]:
    """A row per outcome and way of grouping, pooled over the instants."""
    last: datetime = events["event_at"][-1].as_py()
    looks = [look(events, book, last - timedelta(days=days), horizon) for days in ends]
    rng = np.random.default_rng(0)
    everybody = np.unique(np.concatenate([ids for ids, _, _ in looks]))
    n = len(everybody)
    weights = np.vstack([np.ones(n), rng.multinomial(n, np.full(n, 1 / n), size=DRAWS)])
    told = []
    for outcome in looks[0][1]:
        explained: dict[str, list[Any]] = {}
        for ids, errors, _ in looks:
            known, base, ways = errors[outcome]
            drawn = weights[:, np.searchsorted(everybody, ids[known])]
            under = drawn @ base
            for way, error in ways.items():
                explained.setdefault(way, []).append(1 - drawn @ error / under)
        for way, shares in explained.items():
            each = np.stack(shares)
            mean, more = each.mean(axis=0), (np.stack(explained[SEGMENTS]) - each).mean(axis=0)
            told.append(
                {
                    "outcome": outcome, "grouping": way, "n_instants": len(looks),
                    "n_groups": float(np.mean([groups.get(way, np.nan) for _, _, groups in looks])),
                    "explained_p": float(mean[0]), "low": float(np.quantile(mean[1:], 0.025)),
                    "high": float(np.quantile(mean[1:], 0.975)), "more_p": float(more[0]),
                    "more_low": float(np.quantile(more[1:], 0.025)), "more_high": float(np.quantile(more[1:], 0.975)),
                    "n_ahead": int((np.stack(explained[SEGMENTS])[:, 0] > each[:, 0]).sum()),
                }
            )  # fmt: skip
    return told


def look(events: pa.Table, book: Playbook, at: datetime, days: int) -> tuple[Any, dict[str, Any], dict[str, int]]:
    """One instant: the customers, squared errors per outcome and way, and how many groups each way has."""
    meaning, before = read_meaning(book), at - timedelta(days=days)
    earlier = make_recipe(VALUE, events, book, before, horizon_days=days)
    seen = outcomes_after(events, earlier.table["customer_id"], before, days, meaning)
    made = make_recipe(VALUE, events, book, at, horizon_days=days)
    k, _ = find_paying_number(earlier.table, earlier.inputs, seen, book, 0)
    outcomes = outcomes_after(events, made.table["customer_id"], at, days, meaning)
    own = find_groups(made, book, KMEANS, k, 0)
    rng = np.random.default_rng(0)
    groups = {SEGMENTS: own, **rfm_groups(events, book, at, made.table["customer_id"]), RANDOM: rng.permutation(own)}
    columns = dict.fromkeys((*made.inputs, *feature_columns(book)))
    inputs = learn_preparation(made.table, list(columns), protected=book.protected).apply(made.table)
    errors = {}
    for outcome in outcomes.column_names[1:]:
        y = np.asarray(outcomes[outcome].to_numpy(), float)
        known = np.flatnonzero(~np.isnan(y))
        folds = draw_folds(len(known), np.random.default_rng(1))
        base = predict_errors(y[known], np.zeros(len(known), np.int64), folds)
        ways = {way: predict_errors(y[known], group[known], folds) for way, group in groups.items()}
        errors[outcome] = (known, base, ways | {LEARNED: learn_errors(y[known], inputs[known], folds)})
    ids = np.array(made.table["customer_id"].to_pylist())
    return ids, errors, {way: len(np.unique(group)) for way, group in groups.items()}


def learn_errors(y: Any, inputs: Any, folds: list[Any]) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    total = np.zeros(len(y))
    for fold in folds[:2]:
        for i in range(5):
            train = fold != i
            model = HistGradientBoostingRegressor(
                max_iter=80, learning_rate=0.06, min_samples_leaf=40, interaction_cst="no_interactions",
                random_state=0, early_stopping=False,
            ).fit(inputs[train], y[train])  # fmt: skip
            total[~train] += (y[~train] - model.predict(inputs[~train])) ** 2 / 2
    return total


def print_rows(rows: list[dict[str, Any]]) -> None:
    """A line per outcome: what each way explains, and what segments explain beyond it, in points."""
    ways = [r["grouping"] for r in rows if r["outcome"] == rows[0]["outcome"]]
    counts = [next(r["n_groups"] for r in rows if r["grouping"] == way) for way in ways]
    heads = [way if np.isnan(n) else f"{way} ({n:.0f} groups)" for way, n in zip(ways, counts, strict=True)]
    print("| outcome | " + " | ".join(heads) + " |\n|---" + "|---" * len(ways) + "|")
    for outcome in dict.fromkeys(r["outcome"] for r in rows):
        cells = []
        for r in (one for one in rows if one["outcome"] == outcome):
            share = f"{100 * r['explained_p']:.1f} %"
            more = f"{100 * r['more_p']:+.1f} ({100 * r['more_low']:+.1f} to {100 * r['more_high']:+.1f})"
            between = f"{share} ({100 * r['low']:.1f} to {100 * r['high']:.1f})"
            cells.append(
                between if r["grouping"] == SEGMENTS else share if r["grouping"] == RANDOM else f"{share}, {more}"
            )
        print(f"| {outcome} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", nargs="*", default=list(SETS))
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SOJOURN_DATA", "../shared/data")))
    asked = parser.parse_args()
    told = []
    for name in asked.which:
        read, horizon, ends = SETS[name]
        if name != "simulation" and not (asked.data / name).is_dir():
            print(f"\n{name}: there is no {asked.data / name}; name the folder of the data with --data DIR.")
            continue
        events, book = read(asked.data)
        rows = judge(events, book, horizon, ends)
        print(f"\n{name}: {len(ends)} instants, the {horizon} days after each\n")
        print_rows(rows)
        told += [{"data": name, **r} for r in rows]
    print(json.dumps({"benchmark": "relevance", "rows": told}))


if __name__ == "__main__":
    main()
