"""A playbook: what people decided about their customers, as frozen checked objects.

:func:`load_playbook` reads a file or a ready playbook, :func:`parse_playbook` a text. Both raise
:class:`~sojourn.errors.PlaybookError` with every problem at once, each with its line.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from sojourn.errors import Problem
from sojourn.frames import OTHER
from sojourn.playbook.rules import Program, RowRule, Rule


@dataclass(frozen=True, slots=True)
class Source:
    """Where in a raw row things are; columns or dotted paths."""

    format: str = "auto"  # "auto", "table" or "segment"
    customer: tuple[str, ...] = ()  # the first that is not empty is the id
    identifiers: tuple[str, ...] = ()  # e-mail, phone: what joins customers
    time: str | None = None
    time_format: str | None = None
    timezone: str = "UTC"  # of times without a zone
    event: str | None = None
    id: str | None = None
    session: str | None = None
    channel: str | None = None
    label: str | None = None  # column that holds a known state
    label_p: str | float = 0.95  # column or constant: how sure the label is
    duplicates: str = "keep"  # "id", "content" or "keep"
    other: str = "keep"  # "keep" or "quarantine"
    line: int = 0

    @property
    def identifier_kinds(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The kinds of identifiers, each with its paths; of these the first that is not empty counts.

        >>> Source(identifiers=("traits.email", "phone", "properties.email")).identifier_kinds
        (('email', ('traits.email', 'properties.email')), ('phone', ('phone',)))
        """
        kinds: dict[str, tuple[str, ...]] = {}
        for path in self.identifiers:
            kind = path.rpartition(".")[2]
            kinds[kind] = (*kinds.get(kind, ()), path)
        return tuple(kinds.items())


@dataclass(frozen=True, slots=True)
class EventClass:
    """What a raw event means. A row matches by its raw name, if there are any, and by ``where``, if there is one."""

    name: str
    raw_names: tuple[str, ...]
    where: RowRule | None
    measures: tuple[tuple[str, RowRule], ...]
    properties: tuple[tuple[str, str], ...]  # (name, path)
    is_touch: bool  # something we did to the customer
    line: int


@dataclass(frozen=True, slots=True)
class Feature:
    """A number of one customer at one instant."""

    name: str
    program: Program
    line: int


@dataclass(frozen=True, slots=True)
class Moment:
    """Events inside a window: in order (``sequence``) or in any (``all_of``), others between them allowed.

    No event of ``without`` comes between the first and the last. With ``absent``, that class had not come for at least
    ``absent_s`` when the first step came; who never had it is counted from their first event of any kind.
    """

    name: str
    sequence: tuple[str, ...]  # empty with all_of
    within_s: float
    about: str
    line: int
    all_of: tuple[tuple[str, int], ...] = ()  # (event class, how many), sorted
    without: tuple[str, ...] = ()  # sorted
    absent: str | None = None
    absent_s: float = 0.0
    outcome: str | None = None  # the one that it announces; None: any

    @property
    def steps(self) -> tuple[str, ...]:
        """The event classes that it is made of, each as often as it is wanted.

        >>> Moment("m", (), 60.0, "", 1, all_of=(("view", 2), ("cart", 1))).steps
        ('view', 'view', 'cart')
        """
        return self.sequence or tuple(name for name, n in self.all_of for _ in range(n))


@dataclass(frozen=True, slots=True)
class Indicator:
    """A rule that hints at a state, right or wrong as often as its strength says until data say better."""

    when: Program
    strength: str  # "strong", "medium" or "weak"
    line: int


