"""The figures of journeys before outcomes, of paths through the states, and of where each state is found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from sojourn.pages.figures.forest import Dot, draw_forest
from sojourn.pages.figures.style import LESS, MORE, NEW_COLOR, draw_nothing, finish, ink_on, palette_of, plain
from sojourn.pages.words.numbers import (
    is_sure,
    measure_surety,
    say_count,
    say_duration,
    say_list,
    say_number,
    say_share,
    say_times,
)
from sojourn.pages.words.texts import shorten
from sojourn.pages.words.transitions import find_telling
from sojourn.pages.words.types import Colors, Row

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


MOST_PATHS = 12
MOST_CHANNELS = 14
BAR, GREY = "#2d6fdc", "rgba(120,130,145,0.75)"
JOURNEYS_ABOUT = (
    "How much more often customers made a journey before the outcome than customers as active as they were who never "
    "had it. Steps follow each other with at most two others between. Right of the line: more often; bars are "
    "95\u00a0% intervals, grey dots may be chance. Journeys were found on half of the customers and counted on the "
    "other half. This shows what goes with an outcome, not what causes it."
)
PATHS_ABOUT = (
    "The ways through the states that most customers have gone, from left to right, each block a stay in a state. The "
    "share is of all customers with a state; a customer may be on several paths."
)
CHANNELS_ABOUT = (
    "Where people of each state are found: the share of what they do there on each channel, and in colour how that "
    "compares with all states. A star marks channels that the playbook names for the state."
)


def draw_journeys(journeys: pa.Table) -> Figure:
    """Journeys that go with an outcome: dots with intervals, a menu of outcomes."""
    rows = [r for r in journeys.to_pylist() if r["pattern"]]
    if not rows:
        why = next((r["why_not"] for r in journeys.to_pylist() if r["why_not"]), "the playbook has no outcome")
        return draw_nothing(f"No journeys to an outcome can be told: {why}.", JOURNEYS_ABOUT)
    groups = {name: find_telling([r for r in rows if r["outcome"] == name]) for name in dict.fromkeys(
        r["outcome"] for r in rows)}  # fmt: skip
    dots = [(name, [_dot(r) for r in group[::-1]]) for name, group in groups.items()]
    axis = "how often, compared with customers as active (1× = as often)"
    figure, height = draw_forest(dots, axis, row_height=30)
    drawn = [r for group in groups.values() for r in group]
    table = [
        (r["outcome"], r["text"], say_share(r["with_p"]), say_share(r["without_p"]),
         f"{say_number(r['lift'])} ({say_number(r['low'])} to {say_number(r['high'])})")
        for r in drawn if is_sure(r)
    ]  # fmt: skip
    columns = ("outcome", "journey", "before it", "others", "ratio (95\u00a0%)")
    return finish(figure, title=_journeys_finding(drawn), about=JOURNEYS_ABOUT, height=height, min_width=460,
                  table=(columns, table))  # fmt: skip


def _journeys_finding(rows: Sequence[Row]) -> str:
    sure = sorted((r for r in rows if is_sure(r) and r["lift"] > 1), key=measure_surety, reverse=True)
    if not sure:
        return "No journey comes before an outcome clearly more often than among customers as active."
    r = sure[0]
    often = "far more often" if r["lift"] >= 10 else say_times(r["lift"]) + " as else"
    return f"Before {r['outcome']}, {shorten(r['text'], 100)} comes {often}: in {say_share(r['with_p'])} of lives, " \
           f"against {say_share(r['without_p'])} of those as active without it."  # fmt: skip


def _dot(r: Row) -> Dot:
    words = (
        f"{plain(r['text'], 80)}<br>before {plain(r['outcome'])}: {r['n_with']:,} of {r['of_with']:,} customers, "
        f"others: {r['n_without']:,} of {r['of_without']:,}<br>{say_times(r['lift'])}, 95\u00a0% interval "
        f"{say_number(r['low'])} to {say_number(r['high'])}" + ("" if is_sure(r) else "<br>this may be chance")
    )
    return Dot(r["lift"], r["low"], r["high"], plain(r["text"], 64), words, BAR if is_sure(r) else NEW_COLOR)


# --- paths --------------------------------------------------------------------------------------------------------


def draw_paths(paths: pa.Table, colors: Colors) -> Figure:
    """The most travelled paths as rows of blocks in the states' colours."""
    import plotly.graph_objects as go

    every = paths.to_pylist()
    rows = sorted((r for r in every if r["kind"] == "path"), key=lambda r: (-r["n_customers"], r["text"]))[:MOST_PATHS]
    if not rows:
        return draw_nothing("Too few customers have been in three states one after the other.", PATHS_ABOUT)
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
                customdata=[_say_path(r) for _, _, _, r in mine],
                hovertemplate="%{customdata}<extra></extra>",
            )
        )
    ends = [(len(r["steps"]) + 0.05, y, r) for y, r in enumerate(rows[::-1])]
    figure.add_trace(
        go.Scatter(
            x=[x for x, _, _ in ends], y=[y for _, y, _ in ends], mode="text", textposition="middle right",
            text=[say_share(r["share_p"]) for _, _, r in ends], hoverinfo="skip", showlegend=False, cliponaxis=False,
        )
    )  # fmt: skip
    most = max(len(r["steps"]) for r in rows)
    figure.update_layout(barmode="overlay")
    figure.update_xaxes(visible=False, range=[0, most + 0.7])
    figure.update_yaxes(visible=False, range=[-0.6, len(rows) - 0.4])
    table = [
        (r["kind"], r["text"], f"{r['n']:,}", say_share(r["share_p"]), say_duration(r["median_s"]))
        for r in [*rows, *[r for r in every if r["kind"] == "loop"][:10]]
    ]
    return finish(figure, title=_paths_finding(every, rows[0]), about=PATHS_ABOUT, height=80 + 30 * len(rows),
                  min_width=420, table=(("kind", "states", "times", "share", "median time"), table))  # fmt: skip


