"""Which ids are one customer: rows that carry several ids link them, everywhere in the log and in any order of rows.

Ids have a preference: the order of the columns in the playbook's ``source.customer``. A row belongs to its first id.
An id of lower preference that was seen together with exactly one customer is that customer, also in rows before the
two were seen together. One that was seen with several (a shared device, a kiosk) stays a customer of its own.
Ids of equal text in different columns are different ids. Identifiers (e-mail, phone) join customers; the whole rule is
read aloud in :mod:`sojourn.events.identity.rule`, and :mod:`sojourn.events.identity.graph` keeps it current.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sojourn.events.identity.rule import CAP, MOST_JOINED, group_joined, pick_owner
from sojourn.frames import Coded, Codes, code_texts, join_coded, join_names, recode

Pairs = NDArray[np.int64]
Flags = NDArray[np.bool_]

_BITS = 32


@dataclass(frozen=True)
class IdPiece:
    """The ids of some rows. ``first`` is a position in ``names``, those of each preference put end to end.

    ``pairs`` are ids seen together: an id of lower preference above the bits of the first id of its row. The last
    ``n_identifiers`` of the names are those of identifiers. ``aliases`` are the pairs of alias calls.
    """

    names: tuple[pa.StringArray, ...]
    first: Codes
    pairs: Pairs
    n_identifiers: int = 0
    aliases: Pairs = field(default_factory=lambda: np.zeros(0, np.int64))

    def keep(self, rows: Flags) -> IdPiece:
        """Only these rows; what was seen together stays."""
        return replace(self, first=self.first[rows])


@dataclass(frozen=True)
class Links:
    """What was linked: ``column, id, customer_id`` of each linked id, and how many ids are linked and shared.

    ``aliases`` are the alias calls that merged nobody, since the earlier id is a known user's: ``previous_id,
    customer_id``.
    """

    customers: pa.Table
    n_linked: int
    n_shared: int
    aliases: pa.Table


def pick_first(columns: Sequence[Coded]) -> Codes:
    """The first id that each row has, as a position in the columns' names put end to end; -1 where there is none.

    >>> from sojourn.frames.text_codes import code_texts
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
    columns: Sequence[Coded],
    first: Codes,
    *,
    rows: Flags | None = None,
    extra: Coded | None = None,
    identifiers: Sequence[Coded] = (),
) -> IdPiece:
    """The ids of rows given their columns in order of preference, with the pairs seen in ``rows`` (None: in all).

    ``extra`` are more ids of the last preference, numbered as that column (:func:`merge_column`): those of alias calls.
    """
    offset = 0
    found, aliases = [np.zeros(0, np.int64)], np.zeros(0, np.int64)
    for level, column in enumerate([*columns, *identifiers]):
        found.append(_pair_column(column.codes, first, offset, rows))
        if extra and level == len(columns) - 1:
            aliases = _pair_column(extra.codes, first, offset, rows)
        offset += len(column.names)
    names = tuple(column.names for column in [*columns, *identifiers])
    return IdPiece(names, first, np.concatenate([*found, aliases]), len(identifiers), aliases)


def _pair_column(codes: Codes, first: Codes, offset: int, rows: Flags | None) -> Pairs:
    both = (codes >= 0) & (first >= 0) & (first < offset)
    if rows is not None:
        both &= rows
    return find_distinct((codes[both].astype(np.int64) + offset) << _BITS | first[both])


def spell_identifier(kind: str, text: str) -> str:
    """An identifier as it is compared: e-mail addresses in small letters.

    >>> spell_identifier("email", "Ann@Example.org"), spell_identifier("member", "Ann")
    ('ann@example.org', 'Ann')
    """
    return "".join(map(_lower, text)) if _is_email(kind) else text


def recode_identifiers(kind: str, column: Coded) -> Coded:
    """The same for a column."""
    if not _is_email(kind):
        return column
    return recode(column.codes, code_texts(pc.ascii_lower(column.names)))


