"""The part of a run that analyses transitions."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sojourn.frames.files import read_history
from sojourn.frames.instants import instant_us
from sojourn.pipelines.run_samples import _MOVE_COLUMNS, _Lives, _Past, _take_lives
from sojourn.pipelines.run_states import _Found
from sojourn.pipelines.watch import Stages
from sojourn.playbook.objects import Playbook
from sojourn.states.fit import StateFit

if TYPE_CHECKING:
    from sojourn.fold.layout import Layout
    from sojourn.predict.value.purchases import Purchases


def _analyse(
    book: Playbook, fit: StateFit, found: _Found, lived: _Lives, bought: Purchases | None, at: datetime,
    rng: np.random.Generator, folder: Path | None, watch: Stages,
) -> dict[str, pa.Table]:  # fmt: skip
    """How customers move: counts, flows, dwell, velocity, what sets moves off, journeys, and where people are."""
    from sojourn.segments.grid import cross_segments
    from sojourn.transitions.matrix import analyse_moves
    from sojourn.transitions.triggers.hazards import find_triggers

    trigger_rng, cross_rng = rng.spawn(2)
    with watch("analyse transitions"):
        history = read_history(folder, _MOVE_COLUMNS) if folder else found.history
        moves = analyse_moves(
            found.transitions, found.customers, history, states=fit.model.states, touches=book.touches, now=at, rng=rng,
            targets=book.targets,
        )  # fmt: skip
    with watch("find triggers"):
        triggers = find_triggers(
            found.transitions, found.customers, history, states=fit.model.states, touches=book.touches, now=at,
            rng=trigger_rng,
        )  # fmt: skip
    with watch("trace journeys"):
        lives = _take_lives(found.customers, history, lived)
        del history
        traced = _trace(book, fit, found, lives, at, lived.rng)
    with watch("cross segments"):
        hybrid = cross_segments(bought, found.customers.select(["customer_id", "state"]), book, at, rng=cross_rng)
    return moves | {"triggers": triggers} | traced | {"hybrid": hybrid}


def _trace(
    book: Playbook, fit: StateFit, found: _Found, lives: pa.Table, at: datetime, rng: np.random.Generator
) -> dict[str, pa.Table]:
    """Moments, journeys before outcomes, paths through the states, where customers are found, what moves are worth."""
    from sojourn.fold.completions import find_completions
    from sojourn.transitions.journeys.channels import find_channels
    from sojourn.transitions.journeys.outcomes import find_journeys
    from sojourn.transitions.journeys.paths import choose_silence, find_paths
    from sojourn.transitions.moments.measure import measure_moments, read_streams
    from sojourn.transitions.values import value_moves

    states, touches, moments_rng = fit.model.states, book.touches, rng.spawn(1)[0]
    known = read_streams(lives, touches)
    completions = find_completions(book, known.customer, known.at, known.names, known.item)
    return {
        "moments": measure_moments(
            known, completions, book.moments, book.outcomes, now=at, rng=moments_rng
        ),
        "journeys": find_journeys(lives, book.outcomes, touches=touches, now=at, rng=rng),
        "paths": find_paths(
            found.transitions, found.customers, lives, states=states, touches=touches,
            gone_s=choose_silence(book.outcomes), now=at,
        ),
        "channels": find_channels(lives, book.states, states=states, touches=touches),
        "values": value_moves(
            found.transitions, found.customers, lives, book.outcomes, states=states, touches=touches, now=at, rng=rng
        ),
    }  # fmt: skip


def _grow(
    book: Playbook, fit: StateFit, found: _Found, past: _Past, layout: Layout, at: datetime, rng: np.random.Generator,
    watch: Stages,
) -> pa.Table:  # fmt: skip
    """How what customers are expected to spend grows with each move, on a sample of customers."""
    from sojourn.predict.learning import own_events
    from sojourn.predict.value.growth import grow_values
    from sojourn.predict.value.rows import Behaviour
    from sojourn.transitions.stays import read_stays

    with watch("grow values"):
        customers = found.customers.take(pa.array(past.chosen)).select(["customer_id", "state", "since_at"])
        ids = customers["customer_id"].combine_chunks()
        moved = found.transitions.filter(pc.is_in(found.transitions["customer_id"], ids))
        stays = read_stays(moved, customers, states=fit.model.states, now=at)
        behaviour = Behaviour(layout, past.batch, own_events(book, past.batch), ids)
        return grow_values(behaviour, past.bought, stays, instant_us(at), rng=rng)
