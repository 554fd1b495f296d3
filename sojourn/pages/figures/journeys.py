"""The figures of journeys before outcomes, of paths through the states, and of where each state is found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go
import pyarrow as pa

from sojourn.pages.figures.forest import Dot, draw_forest
from sojourn.pages.figures.style import LESS, MORE, NEW_COLOR, draw_nothing, finish, ink_on, palette_of
from sojourn.pages.words import (
    Colors,
    Row,
    find_telling,
    is_sure,
    plain,
    say_duration,
    say_estimate,
    say_integer,
    say_number,
    say_share,
)
from sojourn.pages.words.figures import (
    CHANNELS_ABOUT,
    CHANNELS_MISSING,
    JOURNEYS_ABOUT,
    PATHS_ABOUT,
    PATHS_MISSING,
    say_cell,
    say_channels_finding,
    say_dot,
    say_journeys_finding,
    say_no_journeys,
    say_path,
    say_paths_finding,
)

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


MOST_PATHS = 12
MOST_CHANNELS = 14
BAR, GREY = "#2d6fdc", "rgba(120,130,145,0.75)"


def draw_journeys(journeys: pa.Table) -> Figure:
    """Journeys that go with an outcome: dots with intervals, a menu of outcomes."""
    rows = [r for r in journeys.to_pylist() if r["pattern"]]
    if not rows:
        why = next((r["why_not"] for r in journeys.to_pylist() if r["why_not"]), "the playbook has no outcome")
        return draw_nothing(say_no_journeys(why), JOURNEYS_ABOUT)
    groups = {
        name: find_telling([r for r in rows if r["outcome"] == name])
        for name in dict.fromkeys(r["outcome"] for r in rows)
    }
    dots = [(name, [_dot(r) for r in group[::-1]]) for name, group in groups.items()]
    axis = "how often, compared with customers as active (1× = as often)"
    figure, height = draw_forest(dots, axis, row_height=30)
    drawn = [r for group in groups.values() for r in group]
    table = [
        (
            r["outcome"],
            r["text"],
            say_share(r["with_p"]),
            say_share(r["without_p"]),
            say_estimate(r["lift"], r["low"], r["high"]),
        )
        for r in drawn
        if is_sure(r)
    ]
    columns = ("outcome", "journey", "before it", "others", "ratio (95\u00a0%)")
    return finish(
        figure,
        title=say_journeys_finding(drawn),
        about=JOURNEYS_ABOUT,
        height=height,
        min_width=460,
        table=(columns, table),
    )


def _dot(r: Row) -> Dot:
    words = say_dot(r)
    return Dot(r["lift"], r["low"], r["high"], plain(r["text"], 64), words, BAR if is_sure(r) else NEW_COLOR)


# --- paths --------------------------------------------------------------------------------------------------------


def draw_paths(paths: pa.Table, colors: Colors) -> Figure:
    """The most travelled paths as rows of blocks in the states' colours."""
    every = paths.to_pylist()
    rows = sorted((r for r in every if r["kind"] == "path"), key=lambda r: (-r["n_customers"], r["text"]))[:MOST_PATHS]
    if not rows:
        return draw_nothing(PATHS_MISSING, PATHS_ABOUT)
    figure = go.Figure()
    blocks = [(y, x, name, r) for y, r in enumerate(rows[::-1]) for x, name in enumerate(r["steps"])]
    for state in [s for s in colors if any(name == s for _, _, name, _ in blocks)]:
        mine = [block for block in blocks if block[2] == state]
        figure.add_trace(
            go.Bar(
                orientation="h",
                name=plain(state, 24),
                x=[0.96] * len(mine),
                base=[x for _, x, _, _ in mine],
                y=[y for y, _, _, _ in mine],
                width=0.75,  # else each state's blocks are as thick as its nearest rows are apart
                marker={"color": palette_of(colors, state), "line": {"width": 0}},
                insidetextfont={"color": ink_on(palette_of(colors, state))},
                text=[plain(state, 16)] * len(mine),
                textposition="inside",
                insidetextanchor="middle",
                customdata=[say_path(r) for _, _, _, r in mine],
                hovertemplate="%{customdata}<extra></extra>",
            )
        )
    ends = [(len(r["steps"]) + 0.05, y, r) for y, r in enumerate(rows[::-1])]
    figure.add_trace(
        go.Scatter(
            x=[x for x, _, _ in ends],
            y=[y for _, y, _ in ends],
            mode="text",
            textposition="middle right",
            text=[say_share(r["share_p"]) for _, _, r in ends],
            hoverinfo="skip",
            showlegend=False,
            cliponaxis=False,
        )
    )
    most = max(len(r["steps"]) for r in rows)
    figure.update_layout(barmode="overlay")
    figure.update_xaxes(visible=False, range=[0, most + 0.7])
    figure.update_yaxes(visible=False, range=[-0.6, len(rows) - 0.4])
    table = [
        (r["kind"], r["text"], say_integer(r["n"]), say_share(r["share_p"]), say_duration(r["median_s"]))
        for r in [*rows, *[r for r in every if r["kind"] == "loop"][:10]]
    ]
    return finish(
        figure,
        title=say_paths_finding(every, rows[0]),
        about=PATHS_ABOUT,
        height=80 + 30 * len(rows),
        min_width=420,
        table=(("kind", "states", "times", "share", "median time"), table),
    )


