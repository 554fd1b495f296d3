"""Models of a project with all that is known of each: a folder per model, a file per version, a line per decision.

Nothing is ever overwritten: a model that was put aside can be looked at and put back. Everything is JSON, so that it
can be read without Sojourn, and nothing in it is run.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sojourn.errors import Problem, SojournError, nearest

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}\Z")
_VERSION = re.compile(r"(\d{4,9})\.json\Z")
_DECISIONS = "decisions.jsonl"


@dataclass(frozen=True)
class Card:
    """What is known of one version of a model. Instants in ISO 8601, UTC.

    ``metrics`` are those on the customers that the model has not seen; ``audit`` what was found about protected
    attributes, empty where nobody looked. ``asked``: the settings that it was trained with. ``is_winner``: whether it
    was found to be better than the one in use then.
    """

    name: str
    kind: str
    created_at: str
    data_from: str
    data_to: str
    n_customers: int
    code_version: str
    playbook: str
    inputs: tuple[str, ...]
    metrics: Mapping[str, float]
    audit: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    asked: Mapping[str, Any] = field(default_factory=dict)
    is_winner: bool = False
    version: int = 0


@dataclass(frozen=True)
class Decision:
    """Which version was put into use, when, why, and which one was before."""

    version: int
    before: int | None
    at: str
    why: str


@contextmanager
def lock_models(folder: Path) -> Iterator[None]:
    """Hold the folder of models alone; the lock goes with the process, however that ends. Raises SojournError where
    another holds it."""
    # fcntl: not on Windows
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            what = f"another `sojourn retrain` is at work on these models ({file.read().strip() or 'just started'})"
            raise SojournError(Problem(str(folder), f"{what}; nothing was done")) from None
        file.truncate(0)
        file.write(f"process {os.getpid()}\n")
        file.flush()
        yield


def add_model(folder: Path, card: Card, model: Mapping[str, Any]) -> Card:
    """Store a model as the next version; the card with its number. It is not in use by that.

    >>> import tempfile
    >>> card = Card("churn", "logistic", "2026-01-05T00:00:00Z", "2025-01-01", "2026-01-01", 900, "0.1.0", "ab",
    ...     inputs=("x",), metrics={"auc": 0.8})
    >>> with tempfile.TemporaryDirectory() as name:
    ...     made = add_model(Path(name), card, {"weights": [0.5]})
    ...     made.version, read_model(Path(name), "churn", 1)[1], find_champion(Path(name), "churn")
    (1, {'weights': [0.5]}, None)
    """
    home = _home(folder, card.name)
    home.mkdir(parents=True, exist_ok=True)
    while True:
        version = max(_list_versions(home), default=0) + 1
        made = Card(**{**asdict(card), "version": version})
        text = json.dumps({"card": asdict(made), "model": model}, indent=1, allow_nan=False)
        beside = home / f".{version:04d}.{os.getpid()}"
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # before it has its name: a version is whole or not there
        try:
            os.link(beside, home / f"{version:04d}.json")  # fails where somebody else has just taken the number
        except FileExistsError:
            continue
        finally:
            beside.unlink()
        return made


def read_model(folder: Path, name: str, version: int | None = None) -> tuple[Card, dict[str, Any]]:
    """A version of a model, by default the one in use, with its card. Raises SojournError where there is none."""
    home = _home(folder, name)
    wanted = version if version is not None else find_champion(folder, name)
    known = _list_versions(home)
    if wanted is None or wanted not in known:
        what = f"there is no version {wanted}" if wanted else f"none of its {len(known)} versions is in use"
        near = None if known else nearest(name, list_names(folder))
        raise SojournError(Problem(f"model '{name}'", what, near, f"sojourn models --models {folder}"))
    path = home / f"{wanted:04d}.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return _read_card(found["card"]), found["model"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SojournError(Problem(str(path), f"this is no model ({type(error).__name__})")) from None


def put_into_use(folder: Path, name: str, version: int, *, at: str, why: str) -> Decision:
    """Let a version be the champion; earlier ones stay. Raises SojournError for a version that is not there."""
    read_model(folder, name, version)
    made = Decision(version, find_champion(folder, name), at, why)
    path = _home(folder, name) / _DECISIONS
    is_cut_off = path.exists() and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write(("\n" if is_cut_off else "") + json.dumps(asdict(made)) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return made


def _is_cut_off(line: str) -> bool:
    """Whether it is the beginning of a decision: one that was being written when the process or the power went."""
    return line.startswith("{") and not line.endswith("}")


def find_champion(folder: Path, name: str) -> int | None:
    """The version in use, None where there is none."""
    decisions = list_decisions(folder, name)
    return decisions[-1].version if decisions else None


def list_decisions(folder: Path, name: str) -> list[Decision]:
    """All decisions about a model, in order. A line that was cut off while it was written was never decided."""
    path = _home(folder, name) / _DECISIONS
    if not path.exists():
        return []
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            found.append(Decision(**json.loads(line)))
        except (ValueError, TypeError):
            if _is_cut_off(line):
                continue
            raise SojournError(Problem(f"{path}:{number}", "this is no decision about a model")) from None
    return found


def list_names(folder: Path) -> list[str]:
    """The names of all models."""
    if not folder.is_dir():
        return []
    return sorted(home.name for home in folder.iterdir() if home.is_dir() and _list_versions(home))


def list_cards(folder: Path, name: str) -> list[Card]:
    """The cards of all versions of a model, the oldest first."""
    return [read_model(folder, name, version)[0] for version in _list_versions(_home(folder, name))]


def write_card(card: Card) -> str:
    """The card as a page in Markdown, for people."""
    lines = [
        f"# {card.name}, version {card.version}",
        "",
        f"A {card.kind} model of {card.created_at}, made by Sojourn {card.code_version}.",
        "",
        f"- Data: {card.n_customers:,} customers, {card.data_from} to {card.data_to}, playbook `{card.playbook[:12]}`.",
        f"- Inputs: {', '.join(f'`{name}`' for name in card.inputs) or 'none'}.",
        f"- Note: {card.note}" if card.note else "",
        "",
        "| on customers it had not seen | |",
        "|---|---|",
        *(f"| {name} | {value:.4g} |" for name, value in card.metrics.items()),
        "",
        "Audit: " + (json.dumps(card.audit) if card.audit else "nobody has looked at protected attributes."),
    ]
    return "\n".join(line for i, line in enumerate(lines) if line or i not in (6,)) + "\n"


def _home(folder: Path, name: str) -> Path:
    if not _NAME.match(name):
        what = f"'{name[:80]}' is no name of a model: small letters, digits, - and _"
        raise SojournError(Problem("model", what))
    return folder / name


def _list_versions(home: Path) -> list[int]:
    if not home.is_dir():
        return []
    found = (_VERSION.match(path.name) for path in home.iterdir())
    return sorted(int(match[1]) for match in found if match)


def _read_card(said: Mapping[str, Any]) -> Card:
    return Card(**{**said, "inputs": tuple(said["inputs"])})
