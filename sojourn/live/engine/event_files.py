"""What every customer did, as the fold saw it, in files that memory maps: to go back to when the past changes.

A late event, ids that prove to be one customer, an erasure: then a customer is folded again from all their events.
Records are appended as they come and never moved; each names the one before it of the same id, so that one customer's
are found without a look at anybody else's. All of it can be made again from the log, so nothing here waits for a disk.
"""

from __future__ import annotations

import mmap
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from sojourn.errors import Problem, SojournError
from sojourn.fold import kernels
from sojourn.frames import I8

_GROWTH = 1 << 16
_ERASED = -1
_CHECKED = 1 << 20
"""Rows of a column that have a checksum together."""


class PastError(SojournError):
    """Files of the past that cannot be used; it has to be read from the log again."""


@dataclass(frozen=True)
class PastEvents:
    """Events as columns, n of them; see :class:`sojourn.fold.batch.Batch` for those that it has too.

    ``node`` is the id that each was sent under, ``label`` a symbol of the label channel, ``event_id`` UTF-8 bytes.
    """

    node: NDArray[np.int32]
    event_at: I8
    seq: I8
    event_class: NDArray[np.int16]
    label: NDArray[np.uint8]
    measures: NDArray[np.float64]
    channel: NDArray[np.int32]
    properties: NDArray[np.uint64]
    session: NDArray[np.uint64]
    event_id: Sequence[bytes]


