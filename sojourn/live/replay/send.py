"""Events of the past, sent as tracking calls to a server: in order of time, at a chosen speed, each counted once.

Every call has an identifier that is the same the next time, so that sending again what may have arrived is harmless.
"""

from __future__ import annotations

import base64
import http.client
import json
import math
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from sojourn.errors import Problem, SojournError
from sojourn.frames import Progress
from sojourn.live.replay.calls import Calls, read_calls
from sojourn.playbook import Playbook

MAX_BODY = 3 << 20
"""Bytes of calls in one request: below the 4 MiB that a server takes."""
MAX_BATCH = 5_000

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 30.0
_TIMEOUT_S = 60.0
_GATHER_S = 0.02
"""Calls that are due this close to each other go together."""


class ReplayError(SojournError):
    """The server does not take the calls, or cannot be reached."""


@dataclass(frozen=True)
class Replayed:
    """What was sent. ``n_accepted`` calls were acknowledged; ``seconds`` is the time that sending took."""

    n_read: int
    n_unusable: int
    n_accepted: int
    n_requests: int
    n_retries: int
    seconds: float
    problems: tuple[Problem, ...]

    @property
    def per_second(self) -> float:
        """Acknowledged calls per second."""
        return self.n_accepted / self.seconds if self.seconds > 0 else math.nan


@dataclass(frozen=True)
class Clock:
    """The time, and how to let it pass; tests give their own."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Target:
    """A server that takes tracking calls, and the write key for it. The key is never shown."""

    url: str
    key: str = field(repr=False)
    give_up_s: float = 600.0


def parse_speed(text: str) -> float:
    """How many times faster than it happened: ``100x``, ``0.5``, or ``max``, which is infinite. Raises SojournError.

    >>> [parse_speed(text) for text in ("100x", "0.5", "max")]
    [100.0, 0.5, inf]
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)x?", text.strip().lower())
    speed = math.inf if text.strip().lower() == "max" else float(found[1]) if found else 0.0
    if speed <= 0:
        raise SojournError(Problem("--speed", f"'{text}' is no speed; write 100x, 1x, 0.5x or max"))
    return speed


def replay(
    events: Any,
    playbook: Playbook | None,
    target: Target,
    *,
    speed: float = math.inf,
    batch: int = 100,
    is_shifted: bool = False,
    clock: Clock | None = None,
    progress: Progress | None = None,
) -> Replayed:
    """Send every event of a source to a server; returns when the last one is acknowledged.

    ``speed`` is how many times faster than it happened. ``is_shifted`` moves all instants by one amount, so that the
    last event happens at the moment it is sent. A server that is busy or away is asked again for ``target.give_up_s``.
    Raises EventsError for events that cannot be read, ReplayError when the server refuses them or stays away.
    """
    at = clock or Clock()
    show = progress or (lambda stage, done, total: None)
    calls = read_calls(events, playbook, progress=lambda done, total: show("Reading", done, total))
    sender = _Sender(target, at)
    started = at.now()
    shift_us = _find_shift(calls, speed, started) if is_shifted else 0
    try:
        done = 0
        while done < len(calls):
            end = _await_due(calls, done, speed, batch, started, at)
            sender.send(_fit(calls.write(done, end, shift_us=shift_us)), n_before=done)
            done += sender.n_last
            show("Sending", done, len(calls))
    finally:
        sender.close()
    return Replayed(
        calls.n_read,
        calls.n_unusable,
        len(calls),
        sender.n_requests,
        sender.n_retries,
        at.now() - started,
        calls.problems,
    )


def _find_shift(calls: Calls, speed: float, started: float) -> int:
    """Microseconds to add: the last event happens when it is sent, and none before it in the future."""
    if not len(calls):
        return 0
    span_us = int(calls.at[-1] - calls.at[0])
    return int(started * 1e6) + int(span_us / max(speed, 1.0)) - int(calls.at[-1])


def _await_due(calls: Calls, start: int, speed: float, batch: int, started: float, clock: Clock) -> int:
    """Wait until the call at ``start`` is due; returns the end of those that are due with it."""
    end = min(start + batch, len(calls))
    if math.isinf(speed):
        return end
    due = (calls.at[start:end] - calls.at[0]) / 1e6 / speed
    wait = started + float(due[0]) - clock.now()
    if wait > 0:
        clock.sleep(wait)
    passed = clock.now() - started + _GATHER_S
    return start + max(1, int((due <= passed).sum()))


