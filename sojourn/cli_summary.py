"""What the commands say in the end: a run summed up, a playbook checked, a customer explained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from sojourn.cli_output import BAR_WIDTH, make_grid, open_console, show_bar, show_duration, show_share

if TYPE_CHECKING:
    from sojourn.results import Results


def run_facts(results: Results, out: Path) -> dict[str, Any]:
    """What ``sojourn run --json`` prints: the run's facts, customers per state, moves, file names."""
    return {
        **results.run,
        "states": _count_states(results),
        "moves": _top_moves(results, 20),
        "out": str(out),
        "report": str(out / "report.html"),
    }


def print_run(results: Results, out: Path) -> None:
    """Print the summary of a run: rows, states, moves, steadiness, comparison, report."""
    console = open_console()
    _print_rows(console, results.run)
    _print_states(console, results)
    _print_moves(console, results)
    _print_quality(console, results.run)
    for warning in results.run["warnings"]:
        console.print(Text.assemble(("warning: ", "bold yellow"), str(warning)))
    console.print(f"\nReport: {out / 'report.html'}", markup=False, soft_wrap=True)


def _print_rows(console: Console, run: Mapping[str, Any]) -> None:
    rows = run["rows"]
    console.print(
        f"{rows['read']:,} rows read: {rows['accepted']:,} accepted, {rows['duplicate']:,} duplicate, "
        f"{rows['quarantined']:,} quarantined"
    )
    for rule, n in sorted(run["quarantined_by_rule"].items(), key=lambda item: -item[1]):
        console.print(f"  quarantined by {rule}: {n:,}", markup=False)
    console.print(f"{run['customers']:,} customers, {run['sessions']:,} sessions, up to {run['now']}")


def _count_states(results: Results) -> dict[str, int]:
    counts = {str(name): 0 for name in results.model["states"]}
    for name in results.customers.column("state").to_pylist():
        counts[str(name)] = counts.get(str(name), 0) + 1
    return counts


def _median_stays(results: Results) -> dict[str, float]:
    stays: dict[str, float] = {}
    for row in results.moves["dwell"].to_pylist():
        if row["survival_p"] <= 0.5 and row["state"] not in stays:
            stays[row["state"]] = row["after_s"]
    return stays


def _print_states(console: Console, results: Results) -> None:
    counts, stays = _count_states(results), _median_stays(results)
    most, whole = max(counts.values(), default=0), sum(counts.values())
    table = make_grid(
        ("state", "left"), ("customers", "right"), ("", "left"), ("share", "right"), ("median stay", "right")
    )
    for name, n in counts.items():
        table.add_row(
            Text(name),
            f"{n:,}",
            f"[cyan]{show_bar(n, most):<{BAR_WIDTH}}[/]",
            show_share(n, whole),
            show_duration(stays.get(name)),
        )
    console.print()
    console.print(table)


def _top_moves(results: Results, n: int) -> list[dict[str, Any]]:
    silent: dict[tuple[str, str], int] = {}
    for row in results.moves["weekly"].to_pylist():
        move = (row["from_state"], row["to_state"])
        silent[move] = silent.get(move, 0) + row["n_silence"]
    moves = sorted(results.moves["matrix"].to_pylist(), key=lambda row: (-row["n"], row["from_state"], row["to_state"]))
    return [
        {
            "from_state": row["from_state"],
            "to_state": row["to_state"],
            "n": row["n"],
            "n_silence": silent.get((row["from_state"], row["to_state"]), 0),
            "n_customers": row["n_customers"],
            "median_dwell_s": row["median_dwell_s"],
        }
        for row in moves[:n]
        if row["n"]
    ]


def _print_moves(console: Console, results: Results) -> None:
    moves = _top_moves(results, 5)
    console.print()
    if not moves:
        console.print("No customer moved from one state to another.")
        return
    table = make_grid(
        ("most frequent moves", "left"),
        ("times", "right"),
        ("in silence", "right"),
        ("after a median of", "right"),
    )
    for move in moves:
        table.add_row(
            Text(f"{move['from_state']} → {move['to_state']}"),
            f"{move['n']:,}",
            show_share(move["n_silence"], move["n"]),
            show_duration(move["median_dwell_s"]),
        )
    console.print(table)


def _print_quality(console: Console, run: Mapping[str, Any]) -> None:
    flaps, held_out = run["flaps"], run["held_out"]
    console.print()
    console.print(
        f"Flaps (there and back within a day), per customer and month: "
        f"{flaps['before']:.2f} as the model sees it, {flaps['after']:.2f} as published"
    )
    console.print(
        f"Held-out fit, {held_out['unit']}, higher is better: Sojourn {held_out['sojourn']:.3f}, "
        f"textbook HMM {held_out['textbook_hmm']:.3f}, Markov chain {held_out['markov_chain']:.3f}"
    )


# ---- after a demo ----


def print_truth(results: Results, truth: Path) -> None:
    """Print how often the smoothed state is the true one, beside what always guessing the commonest would reach."""
    n, n_right, n_commonest = _compare_with_truth(results, truth)
    open_console().print(
        f"Against the truth: {show_share(n_right, n)} of {n:,} events in the right state "
        f"(the commonest state for all: {show_share(n_commonest, n)})"
    )


def _compare_with_truth(results: Results, truth: Path) -> tuple[int, int, int]:
    import duckdb

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


def choose_example(results: Results) -> str:
    """The id of a customer worth explaining: the first of the report's examples."""
    return str(results.examples[0].column("customer_id")[0].as_py())
