"""Compiling ahead does the whole job, so that no loop of a run is left out."""

from __future__ import annotations

import pytest

from sojourn.pipelines.stages import compile_ahead


def test_every_stage_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile_ahead, "N_CUSTOMERS", 40)
    stages: list[str] = []
    compile_ahead.compile_all(lambda stage, n_done, n_all: stages.append(stage))
    assert {"number customers", "fit states", "infer states", "trace journeys", "grow values"} <= set(stages)
