"""The job `explain`: one customer of a finished run; state, reasons, what would flip it, what happened lately."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sojourn.errors import Problem, SojournError, nearest
from sojourn.pipelines.results import ResultsFolder
from sojourn.states import find_flip, load_model
from sojourn.states.hmm import Model

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
    >>> from sojourn.simulation.customers import simulate
    >>> with TemporaryDirectory() as folder:
    ...     results = run(simulate(30, days=40, seed=1).events, "shop", out=folder, n_threads=1)
    ...     told = explain(folder, "c0000001")
    >>> round(sum(told["posterior"].values()), 6)
    1.0
    """
    folder = ResultsFolder(Path(out))
    if not folder.has("customers"):
        command = f"sojourn run EVENTS --playbook PLAYBOOK --out {folder.path}"
        raise SojournError(Problem(str(folder.path), "holds no results of a run", command=command))
    row = _read_customer(folder, customer_id)
    model = load_model(folder.read_json("model"))
    return {
        **{k: row[k] for k in ("customer_id", "state", "since_at", "state_p", "runner_up")},
        **{k: row[k] for k in ("first_at", "last_at", "n_events")},
        "posterior": {name: row[f"p_{name}"] for name in model.states},
        "reasons": row["reasons"] or [],
        "flip": _describe_flip(folder, model, row),
        "features": {k[2:]: v for k, v in row.items() if k.startswith("f_")},
        "transitions": _read_rows(folder, "transitions", customer_id),
        "events": _read_rows(folder, "history", customer_id)[-_N_RECENT:],
    }


def _read_rows(folder: ResultsFolder, name: str, customer_id: str) -> list[dict[str, Any]]:
    """All rows of one customer; Parquet's statistics skip the parts of the file without them."""
    return [_as_text(row) for row in folder.read(name, customer_id=customer_id).to_pylist()]


def _as_text(row: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v.isoformat() if hasattr(v, "isoformat") else v for k, v in row.items()}


def _read_customer(folder: ResultsFolder, customer_id: str) -> dict[str, Any]:
    rows = _read_rows(folder, "customers", customer_id)
    if rows:
        return rows[0]
    known = folder.read("customers", ["customer_id"])["customer_id"]
    near = nearest(customer_id, known.slice(0, 20_000).to_pylist())
    raise SojournError(Problem(str(folder.path), f"no customer '{customer_id}' among {len(known):,}", near=near))


def _describe_flip(folder: ResultsFolder, model: Model, row: Mapping[str, Any]) -> dict[str, Any] | None:
    if row["state"] is None:
        return None
    last = folder.read("last_seen", customer_id=row["customer_id"]).to_pylist()[0]
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
