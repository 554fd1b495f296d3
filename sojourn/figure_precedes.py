"""The figure of what comes before moves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sojourn.figure_style import LINE, NEW_COLOR, choose_by_menu, draw_nothing, finish, palette_of, plain
from sojourn.wording import say_number, say_share, say_times

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Row = dict[str, Any]
Colors = Mapping[str, str]

MAX_PRECURSORS = 14
SURE_Q = 0.05
PRECEDES_ABOUT = (
    "How much more often an event came in the 24 hours before a move than at other moments of customers in the same "
    "state with about as much activity. Right of the line: more often; bars are 95\u00a0% intervals, and bars that "
    "touch the line may be chance. Diamonds are our own messages. This shows what goes with a move, not what causes it."
)


def find_signals(precedes: pa.Table, *, more: bool | None = None) -> list[Row]:
    """Rows whose relation is surer than chance (q under 5 %), the least likely chance first, then the largest."""
    rows = [r for r in precedes.to_pylist() if r["q"] is not None and r["q"] < SURE_Q]
    if more is not None:
        rows = [r for r in rows if (r["lift"] > 1) == more]
    return sorted(rows, key=lambda r: (-_surety(r), r["q"]))


def _surety(r: Row) -> float:
    """How far the nearer end of the interval is from "as often", in logarithms: large and sure comes first."""
    return max(math.log(max(r["low"], 1e-9)), -math.log(max(r["high"], 1e-9)))


def draw_precedes(precedes: pa.Table, colors: Colors) -> Figure:
    """What comes before moves more or less often than at other times: dots with intervals, a menu of moves."""
    import plotly.graph_objects as go

    rows = [r for r in precedes.to_pylist() if r["low"] is not None and r["lift"] is not None]
    if not rows:
        return draw_nothing("There are too few moves yet to say what comes before them.", PRECEDES_ABOUT)
    signals = find_signals(precedes)
    pairs: dict[tuple[str, str], list[Row]] = {}
    for r in rows:
        pairs.setdefault((r["from_state"], r["to_state"]), []).append(r)
    by_size = sorted(pairs, key=lambda pair: -max(r["n_moves"] for r in pairs[pair]))[:30]
    groups = [("the clearest of all moves", sorted(rows, key=_surety, reverse=True)[:MAX_PRECURSORS], True)]
    groups += [
        (f"{a} → {b}", sorted(pairs[a, b], key=_surety, reverse=True)[:MAX_PRECURSORS], False) for a, b in by_size
    ]
    figure = go.Figure()
    axes = []
    for _, group, is_mixed in groups:
        shown = group[::-1]
        figure.add_trace(_precursor_dots(shown, colors))
        labels = [_precursor_label(r, is_mixed) for r in shown]
        axes.append({"tickvals": list(range(len(shown))), "ticktext": labels, "range": [-0.7, len(shown) - 0.3]})
    visible = [[i == k for i in range(len(groups))] for k in range(len(groups))]
    keys = ("tickvals", "ticktext", "range")
    choose_by_menu(
        figure, [label for label, *_ in groups], visible, **{f"yaxis.{k}": [a[k] for a in axes] for k in keys}
    )
    figure.add_vline(x=1, line={"color": "rgba(120,130,145,0.8)", "width": 1})
    drawn = [r for _, group, _ in groups for r in group]
    low = min(max(min(r["low"], r["lift"]), 0.05) for r in drawn)
    high = max(min(r["high"], 50.0) for r in drawn)
    ticks = [t for t in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if low * 0.8 <= t <= high * 1.25]
    figure.update_xaxes(type="log", range=[math.log10(min(low * 0.9, 0.7)), math.log10(max(high * 1.1, 1.5))],
                        tickvals=ticks, ticktext=[f"{t:g}×" for t in ticks],
                        title_text="how often, compared with other times (1× = as often)")  # fmt: skip
    figure.update_yaxes(**axes[0], gridcolor=LINE)
    figure.update_layout(showlegend=False)
    table = [
        (f"{r['from_state']} → {r['to_state']}", r["event_class"], say_share(r["share_p"]), say_share(r["base_p"]),
         f"{say_number(r['lift'])} ({say_number(r['low'])} to {say_number(r['high'])})")
        for r in signals[:40]
    ]  # fmt: skip
    height = 120 + 40 * max(len(group) for _, group, _ in groups)
    columns = ("move", "event", "before the move", "at other times", "ratio (95\u00a0%)")
    return finish(figure, title=_precursor_finding(signals), about=PRECEDES_ABOUT, height=height, min_width=430,
                  table=(columns, table))  # fmt: skip


def _precursor_label(r: Row, is_mixed: bool) -> str:
    if not is_mixed:
        return plain(r["event_class"], 22)
    move = f"{plain(r['from_state'], 13)} → {plain(r['to_state'], 13)}"
    return f'{plain(r["event_class"], 22)}<br><span style="font-size:10px">{move}</span>'


def _precursor_finding(signals: list[Row]) -> str:
    if not signals:
        return "No event comes before a move clearly more or less often than at other times."
    r = next((s for s in signals if s["lift"] > 1), signals[0])
    often = f"{r['event_class']} comes {say_times(r['lift'])}"
    interval = f"95\u00a0% interval {say_number(r['low'])} to {say_number(r['high'])}"
    return f"Before a move from {r['from_state']} to {r['to_state']}, {often} as at other times ({interval})."


def _precursor_dots(rows: list[Row], colors: Colors) -> Any:
    import plotly.graph_objects as go

    shown = [max(r["lift"], 0.05) for r in rows]
    is_sure = [r["q"] is not None and r["q"] < SURE_Q for r in rows]
    color = [palette_of(colors, r["to_state"]) if sure else NEW_COLOR for r, sure in zip(rows, is_sure, strict=True)]
    return go.Scatter(
        x=shown,
        y=list(range(len(rows))),
        mode="markers",
        marker={
            "size": 11,
            "color": color,
            "symbol": ["diamond" if r["is_touch"] else "circle" for r in rows],
        },
        error_x={
            "array": [max(r["high"] - x, 0) for r, x in zip(rows, shown, strict=True)],
            "arrayminus": [max(x - max(r["low"], 0.02), 0) for r, x in zip(rows, shown, strict=True)],
            "thickness": 1.6,
            "width": 0,
            "color": "rgba(120,130,145,0.75)",
        },
        customdata=[_say_precursor(r, sure) for r, sure in zip(rows, is_sure, strict=True)],
        hovertemplate="%{customdata}<extra></extra>",
    )


def _say_precursor(r: Row, is_sure: bool) -> str:
    touch = " (a message of ours)" if r["is_touch"] else ""
    move = f"from {plain(r['from_state'])} to {plain(r['to_state'])}"
    return (
        f"{plain(r['event_class'])}{touch} came before {say_share(r['share_p'])} of the {r['n_moves']:,} moves<br>"
        f"{move}, and before {say_share(r['base_p'])} of other moments<br>"
        f"{say_times(r['lift'])}, 95\u00a0% interval {say_number(r['low'])} to {say_number(r['high'])}"
        + ("" if is_sure else "<br>this may be chance")
    )
