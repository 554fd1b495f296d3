"""One version of playbook and model at work: everything that it makes of the log, record by record.

Whatever is here is a function of the log. A record's calls are read, repeated ones dropped, ids joined, events folded,
and the state model brought forward; then rules are looked at where something that they read has changed. Customers
whose past has turned out otherwise (a late event, ids that prove to be one person) are folded again from all their
events, and what was told of them is put right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sojourn.act.audiences import trait_values
from sojourn.act.changes import Change
from sojourn.errors import Problem
from sojourn.events.calls.read import CallReader, ReadCalls
from sojourn.events.identity.arrays import Column
from sojourn.fold.ids import hash_strings
from sojourn.fold.kernels.audiences import BY_ALL, BY_BELIEF, BY_MOVE, BY_TIME, BY_TRAIT
from sojourn.fold.keys import RecentKeys
from sojourn.live.engine.customers import LONG_AGO
from sojourn.live.engine.event_files import Past, PastEvents
from sojourn.live.engine.known import Known
from sojourn.live.engine.snapshot import SnapshotError
from sojourn.live.engine.steps import Ahead, Stepped, Steps, join_events, take_events
from sojourn.live.engine.told import Fact, revoke, square, tell
from sojourn.live.store.calls import CallsColumns
from sojourn.live.store.changes import Derived, Quarantined, StoredChange
from sojourn.playbook.objects import Playbook
from sojourn.states.channels import label_symbols
from sojourn.states.hmm.follow import NEVER, SEEN_STATE, TOLD_AT
from sojourn.states.hmm.publish import MOVE_CUSTOMER
from sojourn.states.model import StateModel

if TYPE_CHECKING:
    from sojourn.live.engine.predictions import InUse

Rows = NDArray[np.int32]
I8 = NDArray[np.int64]
ReadTold = Callable[[Sequence[str]], Sequence[StoredChange]]

DEPLOY = "deploy"
"""The cause of a transition that only another version's view of a customer brought about."""
PLACE_BITS = 20
"""``seq`` of an event is its record's position above this many bits, and its place in the record below."""
_SAVED = ("number", "seq", "position", "now", "since_at")
_MEMORY = 50_000  # ids whose traits are kept at hand
_STALE_US = 60_000_000
_BEHIND_US = 60_000_000
_HOLD_US = 2_000_000
"""A customer whose last event lies further back than the first, when it comes in, is being imported: what silence has
made of them since is told once nothing more has come in for the second."""


@dataclass
class Outcome:
    """What came of a record: the changes to tell, and what the store keeps."""

    changes: list[Change] = field(default_factory=list)
    revoked: list[tuple[int, int]] = field(default_factory=list)
    moved: list[tuple[str, str, Sequence[int]]] = field(default_factory=list)
    profiles: dict[int, tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=dict)
    quarantine: list[Quarantined] = field(default_factory=list)

    @property
    def is_nothing(self) -> bool:
        """Whether nothing came of it."""
        return not (self.changes or self.revoked or self.moved or self.profiles or self.quarantine)

    def derived(self, position: int) -> Derived:
        """The same as the store takes it."""
        return Derived(
            self.changes, self.revoked, self.moved, self.profiles, self.quarantine, position=position,
        )  # fmt: skip


@dataclass(frozen=True)
class Whose:
    """A customer by all that they are known by: ids with the letter of their level, keys of profiles, names."""

    ids: list[str]
    keys: list[int]
    names: list[str]


