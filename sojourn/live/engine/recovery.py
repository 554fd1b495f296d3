"""A start: the last snapshot, and the records after it. Which version is in use. Snapshots are saved here too."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sojourn.errors import Problem, SojournError
from sojourn.live.archive import read_records
from sojourn.live.engine.records import apply_record
from sojourn.live.engine.snapshot import SnapshotError, read_snapshot, write_snapshot
from sojourn.live.engine.version import LONG_AGO, Outcome, Version
from sojourn.live.store import NOTHING, Derived, Store

LOG = logging.getLogger("sojourn.live")
SNAPSHOT = "snapshot.arrow"
ARCHIVE = "archive"
ACTIVE = "active_version"
"""The name under which the store keeps which version is in use: ``{"version", "since_at", "position", "before"}``."""


@dataclass(frozen=True)
class Recovered:
    """A version as it was when the process ended, what is still to be written, and how many calls followed the
    snapshot."""

    version: Version
    pending: Derived
    n_calls: int


def recover(
    store: Store,
    folder: Path,
    make_version: Callable[[int], Version],
    derive: Callable[[Version, Outcome, int], Derived],
    report: Callable[[float], None],
) -> Recovered:
    """The version in use, brought to the end of the log. Raises SojournError where the log cannot be applied.

    What was derived from a record is written with the next one, so only that of the last one may be missing.
    """
    last = store.last_position()
    active = read_active(store)
    if active["position"] != store.get_meta(ACTIVE)["position"]:
        store.set_meta(ACTIVE, active)  # the noted position has no record yet; one to come must not count for it
    version = _load(store, folder, make_version, active["version"], last)
    version.publisher.since_at = active["since_at"]
    begin, n_calls, pending = version.position, 0, NOTHING
    is_written, last_seq = _is_written(store, last), store.last_seq()
    for record in read_records(store, folder / ARCHIVE, begin):
        if record.position == last:
            version.publisher.seq = last_seq
        outcome = apply_record(version, record)
        if record.position == last and not is_written:
            pending = derive(version, outcome, record.at)
        n_calls += record.n
        report((record.position - begin) / max(last - begin, 1))
    if pending is NOTHING:
        version.publisher.seq = last_seq
    version.position = max(version.position, last)
    return Recovered(version, pending, n_calls)


def read_active(store: Store) -> dict[str, Any]:
    """Which version is in use, since when, the position of the command that put it into use, and the version before.

    It is noted before the command is written; where the log does not have the command, the version before is in use.
    """
    active: dict[str, Any] = store.get_meta(ACTIVE)
    last = store.last_position()
    while active["before"] is not None and active["position"] > last:
        active = active["before"]
    return active


def note_active(store: Store, version: int, *, since_at: int = LONG_AGO, position: int = 0) -> None:
    """Note that a version is in use from a position of the log on."""
    before = store.get_meta(ACTIVE)
    if before is not None and before["before"] is not None:
        # Two are enough: one to go back to, and one in case that this switch is never written.
        before["before"] |= {"before": None}
    store.set_meta(ACTIVE, {"version": version, "since_at": since_at, "position": position, "before": before})


def _is_written(store: Store, last: int) -> bool:
    """Whether the store has changes that were derived from the last record."""
    found = store.read_changes(max(store.last_seq() - 1, 0), limit=1)
    return bool(found) and found[-1].position == last and last > 0


def _load(store: Store, folder: Path, make_version: Callable[[int], Version], number: int, last: int) -> Version:
    path = folder / SNAPSHOT
    version = make_version(number)
    if not path.exists():
        return version
    try:
        arrays, rest = read_snapshot(path)
        if rest["position"] > last:
            raise SnapshotError(Problem(str(path), "is ahead of the log"))
        version.restore(arrays, rest)
    except (SojournError, KeyError, ValueError, IndexError) as error:
        LOG.warning("the snapshot is not used, the whole log is read: %s", error)
        version.event_files.close()
        return make_version(number)
    return version


def save_snapshot(folder: Path, version: Version) -> None:
    """Save the state of a version, so that the next start is short. Nothing is lost where that fails."""
    try:
        write_snapshot(folder / SNAPSHOT, *version.save())
    except SojournError as error:
        LOG.warning("no snapshot: %s", error)
