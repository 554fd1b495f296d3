"""Values of raw columns: texts, ids, numbers and instants, whole columns at a time.

A blank text is missing everywhere. Plain columns (texts without white space around them, typed numbers and instants)
pass through without a copy; only what is unusual is looked at closely.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sojourn.events.sources import Flags, Integers
from sojourn.frames import Coded, code_texts, recode, run_query

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Numbers = NDArray[np.float64]

NO_IDS = (
    "null",
    "(null)",
    "none",
    "nan",
    "n/a",
    "undefined",
    "(not set)",
    "[object object]",
    "0" * 8 + "-0000-0000-0000-" + "0" * 12,
)
"""Texts, in lower case, that mean "no id" and would join strangers into one customer."""

GOOD, MISSING, UNREADABLE = 0, 1, 2
"""What :func:`read_instants` found in a row."""

_LONGEST_OFFSET_HOURS = 18


def read_texts(column: pa.Array) -> pa.StringArray:
    """Each value as text, without white space around it; blank is null. Floats that are whole have no decimals.

    >>> read_texts(pa.array([" a ", "", None, "b"])).to_pylist(), read_texts(pa.array([17850.0, 0.5])).to_pylist()
    (['a', None, None, 'b'], ['17850', '0.5'])
    """
    if pa.types.is_dictionary(column.type):
        return read_texts(column.dictionary).take(column.indices)
    texts = _to_text(column)
    if _is_plain(texts):
        return texts
    first, last, sizes = _look_at_edges(texts)
    rough = (sizes > 0) & ((first <= 32) | (last <= 32) | (first >= 128) | (last >= 128))
    if rough.any():
        texts = _replace(texts, rough, pc.utf8_trim_whitespace)
        sizes = _look_at_edges(texts)[2]
    blank = sizes == 0
    return _drop(texts, blank) if blank.any() else texts


def read_ids(column: pa.Array) -> pa.StringArray:
    """Each value as an id: a text in which ``17850.0`` is ``17850`` and words for nothing (:data:`NO_IDS`) are null.

    >>> read_ids(pa.array(["17850.0", "null", "u1", "  "])).to_pylist()
    ['17850', None, 'u1', None]
    """
    if pa.types.is_dictionary(column.type):
        return read_ids(column.dictionary).take(column.indices)
    texts = read_texts(column)
    first, last, sizes = _look_at_edges(texts)
    whole = (last == ord("0")) & (sizes > 2) & (_look_at_edges(texts, before_last=1)[1] == ord("."))
    if whole.any():
        texts = _replace(texts, whole, lambda some: pc.replace_substring_regex(some, r"^(-?\d+)\.0$", r"\1"))
    begins = np.array(sorted({ord(letter) for word in NO_IDS for letter in (word[0], word[0].upper())}), np.uint8)
    suspect = np.isin(sizes, np.array(sorted({len(word) for word in NO_IDS}))) & np.isin(first, begins)
    at = np.flatnonzero(suspect)
    if at.size:
        is_none = pc.is_in(pc.utf8_lower(texts.take(pa.array(at))), pa.array(NO_IDS)).to_numpy(zero_copy_only=False)
        nothing = np.zeros(len(texts), bool)
        nothing[at[is_none]] = True
        texts = _drop(texts, nothing) if is_none.any() else texts
    return texts


def read_coded(column: pa.Array, read: Callable[[pa.Array], pa.StringArray] = read_texts) -> Coded:
    """The same as :func:`read_texts` (or :func:`read_ids`), coded: each distinct value is looked at once.

    >>> coded = read_coded(pa.array([" a", "b", "a", ""]))
    >>> coded.codes.tolist(), coded.names.to_pylist()
    ([0, 1, 0, -1], ['a', 'b'])
    """
    coded = code_texts(column if pa.types.is_dictionary(column.type) else _to_text(column))
    names = read(coded.names)
    return coded if names is coded.names else recode(coded.codes, code_texts(names))


def _to_text(column: pa.Array) -> pa.StringArray:
    kind = column.type
    if pa.types.is_string(kind):
        return column
    if pa.types.is_floating(kind):
        values = column.to_numpy(zero_copy_only=False).astype(np.float64)
        is_whole = np.isfinite(values) & (np.abs(values) < 2.0**53) & (values == np.trunc(values))
        whole = pa.array(np.where(is_whole, values, 0.0).astype(np.int64)).cast(pa.string())
        return pc.if_else(pa.array(is_whole), whole, _drop(column.cast(pa.string()), np.isnan(values)))
    if (
        pa.types.is_boolean(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_temporal(kind)
    ):
        return column.cast(pa.string())
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.string())
    if pa.types.is_null(kind):
        return pa.nulls(len(column), pa.string())
    return pa.array([_print_value(value) for value in column.to_pylist()], pa.string())


def _print_value(value: object) -> str | None:
    if isinstance(value, bytes):  # of fixed size, such as a UUID
        return value.hex()
    return None if value is None else str(value)


def _is_plain(texts: pa.StringArray) -> bool:
    """Whether no text is empty, and none can have white space around it, since there is none anywhere."""
    _, offset_buffer, data_buffer = texts.buffers()
    n = len(texts)
    if n == 0 or offset_buffer is None or data_buffer is None or data_buffer.size == 0:
        return False
    offsets = np.frombuffer(offset_buffer, np.int32)[texts.offset : texts.offset + n + 1]
    data = np.frombuffer(data_buffer, np.uint8)[offsets[0] : offsets[-1]]
    if not data.size or data.min() <= 32 or data.max() >= 128:
        return False
    is_empty = offsets[1:] == offsets[:-1]
    return texts.null_count == int(is_empty.sum()) if texts.null_count else not is_empty.any()


def _look_at_edges(
    texts: pa.StringArray, before_last: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Integers]:
    """First byte, last byte (or the one that many before it) and size in bytes of each text; 0 where there is none."""
    _, offset_buffer, data_buffer = texts.buffers()
    n = len(texts)
    if n == 0 or offset_buffer is None:
        none = np.zeros(n, np.uint8)
        return none, none, np.zeros(n, np.int64)
    offsets = np.frombuffer(offset_buffer, np.int32)[texts.offset : texts.offset + n + 1].astype(np.int64)
    sizes = np.diff(offsets)
    if data_buffer is None or data_buffer.size == 0:
        none = np.zeros(n, np.uint8)
        return none, none, sizes
    data = np.frombuffer(data_buffer, np.uint8)
    top = data.size - 1
    first = np.where(sizes > 0, data[np.minimum(offsets[:-1], top)], 0).astype(np.uint8)
    last = np.where(sizes > before_last, data[np.clip(offsets[1:] - 1 - before_last, 0, top)], 0).astype(np.uint8)
    return first, last, sizes


def _replace(texts: pa.StringArray, where: Flags, change: object) -> pa.StringArray:
    some = texts.filter(pa.array(where))
    return pc.replace_with_mask(texts, pa.array(where), change(some))  # type: ignore[operator]  # a compute function


def _drop(texts: pa.StringArray, where: Flags) -> pa.StringArray:
    return pc.if_else(pa.array(where), pa.scalar(None, texts.type), texts)


def read_numbers(column: pa.Array, connection: DuckDBPyConnection) -> tuple[Numbers, Flags]:
    """Each value as a number (NaN: missing or bad), and which are there but are no finite number.

    NaN in a column of numbers is missing; in a text it is a bad number.

    >>> from sojourn.frames.duck import connect
    >>> values, is_bad = read_numbers(pa.array(["1.5", "", "x", "inf"]), connect())
    >>> values.tolist(), is_bad.tolist()
    ([1.5, nan, nan, nan], [False, False, True, True])
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        values, is_bad = read_numbers(column.dictionary, connection)
        at = column.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        return np.append(values, np.nan)[at], np.append(is_bad, False)[at]
    if (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
    ):
        if pa.types.is_decimal(kind) or pa.types.is_boolean(kind):
            column = column.cast(pa.float64())
        values = column.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
        is_bad = np.isinf(values)
        return (np.where(is_bad, np.nan, values), is_bad) if is_bad.any() else (values, is_bad)
    texts = read_texts(column)
    query = "SELECT CASE WHEN NOT contains(a, '_') THEN try_cast(a AS DOUBLE) END AS x FROM t"
    values = run_query(connection, query, a=texts)["x"].to_numpy()
    is_bad = ~np.isfinite(values) & texts.is_valid().to_numpy(zero_copy_only=False)
    return np.where(is_bad, np.nan, values), is_bad