def _fit(calls: list[bytes]) -> list[bytes]:
    """The first calls that fit into one body, at least one."""
    size = 0
    for i, call in enumerate(calls):
        size += len(call) + 1
        if size > MAX_BODY and i:
            return calls[:i]
    return calls


class _Sender:
    """A connection to a server that is opened again whenever it was lost."""

    def __init__(self, target: Target, clock: Clock) -> None:
        self.n_requests = self.n_retries = self.n_last = 0
        self._target, self._clock = target, clock
        parts = _split_url(target.url)
        opener = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = opener(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
        self._path = parts.path.rstrip("/").removesuffix("/v1") + "/v1/batch"
        key = base64.b64encode(f"{target.key}:".encode()).decode()
        self._headers = {"Authorization": f"Basic {key}", "Content-Type": "application/json"}
        self._random = random.Random(0)  # spreads retries; the same every time is fine

    def close(self) -> None:
        self._connection.close()

    def send(self, calls: list[bytes], *, n_before: int) -> None:
        """Post the calls until they are acknowledged. Raises ReplayError when they are refused, or after a time."""
        body = b'{"batch":[' + b",".join(calls) + b"]}"
        wait, first = _FIRST_WAIT_S, self._clock.now()
        while True:
            status, retry_after, words = self._post(body)
            self.n_requests += 1
            if 200 <= status < 300:
                self.n_last = len(calls)
                return
            if status and status not in (408, 425, 429) and status < 500:
                raise ReplayError(_say_refusal(self._target.url, status, words, n_before))
            pause = max(retry_after, wait * self._random.uniform(0.5, 1.0))
            if self._clock.now() - first + pause > self._target.give_up_s:
                raise ReplayError(_say_away(self._target, status, words, n_before))
            self.n_retries += 1
            self._clock.sleep(pause)
            wait = min(wait * 2, _LONGEST_WAIT_S)

    def _post(self, body: bytes) -> tuple[int, float, str]:
        """Status (0: no answer), seconds to wait before the next try, and what was said."""
        try:
            self._connection.request("POST", self._path, body, self._headers)
            answer = self._connection.getresponse()
            text = answer.read(4_096).decode("utf-8", "replace")
            if answer.length or answer.will_close:  # more of it than anybody wants: start afresh
                self._connection.close()
            return answer.status, _read_wait(answer.getheader("Retry-After"), self._clock.now()), text
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return 0, 0.0, str(error) or type(error).__name__


def _split_url(url: str) -> Any:
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username
        _ = parts.port
    except ValueError:
        is_good = False
    if not is_good:
        raise SojournError(Problem("--to", f"'{url}' is no address of a server; write it as http://127.0.0.1:8000"))
    return parts


def _read_wait(text: str | None, now: float) -> float:
    """Seconds of a Retry-After header: a number, or a date; never more than ten minutes.

    >>> _read_wait("3", 0.0), _read_wait("Thu, 01 Jan 1970 00:01:00 GMT", 20.0), _read_wait("soon", 0.0)
    (3.0, 40.0, 0.0)
    """
    if text is None:
        return 0.0
    try:
        seconds = float(text) if text.strip().isdigit() else parsedate_to_datetime(text).timestamp() - now
    except (ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), 600.0)


def _say_refusal(url: str, status: int, text: str, n_before: int) -> Problem:
    said = _find_words(text)
    if status in (401, 403):
        what = f"the server refuses the key ({said})" if said else "the server refuses the key"
        return Problem(url, what, command="sojourn keys add replay --scope write --project DIR")
    if status == 404:
        return Problem(url, "there is no /v1/batch here: is this a Sojourn server?", command="sojourn serve --help")
    return Problem(url, f"the server answered {status} after {n_before:,} calls: {said}")


def _say_away(target: Target, status: int, text: str, n_before: int) -> Problem:
    found = f"the server answered {status}" if status else f"the server cannot be reached ({text})"
    what = f"{found} for {target.give_up_s:g} s, {n_before:,} calls were acknowledged before that"
    return Problem(target.url, f"{what}; run the same command again, what has arrived is not counted twice")


def _find_words(text: str) -> str:
    """What a JSON error of the server says, or the beginning of any other."""
    try:
        found = json.loads(text)["error"]
        return str(found["what"] if isinstance(found, dict) else found)
    except (ValueError, KeyError, TypeError):
        return " ".join(text.split())[:200]
