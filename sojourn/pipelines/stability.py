"""The job `stability`: who is reassigned by a refit, and why; or how far a segmentation from elsewhere holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from sojourn.errors import Problem, SojournError
from sojourn.frames import Progress
from sojourn.pages import render_stability
from sojourn.pipelines.inputs import read_table
from sojourn.pipelines.results import ResultsFolder
from sojourn.playbook import Playbook
from sojourn.prove.stability import SCHEMA, audit_segments, audit_stability, read_segments

_COMMAND = "sojourn stability --help"


@dataclass(frozen=True, eq=False)
class Audited:
    """A row per method and segment (:data:`sojourn.prove.stability.audit.SCHEMA`), and what was audited."""

    rows: tuple[Mapping[str, Any], ...]
    facts: Mapping[str, Any]

    @property
    def table(self) -> pa.Table:
        """The table ``stability.parquet``."""
        return pa.Table.from_pylist(list(self.rows), schema=SCHEMA)

    @property
    def is_of_segments(self) -> bool:
        """Whether a segmentation from elsewhere was audited."""
        return "segments" in self.facts

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {**self.facts, "stability": list(self.rows)}


def stability(
    events: Any = None,
    playbook: str | Playbook | None = None,
    *,
    segments: Any = None,
    at: datetime | None = None,
    max_customers: int = 5_000,
    n_rounds: int = 20,
    out: str | Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Audited:
    """Who is reassigned when states, k-means and a mixture are refitted with a week more of data, and why.

    ``at``: until when the first fit knows the events; by default a week before the last. With ``segments`` instead, a
    table of ``customer_id, at, segment`` in order of time, how far that segmentation holds. At most ``max_customers``
    are looked at, drawn at random, and ``n_rounds`` bootstrap rounds made. With ``out`` a table and a page are written.

    >>> rows = {"customer_id": ["a", "b"] * 2, "at": [datetime(2024, 1, 1)] * 2 + [datetime(2024, 3, 1)] * 2}
    >>> stability(segments=pa.table({**rows, "segment": ["x", "y", "x", "x"]})).facts["customers"]
    2
    """
    if segments is not None:
        if events or playbook or at:
            raise SojournError(Problem("--segments", "a table is audited by itself: without events, playbook and --at"))
        found = _audit_table(segments)
    elif events is None or playbook is None or (isinstance(events, (str, list)) and not events):
        what = "what is to be audited? Give EVENTS and --playbook, or --segments TABLE"
        raise SojournError(Problem("stability", what, command=_COMMAND))
    else:
        audit = audit_stability(
            events, playbook, at=at, max_customers=max_customers, n_rounds=n_rounds, seed=seed, progress=progress
        )
        facts = {
            "playbook": audit.playbook,
            "at": audit.at,
            "later": audit.later,
            "customers": audit.n_customers,
            "known_customers": audit.n_known,
        }
        found = Audited(tuple(audit.table.to_pylist()), facts)
    if out is not None:
        _write(found, Path(out))
    return found


def _audit_table(segments: Any) -> Audited:
    name = str(segments) if isinstance(segments, (str, Path)) else "a table in memory"
    spells = read_segments(read_table(segments), name)
    rows = tuple({name: row.get(name) for name in SCHEMA.names} for row in audit_segments(spells))
    facts = {
        "segments": name,
        "from": datetime.fromtimestamp(spells.since_us / 1e6, UTC),
        "until": datetime.fromtimestamp(spells.until_us / 1e6, UTC),
        "customers": spells.n_customers,
    }
    return Audited(rows, facts)


def _write(found: Audited, out: Path) -> None:
    facts = found.facts
    if found.is_of_segments:
        title = "Does this segmentation still say anything?"
        about = f"{facts['customers']:,} customers, {facts['from']:%Y-%m-%d} to {facts['until']:%Y-%m-%d}."
    else:
        title = f"Do the segments hold? {facts['playbook']}"
        about = (
            f"{facts['known_customers']:,} customers who were known on {facts['at']:%Y-%m-%d}; "
            f"refitted on {facts['later']:%Y-%m-%d}."
        )
    with ResultsFolder(out).write() as draft:
        draft.add_table("stability", found.table)
        draft.add_text("stability.html", render_stability(found.rows, title, about))
