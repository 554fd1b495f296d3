"""One chunk of raw rows becomes events: each row read, checked, and accepted or quarantined with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sojourn.events.columns import Columns
from sojourn.events.identity import IdPiece, merge_column, pair_ids, pick_first, recode_identifiers
from sojourn.events.mapping import Places
from sojourn.events.quarantine import _Bad, _show_raw, explain_no_customer, explain_no_instant, say_instant, show_value
from sojourn.events.rules import match_rows, measure_rows
from sojourn.events.sources import Chunk, Flags, Integers
from sojourn.events.values import MISSING, UNREADABLE, read_instants
from sojourn.frames import Coded, instant_us, join_names, run_query
from sojourn.playbook import Playbook
from sojourn.playbook.rules import Column, RowRule, find_model, walk
from sojourn.playbook.text import count_languages

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
"""Events before this instant are quarantined: a clock that was never set, or seconds taken for something else."""
TOLERANCE = timedelta(days=1)
"""How far after now an event may lie: clocks differ, days begin earlier elsewhere."""

_SURE = 0.95  # of a label whose column of certainty is empty
FILE_BITS = 40
"""``seq`` is the file's index above this many bits, and the row below."""


@dataclass(frozen=True)
class Piece:
    """Accepted rows of one chunk, and its quarantined rows. ``keys`` tell rows that may be equal from others.

    ``numbers`` are the columns of measures and labels, ``texts`` those of texts; None is missing in every row.
    """

    n_rows: int
    ids: IdPiece
    event_id: pa.StringArray
    seq: Integers
    event_at: Integers  # microseconds since 1970
    event_class: NDArray[np.int16]
    numbers: dict[str, NDArray[np.float64] | None]
    texts: dict[str, Coded | None]
    keys: NDArray[np.uint64] | None  # of the id or of the content; equal for equal rows
    exact: NDArray[np.uint64] | None  # with `keys`, the whole hash of the content
    quarantine: pa.Table
    unmatched: Counter[str]
    present: frozenset[str]  # paths that some row has
    languages: Counter[tuple[str, str]]  # rows per measure of sentiment and language, "scored" for those with a score


@dataclass(frozen=True)
class Reading:
    """What reading a chunk needs, the same for all chunks of a source."""

    playbook: Playbook
    places: Places
    source: str
    file: int
    latest: datetime
    connection: DuckDBPyConnection


def read_rows(chunk: Chunk, reading: Reading) -> Piece:
    """The chunk's rows as events, and its quarantine. Rows keep their order."""
    playbook, places = reading.playbook, reading.places
    columns = Columns(chunk, places.paths(playbook), reading.connection)
    bad = _Bad(columns.n_rows)
    ids, previous = _read_ids(columns, places)
    identifiers = _read_identifiers(columns, places)
    first = pick_first(ids)
    bad.add("customer", first < 0, lambda at: _say_customer(columns, places, at))
    form = playbook.source.time_format
    stamps, state = read_times(columns, places.time, form, reading.connection)
    bad.add("time", state != 0, lambda at: _say_time(columns, places, state, at))
    _check_range(stamps, bad, reading.latest)
    names = _read_names(columns, places)
    event_class = classify_rows(playbook, names, columns)
    is_other = event_class == len(playbook.events)
    if places.event is not None:
        say_empty = f"'{places.event}' is empty, so the event has no name"
        bad.add("event", is_other & (names.codes < 0), lambda at: [say_empty] * len(at))
    if playbook.source.other == "quarantine":
        bad.add("class", is_other, lambda at: _say_class(names, at))
    numbers = {f"m_{name}": _measure(playbook, name, event_class, columns, bad) for name in playbook.measure_names}
    label, numbers["label_p"] = _read_label(columns, places, bad)
    texts = {"channel": _read_optional(columns, places.channel), "session": _read_optional(columns, places.session)}
    texts["label"] = label
    texts |= {f"p_{name}": _read_property(playbook, name, event_class, columns) for name in playbook.property_names}
    event_id = columns.texts(places.id) if places.id else pa.nulls(columns.n_rows, pa.string())
    keys, exact = _hash_rows(chunk, columns, places, event_id, reading.connection)
    good = bad.code == 0
    piece = Piece(
        n_rows=int(good.sum()),
        ids=pair_ids(ids, first, rows=good, extra=previous, identifiers=identifiers),
        event_id=event_id,
        seq=np.int64(reading.file) << FILE_BITS | chunk.rows,
        event_at=stamps,
        event_class=event_class,
        numbers=numbers,
        texts=texts,
        keys=keys,
        exact=exact,
        quarantine=bad.tabulate(chunk, reading.source),
        unmatched=_count_names(names, is_other),
        present=columns.present(),
        languages=_count_languages(playbook, event_class, columns),
    )
    return piece if good.all() else keep_rows(piece, good)


