"""Figures of the stability audit: who was reassigned and why, and how fast a given segmentation turns over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from sojourn.pages.figures.style import COLORS, draw_nothing, finish
from sojourn.pages.words import plain, say_share
from sojourn.pages.words.figures import (
    SPLIT_ABOUT,
    SPLIT_MISSING,
    TURNOVER_ABOUT,
    TURNOVER_MISSING,
    say_split,
    say_stale,
)

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Row = Mapping[str, Any]


def draw_split(rows: Sequence[Row]) -> Figure:
    """Per method a bar of the customers reassigned, in two parts: behaviour changed, and model wobbled."""
    whole = [r for r in rows if r["segment"] is None and r.get("reassigned_share") is not None][::-1]
    if not whole:
        return draw_nothing(SPLIT_MISSING, SPLIT_ABOUT)
    names = [plain(r["method"]) for r in whole]
    figure = go.Figure()
    for key, name, color in (
        ("behaviour_share", "their behaviour changed", COLORS[0]),
        ("wobble_share", "only the model did", COLORS[1]),
    ):
        figure.add_bar(
            y=names,
            x=[100 * r[key] for r in whole],
            orientation="h",
            name=name,
            marker_color=color,
            hovertemplate="%{y}: %{x:.1f}\u00a0%, " + name + "<extra></extra>",
        )
    figure.update_layout(barmode="stack", legend_traceorder="normal")
    figure.update_xaxes(title_text="customers reassigned in a week, %", rangemode="tozero")
    title = say_split(whole)
    table = (
        ["method", "reassigned", "behaviour changed", "model wobbled"],
        [
            [r["method"], *(say_share(r[f"{k}_share"]) for k in ("reassigned", "behaviour", "wobble"))]
            for r in reversed(whole)
        ],
    )
    return finish(figure, title=title, about=SPLIT_ABOUT, height=110 + 44 * len(whole), table=table)


def draw_turnover(rows: Sequence[Row]) -> Figure:
    """Per segment of a given segmentation, the share of members who leave in a week."""
    parts = [r for r in rows if r["segment"] is not None and r["changed_per_week"] is not None][::-1]
    if not parts:
        return draw_nothing(TURNOVER_MISSING, TURNOVER_ABOUT)
    figure = go.Figure()
    figure.add_bar(
        y=[plain(r["segment"]) for r in parts],
        x=[100 * r["changed_per_week"] for r in parts],
        orientation="h",
        marker_color=COLORS[0],
        hovertemplate="%{y}: %{x:.1f}\u00a0% a week<extra></extra>",
    )
    figure.update_xaxes(title_text="members who leave in a week, %", rangemode="tozero")
    title = say_stale(parts)
    rate = [[r["segment"], say_share(r["changed_per_week"])] for r in reversed(parts)]
    table = (["segment", "leave in a week"], rate)
    return finish(figure, title=title, about=TURNOVER_ABOUT, height=90 + 34 * len(parts), table=table)
