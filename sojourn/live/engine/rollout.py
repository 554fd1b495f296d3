"""Another version of playbook and model: brought up beside the one in use, compared with it, put in its place.

What is wished (:mod:`sojourn.live.deploy`) is looked for every second. The new version reads the whole log in a
thread of
its own; the last few records, and every one from then on, it gets from the engine's thread like the one in use.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sojourn.errors import Problem, SojournError
from sojourn.live.deploy import WISH
from sojourn.live.engine.recovery import apply_record, note_active
from sojourn.live.engine.told import Fact
from sojourn.live.engine.version import DEPLOY, Outcome, Version
from sojourn.live.store.calls import CallsColumns
from sojourn.live.store.changes import StoredChange
from sojourn.playbook.load import parse_playbook
from sojourn.states.hmm.follow import SEEN_SINCE, SEEN_STATE
from sojourn.states.model import draft_state_model, read_state_model

if TYPE_CHECKING:
    from sojourn.live.engine.live import Live

LOG = logging.getLogger("sojourn.live")
CARRIED_OUT = "deploy_done"
"""The name under which the store keeps the number of the last wish that was carried out."""
_POLL_S = 1.0
_NEAR = 20  # records that the engine's thread may catch up by itself
_COMPARED = 2_000
Rows = NDArray[np.int32]


def make_version(live: Live, number: int) -> Version:
    """A version of the store with nothing in it yet. Raises SojournError where it cannot be used."""
    stored = live.store.read_version(number)
    if stored is None:
        raise SojournError(Problem("store", f"there is no version {number}", command="sojourn deploy --list"))
    where = f"playbook of version {number}"
    playbook = parse_playbook(stored.playbook, where)
    model = (
        read_state_model(stored.model, playbook, f"model of version {number}")
        if stored.model
        else draft_state_model(playbook)
    )

    def read_told(names: Any) -> list[StoredChange]:
        return live.store.customer_changes(names, include_revoked=True)

    return Version(
        number, playbook, model, live.folder / "past" / f"v{number}",
        duplicates_within_us=round(live.limits.duplicates_within_s * 1e6), read_told=read_told,
        read_profiles=live.store.read_profiles,
    )  # fmt: skip


class Rollout:
    """The version that is coming up or runs beside, if there is one. For the engine's thread."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._look_at = 0.0
        self._done: int | None = None
        self._coming: _Coming | None = None
        self._beside: Version | None = None
        self._moved: Counter[str] = Counter()
        self.problem: str | None = None

    # -- what is wished --------------------------------------------------------------------------------------

    def go_on(self) -> None:
        """Look for a new wish, and go on with the one that is being carried out."""
        if self._coming is not None:
            if self._coming.is_near:
                self._arrive(self._coming)
            return
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + _POLL_S
        wish = self._live.store.get_meta(WISH)
        if wish is None:
            return
        if self._done is None:
            self._done = int(self._live.store.get_meta(CARRIED_OUT, 0))
            if wish["action"] == "shadow" and wish["number"] == self._done:
                self._done -= 1  # a shadow lives in memory only: it is brought up again
        if wish["number"] > self._done:
            self._begin(wish)

    def _begin(self, wish: dict[str, Any]) -> None:
        active = self._live.store.get_meta("active_version")
        number = wish["version"]
        if wish["action"] == "rollback":
            before = active["before"]
            number = before["version"] if before else None
        self.problem = None
        if number is None:
            self._end(wish["number"], "there is no version before to go back to")
        elif number == self._live.version.number:
            self._drop_beside()
            self._end(wish["number"], None)
        elif self._beside is not None and self._beside.number == number:
            self._coming = _Coming(number, wish, self._beside)
        else:
            self._drop_beside()
            try:
                self._coming = _Coming(number, wish, make_version(self._live, number))
            except SojournError as error:
                self._end(wish["number"], str(error))
                return
            self._coming.start(self._live)

    def _end(self, number: int, problem: str | None) -> None:
        self._done = number
        self.problem = problem
        if problem:
            LOG.error("deploy: %s", problem)
        self._live.store.set_meta(CARRIED_OUT, number)

    def _arrive(self, coming: _Coming) -> None:
        self._coming = None
        if coming.problem:
            self._end(coming.wish["number"], coming.problem)
            return
        self._live.apply_unread()  # then both have seen what is in the log
        coming.catch_up(self._live, self._live.version.position)
        if coming.wish["action"] == "shadow":
            self._beside, self._moved = coming.version, Counter()
        else:
            self._switch(coming.version)
        self._end(coming.wish["number"], None)

    def stop(self) -> None:
        """Give up what is coming up."""
        if self._coming is not None:
            self._coming.is_stopped = True

    def _drop_beside(self) -> None:
        if self._beside is not None:
            _close(self._beside)
        self._beside = None

    # -- running beside --------------------------------------------------------------------------------------

    def follow_calls(self, position: int, now: int, columns: CallsColumns) -> None:
        """Let the version beside see what the one in use sees."""
        if self._beside is not None:
            self._count(self._beside.take_calls(position, now, columns))

    def follow_time(self, position: int, now: int) -> None:
        """The same for time that passes."""
        if self._beside is not None:
            self._count(self._beside.pass_time(position, now))

    def follow_command(self, position: int, now: int, name: str, arguments: dict[str, Any]) -> None:
        """The same for what people decide."""
        if self._beside is not None:
            self._count(self._beside.take_command(position, now, name, arguments))

    def forget(self, ids: Sequence[str]) -> None:
        """Erase a customer there, too."""
        if self._coming is not None:  # it reads what is being erased: begin again
            self._coming.is_stopped = True
            _close(self._coming.version)
            self._coming = None
        if self._beside is not None:
            self._beside.forget(ids)

    def _count(self, outcome: Outcome) -> None:
        self._moved.update(change.kind for change in outcome.changes)

    def describe(self) -> dict[str, Any] | None:
        """How far the new version is, and where it differs from the one in use. Call with the lock held."""
        if self._coming is not None:
            return {"version": self._coming.number, "status": "coming up", "progress": round(self._coming.progress, 3)}
        if self._beside is None:
            return {"status": "failed", "problem": self.problem} if self.problem else None
        found = compare(self._live.version, self._beside)
        return {"version": self._beside.number, "status": "beside", "changes": dict(self._moved), **found}

    # -- in its place ----------------------------------------------------------------------------------------

    def _switch(self, new: Version) -> None:
        live, old = self._live, self._live.version
        live.flush()
        now = max(live.now(), new.now)
        with live.lock:
            facts = list_differences(old, new, now)
            position = live.store.last_position() + 1
            new.seq, new.since_at, new.now = old.seq, now, now
            outcome = Outcome(changes=new.number_facts(facts))
            new.position = position
        note_active(live.store, new.number, since_at=now, position=position)
        live.saver.stop()
        with live.lock:
            live.replace_version(new, outcome, now)
            live.saver.begin(new)
        if self._beside is new:
            self._beside = None
        self._drop_beside()
        _close(old)
        LOG.info("version %d is in use", new.number)


