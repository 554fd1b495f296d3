"""Erasure of a customer: from memory, the log, the archive, and everything derived. Only that it happened stays."""

from __future__ import annotations

import json
import logging
import time
from collections import defaultdict
from collections.abc import Collection, Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sojourn.errors import SojournError
from sojourn.events.calls.read import CallReader
from sojourn.live.archive.archive import erase_calls, rewrite_commands
from sojourn.live.engine.commands import read_command, spell_command
from sojourn.live.engine.recovery import ARCHIVE, SNAPSHOT
from sojourn.live.engine.version import PLACE_BITS, Version, Whose
from sojourn.live.store.calls import decode_calls, encode_calls
from sojourn.live.store.changes import Derived, Forgotten
from sojourn.pipelines.results import ResultsFolder

if TYPE_CHECKING:
    from sojourn.live.engine.live import Live
    from sojourn.live.store.log import Record
    from sojourn.live.store.store import Store

LOG = logging.getLogger("sojourn.live")
Place = tuple[int, int]
UNFINISHED = "erasures"
"""The name under which the store keeps who is being erased, until nothing of them is left."""


@dataclass(frozen=True)
class Looked:
    """Which calls of the log, up to a position, name one of some ids, as a version reads calls."""

    version: int
    ids: frozenset[str]
    until: int
    calls: frozenset[Place]


def look_ahead(live: Live, id: str) -> Looked | None:
    """What an erasure of this id will have to look for, as far as the log goes now. Not for the engine's thread: all
    wait for that one, and to look through a long log takes minutes. None where there is nothing, or it cannot be read.
    """
    with live.lock:
        version, whose = live.version, live.version.describe(id)
    if whose is None:
        return None
    ids, until = frozenset(whose.ids), live.store.last_position()
    reader = CallReader(version.playbook, version.steps.layout)  # the engine uses its own meanwhile
    calls: set[Place] = set()
    try:
        for record in live.read_all(0):
            if record.position > until:
                break
            begin = time.monotonic()
            calls |= _find_calls(record, reader, version.known.n_customer_levels, ids)
            time.sleep(time.monotonic() - begin)  # the engine wants to work, too
    except SojournError as error:
        LOG.warning("an erasure looks through the log while all wait: %s", error)
        return None
    return Looked(version.number, ids, until, frozenset(calls))


def erase(live: Live, id: str, now: int, looked: Looked | None = None) -> dict[str, Any]:
    """Erase whoever has this id; how many ids, calls and files of results that were.

    Of an unknown id only the results may have something. Who it is about is kept in the store first, not in the
    log. Ended or failed at any instant, the next start does the rest.
    """
    whose = live.version.describe(id)
    if whose is None:
        return {"n_ids": 0, "n_calls": 0, "n_files": _erase_in_results(live, [id])}
    live.store.set_meta(UNFINISHED, [*live.store.get_meta(UNFINISHED, []), asdict(whose)])
    position = live.log_command("erase", {}, now)
    with live.lock:
        live.version.position = position
    return _finish(live, live.version, whose, looked)


def go_on(live: Live, version: Version) -> None:
    """Do the rest of erasures that were cut off. One that cannot be finished waits for the next start."""
    unfinished = live.store.get_meta(UNFINISHED, [])
    for described in filter(None, unfinished):
        try:
            _finish(live, version, Whose(**described))
        except SojournError as error:
            LOG.error("an erasure is not finished: %s", error)
    if None in unfinished:
        _scrub(live.store)


def _finish(live: Live, version: Version, whose: Whose, looked: Looked | None = None) -> dict[str, Any]:
    """Leave nothing of these ids. Every step may be done twice. ``looked`` counts only if it is about just these."""
    store, folder = live.store, live.folder
    live.housekeeping.wait()
    live.saver.stop()  # what it writes would still have them
    (folder / SNAPSHOT).unlink(missing_ok=True)
    with live.lock:
        seqs = version.forget(whose.ids)
        live.forget_in_shadow(whose.ids)
    calls = {(int(seq) >> PLACE_BITS, int(seq) & ((1 << PLACE_BITS) - 1)) for seq in seqs}
    after = 0
    if looked is not None and looked.version == version.number and looked.ids == set(whose.ids):
        calls, after = calls | looked.calls, looked.until
    for record in live.read_all(after):
        calls |= _find_calls(record, version.reader, version.known.n_customer_levels, set(whose.ids))
    _erase_in_log(live, calls)
    _erase_commands(store, folder / ARCHIVE, {*whose.names, *(id[1:] for id in whose.ids)})
    erase_calls(folder / ARCHIVE, calls)
    n_files = _erase_in_results(live, whose.names)
    gone = Forgotten(customer_ids=whose.names, nodes=whose.keys, calls=sorted(calls))
    store.append([], Derived(forgotten=gone, position=version.position))
    with live.lock:
        live.saver.begin(version)
    store.set_meta(UNFINISHED, [one if one != asdict(whose) else None for one in store.get_meta(UNFINISHED)])
    _scrub(store)
    return {"n_ids": len(whose.ids), "n_calls": len(calls), "n_files": n_files}


