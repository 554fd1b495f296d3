"""One customer of a finished run, explained: state, reasons, what would flip it, what happened lately."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sojourn.errors import Problem, SojournError, nearest
from sojourn.states.hmm.model import Model
from sojourn.states.model_file import load_model
from sojourn.states.reasons import find_flip

_N_RECENT = 20


def explain(out: str | Path, customer_id: str) -> dict[str, Any]:
    """Why a customer is in their state, from the folder that a run wrote.

    Returns ``customer_id``, ``state``, ``since_at``, ``state_p``, ``runner_up``, ``first_at``, ``last_at``,
    ``n_events``, ``posterior`` (by state), ``reasons`` (list of ``what``, ``weight``: log-odds against the
    runner-up that add up), ``flip`` (``to_state`` and either ``changes``: list of ``seen``, ``instead`` at the
    last event, or ``next_event`` and ``n_next``: that event so many times in a row; None when nothing of the kind
    flips it), ``features``, ``transitions`` (all) and ``events`` (the latest 20), times as ISO text.
    Raises :class:`~sojourn.errors.SojournError` when the folder holds no results, or not this customer.

    >>> from tempfile import TemporaryDirectory
    >>> from sojourn.pipelines.run import run
    >>> from sojourn.simulation.simulate import simulate
    >>> with TemporaryDirectory() as folder:
    ...     results = run(simulate(30, days=40, seed=1).events, "shop", out=folder, n_threads=1)
    ...     told = explain(folder, "c0000001")
    >>> round(sum(told["posterior"].values()), 6)
    1.0
    """
    folder = Path(out)
    if not (folder / "customers.parquet").exists():
        command = f"sojourn run EVENTS --playbook PLAYBOOK --out {folder}"
        raise SojournError(Problem(str(folder), "holds no results of a run", command=command))
    row = _read_customer(folder, customer_id)
    model = load_model(json.loads((folder / "model.json").read_text(encoding="utf-8")))
    return {
        **{k: row[k] for k in ("customer_id", "state", "since_at", "state_p", "runner_up")},
        **{k: row[k] for k in ("first_at", "last_at", "n_events")},
        "posterior": {name: row[f"p_{name}"] for name in model.states},
        "reasons": row["reasons"] or [],
        "flip": _describe_flip(folder, model, row),
        "features": {k[2:]: v for k, v in row.items() if k.startswith("f_")},
        "transitions": _read_rows(folder / "transitions.parquet", customer_id),
        "events": _read_rows(folder / "history.parquet", customer_id)[-_N_RECENT:],
    }


def _read_rows(path: Path, customer_id: str) -> list[dict[str, Any]]:
    """All rows of one customer; Parquet's statistics skip the parts of the file without them."""
    table = pq.read_table(path, filters=pc.field("customer_id") == customer_id)
    return [_as_text(row) for row in table.to_pylist()]


def _as_text(row: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v.isoformat() if hasattr(v, "isoformat") else v for k, v in row.items()}


def _read_customer(folder: Path, customer_id: str) -> dict[str, Any]:
    rows = _read_rows(folder / "customers.parquet", customer_id)
    if rows:
        return rows[0]
    known = pq.read_table(folder / "customers.parquet", columns=["customer_id"])["customer_id"]
    near = nearest(customer_id, known.slice(0, 20_000).to_pylist())
    raise SojournError(Problem(str(folder), f"no customer '{customer_id}' among {len(known):,}", near=near))


def _describe_flip(folder: Path, model: Model, row: Mapping[str, Any]) -> dict[str, Any] | None:
    if row["state"] is None:
        return None
    seen = pq.read_table(folder / "last_seen.parquet", filters=pc.field("customer_id") == row["customer_id"])
    last: pa.Table = seen.to_pylist()[0]
    symbols, posterior = np.array(last["symbols"], np.uint8), np.array(last["posterior"])
    flip = find_flip(model, symbols, posterior, last["n_ticks"], model.states.index(row["state"]))
    if flip is None:
        return None
    return {
        "to_state": flip.to_state,
        "changes": [{"seen": seen, "instead": instead} for seen, instead in flip.changes],
        "next_event": flip.next_event,
        "n_next": flip.n_next,
    }
