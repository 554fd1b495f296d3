"""What a record of the log brings about, before any of it is in the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sojourn.act import Change
from sojourn.live.store import Derived, Quarantined


@dataclass
class Outcome:
    """Changes to publish, and what the store keeps.

    ``revoked`` are pairs of a change's seq and the seq of the one that revokes it. ``reassigned`` are changes that
    belong to another customer now: (old customer_id, new customer_id, seqs). ``profiles`` are (traits, consent) by key.
    """

    changes: list[Change] = field(default_factory=list)
    revoked: list[tuple[int, int]] = field(default_factory=list)
    reassigned: list[tuple[str, str, Sequence[int]]] = field(default_factory=list)
    profiles: dict[int, tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=dict)
    quarantine: list[Quarantined] = field(default_factory=list)

    @property
    def is_nothing(self) -> bool:
        """Whether the record brought about nothing."""
        return not (self.changes or self.revoked or self.reassigned or self.profiles or self.quarantine)

    def derived(self, position: int) -> Derived:
        """The same in the form in which the store takes it; ``position`` is that of the record."""
        return Derived(
            self.changes,
            self.revoked,
            self.reassigned,
            self.profiles,
            self.quarantine,
            position=position,
        )
