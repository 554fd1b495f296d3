"""Texts of a playbook or a row, made fit to stand in a sentence, a figure or a table."""

from __future__ import annotations

import html
import textwrap
from typing import Any


def shorten(text: str, most: int) -> str:
    """The text on one line, cut with an ellipsis where it is longer than ``most`` characters.

    >>> shorten("count(compare, within=1h) >= 3", 16), shorten("two\\nlines", 20)
    ('count(compare,…', 'two lines')
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def plain(text: Any, most: int = 60) -> str:
    """Any text of a playbook or a row, made safe to draw: on one line, not too long, and never markup.

    Plotly reads a small part of HTML in its texts, links among it; escaped, the text shows as it is.

    >>> plain("<a href='x'>buy</a> & go")
    "&lt;a href='x'&gt;buy&lt;/a&gt; &amp; go"
    """
    return html.escape(shorten(str(text), most), quote=False)


def break_lines(text: str) -> str:
    """A sentence over several lines of a hover label, safe to draw.

    >>> break_lines("one two")
    'one two'
    """
    return "<br>".join(plain(line, 90) for line in textwrap.wrap(text, 60)[:6])
