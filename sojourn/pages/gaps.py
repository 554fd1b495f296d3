"""Results in which nothing is missing, for pages and summaries: empty tables in place of stages that were left out."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from sojourn.frames import HISTORY, TRANSITIONS, customers_schema
from sojourn.predict.value import GROWTH
from sojourn.segments import HYBRID
from sojourn.transitions import VALUES, analyse_moves
from sojourn.transitions.journeys import channels, outcomes, paths
from sojourn.transitions.moments import measure
from sojourn.transitions.triggers import TRIGGERS

if TYPE_CHECKING:
    from sojourn.pages.results import Results

SECTIONS = {
    "transitions": ("flow", "pace", "before"),
    "triggers": ("triggers",),
    "values": ("values",),
    "growth": ("growth",),
    "moments": ("moments",),
    "journeys": ("journeys",),
    "channels": ("channels",),
    "hybrid": ("hybrid",),
}
"""The sections of the report that a stage fills."""


def fill_gaps(results: Results) -> Results:
    """The same, with an empty table for each one that is not there because its stage was left out."""
    if not results.run.get("left_out"):
        return results
    return replace(results, moves={**_make_empty(results), **results.moves}, _figures={})


def mark_sections(results: Results) -> dict[str, str]:
    """What the report adds to the heading of each section: that its stage was left out, else nothing."""
    left_out = results.run.get("left_out") or ()
    return {
        section: " (left out of this run)" if stage in left_out else ""
        for stage, sections in SECTIONS.items()
        for section in sections
    }


def _make_empty(results: Results) -> dict[str, pa.Table]:
    states = [str(name) for name in results.model["states"]]
    moves = analyse_moves(
        TRANSITIONS.empty_table(),
        customers_schema(states, []).empty_table(),
        HISTORY.empty_table(),
        states=states,
        touches=[],
        now=datetime.fromisoformat(results.run["now"]),
        rng=np.random.default_rng(0),
    )
    schemas = {
        "triggers": TRIGGERS,
        "moments": measure.SCHEMA,
        "journeys": outcomes.SCHEMA,
        "paths": paths.SCHEMA,
        "channels": channels.SCHEMA,
        "values": VALUES,
        "hybrid": HYBRID,
        "growth": GROWTH,
    }
    return moves | {name: schema.empty_table() for name, schema in schemas.items()}
