"""The figure of velocity to watch: week by week, what targets ask for, and which moves changed their pace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from plotly.subplots import make_subplots

from sojourn.pages.figures.style import SOFT, draw_nothing, fade, finish, palette_of
from sojourn.pages.words import (
    Colors,
    Row,
    find_pace_changes,
    plain,
    say_count,
    say_date,
    say_duration,
    say_pace,
    say_rates,
    say_target,
    say_verdict,
)
from sojourn.pages.words.figures import TRACKED_ABOUT, TRACKED_MISSING, say_tracked
from sojourn.playbook import Target
from sojourn.transitions.velocity import MET, MISSED, OPEN

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


MOST_PANELS = 6
SYMBOLS = {MET: "circle", MISSED: "x", OPEN: "circle-open"}


def draw_tracked(velocity: pa.Table, changes: pa.Table, targets: Sequence[Target], colors: Colors) -> Figure:
    """Small panels of weekly velocity: targets, changes, and the most frequent moves."""
    changed = find_pace_changes(changes)
    panels = _choose_panels(velocity, changed, targets)
    if not panels:
        return draw_nothing(TRACKED_MISSING, TRACKED_ABOUT)
    n_rows = (len(panels) + 1) // 2
    figure = make_subplots(
        rows=n_rows,
        cols=2,
        horizontal_spacing=0.1,
        vertical_spacing=0.3 / n_rows,
        subplot_titles=[_title(pair, target, line) for pair, target, line in panels],
    )
    for i, (pair, target, line) in enumerate(panels):
        place = {"row": i // 2 + 1, "col": i % 2 + 1}
        color = palette_of(colors, pair[1])
        if target is not None:
            _draw_target(figure, line, target, color, place)
        else:
            _draw_rate(figure, line, color, place)
        for r in changed:
            if (r["from_state"], r["to_state"]) == pair:
                figure.add_vline(x=r["week_at"], line={"color": SOFT, "width": 1.5, "dash": "dot"}, **place)
        figure.update_yaxes(rangemode="tozero", nticks=5, **place)
    figure.update_annotations(font={"size": 12.5})
    weeks = [r["week_at"] for _, _, line in panels for r in line]
    figure.update_xaxes(tickformat="%-d %b\n%Y", nticks=5, range=_reach(weeks))
    figure.update_layout(showlegend=False)
    return finish(
        figure,
        title=say_tracked(changed),
        about=TRACKED_ABOUT,
        height=60 + 220 * n_rows,
        min_width=640,
        table=(("week of", "move", "what"), _tabulate(panels)),
    )


Panel = tuple[tuple[str, str], Target | None, list[Row]]


def _choose_panels(velocity: pa.Table, changed: Sequence[Row], targets: Sequence[Target]) -> list[Panel]:
    rows = [r for r in velocity.to_pylist() if r["to_state"] is not None]
    lines: dict[tuple[str, str], list[Row]] = {}
    for r in rows:
        lines.setdefault((r["from_state"], r["to_state"]), []).append(r)
    asked = {(t.from_state, t.to_state): t for t in targets}
    by_count = sorted(lines, key=lambda pair: (-sum(r["n_moves"] for r in lines[pair]), pair))
    order = dict.fromkeys([*asked, *((r["from_state"], r["to_state"]) for r in changed), *by_count])
    panels: list[Panel] = []
    for pair in order:
        target = asked.get(pair)
        line = [r for r in lines.get(pair, []) if (r["verdict"] in SYMBOLS if target else r["rate"] is not None)]
        if target and not line:  # nothing to judge yet: show what there is
            target, line = None, [r for r in lines.get(pair, []) if r["rate"] is not None]
        if line and len(panels) < MOST_PANELS:
            panels.append((pair, target, line))
    return panels


def _title(pair: tuple[str, str], target: Target | None, line: Sequence[Row]) -> str:
    move = f"{plain(pair[0], 22)} → {plain(pair[1], 22)}"
    if target is None:
        return f"{move}: moves of 100 {_unit(line)[0]}"
    if target.median_s is not None:
        return f"{move}: days until half had moved"
    return f"{move}: percent within {say_duration(target.within_s)}"


def _unit(line: Sequence[Row]) -> tuple[str, float]:
    """How the rates of a panel are said, and what they are multiplied with."""
    most = max(r["rate"] for r in line)
    per = say_rates(most)[1]
    return per, 100 / {"a week": 1, "a day": 7, "an hour": 168}[per]


def _draw_target(figure: Figure, line: Sequence[Row], target: Target, color: str, place: Mapping[str, int]) -> None:
    is_median = target.median_s is not None
    names = ("median_s", "low_s", "high_s") if is_median else ("share_p", "share_low_p", "share_high_p")
    factor = 1 / 86_400 if is_median else 100.0
    middle, low, high = ([factor * r[name] for r in line] for name in names)
    asked = target.median_s or target.at_least_p or target.at_most_p or 0.0
    about = [
        f"Begun in the week of {say_date(r['week_at'])}: {say_pace(r, target)}<br>"
        f"{plain(target.name)}: {plain(say_target(target), 150)}: {say_verdict(r['verdict'])}"
        for r in line
    ]
    _draw_line(figure, line, (middle, low, high), [SYMBOLS[r["verdict"]] for r in line], about, color, place)
    figure.add_hline(y=factor * asked, line={"color": SOFT, "width": 1.5, "dash": "dash"}, **place)


def _draw_rate(figure: Figure, line: Sequence[Row], color: str, place: Mapping[str, int]) -> None:
    factor = _unit(line)[1]
    middle, low, high = ([factor * r[name] for r in line] for name in ("rate", "rate_low", "rate_high"))
    about = []
    for r in line:
        (rate, least, most), unit = say_rates(*(r[name] for name in ("rate", "rate_low", "rate_high")))
        about.append(
            f"In the week of {say_date(r['week_at'])}: {rate} of 100 there moved {unit} ({least} to {most}), "
            f"{say_count(r['n_moves'], 'move')}" + ("" if r["is_finished"] else "<br>the week is not over")
        )
    symbols = ["circle" if r["is_finished"] else "circle-open" for r in line]
    _draw_line(figure, line, (middle, low, high), symbols, about, color, place)


def _draw_line(
    figure: Figure,
    line: Sequence[Row],
    numbers: tuple[list[float], list[float], list[float]],
    symbols: Sequence[str],
    about: Sequence[str],
    color: str,
    place: Mapping[str, int],
) -> None:
    weeks = [r["week_at"] for r in line]
    middle, low, high = numbers
    for y, fill in ((low, None), (high, "tonexty")):
        figure.add_scatter(
            x=weeks,
            y=y,
            mode="lines",
            line={"width": 0},
            fill=fill,
            fillcolor=fade(color, 0.16),
            hoverinfo="skip",
            **place,
        )
    figure.add_scatter(
        x=weeks,
        y=middle,
        mode="lines+markers",
        line={"color": color, "width": 2},
        marker={"size": 7, "symbol": list(symbols), "color": color},
        customdata=list(about),
        hovertemplate="%{customdata}<extra></extra>",
        **place,
    )


def _reach(weeks: Sequence[Any]) -> list[Any]:
    return [min(weeks) - timedelta(days=4), max(weeks) + timedelta(days=4)]


def _tabulate(panels: Sequence[Panel]) -> list[list[str]]:
    rows = []
    for (origin, to), target, line in panels:
        for r in line[-8:]:
            if target is not None:
                what = f"{say_pace(r, target)}, {say_verdict(r['verdict'])}"
            else:
                (rate, low, high), per = say_rates(*(r[name] for name in ("rate", "rate_low", "rate_high")))
                what = f"{rate} of 100 {per} ({low} to {high})"
            rows.append([say_date(r["week_at"], year=True), f"{origin} → {to}", what])
    return rows
