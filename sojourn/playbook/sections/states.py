"""The sections of a playbook about meaning: features, fingerprint, model, states and outcomes."""

from __future__ import annotations

from dataclasses import replace

from sojourn.playbook.objects import Feature, Indicator, ModelSettings, Outcome, State
from sojourn.playbook.reader import (
    KEYS,
    MOST_BOUNDARIES,
    MOST_FEATURES,
    MOST_FINGERPRINT,
    MOST_STATES,
    STRENGTHS,
    Reader,
)
from sojourn.playbook.rules import Program, Typed, Vocabulary, compile_condition, compile_feature, explain_constant
from sojourn.playbook.yaml import Listed, Mapped, Scalar, Yaml

NEWCOMERS = "new"
"""Where customers come from who were in no state before; no state may be called so."""
DISCOVERED = "extra_"
"""How the names of states begin that were found and not written."""


def read_features(reader: Reader, node: Yaml | None, words: Vocabulary) -> tuple[tuple[Feature, ...], Vocabulary]:
    """The features in order, and the words with the features in them."""
    found: list[Feature] = []
    typed: dict[str, Typed] = {}
    broken: list[str] = []
    entries = list(reader.read_entries(node, "features", "feature"))
    if len(entries) > MOST_FEATURES:
        reader.fail(entries[MOST_FEATURES][1], f"{len(entries)} features; at most {MOST_FEATURES} are allowed")
        del entries[MOST_FEATURES:]
    for i, (name, line, value) in enumerate(entries):
        later = tuple(other for other, _, _ in entries[i:])
        now = replace(words, features=dict(typed), broken_features=tuple(broken), later_features=later)
        result = reader.read_rule(value, f"feature '{name}'", lambda text, now=now: compile_feature(text, now))  # type: ignore[misc]  # the default binds now
        if result is None:
            broken.append(name)
            if isinstance(value, Scalar) and value.is_null:
                reader.fail(line, f"feature '{name}' is empty; write a rule such as count(any, half_life=7d)")
            continue
        program, typed[name] = result
        found.append(Feature(name, program, line))
    return tuple(found), replace(words, features=typed, broken_features=tuple(broken))


def read_fingerprint(
    reader: Reader, node: Yaml | None, known: tuple[str, ...], features: tuple[Feature, ...], touches: tuple[str, ...]
) -> tuple[str, ...]:
    """Names of the features that feed the state model; ``known`` has those with problems of their own too."""
    programs = {feature.name: feature.program for feature in features}
    found: list[str] = []
    for name, line in reader.read_texts(node, "fingerprint"):
        if not reader.check_known(name, line, "fingerprint", "feature", known):
            continue
        if name in found:
            reader.fail(line, f"fingerprint names '{name}' twice")
            continue
        found.append(name)
        if name in programs:
            _warn_touches(reader, line, f"fingerprint: '{name}'", programs[name], touches)
    if len(found) > MOST_FINGERPRINT and node is not None:
        reader.fail(node.line, f"the fingerprint has {len(found)} features; at most {MOST_FINGERPRINT} are allowed")
    return tuple(found)


def _warn_touches(reader: Reader, line: int, owner: str, program: Program, touches: tuple[str, ...]) -> None:
    """Note evidence that is made of nothing but what we did ourselves."""
    of_class = ("count", "recency", "cadence", "momentum")
    if all(call.primitive in of_class and call.of[0] in touches for call in program.calls):
        reader.warn(line, f"{owner} reads only touches, things we did; they are inputs and no evidence of a state")


def read_model(reader: Reader, node: Yaml | None) -> ModelSettings:
    """The settings of the state model."""
    section = reader.read_section(node, "model", KEYS["model"])
    extra = reader.read_number(section.get("extra_states"), "model extra_states", 0, MOST_STATES)
    if extra is not None and not extra.is_integer():
        reader.fail(section.line, f"model extra_states must be a whole number, not {extra:g}")
    settings = ModelSettings(extra_states=int(extra or 0))
    silence = section.get("silence")
    if isinstance(silence, Listed):
        return replace(settings, silence_s=_read_boundaries(reader, silence))
    word = reader.read_choice(
        silence, "model silence (or a list of durations)", ("learned", "off", "default"), "default"
    )
    if word == "off":
        return replace(settings, silence_s=())
    return replace(settings, is_silence_learned=word == "learned")


def _read_boundaries(reader: Reader, node: Listed) -> tuple[float, ...]:
    found: list[float] = []
    for item in node.items:
        seconds = reader.read_duration(item, "each boundary of model silence")
        if seconds is not None and found and seconds <= found[-1]:
            reader.fail(item.line, "the boundaries of model silence must grow")
        elif seconds is not None:
            found.append(seconds)
    if len(node.items) > MOST_BOUNDARIES:
        reader.fail(
            node.line,
            f"model silence has {len(node.items)} boundaries; at most {MOST_BOUNDARIES} are allowed",
        )
    if not node.items:
        reader.fail(node.line, "model silence is an empty list; write off to leave silence out of the model")
    return tuple(found)


