"""A plain table as numbers: levels become columns of 0 and 1, texts that are numbers numbers, ids are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sojourn.errors import EventsError, Problem, nearest
from sojourn.frames import F8

_MOST_LEVELS = 30
_NUMBER = r"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$"
_NUMBERS = 0.9  # share of texts that must be numbers for a column of numbers with some missing


@dataclass(frozen=True)
class Encoding:
    """How columns become numbers. ``levels``: per column its levels, or None for a column of numbers."""

    columns: tuple[str, ...]
    levels: tuple[tuple[str, ...] | None, ...]
    left_out: tuple[str, ...] = ()  # in words: which column and why

    @property
    def names(self) -> tuple[str, ...]:
        """The encoded columns: ``tenure``, ``Contract = One year``."""
        pairs = zip(self.columns, self.levels, strict=True)
        return tuple(name for c, ls in pairs for name in ([c] if ls is None else [f"{c} = {level}" for level in ls]))

    @property
    def source(self) -> tuple[int, ...]:
        """For each encoded column, which of ``columns`` it comes from."""
        return tuple(i for i, ls in enumerate(self.levels) for _ in range(1 if ls is None else len(ls)))

    def encode(self, table: pa.Table) -> F8:
        """The rows as float64 [rows, encoded columns]; NaN is missing, a level never seen is none of the levels."""
        found = []
        for name, levels in zip(self.columns, self.levels, strict=True):
            if levels is None:
                found.append(_numbers(table[name])[:, None])
                continue
            place = pc.index_in(_texts(table[name]), pa.array(levels, pa.string())).fill_null(-1)
            found.append((np.asarray(place)[:, None] == np.arange(len(levels))).astype(np.float64))
        return np.hstack(found) if found else np.empty((table.num_rows, 0))


def learn_encoding(table: pa.Table, names: Sequence[str]) -> Encoding:
    """How to encode these columns of a table. What cannot be used is left out, and said.

    >>> found = learn_encoding(pa.table({"a": [1, 2], "b": ["x", "y"], "c": ["1.5", " "]}), ["a", "b"])
    >>> found.names
    ('a', 'b = y')
    """
    columns: list[str] = []
    levels: list[tuple[str, ...] | None] = []
    left_out: list[str] = []
    for name in names:
        column = table[name]
        kind = column.type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if _is_number(kind):
            columns.append(name)
            levels.append(None)
            continue
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            left_out.append(f"'{name}' is left out: it is a column of {column.type}, not of numbers or words")
            continue
        texts = _texts(column)
        known = sorted(set(texts.drop_null().to_pylist()))
        is_numbers = np.isfinite(_numbers(column)).mean() >= _NUMBERS and len(known) > 2
        if is_numbers:
            columns.append(name)
            levels.append(None)
        elif len(known) > _MOST_LEVELS:
            left_out.append(f"'{name}' is left out: {len(known):,} different words are too many to learn from")
        else:
            columns.append(name)
            # of two levels one says it all
            levels.append(tuple(known[1:]) if len(known) == 2 and not texts.null_count else tuple(known))
    return Encoding(tuple(columns), tuple(levels), tuple(left_out))


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _texts(column: Any) -> Any:
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return whole.cast(pa.string())


def _numbers(column: Any) -> F8:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if _is_number(kind):
        return np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)
    texts = pc.utf8_trim_whitespace(_texts(column))
    is_number = pc.fill_null(
        pc.match_substring_regex(texts, r"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$"), False
    )
    kept = pc.if_else(is_number, texts, pa.scalar(None, pa.string()))
    return np.asarray(kept.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def read_label(table: pa.Table, label: str, positive: str | None = None) -> tuple[NDArray[np.bool_], str]:
    """``(whether each row has it, the value that means yes)``.

    Without ``positive`` it is ``true``, ``yes``, ``1`` or the rarer of two values. Raises EventsError for a label that
    is missing somewhere, or has not two values.
    """
    if label not in table.column_names:
        raise EventsError(Problem("--label", f"there is no column '{label}'", nearest(label, table.column_names)))
    texts = _texts(table[label])
    if texts.null_count:
        raise EventsError(Problem(label, f"{texts.null_count:,} rows have no label; leave them out"))
    counts = {entry["values"]: entry["counts"] for entry in pc.value_counts(texts).to_pylist()}
    if positive is not None and positive not in counts:
        raise EventsError(Problem(label, f"no row has '{positive}'", nearest(positive, counts)))
    if len(counts) != 2 and (positive is None or len(counts) < 2):
        raise EventsError(Problem(label, f"a label has two values, this has {len(counts):,}; name one with --positive"))
    yes = next((value for value in counts if value.lower() in {"true", "yes", "1"}), None)
    chosen = positive or yes or min(counts, key=lambda value: (counts[value], value))
    return np.asarray(pc.equal(texts, chosen).to_numpy(zero_copy_only=False), bool), chosen