class Past:
    """Every event of every id, and the way back from the latest of each.

    >>> import tempfile
    >>> past = Past(Path(tempfile.mkdtemp()), "hash", n_measures=1, n_properties=0)
    >>> one = past.append(example_events([(3, 50), (4, 60), (3, 70)]))
    >>> past.gather([3]).event_at.tolist(), len(past)
    ([50, 70], 3)
    """

    def __init__(self, folder: Path, layout_hash: str, *, n_measures: int, n_properties: int) -> None:
        """An empty past in ``folder``, whatever was there before."""
        folder.mkdir(parents=True, exist_ok=True)
        self._columns = {
            name: _Column(folder / f"{name}.bin", dtype, width)
            for name, dtype, width in _list_columns(n_measures, n_properties)
        }
        self._ids = _Column(folder / "event_id.bin", np.uint8, 1)
        self.folder = folder
        self._head = np.full(1 << 10, -1, np.int64)
        self.layout_hash = layout_hash

    def __len__(self) -> int:
        return self._columns["seq"].n

    @property
    def n_bytes(self) -> int:
        """Bytes in files; memory holds as much of them as is in use."""
        return self._ids.n_bytes + sum(column.n_bytes for column in self._columns.values())

    def append(self, events: PastEvents) -> None:
        """Put the events at the end of those of their ids."""
        n = len(events.seq)
        if not n:
            return
        self._make_heads(int(events.node.max()) + 1)
        previous = np.empty(n, np.int64)
        kernels.link_events(np.ascontiguousarray(events.node, np.int32), self._head, len(self), previous)
        reach, at = np.empty(n, np.int64), np.ascontiguousarray(events.event_at, np.int64)
        kernels.reach_back(at, previous, len(self), self._columns["reach"].values.reshape(-1), reach)
        ends = self._ids.n + np.cumsum([len(name) for name in events.event_id], dtype=np.int64)
        self._ids.append(np.frombuffer(b"".join(events.event_id), np.uint8).reshape(-1, 1))
        given = {**events.__dict__, "previous": previous, "reach": reach, "id_end": ends}
        for name, column in self._columns.items():
            column.append(given[name])

    def gather(self, nodes: Sequence[int] | NDArray[np.int32]) -> PastEvents:
        """All events of these ids together, in order of ``(event_at, seq)``; erased ones are left out."""
        heads = self._head[[node for node in nodes if node < len(self._head)]]
        rows = kernels.follow_links(heads, self._columns["previous"].values.reshape(-1), np.int64(-1))
        rows = rows[self._columns["event_class"].values[rows, 0] != _ERASED]
        at, seq = self._columns["event_at"].values[rows, 0], self._columns["seq"].values[rows, 0]
        return self.take(rows[np.lexsort((seq, at))])

    def trails(self) -> tuple[NDArray[Any], ...]:
        """The latest event of each id, and of every event the one before it, how far that list reaches, its instant and
        class: as :func:`sojourn.fold.kernels.past.count_recent` reads them, with the room after the last one."""
        columns = self._columns
        return (
            self._head,
            columns["previous"].room,
            columns["reach"].room,
            columns["event_at"].room,
            columns["event_class"].room,
        )

    def latest(self, nodes: Sequence[int], n: int, before: int | None = None) -> PastEvents:
        """The last ``n`` events of these ids before an instant, in order, and all of the first one's instant."""
        found = self.gather(nodes)
        end = len(found.seq) if before is None else int(np.searchsorted(found.event_at, before))
        begin = max(end - n, 0)
        if begin < end:
            begin = int(np.searchsorted(found.event_at, found.event_at[begin]))
        rows = slice(begin, end)
        return PastEvents(**{name: value[rows] for name, value in found.__dict__.items()})

    def take(self, rows: I8) -> PastEvents:
        """The events number ``rows``."""
        values = {name: column.values[rows] for name, column in self._columns.items()}
        ends = values["id_end"][:, 0]
        begins = np.where(rows > 0, self._columns["id_end"].values[rows - 1, 0], 0)
        text = self._ids.values
        return PastEvents(
            **{name: values[name][:, 0] for name in ("node", "event_at", "seq", "event_class", "label")},
            measures=values["measures"],
            channel=values["channel"][:, 0],
            properties=values["properties"],
            session=values["session"][:, 0],
            event_id=[text[a:b, 0].tobytes() for a, b in zip(begins.tolist(), ends.tolist(), strict=True)],
        )

    def erase(self, nodes: Sequence[int]) -> I8:
        """Blank every event of these ids, what they held included; their seqs."""
        heads = self._head[[node for node in nodes if node < len(self._head)]]
        rows = np.sort(kernels.follow_links(heads, self._columns["previous"].values.reshape(-1), np.int64(-1)))
        seqs: I8 = self._columns["seq"].values[rows, 0].copy()
        ends = self._columns["id_end"].values[rows, 0]
        begins = np.where(rows > 0, self._columns["id_end"].values[rows - 1, 0], 0)
        for a, b in zip(begins.tolist(), ends.tolist(), strict=True):
            self._ids.values[a:b] = 0
        for name in ("event_at", "reach", "event_class", "label", "measures", "channel", "properties", "session"):
            self._columns[name].values[rows] = 0
        self._columns["event_class"].values[rows] = _ERASED
        for column in self._columns.values():
            column.check_again(rows)
        if len(rows):
            letters = [np.arange(a, b) for a, b in zip(begins.tolist(), ends.tolist(), strict=True)]
            self._ids.check_again(np.concatenate(letters))
        return seqs

    def to_state(self) -> tuple[dict[str, Any], I8]:
        """What :meth:`reopen` needs: plain JSON, and the latest event of each id. All is on disk when this returns."""
        columns = {"event_id": self._ids, **self._columns}
        for column in columns.values():
            column.flush()
        known = {name: {"n": column.n, "checks": list(column.checks)} for name, column in columns.items()}
        return {"layout": self.layout_hash, "columns": known}, self._head

    def reopen(self, state: Mapping[str, Any], head: I8) -> None:
        """Go on from what the files held when :meth:`to_state` was called. Raises PastError where they do not."""
        if state["layout"] != self.layout_hash:
            raise PastError("the past was kept under another layout")
        for name, column in {"event_id": self._ids, **self._columns}.items():
            column.reopen(int(state["columns"][name]["n"]), list(state["columns"][name]["checks"]))
        self._head = np.ascontiguousarray(head, np.int64)

    def close(self) -> None:
        """Let go of the files."""
        for column in (self._ids, *self._columns.values()):
            column.close()

    def _make_heads(self, n: int) -> None:
        if n > len(self._head):
            head = np.full(max(n, len(self._head) * 3 // 2), -1, np.int64)
            head[: len(self._head)] = self._head
            self._head = head


def example_events(rows: Sequence[tuple[int, int]], *, n_measures: int = 1, n_properties: int = 0) -> PastEvents:
    """Events of ``(node, instant)`` with nothing else to them, for examples and tests."""
    n = len(rows)
    return PastEvents(
        node=np.array([row[0] for row in rows], np.int32),
        event_at=np.array([row[1] for row in rows], np.int64),
        seq=np.arange(n, dtype=np.int64),
        event_class=np.zeros(n, np.int16),
        label=np.zeros(n, np.uint8),
        measures=np.zeros((n, n_measures)),
        channel=np.zeros(n, np.int32),
        properties=np.zeros((n, n_properties), np.uint64),
        session=np.zeros(n, np.uint64),
        event_id=[b""] * n,
    )


def _list_columns(n_measures: int, n_properties: int) -> list[tuple[str, Any, int]]:
    return [
        ("node", np.int32, 1),
        ("event_at", np.int64, 1),
        ("seq", np.int64, 1),
        ("event_class", np.int16, 1),
        ("label", np.uint8, 1),
        ("measures", np.float64, n_measures),
        ("channel", np.int32, 1),
        ("properties", np.uint64, n_properties),
        ("session", np.uint64, 1),
        ("previous", np.int64, 1),
        ("reach", np.int64, 1),
        ("id_end", np.int64, 1),
    ]


class _Column:
    """One growing column in a file of its own, shape (n, width)."""

    def __init__(self, path: Path, dtype: Any, width: int) -> None:
        self._path, self._dtype, self._width = path, np.dtype(dtype), width
        self._file: IO[bytes] = path.open("w+b") if not path.exists() else path.open("r+b")
        self._map: mmap.mmap | None = None
        self._all: NDArray[Any] = np.empty((0, width), dtype)
        self.n = 0
        self.checks: list[int] = []  # of so many rows each, so that an erasure need not read all of a long past again

    @property
    def n_bytes(self) -> int:
        return self.n * self._width * int(self._dtype.itemsize)

    @property
    def room(self) -> NDArray[Any]:
        """The values and the room after them."""
        return self._all

    @property
    def values(self) -> NDArray[Any]:
        return self._all[: self.n] if self._width else np.empty((self.n, 0), self._dtype)

    def append(self, values: NDArray[Any]) -> None:
        rows = np.ascontiguousarray(values, self._dtype).reshape(len(values), self._width)
        if self._width == 0:
            self.n += len(rows)
            return
        if self.n + len(rows) > len(self._all):
            self._map_rows(max(self.n + len(rows), self.n * 5 // 4, _GROWTH))
        self._all[self.n : self.n + len(rows)] = rows
        first, self.n = self.n, self.n + len(rows)
        while first < self.n:
            piece, begun = divmod(first, _CHECKED)
            end = min(self.n, (piece + 1) * _CHECKED)
            if not begun:
                self.checks.append(0)
            self.checks[piece] = zlib.crc32(self._all[first:end].data, self.checks[piece])
            first = end

    def check_again(self, rows: I8) -> None:
        """Note that these rows were changed."""
        for piece in np.unique(rows // _CHECKED).tolist() if self._width else []:
            self.checks[piece] = self._check(piece)

    def _check(self, piece: int) -> int:
        return zlib.crc32(self.values[piece * _CHECKED : (piece + 1) * _CHECKED].data)

    def _map_rows(self, n: int) -> None:
        size = n * self._width * self._dtype.itemsize
        size += -size % mmap.ALLOCATIONGRANULARITY
        self._all = np.empty((0, self._width), self._dtype)
        try:
            self._file.truncate(size)
            if hasattr(os, "posix_fallocate"):  # else a full disk would end the process, without a word, at some write
                os.posix_fallocate(self._file.fileno(), 0, size)
            if self._map is None or not _lengthen(self._map, size):
                self._map = None  # closed when the last array that looks into it is gone
                self._map = mmap.mmap(self._file.fileno(), size)
        except OSError as error:
            raise SojournError(Problem(str(self._path), f"cannot grow to {size:,} bytes ({error.strerror})")) from None
        whole = size // (self._width * self._dtype.itemsize)
        self._all = np.frombuffer(self._map, self._dtype)[: whole * self._width].reshape(whole, self._width)

    def reopen(self, n: int, checks: list[int]) -> None:
        self.n, self.checks = n, checks
        if self._width == 0 or n == 0:
            return
        if self._path.stat().st_size < n * self._width * self._dtype.itemsize:
            raise PastError(Problem(str(self._path), f"is cut short: {n:,} rows were kept"))
        self._map_rows(max(n, _GROWTH))
        if [self._check(piece) for piece in range(-(-n // _CHECKED))] != checks:
            raise PastError(Problem(str(self._path), "is damaged: its checksum does not fit"))

    def flush(self) -> None:
        if self._map is not None:
            self._map.flush()

    def close(self) -> None:
        self._all, self._map = np.empty((0, self._width), self._dtype), None
        self._file.close()


def _lengthen(known: mmap.mmap, size: int) -> bool:
    """Whether the map could grow where it is: the system then moves what it knows of its pages, and no page."""
    try:
        known.resize(size)
    except (BufferError, SystemError):  # somebody looks into it; not every system can
        return False
    return True
