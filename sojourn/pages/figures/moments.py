"""The figure of what moments announce, and its sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from sojourn.pages.figures.forest import Dot, draw_forest
from sojourn.pages.figures.style import NEW_COLOR, draw_nothing, finish, plain
from sojourn.pages.words.numbers import is_sure, measure_surety, say_number, say_share, say_times
from sojourn.pages.words.transitions import find_sure_moments, say_moment_row
from sojourn.pages.words.types import Row

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


MAX_DRAWN = 20
SURE_COLOR = "#2f6fb5"
MOMENTS_ABOUT = (
    "How much more often an outcome follows a moment than other events of customers who were as busy just before. "
    "Right of the line: more often; bars are 95\u00a0% intervals, grey dots may be chance. The number behind a moment "
    "says how often it comes, in a hundred weeks of a customer. This shows what goes with a moment, not what causes it."
)


def draw_moments(moments: pa.Table) -> Figure:
    """Ratios with intervals as dots, a menu of outcomes."""
    rows = [r for r in moments.to_pylist() if r["low"] is not None and r["lift"] is not None]
    if not rows:
        why = "The playbook has no moments." if not moments.num_rows else (
            "The moments came too seldom, or too recently, to say what they announce."
        )  # fmt: skip
        return draw_nothing(why, MOMENTS_ABOUT)
    outcomes = list(dict.fromkeys(r["outcome"] for r in rows))
    groups = [_choose([r for r in rows if r["outcome"] == name]) for name in outcomes]
    axis = "how often the outcome follows, compared with other times"
    dots = [(name, [_dot(r) for r in group]) for name, group in zip(outcomes, groups, strict=True)]
    figure, height = draw_forest(dots, axis)
    table = [
        (r["moment"], r["outcome"], f"{r['n_completions']:,}", f"{100 * (r['per_week'] or 0):.2f}",
         say_share(r["precision_p"]), say_share(r["base_p"]),
         f"{say_number(r['lift'])} ({say_number(r['low'])} to {say_number(r['high'])})")
        for r in rows[:60]
    ]  # fmt: skip
    columns = (
        "moment", "outcome", "times", "per 100 weeks of a customer", "followed", "other times", "ratio (95\u00a0%)",
    )  # fmt: skip
    sure = find_sure_moments(moments)
    title = say_moment_row(sure[0]).split(": ")[0] + "." if sure else "No moment surely announces an outcome."
    return finish(figure, title=title, about=MOMENTS_ABOUT, height=height, min_width=430, table=(columns, table))


def _choose(rows: list[Row]) -> list[Row]:
    """The surest ones, the highest ratio last: it is drawn at the top."""
    return sorted(sorted(rows, key=measure_surety, reverse=True)[:MAX_DRAWN], key=lambda r: (r["lift"], r["moment"]))


def _dot(r: Row) -> Dot:
    words = (
        f"{plain(r['definition'], 120)}<br>came {r['n_completions']:,} times to {r['n_customers']:,} customers<br>"
        f"{plain(r['outcome'])} followed {say_share(r['precision_p'])}, at other times {say_share(r['base_p'])}<br>"
        f"{say_times(r['lift'])}, 95\u00a0% interval {say_number(r['low'])} to {say_number(r['high'])}"
    )
    label = f"{plain(r['moment'], 26)} ({say_number(100 * (r['per_week'] or 0))})"
    return Dot(r["lift"], r["low"], r["high"], label, words, SURE_COLOR if is_sure(r) else NEW_COLOR)
