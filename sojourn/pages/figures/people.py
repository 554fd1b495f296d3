"""Figures of customers: how many are in each state, what marks a state, single customers over time."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
from plotly.subplots import make_subplots

from sojourn.pages.figures.style import INK, LESS, MORE, NEW_COLOR, draw_nothing, fade, finish, palette_of
from sojourn.pages.words import (
    Colors,
    Row,
    find_marks,
    plain,
    say_change,
    say_count,
    say_duration,
    say_instant,
    say_integer,
    say_mark,
    say_share,
    strength_of,
)
from sojourn.pages.words.figures import (
    EXAMPLE_ABOUT,
    EXAMPLE_MISSING,
    MARKS_ABOUT,
    MARKS_MISSING,
    STATES_ABOUT,
    STATES_MISSING,
    say_event,
    say_example_finding,
    say_marks_finding,
    say_states,
)

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


MAX_MARKS = 34

MAX_INSTANTS = 1_500
LANES = 9


def draw_states_now(now: Mapping[str, int], week_ago: Mapping[str, int], colors: Colors) -> Figure:
    """How many customers are in each state, and how that differs from a week ago."""
    total = sum(now.values())
    if not total:
        return draw_nothing(STATES_MISSING, STATES_ABOUT)
    names = list(now)
    share = {name: now[name] / total for name in names}
    figure = go.Figure(
        go.Bar(
            x=[now[name] for name in names],
            y=list(range(len(names))),
            orientation="h",
            marker={"color": [palette_of(colors, name) for name in names], "cornerradius": 4},
            text=[f"{say_integer(now[name])} · {say_share(share[name])}" for name in names],
            textposition="outside",
            cliponaxis=False,
            customdata=[
                f"{say_count(now[name], 'customer')} ({say_share(share[name])}) in {plain(name)}<br>"
                f"{say_change(now[name] - week_ago.get(name, 0))}"
                for name in names
            ],
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    figure.update_xaxes(visible=False, range=[0, max(now.values()) * 1.42])
    figure.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=[plain(name, 22) for name in names],
        autorange="reversed",
        showgrid=False,
        tickfont={"size": 13, "color": INK},
    )
    title = say_states(now)
    change = {name: now[name] - week_ago.get(name, 0) for name in names}
    table = [(name, say_integer(now[name]), say_share(share[name]), f"{change[name]:+,}") for name in names]
    return finish(
        figure,
        title=title,
        about=STATES_ABOUT,
        height=50 + 38 * len(names),
        table=(("state", "customers", "share", "change in a week"), table),
    )


# --- fingerprints -----------------------------------------------------------------------------------------------


def draw_fingerprints(fingerprints: pa.Table, states: Sequence[str], colors: Colors) -> Figure:
    """What is more or less common in each state than among all customers (heat map)."""
    rows = fingerprints.to_pylist()
    marks = [(r["kind"], r["what"]) for name in states for r in find_marks(fingerprints, name)]
    shown = list(dict.fromkeys(marks))[:MAX_MARKS]
    if not shown:
        return draw_nothing(MARKS_MISSING, MARKS_ABOUT)
    cells = {(r["kind"], r["what"], r["state"]): r for r in rows}
    # Each row goes where it is strongest, so that the figure reads like a staircase through the states.
    by_state = {key: [strength_of(cells[*key, s]) if (*key, s) in cells else 0.0 for s in states] for key in shown}
    shown.sort(key=lambda key: (int(np.argmax(by_state[key])), -max(by_state[key])))
    words = [
        [f"<b>{plain(s)}</b><br>{_break(say_mark(cells[*key, s]))}" if (*key, s) in cells else "" for s in states]
        for key in shown
    ]
    figure = go.Figure(
        go.Heatmap(
            z=[by_state[key] for key in shown],
            x=list(range(len(states))),
            y=list(range(len(shown))),
            customdata=words,
            hovertemplate="%{customdata}<extra></extra>",
            colorscale=[
                [0, f"rgba({LESS},0.8)"],
                [0.499, f"rgba({LESS},0.02)"],
                [0.501, f"rgba({MORE},0.02)"],
                [1, f"rgba({MORE},0.95)"],
            ],
            zmin=-1,
            zmax=1,
            xgap=3,
            ygap=2,
            colorbar={
                "orientation": "h",
                "thickness": 8,
                "len": 0.5,
                "x": 0,
                "xanchor": "left",
                "y": 0,
                "yanchor": "top",
                "ypad": 12,
                "outlinewidth": 0,
                "tickvals": [-1, 0, 1],
                "ticktext": ["less", "as everywhere", "more"],
                "tickfont": {"size": 11},
            },
        )
    )
    figure.update_xaxes(
        tickvals=list(range(len(states))),
        ticktext=[plain(s, 18) for s in states],
        side="top",
        showgrid=False,
        zeroline=False,
    )
    figure.update_yaxes(
        tickvals=list(range(len(shown))),
        ticktext=[plain(what, 30) for _, what in shown],
        autorange="reversed",
        showgrid=False,
    )
    table = [(r["state"], r["what"], say_mark(r)) for name in states for r in find_marks(fingerprints, name)]
    return finish(
        figure,
        title=say_marks_finding(fingerprints, states),
        about=MARKS_ABOUT,
        height=110 + 23 * len(shown),
        min_width=250 + 50 * len(states),
        table=(("state", "mark", "in words"), table),
    )


def _break(text: str) -> str:
    """A sentence over several lines of a hover label."""
    return "<br>".join(plain(line, 90) for line in textwrap.wrap(text, 60)[:6])


# --- one customer -----------------------------------------------------------------------------------------------


def draw_example(trace: pa.Table, states: Sequence[str], colors: Colors, now: datetime) -> Figure:
    """One customer over time: posterior as a ribbon, published state as a bar, events as marks with reasons."""
    rows = trace.to_pylist()
    if not rows:
        return draw_nothing(EXAMPLE_MISSING, EXAMPLE_ABOUT)
    n_cut = max(0, len(rows) - MAX_INSTANTS)
    rows = rows[n_cut:]
    lanes = _choose_lanes(rows)
    tall = 24 + 17 * len(lanes)
    figure = make_subplots(rows=3, cols=1, vertical_spacing=0.03, row_heights=[190, 22, tall])
    _add_ribbon(figure, rows, states, colors, now)
    _add_published(figure, rows, colors, now)
    _add_events(figure, rows, lanes)
    figure.update_yaxes(range=[0, 1], tickformat=".0%", tickvals=[0, 0.5, 1], showgrid=False, row=1, col=1)
    figure.update_yaxes(visible=False, range=[-0.5, 0.5], row=2, col=1)
    figure.update_yaxes(
        tickvals=list(range(len(lanes))),
        ticktext=[plain(lane, 20) for lane in lanes],
        range=[len(lanes) - 0.4, -0.6],
        tickfont={"size": 11},
        row=3,
        col=1,
    )
    figure.update_xaxes(type="date", range=[rows[0]["at"], now], showgrid=False)
    for row in (1, 2):
        figure.update_xaxes(showticklabels=False, row=row, col=1)
        figure.update_xaxes(matches="x", row=row + 1, col=1)
    figure.update_layout(legend={"traceorder": "normal"}, bargap=0, barmode="overlay")
    return finish(figure, title=say_example_finding(rows, n_cut), about=EXAMPLE_ABOUT, height=290 + tall, min_width=560)


def _choose_lanes(rows: list[Row]) -> list[str]:
    """Event classes that get a line of their own: the most frequent ones; the rest share the last line."""
    counts: dict[str, int] = {}
    for r in rows:
        if r["event_class"] is not None:
            counts[r["event_class"]] = counts.get(r["event_class"], 0) + 1
    ranked = sorted(counts, key=lambda name: (-counts[name], name))
    return ranked if len(ranked) <= LANES else [*ranked[: LANES - 1], "all else"]


def _add_ribbon(figure: Figure, rows: list[Row], states: Sequence[str], colors: Colors, now: datetime) -> None:
    x = [r["at"] for r in rows] + [now]
    for name in states:
        p = [r.get(f"p_{name}") or 0.0 for r in [*rows, rows[-1]]]
        figure.add_scatter(
            x=x,
            y=np.round(p, 4),
            mode="lines",
            line={"width": 0, "shape": "hv"},
            stackgroup="p",
            fillcolor=fade(palette_of(colors, name), 0.78),
            name=plain(name, 24),
            customdata=[f"{say_instant(at)}<br>{plain(name)}: {say_share(v)}" for at, v in zip(x, p, strict=True)],
            hovertemplate="%{customdata}<extra></extra>",
            row=1,
            col=1,
        )


def _add_published(figure: Figure, rows: list[Row], colors: Colors, now: datetime) -> None:
    starts = [0] + [i for i in range(1, len(rows)) if rows[i]["state"] != rows[i - 1]["state"]]
    ends = [rows[i]["at"] for i in starts[1:]] + [now]
    for i, end in zip(starts, ends, strict=True):
        name, begin = str(rows[i]["state"]), rows[i]["at"]
        figure.add_bar(
            x=[(end - begin).total_seconds() * 1000],
            base=[begin],
            y=[0],
            orientation="h",
            width=0.8,
            marker={"color": palette_of(colors, name), "line": {"width": 0}},
            showlegend=False,
            customdata=[
                f"published: {plain(name)} for {say_duration((end - begin).total_seconds())}<br>"
                f"from {say_instant(begin)}"
            ],
            hovertemplate="%{customdata}<extra></extra>",
            row=2,
            col=1,
        )


def _add_events(figure: Figure, rows: list[Row], lanes: list[str]) -> None:
    place = {name: i for i, name in enumerate(lanes)}
    shown = [r for r in rows if r["event_class"] is not None]
    is_touch = [r["kind"] == "touch" for r in shown]
    figure.add_trace(
        go.Scatter(
            x=[r["at"] for r in shown],
            y=[place.get(r["event_class"], len(lanes) - 1) for r in shown],
            mode="markers",
            showlegend=False,
            marker={
                "symbol": ["diamond-open" if touch else "circle" for touch in is_touch],
                "size": [9 if touch else 6 for touch in is_touch],
                "color": NEW_COLOR,
                "opacity": 0.85,
            },
            customdata=[say_event(r) for r in shown],
            hovertemplate="%{customdata}<extra></extra>",
        ),
        row=3,
        col=1,
    )
