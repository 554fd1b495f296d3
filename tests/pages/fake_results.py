"""Results as a run would give them, made up with a seed: only for tests of what reads them.

Customers wander between states (log-normal dwell, moves by events or by silence); where asked, a planted
event class comes before one kind of move. Nothing is fitted: model and run numbers are plausible constants.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sojourn.fold.completions import find_completions
from sojourn.frames.schemas import HISTORY, INSTANT, NAME, QUARANTINE, REASONS, TRANSITIONS, customers_schema
from sojourn.pages.results import Results
from sojourn.playbook.objects import (
    EventClass,
    ModelSettings,
    Moment,
    Outcome,
    Playbook,
    Source,
    Stability,
    State,
    Target,
)
from sojourn.predict.value.growth import Landmarks, grow_by_move
from sojourn.predict.value.purchases import Purchases, day_of, merge_days
from sojourn.segments.grid import cross_segments
from sojourn.transitions.journeys.channels import find_channels
from sojourn.transitions.journeys.outcomes import find_journeys
from sojourn.transitions.journeys.paths import find_paths
from sojourn.transitions.matrix import analyse_moves
from sojourn.transitions.moments.measure import measure_moments, read_streams
from sojourn.transitions.stays import read_stays
from sojourn.transitions.triggers.hazards import find_triggers
from sojourn.transitions.values import value_moves

START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
DAY_S = 86_400.0
STATES = ("discovery", "decision", "commitment", "reinforcement", "fading")
CLASSES = (
    "product_view",
    "search",
    "compare",
    "review_read",
    "cart_add",
    "shipping_view",
    "purchase",
    "support",
    "email_sent",
    "other",
)
TOUCHES = ("email_sent",)
FEATURES = ("views_1h", "spend")
PLANTED = "shipping_view"


@dataclass(frozen=True)
class Moves:
    """Tables that agree with each other, and the instant at which they end."""

    transitions: pa.Table
    customers: pa.Table
    history: pa.Table
    now: datetime


def make_moves(
    *,
    n_customers: int = 300,
    n_days: int = 90,
    states: tuple[str, ...] = STATES,
    classes: tuple[str, ...] = CLASSES,
    never: tuple[str, ...] = (),
    planted_p: float = 0.0,
    is_moving: bool = True,
    gap_days: float = 0.4,
    seed: int = 1,
) -> Moves:
    """Customers of ``states`` but those in ``never``, who, without ``is_moving``, never leave their first one.

    With chance ``planted_p`` the planted class comes three hours before a move from the second state to the third.
    """
    rng = np.random.default_rng(seed)
    usable = [i for i, name in enumerate(states) if name not in never]
    taste = rng.dirichlet(np.full(len(classes), 3.0), size=len(states))
    now_s = n_days * DAY_S
    events: list[dict[str, Any]] = []
    moves: list[dict[str, Any]] = []
    people: list[dict[str, Any]] = []
    for number in range(n_customers):
        who = f"customer-{number:05d}"
        since = first = float(rng.uniform(0, now_s * 0.8))
        state = usable[0]
        own = [{"at": first, "class": int(rng.choice(len(classes), p=taste[state])), "state": state}]
        while True:
            dwell = float(np.exp(rng.normal(np.log(DAY_S * (2 + 3 * state)), 1.0)))
            if not is_moving or len(usable) == 1:
                dwell = np.inf
            end = since + dwell
            at = since + float(rng.exponential(DAY_S * gap_days)) + 60.0
            while at < min(end, now_s):
                own.append({"at": at, "class": int(rng.choice(len(classes), p=taste[state])), "state": state})
                at += float(rng.exponential(DAY_S * gap_days)) + 60.0
            if end >= now_s:
                break
            weight = np.array([0.0 if s == state else 1.0 / (1 + abs(s - state - 1)) for s in usable])
            to = usable[int(rng.choice(len(usable), p=weight / weight.sum()))]
            is_silent = to == usable[-1] and bool(rng.random() < 0.7)
            if (state, to) == (1, 2) and PLANTED in classes and rng.random() < planted_p:
                own.append({"at": end - 3 * 3600.0, "class": classes.index(PLANTED), "state": state})
            moves.append({"customer": number, "at": end, "from": state, "to": to, "since": since})
            if not is_silent:
                moves[-1]["class"] = int(rng.choice(len(classes), p=taste[to]))
                own.append({"at": end, "class": moves[-1]["class"], "state": to, "move": len(moves) - 1})
            state, since = to, end
        own.sort(key=lambda event: event["at"])
        events += [{**event, "customer": number} for event in own]
        last_at = own[-1]["at"]
        people.append({"id": who, "first": first, "last": last_at, "n": len(own), "state": state, "since": since})
    events.sort(key=lambda event: event["at"])
    for row, event in enumerate(events):
        event["id"] = f"0:{row}"
        if "move" in event:
            moves[event["move"]]["id"] = event["id"]
    moves.sort(key=lambda move: move["at"])
    return Moves(
        transitions=_transitions(moves, people, states, classes),
        customers=_customers(people, states, rng),
        history=_history(events, people, states, classes, rng),
        now=START + timedelta(seconds=now_s),
    )


def instants(seconds: list[float]) -> pa.Array:
    """Instants so many seconds after the start."""
    base = int(START.timestamp()) * 1_000_000
    return pa.array([base + round(s * 1e6) for s in seconds], pa.int64()).cast(INSTANT)


def _transitions(
    moves: list[dict[str, Any]],
    people: list[dict[str, Any]],
    states: tuple[str, ...],
    classes: tuple[str, ...],
) -> pa.Table:
    at = instants([m["at"] for m in moves])
    since = instants([m["since"] for m in moves])
    dwell = np.asarray(at.cast(pa.int64())) - np.asarray(since.cast(pa.int64()))
    table = pa.table(
        {
            "customer_id": [people[m["customer"]]["id"] for m in moves],
            "at": at,
            "from_state": [states[m["from"]] for m in moves],
            "to_state": [states[m["to"]] for m in moves],
            "cause": ["event" if "id" in m else "silence" for m in moves],
            "event_id": [m.get("id") for m in moves],
            "event_class": [classes[m["class"]] if "class" in m else None for m in moves],
            "dwell_s": dwell / 1e6,
        }
    )
    return _cast(table, TRANSITIONS)


def _customers(people: list[dict[str, Any]], states: tuple[str, ...], rng: np.random.Generator) -> pa.Table:
    n = len(people)
    p = rng.dirichlet(np.full(len(states), 0.3), size=n)
    for row, person in enumerate(people):
        p[row] *= 0.35
        p[row, person["state"]] += 0.65
    runner = [states[int(np.argsort(p[row])[-2])] if len(states) > 1 else None for row in range(n)]
    columns = {
        "customer_id": [x["id"] for x in people],
        "first_at": instants([x["first"] for x in people]),
        "last_at": instants([x["last"] for x in people]),
        "n_events": [x["n"] for x in people],
        "state": [states[x["state"]] for x in people],
        "since_at": instants([x["since"] for x in people]),
        "state_p": [float(p[row, x["state"]]) for row, x in enumerate(people)],
        "runner_up": runner,
        **{f"p_{name}": p[:, i] for i, name in enumerate(states)},
        "reasons": pa.array(
            [[{"what": "product_view", "weight": 1.2}, {"what": "silence 3 d", "weight": -0.4}]] * n, REASONS
        ),
        **{f"f_{name}": rng.lognormal(1, 1, n) for name in FEATURES},
    }
    return _cast(pa.table(columns), customers_schema(states, FEATURES))


def _history(
    events: list[dict[str, Any]],
    people: list[dict[str, Any]],
    states: tuple[str, ...],
    classes: tuple[str, ...],
    rng: np.random.Generator,
) -> pa.Table:
    n = len(events)
    state = [states[e["state"]] for e in events]
    kind = pa.DictionaryArray.from_arrays(
        pa.array([e["class"] for e in events], pa.int32()), pa.array(classes, pa.string())
    )
    table = pa.table(
        {
            "customer_id": [people[e["customer"]]["id"] for e in events],
            "event_id": [e["id"] for e in events],
            "event_at": instants([e["at"] for e in events]),
            "event_class": kind,
            "smoothed_state": state,
            "smoothed_p": rng.uniform(0.6, 1.0, n),
            "filtered_state": state,
            "filtered_p": rng.uniform(0.5, 1.0, n),
            "state": state,
        }
    )
    return _cast(table, HISTORY)


def _cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table in the schema's types; texts become dictionaries where the schema wants them."""
    columns = []
    for field in schema:
        column = table[field.name]
        if field.type == NAME and not pa.types.is_dictionary(column.type):
            column = column.cast(pa.string()).dictionary_encode()
        columns.append(column.cast(field.type))
    return pa.table(columns, schema=schema)