class _Coming:
    """A version that reads the log in a thread of its own."""

    def __init__(self, number: int, wish: dict[str, Any], version: Version) -> None:
        self.number, self.wish, self.version = number, wish, version
        self.progress, self.problem = 0.0, ""
        self.is_near, self.is_stopped = version.position > 0, False

    def start(self, live: Live) -> None:
        """Read the log, until what is left is little."""
        threading.Thread(target=self._read, args=(live,), name="sojourn-deploy", daemon=True).start()

    def _read(self, live: Live) -> None:
        try:
            while (last := live.store.last_position()) - self.version.position > _NEAR:
                self.catch_up(live, last)
                if self.is_stopped:
                    return
        except Exception as error:  # the version in use must not suffer from one that cannot be
            self.problem = str(error) if isinstance(error, SojournError) else type(error).__name__
        self.is_near = True

    def catch_up(self, live: Live, last: int) -> None:
        """Apply the records up to a position."""
        for record in live.read_all(self.version.position):
            if self.is_stopped or record.position > last:
                return
            apply_record(self.version, record)
            self.version.position = record.position
            self.progress = record.position / max(last, 1)


def _close(version: Version) -> None:
    version.past.close()
    shutil.rmtree(version.past.folder, ignore_errors=True)


def align(old: Version, new: Version, most: int | None = None) -> tuple[Rows, Rows]:
    """The rows of the same customers in two versions, by the id that stands for them in the old one."""
    rows = np.flatnonzero(old.customers.owner[: len(old.customers)] >= 0).astype(np.int32)
    if most is not None and len(rows) > most:
        rows = rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]
    if not len(rows):
        return rows, rows
    names = old.known.ids.names().take(old.customers.owner[rows].astype(np.int64))
    nodes = new.known.ids.lookup(names)
    there = new.find_rows(nodes)
    both = there >= 0
    return rows[both], there[both]


def _list_states(version: Version, rows: Rows, now: int) -> tuple[list[str | None], list[int]]:
    seen = version.see(rows, now).seen
    names = version.state_model.model.states
    return [names[s] if s >= 0 else None for s in seen[:, SEEN_STATE].tolist()], seen[:, SEEN_SINCE].tolist()


def compare(old: Version, new: Version) -> dict[str, Any]:
    """Of some customers, how many two versions see in different states, and which states those are."""
    now = max(old.now, new.now)
    rows, there = align(old, new, _COMPARED)
    (a, _), (b, _) = _list_states(old, rows, now), _list_states(new, there, now)
    pairs = Counter((x, y) for x, y in zip(a, b, strict=True) if x != y)
    return {
        "n_compared": len(rows),
        "n_in_other_state": sum(pairs.values()),
        "in_other_state": [
            {"state": x, "shadow_state": y, "n_customers": n} for (x, y), n in pairs.most_common(10)
        ],
    }  # fmt: skip


def list_differences(old: Version, new: Version, now: int) -> list[tuple[Fact, int]]:
    """What has to be told when one version takes the other's place: states and audiences that are others at once."""
    rows, there = align(old, new)
    (a, since), (b, _) = _list_states(old, rows, now), _list_states(new, there, now)
    who = [new.known.customer_id(int(owner)) for owner in new.customers.owner[there].tolist()]
    facts: list[tuple[Fact, int]] = []
    for id, before, after, begun in zip(who, a, b, since, strict=True):
        if after is not None and before != after:
            data = {"cause": DEPLOY, "dwell_s": (now - begun) / 1e6 if before else None, "version": new.number}
            facts.append((Fact(id, "transition", now, after, before, data), 0))
    members_before, members_after = _list_members(old, rows), _list_members(new, there)
    for id, before_in, after_in in zip(who, members_before, members_after, strict=True):
        for name in sorted(before_in ^ after_in):
            kind = "audience_entered" if name in after_in else "audience_left"
            facts.append((Fact(id, kind, now, name, None, {"version": new.number}), 0))
    return facts


def _list_members(version: Version, rows: Rows) -> list[frozenset[str]]:
    rules = version.steps.rules
    bits = np.unpackbits(version.customers.members[rows], axis=1, bitorder="little")[:, : len(rules.names)]
    names = rules.names
    return [
        frozenset(names[k] for k in np.flatnonzero(row).tolist() if k >= rules.n_segments) for row in bits
    ]  # fmt: skip
