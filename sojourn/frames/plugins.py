"""Finds what extends Sojourn: a file in a folder of its own, or an entry point of an installed package.

Commands, destinations, kinds of models and pages are all found so: to add one takes one new file, and no list names it.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

Place = Path | EntryPoint
"""Where a plugin is: a module of Sojourn's own, or the entry point that names one."""
_PACKAGE = Path(__file__).parents[1]


def find_plugins(folder: Path, group: str, constant: str | None = None) -> dict[str, Place]:
    """Where each plugin is, by its name: the files below ``folder`` and the entry points of ``group``.

    A file is called by its name with hyphens for underscores; with ``constant``, by the text that it gives to this
    name, and files without it are no plugins. An entry point is called by its own name. Nothing is imported. A file
    of Sojourn wins over an entry point of the same name.
    """
    found: dict[str, Place] = {point.name: point for point in entry_points(group=group)}
    for file in sorted(folder.rglob("*.py")):
        name = file.stem.replace("_", "-") if constant is None else read_constant(file, constant)
        if name and not file.stem.startswith("_"):
            found[name] = file
    return found


def load_plugin(place: Place) -> Any:
    """The module of a plugin, or whatever object its entry point names."""
    if isinstance(place, EntryPoint):
        return place.load()
    return import_module(".".join(place.relative_to(_PACKAGE.parent).with_suffix("").parts))


def load_plugins(places: Mapping[str, Place]) -> dict[str, Any]:
    """All modules of :func:`find_plugins`, by name."""
    return {name: load_plugin(place) for name, place in places.items()}


def read_constant(place: Place, name: str) -> Any:
    """What the module gives to ``name`` at its top level, None where it does not.

    The source of a file is read without importing it; what an entry point names is loaded.
    """
    if isinstance(place, EntryPoint):
        return getattr(place.load(), name, None)
    for node in ast.parse(place.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [name]:
            return ast.literal_eval(node.value)
    return None