def _say_path(r: Row) -> str:
    return (
        f"{plain(r['text'], 120)}<br>{say_count(r['n_customers'], 'customer')}, {r['n']:,} times<br>half within "
        f"{say_duration(r['median_s'])} from entering the first to entering the last"
    )


def _paths_finding(every: Sequence[Row], top: Row) -> str:
    text = f"The commonest path is {shorten(top['text'], 120)} ({say_share(top['share_p'])} of customers)"
    loops = [r for r in every if r["kind"] == "loop"]
    if loops:
        loop = max(loops, key=lambda r: (r["n"], r["text"]))
        a, b, _ = loop["steps"]
        text += f"; of those who came to {shorten(b, 30)} from {shorten(a, 30)} and went on, "
        text += f"{say_share(loop['share_p'])} went back"
    return f"{text}."


# --- channels -----------------------------------------------------------------------------------------------------


def draw_channels(channels: pa.Table, states: Sequence[str]) -> Figure:
    """Shares of channels per state as a heat map; colour is how that compares with all states."""
    import plotly.graph_objects as go

    every = [r for r in channels.to_pylist() if r["kind"] == "channel" and r["n_events"]]
    if not every:
        return draw_nothing("The events do not say on which channel they happened.", CHANNELS_ABOUT)
    overall = {r["what"]: r["overall_p"] for r in every}
    names = sorted(overall, key=lambda name: (-overall[name], name))[:MOST_CHANNELS]
    cells = {(r["state"], r["what"]): r for r in every}
    grid = [[cells.get((state, channel)) for state in states] for channel in names]
    heat = [[math.log2(min(max(r["index"], 0.25), 4)) if r else None for r in row] for row in grid]
    shown = [[f"{say_share(r['share_p'])}{' ★' if r['is_named'] else ''}" if r else "" for r in row] for row in grid]
    words = [[_say_cell(r) if r else "" for r in row] for row in grid]
    figure = go.Figure(
        go.Heatmap(
            z=heat, x=list(range(len(states))), y=list(range(len(names))), text=shown, texttemplate="%{text}",
            customdata=words, hovertemplate="%{customdata}<extra></extra>", zmin=-2, zmax=2, xgap=3, ygap=2,
            colorscale=[
                [0, f"rgba({LESS},0.8)"], [0.499, f"rgba({LESS},0.02)"], [0.501, f"rgba({MORE},0.02)"],
                [1, f"rgba({MORE},0.9)"],
            ],
            colorbar={
                "orientation": "h", "thickness": 8, "len": 0.5, "x": 0, "xanchor": "left", "y": 0, "yanchor": "top",
                "ypad": 12, "outlinewidth": 0, "tickvals": [-2, 0, 2],
                "ticktext": ["a quarter", "as overall", "4 times"], "tickfont": {"size": 11},
            },
        )
    )  # fmt: skip
    figure.update_xaxes(tickvals=list(range(len(states))), ticktext=[plain(s, 18) for s in states], side="top",
                        showgrid=False)  # fmt: skip
    figure.update_yaxes(tickvals=list(range(len(names))), ticktext=[plain(c, 24) for c in names], autorange="reversed",
                        showgrid=False)  # fmt: skip
    table = [
        (r["state"], r["what"], say_share(r["share_p"]), say_share(r["overall_p"]), say_number(r["index"]),
         r["gap"] or "")
        for r in every if r["what"] in names
    ]  # fmt: skip
    columns = ("state", "channel", "here", "overall", "index", "not covered")
    return finish(figure, title=_channels_finding(every), about=CHANNELS_ABOUT, height=120 + 34 * len(names),
                  min_width=200 + 90 * len(states), table=(columns, table))  # fmt: skip


def _say_cell(r: Row) -> str:
    interval = ""
    if r["low"] is not None:
        interval = f", 95\u00a0% interval {say_number(r['low'])} to {say_number(r['high'])}"
    gap = f"<br>{plain(r['gap'], 80)}" if r["gap"] else ""
    return (
        f"{plain(r['what'])}, {plain(r['state'])}: {say_share(r['share_p'])} of events, "
        f"overall {say_share(r['overall_p'])}<br>index {say_number(r['index'])}{interval}{gap}"
    )


def _channels_finding(rows: Sequence[Row]) -> str:
    sure = [r for r in rows if r["low"] is not None and r["low"] > 1 and r["share_p"] >= 0.05]
    missed = list(dict.fromkeys(shorten(r["what"], 24) for r in rows if r["gap"] and not r["is_named"]))
    open_ = f" Not named where many are found: {say_list(missed[:4])}." if missed else ""
    if not sure:
        return f"No state stands out by its channels.{open_}"
    top = max(sure, key=lambda r: (r["low"], r["what"]))
    who, where = shorten(top["state"], 40), shorten(top["what"], 40)
    return f"{who} is found on {where} {say_times(top['index'])} as all are.{open_}"
