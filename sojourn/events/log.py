"""Pieces of a log put together: duplicates out, customers linked, rows in order of time, and what the log covers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sojourn.events.coverage import cover_classes
from sojourn.events.identity import link_customers
from sojourn.events.rows import FILE_BITS, Piece, keep_rows
from sojourn.events.sources import Flags, Integers
from sojourn.frames import INSTANT, NAME, QUARANTINE, Coded, code_texts, events_schema, join_coded
from sojourn.playbook import Playbook

_MOST_NAMES = 100
_NAMES_KEPT = 100_000


class LogBuilder:
    """Collects pieces in the order of files and rows; :meth:`close` makes the log of them."""

    def __init__(self, playbook: Playbook) -> None:
        """Starts an empty log."""
        self.n_read = 0
        self.warnings: list[str] = []
        self._playbook = playbook
        self._pieces: list[Piece] = []
        self._id_columns: tuple[str, ...] = playbook.source.customer
        self._quarantine: list[pa.Table] = [QUARANTINE.empty_table()]
        self._unmatched: Counter[str] = Counter()
        self._languages: Counter[tuple[str, str]] = Counter()

    def add_quarantine(self, quarantine: pa.Table) -> None:
        """Takes rows that never became any."""
        self.n_read += quarantine.num_rows
        self._quarantine.append(quarantine)

    def add(self, piece: Piece, n_read: int, id_columns: tuple[str, ...]) -> None:
        """Takes the piece of a chunk of so many rows, whose ids came from these columns."""
        self.n_read += n_read
        self._quarantine.append(piece.quarantine)
        self._id_columns = max(self._id_columns, id_columns, key=len)
        self._unmatched += piece.unmatched
        self._languages += piece.languages
        if len(self._unmatched) > _NAMES_KEPT:  # every row its own name: counts of rare names are worth nothing
            self._unmatched = Counter(dict(self._unmatched.most_common(_NAMES_KEPT // 2)))
        self._pieces.append(piece)

    def close(self) -> dict[str, Any]:
        """The fields of an :class:`~sojourn.events.EventLog`, but for its sources. The builder is empty after it."""
        n_duplicate = self._drop_duplicates()
        at = _join([piece.event_at for piece in self._pieces], np.int64)
        order = find_order(at)
        ids = self._take_event_ids(order)  # first, since ordering them takes the most room
        event_class = _join([piece.event_class for piece in self._pieces], np.int16)
        kinds = [kind for kind, _ in self._playbook.source.identifier_kinds]
        customer, links = link_customers([piece.ids for piece in self._pieces], self._id_columns, kinds)
        if len(links.aliases):
            self.warnings.append(_say_aliases(links.aliases))
        languages = _list_languages(self._languages)
        self.warnings += _say_languages(languages)
        session = self._join_texts("session")
        if order is not None:
            at, event_class, customer = at[order], event_class[order], customer.take(order)
            session = None if session is None else session.take(order)
        made = {
            "event_at": pa.array(at).cast(INSTANT),
            "event_class": pa.DictionaryArray.from_arrays(pa.array(event_class), pa.array(self._playbook.class_names)),
            "session": _spell(session, len(at)),
            "customer_id": customer.spell(),
            "event_id": ids,
        }
        events = self._make_table(order, made)
        quarantine = pa.concat_tables(self._quarantine)
        if events.num_rows + n_duplicate + quarantine.num_rows != self.n_read:
            counts = f"{events.num_rows} accepted, {n_duplicate} duplicate and {quarantine.num_rows} quarantined"
            raise RuntimeError(f"{self.n_read} rows were read, but {counts}; please report this")
        names = self._playbook.class_names
        is_touch = np.isin(np.array(names), np.array(self._playbook.touches, dtype=str))
        measures = {name: events[f"m_{name}"] for name in self._playbook.measure_names}
        visits = None if session is None else session.codes
        by_class, n_sessions = cover_classes(names, is_touch, customer.codes, at, event_class, visits, measures)
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
            "languages": languages,
            "warnings": tuple(self.warnings),
            "links": links,
        }

    def _drop_duplicates(self) -> int:
        """Drops rows that repeat an earlier one; how many there were."""
        may_repeat = _join([_has_key(piece) for piece in self._pieces], bool)
        if not may_repeat.any():
            return 0
        rows = None if may_repeat.all() else np.flatnonzero(may_repeat)
        keys = _join([_fill(piece.keys, piece.n_rows) for piece in self._pieces], np.uint64)
        self._pieces = [replace(piece, keys=None) for piece in self._pieces]
        if rows is None:
            repeats = find_repeats(keys, self._read_exact)
        else:
            repeats = np.zeros(len(keys), bool)
            repeats[rows] = find_repeats(keys[rows], lambda some: self._read_exact(rows[some]))
        del keys
        if not repeats.any():
            return 0
        first = 0
        for i, piece in enumerate(self._pieces):
            kept = ~repeats[first : first + piece.n_rows]
            first += piece.n_rows
            if not kept.all():
                self._pieces[i] = keep_rows(piece, kept)
        return int(repeats.sum())

    def _read_exact(self, rows: Integers) -> NDArray[Any]:
        """What tells rows apart whose keys are equal: the rest of the content's hash, or the id itself."""
        if any(piece.exact is not None for piece in self._pieces):
            return _join([_fill(piece.exact, piece.n_rows) for piece in self._pieces], np.uint64)[rows]
        texts = take_texts([piece.event_id for piece in self._pieces], rows)
        return code_texts(pa.concat_arrays(texts.chunks)).codes

    def _join_texts(self, name: str) -> Coded | None:
        pieces = [piece.texts.pop(name) for piece in self._pieces]
        return join_coded(pieces, [piece.n_rows for piece in self._pieces])

    def _make_table(self, order: Integers | None, made: dict[str, pa.Array | pa.ChunkedArray]) -> pa.Table:
        """The events in order. Each column is taken from the pieces as it is made: the log is never there twice."""
        schema = events_schema(self._playbook.measure_names, self._playbook.property_names)
        n = len(made["event_at"])
        for field in schema:
            if field.name in made:
                continue
            if field.type == NAME or pa.types.is_string(field.type):
                coded = self._join_texts(field.name)
                if coded is not None and order is not None:
                    coded = coded.take(order)
                made[field.name] = _spell(coded, n) if pa.types.is_string(field.type) else _list_names(coded, n)
            else:
                made[field.name] = self._take_numbers(field.name, order).cast(field.type)
        return pa.Table.from_arrays([made[field.name] for field in schema], schema=schema)

    def _take_numbers(self, name: str, order: Integers | None) -> pa.ChunkedArray:
        """A column of numbers in order. Where there are none, one block of NaN stands for all."""
        if name == "seq":
            return _chunk([piece.seq for piece in self._pieces], order, pa.int64())
        pieces = [(piece.numbers.pop(name), piece.n_rows) for piece in self._pieces]
        blank = np.full(max((n for values, n in pieces if values is None), default=0), np.nan)
        is_empty = all(values is None for values, _ in pieces)
        arrays = [blank[:n] if values is None else values for values, n in pieces]
        return _chunk(arrays, None if is_empty else order, pa.float64())

    def _take_event_ids(self, order: Integers | None) -> pa.ChunkedArray:
        """The ids, with ``file:row`` where there is none."""
        named = []
        for i, piece in enumerate(self._pieces):
            named.append(_name_events(piece.event_id, piece.seq))
            self._pieces[i] = replace(piece, event_id=pa.nulls(0, pa.string()), exact=None)
        return pa.chunked_array(named, pa.string()) if order is None else take_texts(named, order)


