"""The job `check`: how a playbook fits the events; what its rules match, what they miss, and what never happens.

:func:`check` is what ``sojourn check`` does. Mistakes of the playbook raise; findings about the events are
returned, since a playbook may rightly name things that one file lacks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sojourn.errors import Problem, nearest
from sojourn.events import read_events
from sojourn.fold import Observe, build_layout, fold_events, make_batch, read_features
from sojourn.frames import Progress
from sojourn.pipelines.inputs import read_playbook
from sojourn.playbook import Playbook

if TYPE_CHECKING:
    from sojourn.events import EventLog

Row = dict[str, Any]
Finding = tuple[str, int | None, str, str | None]
"""What it is about, the line of the playbook, what was found, and the nearest right word."""

MOST_UNMAPPED = 20
"""Raw event names without a class that become findings; all that are known are in ``unmapped``."""
MOSTLY = 0.5
"""Share of rows without a value above which a measure or property is a finding."""


def check(
    playbook: str | Path | Playbook,
    events: Any = None,
    *,
    clock: datetime | None = None,
    n_threads: int = 1,
    progress: Progress | None = None,
) -> Row:
    """What a playbook says and, with ``events``, how it fits them, as plain values that JSON can hold.

    Keys: ``playbook``, ``states``, ``n_event_classes``, ``n_features``, ``n_indicators``, ``n_targets``;
    ``findings``, a list of ``about, line, text``; and ``events``, None or the rows read, ``classes``, ``unmapped``,
    ``measures``, ``properties``, ``channels``, ``labels``, ``indicators`` and ``features`` (see :func:`check_log`).
    ``clock`` is the instant after which events lie in the future; by default now. Raises PlaybookError with
    every problem of the playbook, EventsError when the events cannot be read.

    >>> check("shop")["states"][0]
    'discovery'
    """
    read = read_playbook(playbook)
    found: Row = {
        "playbook": read.name,
        "version": read.version,
        "hash": read.hash,
        "states": list(read.state_names),
        "n_event_classes": len(read.events),
        "n_features": len(read.features),
        "n_indicators": sum(len(state.indicators) for state in read.states),
        "n_targets": len(read.targets),
        "findings": [
            {"about": "playbook", "line": int(problem.where.rpartition(":")[2]), "text": str(problem)}
            for problem in read.warnings
        ],
        "events": None,
    }
    if events is not None:

        def watch(done: int, total: int) -> None:
            if progress:
                progress("events", done, total)

        log = read_events(events, read, now=None, clock=clock or datetime.now(UTC), progress=watch, n_threads=n_threads)
        where = str(playbook) if isinstance(playbook, (str, Path)) else str(read.path or read.name)
        facts = check_log(read, log, n_threads=n_threads)
        found["events"] = facts
        found["findings"] += find_all(read, facts, where)
    return found


def check_log(playbook: Playbook, log: EventLog, *, n_threads: int = 1) -> Row:
    """The facts of one log: rows, and per class, raw name, measure, property, channel, label, indicator and feature."""
    events = log.events
    return {
        "rows": {
            "read": log.n_read,
            "accepted": log.n_accepted,
            "duplicate": log.n_duplicate,
            "quarantined": log.n_quarantined,
        },
        "quarantined_by_rule": _count(log.quarantine["rule"]),
        "warnings": list(log.warnings),
        "sentiment_texts": dict(log.languages),
        "customers": pc.count_distinct(events["customer_id"]).as_py(),
        "classes": list_classes(playbook, log.by_class),
        "unmapped": list_unmapped(playbook, log.raw_names),
        "measures": _list_values(playbook, events, "measure"),
        "properties": _list_values(playbook, events, "property"),
        "channels": _count(events["channel"]),
        "labels": _count(events["label"]),
        **_observe(playbook, events, n_threads),
    }


def list_classes(playbook: Playbook, by_class: Sequence[Mapping[str, Any]]) -> list[Row]:
    """What the log says of each event class, with its line, whether it is a touch, and its share of the rows."""
    events = {event.name: event for event in playbook.events}
    n_rows = sum(row["n_rows"] for row in by_class)
    return [
        {
            **row,
            "line": events[row["event_class"]].line if row["event_class"] in events else None,
            "is_touch": row["event_class"] in playbook.touches,
            "share": row["n_rows"] / max(1, n_rows),
        }
        for row in by_class
    ]


def list_unmapped(playbook: Playbook, raw_names: Mapping[str, int]) -> list[Row]:
    """Raw event names that belong to no class, most rows first, each with the class whose names are most like it.

    >>> from sojourn.playbook.load import load_playbook
    >>> list_unmapped(load_playbook("shop"), {"product_viewed": 7})
    [{'raw_name': 'product_viewed', 'n_rows': 7, 'nearest': 'product_view'}]
    """
    known = {_fold_name(event.name): event.name for event in playbook.events}
    known |= {_fold_name(raw): event.name for event in playbook.events for raw in event.raw_names}
    found = []
    for raw, n_rows in sorted(raw_names.items(), key=lambda item: (-item[1], item[0])):
        near = nearest(_fold_name(raw), known)
        found.append({"raw_name": raw, "n_rows": n_rows, "nearest": known[near] if near else None})
    return found


def _fold_name(name: str) -> str:
    """``Product Viewed``, ``product_viewed`` and ``productViewed`` alike."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return " ".join(re.findall(r"\w+", spaced.replace("_", " ").lower()))


