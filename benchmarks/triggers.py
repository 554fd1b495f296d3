"""Are planted effects of touches found, and only those? Many simulated worlds, true states, known truth.

Run: python benchmarks/triggers.py [--runs 50] [--customers 4000] [--first-seed 0] [--lost-unknown]
Each run simulates a world (180 days, the simulator's own effects), takes the true stays as moves and the touches out of
the events, and asks ``find_triggers`` with its defaults. Counted: how often the 95 % interval holds the true ratio, for
planted effects and for everything that does nothing, and how often a touch that does nothing is claimed (q < 5 %).
"""

from __future__ import annotations

import argparse
from datetime import timedelta
from itertools import pairwise
from time import process_time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import binomtest

from sojourn.frames.schemas import INSTANT
from sojourn.simulation.customers import START, Simulation, simulate
from sojourn.simulation.world import EFFECTS, STATES, TOUCHES
from sojourn.transitions.triggers.hazards import find_triggers

DAYS = 180
LOST = "lost"
TRUTH = {(e.touch, e.from_state, e.to_state): e.multiplier for e in EFFECTS}
PLACEBOS = {key for key, ratio in TRUTH.items() if ratio == 1.0}


def take_true_moves(world: Simulation, *, is_lost_known: bool = True) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Transitions, customers and history of the true states; being lost for ever is a state, if it is known."""
    names = pa.array([*STATES, LOST])
    truth = world.truth.select(["customer_id", "state", "from_at", "to_at"])
    stays = [
        (r["customer_id"], r["state"], r["from_at"], r["to_at"]) for r in truth.to_pylist() if r["to_at"] > r["from_at"]
    ]
    if is_lost_known:
        lost = dict(zip(*(world.customers[c].to_pylist() for c in ("customer_id", "lost_at")), strict=True))
        cut = []
        for who, state, start, end in stays:
            at = lost[who]
            if at is not None and start < at < end:
                cut += [(who, state, start, at), (who, LOST, at, end)]
            else:
                cut.append((who, state, start, end))
        stays = cut
    stays.sort(key=lambda stay: (stay[0], stay[2]))
    follows = [a[0] == b[0] for a, b in pairwise(stays)]
    moves = [(a, b) for (a, b), same in zip(pairwise(stays), follows, strict=True) if same]
    last = [stay for stay, same in zip(stays, [*follows, False], strict=True) if not same]
    transitions = pa.table(
        {
            "customer_id": [a[0] for a, _ in moves],
            "at": pa.array([a[3] for a, _ in moves], INSTANT),
            "from_state": [a[1] for a, _ in moves],
            "to_state": [b[1] for _, b in moves],
            "cause": ["event"] * len(moves),
            "dwell_s": [(a[3] - a[2]).total_seconds() for a, _ in moves],
        }
    )
    customers = pa.table(
        {
            "customer_id": [stay[0] for stay in last],
            "state": [stay[1] for stay in last],
            "since_at": pa.array([stay[2] for stay in last], INSTANT),
        }
    )
    none = pa.DictionaryArray.from_arrays(pa.nulls(world.events.num_rows, pa.int32()), names)
    history = pa.table(
        {
            "customer_id": world.events["user_id"],
            "event_at": world.events["timestamp"].cast(INSTANT),
            "event_class": pc.cast(world.events["event"], pa.string()).dictionary_encode(),
            "state": none,  # find_triggers reads states from the moves
        }
    )
    return transitions, customers, history


def ask(seed: int, n_customers: int, *, is_lost_known: bool = True) -> list[dict[str, Any]]:
    """What is found about touches in one world, with the true ratio of each."""
    world = simulate(n_customers, days=DAYS, seed=seed)
    transitions, customers, history = take_true_moves(world, is_lost_known=is_lost_known)
    table = find_triggers(
        transitions, customers, history, states=[*STATES, LOST], touches=TOUCHES,
        now=START + timedelta(days=DAYS), rng=np.random.default_rng(seed),
    )  # fmt: skip
    rows = [row for row in table.to_pylist() if row["kind"] == "touch"]
    for row in rows:
        row["key"] = (row["event_class"], row["from_state"], row["to_state"])
        row["truth"] = TRUTH.get(row["key"], 1.0)
    return rows


def tally(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Of rows with an interval: how many hold the truth, how many are claimed, how many crude ratios lie inside."""
    known = [row for row in rows if row["hazard_ratio"] is not None]
    return {
        "n": len(known),
        "covered": sum(row["low"] <= row["truth"] <= row["high"] for row in known),
        "claimed": sum(row["q"] < 0.05 for row in known),
        "ratio": float(np.exp(np.mean([np.log(row["hazard_ratio"]) for row in known]))) if known else np.nan,
        "crude": float(np.exp(np.mean([np.log(row["crude_ratio"]) for row in known]))) if known else np.nan,
    }


def say(name: str, found: dict[str, Any], truth: str) -> str:
    if not found["n"]:
        return f"| {name} | {truth} | 0 | | | | | |"
    low, high = binomtest(found["covered"], found["n"]).proportion_ci(method="exact")
    share = f"{found['covered'] / found['n']:.1%} ({low:.1%} to {high:.1%})"
    outside = f"{1 - found['covered'] / found['n']:.1%}"
    claimed = f"{found['claimed'] / found['n']:.1%}"
    ratios = f"{found['crude']:.2f} | {found['ratio']:.2f}"
    return f"| {name} | {truth} | {found['n']} | {ratios} | {share} | {outside} | {claimed} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--customers", type=int, default=4000)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--lost-unknown", action="store_true", help="customers lost for ever count as still fading")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    start = process_time()
    for seed in range(options.first_seed, options.first_seed + options.runs):
        rows += ask(seed, options.customers, is_lost_known=not options.lost_unknown)
        done = tally([row for row in rows if row["truth"] > 1])
        print(f"seed {seed}: planted {done['covered']}/{done['n']}, {process_time() - start:.0f} CPU s", flush=True)
    print("\n| touch and move | truth | runs | crude | found | interval holds the truth | outside | claimed, q < 5 % |")
    print("|---|---|---|---|---|---|---|---|")
    for key in sorted({row["key"] for row in rows}):
        mine = [row for row in rows if row["key"] == key]
        if any(row["hazard_ratio"] is not None for row in mine):
            print(say(f"{key[0]}, {key[1]} → {key[2]}", tally(mine), f"{mine[0]['truth']:g}"))
    print(say("all planted effects", tally([row for row in rows if row["truth"] > 1]), ""))
    print(say("the two planted placebos", tally([row for row in rows if row["key"] in PLACEBOS]), "1"))
    print(say("every touch and move without effect", tally([row for row in rows if row["truth"] == 1]), "1"))


if __name__ == "__main__":
    main()
