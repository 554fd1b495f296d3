"""What people ask of the engine besides sending calls. Each is a record of the log, carried out in its place."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sojourn.errors import Problem, SojournError, nearest
from sojourn.events.calls.read import LONGEST_CALL
from sojourn.live import deploy

if TYPE_CHECKING:
    from sojourn.live.engine.erasure import Looked
    from sojourn.live.engine.live import Live
    from sojourn.live.engine.version import Outcome, Version
    from sojourn.live.store.log import Record

IDENTITY = ("merge", "split", "undo")
ARGUMENTS: dict[str, tuple[str, ...]] = {
    "merge": ("a", "b"),
    "split": ("a", "b"),
    "undo": ("a", "b"),
    "erase": ("id",),
    "switch": ("version",),
    "shadow": ("version",),
    "rollback": (),
}
"""Every command with the names of its arguments."""
LONGEST_ID = LONGEST_CALL  # whoever could be told of in a call can be erased


def check_command(name: str, arguments: Mapping[str, Any]) -> None:
    """Raise SojournError for a command that there is not, or arguments that it does not take.

    >>> check_command("merge", {"a": "u1", "b": "u2"})
    >>> check_command("rollback", {"to": 1})
    Traceback (most recent call last):
    sojourn.errors.SojournError: command rollback: it takes nothing, not to.
    """
    if name not in ARGUMENTS:
        raise SojournError(Problem("command", f"there is no command '{name}'", nearest(name, ARGUMENTS)))
    if set(arguments) != set(ARGUMENTS[name]):
        wanted, given = " and ".join(ARGUMENTS[name]) or "nothing", " and ".join(arguments) or "nothing"
        raise SojournError(Problem(f"command {name}", f"it takes {wanted}, not {given}"))
    for key, value in arguments.items():
        wants_number = key == "version"
        if wants_number != isinstance(value, int) or isinstance(value, bool) or len(str(value)) > LONGEST_ID:
            kind = "a version's number" if wants_number else f"an id of at most {LONGEST_ID} characters"
            raise SojournError(Problem(f"command {name}", f"{key} must be {kind}"))


def spell_command(name: str, arguments: Mapping[str, Any]) -> bytes:
    """The payload of a command's record."""
    return json.dumps({"name": name, "arguments": arguments}).encode()


def read_command(payload: bytes) -> tuple[str, dict[str, Any]]:
    """Name and arguments of a command's record."""
    found = json.loads(payload)
    return found["name"], found["arguments"]


def obey(live: Live, name: str, arguments: dict[str, Any], now: int, looked: Looked | None = None) -> dict[str, Any]:
    """Carry out a command, and say what it did. Raises SojournError where that cannot be."""
    from sojourn.live.engine.erasure import erase

    if name in IDENTITY:
        return _decide(live, name, arguments, now)
    if name == "erase":
        return erase(live, arguments["id"], now, looked)
    if name == "rollback" and not live.has_version_before():
        raise SojournError(Problem("deploy", "there is no version before to go back to"))
    return deploy.wish(live.store, name, arguments.get("version"))


def _decide(live: Live, name: str, arguments: dict[str, Any], now: int) -> dict[str, Any]:
    version = live.version
    for key in ("a", "b"):
        if version.known.find(arguments[key]) < 0:
            raise SojournError(Problem(f"identity {name}", f"nobody has the id '{arguments[key]}'"))
    position = live.log_command(name, arguments, now)
    with live.lock:
        outcome = version.take_command(position, now, name, arguments)
        live.follow_command(position, now, name, arguments)
        live.settle(outcome, now)
        owner = int(version.known.graph.owner[version.known.find(arguments["a"])])
        other = int(version.known.graph.owner[version.known.find(arguments["b"])])
        return {"a": version.known.customer_id(owner), "b": version.known.customer_id(other)}


def replay(version: Version, record: Record) -> Outcome:
    """What a command's record does when the log is read again."""
    from sojourn.live.engine.version import Outcome

    name, arguments = read_command(record.payload)
    outcome = Outcome()
    if name in IDENTITY:
        with contextlib.suppress(SojournError):  # it was refused then, too
            return version.take_command(record.position, record.at, name, arguments)
    version.position, version.now = record.position, max(version.now, record.at)
    return outcome
