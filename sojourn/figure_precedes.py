"""The figure of what comes before moves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sojourn.figure_forest import Dot, draw_forest, is_sure, measure_surety
from sojourn.figure_style import NEW_COLOR, draw_nothing, finish, palette_of, plain
from sojourn.wording import say_number, say_share, say_times

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Row = dict[str, Any]
Colors = Mapping[str, str]

MAX_PRECURSORS = 14
PRECEDES_ABOUT = (
    "How much more often an event came in the 24 hours before a move than at other moments of customers in the same "
    "state with about as much activity. Right of the line: more often; bars are 95\u00a0% intervals, and bars that "
    "touch the line may be chance. Diamonds are our own messages. This shows what goes with a move, not what causes it."
)


def find_signals(precedes: pa.Table, *, more: bool | None = None) -> list[Row]:
    """Rows whose relation is surer than chance (q under 5 %), the least likely chance first, then the largest."""
    rows = [r for r in precedes.to_pylist() if is_sure(r)]
    if more is not None:
        rows = [r for r in rows if (r["lift"] > 1) == more]
    return sorted(rows, key=lambda r: (-measure_surety(r), r["q"]))


def draw_precedes(precedes: pa.Table, colors: Colors) -> Figure:
    """What comes before moves more or less often than at other times: dots with intervals, a menu of moves."""
    rows = [r for r in precedes.to_pylist() if r["low"] is not None and r["lift"] is not None]
    if not rows:
        return draw_nothing("There are too few moves yet to say what comes before them.", PRECEDES_ABOUT)
    signals = find_signals(precedes)
    pairs: dict[tuple[str, str], list[Row]] = {}
    for r in rows:
        pairs.setdefault((r["from_state"], r["to_state"]), []).append(r)
    by_size = sorted(pairs, key=lambda pair: -max(r["n_moves"] for r in pairs[pair]))[:30]
    clearest = sorted(rows, key=measure_surety, reverse=True)[:MAX_PRECURSORS]
    groups = [("the clearest of all moves", clearest, True)]
    groups += [
        (f"{a} → {b}", sorted(pairs[a, b], key=measure_surety, reverse=True)[:MAX_PRECURSORS], False)
        for a, b in by_size
    ]
    dots = [(label, [_dot(r, colors, is_mixed) for r in group[::-1]]) for label, group, is_mixed in groups]
    figure, height = draw_forest(dots, "how often, compared with other times (1× = as often)", row_height=40)
    table = [
        (f"{r['from_state']} → {r['to_state']}", r["event_class"], say_share(r["share_p"]), say_share(r["base_p"]),
         f"{say_number(r['lift'])} ({say_number(r['low'])} to {say_number(r['high'])})")
        for r in signals[:40]
    ]  # fmt: skip
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


def _dot(r: Row, colors: Colors, is_mixed: bool) -> Dot:
    color = palette_of(colors, r["to_state"]) if is_sure(r) else NEW_COLOR
    return Dot(r["lift"], r["low"], r["high"], _precursor_label(r, is_mixed), _say_precursor(r), color, r["is_touch"])


def _say_precursor(r: Row) -> str:
    touch = " (a message of ours)" if r["is_touch"] else ""
    move = f"from {plain(r['from_state'])} to {plain(r['to_state'])}"
    return (
        f"{plain(r['event_class'])}{touch} came before {say_share(r['share_p'])} of the {r['n_moves']:,} moves<br>"
        f"{move}, and before {say_share(r['base_p'])} of other moments<br>"
        f"{say_times(r['lift'])}, 95\u00a0% interval {say_number(r['low'])} to {say_number(r['high'])}"
        + ("" if is_sure(r) else "<br>this may be chance")
    )
