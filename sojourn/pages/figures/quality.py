"""Figures of trust: hysteresis against delay, the fit's progress, what became of the rows that were read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from sojourn.frames import OTHER
from sojourn.pages.figures.style import COLORS, NEW_COLOR, draw_nothing, duration_axis, finish
from sojourn.pages.words import plain, say_amount, say_count, say_integer, say_share
from sojourn.pages.words.figures import (
    CLASSES_ABOUT,
    CLASSES_MISSING,
    FIT_ABOUT,
    FIT_MISSING,
    HYSTERESIS_ABOUT,
    HYSTERESIS_MISSING,
    ROWS_ABOUT,
    ROWS_MISSING,
    say_chosen,
    say_classes,
    say_fit,
    say_point,
    say_rows,
)

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Row = Mapping[str, Any]


MAX_CLASSES = 30


def draw_tradeoff(points: Sequence[Row], budget: float) -> Figure:
    """Flaps per customer and month against detection delay, for all thresholds tried; the chosen one marked."""
    points = [p for p in points if p["delay_s"] is not None and p["flaps_per_month"] is not None]
    if not points:
        return draw_nothing(HYSTERESIS_MISSING, HYSTERESIS_ABOUT)
    ordered = sorted(points, key=lambda p: (p["delay_s"], p["flaps_per_month"]))
    frontier: list[Row] = []
    for p in ordered:
        if not frontier or p["flaps_per_month"] < frontier[-1]["flaps_per_month"]:
            frontier.append(p)
    floor = max(min((p["delay_s"] for p in points if p["delay_s"] > 0), default=60.0) / 2, 1.0)

    def x(p: Row) -> float:
        return float(max(p["delay_s"], floor))

    chosen = [p for p in points if p.get("is_chosen")]
    figure = go.Figure()
    figure.add_scatter(
        x=[x(p) for p in ordered],
        y=[p["flaps_per_month"] for p in ordered],
        mode="markers",
        marker={"size": 7, "color": NEW_COLOR, "opacity": 0.7},
        customdata=[say_point(p) for p in ordered],
        hovertemplate="%{customdata}<extra></extra>",
        name="thresholds tried",
    )
    figure.add_scatter(
        x=[x(p) for p in frontier],
        y=[p["flaps_per_month"] for p in frontier],
        mode="lines",
        line={"color": COLORS[0], "width": 2, "shape": "hv"},
        hoverinfo="skip",
        name="best that can be had",
    )
    figure.add_scatter(
        x=[x(p) for p in chosen],
        y=[p["flaps_per_month"] for p in chosen],
        mode="markers",
        name="chosen",
        marker={"size": 16, "color": COLORS[1], "line": {"width": 2, "color": COLORS[5]}},
        customdata=[say_point(p) for p in chosen],
        hovertemplate="%{customdata}<extra></extra>",
    )
    figure.add_hline(
        y=budget,
        line={"color": COLORS[2], "width": 1, "dash": "dot"},
        annotation_text="budget",
        annotation_position="top right",
        annotation_font_size=12,
    )
    figure.update_xaxes(
        **duration_axis(floor * 0.8, max(x(p) for p in points) * 1.3), title_text="delay until a change is published"
    )
    figure.update_yaxes(rangemode="tozero", title_text="flaps per customer and month")
    title = say_chosen(chosen, budget)
    return finish(figure, title=title, about=HYSTERESIS_ABOUT, height=380)


def draw_likelihood(likelihood: Sequence[float]) -> Figure:
    """Log-likelihood of the data after each round of the fit."""
    if not likelihood:
        return draw_nothing(FIT_MISSING, FIT_ABOUT)
    rounds = list(range(len(likelihood)))
    figure = go.Figure(
        go.Scatter(
            x=rounds,
            y=list(likelihood),
            mode="lines+markers",
            line={"color": COLORS[0], "width": 2},
            marker={"size": 5},
            customdata=[f"after round {i}: {say_amount(value)}" for i, value in zip(rounds, likelihood, strict=True)],
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    figure.update_xaxes(title_text="round")
    figure.update_yaxes(title_text="log-likelihood", tickformat="~s")
    return finish(figure, title=say_fit(likelihood), about=FIT_ABOUT, height=300)


def draw_rows(run: Row) -> Figure:
    """Rows accepted, duplicate and quarantined, and the quarantined ones by rule."""
    rows, rules = run["rows"], run.get("quarantined_by_rule") or {}
    read = rows["read"]
    if not read:
        return draw_nothing(ROWS_MISSING, ROWS_ABOUT)
    parts = [
        ("accepted", rows["accepted"], COLORS[0]),
        ("duplicate", rows["duplicate"], COLORS[6]),
        ("quarantined", rows["quarantined"], COLORS[2]),
    ]
    parts += [(f"  quarantined: {rule}", n, COLORS[11]) for rule, n in sorted(rules.items(), key=lambda item: -item[1])]
    names = [plain(name, 34) for name, *_ in parts]
    figure = go.Figure(
        go.Bar(
            x=[n for _, n, _ in parts],
            y=list(range(len(parts))),
            orientation="h",
            marker={"color": [color for *_, color in parts], "cornerradius": 3},
            text=[f"{say_integer(n)} · {say_share(n / read)}" for _, n, _ in parts],
            textposition="outside",
            cliponaxis=False,
            customdata=[f"{say_count(n, 'row')} of {say_integer(read)} {plain(name).strip()}" for name, n, _ in parts],
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    figure.update_xaxes(visible=False, range=[0, read * 1.35])
    figure.update_yaxes(tickvals=list(range(len(parts))), ticktext=names, autorange="reversed", showgrid=False)
    title = say_rows(rows["accepted"], read)
    table = [(name.strip(), say_integer(n), say_share(n / read)) for name, n, _ in parts]
    return finish(
        figure, title=title, about=ROWS_ABOUT, height=60 + 32 * len(parts), table=(("rows", "number", "share"), table)
    )


def draw_event_classes(classes: Sequence[Row]) -> Figure:
    """Rows per event class, the most frequent first."""
    ranked = sorted(classes, key=lambda c: -c["n_rows"])
    total = sum(c["n_rows"] for c in ranked)
    if not total:
        return draw_nothing(CLASSES_MISSING, CLASSES_ABOUT)
    shown, rest = ranked[:MAX_CLASSES], ranked[MAX_CLASSES:]
    names = [plain(c["event_class"], 26) for c in shown]
    figure = go.Figure(
        go.Bar(
            x=[c["n_rows"] for c in shown],
            y=list(range(len(shown))),
            orientation="h",
            marker={"color": [NEW_COLOR if c["event_class"] == OTHER else COLORS[0] for c in shown], "cornerradius": 3},
            text=[say_integer(c["n_rows"]) for c in shown],
            textposition="outside",
            cliponaxis=False,
            customdata=[
                f"{plain(c['event_class'])}: {say_count(c['n_rows'], 'row')} ({say_share(c['n_rows'] / total)})<br>"
                f"{say_count(c.get('n_customers') or 0, 'customer')}, {say_count(c.get('n_sessions') or 0, 'session')}"
                for c in shown
            ],
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    figure.update_xaxes(visible=False, range=[0, shown[0]["n_rows"] * 1.25])
    figure.update_yaxes(tickvals=list(range(len(shown))), ticktext=names, autorange="reversed", showgrid=False)
    title = say_classes(shown[0], total, len(rest))
    return finish(figure, title=title, about=CLASSES_ABOUT, height=50 + 26 * len(shown))
