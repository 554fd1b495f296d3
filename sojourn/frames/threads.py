"""How many threads the libraries of linear algebra and of boosted trees may use: one, where the work is small."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

MOST_LIBRARY_THREADS = 1
"""Threads of each BLAS and OpenMP library during a run. The matrices and trees of a run are small (at most some ten
thousand rows, about 150 columns): handing them to a second thread costs more than it saves, and threads that wait for
each other spin. On two cores that took 50 of the 89 CPU seconds of a run of 100,000 events, and with other work on the
machine it made boosted trees take 35 seconds that one thread grows in half a second."""


@contextmanager
def limit_libraries() -> Iterator[None]:
    """BLAS and OpenMP keep to :data:`MOST_LIBRARY_THREADS` in the whole process until the block ends.

    Our own compiled loops keep their threads.
    """
    # threadpoolctl: reads all loaded libraries
    from threadpoolctl import threadpool_limits

    with threadpool_limits(MOST_LIBRARY_THREADS):
        yield
