"""One version of playbook and model: everything that it derives from the log, record by record.

All of it is a function of the log. A record's calls are read, repeated ones dropped, ids joined, events folded, and the
state model brought forward; then rules are evaluated where something that they read has changed. Customers whose
history turns out to be different (a late event, ids that prove to be one person) are folded from the start, and the
changes published of them are reconciled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sojourn.errors import Problem
from sojourn.events.calls import ReadCalls
from sojourn.fold import RecentKeys
from sojourn.frames import I8
from sojourn.live.engine.event_files import Past
from sojourn.live.engine.snapshot import SnapshotError
from sojourn.live.engine.version.feed import DatedFact
from sojourn.live.engine.version.forward import Affected, Forward, Parts
from sojourn.live.engine.version.identities import Identities
from sojourn.live.engine.version.in_use import InUse
from sojourn.live.engine.version.intake import Intake, list_quarantined
from sojourn.live.engine.version.memberships import Memberships
from sojourn.live.engine.version.outcome import Outcome
from sojourn.live.engine.version.profiles import Profiles
from sojourn.live.engine.version.protocols import StoredFacts
from sojourn.live.engine.version.publisher import Publisher
from sojourn.live.engine.version.row_index import RowIndex
from sojourn.live.engine.version.steps import StatesAt, Steps
from sojourn.live.store import CallsColumns
from sojourn.playbook import Playbook
from sojourn.states import StateModel
from sojourn.states.hmm import SEEN_STATE

Rows = NDArray[np.int32]
Arrays = Mapping[str, NDArray[Any]]


class Version:
    """A playbook and model with everything derived so far. One thread changes it, that of the live engine.

    ``models`` predict outcomes on reading; nothing that is published depends on them.
    """

    def __init__(
        self,
        number: int,
        playbook: Playbook,
        state_model: StateModel,
        folder: Path,
        *,
        duplicates_within_us: int,
        stored: StoredFacts,
    ) -> None:
        """No record was taken. ``folder`` is for the files of events; what is in it is overwritten."""
        self.number, self.playbook, self.state_model, self.stored = number, playbook, state_model, stored
        self.position = self.now = 0
        self.counts: Counter[str] = Counter()
        self.models: tuple[InUse, ...] = ()
        self.steps = Steps(playbook, state_model)
        layout = self.steps.layout
        self.event_files = Past(
            folder, layout.hash, n_measures=len(layout.measures), n_properties=len(layout.properties)
        )
        self.intake = Intake(playbook, layout, len(state_model.model.states), duplicates_within_us)
        self.identities = Identities(playbook)
        self.customers = self.steps.new_customers()
        self.rows = RowIndex(self.identities, self.customers)
        self.profiles = Profiles(self.identities, stored)
        self.memberships = Memberships(number, self.steps, self.customers, self.identities, self.profiles)
        self.publisher = Publisher(number, self.steps, self.customers, self.identities, stored, self.counts)
        self._forward = Forward(
            Parts(
                self.steps,
                self.customers,
                self.identities,
                self.event_files,
                self.rows,
                self.memberships,
                self.publisher,
                self.counts,
            )
        )

    # -- records ---------------------------------------------------------------------------------------------

    def take_calls(self, position: int, at: int, calls: CallsColumns, read: ReadCalls | None = None) -> Outcome:
        """The outcome of tracking calls, as of the instant ``at`` at which their record was made.

        ``read``: the events of the calls, where this version's reader has read them already.
        """
        outcome = Outcome()
        self._move_on(position, at)
        if read is None:
            read = self.intake.read(calls)
        outcome.quarantine = list_quarantined(position, calls, read)
        first, pairs = self.identities.take_in(read)
        is_new = self.intake.find_new(read, self.now)
        redo, freed = self._join(self.identities.graph.link(pairs), outcome)
        events = self.intake.make_events(position, read, first, is_new)
        self.event_files.append(events)
        profiles = self.profiles.note(position, read, first)
        outcome.profiles = {self.identities.key(node): profile for node, profile in profiles.items()}
        rows = self.rows.make(events.node)
        late = self._forward.find_late(rows, events)
        redo = np.union1d(redo, late).astype(np.int32)
        self.counts.update(
            received=len(calls),
            quarantined=len(outcome.quarantine),
            duplicate=int((~is_new).sum()),
            accepted=len(events.seq),
            late=len(late),
        )
        found = self.rows.find(np.array(list(profiles), np.int32))
        affected = Affected(rows, events, redo, freed, profiled=np.unique(found[found >= 0]))
        self._forward.take(affected, position, self.now, outcome)
        return outcome

    def pass_time(self, position: int, at: int) -> Outcome:
        """The outcome of time alone up to an instant: silence that changes states, rules whose windows have ended."""
        self._move_on(position, at)
        return Outcome(changes=self.publisher.number(self._forward.pass_time(position, self.now)))

    def is_due(self, at: int) -> bool:
        """Whether time alone brings about something up to an instant."""
        return self._forward.is_due(at)

    def take_command(self, position: int, at: int, name: str, arguments: dict[str, Any]) -> Outcome:
        """The outcome of what people decide about ids: merge, split, undo. Raises SojournError where it is refused."""
        outcome = Outcome()
        self._move_on(position, at)  # a refused command is in the log, too
        graph = self.identities.graph
        a, b = self.identities.find(str(arguments["a"])), self.identities.find(str(arguments["b"]))
        changed = {"merge": graph.merge, "split": graph.split, "undo": graph.undo}[name](a, b)
        redo, freed = self._join(changed, outcome)
        self._forward.take(Affected(redo=redo, freed=freed), position, self.now, outcome)
        return outcome

    def skip(self, position: int, at: int) -> Outcome:
        """The outcome of a record that means nothing to a version: none."""
        self._move_on(position, at)
        return Outcome()

    def _move_on(self, position: int, at: int) -> None:
        self.position, self.now = position, max(self.now, at)

    def _join(self, changed: Rows, outcome: Outcome) -> tuple[Rows, Sequence[int]]:
        """Follow a change of owners: the rows to fold again, and the nodes of customers who are part of others now."""
        joined = self.rows.join(changed)
        self.profiles.make_room(len(self.identities.graph.owner))
        self.publisher.rename(joined.renamed, outcome)
        return joined.redo, joined.freed

    def forget(self, ids: Sequence[str]) -> I8:
        """Erase a customer from memory and files, given by ids with their letters; the seqs of their events."""
        nodes = [node for node in self.identities.ids.lookup(pa.array(ids, pa.string())).tolist() if node >= 0]
        seqs = self.event_files.erase(nodes)
        for node in nodes:
            self.rows.release(node)
        self.profiles.forget(nodes)
        self.identities.forget(nodes)
        return seqs

    # -- put into use ----------------------------------------------------------------------------------------

    @property
    def seq(self) -> int:
        """The seq of the last change that was published."""
        return self.publisher.seq

    def publish(self, facts: Sequence[DatedFact]) -> Outcome:
        """Facts that no record has brought about, as the outcome that publishes them."""
        return Outcome(changes=self.publisher.number(facts))

    def succeed(self, seq: int, now: int) -> None:
        """Take the place of another version now: what was published up to ``seq`` is that one's."""
        self.publisher.seq, self.publisher.since_at, self.now = seq, now, now

    # -- saved and restored ----------------------------------------------------------------------------------

    def save(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Arrays, not copied, and plain JSON from which :meth:`restore` makes the same; the events are on disk then.

        The names are those of snapshots, and stay what they are.
        """
        past, head = self.event_files.to_state()
        parts: dict[str, Any] = {"customers": self.customers, "known": self.identities, "recent": self.intake.recent}
        arrays = {f"{part}.{name}": a for part, one in parts.items() for name, a in one.to_arrays().items()}
        arrays |= {"past.head": head, **self.rows.to_arrays(), **self.profiles.to_arrays()}
        rest = {"number": self.number, "position": self.position, "now": self.now, **self.publisher.to_state()}
        return arrays, rest | {"counts": dict(self.counts), "known": self.identities.to_state(), "past": past}

    def restore(self, arrays: Arrays, rest: Mapping[str, Any]) -> None:
        """Go on from what :meth:`save` gave. Raises SojournError where it does not fit this version or its files."""

        def of(part: str) -> dict[str, NDArray[Any]]:
            return {name.removeprefix(part): a for name, a in arrays.items() if name.startswith(part)}

        if rest["number"] != self.number:
            raise SnapshotError(Problem("snapshot", f"is of version {rest['number']}, not of {self.number}"))
        self.event_files.reopen(rest["past"], arrays["past.head"])
        self.customers.fill(of("customers."))
        self.identities.fill(of("known."), rest["known"])
        self.intake.recent = RecentKeys.from_arrays(self.intake.recent.within_us, of("recent."))
        self.rows.fill(arrays)
        self.profiles.fill(arrays)
        self.publisher.fill(rest)
        self.counts.update(rest["counts"])
        self.position, self.now = rest["position"], rest["now"]

    # -- looked up -------------------------------------------------------------------------------------------

    @property
    def n_bytes(self) -> int:
        """Bytes of memory that all customers take; events are in files."""
        return self.customers.n_bytes + self.identities.n_bytes + self.intake.recent.n_bytes

    def states_at(self, rows: Rows, now: int) -> StatesAt:
        """Customers at an instant; nothing is published and nothing changes."""
        return self.steps.states_at(self.customers, rows, now)

    def consent_of(self, customer_id: str) -> dict[str, bool]:
        """Per purpose whether a customer may be addressed for it."""
        node, graph = self.identities.find(customer_id), self.identities.graph
        return self.identities.consent(graph.members(int(graph.owner[node])) if node >= 0 else [])

    def count_states(self, first: int, end: int) -> I8:
        """Customers per state now, of the rows from the first to the end."""
        rows = first + np.flatnonzero(self.customers.owner[first : min(end, len(self.customers))] >= 0).astype(np.int32)
        state = self.states_at(rows.astype(np.int32), self.now).seen[:, SEEN_STATE]
        return np.bincount(state[state >= 0], minlength=len(self.state_model.model.states))