def keep_rows(piece: Piece, rows: Flags) -> Piece:
    """The piece with only these of its accepted rows."""
    return replace(
        piece,
        n_rows=int(rows.sum()),
        ids=piece.ids.keep(rows),
        event_id=piece.event_id.filter(pa.array(rows)),
        seq=piece.seq[rows],
        event_at=piece.event_at[rows],
        event_class=piece.event_class[rows],
        numbers={name: None if values is None else values[rows] for name, values in piece.numbers.items()},
        texts={name: None if coded is None else coded.keep(rows) for name, coded in piece.texts.items()},
        keys=None if piece.keys is None else piece.keys[rows],
        exact=None if piece.exact is None else piece.exact[rows],
    )


def _read_ids(columns: Columns, places: Places) -> tuple[list[Coded], Coded | None]:
    """The id columns in order of preference, and the earlier anonymous ids of alias calls."""
    ids = [columns.ids(path) for path in places.customer]
    if places.previous is None or columns.raw(places.previous) is None:
        return ids, None
    last, previous = merge_column(ids[-1], columns.ids(places.previous))
    return [*ids[:-1], last], previous


def _read_identifiers(columns: Columns, places: Places) -> list[Coded]:
    """The identifiers of each kind."""
    found = []
    for kind, paths in places.identifiers:
        coded = [recode_identifiers(kind, columns.ids(path)) for path in paths]
        while len(coded) > 1:
            first, second = merge_column(*coded[:2])
            coded[:2] = [Coded(np.where(first.codes < 0, second.codes, first.codes), first.names)]
        found += coded
    return found


def _say_customer(columns: Columns, places: Places, at: Integers) -> list[str]:
    raws = [_show_raw(columns, path, at) for path in places.customer]
    return [explain_no_customer(places.customer, values) for values in zip(*raws, strict=True)]


def read_times(
    columns: Columns, paths: Sequence[str], time_format: str | None, connection: DuckDBPyConnection
) -> tuple[Integers, NDArray[np.uint8]]:
    """The first time that is there, of those that the format has; as :func:`read_instants` gives it."""
    stamps = np.zeros(columns.n_rows, np.int64)
    state = np.full(columns.n_rows, MISSING, np.uint8)
    for path in paths:
        raw = columns.raw(path)
        if raw is None or not (state == MISSING).any():
            continue
        new, new_state = read_instants(raw, time_format, connection)
        if (state == MISSING).all():
            stamps, state = new, new_state
        else:
            is_open = state == MISSING
            stamps, state = np.where(is_open, new, stamps), np.where(is_open, new_state, state)
    return stamps, state


def _say_time(columns: Columns, places: Places, state: NDArray[np.uint8], at: Integers) -> list[str]:
    names = " and ".join(places.time)
    raws = [_show_raw(columns, path, at) for path in places.time]
    found = []
    for i, values in zip(at.tolist(), zip(*raws, strict=True), strict=True):
        value = next((v for v in values if str(v if v is not None else "").strip()), None)
        if state[i] != UNREADABLE:
            found.append(f"{names} {'is' if len(values) == 1 else 'are'} empty")
        else:
            found.append(explain_no_instant(value))
    return found


