"""The live graph of ids against the rule read aloud, in any order of what comes; and the rule against examples."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sojourn.errors import SojournError
from sojourn.events.identity.graph import IdentityGraph, make_pairs
from sojourn.events.identity.rule import Owned, Seen, find_owners

N = 16
"""Ids of the state machine: few, so that they meet."""

nodes = st.integers(0, N - 1)
LEVELS = [0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3]


def make_graph(levels: list[int], texts: list[str], n_customer_levels: int, cap: int, most: int) -> IdentityGraph:
    graph = IdentityGraph(
        max([*levels, n_customer_levels - 1]) + 1, n_customer_levels, cap, text_of=texts.__getitem__, most=most
    )
    graph.add_nodes(np.array(levels, np.int8))
    return graph


def may_pair(levels: list[int], n_customer_levels: int, lower: int, better: int) -> bool:
    return levels[better] < levels[lower] and levels[better] < n_customer_levels


def check_kinds(graph: IdentityGraph, owned: Owned) -> None:
    found = graph.conflicts()
    assert {c.node for c in found if c.kind == "shared"} == owned.shared
    assert {c.node for c in found if c.kind == "held"} == owned.held


class GraphMachine(RuleBasedStateMachine):
    """Pairs, merges, splits and undoing in any order; after each step the graph is what the rule says of them all."""

    @initialize(
        n_customer_levels=st.integers(1, 3),
        cap=st.integers(1, 3),
        most=st.integers(2, 5),
        order=st.permutations(range(N)),
    )
    def begin(self, n_customer_levels: int, cap: int, most: int, order: list[int]) -> None:
        self.levels, self.n_customer_levels, self.cap, self.most = LEVELS, n_customer_levels, cap, most
        self.texts = [f"{place:02}" for place in order]
        self.graph = make_graph(self.levels, self.texts, n_customer_levels, cap, most)
        self.pairs: set[tuple[int, int]] = set()
        self.merges: set[tuple[int, int]] = set()
        self.splits: set[tuple[int, int]] = set()

    def seen(self) -> Seen:
        return Seen(
            self.levels, self.texts, self.n_customer_levels, self.pairs, self.merges, self.splits, self.cap, self.most
        )

    def check_change(self, before: list[int], changed: list[int]) -> None:
        after = self.graph.owner.tolist()
        assert changed == [node for node in range(N) if before[node] != after[node]]

    @rule(pairs=st.lists(st.tuples(nodes, nodes), max_size=6))
    def link(self, pairs: list[tuple[int, int]]) -> None:
        pairs = [pair for pair in pairs if may_pair(self.levels, self.n_customer_levels, *pair)]
        before = self.graph.owner.tolist()
        self.check_change(before, self.graph.link(make_pairs(pairs)).tolist())
        self.pairs |= set(pairs)

    @rule(a=nodes, b=nodes)
    def merge(self, a: int, b: int) -> None:
        before = self.graph.owner.tolist()
        try:
            changed = self.graph.merge(a, b).tolist()
        except SojournError:
            return
        self.check_change(before, changed)
        self.merges.add((min(a, b), max(a, b)))

    @rule(a=nodes, b=nodes)
    def split(self, a: int, b: int) -> None:
        before = self.graph.owner.tolist()
        try:
            changed = self.graph.split(a, b).tolist()
        except SojournError:
            return
        self.check_change(before, changed)
        self.splits.add((a, b) if self.levels[a] >= self.levels[b] else (b, a))

    @rule(data=st.data())
    def undo(self, data: st.DataObject) -> None:
        decided = sorted(self.merges | self.splits)
        if not decided:
            return
        a, b = data.draw(st.sampled_from(decided))
        before = self.graph.owner.tolist()
        self.check_change(before, self.graph.undo(a, b).tolist())
        self.merges -= {(a, b), (b, a)}
        self.splits -= {(a, b), (b, a)}

    @rule(a=nodes, b=nodes)
    def change_one_s_mind(self, a: int, b: int) -> None:
        """Deciding and undoing leaves nothing behind."""
        before = self.graph.owner.tolist()
        if {(a, b), (b, a)} & (self.merges | self.splits):
            return
        for decide in (self.graph.merge, self.graph.split):
            try:
                decide(a, b)
            except SojournError:
                continue
            self.graph.undo(b, a)
            assert self.graph.owner.tolist() == before

    @rule()
    def save_and_load(self) -> None:
        arrays = {name: array.copy() for name, array in self.graph.to_arrays().items()}
        self.graph = IdentityGraph.from_arrays(arrays, text_of=self.texts.__getitem__)

    @invariant()
    def is_what_the_rule_says(self) -> None:
        owned = find_owners(self.seen())
        owner = self.graph.owner.tolist()
        assert owner == owned.owner
        check_kinds(self.graph, owned)
        for node in set(owner):
            assert self.graph.members(node) == [other for other in range(N) if owner[other] == node]

    @invariant()
    def known_users_and_split_ids_stay_apart(self) -> None:
        owner = self.graph.owner.tolist()
        merged = list(range(N))
        for _ in range(N):
            for a, b in self.merges:
                merged[a] = merged[b] = min(merged[a], merged[b])
        users = [node for node in range(N) if self.levels[node] == 0]
        for a in users:
            for b in users:
                assert (owner[a] == owner[b]) == (merged[a] == merged[b])
        for a, b in self.splits:
            assert owner[a] != owner[b]


GraphMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=30)
TestGraph = GraphMachine.TestCase


@st.composite
def worlds(draw: st.DrawFn) -> Seen:
    n = draw(st.integers(1, 24))
    n_customer_levels = draw(st.integers(1, 3))
    levels = draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))
    one = st.integers(0, n - 1)
    pairs = [p for p in draw(st.lists(st.tuples(one, one), max_size=50)) if may_pair(levels, n_customer_levels, *p)]
    texts = [f"{place:02}" for place in draw(st.permutations(range(n)))]
    return Seen(levels, texts, n_customer_levels, set(pairs), cap=draw(st.integers(1, 5)), most=draw(st.integers(2, 8)))


@given(worlds(), st.randoms(use_true_random=False))
@settings(max_examples=300)
def test_no_order_of_pairs_matters(seen: Seen, rng: random.Random) -> None:
    expected = find_owners(seen)
    for _ in range(3):
        pairs = list(seen.pairs)
        rng.shuffle(pairs)
        graph = make_graph(list(seen.levels), list(seen.texts), seen.n_customer_levels, seen.cap, seen.most)
        while pairs:
            size = rng.randint(1, 5)
            graph.link(make_pairs(pairs[:size]))
            pairs = pairs[size:]
        assert graph.owner.tolist() == expected.owner
        check_kinds(graph, expected)


class Ids:
    """A graph in words: known users ``u``, anonymous ids ``a``, devices ``d``; e-mail ``e`` and phone ``p``."""

    def __init__(self, words: str, *, n_customer_levels: int = 2, cap: int = 5, most: int = 100) -> None:
        kinds = "uade p".replace(" ", "") if n_customer_levels == 3 else "uaep"
        self.texts = words.split()
        levels = [kinds.index(text[0]) for text in self.texts]
        self.graph = make_graph([*levels, len(kinds) - 1], [*self.texts, "p-"], n_customer_levels, cap, most)

    def at(self, text: str) -> int:
        return self.texts.index(text)

    def link(self, pairs: str) -> Ids:
        ends = [pair.split("-") for pair in pairs.split()]
        self.graph.link(make_pairs((self.at(a), self.at(b)) for a, b in ends))
        return self

    def spell(self) -> str:
        """The owner of each id, in the order of the ids."""
        owner = self.graph.owner[: len(self.texts)]
        return " ".join(self.texts[node] for node in owner.tolist())


def test_an_e_mail_joins_browsers_to_the_one_known_user() -> None:
    assert Ids("u1 a1 a2 e1").link("e1-a1 e1-a2").spell() == "u1 a1 a1 a1"
    assert Ids("u1 a1 a2 e1").link("e1-a1 e1-a2 e1-u1").spell() == "u1 u1 u1 u1"


def test_a_family_phone_joins_nobody() -> None:
    assert Ids("u1 u2 a1 p1").link("p1-u1 p1-u2 p1-a1").spell() == "u1 u2 a1 p1"


def test_more_than_the_cap_is_nobody_s() -> None:
    ids = Ids("a1 a2 a3 e1", cap=2).link("e1-a1 e1-a2")
    assert ids.spell() == "a1 a1 a3 a1"
    assert ids.link("e1-a3").spell() == "a1 a2 a3 e1"


def test_a_user_s_own_browsers_do_not_count_for_the_cap() -> None:
    words = " ".join(f"a{i}" for i in range(9))
    ids = Ids(f"u1 {words} e1").link(" ".join(f"a{i}-u1 e1-a{i}" for i in range(9)))
    assert set(ids.spell().split()) == {"u1"}


def test_a_chain_that_would_join_two_known_users_joins_none() -> None:
    ids = Ids("u1 u2 a1 e1 p1").link("e1-u1 e1-a1")
    assert ids.spell() == "u1 u2 u1 u1 p1"
    assert ids.link("p1-a1 p1-u2").spell() == "u1 u2 a1 e1 p1"
    ids.graph.merge(ids.at("u1"), ids.at("u2"))
    assert ids.spell() == "u1 u1 u1 u1 u1"
    ids.graph.undo(ids.at("u2"), ids.at("u1"))
    assert ids.spell() == "u1 u2 a1 e1 p1"


def test_a_kiosk_is_joined_to_nobody_by_what_people_type_into_it() -> None:
    ids = Ids("u1 u2 u3 a1 e3 a3").link("a1-u1 a1-u2 e3-a1 e3-u3 e3-a3")
    assert ids.spell() == "u1 u2 u3 a1 u3 u3"


def test_a_device_of_three_levels_follows_when_its_visitors_turn_out_one() -> None:
    ids = Ids("u1 a1 a2 d1 d2", n_customer_levels=3).link("d1-a1 d1-a2 d2-a2")
    assert ids.spell() == "u1 a1 a2 d1 a2"
    assert ids.link("a1-u1 a2-u1").spell() == "u1 u1 u1 u1 u1"


def test_merged_users_are_called_by_the_smallest_text() -> None:
    ids = Ids("u3 u1 u2 a1").link("a1-u3 a1-u2")
    assert ids.spell() == "u3 u1 u2 a1"
    ids.graph.merge(0, 2)
    assert ids.spell() == "u2 u1 u2 u2"
    ids.graph.merge(1, 0)
    assert ids.spell() == "u1 u1 u1 u1"
    ids.graph.undo(0, 2)
    assert ids.spell() == "u1 u1 u2 a1"


def test_a_split_is_for_ever() -> None:
    ids = Ids("u1 u2 a1 e1").link("a1-u1")
    assert ids.graph.split(ids.at("a1"), ids.at("u1")).tolist() == [2]
    assert ids.link("e1-a1 e1-u1").spell() == "u1 u2 a1 e1"
    assert ids.link("a1-u2").spell() == "u1 u2 u2 e1"
    ids.graph.undo(ids.at("u1"), ids.at("a1"))
    assert ids.spell() == "u1 u2 a1 u1"  # a1 is seen with two users: shared, and e1 is u1's alone


def test_who_was_joined_through_an_id_comes_apart_when_that_becomes_shared() -> None:
    ids = Ids("a0 a1 a2 d1 e1", n_customer_levels=3).link("d1-a1 e1-d1 e1-a0")
    assert ids.spell() == "a0 a0 a2 a0 a0"
    assert ids.link("d1-a2").spell() == "a0 a1 a2 d1 a0"


def test_a_chain_joins_once_the_id_that_was_split_has_left_it() -> None:
    ids = Ids("u1 u2 a1 a2 e1").link("a1-u1 e1-u1 e1-a2")
    assert ids.spell() == "u1 u2 u1 u1 u1"
    ids.graph.split(ids.at("a1"), ids.at("a2"))
    assert ids.spell() == "u1 u2 u1 a2 e1"
    assert ids.link("a1-u2").spell() == "u1 u2 a1 u1 u1"


def test_of_two_browsers_one_leaves_as_long_as_the_other_is_there() -> None:
    ids = Ids("u1 u2 a1 a2").link("a1-u1 a2-u1")
    ids.graph.split(ids.at("a1"), ids.at("a2"))
    assert ids.spell() == "u1 u2 a1 u1"
    assert ids.link("a2-u2").spell() == "u1 u2 u1 a2"


@pytest.mark.parametrize("seed", range(6))
def test_long_random_walks(seed: int) -> None:
    """Denser than what hypothesis draws: chains grow, break and heal."""
    rng = random.Random(seed)
    for _ in range(60):
        walk(rng)


def walk(rng: random.Random) -> None:
    n, n_customer_levels = rng.randint(3, 30), rng.randint(1, 3)
    levels = [rng.choice([0, 0, 1, 1, 2, 3, 4, 4]) for _ in range(n)]
    texts = [f"{place:02}" for place in rng.sample(range(n), n)]
    cap, most = rng.randint(1, 4), rng.randint(2, 6)
    graph = make_graph(levels, texts, n_customer_levels, cap, most)
    pairs: set[tuple[int, int]] = set()
    decided: dict[str, set[tuple[int, int]]] = {"merge": set(), "split": set()}
    for _ in range(40):
        a, b = rng.randrange(n), rng.randrange(n)
        what = rng.choice(["link"] * 8 + ["merge", "split", "split", "undo"])
        if what == "link":
            drawn = [(rng.randrange(n), rng.randrange(n)) for _ in range(rng.randint(1, 6))]
            drawn = [pair for pair in drawn if may_pair(levels, n_customer_levels, *pair)]
            graph.link(make_pairs(drawn))
            pairs |= set(drawn)
        elif what == "undo":
            for some in decided.values():
                if some:
                    a, b = rng.choice(sorted(some))
                    graph.undo(a, b)
                    some -= {(a, b), (b, a)}
        else:
            try:
                (graph.merge if what == "merge" else graph.split)(a, b)
            except SojournError:
                continue
            decided[what].add((a, b) if levels[a] >= levels[b] else (b, a))
        expected = find_owners(
            Seen(levels, texts, n_customer_levels, pairs, decided["merge"], decided["split"], cap, most)
        )
        assert graph.owner.tolist() == expected.owner
        check_kinds(graph, expected)


def test_what_people_decide_must_not_contradict_itself() -> None:
    ids = Ids("u1 u2 a1 e1 e2")
    ids.graph.split(0, 1)
    with pytest.raises(SojournError, match="'u1' and 'u2' were split by people; undo that first"):
        ids.graph.merge(1, 0)
    ids.graph.undo(0, 1)
    ids.graph.merge(0, 1)
    for decide, a, b, words in (
        (ids.graph.split, 1, 0, "merged by people"),
        (ids.graph.merge, 0, 2, "'a1' is no known user"),
        (ids.graph.split, 3, 4, "both identifiers"),
        (ids.graph.undo, 0, 2, "neither merged nor split"),
        (ids.graph.merge, 0, 0, "twice"),
        (ids.graph.merge, 0, 99, "no such id"),
    ):
        with pytest.raises(SojournError, match=words):
            decide(a, b)


def test_an_alias_of_a_known_user_is_reported() -> None:
    texts = ["u1", "u2", "u2", "a1"]
    graph = make_graph([0, 0, 1, 1], texts, 2, 5, 100)
    graph.link(make_pairs([(2, 0), (3, 0)]))
    users = {"u1": 0, "u2": 1}
    find = lambda some: np.array([users.get(texts[node], -1) for node in some.tolist()], np.int32)  # noqa: E731
    assert graph.owner.tolist() == [0, 1, 0, 0]
    (conflict,) = graph.conflicts(find)
    assert (conflict.kind, conflict.node, conflict.others) == ("alias", 2, (0, 1))
    graph.merge(0, 1)
    assert graph.conflicts(find) == []


def test_what_is_no_pair_is_refused_and_nothing_is_taken() -> None:
    ids = Ids("u1 a1 e1")
    for pairs in ([(0, 1)], [(2, 2)], [(1, 0), (9, 0)]):
        with pytest.raises(ValueError, match="pair"):
            ids.graph.link(make_pairs(pairs))
    assert ids.graph.n_pairs == 0
    assert ids.link("a1-u1").spell() == "u1 u1 e1"


def test_levels_are_checked() -> None:
    with pytest.raises(ValueError, match="levels"):
        IdentityGraph(2, 3, text_of=str)
    with pytest.raises(ValueError, match="levels are 0 to 1"):
        IdentityGraph(2, 2, text_of=str).add_nodes(np.array([2], np.int8))


def test_a_kiosk_s_conflict_counts_whom_it_was_seen_with() -> None:
    words = " ".join(f"u{i}" for i in range(30))
    ids = Ids(f"{words} a1").link(" ".join(f"a1-u{i}" for i in range(30)))
    (conflict,) = ids.graph.conflicts()
    assert (conflict.kind, conflict.node, conflict.n_others, len(conflict.others)) == ("shared", 30, 30, 10)
