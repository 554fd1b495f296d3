"""Figures of moves: the flow from week to week and the matrix of moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa

from sojourn.pages.figures.style import choose_by_menu, draw_nothing, fade, finish, palette_of
from sojourn.pages.words import plain, say_count, say_date, say_duration, say_integer, say_share
from sojourn.pages.words.figures import (
    FLOW_ABOUT,
    FLOW_MISSING,
    MATRIX_ABOUT,
    MATRIX_MISSING,
    say_block,
    say_flow,
    say_flow_finding,
    say_matrix,
)

if TYPE_CHECKING:
    from plotly.graph_objects import Figure, Sankey

Row = dict[str, Any]
Colors = Mapping[str, str]

WEEKS_SHOWN = 6
MAX_WINDOWS = 9


def draw_flow(flow: pa.Table, states: Sequence[str], colors: Colors, now: datetime) -> Figure:
    """Customers from state to state over the last six weeks (Sankey), with earlier weeks in a menu."""
    weeks = sorted(set(flow["week_at"].to_pylist()))
    if not weeks:
        return draw_nothing(FLOW_MISSING, FLOW_ABOUT)
    rows = flow.to_pylist()
    windows = [weeks[max(0, end - WEEKS_SHOWN) : end] for end in range(len(weeks), 0, -WEEKS_SHOWN)][:MAX_WINDOWS]
    figure = go.Figure()
    dates: list[list[dict[str, Any]]] = []
    for window in windows:
        sankey, columns = _sankey([r for r in rows if r["week_at"] in window], window, states, colors, now)
        figure.add_trace(sankey)
        dates.append(columns)
    labels = [f"{say_date(w[0], year=True)} to {say_date(_week_end(w[-1], now), year=True)}" for w in windows]
    if len(windows) > 1:
        choose_by_menu(
            figure, labels, [[i == k for i in range(len(windows))] for k in range(len(windows))], annotations=dates
        )
    figure.update_layout(annotations=dates[0])
    full = [w for w in weeks if w + timedelta(days=7) <= now] or weeks
    latest = [r for r in rows if r["week_at"] == full[-1]]
    table = [
        (say_date(r["week_at"]), r["from_state"], r["to_state"], say_integer(r["n"]))
        for r in rows
        if r["week_at"] in windows[0][-2:] and r["from_state"] != r["to_state"]
    ]
    finish(
        figure,
        title=say_flow_finding(latest, full[-1]),
        about=FLOW_ABOUT,
        height=470,
        min_width=640,
        table=(("week of", "from", "to", "customers"), table),
    )
    figure.update_layout(margin={"l": 4, "r": 4, "t": 84 if len(windows) > 1 else 40, "b": 12})
    if len(windows) > 1:
        figure.layout.updatemenus[0].y = 1.1
    return figure


def _week_end(week: datetime, now: datetime) -> datetime:
    return min(week + timedelta(days=7), now)


def _sankey(
    rows: list[Row], weeks: list[datetime], states: Sequence[str], colors: Colors, now: datetime
) -> tuple[Sankey, list[dict[str, Any]]]:
    """One Sankey of consecutive weeks, and the dates above its columns."""
    n_columns = len(weeks) + 1
    column = {week: k for k, week in enumerate(weeks)}
    height = np.zeros((n_columns, len(states) + 1))  # customers per column and state; the last one is "new"
    place = {name: i for i, name in enumerate([*states, "new"])}
    for r in rows:
        k = column[r["week_at"]]
        height[k, place[r["from_state"]]] += r["n"]
        if k == len(weeks) - 1:
            height[k + 1, place[r["to_state"]]] += r["n"]
    used = [(k, i) for k in range(n_columns) for i in range(len(states) + 1) if height[k, i] > 0]
    node = {key: n for n, key in enumerate(used)}
    y = _stack(height)
    ends = [*weeks, _week_end(weeks[-1], now)]
    names = [*states, "new"]
    is_edge = {0, n_columns - 1}
    links = [
        (r, node[k, place[r["from_state"]]], node[k + 1, place[r["to_state"]]])
        for r in rows
        for k in [column[r["week_at"]]]
    ]
    sankey = go.Sankey(
        arrangement="fixed",
        domain={"x": [0, 1], "y": [0, 1]},
        node={
            "x": [min(max(k / (n_columns - 1), 0.001), 0.999) for k, _ in used],
            "y": [float(y[k, i]) for k, i in used],
            "label": [plain(names[i], 22) if k in is_edge else "" for k, i in used],
            "color": [palette_of(colors, names[i]) for _, i in used],
            "customdata": [say_block(int(height[k, i]), names[i], ends[k]) for k, i in used],
            "hovertemplate": "%{customdata}<extra></extra>",
            "pad": 14,
            "thickness": 14,
            "line": {"width": 0},
        },
        link={
            "source": [a for _, a, _ in links],
            "target": [b for _, _, b in links],
            "value": [r["n"] for r, _, _ in links],
            "color": [
                fade(palette_of(colors, r["from_state"]), 0.16 if r["from_state"] == r["to_state"] else 0.5)
                for r, _, _ in links
            ],
            "customdata": [say_flow(r) for r, _, _ in links],
            "hovertemplate": "%{customdata}<extra></extra>",
        },
    )
    dates = [
        {
            "text": say_date(end) if k < n_columns - 1 or end < now else f"now, {say_date(end)}",
            "x": k / (n_columns - 1),
            "y": 1.0,
            "yshift": 6,
            "xref": "paper",
            "yref": "paper",
            "xanchor": "left" if k == 0 else "right" if k == n_columns - 1 else "center",
            "yanchor": "bottom",
            "showarrow": False,
            "font": {"size": 12},
        }
        for k, end in enumerate(ends)
    ]
    return sankey, dates


def _stack(height: Any) -> Any:
    """Centres of the blocks from the top (0) to the bottom (1), one scale for all columns, small gaps between."""
    gap = 0.025
    n_used = (height > 0).sum(axis=1)
    scale = np.min((1 - gap * np.maximum(n_used - 1, 0)) / np.maximum(height.sum(axis=1), 1e-9))
    size = height * scale
    step = np.where(height > 0, size + gap, 0.0)
    return np.clip(np.cumsum(step, axis=1) - step + size / 2, 0.001, 0.999)


def draw_matrix(matrix: pa.Table, states: Sequence[str]) -> Figure:
    """Share of moves from each state to each other (heat map)."""
    rows = matrix.to_pylist()
    if not rows:
        return draw_nothing(MATRIX_MISSING, MATRIX_ABOUT)
    place = {name: i for i, name in enumerate(states)}
    n = len(states)
    share: list[list[float | None]] = [[None] * n for _ in range(n)]
    words = [[f"Nobody moved from {plain(a)} to {plain(b)}" if a != b else "" for b in states] for a in states]
    text = [[""] * n for _ in range(n)]
    for r in rows:
        i, j = place[r["from_state"]], place[r["to_state"]]
        share[i][j] = 100 * r["p"]
        text[i][j] = say_share(r["p"])
        words[i][j] = (
            f"{plain(r['from_state'])} → {plain(r['to_state'])}: {say_share(r['p'])} of the moves out<br>"
            f"{say_count(r['n'], 'move')} by {say_count(r['n_customers'], 'customer')}<br>"
            f"half of them within {say_duration(r['median_dwell_s'])}"
        )
    labels = [plain(name, 18) for name in states]
    figure = go.Figure(
        go.Heatmap(
            z=share,
            x=list(range(n)),
            y=list(range(n)),
            text=text,
            customdata=words,
            texttemplate="%{text}",
            textfont={"size": 12},
            hovertemplate="%{customdata}<extra></extra>",
            hoverongaps=False,
            colorscale=[[0, "rgba(45,111,220,0.04)"], [1, "rgba(45,111,220,0.72)"]],
            zmin=0,
            zmax=100,
            xgap=3,
            ygap=3,
            showscale=False,
        )
    )
    figure.update_xaxes(
        tickvals=list(range(n)), ticktext=labels, side="top", title_text="to", showgrid=False, zeroline=False
    )
    figure.update_yaxes(
        tickvals=list(range(n)),
        ticktext=labels,
        autorange="reversed",
        title_text="from",
        showgrid=False,
        zeroline=False,
    )
    title = say_matrix(rows)
    table = [
        (r["from_state"], r["to_state"], say_integer(r["n"]), say_share(r["p"]), say_duration(r["median_dwell_s"]))
        for r in rows
    ]
    return finish(
        figure,
        title=title,
        about=MATRIX_ABOUT,
        height=110 + 46 * n,
        min_width=130 + 58 * n,
        table=(("from", "to", "moves", "share of moves out", "half within"), table),
    )
