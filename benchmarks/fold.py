"""Parquet with string ids to features: 48 decayed counters, sessions, last-k, recency; against Polars and DuckDB.

Run: python benchmarks/fold.py [--events 10000000] [--customers 400000] [--repeats 2] [--file events.parquet]
CPU time of the process over all its threads, per event, all in the same run, the least of the repeats; the three sets
of features are checked to be equal. The references compute the plain batch form of the same numbers, in the fastest of
several ways tried for each; they keep no state to go on from. A row per customer is what we make and what models need;
a row per customer and class (and one per customer for sessions) spares them that step.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sojourn.fold.batch import Observe, fold_events, make_batch, read_features
from sojourn.fold.cuts import choose_cuts
from sojourn.fold.ids import IdTable
from sojourn.fold.layout import build_layout
from sojourn.playbook.load import parse_playbook
from sojourn.playbook.objects import Playbook

CLASSES = tuple(f"class_{i:02d}" for i in range(16))
HALF_LIVES_S = {"1d": 86_400, "7d": 604_800, "30d": 2_592_000}
RATES = {name: float(-np.log(2) / (h * 1e6)) for name, h in HALF_LIVES_S.items()}
KEPT = CLASSES[:4]
K, WITHIN_S, GAP_S = 3, 3_600, 1_800
START_US = 1_700_000_000_000_000
DAYS = 180
SESSIONS = ("session(depth)", "session(duration_s)", "session(count)")


def make_playbook() -> Playbook:
    """16 classes with 3 half-lives, recency, last-k, sessions; 8 fingerprint features and 4 indicators to observe."""
    texts = [f"count({name}, half_life={h})" for name in CLASSES for h in HALF_LIVES_S]
    texts += [f"recency({name})" for name in CLASSES]
    texts += [f"count({name}, within={WITHIN_S}s, at_most={K})" for name in KEPT]
    texts += [*SESSIONS, "tenure()"]
    return parse_playbook(
        "playbook: bench\nversion: 1\nabout: A benchmark.\n"
        "source: {format: table, customer: customer_id, time: event_at, event: event_class}\n"
        "events:\n" + "".join(f"  {name}: {{name: [{name}]}}\n" for name in CLASSES)
        + "features:\n" + "".join(f"  f{i}: {text}\n" for i, text in enumerate(texts))
        + "fingerprint: [f0, f4, f8, f9, f13, f17, f68, f69]\n"
        "states:\n  one:\n    about: One.\n    job: One.\n    typical: {class_00: 1}\n    indicators:\n"
        "      - {when: 'count(class_00, within=1h) >= 3 and recency(class_01) > 7d', strength: strong}\n"
        "      - {when: 'count(class_02, half_life=1d) > 2', strength: medium}\n"
        "      - {when: 'session(depth) >= 5', strength: medium}\n"
        "      - {when: 'count(class_03, within=1h) >= 2', strength: weak}\n"
        "  two: {about: Two., job: Two., typical: {class_01: 1}}\n"
    )  # fmt: skip


def write_events(path: Path, n_events: int, n_customers: int, seed: int) -> None:
    """Visits of a few events each, by customers some of whom come far more often than others."""
    rng = np.random.default_rng(seed)
    n_visits = n_events // 5
    weights = rng.gamma(0.6, size=n_customers)
    visitor = rng.choice(n_customers, n_visits, p=weights / weights.sum())
    depth = 1 + rng.multinomial(n_events - n_visits, np.full(n_visits, 1 / n_visits))
    first = np.cumsum(depth) - depth
    gaps = rng.exponential(90e6, n_events)
    gaps[first] = 0.0
    run = np.cumsum(gaps)
    at = np.repeat(START_US + rng.uniform(0, DAYS * 86_400e6, n_visits) - run[first], depth) + run
    order = np.argsort(at, kind="stable")
    names = pa.array([f"customer-{i:09d}" for i in rng.permutation(10 * n_customers)[:n_customers]])
    table = pa.table({
        "customer_id": names.take(pa.array(np.repeat(visitor, depth)[order])),
        "event_at": pa.array(at[order].astype(np.int64)).cast(pa.timestamp("us", tz="UTC")),
        "event_class": pa.DictionaryArray.from_arrays(
            pa.array(rng.choice(16, n_events, p=rng.dirichlet(np.full(16, 3.0))).astype(np.int16)), pa.array(CLASSES)
        ),
    })  # fmt: skip
    pq.write_table(table, path, compression="zstd")


def timed(run: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """The least CPU time of the repeats, and what the last one returned."""
    best, found = np.inf, None
    for _ in range(repeats):
        found = None
        start = process_time()
        found = run()
        best = min(best, process_time() - start)
    return best, found


def run_ours(path: Path, now: int, repeats: int) -> tuple[dict[str, float], pa.Table, np.ndarray]:
    """Seconds of CPU by stage; names; features, the session's as of each customer's last event."""
    layout = build_layout(make_playbook())
    fold_one(layout)
    seconds: dict[str, float] = {}
    seconds["scan"], events = timed(lambda: scan(path), repeats)
    seconds["ids"], _ = timed(lambda: IdTable().add(events["customer_id"]), repeats)
    both, batch = timed(lambda: make_batch(events, layout), repeats)
    seconds["columns"] = both - seconds["ids"]
    seconds["fold"], folded = timed(lambda: fold_events(layout, batch), repeats)
    seconds["read"], features = timed(lambda: read_features(layout, folded.vectors, now), repeats)
    seconds["fold without prefetch"], _ = timed(lambda: fold_events(layout, batch, n_ahead=0), repeats)
    seconds["fold in 2 threads"], _ = timed(lambda: fold_events(layout, batch, n_threads=2), repeats)
    sample = fold_events(layout, batch, observe=Observe(every=50)).values
    observe = Observe(choose_cuts(sample))
    seconds["fold and observe"], _ = timed(lambda: fold_events(layout, batch, observe=observe), repeats)
    last = read_features(layout, folded.vectors, folded.vectors[:, 0].astype(np.int64))
    features[:, 68:70] = last[:, 68:70]
    print(f"# {layout.n_slots} slots, {layout.n_bytes} bytes per customer; {batch.n_customers:,} customers")
    return seconds, batch.ids.names(), features


def scan(path: Path) -> pa.Table:
    """The events with their place in the file as the sequence number."""
    events = pq.read_table(path)
    return events.append_column("seq", pa.array(np.arange(events.num_rows)))


def fold_one(layout: Any) -> None:
    """Load the compiled loops, which is not what is measured."""
    table = pa.table({"customer_id": ["x"], "event_at": [START_US], "seq": [0], "event_class": [CLASSES[0]]})
    read_features(layout, fold_events(layout, make_batch(table, layout)).vectors, START_US)


def run_polars(path: Path, now: int, repeats: int) -> tuple[dict[str, float], list[pa.Table]]:
    import polars as pl

    at = pl.col("at")
    own = pl.scan_parquet(path).select(
        "customer_id",
        pl.col("event_class").cast(pl.String).cast(pl.Enum(CLASSES)),
        at=pl.col("event_at").dt.epoch("us"),
    )
    by_class = own.group_by("customer_id", "event_class").agg(
        *(((now - at) * rate).exp().sum().alias(name) for name, rate in RATES.items()),
        ((now - at.max()) / 1e6).alias("recency"),
        (at >= now - WITHIN_S * 10**6).sum().clip(0, K).alias("latest"),
    )
    is_start = (at.diff() > GAP_S * 10**6).fill_null(value=True)
    begin = at.filter(is_start).last()
    by_customer = own.group_by("customer_id").agg(
        (at >= begin).sum().alias("depth"),
        ((at.last() - begin) / 1e6).alias("duration_s"),
        is_start.sum().alias("count"),
        ((now - at.first()) / 1e6).alias("tenure"),
    )

    def run_long(engine: Any) -> list[pa.Table]:
        return [table.to_arrow() for table in pl.collect_all([by_class, by_customer], engine=engine)]

    def run_wide(engine: Any) -> pa.Table:
        long, sessions = pl.collect_all([by_class, by_customer], engine=engine)
        wide = long.pivot("event_class", index="customer_id", values=[*RATES, "recency", "latest"])
        return wide.join(sessions, on="customer_id").to_arrow()

    seconds: dict[str, float] = {}
    engines = ("in-memory", "streaming")
    trials = [timed(lambda e=e: run_long(e), repeats) for e in engines]
    seconds["long"], tables = min(trials, key=lambda trial: trial[0])
    seconds["wide"] = min(timed(lambda e=e: run_wide(e), repeats)[0] for e in engines)
    return seconds, tables


DUCKDB_BY_CLASS = """
    SELECT customer_id, event_class, {decayed}, min({now} - t) / 1e6 AS recency,
           least({k}, count(*) FILTER ({now} - t <= {within_us})) AS latest
    FROM (SELECT customer_id, event_class, epoch_us(event_at) AS t FROM '{path}') GROUP BY ALL"""
DUCKDB_BY_CUSTOMER = """
    WITH marked AS (
        SELECT customer_id, t, coalesce(t - lag(t) OVER w > {gap_us}, true) AS is_start, row_number() OVER w AS place
        FROM (SELECT customer_id, epoch_us(event_at) AS t FROM '{path}')
        WINDOW w AS (PARTITION BY customer_id ORDER BY t))
    SELECT customer_id, count(*) - max(place) FILTER (is_start) + 1 AS depth,
           (max(t) - max(t) FILTER (is_start)) / 1e6 AS duration_s,
           count(*) FILTER (is_start) AS "count", ({now} - min(t)) / 1e6 AS tenure
    FROM marked GROUP BY customer_id"""
DUCKDB_WIDE = """
    WITH long AS ({long}), wide AS (SELECT customer_id, {columns} FROM long GROUP BY customer_id), own AS ({own})
    SELECT * FROM wide JOIN own USING (customer_id)"""


def run_duckdb(path: Path, now: int, repeats: int) -> tuple[dict[str, float], list[pa.Table]]:
    import duckdb

    words = {
        "decayed": ", ".join(f'sum(exp(({now} - t) * {rate!r})) AS "{name}"' for name, rate in RATES.items()),
        "now": now, "path": path, "k": K, "within_us": WITHIN_S * 10**6, "gap_us": GAP_S * 10**6,
    }  # fmt: skip
    long, own = (text.format(**words) for text in (DUCKDB_BY_CLASS, DUCKDB_BY_CUSTOMER))
    kept = [(name, value) for value in (*RATES, "recency", "latest") for name in CLASSES]
    columns = ", ".join(f'max("{v}") FILTER (event_class = \'{n}\') AS "{v} {n}"' for n, v in kept)
    wide = DUCKDB_WIDE.format(long=long, own=own, columns=columns)

    def run(*queries: str) -> list[pa.Table]:
        with duckdb.connect() as connection:
            return [connection.sql(query).to_arrow_table() for query in queries]

    seconds: dict[str, float] = {}
    seconds["long"], tables = timed(lambda: run(long, own), repeats)
    seconds["wide"], _ = timed(lambda: run(wide), repeats)
    return seconds, tables


def check_equal(names: pa.Array, ours: np.ndarray, found: list[pa.Table]) -> None:
    """The reference's features are ours to 1e-9, and it has no others. Raises AssertionError."""
    rows = IdTable()
    rows.add(names)
    by_class, by_customer = found
    row = rows.lookup(as_text(by_class["customer_id"]))
    kind = np.array([CLASSES.index(name) for name in by_class["event_class"].cast(pa.string()).to_pylist()])
    expected = np.zeros_like(ours)
    expected[:, 48:64] = np.nan
    for k, name in enumerate(HALF_LIVES_S):
        expected[row, kind * 3 + k] = numbers(by_class[name])
    expected[row, 48 + kind] = numbers(by_class["recency"])
    is_kept = kind < len(KEPT)
    expected[row[is_kept], 64 + kind[is_kept]] = numbers(by_class["latest"])[is_kept]
    row = rows.lookup(as_text(by_customer["customer_id"]))
    for k, name in enumerate(("depth", "duration_s", "count", "tenure")):
        expected[row, 68 + k] = numbers(by_customer[name])
    np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-300)


