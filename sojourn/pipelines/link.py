"""The job `link`: records that are probably one person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sojourn.errors import SojournError  # noqa: F401, the example needs it
from sojourn.events.identity import link_records
from sojourn.events.sources import open_sources
from sojourn.frames import write_alone

if TYPE_CHECKING:
    from sojourn.events.identity import Linked


@dataclass(frozen=True, eq=False)
class Linkage:
    """The records with ``cluster`` and ``match_p``, how they were linked, and rows that could not be read."""

    table: pa.Table
    found: Linked
    broken: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The numbers as plain values."""
        quality = self.found.quality
        return {
            "records": len(self.table),
            "clusters": self.found.n_clusters,
            "pairs": len(self.found.pairs),
            "columns": self.found.columns,
            "precision": quality.precision if quality else None,
            "recall": quality.recall if quality else None,
        }


def link(
    records: Any,
    *,
    out: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    truth: str | None = None,
    threshold: float = 0.9,
    seed: int = 0,
) -> Linkage:
    """Which records are probably one person, by names, birth dates, addresses and the like. Needs the extra `link`.

    ``records``: a file or a table, one record a row. ``columns``: what columns hold, as ``{"surname":
    "family_name"}``; by default guessed from their names. ``truth``: a column that knows who is whom, to measure by.
    ``threshold``: the least probability of a match. ``out``: a Parquet file for the table.

    >>> try:
    ...     link(pa.table({"id": [1, 2]}))
    ... except SojournError as error:
    ...     error.problems[0].command
    'sojourn link --help'
    """
    chunks = [chunk for source in open_sources(records) for chunk in source.read(None)]
    table = pa.concat_tables([chunk.columns for chunk in chunks], promote_options="default")
    broken = tuple(f"{records}:{row.line}: {row.found}" for chunk in chunks for row in chunk.broken)
    found = link_records(table, columns=columns or None, truth=truth, threshold=threshold, seed=seed)
    for name in ("cluster", "match_p"):
        table = table.append_column(name if name not in table.column_names else f"linked_{name}", found.records[name])
    if out is not None:
        write_alone(table, Path(out))
    return Linkage(table, found, broken)
