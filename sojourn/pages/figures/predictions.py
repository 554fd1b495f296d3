"""Figures of predictions: ranking, calibration, the price of reading, what acting pays, what counts, early warning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, sqrt
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from sojourn.pages.figures.style import COLORS, INK, NEW_COLOR, SOFT, choose_by_menu, draw_nothing, finish
from sojourn.pages.words import (
    plain,
    say_amount,
    say_days,
    say_difference,
    say_error,
    say_estimate,
    say_integer,
    say_loss,
    say_number,
    say_probability,
    say_score,
    say_share,
)
from sojourn.pages.words.figures import (
    CALIBRATION_ABOUT,
    CANDIDATES_ABOUT,
    INPUTS_ABOUT,
    PROFIT_ABOUT,
    RANKING_ABOUT,
    SIGNALS_ABOUT,
    SIGNALS_MISSING,
    STATE_ABOUT,
    WARNING_ABOUT,
    WEIGHTS_ABOUT,
    WEIGHTS_MISSING,
    say_calibration,
    say_candidates,
    say_early,
    say_first_sign,
    say_profit,
    say_ranking,
    say_state_ahead,
    say_weights,
)

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Card = Mapping[str, Any]
Row = Mapping[str, Any]

_MOST_WEIGHTS = 12
_MOST_SIGNALS = 10
_ERROR = {"thickness": 1.6, "width": 0, "color": "rgba(120,130,145,0.75)"}


def draw_ranking(card: Card) -> Figure:
    """Gain, lift and ROC of one outcome, a menu to choose."""
    curve, gains = card["curve"], card["gains"]
    reached, found = [r["share"] for r in curve], [r["gain"] for r in curve]
    line = {"color": COLORS[0], "width": 2.5}
    dashed = {"color": SOFT, "width": 1, "dash": "dash"}
    figure = go.Figure()
    figure.add_scatter(
        x=reached,
        y=found,
        mode="lines",
        line=line,
        hovertemplate="%{y:.0%} of them among the first %{x:.0%}<extra></extra>",
    )
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=dashed, hoverinfo="skip")
    figure.add_bar(
        x=[r["group"] for r in gains],
        y=[r["lift"] for r in gains],
        marker={"color": COLORS[0], "cornerradius": 4},
        hovertemplate="group %{x}: %{y:.2f} times<extra></extra>",
    )
    figure.add_scatter(x=[0.5, len(gains) + 0.5], y=[1, 1], mode="lines", line=dashed, hoverinfo="skip")
    figure.add_scatter(
        x=[r["false_p"] for r in curve],
        y=found,
        mode="lines",
        line=line,
        hovertemplate="%{y:.0%} of them, with %{x:.0%} of the others<extra></extra>",
    )
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=dashed, hoverinfo="skip")
    top = 1.12 * max([1.0, *(r["lift"] for r in gains)])
    choose_by_menu(
        figure,
        ["Gain", "Lift", "ROC"],
        [
            [True, True, False, False, False, False],
            [False, False, True, True, False, False],
            [False, False, False, False, True, True],
        ],
        **{
            "xaxis.title.text": [
                "share of customers, the likeliest first",
                "group of ten, the likeliest first",
                "share of the others reached too",
            ],
            "yaxis.title.text": [
                "share of those to whom it happens",
                "times as many as in all",
                "share of those to whom it happens",
            ],
            "xaxis.tickformat": [".0%", "", ".0%"],
            "yaxis.tickformat": [".0%", "", ".0%"],
            "xaxis.range": [[-0.015, 1.015], [0.4, len(gains) + 0.6], [-0.015, 1.015]],
            "yaxis.range": [[-0.03, 1.03], [0, top], [-0.03, 1.03]],
        },
    )
    figure.update_xaxes(range=[-0.015, 1.015], tickformat=".0%", title="share of customers, the likeliest first")
    figure.update_yaxes(range=[-0.03, 1.03], tickformat=".0%", title="share of those to whom it happens")
    figure.update_layout(showlegend=False)
    title = say_ranking(gains[0])
    table = [
        (
            str(r["group"]),
            say_integer(r["n"]),
            say_share(r["promised"]),
            say_share(r["kept"]),
            say_number(r["lift"]),
            say_share(r["gain"]),
        )
        for r in gains
    ]
    return finish(
        figure,
        title=title,
        about=RANKING_ABOUT,
        height=430,
        min_width=320,
        table=(("group", "customers", "promised", "happened", "lift", "found so far"), table),
    )


def draw_calibration(card: Card) -> Figure:
    """What was promised against what happened, in ten groups."""
    gains = card["gains"]
    bounds = [wilson_interval(r["kept"], r["n"]) for r in gains]
    top = 1.08 * max([r["promised"] for r in gains] + [high for _, high in bounds])
    figure = go.Figure()
    figure.add_scatter(
        x=[0, top], y=[0, top], mode="lines", hoverinfo="skip", line={"color": SOFT, "width": 1, "dash": "dash"}
    )
    figure.add_scatter(
        x=[r["promised"] for r in gains],
        y=[r["kept"] for r in gains],
        mode="markers",
        marker={"size": 10, "color": COLORS[0]},
        error_y={
            "array": [high - r["kept"] for r, (_, high) in zip(gains, bounds, strict=True)],
            "arrayminus": [r["kept"] - low for r, (low, _) in zip(gains, bounds, strict=True)],
            **_ERROR,
        },
        hovertemplate="promised %{x:.1%}, happened %{y:.1%}<extra></extra>",
    )
    figure.update_xaxes(tickformat=".0%", range=[-0.02 * top, top], title="promised")
    figure.update_yaxes(tickformat=".0%", range=[-0.04 * top, top], title="happened")
    figure.update_layout(showlegend=False)
    n_kept = sum(low <= r["promised"] <= high for r, (low, high) in zip(gains, bounds, strict=True))
    title = say_calibration(n_kept, len(gains))
    table = [
        (str(r["group"]), say_share(r["promised"]), say_estimate(r["kept"], low, high, say_share))
        for r, (low, high) in zip(gains, bounds, strict=True)
    ]
    return finish(
        figure,
        title=title,
        about=CALIBRATION_ABOUT,
        height=380,
        min_width=320,
        table=(("group", "promised", "happened (95\u00a0%)"), table),
    )


def wilson_interval(share: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a share that was seen among ``n``.

    >>> tuple(round(end, 3) for end in wilson_interval(0.0, 20))
    (0.0, 0.161)

    Source: Wilson 1927, doi:10.1080/01621459.1927.10502953.
    """
    z = 1.959964
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def draw_candidates(card: Card) -> Figure:
    """All models that were compared, the most readable first."""
    tried = sorted((c for c in card["candidates"] if not c["why_not"]), key=lambda c: c["rank"])
    left = sorted((c for c in card["candidates"] if c["why_not"]), key=lambda c: c["rank"])
    labels = [plain(c["name"] + (", in use" if c["name"] == card["deployed"] else ""), 34) for c in tried]
    colors = [COLORS[0] if c["is_glass"] else NEW_COLOR for c in tried]
    figure = _draw_dots(labels, [c["auc"] for c in tried], [c["auc_se"] for c in tried], colors, "area under the curve")
    title = say_candidates(card, len(tried))
    table = [
        (
            c["name"],
            "yes" if c["is_glass"] else "no",
            say_error(c["auc"], c["auc_se"]),
            say_error(c["log_loss"], c["log_loss_se"], say_loss),
            say_loss(c["brier"]),
            say_score(c["calibration_error"]),
            say_share(c["accuracy"]),
        )
        for c in tried
    ]
    table += [(c["name"], "yes" if c["is_glass"] else "no", c["why_not"], "–", "–", "–", "–") for c in left]
    columns = ("model", "can be read", "AUC", "log loss", "Brier", "calibration error", "right")
    return finish(
        figure, title=title, about=CANDIDATES_ABOUT, height=110 + 34 * len(tried), min_width=420, table=(columns, table)
    )


