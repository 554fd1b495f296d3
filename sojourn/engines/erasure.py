"""Erasure of a customer: from memory, the log, the archive, and everything derived. Only that it happened stays."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from sojourn.archive import erase_calls
from sojourn.engines import commands
from sojourn.engines.recovery import ARCHIVE, SNAPSHOT, save_snapshot
from sojourn.engines.version import PLACE_BITS, Version
from sojourn.store import Derived, Forgotten, decode_calls, encode_calls

if TYPE_CHECKING:
    from sojourn.engines.live import Live
    from sojourn.store import CallsColumns

Place = tuple[int, int]


def erase(live: Live, id: str, now: int) -> dict[str, Any]:
    """Erase whoever has this id; how many calls and ids that were. For an unknown id nothing is done.

    The command is in the log first. Ended at any instant, a start does the rest: while its record names the id.
    """
    if live.version.known.find(id) < 0:
        return {"n_ids": 0, "n_calls": 0}
    position = live.log_command("erase", {"id": id}, now)
    return finish(live, id, position)


def go_on(live: Live) -> None:
    """Do the rest of an erasure that the end of the process cut off: that is the last record, if there is one."""
    last = live.store.last_position()
    for record in live.read_all(max(last - 1, 0)):
        if record.kind == "command":
            name, arguments = commands.read_command(record.payload)
            if name == "erase" and "id" in arguments:
                finish(live, arguments["id"], record.position)


def finish(live: Live, id: str, position: int) -> dict[str, Any]:
    """Do all that the command at this position of the log asks for."""
    store, folder = live.store, live.folder
    live.housekeeping.wait()
    with live.lock:
        found = live.version.forget(id)
        live.forget_in_shadow(id)
    ids = set(found.ids) or _guess_ids(live.version, id)
    calls = {(int(seq) >> PLACE_BITS, int(seq) & ((1 << PLACE_BITS) - 1)) for seq in found.seqs}
    calls |= _find_calls(live, ids)
    _erase_in_log(live, calls)
    erase_calls(folder / ARCHIVE, calls)
    gone = Forgotten(customer_ids=found.names, nodes=found.keys, calls=sorted(calls))
    store.append([], Derived(forgotten=gone, position=position))
    (folder / SNAPSHOT).unlink(missing_ok=True)
    with live.lock:
        live.version.position = position
        save_snapshot(folder, live.version)
    store.rewrite_record(position, commands.spell_command("erase", {}), 0)
    store.scrub()
    return {"n_ids": len(ids), "n_calls": len(calls)}


def _guess_ids(version: Version, id: str) -> set[str]:
    """An id at every level, after an erasure that was cut off: who it was is known no longer."""
    return {chr(ord("a") + level) + id for level in range(version.known.n_levels)}


def _find_calls(live: Live, ids: Collection[str]) -> set[Place]:
    """Calls that name one of these ids, those that were no events too: sent twice, or in quarantine."""
    needles = [needle for id in ids for needle in {id[1:].encode(), json.dumps(id[1:])[1:-1].encode()}]
    found: set[Place] = set()
    for record in live.read_all(0):
        if record.kind != "calls":
            continue
        columns = decode_calls(record.payload)
        places = [
            i for i, raw in enumerate(columns.raw) if raw is not None and any(needle in raw for needle in needles)
        ]
        if places:
            found |= {(record.position, place) for place in _confirm(live.version, columns, places, ids)}
    return found


def _confirm(version: Version, columns: CallsColumns, places: list[int], ids: Collection[str]) -> set[int]:
    """Which of these calls really are of one of the ids."""
    raws = [columns.raw[place] or b"" for place in places]
    at = np.array(places)
    read = version.reader.read(raws, columns.kind[at], columns.received_at[at], columns.sent_at[at])
    last = version.known.n_customer_levels - 1
    found = set()
    for level, texts in [*enumerate(read.ids), (last, read.previous)]:
        letter = chr(ord("a") + level)
        found |= {
            places[int(place)]
            for place, text in zip(read.place.tolist(), texts, strict=True)
            if text and letter + text in ids
        }
    plain = {id[1:] for id in ids}
    for place, _, _ in read.rejected:
        if _names(raws[place], plain):
            found.add(places[place])
    return found


def _names(raw: bytes, ids: Collection[str]) -> bool:
    """Whether a call that could not be read has one of these ids where ids are."""
    try:
        call = json.loads(raw)
    except (ValueError, RecursionError):
        return True  # it has the text of the id somewhere, and cannot be told to be another's
    if not isinstance(call, dict):
        return True
    return any(str(call.get(name)) in ids for name in ("userId", "anonymousId", "previousId"))


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
