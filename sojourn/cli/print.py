"""How the command line prints: text and JSON on standard output, progress and errors on standard error."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sojourn.frames import Progress, plain
from sojourn.pages.words import DASH, say_instant

BAR_WIDTH = 24
PLAIN_WIDTH = 100
"""Characters per line where the output is not a terminal: files and pipes get the same text everywhere."""


def open_console(*, is_error: bool = False) -> Console:
    """A console on the standard stream as it is now (tests replace it), of fixed width off a terminal."""
    stream = sys.stderr if is_error else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else PLAIN_WIDTH, highlight=False, soft_wrap=False)


def say(text: str) -> None:
    """Print one plain line on standard output."""
    open_console().print(text, markup=False, soft_wrap=True)


def say_error(text: str, *, is_marked: bool = True) -> None:
    """Print a message on standard error, with ``error:`` before it unless ``is_marked`` is off."""
    console = open_console(is_error=True)
    if is_marked:
        console.print(Text.assemble(("error: ", "bold red"), text), soft_wrap=True)
    else:
        console.print(text, markup=False, soft_wrap=True)


def say_unexpected(error: BaseException, *, version: str) -> None:
    """Print what a person needs to report a fault of Sojourn itself."""
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    say_error(
        f"{what}\n"
        f"This is a fault in sojourn {version}, not in your input. Please report it: run the same command\n"
        "as `sojourn --debug …` and send what it prints, with the command and, if you may, the playbook."
    )


@contextmanager
def progress_bars(*, is_silent: bool = False) -> Iterator[Progress]:
    """A function ``(stage, done, total)`` that draws a bar per stage on standard error, gone at the end.

    It draws nothing where standard error is not a terminal. A ``total`` of 0 means that the end is not known.
    """
    if is_silent or not sys.stderr.isatty():
        yield _ignore
        return
    # rich: only where a terminal shows bars
    from rich.progress import (
        BarColumn,
        Progress,
        SpinnerColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=BAR_WIDTH),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=open_console(is_error=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total or None)
            bars.update(tasks[stage], completed=done, total=total or None)

        yield show


def _ignore(stage: str, done: int, total: int) -> None:
    """No bars: the output is not a terminal, or JSON was asked for."""


def print_json(value: Any) -> None:
    """Print the value as indented JSON on standard output."""
    sys.stdout.write(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()  # a reader that has gone away is noticed here, not when the interpreter ends


def show_at(text: str | None) -> str:
    """An instant given as ISO text, as :func:`say_instant` words it; a dash where there is none."""
    return say_instant(datetime.fromisoformat(text)) if text else DASH


def show_bar(value: float, most: float, width: int = BAR_WIDTH) -> str:
    """A bar of block characters, ``width`` long for the largest value.

    >>> show_bar(3, 6, width=4)
    '██'
    """
    if most <= 0 or not math.isfinite(value):
        return ""
    eighths = round(abs(value) / most * width * 8)
    return "█" * (eighths // 8) + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[eighths % 8]


def make_grid(*headings: tuple[str, str]) -> Table:
    """An empty table without lines; each heading comes with its side, ``left`` or ``right``."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for name, side in headings:
        table.add_column(name, justify="right" if side == "right" else "left", no_wrap=True)
    return table