def _draw_dots(
    labels: Sequence[str], values: Sequence[float], se: Sequence[float], colors: Sequence[str], title: str
) -> Figure:
    """A dot with its standard error per line, the first line at the top."""
    places = list(range(len(labels)))
    figure = go.Figure(
        go.Scatter(
            x=list(values),
            y=places,
            mode="markers",
            marker={"size": 11, "color": list(colors)},
            error_x={"array": [error if isfinite(error) else 0.0 for error in se], **_ERROR},
            text=[say_error(value, error) for value, error in zip(values, se, strict=True)],
            hovertemplate="%{text}<extra></extra>",
        )
    )
    figure.update_yaxes(
        tickvals=places, ticktext=list(labels), range=[len(labels) - 0.4, -0.6], tickfont={"color": INK}
    )
    figure.update_xaxes(title=title)
    return figure


def draw_profit(card: Card) -> Figure:
    """What acting from each probability on would have brought."""
    curve, limit = card["curve"], card["threshold"]
    figure = go.Figure(
        go.Scatter(
            x=[r["p"] for r in curve],
            y=[r["profit"] for r in curve],
            mode="lines",
            line={"color": COLORS[0], "width": 2.5, "shape": "vh"},
            customdata=[r["share"] for r in curve],
            hovertemplate="from %{x:.2f} on: %{y:.3f} each, acting on %{customdata:.0%}<extra></extra>",
        )
    )
    figure.add_hline(y=0, line={"color": "rgba(120,130,145,0.8)", "width": 1})
    figure.add_vline(x=limit["p"], line={"color": SOFT, "width": 1, "dash": "dash"})
    figure.update_xaxes(title="acting from this probability on", rangemode="tozero")
    figure.update_yaxes(title="per customer")
    title = say_profit(limit)
    table = [
        ("threshold in use", say_probability(limit["p"]), say_share(limit["share_acted"]), say_amount(limit["profit"])),
        ("on everybody", say_probability(0.0), say_share(1.0), say_amount(limit["profit_all"])),
        ("best in hindsight", say_probability(limit["p_best"]), "–", say_amount(limit["profit_best"])),
    ]
    return finish(
        figure,
        title=title,
        about=f"{PROFIT_ABOUT} Here {say_number(limit['cost'])} against {say_number(limit['benefit'])}.",
        height=340,
        min_width=320,
        table=(("acting", "from", "share acted on", "per customer"), table),
    )


