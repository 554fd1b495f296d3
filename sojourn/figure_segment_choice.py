"""Figures of how many segments there are: four criteria side by side, and what each number explains of later time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sojourn.figure_style import COLORS, INK, SOFT, choose_by_menu, finish
from sojourn.wording import say_share

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

CHOICE_ABOUT = (
    "Each criterion from its worst number (0) to its best (1), and their mean, the thick line. Silhouette: how clearly "
    "apart. Elbow: how much the next group tightens them. BIC: how well a mixture fits for its size. Stability: "
    "whether redrawn customers give the same groups. The fewest within one standard error of the best are taken."
)
NUMBERS_ABOUT = (
    "Share of what customers differ in later that so many segments explain, asked of an earlier time; the mean over "
    "what is measured, revenue as its logarithm. Bars are one standard error of the distance to the best. The fewest "
    "within one of it are taken."
)
_CRITERIA = ("silhouette", "elbow", "bic", "stability")


def draw_choice(choice: pa.Table) -> Figure:
    """The four criteria over the number of segments, a menu of the methods that were tried."""
    import plotly.graph_objects as go

    rows = choice.to_pylist()
    methods = list(dict.fromkeys(r["method"] for r in rows))
    figure, owners = go.Figure(), []
    for method in methods:
        own = [r for r in rows if r["method"] == method]
        k = [r["k"] for r in own]
        for i, name in enumerate(_CRITERIA):
            sign = -1 if name == "bic" else 1
            figure.add_scatter(
                x=k, y=_scale([sign * r[name] for r in own]), mode="lines", name=name,
                line={"color": COLORS[(1, 2, 3, 4)[i]], "width": 1.5}, text=[f"{name} {r[name]:,.2f}" for r in own],
                hovertemplate="%{x} segments: %{text}<extra></extra>",
            )  # fmt: skip
        figure.add_scatter(
            x=k, y=[r["score"] for r in own], mode="lines+markers", name="mean of the four",
            line={"color": COLORS[0], "width": 3},
            marker={"size": [15 if r["is_chosen"] else 6 for r in own], "color": COLORS[0]},
            error_y={"array": [r["score_se"] for r in own], "thickness": 1, "width": 0, "color": SOFT},
            hovertemplate="%{x} segments: mean %{y:.2f}<extra></extra>",
        )  # fmt: skip
        owners += [method] * (len(_CRITERIA) + 1)
    if len(methods) > 1:
        choose_by_menu(figure, methods, [[owner == method for owner in owners] for method in methods])
    figure.update_layout(legend={"y": -0.22, "yanchor": "top"})
    figure.update_xaxes(title="segments", dtick=1)
    figure.update_yaxes(title="worst to best", range=[-0.06, 1.12], tickvals=[0, 0.5, 1])
    chosen = {r["method"]: r for r in rows if r["is_chosen"]}
    said = ", ".join(f"{r['k']} by {name}" for name, r in chosen.items())
    title = f"How many segments the customers form: {said}."
    table = [
        (r["method"], f"{r['k']}{' (taken)' if r['is_chosen'] else ''}", f"{r['silhouette']:.2f}", f"{r['elbow']:.3g}",
         f"{r['bic']:,.0f}", f"{r['stability']:.2f}", f"{r['score']:.2f}")
        for r in rows
    ]  # fmt: skip
    return finish(figure, title=title, about=CHOICE_ABOUT, height=420, min_width=380,
                  table=(("method", "segments", *_CRITERIA, "mean"), table))  # fmt: skip


def _scale(values: Sequence[float]) -> list[float]:
    low, high = min(values), max(values)
    return [(value - low) / max(high - low, 1e-12) for value in values]


def draw_numbers(numbers: pa.Table) -> Figure:
    """What each number of segments explains of later time."""
    import plotly.graph_objects as go

    rows: list[dict[str, Any]] = numbers.to_pylist()
    figure = go.Figure(
        go.Scatter(
            x=[r["k"] for r in rows], y=[r["explained_p"] for r in rows], mode="lines+markers",
            line={"color": COLORS[0], "width": 2.5},
            marker={"size": [15 if r["is_chosen"] else 7 for r in rows], "color": COLORS[0]},
            error_y={"array": [r["below_best_se"] for r in rows], "thickness": 1, "width": 0, "color": SOFT},
            hovertemplate="%{x} segments explain %{y:.1%}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(title="segments", dtick=1, tickfont={"color": INK})
    figure.update_yaxes(title="explained of later time", tickformat=".0%")
    best, taken = max(rows, key=lambda r: r["explained_p"]), next(r for r in rows if r["is_chosen"])
    title = f"{taken['k']} segments explain {say_share(taken['explained_p'])} of what came later"
    title += (
        "; no number explains more."
        if best is taken
        else (f"; {best['k']} would explain {say_share(best['explained_p'])}, which may be chance.")
    )
    table = [(f"{r['k']}{' (taken)' if r['is_chosen'] else ''}", say_share(max(r["explained_p"], 0.0))) for r in rows]
    return finish(figure, title=title, about=NUMBERS_ABOUT, height=340, min_width=340,
                  table=(("segments", "explained"), table))  # fmt: skip
