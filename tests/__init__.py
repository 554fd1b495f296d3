"""The tests, a folder per package of Sojourn; helpers lie beside the tests that use them most."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The root of the repository."""
