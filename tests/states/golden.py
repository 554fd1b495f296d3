"""Write golden/states.json: a playbook, events, a model, and what must be believed and published, for every language.

The reference below is plain Python on lists and shares no code with the package's loops; symbols come from the
oracle of the fold. Run ``python -m tests.states.golden`` to write the file anew; a test fails when it is not what
would be written.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

from sojourn.fold.primitives import Event, Setting
from sojourn.playbook.objects import Playbook
from tests import ROOT
from tests.fold.golden import print_golden
from tests.fold.world import ask_oracle
from tests.states.world import CLASSES, START, make_book

GOLDEN = ROOT / "golden" / "states.json"
CUTS = [[0.5, 2.0], [1.0, 15.0]]
BOUNDARIES_S = [1_800.0, 86_400.0, 604_800.0]
SECOND = 1_000_000
START_US = int(START.timestamp()) * SECOND
GAPS_S = [0, 0, 1, 60, 600, 1_799, 1_800, 1_801, 7_200, 43_200, 86_400, 90_000, 500_000, 604_800, 2_000_000]
THRESHOLDS = [
    {"enter": 0.0, "margin": 0.0, "exit": 1.0, "min_dwell_s": 0.0},
    {"enter": 0.5, "margin": 0.1, "exit": 0.4, "min_dwell_s": 0.0},
    {"enter": 0.6, "margin": 0.0, "exit": 1.0, "min_dwell_s": 900.0},
    {"enter": 0.5, "margin": 0.2, "exit": 0.5, "min_dwell_s": 172_800.0},
]
ABOUT = (
    "Filtering and publishing of DESIGN section 6 by a plain reading of it. Instants in microseconds; `model` is as in "
    "model.json; `symbols` number the symbols of each channel of the model in its order, 255 is missing; touches have "
    "none. `filtered` is the belief over the states in their order right after each event, null before a customer's "
    "first own event. Each case publishes the same beliefs under other thresholds: `states` right after each event, "
    "`transitions` in order of customer and time (`event` numbers the events, null: silence), `customers` as of `now`."
)


# -- the reference -------------------------------------------------------------------------------------------


def step(p: list[float], matrix: list[list[float]]) -> list[float]:
    """A row vector times a matrix, made to add up to one."""
    q = [sum(p[r] * matrix[r][s] for r in range(len(p))) for s in range(len(p))]
    total = sum(q)
    return [x / total for x in q]


def cross_boundary(model: dict[str, Any], p: list[float], b: int) -> list[float]:
    """A tick: survive the silence of bin b, then move in silence."""
    names = model["states"]
    hazards, moves = model["silence"]["hazards"], model["silence"]["transitions"][b]
    return step(p, [[(1 - hazards[r][b]) * moves[r][s] for s in names] for r in names])


def see_event(
    model: dict[str, Any], p: list[float] | None, crossed: int, touch: str, symbols: Sequence[int]
) -> list[float]:
    """End the silence, move under the touch, and take in what is seen; a first event comes out of nothing."""
    names = model["states"]
    if p is None:
        q = [model["initial"][s] for s in names]
    else:
        hazards, moves = model["silence"]["hazards"], model["event_transitions"][touch]
        ending = [hazards[r][crossed] if crossed < len(hazards[r]) else 1.0 for r in names]
        q = step(p, [[ending[i] * moves[r][s] for s in names] for i, r in enumerate(names)])
    for channel, symbol in zip(model["channels"].values(), symbols, strict=True):
        if symbol != 255:
            q = [x * channel["theta"][s][symbol] ** channel["weight"] for x, s in zip(q, names, strict=True)]
    total = sum(q)
    return [x / total for x in q]


class Customer:
    """One customer's belief and published state, moved on by events and by time. States are numbers."""

    def __init__(self, model: dict[str, Any], limits: dict[str, float]) -> None:
        self.model, self.limits = model, limits
        self.boundaries = [round(b * SECOND) for b in model["silence"]["boundaries_s"]]
        self.p: list[float] | None = None
        self.state: int | None = None
        self.since = self.last = self.crossed = 0
        self.touch = "none"
        self.waiting: tuple[int, int] | None = None  # the state that wants to be published, and since when
        self.moves: list[dict[str, Any]] = []

    def pass_time(self, until: int) -> None:
        """All that happens by itself up to an instant: boundaries crossed, and waiting that has been long enough."""
        while self.p is not None:
            due = []
            if self.waiting:
                due.append((self.waiting[1] + round(self.limits["min_dwell_s"] * SECOND), "publish"))
            if self.crossed < len(self.boundaries):
                due.append((self.last + self.boundaries[self.crossed], "tick"))
            if not due or min(due)[0] > until:
                return
            at, what = min(due)
            if what == "publish":
                assert self.waiting is not None
                self.publish(at, self.waiting[0], None)
            else:
                self.p = cross_boundary(self.model, self.p, self.crossed)
                self.crossed += 1
                self.consider(at, None)

    def be_touched(self, touch: str) -> None:
        """Something was done to the customer; the last such thing counts."""
        self.touch = touch

    def act(self, at: int, event: int, symbols: Sequence[int]) -> None:
        """The customer did something."""
        self.p = see_event(self.model, self.p, self.crossed, self.touch, symbols)
        self.last, self.crossed, self.touch = at, 0, "none"
        if self.state is None:
            self.state, self.since = self.p.index(max(self.p)), at
        else:
            self.consider(at, event)

    def consider(self, at: int, event: int | None) -> None:
        """Publish another state if the belief is firm enough, or let it wait for a second event or for time."""
        assert self.p is not None
        assert self.state is not None
        best, limits = self.p.index(max(self.p)), self.limits
        here, there = self.p[self.state], self.p[best]
        is_firm = there >= limits["enter"] and there - here >= limits["margin"] and here <= limits["exit"]
        if best == self.state or not is_firm:
            self.waiting = None
        elif limits["min_dwell_s"] == 0 or (event is not None and self.waiting and self.waiting[0] == best):
            self.publish(at, best, event)
        elif not self.waiting or self.waiting[0] != best:
            self.waiting = (best, at)

    def publish(self, at: int, state: int, event: int | None) -> None:
        """A switch of the published state."""
        assert self.state is not None
        names = self.model["states"]
        self.moves.append(
            {
                "at": at, "from": names[self.state], "to": names[state], "event": event,
                "cause": "silence" if event is None else "event", "dwell_s": (at - self.since) / 1e6,
            }
        )  # fmt: skip
        self.state, self.since, self.waiting = state, at, None


