"""Who may do what: access keys with scopes, and how many events each may send."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sojourn.errors import Problem, SojournError, nearest
from sojourn.frames import now_us
from sojourn.live.store import Key

SCOPES = ("write", "read", "admin")
SHORTEST_TEXT = 5
"""Characters of a key that comes from another tool and may only write: anybody who visits a site can see it."""
SHORTEST_SECRET = 16
"""The same of one that may read or decide."""
_RECALL_S = 1.0
_MOST_RECALLED = 10_000
_LONGEST_TEXT = 512


class Keys(Protocol):
    """The part of a store that this needs."""

    def add_key(self, key: Key) -> None: ...

    def find_keys(self) -> Sequence[Key]: ...

    def revoke_key(self, id: str, at: int) -> bool: ...


def create_key(store: Keys, name: str, scopes: Sequence[str], *, text: str | None = None) -> tuple[str, Key]:
    """The key's text, which is shown once, and the key as it is stored. Raises SojournError for an unknown scope.

    ``text`` is a key of another tool that is to go on working; it is as safe as it is hard to guess.
    """
    for scope in scopes:
        if scope not in SCOPES:
            raise SojournError(Problem("scope", f"'{scope}' is no scope", nearest(scope, SCOPES)))
    shortest = SHORTEST_TEXT if set(scopes) == {"write"} else SHORTEST_SECRET
    if text is not None and (not shortest <= len(text) <= _LONGEST_TEXT or not text.isprintable() or ":" in text):
        what = f"such a key has {shortest} to {_LONGEST_TEXT} printable characters, and no colon"
        raise SojournError(Problem("key", what))
    id, salt = "k" + secrets.token_hex(5), secrets.token_bytes(16)
    shown = text or f"sj_{scopes[0]}_{secrets.token_urlsafe(24)}"
    key = Key(id, name, tuple(scopes), salt, hash_key(shown, salt), now_us())
    if any(hmac.compare_digest(known.hash, hash_key(shown, known.salt)) for known in store.find_keys()):
        raise SojournError(Problem("key", "there is such a key already", command="sojourn keys list"))
    store.add_key(key)
    return shown, key


def rotate_key(store: Keys, id: str) -> tuple[str, Key]:
    """A new key with the name and scopes of one, which ends. Raises SojournError where there is none."""
    known = {key.id: key for key in store.find_keys()}
    if id not in known:
        what = f"there is no key '{id}' that is valid"
        raise SojournError(Problem("keys", what, nearest(id, known), "sojourn keys list"))
    made = create_key(store, known[id].name, known[id].scopes)
    store.revoke_key(id, now_us())
    return made


def hash_key(text: str, salt: bytes) -> bytes:
    """What is stored of a key. One round is enough: a made key has 192 random bits, which nobody can try out."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), salt=salt, digest_size=32).digest()


class Access:
    """Tells keys by their text. Keys are read from the store again every second, so that a revoked one ends soon.

    ``n_events_per_s`` limits each key: a bucket that holds two seconds' worth.
    """

    def __init__(
        self, store: Keys, *, n_events_per_s: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._limit, self._clock = store, n_events_per_s, clock
        self._keys: Sequence[Key] = ()
        self._read_at = -1e9
        self._known: dict[str, Key | None] = {}
        self._buckets: dict[str, _Bucket] = {}

    def find(self, text: str, scope: str) -> Key | None:
        """The key with this text if it may do that, else None. A key for ``admin`` may read too."""
        if self._clock() - self._read_at > _RECALL_S:
            self._keys, self._read_at = tuple(self._store.find_keys()), self._clock()
            self._known = {}
        if not text or len(text) > _LONGEST_TEXT:
            return None
        if text not in self._known:
            if len(self._known) >= _MOST_RECALLED:
                self._known = {}
            matches = (key for key in self._keys if hmac.compare_digest(key.hash, hash_key(text, key.salt)))
            self._known[text] = next(matches, None)
        key = self._known[text]
        if key is None:
            return None
        may = scope in key.scopes or (scope == "read" and "admin" in key.scopes)
        return key if may else None

    @property
    def has_keys(self) -> bool:
        """Whether there is any key."""
        return bool(self._keys)

    def spend(self, key: Key, n_events: int) -> float:
        """Seconds to wait before so many events may be sent; 0: they may now, and are counted."""
        if self._limit is None:
            return 0.0
        bucket = self._buckets.setdefault(key.id, _Bucket(2 * self._limit, self._clock()))
        return bucket.take(n_events, self._limit, self._clock())


@dataclass
class _Bucket:
    left: float
    at: float

    def take(self, n: int, per_s: float, now: float) -> float:
        self.left = min(self.left + (now - self.at) * per_s, 2 * per_s)
        self.at = now
        if self.left >= min(n, 2 * per_s):  # a request of more than the bucket holds empties it
            self.left -= n
            return 0.0
        return (min(n, 2 * per_s) - self.left) / per_s


def read_basic(header: str) -> str:
    """The user name of HTTP basic access, or the token of a bearer; empty for anything else.

    >>> read_basic("Basic d2tfcHk6"), read_basic("Bearer abc"), read_basic("nonsense")
    ('wk_py', 'abc', '')
    """
    kind, _, rest = header.partition(" ")
    if kind.lower() == "bearer":
        return rest.strip()
    if kind.lower() != "basic":
        return ""
    try:
        return base64.b64decode(rest, validate=True).decode().partition(":")[0]
    except (binascii.Error, ValueError):
        return ""
