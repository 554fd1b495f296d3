"""Opens a project for the live engine: settings, playbook, model, store."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sojourn.errors import Problem, SojournError
from sojourn.frames import now_us
from sojourn.live.deploy import add_release
from sojourn.live.engine import ACTIVE, Environment, Limits, Live, Route, note_active, read_active
from sojourn.live.settings import Settings
from sojourn.live.store import Store
from sojourn.pipelines import Release, draft_release
from sojourn.playbook import parse_playbook
from sojourn.states import read_state_model

LOG = logging.getLogger("sojourn.live")


def open_live(
    project: Path,
    settings: Settings,
    store: Store,
    *,
    clock: Callable[[], int] | None = None,
    route: Route | None = None,
    wake: Callable[[], None] | None = None,
) -> Live:
    """The engine of a project, not started; on the first start the project's playbook becomes version 1.

    Raises SojournError where the project has no playbook, or one that is wrong.
    """
    folder = project / "live"
    folder.mkdir(mode=0o700, exist_ok=True)  # personal data: for its owner only
    if store.get_meta(ACTIVE) is None:
        number = add_release(store, _read_project(project), at=now_us())
        note_active(store, number)
    _compare_playbook(project, store)
    limits = Limits(
        commit_interval_s=settings.commit_interval_s,
        max_waiting=settings.max_waiting,
        snapshot_every=settings.snapshot_every,
        duplicates_within_s=settings.duplicates_within_s,
        archive_after_s=settings.archive_after_s,
        retention_s=settings.retention_s,
        read_beside=settings.read_beside and (os.cpu_count() or 1) > 1,
    )
    env = Environment(store, folder, limits, clock or now_us, settings.models, settings.results)
    return Live(env, route=route, wake=wake)


def _read_project(project: Path) -> Release:
    """The project's playbook, and its model.json if it has one."""
    path = project / "playbook.yaml"
    if not path.exists():
        raise SojournError(Problem(str(path), "a project needs a playbook", command=f"sojourn init {project}"))
    release = draft_release(str(path))
    described = project / "model.json"
    if not described.exists():
        return release
    try:
        model: dict[str, Any] = json.loads(described.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SojournError(Problem(str(described), f"cannot be read ({type(error).__name__})")) from None
    read_state_model(model, parse_playbook(release.playbook, str(path)), str(described))
    return Release(release.playbook, model, f"model.json of {project.resolve().name}")


def _compare_playbook(project: Path, store: Store) -> None:
    """Say so where the file is not what is in use: a start does not change what states mean."""
    path = project / "playbook.yaml"
    number = read_active(store)["version"]
    known = {version.playbook for version in store.list_versions()}
    if path.exists() and path.read_text(encoding="utf-8") not in known:
        LOG.warning("%s is not deployed; version %d is in use. Run: sojourn deploy --playbook %s", path, number, path)
