"""What 200 moments cost: time per event of the fold alone, and of the live step, with 0 and with 200 of them.

Run: python benchmarks/moments.py [--events 1000000] [--customers 40000] [--repeats 5]
16 event classes in visits of five events, features and states as in benchmarks/fold.py with six states: 48 decayed
counters and more, 8 features and 4 indicators observed at every event. The 200 moments are drawn at random: half plain
sequences of two to four steps, the rest with counts, in any order, with classes that must not come between, and after
an absence; windows from an hour to seven days. The step folds, observes, filters and publishes, as live and batch do.
With and without are run by turns in one process, and the least CPU time of the repeats counts. Before that, completions
of some customers are checked against brute force.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from fold import CLASSES, make_playbook, scan, write_events

from sojourn.fold.batch import Batch, fold_events, make_batch
from sojourn.fold.layout import build_layout, moments_layout
from sojourn.fold.primitives import Event, Pattern, find_completions
from sojourn.live.engine.event_files import PastEvents
from sojourn.live.engine.version.steps import Steps
from sojourn.playbook.load import parse_playbook
from sojourn.playbook.objects import Playbook
from sojourn.states.model import draft_state_model

WINDOWS = ("1h", "2h", "12h", "1d", "2d", "7d")
STATES = "".join(f"  s{i}: {{about: One., job: One., typical: {{{CLASSES[i + 2]}: 1}}}}\n" for i in range(4))


def draw_moment(rng: np.random.Generator, kind: int) -> str:
    """A moment as YAML; of ten kinds, half are plain sequences."""
    names = rng.permutation(CLASSES)[: int(rng.integers(2, 5))].tolist()
    other = next(name for name in rng.permutation(CLASSES).tolist() if name not in names)
    within = f"within: {rng.choice(WINDOWS)}"
    if kind == 5:
        return f"sequence: [{names[0]}: {rng.integers(2, 4)}], {within}"
    if kind == 6:
        return f"sequence: [{', '.join(names)}], without: [{other}], {within}"
    if kind == 7:
        return f"sequence: [{names[0]}: 2], after_absence: {{class: {names[0]}, for: 7d}}, {within}"
    if kind in (8, 9):
        wanted = ", ".join(f"{name}: {rng.integers(1, 3)}" for name in names)
        return f"all_of: {{{wanted}}}, {within}" + (f", without: [{other}]" if kind == 9 else "")
    return f"sequence: [{', '.join(names)}], {within}"


def with_moments(n: int, rng: np.random.Generator) -> Playbook:
    """The playbook of benchmarks/fold.py with six states and so many moments."""
    moments = "".join(f"  m{i}: {{{draw_moment(rng, i % 10)}}}\n" for i in range(n))
    return parse_playbook(make_playbook().text + STATES + (f"moments:\n{moments}" if n else ""))


def check(book: Playbook, batch: Batch) -> int:
    """Completions of the first 30 customers by brute force and by the fold; how many there are."""
    layout, names = moments_layout(book), book.class_names
    found = fold_events(layout, batch).completions
    n_checked = 0
    for who in range(30):
        places = np.flatnonzero(batch.customer == who)
        mine = found[np.isin(found[:, 0], places)]
        events = [Event(int(batch.event_at[i]), names[batch.event_class[i]]) for i in places]
        for k, m in enumerate(book.moments):
            pattern = Pattern(m.sequence, m.within_s, m.all_of, m.without, m.absent, m.absent_s)
            expected = places[find_completions(events, pattern)].tolist()
            assert mine[mine[:, 1] == k, 0].tolist() == expected, (who, m)
            n_checked += len(expected)
    return n_checked


Prepared = Callable[[], Callable[[], Any]]
"""Makes empty vectors, and with them the run that is timed."""


def folding(book: Playbook, batch: Batch) -> Prepared:
    """The fold alone over all events."""
    layout = build_layout(book, is_live=True)

    def prepare() -> Callable[[], Any]:
        vectors = layout.new_vectors(batch.n_customers)
        return lambda: fold_events(layout, batch, vectors=vectors, is_in_place=True)

    return prepare


def stepping(book: Playbook, batch: Batch, size: int) -> Prepared:
    """The live step over all events in micro-batches of ``size``."""
    steps = Steps(book, draft_state_model(book))
    n = len(batch)
    no_label = np.full(n, len(book.states), np.uint8)
    events = PastEvents(
        batch.customer, batch.event_at, np.arange(n), batch.event_class, no_label, batch.measures, batch.channel,
        batch.properties, batch.session, [b""] * n,
    )  # fmt: skip

    parts = [(batch.customer[a : a + size], PastEvents(**{k: v[a : a + size] for k, v in events.__dict__.items()}))
             for a in range(0, n, size)]  # fmt: skip

    def prepare() -> Callable[[], Any]:
        customers = steps.new_customers()
        customers.add(np.arange(batch.n_customers))
        return lambda: [steps.step(customers, rows, part) for rows, part in parts]

    return prepare


def time_by_turns(ways: dict[int, Prepared], repeats: int) -> dict[int, float]:
    """The least CPU seconds of each."""
    best = dict.fromkeys(ways, np.inf)
    for _ in range(repeats):
        for n, prepare in ways.items():
            run = prepare()
            start = process_time()
            run()
            best[n] = min(best[n], process_time() - start)
    return best


def main() -> None:
    """Prints one Markdown table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--customers", type=int, default=40_000)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    books = {n: with_moments(n, np.random.default_rng(7)) for n in (0, 200)}
    with tempfile.TemporaryDirectory() as folder:
        write_events(Path(folder) / "events.parquet", asked.events, asked.customers, 1)
        batch = make_batch(scan(Path(folder) / "events.parquet"), books[0])
    n_checked = check(books[200], batch)
    layouts = {n: build_layout(book, is_live=True) for n, book in books.items()}
    n_found = len(fold_events(layouts[200], batch).completions)
    print(f"# {len(batch):,} events, {batch.n_customers:,} customers; bytes a customer: "
          f"{layouts[0].n_bytes:,} and {layouts[200].n_bytes:,}; {n_found / len(batch):.2f} completions an event, "
          f"{n_checked:,} checked by brute force")  # fmt: skip
    facts: dict[str, Any] = {"events": len(batch), "customers": batch.n_customers, "completions": n_found}
    print("| what | ns per event, no moment | ns per event, 200 moments | ratio |\n|---|---|---|---|")
    ways: dict[str, Callable[[Playbook], Prepared]] = {
        "fold alone": lambda book: folding(book, batch),
        "step, batches of 1,000": lambda book: stepping(book, batch, 1_000),
        "step, batches of 100,000": lambda book: stepping(book, batch, 100_000),
    }
    for what, make in ways.items():
        seconds = time_by_turns({n: make(book) for n, book in books.items()}, asked.repeats)
        ns = {n: s / len(batch) * 1e9 for n, s in seconds.items()}
        facts[what] = {**ns, "ratio": ns[200] / ns[0]}
        print(f"| {what} | {ns[0]:.0f} | {ns[200]:.0f} | {ns[200] / ns[0]:.2f} |")
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