def _is_email(kind: str) -> bool:
    return "mail" in kind.lower()


def _lower(letter: str) -> str:
    return letter.lower() if letter.isascii() else letter


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


def link_customers(pieces: Sequence[IdPiece], columns: Sequence[str], kinds: Sequence[str] = ()) -> tuple[Coded, Links]:
    """The customer of each row of all pieces, and what was linked. ``columns`` names the columns, for telling apart.

    An unlinked id whose text is an id of higher preference too is called ``column:id``. ``kinds`` are those of the
    identifiers.

    >>> from sojourn.frames.text_codes import code_texts
    >>> users = code_texts(pa.array([None, "u1", "u2", "u1"]))
    >>> devices = code_texts(pa.array(["d1", "d1", "tv", "tv"]))
    >>> rows = pair_ids([users, devices], pick_first([users, devices]))
    >>> customers, links = link_customers([rows], ["user", "device"])
    >>> customers.spell().to_pylist(), links.n_linked, links.n_shared
    (['u1', 'u1', 'u2', 'u1'], 1, 1)
    """
    texts, levels, moves = _join_nodes(pieces, len(columns), len(kinds))
    pairs = _move_pairs([piece.pairs for piece in pieces], moves)
    owner, is_shared = _find_roots(levels, pairs, len(columns))
    if kinds:
        owner, is_shared = _join_identifiers(texts, levels, pairs, (owner, is_shared), len(columns))
    names = _name_nodes(texts, levels, owner, [*columns, *kinds])
    linked = np.flatnonzero(owner != np.arange(len(owner)))
    table = pa.table(
        {
            "column": pa.array([*columns, *kinds], pa.string()).take(pa.array(levels[linked])),
            "id": texts.take(pa.array(linked)),
            "customer_id": names.take(pa.array(owner[linked])),
        }
    ).sort_by([("column", "ascending"), ("id", "ascending")])
    rows = [owner[move[piece.first]] for piece, move in zip(pieces, moves, strict=True)]
    aliases = _find_aliases(texts, levels, _move_pairs([piece.aliases for piece in pieces], moves), owner, names)
    links = Links(table, len(linked), int(is_shared.sum()), aliases)
    return Coded(np.concatenate([np.zeros(0, np.int32), *rows]), names), links


def _move_pairs(pairs: Sequence[Pairs], moves: Sequence[Codes]) -> Pairs:
    """The distinct pairs of all pieces, with ids numbered alike."""
    moved = [
        move[some >> _BITS].astype(np.int64) << _BITS | move[some & ((1 << _BITS) - 1)]
        for some, move in zip(pairs, moves, strict=True)
    ]
    return find_distinct(np.concatenate([np.zeros(0, np.int64), *moved]))


def _join_nodes(
    pieces: Sequence[IdPiece], n_columns: int, n_identifiers: int
) -> tuple[pa.StringArray, NDArray[np.int8], list[Codes]]:
    """All distinct ids with the preference of each, and where each piece's ids went."""
    texts: list[pa.StringArray] = []
    moves: list[list[Codes]] = [[] for _ in pieces]
    offset = 0
    for level in range(n_columns + n_identifiers):
        names, places = join_names([_names_at(piece, level, n_columns) for piece in pieces])
        for move, place in zip(moves, places, strict=True):
            move.append(place + np.int32(offset))
        texts.append(names)
        offset += len(names)
    levels = np.repeat(np.arange(len(texts), dtype=np.int8), [len(names) for names in texts])
    return pa.concat_arrays(texts), levels, [np.concatenate(move) for move in moves]


def _names_at(piece: IdPiece, level: int, n_columns: int) -> pa.StringArray:
    """The piece's ids of a level. It may know fewer columns: its source has another format."""
    n_own = len(piece.names) - piece.n_identifiers
    if n_own <= level < n_columns:
        return pa.array([], pa.string())
    return piece.names[level if level < n_own else level - n_columns + n_own]


