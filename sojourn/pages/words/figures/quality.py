"""Words of the figures of the quality of a run: captions, findings and hover labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sojourn.pages.words.numbers import say_count, say_duration, say_exact, say_number, say_probability, say_share

HYSTERESIS_ABOUT = (
    "A published state that follows every hint flips back and forth; one that waits is late. Each dot is one setting "
    "of the thresholds, tried on the history: how often customers flip there and back within a day, against how long a "
    "real change goes unpublished. The large dot was chosen: the least delay that keeps to the playbook's budget."
)
FIT_ABOUT = "The fit repeats two steps until the data become no likelier. The curve should level off at its right end."
ROWS_ABOUT = "Every row that was read is one of these three; none is dropped silently."
CLASSES_ABOUT = (
    "How often each event class occurs. Classes without events, or a large “other”, point to gaps in the playbook."
)
HYSTERESIS_MISSING = "No thresholds were tried."
FIT_MISSING = "The model was not fitted in this run."
ROWS_MISSING = "No rows were read."
CLASSES_MISSING = "No row was accepted, so no event class has events."


def say_point(p: Mapping[str, Any]) -> str:
    """One setting of the thresholds, in a hover label."""
    lines = [f"{say_number(p['flaps_per_month'])} flaps per customer and month, {say_duration(p['delay_s'])} late"]
    names = {"enter": "enter at", "margin": "margin", "exit": "leave under"}
    lines += [f"{words} {say_probability(p[key])}" for key, words in names.items() if p.get(key) is not None]
    if p.get("min_dwell_s") is not None:
        lines.append(f"stay at least {say_duration(p['min_dwell_s'])}")
    return "<br>".join(lines)


def say_chosen(chosen: Sequence[Mapping[str, Any]], budget: float) -> str:
    """How often published states flap and how late they are, with the thresholds that were chosen."""
    if not chosen:
        return "No setting was chosen."
    flaps, delay = chosen[0]["flaps_per_month"], chosen[0]["delay_s"]
    return (
        f"Published states flap {say_number(flaps)} times per customer and month and follow a change "
        f"{say_duration(delay)} after it; the budget is {say_exact(budget)} flaps."
    )


def say_fit(likelihood: Sequence[float]) -> str:
    """Whether the fit had settled."""
    gained = likelihood[-1] - likelihood[0]
    late = abs(likelihood[-1] - likelihood[-2]) / max(abs(gained), 1e-12) if len(likelihood) > 1 else 0.0
    settled = "had settled" if late < 0.01 else "was still improving"
    return f"After {say_count(len(likelihood) - 1, 'round')} the fit {settled}."


def say_rows(accepted: int, read: int) -> str:
    """How many rows could be used."""
    part = "All" if accepted == read else f"{say_share(accepted / read)} of"
    return f"{part} {say_count(read, 'row')} could be used."


def say_classes(top: Mapping[str, Any], total: int, n_rest: int) -> str:
    """Which event class is most frequent, and how many are not drawn."""
    more = f" ({say_count(n_rest, 'rarer class', 'rarer classes')} not drawn)" if n_rest else ""
    share = say_share(top["n_rows"] / total)
    return f"The most frequent event class is {top['event_class']}: {share} of the events{more}."
