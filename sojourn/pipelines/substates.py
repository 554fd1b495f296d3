"""The job `substates`: how many states the data hold beside the playbook's, and what those would be like."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from sojourn.frames import Progress
from sojourn.pipelines.inputs import ignore, read_playbook
from sojourn.playbook import Playbook
from sojourn.states import (
    MOST_EXTRA,
    Substate,
    Trial,
    describe_substates,
    discover_substates,
    fit_at,
    fit_states,
    read_past,
)


@dataclass(frozen=True)
class Discovery:
    """A trial per number of extra states, and the extra states of the number chosen, in words."""

    n_customers: int
    trials: tuple[Trial, ...]
    substates: tuple[Substate, ...]

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "customers": self.n_customers,
            "extra_states": self.n_extra,
            "trials": [asdict(t) for t in self.trials],
            "substates": [asdict(s) for s in self.substates],
        }

    @property
    def n_extra(self) -> int:
        """How many extra states the data support."""
        return next(t.n_extra for t in self.trials if t.is_chosen)


def substates(
    events: Any,
    playbook: str | Path | Playbook,
    *,
    n_most: int = MOST_EXTRA,
    max_customers: int = 1_000,
    seed: int = 0,
    n_threads: int | None = None,
    clock: datetime | None = None,
    progress: Progress | None = None,
) -> Discovery:
    """How many states the data hold beside those of the playbook, chosen by held-out likelihood.

    On at most ``max_customers`` drawn at random; extra states that the playbook asks for already count among them. The
    same arguments give the same answer.

    >>> from sojourn.simulation.customers import simulate
    >>> found = substates(simulate(40, days=40, seed=1).events, "shop", n_most=1, n_threads=1)
    >>> [trial.n_extra for trial in found.trials], len(found.substates) == found.n_extra
    ([0, 1], True)
    """
    book = read_playbook(playbook)
    book = replace(book, model=replace(book.model, extra_states=0))
    tell = progress or ignore
    rng = np.random.default_rng(seed)
    threads = n_threads or os.cpu_count() or 1
    past = read_past(events, book, None, max_customers, rng, clock or datetime.now(UTC), tell, span_us=0)
    tell("fit the playbook's states", 0, 1)
    old = fit_at(past, past.later, rng, threads)
    weights = np.array([c.weight for c in old.fit.model.channels])
    boundaries = tuple(float(b) for b in old.fit.model.boundaries_s)
    trials = discover_substates(
        book,
        old.fit.plan,
        weights,
        boundaries,
        old.rows.data,
        rng=rng,
        n_most=n_most,
        progress=lambda done, n: tell("try extra states", done, n),
    )
    n_extra = next(t.n_extra for t in trials if t.is_chosen)
    if not n_extra:
        return Discovery(past.batch.n_customers, trials, ())
    tell("describe them", 0, 1)
    wider = replace(book, model=replace(book.model, extra_states=n_extra))
    fit = fit_states(wider, old.fit.plan, old.rows.data, boundaries, rng=rng, n_threads=threads)
    return Discovery(past.batch.n_customers, trials, describe_substates(fit.model, {}))
