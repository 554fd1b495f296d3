"""The job `moments`: patterns that precede an outcome, to be put into the playbook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from sojourn.errors import Problem, SojournError, nearest
from sojourn.fold import find_completions
from sojourn.frames import Progress, write_alone
from sojourn.pages.words import say_proposed
from sojourn.pipelines.inputs import ignore, read_log, read_playbook
from sojourn.playbook import Outcome, Playbook
from sojourn.states import draw_customers
from sojourn.transitions.moments import WINDOWS_S, Streams, propose_moments, read_streams, write_moments

if TYPE_CHECKING:
    from sojourn.events import EventLog

_MOST_EVENTS = 400_000  # of more, customers are drawn at random


@dataclass(frozen=True, eq=False)
class Proposed:
    """Moments that precede an outcome: a row of numbers about each, and YAML for the playbook."""

    outcome: str
    table: pa.Table
    yaml: str

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        return {"outcome": self.outcome, "moments": self.table.to_pylist(), "yaml": self.yaml}


def moments(
    events: Any,
    playbook: str | Path | Playbook,
    outcome: str,
    *,
    within_s: Sequence[float] = WINDOWS_S,
    min_share: float = 0.02,
    most: int = 10,
    at: datetime | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Proposed:
    """Patterns of events that precede an outcome of the playbook, found on half of the customers, judged on the other.

    ``within_s``: windows tried. ``min_share``: of all customers, so many have the pattern. ``at``: up to when outcomes
    are known. ``out``: a Parquet file for the numbers. Raises SojournError for an outcome that is not there.

    >>> from sojourn.simulation.customers import simulate
    >>> moments(simulate(40, days=30, seed=1).events, "shop", "conversion", within_s=[7200.0]).outcome
    'conversion'
    """
    book, tell = read_playbook(playbook), progress or ignore
    goal = _find_outcome(book, outcome)
    rng = np.random.default_rng(seed)
    log = read_log(events, book, tell)
    table, found = propose_moments(
        _draw_streams(log, book, rng),
        book,
        goal,
        _find_completions,
        now=at or log.events["event_at"][-1].as_py(),
        rng=rng,
        windows_s=within_s,
        min_share=min_share,
        most=most,
        progress=lambda done, all_: tell("try patterns", done, all_),
    )
    if out is not None:
        write_alone(table, Path(out))
    about = [say_proposed(row) for row in table.to_pylist()]
    return Proposed(goal.name, table, write_moments(found, about) if found else "")


def _find_outcome(book: Playbook, name: str) -> Outcome:
    names = [outcome.name for outcome in book.outcomes]
    if name not in names:
        what = f"the playbook has no outcome '{name[:80]}'; it has {', '.join(names) or 'none'}"
        raise SojournError(Problem("--outcome", what, nearest(name, names)))
    found = book.outcomes[names.index(name)]
    if found.measure is not None:
        raise SojournError(Problem("--outcome", f"'{name}' is an amount; moments announce what happens or does not"))
    return found


def _draw_streams(log: EventLog, book: Playbook, rng: np.random.Generator) -> Streams:
    """All customers, or of very many events those of customers drawn at random."""
    table = log.events.select(["customer_id", "event_at", "event_class"])
    codes = table["customer_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    chosen = draw_customers(np.bincount(codes), rng, _MOST_EVENTS)
    rows = np.flatnonzero(np.isin(codes, chosen))
    rows = rows[np.argsort(codes[rows], kind="stable")]
    return read_streams(table.take(pa.array(rows)), book.touches)


def _find_completions(book: Playbook, streams: Streams) -> Any:
    return find_completions(book, streams.customer, streams.at, streams.names, streams.item)
