"""The champion models of a project's registry: read again when a decision changes them, given to the version in use."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from sojourn.errors import Problem, SojournError
from sojourn.live.engine.predictions import fit_model
from sojourn.live.engine.version import Deployed, InUse, Refused, Version
from sojourn.predict import Card, find_champion, list_names, read_model

LOG = logging.getLogger("sojourn.live")
_POLL_S = 1.0
_DECISIONS = "decisions.jsonl"
Stamp = tuple[tuple[str, int, int], ...]


class Models:
    """For the engine's thread. ``folder`` is the registry (:mod:`sojourn.predict.registry`), None: there is none.

    Predictions are neither published nor kept, so they need not be a function of the log.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._look_at = 0.0
        self._stamp: Stamp = ()
        self._read: tuple[tuple[Card, dict[str, Any]] | Refused, ...] = ()

    def poll(self, version: Version) -> None:
        """Give the version other models where a decision about one was made since the last second."""
        if self._folder is None or time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + _POLL_S
        if self._look(self._folder):
            self._give(version)

    def fit(self, version: Version) -> None:
        """Give a version all models that it can use."""
        if self._folder is not None:
            self._look(self._folder)
            self._give(version)

    def _look(self, folder: Path) -> bool:
        """Read the champions; whether they may be others than before."""
        stamp = _stamp_folder(folder)
        if stamp == self._stamp:
            return False
        self._stamp, self._read = stamp, tuple(_read_champions(folder, [name for name, _, _ in stamp]))
        return True

    def _give(self, version: Version) -> None:
        """Fit the champions to a version, and log those that are new to it."""
        found: list[InUse] = [one if isinstance(one, Refused) else fit_model(version, *one) for one in self._read]
        before = {(one.outcome, one.version, type(one)) for one in version.models}
        version.models = tuple(found)
        for one in found:
            if (one.outcome, one.version, type(one)) in before:
                continue
            if isinstance(one, Deployed):
                LOG.info("model '%s', version %d, predicts", one.outcome, one.version)
            else:
                LOG.warning("a model is not used: %s", one.problem)


def _stamp_folder(folder: Path) -> Stamp:
    """What changes whenever a decision about a model is written."""
    found = []
    try:
        for name in list_names(folder):
            path = folder / name / _DECISIONS
            if path.exists():  # else nothing is decided about it yet
                found.append((name, path.stat().st_mtime_ns, path.stat().st_size))
    except OSError as error:
        LOG.warning("the models in %s cannot be read: %s", folder, error.strerror)
    return tuple(found)


def _read_champions(folder: Path, names: list[str]) -> list[tuple[Card, dict[str, Any]] | Refused]:
    found: list[tuple[Card, dict[str, Any]] | Refused] = []
    for name in names:
        number = None
        try:
            number = find_champion(folder, name)
            if number is not None:
                found.append(read_model(folder, name, number))
        except SojournError as error:
            found.append(Refused(name, number, error.problems[0]))
        except OSError as error:
            found.append(Refused(name, number, Problem(f"model '{name}'", f"cannot be read ({error.strerror})")))
    return found
