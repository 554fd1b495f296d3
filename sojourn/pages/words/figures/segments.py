"""Words of the figures of segments: captions, findings and hover labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sojourn.pages.words.numbers import (
    say_count,
    say_difference,
    say_estimate,
    say_integer,
    say_number,
    say_or_dash,
    say_share,
)
from sojourn.pages.words.texts import plain

if TYPE_CHECKING:
    from sojourn.pages.words.types import Row

MAP_ABOUT = (
    "Each dot is a customer; near dots behave alike. The first map (t-SNE) keeps neighbours together, and the distance "
    "between far groups means little; the second (principal components) is exact. Hollow dots are outliers."
)
TREE_ABOUT = (
    "The customers' thirty finest groups at the bottom, joined step by step where they are most alike (Ward). The "
    "higher two branches join, the more they differ. Dashed lines: where the levels in segments.parquet are cut."
)
PROFILE_ABOUT = (
    "How far a segment's mean lies above (orange) or below (blue) that of all other customers, in standard deviations. "
    "Hover for medians and intervals."
)
WORTH_ABOUT = (
    "Share of what customers differ in later that knowing their group explains, on customers whose outcome did not set "
    "the expectation. Bars are 95\u00a0% intervals over customers. Below zero a grouping misleads."
)
CELLS_ABOUT = (
    "Share of each segment's customers that is in each state now. Hover for counts and for the share among all."
)
FLOWS_ABOUT = "Customers who changed their cell (segment and state) in the last four weeks, the largest moves first."
HYBRID_ABOUT = (
    "Rows say who a customer is: their life cycle, or in the menu their value (RFM: how recent, how often, how much). "
    "Columns say what they are up to now. Each row adds up to 100\u00a0%. Hover for counts and for the share among all."
)
CHOICE_ABOUT = (
    "Each criterion from its worst number (0) to its best (1), and their mean, the thick line. Silhouette: how clearly "
    "apart. Elbow: how much the next group tightens them. BIC: how well a mixture fits for its size. Stability: "
    "whether redrawn customers give the same groups. The fewest within one standard error of the best are taken."
)
NUMBERS_ABOUT = (
    "Share of what customers differ in later that so many segments explain, asked of an earlier time; the mean over "
    "what is measured, revenue as its logarithm. Bars are one standard error of the distance to the best. The fewest "
    "within one of it are taken."
)
PROFILE_MISSING = "Nothing sets the segments apart."
FLOWS_MISSING = "Nobody moved to another cell in the last four weeks."


def say_profile(row: Mapping[str, Any]) -> str:
    """How a segment differs in one input, in a hover label."""
    low, high = row["difference_low"], row["difference_high"]
    difference = say_difference(row["difference"])
    if low is not None:
        difference = say_estimate(row["difference"], low, high, say_difference)
    return (
        f"<b>{plain(row['name'])}</b><br>{plain(row['input'])}: {difference}<br>"
        f"median {say_or_dash(row['median'], say_number)}, of the others {say_or_dash(row['median_rest'], say_number)}"
    )


def say_crossing(row: Mapping[str, Any]) -> str:
    """A segment and a state, in a hover label."""
    return (
        f"<b>{plain(row['name'])}, {plain(row['state'])}</b><br>{say_count(row['n_customers'], 'customer')}, "
        f"{say_share(row['share_p'])} of the segment<br>{say_share(row['share_all_p'])} among all"
    )


def say_hover(r: Row) -> str:
    """The row, in a hover label."""
    return (
        f"<b>{plain(r['segment'])}, {plain(r['state'])}</b><br>{say_count(r['n_customers'], 'customer')}, "
        f"{say_share(r['share_p'])} of the segment<br>{say_share(r['share_all_p'])} among all"
    )


def say_map(n: int, n_segments: int, n_outliers: int) -> str:
    """How many customers, segments and outliers there are."""
    found = f"{say_count(n, 'customer')} in {say_count(n_segments, 'segment')}"
    return f"{found}; {say_integer(n_outliers)} stand apart as outliers."


def say_tree(ratio: float) -> str:
    """How much farther apart the largest branches are than the next."""
    return f"The two largest branches are {say_number(ratio)} times as far apart as the next two."


def say_strongest(rows: Sequence[Row]) -> str:
    """Which segment stands out most, and by what."""
    top = max(rows, key=lambda r: abs(r["difference"]))
    where = "above" if top["difference"] > 0 else "below"
    return (
        f"“{top['name']}” stands out most: its {top['input']} lies {say_number(abs(top['difference']))} standard "
        f"deviations {where} the others."
    )


def say_crossings(rows: Sequence[Row]) -> str:
    """Which state holds more of a segment than of all customers."""
    big = [r for r in rows if r["n_customers"] >= 10] or rows
    top = max(big, key=lambda r: r["ratio"])
    return (
        f"{say_share(top['share_p'])} of “{top['name']}” are in {top['state']}; among all it is "
        f"{say_share(top['share_all_p'])}."
    )


def say_changed(share: float, to: str) -> str:
    """How many customers changed their cell, and to which most often."""
    return f"{say_share(share)} of the customers changed their cell in four weeks, most often to “{to}”."


def say_choice(chosen: Mapping[str, int]) -> str:
    """How many segments each method takes."""
    said = ", ".join(f"{k} by {name}" for name, k in chosen.items())
    return f"How many segments the customers form: {said}."


def say_numbers(rows: Sequence[Row]) -> str:
    """How much the number that was taken explains, and whether another would explain more."""
    best, taken = max(rows, key=lambda r: r["explained_p"]), next(r for r in rows if r["is_chosen"])
    text = f"{taken['k']} segments explain {say_share(taken['explained_p'])} of what came later"
    if best is taken:
        return f"{text}; no number explains more."
    return f"{text}; {best['k']} would explain {say_share(best['explained_p'])}, which may be chance."


def say_no_segments(why: str) -> str:
    """Why there are no segments."""
    return f"There are no segments: {why}."
