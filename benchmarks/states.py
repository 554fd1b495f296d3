"""The state model against the truth of simulated customers, beside its own ceiling and the textbook HMM.

Run: python benchmarks/states.py [--customers 1000] [--seeds 5]
The playbook ``shop`` is all the guidance: the known states of the simulation are dropped. Every figure is over the
customers' own events. The ceiling is the same model, with evidence weighed by the same procedure, fitted to the same
events with the true state as a label at each (the strongest label there is, 0.95), and read without labels. The
textbook HMM sees event classes alone and has as many states; its states are matched to the true ones by the
assignment that agrees best, which favours it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from time import process_time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sojourn.events.read import read_events
from sojourn.fold.batch import Batch, Observe, fold_events, make_batch
from sojourn.fold.cuts import choose_cuts
from sojourn.fold.layout import build_layout
from sojourn.pages.results import Results
from sojourn.pipelines.run import run
from sojourn.playbook.load import load_playbook
from sojourn.playbook.objects import Playbook
from sojourn.simulation.customers import Simulation, simulate, true_state_at
from sojourn.simulation.world import STATES
from sojourn.states import hmm
from sojourn.states.channels import label_symbols, plan_channels
from sojourn.states.fit import fit_states
from sojourn.states.hmm.kernel import smooth
from sojourn.states.hmm.model import Model, Sequences, emission_table, silence_matrices, step_matrices
from sojourn.states.hmm.textbook import symbol_sequences, textbook_model
from sojourn.states.rows import Rows, arrange_rows

F8 = NDArray[np.float64]
Start = tuple[F8, F8, F8]
N_BINS = 10
TEXTBOOK_STARTS = 10


@dataclass(frozen=True)
class Accuracy:
    """Shares of own events whose state is right, and how calibrated and calm the answer is."""

    seed: int
    n_events: int
    smoothed: float
    filtered: float
    ceiling: float
    textbook: float
    textbook_sticky: float
    textbook_from_truth: float
    calibration_error: float
    flaps_before: float
    flaps_after: float
    cpu_s: float

    @property
    def of_ceiling(self) -> float:
        """How much of the ceiling is reached."""
        return self.smoothed / self.ceiling

    @property
    def above_textbook(self) -> float:
        """Points above the best likelihood of the random starts."""
        return 100 * (self.smoothed - self.textbook)


def measure(n_customers: int, seed: int, *, n_starts: int = TEXTBOOK_STARTS, n_threads: int = 2) -> Accuracy:
    """Simulate, run, and compare with the truth; about a CPU minute per thousand customers."""
    world = simulate(n_customers, seed=seed)
    events, book = drop_labels(world.events), load_playbook("shop")
    start = process_time()
    results = run(events, book, seed=seed, n_threads=n_threads)
    cpu_s = process_time() - start
    smoothed, filtered, filtered_p, truth = against_truth(results, world)
    seen = read(events, book, world)
    rows = arrange(seen, with_labels=False)
    own_truth = seen.truth[rows.order[rows.own_row]]
    ceiling = fit_ceiling(seen, rows, seed, n_threads)
    random, sticky, best = textbook_states(rows.data, own_truth, n_starts, seed, n_threads)
    return Accuracy(
        seed,
        len(truth),
        share_right(smoothed, truth),
        share_right(filtered, truth),
        share_right(ceiling, own_truth),
        matched_share(random, own_truth),
        matched_share(sticky, own_truth),
        matched_share(best, own_truth),
        calibration_error(filtered_p, filtered == truth),
        results.run["flaps"]["before"],
        results.run["flaps"]["after"],
        cpu_s,
    )


def drop_labels(events: pa.Table) -> pa.Table:
    """The raw rows without what the simulation tells about states."""
    at = events.schema.get_field_index("known_state")
    return events.set_column(at, "known_state", pa.nulls(events.num_rows, pa.string()))


def share_right(found: NDArray[Any], truth: NDArray[Any]) -> float:
    """The share of events with the true state."""
    return float((found == truth).mean())


def matched_share(found: NDArray[Any], truth: NDArray[Any]) -> float:
    """The same for states without names, under the one-to-one naming that makes it largest."""
    from scipy.optimize import linear_sum_assignment

    counts = np.zeros((len(STATES), len(STATES)))
    np.add.at(counts, (found, truth), 1)
    return float(counts[linear_sum_assignment(-counts)].sum() / len(truth))


def calibration_error(confidence: F8, is_right: NDArray[np.bool_]) -> float:
    """Expected calibration error: |share right - mean confidence| over ten bins of confidence, by size.

    Source: Naeini, Cooper & Hauskrecht 2015, doi:10.1609/aaai.v29i1.9602.
    """
    bins = np.minimum((confidence * N_BINS).astype(np.int64), N_BINS - 1)
    gaps = np.bincount(bins, is_right - confidence, N_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def against_truth(results: Results, world: Simulation) -> tuple[NDArray[Any], NDArray[Any], F8, NDArray[Any]]:
    """``(smoothed, filtered, filtered_p, truth)`` at own events, states as positions in ``STATES``."""
    history = results.history
    touches = pa.array(list(results.playbook.touches), pa.string())
    own = history.filter(pc.invert(pc.is_in(history["event_class"].cast(pa.string()), touches)))
    truth = true_state_at(world.truth, own["customer_id"], own["event_at"])
    assert truth.min() >= 0, "every event happens in a true state"

    def positions(name: str) -> NDArray[Any]:
        return np.asarray(pc.index_in(own[name].cast(pa.string()), pa.array(STATES)))

    return positions("smoothed_state"), positions("filtered_state"), own["filtered_p"].to_numpy(), truth


# -- the ceiling: the same model with the truth to fit on ------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """Events in time order as the stages of a run hand them on, and the true state at each."""

    book: Playbook
    batch: Batch
    symbols: NDArray[np.uint8]
    cuts: tuple[F8, ...]
    truth: NDArray[np.int8]


def read(events: pa.Table, book: Playbook, world: Simulation) -> Seen:
    """The stages of a run up to the fold."""
    log = read_events(events, book, now=None, clock=datetime.now(UTC))
    layout, batch = build_layout(book), make_batch(log.events, book)
    cuts = choose_cuts(fold_events(layout, batch, observe=Observe(is_raw=True)).values)
    symbols = fold_events(layout, batch, observe=Observe(cuts)).symbols
    truth = true_state_at(world.truth, log.events["customer_id"], log.events["event_at"])
    return Seen(book, batch, symbols, cuts, truth)


def arrange(seen: Seen, *, with_labels: bool) -> Rows:
    """Events by customer; ``with_labels`` the true state is a label at each."""
    labels = label_symbols(seen.truth.astype(np.int64), np.ones(len(seen.truth)), len(STATES)) if with_labels else None
    batch, now = seen.batch, int(seen.batch.event_at[-1])
    return arrange_rows(
        seen.book, batch.customer, batch.event_at, batch.event_class, seen.symbols, labels, seen.book.model.silence_s,
        batch.n_customers, now,
    )  # fmt: skip


def fit_ceiling(seen: Seen, rows: Rows, seed: int, n_threads: int) -> NDArray[Any]:
    """Smoothed states at own events, by the model that was fitted with labels but reads ``rows`` without them."""
    assert seen.book.state_names == STATES
    labelled = arrange(seen, with_labels=True).data
    plan = plan_channels(seen.book, seen.cuts, with_labels=True)
    rng = np.random.default_rng(seed)
    fit = fit_states(seen.book, plan, labelled, seen.book.model.silence_s, rng=rng, n_threads=n_threads)
    unlabelled = replace(fit.model, channels=tuple(c for c in fit.model.channels if c.is_learned))
    return smooth_events(unlabelled, rows.data).argmax(axis=1)


def smooth_events(model: Model, data: Sequences) -> F8:
    """Smoothed posteriors [own events, S]."""
    n_states = len(model.states)
    emissions, _ = emission_table(model, data.combos)
    filtered, smoothed, after = (np.empty((data.n_events, n_states)) for _ in range(3))
    smooth(n_states)(
        data.starts, data.code, data.step, data.end, 0, len(data.end), emissions, step_matrices(model),
        np.ascontiguousarray(silence_matrices(model).sum(axis=2)), model.initial, filtered, smoothed, after,
        np.empty(len(data.end)),
    )  # fmt: skip
    return smoothed


# -- the textbook HMM ------------------------------------------------------------------------------------


def textbook_states(
    data: Sequences, truth: NDArray[Any], n_starts: int, seed: int, n_threads: int
) -> tuple[NDArray[Any], ...]:
    """Smoothed states by the best of random starts, of sticky random starts, and from the truth's own tables."""
    n_classes = int(data.combos[:, 0].max()) + 1
    classes = data.combos[:, 0][data.code].astype(np.int64)
    sequences = np.split(classes, data.starts[1:-1])
    rng = np.random.default_rng(seed)
    n_states = len(STATES)

    def fit(start: Start) -> hmm.Textbook:
        return hmm.fit(sequences, n_states, n_classes, start=start, tol=1.0, max_iter=300, n_threads=n_threads)

    def best(starts: Iterable[Start]) -> NDArray[Any]:
        found = max((fit(start) for start in starts), key=lambda f: f.log_likelihood)
        model = textbook_model(found.initial, found.transitions, found.emissions)
        return smooth_events(model, symbol_sequences(sequences, n_classes)).argmax(axis=1)

    def random(stay: float) -> Start:
        even = rng.dirichlet(np.ones(n_states), n_states)
        moves = stay * np.eye(n_states) + (1 - stay) * even
        return rng.dirichlet(np.ones(n_states)), moves, rng.dirichlet(np.ones(n_classes), n_states)

    return (
        best(random(0.0) for _ in range(n_starts)),
        best(random(0.95) for _ in range(n_starts)),
        best([count_start(data.starts, classes, truth, n_classes)]),
    )


