"""Reading single values out of YAML nodes: each finding goes to one list, so that all are reported at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from sojourn.errors import PlaybookError, Problem, nearest
from sojourn.playbook.rules import LONGEST_S, UNIT_SECONDS
from sojourn.playbook.yaml import Listed, Mapped, Scalar, Yaml

T = TypeVar("T")

KEYS: Mapping[str, tuple[str, ...]] = {
    "": (
        "playbook",
        "version",
        "about",
        "source",
        "events",
        "features",
        "fingerprint",
        "model",
        "states",
        "moments",
        "outcomes",
        "segments",
        "audiences",
        "protected",
        "consent",
        "activations",
        "stability",
        "targets",
    ),
    "source": (
        "format",
        "customer",
        "identifiers",
        "time",
        "time_format",
        "timezone",
        "event",
        "id",
        "session",
        "channel",
        "label",
        "label_p",
        "duplicates",
        "other",
    ),
    "events": ("name", "where", "measures", "properties", "touch"),
    "model": ("silence", "extra_states"),
    "states": ("about", "job", "anxieties", "typical", "typical_gap", "indicators", "creative", "channels"),
    "indicators": ("when", "strength"),
    "moments": ("sequence", "all_of", "within", "without", "after_absence", "outcome", "about"),
    "after_absence": ("class", "for"),
    "outcomes": ("event", "measure", "silence", "within", "about"),
    "segments": ("when", "about"),
    "audiences": ("when", "purpose", "about"),
    "consent": ("purposes",),
    "purposes": ("default", "from"),
    "activations": ("audience", "when", "channel", "destination", "holdout", "creative"),
    "stability": ("flaps_per_month", "enter", "margin", "exit", "min_dwell"),
    "targets": ("from", "to", "median", "at_least", "at_most", "within", "about"),
}
"""The keys of each section; ``""`` is the playbook itself."""

STRENGTHS = ("strong", "medium", "weak")
MOST_STATES = 32
MOST_NAMED = 1_000
"""Entries of any section, event classes included."""
MOST_PROBLEMS = 200
"""Problems that are explained; further ones are counted."""
MOST_FEATURES = 256
MOST_FINGERPRINT = 64
MOST_STEPS = 16
"""Steps of a moment, each counted as often as it is wanted."""
MOST_BOUNDARIES = 16
MOST_KINDS = 16
"""Kinds of identifiers."""

RESERVED = frozenset({"other", "any", "none", "and", "or", "not", "in", "true", "false", "state", "state_p"})
"""Words with a meaning of their own, which nothing in a playbook may be called."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhdw])")
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?")


