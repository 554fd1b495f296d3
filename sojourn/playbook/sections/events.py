"""The sections of a playbook about raw rows: ``source`` and ``events``."""

from __future__ import annotations

import zoneinfo

from sojourn.errors import SojournError, nearest
from sojourn.playbook.objects import EventClass, Source
from sojourn.playbook.reader import KEYS, MOST_KINDS, Reader
from sojourn.playbook.rules import RowRule, RowUnit, compile_row_rule, explain_protected, place_models
from sojourn.playbook.yaml import Mapped, Scalar, Yaml

_SEGMENT = {"customer": ("userId", "anonymousId"), "time": "timestamp", "event": "event", "id": "messageId"}
"""Where rows in the format of the public Segment specification have things."""


def read_source(reader: Reader, node: Yaml | None, protected: tuple[str, ...]) -> Source:
    """The source; what is not written has the default of its format."""
    section = reader.read_section(node, "source", KEYS["source"])
    form = reader.read_choice(section.get("format"), "source format", ("auto", "table", "segment"), "auto")
    read = {
        key: reader.read_text(section.get(key), f"source {key}") or None
        for key in KEYS["source"]
        if key not in ("customer", "identifiers")
    }
    defaults = _SEGMENT if form == "segment" else {}
    customer = tuple(text for text, _ in reader.read_texts(section.get("customer"), "source customer"))
    time = read["time"] or defaults.get("time")
    if form == "table":
        for key, value in (("customer", customer), ("time", time)):
            if not value:
                reader.fail(section.line or 1, f"source needs '{key}': the column that holds it")
    event_id = read["id"] or defaults.get("id")
    for key in ("channel", "session", "label"):
        _check_protected(reader, read[key], section.get(key), f"source {key}", protected)
    return Source(
        format=form,
        customer=customer or tuple(defaults.get("customer", ())),
        identifiers=_read_identifiers(reader, section.get("identifiers"), customer, protected),
        time=str(time) if time else None,
        time_format=read["time_format"],
        timezone=_read_timezone(reader, section.get("timezone")),
        event=read["event"] or (str(defaults["event"]) if defaults else None),
        id=str(event_id) if event_id else None,
        session=read["session"],
        channel=read["channel"],
        label=read["label"],
        label_p=_read_label_p(reader, section.get("label_p"), read["label_p"]),
        duplicates=_read_duplicates(reader, section, form, is_id_known=event_id is not None),
        other=reader.read_choice(section.get("other"), "source other", ("keep", "quarantine"), "keep"),
        line=section.line,
    )


def _read_identifiers(
    reader: Reader, node: Yaml | None, customer: tuple[str, ...], protected: tuple[str, ...]
) -> tuple[str, ...]:
    found: list[str] = []
    for path, line in reader.read_texts(node, "source identifiers"):
        if path in customer:
            reader.fail(line, f"source identifiers: '{path}' is a customer column already")
        elif path in found:
            reader.fail(line, f"source identifiers names '{path}' twice")
        else:
            _check_protected(reader, path, node, "source identifiers", protected)
            found.append(path)
    n_kinds = len({path.rpartition(".")[2] for path in found})
    if n_kinds > MOST_KINDS and node is not None:
        reader.fail(node.line, f"source identifiers has {n_kinds} kinds; at most {MOST_KINDS} are allowed")
    return tuple(found)


def _read_duplicates(reader: Reader, section: Mapped, form: str, *, is_id_known: bool) -> str:
    node = section.get("duplicates")
    chosen = reader.read_choice(node, "source duplicates", ("id", "content", "keep"), "id" if is_id_known else "keep")
    if chosen == "id" and not is_id_known and form == "table" and node is not None:
        reader.fail(node.line, "source duplicates is 'id', but source has no 'id': the column that holds it")
    return chosen


def _read_label_p(reader: Reader, node: Yaml | None, text: str | None) -> str | float:
    if text is None:
        return 0.95
    if text[0].isdigit() or text[0] in "+-.":
        return reader.read_number(node, "source label_p", 1e-6, 1.0) or 0.95
    return text


def _read_timezone(reader: Reader, node: Yaml | None) -> str:
    text = reader.read_text(node, "source timezone") or "UTC"
    if text == "UTC" or node is None:
        return text
    try:
        zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = nearest(text, zoneinfo.available_timezones())
        reader.fail(node.line, f"source timezone: '{text[:80]}' is not a time zone such as UTC or Europe/Paris", near)
    return text


