"""Which ids are one customer: rows that carry several ids link them, everywhere in the log and in any order of rows.

Ids have a preference: the order of the columns in the playbook's ``source.customer``. A row belongs to its first id.
An id of lower preference that was seen together with exactly one customer is that customer, also in rows before the
two were seen together. One that was seen with several (a shared device, a kiosk) stays a customer of its own.
Ids of equal text in different columns are different ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sojourn.coded import Coded, Codes, join_coded, join_names

Pairs = NDArray[np.int64]

_BITS = 32


@dataclass(frozen=True)
class IdPiece:
    """The ids of some rows. ``first`` is a position in ``names``, those of each preference put end to end.

    ``pairs`` are ids seen together: an id of lower preference above the bits of the first id of its row.
    """

    names: tuple[pa.StringArray, ...]
    first: Codes
    pairs: Pairs

    def keep(self, rows: NDArray[np.bool_]) -> IdPiece:
        """Only these rows; what was seen together stays."""
        return IdPiece(self.names, self.first[rows], self.pairs)


@dataclass(frozen=True)
class Links:
    """What was linked: ``column, id, customer_id`` of each linked id, and how many ids are linked and shared."""

    customers: pa.Table
    n_linked: int
    n_shared: int


def pick_first(columns: Sequence[Coded]) -> Codes:
    """The first id that each row has, as a position in the columns' names put end to end; -1 where there is none.

    >>> from sojourn.coded import code_texts
    >>> users, devices = code_texts(pa.array(["u1", None, None])), code_texts(pa.array(["a1", "a2", None]))
    >>> pick_first([users, devices]).tolist()
    [0, 2, -1]
    """
    first = columns[0].codes
    offset = len(columns[0].names)
    for column in columns[1:]:
        first = np.where((first < 0) & (column.codes >= 0), column.codes + np.int32(offset), first)
        offset += len(column.names)
    return first


def pair_ids(
    columns: Sequence[Coded], first: Codes, *, rows: NDArray[np.bool_] | None = None, extra: Coded | None = None
) -> IdPiece:
    """The ids of rows given their columns in order of preference, with the pairs seen in ``rows`` (None: in all).

    ``extra`` are more ids of the last preference, numbered as that column (:func:`merge_column`).
    """
    offset = 0
    found = [np.zeros(0, np.int64)]
    for level, column in enumerate(columns):
        for codes in (column.codes, extra.codes) if extra and level == len(columns) - 1 else (column.codes,):
            both = (codes >= 0) & (first >= 0) & (first < offset)
            if rows is not None:
                both &= rows
            found.append(find_distinct((codes[both].astype(np.int64) + offset) << _BITS | first[both]))
        offset += len(column.names)
    return IdPiece(tuple(column.names for column in columns), first, np.concatenate(found))


def merge_column(column: Coded, more: Coded) -> tuple[Coded, Coded]:
    """Two columns with the same ids, numbered alike."""
    n = len(column.codes)
    joined = join_coded([column, more], [n, len(more.codes)])
    assert joined is not None
    return Coded(joined.codes[:n], joined.names), Coded(joined.codes[n:], joined.names)


def find_distinct(keys: Pairs) -> Pairs:
    """The distinct keys in order.

    >>> find_distinct(np.array([3, 1, 3])).tolist()
    [1, 3]
    """
    ordered = np.sort(keys)
    is_new = np.ones(len(ordered), bool)
    is_new[1:] = ordered[1:] != ordered[:-1]
    return ordered[is_new]


def link_customers(pieces: Sequence[IdPiece], columns: Sequence[str]) -> tuple[Coded, Links]:
    """The customer of each row of all pieces, and what was linked. ``columns`` names the columns, for telling apart.

    An unlinked id whose text is an id of higher preference too is called ``column:id``.

    >>> from sojourn.coded import code_texts
    >>> users = code_texts(pa.array([None, "u1", "u2", "u1"]))
    >>> devices = code_texts(pa.array(["d1", "d1", "tv", "tv"]))
    >>> rows = pair_ids([users, devices], pick_first([users, devices]))
    >>> customers, links = link_customers([rows], ["user", "device"])
    >>> customers.spell().to_pylist(), links.n_linked, links.n_shared
    (['u1', 'u1', 'u2', 'u1'], 1, 1)
    """
    texts, levels, moves = _join_nodes(pieces, len(columns))
    pairs = [
        move[piece.pairs >> _BITS].astype(np.int64) << _BITS | move[piece.pairs & ((1 << _BITS) - 1)]
        for piece, move in zip(pieces, moves, strict=True)
    ]
    owner, n_shared = _find_owners(levels, find_distinct(np.concatenate([np.zeros(0, np.int64), *pairs])), len(columns))
    names = _name_nodes(texts, levels, owner, columns)
    linked = np.flatnonzero(owner != np.arange(len(owner)))
    table = pa.table(
        {
            "column": pa.array(list(columns), pa.string()).take(pa.array(levels[linked])),
            "id": texts.take(pa.array(linked)),
            "customer_id": names.take(pa.array(owner[linked])),
        }
    ).sort_by([("column", "ascending"), ("id", "ascending")])
    rows = [owner[move[piece.first]] for piece, move in zip(pieces, moves, strict=True)]
    return Coded(np.concatenate([np.zeros(0, np.int32), *rows]), names), Links(table, len(linked), n_shared)


def _join_nodes(pieces: Sequence[IdPiece], n_levels: int) -> tuple[pa.StringArray, NDArray[np.int8], list[Codes]]:
    """All distinct ids with the preference of each, and where each piece's ids went."""
    texts: list[pa.StringArray] = []
    moves: list[list[Codes]] = [[] for _ in pieces]
    offset = 0
    for level in range(n_levels):
        # A piece may know fewer columns: its source has another format.
        here = [piece.names[level] if level < len(piece.names) else pa.array([], pa.string()) for piece in pieces]
        names, places = join_names(here)
        for move, place in zip(moves, places, strict=True):
            move.append(place + np.int32(offset))
        texts.append(names)
        offset += len(names)
    levels = np.repeat(np.arange(n_levels, dtype=np.int8), [len(names) for names in texts])
    return pa.concat_arrays(texts), levels, [np.concatenate(move) for move in moves]


