"""Which segments have gone stale: the same people in them, and the same words about them, for half a year.

Who was in which segment is kept from refit to refit as a table of exports, which
:mod:`sojourn.prove.stability.membership` reads; the
verdict is that of :func:`sojourn.prove.stability.judge.judge_segment`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sojourn.frames import INSTANT
from sojourn.prove.stability.judge import STALE_DAYS
from sojourn.prove.stability.membership import audit_segments, read_segments

Row = Mapping[str, Any]

STALE = "stale"
EXPORTS = pa.schema([("customer_id", pa.string()), ("at", INSTANT), ("segment", pa.int32())])
"""Who is in which segment from when on, as the changes between exports; null: in none. The last export is whole."""

STALENESS = pa.schema(
    [
        ("segment", pa.string()),
        ("name", pa.string()),
        ("n_customers", pa.int64()),
        ("unchanged_share", pa.float64()),
        ("half_life_days", pa.float64()),
        ("observed_days", pa.float64()),
        ("same_description_days", pa.float64()),
        ("verdict", pa.string()),
        ("is_stale", pa.bool_()),
        ("says", pa.string()),
    ]
)
"""A row per segment; ``segment`` null in the one row that says why nothing can be told."""


def add_export(exports: pa.Table | None, segmented: pa.Table, at: datetime) -> pa.Table:
    """The exports with one more (:data:`EXPORTS`): ``segmented`` has ``customer_id, segment`` as of ``at``.

    Only changes are kept, and the last export as a whole, whose instant is where observation ends. Customers whom it
    lacks are in no segment from then on. An export of the same instant is replaced, so adding it again changes nothing.

    >>> from datetime import UTC
    >>> first = pa.table({"customer_id": ["a", "b"], "segment": [1, 2]})
    >>> table = add_export(None, first, datetime(2025, 1, 1, tzinfo=UTC))
    >>> for month in (2, 3):
    ...     table = add_export(table, first, datetime(2025, month, 1, tzinfo=UTC))
    >>> [(r["customer_id"], r["at"].month) for r in table.to_pylist()]
    [('a', 1), ('a', 3), ('b', 1), ('b', 3)]
    """
    ids = segmented["customer_id"].combine_chunks().cast(pa.string())
    instant = pa.scalar(at, INSTANT)
    parts = [_export(ids, segmented["segment"].combine_chunks(), instant)]
    if exports is not None:
        known = exports.select(EXPORTS.names).cast(EXPORTS)
        known = known.filter(pc.not_equal(known["at"], instant))
        gone = pc.unique(known.filter(pc.invert(pc.is_in(known["customer_id"], ids)))["customer_id"])
        parts += [known, _export(gone, pa.nulls(len(gone), pa.int32()), instant)]
    table = pa.concat_tables(parts).sort_by([("customer_id", "ascending"), ("at", "ascending")]).combine_chunks()
    who = table["customer_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    segment = table["segment"].fill_null(np.iinfo(np.int32).min).to_numpy()
    is_new = np.ones(len(who), bool)
    is_new[1:] = (who[1:] != who[:-1]) | (segment[1:] != segment[:-1])
    is_last = pc.equal(table["at"], pc.max(table["at"])).to_numpy()
    return table.filter(pa.array(is_new | is_last))


def _export(ids: pa.Array, segment: pa.Array, at: pa.Scalar) -> pa.Table:
    columns = {"customer_id": ids, "at": pa.repeat(at, len(ids)), "segment": segment}
    return pa.table(columns).cast(EXPORTS)


def add_descriptions(told: Sequence[Row], segments: Sequence[tuple[int, str]], at: datetime) -> list[dict[str, Any]]:
    """What was said of each segment from when on: ``number, described_as, from_at``; only what is new is added.

    ``segments`` are numbers with the words about them as of ``at``; what was said of that instant or later is replaced.

    >>> from datetime import UTC
    >>> told = add_descriptions([], [(1, "low spend")], datetime(2025, 1, 1, tzinfo=UTC))
    >>> told = add_descriptions(told, [(1, "low spend")], datetime(2025, 2, 1, tzinfo=UTC))
    >>> [(r["described_as"], r["from_at"][:10]) for r in told]
    [('low spend', '2025-01-01')]
    """
    kept = [dict(r) for r in told if datetime.fromisoformat(r["from_at"]) < at]
    last = {r["number"]: r["described_as"] for r in kept}
    new = [
        {"number": number, "described_as": words, "from_at": at.isoformat()}
        for number, words in segments
        if last.get(number) != words
    ]
    return [*kept, *new]


def judge_staleness(
    exports: pa.Table, where: str, *, names: Mapping[str, str] | None = None, told: Sequence[Row] = ()
) -> pa.Table:
    """What has not changed in six months (:data:`STALENESS`), of a table ``customer_id, at, segment``.

    ``names`` are those of the segments, ``told`` the descriptions of :func:`add_descriptions`. A segment is stale where
    :func:`sojourn.prove.stability.judge.judge_segment` says so: nine of ten members have been there for six months.
    What was said
    of it is added to the sentence. Where less time is known, the verdicts say so. Raises SojournError for a table that
    cannot be read; a single export is told as such.
    """
    if exports.num_rows and "at" in exports.column_names and pc.count_distinct(exports["at"]).as_py() == 1:
        why = "there is one export of the segments only; what has not changed is seen from the second on"
        return _say_why_not(why)
    spells = read_segments(exports, where)
    observed, words = spells.observed_days, _describe(told, spells.until_us)
    rows = []
    for r in audit_segments(spells):
        if r["segment"] is None or not r["n_customers"]:
            continue  # all together, and segments that nobody is in any more
        days = words.get(r["segment"])
        is_stale = r["verdict"] == STALE
        rows.append(
            {
                **{
                    name: r[name] for name in ("segment", "n_customers", "unchanged_share", "half_life_days", "verdict")
                },
                "name": (names or {}).get(r["segment"]),
                "observed_days": observed,
                "same_description_days": days,
                "is_stale": is_stale,
                "says": r["says"] + (_say_words(days) if is_stale and days is not None else ""),
            }
        )
    return pa.Table.from_pylist(rows, schema=STALENESS) if rows else _say_why_not("nobody is in any segment now")


def _say_why_not(why: str) -> pa.Table:
    row = {"verdict": "unknown", "is_stale": False, "says": f"{why[0].upper()}{why[1:]}."}
    return pa.Table.from_pylist([row], schema=STALENESS)


def _describe(told: Sequence[Row], until_us: int) -> dict[str, float]:
    """For how many days each segment has been described as it is now."""
    since = {str(r["number"]): datetime.fromisoformat(r["from_at"]).timestamp() for r in told}
    return {number: until_us / 86_400e6 - start / 86_400 for number, start in since.items()}


def _say_words(days: float) -> str:
    if days >= STALE_DAYS:
        return " What sets it apart has been the same for as long, too."
    return f" What sets it apart has changed, though: it is described otherwise since {days:.0f} days."


def name_refit(r: Row) -> str:
    """The segment's number, with its name in brackets where it has one."""
    return f"{r['segment']} ({r['name']})" if r["name"] else str(r["segment"])