def make_quarantine(raw: str = '{"event": "Order Completed", "timestamp": "soon"}') -> pa.Table:
    """Two rows that could not be used."""
    return pa.table(
        {
            "source": ["events.jsonl", "events.jsonl"],
            "line": [12, 977],
            "rule": ["time", "customer"],
            "found": ["time 'soon' cannot be read", "customer is empty"],
            "raw": [raw, raw],
        },
        schema=QUARANTINE,
    )


def make_playbook(
    states: tuple[str, ...] = STATES,
    classes: tuple[str, ...] = CLASSES,
    about: str = "Comparing options, short of time.",
) -> Playbook:
    """A playbook as an object, built directly: names may be ones that no YAML would let through."""
    events = tuple(EventClass(name, (name,), None, (), (), name in TOUCHES, 1) for name in classes if name != "other")
    return Playbook(
        name="shop",
        version="1",
        about=about,
        path=None,
        text="playbook: shop",
        source=Source(),
        events=events,
        features=(),
        fingerprint=FEATURES,
        model=ModelSettings(),
        states=tuple(
            State(
                name=name,
                about=about,
                job="Pick the right product without regret.",
                anxieties=("hidden costs", "wrong size"),
                typical=((classes[i % len(classes)], 3.0),),
                typical_gap_s=None,
                indicators=(),
                creative="Side-by-side proof, price guarantee, clear returns.",
                channels=("search", "email"),
                line=1,
            )
            for i, name in enumerate(states)
        ),
        moments=(),
        outcomes=(),
        segments=(),
        audiences=(),
        protected=(),
        consent=(),
        activations=(),
        stability=Stability(),
        targets=tuple(
            Target(f"goal_{i}", states[i], states[i + 1], None, 0.3, None, 7 * DAY_S, "", 1)
            if i
            else Target("goal_0", states[0], states[1], 2 * DAY_S, None, None, None, "", 1)
            for i in range(min(2, len(states) - 1))
        ),
    )


