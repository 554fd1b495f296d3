"""Records of the log: how a command is written, and what each kind of record does to a version."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from sojourn.errors import Problem, SojournError, nearest
from sojourn.events.calls import LONGEST_CALL
from sojourn.live.engine.version import Outcome, Projection
from sojourn.live.store import LogDamaged, Record, decode_calls

IDENTITY = ("merge", "split", "undo")
"""Commands about ids, which every version carries out when it reads the log. The others mean nothing to a version."""
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
LONGEST_ID = LONGEST_CALL  # every id that fits into a call can be erased


def check_command(name: str, arguments: Mapping[str, Any]) -> None:
    """Raise SojournError for an unknown command, or arguments that it does not take.

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
    """The payload of a command's record.

    >>> read_command(spell_command("merge", {"a": "u1", "b": "u2"}))
    ('merge', {'a': 'u1', 'b': 'u2'})
    """
    return json.dumps({"name": name, "arguments": arguments}).encode()


def read_command(payload: bytes) -> tuple[str, dict[str, Any]]:
    """Name and arguments of a command's record."""
    found = json.loads(payload)
    return found["name"], found["arguments"]


def apply_record(version: Projection, record: Record) -> Outcome:
    """The outcome of a record of the log. Raises SojournError, naming the record, where it cannot be applied."""
    try:
        if record.kind == "calls":
            return version.take_calls(record.position, record.at, decode_calls(record.payload))
        if record.kind == "clock":
            return version.pass_time(record.position, record.at)
        return _replay(version, record)
    except (SojournError, LogDamaged):
        raise
    except Exception as error:
        what = f"cannot be applied ({type(error).__name__}: {error})"
        raise SojournError(Problem(f"record {record.position} of the log", what, command="sojourn repair")) from error


def _replay(version: Projection, record: Record) -> Outcome:
    """The outcome of a command's record."""
    name, arguments = read_command(record.payload)
    if name in IDENTITY:
        with contextlib.suppress(SojournError):  # it was refused when it was given, too
            return version.take_command(record.position, record.at, name, arguments)
    return version.skip(record.position, record.at)
