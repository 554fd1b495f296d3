"""Everything that is kept in memory as one Arrow IPC file: a start reads it, and then only the end of the log.

A row is a piece of an array: its name, type and whole shape, and the bytes. A last row has the rest as JSON. The
checksum of the whole file is in another one beside it, and is looked at first: Arrow ends the process where the
structure of a file is damaged. Nothing depends on snapshots: without one, or with one that is damaged, a start reads
the whole log.
"""

from __future__ import annotations

import json
import mmap
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sojourn.errors import Problem, SojournError

FORMAT = 4
_PIECE = 64 << 20
_REST = ""
_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("dtype", pa.string()),
        ("shape", pa.list_(pa.int64())),
        ("data", pa.large_binary()),
    ],
    metadata={"sojourn": f"snapshot {FORMAT}"},
)


class SnapshotError(SojournError):
    """A snapshot that cannot be used; the log has all that was in it."""


def write_snapshot(path: Path, arrays: Mapping[str, NDArray[Any]], rest: Mapping[str, Any]) -> None:
    """Write arrays and plain JSON to a file, which is there only when it is whole.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "snapshot.arrow"
    >>> write_snapshot(path, {"x": np.arange(3)}, {"n": 7})
    >>> arrays, rest = read_snapshot(path)
    >>> arrays["x"].tolist(), rest
    ([0, 1, 2], {'n': 7})
    """
    beside = path.with_name(path.name + ".tmp")
    try:
        with beside.open("wb") as file:
            checked = _Checked(file)
            with pa.PythonFile(checked, "w") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
                for name, array in arrays.items():
                    for piece in _cut(np.ascontiguousarray(array)):
                        writer.write_batch(_make_row(name, array.dtype.str, array.shape, piece))
                writer.write_batch(_make_row(_REST, "", (), json.dumps(rest).encode()))
            file.flush()
            os.fsync(file.fileno())
        _write_check(path, checked.sum)
        beside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise SnapshotError(Problem(str(path), f"cannot be written ({error.strerror or error})")) from None


def read_snapshot(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays and the JSON that :func:`write_snapshot` wrote. Raises SnapshotError for a file that is not whole."""
    if _sum_file(path) not in _read_checks(path):
        raise SnapshotError(Problem(str(path), "is damaged: the checksum beside it does not fit"))
    arrays: dict[str, NDArray[Any]] = {}
    filled: dict[str, int] = {}
    rest: dict[str, Any] | None = None
    try:
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
            if reader.schema.metadata != _SCHEMA.metadata:
                raise SnapshotError(Problem(str(path), "is a snapshot of another version of Sojourn"))
            for i in range(reader.num_record_batches):
                row = reader.get_batch(i)
                name, data = row.column("name")[0].as_py(), row.column("data")[0].as_buffer()
                if name == _REST:
                    rest = json.loads(data.to_pybytes())
                    continue
                if name not in arrays:
                    shape = row.column("shape")[0].as_py()
                    arrays[name] = np.empty(shape, np.dtype(row.column("dtype")[0].as_py()))
                    filled[name] = 0
                flat, begin = arrays[name].reshape(-1).view(np.uint8), filled[name]
                flat[begin : begin + data.size] = np.frombuffer(data, np.uint8)
                filled[name] = begin + data.size
    except (OSError, pa.ArrowException, ValueError, TypeError, KeyError, MemoryError) as error:
        raise SnapshotError(Problem(str(path), f"cannot be read ({type(error).__name__})")) from None
    if rest is None or any(filled[name] != array.nbytes for name, array in arrays.items()):
        raise SnapshotError(Problem(str(path), "is cut short"))
    return arrays, rest


class _Checked:
    """A file that is written, with the checksum of all that went into it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._crc, self._size = file, 0, 0
        self.closed = False

    def write(self, data: Any) -> int:
        self._crc = zlib.crc32(data, self._crc)
        self._size += memoryview(data).nbytes
        return self._file.write(data)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self.closed = True

    @property
    def sum(self) -> str:
        return f"{self._crc:08x} {self._size}"


def _sum_file(path: Path) -> str:
    """The same for a file that is there."""
    crc = 0
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for begin in range(0, len(data), _PIECE):
                crc = zlib.crc32(memoryview(data)[begin : begin + _PIECE], crc)
            return f"{crc:08x} {len(data)}"
    except (OSError, ValueError) as error:
        raise SnapshotError(Problem(str(path), f"cannot be read ({type(error).__name__})")) from None


def _check_path(path: Path) -> Path:
    return path.with_name(path.name + ".check")


def _read_checks(path: Path) -> list[str]:
    """What the snapshot's checksum may be."""
    try:
        return _check_path(path).read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return []


def _write_check(path: Path, made: str) -> None:
    """Note the checksum of the snapshot to come, and keep the last ones: which of them is there shows after a crash."""
    beside = _check_path(path).with_suffix(".tmp2")
    with beside.open("w", encoding="ascii") as file:
        file.write("\n".join([made, *_read_checks(path)[:2]]))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(_check_path(path))


def _cut(array: NDArray[Any]) -> Iterator[bytes | memoryview]:
    """The bytes of an array in pieces, without a copy; one empty piece of an empty array."""
    if not array.nbytes:
        yield b""
        return
    flat = array.reshape(-1).view(np.uint8).data
    for begin in range(0, array.nbytes, _PIECE):
        yield flat[begin : begin + _PIECE]


def _make_row(name: str, dtype: str, shape: tuple[int, ...], data: bytes | memoryview) -> pa.RecordBatch:
    size = np.array([0, len(data)], np.int64)
    binary = pa.Array.from_buffers(pa.large_binary(), 1, [None, pa.py_buffer(size), pa.py_buffer(data)])
    columns = [
        pa.array([name], pa.string()),
        pa.array([dtype], pa.string()),
        pa.array([list(shape)], pa.list_(pa.int64())),
        binary,
    ]
    return pa.RecordBatch.from_arrays(columns, schema=_SCHEMA)
