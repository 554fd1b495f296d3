"""A playbook and the model that belongs to it, stored as a version of a project; and what a server shall do with it.

The store holds every version that there ever was. A running server looks for a wish every second and carries it out;
one that does not run finds it when it starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from sojourn.errors import Problem, SojournError
from sojourn.pipelines import Release

WISH = "deploy_wish"
"""The name under which the store keeps what is wished last: ``{"number", "action", "version"}``."""

ACTIONS = ("switch", "shadow", "rollback")
"""Work with a version; let it run beside, to see how it differs; go back to the one before."""


class Versions(Protocol):
    """The part of a store that this needs."""

    def add_version(self, *, created_at: int, playbook: str, model: Mapping[str, Any], note: str = "") -> int: ...

    def read_version(self, version: int) -> Any: ...

    def list_versions(self) -> list[Any]: ...

    def get_meta(self, name: str, default: Any = None) -> Any: ...

    def set_meta(self, name: str, value: Any) -> None: ...


def add_release(store: Versions, release: Release, *, at: int) -> int:
    """Store a release as a new version; its number."""
    return store.add_version(created_at=at, playbook=release.playbook, model=release.model, note=release.note)


def wish(store: Versions, action: str, version: int | None = None) -> dict[str, Any]:
    """Tell the server what to do next, and return it. Raises SojournError for a version that is not there.

    ``number`` rises with every wish, so that the server can tell a new one. `rollback` needs no version.
    """
    if action not in ACTIONS:
        raise ValueError(f"no action '{action}'")
    if version is not None and store.read_version(version) is None:
        known = ", ".join(str(one.version) for one in store.list_versions()) or "none yet"
        what = f"there is no version {version}; there are {known}"
        raise SojournError(Problem("deploy", what, command="sojourn deploy --list --project DIR"))
    before = store.get_meta(WISH) or {"number": 0}
    found = {"number": before["number"] + 1, "action": action, "version": version}
    store.set_meta(WISH, found)
    return found
