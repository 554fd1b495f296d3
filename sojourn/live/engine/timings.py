"""How long the steps of the engine take, as histograms for metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class Histogram:
    """How often something took how long, in seconds, by bounds that rise about twofold.

    >>> commit = Histogram()
    >>> commit.add(0.003)
    >>> commit.rows()["counts"][:4], commit.rows()["sum"]
    ([0, 0, 0, 1], 0.003)
    """

    BOUNDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

    def __init__(self) -> None:
        self.counts = [0] * (len(self.BOUNDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one more."""
        i = next((i for i, bound in enumerate(self.BOUNDS) if seconds <= bound), len(self.BOUNDS))
        self.counts[i] += 1
        self.total += seconds

    def rows(self) -> dict[str, Any]:
        """Bounds, counts of each (the last one is of what took longer), and the sum."""
        return {"bounds": list(self.BOUNDS), "counts": list(self.counts), "sum": self.total}


@dataclass
class Timings:
    """How long commits, applying a record, and the way from receipt to publication took."""

    commit: Histogram = field(default_factory=Histogram)
    apply: Histogram = field(default_factory=Histogram)
    publish: Histogram = field(default_factory=Histogram)
