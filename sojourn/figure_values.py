"""The figure of what moves are worth, and its sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sojourn.figure_forest import Dot, draw_forest
from sojourn.figure_style import NEW_COLOR, draw_nothing, finish, palette_of, plain
from sojourn.move_values import say_value

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Row = dict[str, Any]
Colors = Mapping[str, str]

VALUES_ABOUT = (
    "What a customer who makes a move brings afterwards, more or less than customers alike who stayed in the state "
    "that week. Bars are 95\u00a0% intervals. Grey: those who moved were different already before, or had no like who "
    "stayed, so the number cannot be trusted."
)


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


def draw_values(values: pa.Table, colors: Colors) -> Figure:
    """Values with intervals as dots, a menu of outcomes."""
    rows = [r for r in values.to_pylist() if r["value"] is not None]
    if not rows:
        return draw_nothing("There are too few moves, or too little time after them, to say what they are worth.",
                            VALUES_ABOUT)  # fmt: skip
    outcomes = list(dict.fromkeys((r["outcome"], r["days"]) for r in rows))
    groups = [sorted((r for r in rows if r["outcome"] == name), key=lambda r: r["value"]) for name, _ in outcomes]
    dots = [
        (f"{name}, {days:g} days", [_dot(r, colors) for r in group])
        for (name, days), group in zip(outcomes, groups, strict=True)
    ]
    axis = "per customer who moved, against those alike who stayed (0 = no difference)"
    figure, height = draw_forest(dots, axis, is_ratio=False)
    table = [
        (f"{r['from_state']} → {r['to_state']}", r["outcome"],
         f"{r['value']:+,.2f} ({r['low']:+,.2f} to {r['high']:+,.2f})",
         f"{r['naive']:+,.2f}", f"{r['n_moved']:,}", f"{r['n_before_now']:,}", "yes" if r["is_credible"] else "no")
        for r in rows
    ]  # fmt: skip
    columns = ("move", "outcome", "value (95\u00a0%)", "plain difference", "moved", "stand before it", "credible")
    sure = [r for r in find_sure_values(values) if r["low"] > 0]
    title = say_value(sure[0]).split(" per customer")[0] + "." if sure else "No move is surely worth more than staying."
    return finish(figure, title=title, about=VALUES_ABOUT, height=height, min_width=430, table=(columns, table))


def _dot(r: Row, colors: Colors) -> Dot:
    color = palette_of(colors, r["to_state"]) if r["is_credible"] else NEW_COLOR
    label = f"{plain(r['from_state'], 18)} → {plain(r['to_state'], 18)}"
    return Dot(r["value"], r["low"], r["high"], label, plain(say_value(r)), color)