def draw_weights(card: Card) -> Figure:
    """The inputs that count most, over all customers."""
    rows = [r for r in card["weights"] if r["weight"] > 0]
    if not rows:
        return draw_nothing(WEIGHTS_MISSING, WEIGHTS_ABOUT)
    shown = rows[:_MOST_WEIGHTS]
    figure = go.Figure(
        go.Bar(
            x=[r["weight"] for r in shown],
            y=list(range(len(shown))),
            orientation="h",
            marker={"color": COLORS[0], "cornerradius": 4},
            text=[say_number(r["weight"]) for r in shown],
            textposition="outside",
            cliponaxis=False,
            hoverinfo="skip",
        )
    )
    figure.update_yaxes(
        tickvals=list(range(len(shown))),
        ticktext=[plain(r["column"], 40) for r in shown],
        autorange="reversed",
        showgrid=False,
        tickfont={"color": INK},
    )
    figure.update_xaxes(visible=False, range=[0, 1.15 * shown[0]["weight"]])
    title = say_weights(rows)
    table = [(r["column"], say_number(r["weight"])) for r in rows]
    return finish(
        figure,
        title=title,
        about=WEIGHTS_ABOUT,
        height=70 + 30 * len(shown),
        min_width=360,
        table=(("input", "mean size of its part, log-odds"), table),
    )


def draw_inputs(card: Card) -> Figure:
    """The same learner on features and states, on either alone, and on RFM."""
    rows = card["inputs"]
    colors = [COLORS[0], *[NEW_COLOR] * (len(rows) - 1)]
    figure = _draw_dots(
        [plain(r["inputs"], 34) for r in rows],
        [r["auc"] for r in rows],
        [r["auc_se"] for r in rows],
        colors,
        "area under the curve",
    )
    table = [(r["inputs"], say_loss(r["log_loss"]), say_error(r["auc"], r["auc_se"])) for r in rows]
    return finish(
        figure,
        title=card["inputs_in_words"],
        about=INPUTS_ABOUT,
        height=110 + 34 * len(rows),
        min_width=420,
        table=(("inputs", "log loss", "AUC"), table),
    )


