"""The page of a stability audit: one self-contained HTML file beside the report, loading nothing from anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sojourn.pages.figures import draw_split, draw_turnover
from sojourn.pages.html import embed_figure, fill_page
from sojourn.pages.words import say_days, say_integer, say_or_dash, say_score, say_share

Row = Mapping[str, Any]

VERDICTS = {
    "state": "a state: found again, and left for reasons of the customers' own, soon",
    "slow": "a slow segment: people stay for months",
    "stale": "stale: its members have not changed in six months",
    "wobbly": "wobbly: the model draws it anew",
    "too few": "too few members to say",
    "unknown": "too short a time to say",
}
"""What each verdict means, in the order in which the page lists them."""


def render_stability(rows: Sequence[Row], title: str, about: str) -> str:
    """The page of the rows of ``stability.parquet``, as UTF-8 text of about 5 MB, most of it plotly.js."""
    is_given = all(r["method"] == "given" for r in rows)
    figure = embed_figure(draw_turnover(rows) if is_given else draw_split(rows))
    methods = list(dict.fromkeys(r["method"] for r in rows))
    page = {
        "title": title,
        "about": about,
        "methods": [_write_method(method, [r for r in rows if r["method"] == method]) for method in methods],
        "meanings": VERDICTS,
    }
    return fill_page("stability.html.j2", page, {"stability": figure})


def _write_method(method: str, rows: Sequence[Row]) -> dict[str, Any]:
    whole = next(r for r in rows if r["segment"] is None)
    return {
        "name": method,
        "says": whole["says"],
        "segments": [
            {
                "name": r["segment"],
                "about": r.get("about") or "",
                "n": say_integer(r["n_customers"]),
                "again": say_or_dash(r.get("found_again"), say_score),
                "half_life": say_or_dash(r["half_life_days"], say_days),
                "unchanged": say_or_dash(r["unchanged_share"], say_share),
                "verdict": r["verdict"],
                "says": r["says"],
            }
            for r in rows
            if r["segment"] is not None
        ],
    }
