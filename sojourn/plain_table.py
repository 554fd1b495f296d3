"""A table of the user's own beside events: labels, traits, segments, texts. Parquet, CSV, TSV or JSON lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from sojourn.errors import Problem, SojournError, nearest

KINDS = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson")
_TEXTS = ("customer_id", "segment")
"""Columns that stay as they are written, though they may look like numbers."""


def read_plain(path: str | Path, columns: Sequence[str] = ()) -> pa.Table:
    """The table in a file, by how its name ends; ``customer_id`` is text. CSV, TSV and JSON lines may be gzipped.

    Raises SojournError for a file that cannot be read, and for one without one of the ``columns``.
    """
    where = Path(path)
    kinds = [suffix.lower() for suffix in where.suffixes if suffix.lower() != ".gz"]
    kind = kinds[-1] if kinds else ""
    if kind not in KINDS:
        raise SojournError(Problem(str(path), f"a table is read from a file that ends in one of {', '.join(KINDS)}"))
    if not where.is_file():
        raise SojournError(Problem(str(path), "there is no such file"))
    try:
        table = _read(where, kind)
    except (OSError, pa.ArrowException) as error:
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SojournError(Problem(str(path), f"cannot be read: {what}")) from None
    for name in columns:
        if name not in table.column_names:
            what = f"there is no column '{name}'; it has {', '.join(table.column_names[:20])}"
            raise SojournError(Problem(str(path), what, nearest(name, table.column_names)))
    if "customer_id" in table.column_names:
        place = table.column_names.index("customer_id")
        table = table.set_column(place, "customer_id", table["customer_id"].cast(pa.string()))
    return table


def _read(path: Path, kind: str) -> pa.Table:
    if kind == ".parquet":
        import pyarrow.parquet as pq

        return pq.read_table(path)
    if kind in (".csv", ".tsv"):
        from pyarrow import csv

        return csv.read_csv(
            path,
            parse_options=csv.ParseOptions(delimiter="\t" if kind == ".tsv" else ",", newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(_TEXTS, pa.string()), strings_can_be_null=True
            ),
        )
    from pyarrow import json

    return json.read_json(path)
