"""Words for value: what transitions and segments are worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

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
        f"{row['from_state']} → {row['to_state']}: {row['value']:+,.2f} {row['outcome']} within {row['days']:g} days "
        f"per customer who moved [{row['low']:+,.2f} to {row['high']:+,.2f}], against customers alike who stayed "
        f"({row['naive']:+,.2f} without making them alike); {row['n_before_now']:,} stand before it now, and if one in "
        f"a hundred of them moved that would be {row['worth_1pct']:+,.1f}."
    )


def say_growth(row: dict[str, Any]) -> str:
    """One row in a sentence."""
    text = (
        f"{row['from_state']} → {row['to_state']}: what is expected of a customer in the next {row['days']} days goes "
        f"from {row['value_before']:,.2f} to {row['value_after']:,.2f} "
        f"({row['growth']:+,.2f} [{row['growth_low']:+,.2f} to {row['growth_high']:+,.2f}])"
    )
    if row["growth_stayed"] is None:
        return f"{text}."
    return (
        f"{text}, and by {row['growth_stayed']:+,.2f} for those who stayed in {row['from_state']} over the same weeks."
    )
