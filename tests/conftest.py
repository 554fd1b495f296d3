"""What every test may use: where the real data is, and hypothesis that prints how to repeat a failure."""

from __future__ import annotations

import os

# One test per core runs at a time; libraries that start a thread per core as well would wait for each other. Here and
# for the commands that tests start, and before anything is imported that reads it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import pytest
from hypothesis import settings

from tests import ROOT

DATA = Path(os.environ.get("SOJOURN_DATA") or ROOT.parent / "shared" / "data")

# No deadline: the first example of a property may compile a kernel. Continuous integration draws the same examples
# every time, so that it fails for what a change did; everywhere else they are new ones.
settings.register_profile("sojourn", print_blob=True, deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("sojourn")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("data") and not DATA.is_dir():
        pytest.skip(f"needs real data: no folder {DATA} (set SOJOURN_DATA)")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data; only for tests marked ``data``."""
    return DATA