# --- channels -----------------------------------------------------------------------------------------------------


def draw_channels(channels: pa.Table, states: Sequence[str]) -> Figure:
    """Shares of channels per state as a heat map; colour is how that compares with all states."""
    every = [r for r in channels.to_pylist() if r["kind"] == "channel" and r["n_events"]]
    if not every:
        return draw_nothing(CHANNELS_MISSING, CHANNELS_ABOUT)
    overall = {r["what"]: r["overall_p"] for r in every}
    names = sorted(overall, key=lambda name: (-overall[name], name))[:MOST_CHANNELS]
    cells = {(r["state"], r["what"]): r for r in every}
    grid = [[cells.get((state, channel)) for state in states] for channel in names]
    heat = [[math.log2(min(max(r["index"], 0.25), 4)) if r else None for r in row] for row in grid]
    shown = [[f"{say_share(r['share_p'])}{' ★' if r['is_named'] else ''}" if r else "" for r in row] for row in grid]
    words = [[say_cell(r) if r else "" for r in row] for row in grid]
    figure = go.Figure(
        go.Heatmap(
            z=heat,
            x=list(range(len(states))),
            y=list(range(len(names))),
            text=shown,
            texttemplate="%{text}",
            customdata=words,
            hovertemplate="%{customdata}<extra></extra>",
            zmin=-2,
            zmax=2,
            xgap=3,
            ygap=2,
            colorscale=[
                [0, f"rgba({LESS},0.8)"],
                [0.499, f"rgba({LESS},0.02)"],
                [0.501, f"rgba({MORE},0.02)"],
                [1, f"rgba({MORE},0.9)"],
            ],
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
                "tickvals": [-2, 0, 2],
                "ticktext": ["a quarter", "as overall", "4 times"],
                "tickfont": {"size": 11},
            },
        )
    )
    figure.update_xaxes(
        tickvals=list(range(len(states))), ticktext=[plain(s, 18) for s in states], side="top", showgrid=False
    )
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=[plain(c, 24) for c in names], autorange="reversed", showgrid=False
    )
    table = [
        (
            r["state"],
            r["what"],
            say_share(r["share_p"]),
            say_share(r["overall_p"]),
            say_number(r["index"]),
            r["gap"] or "",
        )
        for r in every
        if r["what"] in names
    ]
    columns = ("state", "channel", "here", "overall", "index", "not covered")
    return finish(
        figure,
        title=say_channels_finding(every),
        about=CHANNELS_ABOUT,
        height=120 + 34 * len(names),
        min_width=200 + 90 * len(states),
        table=(columns, table),
    )
