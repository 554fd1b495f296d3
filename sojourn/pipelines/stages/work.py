"""What every stage of a run is given, and which stages a run has."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from sojourn.errors import Problem, SojournError, nearest
from sojourn.pipelines.results import Draft
from sojourn.pipelines.stages.watch import Stages
from sojourn.playbook import Playbook

STATES = "states"
"""The stage that all others need: from events to published states and transitions."""
REPORT = "report"
TABLES: dict[str, tuple[str, ...]] = {
    "predictive_value": (),
    "transitions": (
        "matrix",
        "weekly",
        "flow",
        "dwell",
        "velocity",
        "velocity_changes",
        "velocity_cohorts",
        "precedes",
    ),
    "triggers": ("triggers",),
    "moments": ("moments",),
    "journeys": ("journeys",),
    "paths": ("paths",),
    "channels": ("channels",),
    "values": ("values",),
    "hybrid": ("hybrid",),
    "growth": ("growth",),
    REPORT: (),
}
"""The stages that can be left out, in the order in which they run, with the tables that they write."""


@dataclass(frozen=True)
class Work:
    """The playbook, chance, threads, the watch, the stages chosen, and where files go (None: nowhere)."""

    book: Playbook
    seed: int
    rng: np.random.Generator
    n_threads: int
    watch: Stages
    stages: frozenset[str]
    draft: Draft | None

    def has(self, *stages: str) -> bool:
        """Whether one of these stages is part of the run."""
        return not self.stages.isdisjoint(stages)

    @property
    def left_out(self) -> list[str]:
        """The stages that are not part of the run, in order."""
        return [name for name in TABLES if name not in self.stages]


def choose_stages(only: Sequence[str] | None, skip: Sequence[str] | None) -> frozenset[str]:
    """The stages of a run: all, those of ``only`` (the report and what they need with them), or all but ``skip``.

    Names may have hyphens. Raises SojournError for a stage that there is not, and for one that others need.

    >>> sorted(choose_stages(["states", "transitions"], None))
    ['report', 'states', 'transitions']
    >>> sorted(choose_stages(["transitions", "growth"], ["report"]))
    ['growth', 'states', 'transitions']
    """
    wanted = _read_names("only", only or ())
    left_out = _read_names("skip", skip or ())
    if STATES in left_out:
        what = f"'{STATES}' cannot be left out: {', '.join(TABLES)} need it"
        raise SojournError(Problem("skip", what))
    if both := sorted(wanted & left_out):
        raise SojournError(Problem("skip", f"'{both[0]}' is asked for by 'only' as well"))
    chosen = {*wanted, STATES, REPORT} if only else {*TABLES, STATES}
    return frozenset(chosen - left_out)


def list_stale_files(stages: Collection[str]) -> list[str]:
    """Files of an earlier run into the same folder that this run does not write again."""
    tables = [f"{table}.parquet" for name, found in TABLES.items() if name not in stages for table in found]
    return tables if REPORT in stages else [*tables, "report.html"]


def _read_names(option: str, names: Sequence[str]) -> set[str]:
    known = (STATES, *TABLES)
    found = {name.strip().replace("-", "_") for name in names}
    unknown = sorted(found.difference(known))
    if unknown:
        problems = [
            Problem(option, f"there is no stage '{name[:60]}'; there are {', '.join(known)}", nearest(name, known))
            for name in unknown
        ]
        raise SojournError(*problems)
    return found
