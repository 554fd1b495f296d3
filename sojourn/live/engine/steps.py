"""One version's compiled steps over many customers: fold events, follow states, look ahead, evaluate rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.act.audiences import Audiences, compile_audiences
from sojourn.events.identity.graph import IdentityGraph
from sojourn.fold.cells import STATE, STATE_P, TRAIT
from sojourn.fold.layout import Layout, build_layout
from sojourn.live.engine.customers import Customers
from sojourn.live.engine.event_files import Past, PastEvents
from sojourn.playbook.objects import Playbook
from sojourn.predict.learning import DAY_US, HABITS, WINDOWS_DAYS
from sojourn.states.channels import own_classes
from sojourn.states.hmm import publish
from sojourn.states.hmm.follow import FIRST_OWN, LAST_OWN, N_OWN, SEEN, SEEN_DUE, SEEN_STATE
from sojourn.states.hmm.model import channel_logs, event_matrices, tick_matrices
from sojourn.states.model import StateModel
from sojourn.states.reasons import OddsTables, make_tables

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]
Rows = NDArray[np.int32]

_SPANS = np.array(WINDOWS_DAYS, np.int64) * DAY_US


@dataclass(frozen=True)
class Stepped:
    """What events did: moves as :mod:`sojourn.states.hmm.publish` lays them out, and completed moments (event,
    moment)."""

    moves: I8
    moments: I8


@dataclass(frozen=True)
class Ahead:
    """What a look ahead found, per customer: ``seen`` as :mod:`sojourn.states.hmm.follow` has it, the belief, new
    moves."""

    seen: I8
    posterior: F8
    moves: I8


@dataclass(frozen=True)
class Inputs:
    """What models read, a row per customer. ``when``: the instant, and the silence since the last own event (-1: there
    was none), in microseconds."""

    values: F8
    when: I8


class Steps:
    """The tables of one playbook and model as the compiled loops take them."""

    def __init__(self, playbook: Playbook, state_model: StateModel) -> None:
        """Works everything out that does not depend on events."""
        from sojourn.fold.batch import tabulate_observed, tabulate_ops

        self.playbook, self.state_model = playbook, state_model
        self.layout: Layout = build_layout(playbook, is_live=True)
        self.rules: Audiences = compile_audiences(playbook, self.layout)
        model, layout, limits = state_model.model, self.layout, state_model.thresholds
        self.n_states = len(model.states)
        own, touches = own_classes(playbook), playbook.touches
        names = playbook.class_names
        self._touch_of = np.array([1 + touches.index(n) if n in touches else 0 for n in names], np.int16)
        self.is_own_class = self._touch_of == 0
        self._own_of = np.array([own.index(n) if n in own else 0 for n in names], np.uint8)
        self._logs = np.array([channel_logs(channel) for channel in model.channels])
        self._boundaries = np.array([round(b * 1e6) for b in model.boundaries_s], np.int64)
        self._ticks, self._events = tick_matrices(model), event_matrices(model)
        self.odds: OddsTables = make_tables(model)
        self.moment_slots = {  # of the last completion
            name: layout.slots[cell] + 1 for name, cell in zip(layout.moments, layout.moment_cells, strict=True)
        }
        self._limits = (limits.enter, limits.margin, limits.exit, round(limits.min_dwell_s * 1e6))
        self._ops = tabulate_ops(layout, is_observed=True)
        self._observed = tabulate_observed(layout, state_model.cuts, 1)
        self._no_values = np.empty((0, len(layout.fingerprint)))
        features = layout.features
        self.n_inputs = len(features) + len(HABITS) + self.n_states
        self._gather: Callable[..., None] | None = None
        self._input_tables = (
            self.is_own_class, _SPANS, layout.read_ints, layout.read_floats, features.calls, features.starts,
            features.codes, features.operands, self._boundaries, self._ticks,
        )  # fmt: skip

    def new_customers(self) -> Customers:
        """Nobody yet."""
        return Customers(self.layout, self.n_states, len(self.state_model.model.channels), self.rules.n_bytes)

    def step(self, customers: Customers, rows: Rows, events: PastEvents) -> Stepped:
        """Take in events, each customer's in order of time; ``rows`` are whose they are."""
        from sojourn.fold.batch import new_marks, read_marks
        from sojourn.fold.kernels.fold import fold
        from sojourn.states.hmm.follow import follow
        from sojourn.states.hmm.kernel import score_codes

        n = len(rows)
        if not n:
            return Stepped(np.empty((0, len(publish.MOVE)), np.int64), np.empty((0, 2), np.int64))
        symbols = np.empty((n, len(self.layout.observed)), np.uint8)
        marks = new_marks(self.layout, n)
        fold(
            0, 1, 8, rows, events.event_at, events.event_class, events.measures, events.channel, events.properties,
            events.session, customers.vectors.reshape(-1), self.layout.n_slots, *self._ops, marks, *self._observed,
            symbols, self._no_values,
        )  # fmt: skip
        np.add.at(customers.n_events, rows, 1)
        seen = np.empty((n, len(self._logs)), np.uint8)
        n_observed = self.state_model.n_observed
        seen[:, 0] = self._own_of[events.event_class]
        seen[:, 1 : 1 + n_observed] = symbols[:, :n_observed]
        seen[:, -1] = events.label
        touch = self._touch_of[events.event_class]
        likelihood, top = np.empty((n, self.n_states)), np.empty(n)
        score_codes(self.n_states)(seen, self._logs, 0, n, likelihood, top)
        moves = np.empty((n * (len(self._boundaries) + 2) + 1, len(publish.MOVE)), np.int64)
        n_moves = follow(self.n_states)(
            rows, events.event_at, touch, likelihood, self._boundaries, self._ticks, self._events,
            self.state_model.model.initial, *self._limits, customers.kept, customers.memory, customers.before,
            customers.after, moves,
        )  # fmt: skip
        is_own = touch == 0
        customers.seen[rows[is_own]] = seen[is_own]  # of several rows of one customer the last one stays
        return Stepped(moves[:n_moves], read_marks(self.layout, marks))

    def look_ahead(self, customers: Customers, rows: Rows, now: int) -> Ahead:
        """Where customers are at an instant. Silent moves up to it are told now; the next such instant is noted."""
        from sojourn.states.hmm.follow import peek

        seen = np.empty((len(rows), len(SEEN)), np.int64)
        posterior = np.empty((len(rows), self.n_states))
        moves = np.empty((len(rows) * (len(self._boundaries) + 2) + 1, len(publish.MOVE)), np.int64)
        n = peek(self.n_states)(
            rows, now, self._boundaries, self._ticks, *self._limits, customers.kept, customers.memory,
            customers.after, seen, posterior, moves,
        )  # fmt: skip
        customers.state_due[rows] = seen[:, SEEN_DUE]
        return Ahead(seen, posterior, moves[:n])

    def see(self, customers: Customers, rows: Rows, now: int) -> Ahead:
        """The same without telling anybody: customers stay as they are."""
        from sojourn.states.hmm.follow import peek

        n = len(rows)
        seen, posterior = np.empty((n, len(SEEN)), np.int64), np.empty((n, self.n_states))
        moves = np.empty((n * (len(self._boundaries) + 2) + 1, len(publish.MOVE)), np.int64)
        n_moves = peek(self.n_states)(
            np.arange(n, dtype=np.int32), now, self._boundaries, self._ticks, *self._limits, customers.kept[rows],
            customers.memory[rows], customers.after[rows], seen, posterior, moves,
        )  # fmt: skip
        return Ahead(seen, posterior, moves[:n_moves])

    def gather_inputs(self, customers: Customers, graph: IdentityGraph, past: Past, rows: Rows, now: int) -> Inputs:
        """All that models may read of these customers: see :mod:`sojourn.fold.kernels.inputs`."""
        if self._gather is None:
            from sojourn.fold.kernels.inputs import gather_inputs

            self._gather = gather_inputs
        n = len(rows)
        values, when = np.empty((n, self.n_inputs)), np.empty((n, 2), np.int64)
        self._gather(
            rows, now, customers.vectors, customers.kept, customers.after, customers.owner, FIRST_OWN, LAST_OWN, N_OWN,
            graph.n_customer_levels, *graph.links(), *past.trails(), *self._input_tables, values, when,
        )  # fmt: skip
        return Inputs(values, when)

    def evaluate(
        self, customers: Customers, rows: Rows, now: I8, why: NDArray[np.uint8], classes: tuple[I8, I8], ahead: Ahead,
        traits: F8,
    ) -> I8:  # fmt: skip
        """Changes of membership: (which of ``rows``, rule, 1 entered or 0 left). ``classes`` happened to each row."""
        from sojourn.fold.kernels.audiences import evaluate

        rules = self.rules
        changes = np.empty((len(rows) * len(rules.names) + 1, 3), np.int64)
        n = evaluate(
            rows.astype(np.int64), now, why, *classes, customers.vectors.reshape(-1), self.layout.n_slots,
            self.layout.read_ints, self.layout.read_floats, rules.calls, rules.readings,
            self._read(ahead, traits), rules.starts, rules.codes, rules.operands, *rules.inputs, *rules.of_class,
            rules.of_state, rules.of_belief, rules.of_trait, rules.of_time, *rules.ages, customers.members,
            customers.rule_due, changes,
        )  # fmt: skip
        return changes[:n]

    def _read(self, ahead: Ahead, traits: F8) -> F8:
        """What rules read of states and traits, a row per customer."""
        n, readings = len(ahead.seen), self.rules.readings
        state = ahead.seen[:, SEEN_STATE]
        found = np.full((n, len(readings)), np.nan)
        for k, (kind, which) in enumerate(readings.tolist()):
            if kind == STATE:
                found[:, k] = np.where(state < 0, np.nan, state)
            elif kind == STATE_P:
                of = np.full(n, which) if which >= 0 else np.maximum(state, 0)
                found[:, k] = ahead.posterior[np.arange(n), of]
            elif kind == TRAIT:
                found[:, k] = traits[:, which]
        return found


def take_events(events: PastEvents, rows: Any) -> PastEvents:
    """Some of the events, in the order given."""
    picked: dict[str, Any] = {name: value[rows] for name, value in events.__dict__.items() if name != "event_id"}
    return PastEvents(event_id=[events.event_id[i] for i in rows.tolist()], **picked)


def join_events(parts: Sequence[PastEvents]) -> PastEvents:
    """Events put end to end."""
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in parts[0].__dict__
        if name != "event_id"
    }
    return PastEvents(event_id=[name for part in parts for name in part.event_id], **joined)
