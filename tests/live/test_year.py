"""Windows of up to a year, live: every feature at many instants is what batch reads from the events up to then."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from sojourn.events.read import read_events
from sojourn.fold.batch import fold_events, make_batch, read_features
from sojourn.fold.layout import build_layout
from sojourn.live.replay.calls import read_calls
from sojourn.playbook.load import parse_playbook
from tests.live.engine_world import SECOND, make_project, open_engine

DAY = 86_400 * SECOND
START = datetime(2024, 1, 1, tzinfo=UTC)
LENGTHS = ("1h", "36h", "7d", "30d", "90d", "180d", "365d")
BOOK = (
    """
playbook: year
source: {customer: [user_id], time: timestamp, event: event, id: message_id}
events:
  look: {name: Looked}
  buy: {name: Bought, measures: {revenue: total}}
features:
"""
    + "".join(
        f"  looks_{i}: count(look, within={length})\n"
        f"  few_buys_{i}: count(buy, within={length}, at_most=8)\n"
        f"  spend_{i}: sum(revenue, within={length})\n"
        for i, length in enumerate(LENGTHS)
    )
    + """
  had_both: "matches(pair, within=365d)"
  last_look: recency(look)
moments:
  pair: {sequence: [look, buy], within: 365d}
fingerprint: [last_look, looks_6]
states:
  active: {job: Buy., typical: {buy: 3}, typical_gap: 20d}
  away: {job: Live., typical: {look: 2}, typical_gap: 120d}
"""
)


def make_rows(rng: np.random.Generator, n: int = 900, n_customers: int = 12, days: int = 430) -> pa.Table:
    """Events of bursts and long silences over more than a year, some of them a year apart to the microsecond."""
    at = np.sort(rng.integers(0, days * DAY, n))
    at[n // 2 : n // 2 + 40] = at[:40] + 365 * DAY
    at = np.sort(at[at < days * DAY])
    start = int(START.timestamp() * SECOND)
    is_buy = rng.random(len(at)) < 0.3
    return pa.table(
        {
            "user_id": [f"u{i}" for i in rng.integers(0, n_customers, len(at))],
            "timestamp": pa.array(at + start, pa.timestamp("us", "UTC")),
            "event": np.where(is_buy, "Bought", "Looked"),
            "total": np.where(is_buy, rng.integers(1, 500, len(at)), np.nan),
            "message_id": [f"m{i}" for i in range(len(at))],
        }
    )


def test_every_window_up_to_a_year_is_kept_live(tmp_path: Path) -> None:
    seed = 11
    print(f"seed {seed}")
    rows = make_rows(np.random.default_rng(seed))
    book = parse_playbook(BOOK)
    calls = read_calls(rows, book)
    at = calls.at.tolist()
    days = [2, 30, 91, 181, 300, 364, 365, 366, 380, 429, 500, 800]
    layout = build_layout(book)
    clock = datetime(2030, 1, 1, tzinfo=UTC)
    log = read_events(rows, book, now=clock, clock=clock)
    n_done = 0
    with open_engine(make_project(tmp_path / "p", BOOK), at[0]) as engine:
        for day in days:
            until = int(START.timestamp() * SECOND) + day * DAY
            end = int(np.searchsorted(at, until, side="right"))
            for begin in range(n_done, end, 40):
                stop = min(begin + 40, end)
                engine.now = max(engine.now, at[stop - 1])
                engine.send(calls.write(begin, stop))
            n_done = end
            engine.now = max(engine.now, until)
            engine.settle()
            events = log.events.slice(0, end)
            batch = make_batch(events, book)
            expected = read_features(layout, fold_events(layout, batch).vectors, engine.now)
            for name, theirs in zip(batch.ids.names().to_pylist(), expected, strict=True):
                found = engine.live.customer(name)
                assert found is not None
                mine = [np.nan if value is None else value for value in found["features"].values()]
                np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-9, err_msg=f"{name} on day {day}")
    assert n_done == len(at)
