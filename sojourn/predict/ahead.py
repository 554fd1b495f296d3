"""What the job `predict` says beside outcomes: the next state, the next purchase, and how early churn is warned of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from sojourn.errors import EventsError
from sojourn.playbook import Playbook
from sojourn.predict import (
    EarlyWarning,
    NextPurchase,
    NextState,
    choose_instants,
    draw_events,
    fit_states_until,
    horizon_of,
    predict_next_state,
    predict_next_time,
    warn_early,
)

_STATE_DAYS, _WEEKS = 7.0, 8


@dataclass(frozen=True, eq=False)
class Ahead:
    """The next state, the next event of the first outcome that is one, the early warning; or in words why not."""

    next_state: NextState | None
    next_time: NextPurchase | None
    warning: EarlyWarning | None
    why_not: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """The numbers as plain values, without the tables of customers."""
        told: dict[str, Any] = {"why_not": self.why_not}
        if self.next_state is not None:
            told["next_state"] = {
                "horizon_s": self.next_state.horizon_s,
                "compared": self.next_state.compared.to_pylist(),
            }
        if self.next_time is not None:
            told["next_time"] = {k: v for k, v in self.next_time.__dict__.items() if k != "rows"}
        if self.warning is not None:
            told["early_warning"] = self.warning.as_dict()
        return told


def look_ahead(events: pa.Table, book: Playbook, *, horizon_s: float | None = None, seed: int = 0) -> Ahead:
    """All three, each with instants of its own; the next state is that in seven days.

    Customers drawn as for the outcomes; the tables are of those drawn.
    """
    sample = draw_events(events, np.random.default_rng(seed))
    why: dict[str, str] = {}

    def attempt(name: str, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except EventsError as error:
            why[name] = str(error)
            return None

    timed = next((o for o in book.outcomes if o.event is not None), None)
    silent = next((o for o in book.outcomes if o.silence_s is not None), None)
    state = attempt("next_state", lambda: _state(sample, book, seed))
    when = warning = None
    if timed is not None and timed.event is not None:
        event, ahead_s = timed.event, horizon_s or horizon_of(timed)
        when = attempt("next_time", lambda: _time(sample, book, event, ahead_s, seed))
    if silent is not None:
        name, silence_s = silent.name, horizon_s or horizon_of(silent)
        warning = attempt("early_warning", lambda: _warning(sample, book, name, silence_s, seed))
    return Ahead(state, when, warning, why)


def _state(events: pa.Table, book: Playbook, seed: int) -> NextState:
    cuts = choose_instants(events["event_at"][0].as_py(), events["event_at"][-1].as_py(), _STATE_DAYS * 86_400)
    if cuts is None:
        raise EventsError("the history is too short to learn a week ahead and to test on the week after")
    states = fit_states_until(events, book, cuts.test, np.random.default_rng(seed))
    return predict_next_state(events, book, cuts, states, seed=seed)


def _time(events: pa.Table, book: Playbook, event: str, horizon_s: float, seed: int) -> NextPurchase:
    cuts = choose_instants(events["event_at"][0].as_py(), events["event_at"][-1].as_py(), horizon_s)
    if cuts is None:
        raise EventsError("the history is shorter than twice the horizon")
    states = fit_states_until(events, book, cuts.test, np.random.default_rng(seed))
    return predict_next_time(events, book, event, cuts, states, seed=seed)


def _warning(events: pa.Table, book: Playbook, outcome: str, silence_s: float, seed: int) -> EarlyWarning:
    """Learned where labels were over when the weeks that are replayed began."""
    first, last = events["event_at"][0].as_py(), events["event_at"][-1].as_py()
    silence, weeks = timedelta(seconds=silence_s), timedelta(days=7) * _WEEKS
    test = last - silence
    train = [test - weeks - silence - k * silence / 2 for k in range(4)]
    train = [at for at in train if at > first + (last - first) / 20]
    if not train:
        raise EventsError("the history is too short: it must hold the silence twice and eight weeks between")
    states = fit_states_until(events, book, test - weeks, np.random.default_rng(seed))
    return warn_early(events, book, outcome, train, test, silence_s=silence_s, states=states, n_weeks=_WEEKS, seed=seed)
