"""An extension of Griffe: reStructuredText in docstrings as the Markdown that mkdocstrings expects.

Docstrings show examples as doctests and name other objects with roles. Markdown would take ``>>>`` for a quotation.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc|obj):`~?([\w.]+)`")


def fence_doctests(text: str) -> str:
    """The text with each doctest in a fence; a doctest ends at a blank line."""
    lines: list[str] = []
    is_inside = False
    for line in text.splitlines():
        if not is_inside and line.lstrip().startswith(">>>"):
            lines += ["", "```pycon"]
            is_inside = True
        elif is_inside and not line.strip():
            lines.append("```")
            is_inside = False
        lines.append(line)
    return "\n".join([*lines, "```"] if is_inside else lines)


def write_roles(text: str) -> str:
    """The text with roles as code: ``:class:`~sojourn.playbook.Playbook``` becomes ```Playbook```."""
    return ROLE.sub(lambda found: f"`{found[1].rpartition('.')[2]}`", text)


class MarkdownDocstrings(griffe.Extension):
    """Rewrites the docstring of each object once it is loaded."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Change the text of the docstring, if there is one."""
        if obj.docstring is not None:
            obj.docstring.value = fence_doctests(write_roles(obj.docstring.value))
