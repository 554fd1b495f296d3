"""Words for states: what marks them, who is in them, what follows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from sojourn.pages.words.numbers import say_change, say_count, say_duration, say_number, say_share, say_times
from sojourn.pages.words.transitions import find_medians
from sojourn.pages.words.velocity import find_pace_changes, say_pace_change, say_standing
from sojourn.transitions.velocity import MISSED, find_standings

if TYPE_CHECKING:
    from sojourn.pages.results import Results
    from sojourn.pages.words.types import Row

MARKS_PER_STATE = 5
RARE = 0.002
"""A mark less frequent than this over all is noise, whatever its ratio."""


def strength_of(row: Row) -> float:
    """How much a fingerprint row stands out, from -1 (far less here) to 1 (far more); 0 where it cannot be said."""
    lift = row["lift"]
    if lift is None or not math.isfinite(lift):
        return 0.0
    if row["kind"] == "feature":
        return float(max(-1.0, min(1.0, lift / 1.5)))
    if (row["overall"] or 0.0) < RARE:
        return 0.0
    return max(-1.0, min(1.0, math.log2(max(lift, 1e-6)) / 3.0))


def find_marks(fingerprints: pa.Table, state: str, n: int = MARKS_PER_STATE) -> list[Row]:
    """What marks a state most: rows that stand out upwards, the strongest first; silence only where it differs."""
    rows = [r for r in fingerprints.to_pylist() if r["state"] == state and strength_of(r) > 0.12]
    return sorted(rows, key=lambda r: (-_weight(r), r["what"]))[:n]


def _weight(row: Row) -> float:
    """Standing out counts, and so does being frequent: a mark that few events carry tells little."""
    if row["kind"] == "event class":
        return strength_of(row) * min(1.0, 0.4 + 4 * float(row["value"] or 0.0))
    return strength_of(row) * 0.8


def say_mark(row: Row) -> str:
    """One fingerprint row as a sentence, unescaped."""
    value, overall, lift = row["value"], row["overall"], row["lift"]
    if value is None or overall is None or lift is None or not all(map(math.isfinite, (value, overall, lift))):
        return f"{row['what']}: not enough data in this state"
    if row["kind"] == "event class":
        often = f"{say_times(lift)} as over all ({say_share(overall)})"
        return f"{row['what']} is {say_share(value)} of the events here, {often}"
    if row["kind"] == "indicator":
        return f"“{row['what']}” holds at {say_share(value)} of the events here, over all at {say_share(overall)}"
    if row["kind"] == "silence":
        return f"{row['what']}: {say_duration(value)} here, {say_duration(overall)} over all"
    more = f"{say_number(abs(lift))} standard deviation{'' if say_number(abs(lift)) == '1' else 's'}"
    more += " more" if lift > 0 else " less"
    return f"{row['what']} averages {say_number(value)} here, {say_number(overall)} over all ({more})"


def say_what_to_watch(results: Results) -> list[str]:
    """Targets that were missed by the latest week that can be judged, and the surest change of pace."""
    standings = find_standings(results.moves["velocity"], results.playbook.targets)
    missed = [say_standing(s) for s in standings if s.last is not None and s.last["verdict"] == MISSED]
    return missed[:3] + [say_pace_change(r) for r in find_pace_changes(results.moves["velocity_changes"])[:1]]


def say_state(results: Results, name: str, counts: Mapping[str, int], before: Mapping[str, int]) -> str:
    """One state in a sentence: how many, change, how fast half leave, and where most go."""
    share = say_share(counts[name] / sum(counts.values()))
    text = f"{say_count(counts[name], 'customer')} ({share}) {'is' if counts[name] == 1 else 'are'} in {name}"
    text += f", {say_change(counts[name] - before.get(name, 0))}"
    leaving = say_leaving(results, name)
    return f"{text}; {leaving}." if leaving else f"{text}."


def say_leaving(results: Results, name: str) -> str:
    """How fast half of the stays end, and where most of them lead; empty where nobody has left."""
    exits = [r for r in results.moves["matrix"].to_pylist() if r["from_state"] == name]
    if not exits:
        return "nobody has left it yet"
    top = max(exits, key=lambda r: r["n"])
    where = f"most often to {top['to_state']} ({say_share(top['p'])})"
    median = find_medians(results.moves["dwell"]).get(name)
    if median is None:
        return f"fewer than half have left so far, {where}"
    return f"half of them leave within {say_duration(median)}, {where}"
