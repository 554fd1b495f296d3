"""Early warning of churn: how long before the silence rule a model warns, and which signals declined until then.

The silence rule calls a customer lost after so many days without an own event. A model can warn before. Both are
replayed week by week on customers whom the model has not seen, at the same rate of false alarms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from sojourn.errors import EventsError, Problem
from sojourn.frames import DAY_US, F8, I8, Bools, instant_us
from sojourn.playbook import Playbook
from sojourn.predict.kinds import fit_logistic
from sojourn.predict.learning import LearningTable, find_outcome, make_learning_table
from sojourn.predict.models import score_rows
from sojourn.states import StateModel

_FALSE_ALARMS = 0.1
_BACK = 4  # weeks over which a signal may decline


@dataclass(frozen=True, eq=False)
class EarlyWarning:
    """How early a model warns of customers who then fall silent.

    ``lead_days``: median days from the first warning to the instant at which the silence rule would have called, over
    the lost who were warned of; ``warned`` their share of the lost. ``rule_lead_days``, ``rule_warned``: the same for a
    rule that calls after fewer days of silence (``rule_days``), with the same share of false alarms ``false_alarms``
    (customers warned of although they came back, of those who came back). ``signals``: per input how far it changed
    over four weeks before the warning of the lost, beside those who stayed: ``column``, ``lost``, ``stayed``,
    ``difference`` in standard deviations, most different first.
    """

    silence_days: float
    n_lost: int
    n_stayed: int
    warned: float
    lead_days: float
    rule_days: float
    rule_warned: float
    rule_lead_days: float
    false_alarms: float
    rule_false_alarms: float
    signals: pa.Table

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {k: v.to_pylist() if isinstance(v, pa.Table) else v for k, v in self.__dict__.items()}


def warn_early(
    events: pa.Table,
    book: Playbook,
    outcome: str,
    train: Sequence[datetime],
    test: datetime,
    *,
    silence_s: float,
    states: StateModel | None = None,
    n_weeks: int = 8,
    seed: int = 0,
) -> EarlyWarning:
    """What a logistic model learned at ``train`` would have warned of in the ``n_weeks`` weeks up to ``test``.

    Half of the customers teach, the others are warned of. Lost are those whose silence at ``test`` began within the
    weeks replayed and lasted ``silence_s``. Raises EventsError where fewer than twenty are lost or stay.
    """
    what = find_outcome(book, outcome)
    weeks = [test - timedelta(days=7) * k for k in range(n_weeks + _BACK, -1, -1)]
    weeks = [w for w in weeks if w > events["event_at"][0].as_py()]
    learned = make_learning_table(events, book, what, train, horizon_s=silence_s, states=states)
    replayed = make_learning_table(events, book, what, weeks, horizon_s=silence_s, states=states)
    half = _halves(events, seed)
    x, y = learned.input_matrix(), learned.table["label"].to_numpy(zero_copy_only=False)
    teaches = np.array([half[who] for who in learned.table["customer_id"].to_pylist()])
    if min(y[teaches].sum(), (~y[teaches]).sum()) < 20:
        raise EventsError(Problem(outcome, "fewer than twenty customers were lost or stayed while learning"))
    model = fit_logistic(x[teaches], y[teaches].astype(np.int64), seed)
    return _replay(replayed, score_rows(model, replayed.input_matrix())[:, 0], half, silence_s, n_weeks)


def _halves(events: pa.Table, seed: int) -> dict[str, bool]:
    names = sorted(events["customer_id"].unique().to_pylist())
    drawn = np.random.default_rng(seed).random(len(names)) < 0.5
    return dict(zip(names, drawn.tolist(), strict=True))


def _replay(made: LearningTable, score: F8, half: dict[str, bool], silence_s: float, n_weeks: int) -> EarlyWarning:
    """Both kinds of warning at all weeks, at equal false alarms.

    A row's label is whether the customer is silent for the whole rule's time after it. A customer is lost when some row
    has it; the silence rule calls ``silence_s`` after their last event, which the first such row tells.
    """
    names = made.table["customer_id"].combine_chunks().dictionary_encode()
    who, at = names.indices.to_numpy(), made.table["at"].cast(pa.int64()).to_numpy()
    x, lost_row = made.input_matrix(), made.table["label"].to_numpy(zero_copy_only=False)
    asked = ~np.array([half[name] for name in names.dictionary.to_pylist()])[who]
    recency = x[:, made.inputs.index("recency_days")]
    late = at > instant_us(made.instants[-1]) - n_weeks * 7 * DAY_US
    kept = np.flatnonzero(asked & late)
    n = len(names.dictionary)
    ever = np.zeros(n, bool)
    ever[who[asked & lost_row]] = True
    began = np.full(n, np.inf)  # their last event, from the first row of the silence that stays
    first_lost = np.full(n, np.iinfo(np.int64).max)
    rows = np.flatnonzero(asked & lost_row)
    np.minimum.at(first_lost, who[rows], at[rows])
    start = rows[at[rows] == first_lost[who[rows]]]
    began[who[start]] = at[start] - recency[start] * DAY_US
    people = np.unique(who[kept])
    lost, stayed = people[ever[people]], people[~ever[people]]
    if min(len(lost), len(stayed)) < 20:
        raise EventsError(
            Problem(made.outcome, f"{len(lost)} lost and {len(stayed)} who stayed are too few to compare")
        )
    called = began + silence_s * 1e6
    limit = _limit(score[kept], who[kept], stayed)
    rule = _limit(recency[kept], who[kept], stayed)
    by_model = _first_alarm(score[kept] > limit, who[kept], at[kept], n)
    by_rule = _first_alarm(recency[kept] > rule, who[kept], at[kept], n)
    signals = _declines(made, x, who, at, kept, by_model, lost, stayed)

    def told(alarm: F8) -> tuple[float, float, float]:
        lead = (called[lost] - alarm[lost]) / DAY_US
        is_warned = np.isfinite(alarm[lost]) & (lead > 0)
        median = float(np.median(lead[is_warned])) if is_warned.any() else float("nan")
        return float(is_warned.mean()), median, float(np.isfinite(alarm[stayed]).mean())

    (warned, lead, false), (rule_warned, rule_lead, rule_false) = told(by_model), told(by_rule)
    return EarlyWarning(
        silence_s / 86_400,
        len(lost),
        len(stayed),
        warned,
        lead,
        float(rule),
        rule_warned,
        rule_lead,
        false,
        rule_false,
        signals,
    )


def _limit(score: F8, who: I8, stayed: I8) -> float:
    """The least limit at which at most a tenth of those who stayed are ever warned of."""
    most = np.full(int(who.max()) + 1, -np.inf)
    np.maximum.at(most, who, score)
    return float(np.quantile(most[stayed], 1 - _FALSE_ALARMS))


def _first_alarm(is_alarm: Bools, who: I8, at: I8, n: int) -> F8:
    first = np.full(n, np.inf)
    np.minimum.at(first, who[is_alarm], at[is_alarm].astype(np.float64))
    return first


def _declines(made: LearningTable, x: F8, who: I8, at: I8, kept: I8, alarm: F8, lost: I8, stayed: I8) -> pa.Table:
    """How each input changed over four weeks: of the lost up to their warning, of the others at any week."""
    place = {(int(w), int(t)): row for row, (w, t) in enumerate(zip(who, at, strict=True))}
    is_lost = np.zeros(len(alarm), bool)
    is_lost[lost] = True
    pairs: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
    for row in kept:
        before = place.get((int(who[row]), int(at[row]) - _BACK * 7 * DAY_US))
        if before is not None and (not is_lost[who[row]] or at[row] == alarm[who[row]]):
            pairs[bool(is_lost[who[row]])].append((int(row), before))
    spread = np.array([column[np.isfinite(column)].std() if np.isfinite(column).any() else 0.0 for column in x.T])
    spread[~(spread > 1e-12)] = np.nan
    changes = {}
    for key, found in pairs.items():
        if not found:
            return pa.table({name: [] for name in ("column", "lost", "stayed", "difference")})
        now, before_rows = np.array(found).T
        change = (x[now] - x[before_rows]) / spread
        n = np.isfinite(change).sum(axis=0)
        changes[key] = np.where(n >= 10, np.nansum(change, axis=0) / np.maximum(n, 1), np.nan)
    gap = changes[True] - changes[False]
    order = np.argsort(-np.nan_to_num(np.abs(gap), nan=-1.0), kind="stable")
    return pa.table(
        {
            "column": [made.inputs[c] for c in order],
            "lost": changes[True][order],
            "stayed": changes[False][order],
            "difference": gap[order],
        }
    )
