"""What the settings say of a destination: where it is, what it gets, how it is signed."""

from __future__ import annotations

from dataclasses import dataclass, field

_DAY_S = 86_400.0
KINDS = ("transition", "moment", "audience_entered", "audience_left")
"""What can go to a destination. A revocation goes where the change went that it takes back."""


@dataclass(frozen=True)
class Destination:
    """Where changes are sent, and which: None is any. Secrets are never shown."""

    name: str
    url: str
    secret: str | None = field(default=None, repr=False)
    secret_from: str | None = None  # an environment variable
    changes: tuple[str, ...] = KINDS
    states: tuple[str, ...] | None = None
    moments: tuple[str, ...] | None = None
    audiences: tuple[str, ...] | None = None
    predictions: tuple[str, ...] = ()  # outcomes whose probability a message has
    at_least: tuple[tuple[str, float], ...] = ()  # outcomes, and how probable they must be
    purpose: str | None = None
    max_age_s: float | None = _DAY_S
    is_private_allowed: bool = False
    timeout_s: float = 15.0
