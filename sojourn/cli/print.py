"""How the command line prints: text and JSON on standard output, progress and errors on standard error."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sojourn.frames.plain import plain
from sojourn.frames.types import Progress

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
    """An instant as ISO text, to the minute; a dash where there is none.

    >>> show_at("2025-06-01T12:30:59+00:00"), show_at(None)
    ('2025-06-01 12:30', '–')
    """
    return text[:16].replace("T", " ") if text else "–"


def show_duration(seconds: float | None) -> str:
    """A duration in the unit a person would choose.

    >>> [show_duration(s) for s in (0.4, 90, 7200, 400_000, None)]
    ['0.4 s', '1.5 min', '2.0 h', '4.6 d', '–']
    """
    if seconds is None or not math.isfinite(seconds):
        return "–"
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def show_share(part: float, whole: float) -> str:
    """A share as a percentage, or a dash where there is nothing to take a share of.

    >>> show_share(1, 8), show_share(0, 0)
    ('12.5 %', '–')
    """
    return f"{100 * part / whole:.1f} %" if whole else "–"


def show_bar(value: float, most: float, width: int = BAR_WIDTH) -> str:
    """A bar of block characters, ``width`` long for the largest value.

    >>> show_bar(3, 6, width=4)
    '██'
    """
    if most <= 0 or not math.isfinite(value):
        return ""
    eighths = round(abs(value) / most * width * 8)
    return "█" * (eighths // 8) + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[eighths % 8]


def show_count(n: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun.

    >>> show_count(1, "event class", "event classes"), show_count(1200, "row")
    ('1 event class', '1,200 rows')
    """
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def make_grid(*headings: tuple[str, str]) -> Table:
    """An empty table without lines; each heading comes with its side, ``left`` or ``right``."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for name, side in headings:
        table.add_column(name, justify="right" if side == "right" else "left", no_wrap=True)
    return table