def _check_range(stamps: Integers, bad: _Bad, latest: datetime) -> None:
    first, last = instant_us(EARLIEST), instant_us(latest)
    limit = latest.isoformat(timespec="seconds").replace("+00:00", "Z")
    bad.add("early", stamps < first, lambda at: [f"{say_instant(s)} is before 1990" for s in stamps[at].tolist()])
    bad.add("future", stamps > last, lambda at: [f"{say_instant(s)} is after {limit}" for s in stamps[at].tolist()])


def _read_names(columns: Columns, places: Places) -> Coded:
    """Raw event names; in Segment's format the type, but for "track"."""
    nothing = Coded(np.full(columns.n_rows, -1, np.int32), pa.array([], pa.string()))
    if places.event is None:
        return nothing
    names = columns.coded(places.event) or nothing
    if places.type is None:
        return names
    kinds = columns.coded(places.type) or nothing
    track = pc.index(kinds.names, "track").as_py()
    both, (of_names, of_kinds) = join_names([names.names, kinds.names])
    is_call = (kinds.codes >= 0) & (kinds.codes != track)
    return Coded(
        np.where(is_call, np.append(of_kinds, -1)[kinds.codes], np.append(of_names, -1)[names.codes]).astype(np.int32),
        both,
    )


def classify_rows(playbook: Playbook, names: Coded, columns: Columns) -> NDArray[np.int16]:
    """The class of each row: the index of the first that matches, or the number of classes for "other"."""
    n_classes = len(playbook.events)
    known, codes = names.names, names.codes  # -1, no name, is the last entry of what follows
    by_name = np.full(len(known) + 1, n_classes, np.int16)
    has_name: list[Flags | None] = []
    for i, event in enumerate(playbook.events):
        flags = np.ones(len(known) + 1, bool)
        if event.raw_names:
            flags[:-1] = pc.is_in(known, pa.array(event.raw_names)).to_numpy(zero_copy_only=False)
            flags[-1] = False
        has_name.append(flags if event.where else None)
        if not event.where:
            by_name[flags & (by_name == n_classes)] = i
    found = by_name[codes]
    for i, event in enumerate(playbook.events):
        named = has_name[i]
        if event.where is None or named is None:
            continue
        open_rows = named[codes] & (found > i)
        if open_rows.any():
            found[open_rows & match_rows(event.where, columns)] = i
    return found


def _say_class(names: Coded, at: Integers) -> list[str]:
    shown = names.names.take(pa.array(names.codes[at], mask=names.codes[at] < 0)).to_pylist()
    return [f"no event class matches {'this row' if v is None else show_value(v)}" for v in shown]


def _count_names(names: Coded, where: Flags) -> Counter[str]:
    """Rows per raw name."""
    codes = names.codes[where & (names.codes >= 0)]
    if not codes.size:
        return Counter()
    counts = np.bincount(codes, minlength=len(names.names))
    at = np.flatnonzero(counts)
    return Counter(dict(zip(names.names.take(pa.array(at)).to_pylist(), counts[at].tolist(), strict=True)))


def _measure(
    playbook: Playbook, name: str, event_class: NDArray[np.int16], columns: Columns, bad: _Bad
) -> NDArray[np.float64] | None:
    """The measure in rows of the classes that have it; None where no row has a value."""
    found: NDArray[np.float64] | None = None
    for rule, has in _group(playbook, lambda event: dict(event.measures).get(name)).items():
        where = has[event_class]
        if not where.any():
            continue
        numbers, is_bad = measure_rows(rule, columns)
        if not np.isnan(numbers).all():
            found = np.where(where, numbers, np.nan if found is None else found)
        if is_bad.any():
            bad.add("number", is_bad & where, lambda at, rule=rule: _say_number(columns, name, rule, at))
    return found


def _count_languages(playbook: Playbook, event_class: NDArray[np.int16], columns: Columns) -> Counter[tuple[str, str]]:
    """Texts per measure of sentiment and language: those of a language that is not known have no score."""
    found: Counter[tuple[str, str]] = Counter()
    for i, event in enumerate(playbook.events):
        for name, rule in event.measures:
            for sentiment in rule.sentiments:
                texts = columns.texts(next(node.text for node in walk(sentiment) if isinstance(node, Column)))
                some = texts.filter(pa.array(event_class == i)).to_pylist()
                for language, n in count_languages(some, find_model(sentiment)).items():
                    found[name, language] += n
    return found