@dataclass(frozen=True, slots=True)
class State:
    """A state as interviews found it. ``typical`` weighs the event classes that mark it."""

    name: str
    about: str
    job: str
    anxieties: tuple[str, ...]
    typical: tuple[tuple[str, float], ...]
    typical_gap_s: float | None
    indicators: tuple[Indicator, ...]
    creative: str
    channels: tuple[str, ...]
    line: int


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """How silence is cut into bins (boundaries in seconds; none: off), and how many unnamed states to look for."""

    silence_s: tuple[float, ...] = (1_800.0, 86_400.0, 604_800.0, 2_592_000.0, 7_776_000.0)
    is_silence_learned: bool = False
    extra_states: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What counts as success or loss: an event class, a silence, or the total of a measure."""

    name: str
    event: str | None
    measure: str | None
    silence_s: float | None
    within_s: float | None  # with event or measure
    about: str
    line: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A strategic group, by rule."""

    name: str
    when: Rule
    about: str
    line: int


@dataclass(frozen=True, slots=True)
class Audience:
    """Who may be activated: a rule, and the purpose that the customer must have consented to."""

    name: str
    when: Rule
    purpose: str
    about: str
    line: int


@dataclass(frozen=True, slots=True)
class Purpose:
    """A purpose of consent. ``path`` is where an event says what the customer chose."""

    name: str
    is_granted_by_default: bool
    path: str | None
    line: int


@dataclass(frozen=True, slots=True)
class Activation:
    """What is done with an audience, and the share of it that is held out to measure the effect."""

    name: str
    audience: str
    when: Rule | None
    channel: str
    destination: str
    holdout_p: float
    creative: str
    line: int


@dataclass(frozen=True, slots=True)
class Stability:
    """How calm published states are. Thresholds that are None are tuned on history to the flap budget."""

    flaps_per_month: float = 0.5
    enter: float | None = None
    margin: float | None = None
    exit: float | None = None
    min_dwell_s: float | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """How fast a move should be: half of those who make it within ``median_s``, or a share of all within ``within_s``.

    Of ``median_s``, ``at_least_p`` and ``at_most_p`` exactly one is not None; shares come with ``within_s``.
    """

    name: str
    from_state: str
    to_state: str
    median_s: float | None
    at_least_p: float | None
    at_most_p: float | None
    within_s: float | None
    about: str
    line: int


@dataclass(frozen=True)
class Playbook:
    """Everything a playbook says. ``warnings`` are findings that do not stop it from being used."""

    name: str
    version: str
    about: str
    path: Path | None
    text: str
    source: Source
    events: tuple[EventClass, ...]
    features: tuple[Feature, ...]
    fingerprint: tuple[str, ...]
    model: ModelSettings
    states: tuple[State, ...]
    moments: tuple[Moment, ...]
    outcomes: tuple[Outcome, ...]
    segments: tuple[Segment, ...]
    audiences: tuple[Audience, ...]
    protected: tuple[str, ...]
    consent: tuple[Purpose, ...]
    activations: tuple[Activation, ...]
    stability: Stability
    targets: tuple[Target, ...] = ()
    warnings: tuple[Problem, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """Event classes in the order of the playbook, then ``other``."""
        return (*(event.name for event in self.events), OTHER)

    @property
    def touches(self) -> tuple[str, ...]:
        """Event classes that are something we did to the customer."""
        return tuple(event.name for event in self.events if event.is_touch)

    @property
    def measure_names(self) -> tuple[str, ...]:
        """Every measure of any event class, sorted."""
        return tuple(sorted({name for event in self.events for name, _ in event.measures}))

    @property
    def property_names(self) -> tuple[str, ...]:
        """Every property of any event class, sorted."""
        return tuple(sorted({name for event in self.events for name, _ in event.properties}))

    @property
    def sentiment_models(self) -> tuple[tuple[str, str], ...]:
        """Files of learned sentiment models: each as it is written, and where it was found."""
        rules = [rule for event in self.events for rule in (event.where, *(rule for _, rule in event.measures)) if rule]
        return tuple(dict.fromkeys(model for rule in rules for model in rule.models))

    @property
    def state_names(self) -> tuple[str, ...]:
        """States in the order of the playbook."""
        return tuple(state.name for state in self.states)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Features in the order of the playbook."""
        return tuple(feature.name for feature in self.features)

    @property
    def hash(self) -> str:
        """SHA-256 of the text, in hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()
