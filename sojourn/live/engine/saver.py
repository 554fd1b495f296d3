"""Snapshots written by a copy of the process while the engine works on: writing takes seconds, requests would wait.

The copy (`fork`) has everything as it was at one instant; the system copies a page of memory only when either side
changes it. It closes every file and connection at once, writes, and ends. It does not outlive the engine, and an
erasure ends it, because it still has the customer's data. On other systems than Linux the engine writes the snapshot
itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
import signal
import sys
import time
import warnings
from pathlib import Path

from sojourn.live.engine.recovery import SNAPSHOT, save_snapshot
from sojourn.live.engine.snapshot import write_snapshot
from sojourn.live.engine.version import Version

LOG = logging.getLogger("sojourn.live")
IS_COPIED = sys.platform == "linux"
LONGEST_S = 900.0
_NICER = 5
_PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None).prctl if IS_COPIED else None  # found before: a copy must not load anything


class Saver:
    """Saves the state of a version, one snapshot at a time. For one thread, that of the engine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pid: int | None = None
        self._since = 0.0

    @property
    def is_busy(self) -> bool:
        """Whether a snapshot is being written. One that failed or takes too long is logged and given up."""
        if self._pid is not None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._pid = None
                if status:
                    LOG.warning("no snapshot: the process that wrote it has ended (status %d)", status)
            elif time.monotonic() - self._since > LONGEST_S:
                LOG.warning("no snapshot: it was not written in %d s", LONGEST_S)
                self.stop()
        return self._pid is not None

    def begin(self, version: Version) -> None:
        """Save the version as it is now. No other thread may be changing it; it may change once this returns."""
        if not IS_COPIED:
            save_snapshot(self._folder, version)
            return
        parent = os.getpid()
        try:
            with warnings.catch_warnings():
                # Python warns of locks that other threads hold: the copy writes arrays to a file, and takes none.
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
        except OSError as error:
            LOG.warning("no snapshot: the process cannot be copied (%s)", error.strerror)
            return
        if pid == 0:
            status = 1
            try:
                _write_and_end(self._folder, version, parent)
                status = 0
            finally:
                os._exit(status)  # handlers and buffers belong to the engine
        self._pid, self._since = pid, time.monotonic()

    def stop(self) -> None:
        """End the copy that writes, if there is one; it has ended when this returns."""
        pid, self._pid = self._pid, None
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _write_and_end(folder: Path, version: Version, parent: int) -> None:
    gc.disable()  # it would touch, and so copy, every page
    assert _prctl is not None
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM):  # those are for the engine, which ends the copy
        signal.signal(number, signal.SIG_IGN)
    os.closerange(3, 1 << 20)  # locks and connections are the engine's
    os.nice(_NICER)
    if os.getppid() == parent:
        write_snapshot(folder / SNAPSHOT, *version.save())
