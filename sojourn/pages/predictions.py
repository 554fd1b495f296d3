"""The page of predictions: one self-contained HTML file that says how good they are, why, and what to doubt."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sojourn.pages.figures import (
    draw_calibration,
    draw_candidates,
    draw_inputs,
    draw_profit,
    draw_ranking,
    draw_signals,
    draw_state_inputs,
    draw_warning,
    draw_weights,
)
from sojourn.pages.html import embed_figure, fill_page
from sojourn.pages.words import (
    say_count,
    say_date,
    say_duration,
    say_error,
    say_integer,
    say_loss,
    say_price,
    say_probability,
    say_score,
    say_share,
)

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Words = dict[str, Any]

_OF_OUTCOME = {
    "ranking": draw_ranking,
    "calibration": draw_calibration,
    "profit": draw_profit,
    "weights": draw_weights,
    "candidates": draw_candidates,
}
"""The figures of one outcome, in the order of the page."""


def render_predictions(facts: Mapping[str, Any], warning: str | None = None) -> str:
    """The page of what ``prediction_models.json`` says, as UTF-8 text of about 5 MB, most of it plotly.js.

    ``warning`` is the sentence about early warning. The same facts give the same page.

    >>> card = {"outcome": "churn <b>", "why_not": "the history is too short"}
    >>> "churn &lt;b&gt;" in render_predictions({"outcomes": [card]})
    True
    """
    figures = {name: embed_figure(figure) for name, figure in draw_predictions(facts).items()}
    return fill_page("predictions.html.j2", write_words(facts, warning, list(figures)), figures)


def draw_predictions(facts: Mapping[str, Any]) -> dict[str, Figure]:
    """Every figure that the facts have data for: those of the first outcome begin with ``1-``, and so on."""
    found: dict[str, Figure] = {}
    for number, card in enumerate(facts["outcomes"], start=1):
        if "deployed" not in card:
            continue
        found |= {f"{number}-{name}": draw(card) for name, draw in _OF_OUTCOME.items()}
        if "inputs" in card:
            found[f"{number}-inputs"] = draw_inputs(card)
    ahead = facts.get("ahead") or {}
    if "early_warning" in ahead:
        found["warning"] = draw_warning(ahead["early_warning"])
        found["signals"] = draw_signals(ahead["early_warning"])
    if "next_state" in ahead:
        found["next-state"] = draw_state_inputs(ahead["next_state"])
    return found


def write_words(facts: Mapping[str, Any], warning: str | None, drawn: list[str]) -> Words:
    """What the template prints, as plain values; texts are not escaped yet. ``drawn`` are the names of figures."""
    parts = [_write_outcome(card, number, drawn) for number, card in enumerate(facts["outcomes"], start=1)]
    ahead = facts.get("ahead") or {}
    why = ahead.get("why_not") or {}
    if warning or "early_warning" in why:
        says = [warning] if warning else [f"Not known: {why['early_warning']}"]
        parts.append(_part("Early warning", says, [name for name in ("warning", "signals") if name in drawn]))
    if "next_state" in ahead or "next_state" in why:
        says = [f"Not known: {why['next_state']}"] if "next_state" in why else []
        parts.append(_part("The next state", says, [name for name in ("next-state",) if name in drawn]))
    if "next_time" in ahead or "next_time" in why:
        parts.append(_part("When it happens next", [_say_time(ahead, why)], []))
    n = sum("deployed" in card for card in facts["outcomes"])
    of = f"{n} of {len(facts['outcomes'])} outcomes"
    return {
        "title": "What customers will do next",
        "about": f"Predicted: {of if n < len(facts['outcomes']) else say_count(n, 'outcome')}. "
        "Every number here is of customers held out: no model had seen them.",
        "parts": parts,
        "colors": [],
    }


def _part(
    title: str, says: list[str], figures: list[str], facts: list[Words] | None = None, doubts: list[str] | None = None
) -> Words:
    return {"title": title, "says": says, "figures": figures, "facts": facts or [], "doubts": doubts or []}


def _write_outcome(card: Mapping[str, Any], number: int, drawn: list[str]) -> Words:
    if "deployed" not in card:
        return _part(card["outcome"], [f"Not predicted: {card['why_not']}."], [])
    in_use = next(c for c in card["candidates"] if c["name"] == card["deployed"])
    gains = card["gains"][0]
    says = [
        f"It happens to {say_share(card['base_rate'])}. Of the likeliest tenth it happened to "
        f"{say_share(gains['kept'])}, and {say_share(gains['promised'])} was promised. In use: {card['deployed']}.",
        say_price(card["price"]),
    ]
    if "window" in card:
        window = card["window"]
        says.insert(
            1,
            f"Whether it happens within {say_duration(window['horizon_s'])}: learned at "
            f"{say_count(len(window['train_at']), 'instant')} up to {_day(window['train_at'][-1])}, judged at "
            f"{_day(window['test_at'])} on other customers.",
        )
    facts = [
        {"number": say_score(in_use["auc"]), "what": "area under the ROC curve"},
        {"number": say_share(gains["gain"]), "what": "of them in the likeliest tenth"},
        {"number": say_probability(card["threshold"]["p"]), "what": "probability from which acting pays"},
        {"number": say_integer(card["n_rows"]), "what": "rows learned from"},
    ]
    doubts = [f"{leak['why']}." for leak in card["leaks"]] + [f"{note}." for note in card.get("notes") or []]
    names = [name for name in drawn if name.startswith(f"{number}-")]
    return _part(card["outcome"], says, names, facts, doubts)


def _day(text: str) -> str:
    return say_date(datetime.fromisoformat(text), year=True)


def _say_time(ahead: Mapping[str, Any], why: Mapping[str, str]) -> str:
    if "next_time" in why:
        return f"Not known: {why['next_time']}"
    found = ahead["next_time"]
    gain, error = found["log_loss_base"] - found["log_loss"], found["log_loss_gain_se"]
    verdict = "better than" if gain > 2 * error else "no better, beyond chance, than"
    return (
        f"The time of the next {found['event']} is predicted {verdict} as if everybody were alike: log loss "
        f"{say_loss(found['log_loss'])} against {say_loss(found['log_loss_base'])} (gain "
        f"{say_error(gain, error, say_loss)}). Each customer's days are in next_time.parquet."
    )
