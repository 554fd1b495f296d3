"""What it costs to segment and to predict: each step in seconds, CPU seconds and memory, beside bare scikit-learn.

Run: python benchmarks/segments.py [--customers 1000000] [--features 60] [--worlds 0]
Customers of six planted groups, half of their numbers log-normal, 1 % far out; one process, one thread. The reference
is scikit-learn's KMeans on the standardized numbers, with the same number of groups: what an analyst would start with.
With --worlds the number of groups is chosen by k-means in so many further worlds of 3 to 6 planted groups instead, none
of which the rule was adjusted on. Agreement with the planted groups (adjusted Rand index) is told for both: a faster
wrong answer is no reference.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa

from sojourn.segments.choose import choose_number
from sojourn.segments.cluster import GMM, KMEANS, MINI_BATCH
from sojourn.segments.describe import describe_segments, find_rules
from sojourn.segments.find import draw_rows, fit_clusters
from sojourn.segments.map import learn_map
from sojourn.segments.prepare import learn_preparation
from sojourn.segments.space import learn_space, place_in_space

GROUPS = 6


def make_customers(n: int, d: int, seed: int = 0) -> tuple[pa.Table, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 1.1, (GROUPS, d))
    group = rng.choice(GROUPS, n, p=[0.3, 0.25, 0.18, 0.12, 0.09, 0.06]).astype(np.int8)
    is_out = rng.random(n) < 0.01
    columns: dict[str, Any] = {"customer_id": pa.array(np.arange(n)).cast(pa.string())}
    for j in range(d):
        x = centres[group, j] + rng.normal(size=n)
        x[is_out] = rng.uniform(-12, 12, int(is_out.sum()))
        columns[f"n{j}"] = 20 * np.exp(0.6 * x) if j % 2 else x
    return pa.table(columns), np.where(is_out, -1, group)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=60)
    parser.add_argument("--worlds", type=int, default=0)
    asked = parser.parse_args()
    if asked.worlds:
        count_right(asked.worlds)
        return
    table, truth = make_customers(asked.customers, asked.features)
    told: list[dict[str, Any]] = []

    def time_step(name: str, work: Callable[[], Any], group: Callable[[Any], Any] | None = None) -> Any:
        from sklearn.metrics import adjusted_rand_score

        start, cpu = perf_counter(), process_time()
        found = work()
        row = {"step": name, "seconds": perf_counter() - start, "cpu_s": process_time() - cpu, "peak_mb": peak_mb()}
        if group is not None:
            real = truth >= 0
            row["ari"] = float(adjusted_rand_score(truth[real], np.asarray(group(found))[real]))
        told.append(row)
        print(f"  {name}: {row['seconds']:.1f} s", flush=True)
        return found

    told.append({"step": "the table alone", "seconds": 0.0, "cpu_s": 0.0, "peak_mb": peak_mb()})
    preparation = time_step("prepare inputs", lambda: learn_preparation(table))
    space = time_step("space", lambda: learn_space(table, preparation, rng=np.random.default_rng(0)))
    placed = time_step("place, outliers", lambda: place_in_space(space, table))
    points = placed.coordinates[~placed.is_outlier]
    time_step("number, k-means", lambda: choose_number(points, KMEANS))
    for method in (KMEANS, MINI_BATCH, GMM):
        clusters = time_step(f"fit {method}", lambda method=method: fit_clusters(points, method, GROUPS, seed=0))
        group, _ = time_step(
            f"assign {method}", lambda c=clusters: c.assign(placed.coordinates), lambda found: found[0]
        )
    part = draw_rows(table.num_rows, 100_000, 0)
    few, own = (table, group) if part is None else (table.take(pa.array(part)), group[part])
    time_step("describe", lambda: describe_segments(few, preparation, own, GROUPS))
    time_step("rules", lambda: find_rules(few, preparation, own, GROUPS))
    references = place_in_space(space, table.take(pa.array(space.reference_rows)))
    drawn = time_step("map, fit", lambda: learn_map(references))
    time_step("map, place all", lambda: drawn.place(placed))
    time_predictions(table, time_step)
    time_step("scikit-learn KMeans on standardized numbers", lambda: reference(table), lambda found: found)
    print("\n| step | s | CPU s | peak MB so far | agreement with the planted groups |\n|---|---|---|---|---|")
    for row in told:
        ari = f"{row['ari']:.3f}" if "ari" in row else ""
        print(f"| {row['step']} | {row['seconds']:.1f} | {row['cpu_s']:.1f} | {row['peak_mb']:,.0f} | {ari} |")
    sizes = {"customers": asked.customers, "features": asked.features}
    print(json.dumps({"benchmark": "segments", **sizes, "rows": told}))


def count_right(n_worlds: int) -> None:
    """In how many worlds that nobody has looked at the right number of groups is chosen."""
    sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
    from segment_world import plant_segments

    told = []
    for seed in range(10, 10 + n_worlds):  # the rule was adjusted on the first ten
        k = 3 + seed % 4
        table, _ = plant_segments(seed, k, n=2_000)
        space = learn_space(table, learn_preparation(table), rng=np.random.default_rng(0))
        placed = place_in_space(space, table)
        told.append({"seed": seed, "planted": k, "chosen": choose_number(placed.coordinates[~placed.is_outlier]).k})
        print(f"  world {seed}: {k} planted, {told[-1]['chosen']} chosen", flush=True)
    n_right = sum(row["planted"] == row["chosen"] for row in told)
    print(f"right in {n_right} of {n_worlds} worlds")
    print(json.dumps({"benchmark": "segments", "n_worlds": n_worlds, "n_right": n_right, "rows": told}))


def time_predictions(table: pa.Table, time_step: Callable[..., Any]) -> None:
    """All kinds of model learned on as many as `sojourn predict` learns from, then everybody predicted."""
    from sojourn.predict.from_events import MOST_CUSTOMERS
    from sojourn.predict.outcome import predict_table

    rng = np.random.default_rng(1)
    log_odds = table["n1"].to_numpy() - 0.02 * table["n0"].to_numpy() - 1.0
    table = table.append_column("left", pa.array(rng.random(table.num_rows) < 1 / (1 + np.exp(-log_odds))))
    part = draw_rows(table.num_rows, MOST_CUSTOMERS, 0)
    few = table if part is None else table.take(pa.array(part))
    found, _ = time_step(
        f"predict, compare and learn on {few.num_rows:,}",
        lambda: predict_table(few, "left", positive="true", without=["customer_id"], seed=0),
    )
    x = time_step("predict, encode all", lambda: found.reader.encoding.encode(table))
    time_step("predict, score all", lambda: found.reader.log_odds(x))
    time_step("predict, all with reasons", lambda: found.predict(x))


def reference(table: pa.Table) -> Any:
    from sklearn.cluster import KMeans
    from sklearn.preprocessing import StandardScaler

    matrix = np.stack([table[name].to_numpy() for name in table.column_names[1:]], axis=1).astype(np.float32)
    return KMeans(GROUPS, n_init=10, random_state=0).fit_predict(StandardScaler().fit_transform(matrix))


if __name__ == "__main__":
    main()
