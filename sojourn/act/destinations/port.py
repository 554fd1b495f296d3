"""What the settings say of a destination, and what a kind of destination must do.

A kind is a module in this folder, or an entry point in the group ``sojourn.destinations``: ``KIND``, the name that
``type:`` in the settings has, and ``build(destination)``, which gives a :class:`Sender`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from sojourn.act.outbox import OutboxItem
from sojourn.errors import Problem, SojournError, nearest
from sojourn.frames import DAY_S, find_plugins, load_plugin

FOLDER = Path(__file__).parent
GROUP = "sojourn.destinations"
KINDS = ("transition", "moment", "audience_entered", "audience_left")
"""What can go to a destination. A revocation goes where the change went that it takes back."""


@dataclass(frozen=True)
class Destination:
    """Where changes are sent, and which: None is any. Secrets are never shown."""

    name: str
    url: str
    secret: str | None = field(default=None, repr=False)
    secret_from: str | None = None  # an environment variable
    changes: tuple[str, ...] = KINDS
    states: tuple[str, ...] | None = None
    moments: tuple[str, ...] | None = None
    audiences: tuple[str, ...] | None = None
    predictions: tuple[str, ...] = ()  # outcomes whose probability a message has
    at_least: tuple[tuple[str, float], ...] = ()  # outcomes, and how probable they must be
    purpose: str | None = None
    max_age_s: float | None = DAY_S
    is_private_allowed: bool = False
    timeout_s: float = 15.0
    type: str = "webhook"
    options: tuple[tuple[str, str], ...] = ()  # what its kind alone reads


@dataclass(frozen=True, slots=True)
class Sent:
    """How it went: ``what`` is ``delivered``, ``again``, ``dead`` or ``gone`` (the receiver wants no more).

    ``wait_s`` is what the receiver asks for before the next try.
    """

    what: str
    status: int | None = None
    error: str | None = None
    wait_s: float = 0.0


class Sender(Protocol):
    """Sends to one destination. Both methods are called in one event loop; up to four messages are sent at a time."""

    async def send(self, item: OutboxItem, at: float) -> Sent:
        """How sending one message went; ``at`` in seconds since 1970. The same item may come again, with its id."""

    async def close(self) -> None:
        """Give back what it holds."""


def list_kinds() -> tuple[str, ...]:
    """The kinds of destinations that there are, by name. Imports none of them."""
    return tuple(sorted(find_plugins(FOLDER, GROUP, "KIND")))


def build_sender(destination: Destination) -> Sender:
    """What sends to a destination. Raises SojournError for an unknown kind, and for what its kind refuses."""
    found = find_plugins(FOLDER, GROUP, "KIND")
    if destination.type not in found:
        what = f"there is no kind of destination '{destination.type}'"
        raise SojournError(Problem(f"destination '{destination.name}'", what, nearest(destination.type, found)))
    sender: Sender = load_plugin(found[destination.type]).build(destination)
    return sender