def read_instants(
    column: pa.Array, time_format: str | None, connection: DuckDBPyConnection
) -> tuple[Integers, NDArray[np.uint8]]:
    """Each value as microseconds since 1970 UTC (0 where none), and GOOD, MISSING or UNREADABLE.

    Typed instants and dates; numbers as epoch seconds, milliseconds, microseconds or nanoseconds by their size, or as
    ``YYYYMMDD``; texts by ``time_format``, else ISO 8601 or a number. What has no zone is in the connection's.
    Raises duckdb.Error when ``time_format`` is no format.

    >>> from sojourn.frames.duck import connect
    >>> read_instants(pa.array(["2024-01-01T01:00:00+01:00", "1704067200", "soon"]), None, connect())[0].tolist()
    [1704067200000000, 1704067200000000, 0]
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary.take(column.indices)
        kind = column.type
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        stamps = column.cast(pa.timestamp("us", kind.tz), safe=False)
        return stamps.cast(pa.int64()).fill_null(0).to_numpy(), _state(column)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        stamps = column.cast(pa.timestamp("us"), safe=False)
        found = run_query(connection, "SELECT epoch_us(CAST(a AS TIMESTAMPTZ)) AS x FROM t", a=stamps)["x"]
        return found.fill_null(0).to_numpy(), _state(column, found)
    if time_format is None and (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        exact = column.fill_null(0).to_numpy(zero_copy_only=False) if pa.types.is_integer(kind) else None
        stamps, is_good = _read_epochs(values, exact)
        state = np.where(is_good, GOOD, np.where(np.isnan(values), MISSING, UNREADABLE)).astype(np.uint8)
        return _read_days(stamps, state, values, connection)
    return _read_time_texts(read_texts(column), time_format, connection)


def _state(column: pa.Array, found: pa.Array | pa.ChunkedArray | None = None) -> NDArray[np.uint8]:
    state = np.where(column.is_null().to_numpy(zero_copy_only=False), MISSING, GOOD).astype(np.uint8)
    if found is not None:
        state[(state == GOOD) & found.is_null().to_numpy()] = UNREADABLE
    return state


def _read_epochs(values: Numbers, exact: NDArray[np.integer] | None = None) -> tuple[Integers, Flags]:
    """Epoch numbers as microseconds by magnitude, and which are numbers that fit."""
    size = np.abs(values)
    is_good = np.isfinite(values) & (size < 1e19)
    scale = np.select([size < 1e11, size < 1e14, size < 1e17], [1e6, 1e3, 1.0], 1e-3)
    with np.errstate(invalid="ignore"):
        stamps = np.where(is_good, np.rint(np.where(is_good, values, 0.0) * scale), 0.0).astype(np.int64)
    if exact is not None and exact.size:  # above 2^53 a float would lose microseconds
        whole = exact.astype(np.int64)
        stamps = np.where(is_good & (scale == 1.0), whole, stamps)
        stamps = np.where(is_good & (scale == 1e-3), whole // 1000, stamps)
    return stamps, is_good


def _read_days(
    stamps: Integers, state: NDArray[np.uint8], values: Numbers, connection: DuckDBPyConnection
) -> tuple[Integers, NDArray[np.uint8]]:
    """Numbers like 20240131 are days: as seconds they would lie in 1970."""
    at = np.flatnonzero(
        (state == GOOD) & (values >= 19_000_101) & (values <= 21_001_231) & (np.trunc(values) == values)
    )
    if not at.size:
        return stamps, state
    days = pa.array(values[at].astype(np.int64)).cast(pa.string())
    query = "SELECT epoch_us(CAST(try_strptime(a, '%Y%m%d') AS TIMESTAMPTZ)) AS x FROM t"
    found = run_query(connection, query, a=days)["x"]
    stamps, state = stamps.copy(), state.copy()
    stamps[at] = found.fill_null(0).to_numpy()
    state[at] = np.where(found.is_null().to_numpy(), UNREADABLE, GOOD)
    return stamps, state


def _read_time_texts(
    texts: pa.StringArray, time_format: str | None, connection: DuckDBPyConnection
) -> tuple[Integers, NDArray[np.uint8]]:
    if time_format is not None:
        query = "SELECT epoch_us(CAST(try_strptime(a, $1) AS TIMESTAMPTZ)) AS x FROM t"
        found = run_query(connection, query, [time_format], a=texts)["x"]
        return found.fill_null(0).to_numpy(), _state(texts, found)
    found = run_query(connection, "SELECT epoch_us(try_cast(a AS TIMESTAMPTZ)) AS x FROM t", a=texts)["x"]
    stamps, state = found.fill_null(0).to_numpy(), _state(texts, found)
    at = np.flatnonzero(state == UNREADABLE)
    if at.size:
        stamps, state = stamps.copy(), state.copy()
        values, _ = read_numbers(texts.take(pa.array(at)), connection)
        epochs, is_good = _read_epochs(values)
        some = np.where(is_good, GOOD, UNREADABLE).astype(np.uint8)
        stamps[at], state[at] = _read_days(epochs, some, values, connection)
    state[_find_wild_offsets(texts) & (state == GOOD)] = UNREADABLE
    return stamps, state


def _find_wild_offsets(texts: pa.StringArray) -> Flags:
    """Texts that end in an offset of more than 18 hours, such as +99:00, which no zone has."""
    sizes = _look_at_edges(texts)[2]
    digit = [_look_at_edges(texts, back)[1].astype(np.int16) for back in range(6)]
    has_colon = digit[2] == ord(":")
    sign = np.where(has_colon, digit[5], digit[4])
    tens, ones = np.where(has_colon, digit[4], digit[3]) - 48, np.where(has_colon, digit[3], digit[2]) - 48
    is_offset = (
        (sizes > 16) & np.isin(sign, (ord("+"), ord("-"))) & (tens >= 0) & (tens <= 9) & (ones >= 0) & (ones <= 9)
    )
    return np.asarray(is_offset & (tens * 10 + ones > _LONGEST_OFFSET_HOURS))
