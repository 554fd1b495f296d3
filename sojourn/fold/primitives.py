"""The meaning of every primitive in plain Python: its value from all events of one customer and the instant of reading.

Written to be read, and to be the oracle that the compiled fold is tested against; it shares no code with the fold.
Every function takes the customer's events in ``(event_at, seq)`` order and ``now`` in microseconds, never before the
last event, and returns a float: durations in seconds, missing as NaN.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

ANY = "any"
"""Stands for every event class that is not a touch."""
SESSION_GAP_US = 30 * 60 * 1_000_000
"""A session ends after this much silence, unless the source names its sessions."""
N_BUCKETS = 32
"""Buckets in a window that is not exact."""
LEAST_GAP_S = 1e-6
"""A gap of nothing counts as this long, since its logarithm is needed."""
SKETCH_BITS = 240
"""Bits of the sketch behind ``distinct``."""


@dataclass(frozen=True, slots=True)
class Event:
    """One classified event of a customer. ``event_at`` is in microseconds since 1970, UTC."""

    event_at: int
    event_class: str
    measures: Mapping[str, float] = field(default_factory=dict)
    channel: str | None = None
    session: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A moment: ``sequence`` in order, or ``all_of`` (class, how many) in any; see
    :class:`sojourn.playbook.objects.Moment`."""

    sequence: tuple[str, ...]
    within_s: float
    all_of: tuple[tuple[str, int], ...] = ()
    without: tuple[str, ...] = ()
    absent: str | None = None
    absent_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Setting:
    """What the playbook says beyond the call: touches, moments by name, whether sessions have names."""

    touches: frozenset[str] = frozenset()
    moments: Mapping[str, Pattern] = field(default_factory=dict)
    has_sessions: bool = False


