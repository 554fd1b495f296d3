"""Compiled loops are found in Numba's cache by the next process: a run must not compile what it has compiled before."""

from __future__ import annotations

import pytest

from sojourn.states.hmm import hysteresis as publish
from sojourn.states.hmm import kernel


@pytest.mark.parametrize(
    "make",
    [
        kernel.accumulate,
        kernel.smooth,
        kernel.decode,
        kernel.predict_symbols,
        kernel.score_codes,
        kernel.count_symbols,
        publish.walk,
    ],
)
def test_loops_close_over_plain_numbers_only(make):
    """Numba's key has the values that a loop closes over; another loop among them has a new one in each process."""
    loop = make(3).py_func
    assert [type(cell.cell_contents) for cell in loop.__closure__] == [int]
