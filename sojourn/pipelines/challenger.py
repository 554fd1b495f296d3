"""Training a challenger for an outcome of a playbook, and judging it against the model in use, on recent customers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sojourn.errors import EventsError, Problem, SojournError
from sojourn.frames import F8
from sojourn.pages.words import say_drift
from sojourn.playbook import Playbook
from sojourn.predict import (
    Cuts,
    Encoding,
    Gap,
    Prediction,
    Reader,
    Verdict,
    choose_instants,
    decide,
    describe_reader,
    describe_shares,
    draw_events,
    find_future_knowledge,
    find_outcome,
    hash_meaning,
    horizon_of,
    input_table,
    join_protected,
    label_of,
    learn_outcome,
    load_reader,
    make_learning_table,
    measure_drift,
    measure_gain,
    measure_gaps,
    rows_of,
    score_p,
    time_folds,
    to_p,
)
from sojourn.states import StateModel

PREDICTED = "predicted"
"""The column of a model's own predictions among those whose drift is measured."""


@dataclass(frozen=True)
class Asked:
    """How to train: what acting costs and brings, how long to try, and whom to look at in the audit."""

    cost: float = 1.0
    benefit: float = 5.0
    budget_s: float | None = None
    seed: int = 0
    protected: pa.Table | None = None  # customer_id, and a column per attribute
    is_drift_needed: bool = False


@dataclass(frozen=True, eq=False)
class InUse:
    """The model in use: its record, and what reads it."""

    record: Mapping[str, Any]
    reader: Reader


@dataclass(frozen=True, eq=False)
class Retrained:
    """What came of it: a verdict; the challenger's record and card where one was trained; the drift that was found."""

    outcome: str
    verdict: Verdict
    drift: pa.Table | None
    record: dict[str, Any] | None = None
    prediction: Prediction | None = None
    cuts: Cuts | None = None
    audit: Mapping[str, Any] | None = None


def retrain_outcome(
    events: pa.Table,
    book: Playbook,
    name: str,
    states: StateModel,
    *,
    now: datetime | None = None,
    champion: Mapping[str, Any] | None = None,
    asked: Asked = Asked(),
) -> Retrained:
    """Train a challenger on what is known now, and decide whether it takes the place of ``champion``, a record.

    Nothing is trained while the champion knows the outcomes that the two would be compared on, nor, where drift is
    asked for, while there is none. Raises EventsError where the history is too short or too few have the outcome.
    """
    outcome = find_outcome(book, name)
    last = now or events["event_at"][-1].as_py()
    cuts = choose_instants(events["event_at"][0].as_py(), last, horizon_of(outcome))
    if cuts is None:
        raise EventsError(Problem(f"outcome '{name}'", "the history is shorter than what is to be foreseen, twice"))
    used = InUse(champion, _read_champion(name, champion)) if champion else None
    drift = _measure_drift(events, book, states, used, last)
    if champion and datetime.fromisoformat(champion["data_to"]) > cuts.test:
        why = f"too early: the model in use knows what happened up to {champion['data_to'][:10]}, and a comparison "
        return Retrained(name, _keep(f"{why}needs {cuts.horizon_s / 86_400:g} days after that"), drift)
    if asked.is_drift_needed and drift is not None and not say_drift(drift):
        return Retrained(name, _keep("nothing has drifted"), drift)
    return replace(_train(events, book, cuts, states, name, used, asked), drift=drift)


