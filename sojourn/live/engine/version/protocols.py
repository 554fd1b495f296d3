"""What a version needs from outside, and what the engine needs of a version: two small protocols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sojourn.live.engine.version.outcome import Outcome
from sojourn.live.store import CallsColumns, Profile, StoredChange


class StoredFacts(Protocol):
    """What a version reads back of what it derived before. A store offers it; so does a dictionary in a test."""

    def customer_changes(
        self, customer_ids: Sequence[str], *, include_revoked: bool = False
    ) -> Sequence[StoredChange]: ...

    def read_profiles(self, nodes: Sequence[int]) -> Mapping[int, Profile]: ...


class Projection(Protocol):
    """State that is a function of the log: it takes one record after another.

    ``position`` is the last record that was taken, ``now`` the latest instant of any record.
    """

    position: int
    now: int

    def take_calls(self, position: int, at: int, calls: CallsColumns) -> Outcome: ...

    def pass_time(self, position: int, at: int) -> Outcome: ...

    def take_command(self, position: int, at: int, name: str, arguments: dict[str, Any]) -> Outcome: ...

    def skip(self, position: int, at: int) -> Outcome: ...
