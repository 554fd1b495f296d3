"""A small shop for tests of the whole: a playbook of three states, and raw rows that it reads."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from sojourn.playbook.load import parse_playbook
from sojourn.playbook.objects import Playbook

START = datetime(2024, 1, 1, tzinfo=UTC)
CLASSES = ("look", "buy", "help", "mail", "Unknown")

SETTINGS = {
    "features": "{looks: 'count(look, half_life=7d)', spend: 'sum(revenue, half_life=30d)'}",
    "fingerprint": "[looks, spend]",
    "model": "{silence: [30m, 1d, 7d]}",
    "indicators": "[{when: 'count(look, within=1d) >= 2', strength: strong}]",
    "stability": "{enter: 0.5, margin: 0, exit: 0.5, min_dwell: 30m}",
}


def make_book(**changed: str) -> Playbook:
    """The small shop's playbook, with some of its settings in other words."""
    s = {**SETTINGS, **changed}
    text = f"""
playbook: small
version: 1
source: {{customer: user, time: at, event: name, id: id, label: known, label_p: sure}}
events:
  look: {{name: look}}
  buy: {{name: buy, measures: {{revenue: revenue}}}}
  help: {{name: help}}
  mail: {{name: mail, touch: true}}
features: {s["features"]}
fingerprint: {s["fingerprint"]}
model: {s["model"]}
states:
  browsing:
    typical: {{look: 5}}
    indicators: {s["indicators"]}
  buying:
    typical: {{buy: 5, look: 1}}
    indicators: {s["indicators"]}
  gone:
    typical: {{help: 5}}
    typical_gap: 20d
stability: {s["stability"]}
"""
    return parse_playbook(text, "small.yaml")


def make_rows(events: Sequence[tuple[str, float, str]], labels: Sequence[str | None] | None = None) -> pa.Table:
    """Raw rows of ``(customer, hours since the start, class)``; every purchase is worth 10."""
    n = len(events)
    return pa.table(
        {
            "user": pa.array([e[0] for e in events], pa.string()),
            "at": pa.array([START + timedelta(hours=e[1]) for e in events], pa.timestamp("us", tz="UTC")),
            "name": pa.array([e[2] for e in events], pa.string()),
            "id": pa.array([f"m{i}" for i in range(n)], pa.string()),
            "revenue": pa.array([10.0 if e[2] == "buy" else None for e in events], pa.float64()),
            "known": pa.array(labels if labels is not None else [None] * n, pa.string()),
            "sure": pa.array([None] * n, pa.float64()),
        }
    )


def draw_events(
    seed: int, n_customers: int = 30, n_days: float = 60, has_ties: bool = False
) -> list[tuple[str, float, str]]:
    """Events of customers who browse, buy and are gone, in time order; some get mail."""
    rng = np.random.default_rng(seed)
    chance = {"browsing": [0.8, 0.05, 0.05, 0.1], "buying": [0.3, 0.6, 0.05, 0.05], "gone": [0.1, 0.05, 0.6, 0.25]}
    pace = {"browsing": 2.0, "buying": 6.0, "gone": 120.0}
    found = []
    for k in range(n_customers):
        at, state = float(rng.uniform(0, 24 * n_days / 4)), "browsing"
        while at < 24 * n_days:
            hours = float(round(at)) if has_ties else at
            found.append((f"c{k}", hours, CLASSES[rng.choice(4, p=chance[state])]))
            at += float(rng.exponential(pace[state]))
            if rng.random() < 0.1:
                state = str(rng.choice(["browsing", "buying", "gone"]))
    return sorted(found, key=lambda e: e[1])
