"""Where a source keeps what the playbook asks for, and what to say when a column is not there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sojourn.errors import EventsError, Problem, nearest
from sojourn.events.columns import find_column, list_paths
from sojourn.events.sources import Source
from sojourn.playbook import Playbook
from sojourn.playbook import objects as words

SEGMENT_TYPES = ("track", "page", "screen", "identify", "group", "alias")
_SEGMENT_IDS = ("userId", "anonymousId")
_SEGMENT_TIMES = ("timestamp", "originalTimestamp", "receivedAt")


@dataclass(frozen=True)
class Places:
    """Paths of one source. Of several customers or times the first that is not empty counts."""

    customer: tuple[str, ...]
    identifiers: tuple[tuple[str, tuple[str, ...]], ...]  # (kind, paths)
    time: tuple[str, ...]
    event: str | None
    type: str | None  # Segment: the raw event name is this, but for "track"
    previous: str | None  # Segment: the earlier anonymous id in an alias call
    id: str | None
    session: str | None
    channel: str | None
    label: str | None
    label_p: str | float
    duplicates: str  # "id", "content" or "keep"

    def paths(self, playbook: Playbook) -> list[str]:
        """All paths that reading needs, those of the playbook's events included."""
        own = [
            *self.customer,
            *(path for _, paths in self.identifiers for path in paths),
            *self.time,
            self.event,
            self.type,
            self.previous,
            self.id,
        ]
        own += [self.session, self.channel, self.label, self.label_p if isinstance(self.label_p, str) else None]
        return list(dict.fromkeys([path for path in own if path] + [path for path, _, _ in list_event_paths(playbook)]))


def list_event_paths(playbook: Playbook) -> list[tuple[str, str, int]]:
    """Paths that event classes read, each with what it is for and its line in the playbook."""
    found = []
    for event in playbook.events:
        rules = [("where", event.where)] if event.where else []
        rules += [(f"measure '{name}'", rule) for name, rule in event.measures]
        found += [(".".join(p), f"{what} of '{event.name}'", event.line) for what, rule in rules for p in rule.paths]
        found += [(path, f"property '{name}' of '{event.name}'", event.line) for name, path in event.properties]
    return found


def place_source(source: words.Source, *, is_segment: bool) -> Places:
    """The paths of a source. In Segment's format, what the playbook leaves out or writes alike is the format's."""
    plain = Places(
        customer=source.customer,
        identifiers=source.identifier_kinds,
        time=(source.time,) if source.time else (),
        event=source.event,
        type=None,
        previous=None,
        id=source.id,
        session=source.session,
        channel=source.channel,
        label=source.label,
        label_p=source.label_p,
        duplicates=source.duplicates,
    )
    if not is_segment:
        return plain
    customer = source.customer or _SEGMENT_IDS
    # The parser can not know that rows have a messageId where the format is found out from the rows.
    is_keep_meant = source.format == "segment" or source.id is not None
    return replace(
        plain,
        customer=customer,
        identifiers=tuple((kind, _find_traits(paths)) for kind, paths in source.identifier_kinds),
        time=_SEGMENT_TIMES if source.time in (None, "timestamp") else plain.time,
        event=source.event or "event",
        type="type" if source.event in (None, "event") else None,
        previous="previousId" if customer == _SEGMENT_IDS else None,
        id=source.id or "messageId",
        duplicates="id" if source.duplicates == "keep" and not is_keep_meant else source.duplicates,
    )


def _find_traits(paths: Iterable[str]) -> tuple[str, ...]:
    """In Segment's format a trait may sit in the context too, where it counts after the call's own."""
    own = tuple(paths)
    return tuple(dict.fromkeys([*own, *(f"context.{path}" for path in own if path.startswith("traits."))]))


def looks_like_segment(present: Iterable[str], source: words.Source) -> bool:
    """Whether rows that have these columns or keys are Segment's, given what the playbook says.

    A customer column of the playbook's own that is there speaks against it.
    """
    if source.format != "auto":
        return source.format == "segment"
    names = set(present)
    own = [path for path in source.customer if path not in _SEGMENT_IDS]
    if any(path.partition(".")[0] in names or path in names for path in own):
        return False
    return "type" in names and not names.isdisjoint(_SEGMENT_IDS)


def check_places(sources: Sequence[tuple[Source, Places]], playbook: Playbook, *, has_json: bool) -> None:
    """Raises EventsError when columns are missing, with the playbook's line, the nearest column and the next command.

    Customer, time and event must be in every source. Anything else must be in one of them: what only some sources have
    is missing in the others. ``has_json``: there are JSON lines too, of which only reading can tell.
    """
    problems: list[Problem] = []
    schemas = [source.schema for source, _ in sources if source.schema is not None]
    for (source, places), schema in zip(sources, schemas, strict=True):
        for what, paths in list_needed(places):
            if not any(find_column(path, schema) for path in paths):
                line = playbook.source.line
                problems.append(missing_column(playbook, line, what, paths, source.name, list_paths(schema)))
    if schemas and not has_json:
        known = list(dict.fromkeys(path for schema in schemas for path in list_paths(schema)))
        names = ", ".join(source.name for source, _ in sources[:3]) + (" and others" if len(sources) > 3 else "")
        for path, what, at in list_optional(playbook):
            if not any(find_column(path, schema) for schema in schemas):
                problems.append(missing_column(playbook, at, what, (path,), names, known))
    if problems:
        raise EventsError(*dict.fromkeys(problems))


def list_needed(places: Places) -> list[tuple[str, tuple[str, ...]]]:
    """What every source must have, each with the paths of which one must be there."""
    needed = [("source customer", places.customer), ("source time", places.time)]
    names = tuple(path for path in (places.event, places.type) if path)
    return [*needed, ("source event", names)] if names else needed


def list_optional(playbook: Playbook) -> list[tuple[str, str, int]]:
    """Paths that one source must have, each with what it is for and its line in the playbook."""
    source = playbook.source
    own = {"id": source.id, "session": source.session, "channel": source.channel, "label": source.label}
    own["label_p"] = source.label_p if isinstance(source.label_p, str) else None
    if source.format != "table":  # columns of the format itself may all be absent
        own = {what: path for what, path in own.items() if path != "messageId"}
    found = [(path, f"source {what}", source.line) for what, path in own.items() if path]
    if source.format == "table":
        found += [(path, "source identifiers", source.line) for path in source.identifiers]
    return list(dict.fromkeys(found + list_event_paths(playbook)))


def missing_column(
    playbook: Playbook, line: int, what: str, paths: Sequence[str], source: str, known: Sequence[str]
) -> Problem:
    """What to say of a path that is not there."""
    where = f"{playbook.path or playbook.name}:{line}"
    if not paths:
        return Problem(
            where, f"{what} is not set, and {source} is not in Segment's format", command=_command(playbook, source)
        )
    names = " or ".join(f"'{path}'" for path in paths)
    has = ", ".join(known[:20]) + (", …" if len(known) > 20 else "") if known else "no column"
    near = next((near for near in (_nearest_path(path, known) for path in paths) if near), None)
    return Problem(
        where, f"{what} is {names}, which {source} does not have; it has {has}", near, _command(playbook, source)
    )


def _command(playbook: Playbook, source: str) -> str:
    return f"sojourn check {playbook.path or playbook.name} {source}"


def _nearest_path(path: str, known: Sequence[str]) -> str | None:
    folded = {"".join(c for c in name.lower() if c.isalnum() or c == "."): name for name in reversed(known)}
    near = nearest("".join(c for c in path.lower() if c.isalnum() or c == "."), folded)
    return folded[near] if near else None
