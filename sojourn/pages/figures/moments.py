"""The figure of what moments announce, and its sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from sojourn.pages.figures.forest import Dot, draw_forest
from sojourn.pages.figures.style import NEW_COLOR, draw_nothing, finish
from sojourn.pages.words import (
    Row,
    find_sure_moments,
    is_sure,
    measure_surety,
    plain,
    say_estimate,
    say_integer,
    say_number,
    say_share,
)
from sojourn.pages.words.figures import (
    MOMENTS_ABOUT,
    MOMENTS_MISSING,
    MOMENTS_UNDEFINED,
    say_moment_dot,
    say_surest_moment,
)

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


MAX_DRAWN = 20
SURE_COLOR = "#2f6fb5"


def draw_moments(moments: pa.Table) -> Figure:
    """Ratios with intervals as dots, a menu of outcomes."""
    rows = [r for r in moments.to_pylist() if r["low"] is not None and r["lift"] is not None]
    if not rows:
        return draw_nothing(MOMENTS_MISSING if moments.num_rows else MOMENTS_UNDEFINED, MOMENTS_ABOUT)
    outcomes = list(dict.fromkeys(r["outcome"] for r in rows))
    groups = [_choose([r for r in rows if r["outcome"] == name]) for name in outcomes]
    axis = "how often the outcome follows, compared with other times"
    dots = [(name, [_dot(r) for r in group]) for name, group in zip(outcomes, groups, strict=True)]
    figure, height = draw_forest(dots, axis)
    table = [
        (
            r["moment"],
            r["outcome"],
            say_integer(r["n_completions"]),
            say_number(100 * (r["per_week"] or 0)),
            say_share(r["precision_p"]),
            say_share(r["base_p"]),
            say_estimate(r["lift"], r["low"], r["high"]),
        )
        for r in rows[:60]
    ]
    columns = (
        "moment",
        "outcome",
        "times",
        "per 100 weeks of a customer",
        "followed",
        "other times",
        "ratio (95\u00a0%)",
    )
    sure = find_sure_moments(moments)
    title = say_surest_moment(sure)
    return finish(figure, title=title, about=MOMENTS_ABOUT, height=height, min_width=430, table=(columns, table))


def _choose(rows: list[Row]) -> list[Row]:
    """The surest ones, the highest ratio last: it is drawn at the top."""
    return sorted(sorted(rows, key=measure_surety, reverse=True)[:MAX_DRAWN], key=lambda r: (r["lift"], r["moment"]))


def _dot(r: Row) -> Dot:
    words = say_moment_dot(r)
    label = f"{plain(r['moment'], 26)} ({say_number(100 * (r['per_week'] or 0))})"
    return Dot(r["lift"], r["low"], r["high"], label, words, SURE_COLOR if is_sure(r) else NEW_COLOR)
