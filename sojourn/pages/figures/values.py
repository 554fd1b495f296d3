"""The figure of what moves are worth, and its sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go
import pyarrow as pa

from sojourn.pages.figures.forest import Dot, draw_forest
from sojourn.pages.figures.style import NEW_COLOR, draw_nothing, finish, palette_of
from sojourn.pages.words import (
    Colors,
    Row,
    find_sure_values,
    plain,
    say_amount,
    say_estimate,
    say_gain,
    say_growth,
    say_integer,
    say_or_dash,
    say_value,
    say_window,
)
from sojourn.pages.words.figures import (
    GROWTH_ABOUT,
    GROWTH_MISSING,
    VALUES_ABOUT,
    VALUES_MISSING,
    say_most_growth,
    say_most_valuable,
)

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def draw_values(values: pa.Table, colors: Colors) -> Figure:
    """Values with intervals as dots, a menu of outcomes."""
    rows = [r for r in values.to_pylist() if r["value"] is not None]
    if not rows:
        return draw_nothing(VALUES_MISSING, VALUES_ABOUT)
    outcomes = list(dict.fromkeys((r["outcome"], r["days"]) for r in rows))
    groups = [sorted((r for r in rows if r["outcome"] == name), key=lambda r: r["value"]) for name, _ in outcomes]
    dots = [
        (f"{name}, {say_window(86_400 * days)}", [_dot(r, colors) for r in group])
        for (name, days), group in zip(outcomes, groups, strict=True)
    ]
    axis = "per customer who moved, against those alike who stayed (0 = no difference)"
    figure, height = draw_forest(dots, axis, is_ratio=False)
    table = [
        (
            f"{r['from_state']} → {r['to_state']}",
            r["outcome"],
            say_estimate(r["value"], r["low"], r["high"], say_gain),
            say_gain(r["naive"]),
            say_integer(r["n_moved"]),
            say_integer(r["n_before_now"]),
            "yes" if r["is_credible"] else "no",
        )
        for r in rows
    ]
    columns = ("move", "outcome", "value (95\u00a0%)", "plain difference", "moved", "stand before it", "credible")
    sure = [r for r in find_sure_values(values) if r["low"] > 0]
    title = say_most_valuable(sure)
    return finish(figure, title=title, about=VALUES_ABOUT, height=height, min_width=430, table=(columns, table))


def _dot(r: Row, colors: Colors) -> Dot:
    color = palette_of(colors, r["to_state"]) if r["is_credible"] else NEW_COLOR
    label = f"{plain(r['from_state'], 18)} → {plain(r['to_state'], 18)}"
    return Dot(r["value"], r["low"], r["high"], label, plain(say_value(r)), color)


def draw_growth(growth: pa.Table, colors: Colors) -> Figure:
    """Growth with intervals as dots, a row per move."""
    rows = sorted((r for r in growth.to_pylist() if r["growth"] is not None), key=lambda r: r["growth"])
    if not rows:
        return draw_nothing(GROWTH_MISSING, GROWTH_ABOUT)
    dots = [_growth_dot(r, colors) for r in rows]
    axis = f"change of what is expected in the next {rows[0]['days']} days, per customer"
    figure, height = draw_forest([("", dots)], axis, is_ratio=False)
    figure.add_trace(
        go.Scatter(
            x=[r["growth_stayed"] for r in rows],
            y=list(range(len(rows))),
            mode="markers",
            hoverinfo="skip",
            marker={"size": 13, "color": "rgba(0,0,0,0)", "line": {"color": NEW_COLOR, "width": 2}},
        )
    )
    table = [
        (
            f"{r['from_state']} → {r['to_state']}",
            say_amount(r["value_before"]),
            say_amount(r["value_after"]),
            say_estimate(r["growth"], r["growth_low"], r["growth_high"], say_gain),
            say_or_dash(r["growth_stayed"], say_gain),
            say_integer(r["n_customers"]),
        )
        for r in reversed(rows)
    ]
    columns = ("move", "before", "after", "growth (95\u00a0%)", "of those who stayed", "customers")
    title = say_most_growth(rows[-1])
    return finish(figure, title=title, about=GROWTH_ABOUT, height=height, min_width=430, table=(columns, table))


def _growth_dot(r: Row, colors: Colors) -> Dot:
    label = f"{plain(r['from_state'], 18)} → {plain(r['to_state'], 18)}"
    color = palette_of(colors, r["to_state"])
    return Dot(r["growth"], r["growth_low"], r["growth_high"], label, plain(say_growth(r), 400), color)
