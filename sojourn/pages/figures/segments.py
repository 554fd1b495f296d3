"""Figures of segments: the map, the tree, what sets them apart, what they are worth, and segment by state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
from scipy.cluster.hierarchy import dendrogram

from sojourn.pages.figures.style import COLORS, INK, LESS, MORE, SOFT, choose_by_menu, draw_nothing, finish
from sojourn.pages.words import (
    MENU,
    NOTHING,
    Row,
    find_telling_cells,
    plain,
    say_cell,
    say_difference,
    say_estimate,
    say_integer,
    say_number,
    say_or_dash,
    say_points,
    say_relevance,
    say_score,
    say_share,
    shorten,
)
from sojourn.pages.words.figures import (
    CELLS_ABOUT,
    CHOICE_ABOUT,
    FLOWS_ABOUT,
    FLOWS_MISSING,
    HYBRID_ABOUT,
    MAP_ABOUT,
    NUMBERS_ABOUT,
    PROFILE_ABOUT,
    PROFILE_MISSING,
    TREE_ABOUT,
    WORTH_ABOUT,
    say_changed,
    say_choice,
    say_crossing,
    say_crossings,
    say_hover,
    say_map,
    say_no_segments,
    say_numbers,
    say_profile,
    say_strongest,
    say_tree,
)

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_MOST_POINTS = 3_000
_MARKS = 6
_MOST_MARKS = 26
_MOST_FLOWS = 14


def color_segments(numbers: Sequence[int]) -> dict[int, str]:
    """One colour per segment number, so that a segment keeps its colour while it keeps its number.

    >>> color_segments([1, 15])
    {1: '#2d6fdc', 15: '#2d6fdc'}
    """
    return {number: COLORS[(number - 1) % len(COLORS)] for number in numbers}


def draw_map(customers: pa.Table, names: Mapping[int, str], *, seed: int = 0) -> Figure:
    """Customers on both maps, coloured by segment; at most 3,000 of them, and all segments in proportion."""
    n = customers.num_rows
    rows = np.sort(np.random.default_rng(seed).permutation(n)[:_MOST_POINTS])
    part = customers.take(pa.array(rows))
    segment = part["segment"].fill_null(0).to_numpy()
    is_outlier = part["is_outlier"].to_numpy(zero_copy_only=False)
    colors = {**color_segments(list(names)), 0: "#9aa3ae"}
    figure, on_map = go.Figure(), []
    for axes in (("map_x", "map_y"), ("pca_x", "pca_y")):
        x, y = (part[name].to_numpy() for name in axes)
        for number in [*names, 0]:
            own = segment == number
            if not own.any():
                continue
            figure.add_scatter(
                x=x[own].round(3),
                y=y[own].round(3),
                mode="markers",
                name=plain(names.get(number, "in no segment"), 40),
                marker={
                    "size": 5,
                    "opacity": 0.75,
                    "color": colors[number],
                    "symbol": ["circle-open" if out else "circle" for out in is_outlier[own]],
                },
                hovertemplate=f"{plain(names.get(number, 'in no segment'))}<extra></extra>",
            )
            on_map.append(axes[0] == "map_x")
    figure.update_xaxes(visible=False).update_yaxes(visible=False)
    figure.update_layout(legend={"y": -0.02, "yanchor": "top"})
    choose_by_menu(
        figure,
        ["Neighbours together (t-SNE)", "Exact (principal components)"],
        [on_map, [not shown for shown in on_map]],
    )
    n_out = int(customers["is_outlier"].to_numpy(zero_copy_only=False).sum())
    title = say_map(n, len(names), n_out)
    return finish(figure, title=title, about=MAP_ABOUT, height=620)


def draw_tree(merges: Any, sizes: Any, levels: Sequence[int]) -> Figure:
    """The top of the tree of merges."""
    drawn = dendrogram(merges, no_plot=True, labels=[say_integer(n) for n in sizes])
    x: list[float | None] = []
    y: list[float | None] = []
    for xs, ys in zip(drawn["icoord"], drawn["dcoord"], strict=True):
        x += [*xs, None]
        y += [*ys, None]
    figure = go.Figure(go.Scatter(x=x, y=y, mode="lines", line={"color": COLORS[0], "width": 1.5}, hoverinfo="skip"))
    heights = np.asarray(merges)[:, 2]
    for level in levels:
        cut = float(heights[-level] + heights[-level + 1]) / 2
        figure.add_hline(
            y=cut,
            line={"dash": "dash", "width": 1, "color": SOFT},
            annotation={"text": f"{level} groups", "font": {"size": 11, "color": SOFT}},
        )
    figure.update_xaxes(
        tickvals=[5 + 10 * i for i in range(len(sizes))],
        ticktext=drawn["ivl"],
        showgrid=False,
        tickangle=-60,
        title="customers in each of the finest groups (of the sample that the tree was grown on)",
    )
    figure.update_yaxes(title="how different", showticklabels=False)
    top = heights[-1] / max(float(heights[-2]), 1e-12)
    title = say_tree(top)
    return finish(figure, title=title, about=TREE_ABOUT, height=420, min_width=700)


def draw_profiles(profiles: pa.Table, names: Mapping[int, str]) -> Figure:
    """What sets each segment apart, as a heat map of standardized differences."""
    rows = profiles.to_pylist()
    marks: list[str] = []
    for number in names:
        own = sorted((r for r in rows if r["segment"] == number), key=lambda r: -abs(r["difference"]))
        marks += [r["input"] for r in own[:_MARKS]]
    marks = list(dict.fromkeys(marks))[:_MOST_MARKS]
    if not marks:
        return draw_nothing(PROFILE_MISSING, PROFILE_ABOUT)
    cells = {(r["input"], r["segment"]): r for r in rows}
    figure = go.Figure(
        go.Heatmap(
            z=[[cells[mark, number]["difference"] for number in names] for mark in marks],
            x=[plain(f"{number} · {name}", max(26, 100 // len(names))) for number, name in names.items()],
            y=[plain(mark, 34) for mark in marks],
            customdata=[[say_profile(cells[mark, number]) for number in names] for mark in marks],
            hovertemplate="%{customdata}<extra></extra>",
            zmin=-2,
            zmax=2,
            xgap=3,
            ygap=2,
            colorscale=[[0, f"rgba({LESS},0.85)"], [0.5, f"rgba({MORE},0.02)"], [1, f"rgba({MORE},0.95)"]],
            colorbar={
                "thickness": 8,
                "len": 0.6,
                "outlinewidth": 0,
                "tickvals": [-2, 0, 2],
                "ticktext": ["far below", "as the others", "far above"],
            },
        )
    )
    figure.update_yaxes(autorange="reversed", showgrid=False, tickfont={"color": INK})
    figure.update_xaxes(side="top", showgrid=False)
    title = say_strongest(rows)
    table = [
        (
            r["name"],
            r["input"],
            say_difference(r["difference"]),
            say_or_dash(r["median"], say_number),
            say_or_dash(r["median_rest"], say_number),
        )
        for mark in marks
        for r in (cells[mark, number] for number in names)
    ]
    return finish(
        figure,
        title=title,
        about=PROFILE_ABOUT,
        height=140 + 24 * len(marks),
        min_width=120 * len(names) + 220,
        table=(("segment", "input", "difference", "median", "of the others"), table),
    )


def draw_relevance(relevance: pa.Table, days: int) -> Figure:
    """How much of what came later each way of grouping explains."""
    rows = relevance.to_pylist()
    outcomes = list(dict.fromkeys(r["outcome"] for r in rows))
    ways = list(dict.fromkeys(r["grouping"] for r in rows))
    figure = go.Figure()
    for i, way in enumerate(ways):
        own = [r for r in rows if r["grouping"] == way]
        figure.add_bar(
            x=[r["outcome"] for r in own],
            y=[r["explained_p"] for r in own],
            name=plain(way),
            marker={"color": COLORS[i % len(COLORS)] if way != "random" else "#9aa3ae"},
            error_y={
                "type": "data",
                "symmetric": False,
                "thickness": 1,
                "width": 3,
                "color": SOFT,
                "array": [r["high"] - r["explained_p"] for r in own],
                "arrayminus": [r["explained_p"] - r["low"] for r in own],
            },
            customdata=[f"{plain(way)}, {r['n_groups']} groups: {say_share(r['explained_p'])}" for r in own],
            hovertemplate="%{customdata}<extra></extra>",
        )
    figure.update_layout(barmode="group", bargap=0.25)
    figure.update_yaxes(tickformat=".0%", title="explained")
    table = [
        (
            r["outcome"],
            r["grouping"],
            str(r["n_groups"]),
            say_share(r["explained_p"]),
            say_estimate(r["more_p"], r["more_low"], r["more_high"], say_points),
        )
        for r in rows
    ]
    return finish(
        figure,
        title=say_relevance(rows, outcomes[0], days),
        about=WORTH_ABOUT,
        height=380,
        table=(("outcome", "grouping", "groups", "explained", "segments explain more"), table),
    )


def draw_cells(cells: pa.Table) -> Figure:
    """Share of each segment in each state."""
    rows = cells.to_pylist()
    segments = list(dict.fromkeys((r["segment"], r["name"]) for r in rows))
    states = list(dict.fromkeys(r["state"] for r in rows))
    at = {(r["segment"], r["state"]): r for r in rows}
    figure = go.Figure(
        go.Heatmap(
            z=[[at[number, state]["share_p"] for state in states] for number, _ in segments],
            x=[plain(state, 18) for state in states],
            y=[plain(f"{number} · {name}", 46) for number, name in segments],
            text=[[say_share(at[number, state]["share_p"]) for state in states] for number, _ in segments],
            texttemplate="%{text}",
            customdata=[[say_crossing(at[number, state]) for state in states] for number, _ in segments],
            hovertemplate="%{customdata}<extra></extra>",
            colorscale=[[0, f"rgba({LESS},0.03)"], [1, f"rgba({LESS},0.75)"]],
            xgap=3,
            ygap=2,
            showscale=False,
        )
    )
    figure.update_xaxes(side="top", showgrid=False)
    figure.update_yaxes(autorange="reversed", showgrid=False, tickfont={"color": INK})
    title = say_crossings(rows)
    table = [
        (r["name"], r["state"], say_integer(r["n_customers"]), say_share(r["share_p"]), say_number(r["ratio"]))
        for r in rows
    ]
    return finish(
        figure,
        title=title,
        about=CELLS_ABOUT,
        height=90 + 34 * len(segments),
        min_width=110 * len(states) + 240,
        table=(("segment", "state", "customers", "share", "times as among all"), table),
    )


def draw_flows(flows: pa.Table, names: Mapping[int, str]) -> Figure:
    """The largest moves between cells."""

    def say(number: int, state: str) -> str:
        return f"{shorten(names.get(number, f'segment {number}'), 36)}: {shorten(state, 18)}"

    rows = [r for r in flows.to_pylist() if (r["from_segment"], r["from_state"]) != (r["to_segment"], r["to_state"])]
    n_moved, n_all = sum(r["n_customers"] for r in rows), sum(flows["n_customers"].to_pylist())
    if not rows:
        return draw_nothing(FLOWS_MISSING, FLOWS_ABOUT)
    shown = rows[:_MOST_FLOWS]
    pairs = []
    for r in shown:
        to = say(r["to_segment"], r["to_state"]) if r["to_segment"] != r["from_segment"] else shorten(r["to_state"], 18)
        pairs.append((say(r["from_segment"], r["from_state"]), to))
    colors = color_segments([r["from_segment"] for r in shown])
    figure = go.Figure(
        go.Bar(
            x=[r["n_customers"] for r in shown],
            y=list(range(len(shown))),
            orientation="h",
            marker={"color": [colors[r["from_segment"]] for r in shown], "cornerradius": 4},
            text=[say_integer(r["n_customers"]) for r in shown],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{say_integer(x)} customers<extra></extra>",
        )
    )
    figure.update_yaxes(
        tickvals=list(range(len(shown))),
        ticktext=[plain(f"{a} → {b}", 120) for a, b in pairs],
        autorange="reversed",
        showgrid=False,
        tickfont={"color": INK},
    )
    figure.update_xaxes(visible=False)
    title = say_changed(n_moved / n_all, pairs[0][1])
    table = [(a, b, say_integer(r["n_customers"])) for (a, b), r in zip(pairs, shown, strict=True)]
    return finish(
        figure,
        title=title,
        about=FLOWS_ABOUT,
        height=80 + 30 * len(shown),
        min_width=640,
        table=(("from", "to", "customers"), table),
    )


def draw_hybrid(hybrid: pa.Table, states: Sequence[str]) -> Figure:
    """Share of each segment in each state, a menu of the two segmentations."""
    rows = [r for r in hybrid.to_pylist() if r["state"] is not None]
    if not rows:
        why = next((r["why_not"] for r in hybrid.to_pylist() if r["why_not"]), "there are no customers")
        return draw_nothing(say_no_segments(why), HYBRID_ABOUT)
    kinds = [name for name in MENU if any(r["segmentation"] == name for r in rows)]
    shown = [name for name in states if any(r["state"] == name for r in rows)]
    figure, axes, most = go.Figure(), list[Row](), 1
    for kind in kinds:
        cells = {(r["segment"], r["state"]): r for r in rows if r["segmentation"] == kind}
        segments = list(dict.fromkeys(segment for segment, _ in cells))
        grid = [[cells.get((segment, state)) for state in shown] for segment in segments]
        sizes = [sum(r["n_customers"] for r in line if r) for line in grid]
        figure.add_heatmap(
            z=[[r["share_p"] if r else 0.0 for r in line] for line in grid],
            x=[plain(state, 18) for state in shown],
            y=list(range(len(segments))),
            text=[[say_share(r["share_p"]) if r else "" for r in line] for line in grid],
            texttemplate="%{text}",
            customdata=[[say_hover(r) if r else "" for r in line] for line in grid],
            hovertemplate="%{customdata}<extra></extra>",
            zmin=0,
            zmax=1,
            xgap=3,
            ygap=2,
            showscale=False,
            colorscale=[[0, f"rgba({LESS},0.03)"], [1, f"rgba({LESS},0.75)"]],
        )
        most = max(most, len(segments))
        labels = [f"{plain(name, 24)} ({say_integer(n)})" for name, n in zip(segments, sizes, strict=True)]
        axes.append({"tickvals": list(range(len(segments))), "ticktext": labels, "range": [len(segments) - 0.5, -0.5]})
    visible = [[i == k for i in range(len(kinds))] for k in range(len(kinds))]
    keys = ("tickvals", "ticktext", "range")
    choose_by_menu(
        figure, [MENU[kind] for kind in kinds], visible, **{f"yaxis.{k}": [a[k] for a in axes] for k in keys}
    )
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(**axes[0], showgrid=False, tickfont={"color": INK})
    telling = [r for kind in kinds for r in find_telling_cells(hybrid, kind)[:1]]
    title = say_cell(telling[0]) if telling else NOTHING
    table = [
        (
            MENU[r["segmentation"]],
            r["segment"],
            r["state"],
            say_integer(r["n_customers"]),
            say_share(r["share_p"]),
            say_number(r["ratio"]),
        )
        for r in rows
    ]
    columns = ("segmentation", "segment", "state", "customers", "share of the segment", "times as among all")
    height = 130 + 34 * most
    return finish(
        figure, title=title, about=HYBRID_ABOUT, height=height, min_width=92 * len(shown) + 210, table=(columns, table)
    )


_CRITERIA = ("silhouette", "elbow", "bic", "stability")


def draw_choice(choice: pa.Table) -> Figure:
    """The four criteria over the number of segments, a menu of the methods that were tried."""
    rows = choice.to_pylist()
    methods = list(dict.fromkeys(r["method"] for r in rows))
    figure, owners = go.Figure(), []
    for method in methods:
        own = [r for r in rows if r["method"] == method]
        k = [r["k"] for r in own]
        for i, name in enumerate(_CRITERIA):
            sign = -1 if name == "bic" else 1
            figure.add_scatter(
                x=k,
                y=_scale([sign * r[name] for r in own]),
                mode="lines",
                name=name,
                line={"color": COLORS[(1, 2, 3, 4)[i]], "width": 1.5},
                text=[f"{name} {say_number(r[name])}" for r in own],
                hovertemplate="%{x} segments: %{text}<extra></extra>",
            )
        figure.add_scatter(
            x=k,
            y=[r["score"] for r in own],
            mode="lines+markers",
            name="mean of the four",
            line={"color": COLORS[0], "width": 3},
            marker={"size": [15 if r["is_chosen"] else 6 for r in own], "color": COLORS[0]},
            error_y={"array": [r["score_se"] for r in own], "thickness": 1, "width": 0, "color": SOFT},
            hovertemplate="%{x} segments: mean %{y:.2f}<extra></extra>",
        )
        owners += [method] * (len(_CRITERIA) + 1)
    if len(methods) > 1:
        choose_by_menu(figure, methods, [[owner == method for owner in owners] for method in methods])
    figure.update_layout(legend={"y": -0.22, "yanchor": "top"})
    figure.update_xaxes(title="segments", dtick=1)
    figure.update_yaxes(title="worst to best", range=[-0.06, 1.12], tickvals=[0, 0.5, 1])
    chosen = {r["method"]: r for r in rows if r["is_chosen"]}
    title = say_choice({name: r["k"] for name, r in chosen.items()})
    table = [
        (
            r["method"],
            f"{r['k']}{' (taken)' if r['is_chosen'] else ''}",
            say_score(r["silhouette"]),
            say_number(r["elbow"]),
            say_integer(round(r["bic"])),
            say_score(r["stability"]),
            say_score(r["score"]),
        )
        for r in rows
    ]
    return finish(
        figure,
        title=title,
        about=CHOICE_ABOUT,
        height=420,
        min_width=380,
        table=(("method", "segments", *_CRITERIA, "mean"), table),
    )


def _scale(values: Sequence[float]) -> list[float]:
    low, high = min(values), max(values)
    return [(value - low) / max(high - low, 1e-12) for value in values]


def draw_numbers(numbers: pa.Table) -> Figure:
    """What each number of segments explains of later time."""
    rows: list[dict[str, Any]] = numbers.to_pylist()
    figure = go.Figure(
        go.Scatter(
            x=[r["k"] for r in rows],
            y=[r["explained_p"] for r in rows],
            mode="lines+markers",
            line={"color": COLORS[0], "width": 2.5},
            marker={"size": [15 if r["is_chosen"] else 7 for r in rows], "color": COLORS[0]},
            error_y={"array": [r["below_best_se"] for r in rows], "thickness": 1, "width": 0, "color": SOFT},
            hovertemplate="%{x} segments explain %{y:.1%}<extra></extra>",
        )
    )
    figure.update_xaxes(title="segments", dtick=1, tickfont={"color": INK})
    figure.update_yaxes(title="explained of later time", tickformat=".0%")
    title = say_numbers(rows)
    table = [(f"{r['k']}{' (taken)' if r['is_chosen'] else ''}", say_share(max(r["explained_p"], 0.0))) for r in rows]
    return finish(
        figure, title=title, about=NUMBERS_ABOUT, height=340, min_width=340, table=(("segments", "explained"), table)
    )
