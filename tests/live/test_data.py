"""The data of others through HTTP, in no order and twice: the same as `sojourn run` on the file."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from sojourn.live.replay.calls import read_calls
from sojourn.pipelines.run import run
from sojourn.playbook.load import load_playbook
from tests import ROOT
from tests.live.engine_world import SECOND, cut, make_project, open_engine, shuffle
from tests.live.test_live import compare
from tests.server.test_server import Web

EXAMPLES = ROOT / "examples"


@pytest.mark.slow
@pytest.mark.data
def test_a_shop_through_http_is_as_in_batch(tmp_path: Path, data_dir: Path) -> None:
    book = load_playbook(str(EXAMPLES / "ecom_v5" / "playbook.yaml"))
    file = str(data_dir / "ecom_v5" / "ecom_v5.csv.gz")
    calls = read_calls(file, book)
    assert len(calls) == 31_106
    begin, rng = time.time_ns() // 1_000, np.random.default_rng(5)
    now = begin + 3_600 * SECOND
    results = run(file, book, now=datetime.fromtimestamp(now / 1e6, UTC), n_threads=2)
    raw = calls.write(0, len(calls))
    order = shuffle([(at, 0) for at in calls.at.tolist()], rng)
    project = make_project(tmp_path / "p", book.text, results.model)
    with open_engine(project, begin) as engine:
        web = Web(engine)
        previous: list[int] = []
        for rows in cut(order, rng, 2_500):
            again = previous[: len(rows) // 5]
            body = b'{"batch":[%s]}' % b",".join(raw[row] for row in [*rows, *again])
            assert web.post("/v1/batch", body).status_code == 200
            previous = rows
            engine.pass_time(float(rng.choice([0.0, 1.0])))
        engine.now = now
        engine.settle()
        assert engine.live.version.counts["accepted"] == 31_106
        assert engine.live.version.counts["duplicate"] > 1_000
        compare(engine, results, now)
