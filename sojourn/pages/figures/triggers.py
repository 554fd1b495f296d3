"""The figure of what sets moves off, and its sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from sojourn.pages.figures.forest import Dot, draw_forest
from sojourn.pages.figures.style import NEW_COLOR, draw_nothing, finish, palette_of
from sojourn.pages.words import (
    Colors,
    Row,
    find_signals,
    find_sure_triggers,
    is_sure,
    measure_surety,
    plain,
    say_estimate,
    say_integer,
    say_share,
)
from sojourn.pages.words.figures import (
    KINDS,
    PRECEDES_ABOUT,
    PRECEDES_MISSING,
    TRIGGERS_ABOUT,
    TRIGGERS_MISSING,
    say_finding,
    say_precursor,
    say_precursor_finding,
    say_trigger_hover,
)

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


MOST_SHOWN = 14
MOST_MOVES = 20


def draw_triggers(triggers: pa.Table, colors: Colors) -> Figure:
    """Hazard ratios with intervals as a forest of dots: touches, own events, the rest, and a menu of moves."""
    rows = sorted((r for r in triggers.to_pylist() if r["hazard_ratio"] is not None), key=measure_surety, reverse=True)
    if not rows:
        return draw_nothing(TRIGGERS_MISSING, TRIGGERS_ABOUT)
    groups = _group(rows)
    dots = [(label, [_dot(r, colors, is_mixed) for r in group[::-1]]) for label, group, is_mixed in groups]
    figure, height = draw_forest(dots, "times as likely (1× = no difference)", row_height=40)
    sure = find_sure_triggers(triggers)
    table = [
        (
            f"{r['from_state']} → {r['to_state']}",
            r["covariate"],
            KINDS[r["kind"]],
            say_estimate(r["hazard_ratio"], r["low"], r["high"]),
            f"{say_integer(r['n_exposed'])} of {say_integer(r['n_moves'])}",
        )
        for r in sure[:40]
    ]
    columns = ("move", "what", "kind", "ratio (95\u00a0%)", "moves that had it")
    return finish(
        figure, title=say_finding(triggers), about=TRIGGERS_ABOUT, height=height, min_width=430, table=(columns, table)
    )


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


def _label(r: Row, is_mixed: bool) -> str:
    if not is_mixed:
        return plain(r["covariate"], 34)
    move = f"{plain(r['from_state'], 13)} → {plain(r['to_state'], 13)}"
    return f'{plain(r["covariate"], 34)}<br><span style="font-size:10px">{move}</span>'


def _dot(r: Row, colors: Colors, is_mixed: bool) -> Dot:
    color = palette_of(colors, r["to_state"]) if is_sure(r) else NEW_COLOR
    label = _label(r, is_mixed)
    return Dot(r["hazard_ratio"], r["low"], r["high"], label, say_trigger_hover(r), color, r["kind"] == "touch")


MAX_PRECURSORS = 14


def draw_precedes(precedes: pa.Table, colors: Colors) -> Figure:
    """What comes before moves more or less often than at other times: dots with intervals, a menu of moves."""
    rows = [r for r in precedes.to_pylist() if r["low"] is not None and r["lift"] is not None]
    if not rows:
        return draw_nothing(PRECEDES_MISSING, PRECEDES_ABOUT)
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
        (
            f"{r['from_state']} → {r['to_state']}",
            r["event_class"],
            say_share(r["share_p"]),
            say_share(r["base_p"]),
            say_estimate(r["lift"], r["low"], r["high"]),
        )
        for r in signals[:40]
    ]
    columns = ("move", "event", "before the move", "at other times", "ratio (95\u00a0%)")
    return finish(
        figure,
        title=say_precursor_finding(signals),
        about=PRECEDES_ABOUT,
        height=height,
        min_width=430,
        table=(columns, table),
    )


def _precursor_label(r: Row, is_mixed: bool) -> str:
    if not is_mixed:
        return plain(r["event_class"], 22)
    move = f"{plain(r['from_state'], 13)} → {plain(r['to_state'], 13)}"
    return f'{plain(r["event_class"], 22)}<br><span style="font-size:10px">{move}</span>'


def _precursor_dot(r: Row, colors: Colors, is_mixed: bool) -> Dot:
    color = palette_of(colors, r["to_state"]) if is_sure(r) else NEW_COLOR
    return Dot(r["lift"], r["low"], r["high"], _precursor_label(r, is_mixed), say_precursor(r), color, r["is_touch"])
