"""Words for value: what transitions and segments are worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sojourn.pages.words.numbers import say_amount, say_gain, say_integer, say_interval, say_window

if TYPE_CHECKING:
    from sojourn.pages.words.types import Row


def say_growths(growth: pa.Table, most: int = 3) -> list[str]:
    """The moves with the surest growth and the surest loss, in sentences; or why there are none."""
    rows = [r for r in growth.to_pylist() if r["growth"] is not None]
    if not rows:
        return [f"Not known: {why}." for why in growth["why_not"].unique().drop_null().to_pylist()[:1]]
    gains = sorted((r for r in rows if r["growth_low"] > 0), key=lambda r: -r["growth"])[:most]
    losses = sorted((r for r in rows if r["growth_high"] < 0), key=lambda r: r["growth"])[:most]
    return [say_growth(r) for r in (*gains, *losses)] or ["No move changes for sure what is expected of customers."]


def find_sure_values(values: pa.Table) -> list[Row]:
    """Credible rows whose interval leaves out zero, the highest certain gain first."""
    return [r for r in values.to_pylist() if r["is_credible"] and r["low"] is not None and r["low"] * r["high"] > 0]


def say_values(values: pa.Table, most: int = 5) -> list[str]:
    """The moves that are worth most, in sentences; and what cannot be trusted."""
    rows = values.to_pylist()
    said = [say_value(r) for r in find_sure_values(values) if r["low"] > 0][:most]
    doubted = sum(r["value"] is not None and not r["is_credible"] for r in rows)
    if doubted:
        said.append(f"{doubted} more of {len(rows)} numbers are not credible: those who moved were different before.")
    return said


def say_value(row: Mapping[str, Any]) -> str:
    """One row in a sentence."""
    return (
        f"{say_value_briefly(row)} per customer who moved ({say_interval(row['low'], row['high'], say_gain)}), against "
        f"customers alike who stayed ({say_gain(row['naive'])} without making them alike); "
        f"{say_integer(row['n_before_now'])} stand before it now, and if one in a hundred of them moved that would be "
        f"{say_gain(row['worth_1pct'])}."
    )


def say_value_briefly(row: Mapping[str, Any]) -> str:
    """What a transition is worth, without interval, comparison and full stop."""
    worth = f"{say_gain(row['value'])} {row['outcome']} within {say_window(86_400 * row['days'])}"
    return f"{row['from_state']} → {row['to_state']}: {worth}"


def say_growth(row: dict[str, Any]) -> str:
    """One row in a sentence."""
    text = (
        f"{row['from_state']} → {row['to_state']}: what is expected of a customer in the next {row['days']} days goes "
        f"from {say_amount(row['value_before'])} to {say_amount(row['value_after'])} "
        f"({say_gain(row['growth'])}, {say_interval(row['growth_low'], row['growth_high'], say_gain)})"
    )
    if row["growth_stayed"] is None:
        return f"{text}."
    stayed = f"those who stayed in {row['from_state']} over the same weeks"
    return f"{text}, and by {say_gain(row['growth_stayed'])} for {stayed}."
