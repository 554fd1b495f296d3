"""The figure of what sets moves off, and its sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sojourn.figure_style import LINE, NEW_COLOR, choose_by_menu, draw_nothing, finish, palette_of, plain
from sojourn.wording import say_number

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Row = dict[str, Any]
Colors = Mapping[str, str]

MOST_SHOWN = 14
MOST_MOVES = 20
SURE_Q = 0.05
SMALLEST, LARGEST = 0.05, 50.0
KINDS = {"touch": "what we sent", "own": "what customers did", "feature": "how busy they were",
         "time": "when it was", "dwell": "time in the state"}  # fmt: skip
TRIGGERS_ABOUT = (
    "How many times as likely a move is when something holds, compared with customers in the same state for whom it "
    "does not; all else shown held equal. After a message of ours: at any moment of its window. For the rest: at the "
    "next thing that the customer does. Right of the line: likelier; bars are 95\u00a0% intervals, and grey ones may "
    "be chance. Diamonds are our own messages, adjusted for who gets them as far as that can be seen. Everything else "
    "is association, not cause."
)


def find_sure_triggers(triggers: pa.Table, *, kind: str | None = None) -> list[Row]:
    """Rows that are surer than chance (q under 5 %), the largest that is certain first."""
    rows = [r for r in triggers.to_pylist() if r["q"] is not None and r["q"] < SURE_Q]
    return sorted((r for r in rows if kind in (None, r["kind"])), key=_surety, reverse=True)


def _surety(r: Row) -> float:
    """How far the nearer end of the interval is from 1, in logarithms."""
    return max(math.log(max(r["low"], 1e-9)), -math.log(max(r["high"], 1e-9)))


def say_trigger(r: Mapping[str, Any]) -> str:
    """One row in a sentence a marketer can read, with what kind of claim it is."""
    interval = f"[{say_number(r['low'])}–{say_number(r['high'])}]"
    times = f"{say_number(r['hazard_ratio'])} {interval} times as likely"
    move = f"{r['from_state']} → {r['to_state']}"
    if r["kind"] == "touch":
        unseen = (
            f"an unseen cause would have to tilt both the message and the move {say_number(r['e_value_limit'])} times"
        )
        return f"{r['covariate']} makes {move} {times} (adjusted for who gets it; {unseen} to explain it)."
    if r["kind"] == "own":
        return f"{r['covariate']} goes with {move}: {times} at the next thing they do (association only)."
    return f"{r['covariate']}: {move} is {times} (association only)."


def draw_triggers(triggers: pa.Table, colors: Colors) -> Figure:
    """Hazard ratios with intervals as a forest of dots: touches, own events, the rest, and a menu of moves."""
    import plotly.graph_objects as go

    rows = sorted((r for r in triggers.to_pylist() if r["hazard_ratio"] is not None), key=_surety, reverse=True)
    if not rows:
        return draw_nothing("There are too few moves yet to say what sets them off.", TRIGGERS_ABOUT)
    groups = _group(rows)
    figure = go.Figure()
    axes = []
    for _, group, is_mixed in groups:
        shown = group[::-1]
        figure.add_trace(_dots(shown, colors))
        labels = [_label(r, is_mixed) for r in shown]
        axes.append({"tickvals": list(range(len(shown))), "ticktext": labels, "range": [-0.7, len(shown) - 0.3]})
    visible = [[i == k for i in range(len(groups))] for k in range(len(groups))]
    keys = ("tickvals", "ticktext", "range")
    choose_by_menu(
        figure, [label for label, *_ in groups], visible, **{f"yaxis.{k}": [a[k] for a in axes] for k in keys}
    )
    figure.add_vline(x=1, line={"color": "rgba(120,130,145,0.8)", "width": 1})
    drawn = [r for _, group, _ in groups for r in group]
    low = max(min(min(r["low"] for r in drawn), 0.7), SMALLEST)
    high = min(max(max(r["high"] for r in drawn), 1.5), LARGEST)
    ticks = [t for t in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if low * 0.8 <= t <= high * 1.25]
    figure.update_xaxes(type="log", range=[math.log10(low * 0.9), math.log10(high * 1.1)], tickvals=ticks,
                        ticktext=[f"{t:g}×" for t in ticks],
                        title_text="times as likely (1× = no difference)")  # fmt: skip
    figure.update_yaxes(**axes[0], gridcolor=LINE)
    figure.update_layout(showlegend=False)
    sure = find_sure_triggers(triggers)
    table = [
        (f"{r['from_state']} → {r['to_state']}", r["covariate"], KINDS[r["kind"]],
         f"{say_number(r['hazard_ratio'])} ({say_number(r['low'])} to {say_number(r['high'])})",
         f"{r['n_exposed']:,} of {r['n_moves']:,}")
        for r in sure[:40]
    ]  # fmt: skip
    columns = ("move", "what", "kind", "ratio (95\u00a0%)", "moves that had it")
    height = 120 + 40 * max(len(group) for _, group, _ in groups)
    return finish(figure, title=_finding(triggers), about=TRIGGERS_ABOUT, height=height, min_width=430,
                  table=(columns, table))  # fmt: skip


def _group(rows: list[Row]) -> list[tuple[str, list[Row], bool]]:
    """The menu: by kind over all moves, then the moves, the most frequent first."""
    kinds = [
        ("our messages, all moves", [r for r in rows if r["kind"] == "touch"]),
        ("what customers do, all moves", [r for r in rows if r["kind"] == "own"]),
        ("time, activity and dwell, all moves", [r for r in rows if r["kind"] in ("time", "feature", "dwell")]),
    ]
    groups = [(name, group[:MOST_SHOWN], True) for name, group in kinds if group]
    pairs: dict[tuple[str, str], list[Row]] = {}
    for r in rows:
        pairs.setdefault((r["from_state"], r["to_state"]), []).append(r)
    by_size = sorted(pairs, key=lambda pair: -max(r["n_moves"] for r in pairs[pair]))[:MOST_MOVES]
    return groups + [(f"{a} → {b}", pairs[a, b][:MOST_SHOWN], False) for a, b in by_size]


def _finding(triggers: pa.Table) -> str:
    touches = find_sure_triggers(triggers, kind="touch")
    if touches:
        return say_trigger(touches[0]).split(" (")[0].rstrip(".") + "."
    own = [r for r in find_sure_triggers(triggers, kind="own") if r["hazard_ratio"] > 1]
    if own:
        return say_trigger(own[0]).split(" (")[0].rstrip(".") + "."
    return "Nothing sets a move off more clearly than chance would."


def _label(r: Row, is_mixed: bool) -> str:
    if not is_mixed:
        return plain(r["covariate"], 34)
    move = f"{plain(r['from_state'], 13)} → {plain(r['to_state'], 13)}"
    return f'{plain(r["covariate"], 34)}<br><span style="font-size:10px">{move}</span>'


def _dots(rows: list[Row], colors: Colors) -> Any:
    import plotly.graph_objects as go

    shown = [min(max(r["hazard_ratio"], SMALLEST), LARGEST) for r in rows]
    is_sure = [r["q"] is not None and r["q"] < SURE_Q for r in rows]
    color = [palette_of(colors, r["to_state"]) if sure else NEW_COLOR for r, sure in zip(rows, is_sure, strict=True)]
    return go.Scatter(
        x=shown,
        y=list(range(len(rows))),
        mode="markers",
        marker={"size": 11, "color": color, "symbol": ["diamond" if r["kind"] == "touch" else "circle" for r in rows]},
        error_x={
            "array": [max(min(r["high"], 2 * LARGEST) - x, 0) for r, x in zip(rows, shown, strict=True)],
            "arrayminus": [max(x - max(r["low"], 0.02), 0) for r, x in zip(rows, shown, strict=True)],
            "thickness": 1.6,
            "width": 0,
            "color": "rgba(120,130,145,0.75)",
        },
        customdata=[_say_hover(r, sure) for r, sure in zip(rows, is_sure, strict=True)],
        hovertemplate="%{customdata}<extra></extra>",
    )


def _say_hover(r: Row, is_sure: bool) -> str:
    claim = "adjusted for who gets it" if r["is_adjusted"] else "association only"
    counts = f"{r['n_exposed']:,} of " if r["kind"] in ("touch", "own", "time") else ""
    return (
        f"{plain(r['covariate'])}: {plain(r['from_state'])} → {plain(r['to_state'])}<br>"
        f"{say_number(r['hazard_ratio'])} times as likely, 95\u00a0% interval {say_number(r['low'])} to "
        f"{say_number(r['high'])}<br>{counts}{r['n_moves']:,} moves; {claim}" + ("" if is_sure else "<br>may be chance")
    )
