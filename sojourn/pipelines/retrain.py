"""The job `retrain`: models that keep learning, a challenger against the model in use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

from sojourn.errors import EventsError, Problem, SojournError
from sojourn.frames import Progress, read_plain, write_alone
from sojourn.pipelines.challenger import Asked, Retrained, retrain_outcome
from sojourn.pipelines.inputs import ignore, read_log, read_playbook
from sojourn.pipelines.release import read_release
from sojourn.pipelines.segments import read_past
from sojourn.playbook import Playbook
from sojourn.predict import (
    Card,
    add_model,
    find_champion,
    find_outcome,
    list_cards,
    list_decisions,
    lock_models,
    put_into_use,
    read_model,
)
from sojourn.prove.stability import judge_staleness
from sojourn.states import StateModel, draft_state_model, read_state_model

_AS_USUAL = Asked(budget_s=120.0)


@dataclass(frozen=True, eq=False)
class Attempt:
    """What came of one outcome: ``found`` where a challenger was looked for, else ``why_not`` in words.

    ``card`` describes the version stored, ``before`` is the version that was in use. ``is_done``: nothing is new, the
    version of the same events is there already.
    """

    outcome: str
    before: int | None
    found: Retrained | None = None
    card: Card | None = None
    why_not: str | None = None
    is_done: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        facts: dict[str, Any] = {"outcome": self.outcome, "version": self.card.version if self.card else None}
        if self.is_done:
            return facts | {"champion_before": self.before, "why_not": self.why_not, "metrics": None, "drift": []}
        if self.found is None:
            return {"outcome": self.outcome, "why_not": self.why_not}
        return facts | {
            "champion_before": self.before,
            "verdict": self.found.verdict.as_dict(),
            "metrics": dict(self.card.metrics) if self.card else None,
            "drift": self.found.drift.to_pylist() if self.found.drift is not None else [],
        }


@dataclass(frozen=True, eq=False)
class Retraining:
    """One round: an attempt per outcome, and the staleness of segments where that was asked for."""

    models: Path
    attempts: tuple[Attempt, ...]
    staleness: pa.Table | None

    @property
    def stale_segments(self) -> list[str]:
        """The segments that say nothing any more."""
        rows = self.staleness.to_pylist() if self.staleness is not None else []
        return [row["segment"] for row in rows if row["is_stale"]]

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        facts: dict[str, Any] = {"models": str(self.models), "outcomes": [one.as_dict() for one in self.attempts]}
        if self.staleness is not None:
            facts |= {"segments": self.staleness.to_pylist(), "stale_segments": self.stale_segments}
        return facts


@dataclass(frozen=True, eq=False)
class _Task:
    """What every attempt of a round shares."""

    book: Playbook
    models: Path
    states: StateModel
    asked: Asked
    made_with: Mapping[str, Any]


def retrain(
    events: Any,
    playbook: str | Path | Playbook,
    *,
    models: str | Path = "models",
    outcomes: Sequence[str] = (),
    states: str | Path | None = None,
    protected: str | Path | None = None,
    is_unaudited: bool = False,
    segments: str | Path | None = None,
    asked: Asked = _AS_USUAL,
    progress: Progress | None = None,
) -> Retraining:
    """Train a challenger for each outcome, and put it into use where it is better than the model in use.

    Better on recent customers that neither has seen, by more than chance, and no worse for protected attributes.
    ``models``: the folder of models. ``states``: a folder of `sojourn run`, whose state model is taken. ``protected``:
    a table with ``customer_id`` and protected attributes; a playbook that names some needs it, or ``is_unaudited``.
    ``segments``: a folder of `sojourn segments` or a table of exports, whose staleness is judged. ``asked``: costs,
    budget and seed.

    >>> from tempfile import TemporaryDirectory
    >>> from sojourn.simulation.customers import simulate
    >>> with TemporaryDirectory() as folder:
    ...     found = retrain(simulate(40, days=20, seed=1).events, "shop", models=folder, outcomes=["churn"],
    ...                     is_unaudited=True)
    >>> [(one.outcome, one.found) for one in found.attempts]
    [('churn', None)]
    """
    book, tell, home = read_playbook(playbook), progress or ignore, Path(models)
    names = _choose(book, outcomes)
    if book.protected and protected is None and not is_unaudited:
        what = f"the playbook protects {', '.join(book.protected)}: name a table of it with --protected, or --unaudited"
        raise SojournError(Problem("retrain", what))
    if protected is not None:
        asked = replace(asked, protected=read_plain(protected, ["customer_id"]))
    results = Path(states) if states is not None else None
    made_with = {
        "cost": asked.cost,
        "benefit": asked.benefit,
        "budget_s": asked.budget_s,
        "seed": asked.seed,
        "protected": _digest(Path(protected) if protected is not None else None),
        "states": _digest(results / "model.json" if results is not None else None),
    }
    with lock_models(home):
        task = _Task(book, home, _read_states(book, results), asked, made_with)
        log = read_log(events, book, tell)
        attempts = []
        for k, name in enumerate(names):
            tell("retrain", k, len(names))
            attempts.append(_retrain(log.events, name, task))
        tell("retrain", len(names), len(names))
        staleness = _judge_segments(Path(segments), home) if segments is not None else None
    return Retraining(home, tuple(attempts), staleness)


def _choose(book: Playbook, wanted: Sequence[str]) -> list[str]:
    if not book.outcomes:
        raise SojournError(Problem(str(book.path or book.name), "the playbook has no outcomes to foresee"))
    return [find_outcome(book, name).name for name in wanted] or [one.name for one in book.outcomes]


def _digest(path: Path | None) -> str | None:
    """What tells a file from others."""
    return None if path is None or not path.is_file() else sha256(path.read_bytes()).hexdigest()[:16]


def _read_states(book: Playbook, results: Path | None) -> StateModel:
    """The state model of a run, or the one that the playbook alone describes."""
    if results is None:
        return draft_state_model(book)
    return read_state_model(read_release(results).model, book, str(results / "model.json"))


def _judge_segments(segments: Path, models: Path) -> pa.Table:
    """The staleness of segments, kept beside the models."""
    past = read_past(segments)
    found = judge_staleness(past.exports, str(segments), names=past.names, told=past.told)
    write_alone(found, models / "segment_staleness.parquet")
    return found


def _retrain(events: pa.Table, name: str, task: _Task) -> Attempt:
    now, before = datetime.now(UTC), find_champion(task.models, name)
    done = _find_done(events, name, task)
    if done is not None:
        return _finish(done, task.models, now, before)
    champion = read_model(task.models, name, before)[1] if before is not None else None
    try:
        found = retrain_outcome(events, task.book, name, task.states, champion=champion, asked=task.asked)
    except EventsError as error:
        return Attempt(name, before, why_not="; ".join(problem.what for problem in error.problems))
    card = None
    if found.record is not None:
        card = add_model(task.models, _make_card(found, task, now), found.record)
        if found.verdict.is_promoted:
            put_into_use(task.models, name, card.version, at=now.isoformat(), why=found.verdict.why)
    return Attempt(name, before, found, card)


def _find_done(events: pa.Table, name: str, task: _Task) -> Card | None:
    """The version that was made of just this: the same last event, playbook, code and settings. None: there is none."""
    last = events["event_at"][-1].as_py().isoformat()
    cards = [
        card
        for card in list_cards(task.models, name)
        if (card.data_to, card.playbook, card.code_version, dict(card.asked))
        == (last, task.book.hash, version("sojourn"), task.made_with)
    ]
    return cards[-1] if cards else None


def _finish(card: Card, models: Path, now: datetime, before: int | None) -> Attempt:
    """Nothing to train. A winner that was stored when the process or the power went is put into use now."""
    decided = {one.version for one in list_decisions(models, card.name)}
    is_late = card.is_winner and card.version not in decided
    if is_late:
        put_into_use(models, card.name, card.version, at=now.isoformat(), why=card.note)
    what = (
        "is in use now" if is_late else "is in use" if card.version == before else f"was kept, version {before} stays"
    )
    why = f"nothing new: version {card.version}, made of the same events, {what}"
    return Attempt(card.name, before, card=card if is_late else None, why_not=why, is_done=True)


def _make_card(found: Retrained, task: _Task, now: datetime) -> Card:
    record = found.record
    assert record is not None
    return Card(
        name=found.outcome,
        kind=record["deployed"],
        created_at=now.isoformat(),
        data_from=record["data_from"],
        data_to=record["data_to"],
        n_customers=record["n_customers"],
        code_version=version("sojourn"),
        playbook=task.book.hash,
        inputs=tuple(record["model"]["columns"]),
        metrics=record["metrics"],
        audit=dict(found.audit or {}),
        note=found.verdict.why,
        asked=task.made_with,
        is_winner=found.verdict.is_promoted,
    )
