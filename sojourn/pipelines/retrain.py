"""Training a challenger for an outcome of a playbook, and judging it against the model in use, on recent customers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import sojourn
from sojourn.cli import print as output
from sojourn.errors import EventsError, Problem, SojournError
from sojourn.pages.words.predictions import say_drift
from sojourn.pipelines.inputs import read_log
from sojourn.playbook.objects import Playbook
from sojourn.predict.choose import time_folds
from sojourn.predict.drift import describe_shares, measure_drift
from sojourn.predict.encoding import Encoding
from sojourn.predict.from_events import Cuts, choose_instants, draw_events, input_table, label_of, rows_of
from sojourn.predict.leaks import find_future_knowledge
from sojourn.predict.learning import find_outcome, hash_meaning, horizon_of, make_learning_table
from sojourn.predict.outcome import Prediction, describe_reader, learn_outcome, load_reader
from sojourn.predict.reasons import Reader
from sojourn.predict.retrain import Gap, Verdict, decide, join_protected, measure_gain, measure_gaps
from sojourn.predict.scores import score_p, to_p
from sojourn.states.model import StateModel

if TYPE_CHECKING:
    import pyarrow as pa

    from sojourn.playbook.objects import Playbook
    from sojourn.predict.registry import Card
    from sojourn.states.model import StateModel

F8 = NDArray[np.float64]

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
    events: pa.Table, book: Playbook, name: str, states: StateModel, *, now: datetime | None = None,
    champion: Mapping[str, Any] | None = None, asked: Asked = Asked(),
) -> Retrained:  # fmt: skip
    """Train a challenger on what is known now, and decide whether it takes the place of ``champion``, a record.

    Nothing is trained while the champion knows the outcomes that the two would be compared on, nor, where drift is
    asked for, while there is none. Raises EventsError where the history is too short or too few have the outcome.
    """
    outcome = find_outcome(book, name)
    last = now or events["event_at"][-1].as_py()
    cuts = choose_instants(events["event_at"][0].as_py(), last, horizon_of(outcome))
    if cuts is None:
        raise EventsError(Problem(f"outcome '{name}'", "the history is shorter than what is to be foreseen, twice"))
    reader = _read_champion(name, champion) if champion else None
    drift = _measure_drift(events, book, states, champion, reader, last)
    if champion and datetime.fromisoformat(champion["data_to"]) > cuts.test:
        why = f"too early: the model in use knows what happened up to {champion['data_to'][:10]}, and a comparison "
        return Retrained(name, _keep(f"{why}needs {cuts.horizon_s / 86_400:g} days after that"), drift)
    if asked.is_drift_needed and drift is not None and not say_drift(drift):
        return Retrained(name, _keep("nothing has drifted"), drift)
    return _train(events, book, cuts, states, name, champion, reader, drift, asked)


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
    events: pa.Table, book: Playbook, states: StateModel, champion: Mapping[str, Any] | None, reader: Reader | None,
    now: datetime,
) -> pa.Table | None:  # fmt: skip
    """How those who are predicted now differ from those whom the champion was made for."""
    if champion is None or reader is None:
        return None
    known = input_table(events, book, now, states)
    if not _missing(reader, known):
        p = to_p(reader.log_odds(reader.encoding.encode(known)))
        known = known.append_column(PREDICTED, pa.array(p))
    return measure_drift(champion["reference"], known)


def _missing(reader: Reader, table: pa.Table) -> list[str]:
    return [name for name in reader.encoding.columns if name not in table.column_names]


def _train(
    events: pa.Table, book: Playbook, cuts: Cuts, states: StateModel, name: str, champion: Mapping[str, Any] | None,
    reader: Reader | None, drift: pa.Table | None, asked: Asked,
) -> Retrained:  # fmt: skip
    rng = np.random.default_rng(asked.seed)
    sample, outcome = draw_events(events, rng), find_outcome(book, name)
    made = make_learning_table(
        sample, book, outcome, cuts.instants, gap_s=cuts.gap_s, horizon_s=cuts.horizon_s, now=cuts.now, states=states
    )
    x, at, until, group = rows_of(made)
    y = label_of(made, sample, outcome)
    found = learn_outcome(
        name, x, y, Encoding(made.inputs, tuple(None for _ in made.inputs)),
        time_folds(group, until, at, seed=asked.seed), cost=asked.cost, benefit=asked.benefit,
        budget_s=asked.budget_s, seed=asked.seed, more_leaks=find_future_knowledge(x, y, made.inputs, group, at),
    )  # fmt: skip
    tested = made.table.take(pa.array(found.choice.test))
    happened = found.choice.happened
    challenger_p = to_p(found.choice[found.choice.deployed].log_odds)
    champion_p: F8 | None = None
    if reader is not None and not _missing(reader, tested):
        champion_p = to_p(reader.log_odds(reader.encoding.encode(tested)))
    gain = measure_gain(champion_p, challenger_p, happened) if champion_p is not None else None
    gaps = _audit(tested, champion_p, challenger_p, happened, found, champion, asked)
    verdict = decide(gain, *gaps, is_audited=asked.protected is not None)
    known = input_table(events, book, cuts.now, states)
    scores = score_p(challenger_p, happened)
    audit = {gap.attribute: {"ratio": gap.ratio, "low": gap.low, "high": gap.high} for gap in gaps[1]}
    record = _make_record(found, cuts, known, made.inputs, scores, states, hash_meaning(book, name))
    return Retrained(name, verdict, drift, record, found, cuts, audit)


def _audit(
    tested: pa.Table, champion_p: F8 | None, challenger_p: F8, happened: NDArray[np.bool_], found: Prediction,
    champion: Mapping[str, Any] | None, asked: Asked,
) -> tuple[tuple[Gap, ...], tuple[Gap, ...]]:  # fmt: skip
    """The gaps of the champion's choice and of the challenger's, each with its own threshold."""
    if asked.protected is None:
        return (), ()
    values = join_protected(tested["customer_id"].combine_chunks(), asked.protected)
    rng = np.random.default_rng(asked.seed)
    after = measure_gaps(challenger_p >= found.threshold.p, happened, values, rng=rng)
    if champion_p is None or champion is None:
        return (), after
    return measure_gaps(champion_p >= champion["threshold"], happened, values, rng=rng), after


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


def _digest(path: Path | None) -> str | None:
    """What tells a file from others."""
    return None if path is None or not path.is_file() else sha256(path.read_bytes()).hexdigest()[:16]


def _look_at_segments(segments: Path, models: Path) -> pa.Table:
    """The staleness of segments, kept beside the models."""
    from sojourn.frames.files import write_alone
    from sojourn.pipelines.segments import read_past
    from sojourn.prove.stability.staleness import judge_staleness

    past = read_past(segments)
    found = judge_staleness(past.exports, str(segments), names=past.names, told=past.told)
    write_alone(found, models / "segment_staleness.parquet")
    return found


def _choose(book: Playbook, wanted: list[str]) -> list[str]:
    from sojourn.predict.learning import find_outcome

    if not book.outcomes:
        raise SojournError(Problem(str(book.path or book.name), "the playbook has no outcomes to foresee"))
    return [find_outcome(book, name).name for name in wanted] or [one.name for one in book.outcomes]


def _read_states(book: Playbook, results: Path | None) -> StateModel:
    """The state model of a run, or the one that the playbook alone describes."""
    from sojourn.pipelines.release import read_release
    from sojourn.states.model import draft_state_model, read_state_model

    if results is None:
        return draft_state_model(book)
    return read_state_model(read_release(results).model, book, str(results / "model.json"))


def _retrain_all(
    events: list[str], book: Playbook, names: list[str], models: Path, states: StateModel, asked: Asked,
    made_with: dict[str, Any], as_json: bool,
) -> list[dict[str, Any]]:  # fmt: skip
    with output.progress_bars(is_silent=as_json) as progress:
        log = read_log(events, book, progress)
        facts = []
        for k, name in enumerate(names):
            progress("retrain", k, len(names))
            facts.append(_retrain(log.events, book, name, models, states, asked, made_with, as_json))
        progress("retrain", len(names), len(names))
    return facts


def _retrain(
    events: pa.Table, book: Playbook, name: str, models: Path, states: StateModel, asked: Asked,
    made_with: dict[str, Any], as_json: bool,
) -> dict[str, Any]:  # fmt: skip
    from sojourn.cli.commands.retrain import _print, _say_done
    from sojourn.errors import EventsError
    from sojourn.predict.registry import add_model, find_champion, put_into_use, read_model

    now, before = datetime.now(UTC), find_champion(models, name)
    done = _find_done(events, book, name, models, made_with)
    if done is not None:
        return _say_done(done, models, now, before, as_json)
    champion = read_model(models, name, before)[1] if before is not None else None
    try:
        found = retrain_outcome(events, book, name, states, champion=champion, asked=asked)
    except EventsError as error:
        why = "; ".join(problem.what for problem in error.problems)
        output.say_error(f"{name}: not trained, {why}", is_marked=False)
        return {"outcome": name, "why_not": why}
    card = None
    if found.record is not None:
        card = add_model(models, _make_card(found, book, now, made_with), found.record)
        if found.verdict.is_promoted:
            put_into_use(models, name, card.version, at=now.isoformat(), why=found.verdict.why)
    if not as_json:
        _print(found, card, before)
    return _describe(found, card, before)


def _find_done(events: pa.Table, book: Playbook, name: str, models: Path, made_with: dict[str, Any]) -> Card | None:
    """The version that was made of just this: the same last event, playbook, code and settings. None: there is none."""
    from sojourn.predict.registry import list_cards

    last = events["event_at"][-1].as_py().isoformat()
    cards = [
        card for card in list_cards(models, name)
        if (card.data_to, card.playbook, card.code_version, dict(card.asked))
        == (last, book.hash, sojourn.__version__, made_with)
    ]  # fmt: skip
    return cards[-1] if cards else None


def _make_card(found: Retrained, book: Playbook, now: datetime, made_with: dict[str, Any]) -> Card:
    from sojourn.predict.registry import Card

    record = found.record
    assert record is not None
    return Card(
        name=found.outcome, kind=record["deployed"], created_at=now.isoformat(), data_from=record["data_from"],
        data_to=record["data_to"], n_customers=record["n_customers"], code_version=sojourn.__version__,
        playbook=book.hash, inputs=tuple(record["model"]["columns"]), metrics=record["metrics"],
        audit=dict(found.audit or {}), note=found.verdict.why,
        asked=made_with, is_winner=found.verdict.is_promoted,
    )  # fmt: skip


def _describe(found: Retrained, card: Card | None, before: int | None) -> dict[str, Any]:
    return {
        "outcome": found.outcome,
        "version": card.version if card else None,
        "champion_before": before,
        "verdict": found.verdict.as_dict(),
        "metrics": dict(card.metrics) if card else None,
        "drift": found.drift.to_pylist() if found.drift is not None else [],
    }
