"""Predictions of a playbook's outcomes from events, judged on later time and other customers; what states add."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sojourn.errors import EventsError
from sojourn.fold import build_layout, make_batch
from sojourn.frames import F8, I8, Bools, Progress, instant_us
from sojourn.playbook import Outcome, Playbook
from sojourn.predict.candidates import Candidate
from sojourn.predict.choose import Folds, Tried, judge, time_folds
from sojourn.predict.encoding import Encoding
from sojourn.predict.kinds import fit_logistic
from sojourn.predict.leaks import find_future_knowledge
from sojourn.predict.learning import (
    LearningTable,
    add_posteriors,
    find_outcome,
    horizon_of,
    make_learning_table,
    read_features_at,
)
from sojourn.predict.models import score_rows
from sojourn.predict.outcome import Prediction, learn_outcome
from sojourn.states import StateModel, Thresholds, draft_state_model, fit_until, read_labels

MOST_CUSTOMERS = 20_000  # that are learned from; everybody is predicted
_FIT_EVENTS = 200_000
_MOST_INSTANTS = 4
RFM = "RFM rules"
INPUTS = ("features and states", "features alone", "states alone", RFM)


@dataclass(frozen=True)
class Cuts:
    """The declared instants: models learn at ``train``, are judged at ``test``, and predict at ``now``."""

    train: tuple[datetime, ...]
    test: datetime
    now: datetime
    gap_s: float
    horizon_s: float

    @property
    def instants(self) -> tuple[datetime, ...]:
        """All instants with a label, in order."""
        return (*self.train, self.test)


@dataclass(frozen=True, eq=False)
class Foreseen:
    """One outcome: its prediction and what the states add; ``why_not`` in words where it could not be learned.

    ``added``: a row per kind of input (:data:`INPUTS`) for the same learner: ``log_loss``, ``auc``, their standard
    errors, and ``log_loss_gain``, ``auc_gain`` of features and states over this input, with standard errors.
    """

    outcome: str
    cuts: Cuts | None = None
    prediction: Prediction | None = None
    added: pa.Table | None = None
    rows: pa.Table | None = None
    why_not: str | None = None


def choose_instants(first: datetime, now: datetime, horizon_s: float, gap_s: float = 0.0) -> Cuts | None:
    """Up to four instants to learn at and one to be judged at, a label's length before ``now``; None where none fits.

    The last to learn at is a label's length before the test, so that what it counts is over by then; the others come
    before it by half a label. All are after the first tenth of the history.
    """
    length = timedelta(seconds=horizon_s + gap_s)
    start = first + (now - first) / 10
    test = now - length
    train = [test - length - k * length / 2 for k in range(_MOST_INSTANTS)]
    kept = tuple(sorted(at for at in train if at >= start))
    return Cuts(kept, test, now, gap_s, horizon_s) if kept else None


def draw_events(events: pa.Table, rng: np.random.Generator, most: int = MOST_CUSTOMERS) -> pa.Table:
    """The events of at most so many customers, drawn at random."""
    names = pc.unique(events["customer_id"]).sort()
    if len(names) <= most:
        return events
    chosen = names.take(pa.array(np.sort(rng.permutation(len(names))[:most])))
    return events.filter(pc.is_in(events["customer_id"], chosen))


def fit_states_until(
    events: pa.Table, book: Playbook, until: datetime, rng: np.random.Generator, *, n_threads: int = 1
) -> StateModel:
    """The state model of what had happened by an instant, so that judging on later time is honest."""
    known = events.filter(pc.less_equal(events["event_at"], pa.scalar(until, events["event_at"].type)))
    layout, end = build_layout(book), instant_us(until)
    batch, labels = make_batch(known, layout), read_labels(book, known)
    found = fit_until(book, layout, batch, labels, end, end, rng, max_events=_FIT_EVENTS, n_threads=n_threads)
    thresholds: Thresholds = draft_state_model(book).thresholds
    return StateModel(found.fit.model, found.cuts, thresholds, True)


def predict_outcomes(
    events: pa.Table,
    book: Playbook,
    *,
    outcomes: Sequence[str] = (),
    now: datetime | None = None,
    gap_s: float = 0.0,
    horizon_s: float | None = None,
    states: StateModel | None = None,
    cost: float = 1.0,
    benefit: float = 5.0,
    budget_s: float | None = None,
    seed: int = 0,
    n_threads: int = 1,
    progress: Progress | None = None,
) -> tuple[Foreseen, ...]:
    """Every outcome of the playbook (or those named), predicted for all customers as of ``now``.

    A silence is churn, an event a conversion; a measure becomes readiness for more: whether its sum in the horizon is
    above that of the same time before. The state model is fitted on what had happened by the first test instant, unless
    ``states`` gives one. ``budget_s`` is shared by the outcomes. Customers drawn for learning: at most 20,000.
    """
    rng = np.random.default_rng(seed)
    last = now or events["event_at"][-1].as_py()
    first = events["event_at"][0].as_py()
    asked = [find_outcome(book, name) for name in outcomes] or list(book.outcomes)
    sample = draw_events(events, rng)
    share = None if budget_s is None else budget_s / max(len(asked), 1)
    found: list[Foreseen] = []
    fitted: dict[datetime, StateModel] = {}
    for k, outcome in enumerate(asked):
        if progress:
            progress("predict", k, len(asked))
        cuts = choose_instants(first, last, horizon_of(outcome) if horizon_s is None else horizon_s, gap_s)
        if cuts is None:
            days = (horizon_s or horizon_of(outcome)) / 86_400
            why = f"the history is too short to learn {days:g} days ahead and to test on the {days:g} days after"
            found.append(Foreseen(outcome.name, why_not=f"{why}; a shorter --horizon may do"))
            continue
        if states is None and cuts.test not in fitted:
            rng = np.random.default_rng(seed)
            fitted[cuts.test] = fit_states_until(sample, book, cuts.test, rng, n_threads=n_threads)
        model = states or fitted[cuts.test]
        try:
            found.append(
                _predict_one(events, sample, book, outcome, cuts, model, cost, benefit, share, seed, n_threads)
            )
        except EventsError as error:
            found.append(Foreseen(outcome.name, cuts, why_not=str(error)))
    if progress:
        progress("predict", len(asked), len(asked))
    return tuple(found)


def _predict_one(
    events: pa.Table,
    sample: pa.Table,
    book: Playbook,
    outcome: Outcome,
    cuts: Cuts,
    states: StateModel,
    cost: float,
    benefit: float,
    budget_s: float | None,
    seed: int,
    n_threads: int,
) -> Foreseen:
    made = make_learning_table(
        sample,
        book,
        outcome,
        cuts.instants,
        gap_s=cuts.gap_s,
        horizon_s=cuts.horizon_s,
        now=cuts.now,
        states=states,
        n_threads=n_threads,
    )
    x, at, until, group = rows_of(made)
    y = label_of(made, sample, outcome)
    folds = time_folds(group, until, at, seed=seed)
    encoding = Encoding(made.inputs, tuple(None for _ in made.inputs))
    found = learn_outcome(
        outcome.name,
        x,
        y,
        encoding,
        folds,
        cost=cost,
        benefit=benefit,
        budget_s=budget_s,
        seed=seed,
        more_leaks=find_future_knowledge(x, y, made.inputs, group, at),
    )
    added = compare_inputs(found, made, x, y, folds, seed)
    rows = _predict_now(events, book, outcome, cuts, states, found, n_threads)
    return Foreseen(outcome.name, cuts, found, added, rows)


def rows_of(made: LearningTable) -> tuple[F8, I8, I8, I8]:
    """``(inputs, at, until_at, number of the customer)`` of each row of a learning table."""
    at, until = (made.table[name].cast(pa.int64()).to_numpy() for name in ("at", "until_at"))
    group = made.table["customer_id"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    return made.input_matrix(), at, until, group


def label_of(made: LearningTable, events: pa.Table, outcome: Outcome) -> Bools:
    """The label as yes or no; of a measure, whether its sum is above that of as long a time before the instant."""
    label = made.table["label"].to_numpy()
    if outcome.measure is None:
        return np.asarray(label, bool)
    names = made.table["customer_id"].combine_chunks().dictionary_encode()
    who = pc.index_in(events["customer_id"], names.dictionary).fill_null(-1).to_numpy()
    when = events["event_at"].cast(pa.int64()).to_numpy()
    value = np.nan_to_num(events[f"m_{outcome.measure}"].fill_null(0.0).to_numpy())
    at, row_who = made.table["at"].cast(pa.int64()).to_numpy(), names.indices.to_numpy()
    before = np.zeros(len(label))
    for instant in np.unique(at):
        is_in = (when > instant - round(made.horizon_s * 1e6)) & (when <= instant) & (who >= 0)
        total = np.bincount(who[is_in], value[is_in], len(names.dictionary))
        before[at == instant] = total[row_who[at == instant]]
    return np.asarray(label > before)


def compare_inputs(found: Prediction, made: LearningTable, x: F8, y: Bools, folds: Folds, seed: int) -> pa.Table:
    """What the states add: the deployed learner on other inputs, and RFM rules, on the same folds."""
    deployed = found.choice[found.choice.deployed]
    is_state = np.array([name.startswith("p_") for name in made.inputs])
    tried = {INPUTS[0]: deployed}
    for name, columns in ((INPUTS[1], ~is_state), (INPUTS[2], is_state)):
        tried[name] = _try(deployed.candidate, x[:, columns], y, folds, seed)
    rfm = Candidate(RFM, 0, True, lambda *_: _never())
    three = [made.inputs.index(name) for name in ("recency_days", "n_events", _money(made))]
    said = [score_rfm(x[a][:, three], y[a], x[b][:, three]) for a, b in folds]
    tried[RFM] = judge(rfm, said, [y[b] for _, b in folds])
    return pa.Table.from_pylist([_compare(name, t, deployed) for name, t in tried.items()])


def _never() -> Any:
    raise AssertionError("rules are not fitted")


def _try(candidate: Candidate, x: F8, y: Bools, folds: Folds, seed: int) -> Tried:
    raw = [score_rows(candidate.fit(x[a], y[a].astype(np.int64), seed), x[b])[:, 0] for a, b in folds]
    return judge(candidate, raw, [y[b] for _, b in folds])


def _compare(name: str, tried: Tried, whole: Tried) -> dict[str, Any]:
    assert tried.scores is not None
    row: dict[str, Any] = {
        "inputs": name,
        "log_loss": tried.scores.log_loss,
        "log_loss_se": tried.se_log_loss,
        "auc": tried.scores.auc,
        "auc_se": tried.se_auc,
    }
    for measure, sign in (("log_loss", 1), ("auc", -1)):
        gain = sign * np.array(
            [getattr(a, measure) - getattr(b, measure) for a, b in zip(tried.folds, whole.folds, strict=True)]
        )
        row[f"{measure}_gain"] = float(gain.mean())
        row[f"{measure}_gain_se"] = float(gain.std(ddof=1) / np.sqrt(len(gain)))
    return row


def _money(made: LearningTable) -> str:
    """The column of the table that is most like money: a feature named for it, else events of 90 days."""
    for word in ("revenue", "spend", "spent", "value", "amount"):
        for name in made.inputs:
            if name.startswith("f_") and word in name:
                return name
    return "n_events_90d"


def score_rfm(train: F8, happened: Bools, test: F8) -> F8:
    """Log-odds by the classic rule: quintiles of recency, frequency and money, a logistic weight for each of them.

    Columns are recency, frequency and money. A fitted weight per quintile is at least as good as the usual sum of the
    three scores, so that the rule is not made weaker than it is.
    """
    marks = []
    for part in (train, test):
        found = [
            np.searchsorted(np.nanquantile(train[:, c], [0.2, 0.4, 0.6, 0.8]), np.nan_to_num(part[:, c], nan=-np.inf))
            for c in range(3)
        ]
        marks.append(np.hstack([(f[:, None] == np.arange(5)).astype(np.float64) for f in found]))
    return score_rows(fit_logistic(marks[0], happened.astype(np.int64), 0), marks[1])[:, 0]


def _predict_now(
    events: pa.Table,
    book: Playbook,
    outcome: Outcome,
    cuts: Cuts,
    states: StateModel,
    found: Prediction,
    n_threads: int,
) -> pa.Table:
    """What is predicted for each customer as of now; of a silence, only those whose silence is shorter than it."""
    known = input_table(events, book, cuts.now, states, n_threads=n_threads)
    if outcome.silence_s is not None:
        known = known.filter(pc.less(known["recency_days"], cuts.horizon_s / 86_400))
    x = found.reader.encoding.encode(known)
    rows = found.predict(x)
    rows = rows.add_column(0, "outcome", pa.array([outcome.name] * rows.num_rows, pa.string()))
    return rows.add_column(0, "customer_id", known["customer_id"])


def input_table(events: pa.Table, book: Playbook, at: datetime, states: StateModel, *, n_threads: int = 1) -> pa.Table:
    """All inputs of every known customer at an instant: features, habits and the posterior of the states."""
    return add_posteriors(read_features_at(events, book, [at], n_threads=n_threads), events, book, states, n_threads)
