"""A forest: one dot with its interval per row, by group, with a menu of the groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from sojourn.pages.figures.style import LINE, NEW_COLOR, choose_by_menu

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_SMALLEST, _LARGEST = 0.05, 50.0  # ratios beyond are drawn there; what they are stands in the words
_TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
_GREY = "rgba(120,130,145,0.75)"


@dataclass(frozen=True)
class Dot:
    """A row: its value with the interval, its label and words on the dot, both safe to draw."""

    value: float
    low: float
    high: float
    label: str
    words: str
    color: str = NEW_COLOR
    is_ours: bool = False  # a diamond: what we did ourselves


def draw_forest(
    groups: Sequence[tuple[str, Sequence[Dot]]], axis: str, *, is_ratio: bool = True, row_height: int = 38
) -> tuple[Figure, int]:
    """``(the figure, its height)``: the dots of one group at a time, the first of each at the bottom.

    A single group without a name has no menu. ``is_ratio``: values are ratios on a logarithmic axis and compare with 1,
    else differences that compare with 0.
    """
    figure = go.Figure([_trace(dots, is_ratio=is_ratio) for _, dots in groups])
    rows = [
        {
            "tickvals": list(range(len(dots))),
            "ticktext": [dot.label for dot in dots],
            "range": [-0.7, len(dots) - 0.3],
        }
        for _, dots in groups
    ]
    if groups[0][0]:
        visible = [[i == k for i in range(len(groups))] for k in range(len(groups))]
        layouts = {f"yaxis.{key}": [row[key] for row in rows] for key in rows[0]}
        choose_by_menu(figure, [label for label, _ in groups], visible, **layouts)
    figure.add_vline(x=1 if is_ratio else 0, line={"color": "rgba(120,130,145,0.8)", "width": 1})
    scale = _ratio_axis([dot for _, dots in groups for dot in dots]) if is_ratio else {}
    figure.update_xaxes(title_text=axis, **scale)
    figure.update_yaxes(**rows[0], gridcolor=LINE)
    figure.update_layout(showlegend=False)
    return figure, 130 + row_height * max(len(dots) for _, dots in groups)


def _clip(value: float) -> float:
    return min(max(value, _SMALLEST), _LARGEST)


def _ratio_axis(dots: Sequence[Dot]) -> dict[str, Any]:
    low = 0.9 * min(0.78, *(_clip(dot.low) for dot in dots))
    high = 1.1 * max(1.36, *(_clip(dot.high) for dot in dots))
    ticks = [tick for tick in _TICKS if low * 0.9 <= tick <= high * 1.12]
    return {
        "type": "log",
        "range": [math.log10(low), math.log10(high)],
        "tickvals": ticks,
        "ticktext": [f"{tick:g}×" for tick in ticks],
    }


def _trace(dots: Sequence[Dot], *, is_ratio: bool) -> Any:
    at = [_clip(dot.value) if is_ratio else dot.value for dot in dots]
    ends = [(max(dot.low, 0.02), min(dot.high, 2 * _LARGEST)) if is_ratio else (dot.low, dot.high) for dot in dots]
    return go.Scatter(
        x=at,
        y=list(range(len(dots))),
        mode="markers",
        marker={
            "size": 11,
            "color": [dot.color for dot in dots],
            "symbol": ["diamond" if dot.is_ours else "circle" for dot in dots],
        },
        error_x={
            "array": [max(high - x, 0) for (_, high), x in zip(ends, at, strict=True)],
            "arrayminus": [max(x - low, 0) for (low, _), x in zip(ends, at, strict=True)],
            "thickness": 1.6,
            "width": 0,
            "color": _GREY,
        },
        customdata=[dot.words for dot in dots],
        hovertemplate="%{customdata}<extra></extra>",
    )
