"""Predictions for live customers: a model must fit the version in use, else it is refused with the reason.

A model reads the inputs of its learning table (:mod:`sojourn.predict.learning`), as of this instant: the features of
the fold,
the habits of a customer's own events, and the posterior of the states. Nothing is imputed: a model that reads anything
else, or was trained where an input meant something else, predicts nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np

from sojourn.errors import Problem, SojournError, nearest
from sojourn.frames import F8, Rows, show_instant
from sojourn.live.engine.version import Deployed, Inputs, InUse, Refused, Version, score
from sojourn.predict import (
    HABITS,
    N_REASONS,
    Card,
    compile_chance,
    compile_score,
    compile_split,
    find_outcome,
    hash_meaning,
    load_reader,
)

NO_EVENTS = "there is no event of their own yet"


def list_inputs(version: Version) -> list[str]:
    """The names of all inputs that a model may read, in the order of :func:`read_inputs`."""
    features = [f"f_{name}" for name in version.steps.layout.feature_names]
    return [*features, *HABITS, *(f"p_{name}" for name in version.state_model.model.states)]


def fit_model(version: Version, card: Card, record: Mapping[str, Any]) -> InUse:
    """The model of the registry as this version can use it, or why it cannot."""
    try:
        return _fit(version, card, record)
    except SojournError as error:
        return Refused(card.name, card.version, error.problems[0])


def _fit(version: Version, card: Card, record: Mapping[str, Any]) -> Deployed:
    where = f"model '{card.name}', version {card.version}"
    again = f"sojourn retrain EVENTS --playbook playbook.yaml --outcome {card.name}"

    def fail(what: str, near: str | None = None) -> SojournError:
        return SojournError(Problem(where, what, near, again))

    outcome = find_outcome(version.playbook, card.name)
    is_same_text = card.playbook == version.playbook.hash
    if not is_same_text and record.get("meaning") != hash_meaning(version.playbook, card.name):
        raise fail(
            f"it was made with another playbook ({card.playbook[:12]}) than that of version {version.number}, which is "
            f"in use ({version.playbook.hash[:12]}): events, features or the outcome mean something else there"
        )
    try:
        reader = load_reader(dict(record["model"]))
        threshold, data_to = float(record["threshold"]), str(record["data_to"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise fail(f"its record is damaged ({type(error).__name__}: {error})") from None
    offered = list_inputs(version)
    place = {name: i for i, name in enumerate(offered)}
    for name, levels in zip(reader.encoding.columns, reader.encoding.levels, strict=True):
        if name not in place or levels is not None:
            what = f"it reads '{name}', which a live engine does not have: only features, habits and states"
            raise fail(what, nearest(name, offered))
    reads_states = any(name.startswith("p_") for name in reader.encoding.columns)
    if reads_states and record.get("states") != version.state_model.hash:
        what = "it reads the states of another state model than the one in use: train it with --states RESULTS, "
        raise fail(f"{what}the folder that was deployed")
    columns = np.array([place[name] for name in reader.encoding.columns], np.int64)
    silence_us = None if outcome.silence_s is None else round(outcome.silence_s * 1e6)
    compiled = compile_score(reader.model, columns, where)
    probe = np.vstack([np.full(len(offered), np.nan), np.zeros(len(offered)), np.ones(len(offered))])
    try:
        plain = reader.log_odds(probe[:, columns])
        split = compile_split(reader, where)
        split(np.ascontiguousarray(probe[:, columns]))
        is_same = np.allclose(reader.slope * compiled(probe) + reader.shift, plain, rtol=1e-9, atol=1e-9)
    except (IndexError, ValueError, TypeError) as error:
        raise fail(f"it cannot be computed ({type(error).__name__}: {error})") from None
    if not is_same:
        raise fail("it gives no number where everything is missing")
    return Deployed(
        card.name,
        card.version,
        card.kind,
        threshold,
        data_to,
        reader,
        compiled,
        compile_chance(reader, silence_us),
        split,
        columns,
        silence_us,
    )


def read_inputs(version: Version, rows: Rows, now: int) -> Inputs:
    """The inputs of models for these customers now; [rows, :func:`list_inputs`]. NaN is missing.

    A customer whose last event lies later than ``now``, because clocks differ, is read as of that event.
    """
    return version.steps.gather_inputs(version.customers, version.identities.graph, version.event_files, rows, now)


def score_rows(version: Version, rows: Rows, now: int) -> dict[str, F8]:
    """Per outcome the probability for these customers now; NaN where the model does not apply."""
    models = [model for model in version.models if isinstance(model, Deployed)]
    if not models:
        return {}
    inputs = read_inputs(version, rows, now)
    return {model.outcome: score(model, inputs) for model in models}


def show_predictions(version: Version, row: int, now: int) -> dict[str, Any]:
    """Per outcome the prediction for a customer now, with reasons that add up to it, or why there is none."""
    found: dict[str, Any] = {}
    inputs = read_inputs(version, np.array([row], np.int32), now) if row >= 0 and version.models else None
    at, silence = inputs.when[0].tolist() if inputs is not None else (now, -1)
    for model in version.models:
        head = {"p": None, "at": show_instant(at), "version": model.version}
        if isinstance(model, Refused):
            found[model.outcome] = head | {"why_not": str(model.problem)}
        elif inputs is None or silence < 0:
            found[model.outcome] = head | {"model": model.kind, "why_not": NO_EVENTS}
        elif model.silence_us is not None and silence >= model.silence_us:
            why = "it has happened: they are silent for longer than is foreseen"
            found[model.outcome] = head | {"model": model.kind, "why_not": why}
        else:
            prediction = {"p": float(score(model, inputs)[0]), "model": model.kind}
            x = np.ascontiguousarray(inputs.values[:, model.columns])
            found[model.outcome] = head | prediction | {"reasons": _list_reasons(model, x)}
    return found


def _list_reasons(model: Deployed, x: F8) -> list[dict[str, Any]] | None:
    """The reasons of :func:`sojourn.predict.reasons.reasons_of` for one row."""
    found = model.split(x)
    if found is None:
        return None
    [parts], base = found
    most = np.argsort(-np.abs(parts), kind="stable")[:N_REASONS].tolist()
    names = model.reader.encoding.columns
    rest = float(parts.sum() - parts[most].sum()) + base
    return [*({"what": names[c], "weight": float(parts[c])} for c in most), {"what": "all else", "weight": rest}]


def predict_customers(version: Version, ids: Sequence[str], now: int) -> list[dict[str, float]]:
    """Per customer the probability of each outcome now, where there is one. All customers are scored at once."""
    rows = version.rows.find(np.array([version.identities.find(id) for id in ids], np.int32))
    known = np.flatnonzero(rows >= 0)
    scores = score_rows(version, rows[known], now)
    found: list[dict[str, float]] = [{} for _ in ids]
    for outcome, p in scores.items():
        for i, value in zip(known.tolist(), p.tolist(), strict=True):
            if isfinite(value):
                found[i][outcome] = value
    return found


def list_models(version: Version) -> list[dict[str, Any]]:
    """Every model of the registry that is in use: what it is, or why this version cannot use it."""
    return [
        {"outcome": one.outcome, "version": one.version, "why_not": str(one.problem)}
        if isinstance(one, Refused)
        else {
            "outcome": one.outcome,
            "version": one.version,
            "model": one.kind,
            "threshold": one.threshold,
            "data_to": one.data_to,
            "inputs": list(one.reader.encoding.columns),
            "why_not": None,
        }
        for one in version.models
    ]
