"""The job `models`: the models there are, their cards, and which is in use."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sojourn.predict import (
    Card,
    Decision,
    find_champion,
    list_cards,
    list_decisions,
    list_names,
    put_into_use,
    read_model,
)


@dataclass(frozen=True)
class ModelLine:
    """One model in a list: its name, the version in use (None: none is), and how many versions there are."""

    name: str
    in_use: int | None
    versions: int


@dataclass(frozen=True)
class ModelHistory:
    """The card of the version in use, the cards of all versions, and every decision."""

    card: Card
    versions: tuple[Card, ...]
    decisions: tuple[Decision, ...]

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "in_use": asdict(self.card),
            "versions": [asdict(one) for one in self.versions],
            "decisions": [asdict(one) for one in self.decisions],
        }


def list_models(models: str | Path) -> tuple[ModelLine, ...]:
    """The models in a folder, by name.

    >>> list_models("no-such-folder")
    ()
    """
    folder = Path(models)
    return tuple(
        ModelLine(name, find_champion(folder, name), len(list_cards(folder, name))) for name in list_names(folder)
    )


def read_history(models: str | Path, name: str) -> ModelHistory:
    """What is known of one model. Raises SojournError where there is none of this name, or none is in use."""
    folder = Path(models)
    card = read_model(folder, name)[0]
    return ModelHistory(card, tuple(list_cards(folder, name)), tuple(list_decisions(folder, name)))


def use_version(models: str | Path, name: str, version: int, *, why: str) -> Decision:
    """Put a version into use, with the reason for the record. Raises SojournError for one that there is not."""
    return put_into_use(Path(models), name, version, at=datetime.now(UTC).isoformat(), why=why)
