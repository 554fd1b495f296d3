"""Erasure of a customer from a results folder: rows about them, and pages that show them, go; all else stays."""

from __future__ import annotations

import html
import json
import os
import re
import secrets
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sojourn.errors import Problem, SojournError
from sojourn.frames import open_parquet

CUSTOMER = "customer_id"
_RAW = "raw"  # of a row that could not be read: whoever it is of, their id is somewhere in it
_PAGES = ("*.html", "*.md")


def erase_from_results(folder: Path, names: Collection[str]) -> list[str]:
    """Rewrite every table of a results folder without these customers; the names of the files that have changed.

    Rows that could not be read go where an id stands in them as a word of its own. So do pages, whole: a report is
    made again by the next run. Each file is whole at any instant. Raises SojournError where one cannot be written.
    """
    if not folder.is_dir():
        return []
    wanted, word = pa.array(sorted(names), pa.string()), _find_words(names)
    try:
        changed = [path.name for path in sorted(folder.glob("*.parquet")) if _rewrite(path, wanted, word)]
        for path in sorted(path for kind in _PAGES for path in folder.glob(kind)):
            if word.search(path.read_text(encoding="utf-8", errors="replace")):
                path.unlink()
                changed.append(path.name)
    except (OSError, pa.ArrowException) as error:
        what = f"a customer cannot be erased from it ({type(error).__name__}: {error})"
        raise SojournError(Problem(str(folder), what)) from None
    return changed


def _find_words(names: Collection[str]) -> re.Pattern[str]:
    """Finds these ids in a text, also as JSON and HTML write them, where they are no part of a longer word."""
    forms = {form for name in names for form in (name, html.escape(name), json.dumps(name)[1:-1])}
    any_of = "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
    return re.compile(rf"(?<!\w)(?:{any_of})(?!\w)")


def _rewrite(path: Path, wanted: pa.Array, word: re.Pattern[str]) -> bool:
    """The same table without the rows about these customers; whether there were any."""
    with pq.ParquetFile(path) as parquet:
        column = next((name for name in (CUSTOMER, _RAW) if name in parquet.schema_arrow.names), None)
        groups = range(parquet.num_row_groups)
        if column is None or not any(_is_about(parquet, group, column, wanted, word) for group in groups):
            return False
        beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
        try:
            with open_parquet(beside, parquet.schema_arrow) as writer:
                for group in groups:
                    table = parquet.read_row_group(group)
                    writer.write_table(table.filter(pc.invert(_mark(table[column], column, wanted, word))))
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    return True


def _is_about(parquet: pq.ParquetFile, group: int, column: str, wanted: pa.Array, word: re.Pattern[str]) -> bool:
    table = parquet.read_row_group(group, columns=[column])
    return bool(pc.any(_mark(table[column], column, wanted, word)).as_py())


def _mark(values: pa.ChunkedArray, column: str, wanted: pa.Array, word: re.Pattern[str]) -> Any:
    if column == CUSTOMER:
        return pc.is_in(values.cast(pa.string()), wanted)
    return pa.chunked_array([pa.array([bool(word.search(text or "")) for text in values.to_pylist()], pa.bool_())])