def make_results(
    *,
    n_customers: int = 300,
    states: tuple[str, ...] = STATES,
    classes: tuple[str, ...] = CLASSES,
    about: str = "Comparing options, short of time.",
    is_clean: bool = False,
    n_examples: int = 5,
    seed: int = 1,
    **others: Any,
) -> Results:
    """A whole run, made up; ``is_clean`` leaves the quarantine empty."""
    rng = np.random.default_rng(seed)
    moves = make_moves(n_customers=n_customers, states=states, classes=classes, seed=seed, planted_p=0.6, **others)
    touches = tuple(name for name in TOUCHES if name in classes)
    playbook = make_playbook(states, classes, about)
    tables = analyse_moves(
        moves.transitions, moves.customers, moves.history,
        states=states, touches=touches, now=moves.now, rng=rng, targets=playbook.targets,
    )  # fmt: skip
    triggers = find_triggers(
        moves.transitions, moves.customers, moves.history, states=states, touches=touches, now=moves.now, rng=rng
    )
    quarantine = QUARANTINE.empty_table() if is_clean else make_quarantine()
    tables |= make_journeys(moves, playbook, touches, rng)
    return Results(
        playbook=playbook,
        customers=moves.customers,
        load_history=lambda: moves.history,
        transitions=moves.transitions,
        quarantine=quarantine,
        fingerprints=make_fingerprints(states, classes, rng),
        moves={**tables, "triggers": triggers},
        examples=tuple(make_trace(moves, states, row, rng) for row in range(min(n_examples, n_customers))),
        model=make_model(states, classes, rng),
        run=make_run(moves, classes, quarantine),
    )


def make_journeys(
    moves: Moves, playbook: Playbook, touches: tuple[str, ...], rng: np.random.Generator
) -> dict[str, pa.Table]:
    """Journeys before a silence, paths, and channels drawn at random."""
    history = moves.history.sort_by([("customer_id", "ascending"), ("event_at", "ascending")])
    channel = pa.array(rng.choice(["search", "email", "app"], size=history.num_rows).tolist(), pa.string())
    outcome = Outcome("churn", None, None, 2 * DAY_S, None, "", 1)
    states = [state.name for state in playbook.states]
    names = playbook.class_names
    sequences = ((names[0], names[1 % len(names)]), (names[1 % len(names)],) * 2)
    drawn = tuple(Moment(f"m{i}", steps, 2 * DAY_S, "", 1) for i, steps in enumerate(sequences))
    goals = [outcome, Outcome("conversion", names[0], None, None, 3 * DAY_S, "", 1)]
    streams = read_streams(history, touches)
    found = find_completions(
        replace(playbook, moments=drawn), streams.customer, streams.at, streams.names, streams.item
    )
    return {
        "moments": measure_moments(streams, found, drawn, goals, now=moves.now, rng=rng),
        "journeys": find_journeys(history, [outcome], touches=touches, now=moves.now, rng=rng),
        "paths": find_paths(
            moves.transitions, moves.customers, history, states=states, touches=touches, gone_s=DAY_S, now=moves.now
        ),
        "values": value_moves(
            moves.transitions,
            moves.customers,
            history,
            [outcome],
            states=states,
            touches=touches,
            now=moves.now,
            rng=rng,
        ),
        "hybrid": cross_segments(buy_at_random(moves, rng), moves.customers, playbook, moves.now, rng=rng),
        "growth": make_growth(moves, states, rng),
        "channels": find_channels(
            history.append_column("channel", channel), playbook.states, states=states, touches=touches
        ),
    }


