"""One look for all figures: a colour per state, type, white space, titles that say the finding."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from sojourn.pages.words import plain, shorten

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

COLORS = (
    "#2d6fdc",
    "#e2a520",
    "#b82851",
    "#64b5b0",
    "#7e539c",
    "#a57710",
    "#a7ace4",
    "#0c6c68",
    "#1f99c7",
    "#ce8545",
    "#9980fe",
    "#e46c83",
    "#466a12",
    "#b4b67a",
)
"""Chosen so that any first few stay apart with every common colour blindness, on white and on near-black."""

INK, SOFT, LINE = "#1d2530", "#5b6675", "rgba(120,130,145,0.25)"
MORE, LESS = "226,122,32", "45,111,220"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
NEW_COLOR = "#9aa3ae"

DURATION_TICKS: tuple[tuple[float, str], ...] = (
    (1, "1 s"),
    (10, "10 s"),
    (60, "1 min"),
    (600, "10 min"),
    (3_600, "1 h"),
    (21_600, "6 h"),
    (86_400, "1 day"),
    (259_200, "3 days"),
    (604_800, "1 week"),
    (2_592_000, "30 days"),
    (7_776_000, "90 days"),
    (31_536_000, "1 year"),
    (94_608_000, "3 years"),
    (315_360_000, "10 years"),
)


def color_states(states: Sequence[str]) -> dict[str, str]:
    """One colour per state, by its place in the playbook; the same in every figure. Repeats after fourteen.

    >>> color_states(["discovery", "decision"])
    {'discovery': '#2d6fdc', 'decision': '#e2a520'}
    """
    return {name: COLORS[i % len(COLORS)] for i, name in enumerate(states)}


def fade(color: str, opacity: float) -> str:
    """A hexadecimal colour made transparent.

    >>> fade("#2d6fdc", 0.2)
    'rgba(45,111,220,0.2)'
    """
    r, g, b = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({r},{g},{b},{opacity})"


def ink_on(color: str) -> str:
    """White or near-black, whichever stands out more on a hexadecimal colour (contrast as WCAG 2.2 defines it).

    >>> ink_on("#7e539c"), ink_on("#e2a520")
    ('#ffffff', '#1d2530')
    """

    def luminance(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    back, ink = luminance(color), luminance(INK)
    return "#ffffff" if 1.05 / (back + 0.05) > (back + 0.05) / (ink + 0.05) else INK


def finish(
    figure: Figure,
    *,
    title: str,
    about: str,
    height: int,
    table: tuple[Sequence[str], Sequence[Sequence[str]]] | None = None,
    min_width: int = 0,
) -> Figure:
    """The figure in the common look, with the finding as its title.

    ``layout.meta`` carries what a page around the figure shows: ``title`` (the finding, unescaped), ``about`` (how
    to read it), ``table`` (the numbers, for those who cannot see it) and ``min_width`` in pixels.
    """
    lines = textwrap.wrap(shorten(title, 300), 78)
    figure.update_layout(
        template=go.layout.Template(layout=_look()),
        title={"text": "<br>".join(html.escape(line, quote=False) for line in lines)},
        height=height + 22 * len(lines),
        meta={
            "title": title,
            "about": about,
            "height": height,
            "min_width": min_width,
            "columns": list(table[0]) if table else [],
            "rows": [list(row) for row in table[1]] if table else [],
        },
    )
    return figure


def draw_nothing(title: str, about: str) -> Figure:
    """A figure without data that says why."""
    figure = go.Figure()
    figure.add_annotation(text=plain(title, 200), showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper")
    figure.update_xaxes(visible=False).update_yaxes(visible=False)
    finish(figure, title=title, about=about, height=120)
    figure.layout.meta = {**figure.layout.meta, "is_empty": True}
    return figure


def _look() -> dict[str, Any]:
    axis = {
        "gridcolor": LINE,
        "linecolor": LINE,
        "zeroline": False,
        "automargin": True,
        "ticks": "",
        "title": {"font": {"size": 12, "color": SOFT}, "standoff": 12},
        "tickfont": {"size": 12, "color": SOFT},
    }
    return {
        "font": {"family": FONT, "size": 13, "color": INK},
        "title": {
            "x": 0,
            "xref": "paper",
            "xanchor": "left",
            "y": 0.98,
            "yref": "container",
            "yanchor": "top",
            "automargin": True,
            "pad": {"b": 14},
            "font": {"size": 16},
        },
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 8, "r": 12, "t": 24, "b": 8},
        "xaxis": axis,
        "yaxis": axis,
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.02,
            "yanchor": "bottom",
            "font": {"size": 12},
            "tracegroupgap": 4,
        },
        "hoverlabel": {
            "bgcolor": "#1d2530",
            "bordercolor": "#1d2530",
            "align": "left",
            "font": {"family": FONT, "size": 13, "color": "#ffffff"},
        },
        "hovermode": "closest",
        "colorway": list(COLORS),
        "bargap": 0.35,
    }


def duration_axis(low_s: float, high_s: float) -> dict[str, Any]:
    """A logarithmic axis of durations from ``low_s`` to ``high_s``, with ticks a person would say."""
    low_s, high_s = max(low_s, 1e-3), max(high_s, low_s * 1.5, 2e-3)
    inside = [(s, word) for s, word in DURATION_TICKS if low_s * 0.9 <= s <= high_s * 1.1]
    return {
        "type": "log",
        "range": [math.log10(low_s), math.log10(high_s)],
        "tickvals": [s for s, _ in inside],
        "ticktext": [word for _, word in inside],
    }


def choose_by_menu(figure: Figure, labels: Sequence[str], visible: Sequence[Sequence[bool]], **layouts: Any) -> None:
    """A menu above the figure that shows one set of its traces at a time; the first set shows at first.

    ``layouts`` maps a layout key to one value per label, set together with the traces.
    """
    buttons = [
        {
            "label": plain(label, 48),
            "method": "update",
            "args": [{"visible": list(shown)}, {key: values[i] for key, values in layouts.items()}],
        }
        for i, (label, shown) in enumerate(zip(labels, visible, strict=True))
    ]
    figure.update_layout(
        updatemenus=[
            {
                "buttons": buttons,
                "x": 0,
                "xanchor": "left",
                "y": 1.03,
                "yanchor": "bottom",
                "pad": {"b": 6},
                "bgcolor": "rgba(0,0,0,0)",
                "bordercolor": "rgba(120,130,145,0.5)",
                "font": {"size": 12},
                "showactive": False,
            }
        ]
    )
    for trace, shown in zip(figure.data, visible[0], strict=True):
        trace.visible = shown


def palette_of(colors: Mapping[str, str], name: str) -> str:
    """The colour of a state, or grey for what is none (``new``)."""
    return colors.get(name, NEW_COLOR)
