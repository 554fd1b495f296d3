"""Customers' numbers stay what they are while the arrays that hold them grow, also for whoever looks at them."""

from __future__ import annotations

import numpy as np

from sojourn.fold.layout import build_layout
from sojourn.live.engine.version.customers import Customers
from sojourn.playbook.load import load_playbook


def make_customers() -> Customers:
    return Customers(build_layout(load_playbook("shop")), 5, 20, 4)


def test_growing_changes_nobody() -> None:
    customers, layout = make_customers(), build_layout(load_playbook("shop"))
    rng, n = np.random.default_rng(2), 0
    marks = np.empty(0)
    for size in (1, 1_023, 1, 5_000, 40_000, 7):
        rows = customers.add(np.arange(n, n + size, dtype=np.int32))
        assert rows.tolist() == list(range(n, n + size))
        assert np.array_equal(customers.vectors[rows], np.broadcast_to(layout.initial, (size, layout.n_slots)), True)
        assert (customers.n_published[rows] == 0).all()
        assert (customers.seen[rows] == 255).all()
        customers.vectors[rows, 0] = rng.normal(size=size)
        marks = np.append(marks, customers.vectors[rows, 0])
        n += size
    assert np.array_equal(customers.vectors[:n, 0], marks)
    assert np.array_equal(customers.owner[:n], np.arange(n))


def test_whoever_looks_goes_on_seeing_what_was() -> None:
    customers = make_customers()
    customers.add(np.arange(1_000, dtype=np.int32))
    customers.vectors[:, 0] = 7.0
    view, whole = customers.vectors[:1_000, 0], customers.owner
    customers.add(np.arange(1_000, 90_000, dtype=np.int32))
    assert (view == 7.0).all()
    assert whole[:1_000].tolist() == list(range(1_000))
    assert (customers.vectors[:1_000, 0] == 7.0).all()
    assert customers.owner[:90_000].tolist() == list(range(90_000))


def test_room_is_made_in_steps() -> None:
    customers = make_customers()
    customers.add(np.arange(200_000, dtype=np.int32))
    customers.add(np.arange(200_000, 200_001, dtype=np.int32))
    assert len(customers.owner) - len(customers) < 20_000
