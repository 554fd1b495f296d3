"""What one run found: every table, the model and the numbers of the run, as one frozen object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from sojourn.playbook import Playbook


@dataclass(frozen=True)
class Results:
    """Tables as :mod:`sojourn.frames.schemas` describes them, plus what the report draws.

    ``moves`` holds the tables of :mod:`sojourn.transitions.matrix` by name, ``examples`` one trace per example
    customer, ``fingerprints`` what marks each state, ``model`` and ``run`` what ``model.json`` and ``run.json`` say.
    Tables of stages that were left out (``run["left_out"]``) are not there.
    """

    playbook: Playbook
    customers: pa.Table
    transitions: pa.Table
    quarantine: pa.Table
    fingerprints: pa.Table
    moves: Mapping[str, pa.Table]
    examples: tuple[pa.Table, ...]
    model: Mapping[str, Any]
    run: Mapping[str, Any]
    load_history: Callable[[], pa.Table] = field(repr=False, compare=False)
    _figures: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def history(self) -> pa.Table:
        """A row per accepted event (:data:`sojourn.frames.schemas.HISTORY`), read from its file where there is one."""
        return self.load_history()

    @property
    def figures(self) -> Mapping[str, Figure]:
        """The report's figures by name, drawn on first use."""
        from sojourn.pages.figures import draw_all  # Plotly and all that figures read, drawn on first use
        from sojourn.pages.gaps import fill_gaps  # loads what the analyses load

        if not self._figures:
            self._figures.update(draw_all(fill_gaps(self)))
        return self._figures
