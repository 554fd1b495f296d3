"""The figure of what sets moves off, and its sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sojourn.figure_forest import Dot, draw_forest, is_sure, measure_surety
from sojourn.figure_style import NEW_COLOR, draw_nothing, finish, palette_of, plain
from sojourn.wording import say_number

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Row = dict[str, Any]
Colors = Mapping[str, str]

MOST_SHOWN = 14
MOST_MOVES = 20
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
    rows = [r for r in triggers.to_pylist() if is_sure(r)]
    return sorted((r for r in rows if kind in (None, r["kind"])), key=measure_surety, reverse=True)


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
    rows = sorted((r for r in triggers.to_pylist() if r["hazard_ratio"] is not None), key=measure_surety, reverse=True)
    if not rows:
        return draw_nothing("There are too few moves yet to say what sets them off.", TRIGGERS_ABOUT)
    groups = _group(rows)
    dots = [(label, [_dot(r, colors, is_mixed) for r in group[::-1]]) for label, group, is_mixed in groups]
    figure, height = draw_forest(dots, "times as likely (1× = no difference)", row_height=40)
    sure = find_sure_triggers(triggers)
    table = [
        (f"{r['from_state']} → {r['to_state']}", r["covariate"], KINDS[r["kind"]],
         f"{say_number(r['hazard_ratio'])} ({say_number(r['low'])} to {say_number(r['high'])})",
         f"{r['n_exposed']:,} of {r['n_moves']:,}")
        for r in sure[:40]
    ]  # fmt: skip
    columns = ("move", "what", "kind", "ratio (95\u00a0%)", "moves that had it")
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


def _dot(r: Row, colors: Colors, is_mixed: bool) -> Dot:
    color = palette_of(colors, r["to_state"]) if is_sure(r) else NEW_COLOR
    label = _label(r, is_mixed)
    return Dot(r["hazard_ratio"], r["low"], r["high"], label, _say_hover(r), color, r["kind"] == "touch")


def _say_hover(r: Row) -> str:
    claim = "adjusted for who gets it" if r["is_adjusted"] else "association only"
    counts = f"{r['n_exposed']:,} of " if r["kind"] in ("touch", "own", "time") else ""
    return (
        f"{plain(r['covariate'])}: {plain(r['from_state'])} → {plain(r['to_state'])}<br>"
        f"{say_number(r['hazard_ratio'])} times as likely, 95\u00a0% interval {say_number(r['low'])} to "
        f"{say_number(r['high'])}<br>{counts}{r['n_moves']:,} moves; {claim}"
        + ("" if is_sure(r) else "<br>may be chance")
    )
