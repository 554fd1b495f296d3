"""Segments and audiences: rules are evaluated where something that they read has changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.act import Audiences, trait_values
from sojourn.frames import I8
from sojourn.live.engine.version.customers import Customers
from sojourn.live.engine.version.feed import DatedFact, Fact
from sojourn.live.engine.version.identities import Identities
from sojourn.live.engine.version.profiles import Profiles
from sojourn.live.engine.version.steps import StatesAt, Steps
from sojourn.states.hmm import NEVER

Rows = NDArray[np.int32]


@dataclass(frozen=True)
class Happened:
    """Events of a record: the row of each one's customer, and its class."""

    rows: Rows
    classes: NDArray[np.int16]

    def of(self, rows: Rows, n_rows: int) -> tuple[I8, I8]:
        """The classes that happened to each of some rising rows: where each list begins, and the classes."""
        is_wanted = np.zeros(n_rows, np.bool_)
        is_wanted[rows] = True
        wanted = np.flatnonzero(is_wanted[self.rows])
        order = wanted[np.argsort(self.rows[wanted], kind="stable")]
        starts = np.searchsorted(self.rows[order], rows)
        return np.append(starts, len(order)).astype(np.int64), self.classes[order].astype(np.int64)


class Memberships:
    """Which customers are in which segments and audiences of a version."""

    def __init__(
        self, number: int, steps: Steps, customers: Customers, identities: Identities, profiles: Profiles
    ) -> None:
        self._number, self._steps, self._customers = number, steps, customers
        self._identities, self._profiles = identities, profiles

    def evaluate(
        self, rows: Rows, now: I8, why: NDArray[np.uint8], happened: Happened | None, states: StatesAt, position: int
    ) -> list[DatedFact]:
        """The audiences that these customers entered or left, each customer as of their instant in ``now``.

        ``why`` has a bit for each reason to evaluate rules (:mod:`sojourn.fold.kernels.audiences`). Segments change
        too,
        but are not published.
        """
        rules, customers = self._steps.rules, self._customers
        if not rules.names or not len(rows):
            customers.rule_due[rows] = NEVER
            return []
        nothing = np.zeros(len(rows) + 1, np.int64), np.empty(0, np.int64)
        classes = happened.of(rows, len(customers)) if happened is not None else nothing
        changed = self._steps.evaluate(customers, rows, now, why, classes, states, self._read_traits(rows))
        facts = []
        for j, rule, is_in in changed.tolist():
            if rule >= rules.n_segments:
                customers.n_published[rows[j]] += 1
                kind = "audience_entered" if is_in else "audience_left"
                who = self._identities.customer_id(int(customers.owner[rows[j]]))
                fact = Fact(who, kind, int(now[j]), rules.names[rule], None, {"version": self._number})
                facts.append((fact, position))
        return facts

    def _read_traits(self, rows: Rows) -> NDArray[np.float64]:
        """The values of traits that rules read, a row per customer."""
        rules, graph = self._steps.rules, self._identities.graph
        found = np.full((len(rows), max(len(rules.traits), 1)), np.nan)
        if rules.traits:
            for j, owner in enumerate(self._customers.owner[rows].tolist()):
                found[j] = trait_values(rules, self._profiles.traits(graph.members(int(owner))))
        return found

    def leave_all(self, node: int, row: int, now: int, position: int) -> list[DatedFact]:
        """A customer, by the id that stands for them and their row, leaves every audience: they are part of another."""
        who = self._identities.customer_id(node)
        data: dict[str, Any] = {"version": self._number}
        names = list_memberships(self._steps.rules, self._customers.members[row], is_segment=False)
        return [(Fact(who, "audience_left", now, name, None, data), position) for name in names]


def list_memberships(rules: Audiences, bits: NDArray[np.uint8], *, is_segment: bool) -> list[str]:
    """The segments, or the audiences, of one customer, in the playbook's order; ``bits`` is their row of members."""
    is_in = np.unpackbits(bits, bitorder="little")[: len(rules.names)]
    return [rules.names[k] for k in np.flatnonzero(is_in).tolist() if (k < rules.n_segments) == is_segment]
