"""The figure of what sets moves off, and its sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from sojourn.pages.figures.forest import Dot, draw_forest
from sojourn.pages.figures.style import NEW_COLOR, draw_nothing, finish, palette_of, plain
from sojourn.pages.words.numbers import is_sure, measure_surety, say_number, say_share, say_times
from sojourn.pages.words.transitions import find_signals, find_sure_triggers, say_trigger_briefly
from sojourn.pages.words.types import Colors, Row

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


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
        return say_trigger_briefly(touches[0]) + "."
    own = [r for r in find_sure_triggers(triggers, kind="own") if r["hazard_ratio"] > 1]
    if own:
        return say_trigger_briefly(own[0]) + "."
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


MAX_PRECURSORS = 14
PRECEDES_ABOUT = (
    "How much more often an event came in the 24 hours before a move than at other moments of customers in the same "
    "state with about as much activity. Right of the line: more often; bars are 95\u00a0% intervals, and bars that "
    "touch the line may be chance. Diamonds are our own messages. This shows what goes with a move, not what causes it."
)


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
    dots = [(label, [_precursor_dot(r, colors, is_mixed) for r in group[::-1]]) for label, group, is_mixed in groups]
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


def _precursor_dot(r: Row, colors: Colors, is_mixed: bool) -> Dot:
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
