"""Vectors to bytes and Arrow and back, with the layout's hash: vectors of another layout are never read."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sojourn.errors import SojournError
from sojourn.fold.layout import Layout

MAGIC = b"SJRNVEC1"
_HEADER = struct.Struct("<8s16sIQI")  # magic, layout hash, slots, vectors, CRC-32 of all that follows
_HASH, _CHECK = b"sojourn.layout", b"sojourn.crc32"


class VectorsError(SojournError):
    """Stored vectors that must not be used: of another layout, cut short, or damaged."""


def encode_vectors(layout: Layout, vectors: NDArray[np.float64]) -> bytes:
    """The vectors as bytes: a header of 40 bytes, then the slots, 8 bytes each, least byte first.

    >>> from sojourn.playbook.load import load_playbook
    >>> from sojourn.fold.layout import build_layout
    >>> layout = build_layout(load_playbook("shop"))
    >>> len(encode_vectors(layout, layout.new_vectors(3))) == 40 + 3 * layout.n_bytes
    True
    """
    body = _to_bytes(layout, vectors)
    header = (MAGIC, bytes.fromhex(layout.hash), layout.n_slots, len(vectors), zlib.crc32(body))
    return _HEADER.pack(*header) + body


def decode_vectors(layout: Layout, data: bytes | memoryview) -> NDArray[np.float64]:
    """The vectors that :func:`encode_vectors` wrote, shape (vectors, slots). Raises VectorsError for anything else."""
    if len(data) < _HEADER.size:
        raise VectorsError("the stored vectors are cut short: their header is missing")
    magic, written, n_slots, n_vectors, check = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise VectorsError("these are not stored vectors")
    _check_hash(layout, written.hex())
    body = memoryview(data)[_HEADER.size :]
    if n_slots != layout.n_slots or len(body) != n_vectors * layout.n_bytes:
        raise VectorsError(
            f"the stored vectors are cut short or damaged: {n_vectors:,} are promised, "
            f"{len(body) / layout.n_bytes:,.1f} are there"
        )
    return _from_bytes(layout, body, n_vectors, check)


def vectors_to_table(layout: Layout, vectors: NDArray[np.float64], ids: pa.Array | None = None) -> pa.Table:
    """The vectors as a table: column ``vector``, fixed-size binary, and ``customer_id`` when ids are given.

    The layout's hash and a checksum are in the schema's metadata.
    """
    body = _to_bytes(layout, vectors)
    column = pa.Array.from_buffers(pa.binary(layout.n_bytes), len(vectors), [None, pa.py_buffer(body)])
    columns = {"vector": column} if ids is None else {"customer_id": ids, "vector": column}
    metadata = {_HASH: layout.hash.encode(), _CHECK: str(zlib.crc32(body)).encode()}
    return pa.table(columns).replace_schema_metadata(metadata)


def vectors_from_table(layout: Layout, table: pa.Table) -> NDArray[np.float64]:
    """The vectors of a table that :func:`vectors_to_table` made. Raises VectorsError for anything else."""
    metadata = table.schema.metadata or {}
    if _HASH not in metadata or _CHECK not in metadata or "vector" not in table.column_names:
        raise VectorsError("this table does not hold stored vectors")
    _check_hash(layout, metadata[_HASH].decode())
    column = table["vector"].combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks else pa.array([], column.type)
    if column.type != pa.binary(layout.n_bytes) or column.null_count:
        raise VectorsError(f"stored vectors are {layout.n_bytes} bytes each, none missing; these are {column.type}")
    start = column.offset * layout.n_bytes
    body = memoryview(column.buffers()[1] or b"")[start : start + len(column) * layout.n_bytes]
    return _from_bytes(layout, body, len(column), int(metadata[_CHECK]))


def _check_hash(layout: Layout, written: str) -> None:
    if written != layout.hash:
        raise VectorsError(
            f"the stored vectors are of another layout ({written[:8]}…, the playbook's is {layout.hash[:8]}…): "
            "the playbook has changed what is kept or which events count; fold again from the events"
        )


def _to_bytes(layout: Layout, vectors: NDArray[np.float64]) -> memoryview:
    if vectors.ndim != 2 or vectors.shape[1] != layout.n_slots:
        raise ValueError(f"vectors of {layout.n_slots} slots are needed, not of shape {vectors.shape}")
    flat = np.ascontiguousarray(vectors, dtype="<f8").reshape(-1)
    return memoryview(flat.view(np.uint8))  # type: ignore[arg-type]  # a buffer from Python 3.12 on, for the checker


def _from_bytes(layout: Layout, body: memoryview, n_vectors: int, check: int) -> NDArray[np.float64]:
    if zlib.crc32(body) != check:
        raise VectorsError("the stored vectors are damaged: their checksum does not fit")
    vectors = layout.new_vectors(n_vectors)
    vectors[:] = np.frombuffer(body, dtype="<f8").reshape(n_vectors, layout.n_slots)
    return vectors