def _group(playbook: Playbook, choose: Any) -> Mapping[Any, Flags]:
    """Which classes share what is chosen of each: one flag per class, the last for "other"."""
    found: dict[Any, Flags] = {}
    for i, event in enumerate(playbook.events):
        chosen = choose(event)
        if chosen is not None:
            found.setdefault(chosen, np.zeros(len(playbook.events) + 1, bool))[i] = True
    return found


def _say_number(columns: Columns, name: str, rule: RowRule, at: Integers) -> list[str]:
    said = [f"{name} is too large for a number"] * len(at)
    for path in reversed([".".join(parts) for parts in rule.number_paths]):
        is_bad = columns.numbers(path)[1][at]
        for i, value in enumerate(_show_raw(columns, path, at)):
            if is_bad[i]:
                said[i] = f"{name}: {path} is {show_value(value)}, which is no finite number"
    return said


def _read_optional(columns: Columns, path: str | None) -> Coded | None:
    return columns.coded(path) if path else None


def _read_label(columns: Columns, places: Places, bad: _Bad) -> tuple[Coded | None, NDArray[np.float64] | None]:
    """Known states and how sure they are; NaN where there is no label."""
    label = _read_optional(columns, places.label)
    if label is None or not (label.codes >= 0).any():
        return None, None
    sure = np.full(columns.n_rows, np.nan)
    is_known = label.codes >= 0
    if isinstance(places.label_p, float):
        sure[is_known] = places.label_p
        return label, sure
    path = places.label_p
    values, is_bad = columns.numbers(path)
    with np.errstate(invalid="ignore"):
        is_bad = (is_bad | (values <= 0) | (values > 1)) & is_known

    def say(at: Integers) -> list[str]:
        return [f"{path} is {show_value(value)}, which is no probability" for value in _show_raw(columns, path, at)]

    bad.add("label", is_bad, say)
    sure[is_known] = np.where(np.isnan(values), _SURE, values)[is_known]
    return label, sure


def _read_property(playbook: Playbook, name: str, event_class: NDArray[np.int16], columns: Columns) -> Coded | None:
    """The property in rows of the classes that have it."""
    found: Coded | None = None
    for path, has in _group(playbook, lambda event: dict(event.properties).get(name)).items():
        coded = columns.coded(path)
        where = has[event_class]
        if coded is None or not where.any():
            continue
        coded = Coded(np.where(where, coded.codes, np.int32(-1)), coded.names)
        if found is not None:  # another path for other classes: no row has both
            old, new = merge_column(found, coded)
            coded = Coded(np.maximum(old.codes, new.codes), old.names)
        found = coded
    return found


def _hash_rows(
    chunk: Chunk, columns: Columns, places: Places, event_id: pa.StringArray, connection: DuckDBPyConnection
) -> tuple[NDArray[np.uint64] | None, NDArray[np.uint64] | None]:
    """Keys by which rows may be duplicates: of the id, or of all columns (with 64 more bits, which settle it)."""
    if places.duplicates == "keep" or not columns.n_rows:
        return None, None
    if places.duplicates == "id":
        return run_query(connection, "SELECT hash(a) AS x FROM t", a=event_id)["x"].to_numpy(), None
    if chunk.is_json:
        texts = pc.utf8_trim_whitespace(chunk.columns.column(0))
        query = "SELECT md5_number_lower(a) AS x, md5_number_upper(a) AS y FROM t"
        found = run_query(connection, query, a=texts)
    else:
        query = "SELECT md5_number_lower(to_json(t)::VARCHAR) AS x, md5_number_upper(to_json(t)::VARCHAR) AS y FROM t"
        found = run_query(connection, query, **{f"c{i}": column for i, column in enumerate(chunk.columns.columns)})
    return found["x"].to_numpy(), found["y"].to_numpy()