class Reader:
    """The values of a playbook, and the problems found while reading them."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.n_dropped = 0

    def fail(self, line: int, what: str, near: str | None = None) -> None:
        """Note an error on a line; only counted once there are very many."""
        if self.is_full:
            self.n_dropped += 1
        else:
            self.problems.append(Problem(f"{self.where}:{line}", what, near))

    @property
    def is_full(self) -> bool:
        """Whether there are so many problems that no more are explained: a hostile text must not take for ever."""
        return len(self.problems) >= MOST_PROBLEMS

    def warn(self, line: int, what: str) -> None:
        """Note a finding that does not stop the playbook from being used."""
        self.warnings.append(Problem(f"{self.where}:{line}", what))

    def read_section(self, node: Yaml | None, what: str, keys: Iterable[str]) -> Mapped:
        """The mapping with its unknown keys noted; an empty one when there is none."""
        section = self.read_mapping(node, what)
        known = tuple(keys)
        for key, _ in section.pairs:
            if key.text in known:
                continue
            if section.is_flow and any(mark in key.text for mark in "()=<>"):
                self.fail(
                    key.line,
                    f"a comma cut the rule before '{key.text}'; inside braces a rule needs quotes: {{when: \"…\"}}",
                )
            else:
                self.fail(
                    key.line,
                    f"{what} has no key '{key.text}'; it may have {', '.join(known)}",
                    nearest(key.text, known),
                )
        return section

    def read_mapping(self, node: Yaml | None, what: str) -> Mapped:
        """The mapping, or an empty one (noted unless there is nothing)."""
        if isinstance(node, Mapped):
            return node
        if node is not None and not (isinstance(node, Scalar) and node.is_null):
            self.fail(node.line, f"{what} must be a mapping of keys and values")
        return Mapped((), node.line if node else 0, False)

    def read_entries(self, node: Yaml | None, what: str, noun: str) -> Iterator[tuple[str, int, Yaml]]:
        """Name, line and value of each entry of a mapping of named things; bad names are noted and left out."""
        pairs = self.read_mapping(node, what).pairs
        if len(pairs) > MOST_NAMED:
            self.fail(
                pairs[MOST_NAMED][0].line, f"{what} has {len(pairs):,} entries; at most {MOST_NAMED:,} are allowed"
            )
        for key, value in pairs[:MOST_NAMED]:
            if self.check_name(key.text, key.line, noun):
                yield key.text, key.line, value

    def check_name(self, name: str, line: int, noun: str) -> bool:
        """Whether the word can name something; noted when not."""
        if name in RESERVED:
            self.fail(line, f"the {noun} cannot be called '{name}', a word with a meaning of its own")
        elif not _NAME.fullmatch(name):
            near = re.sub(r"\W+", "_", name.strip().lower(), flags=re.ASCII).strip("_")
            what = (
                f"the {noun} '{name[:80]}' needs another name: small letters, digits and _, a letter first, at most 64"
            )
            self.fail(line, what, near if _NAME.fullmatch(near) else None)
        else:
            return True
        return False

    def read_text(self, node: Yaml | None, what: str) -> str | None:
        """The text, or None when there is nothing."""
        if node is None or (isinstance(node, Scalar) and node.is_null):
            return None
        if not isinstance(node, Scalar):
            self.fail(node.line, f"{what} must be a single text")
            return None
        return node.text.strip()

    def read_texts(self, node: Yaml | None, what: str) -> tuple[tuple[str, int], ...]:
        """Texts with their lines, from a list or a single text."""
        if isinstance(node, Listed):
            found = [(self.read_text(item, f"each item of {what}"), item.line) for item in node.items]
            for text, line in found:
                if text == "":
                    self.fail(line, f"an item of {what} is empty")
            return tuple((text, line) for text, line in found if text)
        text = self.read_text(node, what)
        return ((text, node.line),) if text and node is not None else ()

    def read_number(self, node: Yaml | None, what: str, low: float, high: float) -> float | None:
        """The number, or None when there is nothing; noted when it is no number or outside its bounds."""
        text = self.read_text(node, what)
        if text is None or node is None:
            return None
        if not _NUMBER.fullmatch(text):
            self.fail(node.line, f"{what} must be a number, not '{text[:80]}'")
            return None
        value = float(text)
        if not low <= value <= high:
            self.fail(node.line, f"{what} must be from {low:g} to {high:g}, not {text}")
            return None
        return value

    def read_share(self, node: Yaml | None, what: str) -> float | None:
        """A share between nothing and all, written 40% or 0.4; None when there is nothing, or noted when it is none."""
        text = self.read_text(node, what)
        if text is None or node is None:
            return None
        number = text.removesuffix("%").rstrip()
        if not _NUMBER.fullmatch(number):
            self.fail(node.line, f"{what} must be a share such as 40% or 0.4, not '{text[:80]}'")
            return None
        share = float(number) / (100 if text.endswith("%") else 1)
        if not 0 < share < 1:
            hint = f"{number}%" if 1 < share < 100 and text == number else None
            self.fail(node.line, f"{what} must lie between 0% and 100%, not {text}", hint)
            return None
        return share

    def read_duration(self, node: Yaml | None, what: str, *, least_s: float | None = None) -> float | None:
        """The duration in seconds, or None when there is nothing. Longer than nothing, or at least ``least_s``."""
        text = self.read_text(node, what)
        if text is None or node is None:
            return None
        match = _DURATION.fullmatch(text)
        if match is None:
            hint = f"{text}d" if text.isdecimal() and text.isascii() else None
            self.fail(node.line, f"{what} must be a duration such as 30m, 48h or 7d, not '{text[:80]}'", hint)
            return None
        seconds = float(match[1]) * UNIT_SECONDS[match[2]]
        if seconds == least_s:
            return seconds
        if not 0 < seconds <= LONGEST_S:
            self.fail(node.line, f"{what} must be longer than nothing and at most ten years (3650d), not {text}")
            return None
        return seconds

    def read_choice(self, node: Yaml | None, what: str, choices: tuple[str, ...], default: str) -> str:
        """One of the choices; the default when there is nothing or something else, which is noted."""
        text = self.read_text(node, what)
        if text is None or node is None:
            return default
        if text not in choices:
            self.fail(
                node.line,
                f"{what} must be one of {', '.join(choices)}, not '{text[:80]}'",
                nearest(text, choices),
            )
            return default
        return text

    def read_bool(self, node: Yaml | None, what: str) -> bool:
        """True or false; false when there is nothing."""
        text = (self.read_text(node, what) or "false").lower()
        if text not in ("true", "false") and node is not None:
            self.fail(node.line, f"{what} must be true or false, not '{text[:80]}'")
        return text == "true"

    def read_rule(self, node: Yaml | None, owner: str, compile_rule: Callable[[str], T]) -> T | None:
        """The compiled rule; its problems are noted with the line and whose rule it is."""
        text = self.read_text(node, owner)
        if text is None or node is None or self.is_full:
            return None
        try:
            return compile_rule(text)
        except PlaybookError as error:
            for problem in error.problems:
                self.fail(node.line, f"{owner}: {problem.what}", problem.near)
            return None

    def check_known(self, word: str, line: int, owner: str, noun: str, known: Iterable[str]) -> bool:
        """Whether the word is one of the known; noted with the nearest when not."""
        names = tuple(known)
        if word not in names and self.is_full:
            self.n_dropped += 1
        elif word not in names:
            self.fail(line, f"{owner}: there is no {noun} '{word[:80]}'", nearest(word, names))
        return word in names

    def require(self, section: Mapped, key: str, owner: str, line: int) -> Yaml | None:
        """The value of a key; noted when it is missing."""
        node = section.get(key)
        if node is None or (isinstance(node, Scalar) and (node.is_null or not node.text.strip())):
            self.fail(node.line if node else line, f"{owner} needs '{key}'")
            return None
        return node
