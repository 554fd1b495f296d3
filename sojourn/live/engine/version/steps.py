"""The compiled steps of one version over many customers: fold events, filter states, cross silence, evaluate rules."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sojourn.act import Audiences, compile_audiences
from sojourn.events.identity import IdentityGraph
from sojourn.fold import (
    STATE,
    STATE_P,
    TRAIT,
    Layout,
    build_layout,
    kernels,
    new_marks,
    read_marks,
    tabulate_observed,
    tabulate_ops,
)
from sojourn.fold.kernels import evaluate
from sojourn.frames import DAY_US, F8, I8
from sojourn.live.engine.event_files import Past, PastEvents
from sojourn.live.engine.version.customers import Customers
from sojourn.playbook import Playbook
from sojourn.predict import HABITS, WINDOWS_DAYS
from sojourn.states import OddsTables, StateModel, make_tables, own_classes
from sojourn.states.hmm import (
    FIRST_OWN,
    LAST_OWN,
    N_OWN,
    SEEN,
    SEEN_DUE,
    SEEN_STATE,
    channel_logs,
    event_matrices,
    follow,
    peek,
    score_codes,
    tick_matrices,
)
from sojourn.states.hmm import hysteresis as publish

Rows = NDArray[np.int32]

_SPANS = np.array(WINDOWS_DAYS, np.int64) * DAY_US


@dataclass(frozen=True)
class Stepped:
    """The result of events: transitions, laid out as in :mod:`sojourn.states.hmm.hysteresis`, and pairs (event,
    moment)."""

    transitions: I8
    moments: I8


@dataclass(frozen=True)
class StatesAt:
    """Customers at an instant: ``seen`` as :mod:`sojourn.states.hmm.online` has it, the posterior, transitions by
    silence that
    were not published before."""

    seen: I8
    posterior: F8
    transitions: I8


@dataclass(frozen=True)
class Inputs:
    """What models read, a row per customer. ``when``: the instant, and the silence since the last own event (-1: there
    was none), in microseconds."""

    values: F8
    when: I8


class Steps:
    """The tables of one playbook and model as the compiled loops take them."""

    def __init__(self, playbook: Playbook, state_model: StateModel) -> None:
        """Compute everything that does not depend on events."""
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
        self._input_tables = (
            self.is_own_class,
            _SPANS,
            layout.read_ints,
            layout.read_floats,
            features.calls,
            features.starts,
            features.codes,
            features.operands,
            self._boundaries,
            self._ticks,
        )

    def new_customers(self) -> Customers:
        """Arrays without customers."""
        return Customers(self.layout, self.n_states, len(self.state_model.model.channels), self.rules.n_bytes)

    def step(self, customers: Customers, rows: Rows, events: PastEvents) -> Stepped:
        """Fold events and filter states. Each customer's events are in order of time; ``rows`` are their customers."""
        n = len(rows)
        if not n:
            return Stepped(np.empty((0, len(publish.MOVE)), np.int64), np.empty((0, 2), np.int64))
        symbols = np.empty((n, len(self.layout.observed)), np.uint8)
        marks = new_marks(self.layout, n)
        kernels.fold(
            0,
            1,
            8,
            rows,
            events.event_at,
            events.event_class,
            events.measures,
            events.channel,
            events.properties,
            events.session,
            customers.vectors.reshape(-1),
            self.layout.n_slots,
            *self._ops,
            marks,
            *self._observed,
            symbols,
            self._no_values,
        )
        np.add.at(customers.n_events, rows, 1)
        seen = np.empty((n, len(self._logs)), np.uint8)
        n_observed = self.state_model.n_observed
        seen[:, 0] = self._own_of[events.event_class]
        seen[:, 1 : 1 + n_observed] = symbols[:, :n_observed]
        seen[:, -1] = events.label
        touch = self._touch_of[events.event_class]
        likelihood, top = np.empty((n, self.n_states)), np.empty(n)
        score_codes(self.n_states)(seen, self._logs, 0, n, likelihood, top)
        transitions = np.empty((n * (len(self._boundaries) + 2) + 1, len(publish.MOVE)), np.int64)
        n_transitions = follow(self.n_states)(
            rows,
            events.event_at,
            touch,
            likelihood,
            self._boundaries,
            self._ticks,
            self._events,
            self.state_model.model.initial,
            *self._limits,
            customers.kept,
            customers.memory,
            customers.before,
            customers.after,
            transitions,
        )
        is_own = touch == 0
        customers.seen[rows[is_own]] = seen[is_own]  # of several rows of one customer the last one stays
        return Stepped(transitions[:n_transitions], read_marks(self.layout, marks))

    def cross_silence(self, customers: Customers, rows: Rows, now: int) -> StatesAt:
        """Customers at an instant. Transitions by silence up to it count as published from now on."""
        seen = np.empty((len(rows), len(SEEN)), np.int64)
        posterior = np.empty((len(rows), self.n_states))
        transitions = np.empty((len(rows) * (len(self._boundaries) + 2) + 1, len(publish.MOVE)), np.int64)
        n = peek(self.n_states)(
            rows,
            now,
            self._boundaries,
            self._ticks,
            *self._limits,
            customers.kept,
            customers.memory,
            customers.after,
            seen,
            posterior,
            transitions,
        )
        customers.state_due[rows] = seen[:, SEEN_DUE]
        return StatesAt(seen, posterior, transitions[:n])

    def states_at(self, customers: Customers, rows: Rows, now: int) -> StatesAt:
        """The same, with nothing published and nothing kept: customers stay as they are."""
        n = len(rows)
        seen, posterior = np.empty((n, len(SEEN)), np.int64), np.empty((n, self.n_states))
        transitions = np.empty((n * (len(self._boundaries) + 2) + 1, len(publish.MOVE)), np.int64)
        n_transitions = peek(self.n_states)(
            np.arange(n, dtype=np.int32),
            now,
            self._boundaries,
            self._ticks,
            *self._limits,
            customers.kept[rows],
            customers.memory[rows],
            customers.after[rows],
            seen,
            posterior,
            transitions,
        )
        return StatesAt(seen, posterior, transitions[:n_transitions])

    def gather_inputs(self, customers: Customers, graph: IdentityGraph, past: Past, rows: Rows, now: int) -> Inputs:
        """All that models may read of these customers: see :mod:`sojourn.fold.kernels.inputs`."""
        n = len(rows)
        values, when = np.empty((n, self.n_inputs)), np.empty((n, 2), np.int64)
        kernels.gather_inputs(
            rows,
            now,
            customers.vectors,
            customers.kept,
            customers.after,
            customers.owner,
            FIRST_OWN,
            LAST_OWN,
            N_OWN,
            graph.n_customer_levels,
            *graph.links(),
            *past.trails(),
            *self._input_tables,
            values,
            when,
        )
        return Inputs(values, when)

    def evaluate(
        self,
        customers: Customers,
        rows: Rows,
        now: I8,
        why: NDArray[np.uint8],
        classes: tuple[I8, I8],
        states: StatesAt,
        traits: F8,
    ) -> I8:
        """Changes of membership: (which of ``rows``, rule, 1 entered or 0 left). ``classes`` happened to each row."""
        rules = self.rules
        changes = np.empty((len(rows) * len(rules.names) + 1, 3), np.int64)
        n = evaluate(
            rows.astype(np.int64),
            now,
            why,
            *classes,
            customers.vectors.reshape(-1),
            self.layout.n_slots,
            self.layout.read_ints,
            self.layout.read_floats,
            rules.calls,
            rules.readings,
            self._read(states, traits),
            rules.starts,
            rules.codes,
            rules.operands,
            *rules.inputs,
            *rules.of_class,
            rules.of_state,
            rules.of_belief,
            rules.of_trait,
            rules.of_time,
            *rules.ages,
            customers.members,
            customers.rule_due,
            changes,
        )
        return changes[:n]

    def _read(self, states: StatesAt, traits: F8) -> F8:
        """The values of states and traits that rules read, a row per customer."""
        n, readings = len(states.seen), self.rules.readings
        state = states.seen[:, SEEN_STATE]
        found = np.full((n, len(readings)), np.nan)
        for k, (kind, which) in enumerate(readings.tolist()):
            if kind == STATE:
                found[:, k] = np.where(state < 0, np.nan, state)
            elif kind == STATE_P:
                of = np.full(n, which) if which >= 0 else np.maximum(state, 0)
                found[:, k] = states.posterior[np.arange(n), of]
            elif kind == TRAIT:
                found[:, k] = traits[:, which]
        return found
