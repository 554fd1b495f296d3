"""The whole of ``sojourn run`` on 0.1, 1 and 10 million simulated events: seconds by stage, memory, cost per event.

Run: python benchmarks/run.py [--events 100000 1000000 10000000] [--folder DIR]
Each run is the command itself in a fresh process, from Parquet with string ids to all tables and the report. The
smallest is run a second time with nothing compiled yet, which is what the very first run on a machine costs. CPU time
is that of all threads; it says more than seconds on a machine that has other things to do.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import pyarrow.parquet as pq

from sojourn.simulation.customers import simulate_to

EVENTS_PER_CUSTOMER = 277  # of the simulation, in 180 days
SIZES = (100_000, 1_000_000, 10_000_000)
LIMIT_S, LIMIT_MB = 120, 4096  # of the largest size, on two cores


@dataclass(frozen=True)
class Cost:
    """What one run took; ``stages`` as in run.json, ``start_s`` what comes before, between and after them."""

    n_events: int
    n_customers: int
    is_compiled: bool
    seconds: float
    cpu_s: float
    peak_mb: float
    stages: tuple[dict[str, Any], ...]

    @property
    def start_s(self) -> float:
        """CPU seconds outside all stages: starting Python, imports, the command line."""
        return self.cpu_s - sum(float(stage["cpu_s"]) for stage in self.stages)


def make_events(folder: Path, n_events: int) -> Path:
    """A Parquet file of about so many simulated events; one that is there already is taken."""
    place = folder / f"events_{n_events}"
    path = place / "events.parquet"
    if not path.exists():
        simulate_to(place, round(n_events / EVENTS_PER_CUSTOMER), seed=11)
    return path


def measure(events: Path, out: Path, compiled: Path | None = None) -> Cost:
    """Run the command in a process of its own; ``compiled``: another place than the usual one for compiled loops."""
    start_it = [sys.executable, "-c", "from sojourn.cli.main import main; main()"]
    command = [*start_it, "run", str(events), "--playbook", "shop", "--out", str(out), "--json"]
    environment = os.environ | ({"NUMBA_CACHE_DIR": str(compiled)} if compiled else {})
    start = perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    told = json.loads((out / "run.json").read_text(encoding="utf-8"))
    return Cost(
        pq.read_metadata(events).num_rows,
        told["customers"],
        compiled is None,
        seconds,
        used.ru_utime + used.ru_stime,
        used.ru_maxrss / 1024,
        tuple(told["stages"]),
    )


def print_tables(costs: list[Cost]) -> None:
    """Totals per run, then CPU seconds by stage with what one more event costs between the sizes."""
    print("| events | customers | seconds | CPU s | peak MB | CPU µs per event |")
    print("|---|---|---|---|---|---|")
    for c in costs:
        first = "" if c.is_compiled else ", nothing compiled yet"
        print(
            f"| {c.n_events:,}{first} | {c.n_customers:,} | {c.seconds:.1f} | {c.cpu_s:.1f} | {c.peak_mb:,.0f} | "
            f"{c.cpu_s * 1e6 / c.n_events:.1f} |"
        )
    warm = [c for c in costs if c.is_compiled]
    print("\n| CPU s by stage |", " | ".join(f"{c.n_events:,}" for c in warm), end="")
    print(" |", "".join(f" µs per further event to {b.n_events:,} |" for b in warm[1:]))
    print("|---" * (2 * len(warm)) + "|")
    names = [stage["stage"] for stage in warm[-1].stages]
    rows = {name: [_stage(c, name, "cpu_s") for c in warm] for name in names}
    rows["start and imports"] = [c.start_s for c in warm]
    rows["**all**"] = [c.cpu_s for c in warm]
    for name, values in rows.items():
        steps = [
            f"{(values[i] - values[i - 1]) * 1e6 / (warm[i].n_events - warm[i - 1].n_events):.2f}"
            for i in range(1, len(warm))
        ]
        print(f"| {name} |", " | ".join([f"{v:.2f}" for v in values] + steps), "|")
    print("\n| seconds by stage |", " | ".join(f"{c.n_events:,}" for c in warm), "| peak MB so far, largest |")
    print("|---" * (2 + len(warm)) + "|")
    for name in names:
        seconds = " | ".join(f"{_stage(c, name, 'seconds'):.2f}" for c in warm)
        print(f"| {name} | {seconds} | {_stage(warm[-1], name, 'peak_mb'):,.0f} |")


def _stage(cost: Cost, name: str, what: str) -> float:
    return next((float(stage[what]) for stage in cost.stages if stage["stage"] == name), 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--folder", type=Path, help="keep the simulated events here, and use those that are there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        kept = options.folder or place
        sizes = sorted(options.events)
        paths = [make_events(kept, n) for n in sizes]
        costs = [measure(paths[0], place / "out", place / "compiled")]
        measure(paths[0], place / "out")  # loads what the disk holds
        costs += [measure(path, place / "out") for path in paths]
        print_tables(costs)
        print(f"# limits at 10 million events: {LIMIT_S} s, {LIMIT_MB:,} MB; cores: {os.cpu_count()}")
        print(json.dumps({"benchmark": "run", "runs": [asdict(c) | {"start_s": c.start_s} for c in costs]}))


if __name__ == "__main__":
    main()
