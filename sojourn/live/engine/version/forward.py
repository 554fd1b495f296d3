"""Customers are brought forward: events folded, histories folded again, silence crossed, rules evaluated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sojourn.fold.kernels import BY_ALL, BY_BELIEF, BY_MOVE, BY_TIME, BY_TRAIT
from sojourn.live.engine.event_files import Past, PastEvents
from sojourn.live.engine.version.customers import LONG_AGO, Customers
from sojourn.live.engine.version.feed import DatedFact, Fact
from sojourn.live.engine.version.identities import Identities
from sojourn.live.engine.version.intake import join_events, take_events
from sojourn.live.engine.version.memberships import Happened, Memberships
from sojourn.live.engine.version.outcome import Outcome
from sojourn.live.engine.version.publisher import Publisher
from sojourn.live.engine.version.row_index import RowIndex
from sojourn.live.engine.version.steps import Steps
from sojourn.states.hmm import MOVE_CUSTOMER, TOLD_AT

Rows = NDArray[np.int32]
NO_ROWS = np.empty(0, np.int32)

_STALE_US = 60_000_000
"""A rule that has been due for longer, as after a stop, is evaluated as of now."""
_BEHIND_US = 60_000_000
"""A customer whose last event is older than this when it comes in is being imported."""
_HOLD_US = 2_000_000
"""Silence of an imported customer is published once nothing more has come in for so long."""


@dataclass(frozen=True)
class Affected:
    """The customers that a record affects, by rows: ``rows`` are those of ``events``, ``redo`` are to be folded again.

    ``freed`` are nodes of customers who are part of others now, ``profiled`` rows of those whose traits changed.
    """

    rows: Rows = field(default_factory=lambda: NO_ROWS)
    events: PastEvents | None = None
    redo: Rows = field(default_factory=lambda: NO_ROWS)
    freed: Sequence[int] = ()
    profiled: Rows = field(default_factory=lambda: NO_ROWS)


@dataclass(frozen=True)
class Parts:
    """The parts of a version that work together here."""

    steps: Steps
    customers: Customers
    identities: Identities
    event_files: Past
    rows: RowIndex
    memberships: Memberships
    publisher: Publisher
    counts: Counter[str]


class Forward:
    """Brings customers forward, and says what to publish."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._customers = parts, parts.customers

    def find_late(self, rows: Rows, events: PastEvents) -> Rows:
        """Customers with an event before their last one, or before a silent transition that was published already."""
        is_late = events.event_at < self._customers.vectors[rows, 0]
        is_late |= events.event_at < self._customers.kept[rows, TOLD_AT]
        found: Rows = np.unique(rows[is_late])
        return found

    def take(self, affected: Affected, position: int, now: int, outcome: Outcome) -> None:
        """Bring affected customers forward to ``now``; what is to be published goes to the outcome."""
        parts, customers, redo = self._parts, self._customers, affected.redo
        is_fresh = customers.n_events[affected.rows] == 0
        fresh = affected.rows[is_fresh]
        facts = self._step(affected)
        was_published = customers.kept[redo, TOLD_AT] > LONG_AGO
        is_refolded = bool(len(redo) or affected.freed)
        refolded = self._refold(redo, position) if is_refolded else []
        # Without events: all of them have left with an id, or only the id has come.
        empty = redo[customers.n_events[redo] == 0]
        freed = [*affected.freed, *customers.owner[empty].tolist()]
        touched = self._list_touched(affected, empty)
        touched = self._hold(touched, redo[was_published], now)
        states = parts.steps.cross_silence(customers, touched, now)
        of_redo = np.isin(states.transitions[:, MOVE_CUSTOMER], redo)
        facts += parts.publisher.transitions(states.transitions[~of_redo], None)
        if is_refolded:
            refolded += [fact for fact, _ in parts.publisher.transitions(states.transitions[of_redo], None)]
            facts += self._reconcile(refolded, redo, freed, position, now, outcome)
        why = self._list_causes(touched, affected, fresh, now)
        happened = Happened(affected.rows, affected.events.event_class) if affected.events is not None else None
        facts += parts.memberships.evaluate(touched, np.full(len(touched), now), why, happened, states, position)
        changes = parts.publisher.number(facts)
        outcome.changes += changes
        by_id = {change.data["revokes_seq"]: change.seq for change in changes if "revokes_seq" in change.data}
        outcome.revoked += list(by_id.items())

    def _step(self, affected: Affected) -> list[DatedFact]:
        """Fold the events of customers who are not folded again anyway."""
        rows, events = affected.rows, affected.events
        if events is None or not len(rows):
            return []
        if len(affected.redo):
            on = np.flatnonzero(~np.isin(rows, affected.redo))
            rows, events = rows[on], take_events(events, on)
        return self._fold(rows, events)

    def _fold(self, rows: Rows, events: PastEvents) -> list[DatedFact]:
        """Fold events, each customer's in order of time: their transitions and moments."""
        publisher = self._parts.publisher
        stepped = self._parts.steps.step(self._customers, rows, events)
        return publisher.transitions(stepped.transitions, events) + publisher.moments(stepped.moments, rows, events)

    def _refold(self, redo: Rows, position: int) -> list[Fact]:
        """Fold customers from the start, from all their events: every transition and moment up to the last event."""
        parts, customers = self._parts, self._customers
        customers.blank(redo)
        customers.folded_at[redo] = position
        histories, rows = [], []
        for row in redo.tolist():
            history = parts.event_files.gather(parts.identities.graph.members(int(customers.owner[row])))
            if len(history.seq):
                histories.append(history)
                rows.append(np.full(len(history.seq), row, np.int32))
        parts.counts["refolded"] += len(redo)
        if not histories:
            return []
        return [fact for fact, _ in self._fold(np.concatenate(rows), join_events(histories))]

    def _list_touched(self, affected: Affected, empty: Rows) -> Rows:
        """The customers to look at, rising: with new events, folded again, or with other traits."""
        touched = np.union1d(affected.rows, affected.redo).astype(np.int32)
        if len(empty):
            touched = np.setdiff1d(touched, empty)
        if len(affected.profiled):
            touched = np.union1d(touched, affected.profiled).astype(np.int32)
        return touched

    def _hold(self, rows: Rows, but: Rows, now: int) -> Rows:
        """Those customers to publish now. The others are being imported, and are looked at a little later."""
        customers = self._customers
        is_behind = customers.vectors[rows, 0] < now - _BEHIND_US
        if not is_behind.any():
            return rows
        is_behind &= ~np.isin(rows, but)
        held = rows[is_behind]
        customers.is_held[held] = True
        customers.state_due[held] = customers.rule_due[held] = now + _HOLD_US
        at_once: Rows = rows[~is_behind]
        return at_once

    def _list_causes(self, touched: Rows, affected: Affected, fresh: Rows, now: int) -> NDArray[np.uint8]:
        """Per touched customer the reasons to evaluate rules. None of them is held any longer."""
        customers = self._customers
        why = np.full(len(touched), BY_BELIEF | BY_MOVE, np.uint8)
        is_redone = np.isin(touched, affected.redo)
        # Fresh: a rule may hold of a customer who has done nothing that it counts.
        why[is_redone | np.isin(touched, fresh) | customers.is_held[touched]] |= BY_ALL
        customers.is_held[touched] = False
        why[customers.rule_due[touched] <= now] |= BY_TIME  # no later look would find them due
        if len(affected.profiled):
            why[np.isin(touched, affected.profiled)] |= BY_TRAIT
        return why

    def _reconcile(
        self, facts: Sequence[Fact], redo: Rows, freed: Sequence[int], position: int, now: int, outcome: Outcome
    ) -> list[DatedFact]:
        """Compare customers folded from the start with what was published. Freed customers give back their rows."""
        parts = self._parts
        owners = self._customers.owner[redo].tolist()
        nodes = {node for owner in owners for node in parts.identities.graph.members(int(owner))} | set(freed)
        found = parts.publisher.reconcile(facts, nodes, position, outcome)
        for node in freed:
            found += parts.memberships.leave_all(node, parts.rows.row_of_owner(node), now, position)
            parts.rows.release(node)
        return found

    def pass_time(self, position: int, now: int) -> list[DatedFact]:
        """What time alone brings about up to an instant: transitions by silence, rules whose windows have ended.

        A transition has its exact instant. A rule is evaluated as of when it was due, but for one that has been due for
        long, which happens after a stop: that is evaluated as of now.
        """
        parts, customers, n = self._parts, self._customers, len(self._customers)
        facts: list[DatedFact] = []
        while True:
            is_rule = customers.rule_due[:n] <= now
            rows = np.flatnonzero(is_rule | (customers.state_due[:n] <= now)).astype(np.int32)
            if not len(rows):
                return facts
            is_held = customers.is_held[rows]
            due = np.maximum(customers.rule_due[rows], now - _STALE_US)
            instants = np.where(is_rule[rows] & ~is_held, due, now)
            customers.is_held[rows] = False
            states = parts.steps.cross_silence(customers, rows, now)
            facts += parts.publisher.transitions(states.transitions, None)
            why = np.full(len(rows), BY_TIME | BY_BELIEF | BY_MOVE, np.uint8)
            why[is_held] |= BY_ALL
            facts += parts.memberships.evaluate(rows, instants, why, None, states, position)

    def is_due(self, at: int) -> bool:
        """Whether time alone brings about something up to an instant."""
        customers, n = self._customers, len(self._customers)
        return bool(((customers.state_due[:n] <= at) | (customers.rule_due[:n] <= at)).any())
