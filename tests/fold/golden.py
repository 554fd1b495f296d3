"""Write golden/fold.json: playbooks, events and what must come out, for every language that has a fold.

Features are what the oracle says (:mod:`sojourn.fold.primitives`), vectors what single steps say. Missing is null.
Run ``python -m tests.fold.golden`` to write it anew; a test fails when it is not what would be written.
"""

from __future__ import annotations

import json
import math
import random
import struct
from typing import Any

from sojourn.fold.batch import make_batch
from sojourn.fold.layout import Layout, Programs, build_layout
from sojourn.fold.primitives import Event, hash_text
from sojourn.fold.steps import exp2, step
from sojourn.playbook.objects import Playbook
from tests import ROOT
from tests.fold.world import (
    CLASSES,
    DAY,
    GAPS,
    START,
    Sent,
    ask_oracle,
    code_events,
    make_playbook,
    make_setting,
    make_table,
)

GOLDEN = ROOT / "golden" / "fold.json"
WORDS = ["a", "b", "shoe", "a longer name of a product", "ü", ""]


def make_golden() -> dict[str, Any]:
    """All that the file holds."""
    chance = random.Random(1914)
    xs = [0.0, -0.5, -1.0, -1021.5, *(-chance.random() * chance.choice([1e-6, 1.0, 40.0, 1000.0]) for _ in range(40))]
    texts = [*WORDS, "12345678", "customer-000017"]
    return {
        "about": "Events folded by the plain meaning of each primitive. Instants in microseconds, missing is null.",
        "exp2": [{"x": x, "bits": struct.pack(">d", exp2(x)).hex()} for x in xs],
        "hashes": [{"text": text, "hash": f"{hash_text(text):016x}"} for text in texts],
        "cases": [make_case(chance, has_sessions=False), make_case(chance, has_sessions=True)],
    }


def make_case(chance: random.Random, *, has_sessions: bool) -> dict[str, Any]:
    """A playbook, its layout, events of three customers, and the features and vectors they give."""
    playbook = make_playbook(has_sessions=has_sessions)
    layout, setting = build_layout(playbook), make_setting(playbook)
    sent = draw_events(chance, 60)
    batch = make_batch(make_table(sent, playbook), playbook)
    rows, seen, vectors, after = [], {}, {}, []
    for s, coded, row in zip(sent, code_events(batch), batch.customer.tolist(), strict=True):
        rows.append({"customer": s.customer, **write_event(s.event)})
        seen.setdefault(s.customer, []).append(s.event)
        after.append(ask_all(playbook, seen[s.customer], s.event.event_at, setting))
        vectors[row] = step(layout, vectors.get(row, layout.initial), coded)
    now = sent[-1].event.event_at + 3 * DAY + 1
    return {
        "playbook": playbook.text,
        "layout": write_layout(layout),
        "events": rows,
        "features_at_each_event": after,
        "now": now,
        "customers": [
            {
                "customer": name,
                "features": ask_all(playbook, seen[name], now, setting),
                "vector": [write_number(x) for x in vectors[row].tolist()],
            }
            for row, name in enumerate(batch.ids.names().to_pylist())
        ],
    }


def ask_all(playbook: Playbook, events: list[Event], now: int, setting: Any) -> list[float | None]:
    return [write_number(ask_oracle(f.program, events, now, setting)) for f in playbook.features]


def draw_events(chance: random.Random, n: int) -> list[Sent]:
    at, sent = START, []
    for _ in range(n):
        at += chance.choice(GAPS[:13]) + chance.choice([0, 7, 123_456_789])
        name = chance.choice(CLASSES)
        measures = {"revenue": round(chance.uniform(1, 90), 2)} if name in ("buy", "refund") else {}
        if name == "view" and chance.random() < 0.7:
            measures["sentiment"] = round(chance.uniform(-1, 1), 3)
        properties = {"product": chance.choice(WORDS)} if name in ("view", "buy") else {}
        if name in ("buy", "mail"):
            properties["topic"] = chance.choice(WORDS)
        event = Event(at, name, measures, chance.choice([None, "email", "search", "elsewhere"]),
                      chance.choice([None, "s1", "s2"]), properties)  # fmt: skip
        sent.append(Sent(chance.choice(["ann", "bob", "cem"]), event))
    return sent


def write_event(event: Event) -> dict[str, Any]:
    return {
        "event_at": event.event_at, "event_class": event.event_class, "measures": dict(event.measures),
        "channel": event.channel, "session": event.session, "properties": dict(event.properties),
    }  # fmt: skip


def write_layout(layout: Layout) -> dict[str, Any]:
    """The tables that a fold in another language runs."""
    return {
        "hash": layout.hash,
        "n_slots": layout.n_slots,
        "initial": [write_number(x) for x in layout.initial.tolist()],
        "classes": list(layout.class_names),
        "measures": list(layout.measures),
        "properties": list(layout.properties),
        "channels": list(layout.channels),
        "has_sessions": layout.has_sessions,
        "op_starts": layout.op_starts.tolist(),
        "op_ints": layout.op_ints.tolist(),
        "op_floats": layout.op_floats.tolist(),
        "read_ints": layout.read_ints.tolist(),
        "read_floats": layout.read_floats.tolist(),
        "feature_names": list(layout.feature_names),
        "features": write_programs(layout.features),
    }


def write_programs(programs: Programs) -> dict[str, Any]:
    return {
        "starts": programs.starts.tolist(), "codes": programs.codes.tolist(),
        "operands": programs.operands.tolist(), "calls": programs.calls.tolist(),
    }  # fmt: skip


def write_number(x: float) -> float | None:
    return None if math.isnan(x) else x


def print_golden(golden: dict[str, Any]) -> str:
    """As JSON with one event, feature row or customer a line, so that differences can be read."""
    text = json.dumps(golden, ensure_ascii=False, allow_nan=False, indent=1)
    lines: list[str] = []
    for line in text.splitlines():
        depth = len(line) - len(line.lstrip())
        if depth > 4:
            lines[-1] += ("" if lines[-1].endswith(("[", "{")) else " ") + line.strip()
        elif depth == 4 and line.strip() in ("]", "],", "}", "},") and len(lines[-1]) - len(lines[-1].lstrip()) == 4:
            lines[-1] += line.strip()
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(print_golden(make_golden()), encoding="utf-8")
