"""The job `predict`: what customers will do next, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

from sojourn.errors import Problem, SojournError, nearest
from sojourn.frames import DAY_S, Progress, plain
from sojourn.pages import render_predictions
from sojourn.pages.words import say_added, say_warning
from sojourn.pipelines.inputs import ignore, read_log, read_playbook, read_table
from sojourn.pipelines.results import ResultsFolder
from sojourn.playbook import Playbook
from sojourn.predict import (
    Ahead,
    Foreseen,
    Prediction,
    describe_prediction,
    find_outcome,
    look_ahead,
    predict_outcomes,
    predict_table,
)


@dataclass(frozen=True, eq=False)
class Predicted:
    """What was predicted: of events ``outcomes`` and what lies ahead, of a plain table ``label``.

    ``tables``: ``predictions``, of events also ``next_state`` and ``next_time``. ``facts``: what
    ``prediction_models.json`` holds, models included.
    """

    facts: Mapping[str, Any]
    tables: Mapping[str, pa.Table]
    outcomes: tuple[Foreseen, ...] = ()
    ahead: Ahead | None = None
    label: Prediction | None = None

    def as_dict(self) -> dict[str, Any]:
        """The facts without the models, which can be long."""
        cards = [{k: v for k, v in card.items() if k != "model"} for card in self.facts["outcomes"]]
        return {**self.facts, "outcomes": cards}


def predict(
    events: Any,
    playbook: str | Path | Playbook,
    *,
    outcomes: Sequence[str] = (),
    horizon_days: float | None = None,
    gap_days: float = 0.0,
    cost: float = 1.0,
    benefit: float = 5.0,
    budget_s: float = 120.0,
    out: str | Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Predicted:
    """The outcomes of the playbook (or those named) predicted for every customer, with reasons that add up.

    Models are compared on later time and other customers; the most readable of the best is taken. Without
    ``outcomes``, the next state, the next purchase and an early warning of churn as well. ``cost`` and ``benefit``:
    what acting on one customer costs, and what acting on the right one brings. ``budget_s``: after so long no further
    kind of model is tried. With ``out`` tables, models and a page are written there.

    >>> from sojourn.simulation.customers import simulate
    >>> found = predict(simulate(60, days=20, seed=1).events, "shop", outcomes=["churn"], budget_s=1)
    >>> found.outcomes[0].outcome, found.outcomes[0].why_not is not None
    ('churn', True)
    """
    book, tell = read_playbook(playbook), progress or ignore
    for name in outcomes:
        find_outcome(book, name)  # said before the work starts
    horizon_s = None if horizon_days is None else horizon_days * DAY_S
    log = read_log(events, book, tell)
    found = predict_outcomes(
        log.events,
        book,
        outcomes=outcomes,
        gap_s=gap_days * DAY_S,
        horizon_s=horizon_s,
        cost=cost,
        benefit=benefit,
        budget_s=budget_s,
        seed=seed,
        progress=tell,
    )
    ahead = look_ahead(log.events, book, horizon_s=horizon_s, seed=seed) if not outcomes else None
    facts: dict[str, Any] = {"source": list(log.sources), "playbook_hash": book.hash, "seed": seed}
    facts["outcomes"] = [_describe_foreseen(one) for one in found]
    if ahead is not None:
        facts["ahead"] = ahead.as_dict()
    predicted = Predicted(facts, _list_tables(found, ahead), found, ahead)
    warning = say_warning(ahead.warning) if ahead is not None and ahead.warning else None
    _write(predicted, out, warning)
    return predicted


def predict_label(
    table: Any,
    label: str,
    *,
    positive: str | None = None,
    without: Sequence[str] = (),
    cost: float = 1.0,
    benefit: float = 5.0,
    budget_s: float = 120.0,
    out: str | Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Predicted:
    """The column ``label`` of a plain table predicted from the other columns, such as a list of churned customers.

    ``positive``: the value that means yes. ``without``: columns to leave out. All else as :func:`predict`.

    >>> rows = pa.table({"visits": [1, 2, 8, 9] * 20, "stayed": ["no", "no", "yes", "yes"] * 20})
    >>> predict_label(rows, "stayed", budget_s=0).label.n_rows
    80
    """
    rows = read_table(table, [label])
    for name in without:
        if name not in rows.column_names:
            raise SojournError(Problem("--without", f"there is no column '{name}'", nearest(name, rows.column_names)))
    found, predictions = predict_table(
        rows,
        label,
        positive=positive,
        without=without,
        cost=cost,
        benefit=benefit,
        budget_s=budget_s,
        seed=seed,
        progress=progress or ignore,
    )
    source = str(table) if isinstance(table, (str, Path)) else "a table in memory"
    facts = {"source": source, "rows": rows.num_rows, "outcomes": [_describe(found)]}
    predicted = Predicted(facts, {"predictions": predictions}, label=found)
    _write(predicted, out)
    return predicted


def _list_tables(found: Sequence[Foreseen], ahead: Ahead | None) -> dict[str, pa.Table]:
    rows = [one.rows for one in found if one.rows is not None]
    tables = {"predictions": pa.concat_tables(rows)} if rows else {}
    if ahead is not None and ahead.next_state is not None:
        tables["next_state"] = ahead.next_state.rows
    if ahead is not None and ahead.next_time is not None:
        tables["next_time"] = ahead.next_time.rows
    return tables


def _describe(found: Prediction) -> dict[str, Any]:
    return {**describe_prediction(found), "code_version": version("sojourn")}


def _describe_foreseen(found: Foreseen) -> dict[str, Any]:
    card: dict[str, Any] = {"outcome": found.outcome, "why_not": found.why_not}
    if found.cuts is not None:
        card["window"] = {
            "train_at": [plain(at) for at in found.cuts.train],
            "test_at": plain(found.cuts.test),
            "now": plain(found.cuts.now),
            "gap_s": found.cuts.gap_s,
            "horizon_s": found.cuts.horizon_s,
        }
    if found.prediction is not None and found.added is not None:
        card |= _describe(found.prediction)
        card["inputs"] = found.added.to_pylist()
        card["inputs_in_words"] = say_added(found.added)
    return card


def _write(predicted: Predicted, out: str | Path | None, warning: str | None = None) -> None:
    if out is None:
        return
    with ResultsFolder(Path(out)).write() as draft:
        for name, table in predicted.tables.items():
            draft.add_table(name, table)
        draft.add_json("prediction_models", predicted.facts)
        draft.add_text("predictions.html", render_predictions(predicted.facts, warning))