class Version:
    """A playbook and model with everything derived so far. One thread changes it, that of the live engine.

    ``read_told`` gives all changes ever told of some customers, by the names that they have or had.
    """

    def __init__(
        self, number: int, playbook: Playbook, state_model: StateModel, folder: Path, *, duplicates_within_us: int,
        read_told: ReadTold, read_profiles: Callable[[Sequence[int]], Any],
    ) -> None:  # fmt: skip
        """Nothing has happened yet. ``folder`` is for the past; what is in it is overwritten."""
        self.number, self.playbook, self.state_model = number, playbook, state_model
        self.steps = Steps(playbook, state_model)
        layout = self.steps.layout
        self.reader = CallReader(playbook, layout)
        self.known = Known(playbook)
        self.customers = self.steps.new_customers()
        self.past = Past(folder, layout.hash, n_measures=len(layout.measures), n_properties=len(layout.properties))
        self.recent = RecentKeys(duplicates_within_us)
        self.read_told, self.read_profiles = read_told, read_profiles
        self.seq = self.position = self.now = 0
        self.since_at = LONG_AGO  # what is told of before was told by another version
        self.counts: Counter[str] = Counter()
        self.models: tuple[InUse, ...] = ()  # asked when somebody reads; nothing that is told depends on them
        self._of_ids = {
            "owner_of": Column(np.int32),  # of each id, as the rows have it
            "row_of": Column(np.int32),  # of each id that stands for a customer with events, else -1
            "has_traits": Column(np.bool_),  # of each id: whether the store has any
        }
        self._traits: dict[int, dict[str, Any]] = {}
        self._labels = len(state_model.model.states)

    # -- records ---------------------------------------------------------------------------------------------

    def take_calls(self, position: int, at: int, calls: CallsColumns, read: ReadCalls | None = None) -> Outcome:
        """What tracking calls do, as of the instant ``at`` at which their record was made.

        ``read``: what this version's reader makes of the calls, where that is known already.
        """
        outcome = Outcome()
        self.position, self.now = position, max(self.now, at)
        if read is None:
            raw = [call if call is not None else b"" for call in calls.raw]
            read = self.reader.read(raw, calls.kind, calls.received_at, calls.sent_at)
        self._quarantine(position, calls, read, outcome)
        first, pairs = self.known.take_in(read)
        is_new = self._find_new(read)
        redo, freed = self._join(self.known.graph.link(pairs), outcome)
        events = self._make_events(position, read, first, is_new)
        self.counts["accepted"] += len(events.seq)
        self.past.append(events)
        about = self._note_profiles(position, read, first, is_new, outcome)
        rows = self._find_rows(events.node)
        late = self._find_late(rows, events)
        self.counts["late"] += len(late)
        redo = np.union1d(redo, late).astype(np.int32)
        self._carry_on(rows, events, redo, freed, about, outcome)
        return outcome

    def pass_time(self, position: int, at: int) -> Outcome:
        """What time alone does up to an instant: silence that moves customers, rules whose windows have ended.

        Silence moves at its exact instants. A rule is looked at when it is due, but for one that has been due for more
        than a minute, which happens after a stop: that is looked at as of now.
        """
        outcome = Outcome()
        self.position, self.now = position, max(self.now, at)
        customers, n = self.customers, len(self.customers)
        facts: list[tuple[Fact, int]] = []
        while True:
            is_rule = customers.rule_due[:n] <= self.now
            rows = np.flatnonzero(is_rule | (customers.state_due[:n] <= self.now)).astype(np.int32)
            if not len(rows):
                break
            is_held = customers.is_held[rows]
            due = np.maximum(customers.rule_due[rows], self.now - _STALE_US)
            instants = np.where(is_rule[rows] & ~is_held, due, self.now)
            customers.is_held[rows] = False
            ahead = self.steps.look_ahead(customers, rows, self.now)
            facts += self._tell_moves(ahead.moves, None)
            why = np.full(len(rows), BY_TIME | BY_BELIEF | BY_MOVE, np.uint8)
            why[is_held] |= BY_ALL
            facts += self._evaluate(rows, instants, why, None, ahead)
        outcome.changes = self.number_facts(facts)
        return outcome

    def is_due(self, at: int) -> bool:
        """Whether time alone has something to do up to an instant."""
        n = len(self.customers)
        return bool(((self.customers.state_due[:n] <= at) | (self.customers.rule_due[:n] <= at)).any())

    def take_command(self, position: int, at: int, name: str, arguments: dict[str, Any]) -> Outcome:
        """What people decide about ids: merge, split, undo. Raises SojournError where it cannot be done."""
        outcome = Outcome()
        self.position, self.now = position, max(self.now, at)  # of what is refused too: it is in the log
        a, b = self.known.find(str(arguments["a"])), self.known.find(str(arguments["b"]))
        changed = {"merge": self.known.graph.merge, "split": self.known.graph.split, "undo": self.known.graph.undo}[
            name
        ](a, b)
        redo, freed = self._join(changed, outcome)
        self._carry_on(np.empty(0, np.int32), None, redo, freed, np.empty(0, np.int32), outcome)
        return outcome

    def describe(self, id: str) -> Whose | None:
        """All that the customer who has this id is known by; None where nobody has it."""
        node = self.known.find(id)
        if node < 0:
            return None
        nodes = self.known.graph.members(int(self.known.graph.owner[node]))
        ids = [self.known.ids.name(node) for node in nodes]
        return Whose(ids, [self.known.key(node) for node in nodes], self.names(nodes))

    def forget(self, ids: Sequence[str]) -> I8:
        """Erase a customer here, given by ids with their letters; the seqs of their events."""
        nodes = [node for node in self.known.ids.lookup(pa.array(ids, pa.string())).tolist() if node >= 0]
        seqs = self.past.erase(nodes)
        for node in nodes:
            row = self._row_of[node]
            if row >= 0:
                self._row_of[node] = -1
                self.customers.free(np.array([row], np.int32))
            self._traits.pop(node, None)
        self._has_traits[nodes] = False
        self.known.forget(nodes)
        return seqs

    # -- saved and restored ----------------------------------------------------------------------------------

    def save(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Arrays, not copied, and plain JSON of which :meth:`restore` makes the same; the past is on disk then."""
        past, head = self.past.to_state()
        parts: dict[str, Any] = {"customers": self.customers, "known": self.known, "recent": self.recent}
        arrays = {f"{part}.{name}": a for part, one in parts.items() for name, a in one.to_arrays().items()}
        arrays |= {"past.head": head, **{name: column.array() for name, column in self._of_ids.items()}}
        rest = {name: getattr(self, name) for name in _SAVED}
        return arrays, rest | {"counts": dict(self.counts), "known": self.known.to_state(), "past": past}

    def restore(self, arrays: Mapping[str, NDArray[Any]], rest: Mapping[str, Any]) -> None:
        """Go on from what :meth:`save` gave. Raises SojournError where it does not fit what is here."""

        def of(part: str) -> dict[str, NDArray[Any]]:
            return {name.removeprefix(part): a for name, a in arrays.items() if name.startswith(part)}

        if rest["number"] != self.number:
            raise SnapshotError(Problem("snapshot", f"is of version {rest['number']}, not of {self.number}"))
        self.past.reopen(rest["past"], arrays["past.head"])
        self.customers.fill(of("customers."))
        self.known.fill(of("known."), rest["known"])
        self.recent = RecentKeys.from_arrays(self.recent.within_us, of("recent."))
        for name, column in self._of_ids.items():
            column.extend(arrays[name])
        self.counts = Counter(rest["counts"])
        for name in _SAVED:
            setattr(self, name, rest[name])

    # -- calls to events -------------------------------------------------------------------------------------

    def _quarantine(self, position: int, calls: CallsColumns, read: ReadCalls, outcome: Outcome) -> None:
        for place, rule, found in read.rejected:
            raw = calls.raw[place]
            if raw is not None:  # an erased call is none
                at = int(calls.received_at[place])
                outcome.quarantine.append(
                    Quarantined(position, place, at, rule, found, raw.decode("utf-8", errors="replace"))
                )
        self.counts["received"] += len(calls)
        self.counts["quarantined"] += len(outcome.quarantine)

    def _find_new(self, read: ReadCalls) -> NDArray[np.bool_]:
        """Which events were not taken before. One without an id is always new."""
        has_id = np.fromiter((id is not None for id in read.event_id), np.bool_, len(read))
        is_new = np.ones(len(read), np.bool_)
        if has_id.any():
            texts = pa.array([id for id in read.event_id if id is not None], pa.string())
            keys = np.stack([hash_strings(texts), hash_strings(texts, seed=1)], axis=1)
            is_new[has_id] = self.recent.add(keys, self.now)
        self.counts["duplicate"] += int((~is_new).sum())
        return is_new

    def _make_events(self, position: int, read: ReadCalls, first: Rows, is_new: NDArray[np.bool_]) -> PastEvents:
        """The new events in order of ``(event_at, seq)``."""
        n = len(read)
        labels = label_symbols(read.label, read.label_p, self._labels)
        events = PastEvents(
            node=first,
            event_at=read.event_at,
            seq=np.int64(position) << PLACE_BITS | read.place,
            event_class=read.event_class,
            label=labels,
            measures=read.measures,
            channel=read.channel if len(read.channel) else np.full(n, -1, np.int32),
            properties=read.properties,
            session=read.session if len(read.session) else np.zeros(n, np.uint64),
            event_id=[(id or "").encode() for id in read.event_id],
        )
        rows = np.flatnonzero(is_new)
        return take_events(events, rows[np.lexsort((events.seq[rows], events.event_at[rows]))])

    def _note_profiles(
        self, position: int, read: ReadCalls, first: Rows, is_new: NDArray[np.bool_], outcome: Outcome
    ) -> Rows:
        """Keep traits and consent; the ids of which a rule may read something new."""
        if read.purposes:
            nodes_of, at_of, place_of = first.tolist(), read.event_at.tolist(), read.place.tolist()
            for i, purposes in read.purposes:
                self.known.note_consent(nodes_of[i], at_of[i], position << PLACE_BITS | place_of[i], purposes)
        if not read.traits:
            return np.empty(0, np.int32)
        nodes = sorted({int(first[i]) for i, _ in read.traits})
        missing = [node for node in nodes if node not in self._traits]
        if len(self._traits) > _MEMORY:
            self._traits = {}
            missing = nodes
        self._traits |= self._read_traits(missing)
        for i, traits in read.traits:
            word = [int(read.event_at[i]), position << PLACE_BITS | int(read.place[i])]
            known = self._traits[int(first[i])]
            for name, value in traits.items():
                if name not in known or known[name][1:] <= word:
                    known[name] = [value, *word]
        self._has_traits[nodes] = True
        for node in nodes:
            outcome.profiles[self.known.key(node)] = (dict(self._traits[node]), {})
        return np.array(nodes, np.int32)

    # -- whose rows ------------------------------------------------------------------------------------------

    def _join(self, changed: NDArray[np.int32], outcome: Outcome) -> tuple[Rows, list[int]]:
        """Follow a change of owners: the rows to fold again, and the nodes of customers that are no more.

        A customer who only gets another name keeps their row.
        """
        owner = self.known.graph.owner
        n_before = len(self._owner_of)
        n_fresh = len(owner) - n_before
        for name, values in (("owner_of", owner[n_before:]), ("row_of", np.full(n_fresh, -1, np.int32)),
                             ("has_traits", np.zeros(n_fresh, np.bool_))):  # fmt: skip
            self._of_ids[name].extend(values)
        changed = changed[changed < n_before]  # ids that are new have no events yet
        if not len(changed):
            return np.empty(0, np.int32), []
        heirs: dict[int, set[int]] = {}
        for was, heir in zip(self._owner_of[changed].tolist(), owner[changed].tolist(), strict=True):
            heirs.setdefault(was, set()).add(heir)
        self._owner_of[changed] = owner[changed]
        redo, gains, freed = set[int](), set[int](), list[int]()
        for was, to in heirs.items():
            row = int(self._row_of[was])
            if row < 0:
                continue
            if owner[was] == was:  # some of the ids have left
                redo.add(row)
                gains |= to
            elif len(to) == 1 and self._row_of[(heir := next(iter(to)))] < 0:
                self._row_of[was], self._row_of[heir] = -1, row
                self.customers.owner[row] = heir
                if self.customers.n_told[row]:
                    self._rename(was, heir, outcome)
            else:
                freed.append(was)
                gains |= to
        for heir in sorted(gains):
            if self._row_of[heir] < 0:
                self._row_of[heir] = self.customers.add(np.array([heir], np.int32))[0]
            redo.add(int(self._row_of[heir]))
        return np.array(sorted(redo), np.int32), freed

    @property
    def _owner_of(self) -> Rows:
        return self._of_ids["owner_of"].array()

    @property
    def _row_of(self) -> Rows:
        return self._of_ids["row_of"].array()

    @property
    def _has_traits(self) -> NDArray[np.bool_]:
        return self._of_ids["has_traits"].array()

    def _rename(self, was: int, heir: int, outcome: Outcome) -> None:
        names = self.names([was])
        new = self.known.customer_id(heir)
        seqs_by_name: dict[str, list[int]] = {}
        for change in self.read_told(names):
            if change.seq <= self.seq:
                seqs_by_name.setdefault(change.customer_id, []).append(change.seq)
        outcome.moved += [(name, new, seqs) for name, seqs in seqs_by_name.items() if name != new]

    def _find_rows(self, nodes: NDArray[np.int32]) -> Rows:
        """The row of each event's customer; new customers get one."""
        owners = self._owner_of[nodes]
        rows = self._row_of[owners]
        missing = np.unique(owners[rows < 0])
        if len(missing):
            self._row_of[missing] = self.customers.add(missing)
            rows = self._row_of[owners]
        return rows

    def _find_late(self, rows: Rows, events: PastEvents) -> Rows:
        """Customers with an event before their last one, or before a silent move that was told already."""
        customers = self.customers
        is_late = events.event_at < customers.vectors[rows, 0]
        is_late |= events.event_at < customers.kept[rows, TOLD_AT]
        found: Rows = np.unique(rows[is_late])
        return found

    # -- from events to changes ------------------------------------------------------------------------------

    def _carry_on(
        self, rows: Rows, events: PastEvents | None, redo: Rows, freed: Sequence[int], about: NDArray[np.int32],
        outcome: Outcome,
    ) -> None:  # fmt: skip
        """Bring customers forward, fold those again whose past has changed, and tell what has become so."""
        facts: list[tuple[Fact, int]] = []
        touched, fresh = redo, rows[self.customers.n_events[rows] == 0]
        classes: tuple[Rows, NDArray[np.int16]] | None = None
        if events is not None and len(rows):
            stepped_rows, mine = rows, events
            if len(redo):
                on = np.flatnonzero(~np.isin(rows, redo))
                stepped_rows, mine = rows[on], take_events(events, on)
            stepped = self.steps.step(self.customers, stepped_rows, mine)
            facts += self._tell_moves(stepped.moves, mine) + self._tell_moments(stepped, stepped_rows, mine)
            touched = np.union1d(rows, redo).astype(np.int32) if len(redo) else np.unique(rows)
            classes = (rows, events.event_class)
        was_told = self.customers.kept[redo, TOLD_AT] > LONG_AGO
        redone = self._refold(redo) if len(redo) or freed else None
        empty = redo[self.customers.n_events[redo] == 0]  # with an id all their events have left, or only it has come
        if len(empty):
            touched = np.setdiff1d(touched, empty)
            freed = [*freed, *self.customers.owner[empty].tolist()]
        people = self._rows_of_people(about)
        if len(people):
            touched = np.union1d(touched, people).astype(np.int32)
        touched = self._hold(touched, redo[was_told])
        ahead = self.steps.look_ahead(self.customers, touched, self.now)
        is_redone = np.isin(touched, redo) if len(redo) else np.zeros(len(touched), np.bool_)
        of_redone = np.isin(ahead.moves[:, MOVE_CUSTOMER], redo) if len(redo) else np.zeros(len(ahead.moves), np.bool_)
        facts += self._tell_moves(ahead.moves[~of_redone], None)
        if redone is not None:
            redone += [fact for fact, _ in self._tell_moves(ahead.moves[of_redone], None)]
            facts += self._square(redone, redo, freed, outcome)
        why = np.full(len(touched), BY_BELIEF | BY_MOVE, np.uint8)
        # Of whom no rule was looked at yet: one may hold of whoever has done nothing else.
        why[is_redone | np.isin(touched, fresh) | self.customers.is_held[touched]] |= BY_ALL
        self.customers.is_held[touched] = False
        why[self.customers.rule_due[touched] <= self.now] |= BY_TIME  # no later look would find them due
        if len(people):
            why[np.isin(touched, people)] |= BY_TRAIT
        facts += self._evaluate(touched, np.full(len(touched), self.now), why, classes, ahead)
        changes = self.number_facts(facts)
        outcome.changes += changes
        by_id = {change.data["revokes_seq"]: change.seq for change in changes if "revokes_seq" in change.data}
        outcome.revoked += list(by_id.items())

    def _hold(self, rows: Rows, but: Rows) -> Rows:
        """Those of the customers of whom can be told now where they are; the others are looked at a little later."""
        customers = self.customers
        is_behind = customers.vectors[rows, 0] < self.now - _BEHIND_US
        if not is_behind.any():
            return rows
        is_behind &= ~np.isin(rows, but)
        held, on = rows[is_behind], rows[~is_behind]
        customers.is_held[held] = True
        customers.state_due[held] = customers.rule_due[held] = self.now + _HOLD_US
        on_held: Rows = on
        return on_held

    def _refold(self, redo: Rows) -> list[Fact]:
        """Fold these customers again from all their events: all that is to be told of them up to the last one."""
        customers = self.customers
        customers.blank(redo)
        customers.folded_at[redo] = self.position
        parts, rows = [], []
        for row in redo.tolist():
            found = self.past.gather(self.known.graph.members(int(customers.owner[row])))
            if len(found.seq):
                parts.append(found)
                rows.append(np.full(len(found.seq), row, np.int32))
        self.counts["refolded"] += len(redo)
        if not parts:
            return []
        events, whose = join_events(parts), np.concatenate(rows)
        stepped = self.steps.step(customers, whose, events)
        told = self._tell_moves(stepped.moves, events) + self._tell_moments(stepped, whose, events)
        return [fact for fact, _ in told]

    def _square(
        self, facts: Sequence[Fact], redo: Rows, freed: Sequence[int], outcome: Outcome
    ) -> list[tuple[Fact, int]]:
        """Compare the new account with what was told; what is new, and what is taken back."""
        owners = self.customers.owner[redo].tolist()
        nodes = {node for owner in owners for node in self.known.graph.members(int(owner))} | set(freed)
        told = [change for change in self.read_told(self.names(nodes)) if self._has_told(change)]
        squared = square([fact for fact in facts if fact.at > self.since_at], told, self.seq)
        moved: dict[tuple[str, str], list[int]] = {}
        for seq, old, new in squared.moved:
            moved.setdefault((old, new), []).append(seq)
        outcome.moved += [(old, new, seqs) for (old, new), seqs in moved.items()]
        facts_left = [one for was in freed for one in self._leave(was)]
        revoked = [(revoke(change, change.customer_id), self.position) for change in squared.revoked]
        return [(fact, self.position) for fact in squared.new] + revoked + facts_left

    def _has_told(self, change: StoredChange) -> bool:
        """Whether this version found a change in what customers did, since it was put into use."""
        is_found = change.kind in ("transition", "moment") and change.data.get("cause") != DEPLOY
        return is_found and change.data.get("version") == self.number and change.at > self.since_at

    def _leave(self, was: int) -> list[tuple[Fact, int]]:
        """Give up the row of a customer who is another's now; they leave their audiences."""
        row = int(self._row_of[was])
        rules, who = self.steps.rules, self.known.customer_id(was)
        bits = np.unpackbits(self.customers.members[row], bitorder="little")[: len(rules.names)]
        names = [rules.names[k] for k in np.flatnonzero(bits).tolist() if k >= rules.n_segments]
        self._row_of[was] = -1
        self.customers.free(np.array([row], np.int32))
        data = {"version": self.number}
        return [(Fact(who, "audience_left", self.now, name, None, data), self.position) for name in names]

    def _evaluate(
        self, rows: Rows, now: I8, why: NDArray[np.uint8], happened: tuple[Rows, NDArray[np.int16]] | None,
        ahead: Ahead,
    ) -> list[tuple[Fact, int]]:  # fmt: skip
        """Segments and audiences of these customers, where something that they read has changed."""
        rules = self.steps.rules
        if not rules.names or not len(rows):
            self.customers.rule_due[rows] = NEVER
            return []
        if happened is None:
            classes = np.zeros(len(rows) + 1, np.int64), np.empty(0, np.int64)
        else:
            is_mine = np.zeros(len(self.customers), np.bool_)
            is_mine[rows] = True
            mine = np.flatnonzero(is_mine[happened[0]])
            order = mine[np.argsort(happened[0][mine], kind="stable")]
            starts = np.searchsorted(happened[0][order], rows)
            classes = np.append(starts, len(order)).astype(np.int64), happened[1][order].astype(np.int64)
        traits = np.full((len(rows), max(len(rules.traits), 1)), np.nan)
        if rules.traits:
            for j, owner in enumerate(self.customers.owner[rows].tolist()):
                traits[j] = trait_values(rules, self.traits(self.known.graph.members(int(owner))))
        found = self.steps.evaluate(self.customers, rows, now, why, classes, ahead, traits)
        facts = []
        for j, rule, is_in in found.tolist():
            if rule >= rules.n_segments:
                self.customers.n_told[rows[j]] += 1
                kind = "audience_entered" if is_in else "audience_left"
                who = self.known.customer_id(int(self.customers.owner[rows[j]]))
                fact = Fact(who, kind, int(now[j]), rules.names[rule], None, {"version": self.number})
                facts.append((fact, self.position))
        return facts

    def _tell_moves(self, moves: I8, events: PastEvents | None) -> list[tuple[Fact, int]]:
        states, names = self.state_model.model.states, self.playbook.class_names
        folded_at = self.customers.folded_at
        facts: list[tuple[Fact, int]] = []
        for at, i, row, before, to, since in moves.tolist():
            data: dict[str, Any] = {"cause": "silence" if i < 0 else "event", "dwell_s": (at - since) / 1e6}
            if i >= 0 and events is not None:
                data["event_id"] = events.event_id[i].decode() or None
                data["event_class"] = names[events.event_class[i]]
            data["version"] = self.number
            self.customers.n_told[row] += 1
            who = self.known.customer_id(int(self.customers.owner[row]))
            facts.append((Fact(who, "transition", at, states[to], states[before], data), folded_at[row]))
        return facts

    def _tell_moments(self, stepped: Stepped, rows: Rows, events: PastEvents) -> list[tuple[Fact, int]]:
        if not len(stepped.moments):
            return []
        names = self.steps.layout.moments
        place, moment = stepped.moments.T
        whose = rows[place]
        np.add.at(self.customers.n_told, whose, 1)
        owners = self.customers.owner[whose].tolist()
        called = {owner: self.known.customer_id(owner) for owner in set(owners)}
        facts: dict[tuple[str, int, str], tuple[Fact, int]] = {}
        for owner, i, k, at, account in zip(
            owners, place.tolist(), moment.tolist(), events.event_at[place].tolist(),
            self.customers.folded_at[whose].tolist(), strict=True,
        ):  # fmt: skip
            data = {"event_id": events.event_id[i].decode() or None, "version": self.number}
            fact = Fact(called[owner], "moment", at, names[k], None, data)
            facts.setdefault((called[owner], at, names[k]), (fact, account))
        return list(facts.values())

    def number_facts(self, facts: Iterable[tuple[Fact, int]]) -> list[Change]:
        """Facts as changes, numbered on from the last one, and counted."""
        changes = tell(facts, self.seq, self.number)
        self.seq += len(changes)
        self.counts.update(change.kind for change in changes)
        return changes

    # -- looking up ------------------------------------------------------------------------------------------

    def row(self, node: int) -> int:
        """The row of the customer who has this id; -1 where they have no events."""
        owner = int(self.known.graph.owner[node])
        row = int(self._row_of[owner]) if owner < len(self._row_of) else -1
        return row if row >= 0 and self.customers.n_events[row] else -1

    def find_rows(self, nodes: NDArray[np.int32]) -> Rows:
        """The row of the customer of each id; -1 for unknown ids (-1), and where they have no events."""
        found = np.full(len(nodes), -1, np.int32)
        known = np.flatnonzero((nodes >= 0) & (nodes < len(self._row_of)))
        found[known] = self._row_of[self.known.graph.owner[nodes[known]]]
        return found

    @property
    def n_bytes(self) -> int:
        """Bytes of memory that all customers take; the past is in files."""
        return self.customers.n_bytes + self.known.n_bytes + self.recent.n_bytes

    def consent_of(self, customer_id: str) -> dict[str, bool]:
        """Per purpose whether a customer may be addressed for it."""
        node = self.known.find(customer_id)
        owner = int(self.known.graph.owner[node])
        return self.known.consent(self.known.graph.members(owner) if node >= 0 else [])

    def traits(self, nodes: Iterable[int]) -> dict[str, Any]:
        """The latest word on each trait, of all that was said under these ids."""
        words: dict[str, list[Any]] = {}
        nodes = list(nodes)
        missing = [node for node in nodes if node not in self._traits]
        if missing and len(self._traits) > _MEMORY:
            self._traits, missing = {}, nodes
        self._traits |= self._read_traits(missing)
        for node in nodes:
            for name, word in self._traits[node].items():
                if name not in words or words[name][1:] <= list(word[1:]):
                    words[name] = list(word)
        return {name: word[0] for name, word in sorted(words.items())}

    def _read_traits(self, nodes: Sequence[int]) -> dict[int, dict[str, Any]]:
        """What the store has of these ids; of each something, if only nothing."""
        keys = {node: self.known.key(node) for node in nodes if self._has_traits[node]}
        stored = self.read_profiles(list(keys.values())) if keys else {}
        return {node: dict(stored[keys[node]].traits) if keys.get(node) in stored else {} for node in nodes}

    def _rows_of_people(self, nodes: NDArray[np.int32]) -> Rows:
        rows = self.find_rows(nodes)
        found: Rows = np.unique(rows[rows >= 0])
        return found

    def names(self, nodes: Iterable[int]) -> list[str]:
        """Every name that a customer with these ids has or had."""
        found: dict[str, None] = {}
        for node in nodes:
            text, level = self.known.text(node), self.known.level(node)
            found[text] = None
            if 0 < level < len(self.known.columns):
                found[f"{self.known.columns[level]}:{text}"] = None
        return list(found)

    def see(self, rows: Rows, now: int) -> Ahead:
        """Where customers are at an instant; nothing is told and nothing changes."""
        return self.steps.see(self.customers, rows, now)

    def count_states(self, first: int, end: int) -> I8:
        """How many customers are in each state now, of the rows from the first to the end."""
        rows = first + np.flatnonzero(self.customers.owner[first : min(end, len(self.customers))] >= 0).astype(np.int32)
        state = self.see(rows.astype(np.int32), self.now).seen[:, SEEN_STATE]
        return np.bincount(state[state >= 0], minlength=len(self.state_model.model.states))