def _find_roots(levels: NDArray[np.int8], pairs: Pairs, n_columns: int) -> tuple[Codes, Flags]:
    """The id that stands for each id before identifiers join any (itself, where nothing else does), and the shared."""
    root = np.arange(len(levels), dtype=np.int32)
    is_shared = np.zeros(len(levels), bool)
    others, firsts = pairs >> _BITS, pairs & ((1 << _BITS) - 1)
    for level in range(1, n_columns):
        here = levels[others] == level
        who, whose, is_first = _list_met(others[here], root[firsts[here]])
        is_only = is_first & np.append(is_first[1:], True)[: len(who)]
        root[who[is_only]] = whose[is_only]
        is_shared[who[is_first & ~is_only]] = True
    return root, is_shared


def _list_met(who: Pairs, whose: Codes) -> tuple[Pairs, Pairs, Flags]:
    """The distinct pairs of an id and a customer in order, and which are the first of their id."""
    known = find_distinct(who << _BITS | whose)
    who = known >> _BITS
    is_first = np.ones(len(who), bool)
    is_first[1:] = who[1:] != who[:-1]
    return who, known & ((1 << _BITS) - 1), is_first


def _join_identifiers(
    texts: pa.StringArray, levels: NDArray[np.int8], pairs: Pairs, roots: tuple[Codes, Flags], n_columns: int
) -> tuple[Codes, Flags]:
    """The id that stands for each id, with identifiers, and all that are shared or held back."""
    root, is_shared = roots[0], roots[1].copy()
    others, firsts = pairs >> _BITS, pairs & ((1 << _BITS) - 1)
    may_join = (levels[others] >= n_columns) & ~is_shared[root[firsts]]
    who, whose, is_first = _list_met(others[may_join], root[firsts[may_join]])
    begins = np.flatnonzero(is_first)
    n_met = np.diff(np.append(begins, len(who)))
    n_known = np.diff(np.append(0, np.cumsum(levels[whose] == 0))[np.append(begins, len(who))])
    is_many = (n_met > CAP) | (n_known > 1)
    is_shared[who[begins[is_many]]] = True
    joins = np.flatnonzero(~is_many & (n_met > 1))
    joining = {int(who[at]): whose[at : at + n].tolist() for at, n in zip(begins[joins], n_met[joins], strict=True)}
    name = np.arange(len(levels), dtype=np.int32)
    level_of = memoryview(levels)  # type: ignore[arg-type]
    for customers, nodes in group_joined(joining):
        if len(customers) > MOST_JOINED or sum(level_of[customer] == 0 for customer in customers) > 1:
            is_shared[list(nodes)] = True
        else:
            name[list(customers)] = pick_owner(customers, level_of, lambda node: str(texts[node]))
    belongs = is_first & ~is_shared[who]
    owner: Codes = name[root]
    owner[who[belongs]] = name[whose[belongs]]
    return owner, is_shared


def _find_aliases(
    texts: pa.StringArray, levels: NDArray[np.int8], pairs: Pairs, owner: Codes, names: pa.StringArray
) -> pa.Table:
    """Alias calls whose earlier id is that of another known user."""
    previous, users = pairs >> _BITS, pairs & ((1 << _BITS) - 1)
    earlier = texts.take(pa.array(previous))
    known = np.full(len(pairs), -1)
    if len(pairs):
        known = pc.index_in(earlier, texts.filter(pa.array(levels == 0))).fill_null(-1).to_numpy()
    is_other = (known >= 0) & (owner[known] != owner[users])
    table = {
        "previous_id": earlier.filter(pa.array(is_other)),
        "customer_id": names.take(pa.array(owner[users[is_other]])),
    }
    return pa.table(table).sort_by([("previous_id", "ascending"), ("customer_id", "ascending")])


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