def read_states(reader: Reader, root: Mapped, words: Vocabulary, touches: tuple[str, ...]) -> tuple[State, ...]:
    """The states, at least two."""
    node = root.get("states")
    found = [
        _read_state(reader, name, line, value, words, touches)
        for name, line, value in reader.read_entries(node, "states", "state")
    ]
    line = node.line if node is not None else root.line
    n_written = len(node.pairs) if isinstance(node, Mapped) else 0
    if n_written < 2:
        reader.fail(line, f"a playbook needs at least two states; this one has {n_written}")
    if n_written > MOST_STATES:
        reader.fail(line, f"a playbook has at most {MOST_STATES} states; this one has {n_written}")
    return tuple(found)


def _read_state(reader: Reader, name: str, line: int, node: Yaml, words: Vocabulary, touches: tuple[str, ...]) -> State:
    owner = f"state '{name}'"
    if name == NEWCOMERS or name.startswith(DISCOVERED):
        reader.fail(
            line, f"{owner} needs another name: '{NEWCOMERS}' and names that begin with '{DISCOVERED}' are taken"
        )
    section = reader.read_section(node, owner, KEYS["states"])
    typical = _read_typical(reader, section.get("typical"), owner, words.classes, touches)
    indicators = _read_indicators(reader, section.get("indicators"), owner, words, touches)
    if not typical and not section.get("indicators"):
        reader.warn(line, f"{owner} has neither 'typical' nor 'indicators': nothing ties it to what customers do")

    def read(key: str) -> str:
        return reader.read_text(section.get(key), f"{owner}: {key}") or ""

    def read_list(key: str) -> tuple[str, ...]:
        return tuple(text for text, _ in reader.read_texts(section.get(key), f"{owner}: {key}"))

    gap = reader.read_duration(section.get("typical_gap"), f"{owner}: typical_gap")
    return State(
        name,
        read("about"),
        read("job"),
        read_list("anxieties"),
        typical,
        gap,
        indicators,
        read("creative"),
        read_list("channels"),
        line,
    )


def _read_typical(
    reader: Reader, node: Yaml | None, owner: str, classes: tuple[str, ...], touches: tuple[str, ...]
) -> tuple[tuple[str, float], ...]:
    found = []
    for key, value in reader.read_mapping(node, f"{owner}: typical").pairs:
        weight = reader.read_number(value, f"{owner}: typical weight of '{key.text}'", 0.001, 1_000)
        if key.text in touches:
            reader.fail(
                key.line,
                f"{owner}: '{key.text}' is a touch, something we did; it is an input and no evidence of a state",
            )
        elif reader.check_known(key.text, key.line, f"{owner}: typical", "event class", classes) and weight is not None:
            found.append((key.text, weight))
        if isinstance(value, Scalar) and value.is_null:
            reader.fail(key.line, f"{owner}: '{key.text}' needs a weight, e.g. {key.text}: 2")
    return tuple(found)


def _read_indicators(
    reader: Reader, node: Yaml | None, owner: str, words: Vocabulary, touches: tuple[str, ...]
) -> tuple[Indicator, ...]:
    if node is None or (isinstance(node, Scalar) and node.is_null):
        return ()
    if not isinstance(node, Listed):
        reader.fail(node.line, f"{owner}: indicators must be a list, each with 'when' and 'strength'")
        return ()
    found = []
    for item in node.items:
        section = reader.read_section(item, f"{owner}: an indicator", KEYS["indicators"])
        when_node = reader.require(section, "when", f"{owner}: an indicator", item.line)
        when = reader.read_rule(when_node, f"{owner}: indicator", lambda text: compile_condition(text, words))
        strength = reader.read_choice(section.get("strength"), f"{owner}: strength", STRENGTHS, "medium")
        if when is None or when_node is None:
            continue
        _warn_constant(reader, when_node.line, owner, when)
        _warn_touches(reader, when_node.line, f"{owner}: the indicator '{when.text}'", when, touches)
        found.append(Indicator(when, strength, item.line))
    return tuple(found)


def _warn_constant(reader: Reader, line: int, owner: str, when: Program) -> None:
    finding = explain_constant(when)
    if finding:
        reader.warn(line, f"{owner}: the indicator '{when.text}' {finding}")


def read_outcomes(reader: Reader, node: Yaml | None, words: Vocabulary) -> tuple[Outcome, ...]:
    """The outcomes: each an event class, a measure or a silence."""
    found = []
    for name, line, value in reader.read_entries(node, "outcomes", "outcome"):
        owner = f"outcome '{name}'"
        section = reader.read_section(value, owner, KEYS["outcomes"])
        given = [key for key in ("event", "measure", "silence") if section.get(key) is not None]
        if len(given) != 1:
            what = " and ".join(given) if given else "none of them"
            reader.fail(line, f"{owner} needs exactly one of event, measure and silence, and has {what}")
        event = _read_known(reader, section.get("event"), owner, "event class", words.classes)
        measure = _read_known(reader, section.get("measure"), owner, "measure", words.measures)
        silence = reader.read_duration(section.get("silence"), f"{owner}: silence")
        if given and given[0] != "silence":
            reader.require(section, "within", owner, line)
        within = reader.read_duration(section.get("within"), f"{owner}: within")
        about = reader.read_text(section.get("about"), f"{owner}: about") or ""
        found.append(Outcome(name, event, measure, silence, within, about, line))
    return tuple(found)


def _read_known(reader: Reader, node: Yaml | None, owner: str, noun: str, known: tuple[str, ...]) -> str | None:
    word = reader.read_text(node, f"{owner}: {noun}")
    if word is not None and node is not None:
        reader.check_known(word, node.line, owner, noun, known)
    return word
