"""How long customers stay in a segment, whichever segmentation it is: half-life, changes per week, staleness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sojourn.errors import Problem, SojournError, nearest
from sojourn.frames import DAY_US, F8, INSTANT, WEEK_US
from sojourn.prove.stability.judge import NONE, STALE_DAYS, judge_segment
from sojourn.transitions import Stays, estimate_dwell

Labels = npt.NDArray[np.int64]
Instants = npt.NDArray[np.int64]

_COLUMNS = ("customer_id", "at", "segment")


@dataclass(frozen=True)
class Spells:
    """Unbroken memberships as parallel arrays; instants in microseconds since 1970 (UTC).

    ``is_over`` is False for those that still last at ``until_us``: they are censored there. A membership that was
    under way when observation began counts from then on: what is measured of it is how much longer it lasted.
    """

    segments: tuple[str, ...]
    n_customers: int
    customer: Labels
    segment: Labels
    start_us: Instants
    end_us: Instants
    is_over: npt.NDArray[np.bool_]
    since_us: int
    until_us: int

    @property
    def days(self) -> F8:
        """Length of each, up to ``until_us``."""
        return (self.end_us - self.start_us) / DAY_US

    @property
    def observed_days(self) -> float:
        """From the first instant known to the last."""
        return (self.until_us - self.since_us) / DAY_US


def spells_of_panel(labels: Labels, instants_us: Instants, segments: Sequence[str]) -> Spells:
    """Memberships from labels [instants, customers] looked at again and again; −1 is in no segment.

    A change is dated at the first instant at which it is seen.

    >>> spells = spells_of_panel(np.array([[0, 1], [0, 0], [1, 0]]), np.array([0, 7, 14]) * DAY_US, ["a", "b"])
    >>> spells.days.tolist(), spells.is_over.tolist()
    ([14.0, 0.0, 7.0, 7.0], [True, False, True, False])
    """
    n_customers = labels.shape[1]
    customer = np.repeat(np.arange(n_customers), len(instants_us))
    return _spells(customer, np.tile(instants_us, n_customers), labels.T.ravel(), n_customers, instants_us, segments)


def _spells(
    customer: Labels, at: Instants, segment: Labels, n_customers: int, instants_us: Instants, segments: Sequence[str]
) -> Spells:
    """From rows in order of customer and instant."""
    since, until = int(instants_us.min()), int(instants_us.max())
    begins = np.ones(len(customer), bool)
    begins[1:] = (customer[1:] != customer[:-1]) | (segment[1:] != segment[:-1])
    customer, start, segment = customer[begins], at[begins], segment[begins]
    is_over = np.zeros(len(customer), bool)
    is_over[:-1] = customer[1:] == customer[:-1]
    end = np.full(len(customer), until)
    end[:-1][is_over[:-1]] = start[1:][is_over[:-1]]
    known = segment >= 0
    return Spells(
        tuple(segments),
        n_customers,
        customer[known],
        segment[known],
        start[known],
        end[known],
        is_over[known],
        since,
        until,
    )


def read_segments(table: pa.Table, where: str = "table") -> Spells:
    """Memberships from a table ``customer_id, at, segment``: from ``at`` on that customer is in that segment.

    Weekly exports and logs of changes both are such tables: rows that repeat the segment change nothing. A null
    segment means none. The last ``at`` of the table is where observation ends. Raises SojournError for columns that
    are missing, instants that cannot be read, two segments of a customer at one instant, or a single instant.
    """
    table = _check(table, where)
    codes = table["segment"].cast(pa.string()).combine_chunks().dictionary_encode()
    who = table["customer_id"].combine_chunks().dictionary_encode()
    names = sorted(codes.dictionary.to_pylist())
    place = np.array([names.index(name) for name in codes.dictionary.to_pylist()], np.int64)
    raw = codes.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    segment = np.where(raw >= 0, place[np.maximum(raw, 0)] if len(place) else raw, -1)
    customer = who.indices.to_numpy().astype(np.int64)
    at = np.asarray(table["at"].cast(pa.int64()).to_numpy(), np.int64)
    order = np.lexsort((segment, at, customer))
    customer, at, segment = customer[order], at[order], segment[order]
    same = (customer[1:] == customer[:-1]) & (at[1:] == at[:-1])
    if (same & (segment[1:] != segment[:-1])).any():
        i = int(np.flatnonzero(same & (segment[1:] != segment[:-1]))[0])
        both = " and ".join(repr(names[s]) if s >= 0 else "none" for s in segment[i : i + 2])
        raise SojournError(Problem(where, f"customer {who.dictionary[int(customer[i])]} is in {both} at one instant"))
    if at.min() == at.max():
        what = "every row has the same instant; how long people stay needs at least two exports"
        raise SojournError(Problem(where, what))
    return _spells(customer, at, segment, len(who.dictionary), at, names)


def _check(table: pa.Table, where: str) -> pa.Table:
    """The three columns in their types, without rows that lack a customer or an instant."""
    for name in _COLUMNS:
        if name not in table.column_names:
            raise SojournError(Problem(where, f"there is no column '{name}'", nearest(name, table.column_names)))
    if not table.num_rows:
        raise SojournError(Problem(where, "the table has no rows"))
    try:
        at = table["at"]
        if pa.types.is_dictionary(at.type):
            at = at.cast(pa.string())
        is_local = pa.types.is_timestamp(at.type) and at.type.tz is None
        at = at.cast(pa.timestamp("us")).cast(INSTANT) if is_local or pa.types.is_date(at.type) else at.cast(INSTANT)
    except pa.ArrowInvalid as error:
        raise SojournError(Problem(where, f"the column 'at' holds something that is no instant: {error}")) from None
    except pa.ArrowNotImplementedError:
        raise SojournError(Problem(where, f"the column 'at' is {table['at'].type}, not instants")) from None
    if at.null_count or table["customer_id"].null_count:
        raise SojournError(Problem(where, "a row has no customer_id or no at"))
    return pa.table({"customer_id": table["customer_id"].cast(pa.string()), "at": at, "segment": table["segment"]})


@dataclass(frozen=True)
class Lasting:
    """How long memberships of one segment (or of all) last.

    ``n_customers`` are members now, ``n_ever`` have been so at some time.
    ``half_life_days`` is the Kaplan–Meier median, None where fewer than half have left, with a 95 % interval that
    allows for several memberships of one customer (:func:`sojourn.transitions.dwell.estimate_dwell`; its upper end is
    None where
    it lies beyond what is known). ``changed_per_week`` is moves per customer and week.
    ``unchanged_share`` are the present members who have been so for six months, None where less time than that is
    known.
    """

    n_customers: int
    n_ever: int
    half_life_days: float | None
    low_days: float | None
    high_days: float | None
    changed_per_week: float | None
    unchanged_share: float | None


def measure_lasting(spells: Spells, segment: int | None = None) -> Lasting:
    """How long memberships last, of one segment or of all together."""
    mine = np.ones(len(spells.segment), bool) if segment is None else spells.segment == segment
    days, is_over = spells.days[mine], spells.is_over[mine]
    n_now = int((~is_over).sum())
    weeks = float(days.sum()) * DAY_US / WEEK_US
    rate = float(is_over.sum()) / weeks if weeks > 0 else None
    unchanged = None
    if spells.observed_days >= STALE_DAYS and n_now:
        unchanged = float((days[~is_over] >= STALE_DAYS).sum()) / n_now
    n_ever = len(np.unique(spells.customer[mine]))
    return Lasting(n_now, n_ever, *_find_half_life(spells, mine), rate, unchanged)


def _find_half_life(spells: Spells, mine: npt.NDArray[np.bool_]) -> tuple[float | None, float | None, float | None]:
    """The median of the Kaplan–Meier curve, and where its 95 % limits cross one half."""
    mine = mine & (spells.end_us > spells.start_us)  # first seen at the last instant: nothing is known of how long
    one = np.zeros(int(mine.sum()), np.int32)
    stays = Stays(
        ("all",),
        spells.n_customers,
        spells.customer[mine].astype(np.int32),
        one,
        np.where(spells.is_over[mine], 0, NONE).astype(np.int32),
        spells.start_us[mine],
        spells.end_us[mine],
    )
    curve = estimate_dwell(stays)
    after = curve["after_s"].to_numpy() * 1e6 / DAY_US
    median, low, high = (
        after[np.flatnonzero(curve[name].to_numpy() <= 0.5 + 1e-12)[:1]] for name in ("survival_p", "low_p", "high_p")
    )
    if not len(median):
        return None, None, None
    return float(median[0]), float(low[0]), float(high[0]) if len(high) else None


def audit_segments(spells: Spells) -> list[dict[str, Any]]:
    """The audit of a segmentation by itself: a row for all (``segment`` None), then one per segment; see the table
    ``stability.parquet``. Without the method that made it, wobble cannot be told from behaviour.
    """
    rows = []
    for code in (None, *range(len(spells.segments))):
        lasting = measure_lasting(spells, code)
        judged = judge_segment(
            lasting.n_ever,
            half_life_days=lasting.half_life_days,
            unchanged_share=lasting.unchanged_share,
            observed_days=spells.observed_days,
        )
        rows.append(
            {
                "method": "given",
                "segment": None if code is None else spells.segments[code],
                "n_customers": lasting.n_customers,
                **show_lasting(lasting),
                "verdict": None if code is None else judged.verdict,
                "says": _say_all(spells, lasting) if code is None else judged.says,
            }
        )
    return rows


def show_lasting(lasting: Lasting) -> dict[str, Any]:
    """The columns of ``stability.parquet`` that are about how long memberships last."""
    return {
        "half_life_days": lasting.half_life_days,
        "half_life_low_days": lasting.low_days,
        "half_life_high_days": lasting.high_days,
        "changed_per_week": lasting.changed_per_week,
        "unchanged_share": lasting.unchanged_share,
    }


def _say_all(spells: Spells, lasting: Lasting) -> str:
    rate = lasting.changed_per_week
    moves = "nobody could move" if rate is None else f"{100 * rate:.1f} % of the customers change segment in a week"
    known = f"In the {spells.observed_days:.0f} days known {moves}"
    if lasting.unchanged_share is None:
        return f"{known}; half a year is needed to say what is stale."
    return f"{known}; {100 * lasting.unchanged_share:.0f} % have not changed in six months."