def _erase_in_results(live: Live, names: Collection[str]) -> int:
    """Leave nothing of these names in the tables of a run that are served; how many files had something."""
    return len(ResultsFolder(live.results).erase(names)) if live.results is not None else 0


def _scrub(store: Store) -> None:
    """Overwrite what the store's files still hold of those who were erased: a None stands for each until then."""
    store.scrub()
    store.set_meta(UNFINISHED, [one for one in store.get_meta(UNFINISHED) if one is not None])


def _find_calls(record: Record, reader: CallReader, n_customer_levels: int, ids: Collection[str]) -> set[Place]:
    """Calls that name one of these ids, those that were no events too: sent twice, or in quarantine."""
    if record.kind != "calls":
        return set()
    columns = decode_calls(record.payload)
    needles = [needle for id in ids for needle in {id[1:].encode(), json.dumps(id[1:])[1:-1].encode()}]
    places = [i for i, raw in enumerate(columns.raw) if raw is not None and any(needle in raw for needle in needles)]
    if not places:
        return set()
    raws = [columns.raw[place] or b"" for place in places]
    at = np.array(places)
    read = reader.read(raws, columns.kind[at], columns.received_at[at], columns.sent_at[at])
    found = set()
    for level, texts in [*enumerate(read.ids), (n_customer_levels - 1, read.previous)]:
        letter = chr(ord("a") + level)
        found |= {
            places[int(place)]
            for place, text in zip(read.place.tolist(), texts, strict=True)
            if text and letter + text in ids
        }
    plain = {id[1:] for id in ids}
    found |= {places[place] for place, _, _ in read.rejected if _names(raws[place], plain)}
    return {(record.position, place) for place in found}


def _names(raw: bytes, ids: Collection[str]) -> bool:
    """Whether a call that could not be read has one of these ids where ids are."""
    try:
        call = json.loads(raw)
    except (ValueError, RecursionError):
        return True  # it has the text of the id somewhere, and cannot be told to be another's
    if not isinstance(call, dict):
        return True
    return any(str(call.get(name)) in ids for name in ("userId", "anonymousId", "previousId"))


def _erase_commands(store: Store, archive: Path, texts: Set[str]) -> None:
    """Leave nothing of what people decided about these ids: it does nothing when the log is read again."""

    def rewrite(payload: bytes) -> bytes:
        is_about = not texts.isdisjoint(map(str, read_command(payload)[1].values()))
        return spell_command("erase", {}) if is_about else payload

    for position in store.find_kind("command"):
        [record] = store.read_log(position - 1, until=position)
        payload = rewrite(record.payload)
        if payload != record.payload:
            store.rewrite_record(position, payload, record.n)
    rewrite_commands(archive, rewrite)


def _erase_in_log(live: Live, calls: Collection[Place]) -> None:
    """Leave nothing of these calls in the log but their places."""
    places: dict[int, set[int]] = defaultdict(set)
    for position, place in calls:
        places[position].add(place)
    first, last = live.store.first_position(), live.store.last_position()
    for position in sorted(places):
        if not first <= position <= last:
            continue  # it is in the archive
        [record] = live.store.read_log(position - 1, until=position)
        columns = decode_calls(record.payload)
        raw = [None if place in places[position] else call for place, call in enumerate(columns.raw)]
        names = [columns.key_names[k] for k in columns.key.tolist()]
        payload = encode_calls(raw, columns.kind, columns.received_at, columns.sent_at, names)
        live.store.rewrite_record(position, payload, record.n)
