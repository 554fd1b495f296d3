"""Which ids are one customer: rows that carry several ids link them, everywhere in the log and in any order of rows.

Ids have a preference: the order of the columns in the playbook's ``source.customer``. A row belongs to its first id.
An id of lower preference that was seen together with exactly one customer is that customer, also in rows before the
two were seen together. One that was seen with several (a shared device, a kiosk) stays a customer of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

SEEN = pa.schema(
    [
        ("other_level", pa.int8()),  # preference of `other`: its column in source.customer
        ("other", pa.string()),
        ("level", pa.int8()),
        ("id", pa.string()),  # the row's first id; null where `other` itself is the first
    ]
)
"""Pairs of ids that some row carries: its first id, and another one of lower preference."""


_CUSTOMERS = pa.schema(
    [("level", pa.int8()), ("id", pa.string()), ("owner_level", pa.int8()), ("customer_id", pa.string())]
)


@dataclass(frozen=True)
class Links:
    """What was linked: ``level, id`` of each linked id, and ``owner_level, customer_id`` of the customer that it is."""

    customers: pa.Table
    n_linked: int
    n_shared: int

    def resolve(self, ids: pa.StringArray, levels: NDArray[np.int8]) -> tuple[pa.StringArray, NDArray[np.int8]]:
        """The customer of each id and that customer's preference, given the preference of each id.

        >>> links = link_ids([pair_ids([pa.array(["u1", None]), pa.array(["a1", "a1"])])])
        >>> customers, levels = links.resolve(pa.array(["a1", "a2", "u1"]), np.array([1, 1, 0], np.int8))
        >>> customers.to_pylist(), levels.tolist()
        (['u1', 'a2', 'u1'], [0, 1, 0])
        """
        own = levels
        for level in pc.unique(self.customers["level"]).to_pylist():
            here = np.flatnonzero(own == level)
            if not here.size:
                continue
            known = self.customers.filter(pc.equal(self.customers["level"], level)).combine_chunks()
            at = pc.index_in(ids.take(pa.array(here)), known["id"].combine_chunks())
            is_found = at.is_valid().to_numpy(zero_copy_only=False)
            found = at.drop_null()
            mask = np.zeros(len(ids), bool)
            mask[here[is_found]] = True
            ids = pc.replace_with_mask(ids, pa.array(mask), known["customer_id"].combine_chunks().take(found))
            levels = levels.copy()
            levels[here[is_found]] = known["owner_level"].to_numpy()[found.to_numpy()]
        return ids, levels


def pick_first(columns: Sequence[pa.StringArray]) -> tuple[pa.StringArray, NDArray[np.int8]]:
    """The first id of each row that is there, and its preference (-1: the row has none).

    >>> ids, levels = pick_first([pa.array(["u1", None, None]), pa.array(["a1", "a2", None])])
    >>> ids.to_pylist(), levels.tolist()
    (['u1', 'a2', None], [0, 1, -1])
    """
    levels = np.full(len(columns[0]), -1, np.int8)
    for level in reversed(range(len(columns))):
        levels[columns[level].is_valid().to_numpy(zero_copy_only=False)] = level
    return (pc.coalesce(*columns) if len(columns) > 1 else columns[0]), levels


def pair_ids(columns: Sequence[pa.StringArray]) -> pa.Table:
    """The distinct pairs (:data:`SEEN`) in these rows, given their id columns in order of preference.

    >>> pair_ids([pa.array(["u1", "u1", None]), pa.array(["a1", "a1", "a2"])]).to_pylist()
    [{'other_level': 1, 'other': 'a1', 'level': 0, 'id': 'u1'}]
    """
    first, levels = pick_first(columns)
    found: list[pa.Table] = []
    for other_level in range(1, len(columns)):
        other = columns[other_level]
        here = other.is_valid().to_numpy(zero_copy_only=False) & (levels < other_level)
        for level in range(other_level):
            both = np.flatnonzero(here & (levels == level))
            if both.size:
                found.append(_find_distinct(other.take(both), other_level, first.take(both), level))
    return pa.concat_tables(found) if found else SEEN.empty_table()


def _find_distinct(other: pa.StringArray, other_level: int, ids: pa.StringArray, level: int) -> pa.Table:
    """Distinct pairs by their codes: numbers are compared, not texts."""
    others, firsts = other.dictionary_encode(), ids.dictionary_encode()
    codes = others.indices.to_numpy().astype(np.int64) * len(firsts.dictionary) + firsts.indices.to_numpy()
    distinct = np.unique(codes)
    n = len(distinct)
    columns = [
        pa.array(np.full(n, other_level, np.int8)),
        others.dictionary.take(pa.array(distinct // len(firsts.dictionary))),
        pa.array(np.full(n, level, np.int8)),
        firsts.dictionary.take(pa.array(distinct % len(firsts.dictionary))),
    ]
    return pa.Table.from_arrays(columns, schema=SEEN)


def link_ids(seen: Sequence[pa.Table]) -> Links:
    """The customers behind ids of lower preference, given all pairs seen. The order of rows does not matter.

    Ids of equal text in different columns are different ids.

    >>> kiosk = pair_ids([pa.array(["u1", "u2", "u2"]), pa.array(["shop", "shop", "a2"])])
    >>> links = link_ids([kiosk])
    >>> links.customers.to_pylist(), links.n_linked, links.n_shared
    ([{'level': 1, 'id': 'a2', 'owner_level': 0, 'customer_id': 'u2'}], 1, 1)
    """
    pairs = pa.concat_tables([SEEN.empty_table(), *seen])
    links = Links(_CUSTOMERS.empty_table(), 0, 0)
    for level in sorted(pc.unique(pairs["other_level"]).to_pylist()):
        here = pairs.filter(pc.equal(pairs["other_level"], level)).combine_chunks()
        firsts = pa.array([], pa.string()) if not here.num_rows else here["id"].combine_chunks()
        customers, levels = links.resolve(firsts, here["level"].to_numpy().astype(np.int8))
        owner = pc.binary_join_element_wise(pa.array(levels).cast(pa.string()), customers, " ")
        counted = pa.table({"id": here["other"], "owner": owner}).group_by("id")
        counted = counted.aggregate([("owner", "count_distinct"), ("owner", "min")])
        alone = counted.filter(pc.equal(counted["owner_count_distinct"], 1)).sort_by("id").combine_chunks()
        found = _make_customers(level, alone["id"], alone["owner_min"])
        n_shared = counted.num_rows - found.num_rows
        links = Links(
            pa.concat_tables([links.customers, found]).combine_chunks(),
            links.n_linked + found.num_rows,
            links.n_shared + n_shared,
        )
    return links


def _make_customers(level: int, ids: pa.ChunkedArray, owners: pa.ChunkedArray) -> pa.Table:
    n = len(ids)
    columns = [
        pa.array(np.full(n, level, np.int8)),
        ids,
        pc.utf8_slice_codeunits(owners, 0, 1).cast(pa.int8()),
        pc.utf8_slice_codeunits(owners, 2),
    ]
    return pa.Table.from_arrays(columns, schema=_CUSTOMERS)


def find_clashes(codes: NDArray[np.int32], levels: NDArray[np.int8], n_codes: int) -> NDArray[np.bool_]:
    """Rows whose id, of lower preference and linked to no one, has the text of someone's id of higher preference.

    ``codes`` number the texts. These rows are another customer, who needs another name.

    >>> find_clashes(np.array([0, 0, 1], np.int32), np.array([0, 1, 1], np.int8), 2).tolist()
    [False, True, False]
    """
    is_clash = np.zeros(len(codes), bool)
    is_taken = np.zeros(n_codes, bool)
    for level in range(int(levels.max(initial=0)) + 1):
        here = levels == level
        is_clash |= here & is_taken[codes]
        is_taken[codes[here]] = True
    return is_clash
