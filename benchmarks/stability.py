"""Who is reassigned by a refit a week later, by which method, and whether the split says what is true.

Run: python benchmarks/stability.py online_retail ecom_v5 simulation [--data DIR] [--seeds 5]
Real data: the stability audit with the playbooks in ``examples/``, 20 bootstrap rounds, all customers. Simulation: 300
customers of the shop over 180 days per seed; the truth is who was in another state a week later.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pyarrow.compute as pc

from sojourn.frames.instants import DAY_US, instant_us
from sojourn.prove.stability.audit import METHODS, Audit, audit_stability
from sojourn.simulation.customers import simulate, true_state_at

ROOT = Path(__file__).resolve().parent.parent


def show(values: list[Any]) -> str:
    return " | ".join("–" if v is None else f"{v:.3f}" if isinstance(v, float) else str(v) for v in values)


def print_audit(name: str, found: Audit, cpu_s: float) -> None:
    print(f"\n{name}: T {found.at:%Y-%m-%d}, {found.n_known:,} customers known then, {cpu_s:.0f} CPU s")
    print("method | reassigned | behaviour | wobble | both | undone | ARI | ARI on same data")
    rows = found.table.to_pylist()
    for r in rows:
        if r["segment"] is None:
            shares = [r[f"{k}_share"] for k in ("reassigned", "behaviour", "wobble", "both", "undone")]
            print(show([r["method"], *shares, r["ari"], r["ari_same_data"]]))
    print("method | segment | customers | wobble | found again | half-life, days | verdict")
    for r in rows:
        if r["segment"] is not None:
            numbers = [r["n_customers"], r["wobble_share"], r["found_again"], r["half_life_days"]]
            print(show([r["method"], r["segment"], *numbers, r["verdict"]]))


def audit_real(name: str, data: Path) -> None:
    start = process_time()
    playbook = ROOT / "examples" / name / "playbook.yaml"
    found = audit_stability(str(data / name / f"{name}.csv.gz"), str(playbook), max_customers=10_000, n_threads=1)
    print_audit(name, found, process_time() - start)


def audit_simulation(seeds: int) -> None:
    print(
        f"\nsimulation, 300 customers, 180 days, {seeds} seeds: share truly in another state; behaviour, wobble of each"
    )
    print("method; of those whose likeliest state changed: truly changed, truly moved in the week before T or after it")
    shares = []
    for seed in range(seeds):
        world = simulate(300, days=180, seed=seed)
        found = audit_stability(world.events, "shop", n_rounds=0, n_threads=1, seed=seed)
        labels = found.labels.filter(pc.equal(found.labels["method"], METHODS[1]))
        instants = [instant_us(found.at) + d * DAY_US for d in range(-7, 8)]
        truth = np.array(
            [true_state_at(world.truth, labels["customer_id"], np.full(labels.num_rows, at)) for at in instants]
        )
        has_moved = pc.not_equal(labels["then"], labels["now"]).to_numpy(zero_copy_only=False)
        is_other, is_near = truth[7] != truth[14], (truth != truth[0]).any(axis=0)
        rows = {r["method"]: r for r in found.table.to_pylist() if r["segment"] is None}
        both = [rows[m][f"{k}_share"] for m in METHODS for k in ("behaviour", "wobble")]
        shares.append([is_other.mean(), *both, is_other[has_moved].mean(), is_near[has_moved].mean()])
        print(show([f"seed {seed}", *map(float, shares[-1])]))
    print(show(["mean", *(float(x) for x in np.mean(shares, axis=0))]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="+", choices=["online_retail", "ecom_v5", "simulation"])
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("SOJOURN_DATA") or ROOT.parent / "shared/data")
    )
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    for what in args.what:
        if what == "simulation":
            audit_simulation(args.seeds)
        else:
            audit_real(what, args.data)


if __name__ == "__main__":
    main()
