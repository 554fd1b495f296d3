"""Figures of pace: how long customers stay in a state, and how fast they move on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
import pyarrow as pa

from sojourn.pages.figures.style import choose_by_menu, draw_nothing, duration_axis, fade, finish, palette_of
from sojourn.pages.words import (
    Colors,
    Row,
    find_medians,
    plain,
    say_count,
    say_date,
    say_duration,
    say_integer,
    say_share,
)
from sojourn.pages.words.figures import (
    DWELL_ABOUT,
    DWELL_MISSING,
    VELOCITY_ABOUT,
    VELOCITY_MISSING,
    say_dwell_finding,
    say_velocity_finding,
)

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def draw_dwell(dwell: pa.Table, states: Sequence[str], colors: Colors) -> Figure:
    """Share of stays that still last, by time since entering the state, on a logarithmic time axis."""
    rows = dwell.to_pylist()
    curves = {name: [r for r in rows if r["state"] == name] for name in states}
    curves = {name: curve for name, curve in curves.items() if len(curve) > 1}
    if not curves:
        return draw_nothing(DWELL_MISSING, DWELL_ABOUT)
    early = [next((r["after_s"] for r in c if r["survival_p"] < 0.98), c[-1]["after_s"]) for c in curves.values()]
    low, high = max(min(early) / 2, 1.0), max(c[-1]["after_s"] for c in curves.values())
    figure = go.Figure()
    for name, curve in curves.items():
        color, shown = palette_of(colors, name), plain(name, 30)
        x = [max(r["after_s"], low) for r in curve]
        for column, fill in (("low_p", None), ("high_p", "tonexty")):
            figure.add_scatter(
                x=x,
                y=[100 * r[column] for r in curve],
                mode="lines",
                line={"width": 0, "shape": "hv"},
                fill=fill,
                fillcolor=fade(color, 0.14),
                hoverinfo="skip",
                showlegend=False,
                legendgroup=shown,
            )
        figure.add_scatter(
            x=x,
            y=[100 * r["survival_p"] for r in curve],
            mode="lines",
            name=shown,
            legendgroup=shown,
            line={"color": color, "width": 2.4, "shape": "hv"},
            customdata=[
                f"After {say_duration(r['after_s'])}, {say_share(r['survival_p'])} of stays in {shown} still last<br>"
                f"95\u00a0% interval {say_share(r['low_p'])} to {say_share(r['high_p'])}; "
                f"{say_count(r['n_at_risk'], 'stay')} lasted this long"
                for r in curve
            ],
            hovertemplate="%{customdata}<extra></extra>",
        )
    figure.add_hline(y=50, line={"color": "rgba(120,130,145,0.7)", "width": 1, "dash": "dot"})
    figure.update_xaxes(**duration_axis(low, high), title_text="time since entering the state")
    figure.update_yaxes(range=[0, 102], ticksuffix=" %", title_text="stays that still last")
    medians = {name: m for name, m in find_medians(dwell).items() if m is not None and name in curves}
    table = [
        (
            name,
            say_duration(medians[name]) if name in medians else "not reached",
            say_integer(curves[name][0]["n_at_risk"]),
        )
        for name in curves
    ]
    return finish(
        figure,
        title=say_dwell_finding(medians),
        about=DWELL_ABOUT,
        height=430,
        min_width=420,
        table=(("state", "half leave within", "stays"), table),
    )


def draw_velocity(velocity: pa.Table, states: Sequence[str], colors: Colors) -> Figure:
    """Median time to leave each state, by the week of entering it; a menu splits a state by where they went."""
    rows = [r for r in velocity.to_pylist() if r["median_s"] is not None]
    if not rows:
        return draw_nothing(VELOCITY_MISSING, VELOCITY_ABOUT)
    figure = go.Figure()
    groups: list[str] = []
    pairs = [("", name, None) for name in states] + [(a, a, b) for a in states for b in states if b != a]
    for group, origin, target in pairs:
        line = [r for r in rows if r["from_state"] == origin and r["to_state"] == target]
        if line:
            figure.add_trace(_velocity_line(line, origin, target, colors))
            groups.append(group)
    kinds = sorted(set(groups), key=lambda g: (g != "", list(states).index(g) if g else 0))
    labels = [f"from {g}, by where they went" if g else "leaving each state" for g in kinds]
    figure.update_yaxes(**duration_axis(*_reach(rows)), title_text="half within")
    reach = []
    for kind in kinds:
        mine = [r for r in rows if (r["to_state"] is None if not kind else r["from_state"] == kind and r["to_state"])]
        reach.append(duration_axis(*_reach(mine))["range"])
    figure.update_yaxes(range=reach[0])
    if len(kinds) > 1:
        choose_by_menu(figure, labels, [[g == kind for g in groups] for kind in kinds], **{"yaxis.range": reach})
    weeks = sorted({r["week_at"] for r in rows})
    every = max(1, math.ceil(((weeks[-1] - weeks[0]).days / 7 + 1) / 7))
    figure.update_xaxes(
        title_text="week in which the stay began", tickformat="%-d %b\n%Y", tick0=weeks[0], dtick=every * 7 * 86_400_000
    )
    figure.update_layout(legend={"y": -0.22, "yanchor": "top"}, showlegend=True)
    leaving = [r for r in rows if r["to_state"] is None]
    table = [
        (say_date(r["week_at"], year=True), r["from_state"], say_integer(r["n"]), say_duration(r["median_s"]))
        for r in leaving
    ]
    return finish(
        figure,
        title=say_velocity_finding(leaving or rows),
        about=VELOCITY_ABOUT,
        height=430,
        min_width=560,
        table=(("week of", "state", "stays", "half left within"), table[-60:]),
    )


def _reach(rows: list[Row]) -> tuple[float, float]:
    """What the axis shows: around the medians; an interval may reach out of it."""
    medians = [max(r["median_s"], 1.0) for r in rows]
    return min(medians) / 3, max(medians) * 3


def _velocity_line(line: list[Row], origin: str, target: str | None, colors: Colors) -> Any:
    name = plain(target or origin, 30)
    color = palette_of(colors, target or origin)
    median = [r["median_s"] for r in line]
    what = f"from {plain(origin)} to {plain(target)}" if target else f"in {name}"
    return go.Scatter(
        x=[r["week_at"] for r in line],
        y=median,
        name=name,
        mode="lines+markers",
        line={"color": color, "width": 2},
        marker={"size": 7},
        error_y={
            "array": [(r["high_s"] or r["median_s"]) - r["median_s"] for r in line],
            "arrayminus": [r["median_s"] - (r["low_s"] or r["median_s"]) for r in line],
            "color": fade(color, 0.45),
            "thickness": 1.2,
            "width": 0,
        },
        customdata=[
            f"Stays {what} begun in the week of {say_date(r['week_at'])}: half were over within "
            f"{say_duration(r['median_s'])}<br>95\u00a0% interval {say_duration(r['low_s'])} to "
            f"{say_duration(r['high_s']) if r['high_s'] is not None else 'not known yet'}; "
            + (
                f"{say_count(r['n'], 'stay')}"
                if target is None
                else f"{say_count(r['n'], 'move')} within {say_duration(r['horizon_s'])}"
            )
            for r in line
        ],
        hovertemplate="%{customdata}<extra></extra>",
    )
