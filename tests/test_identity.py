"""Linking of ids: against a plain reading of the rule, in any order of rows."""

from __future__ import annotations

import random
from collections import defaultdict

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.coded import code_texts
from sojourn.identity import IdPiece, find_distinct, link_customers, merge_column, pair_ids, pick_first

Row = tuple[str | None, ...]
NAMES = ["user", "anonymous", "device"]


def make_piece(rows: list[Row], n_levels: int) -> IdPiece:
    columns = [code_texts(pa.array([row[level] for row in rows], pa.string())) for level in range(n_levels)]
    return pair_ids(columns, pick_first(columns))


def link(rows: list[Row], n_levels: int = 2, cut: int | None = None) -> tuple[list[str | None], int, int]:
    pieces = [rows] if cut is None else [rows[:cut], rows[cut:]]
    customers, links = link_customers([make_piece(piece, n_levels) for piece in pieces], NAMES[:n_levels])
    return customers.spell().to_pylist(), links.n_linked, links.n_shared


def link_plainly(rows: list[Row], n_levels: int) -> tuple[list[str | None], int, int]:
    """The rule, read aloud: no shared code, sets of (level, id) pairs."""
    owner: dict[tuple[int, str], tuple[int, str]] = {}
    n_linked = n_shared = 0

    def first_of(row: Row) -> tuple[int, str] | None:
        return next(((level, value) for level, value in enumerate(row) if value is not None), None)

    def find(node: tuple[int, str]) -> tuple[int, str]:
        return owner.get(node, node)

    for level in range(1, n_levels):
        seen: dict[str, set[tuple[int, str]]] = defaultdict(set)
        for row in rows:
            first, other = first_of(row), row[level]
            if other is not None and first is not None and first[0] < level:
                seen[other].add(find(first))
        for other, owners in seen.items():
            if len(owners) == 1:
                owner[(level, other)] = owners.pop()
                n_linked += 1
            else:
                n_shared += 1
    nodes = {(level, value) for row in rows for level, value in enumerate(row) if value is not None}

    def spell(node: tuple[int, str]) -> str:
        clashes = any((higher, node[1]) in nodes for higher in range(node[0]))
        return f"{NAMES[node[0]]}:{node[1]}" if clashes else node[1]

    firsts = [first_of(row) for row in rows]
    return [None if first is None else spell(find(first)) for first in firsts], n_linked, n_shared


ids = st.one_of(st.none(), st.sampled_from(["a", "b", "c", "d"]))
logs2 = st.lists(st.tuples(ids, ids), min_size=1, max_size=20)
logs3 = st.lists(st.tuples(ids, ids, ids), min_size=1, max_size=25)


@given(logs2)
def test_two_columns_are_linked_as_the_rule_says(rows: list[Row]) -> None:
    has_id = [row for row in rows if any(row)]
    assert link(has_id) == link_plainly(has_id, 2)


@given(logs3, st.integers(0, 25))
def test_three_columns_in_two_pieces_are_linked_as_the_rule_says(rows: list[Row], cut: int) -> None:
    has_id = [row for row in rows if any(row)]
    assert link(has_id, 3, min(cut, len(has_id))) == link_plainly(has_id, 3)


@given(logs3, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows: list[Row], rng: random.Random) -> None:
    has_id = [row for row in rows if any(row)]
    order = list(range(len(has_id)))
    rng.shuffle(order)
    names, n_linked, n_shared = link(has_id, 3)
    shuffled = link([has_id[i] for i in order], 3)
    assert shuffled == ([names[i] for i in order], n_linked, n_shared)


def test_rows_before_the_link_belong_to_the_customer() -> None:
    assert link([(None, "a1"), (None, "a1"), ("u1", "a1"), (None, "a1")]) == (["u1"] * 4, 1, 0)


def test_a_kiosk_stays_a_customer_of_its_own() -> None:
    rows: list[Row] = [(None, "tv"), ("u1", "tv"), ("u2", "tv"), (None, "tv"), ("u1", "phone"), (None, "phone")]
    assert link(rows) == (["tv", "u1", "u2", "tv", "u1", "u1"], 1, 1)


def test_a_user_with_two_devices_is_one_customer() -> None:
    assert link([("u1", "a"), ("u1", "b"), (None, "a"), (None, "b")]) == (["u1"] * 4, 2, 0)


def test_a_device_behind_an_unknown_visitor_who_logs_in_later_is_the_user() -> None:
    rows: list[Row] = [(None, "a1", "d1"), (None, None, "d1"), ("u1", "a1", None)]
    assert link(rows, 3) == (["u1"] * 3, 2, 0)


def test_equal_text_in_two_columns_is_two_customers() -> None:
    assert link([("5", None), (None, "5")]) == (["5", "anonymous:5"], 0, 0)
    assert link([("5", "5"), (None, "5")]) == (["5", "5"], 1, 0)


def test_links_are_listed() -> None:
    _, links = link_customers([make_piece([("u1", "a2"), ("u1", "a1"), ("u2", "tv"), ("u1", "tv")], 2)], NAMES[:2])
    assert links.customers.to_pylist() == [
        {"column": "anonymous", "id": "a1", "customer_id": "u1"},
        {"column": "anonymous", "id": "a2", "customer_id": "u1"},
    ]


def test_a_source_with_fewer_columns_joins_one_with_more() -> None:
    pieces = [make_piece([("u1", "a1"), (None, "a1")], 2), make_piece([("u1",), ("u9",)], 1)]
    customers, links = link_customers(pieces, NAMES[:2])
    assert customers.spell().to_pylist() == ["u1", "u1", "u1", "u9"]
    assert links.n_linked == 1


def test_nothing_at_all() -> None:
    customers, links = link_customers([], ["user"])
    assert customers.spell().to_pylist() == []
    assert (links.n_linked, links.n_shared) == (0, 0)


def test_merged_columns_number_alike() -> None:
    left, right = merge_column(code_texts(pa.array(["a", None])), code_texts(pa.array(["b", "a"])))
    assert left.names is right.names
    assert left.spell().to_pylist() == ["a", None]
    assert right.spell().to_pylist() == ["b", "a"]


@pytest.mark.parametrize("n", [0, 1, 1000])
def test_distinct_keys(n: int) -> None:
    keys = np.random.default_rng(n).integers(0, 50, n)
    assert find_distinct(keys).tolist() == sorted(set(keys.tolist()))