def _count(column: Any) -> dict[str, int]:
    """How often each text occurs, most often first."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(pa.string())
    pairs = [(row["values"], row["counts"]) for row in pc.value_counts(column.drop_null()).to_pylist()]
    return dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))


def _list_values(playbook: Playbook, events: pa.Table, kind: str) -> list[Row]:
    """How many rows of each class have a value of each of its measures or properties."""
    prefix = "m_" if kind == "measure" else "p_"
    class_of_row = events["event_class"].cast(pa.string())
    found = []
    for event in playbook.events:
        is_row = pc.equal(class_of_row, event.name)
        n_rows = pc.sum(is_row).as_py() or 0
        for name, _ in event.measures if kind == "measure" else event.properties:
            column = events[prefix + name]
            has_value = pc.invert(pc.is_null(column, nan_is_null=True))
            n_values = pc.sum(pc.and_(is_row, has_value)).as_py() or 0
            found.append(
                {kind: name, "event_class": event.name, "line": event.line, "n_rows": n_rows, "n_values": n_values}
            )
    return found


def _observe(playbook: Playbook, events: pa.Table, n_threads: int) -> Row:
    """Fold the events: how often each indicator fires, and what each feature is for each customer in the end."""
    indicators = [
        {"state": state.name, "when": indicator.when.text, "line": indicator.line}
        for state in playbook.states
        for indicator in state.indicators
    ]
    if not events.num_rows:
        return {"indicators": [], "features": []}

    layout = build_layout(playbook)
    batch = make_batch(events, layout)
    no_cuts = [np.empty(0)] * len(layout.fingerprint)
    folded = fold_events(layout, batch, observe=Observe(cuts=no_cuts), n_threads=n_threads)
    if folded.symbols is None:
        raise RuntimeError("the fold was asked for symbols and gave none")
    touches = [playbook.class_names.index(name) for name in playbook.touches]
    is_evidence = ~np.isin(batch.event_class, touches)
    fired = folded.symbols[is_evidence, len(layout.fingerprint) :].sum(axis=0, dtype=np.int64)
    n_events = int(is_evidence.sum())
    values = read_features(layout, folded.vectors, int(batch.event_at[-1]), n_threads=n_threads)
    return {
        "indicators": [
            {**row, "n_fired": int(n), "share": int(n) / max(1, n_events)}
            for row, n in zip(indicators, fired, strict=True)
        ],
        "features": [
            {"feature": f.name, "line": f.line, "is_in_fingerprint": f.name in playbook.fingerprint}
            | describe_values(values[:, i])
            for i, f in enumerate(playbook.features)
        ],
    }


def describe_values(values: NDArray[np.float64]) -> Row:
    """Share of missing values; least, middle and largest of the others (None when there are none); how many differ.

    >>> describe_values(np.array([1.0, 3.0, np.nan, 1.0]))
    {'missing_share': 0.25, 'min': 1.0, 'median': 1.0, 'max': 3.0, 'n_distinct': 2}
    """
    known = np.sort(values[np.isfinite(values)])
    row: Row = {"missing_share": 1.0 - len(known) / max(1, len(values)), "min": None, "median": None, "max": None}
    if len(known):
        row |= {"min": float(known[0]), "median": float(np.median(known)), "max": float(known[-1])}
    return {**row, "n_distinct": len(np.unique(known))}


def find_all(playbook: Playbook, facts: Mapping[str, Any], where: str) -> list[Row]:
    """What in the facts of a log deserves a look, in words, with the line of the playbook where there is one."""
    finders: Sequence[Callable[[Playbook, Mapping[str, Any]], list[Finding]]] = (
        _find_rows,
        _find_classes,
        _find_unmapped,
        _find_values,
        _find_channels,
        _find_labels,
        _find_indicators,
        _find_features,
    )
    return [
        {"about": about, "line": line, "text": str(Problem(f"{where}:{line}" if line else "", what, near))}
        for finder in finders
        for about, line, what, near in finder(playbook, facts)
    ]


def _find_rows(_: Playbook, facts: Mapping[str, Any]) -> list[Finding]:
    n_read = facts["rows"]["read"]
    found: list[Finding] = [("rows", None, text, None) for text in facts["warnings"]]
    if not facts["rows"]["accepted"]:
        found.append(("rows", None, f"none of {n_read:,} rows can be used", None))
    return found + [
        ("rows", None, f"{n:,} of {n_read:,} rows {'is' if n == 1 else 'are'} quarantined by the rule '{rule}'", None)
        for rule, n in facts["quarantined_by_rule"].items()
    ]


def _find_classes(playbook: Playbook, facts: Mapping[str, Any]) -> list[Finding]:
    unmapped = {_fold_name(row["raw_name"]): row["raw_name"] for row in facts["unmapped"]}
    raw_names = {event.name: event.raw_names for event in playbook.events}
    found: list[Finding] = []
    for row in facts["classes"]:
        if row["n_rows"] or row["line"] is None:
            continue
        near = [nearest(_fold_name(raw), unmapped) for raw in (*raw_names[row["event_class"]], row["event_class"])]
        word = next((unmapped[name] for name in near if name), None)
        found.append(("event class", row["line"], f"event class '{row['event_class']}' matches no row", word))
    return found


def _find_unmapped(_: Playbook, facts: Mapping[str, Any]) -> list[Finding]:
    rows = facts["unmapped"]
    found: list[Finding] = [
        ("unmapped", None, f"'{row['raw_name']}' ({row['n_rows']:,} rows) belongs to no event class", row["nearest"])
        for row in rows[:MOST_UNMAPPED]
    ]
    if len(rows) > MOST_UNMAPPED:
        found.append(("unmapped", None, f"{len(rows) - MOST_UNMAPPED} more raw names belong to no event class", None))
    return found


def _find_values(_: Playbook, facts: Mapping[str, Any]) -> list[Finding]:
    found: list[Finding] = []
    for kind, key in (("measure", "measures"), ("property", "properties")):
        for row in facts[key]:
            n_missing = row["n_rows"] - row["n_values"]
            if row["n_rows"] and n_missing > MOSTLY * row["n_rows"]:
                what = f"the {kind} '{row[kind]}' of '{row['event_class']}' is missing in "
                what += "all" if not row["n_values"] else f"{n_missing:,} of"
                found.append((kind, row["line"], f"{what} {row['n_rows']:,} rows", None))
    return found


def _find_channels(playbook: Playbook, facts: Mapping[str, Any]) -> list[Finding]:
    found: list[Finding] = []
    if playbook.source.channel and not facts["channels"] and facts["rows"]["accepted"]:
        found.append(("channel", playbook.source.line, f"no row has a channel in '{playbook.source.channel}'", None))
    for feature in playbook.features:
        for call in feature.program.calls:
            if call.primitive == "share" and facts["channels"] and call.of[1] not in facts["channels"]:
                what = f"feature '{feature.name}': no row came through the channel '{call.of[1]}'"
                found.append(("channel", feature.line, what, nearest(call.of[1], facts["channels"])))
    return found


def _find_labels(playbook: Playbook, facts: Mapping[str, Any]) -> list[Finding]:
    return [
        (
            "label",
            playbook.source.line,
            f"{n:,} rows have the label '{label}', which is no state",
            nearest(label, playbook.state_names),
        )
        for label, n in facts["labels"].items()
        if label not in playbook.state_names
    ]


def _find_indicators(_: Playbook, facts: Mapping[str, Any]) -> list[Finding]:
    found: list[Finding] = []
    for row in facts["indicators"]:
        if row["n_fired"] == 0 or row["share"] == 1.0:
            often = "never fires" if row["n_fired"] == 0 else "fires at every event, so it tells nothing"
            found.append(
                ("indicator", row["line"], f"state '{row['state']}': the indicator '{row['when']}' {often}", None)
            )
    return found


def _find_features(_: Playbook, facts: Mapping[str, Any]) -> list[Finding]:
    found: list[Finding] = []
    for row in facts["features"]:
        name = f"feature '{row['feature']}'" + (" of the fingerprint" if row["is_in_fingerprint"] else "")
        if row["n_distinct"] == 0:
            found.append(("feature", row["line"], f"{name} is missing for every customer", None))
        elif row["n_distinct"] == 1 and row["missing_share"] == 0.0 and facts["customers"] > 1:
            found.append(("feature", row["line"], f"{name} is {row['min']:g} for every customer", None))
    return found