def _read_champion(name: str, champion: Mapping[str, Any]) -> Reader:
    """The model of a record. Raises SojournError for one that somebody has changed."""
    try:
        datetime.fromisoformat(champion["data_to"])
        float(champion["threshold"])
        dict(champion["reference"])
        return load_reader(dict(champion["model"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"the record of the version in use is damaged ({type(error).__name__}: {error})"
        raise SojournError(Problem(f"model '{name}'", what, command=f"sojourn models {name} --use VERSION")) from None


def _keep(why: str) -> Verdict:
    return Verdict(False, why, None, (), ())


def _measure_drift(
    events: pa.Table, book: Playbook, states: StateModel, used: InUse | None, now: datetime
) -> pa.Table | None:
    """How those who are predicted now differ from those whom the champion was made for."""
    if used is None:
        return None
    reader = used.reader
    known = input_table(events, book, now, states)
    if not _missing(reader, known):
        p = to_p(reader.log_odds(reader.encoding.encode(known)))
        known = known.append_column(PREDICTED, pa.array(p))
    return measure_drift(used.record["reference"], known)


def _missing(reader: Reader, table: pa.Table) -> list[str]:
    return [name for name in reader.encoding.columns if name not in table.column_names]


def _train(
    events: pa.Table, book: Playbook, cuts: Cuts, states: StateModel, name: str, used: InUse | None, asked: Asked
) -> Retrained:
    rng = np.random.default_rng(asked.seed)
    sample, outcome = draw_events(events, rng), find_outcome(book, name)
    made = make_learning_table(
        sample, book, outcome, cuts.instants, gap_s=cuts.gap_s, horizon_s=cuts.horizon_s, now=cuts.now, states=states
    )
    x, at, until, group = rows_of(made)
    y = label_of(made, sample, outcome)
    found = learn_outcome(
        name,
        x,
        y,
        Encoding(made.inputs, tuple(None for _ in made.inputs)),
        time_folds(group, until, at, seed=asked.seed),
        cost=asked.cost,
        benefit=asked.benefit,
        budget_s=asked.budget_s,
        seed=asked.seed,
        more_leaks=find_future_knowledge(x, y, made.inputs, group, at),
    )
    tested = made.table.take(pa.array(found.choice.test))
    happened = found.choice.happened
    challenger_p = to_p(found.choice[found.choice.deployed].log_odds)
    champion_p: F8 | None = None
    if used is not None and not _missing(used.reader, tested):
        champion_p = to_p(used.reader.log_odds(used.reader.encoding.encode(tested)))
    gain = measure_gain(champion_p, challenger_p, happened) if champion_p is not None else None
    gaps = _audit(tested, champion_p, challenger_p, happened, found, used, asked)
    verdict = decide(gain, *gaps, is_audited=asked.protected is not None)
    known = input_table(events, book, cuts.now, states)
    scores = score_p(challenger_p, happened)
    audit = {gap.attribute: {"ratio": gap.ratio, "low": gap.low, "high": gap.high} for gap in gaps[1]}
    record = _make_record(found, cuts, known, made.inputs, scores, states, hash_meaning(book, name))
    return Retrained(name, verdict, None, record, found, cuts, audit)


def _audit(
    tested: pa.Table,
    champion_p: F8 | None,
    challenger_p: F8,
    happened: NDArray[np.bool_],
    found: Prediction,
    used: InUse | None,
    asked: Asked,
) -> tuple[tuple[Gap, ...], tuple[Gap, ...]]:
    """The gaps of the champion's choice and of the challenger's, each with its own threshold."""
    if asked.protected is None:
        return (), ()
    values = join_protected(tested["customer_id"].combine_chunks(), asked.protected)
    rng = np.random.default_rng(asked.seed)
    after = measure_gaps(challenger_p >= found.threshold.p, happened, values, rng=rng)
    if champion_p is None or used is None:
        return (), after
    return measure_gaps(champion_p >= used.record["threshold"], happened, values, rng=rng), after


def _make_record(
    found: Prediction,
    cuts: Cuts,
    known: pa.Table,
    inputs: tuple[str, ...],
    scores: Any,
    states: StateModel,
    meaning: str,
) -> dict[str, Any]:
    p = to_p(found.reader.log_odds(found.reader.encoding.encode(known)))
    with_p = known.append_column(PREDICTED, pa.array(p))
    return {
        "model": describe_reader(found.reader),
        "deployed": found.choice.deployed,
        "threshold": found.threshold.p,
        "base_rate": found.base_rate,
        "data_from": cuts.train[0].isoformat(),
        "data_to": cuts.now.isoformat(),
        "states": states.hash,  # whose posteriors are among the inputs
        "meaning": meaning,  # of events, features and the outcome
        "n_customers": known.num_rows,
        "metrics": scores.as_dict(),
        "reference": describe_shares(with_p, [*inputs, PREDICTED]),
    }
