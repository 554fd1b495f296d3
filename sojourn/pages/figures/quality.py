"""Figures of trust: calm against delay, the fit's progress, what became of the rows that were read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sojourn.frames.schemas import OTHER
from sojourn.pages.figures.style import COLORS, NEW_COLOR, draw_nothing, duration_axis, finish, plain
from sojourn.pages.words.numbers import say_count, say_duration, say_number, say_share

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Row = Mapping[str, Any]

CALM_ABOUT = (
    "A published state that follows every hint flips back and forth; one that waits is late. Each dot is one setting "
    "of the thresholds, tried on the history: how often customers flip there and back within a day, against how long a "
    "real change goes unpublished. The large dot was chosen: the least delay that keeps to the playbook's budget."
)
FIT_ABOUT = "The fit repeats two steps until the data become no likelier. The curve should level off at its right end."
ROWS_ABOUT = "Every row that was read is one of these three; none is dropped silently."
CLASSES_ABOUT = (
    "How often each event class occurs. Classes without events, or a large “other”, point to gaps in the playbook."
)

MAX_CLASSES = 30


def draw_tradeoff(points: Sequence[Row], budget: float) -> Figure:
    """Flaps per customer and month against detection delay, for all thresholds tried; the chosen one marked."""
    import plotly.graph_objects as go

    points = [p for p in points if p["delay_s"] is not None and p["flaps_per_month"] is not None]
    if not points:
        return draw_nothing("No thresholds were tried.", CALM_ABOUT)
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
        x=[x(p) for p in ordered], y=[p["flaps_per_month"] for p in ordered], mode="markers",
        marker={"size": 7, "color": NEW_COLOR, "opacity": 0.7}, customdata=[_say_point(p) for p in ordered],
        hovertemplate="%{customdata}<extra></extra>", name="thresholds tried",
    )  # fmt: skip
    figure.add_scatter(
        x=[x(p) for p in frontier], y=[p["flaps_per_month"] for p in frontier], mode="lines",
        line={"color": COLORS[0], "width": 2, "shape": "hv"}, hoverinfo="skip", name="best that can be had",
    )  # fmt: skip
    figure.add_scatter(
        x=[x(p) for p in chosen], y=[p["flaps_per_month"] for p in chosen], mode="markers", name="chosen",
        marker={"size": 16, "color": COLORS[1], "line": {"width": 2, "color": COLORS[5]}},
        customdata=[_say_point(p) for p in chosen], hovertemplate="%{customdata}<extra></extra>",
    )  # fmt: skip
    figure.add_hline(y=budget, line={"color": COLORS[2], "width": 1, "dash": "dot"}, annotation_text="budget",
                     annotation_position="top right", annotation_font_size=12)  # fmt: skip
    figure.update_xaxes(
        **duration_axis(floor * 0.8, max(x(p) for p in points) * 1.3), title_text="delay until a change is published"
    )
    figure.update_yaxes(rangemode="tozero", title_text="flaps per customer and month")
    title = "No setting was chosen."
    if chosen:
        p = chosen[0]
        title = (
            f"Published states flap {say_number(p['flaps_per_month'])} times per customer and month and follow "
            f"a change {say_duration(p['delay_s'])} after it; the budget is {say_number(budget)} flaps."
        )
    return finish(figure, title=title, about=CALM_ABOUT, height=380)


def _say_point(p: Row) -> str:
    lines = [f"{say_number(p['flaps_per_month'])} flaps per customer and month, {say_duration(p['delay_s'])} late"]
    names = {"enter": "enter at", "margin": "margin", "exit": "leave under"}
    lines += [f"{words} {p[key]:.2f}" for key, words in names.items() if p.get(key) is not None]
    if p.get("min_dwell_s") is not None:
        lines.append(f"stay at least {say_duration(p['min_dwell_s'])}")
    return "<br>".join(lines)


def draw_likelihood(likelihood: Sequence[float]) -> Figure:
    """Log-likelihood of the data after each round of the fit."""
    import plotly.graph_objects as go

    if not likelihood:
        return draw_nothing("The model was not fitted in this run.", FIT_ABOUT)
    rounds = list(range(len(likelihood)))
    figure = go.Figure(
        go.Scatter(
            x=rounds, y=list(likelihood), mode="lines+markers",
            line={"color": COLORS[0], "width": 2}, marker={"size": 5},
            customdata=[f"after round {i}: {value:,.1f}" for i, value in zip(rounds, likelihood, strict=True)],
            hovertemplate="%{customdata}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(title_text="round")
    figure.update_yaxes(title_text="log-likelihood", tickformat="~s")
    rounds_said = say_count(len(likelihood) - 1, "round")
    gained = likelihood[-1] - likelihood[0]
    late = abs(likelihood[-1] - likelihood[-2]) / max(abs(gained), 1e-12) if len(likelihood) > 1 else 0.0
    settled = "had settled" if late < 0.01 else "was still improving"
    return finish(figure, title=f"After {rounds_said} the fit {settled}.", about=FIT_ABOUT, height=300)


def draw_rows(run: Row) -> Figure:
    """Rows accepted, duplicate and quarantined, and the quarantined ones by rule."""
    import plotly.graph_objects as go

    rows, rules = run["rows"], run.get("quarantined_by_rule") or {}
    read = rows["read"]
    if not read:
        return draw_nothing("No rows were read.", ROWS_ABOUT)
    parts = [("accepted", rows["accepted"], COLORS[0]), ("duplicate", rows["duplicate"], COLORS[6]),
             ("quarantined", rows["quarantined"], COLORS[2])]  # fmt: skip
    parts += [(f"  quarantined: {rule}", n, COLORS[11]) for rule, n in sorted(rules.items(), key=lambda item: -item[1])]
    names = [plain(name, 34) for name, *_ in parts]
    figure = go.Figure(
        go.Bar(
            x=[n for _, n, _ in parts], y=list(range(len(parts))), orientation="h",
            marker={"color": [color for *_, color in parts], "cornerradius": 3},
            text=[f"{n:,} · {say_share(n / read)}" for _, n, _ in parts], textposition="outside", cliponaxis=False,
            customdata=[f"{say_count(n, 'row')} of {read:,} {plain(name).strip()}" for name, n, _ in parts],
            hovertemplate="%{customdata}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(visible=False, range=[0, read * 1.35])
    figure.update_yaxes(tickvals=list(range(len(parts))), ticktext=names, autorange="reversed", showgrid=False)
    part = "All" if rows["accepted"] == read else f"{say_share(rows['accepted'] / read)} of"
    title = f"{part} {say_count(read, 'row')} could be used."
    table = [(name.strip(), f"{n:,}", say_share(n / read)) for name, n, _ in parts]
    return finish(figure, title=title, about=ROWS_ABOUT, height=60 + 32 * len(parts),
                  table=(("rows", "number", "share"), table))  # fmt: skip


def draw_event_classes(classes: Sequence[Row]) -> Figure:
    """Rows per event class, the most frequent first."""
    import plotly.graph_objects as go

    ranked = sorted(classes, key=lambda c: -c["n_rows"])
    total = sum(c["n_rows"] for c in ranked)
    if not total:
        return draw_nothing("No row was accepted, so no event class has events.", CLASSES_ABOUT)
    shown, rest = ranked[:MAX_CLASSES], ranked[MAX_CLASSES:]
    names = [plain(c["event_class"], 26) for c in shown]
    figure = go.Figure(
        go.Bar(
            x=[c["n_rows"] for c in shown], y=list(range(len(shown))), orientation="h",
            marker={"color": [NEW_COLOR if c["event_class"] == OTHER else COLORS[0] for c in shown], "cornerradius": 3},
            text=[f"{c['n_rows']:,}" for c in shown], textposition="outside", cliponaxis=False,
            customdata=[
                f"{plain(c['event_class'])}: {say_count(c['n_rows'], 'row')} ({say_share(c['n_rows'] / total)})<br>"
                f"{say_count(c.get('n_customers') or 0, 'customer')}, {say_count(c.get('n_sessions') or 0, 'session')}"
                for c in shown
            ],
            hovertemplate="%{customdata}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(visible=False, range=[0, shown[0]["n_rows"] * 1.25])
    figure.update_yaxes(tickvals=list(range(len(shown))), ticktext=names, autorange="reversed", showgrid=False)
    top = shown[0]
    more = f" ({say_count(len(rest), 'rarer class', 'rarer classes')} not drawn)" if rest else ""
    share = say_share(top["n_rows"] / total)
    title = f"The most frequent event class is {top['event_class']}: {share} of the events{more}."
    return finish(figure, title=title, about=CLASSES_ABOUT, height=50 + 26 * len(shown))