def count_start(starts: NDArray[np.int64], classes: NDArray[np.int64], truth: NDArray[Any], n_classes: int) -> Start:
    """Frequencies given the true states: the best place to start from that there is."""
    n = len(STATES)
    begins = starts[:-1][np.diff(starts) > 0]
    follows = np.ones(len(truth), bool)
    follows[begins] = False
    later = np.flatnonzero(follows)
    initial = np.bincount(truth[begins], minlength=n) + 0.5
    moves, symbols = np.full((n, n), 0.5), np.full((n, n_classes), 0.5)
    np.add.at(moves, (truth[later - 1], truth[later]), 1)
    np.add.at(symbols, (truth, classes), 1)
    return (
        initial / initial.sum(),
        moves / moves.sum(axis=1, keepdims=True),
        symbols / symbols.sum(axis=1, keepdims=True),
    )


# -- the table -------------------------------------------------------------------------------------------

COLUMNS = {
    "smoothed": "smoothed",
    "ceiling": "ceiling",
    "of_ceiling": "of ceiling",
    "textbook": "textbook, random starts",
    "textbook_sticky": "textbook, sticky starts",
    "textbook_from_truth": "textbook, started at the truth",
    "filtered": "filtered",
    "calibration_error": "calibration error",
    "flaps_before": "flaps before",
    "flaps_after": "flaps after",
}


def print_table(found: list[Accuracy]) -> None:
    """A row per seed and one of means."""
    print(f"| seed | own events | {' | '.join(COLUMNS.values())} |")
    print("|---" * (2 + len(COLUMNS)) + "|")
    for one in found:
        print(f"| {one.seed} | {one.n_events:,} | {' | '.join(f'{getattr(one, c):.3f}' for c in COLUMNS)} |")
    means = [float(np.mean([getattr(one, c) for one in found])) for c in COLUMNS]
    print(f"| mean | {sum(one.n_events for one in found):,} | {' | '.join(f'{m:.3f}' for m in means)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    found = [measure(options.customers, seed) for seed in range(options.seeds)]
    print_table(found)
    print(json.dumps({"benchmark": "states", "customers": options.customers, "seeds": [asdict(one) for one in found]}))


if __name__ == "__main__":
    main()
