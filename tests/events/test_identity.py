"""Linking of ids: against a plain reading of the rule, in any order of rows."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.errors import PlaybookError
from sojourn.events.identity.batch import (
    IdPiece,
    find_distinct,
    link_customers,
    merge_column,
    pair_ids,
    pick_first,
    recode_identifiers,
    spell_identifier,
)
from sojourn.events.identity.graph import IdentityGraph, make_pairs
from sojourn.events.read import EventLog, read_events
from sojourn.frames.text_codes import code_texts
from sojourn.playbook.load import parse_playbook

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


KINDS = ["email", "phone"]
Person = tuple[str | None, str | None, str | None, str | None, str | None]
people = st.lists(
    st.tuples(ids, ids, ids, *[st.one_of(st.none(), st.sampled_from(["a", "b", "e1", "e2", "e3"]))] * 2),
    min_size=1,
    max_size=40,
)


def link_people(rows: list[Person], n_columns: int, cuts: list[int]) -> tuple[list[str | None], set[tuple[str, ...]]]:
    """The customer of each row, and what was linked, from pieces that begin at the cuts."""
    pieces = []
    for begin, end in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        some = rows[begin:end]
        columns = [code_texts(pa.array([row[i] for row in some], pa.string())) for i in range(5)]
        customers, identifiers = columns[:n_columns], columns[3:]
        pieces.append(pair_ids(customers, pick_first(customers), identifiers=identifiers))
    found, links = link_customers(pieces, NAMES[:n_columns], KINDS)
    return found.spell().to_pylist(), {tuple(row.values()) for row in links.customers.to_pylist()}


def link_live(rows: list[Person], n_columns: int, order: list[int]) -> tuple[list[str | None], set[tuple[str, ...]]]:
    """The same from a graph that sees the rows one by one in another order."""
    names = [*NAMES[:n_columns], *KINDS]
    people = [(*row[:n_columns], *row[3:]) for row in rows]
    nodes: dict[tuple[int, str], int] = {}
    for at in order:
        for level, text in enumerate(people[at]):
            if text is not None:
                nodes.setdefault((level, text), len(nodes))
    spelled = list(nodes)
    graph = IdentityGraph(len(names), n_columns, text_of=lambda node: spelled[node][1])
    firsts = [
        next(nodes[level, text] for level, text in enumerate(row[:n_columns]) if text is not None) for row in people
    ]
    graph.add_nodes(np.array([level for level, _ in spelled], np.int8))
    for at in order:
        found = [nodes[level, text] for level, text in enumerate(people[at]) if text is not None]
        graph.link(make_pairs((node, firsts[at]) for node in found if node != firsts[at]))

    def spell(node: int) -> str:
        level, text = spelled[node]
        return f"{names[level]}:{text}" if any((higher, text) in nodes for higher in range(level)) else text

    owner = graph.owner.tolist()
    links: set[tuple[str, ...]] = {
        (names[spelled[node][0]], spelled[node][1], spell(owner[node]))
        for node in range(len(owner))
        if owner[node] != node
    }
    return [spell(owner[first]) for first in firsts], links


@given(people, st.integers(1, 3), st.randoms(use_true_random=False))
def test_batch_and_live_agree_on_who_is_whom(rows: list[Person], n_columns: int, rng: random.Random) -> None:
    rows = [row for row in rows if any(row[:n_columns])]
    cuts = sorted(rng.sample(range(len(rows) + 1), min(2, len(rows))))
    order = list(range(len(rows)))
    rng.shuffle(order)
    assert link_people(rows, n_columns, cuts) == link_live(rows, n_columns, order)


def test_an_e_mail_joins_the_browsers_of_nobody_known() -> None:
    rows: list[Person] = [(None, "b", None, "x", None), (None, "a", None, "x", None), (None, "c", None, None, None)]
    customers, links = link_people(rows, 2, [])
    assert customers == ["a", "a", "c"]
    assert links == {("anonymous", "b", "a"), ("email", "x", "a")}


def test_pieces_with_fewer_columns_keep_identifiers_apart_from_columns() -> None:
    def piece(columns: list[list[str | None]], emails: list[str | None]) -> IdPiece:
        coded = [code_texts(pa.array(column, pa.string())) for column in columns]
        return pair_ids(coded, pick_first(coded), identifiers=[code_texts(pa.array(emails, pa.string()))])

    pieces = [piece([[None], ["a1"]], ["x"]), piece([["u1", "x"]], ["x", None])]
    customers, links = link_customers(pieces, NAMES[:2], ["email"])
    assert customers.spell().to_pylist() == ["u1", "u1", "x"]
    assert links.n_linked == 2


def test_e_mail_addresses_are_compared_in_small_letters() -> None:
    texts = ["A@B.org", "a@b.org", "Ä@b.org"]
    coded = recode_identifiers("e_mail", code_texts(pa.array(texts)))
    assert coded.spell().to_pylist() == [spell_identifier("e_mail", text) for text in texts]
    assert coded.codes.tolist() == [0, 0, 1]
    assert recode_identifiers("phone", code_texts(pa.array(["A"]))).spell().to_pylist() == ["A"]


BOOK = """
playbook: p
source: SOURCE
events: {buy: {name: Buy}}
states: {keen: {about: Keen.}, away: {about: Away.}}
"""


def read_calls(calls: list[dict[str, object]], source: str, tmp_path: Path) -> EventLog:
    path = tmp_path / "calls.jsonl"
    rows = [{"timestamp": f"2026-01-01T00:00:{i:02}Z", "messageId": f"m{i}"} | call for i, call in enumerate(calls)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_events(path, parse_playbook(BOOK.replace("SOURCE", source)), now=datetime(2026, 2, 1, tzinfo=UTC))


def test_traits_of_calls_join_customers(tmp_path: Path) -> None:
    calls: list[dict[str, object]] = [
        {"type": "identify", "anonymousId": "a1", "traits": {"email": "Ann@x.org"}},
        {"type": "track", "event": "Buy", "anonymousId": "a2", "context": {"traits": {"email": "ann@x.org"}}},
        {"type": "track", "event": "Buy", "anonymousId": "a3", "properties": {"email": "ann@x.org "}},
        {"type": "track", "event": "Buy", "anonymousId": "a4", "traits": {"email": "", "phone": 17.0}},
        {"type": "identify", "userId": "u1", "traits": {"email": "null", "phone": 17}},
    ]
    source = "{format: segment, identifiers: [traits.email, properties.email, traits.phone]}"
    log = read_calls(calls, source, tmp_path)
    assert log.events["customer_id"].to_pylist() == ["a1", "a1", "a1", "u1", "u1"]
    assert read_calls(calls, "{format: segment}", tmp_path).events["customer_id"].to_pylist()[:2] == ["a1", "a2"]


def test_an_alias_of_a_known_user_merges_nobody_and_is_said(tmp_path: Path) -> None:
    calls: list[dict[str, object]] = [
        {"type": "track", "event": "Buy", "userId": "u2", "anonymousId": "a1"},
        {"type": "alias", "userId": "u1", "previousId": "u2"},
        {"type": "alias", "userId": "u1", "previousId": "a9"},
        {"type": "track", "event": "Buy", "anonymousId": "a9"},
    ]
    log = read_calls(calls, "{format: segment}", tmp_path)
    assert log.events["customer_id"].to_pylist() == ["u2", "u1", "u1", "u1"]
    assert log.links.aliases.to_pylist() == [{"previous_id": "u2", "customer_id": "u1"}]
    assert any("'u2' for 'u1'; known users are never merged by an event" in said for said in log.warnings)
    assert not read_calls(calls[2:], "{format: segment}", tmp_path).warnings


def test_columns_of_a_table_are_identifiers() -> None:
    rows = pa.table({"who": ["k1", "k2", "k3"], "at": ["2026-01-01"] * 3, "what": ["Buy"] * 3, "mail": ["x", "y", "X"]})
    source = "{format: table, customer: [user, who], identifiers: mail, time: at, event: what}"
    book = parse_playbook(BOOK.replace("SOURCE", source))
    log = read_events(rows, book, now=datetime(2026, 2, 1, tzinfo=UTC))
    assert log.events["customer_id"].to_pylist() == ["k1", "k2", "k1"]


@pytest.mark.parametrize(
    ("identifiers", "words"),
    [
        ("[user]", "'user' is a customer column already"),
        ("[mail, mail]", "names 'mail' twice"),
        ("[traits.gender]", "'gender' is a protected trait"),
        ("[" + ", ".join(f"k{i}" for i in range(17)) + "]", "has 17 kinds; at most 16 are allowed"),
    ],
)
def test_identifiers_that_cannot_be_are_said(identifiers: str, words: str) -> None:
    source = f"{{format: table, customer: [user], identifiers: {identifiers}, time: at, event: what}}"
    with pytest.raises(PlaybookError, match=words):
        parse_playbook(BOOK.replace("SOURCE", source) + "protected: [gender]\n")
