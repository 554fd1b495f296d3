"""What reading hands out: chunks of raw rows, and rows that never became any."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

RAW_CHARACTERS = 4_096
"""Characters of a quarantined row that are kept."""

JSON_COLUMN = "json"
"""The only column of a chunk of JSON lines: each row's text."""

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Broken:
    """A row that never became one: ordinal and line, which rule it broke, what was found, and its raw text."""

    row: int
    line: int
    rule: str
    found: str
    raw: str


@dataclass(frozen=True)
class Chunk:
    """Rows of one source, in order, plus those that never became rows.

    ``rows`` are ordinals in the source from 0, ``lines`` 1-based lines of the file (row numbers where there are none),
    ``done`` is how far into the source's ``size`` this is, ``show`` gives raw text of the rows at these positions,
    ``is_json`` says that the only column, ``json``, holds whole rows.
    """

    columns: pa.Table
    rows: Integers
    lines: Integers
    broken: tuple[Broken, ...]
    done: int
    show: Callable[[Integers], list[str]]
    is_json: bool = False

    @property
    def n_read(self) -> int:
        """Rows read, broken ones included."""
        return len(self.rows) + len(self.broken)


@dataclass(frozen=True)
class Source:
    """Something with rows. ``schema`` is None for JSON lines, whose chunks have the one column ``json``.

    ``size`` is in bytes or rows, 0 where it is not known. ``read`` may be called once, with the columns that are needed
    (None: all of them). A source without rows and without a header has an empty schema.
    """

    name: str
    schema: pa.Schema | None
    size: int
    read: Callable[[Sequence[str] | None], Iterator[Chunk]]
    warnings: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Column names; None for JSON lines."""
        return None if self.schema is None else tuple(self.schema.names)


NO_COLUMNS = pa.schema([])
"""The schema of a source without a header."""


def chunk_broken(broken: Broken, done: int) -> Chunk:
    """A chunk with one broken row and nothing else.

    >>> chunk_broken(Broken(0, 1, "parquet", "no Parquet", ""), 0).n_read
    1
    """
    none = np.zeros(0, np.int64)
    return Chunk(pa.table({}), none, none, (broken,), done, lambda rows: [])