def as_text(column: Any) -> Any:
    return column.cast(pa.large_string())


def numbers(column: Any) -> np.ndarray:
    return column.to_numpy().astype(np.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--customers", type=int, default=400_000)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--file", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.file or Path(folder) / "events.parquet"
        if not path.exists():
            write_events(path, options.events, options.customers, options.seed)
        print(json.dumps(measure(path, options.repeats)))


def measure(path: Path, repeats: int) -> dict[str, Any]:
    """Print the table; return everything measured."""
    n_events = pq.read_metadata(path).num_rows
    now = int(pq.read_table(path, columns=["event_at"])["event_at"].cast(pa.int64())[-1].as_py()) + 60_000_000
    seconds, names, features = run_ours(path, now, repeats)
    references = {}
    for name, run in (("Polars", run_polars), ("DuckDB", run_duckdb)):
        seconds_of, found = run(path, now, repeats)
        check_equal(names, features, found)
        references[f"{name}, a row per customer"] = seconds_of["wide"]
        references[f"{name}, a row per customer and class"] = seconds_of["long"]
    whole = sum(seconds[stage] for stage in ("scan", "ids", "columns", "fold", "read"))
    observed = whole - seconds["fold"] + seconds["fold and observe"]
    rows = {
        "sojourn: scan": seconds["scan"],
        "sojourn: ids to rows": seconds["ids"],
        "sojourn: other columns": seconds["columns"],
        "sojourn: fold": seconds["fold"],
        "sojourn: read 72 features of every customer": seconds["read"],
        "**sojourn, whole**": whole,
        "sojourn, whole, observing 12 symbols at every event": observed,
        "sojourn: fold without prefetch": seconds["fold without prefetch"],
        "sojourn: fold in 2 threads": seconds["fold in 2 threads"],
        **references,
    }
    print(f"| {n_events:,} events, Parquet to features | CPU s | ns per event | times ours |")
    print("|---|---|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value:.2f} | {value * 1e9 / n_events:.0f} | {value / whole:.2f} |")
    return {
        "benchmark": "fold",
        "events": n_events,
        "customers": len(names),
        "cpu_ns_per_event": {name.strip("*"): value * 1e9 / n_events for name, value in rows.items()},
        "ratio": {name: value / whole for name, value in references.items()},
        "ratio_observed": {name: value / observed for name, value in references.items()},
    }


if __name__ == "__main__":
    main()
