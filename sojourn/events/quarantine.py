"""Rows that cannot be used: why, and what they held."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from sojourn.events.columns import Columns
from sojourn.events.sources import Chunk, Flags, Integers
from sojourn.frames import QUARANTINE

_SHOWN = 100


def quarantine_broken(chunk: Chunk, source: str) -> pa.Table:
    """The quarantine of a chunk in which no row became one."""
    return _Bad(0).tabulate(chunk, source)


class _Bad:
    """Why rows are bad: of several reasons the first that was found."""

    def __init__(self, n: int) -> None:
        self.code = np.zeros(n, np.int8)
        self._reasons: list[tuple[str, Any]] = []

    def add(self, rule: str, where: Flags, say: Any) -> None:
        """Marks rows; ``say`` gives the words for rows at given positions."""
        fresh = where & (self.code == 0)
        if fresh.any():
            self._reasons.append((rule, say))
            self.code[fresh] = len(self._reasons)

    def tabulate(self, chunk: Chunk, source: str) -> pa.Table:
        """The quarantine of the chunk, in the order of its rows."""
        rows = [(b.row, b.line, b.rule, b.found, b.raw) for b in chunk.broken]
        for i, (rule, say) in enumerate(self._reasons, start=1):
            at = np.flatnonzero(self.code == i)
            rows += zip(
                chunk.rows[at].tolist(),
                chunk.lines[at].tolist(),
                [rule] * len(at),
                say(at),
                chunk.show(at),
                strict=True,
            )
        rows.sort(key=lambda row: row[0])
        columns = list(zip(*rows, strict=True)) or [()] * 5
        return pa.table([[source] * len(rows), *columns[1:]], schema=QUARANTINE)


def show_value(value: Any) -> str:
    """The value in quotes, cut where it is long."""
    text = str(value)
    return f"'{text}'" if len(text) <= _SHOWN else f"'{text[: _SHOWN - 1]}…'"


def _show_raw(columns: Columns, path: str, at: Integers) -> list[Any]:
    raw = columns.raw(path)
    return [None] * len(at) if raw is None else raw.take(pa.array(at)).to_pylist()


def explain_no_customer(paths: Sequence[str], values: Sequence[str | None]) -> str:
    """What to say of a row with these texts where its ids should be."""
    said = [
        f"{path} is {show_value(v)}, which is no id"
        for path, v in zip(paths, values, strict=True)
        if str(v or "").strip()
    ]
    return "; ".join(said) or f"{' and '.join(paths)} {'is' if len(values) == 1 else 'are'} empty"


def explain_no_instant(value: Any) -> str:
    """What to say of a value that cannot be read as an instant."""
    zone = re.search(r"\d\s+([A-Za-z][A-Za-z_]*(?:/[A-Za-z_/+-]+)*)$", str(value))
    if zone:
        return f"{show_value(value)} is no instant: '{zone[1]}' is no known time zone"
    return f"{show_value(value)} is no instant (ISO 8601 or an epoch number; else set source time_format)"


def say_instant(stamp: int) -> str:
    """An instant in microseconds since 1970, as ISO 8601."""
    try:
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=stamp)
    except OverflowError:
        return f"the instant {stamp} µs from 1970"
    return at.isoformat().replace("+00:00", "Z")
