"""Does each stage of ``sojourn run`` still cost what was recorded? Ratios to a reference work in the same run.

Run: python benchmarks/stages.py [--record]
The reference is one piece of work that has nothing to do with Sojourn: sorting, a matrix product and a Python loop, in
the proportions of a run. It is timed before and after each run of the command; a stage's *ratio* is its CPU time over
that of the reference, so that a slower machine, or a slower hour of the same one, changes both. The least of
``REPEATS`` runs counts. The script ends with 1 when a stage costs more than ``LIMIT`` times its recorded ratio; stages
below ``LEAST_S`` are shown and not judged, for their time is noise. ``--record`` writes ``recorded.json`` anew, with
the commit and the machine: do that when a stage is made faster, or dearer on purpose, and say so in the commit.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from run import make_events, measure  # the script beside this one

RECORDED = Path(__file__).parent / "recorded.json"
EVENTS = 100_000
REPEATS = 3
LIMIT = 1.25
LEAST_S = 0.25  # CPU seconds


def do_reference() -> float:
    """CPU seconds of the reference work: about a second on a core of 2020."""
    rng = np.random.default_rng(0)
    numbers, square = rng.random(2_000_000), rng.random((600, 600))
    start = process_time()
    for _ in range(3):
        np.sort(numbers)
    for _ in range(4):
        square = square @ square
        square /= square.max()
    counts: dict[int, int] = {}
    for i in range(1_500_000):
        counts[i & 1023] = counts.get(i & 1023, 0) + 1
    return process_time() - start


def measure_stages(folder: Path) -> dict[str, tuple[float, float]]:
    """For each stage: its least ratio to the reference, and the CPU seconds of that run."""
    events = make_events(folder, EVENTS)
    measure(events, folder / "out")  # compiles, and loads what the disk holds
    found: dict[str, tuple[float, float]] = {}
    for _ in range(REPEATS):
        before = do_reference()
        cost = measure(events, folder / "out")
        reference = (before + do_reference()) / 2
        rows = {str(s["stage"]): float(s["cpu_s"]) for s in cost.stages}
        rows |= {"start and imports": cost.start_s, "all": cost.cpu_s}
        for stage, seconds in rows.items():
            found[stage] = min(found.get(stage, (np.inf, np.inf)), (seconds / reference, seconds))
    return found


def describe_machine() -> dict[str, Any]:
    """Commit, processor and Python, for the table."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = {line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "cpu family"))}
    return {
        "commit": commit.strip(),
        "machine": ", family ".join(sorted(models, reverse=True)),
        "python": platform.python_version(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help="write recorded.json anew")
    parser.add_argument("--folder", type=Path, help="keep the simulated events here, and use those that are there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        found = measure_stages(options.folder or Path(temporary))
    if options.record:
        ratios = {stage: round(ratio, 4) for stage, (ratio, _) in found.items()}
        text = json.dumps(describe_machine() | {"events": EVENTS, "ratios": ratios}, indent=2)
        RECORDED.write_text(text + "\n", encoding="utf-8")
    recorded: dict[str, float] = json.loads(RECORDED.read_text(encoding="utf-8"))["ratios"]
    slow = []
    print("| stage | CPU s | ratio to the reference | recorded | times |\n|---|---|---|---|---|")
    for stage, (ratio, seconds) in found.items():
        times = ratio / recorded[stage] if recorded.get(stage) else float("nan")
        is_slow = times > LIMIT and seconds >= LEAST_S
        slow += [stage] if is_slow else []
        was = f"{recorded[stage]:.3f}" if stage in recorded else "new"
        print(f"| {stage} | {seconds:.2f} | {ratio:.3f} | {was} | {times:.2f}{' **too slow**' if is_slow else ''} |")
    missing = sorted(found.keys() - recorded.keys()) + sorted(recorded.keys() - found.keys())
    print(json.dumps({"benchmark": "stages", "slow": slow, "not_recorded_or_gone": missing}))
    return 1 if slow or missing else 0


if __name__ == "__main__":
    sys.exit(main())
