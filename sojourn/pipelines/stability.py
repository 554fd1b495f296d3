"""The job `stability`: who is reassigned by a refit, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sojourn.cli import print as output

Row = Mapping[str, Any]


def _audit_events(
    events: list[str], playbook: str, at: datetime | None, customers: int, rounds: int, seed: int, *, is_silent: bool
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    from sojourn.prove.stability.audit import audit_stability

    with output.progress_bars(is_silent=is_silent) as progress:
        found = audit_stability(
            events, playbook, at=at, max_customers=customers, n_rounds=rounds, seed=seed, progress=progress
        )
    facts = {
        "playbook": found.playbook,
        "at": found.at,
        "later": found.later,
        "customers": found.n_customers,
        "known_customers": found.n_known,
    }
    return found.table.to_pylist(), facts


def _audit_table(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    from sojourn.frames.files import read_plain
    from sojourn.prove.stability.audit import SCHEMA
    from sojourn.prove.stability.membership import audit_segments, read_segments

    spells = read_segments(read_plain(path), str(path))
    rows = [{name: row.get(name) for name in SCHEMA.names} for row in audit_segments(spells)]
    facts = {
        "segments": str(path),
        "from": datetime.fromtimestamp(spells.since_us / 1e6, UTC),
        "until": datetime.fromtimestamp(spells.until_us / 1e6, UTC),
        "customers": spells.n_customers,
    }
    return rows, facts


def _write(rows: Sequence[Row], facts: Row, out: Path) -> None:
    import pyarrow as pa

    from sojourn.frames.files import open_output, write_table
    from sojourn.pages.stability import render_stability
    from sojourn.prove.stability.audit import SCHEMA

    if "segments" in facts:
        title = "Does this segmentation still say anything?"
        about = f"{facts['customers']:,} customers, {facts['from']:%Y-%m-%d} to {facts['until']:%Y-%m-%d}."
    else:
        title = f"Do the segments hold? {facts['playbook']}"
        about = (
            f"{facts['known_customers']:,} customers who were known on {facts['at']:%Y-%m-%d}; "
            f"refitted on {facts['later']:%Y-%m-%d}."
        )
    with open_output(out) as folder:
        assert folder is not None
        write_table(pa.Table.from_pylist(list(rows), schema=SCHEMA), folder / "stability.parquet")
        (folder / "stability.html").write_text(render_stability(rows, title, about), encoding="utf-8")
