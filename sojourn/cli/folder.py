"""Finds commands: a file in `cli/commands/`, or an entry point in the group `sojourn.commands`, is a command.

A command's module has ``SHORT_HELP`` (its line in ``sojourn --help``) and either ``command``, a function with Typer
options, or ``app``, a :class:`typer.Typer` with commands of its own. Its name is the file's, with hyphens. A module is
imported when its command is used: ``sojourn --help`` reads the line of each from its source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from sojourn.errors import Problem, SojournError
from sojourn.frames import Place, find_plugins, load_plugin, read_constant

COMMANDS = Path(__file__).parent / "commands"
GROUP = "sojourn.commands"
FIRST = (
    "run",
    "check",
    "init",
    "explain",
    "simulate",
    "demo",
    "retrain",
    "models",
    "segments",
    "moments",
    "value",
    "predict",
    "stability",
    "substates",
    "name",
    "brief",
    "sentiment",
    "send-time",
    "plan",
    "serve",
    "replay",
    "deploy",
    "link",
    "archive",
    "repair",
    "keys",
    "outbox",
)
"""The order of ``sojourn --help``; commands that are not named here follow by name."""


def find_commands() -> dict[str, Place]:
    """Where each command is, by its name, in the order of ``sojourn --help``."""
    found = find_plugins(COMMANDS, GROUP)
    order = {name: place for place, name in enumerate(FIRST)}
    return dict(sorted(found.items(), key=lambda item: (order.get(item[0], len(order)), item[0])))


def load_module(name: str, place: Place) -> ModuleType:
    """The module of a command. Raises SojournError when it has neither ``command`` nor ``app``."""
    module: Any = load_plugin(place)
    if not (hasattr(module, "command") or hasattr(module, "app")):
        what = f"the module {module.__name__} has neither 'command' nor 'app'"
        raise SojournError(Problem(f"sojourn {name}", what, command="sojourn --help"))
    return module  # type: ignore[no-any-return]


def load_command(name: str, place: Place) -> Any:
    """The command as Click knows it."""
    module = load_module(name, place)
    short_help = getattr(module, "SHORT_HELP", None)
    if hasattr(module, "app"):
        found: Any = get_group(module.app)
        found.name, found.short_help = name, short_help
        return found
    alone = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)
    alone.command(name, short_help=short_help)(module.command)
    return get_command(alone)


def read_short_help(place: Place) -> str:
    """``SHORT_HELP`` of a command, read from its source without importing it; empty where there is none."""
    return str(read_constant(place, "SHORT_HELP") or "")


class FolderGroup(TyperGroup):
    """A group whose commands are found by :func:`find_commands` and imported when used."""

    _is_listing = False
    _found: Mapping[str, Place] | None = None

    def _find(self) -> Mapping[str, Place]:
        if self._found is None:
            self._found = find_commands()
        return self._found

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all commands, in the order of the help."""
        return list(self._find())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, or None; while the help is written, only its name and its line."""
        place = self._find().get(cmd_name)
        if place is None:
            return None
        if self._is_listing:
            return TyperCommand(cmd_name, short_help=read_short_help(place), help=read_short_help(place))
        return load_command(cmd_name, place)

    @contextmanager
    def _list_only(self) -> Iterator[None]:
        self._is_listing = True
        try:
            yield
        finally:
            self._is_listing = False

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help without importing any command."""
        with self._list_only():
            super().format_help(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """The commands and options that begin so, without importing any command."""
        with self._list_only():
            return super().shell_complete(ctx, incomplete)
