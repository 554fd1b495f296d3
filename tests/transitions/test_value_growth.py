"""Growth of value by move: planted growth inside its interval, against those who stayed, and why there is none."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from sojourn.pages.words.value import say_growth
from sojourn.predict.value.growth import GROWTH, Landmarks, choose_landmarks, grow_by_move, states_at
from sojourn.transitions.stays import Stays

STATES = ("new", "keen", "lost")


def plant(rng, n=400, weeks=6):
    """Values drift down by 1 a week in any state and by more in week 3; turning keen adds 5, whoever does it."""
    state = np.zeros((n, weeks), np.int64)
    for k in range(1, weeks):
        moved = rng.random(n) < (0.25 if k == 3 else 0.05)
        state[:, k] = np.where(moved, 1 - state[:, k - 1], state[:, k - 1])
    drift = np.cumsum(np.where(np.arange(weeks) == 3, 4.0, 1.0))
    value = rng.gamma(2, 10, n)[:, None] - drift + 5.0 * (state == 1) + rng.normal(0, 2, (n, weeks))
    return Landmarks(tuple(range(6, 6 + 7 * weeks, 7)), state, value, 0.5)


def test_planted_growth_is_found_and_nine_in_ten_intervals_hold_it():
    """Against those who stayed in the same weeks, the drift of everybody is gone; the plain growth keeps it."""
    inside, n = 0, 150
    for seed in range(n):
        table = grow_by_move(plant(np.random.default_rng(seed)), STATES)
        row = next(r for r in table.to_pylist() if (r["from_state"], r["to_state"]) == ("new", "keen"))
        inside += row["against_low"] <= 5.0 <= row["against_high"]
        assert row["growth"] < row["against_stayed"]
        assert row["growth_stayed"] < -1
    assert 0.89 <= inside / n <= 1.0


def test_customers_are_what_counts_not_rows():
    """The same customers ten times over as weeks of theirs are no more evidence than once."""
    rng = np.random.default_rng(0)
    once = rng.normal(3, 4, 60)
    state = np.tile([0, 1], (60, 10))
    value = np.zeros((60, 20))
    value[:, 1::2] = once[:, None]
    row = grow_by_move(Landmarks(tuple(range(20)), state, value, 0.5), STATES).to_pylist()[0]
    assert (row["n_moves"], row["n_customers"]) == (600, 60)
    half = 1.96 * once.std() / np.sqrt(60)
    assert np.isclose(row["growth_high"] - row["growth"], half)
    assert row["growth_stayed"] is None
    assert "those who stayed" not in say_growth(row)


def test_where_there_is_no_number_the_row_says_why():
    few = grow_by_move(plant(np.random.default_rng(0), n=30), STATES)
    assert all("are needed" in why for why in few["why_not"].to_pylist())
    found = plant(np.random.default_rng(0))
    blind = grow_by_move(Landmarks(found.days, found.state, found.value, float("nan")), STATES)
    assert blind["growth"].null_count == blind.num_rows > 0
    told = grow_by_move("nobody has bought", STATES, [(0, 1)])
    assert told.schema == GROWTH
    assert told["why_not"].to_pylist() == ["nobody has bought"]


def test_learned_days_have_their_whole_horizon_and_all_are_sundays():
    for last in range(0, 200, 13):
        told, learned = choose_landmarks(0, last)
        assert all((day + 1) % 7 == 4 for day in told)  # the day after is a Monday: 1970-01-05 is the fifth
        assert all(day + 28 <= last for day in learned)


def test_states_are_those_of_the_instant():
    codes = np.array([0, 0, 1], np.int32)
    stays = Stays(
        STATES, 3, codes, np.array([0, 1, 2], np.int32), np.array([1, -1, -1], np.int32),
        np.array([10, 20, 30]), np.array([20, 90, 90]),
    )  # fmt: skip
    assert states_at(stays, 5).tolist() == [-1, -1, -1]
    assert states_at(stays, 19).tolist() == [0, -1, -1]
    assert states_at(stays, 20).tolist() == [1, -1, -1]
    assert states_at(stays, 90).tolist() == [1, 2, -1]


def test_the_table_has_the_largest_growth_against_those_who_stayed_first():
    table = grow_by_move(plant(np.random.default_rng(1)), STATES)
    gains = [one for one in table["against_stayed"].to_pylist() if one is not None]
    assert gains == sorted(gains, reverse=True)
    assert isinstance(table, pa.Table)
