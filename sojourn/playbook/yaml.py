"""YAML text to nodes that know their line, within bounds: no tags, no documents but one, no unbounded aliases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from sojourn.errors import PlaybookError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES = 1 << 20
"""Size of a playbook."""
MAX_LEVELS = 24
"""Levels of nesting."""
MAX_NODES = 50_000
"""Nodes after aliases are expanded."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value as its text; ``is_plain`` when it was written without quotes."""

    text: str
    line: int
    is_plain: bool
    size: int = 1

    @property
    def is_null(self) -> bool:
        """Whether it stands for nothing."""
        return self.is_plain and self.text in ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True, slots=True)
class Listed:
    """A sequence."""

    items: tuple[Yaml, ...]
    line: int
    size: int = 1


@dataclass(frozen=True, slots=True)
class Mapped:
    """A mapping in the order written; ``is_flow`` when it was written in braces."""

    pairs: tuple[tuple[Scalar, Yaml], ...]
    line: int
    is_flow: bool
    size: int = 1

    def get(self, key: str) -> Yaml | None:
        """The value of a key, or None when the key is absent."""
        return next((value for name, value in self.pairs if name.text == key), None)


Yaml = Scalar | Listed | Mapped


@dataclass(slots=True)
class _Open:
    """A collection that is still being read."""

    line: int
    is_map: bool
    is_flow: bool
    anchor: str | None
    items: list[Yaml]
    size: int = 1


def read_yaml(text: str, where: str) -> tuple[Mapped, list[Problem]]:
    """The nodes of a YAML mapping, and the problems of keys (given twice, no words), which do not stop reading.

    Raises PlaybookError, naming the line, when the text is not YAML, not a mapping, or out of bounds.

    >>> read_yaml("a: 1\\nb: [x, y]", "p.yaml")[0].get("b").line
    2
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise PlaybookError(Problem(where, f"the playbook is larger than {MAX_BYTES:,} bytes"))
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same events; the first is compiled
    problems: list[Problem] = []
    try:
        root = _build(yaml.parse(text, Loader=loader), where, problems)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise PlaybookError(
            Problem(f"{where}:{mark.line + 1}" if mark else where, _explain(error, text, mark))
        ) from None
    except (yaml.YAMLError, UnicodeError) as error:
        raise PlaybookError(Problem(where, f"the text cannot be read as YAML: {str(error).splitlines()[0]}")) from None
    if not isinstance(root, Mapped):
        raise PlaybookError(
            Problem(
                where,
                "a playbook is a mapping, e.g. 'playbook: shop' and then its sections",
                command="sojourn init my-project --playbook shop",
            )
        )
    return root, problems


def _explain(error: Any, text: str, mark: Any) -> str:
    lines = text.splitlines()
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())] or "\\t" in str(error.problem):
        return "a tab indents this line; YAML takes only spaces"
    return f"not YAML: {error.problem or error.context}"


def _build(events: Iterator[Any], where: str, problems: list[Problem]) -> Yaml | None:
    """The tree of a stream of parse events: a loop with its own stack, so that no depth can exhaust Python's."""
    root: Yaml | None = None
    n_documents = 0
    stack: list[_Open] = []
    anchors: dict[str, Yaml | None] = {}
    for event in events:
        line = event.start_mark.line + 1
        at = f"{where}:{line}"
        if isinstance(event, yaml.DocumentStartEvent):
            n_documents += 1
            if n_documents > 1:
                raise PlaybookError(Problem(at, "a playbook is one YAML document; a second one starts here"))
            continue
        if isinstance(event, yaml.CollectionStartEvent):
            _refuse_tag(event, at)
            if len(stack) >= MAX_LEVELS:
                raise PlaybookError(Problem(at, f"nested more than {MAX_LEVELS} levels deep"))
            if event.anchor:
                anchors[event.anchor] = None  # known, but not complete: an alias to it now would be a loop
            stack.append(
                _Open(line, isinstance(event, yaml.MappingStartEvent), bool(event.flow_style), event.anchor, [])
            )
            continue
        if isinstance(event, yaml.ScalarEvent):
            _refuse_tag(event, at)
            node: Yaml = Scalar(event.value, line, not event.style)
            anchor = event.anchor
        elif isinstance(event, yaml.AliasEvent):
            node, anchor = _follow(event.anchor or "", anchors, at), None
        elif isinstance(event, yaml.CollectionEndEvent):
            done = stack.pop()
            node, anchor = _close(done, where, problems), done.anchor
        else:
            continue
        if anchor:
            anchors[anchor] = node
        if stack:
            stack[-1].items.append(node)
            stack[-1].size += node.size
            if stack[-1].size > MAX_NODES:
                raise PlaybookError(Problem(at, f"more than {MAX_NODES:,} values, aliases expanded"))
        else:
            root = node
    return root


def _refuse_tag(event: Any, at: str) -> None:
    if event.tag:
        raise PlaybookError(Problem(at, f"YAML tags such as '{event.tag}' are not allowed in a playbook"))


def _follow(anchor: str, anchors: dict[str, Yaml | None], at: str) -> Yaml:
    node = anchors.get(anchor)
    if node is None:
        what = "refers to itself" if anchor in anchors else "is not defined before this line"
        raise PlaybookError(Problem(at, f"the alias '*{anchor}' {what}"))
    return node


def _close(done: _Open, where: str, problems: list[Problem]) -> Yaml:
    if not done.is_map:
        return Listed(tuple(done.items), done.line, done.size)
    keys, values = done.items[0::2], done.items[1::2]
    pairs: list[tuple[Scalar, Yaml]] = []
    first: dict[str, int] = {}
    for key, value in zip(keys, values, strict=True):
        if not isinstance(key, Scalar):
            problems.append(Problem(f"{where}:{key.line}", "a key must be a single word"))
        elif key.text in first:
            problems.append(
                Problem(f"{where}:{key.line}", f"the key '{key.text}' is already on line {first[key.text]}")
            )
        elif key.text == "<<" and key.is_plain:
            problems.append(Problem(f"{where}:{key.line}", "merge keys (<<) are not read; repeat the keys"))
        else:
            first[key.text] = key.line
            pairs.append((key, value))
    return Mapped(tuple(pairs), done.line, done.is_flow, done.size)
