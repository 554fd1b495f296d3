"""Finds pages: a file in ``sojourn/pages`` with ``NAME``, or an entry point in the group ``sojourn.pages``.

A page's module has ``NAME`` and ``render(results)``, which takes the :class:`~sojourn.pages.results.Results` of a run
and gives the page as HTML.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sojourn.errors import Problem, SojournError, nearest
from sojourn.frames import Place, find_plugins, load_plugin

if TYPE_CHECKING:
    from sojourn.pages.results import Results

FOLDER = Path(__file__).parent
GROUP = "sojourn.pages"


def find_pages() -> dict[str, Place]:
    """Where each page is, by its name. Imports none of them."""
    return find_plugins(FOLDER, GROUP, "NAME")


def render_page(name: str, results: Results) -> str:
    """The page of this name as HTML. Raises SojournError where there is none."""
    found = find_pages()
    if name not in found:
        raise SojournError(Problem("pages", f"there is no page '{name}'", nearest(name, found)))
    return str(load_plugin(found[name]).render(results))