# -- the file ------------------------------------------------------------------------------------------------


def make_golden() -> dict[str, Any]:
    """All that the file holds."""
    chance = random.Random(1907)
    playbook = make_book(features="{looks: 'count(look, half_life=7d)', spend: 'mean(revenue, half_life=30d)'}")
    events = draw_events(chance, playbook, 90)
    now = events[-1]["event_at"] + 3 * 86_400 * SECOND + 1
    model = draw_model(chance)
    beliefs, cases = [], []
    for limits in THRESHOLDS:
        beliefs, case = publish_all(model, limits, events, now)
        cases.append(case)
    return {
        "about": ABOUT, "playbook": playbook.text, "cuts": CUTS, "model": model, "now": now,
        "events": [{**e, "filtered": p} for e, p in zip(events, beliefs, strict=True)], "cases": cases,
    }  # fmt: skip


def publish_all(
    model: dict[str, Any], limits: dict[str, float], events: list[dict[str, Any]], now: int
) -> tuple[list[list[float] | None], dict[str, Any]]:
    """The belief after each event, and all that is published under these thresholds."""
    people: dict[str, Customer] = {}
    beliefs, states = [], []
    for i, event in enumerate(events):
        customer = people.setdefault(event["customer"], Customer(model, limits))
        customer.pass_time(event["event_at"])
        if event["symbols"] is None:
            customer.be_touched(event["event_class"])
        else:
            customer.act(event["event_at"], i, event["symbols"])
        beliefs.append(None if customer.p is None else list(customer.p))
        states.append(None if customer.state is None else model["states"][customer.state])
    found = []
    for name in sorted(people):
        customer = people[name]
        customer.pass_time(now)
        state = None if customer.state is None else model["states"][customer.state]
        since = None if state is None else customer.since
        found.append({"customer": name, "state": state, "since_at": since, "posterior": customer.p})
    transitions = [{"customer": name, **move} for name in sorted(people) for move in people[name].moves]
    return beliefs, {"thresholds": limits, "states": states, "transitions": transitions, "customers": found}


