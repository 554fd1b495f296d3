"""Quantities as text: one function per kind of quantity, used by terminal, pages, figures and briefs alike.

Each function states how it rounds. Where a value is missing, a sentence says ``unknown``; a cell of a table shows a
dash, with :func:`say_or_dash`. Machine formats (JSON, Parquet, ISO instants) carry the exact numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, TypeVar

Value = TypeVar("Value")

DASH = "–"
_UNITS = (
    ("second", 1.0, 90.0),
    ("minute", 60.0, 5_400.0),
    ("hour", 3_600.0, 129_600.0),
    ("day", 86_400.0, 7_776_000.0),
    ("month", 2_629_746.0, 63_113_904.0),
    ("year", 31_556_952.0, math.inf),
)
"""Name, seconds in it, and the duration from which on the next unit is used."""

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def say_or_dash(value: Value | None, say: Callable[[Value], str]) -> str:
    """What ``say`` makes of the value, or a dash where it is missing or not a number; for cells of tables.

    >>> say_or_dash(0.234, say_share), say_or_dash(None, say_share), say_or_dash(float("nan"), say_number)
    ('23\\xa0%', '–', '–')
    """
    is_missing = value is None or (isinstance(value, float) and math.isnan(value))
    return DASH if is_missing or value is None else say(value)


# --- numbers ------------------------------------------------------------------------------------------------------


def say_number(value: float) -> str:
    """A number or ratio with two figures below ten, whole ones above, thousands set off.

    >>> [say_number(x) for x in (0, 0.0437, 0.5, 2.0, 2.14, 12.6, 41_908.2)]
    ['0', '0.044', '0.5', '2', '2.1', '13', '41,908']
    """
    if abs(value) >= 9.95:
        return f"{value:,.0f}"
    if abs(value) >= 0.995:
        return f"{value:.1f}".removesuffix(".0")
    return f"{value:.2g}"


def say_integer(n: int) -> str:
    """An exact count without its noun, thousands set off.

    >>> say_integer(41_908)
    '41,908'
    """
    return f"{n:,}"


def say_exact(value: float) -> str:
    """A number that somebody set (a limit, a budget, a rate), as it was written, to six figures.

    >>> say_exact(0.5), say_exact(30.0), say_exact(1.25)
    ('0.5', '30', '1.25')
    """
    return f"{value:g}"


def say_difference(value: float) -> str:
    """A difference, a standardized difference or a part of the log-odds: with its sign and two decimals.

    >>> say_difference(0.418), say_difference(-1.3)
    ('+0.42', '-1.30')
    """
    return f"{value:+.2f}"


def say_amount(value: float) -> str:
    """Money, or another measure that is added up: two decimals below a thousand, whole above.

    >>> say_amount(12.5), say_amount(41_908.24)
    ('12.50', '41,908')
    """
    return f"{value:,.2f}" if abs(value) < 1_000 else f"{value:,.0f}"


def say_gain(value: float) -> str:
    """A change of an amount: like :func:`say_amount`, with its sign.

    >>> say_gain(12.5), say_gain(-3_000.4)
    ('+12.50', '-3,000')
    """
    return f"{'-' if value < 0 else '+'}{say_amount(abs(value))}"


def say_score(value: float) -> str:
    """A score of a model or a grouping (AUC, calibration error, silhouette, agreement): three decimals.

    >>> say_score(0.81249)
    '0.812'
    """
    return f"{value:,.3f}"


def say_loss(value: float) -> str:
    """A loss that models are compared by (log loss, Brier score): four decimals.

    >>> say_loss(0.31256)
    '0.3126'
    """
    return f"{value:,.4f}"


def say_error(value: float, error: float, say: Callable[[float], str] = say_score) -> str:
    """A value with its standard error, both as ``say`` rounds them.

    >>> say_error(0.8124, 0.0113)
    '0.812 ± 0.011'
    """
    return f"{say(value)} ± {say(error)}"


# --- shares -------------------------------------------------------------------------------------------------------


def say_share(share: float | None) -> str:
    r"""A share as a percentage, whole; below 1 and above 99 with a decimal, so that something is never nothing.

    The space before the sign does not break.

    >>> [say_share(x) for x in (0.234, 0.004, 0.00001, 0.0, 0.9996, -0.034, None)]
    ['23\xa0%', '0.4\xa0%', 'under 0.1\xa0%', '0\xa0%', 'over 99.9\xa0%', '-3\xa0%', 'unknown']
    """
    if share is None or not math.isfinite(share):
        return "unknown"
    percent = 100 * share
    if 0 < percent < 0.1:
        return "under 0.1\u00a0%"
    if 99.9 < percent < 100:
        return "over 99.9\u00a0%"
    if -0.95 < percent <= -0.05 or 0 < percent < 0.95 or 99.05 < percent < 100:
        return f"{percent:.1f}\u00a0%"
    return f"{percent if percent >= 0 or percent <= -0.95 else 0:.0f}\u00a0%"


def say_part(part: float, whole: float) -> str:
    r"""The share of a part in a whole, as :func:`say_share` rounds it; a dash where the whole is nothing.

    >>> say_part(1, 8), say_part(0, 0)
    ('12\xa0%', '–')
    """
    return say_share(part / whole) if whole else DASH


def say_probability(p: float | None) -> str:
    r"""A probability: a percentage that rounds like a share, so that only the certain is 0 or 100 %.

    >>> say_probability(0.873), say_probability(0.99987)
    ('87\xa0%', 'over 99.9\xa0%')
    """
    return say_share(p)


def say_points(difference: float) -> str:
    """A difference of two shares in percentage points, with its sign and one decimal.

    >>> say_points(0.0312)
    '+3.1 points'
    """
    return f"{100 * difference:+.1f} points"


def say_relative(change: float) -> str:
    r"""A change relative to what it changes, in whole percent with its sign.

    >>> say_relative(-0.1)
    '-10\xa0%'
    """
    return f"{100 * change:+.0f}\u00a0%"


# --- intervals ----------------------------------------------------------------------------------------------------


def say_range(low: float | None, high: float | None, say: Callable[[float], str] = say_number) -> str:
    """Both ends, as ``say`` rounds them; an end that is not known yet is said to be so.

    >>> say_range(0.81, 1.3), say_range(2.0, None)
    ('0.81 to 1.3', '2 to not known yet')
    """
    ends = ("not known yet" if end is None or math.isnan(end) else say(end) for end in (low, high))
    return " to ".join(ends)


def say_interval(low: float | None, high: float | None, say: Callable[[float], str] = say_number) -> str:
    r"""A 95 % interval in a sentence.

    >>> say_interval(0.81, 1.3)
    '95\xa0% interval 0.81 to 1.3'
    """
    return f"95\u00a0% interval {say_range(low, high, say)}"


def say_estimate(value: float, low: float | None, high: float | None, say: Callable[[float], str] = say_number) -> str:
    """A value with its 95 % interval, where the text around says that it is one: in a table, or beside others.

    >>> say_estimate(1.12, 0.81, 1.3)
    '1.1 (0.81 to 1.3)'
    """
    return f"{say(value)} ({say_range(low, high, say)})"


# --- counts and comparisons ---------------------------------------------------------------------------------------


def say_count(n: int, one: str, many: str | None = None) -> str:
    """A count with its noun.

    >>> say_count(1, "customer"), say_count(41_908, "customer"), say_count(2, "stay", "stays")
    ('1 customer', '41,908 customers', '2 stays')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def say_change(change: int, since: str = "a week ago") -> str:
    """How a count differs from an earlier one.

    >>> say_change(38), say_change(-1), say_change(0)
    ('38 more than a week ago', '1 fewer than a week ago', 'as many as a week ago')
    """
    if not change:
        return f"as many as {since}"
    return f"{abs(change):,} {'more' if change > 0 else 'fewer'} than {since}"