def _find_owners(levels: NDArray[np.int8], pairs: Pairs, n_levels: int) -> tuple[Codes, int]:
    """The id that stands for each id (itself, where nothing else does), and how many ids are shared."""
    owner = np.arange(len(levels), dtype=np.int32)
    others, firsts = pairs >> _BITS, pairs & ((1 << _BITS) - 1)
    n_shared = 0
    for level in range(1, n_levels):
        here = levels[others] == level
        known = find_distinct(others[here] << _BITS | owner[firsts[here]])
        who, whose = known >> _BITS, known & ((1 << _BITS) - 1)
        is_first = np.ones(len(who), bool)
        is_first[1:] = who[1:] != who[:-1]
        is_only = is_first & np.append(is_first[1:], True)[: len(who)]
        owner[who[is_only]] = whose[is_only]
        n_shared += int(is_first.sum() - is_only.sum())
    return owner, n_shared


def _name_nodes(
    texts: pa.StringArray, levels: NDArray[np.int8], owner: Codes, columns: Sequence[str]
) -> pa.StringArray:
    """What each id is called as a customer."""
    own = (owner == np.arange(len(owner))) & (levels > 0)
    clash = np.zeros(len(levels), bool)
    for level in range(1, len(columns)):
        here = np.flatnonzero(own & (levels == level))
        taken = texts.filter(pa.array(levels < level))
        clash[here] = pc.is_in(texts.take(pa.array(here)), taken).to_numpy(zero_copy_only=False)
    if not clash.any():
        return texts
    prefixes = pa.array(list(columns), pa.string()).take(pa.array(levels))
    return pc.if_else(pa.array(clash), pc.binary_join_element_wise(prefixes, texts, ":"), texts)
