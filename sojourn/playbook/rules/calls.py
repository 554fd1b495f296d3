"""Calls of primitives as written, checked against their signatures and the playbook's names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sojourn.frames import DAY_S
from sojourn.playbook.rules.nodes import Apply, Call, Constant, Name, Node
from sojourn.playbook.rules.print import print_node

Fail = Callable[[str, str | None], None]
"""Notes a problem: what is wrong, and the nearest right word."""
Near = Callable[[str, Iterable[str]], str | None]
"""Finds the nearest of some words."""

_NOUNS = {"class": "event class", "measure": "measure", "property": "property", "moment": "moment"}


def read_call(node: Apply, known: Mapping[str, Sequence[str]], fail: Fail, nearest: Near) -> Call | None:
    """The call that a function of :data:`SIGNATURES` stands for, or None when a problem was noted.

    ``known`` lists the names of each kind: class, measure, property and moment.
    """
    signature = SIGNATURES[node.function]
    if not signature.n_required <= len(node.arguments) <= len(signature.arguments):
        fail(f"'{print_node(node)}' has {len(node.arguments)} arguments; write {signature.usage}", None)
        return None
    is_right = True
    of: list[str] = []
    numbers: dict[str, float] = {}
    for kind, argument in zip(signature.arguments, node.arguments, strict=False):
        if kind.endswith("_hour"):
            is_right &= _read_hour(node, kind, argument, numbers, fail)
        else:
            word = _read_word(node, kind, argument, signature, known, fail, nearest)
            is_right &= word is not None
            of.append(word or "")
    is_right &= _read_options(node, signature, numbers, fail, nearest)
    if not is_right:
        return None
    call = build_call(node.function, tuple(of), numbers)
    if isinstance(call, str):
        fail(f"'{print_node(node)}': {call}", None)
        return None
    if node.function == "sentiment" and "sentiment" not in known["measure"]:
        fail("sentiment() reads the measure called 'sentiment', which no event class has", None)
        return None
    return call


def read_name(node: Node) -> str | None:
    """A single word, with or without quotes; None when the node is something else."""
    if isinstance(node, Name) and len(node.parts) == 1:
        return node.parts[0]
    return str(node.value) if isinstance(node, Constant) and node.unit == "text" else None


def _read_word(
    node: Apply,
    kind: str,
    argument: Node,
    signature: Signature,
    known: Mapping[str, Sequence[str]],
    fail: Fail,
    nearest: Near,
) -> str | None:
    word = read_name(argument)
    if not word:
        fail(f"'{print_node(argument)}' is not a name in '{print_node(node)}'; write {signature.usage}", None)
        return None
    if kind == "text":
        return word
    choices = known[kind] if kind in known else kind.split("|")
    if word in choices:
        return word
    if kind not in known:
        fail(f"'{word}' is not one of {', '.join(choices)} in '{print_node(node)}'", nearest(word, choices))
    elif not choices:
        fail(f"there is no {_NOUNS[kind]} '{word}' in '{print_node(node)}': the playbook has none", None)
    else:
        fail(f"there is no {_NOUNS[kind]} '{word}' in '{print_node(node)}'", nearest(word, choices))
    return None


def _read_hour(node: Apply, kind: str, argument: Node, numbers: dict[str, float], fail: Fail) -> bool:
    if isinstance(argument, Constant) and argument.unit == "number":
        numbers[kind] = float(argument.value)
        return True
    fail(f"'{print_node(argument)}' is not an hour from 0 to 24 in '{print_node(node)}'", None)
    return False


def _read_options(node: Apply, signature: Signature, numbers: dict[str, float], fail: Fail, nearest: Near) -> bool:
    n_right = 0
    for name, value in node.options:
        unit = "number" if name == "at_most" else "duration"
        if name not in signature.options:
            near = nearest(name, signature.options)
            fail(f"{node.function} has no option '{name}'; write {signature.usage}", near)
        elif name in numbers:
            fail(f"'{print_node(node)}' gives {name} twice", None)
        elif not isinstance(value, Constant) or value.unit != unit:
            example = "5" if unit == "number" else "7d"
            fail(f"{name} in '{print_node(node)}' must be a {unit}, e.g. {name}={example}", None)
        else:
            numbers[name] = float(value.value)
            n_right += 1
    return n_right == len(node.options)


LONGEST_S = 10 * 365 * DAY_S
"""No window or half-life is longer than ten years."""


MOST_KEPT = 64
"""The most last events of a class that one count may keep."""


@dataclass(frozen=True)
class Signature:
    """How a primitive is written. ``arguments`` are class, measure, property, moment, text, an hour, or a|choice."""

    usage: str
    meaning: str
    arguments: tuple[str, ...] = ()
    least: int = -1  # arguments that must be given; all when negative
    options: Mapping[str, float | None] = field(default_factory=dict)  # with default; None: left out unless given
    exclusive: tuple[str, ...] = ()  # options of which at most one may be given

    @property
    def n_required(self) -> int:
        """Arguments that must be given."""
        return len(self.arguments) if self.least < 0 else self.least


SIGNATURES: Mapping[str, Signature] = {
    "count": Signature(
        "count(class), count(class, half_life=7d) or count(class, within=7d)",
        "events of a class: in all, decaying, or inside a window",
        ("class",),
        options={"half_life": None, "within": None, "at_most": None},
        exclusive=("half_life", "within"),
    ),
    "sum": Signature(
        "sum(measure), sum(measure, half_life=30d) or sum(measure, within=30d)",
        "the sum of a measure: in all, decaying, or inside a window",
        ("measure",),
        options={"half_life": None, "within": None},
        exclusive=("half_life", "within"),
    ),
    "mean": Signature(
        "mean(measure) or mean(measure, half_life=30d)",
        "the mean of a measure",
        ("measure",),
        options={"half_life": None},
    ),
    "last": Signature("last(measure)", "the latest value of a measure", ("measure",)),
    "min": Signature("min(measure)", "the smallest value of a measure so far", ("measure",)),
    "max": Signature("max(measure)", "the largest value of a measure so far", ("measure",)),
    "recency": Signature("recency(class)", "time since the last event of a class", ("class",)),
    "tenure": Signature("tenure()", "time since the first event"),
    "cadence": Signature(
        "cadence(class) or cadence(class, regularity)",
        "the typical gap between events of a class, or its regularity",
        ("class", "typical|regularity"),
        least=1,
    ),
    "momentum": Signature(
        "momentum(class, short=7d, long=30d)",
        "the recent rate of a class over its longer rate",
        ("class",),
        options={"short": 7 * DAY_S, "long": 30 * DAY_S},
    ),
    "session": Signature(
        "session(depth), session(duration_s), session(velocity) or session(count)",
        "the current session",
        ("depth|duration_s|velocity|count",),
    ),
    "share": Signature(
        "share(channel, email)",
        "the share of events that came through a channel",
        ("channel", "text"),
    ),
    "hour_share": Signature(
        "hour_share(18, 23)",
        "the share of events in these hours of the day, UTC",
        ("from_hour", "to_hour"),
    ),
    "responsiveness": Signature(
        "responsiveness(sent, opened, within=7d)",
        "the share of one class that the other answered",
        ("class", "class"),
        options={"within": 7 * DAY_S},
    ),
    "distinct": Signature("distinct(property)", "about how many different values of a property", ("property",)),
    "matches": Signature(
        "matches(moment) or matches(moment, within=2d)",
        "completions of a moment, or whether one came inside a window",
        ("moment",),
        options={"within": None},
    ),
    "sentiment": Signature(
        "sentiment(half_life=30d)",
        "the mean of the measure called sentiment, decaying",
        options={"half_life": 30 * DAY_S},
    ),
}
"""Every primitive that rules and features may call."""


def build_call(primitive: str, of: tuple[str, ...], given: Mapping[str, float]) -> Call | str:
    """The call with its defaults filled in, or what is wrong with its options.

    >>> build_call("sentiment", (), {}).text
    'mean(sentiment, half_life=30d)'
    >>> build_call("count", ("view",), {"at_most": 3.0})
    'at_most needs within'
    """
    signature = SIGNATURES[primitive]
    defaults = {name: value for name, value in signature.options.items() if value is not None}
    options = {**defaults, **given}
    problem = _check_options(signature, options)
    if problem:
        return problem
    unit = "duration" if primitive in ("recency", "tenure") else "number"
    if primitive == "cadence":
        of = of if of[1:] == ("regularity",) else of[:1]
        unit = "number" if len(of) == 2 else "duration"
    elif primitive == "session" and of == ("duration_s",):
        unit = "duration"
    elif primitive == "sentiment":
        primitive, of = "mean", ("sentiment",)
    return Call(primitive, of, tuple(sorted(options.items())), unit)  # type: ignore[arg-type]  # one of two literals


def _check_options(signature: Signature, options: Mapping[str, float]) -> str | None:
    if len([name for name in signature.exclusive if name in options]) > 1:
        return f"give either {' or '.join(signature.exclusive)}, not both"
    if "at_most" in options:
        if "within" not in options:
            return "at_most needs within"
        if not (options["at_most"].is_integer() and 1 <= options["at_most"] <= MOST_KEPT):
            return f"at_most must be a whole number from 1 to {MOST_KEPT}"
    for name in ("half_life", "within", "short", "long"):
        if name in options and not 0 < options[name] <= LONGEST_S:
            return f"{name} must be longer than nothing and at most ten years (3650d)"
    if "short" in options and options["short"] >= options["long"]:
        return "short must be shorter than long"
    if "from_hour" in options:
        first, last = options["from_hour"], options["to_hour"]
        if not (first.is_integer() and last.is_integer() and 0 <= first <= 23 and 0 <= last <= 24 and first != last):
            return "hours are two different whole numbers, the first from 0 to 23, the second from 0 to 24"
    return None
