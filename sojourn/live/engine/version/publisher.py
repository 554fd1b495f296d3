"""Transitions and moments as facts; facts as numbered changes; published changes reconciled with a new fold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.act import Change
from sojourn.frames import I8
from sojourn.live.engine.event_files import PastEvents
from sojourn.live.engine.version.customers import LONG_AGO, Customers
from sojourn.live.engine.version.feed import DatedFact, Fact, publish, reconcile, revoke
from sojourn.live.engine.version.identities import Identities
from sojourn.live.engine.version.outcome import Outcome
from sojourn.live.engine.version.protocols import StoredFacts
from sojourn.live.engine.version.steps import Steps
from sojourn.live.store import StoredChange

Rows = NDArray[np.int32]

DEPLOY = "deploy"
"""The cause of a transition that only a change of version brought about."""


class Publisher:
    """Facts of one version, and the seq of the last change that was published.

    ``since_at`` is when the version was put into use: changes up to then were published by another one.
    """

    def __init__(
        self,
        number: int,
        steps: Steps,
        customers: Customers,
        identities: Identities,
        stored: StoredFacts,
        counts: Counter[str],
    ) -> None:
        """Nothing was published. ``counts`` counts the changes by kind from here on."""
        self._number, self._customers, self._identities, self._stored = number, customers, identities, stored
        self._states = steps.state_model.model.states
        self._classes, self._moments = steps.playbook.class_names, steps.layout.moments
        self._counts = counts
        self.seq = 0
        self.since_at = LONG_AGO

    def transitions(self, found: I8, events: PastEvents | None) -> list[DatedFact]:
        """Transitions, laid out as in :mod:`sojourn.states.hmm.hysteresis`; ``events`` are those that they refer to, if
        any."""
        folded_at = self._customers.folded_at
        facts: list[DatedFact] = []
        for at, i, row, before, to, since in found.tolist():
            data: dict[str, Any] = {"cause": "silence" if i < 0 else "event", "dwell_s": (at - since) / 1e6}
            if i >= 0 and events is not None:
                data["event_id"] = events.event_id[i].decode() or None
                data["event_class"] = self._classes[events.event_class[i]]
            data["version"] = self._number
            self._customers.n_published[row] += 1
            who = self._identities.customer_id(int(self._customers.owner[row]))
            facts.append((Fact(who, "transition", at, self._states[to], self._states[before], data), folded_at[row]))
        return facts

    def moments(self, found: I8, rows: Rows, events: PastEvents) -> list[DatedFact]:
        """Completed moments, given as pairs (event, moment). One counts once per customer and instant."""
        if not len(found):
            return []
        place, moment = found.T
        whose = rows[place]
        np.add.at(self._customers.n_published, whose, 1)
        owners = self._customers.owner[whose].tolist()
        name_of = {owner: self._identities.customer_id(owner) for owner in set(owners)}
        facts: dict[tuple[str, int, str], DatedFact] = {}
        for owner, i, k, at, folded_at in zip(
            owners,
            place.tolist(),
            moment.tolist(),
            events.event_at[place].tolist(),
            self._customers.folded_at[whose].tolist(),
            strict=True,
        ):
            data = {"event_id": events.event_id[i].decode() or None, "version": self._number}
            fact = Fact(name_of[owner], "moment", at, self._moments[k], None, data)
            facts.setdefault((name_of[owner], at, self._moments[k]), (fact, folded_at))
        return list(facts.values())

    def number(self, facts: Iterable[DatedFact]) -> list[Change]:
        """Facts as changes, numbered from the last published one on, and counted."""
        changes = publish(facts, self.seq, self._number)
        self.seq += len(changes)
        self._counts.update(change.kind for change in changes)
        return changes

    def reconcile(
        self, facts: Sequence[Fact], nodes: Iterable[int], position: int, outcome: Outcome
    ) -> list[DatedFact]:
        """Compare all facts of some customers, folded from the start, with what was published of these ids.

        The facts to publish now: new ones, and revocations. Reassigned changes go to the outcome.
        """
        names = self._identities.names(nodes)
        stored = self._stored.customer_changes(names, include_revoked=True)
        published = [change for change in stored if self._is_own(change)]
        found = reconcile([fact for fact in facts if fact.at > self.since_at], published, self.seq)
        by_names: dict[tuple[str, str], list[int]] = {}
        for seq, old, new in found.reassigned:
            by_names.setdefault((old, new), []).append(seq)
        outcome.reassigned += [(old, new, seqs) for (old, new), seqs in by_names.items()]
        revoked = [(revoke(change, change.customer_id), position) for change in found.revoked]
        return [(fact, position) for fact in found.new] + revoked

    def _is_own(self, change: StoredChange) -> bool:
        """Whether this version derived a change from events or silence, since it was put into use."""
        is_derived = change.kind in ("transition", "moment") and change.data.get("cause") != DEPLOY
        return is_derived and change.data.get("version") == self._number and change.at > self.since_at

    def rename(self, renamed: Iterable[tuple[int, int]], outcome: Outcome) -> None:
        """Reassign everything published of customers who got another name: (old node, new node)."""
        for was, heir in renamed:
            new = self._identities.customer_id(heir)
            seqs_by_name: dict[str, list[int]] = {}
            for change in self._stored.customer_changes(self._identities.names([was]), include_revoked=True):
                if change.seq <= self.seq:
                    seqs_by_name.setdefault(change.customer_id, []).append(change.seq)
            outcome.reassigned += [(name, new, seqs) for name, seqs in seqs_by_name.items() if name != new]

    def to_state(self) -> dict[str, Any]:
        """What :meth:`fill` needs, as plain JSON."""
        return {"seq": self.seq, "since_at": self.since_at}

    def fill(self, state: Mapping[str, Any]) -> None:
        """Go on from what was saved."""
        self.seq, self.since_at = state["seq"], state["since_at"]