def read_primitive(
    primitive: str,
    of: Sequence[str],
    options: Mapping[str, float],
    events: Sequence[Event],
    now: int,
    setting: Setting | None = None,
) -> float:
    """The value of ``primitive(*of, **options)`` at ``now``; durations in seconds, missing as NaN.

    Raises KeyError for an unknown primitive or moment, ValueError when ``now`` is before the last event.

    >>> hour = 3_600_000_000
    >>> views = [Event(0, "view"), Event(hour, "view")]
    >>> read_primitive("count", ["view"], {"half_life": 3600.0}, views, hour)
    1.5
    >>> read_primitive("recency", ["view"], {}, views, 2 * hour)
    3600.0
    """
    if events and now < events[-1].event_at:
        raise ValueError("a value can be read only at or after the last event")
    chosen = setting or Setting()
    if primitive in _OF_A_CLASS:
        return _OF_A_CLASS[primitive](_of_class(events, of[0], chosen), now, options, tuple(of[1:]))
    if primitive in _OF_A_MEASURE:
        values = [(e.event_at, e.measures[of[0]]) for e in events if not math.isnan(e.measures.get(of[0], math.nan))]
        return _OF_A_MEASURE[primitive](values, now, options)
    own = _of_class(events, ANY, chosen)
    if primitive == "tenure":
        return (now - own[0].event_at) / 1e6 if own else math.nan
    if primitive == "session":
        return _session(own, now, of[0], chosen.has_sessions)
    if primitive == "share":
        known = [e for e in own if e.channel is not None]
        return _ratio(sum(e.channel == of[1] for e in known), len(known))
    if primitive == "hour_share":
        hours = _hours(int(options["from_hour"]), int(options["to_hour"]))
        return _ratio(sum(e.event_at // 3_600_000_000 % 24 in hours for e in own), len(own))
    if primitive == "responsiveness":
        return _responsiveness(events, of[0], of[1], options["within"], chosen)
    if primitive == "distinct":
        return _distinct([e.properties[of[0]] for e in events if of[0] in e.properties])
    if primitive == "matches":
        return _matches(events, now, chosen.moments[of[0]], options.get("within"))
    raise KeyError(f"no primitive is called {primitive!r}")


def _is_of(event: Event, event_class: str, setting: Setting) -> bool:
    return event.event_class not in setting.touches if event_class == ANY else event.event_class == event_class


def _of_class(events: Sequence[Event], event_class: str, setting: Setting) -> list[Event]:
    return [e for e in events if _is_of(e, event_class, setting)]


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _decayed(values: Sequence[tuple[int, float]], now: int, half_life_s: float) -> float:
    return math.fsum(x * math.exp2(-(now - at) / (half_life_s * 1e6)) for at, x in values)


def _in_window(values: Sequence[tuple[int, float]], now: int, within_s: float) -> list[float]:
    """The values in a window of 32 buckets, which start at whole multiples of their width (whole microseconds)."""
    width = bucket_width_us(within_s)
    return [x for at, x in values if at // width > now // width - N_BUCKETS]


def bucket_width_us(within_s: float) -> int:
    """The width of one of the 32 buckets of a window, in whole microseconds.

    >>> bucket_width_us(3600.0)
    112500000
    """
    return max(1, round(within_s * 1e6 / N_BUCKETS))


def _count(events: Sequence[Event], now: int, options: Mapping[str, float], _: tuple[str, ...]) -> float:
    if "half_life" in options:
        return _decayed([(e.event_at, 1.0) for e in events], now, options["half_life"])
    if "at_most" in options:
        latest = events[-int(options["at_most"]) :]
        return float(sum(now - e.event_at <= options["within"] * 1e6 for e in latest))
    if "within" in options:
        return float(len(_in_window([(e.event_at, 1.0) for e in events], now, options["within"])))
    return float(len(events))


def _recency(events: Sequence[Event], now: int, _: Mapping[str, float], __: tuple[str, ...]) -> float:
    return (now - events[-1].event_at) / 1e6 if events else math.nan


def _cadence(events: Sequence[Event], _: int, __: Mapping[str, float], which: tuple[str, ...]) -> float:
    """The geometric mean of the gaps in seconds, or 1 / (1 + population sd of the log gaps)."""
    logs = [math.log(max((b.event_at - a.event_at) / 1e6, LEAST_GAP_S)) for a, b in itertools.pairwise(events)]
    if len(logs) < (2 if which == ("regularity",) else 1):
        return math.nan
    mean = math.fsum(logs) / len(logs)
    if which != ("regularity",):
        return math.exp(mean)
    return 1.0 / (1.0 + math.sqrt(math.fsum((x - mean) ** 2 for x in logs) / len(logs)))


def _momentum(events: Sequence[Event], now: int, options: Mapping[str, float], _: tuple[str, ...]) -> float:
    """The decayed rate over ``short`` by that over ``long``.

    Both sums are taken at the last event and the silence since then enters as one factor, so that the ratio is still
    a number when each of the two has become too small for a float.
    """
    if not events:
        return math.nan
    short, long = options["short"], options["long"]
    last = events[-1].event_at
    ones = [(e.event_at, 1.0) for e in events]
    ratio = (_decayed(ones, last, short) / short) / (_decayed(ones, last, long) / long)
    return ratio * math.exp2(-((now - last) / (short * 1e6) - (now - last) / (long * 1e6)))


def _sum(values: Sequence[tuple[int, float]], now: int, options: Mapping[str, float]) -> float:
    if "half_life" in options:
        return _decayed(values, now, options["half_life"])
    if "within" in options:
        return math.fsum(_in_window(values, now, options["within"]))
    return math.fsum(x for _, x in values)


def _mean(values: Sequence[tuple[int, float]], _: int, options: Mapping[str, float]) -> float:
    """The mean; with a half-life, weighted by it. Silence weighs all values down alike, so it changes nothing."""
    if not values:
        return math.nan
    if "half_life" not in options:
        return math.fsum(x for _, x in values) / len(values)
    last, half_life = values[-1][0], options["half_life"]
    return _decayed(values, last, half_life) / _decayed([(at, 1.0) for at, _ in values], last, half_life)


def _last(values: Sequence[tuple[int, float]], _: int, __: Mapping[str, float]) -> float:
    return values[-1][1] if values else math.nan


def _min(values: Sequence[tuple[int, float]], _: int, __: Mapping[str, float]) -> float:
    return min((x for _, x in values), default=math.nan)


def _max(values: Sequence[tuple[int, float]], _: int, __: Mapping[str, float]) -> float:
    return max((x for _, x in values), default=math.nan)


def _session(own: Sequence[Event], now: int, what: str, has_sessions: bool) -> float:
    """The session of the last event: its events, its length from first to last event, and events per minute."""
    starts = [
        i
        for i, e in enumerate(own)
        if i == 0
        or (e.session != own[i - 1].session if has_sessions else e.event_at - own[i - 1].event_at > SESSION_GAP_US)
    ]
    if what == "count":
        return float(len(starts))
    is_over = not own or (not has_sessions and now - own[-1].event_at > SESSION_GAP_US)
    if is_over:
        return 0.0
    current = own[starts[-1] :]
    duration_s = (current[-1].event_at - current[0].event_at) / 1e6
    return {
        "depth": float(len(current)),
        "duration_s": duration_s,
        "velocity": len(current) / max(duration_s, 1.0) * 60.0,
    }[what]


def _hours(first: int, end: int) -> frozenset[int]:
    return frozenset(range(first, end)) if first < end else frozenset([*range(first, 24), *range(end)])


def _responsiveness(events: Sequence[Event], sent: str, opened: str, within_s: float, setting: Setting) -> float:
    n_sent = n_answered = 0
    for i, event in enumerate(events):
        if not _is_of(event, sent, setting):
            continue
        n_sent += 1
        for later in events[i + 1 :]:
            if _is_of(later, sent, setting):
                break
            if _is_of(later, opened, setting) and later.event_at - event.event_at <= within_s * 1e6:
                n_answered += 1
                break
    return _ratio(n_answered, n_sent)


def _distinct(values: Sequence[str]) -> float:
    """Linear counting (Whang, Vander-Zanden, Taylor 1990, doi:10.1145/78922.78925) over 240 bits."""
    n_zero = SKETCH_BITS - len({hash_text(value) % SKETCH_BITS for value in values})
    return SKETCH_BITS * math.log(SKETCH_BITS) if n_zero == 0 else SKETCH_BITS * math.log(SKETCH_BITS / n_zero)


def _matches(events: Sequence[Event], now: int, pattern: Pattern, within_s: float | None) -> float:
    """How often the moment was completed, or whether it was within the last ``within_s``."""
    completed_at = [events[i].event_at for i in find_completions(events, pattern)]
    if within_s is None:
        return float(len(completed_at))
    return float(bool(completed_at) and now - completed_at[-1] <= within_s * 1e6)


def find_completions(events: Sequence[Event], pattern: Pattern) -> list[int]:
    """The positions of the events that complete the moment.

    An event does when it is the last of a stretch of events after the last completion that makes the moment up; the
    stretch is looked for from every possible start.

    >>> [find_completions([Event(t, name) for t, name in [(0, "a"), (1, "b"), (2, "b")]], Pattern(("a", "b"), 1e-6))]
    [[1]]
    """
    completed: list[int] = []
    first_free = 0
    ends = {name for name, _ in pattern.all_of} or {pattern.sequence[-1]}
    for i in range(len(events)):
        starts = range(first_free, i + 1) if events[i].event_class in ends else ()
        if any(_makes_up(events, start, i, pattern) for start in starts):
            completed.append(i)
            first_free = i + 1
    return completed


def _makes_up(events: Sequence[Event], start: int, end: int, pattern: Pattern) -> bool:
    """Whether events ``start`` to ``end`` (included) make the moment up; the last is of a class that can end it."""
    stretch = [event.event_class for event in events[start : end + 1]]
    if events[end].event_at - events[start].event_at > pattern.within_s * 1e6 or set(stretch) & set(pattern.without):
        return False
    if pattern.all_of:
        return all(stretch.count(name) >= n for name, n in pattern.all_of)
    if stretch[0] != pattern.sequence[0] or (len(stretch) == 1) != (len(pattern.sequence) == 1):
        return False
    steps = list(pattern.sequence[1:-1])
    for name in stretch[1:-1]:
        if steps and name == steps[0]:
            del steps[0]
    return not steps and _is_absent(events, start, pattern)


def _is_absent(events: Sequence[Event], start: int, pattern: Pattern) -> bool:
    if pattern.absent is None:
        return True
    before = [event.event_at for event in events[:start] if event.event_class == pattern.absent]
    since = before[-1] if before else events[0].event_at
    return events[start].event_at - since >= pattern.absent_s * 1e6


_OF_A_CLASS = {"count": _count, "recency": _recency, "cadence": _cadence, "momentum": _momentum}
_OF_A_MEASURE = {"sum": _sum, "mean": _mean, "last": _last, "min": _min, "max": _max}

_MASK = (1 << 64) - 1
_START, _STEP, _END = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F


def hash_text(text: str, seed: int = 0) -> int:
    """The 64-bit hash of a text's UTF-8 bytes, never 0, which stands for no text.

    Eight bytes at a time, least byte first, the last ones padded with zeros; each word is joined to the state by
    exclusive or, multiplied to 128 bits, and the two halves joined; the number of bytes enters last.

    >>> hash_text("shoe") == hash_text("shoe"), hash_text("shoe") == hash_text("shoes")
    (True, False)
    """
    data = text.encode()
    state = seed ^ _START
    for i in range(0, len(data), 8):
        state = _multiply(state ^ int.from_bytes(data[i : i + 8], "little"), _STEP)
    return _multiply(state ^ len(data), _END) or 1


def _multiply(a: int, b: int) -> int:
    product = a * b
    return (product & _MASK) ^ (product >> 64)
