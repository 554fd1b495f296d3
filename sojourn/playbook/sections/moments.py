"""The section of a playbook about moments: steps in order or in any order, what must not come between, absences."""

from __future__ import annotations

from collections.abc import Iterable

from sojourn.playbook.objects import Moment
from sojourn.playbook.reader import KEYS, MOST_STEPS, Reader
from sojourn.playbook.rules import Vocabulary
from sojourn.playbook.yaml import Listed, Mapped, Scalar, Yaml

Steps = tuple[tuple[str, int], ...]


def read_moments(reader: Reader, node: Yaml | None, words: Vocabulary) -> tuple[Moment, ...]:
    """The moments; a step that is wanted several times stands so many times in ``sequence``."""
    found = []
    for name, line, value in reader.read_entries(node, "moments", "moment"):
        owner = f"moment '{name}'"
        section = reader.read_section(value, owner, KEYS["moments"])
        sequence, all_of = _read_steps(reader, section, owner, line, words)
        steps = sequence or all_of
        within = reader.read_duration(reader.require(section, "within", owner, line), f"{owner}: within")
        without = _read_without(reader, section.get("without"), owner, steps, words)
        absent, absent_s = _read_absence(reader, section, owner, words, is_ordered=section.get("all_of") is None)
        outcome = reader.read_text(section.get("outcome"), f"{owner}: outcome")
        if outcome is not None:
            reader.check_known(outcome, section.get("outcome").line, owner, "outcome", words.outcomes)  # type: ignore[union-attr]  # a text has a node
        found.append(
            Moment(
                name=name,
                sequence=tuple(step for step, n in sequence for _ in range(n)),
                within_s=within or 0.0,
                about=reader.read_text(section.get("about"), f"{owner}: about") or "",
                line=line,
                all_of=tuple(sorted(all_of)),
                without=without,
                absent=absent,
                absent_s=absent_s,
                outcome=outcome,
            )
        )
    return tuple(found)


def _read_steps(reader: Reader, section: Mapped, owner: str, line: int, words: Vocabulary) -> tuple[Steps, Steps]:
    """The steps in order and those in any order, of which there is one kind only."""
    given = [key for key in ("sequence", "all_of") if not _is_nothing(section.get(key))]
    if len(given) != 1:
        what = "both" if given else "none of them; write sequence: [first, then, last] or all_of: {one: 1, other: 2}"
        reader.fail(line, f"{owner} needs 'sequence' or 'all_of', and has {what}")
    steps: dict[str, Steps] = {"sequence": (), "all_of": ()}
    for key in given:
        found = tuple(_read_counts(reader, section.get(key), f"{owner}: {key}", owner, words))
        names = [name for name, _ in found]
        for name in dict.fromkeys(name for name in names if key == "all_of" and names.count(name) > 1):
            reader.fail(line, f"{owner}: all_of names '{name}' twice; write {name}: {names.count(name)}")
        n_all = sum(n for _, n in found)
        if n_all > MOST_STEPS:
            reader.fail(line, f"{owner} has {n_all} steps; at most {MOST_STEPS} are allowed")
            found = ()
        steps[key] = found
    return steps["sequence"], steps["all_of"]


def _is_nothing(node: Yaml | None) -> bool:
    if isinstance(node, Listed | Mapped):
        return not (node.items if isinstance(node, Listed) else node.pairs)
    return node is None or node.is_null


def _read_counts(
    reader: Reader, node: Yaml | None, what: str, owner: str, words: Vocabulary
) -> Iterable[tuple[str, int]]:
    """Event classes with how many of each, from ``class``, ``[class, {class: 3}]`` or ``{class: 3}``."""
    if isinstance(node, Mapped):
        for key, value in node.pairs:
            number = reader.read_number(value, f"{what}: '{key.text[:80]}'", 1, MOST_STEPS)
            if number is not None and number != int(number):
                reader.fail(value.line, f"{what}: '{key.text[:80]}' must be a whole number, not {number:g}")
            if reader.check_known(key.text, key.line, owner, "event class", words.classes):
                yield key.text, int(number or 1)
    elif isinstance(node, Listed):
        for item in node.items:
            if isinstance(item, Listed):
                need = "must be an event class, or one with a number: {class: 3}"
                reader.fail(item.line, f"each item of {what} {need}")
            else:
                yield from _read_counts(reader, item, what, owner, words)
    elif isinstance(node, Scalar):
        if not node.text.strip():
            reader.fail(node.line, f"an item of {what} is empty")
        elif reader.check_known(node.text.strip(), node.line, owner, "event class", words.classes):
            yield node.text.strip(), 1


def _read_without(reader: Reader, node: Yaml | None, owner: str, steps: Steps, words: Vocabulary) -> tuple[str, ...]:
    found: list[str] = []
    wanted = {name for name, _ in steps}
    for name, line in reader.read_texts(node, f"{owner}: without"):
        if name in wanted:
            reader.fail(line, f"{owner}: '{name}' is a step, so it cannot be in 'without' too")
        elif reader.check_known(name, line, owner, "event class", words.classes):
            found.append(name)
    if found and sum(n for _, n in steps) == 1 and node is not None:
        reader.fail(node.line, f"{owner} has one step, so nothing can come between; leave out 'without'")
    return tuple(sorted(set(found)))


def _read_absence(
    reader: Reader, section: Mapped, owner: str, words: Vocabulary, *, is_ordered: bool
) -> tuple[str | None, float]:
    node = section.get("after_absence")
    if _is_nothing(node) or node is None:
        return None, 0.0
    if not is_ordered:
        reader.fail(node.line, f"{owner}: 'after_absence' needs 'sequence': in any order there is no first step")
    absence = reader.read_section(node, f"{owner}: after_absence", KEYS["after_absence"])
    what = f"{owner}: after_absence"
    name = reader.read_text(reader.require(absence, "class", what, node.line), f"{what}: class")
    least = reader.read_duration(reader.require(absence, "for", what, node.line), f"{what}: for")
    if name is None or not reader.check_known(name, node.line, owner, "event class", words.classes):
        return None, 0.0
    return name, least or 0.0