def draw_warning(warning: Row) -> Figure:
    """How many days before the silence rule the model warns, and a shorter silence would."""
    rows = [
        ("the model", warning["lead_days"], warning["warned"], COLORS[0]),
        (f"{say_days(warning['rule_days'])} of silence", warning["rule_lead_days"], warning["rule_warned"], NEW_COLOR),
    ]
    leads = [lead if isfinite(lead) else 0.0 for _, lead, _, _ in rows]
    figure = go.Figure(
        go.Bar(
            x=leads,
            y=[0, 1],
            orientation="h",
            marker={"color": [r[3] for r in rows], "cornerradius": 4},
            width=0.5,
            text=[f"{say_days(lead)}, for {say_share(r[2])} of them" for lead, r in zip(leads, rows, strict=True)],
            textposition="outside",
            cliponaxis=False,
            hoverinfo="skip",
        )
    )
    figure.update_yaxes(
        tickvals=[0, 1],
        ticktext=[plain(r[0], 30) for r in rows],
        autorange="reversed",
        showgrid=False,
        tickfont={"color": INK},
    )
    figure.update_xaxes(visible=False, range=[0, 1.9 * max([1.0, *leads])])
    title = say_early(warning, leads)
    return finish(
        figure,
        title=title,
        about=WARNING_ABOUT,
        height=140,
        min_width=420,
        table=(
            ("alarm", "warned", "days before the rule", "false alarms"),
            [
                ("the model", say_share(warning["warned"]), say_number(leads[0]), say_share(warning["false_alarms"])),
                (
                    rows[1][0],
                    say_share(warning["rule_warned"]),
                    say_number(leads[1]),
                    say_share(warning["rule_false_alarms"]),
                ),
            ],
        ),
    )


def draw_signals(warning: Row) -> Figure:
    """Which inputs declined or rose before the warning."""
    rows = [r for r in warning["signals"] if r["difference"] is not None and isfinite(r["difference"])][:_MOST_SIGNALS]
    if not rows:
        return draw_nothing(SIGNALS_MISSING, SIGNALS_ABOUT)
    rows.sort(key=lambda r: r["difference"])
    far = max(abs(r["difference"]) for r in rows) or 1.0
    figure = go.Figure(
        go.Bar(
            x=[r["difference"] for r in rows],
            y=list(range(len(rows))),
            orientation="h",
            marker={"color": [COLORS[0] if r["difference"] < 0 else COLORS[1] for r in rows], "cornerradius": 4},
            text=[say_difference(r["difference"]) for r in rows],
            textposition="outside",
            cliponaxis=False,
            hoverinfo="skip",
        )
    )
    figure.add_vline(x=0, line={"color": "rgba(120,130,145,0.8)", "width": 1})
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[plain(r["column"], 40) for r in rows],
        autorange="reversed",
        showgrid=False,
        tickfont={"color": INK},
    )
    figure.update_xaxes(visible=False, range=[-1.35 * far, 1.35 * far])
    first = max(rows, key=lambda r: abs(r["difference"]))
    title = say_first_sign(first)
    table = [
        (r["column"], say_difference(r["lost"]), say_difference(r["stayed"]), say_difference(r["difference"]))
        for r in rows
    ]
    return finish(
        figure,
        title=title,
        about=SIGNALS_ABOUT,
        height=70 + 30 * len(rows),
        min_width=420,
        table=(("input", "of the lost", "of those who stayed", "difference"), table),
    )


def draw_state_inputs(facts: Mapping[str, Any]) -> Figure:
    """How well the state some days ahead is foreseen, by what is known."""
    rows = facts["compared"]
    best = min(rows, key=lambda r: r["log_loss"])
    colors = [COLORS[0] if r is best else NEW_COLOR for r in rows]
    figure = _draw_dots(
        [plain(r["inputs"], 40) for r in rows],
        [r["log_loss"] for r in rows],
        [r["log_loss_se"] for r in rows],
        colors,
        "log loss (less is better)",
    )
    title = say_state_ahead(facts["horizon_s"], best)
    table = [(r["inputs"], say_error(r["log_loss"], r["log_loss_se"], say_loss), say_share(r["right"])) for r in rows]
    return finish(
        figure,
        title=title,
        about=STATE_ABOUT,
        height=110 + 34 * len(rows),
        min_width=420,
        table=(("inputs", "log loss", "right"), table),
    )
