"""A model of what was known at an instant: learned silence and labels count, and nothing later does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from sojourn.events.read import read_events
from sojourn.fold.batch import make_batch, slice_events
from sojourn.fold.layout import build_layout
from sojourn.frames.instants import instant_us
from sojourn.playbook.load import load_playbook
from sojourn.playbook.objects import Playbook
from sojourn.predict.from_events import fit_states_until
from sojourn.simulation.customers import START, simulate
from sojourn.states.as_of import fit_until, read_labels, set_boundaries

AT = START + timedelta(days=40)


@pytest.fixture(scope="module")
def book() -> Playbook:
    shop = load_playbook("shop")
    return replace(shop, model=replace(shop.model, is_silence_learned=True))


@pytest.fixture(scope="module")
def events(book: Playbook) -> pa.Table:
    """Of which every ninth carries a known state."""
    table = read_events(simulate(60, days=60, seed=4).events, book, now=START + timedelta(days=61)).events
    known = [book.state_names[i % len(book.states)] if i % 9 == 0 else None for i in range(table.num_rows)]
    at = table.column_names.index("label")
    table = table.set_column(at, table.schema.field("label"), pa.array(known, table.schema.field("label").type))
    at = table.column_names.index("label_p")
    sure = pa.array([None if state is None else 0.9 for state in known], table.schema.field("label_p").type)
    return table.set_column(at, table.schema.field("label_p"), sure)


def test_silence_is_learned_and_labels_count_also_for_predictions(book: Playbook, events: pa.Table) -> None:
    model = fit_states_until(events, book, AT, np.random.default_rng(0)).model
    known = slice_events(make_batch(events, book), instant_us(AT))
    assert tuple(model.boundaries_s) == set_boundaries(book, known, AT)
    assert tuple(model.boundaries_s) != book.model.silence_s
    assert not model.channels[-1].is_learned  # that of known states


def test_later_events_change_nothing(book: Playbook, events: pa.Table) -> None:
    layout, at = build_layout(book), instant_us(AT)
    models = []
    for until in (at, at + 20 * 86_400_000_000):
        n = int(np.searchsorted(events["event_at"].cast(pa.int64()).to_numpy(), until, side="right"))
        some = events.slice(0, n)
        labels, rng = read_labels(book, some), np.random.default_rng(1)
        models.append(fit_until(book, layout, make_batch(some, book), labels, at, until, rng).fit.model)
    one, other = models
    assert np.allclose(one.event_transitions, other.event_transitions, rtol=1e-9)
    assert all(np.allclose(a.theta, b.theta, rtol=1e-9) for a, b in zip(one.channels, other.channels, strict=True))


def test_slices_are_the_whole(book: Playbook, events: pa.Table) -> None:
    batch = make_batch(events, book)
    first, then = slice_events(batch, instant_us(AT)), slice_events(batch, int(batch.event_at[-1]), instant_us(AT))
    assert 0 < len(first) < len(batch)
    for name in ("customer", "event_at", "event_class", "measures", "channel", "properties", "session"):
        both = np.concatenate([getattr(first, name), getattr(then, name)])
        assert np.array_equal(both, getattr(batch, name), equal_nan=both.dtype.kind == "f")
    assert first.event_at[-1] <= instant_us(AT) < then.event_at[0]