def read_events(
    reader: Reader, node: Yaml | None, source: Source, protected: tuple[str, ...]
) -> tuple[EventClass, ...]:
    """The event classes in order; the first that matches a row wins."""
    if node is None:
        reader.fail(1, "a playbook needs 'events': what each raw event means")
        return ()
    found: list[EventClass] = []
    taken: dict[str, tuple[str, int]] = {}
    for name, line, value in reader.read_entries(node, "events", "event class"):
        event = _read_event(reader, name, line, value, source, protected)
        _check_reachable(reader, event, taken)
        found.append(event)
    if not found:
        reader.fail(node.line, "events is empty: say what each raw event means")
    return tuple(found)


def _read_event(
    reader: Reader, name: str, line: int, node: Yaml, source: Source, protected: tuple[str, ...]
) -> EventClass:
    owner = f"event class '{name}'"
    section = reader.read_section(node, owner, KEYS["events"])
    raw = reader.read_texts(section.get("name"), f"{owner}: name")
    for i, (text, at) in enumerate(raw):
        if text in {other for other, _ in raw[:i]}:
            reader.fail(at, f"{owner} names '{text}' twice")
    is_named = source.event is not None or source.format != "table"
    where_node = section.get("where")
    where = _read_row_rule(reader, where_node, f"{owner}: where", "boolean", protected)
    if raw and not is_named:
        reader.fail(raw[0][1], f"{owner} has raw names, but source has no 'event': the column that holds them")
    if where_node is None and not raw and not is_named:
        reader.fail(line, f"{owner} needs 'where', since source has no 'event' column to go by")
    return EventClass(
        name=name,
        raw_names=tuple(text for text, _ in raw) or ((name,) if where_node is None and is_named else ()),
        where=where,
        measures=_read_measures(reader, section.get("measures"), owner, protected),
        properties=_read_properties(reader, section.get("properties"), owner, protected),
        is_touch=reader.read_bool(section.get("touch"), f"{owner}: touch"),
        line=line,
    )


def _check_reachable(reader: Reader, event: EventClass, taken: dict[str, tuple[str, int]]) -> None:
    """Note classes that never match, because classes above them take all their raw names."""
    above = [taken[raw] for raw in event.raw_names if raw in taken]
    if above and len(above) == len(event.raw_names):
        taker = f"'{above[0][0]}' on line {above[0][1]}"
        reader.fail(event.line, f"event class '{event.name}' never matches: {taker} takes its raw events first")
    elif above:
        for raw in event.raw_names:
            if raw in taken:
                reader.warn(
                    event.line,
                    f"event class '{event.name}' never gets '{raw}': '{taken[raw][0]}' takes it first",
                )
    if event.where is None:
        for raw in event.raw_names:
            taken.setdefault(raw, (event.name, event.line))


def _read_measures(
    reader: Reader, node: Yaml | None, owner: str, protected: tuple[str, ...]
) -> tuple[tuple[str, RowRule], ...]:
    found = []
    for name, line, value in reader.read_entries(node, f"{owner}: measures", "measure"):
        rule = _read_row_rule(reader, value, f"{owner}: measure '{name}'", "number", protected)
        if rule is not None:
            found.append((name, rule))
        elif isinstance(value, Scalar) and value.is_null:
            reader.fail(line, f"{owner}: measure '{name}' is empty; write the column that holds it")
    return tuple(found)


def _read_row_rule(
    reader: Reader, node: Yaml | None, owner: str, unit: RowUnit, protected: tuple[str, ...]
) -> RowRule | None:
    rule = reader.read_rule(node, owner, lambda text: compile_row_rule(text, unit, protected))
    if rule is None or node is None:
        return rule
    try:
        return place_models(rule, reader.where)
    except SojournError as error:
        for problem in error.problems:
            reader.fail(node.line, f"{owner}: {problem.where}: {problem.what}", problem.near)
        return None


def _read_properties(
    reader: Reader, node: Yaml | None, owner: str, protected: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    found = []
    for name, line, value in reader.read_entries(node, f"{owner}: properties", "property"):
        path = reader.read_text(value, f"{owner}: property '{name}'")
        if not path:
            reader.fail(line, f"{owner}: property '{name}' is empty; write the column that holds it")
            continue
        _check_protected(reader, path, value, f"{owner}: property '{name}'", protected)
        found.append((name, path))
    return tuple(found)


def _check_protected(
    reader: Reader, path: str | None, node: Yaml | None, owner: str, protected: tuple[str, ...]
) -> None:
    hidden = {word.lower() for word in protected}
    for part in (path or "").split("."):
        if part.strip("`").lower() in hidden and node is not None:
            reader.fail(node.line, f"{owner}: {explain_protected(part)}")
