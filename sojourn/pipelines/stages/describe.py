"""What a run writes about itself: counts, settings, versions, doubts."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from sojourn.pages.words import say_foresight
from sojourn.pipelines.stages.states import Tuned
from sojourn.pipelines.stages.work import Work
from sojourn.predict import Foresight
from sojourn.states import StateFit

if TYPE_CHECKING:
    from sojourn.events import EventLog


_LIBRARIES = ("numpy", "scipy", "numba", "pyarrow", "duckdb", "statsmodels", "plotly")


def describe_run(
    work: Work,
    log: EventLog,
    fit: StateFit,
    tuned: Tuned,
    foreseen: Sequence[Foresight],
    n_customers: int,
    now: datetime,
) -> dict[str, Any]:
    """The facts of a run, as ``run.json`` has them."""
    return {
        "sojourn": version("sojourn"),
        "seed": work.seed,
        "now": now.isoformat(),
        "sources": list(log.sources),
        "rows": {
            "read": log.n_read,
            "accepted": log.n_accepted,
            "duplicate": log.n_duplicate,
            "quarantined": log.n_quarantined,
        },
        "quarantined_by_rule": _count_rules(log.quarantine),
        "customers": n_customers,
        "event_classes": list(log.by_class),
        "unmapped_events": dict(log.raw_names),
        "sessions": log.n_sessions,
        "sentiment_texts": dict(log.languages),
        "stages": list(work.watch.done),
        "left_out": work.left_out,
        "likelihood": [float(x) for x in fit.fitted.log_likelihoods],
        "held_out": dict(fit.held_out),
        "flaps": {"before": tuned.raw.flaps_per_month, "after": tuned.chosen.flaps_per_month},
        "delay_s": {"before": tuned.raw.delay_s, "after": tuned.chosen.delay_s},
        "foresight": [f.as_dict() for f in foreseen],
        "foresight_in_words": say_foresight(foreseen),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}},
        "warnings": list_doubts(work, log, fit, tuned),
    }


def _count_rules(quarantine: pa.Table) -> dict[str, int]:
    counts = pc.value_counts(quarantine["rule"])
    return {c["values"]: c["counts"] for c in sorted(counts.to_pylist(), key=lambda c: (-c["counts"], c["values"]))}


def list_doubts(work: Work, log: EventLog, fit: StateFit, tuned: Tuned) -> list[str]:
    """What a person should know before trusting the results, in sentences."""
    doubts = list(log.warnings)
    if log.n_quarantined:
        doubts.append(f"{log.n_quarantined:,} of {log.n_read:,} rows could not be used; see quarantine.parquet.")
    other = sum(c["n_rows"] for c in log.by_class if c["event_class"] == "other")
    if other > 0.05 * max(log.n_accepted, 1):
        doubts.append(f"{other / log.n_accepted:.0%} of the events match no event class of the playbook.")
    strange = sorted(set(pc.unique(log.events["label"].drop_null()).to_pylist()) - set(fit.model.states))
    if strange:
        shown = ", ".join(f"'{name}'" for name in strange[:5]) + (", …" if len(strange) > 5 else "")
        doubts.append(f"Known states that the playbook does not have were ignored: {shown}.")
    if not fit.fitted.is_converged:
        doubts.append(f"The fit had not settled after {len(fit.fitted.log_likelihoods) - 1} iterations.")
    doubts += [
        f"The data see state '{a.state}' quite differently from the playbook; see its disagreements."
        for a in fit.alignment
        if a.similarity < 0.7
    ]
    if not fit.n_held_out:
        doubts.append("Too few customers to hold some out: the held-out likelihood is that of the fitted ones.")
    if isinstance(fit.held_out["sojourn"], float) and fit.held_out["sojourn"] < float(fit.held_out["markov_chain"]):
        doubts.append("An order-1 Markov chain predicts the next event better than the states do.")
    if not tuned.is_within:
        doubts.append(
            f"No thresholds keep the flap budget of {work.book.stability.flaps_per_month:g} per customer and month: "
            f"the calmest leave {tuned.chosen.flaps_per_month:.2g}."
        )
    if work.left_out:
        doubts.append(f"Left out of this run, as asked: {', '.join(work.left_out)}. Nothing is said of them.")
    return doubts
