"""The sections of a playbook about acting: segments, audiences, consent, activations, stability and targets."""

from __future__ import annotations

from sojourn.playbook.objects import Activation, Audience, Purpose, Segment, Stability, Target
from sojourn.playbook.reader import KEYS, Reader
from sojourn.playbook.rules import Vocabulary, compile_audience
from sojourn.playbook.yaml import Mapped, Scalar, Yaml


def read_segments(reader: Reader, node: Yaml | None, words: Vocabulary) -> tuple[Segment, ...]:
    """The strategic segments by rule."""
    found = []
    for name, line, value in reader.read_entries(node, "segments", "segment"):
        owner = f"segment '{name}'"
        section = reader.read_section(value, owner, KEYS["segments"])
        when = reader.read_rule(
            reader.require(section, "when", owner, line), owner, lambda text: compile_audience(text, words)
        )
        about = reader.read_text(section.get("about"), f"{owner}: about") or ""
        if when is not None:
            found.append(Segment(name, when, about, line))
    return tuple(found)


def read_consent(reader: Reader, node: Yaml | None) -> tuple[Purpose, ...]:
    """The purposes that a customer may grant or deny."""
    section = reader.read_section(node, "consent", KEYS["consent"])
    found = []
    for name, line, value in reader.read_entries(section.get("purposes"), "consent purposes", "purpose"):
        owner = f"purpose '{name}'"
        path = None
        default: Yaml | None = value
        if not isinstance(value, Scalar):
            inner = reader.read_section(value, owner, KEYS["purposes"])
            default = reader.require(inner, "default", owner, line)
            path = reader.read_text(inner.get("from"), f"{owner}: from")
        choice = reader.read_choice(default, f"{owner}: default", ("granted", "denied"), "denied")
        found.append(Purpose(name, choice == "granted", path, line))
    return tuple(found)


def read_audiences(
    reader: Reader, node: Yaml | None, words: Vocabulary, purposes: tuple[str, ...]
) -> tuple[Audience, ...]:
    """The audiences; each serves one purpose of consent."""
    found = []
    for name, line, value in reader.read_entries(node, "audiences", "audience"):
        owner = f"audience '{name}'"
        section = reader.read_section(value, owner, KEYS["audiences"])
        when = reader.read_rule(
            reader.require(section, "when", owner, line), owner, lambda text: compile_audience(text, words)
        )
        purpose_node = reader.require(section, "purpose", owner, line)
        purpose = reader.read_text(purpose_node, f"{owner}: purpose")
        if purpose and purpose_node is not None:
            reader.check_known(purpose, purpose_node.line, owner, "purpose of consent", purposes)
        about = reader.read_text(section.get("about"), f"{owner}: about") or ""
        if when is not None:
            found.append(Audience(name, when, purpose or "", about, line))
    return tuple(found)


def read_activations(
    reader: Reader, node: Yaml | None, words: Vocabulary, audiences: tuple[str, ...]
) -> tuple[Activation, ...]:
    """The activations: what is done with which audience."""
    found = []
    for name, line, value in reader.read_entries(node, "activations", "activation"):
        owner = f"activation '{name}'"
        section = reader.read_section(value, owner, KEYS["activations"])
        texts = {
            key: reader.read_text(reader.require(section, key, owner, line), f"{owner}: {key}") or ""
            for key in ("audience", "channel", "destination")
        }
        audience_node = section.get("audience")
        if texts["audience"] and audience_node is not None:
            reader.check_known(texts["audience"], audience_node.line, owner, "audience", audiences)
        when = reader.read_rule(section.get("when"), owner, lambda text: compile_audience(text, words))
        holdout = reader.read_number(section.get("holdout"), f"{owner}: holdout", 0.0, 0.9)
        creative = reader.read_text(section.get("creative"), f"{owner}: creative") or ""
        found.append(
            Activation(
                name,
                texts["audience"],
                when,
                texts["channel"],
                texts["destination"],
                0.1 if holdout is None else holdout,
                creative,
                line,
            )
        )
    return tuple(found)


def read_stability(reader: Reader, node: Yaml | None) -> Stability:
    """How calm published states are."""
    section = reader.read_section(node, "stability", KEYS["stability"])
    flaps = reader.read_number(section.get("flaps_per_month"), "stability flaps_per_month", 0.0, 1_000.0)
    enter, margin, leave = (
        reader.read_number(section.get(key), f"stability {key}", 0.0, 1.0) for key in ("enter", "margin", "exit")
    )
    dwell = reader.read_duration(section.get("min_dwell"), "stability min_dwell", least_s=0.0)
    return Stability(0.5 if flaps is None else flaps, enter, margin, leave, dwell)


def read_targets(reader: Reader, node: Yaml | None, states: tuple[str, ...]) -> tuple[Target, ...]:
    """How fast moves should be; at most one target per move."""
    found: list[Target] = []
    taken: dict[tuple[str, str], str] = {}
    for name, line, value in reader.read_entries(node, "targets", "target"):
        owner = f"target '{name}'"
        section = reader.read_section(value, owner, KEYS["targets"])
        ends = [_read_end(reader, section, key, owner, line, states) for key in ("from", "to")]
        given = [key for key in ("median", "at_least", "at_most") if section.get(key) is not None]
        if len(given) != 1:
            what = " and ".join(given) if given else "none of them"
            reader.fail(line, f"{owner} needs exactly one of median, at_least and at_most, and has {what}")
        median = reader.read_duration(section.get("median"), f"{owner}: median")
        shares = [reader.read_share(section.get(key), f"{owner}: {key}") for key in ("at_least", "at_most")]
        within = reader.read_duration(section.get("within"), f"{owner}: within")
        if given == ["median"] and section.get("within") is not None:
            reader.fail(line, f"{owner} has 'median' and 'within': half within that long is what a median says")
        elif given and given != ["median"]:
            reader.require(section, "within", owner, line)
        about = reader.read_text(section.get("about"), f"{owner}: about") or ""
        origin, to = ends
        if origin is None or to is None:
            continue
        if origin == to:
            reader.fail(line, f"{owner} goes from '{origin}' to itself; a move is from one state to another")
        elif (origin, to) in taken:
            reader.fail(line, f"{owner}: target '{taken[origin, to]}' is about the move {origin} → {to} already")
        taken.setdefault((origin, to), name)
        found.append(Target(name, origin, to, median, shares[0], shares[1], within, about, line))
    return tuple(found)


def _read_end(reader: Reader, section: Mapped, key: str, owner: str, line: int, states: tuple[str, ...]) -> str | None:
    """The state that a target names; None, and noted, when there is none of that name."""
    node = reader.require(section, key, owner, line)
    word = reader.read_text(node, f"{owner}: {key}")
    if word is None or node is None:
        return None
    return word if reader.check_known(word, node.line, f"{owner}: {key}", "state", states) else None
