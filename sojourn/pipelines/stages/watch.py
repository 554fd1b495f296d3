"""Progress, time and memory of each stage of a run."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter, process_time
from typing import Any

from sojourn.frames import Progress


class Stages:
    """Seconds, CPU seconds of all threads and peak memory so far per stage, and progress to whoever asked for it."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress
        self.done: list[dict[str, Any]] = []

    @contextmanager
    def __call__(self, stage: str) -> Iterator[Callable[[int, int], None]]:
        """Time one stage; yields a function that reports how far it is."""

        def report(n_done: int, n_all: int) -> None:
            if self.progress:
                self.progress(stage, n_done, n_all)

        start, cpu_start = perf_counter(), process_time()
        report(0, 1)
        yield report
        report(1, 1)
        peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.done.append(
            {
                "stage": stage,
                "seconds": round(perf_counter() - start, 3),
                "cpu_s": round(process_time() - cpu_start, 3),
                "peak_mb": round(peak_kb / 1024, 1),
            }
        )
