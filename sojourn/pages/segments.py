"""The page of segments: one self-contained HTML file, for people who would rather look than read tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sojourn.pages.figures import (
    COLORS,
    draw_cells,
    draw_choice,
    draw_flows,
    draw_map,
    draw_numbers,
    draw_profiles,
    draw_relevance,
    draw_tree,
)
from sojourn.pages.html import embed_figure, fill_page
from sojourn.pages.words import say_audit, say_count, say_date, say_integer, say_number, say_segment_standing, say_share

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from sojourn.segments import Segment, Study

_MARKS = 3
_MOST_OUTLIERS = 60


def render_segments(
    study: Study, *, cells: pa.Table | None = None, flows: pa.Table | None = None, seed: int = 0
) -> str:
    """The page as HTML text; the same study gives the same page. ``cells`` and ``flows`` come from
    :mod:`sojourn.segments.hybrid`."""
    figures = {name: embed_figure(figure) for name, figure in draw_study(study, cells, flows, seed=seed).items()}
    return fill_page("segments.html.j2", _write_page(study, figures), figures)


def draw_study(study: Study, cells: pa.Table | None, flows: pa.Table | None, *, seed: int = 0) -> dict[str, Figure]:
    """Every figure that the study has data for, by name."""
    found = study.segments
    names = {one.number: one.name for one in sorted(found.segments, key=lambda one: one.number)}
    figures = {"map": draw_map(found.customers, names, seed=seed), "profiles": draw_profiles(found.profiles, names)}
    if found.choice is not None:
        figures["choice"] = draw_choice(found.choice)
    if study.numbers is not None:
        figures["numbers"] = draw_numbers(study.numbers)
    if study.relevance is not None:
        figures["relevance"] = draw_relevance(study.relevance, study.horizon_days)
    if found.tree is not None:
        figures["tree"] = draw_tree(found.tree.merges, found.tree.sizes, list(found.tree.parents))
    if cells is not None:
        figures["cells"] = draw_cells(cells)
    if flows is not None:
        figures["flows"] = draw_flows(flows, names)
    return figures


_WORTH = "Are they worth having?"
_PARTS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Where they are", "", ("map",)),
    ("What sets them apart", "", ("profiles",)),
    ("How many there are", "", ("choice", "numbers")),
    (_WORTH, "Segments as of an earlier instant, and what customers did after it.", ("relevance",)),
    ("Segment by state", "Who a customer is, by what they do now.", ("cells", "flows")),
    ("Finer and coarser", "The same customers at several granularities.", ("tree",)),
)


def _write_page(study: Study, figures: Mapping[str, Any]) -> dict[str, Any]:
    found = study.segments
    n = found.customers.num_rows
    standing = "" if study.relevance is None else f" {say_segment_standing(study.relevance)}"
    parts = [
        {
            "title": title,
            "about": about + (standing if title == _WORTH else ""),
            "figures": [f for f in names if f in figures],
        }
        for title, about, names in _PARTS
    ]
    doubts = [*study.doubts, *([study.why_not] if study.why_not else []), *say_audit(study)]
    inputs = [
        (one.name, one.kind, one.why) for one in (*found.space.preparation.inputs, *found.space.preparation.left_out)
    ]
    return {
        "title": f"{say_count(len(found.segments), 'segment')} of {say_count(n, 'customer')}",
        "about": f"{study.recipe.name.capitalize()} segments as of {say_date(study.at, year=True)}.",
        "why": f"How they were found: {found.why}.",
        "doubts": doubts,
        "colors": COLORS,
        "segments": [_write_card(one, study) for one in sorted(found.segments, key=lambda one: one.number)],
        "parts": [part for part in parts if part["figures"]],
        "outliers": _list_outliers(found.customers),
        "inputs_about": f"{say_count(len(found.space.preparation.inputs), 'input')} used, "
        f"{len(found.space.preparation.left_out)} left out",
        "inputs": inputs,
    }


def _write_card(one: Segment, study: Study) -> dict[str, Any]:
    rows = [r for r in study.segments.profiles.to_pylist() if r["segment"] == one.number]
    rows.sort(key=lambda r: -abs(r["difference"]))
    marks = [
        f"{r['input']}: median {say_number(r['median'])}, of the others {say_number(r['median_rest'])}"
        for r in rows[:_MARKS]
        if r["median"] is not None and r["median_rest"] is not None
    ]
    about = ""
    if one.rule:
        about = f"The rule nearest to it: {say_share(one.rule_precision_p)} of those it holds for are in the segment, "
        about += f"and it finds {say_share(one.rule_recall_p)} of the segment."
    identity = ""
    if study.segments.match is not None:
        identity = (
            "new since last time" if one.overlap is None else f"as before: {say_share(one.overlap)} of its customers"
        )
    return {
        "name": one.name,
        "number": one.number,
        "color": (one.number - 1) % len(COLORS),
        "percent": 100 * one.share_p,
        "size": f"{say_count(one.n_customers, 'customer')}, {say_share(one.share_p)}",
        "marks": marks,
        "rule": one.rule,
        "rule_about": about,
        "identity": identity,
    }


def _list_outliers(customers: pa.Table) -> dict[str, str] | None:
    ids = customers.filter(customers["is_outlier"])["customer_id"]
    if not len(ids):
        return None
    shown = [str(one) for one in ids.slice(0, _MOST_OUTLIERS).to_pylist()]
    more = len(ids) - len(shown)
    about = "Far from everybody else. They did not take part in finding segments; look at each before acting."
    return {"about": about, "ids": ", ".join(shown) + (f" and {say_integer(more)} more" if more else "")}
