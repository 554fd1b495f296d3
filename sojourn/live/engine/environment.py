"""Where an engine works: store, folder, clock, limits; and the versions that its store offers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sojourn.errors import Problem, SojournError
from sojourn.live.engine.version import Version
from sojourn.live.store import Store
from sojourn.playbook import parse_playbook
from sojourn.states import draft_state_model, read_state_model


@dataclass(frozen=True)
class Limits:
    """How the engine works: durations in seconds, the rest in calls."""

    commit_interval_s: float = 0.005
    max_waiting: int = 200_000
    snapshot_every: int = 2_000_000
    duplicates_within_s: float = 30 * 86_400.0
    archive_after_s: float | None = None
    retention_s: float | None = None
    read_beside: bool = False


@dataclass(frozen=True)
class Environment:
    """What an engine works with.

    ``folder`` is for snapshots, files of events and the archive. ``clock`` gives microseconds since 1970, UTC.
    ``models`` is the registry of models that predict, ``results`` the folder of a run from which erasure erases too.
    """

    store: Store
    folder: Path
    limits: Limits
    clock: Callable[[], int]
    models: Path | None = None
    results: Path | None = None


def open_version(env: Environment, number: int) -> Version:
    """A version of the store that has taken no record yet. Raises SojournError where it cannot be used."""
    release = env.store.read_version(number)
    if release is None:
        raise SojournError(Problem("store", f"there is no version {number}", command="sojourn deploy --list"))
    playbook = parse_playbook(release.playbook, f"playbook of version {number}")
    model = (
        read_state_model(release.model, playbook, f"model of version {number}")
        if release.model
        else draft_state_model(playbook)
    )
    return Version(
        number,
        playbook,
        model,
        env.folder / "past" / f"v{number}",
        duplicates_within_us=round(env.limits.duplicates_within_s * 1e6),
        stored=env.store,
    )
