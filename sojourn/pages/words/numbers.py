"""Numbers as a person would say them: durations, shares, counts, dates, lists. For figures and the report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

_UNITS = (
    ("second", 1.0, 90.0),
    ("minute", 60.0, 5_400.0),
    ("hour", 3_600.0, 129_600.0),
    ("day", 86_400.0, 7_776_000.0),
    ("month", 2_629_746.0, 63_113_904.0),
    ("year", 31_556_952.0, math.inf),
)
"""Name, seconds in it, and the duration from which on the next unit is used."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


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


def say_number(value: float) -> str:
    """A number with two figures below ten, whole ones above, thousands set off.

    >>> [say_number(x) for x in (0, 0.0437, 0.5, 2.0, 2.14, 12.6, 41_908.2)]
    ['0', '0.044', '0.5', '2', '2.1', '13', '41,908']
    """
    if abs(value) >= 9.95:
        return f"{value:,.0f}"
    if abs(value) >= 0.995:
        return f"{value:.1f}".removesuffix(".0")
    return f"{value:.2g}"


def say_share(share: float | None) -> str:
    r"""A share as a percentage; small ones keep a decimal, so that something is never nothing.

    The space before the sign does not break.

    >>> [say_share(x) for x in (0.234, 0.004, 0.00001, 0.0, 0.9996, None)]
    ['23\xa0%', '0.4\xa0%', 'under 0.1\xa0%', '0\xa0%', 'over 99.9\xa0%', 'unknown']
    """
    if share is None or not math.isfinite(share):
        return "unknown"
    percent = 100 * share
    if 0 < percent < 0.1:
        return "under 0.1\u00a0%"
    if 99.9 < percent < 100:
        return "over 99.9\u00a0%"
    if 0 < percent < 0.95 or 99.05 < percent < 100:
        return f"{percent:.1f}\u00a0%"
    return f"{percent:.0f}\u00a0%"


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


def say_date(at: datetime, *, year: bool = False) -> str:
    """Day and month.

    >>> say_date(datetime(2026, 3, 2)), say_date(datetime(2026, 3, 2), year=True)
    ('2 Mar', '2 Mar 2026')
    """
    return f"{at.day} {_MONTHS[at.month - 1]}" + (f" {at.year}" if year else "")


def say_instant(at: datetime) -> str:
    """Day, month, year, hour and minute.

    >>> say_instant(datetime(2026, 3, 2, 9, 5))
    '2 Mar 2026, 09:05'
    """
    return f"{say_date(at, year=True)}, {at.hour:02}:{at.minute:02}"


def say_list(words: Sequence[str]) -> str:
    """Words joined as in a sentence.

    >>> say_list([]), say_list(["a"]), say_list(["a", "b", "c"])
    ('', 'a', 'a, b and c')
    """
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def say_few(n: int) -> str:
    """A count as a word up to ten.

    >>> say_few(5), say_few(11)
    ('five', '11')
    """
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    return words[n] if 0 <= n < len(words) else f"{n:,}"


def shorten(text: str, most: int) -> str:
    """The text on one line, cut with an ellipsis where it is longer than ``most`` characters.

    >>> shorten("count(compare, within=1h) >= 3", 16), shorten("two\\nlines", 20)
    ('count(compare,…', 'two lines')
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


SURE_Q = 0.05


def measure_surety(r: Mapping[str, Any]) -> float:
    """How far the nearer end of a ratio's interval is from 1, in logarithms: large and sure comes first."""
    return max(math.log(max(r["low"], 1e-9)), -math.log(max(r["high"], 1e-9)))


def is_sure(r: Mapping[str, Any]) -> bool:
    """Whether a row is surer than chance: q under 5 %."""
    return r["q"] is not None and r["q"] < SURE_Q
