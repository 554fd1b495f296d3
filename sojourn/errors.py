"""What a person reads when something is wrong: where, what was found, the nearest match, the next command."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True)
class Problem:
    """One finding about a person's input, printable in one line.

    >>> print(Problem("shop.yaml:41", "'recncy' is not a feature", near="recency", command="sojourn check shop.yaml"))
    shop.yaml:41: 'recncy' is not a feature. Did you mean 'recency'? Run: sojourn check shop.yaml
    """

    where: str
    what: str
    near: str | None = None
    command: str | None = None

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        if not text.endswith((".", "?", "!")):
            text += "."
        if self.near:
            text += f" Did you mean '{self.near}'?"
        if self.command:
            text += f" Run: {self.command}"
        return text


class SojournError(Exception):
    """Input that cannot be used, with every problem found in it. Shown without a traceback by the command line."""

    def __init__(self, *problems: Problem | str) -> None:
        self.problems: tuple[Problem, ...] = tuple(p if isinstance(p, Problem) else Problem("", p) for p in problems)
        super().__init__("\n".join(str(p) for p in self.problems))


class PlaybookError(SojournError):
    """The playbook says something that it may not say."""


class EventsError(SojournError):
    """The events as a whole cannot be read (one bad row is quarantined instead, and raises nothing)."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like ``word``, or None when none is near.

    >>> nearest("recncy", ["recency", "tenure"])
    'recency'
    """
    found = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


class StoreError(SojournError):
    """The database does not do what was asked of it; nothing was half done."""


class StoreFull(StoreError):
    """There is no room for what should be written. Nothing of it was; later writes succeed once there is room."""


class StoreBusy(StoreError):
    """Another process writes to this store."""
