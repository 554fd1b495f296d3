"""Deployment of another version of playbook and model: it catches up, runs as a shadow, or replaces the one in use.

The request (:mod:`sojourn.live.deploy`) is looked for every second. The new version reads the whole log in a thread
of its
own; the last few records, and every later one, it takes in the engine's thread like the version in use.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.errors import SojournError
from sojourn.live.deploy import WISH
from sojourn.live.engine.environment import open_version
from sojourn.live.engine.host import Host
from sojourn.live.engine.records import apply_record
from sojourn.live.engine.recovery import ACTIVE, note_active
from sojourn.live.engine.version import DEPLOY, DatedFact, Fact, Outcome, Version
from sojourn.live.store import CallsColumns
from sojourn.states.hmm import SEEN_SINCE, SEEN_STATE

LOG = logging.getLogger("sojourn.live")
CARRIED_OUT = "deploy_done"
"""The name under which the store keeps the number of the last request that was carried out."""
_POLL_S = 1.0
_NEAR = 20
"""Records that the engine's thread may apply by itself when it takes over a version."""
_COMPARED = 2_000
"""Customers whose states by two versions are compared."""
Rows = NDArray[np.int32]


class Rollout:
    """The version that catches up or runs as a shadow, if there is one. For the engine's thread."""

    def __init__(self, host: Host) -> None:
        """No version but the one in use."""
        self._host = host
        self._look_at = 0.0
        self._done: int | None = None
        self._candidate: _Candidate | None = None
        self._shadow: Version | None = None
        self._counts: Counter[str] = Counter()
        self.problem: str | None = None

    # -- requests --------------------------------------------------------------------------------------------

    def poll(self) -> None:
        """Look for a new request, and go on with the one that is being carried out."""
        if self._candidate is not None:
            if self._candidate.is_near:
                self._take_over(self._candidate)
            return
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + _POLL_S
        request = self._host.env.store.get_meta(WISH)
        if request is None:
            return
        if self._done is None:
            self._done = int(self._host.env.store.get_meta(CARRIED_OUT, 0))
            if request["action"] == "shadow" and request["number"] == self._done:
                self._done -= 1  # a shadow is in memory only: after a start it catches up again
        if request["number"] > self._done:
            self._begin(request)

    def _begin(self, request: dict[str, Any]) -> None:
        active = self._host.env.store.get_meta(ACTIVE)
        number = request["version"]
        if request["action"] == "rollback":
            before = active["before"]
            number = before["version"] if before else None
        self.problem = None
        if number is None:
            self._end(request["number"], "there is no version before to go back to")
        elif number == self._host.version.number:
            self._drop_shadow()
            self._end(request["number"], None)
        elif self._shadow is not None and self._shadow.number == number:
            self._candidate = _Candidate(number, request, self._shadow)
        else:
            self._drop_shadow()
            try:
                self._candidate = _Candidate(number, request, open_version(self._host.env, number))
            except SojournError as error:
                self._end(request["number"], str(error))
                return
            self._candidate.start(self._host)

    def _end(self, number: int, problem: str | None) -> None:
        self._done = number
        self.problem = problem
        if problem:
            LOG.error("deploy: %s", problem)
        self._host.env.store.set_meta(CARRIED_OUT, number)

    def _take_over(self, candidate: _Candidate) -> None:
        self._candidate = None
        if candidate.problem:
            self._end(candidate.request["number"], candidate.problem)
            return
        self._host.apply_written()  # then both have taken every record of the log
        candidate.catch_up(self._host, self._host.version.position)
        if candidate.request["action"] == "shadow":
            self._shadow, self._counts = candidate.version, Counter()
        else:
            self._switch(candidate.version)
        self._end(candidate.request["number"], None)

    def stop(self) -> None:
        """Give up the version that catches up."""
        if self._candidate is not None:
            self._candidate.is_stopped = True

    def _drop_shadow(self) -> None:
        if self._shadow is not None:
            _close(self._shadow)
        self._shadow = None

    # -- the shadow ------------------------------------------------------------------------------------------

    def follow_calls(self, position: int, now: int, columns: CallsColumns) -> None:
        """Let the shadow take a record of calls, too."""
        if self._shadow is not None:
            self._count(self._shadow.take_calls(position, now, columns))

    def follow_time(self, position: int, now: int) -> None:
        """Let the shadow take a record of the clock, too."""
        if self._shadow is not None:
            self._count(self._shadow.pass_time(position, now))

    def follow_command(self, position: int, now: int, name: str, arguments: dict[str, Any]) -> None:
        """Let the shadow take a command, too."""
        if self._shadow is not None:
            self._count(self._shadow.take_command(position, now, name, arguments))

    def forget(self, ids: Sequence[str]) -> None:
        """Erase a customer from the shadow, and from a version that catches up."""
        if self._candidate is not None:  # it reads the log that is being changed: it begins again
            self._candidate.is_stopped = True
            _close(self._candidate.version)
            self._candidate = None
        if self._shadow is not None:
            self._shadow.forget(ids)

    def _count(self, outcome: Outcome) -> None:
        self._counts.update(change.kind for change in outcome.changes)

    def describe(self) -> dict[str, Any] | None:
        """How far the new version is, and where it differs from the one in use. Call with the lock held."""
        candidate, shadow = self._candidate, self._shadow
        if candidate is not None:
            return {"version": candidate.number, "status": "coming up", "progress": round(candidate.progress, 3)}
        if shadow is None:
            return {"status": "failed", "problem": self.problem} if self.problem else None
        found = compare(self._host.version, shadow)
        return {"version": shadow.number, "status": "beside", "changes": dict(self._counts), **found}

    # -- the switch ------------------------------------------------------------------------------------------

    def _switch(self, new: Version) -> None:
        host, old = self._host, self._host.version
        host.flush()
        now = max(host.now(), new.now)
        with host.lock:
            facts = list_differences(old, new, now)
            position = host.env.store.last_position() + 1
            new.succeed(old.seq, now)
            outcome = new.publish(facts)
            new.position = position
        note_active(host.env.store, new.number, since_at=now, position=position)
        host.saver.stop()
        with host.lock:
            host.replace_version(new, outcome, now)
            host.saver.begin(new)
        if self._shadow is new:
            self._shadow = None
        self._drop_shadow()
        _close(old)
        LOG.info("version %d is in use", new.number)


