"""Shares and indices against pandas, intervals against a bootstrap over customers, and gaps that are really there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from sojourn.frames.schemas import INSTANT
from sojourn.playbook.objects import State
from sojourn.transitions.journeys.channels import compare_shares, find_channels

STATES = ["looking", "choosing", "gone"]


def write_state(name: str, creative: str = "", channels: tuple[str, ...] = ()) -> State:
    return State(name, "", "", (), (), None, (), creative, channels, 1)


def make_lives(seed: int = 0, n_customers: int = 300) -> pd.DataFrame:
    """People with tastes of their own; those who choose are on search twice as often as those who look."""
    rng = np.random.default_rng(seed)
    rows = []
    for who in range(n_customers):
        taste = rng.dirichlet([2.0, 2.0, 1.0])
        for _ in range(rng.integers(1, 40)):
            state = int(rng.integers(0, 2))
            weight = taste * ([1, 1, 1] if state == 0 else [1, 2, 1])
            channel = ["email", "search", "app"][int(rng.choice(3, p=weight / weight.sum()))]
            event = str(rng.choice(["view", "cart", "email_sent"], p=[0.6, 0.3, 0.1]))
            at = pd.Timestamp("2026-01-05", tz="UTC") + pd.Timedelta(seconds=int(rng.integers(0, 30 * 86_400)))
            rows.append((f"c{who:04}", at, event, STATES[state], channel if rng.random() > 0.1 else None))
    return pd.DataFrame(rows, columns=["customer_id", "event_at", "event_class", "state", "channel"])


def as_table(frame: pd.DataFrame) -> pa.Table:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    return table.set_column(1, "event_at", table["event_at"].cast(INSTANT))


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return make_lives()


@pytest.fixture(scope="module")
def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    written = [write_state("looking", "Show it.", ("email", "post")), write_state("choosing")]
    return find_channels(as_table(frame), written, states=STATES, touches=["email_sent"]).to_pylist()


@pytest.mark.parametrize("kind", ["channel", "hour", "weekday", "touch"])
def test_shares_are_those_of_pandas(kind: str, frame: pd.DataFrame, rows: list[dict[str, Any]]) -> None:
    is_touch = frame["event_class"] == "email_sent"
    frame = frame[is_touch if kind == "touch" else ~is_touch].copy()
    frame["what"] = {
        "channel": frame["channel"],
        "hour": frame["event_at"].dt.strftime("%H:00"),
        "weekday": frame["event_at"].dt.day_name(),
        "touch": frame["event_class"],
    }[kind]
    frame = frame.dropna(subset="what")
    overall = frame["what"].value_counts(normalize=True)
    found = {(r["state"], r["what"]): r for r in rows if r["kind"] == kind and r["n_events"]}
    counted = frame.groupby(["state", "what"])
    assert set(found) == set(counted.groups)
    for key, part in counted:
        row, here = found[key], frame[frame["state"] == key[0]]
        assert row["n_events"] == len(part)
        assert row["n_customers"] == part["customer_id"].nunique()
        assert row["customers_p"] == pytest.approx(part["customer_id"].nunique() / here["customer_id"].nunique())
        assert row["share_p"] == pytest.approx(len(part) / len(here))
        assert row["index"] == pytest.approx(len(part) / len(here) / overall[key[1]])


def test_the_interval_is_about_that_of_a_bootstrap_over_customers(
    frame: pd.DataFrame, rows: list[dict[str, Any]]
) -> None:
    own = frame[(frame["event_class"] != "email_sent") & frame["channel"].notna()]
    counts = own.groupby("customer_id").apply(
        lambda f: pd.Series({
            "both": ((f["state"] == "choosing") & (f["channel"] == "search")).sum(),
            "here": (f["state"] == "choosing").sum(), "there": (f["channel"] == "search").sum(), "all": len(f)})
    ).to_numpy(float)  # fmt: skip
    rng = np.random.default_rng(1)
    drawn = counts[rng.integers(0, len(counts), (2000, len(counts)))].sum(axis=1)
    ratio = (drawn[:, 0] / drawn[:, 1]) / (drawn[:, 2] / drawn[:, 3])
    row = next(r for r in rows if (r["state"], r["what"]) == ("choosing", "search"))
    low, high = np.quantile(ratio, [0.025, 0.975])
    assert row["low"] > 1
    assert row["low"] == pytest.approx(low, abs=0.02)
    assert row["high"] == pytest.approx(high, abs=0.02)


def test_gaps_are_said_where_they_are(rows: list[dict[str, Any]]) -> None:
    gaps = {(r["state"], r["kind"], r["what"]): r["gap"] for r in rows if r["gap"]}
    assert gaps == {
        ("looking", "channel", "search"): "many are found here, the playbook does not name it",
        ("looking", "channel", "app"): "many are found here, the playbook does not name it",
        ("looking", "channel", "post"): "the playbook names it, hardly anybody comes from there",
        ("choosing", "channel", "email"): "many are found here, the playbook does not name it",
        ("choosing", "channel", "search"): "many are found here, the playbook does not name it",
        ("choosing", "channel", "app"): "many are found here, the playbook does not name it",
        ("choosing", "touch", "email_sent"): "sent in a state for which the playbook says nothing",
        ("choosing", "creative", None): "the playbook has no creative line",
        ("gone", "creative", None): "the playbook does not describe this state",
    }
    assert next(r["what"] for r in rows if r["kind"] == "creative" and r["state"] == "looking") == "Show it."


def test_few_customers_have_no_interval() -> None:
    found = compare_shares(np.array([0, 1, 2]), np.array([0, 0, 1]), np.array([0, 1, 1]), 2, 2)
    assert {row["low"] for row in found} == {None}
