"""How the scripts time one piece of work against another."""

from __future__ import annotations

from collections.abc import Callable
from time import process_time
from typing import Any


def time_best(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Least CPU seconds of the repeats, and what the last one returned."""
    seconds = []
    for _ in range(repeats):
        start = process_time()
        found = work()
        seconds.append(process_time() - start)
    return min(seconds), found