def draw_events(chance: random.Random, playbook: Playbook, n: int) -> list[dict[str, Any]]:
    """Events of four customers, one of whom only gets mail, with what the model sees of each."""
    setting, at, events = Setting(touches=frozenset(playbook.touches)), START_US, []
    lives: dict[str, list[Event]] = {}
    for _ in range(n):
        at += chance.choice(GAPS_S) * SECOND + chance.choice([0, 0, 7])
        customer = chance.choice(["ann", "ann", "bob", "cem", "dil"])
        name = "mail" if customer == "dil" else chance.choice(["look", "look", *CLASSES[:4]])
        if chance.random() < 0.05 and customer != "dil":
            name = "other"
        event = Event(at, name, {"revenue": round(chance.uniform(1, 30), 2)} if name == "buy" else {})
        lives.setdefault(customer, []).append(event)
        seen = None if name == "mail" else see_symbols(playbook, lives[customer], setting)
        what = {"event_class": name, "measures": dict(event.measures), "symbols": seen}
        events.append({"customer": customer, "event_at": at, **what})
    return events


def see_symbols(playbook: Playbook, life: list[Event], setting: Setting) -> list[int]:
    """The symbols of the last event: its class among own ones, levels of the fingerprint, indicators."""
    now = life[-1].event_at
    own = [name for name in playbook.class_names if name not in playbook.touches]
    symbols = [own.index(life[-1].event_class)]
    programs = {feature.name: feature.program for feature in playbook.features}
    for name, cuts in zip(playbook.fingerprint, CUTS, strict=True):
        value = ask_oracle(programs[name], life, now, setting)
        symbols.append(255 if math.isnan(value) else sum(cut <= value for cut in cuts))
    for state in playbook.states:
        symbols += [int(ask_oracle(i.when, life, now, setting)) for i in state.indicators]
    return symbols


def draw_model(chance: random.Random) -> dict[str, Any]:
    """Parameters as model.json has them: sticky states, a channel that does not count, one that counts by half."""
    states = ["browsing", "buying", "gone"]

    def draw(n: int) -> list[float]:
        values = [chance.expovariate(1) + 0.02 for _ in range(n)]
        return [v / sum(values) for v in values]

    def draw_sticky(stay: float) -> dict[str, dict[str, float]]:
        rows = {a: dict(zip(states, draw(3), strict=True)) for a in states}
        return {a: {b: (1 - stay) * rows[a][b] + stay * (a == b) for b in states} for a in states}

    levels = [("< 0.5", "0.5 to 2", ">= 2"), ("< 1", "1 to 15", ">= 15")]
    rule = "count(look, within=1d) >= 2"
    channels = [
        ("event_class", ["look", "buy", "help", "other"], 0.8),
        ("looks", levels[0], 0.5),
        ("spend", levels[1], 0.0),
        (f"browsing: {rule}", ["no", "yes"], 0.3),
        (f"buying: {rule}", ["no", "yes"], 0.1),
    ]
    return {
        "states": states,
        "channels": {
            name: {"symbols": list(symbols), "weight": weight, "theta": {s: draw(len(symbols)) for s in states}}
            for name, symbols, weight in channels
        },
        "initial": dict(zip(states, draw(3), strict=True)),
        "event_transitions": {"none": draw_sticky(0.8), "mail": draw_sticky(0.6)},
        "silence": {
            "boundaries_s": BOUNDARIES_S,
            "hazards": {s: [chance.uniform(0.1, 0.9) for _ in BOUNDARIES_S] for s in states},
            "transitions": [draw_sticky(0.7) for _ in BOUNDARIES_S],
        },
    }


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(print_golden(make_golden()), encoding="utf-8")
