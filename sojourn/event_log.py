"""Pieces of a log put together: duplicates out, customers linked, rows in order of time, and what the log covers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sojourn.event_coverage import Codes, cover_classes
from sojourn.event_order import find_order, find_repeats, take_rows
from sojourn.event_rows import FILE_BITS, Piece
from sojourn.frames import CLASS, INSTANT, NAME, QUARANTINE, events_schema
from sojourn.identity import Links, find_clashes, link_ids
from sojourn.playbook import Playbook
from sojourn.source_rows import Flags, Integers

_MOST_NAMES = 100
_NAMES_KEPT = 100_000


class LogBuilder:
    """Collects pieces in the order of files and rows; :meth:`close` makes the log of them."""

    def __init__(self, playbook: Playbook) -> None:
        """Starts an empty log."""
        self.n_read = 0
        self.warnings: list[str] = []
        self._playbook = playbook
        self._schema = events_schema(playbook.measure_names, playbook.property_names)
        self._columns: dict[str, list[pa.Array]] = {name: [] for name in self._schema.names}
        self._levels: list[NDArray[np.int8]] = []
        self._pairs: list[pa.Table] = []
        self._keys: list[NDArray[np.uint64]] = []
        self._exact: list[NDArray[np.uint64]] = []
        self._has_key: list[Flags] = []
        self._quarantine: list[pa.Table] = [QUARANTINE.empty_table()]
        self._unmatched: Counter[str] = Counter()

    def add(self, piece: Piece, n_read: int) -> None:
        """Takes the piece of a chunk of so many rows."""
        self.n_read += n_read
        self._quarantine.append(piece.quarantine)
        self._unmatched += piece.unmatched
        if len(self._unmatched) > _NAMES_KEPT:  # every row its own name: counts of rare names are worth nothing
            self._unmatched = Counter(dict(self._unmatched.most_common(_NAMES_KEPT // 2)))
        if not piece.columns:
            return
        n = len(piece.columns["seq"])
        for name, pieces in self._columns.items():
            pieces.append(piece.columns[name])
        self._levels.append(np.zeros(n, np.int8) if piece.levels is None else piece.levels)
        if piece.pairs is not None:
            self._pairs.append(piece.pairs)
        nothing = np.zeros(n, np.uint64)
        self._keys.append(nothing if piece.keys is None else piece.keys)
        self._exact.append(nothing if piece.exact is None else piece.exact)
        if piece.keys is None:
            self._has_key.append(np.zeros(n, bool))
        elif piece.exact is None:
            self._has_key.append(piece.columns["event_id"].is_valid().to_numpy(zero_copy_only=False))
        else:
            self._has_key.append(np.ones(n, bool))

    def close(self) -> dict[str, Any]:
        """The fields of an :class:`~sojourn.events.EventLog`, but for its sources."""
        n_duplicate = self._drop_duplicates()
        links = link_ids(self._pairs)
        customer, session = self._name_customers(links), None
        at = _join(self._columns["event_at"])
        if self._playbook.source.session:
            session = _number_texts(self._chunked("session"))[0]
        order = find_order(at)
        event_class = _join(self._columns["event_class"]).astype(np.int16, copy=False)
        if order is not None:
            at, customer, event_class = at[order], customer[order], event_class[order]
            session = None if session is None else session[order]
        events = self._make_table(order, at, event_class)
        quarantine = pa.concat_tables(self._quarantine)
        if events.num_rows + n_duplicate + quarantine.num_rows != self.n_read:
            raise RuntimeError(
                f"{self.n_read} rows read, but {events.num_rows} accepted, {n_duplicate} duplicate "
                f"and {quarantine.num_rows} quarantined; please report this"
            )
        names = self._playbook.class_names
        is_touch = np.isin(np.array(names), np.array(self._playbook.touches, dtype=str))
        measures = {name: events[f"m_{name}"].to_numpy() for name in self._playbook.measure_names}
        by_class, n_sessions = cover_classes(names, is_touch, customer, at, event_class, session, measures)
        return {
            "events": events,
            "quarantine": quarantine,
            "n_read": self.n_read,
            "n_accepted": events.num_rows,
            "n_duplicate": n_duplicate,
            "n_quarantined": quarantine.num_rows,
            "by_class": by_class,
            "n_sessions": n_sessions,
            "raw_names": dict(sorted(self._unmatched.items(), key=lambda item: (-item[1], item[0]))[:_MOST_NAMES]),
            "warnings": tuple(self.warnings),
            "links": links,
        }

    def _chunked(self, name: str) -> pa.ChunkedArray:
        kind = pa.string() if name not in _NUMERIC and not name.startswith("m_") else None
        pieces = self._columns[name]
        return pa.chunked_array(pieces, kind) if pieces or kind else pa.chunked_array([[]], pa.float64())

    def _drop_duplicates(self) -> int:
        """Drops rows that repeat an earlier one; how many there were."""
        has_key = np.flatnonzero(_concat(self._has_key, bool))
        if not has_key.size:
            return 0
        keys, exact = _concat(self._keys, np.uint64), _concat(self._exact, np.uint64)

        def read_exact(rows: Integers) -> NDArray[Any]:
            if exact.any():
                return exact[has_key[rows]]
            return _number_texts(take_rows(self._chunked("event_id"), has_key[rows]))[0]

        repeats = find_repeats(keys[has_key], read_exact)
        self._keys, self._exact, self._has_key = [], [], []
        if not repeats.any():
            return 0
        is_kept = np.ones(keys.size, bool)
        is_kept[has_key[repeats]] = False
        first = 0
        for i, seq in enumerate(self._columns["seq"]):
            kept = is_kept[first : first + len(seq)]
            first += len(seq)
            if kept.all():
                continue
            mask = pa.array(kept)
            for pieces in self._columns.values():
                pieces[i] = pieces[i].filter(mask)
            self._levels[i] = self._levels[i][kept]
        return int(repeats.sum())

    def _name_customers(self, links: Links) -> Codes:
        """Puts the customer behind each id into the column, and numbers the customers."""
        pieces = self._columns["customer_id"]
        if links.n_linked:
            for i, ids in enumerate(pieces):
                pieces[i], self._levels[i] = links.resolve(ids, self._levels[i])
        codes, n_codes = _number_texts(self._chunked("customer_id"))
        levels = _concat(self._levels, np.int8)
        is_clash = find_clashes(codes, levels, n_codes)
        if not is_clash.any():
            return codes
        first = 0
        for i, ids in enumerate(pieces):
            here = is_clash[first : first + len(ids)]
            first += len(ids)
            columns = pa.array(self._playbook.source.customer or ("userId", "anonymousId")).take(
                pa.array(self._levels[i])
            )
            pieces[i] = pc.if_else(pa.array(here), pc.binary_join_element_wise(columns, ids, ":"), ids)
        return _number_texts(self._chunked("customer_id"))[0]

    def _make_table(self, order: Integers | None, at: Integers, event_class: NDArray[np.int16]) -> pa.Table:
        """The events in order, column by column, each taken from the builder as it is made."""
        made: list[pa.Array | pa.ChunkedArray] = []
        self._columns["event_id"] = [
            _name_events(ids, seq) for ids, seq in zip(self._columns["event_id"], self._columns["seq"], strict=True)
        ]
        for field in self._schema:
            if field.name == "event_at":
                made.append(pa.array(at).cast(INSTANT))
            elif field.name == "event_class":
                made.append(pa.DictionaryArray.from_arrays(pa.array(event_class), pa.array(self._playbook.class_names)))
            else:
                column = self._chunked(field.name)
                self._columns[field.name] = []
                column = column if order is None else take_rows(column, order)
                made.append(column.dictionary_encode().cast(NAME) if field.type == NAME else column.cast(field.type))
        return pa.Table.from_arrays(made, schema=self._schema)


_NUMERIC = ("seq", "event_at", "event_class", "label_p")


def _concat(pieces: list[NDArray[Any]], kind: Any) -> NDArray[Any]:
    return np.concatenate(pieces) if pieces else np.zeros(0, kind)


def _join(pieces: list[pa.Array]) -> NDArray[Any]:
    return np.concatenate([piece.to_numpy() for piece in pieces]) if pieces else np.zeros(0, np.int64)


def _number_texts(texts: pa.ChunkedArray) -> tuple[Codes, int]:
    """A number per distinct text, by first appearance (-1: null), and how many there are."""
    coded = texts.dictionary_encode()
    if not coded.num_chunks:
        return np.zeros(0, np.int32), 0
    codes = [chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False) for chunk in coded.chunks]
    return np.concatenate(codes), max(len(chunk.dictionary) for chunk in coded.chunks)


def _name_events(ids: pa.StringArray, seq: pa.Int64Array) -> pa.StringArray:
    """The ids, with ``file:row`` where there is none."""
    if not ids.null_count:
        return ids
    rows = seq.to_numpy()
    file, row = pa.array(rows >> FILE_BITS).cast(pa.string()), pa.array(rows & ((1 << FILE_BITS) - 1)).cast(pa.string())
    return pc.coalesce(ids, pc.binary_join_element_wise(file, row, ":"))
