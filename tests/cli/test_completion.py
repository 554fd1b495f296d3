"""The shell completes commands and options, and imports no command to list them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ENTRY = """
import sys
from sojourn.cli.main import main
try:
    main()
finally:
    loaded = [name for name in sys.modules if name.startswith("sojourn.cli.commands.")]
    print(*loaded, file=sys.stderr)
"""


def complete(words: str) -> tuple[list[str], str]:
    """What bash offers for the last of the words, and the modules of commands that were imported."""
    done = subprocess.run(
        [sys.executable, "-c", ENTRY],
        env={
            **os.environ,
            "_SOJOURN_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split(), done.stderr.strip()


def test_commands_are_completed_without_importing_one() -> None:
    offered, loaded = complete("sojourn st")
    assert offered == ["stability"]
    assert loaded == ""


@pytest.mark.parametrize(
    ("words", "offered"),
    [("sojourn keys ro", "rotate"), ("sojourn run --se", "--seed"), ("sojourn --ver", "--version")],
)
def test_inner_commands_and_options_are_completed(words: str, offered: str) -> None:
    assert complete(words)[0] == [offered]
