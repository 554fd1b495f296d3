"""Compiles the loops of a run ahead of its first use, as ``make`` does after installing.

Numba compiles a loop when it is first called and keeps the machine code beside the module. :func:`compile_all` calls
them by doing the whole job on a few simulated customers, so that nothing has to be kept in step with the loops.
"""

from __future__ import annotations

import sys

from sojourn.frames import Progress
from sojourn.pipelines.run import run
from sojourn.simulation import simulate

N_CUSTOMERS = 150
"""Simulated: enough that every analysis has something to compare, and each of its loops is called."""

N_DAYS = 120


def compile_all(progress: Progress | None = None) -> None:
    """Compile every loop that ``sojourn run`` calls with the ready playbook ``shop``; quick where that is done.

    The loops of the state model are compiled for a number of states: those of ``shop``. ``progress`` is called with the
    stage, and how much of it is done.
    """
    run(simulate(N_CUSTOMERS, days=N_DAYS, seed=1).events, "shop", progress=progress)


def main() -> None:
    """Compile, and say on the terminal what is being done."""
    seen: set[str] = set()

    def say(stage: str, n_done: int, n_all: int) -> None:
        if stage not in seen and sys.stderr.isatty():
            seen.add(stage)
            print(f"  {stage}", file=sys.stderr, flush=True)

    print("Compiling the loops of a run, once ...", file=sys.stderr, flush=True)
    compile_all(say)


if __name__ == "__main__":
    main()
