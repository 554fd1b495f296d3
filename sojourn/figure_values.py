"""The figure of what moves are worth, and its sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sojourn.figure_style import LINE, NEW_COLOR, choose_by_menu, draw_nothing, finish, palette_of, plain
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
    import plotly.graph_objects as go

    rows = [r for r in values.to_pylist() if r["value"] is not None]
    if not rows:
        return draw_nothing("There are too few moves, or too little time after them, to say what they are worth.",
                            VALUES_ABOUT)  # fmt: skip
    outcomes = list(dict.fromkeys((r["outcome"], r["days"]) for r in rows))
    groups = [sorted((r for r in rows if r["outcome"] == name), key=lambda r: r["value"]) for name, _ in outcomes]
    figure = go.Figure()
    axes = []
    for group in groups:
        figure.add_trace(_dots(group, colors))
        labels = [f"{plain(r['from_state'], 18)} → {plain(r['to_state'], 18)}" for r in group]
        axes.append({"tickvals": list(range(len(group))), "ticktext": labels, "range": [-0.7, len(group) - 0.3]})
    visible = [[i == k for i in range(len(groups))] for k in range(len(groups))]
    labels = [f"{plain(name, 30)}, {days:g} days" for name, days in outcomes]
    keys = ("tickvals", "ticktext", "range")
    choose_by_menu(figure, labels, visible, **{f"yaxis.{k}": [a[k] for a in axes] for k in keys})
    figure.add_vline(x=0, line={"color": "rgba(120,130,145,0.8)", "width": 1})
    figure.update_xaxes(title_text="per customer who moved, against those alike who stayed (0 = no difference)")
    figure.update_yaxes(**axes[0], gridcolor=LINE)
    figure.update_layout(showlegend=False)
    table = [
        (f"{r['from_state']} → {r['to_state']}", r["outcome"],
         f"{r['value']:+,.2f} ({r['low']:+,.2f} to {r['high']:+,.2f})",
         f"{r['naive']:+,.2f}", f"{r['n_moved']:,}", f"{r['n_before_now']:,}", "yes" if r["is_credible"] else "no")
        for r in rows
    ]  # fmt: skip
    columns = ("move", "outcome", "value (95\u00a0%)", "plain difference", "moved", "stand before it", "credible")
    sure = [r for r in find_sure_values(values) if r["low"] > 0]
    title = say_value(sure[0]).split(" per customer")[0] + "." if sure else "No move is surely worth more than staying."
    height = 130 + 38 * max(len(group) for group in groups)
    return finish(figure, title=title, about=VALUES_ABOUT, height=height, min_width=430, table=(columns, table))


def _dots(rows: list[Row], colors: Colors) -> Any:
    import plotly.graph_objects as go

    return go.Scatter(
        x=[r["value"] for r in rows],
        y=list(range(len(rows))),
        mode="markers",
        marker={
            "size": 11,
            "color": [palette_of(colors, r["to_state"]) if r["is_credible"] else NEW_COLOR for r in rows],
        },
        error_x={
            "array": [r["high"] - r["value"] for r in rows],
            "arrayminus": [r["value"] - r["low"] for r in rows],
            "thickness": 1.6,
            "width": 0,
            "color": "rgba(120,130,145,0.75)",
        },
        customdata=[plain(say_value(r)) for r in rows],
        hovertemplate="%{customdata}<extra></extra>",
    )
