"""The job `demo`: the whole work on simulated customers, compared with the truth that only a simulation has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from sojourn.frames import Progress
from sojourn.pages import Results
from sojourn.pipelines.run import run
from sojourn.simulation import simulate_to


@dataclass(frozen=True, eq=False)
class Demo:
    """The run, and of ``n`` events those in the right state, and those that the commonest state alone would get."""

    results: Results
    n: int
    n_right: int
    n_commonest: int

    @property
    def example(self) -> str:
        """The id of a customer worth explaining: the first of the report's examples."""
        return str(self.results.examples[0].column("customer_id")[0].as_py())


def demo(out: str | Path = "demo", *, customers: int = 500, seed: int = 7, progress: Progress | None = None) -> Demo:
    """Simulate customers of a shop into ``out``, run the ready playbook on them, and compare states with the truth.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     found = demo(folder, customers=30)
    >>> 0 < found.n_commonest <= found.n, found.example.startswith("c")
    (True, True)
    """
    files = simulate_to(Path(out), customers, seed=seed, progress=progress)
    results = run(str(files["events"]), "shop", out=Path(out) / "results", seed=seed, progress=progress)
    return Demo(results, *_compare(results, files["truth"]))


def _compare(results: Results, truth: Path) -> tuple[int, int, int]:
    """Events with a known state, those whose smoothed state is right, and those in the commonest state."""
    with duckdb.connect() as connection:
        connection.register("history", results.history)
        connection.register("truth", connection.read_parquet(str(truth)).to_arrow_table())
        rows = connection.sql(
            """
            select t.state, count(*), count(*) filter (where h.smoothed_state::text = t.state::text)
            from history h asof join truth t on h.customer_id = t.customer_id and h.event_at >= t.from_at
            group by 1
            """
        ).fetchall()
    counts = [n for _, n, _ in rows]
    return sum(counts), sum(right for _, _, right in rows), max(counts, default=0)
