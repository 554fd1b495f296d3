"""The payload of a log record of tracking calls: one Arrow IPC stream. What its columns are is decided in
``docs/reference/store.md``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

NO_INSTANT = int(np.iinfo(np.int64).min)
"""Stands for no instant among others."""

SCHEMA = pa.schema(
    [
        ("raw", pa.large_binary()),
        ("kind", pa.int8()),
        ("received_at", pa.int64()),
        ("sent_at", pa.int64()),
        ("key", pa.dictionary(pa.int32(), pa.string())),
    ]
)

# Measured on calls that real clients sent: from here on lz4 is shorter and no slower than nothing. zstd halves the
# bytes of lz4 again for 0.3 to 0.8 µs per call more; old days get that in the archive. Threads cost more than they
# bring.
_COMPRESSED_FROM = 8
_PLAIN = pa.ipc.IpcWriteOptions(use_threads=False)
_COMPRESSED = pa.ipc.IpcWriteOptions(use_threads=False, compression="lz4")
_READ = pa.ipc.IpcReadOptions(use_threads=False)


@dataclass(frozen=True)
class CallsColumns:
    """The calls of one record in the order of their places.

    ``raw`` is None for a call that was erased; ``kind`` is an index in ``KINDS`` of
    :mod:`sojourn.live.engine.service`, ``key`` in ``key_names``. Instants in microseconds; ``sent_at`` is
    :data:`NO_INSTANT` where the request does not say.
    """

    raw: list[bytes | None]
    kind: NDArray[np.int8]
    received_at: NDArray[np.int64]
    sent_at: NDArray[np.int64]
    key: NDArray[np.int32]
    key_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.raw)


def encode_calls(
    calls: Sequence[bytes | None],
    kinds: Sequence[int] | NDArray[np.int8] | int,
    received_at: Sequence[int] | NDArray[np.int64] | int,
    sent_at: Sequence[int | None] | NDArray[np.int64] | int | None,
    keys: Sequence[str] | str,
) -> bytes:
    """The payload of a record of these calls. What is one value counts for every call. Instants in microseconds;
    a ``sent_at`` may be None or :data:`NO_INSTANT`.

    >>> payload = encode_calls([b'{"userId": "u1"}', None], 1, [5, 6], [4, None], "web")
    >>> found = decode_calls(payload)
    >>> found.raw, found.kind.tolist(), found.received_at.tolist(), found.sent_at.tolist()[0], found.key_names
    ([b'{"userId": "u1"}', None], [1, 1], [5, 6], 4, ('web',))
    """
    n = len(calls)
    columns = [
        pa.array(calls, pa.large_binary()),
        pa.array(np.full(n, kinds, np.int8) if isinstance(kinds, int) else kinds, pa.int8()),
        pa.array(np.full(n, received_at, np.int64) if isinstance(received_at, int) else received_at, pa.int64()),
        _list_sent(sent_at, n),
        _code_keys(keys, n),
    ]
    return encode_table(pa.RecordBatch.from_arrays(columns, schema=SCHEMA))


def encode_columns(columns: CallsColumns) -> bytes:
    """The payload of a record of these calls.

    >>> columns = decode_calls(encode_calls([b"{}"], 1, 5, None, "web"))
    >>> decode_calls(encode_columns(columns)).key_names
    ('web',)
    """
    key = pa.DictionaryArray.from_arrays(pa.array(columns.key), pa.array(columns.key_names, pa.string()))
    arrays = [
        pa.array(columns.raw, pa.large_binary()),
        pa.array(columns.kind, pa.int8()),
        pa.array(columns.received_at, pa.int64()),
        _list_sent(columns.sent_at, len(columns)),
        key,
    ]
    return encode_table(pa.RecordBatch.from_arrays(arrays, schema=SCHEMA))


def encode_table(batch: pa.RecordBatch) -> bytes:
    """The payload of the same columns, as :func:`read_table` gives them."""
    sink = pa.BufferOutputStream()
    options = _PLAIN if batch.num_rows < _COMPRESSED_FROM else _COMPRESSED
    with pa.ipc.new_stream(sink, SCHEMA, options=options) as writer:
        writer.write_batch(batch)
    payload: bytes = sink.getvalue().to_pybytes()
    return payload


def _list_sent(sent_at: Sequence[int | None] | NDArray[np.int64] | int | None, n: int) -> pa.Array:
    if sent_at is None:
        return pa.nulls(n, pa.int64())
    if isinstance(sent_at, int):
        sent_at = np.full(n, sent_at, np.int64)
    elif not isinstance(sent_at, np.ndarray):
        sent_at = np.array([NO_INSTANT if at is None else at for at in sent_at], np.int64)
    return pa.array(sent_at, pa.int64(), mask=sent_at == NO_INSTANT)


def _code_keys(keys: Sequence[str] | str, n: int) -> pa.Array:
    if isinstance(keys, str):
        return pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array([keys]))
    return pa.array(keys, pa.string()).dictionary_encode()


def read_table(payload: bytes) -> pa.RecordBatch:
    """The columns of a record's payload, as :data:`SCHEMA` describes them. Raises ValueError for other bytes."""
    try:
        with pa.ipc.open_stream(payload, options=_READ) as reader:
            batch = reader.read_next_batch()
    except (pa.ArrowException, StopIteration, OSError) as error:
        raise ValueError(f"not the payload of a record of calls: {error}") from None
    if batch.schema != SCHEMA:
        raise ValueError(f"not the payload of a record of calls: its columns are {', '.join(batch.schema.names)}")
    return batch


def decode_calls(payload: bytes) -> CallsColumns:
    """The calls that :func:`encode_calls` has put into a payload. Raises ValueError for other bytes."""
    batch = read_table(payload)
    raw, kind, received_at, sent_at, key = batch.columns
    if sent_at.null_count:
        sent_at = sent_at.fill_null(NO_INSTANT)
    return CallsColumns(
        raw=raw.to_pylist(),
        kind=kind.to_numpy(),
        received_at=received_at.to_numpy(),
        sent_at=sent_at.to_numpy(),
        key=key.indices.to_numpy(),
        key_names=tuple(key.dictionary.to_pylist()),
    )
