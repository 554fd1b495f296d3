"""Instants as whole microseconds since 1970, UTC: from clocks and calendars, and as ISO 8601."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now_us() -> int:
    """The instant that the clock shows."""
    return time.time_ns() // 1_000


def instant_us(at: datetime) -> int:
    """The instant of a date and time, exactly; one without a time zone is in UTC.

    >>> instant_us(datetime(1970, 1, 1, 0, 0, 1, 7))
    1000007
    """
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)


def show_instant(at: int) -> str:
    """An instant as ISO 8601, to the microsecond.

    >>> show_instant(1_500_000)
    '1970-01-01T00:00:01.500000Z'
    """
    days, of_day = divmod(at, 86_400_000_000)
    seconds, us = divmod(of_day, 1_000_000)
    return f"{_show_day(days)}T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{us:06}Z"


@lru_cache(256)
def _show_day(days: int) -> str:
    return (_EPOCH + timedelta(days=days)).date().isoformat()


def show_second(at: int | None) -> str | None:
    """The same to the second; None stays None."""
    shown = None if at is None else (_EPOCH + timedelta(microseconds=at)).isoformat(timespec="seconds")
    return shown and shown.replace("+00:00", "Z")


DAY_S = 86_400.0
DAY_US = 86_400_000_000
WEEK_US = 7 * DAY_US
MONDAY_US = -3 * DAY_US
"""The Monday before the Unix epoch, 1969-12-29: weeks are counted from it."""
