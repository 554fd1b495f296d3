"""Erasure of a customer: from memory, the log, the archive, and everything derived. Only that it was done is kept."""

from __future__ import annotations

import json
import logging
import time
from collections import defaultdict
from collections.abc import Collection, Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sojourn.errors import SojournError
from sojourn.events.calls import CallReader
from sojourn.live.archive import erase_calls, rewrite_commands
from sojourn.live.engine.host import Host
from sojourn.live.engine.records import read_command, spell_command
from sojourn.live.engine.recovery import ARCHIVE, SNAPSHOT
from sojourn.live.engine.version import CustomerIds, Version, split_seq
from sojourn.live.store import Derived, Forgotten, Record, Store, decode_calls, encode_calls
from sojourn.pipelines import ResultsFolder

LOG = logging.getLogger("sojourn.live")
Place = tuple[int, int]
"""A record's position, and a call's place in it."""
UNFINISHED = "erasures"
"""The name under which the store keeps who is being erased, until nothing of them is left."""


@dataclass(frozen=True)
class Scan:
    """Which calls of the log, up to the position ``until``, name one of some ids, as a version reads calls."""

    version: int
    ids: frozenset[str]
    until: int
    calls: frozenset[Place]


def scan_log(host: Host, id: str) -> Scan | None:
    """The calls that an erasure of this id has to find, as far as the log goes now. None: there are none, or the log
    cannot be read.

    For the thread that asks for the erasure: a long log takes minutes, in which the engine's thread must go on.
    """
    with host.lock:
        version = host.version
        customer = version.identities.describe_customer(id)
    if customer is None:
        return None
    ids, until = frozenset(customer.ids), host.env.store.last_position()
    reader = CallReader(version.playbook, version.steps.layout)  # the engine uses its own meanwhile
    calls: set[Place] = set()
    try:
        for record in host.read_log(0):
            if record.position > until:
                break
            begin = time.monotonic()
            calls |= _find_calls(record, reader, version.identities.n_customer_levels, ids)
            time.sleep(time.monotonic() - begin)  # leaves half of the time to the engine
    except SojournError as error:
        LOG.warning("an erasure looks through the log while all wait: %s", error)
        return None
    return Scan(version.number, ids, until, frozenset(calls))


def erase(host: Host, id: str, now: int, scan: Scan | None = None) -> dict[str, Any]:
    """Erase the customer who has this id; how many ids, calls and files of results that were.

    For an unknown id only the results are searched. Who it is about is kept in the store first, not in the log.
    Stopped or failed at any instant, the next start does the rest.
    """
    customer, store = host.version.identities.describe_customer(id), host.env.store
    if customer is None:
        return {"n_ids": 0, "n_calls": 0, "n_files": _erase_in_results(host, [id])}
    store.set_meta(UNFINISHED, [*store.get_meta(UNFINISHED, []), asdict(customer)])
    position = host.log_command("erase", {}, now)
    with host.lock:
        host.version.position = position
    return _finish(host, host.version, customer, scan)


def resume(host: Host, version: Version) -> None:
    """Finish erasures that were cut off. One that cannot be finished waits for the next start."""
    unfinished = host.env.store.get_meta(UNFINISHED, [])
    for described in filter(None, unfinished):
        try:
            _finish(host, version, CustomerIds(**described))
        except SojournError as error:
            LOG.error("an erasure is not finished: %s", error)
    if None in unfinished:
        _scrub(host.env.store)


def _finish(host: Host, version: Version, customer: CustomerIds, scan: Scan | None = None) -> dict[str, Any]:
    """Erase everything about these ids. Every step may be done twice. ``scan`` counts only if it is of just these."""
    store, archive = host.env.store, host.env.folder / ARCHIVE
    host.archiver.wait()
    host.saver.stop()  # the snapshot that it writes would still have them
    (host.env.folder / SNAPSHOT).unlink(missing_ok=True)
    with host.lock:
        seqs = version.forget(customer.ids)
        host.forget_in_shadow(customer.ids)
    calls = {split_seq(int(seq)) for seq in seqs}
    after = 0
    if scan is not None and scan.version == version.number and scan.ids == set(customer.ids):
        calls, after = calls | scan.calls, scan.until
    for record in host.read_log(after):
        n_levels = version.identities.n_customer_levels
        calls |= _find_calls(record, version.intake.reader, n_levels, set(customer.ids))
    _erase_in_log(store, calls)
    _erase_commands(store, archive, {*customer.names, *(id[1:] for id in customer.ids)})
    erase_calls(archive, calls)
    n_files = _erase_in_results(host, customer.names)
    gone = Forgotten(customer_ids=customer.names, nodes=customer.keys, calls=sorted(calls))
    store.append([], Derived(forgotten=gone, position=version.position))
    with host.lock:
        host.saver.begin(version)
    store.set_meta(UNFINISHED, [one if one != asdict(customer) else None for one in store.get_meta(UNFINISHED)])
    _scrub(store)
    return {"n_ids": len(customer.ids), "n_calls": len(calls), "n_files": n_files}


def _erase_in_results(host: Host, names: Collection[str]) -> int:
    """Erase these names from the tables of a run that are served; how many files had any."""
    return len(ResultsFolder(host.env.results).erase(names)) if host.env.results is not None else 0


def _scrub(store: Store) -> None:
    """Overwrite what the store's files still hold of erased customers: a None stands for each until then."""
    store.scrub()
    store.set_meta(UNFINISHED, [one for one in store.get_meta(UNFINISHED) if one is not None])


def _find_calls(record: Record, reader: CallReader, n_customer_levels: int, ids: Collection[str]) -> set[Place]:
    """Calls that name one of these ids, also those that gave no events: duplicates, and quarantined ones."""
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
        return True  # it has the text of the id somewhere: it may be about them
    if not isinstance(call, dict):
        return True
    return any(str(call.get(name)) in ids for name in ("userId", "anonymousId", "previousId"))


def _erase_commands(store: Store, archive: Path, texts: Set[str]) -> None:
    """Replace commands about these ids by one that does nothing when the log is read again."""

    def rewrite(payload: bytes) -> bytes:
        is_about = not texts.isdisjoint(map(str, read_command(payload)[1].values()))
        return spell_command("erase", {}) if is_about else payload

    for position in store.find_kind("command"):
        [record] = store.read_log(position - 1, until=position)
        payload = rewrite(record.payload)
        if payload != record.payload:
            store.rewrite_record(position, payload, record.n)
    rewrite_commands(archive, rewrite)


def _erase_in_log(store: Store, calls: Collection[Place]) -> None:
    """Erase these calls from the log; their places stay."""
    places: dict[int, set[int]] = defaultdict(set)
    for position, place in calls:
        places[position].add(place)
    first, last = store.first_position(), store.last_position()
    for position in sorted(places):
        if not first <= position <= last:
            continue  # it is in the archive
        [record] = store.read_log(position - 1, until=position)
        columns = decode_calls(record.payload)
        raw = [None if place in places[position] else call for place, call in enumerate(columns.raw)]
        names = [columns.key_names[k] for k in columns.key.tolist()]
        payload = encode_calls(raw, columns.kind, columns.received_at, columns.sent_at, names)
        store.rewrite_record(position, payload, record.n)