def say_times(ratio: float) -> str:
    """A ratio of frequencies, to be followed by "as" and what it is compared with.

    >>> [say_times(x) for x in (3.24, 1.04, 0.5, 0.147, 0.0)]
    ['3.2 times as often', 'about as often', 'half as often', '0.15 times as often', '0 times as often']
    """
    if 0.95 < ratio < 1.05:
        return "about as often"
    if 0.48 < ratio < 0.52:
        return "half as often"
    if 1.95 < ratio < 2.05:
        return "twice as often"
    return f"{say_number(ratio)} times as often"


def say_few(n: int) -> str:
    """A count as a word up to ten.

    >>> say_few(5), say_few(11)
    ('five', '11')
    """
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    return words[n] if 0 <= n < len(words) else f"{n:,}"


# --- times --------------------------------------------------------------------------------------------------------


def say_duration(seconds: float | None) -> str:
    """A duration in the unit that a person would choose, with at most one decimal.

    >>> [say_duration(s) for s in (0.2, 60, 5_400, 86_400, 181_440, 4_000_000, None)]
    ['less than a second', '60 seconds', '1.5 hours', '24 hours', '2.1 days', '46 days', 'unknown']
    """
    if seconds is None or not math.isfinite(seconds):
        return "unknown"
    if seconds < 1:
        return "less than a second"
    name, size, _ = next(unit for unit in _UNITS if seconds < unit[2])
    number = say_number(seconds / size)
    return f"{number} {name}" if number == "1" else f"{number} {name}s"


