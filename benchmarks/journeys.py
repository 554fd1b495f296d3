"""What it costs to mine frequent sequences, beside the package prefixspan.

Run: python benchmarks/journeys.py [--data DIR] [--repeats 3]
Data: kosarak (clicks of 10,000 visitors), msweb (page areas of 32,711 visitors), ecom_v5 (events of 3,605 sessions),
from ``$SOJOURN_DATA``. Least CPU seconds of the repeats, one after the other in this process; ours once before that, to
compile.
Equal results first: patterns and supports must be the same, else there is no ratio.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _timing import time_best

from sojourn.transitions.journeys.patterns import Limits, mine_patterns

Sequences = list[list[int]]
CASES = (("kosarak", 0.02, 20), ("kosarak", 0.01, 20), ("msweb", 0.01, 20), ("ecom_v5", 0.02, 5))
"""Data set, least share of sequences, greatest length."""


def read_kosarak(folder: Path) -> Sequences:
    with gzip.open(folder / "sequences" / "kosarak10k.txt.gz", "rt") as file:
        return [[int(x) for x in line.split() if int(x) >= 0] for line in file if line.strip()]


def read_msweb(folder: Path) -> Sequences:
    rows: Sequences = []
    with gzip.open(folder / "msweb" / "anonymous-msweb.data.gz", "rt") as file:
        for line in csv.reader(file):
            if line[0] == "C":
                rows.append([])
            elif line[0] == "V":
                rows[-1].append(int(line[1]) - 1000)
    return rows


def read_ecom(folder: Path) -> Sequences:
    with gzip.open(folder / "ecom_v5" / "ecom_v5.csv.gz", "rt") as file:
        events = sorted(csv.DictReader(file), key=lambda row: (row["session_id"], row["timestamp"]))
    codes: dict[str, int] = {}
    sessions: dict[str, list[int]] = {}
    for row in events:
        sessions.setdefault(row["session_id"], []).append(codes.setdefault(row["event"], len(codes)))
    return list(sessions.values())


READERS: dict[str, Callable[[Path], Sequences]] = {"kosarak": read_kosarak, "msweb": read_msweb, "ecom_v5": read_ecom}


def as_arrays(rows: Sequences) -> tuple[Any, Any, Any]:
    """Customer, item and instant per row, as :func:`sojourn.transitions.journeys.patterns.mine_patterns` takes them;
    no instants matter."""
    who = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    item = np.concatenate([np.array(row, np.int64) for row in rows])
    return who, item, np.zeros(len(item), np.int64)


def mine_ours(rows: tuple[Any, Any, Any], least: int, length: int) -> list[tuple[tuple[int, ...], int]]:
    table = mine_patterns(*rows, limits=Limits(length, max_gap=None), min_support=least)
    return sorted(zip(map(tuple, table["pattern"].to_pylist()), table["support"].to_pylist(), strict=True))


def mine_theirs(rows: Sequences, least: int, length: int) -> list[tuple[tuple[int, ...], int]]:
    from prefixspan import PrefixSpan

    miner = PrefixSpan(rows)
    miner.maxlen = length
    return sorted((tuple(pattern), n) for n, pattern in miner.frequent(least))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SOJOURN_DATA", "../shared/data")))
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    if not (asked.data / "sequences").is_dir():
        print(f"journeys.py needs the data: there is no {asked.data / 'sequences'}; name their folder with --data DIR.")
        return
    told: list[dict[str, Any]] = []
    for name, share, length in CASES:
        rows = READERS[name](asked.data)
        arrays, least = as_arrays(rows), int(np.ceil(share * len(rows)))
        mine_ours(arrays, least, length)
        ours, found = time_best(lambda: mine_ours(arrays, least, length), asked.repeats)  # noqa: B023
        theirs, expected = time_best(lambda: mine_theirs(rows, least, length), asked.repeats)  # noqa: B023
        told.append(
            {
                "data": name, "min_share": share, "max_length": length, "sequences": len(rows), "patterns": len(found),
                "sojourn_cpu_s": ours, "prefixspan_cpu_s": theirs,
                "ratio": theirs / ours if found == expected else None,
            }
        )  # fmt: skip
    print("| data | sequences | support | greatest length | patterns | CPU s | prefixspan CPU s | times ours |")
    print("|---|---|---|---|---|---|---|---|")
    for r in told:
        ratio = f"{r['ratio']:.1f}" if r["ratio"] else "not equal"
        print(
            f"| {r['data']} | {r['sequences']:,} | {r['min_share']:.0%} | {r['max_length']} | {r['patterns']:,} "
            f"| {r['sojourn_cpu_s']:.3f} | {r['prefixspan_cpu_s']:.2f} | {ratio} |"
        )
    print(json.dumps({"benchmark": "journeys", "rows": told}))


if __name__ == "__main__":
    main()
