"""The figure of how expected value changes with moves, and its sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sojourn.figure_forest import Dot, draw_forest
from sojourn.figure_style import NEW_COLOR, draw_nothing, finish, palette_of, plain
from sojourn.value_growth import say_growth

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Row = dict[str, Any]
Colors = Mapping[str, str]

GROWTH_ABOUT = (
    "What is expected of a customer on the Monday after a move less what was expected on the Monday before, learned "
    "from the behaviour of other customers. Bars are 95\u00a0% intervals over customers; rings are those who stayed in "
    "the state over the same weeks. This describes who moves and is no effect of moving: what a move is worth stands "
    "above."
)


def say_growths(growth: pa.Table, most: int = 3) -> list[str]:
    """The moves with the surest growth and the surest loss, in sentences; or why there are none."""
    rows = [r for r in growth.to_pylist() if r["growth"] is not None]
    if not rows:
        return [f"Not known: {why}." for why in growth["why_not"].unique().drop_null().to_pylist()[:1]]
    gains = sorted((r for r in rows if r["growth_low"] > 0), key=lambda r: -r["growth"])[:most]
    losses = sorted((r for r in rows if r["growth_high"] < 0), key=lambda r: r["growth"])[:most]
    return [say_growth(r) for r in (*gains, *losses)] or ["No move changes for sure what is expected of customers."]


def draw_growth(growth: pa.Table, colors: Colors) -> Figure:
    """Growth with intervals as dots, a row per move."""
    import plotly.graph_objects as go

    rows = sorted((r for r in growth.to_pylist() if r["growth"] is not None), key=lambda r: r["growth"])
    if not rows:
        return draw_nothing("There is too little to say how value changes with moves.", GROWTH_ABOUT)
    dots = [_dot(r, colors) for r in rows]
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


def _dot(r: Row, colors: Colors) -> Dot:
    label = f"{plain(r['from_state'], 18)} → {plain(r['to_state'], 18)}"
    color = palette_of(colors, r["to_state"])
    return Dot(r["growth"], r["growth_low"], r["growth_high"], label, plain(say_growth(r), 400), color)
