"""Identity: ids are numbered, ids seen together are linked, and consent is kept by id."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sojourn.events.calls import ReadCalls
from sojourn.events.identity import IdentityGraph
from sojourn.fold import IdTable
from sojourn.playbook import Playbook

Nodes = NDArray[np.int32]

_FIRST_LETTER = ord("a")


@dataclass(frozen=True)
class CustomerIds:
    """A customer by everything that names them: ids with the letter of their level, keys of profiles, names."""

    ids: list[str]
    keys: list[int]
    names: list[str]


class Identities:
    """All ids, the graph that joins them, and consent by id.

    An id's text has a letter for its level before it, so that equal texts of different levels are different ids.
    """

    def __init__(self, playbook: Playbook) -> None:
        """No ids yet."""
        self.columns = playbook.source.customer
        self.n_customer_levels = max(len(playbook.source.customer), 1)
        kinds = list(dict.fromkeys(path.split(".")[-1] for path in playbook.source.identifiers))
        self._kinds = tuple(kinds)
        self.n_levels = self.n_customer_levels + len(kinds)
        self.ids = IdTable(seed=int(np.random.SeedSequence().generate_state(1, np.uint64)[0]))
        self.graph = IdentityGraph(self.n_levels, self.n_customer_levels, text_of=self.text)
        self.purposes = tuple(purpose.name for purpose in playbook.consent)
        self._defaults = {purpose.name: purpose.is_granted_by_default for purpose in playbook.consent}
        self._consents: dict[int, tuple[int, int, dict[str, bool]]] = {}
        self._answers: dict[tuple[tuple[str, bool], ...], dict[str, bool]] = {}

    @property
    def level_names(self) -> tuple[str, ...]:
        """The names of the levels, in order of preference."""
        return (*(self.columns or ("customer_id",)), *self._kinds)

    @property
    def n_bytes(self) -> int:
        """Bytes that ids and pairs of them take."""
        return self.ids.n_bytes + self.graph.n_bytes

    def __len__(self) -> int:
        return len(self.ids)

    def text(self, node: int) -> str:
        """The id as it was sent."""
        return self.ids.name(node)[1:]

    def level(self, node: int) -> int:
        """The level of an id; 0 for user ids."""
        return ord(self.ids.name(node)[0]) - _FIRST_LETTER

    def describe(self, node: int) -> tuple[str, str]:
        """The name of an id's level, and the id as it was sent."""
        name = self.ids.name(node)
        return self.level_names[ord(name[0]) - _FIRST_LETTER], name[1:]

    def customer_id(self, node: int) -> str:
        """The customer_id of the customer for whom an id stands: as in batch, ``column:id`` where a user id has that
        text."""
        name = self.ids.name(node)
        text, level = name[1:], ord(name[0]) - _FIRST_LETTER
        is_taken = level > 0 and any(self._lookup(text, better) >= 0 for better in range(level))
        if is_taken and level < len(self.columns):
            return f"{self.columns[level]}:{text}"
        return text

    def key(self, node: int) -> int:
        """The key of an id in the store: a hash of its text, because numbers differ between processes."""
        digest = hashlib.blake2b(self.ids.name(node).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big", signed=True)

    def find(self, id: str) -> int:
        """The node of the best id with this text, or -1."""
        for level in range(self.n_levels):
            node = self._lookup(id, level)
            if node >= 0:
                return node
        column, _, text = id.partition(":")
        return self._lookup(text, self.columns.index(column)) if column in self.columns else -1

    def _lookup(self, text: str, level: int) -> int:
        return self.ids.find(chr(_FIRST_LETTER + level) + text)

    def names(self, nodes: Iterable[int]) -> list[str]:
        """Every customer_id that a customer with these ids has or had."""
        found: dict[str, None] = {}
        for node in nodes:
            text, level = self.text(node), self.level(node)
            found[text] = None
            if 0 < level < len(self.columns):
                found[f"{self.columns[level]}:{text}"] = None
        return list(found)

    def describe_customer(self, id: str) -> CustomerIds | None:
        """Everything that names the customer who has this id; None for an unknown id."""
        node = self.find(id)
        if node < 0:
            return None
        nodes = self.graph.members(int(self.graph.owner[node]))
        return CustomerIds([self.ids.name(n) for n in nodes], [self.key(n) for n in nodes], self.names(nodes))

    def take_in(self, read: ReadCalls) -> tuple[Nodes, NDArray[np.int64]]:
        """The first id of each event, and all pairs of ids that occur together; new ids are numbered."""
        n = len(read)
        by_level = [self._number(texts, level) for level, texts in enumerate(read.ids)]
        first = np.full(n, -1, np.int32)
        for nodes in by_level[: self.n_customer_levels]:
            first = np.where(first < 0, nodes, first)
        last = self.n_customer_levels - 1
        previous = self._number(read.previous, last)
        level_of_first = np.zeros(n, np.int64)
        for level in range(self.n_customer_levels - 1, -1, -1):
            level_of_first[by_level[level] >= 0] = level
        pairs = []
        for level, nodes in [*enumerate(by_level), (last, previous)]:
            both = (nodes >= 0) & (first >= 0) & (level_of_first < level)
            pairs.append(nodes[both].astype(np.int64) << 32 | first[both])
        return first, np.unique(np.concatenate(pairs))

    def _number(self, texts: Sequence[str | None], level: int) -> Nodes:
        letter = chr(_FIRST_LETTER + level)
        given = [letter + text for text in texts if text is not None]
        found = np.full(len(texts), -1, np.int32)
        if not given:
            return found
        n_before = len(self.ids)
        is_given = np.fromiter((text is not None for text in texts), np.bool_, len(texts))
        found[is_given] = self.ids.add(pa.array(given, pa.string()))
        self.graph.add_nodes(np.full(len(self.ids) - n_before, level, np.int8))
        return found

    def note_consent(self, node: int, at: int, seq: int, purposes: Mapping[str, bool]) -> None:
        """Keep an answer about purposes; the latest one counts, by its instant."""
        before = self._consents.get(node)
        if before is None or (before[0], before[1]) <= (at, seq):
            answer = before[2] if before is not None else {}
            if answer != purposes:
                answer = {**answer, **purposes}
                answer = self._answers.setdefault(tuple(answer.items()), answer)  # equal answers share one object
            self._consents[node] = (at, seq, answer)

    def consent(self, nodes: Sequence[int]) -> dict[str, bool]:
        """Per purpose whether it is granted, by all answers given under these ids."""
        answers = sorted((self._consents[node] for node in nodes if node in self._consents), key=lambda one: one[:2])
        found = dict(self._defaults)
        for _, _, purposes in answers:
            found |= {name: is_granted for name, is_granted in purposes.items() if name in found}
        return found

    def forget(self, nodes: Sequence[int]) -> None:
        """Erase the consent and the text of these ids."""
        for node in nodes:
            self._consents.pop(node, None)
            self.ids.blank(node)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays of :meth:`fill`."""
        found = {f"ids.{name}": array for name, array in self.ids.to_arrays().items()}
        return found | {f"graph.{name}": array for name, array in self.graph.to_arrays().items()}

    def to_state(self) -> dict[str, Any]:
        """What :meth:`fill` needs besides, as plain JSON."""
        return {"consents": [[node, *answer] for node, answer in self._consents.items()]}

    def fill(self, arrays: Mapping[str, NDArray[Any]], state: Mapping[str, Any]) -> None:
        """Become what was saved."""

        def of(prefix: str) -> dict[str, NDArray[Any]]:
            return {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}

        self.ids = IdTable.from_arrays(of("ids."))
        self.graph = IdentityGraph.from_arrays(of("graph."), text_of=self.text)
        self._consents = {}
        for node, at, seq, answer in state["consents"]:
            self._consents[node] = (at, seq, self._answers.setdefault(tuple(answer.items()), answer))