def say_days(days: float | None) -> str:
    """A duration that is held in days, as :func:`say_duration` rounds it.

    >>> say_days(2.1), say_days(0.25)
    ('2.1 days', '6 hours')
    """
    return say_duration(None if days is None else 86_400 * days)


def say_window(seconds: float) -> str:
    """A length of time that somebody set: exact, in the largest unit up to days that makes it whole.

    >>> [say_window(s) for s in (15_552_000, 172_800, 5_400, 86_400, 1.5)]
    ['180 days', '2 days', '90 minutes', '1 day', '1.5 seconds']
    """
    for name, size in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        if seconds >= size and float(seconds / size).is_integer():
            return say_count(round(seconds / size), name)
    return f"{seconds:g} seconds"


def say_date(at: datetime | date, *, year: bool = False) -> str:
    """Day and month.

    >>> say_date(datetime(2026, 3, 2)), say_date(datetime(2026, 3, 2), year=True)
    ('2 Mar', '2 Mar 2026')
    """
    return f"{at.day} {_MONTHS[at.month - 1][:3]}" + (f" {at.year}" if year else "")


def say_month(at: datetime | date) -> str:
    """Month and year.

    >>> say_month(datetime(2026, 3, 2))
    'March 2026'
    """
    return f"{_MONTHS[at.month - 1]} {at.year}"


def say_instant(at: datetime) -> str:
    """Day, month, year, hour and minute.

    >>> say_instant(datetime(2026, 3, 2, 9, 5))
    '2 Mar 2026, 09:05'
    """
    return f"{say_date(at, year=True)}, {at.hour:02}:{at.minute:02}"


# --- lists and chance ---------------------------------------------------------------------------------------------


def say_list(words: Sequence[str]) -> str:
    """Words joined as in a sentence.

    >>> say_list([]), say_list(["a"]), say_list(["a", "b", "c"])
    ('', 'a', 'a, b and c')
    """
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


SURE_Q = 0.05


def measure_surety(r: Mapping[str, Any]) -> float:
    """How far the nearer end of a ratio's interval is from 1, in logarithms: large and sure comes first."""
    return max(math.log(max(r["low"], 1e-9)), -math.log(max(r["high"], 1e-9)))


def is_sure(r: Mapping[str, Any]) -> bool:
    """Whether a row is surer than chance: q under 5 %."""
    return r["q"] is not None and r["q"] < SURE_Q
