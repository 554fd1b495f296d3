"""All figures of a run, by name: pure functions from tables to Plotly figures in one common look.

A state has the same colour in every figure. Titles say the finding; ``figure.layout.meta`` holds how to read it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sojourn.pages.figures.dwell import draw_dwell, draw_velocity
from sojourn.pages.figures.flow import draw_flow, draw_matrix
from sojourn.pages.figures.journeys import draw_channels, draw_journeys, draw_paths
from sojourn.pages.figures.moments import draw_moments
from sojourn.pages.figures.people import draw_example, draw_fingerprints, draw_states_now
from sojourn.pages.figures.quality import draw_event_classes, draw_likelihood, draw_rows, draw_tradeoff
from sojourn.pages.figures.segments import draw_hybrid
from sojourn.pages.figures.style import color_states
from sojourn.pages.figures.triggers import draw_precedes, draw_triggers
from sojourn.pages.figures.values import draw_growth, draw_values
from sojourn.pages.figures.velocity import draw_tracked
from sojourn.transitions import count_states

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from sojourn.pages.results import Results


def draw_all(results: Results) -> dict[str, Figure]:
    """Every figure of a run as Plotly figures, by name, in the order of the report.

    Names: ``states``, ``fingerprints``, ``flow``, ``matrix``, ``dwell``, ``velocity``, ``tracked``, ``precedes``,
    ``triggers``, ``values``, ``growth``, ``moments``, ``paths``, ``journeys``, ``channels``, ``hybrid``, ``example_1``
    and so on (one per example customer), ``tradeoff``, ``likelihood``, ``rows``, ``event_classes``. Where there is
    nothing to draw (nobody has moved, say) the figure holds a sentence that says so, and ``layout.meta["is_empty"]`` is
    True.
    """
    states = list(results.model["states"])
    colors = color_states(states)
    now = datetime.fromisoformat(results.run["now"])
    moves = results.moves
    figures = {
        "states": draw_states_now(*count_now_and_before(results), colors),
        "fingerprints": draw_fingerprints(results.fingerprints, states, colors),
        "flow": draw_flow(moves["flow"], states, colors, now),
        "matrix": draw_matrix(moves["matrix"], states),
        "dwell": draw_dwell(moves["dwell"], states, colors),
        "velocity": draw_velocity(moves["velocity"], states, colors),
        "tracked": draw_tracked(moves["velocity"], moves["velocity_changes"], results.playbook.targets, colors),
        "precedes": draw_precedes(moves["precedes"], colors),
        "triggers": draw_triggers(moves["triggers"], colors),
        "values": draw_values(moves["values"], colors),
        "growth": draw_growth(moves["growth"], colors),
        "moments": draw_moments(moves["moments"]),
        "paths": draw_paths(moves["paths"], colors),
        "journeys": draw_journeys(moves["journeys"]),
        "channels": draw_channels(moves["channels"], states),
        "hybrid": draw_hybrid(moves["hybrid"], states),
    }
    for number, trace in enumerate(results.examples, start=1):
        figures[f"example_{number}"] = draw_example(trace, states, colors, now)
    figures["tradeoff"] = draw_tradeoff(results.model.get("tradeoff") or [], results.playbook.stability.flaps_per_month)
    figures["likelihood"] = draw_likelihood(results.run.get("likelihood") or [])
    figures["rows"] = draw_rows(results.run)
    figures["event_classes"] = draw_event_classes(results.run.get("event_classes") or [])
    return figures


def count_now_and_before(results: Results) -> tuple[dict[str, int], dict[str, int]]:
    """Customers per state now and seven days before."""
    states = list(results.model["states"])
    now = datetime.fromisoformat(results.run["now"])
    now_n, before_n = (
        count_states(results.transitions, results.customers, states=states, at=at)
        for at in (now, now - timedelta(days=7))
    )
    return now_n, before_n