def _list_languages(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """Texts per measure and language, the most frequent first."""
    found: dict[str, dict[str, int]] = {}
    for (measure, language), n in sorted(counts.items(), key=lambda item: (item[0][0], -item[1], item[0][1])):
        found.setdefault(measure, {})[language] = n
    return found


def _say_languages(languages: dict[str, dict[str, int]]) -> list[str]:
    """What to say of texts that have no score, since nobody knows their language."""
    said = []
    for measure, counts in languages.items():
        n, rest = sum(counts.values()), {k: v for k, v in counts.items() if k != "scored"}
        if rest:
            shown = ", ".join(f"{name} {k:,}" for name, k in list(rest.items())[:5]) + (", …" if len(rest) > 5 else "")
            said.append(
                f"{sum(rest.values()):,} of {n:,} texts have no {measure}: their language cannot be told, or neither "
                f"lexicon nor model knows it ({shown})"
            )
    return said


def _say_aliases(aliases: pa.Table) -> str:
    first = aliases.slice(0, 1).to_pylist()[0]
    return (
        f"{len(aliases):,} alias calls name an earlier id that is a known user's, such as '{first['previous_id']}' for "
        f"'{first['customer_id']}'; known users are never merged by an event"
    )


def _join(pieces: list[NDArray[Any]], kind: Any) -> NDArray[Any]:
    return np.concatenate(pieces) if pieces else np.zeros(0, kind)


def _chunk(pieces: list[NDArray[Any]], order: Integers | None, kind: pa.DataType) -> pa.ChunkedArray:
    if order is not None:
        pieces = [np.concatenate(pieces)[order]]
    return pa.chunked_array([pa.array(values) for values in pieces], kind)


def _fill(values: NDArray[np.uint64] | None, n: int) -> NDArray[np.uint64]:
    return np.zeros(n, np.uint64) if values is None else values


def _has_key(piece: Piece) -> Flags:
    """Rows that may be duplicates: those with an id, or all where the content decides."""
    if piece.keys is None:
        return np.zeros(piece.n_rows, bool)
    if piece.exact is not None:
        return np.ones(piece.n_rows, bool)
    found: Flags = piece.event_id.is_valid().to_numpy(zero_copy_only=False)
    return found


def _spell(coded: Coded | None, n: int) -> pa.Array | pa.ChunkedArray:
    return pa.nulls(n, pa.string()) if coded is None else coded.spell()


def _list_names(coded: Coded | None, n: int) -> pa.DictionaryArray:
    return pa.nulls(n, NAME) if coded is None else coded.array()


def _name_events(ids: pa.StringArray, seq: Integers) -> pa.StringArray:
    if not ids.null_count:
        return ids
    file, row = (pa.array(part).cast(pa.string()) for part in (seq >> FILE_BITS, seq & ((1 << FILE_BITS) - 1)))
    return pc.coalesce(ids, pc.binary_join_element_wise(file, row, ":"))


_SLICE = 1 << 20


def find_repeats(keys: NDArray[np.uint64], read_exact: Callable[[Integers], NDArray[Any]]) -> Flags:
    """Which rows equal an earlier one. Rows of different key differ; ``read_exact`` tells rows of equal key apart.

    >>> find_repeats(np.array([7, 9, 7, 7], np.uint64), lambda rows: np.array([1, 2, 1])).tolist()
    [False, False, False, True]
    """
    is_repeat = np.zeros(len(keys), bool)
    ordered = np.sort(keys)
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    if not repeated.size:
        return is_repeat
    found = []
    for first in range(0, len(keys), _SLICE):  # in slices, for the room that positions of all rows would take
        some = keys[first : first + _SLICE]
        at = np.minimum(np.searchsorted(repeated, some), repeated.size - 1)
        found.append(first + np.flatnonzero(repeated[at] == some))
    rows = np.concatenate(found)
    exact = np.unique(read_exact(rows), return_inverse=True)[1]
    pairs = np.stack([keys[rows], exact.astype(np.uint64)], axis=1)
    order = np.lexsort((rows, pairs[:, 1], pairs[:, 0]))
    same = (np.diff(pairs[order], axis=0) == 0).all(axis=1)
    is_repeat[rows[order[1:][same]]] = True
    return is_repeat


def find_order(at: Integers) -> Integers | None:
    """The rows in order of time, equal instants as they stand; None when they are in order.

    >>> find_order(np.array([5, 3, 5, 3])).tolist()
    [1, 3, 0, 2]
    """
    if bool((at[1:] >= at[:-1]).all()):
        return None
    order: Integers = np.argsort(at)  # not stable, but three times quicker than what is: ties are put right below
    is_tie = np.diff(at[order]) == 0
    rows = np.flatnonzero(np.append(is_tie, False) | np.append(False, is_tie))
    if rows.size:
        run = np.cumsum(np.append(True, ~is_tie))[rows]
        order[rows] = order[rows][np.lexsort((order[rows], run))]
    return order


def take_texts(pieces: list[pa.StringArray], rows: Integers) -> pa.ChunkedArray:
    """The texts at these rows of all pieces put end to end; the list is emptied, so that they need no room twice.

    Together they may have more than two GiB.

    >>> take_texts([pa.array(["a", "b"]), pa.array(["c"])], np.array([2, 0])).to_pylist()
    ['c', 'a']
    """
    whole = pa.concat_arrays([piece.cast(pa.large_string()) for piece in pieces])
    pieces.clear()
    slices = [whole.take(pa.array(rows[at : at + _SLICE])).cast(pa.string()) for at in range(0, len(rows), _SLICE)]
    return pa.chunked_array(slices, pa.string())