class _Candidate:
    """A version that reads the log in a thread of its own."""

    def __init__(self, number: int, request: dict[str, Any], version: Version) -> None:
        self.number, self.request, self.version = number, request, version
        self.progress, self.problem = 0.0, ""
        self.is_near, self.is_stopped = version.position > 0, False

    def start(self, host: Host) -> None:
        """Read the log in a thread, until few records are left."""
        threading.Thread(target=self._read, args=(host,), name="sojourn-deploy", daemon=True).start()

    def _read(self, host: Host) -> None:
        try:
            while (last := host.env.store.last_position()) - self.version.position > _NEAR:
                self.catch_up(host, last)
                if self.is_stopped:
                    return
        except Exception as error:  # the version in use must not fail with it
            self.problem = str(error) if isinstance(error, SojournError) else type(error).__name__
        self.is_near = True

    def catch_up(self, host: Host, last: int) -> None:
        """Apply the records up to a position."""
        for record in host.read_log(self.version.position):
            if self.is_stopped or record.position > last:
                return
            apply_record(self.version, record)
            self.version.position = record.position
            self.progress = record.position / max(last, 1)


def _close(version: Version) -> None:
    version.event_files.close()
    shutil.rmtree(version.event_files.folder, ignore_errors=True)


def align(old: Version, new: Version, most: int | None = None) -> tuple[Rows, Rows]:
    """The rows of the same customers in two versions, by the id that stands for them in the old one."""
    rows = np.flatnonzero(old.customers.owner[: len(old.customers)] >= 0).astype(np.int32)
    if most is not None and len(rows) > most:
        rows = rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]
    if not len(rows):
        return rows, rows
    names = old.identities.ids.names().take(old.customers.owner[rows].astype(np.int64))
    nodes = new.identities.ids.lookup(names)
    there = new.rows.find(nodes)
    both = there >= 0
    return rows[both], there[both]


def _list_states(version: Version, rows: Rows, now: int) -> tuple[list[str | None], list[int]]:
    seen = version.states_at(rows, now).seen
    names = version.state_model.model.states
    return [names[s] if s >= 0 else None for s in seen[:, SEEN_STATE].tolist()], seen[:, SEEN_SINCE].tolist()


def compare(old: Version, new: Version) -> dict[str, Any]:
    """How many of some customers are in different states by two versions, and in which."""
    now = max(old.now, new.now)
    rows, there = align(old, new, _COMPARED)
    (a, _), (b, _) = _list_states(old, rows, now), _list_states(new, there, now)
    pairs = Counter((x, y) for x, y in zip(a, b, strict=True) if x != y)
    return {
        "n_compared": len(rows),
        "n_in_other_state": sum(pairs.values()),
        "in_other_state": [{"state": x, "shadow_state": y, "n_customers": n} for (x, y), n in pairs.most_common(10)],
    }


def list_differences(old: Version, new: Version, now: int) -> list[DatedFact]:
    """What to publish when one version replaces the other: states and audiences that differ at that instant."""
    rows, there = align(old, new)
    (a, since), (b, _) = _list_states(old, rows, now), _list_states(new, there, now)
    who = [new.identities.customer_id(int(owner)) for owner in new.customers.owner[there].tolist()]
    facts: list[DatedFact] = []
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
    """Per customer the audiences that they are in; unpacked together, since it is done for all customers at once."""
    rules = version.steps.rules
    bits = np.unpackbits(version.customers.members[rows], axis=1, bitorder="little")[:, : len(rules.names)]
    names = rules.names
    return [frozenset(names[k] for k in np.flatnonzero(row).tolist() if k >= rules.n_segments) for row in bits]
