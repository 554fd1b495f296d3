"""What a run found, summed up: the terminal and other readers show it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sojourn.pages import Results
from sojourn.pages.words import say_standing, say_target
from sojourn.transitions.velocity import Standing, find_standings

NO_STATE = "(none yet)"
"""Customers to whom something was sent, and who have not done anything themselves."""


def summarise_run(results: Results, out: Path) -> dict[str, Any]:
    """A run as plain values: its facts, customers per state, transitions, targets, file names."""
    return {
        **results.run,
        "states": count_states(results),
        "moves": list_top_moves(results, 20),
        "targets": [_standing_facts(s) for s in find_standings(results.moves["velocity"], results.playbook.targets)],
        "pace_changes": [r for r in results.moves["velocity_changes"].to_pylist() if r["is_change"]],
        "out": str(out),
        "report": str(out / "report.html"),
    }


def _standing_facts(standing: Standing) -> dict[str, Any]:
    target, last = standing.target, standing.last
    return {
        "target": target.name,
        "asks": say_target(target),
        "from_state": target.from_state,
        "to_state": target.to_state,
        "week_at": last and last["week_at"],
        "verdict": last and last["verdict"],
        "says": say_standing(standing),
        "n_met": standing.n_met,
        "n_missed": standing.n_missed,
        "n_open": standing.n_open,
        "trend": standing.trend,
    }


def count_states(results: Results) -> dict[str, int]:
    """Customers in each state of the model, and those in none."""
    counts = {str(name): 0 for name in results.model["states"]}
    for name in results.customers.column("state").to_pylist():
        counts[name or NO_STATE] = counts.get(name or NO_STATE, 0) + 1
    return counts


def find_median_stays(results: Results) -> dict[str, float]:
    """Seconds after which half of the customers have left a state; states that most do not leave are missing."""
    stays: dict[str, float] = {}
    for row in results.moves["dwell"].to_pylist():
        if row["survival_p"] <= 0.5 and row["state"] not in stays:
            stays[row["state"]] = row["after_s"]
    return stays


def list_top_moves(results: Results, n: int) -> list[dict[str, Any]]:
    """The ``n`` most frequent transitions, with how many came in silence."""
    silent: dict[tuple[str, str], int] = {}
    for row in results.moves["weekly"].to_pylist():
        move = (row["from_state"], row["to_state"])
        silent[move] = silent.get(move, 0) + row["n_silence"]
    moves = sorted(results.moves["matrix"].to_pylist(), key=lambda row: (-row["n"], row["from_state"], row["to_state"]))
    return [
        {
            "from_state": row["from_state"],
            "to_state": row["to_state"],
            "n": row["n"],
            "n_silence": silent.get((row["from_state"], row["to_state"]), 0),
            "n_customers": row["n_customers"],
            "median_dwell_s": row["median_dwell_s"],
        }
        for row in moves[:n]
        if row["n"]
    ]
