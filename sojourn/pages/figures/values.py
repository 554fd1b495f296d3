"""The figure of what moves are worth, and its sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from sojourn.pages.figures.forest import Dot, draw_forest
from sojourn.pages.figures.style import NEW_COLOR, draw_nothing, finish, palette_of, plain
from sojourn.pages.words.types import Colors, Row
from sojourn.pages.words.value import find_sure_values, say_growth, say_value, say_value_briefly

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


VALUES_ABOUT = (
    "What a customer who makes a move brings afterwards, more or less than customers alike who stayed in the state "
    "that week. Bars are 95\u00a0% intervals. Grey: those who moved were different already before, or had no like who "
    "stayed, so the number cannot be trusted."
)


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
    title = say_value_briefly(sure[0]) + "." if sure else "No move is surely worth more than staying."
    return finish(figure, title=title, about=VALUES_ABOUT, height=height, min_width=430, table=(columns, table))


def _dot(r: Row, colors: Colors) -> Dot:
    color = palette_of(colors, r["to_state"]) if r["is_credible"] else NEW_COLOR
    label = f"{plain(r['from_state'], 18)} → {plain(r['to_state'], 18)}"
    return Dot(r["value"], r["low"], r["high"], label, plain(say_value(r)), color)


GROWTH_ABOUT = (
    "What is expected of a customer on the Monday after a move less what was expected on the Monday before, learned "
    "from the behaviour of other customers. Bars are 95\u00a0% intervals over customers; rings are those who stayed in "
    "the state over the same weeks. This describes who moves and is no effect of moving: what a move is worth stands "
    "above."
)


def draw_growth(growth: pa.Table, colors: Colors) -> Figure:
    """Growth with intervals as dots, a row per move."""
    import plotly.graph_objects as go

    rows = sorted((r for r in growth.to_pylist() if r["growth"] is not None), key=lambda r: r["growth"])
    if not rows:
        return draw_nothing("There is too little to say how value changes with moves.", GROWTH_ABOUT)
    dots = [_growth_dot(r, colors) for r in rows]
    axis = f"change of what is expected in the next {rows[0]['days']} days, per customer"
    figure, height = draw_forest([("", dots)], axis, is_ratio=False)
    figure.add_trace(
        go.Scatter(
            x=[r["growth_stayed"] for r in rows], y=list(range(len(rows))), mode="markers", hoverinfo="skip",
            marker={"size": 13, "color": "rgba(0,0,0,0)", "line": {"color": NEW_COLOR, "width": 2}},
        )
    )  # fmt: skip
    table = [
        (f"{r['from_state']} → {r['to_state']}", f"{r['value_before']:,.2f}", f"{r['value_after']:,.2f}",
         f"{r['growth']:+,.2f} ({r['growth_low']:+,.2f} to {r['growth_high']:+,.2f})",
         "–" if r["growth_stayed"] is None else f"{r['growth_stayed']:+,.2f}", f"{r['n_customers']:,}")
        for r in reversed(rows)
    ]  # fmt: skip
    columns = ("move", "before", "after", "growth (95\u00a0%)", "of those who stayed", "customers")
    top = rows[-1]
    move = f"{top['from_state']} → {top['to_state']}"
    title = (
        f"What is expected of a customer grows most with {move}: {top['growth']:+,.2f}."
        if top["growth_low"] > 0
        else "No move surely raises what is expected of a customer."
    )
    return finish(figure, title=title, about=GROWTH_ABOUT, height=height, min_width=430, table=(columns, table))


def _growth_dot(r: Row, colors: Colors) -> Dot:
    label = f"{plain(r['from_state'], 18)} → {plain(r['to_state'], 18)}"
    color = palette_of(colors, r["to_state"])
    return Dot(r["growth"], r["growth_low"], r["growth_high"], label, plain(say_growth(r), 400), color)