def buy_at_random(moves: Moves, rng: np.random.Generator) -> Purchases:
    """Purchases of every second customer, on days of the last half year."""
    names = pa.array(moves.customers["customer_id"].to_pylist(), pa.string())
    n = 3 * len(names)
    who = rng.integers(0, max(1, len(names) // 2), n)
    return merge_days(names, who, day_of(moves.now) - rng.integers(0, 180, n), rng.exponential(50.0, n))


def make_growth(moves: Moves, states: list[str], rng: np.random.Generator) -> pa.Table:
    """Growth of value drawn at random, of the moves that there are."""
    stays = read_stays(moves.transitions, moves.customers, states=states, now=moves.now)
    pairs = sorted({(a, b) for a, b in zip(stays.state.tolist(), stays.to_state.tolist(), strict=True) if b >= 0})
    if not pairs:
        return grow_by_move("nobody has bought", states, pairs)
    state = np.tile(np.array(pairs), (40, 1))
    value = rng.gamma(2.0, 10.0, (len(state), 2))
    return grow_by_move(Landmarks((6, 13), state, value, 0.4), states)


def make_fingerprints(states: tuple[str, ...], classes: tuple[str, ...], rng: np.random.Generator) -> pa.Table:
    """What marks each state: event classes, two features, an indicator and silence."""
    rows = []
    shares = rng.dirichlet(np.full(len(classes), 0.8), size=len(states))
    rule = "count(product_view, within=1h) >= 3 and count(compare, within=1d) >= 1"
    for s, state in enumerate(states):
        for c, name in enumerate(classes):
            overall = float(shares[:, c].mean())
            rows.append((state, "event class", name, float(shares[s, c]), overall, float(shares[s, c] / overall)))
        for name in FEATURES:
            value = float(rng.normal(10, 4))
            rows.append((state, "feature", name, value, 10.0, (value - 10.0) / 5))
        rows.append((state, "indicator", rule, 0.4 if s == 1 else 0.02, 0.09, 4.4 if s == 1 else 0.2))
        silence = DAY_S * (1 + s)
        rows.append((state, "silence", "typical silence after an event", silence, 2 * DAY_S, silence / (2 * DAY_S)))
    names = ("state", "kind", "what", "value", "overall", "lift")
    return pa.table({name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)})


def make_trace(moves: Moves, states: tuple[str, ...], row: int, rng: np.random.Generator) -> pa.Table:
    """Every instant of the customer in that row, with a made-up posterior that follows the state."""
    who = moves.customers["customer_id"][row].as_py()
    history = moves.history.filter(pc.equal(moves.history["customer_id"], who)).to_pylist()
    rows: list[dict[str, Any]] = []
    for r in history:
        is_touch = r["event_class"] in TOUCHES
        kind = "touch" if is_touch else "event"
        reasons = None if is_touch else [
            {"what": f"event: {r['event_class']}", "weight": 1.3}, {"what": "belief carried over", "weight": 0.8},
        ]  # fmt: skip
        rows.append({"at": r["event_at"], "kind": kind, "event_id": r["event_id"], "event_class": r["event_class"],
                     "state": r["state"], "reasons": reasons})  # fmt: skip
    rows += [
        {"at": move["at"], "kind": "silence", "event_id": None, "event_class": None, "state": move["to_state"],
         "reasons": None}
        for move in moves.transitions.filter(pc.equal(moves.transitions["customer_id"], who)).to_pylist()
        if move["cause"] == "silence"
    ]  # fmt: skip
    rows.sort(key=lambda r: r["at"])
    p = rng.dirichlet(np.full(len(states), 0.6), size=len(rows)) * 0.4
    for i, r in enumerate(rows):
        p[i, states.index(r["state"])] += 0.6
    columns = {name: [r[name] for r in rows] for name in ("kind", "event_id", "event_class", "state")}
    return pa.table(
        {
            "customer_id": [who] * len(rows),
            "at": pa.array([r["at"] for r in rows], INSTANT),
            **columns,
            **{f"p_{name}": p[:, i] for i, name in enumerate(states)},
            "reasons": pa.array([r["reasons"] for r in rows], REASONS),
        }
    )


def make_model(states: tuple[str, ...], classes: tuple[str, ...], rng: np.random.Generator) -> dict[str, Any]:
    """A model as ``model.json`` would say it, as far as the report reads it."""
    tradeoff = [
        {
            "enter": 0.5 + 0.05 * i, "margin": 0.1 * k, "exit": 0.4, "min_dwell_s": 3_600.0 * k,
            "flaps_per_month": 2.0 / (1 + i + k), "delay_s": 600.0 * (1 + i) ** 1.5 * (1 + k) + 30 * i * k,
            "is_chosen": (i, k) == (2, 1),
        }
        for i in range(6)
        for k in range(4)
    ]  # fmt: skip
    disagreement = {"channel": "event_class", "symbol": classes[0], "written_p": 0.30, "fitted_p": 0.07}
    return {
        "states": list(states),
        "written": list(states),
        "channels": {
            "event_class": {
                "symbols": list(classes),
                "weight": 1.0,
                "theta": {name: rng.dirichlet(np.ones(len(classes))).tolist() for name in states},
            }
        },
        "silence": {"boundaries_s": [1_800.0, DAY_S, 7 * DAY_S], "hazards": {}, "transitions": []},
        "thresholds": {"enter": 0.6, "margin": 0.1, "exit": 0.4, "min_dwell_s": 3_600.0},
        "tradeoff": tradeoff,
        "alignment": [
            {"state": name, "fitted": name, "similarity": 0.94 - 0.1 * (i % 4), "disagreements": [disagreement]}
            for i, name in enumerate(states)
        ],
    }


def make_run(moves: Moves, classes: tuple[str, ...], quarantine: pa.Table) -> dict[str, Any]:
    """The numbers of a run that agree with its tables."""
    kinds = moves.history["event_class"].cast(pa.string()).to_pylist()
    n = len(kinds)
    return {
        "sojourn": "0.1.0",
        "seed": 0,
        "now": moves.now.isoformat(),
        "sources": ["events.parquet"],
        "rows": {
            "read": n + 40 + quarantine.num_rows, "accepted": n, "duplicate": 40, "quarantined": quarantine.num_rows,
        },
        "quarantined_by_rule": dict.fromkeys(quarantine["rule"].to_pylist(), 1),
        "customers": moves.customers.num_rows,
        "event_classes": [
            {"event_class": name, "n_rows": kinds.count(name), "n_customers": moves.customers.num_rows,
             "n_sessions": kinds.count(name) // 2, "measures": {"revenue": 1234.5} if name == "purchase" else {}}
            for name in classes
        ],
        "unmapped_events": {"Legacy Ping": 17},
        "sessions": n // 3,
        "stages": [{"stage": "read events", "seconds": 1.2, "peak_mb": 310.0},
                   {"stage": "fit the states", "seconds": 8.4, "peak_mb": 420.0}],
        "likelihood": [-3.0 * n * (1 + 0.2 * 0.6**k) for k in range(18)],
        "held_out": {"unit": "nats per event", "sojourn": -2.31, "textbook_hmm": -2.52, "markov_chain": -2.44},
        "flaps": {"before": 2.4, "after": 0.37},
        "foresight_in_words": ["conversion within 28 days: the states add nothing that can be told from chance."],
        "delay_s": {"before": 600.0, "after": 5_400.0},
        "versions": {"python": "3.11.9", "numpy": "2.4.0"},
        "warnings": ["2 of the rows could not be used; see quarantine.parquet."],
    }  # fmt: skip


UNUSUAL: list[dict[str, Any]] = [
    {"never": ("commitment",)},
    {"is_moving": False},
    {"n_customers": 1},
    {"n_customers": 1, "is_moving": False, "n_days": 3},
    {"states": tuple(f"state-{i}" for i in range(12))},
    {"states": ("an-exceedingly-long-name-" * 4, "b" * 200, "c")},
    {"is_clean": True, "n_examples": 0},
    {"states": ("only",)},
]
"""Runs that figures and report must cope with: what is different from a usual one."""
