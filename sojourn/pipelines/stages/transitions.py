"""The stages that analyse transitions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sojourn.fold import find_completions
from sojourn.frames import instant_us, read_history
from sojourn.pipelines.stages.samples import MOVE_COLUMNS, Sample
from sojourn.pipelines.stages.states import Found
from sojourn.pipelines.stages.work import Work
from sojourn.predict import own_events
from sojourn.predict.value import Behaviour, grow_values
from sojourn.segments import cross_segments
from sojourn.transitions import analyse_moves, read_stays, value_moves
from sojourn.transitions.journeys import choose_silence, find_channels, find_journeys, find_paths
from sojourn.transitions.moments import measure_moments, read_streams
from sojourn.transitions.triggers import find_triggers

if TYPE_CHECKING:
    from sojourn.fold import Layout

_TRACED = ("moments", "journeys", "paths", "channels", "values")


def analyse(work: Work, found: Found, states: tuple[str, ...], sample: Sample, at: datetime) -> dict[str, pa.Table]:
    """How customers change states: counts, flows, dwell, velocity, triggers, journeys, and where they are found."""
    book, tables = work.book, dict[str, pa.Table]()
    trigger_rng, cross_rng = work.rng.spawn(2)
    history = found.history
    if work.draft and work.has("transitions", "triggers", *_TRACED):
        history = read_history(work.draft.path, MOVE_COLUMNS)
    if work.has("transitions"):
        with work.watch("analyse transitions"):
            tables |= analyse_moves(
                found.transitions,
                found.customers,
                history,
                states=states,
                touches=book.touches,
                now=at,
                rng=work.rng,
                targets=book.targets,
            )
    if work.has("triggers"):
        with work.watch("find triggers"):
            tables["triggers"] = find_triggers(
                found.transitions,
                found.customers,
                history,
                states=states,
                touches=book.touches,
                now=at,
                rng=trigger_rng,
            )
    if work.has(*_TRACED):
        with work.watch("trace journeys"):
            travels = sample.take_history(found.customers, history)
            del history
            tables |= trace(work, found, states, travels, at, sample.travel_rng)
    if work.has("hybrid"):
        with work.watch("cross segments"):
            people = found.customers.select(["customer_id", "state"])
            tables["hybrid"] = cross_segments(sample.purchases, people, book, at, rng=cross_rng)
    return tables


def trace(
    work: Work, found: Found, states: tuple[str, ...], travels: pa.Table, at: datetime, rng: np.random.Generator
) -> dict[str, pa.Table]:
    """Moments, journeys before outcomes, paths through the states, where customers are found, values of transitions.

    ``travels`` is the history of the travellers of the sample.
    """
    book, touches, moments_rng = work.book, work.book.touches, rng.spawn(1)[0]

    def moments() -> pa.Table:
        known = read_streams(travels, touches)
        completions = find_completions(book, known.customer, known.at, known.names, known.item)
        return measure_moments(known, completions, book.moments, book.outcomes, now=at, rng=moments_rng)

    stages: dict[str, Callable[[], pa.Table]] = {
        "moments": moments,
        "journeys": lambda: find_journeys(travels, book.outcomes, touches=touches, now=at, rng=rng),
        "paths": lambda: find_paths(
            found.transitions,
            found.customers,
            travels,
            states=states,
            touches=touches,
            gone_s=choose_silence(book.outcomes),
            now=at,
        ),
        "channels": lambda: find_channels(travels, book.states, states=states, touches=touches),
        "values": lambda: value_moves(
            found.transitions, found.customers, travels, book.outcomes, states=states, touches=touches, now=at, rng=rng
        ),
    }
    return {name: stage() for name, stage in stages.items() if work.has(name)}


def grow(
    work: Work, found: Found, states: tuple[str, ...], sample: Sample, layout: Layout, at: datetime
) -> dict[str, pa.Table]:
    """How what customers are expected to spend grows with each transition, on the customers of the sample."""
    if not work.has("growth"):
        return {}
    with work.watch("grow values"):
        customers = found.customers.take(pa.array(sample.customers)).select(["customer_id", "state", "since_at"])
        ids = customers["customer_id"].combine_chunks()
        moved = found.transitions.filter(pc.is_in(found.transitions["customer_id"], ids))
        stays = read_stays(moved, customers, states=states, now=at)
        behaviour = Behaviour(layout, sample.batch, own_events(work.book, sample.batch), ids)
        return {"growth": grow_values(behaviour, sample.bought, stays, instant_us(at), rng=sample.rng)}
