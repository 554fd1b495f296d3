"""The figure of segment by state in the report of a run, and its sentences."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sojourn.figure_style import INK, LESS, choose_by_menu, draw_nothing, finish, plain
from sojourn.wording import say_count, say_number, say_share

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Row = dict[str, Any]

HYBRID_ABOUT = (
    "Rows say who a customer is: their life cycle, or in the menu their value (RFM: how recent, how often, how much). "
    "Columns say what they are up to now. Each row adds up to 100\u00a0%. Hover for counts and for the share among all."
)
_FEWEST = 10
_SURE = 3.0  # adjusted residuals beyond this are not chance, among a hundred cells
NOTHING = "No state holds more of one segment than chance would."
_MENU = {"lifecycle": "Life cycle", "value": "Value (RFM)"}


def find_telling_cells(hybrid: pa.Table, segmentation: str) -> list[Row]:
    """The cells that hold more customers, beyond chance, than segments and states make one expect; surest first.

    Judged by adjusted residuals. Source: Haberman 1973, doi:10.2307/2529686.
    """
    rows = [r for r in hybrid.to_pylist() if r["segmentation"] == segmentation and r["state"] is not None]
    n = sum(r["n_customers"] for r in rows)
    found = []
    for r in rows:
        if r["n_customers"] >= _FEWEST and r["ratio"] > 1 and r["share_p"] > 0:
            expected, of_all = r["n_customers"] / r["ratio"], r["n_customers"] / r["share_p"] / n
            spread = expected * (1 - of_all) * (1 - r["share_all_p"])
            residual = (r["n_customers"] - expected) / sqrt(spread) if spread > 0 else 0.0
            if residual > _SURE:
                found.append((residual, r))
    return [r for _, r in sorted(found, key=lambda pair: -pair[0])]


def say_cell(r: Row) -> str:
    """One cell in a sentence."""
    return (
        f"In “{r['segment']}” {say_share(r['share_p'])} of the customers are in {r['state']} now "
        f"({r['n_customers']:,}); of all customers it is {say_share(r['share_all_p'])}."
    )


def say_hybrid(hybrid: pa.Table, most: int = 3) -> list[str]:
    """The most telling cells of both segmentations, or why there are none."""
    why = [r["why_not"] for r in hybrid.to_pylist() if r["why_not"]]
    if why:
        return [f"Not told: {why[0]}."]
    said = [say_cell(r) for name in _MENU for r in find_telling_cells(hybrid, name)[:most]]
    return list(dict.fromkeys(said)) or [NOTHING]  # who has not bought yet is in both


def draw_hybrid(hybrid: pa.Table, states: Sequence[str]) -> Figure:
    """Share of each segment in each state, a menu of the two segmentations."""
    import plotly.graph_objects as go

    rows = [r for r in hybrid.to_pylist() if r["state"] is not None]
    if not rows:
        why = next((r["why_not"] for r in hybrid.to_pylist() if r["why_not"]), "there are no customers")
        return draw_nothing(f"There are no segments: {why}.", HYBRID_ABOUT)
    kinds = [name for name in _MENU if any(r["segmentation"] == name for r in rows)]
    shown = [name for name in states if any(r["state"] == name for r in rows)]
    figure, axes, most = go.Figure(), list[Row](), 1
    for kind in kinds:
        cells = {(r["segment"], r["state"]): r for r in rows if r["segmentation"] == kind}
        segments = list(dict.fromkeys(segment for segment, _ in cells))
        grid = [[cells.get((segment, state)) for state in shown] for segment in segments]
        sizes = [sum(r["n_customers"] for r in line if r) for line in grid]
        figure.add_heatmap(
            z=[[r["share_p"] if r else 0.0 for r in line] for line in grid],
            x=[plain(state, 18) for state in shown], y=list(range(len(segments))),
            text=[[say_share(r["share_p"]) if r else "" for r in line] for line in grid], texttemplate="%{text}",
            customdata=[[_say_hover(r) if r else "" for r in line] for line in grid],
            hovertemplate="%{customdata}<extra></extra>", zmin=0, zmax=1, xgap=3, ygap=2, showscale=False,
            colorscale=[[0, f"rgba({LESS},0.03)"], [1, f"rgba({LESS},0.75)"]],
        )  # fmt: skip
        most = max(most, len(segments))
        labels = [f"{plain(name, 24)} ({n:,})" for name, n in zip(segments, sizes, strict=True)]
        axes.append({"tickvals": list(range(len(segments))), "ticktext": labels, "range": [len(segments) - 0.5, -0.5]})
    visible = [[i == k for i in range(len(kinds))] for k in range(len(kinds))]
    keys = ("tickvals", "ticktext", "range")
    choose_by_menu(
        figure, [_MENU[kind] for kind in kinds], visible, **{f"yaxis.{k}": [a[k] for a in axes] for k in keys}
    )
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(**axes[0], showgrid=False, tickfont={"color": INK})
    telling = [r for kind in kinds for r in find_telling_cells(hybrid, kind)[:1]]
    title = say_cell(telling[0]) if telling else NOTHING
    table = [
        (_MENU[r["segmentation"]], r["segment"], r["state"], f"{r['n_customers']:,}", say_share(r["share_p"]),
         say_number(r["ratio"]))
        for r in rows
    ]  # fmt: skip
    columns = ("segmentation", "segment", "state", "customers", "share of the segment", "times as among all")
    height = 130 + 34 * most
    return finish(figure, title=title, about=HYBRID_ABOUT, height=height, min_width=92 * len(shown) + 210,
                  table=(columns, table))  # fmt: skip


def _say_hover(r: Row) -> str:
    return (
        f"<b>{plain(r['segment'])}, {plain(r['state'])}</b><br>{say_count(r['n_customers'], 'customer')}, "
        f"{say_share(r['share_p'])} of the segment<br>{say_share(r['share_all_p'])} among all"
    )
