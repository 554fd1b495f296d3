"""What the commands say in the end: a run summed up, a playbook checked, a customer explained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from sojourn.cli import print as output
from sojourn.cli.commands import run as summary
from sojourn.cli.commands.explain import _show_at
from sojourn.cli.options import Events, Json, PlaybookOption, Seed, _refuse_file, parse_instant
from sojourn.cli.print import BAR_WIDTH, make_grid, open_console, show_bar
from sojourn.pages.words.numbers import (
    say_count,
    say_duration,
    say_integer,
    say_number,
    say_or_dash,
    say_part,
    say_score,
)
from sojourn.pages.words.velocity import say_pace_change, say_standing, say_target
from sojourn.transitions.velocity.targets import Standing, find_standings

if TYPE_CHECKING:
    from sojourn.pages.results import Results

SHORT_HELP = "From an event file to states, transitions and a report."


def run_facts(results: Results, out: Path) -> dict[str, Any]:
    """What ``sojourn run --json`` prints: the run's facts, customers per state, moves, file names."""
    return {
        **results.run,
        "states": _count_states(results),
        "moves": _top_moves(results, 20),
        "targets": [_standing_facts(s) for s in find_standings(results.moves["velocity"], results.playbook.targets)],
        "pace_changes": [r for r in results.moves["velocity_changes"].to_pylist() if r["is_change"]],
        "out": str(out),
        "report": str(out / "report.html"),
    }


def _standing_facts(standing: Standing) -> dict[str, Any]:
    target, last = standing.target, standing.last
    return {
        "target": target.name,
        "asks": say_target(target),
        "from_state": target.from_state,
        "to_state": target.to_state,
        "week_at": last and last["week_at"],
        "verdict": last and last["verdict"],
        "says": say_standing(standing),
        "n_met": standing.n_met,
        "n_missed": standing.n_missed,
        "n_open": standing.n_open,
        "trend": standing.trend,
    }


def print_run(results: Results, out: Path) -> None:
    """Print the summary of a run: rows, states, moves, steadiness, comparison, report."""
    console = open_console()
    _print_rows(console, results.run)
    console.print(
        f"{say_count(results.run['customers'], 'customer')}, {say_count(results.run['sessions'], 'session')}, "
        f"up to {_show_at(results.run['now'])}"
    )
    _print_states(console, results)
    _print_moves(console, results)
    _print_velocity(console, results)
    _print_quality(console, results.run)
    for warning in results.run["warnings"]:
        console.print(Text.assemble(("warning: ", "bold yellow"), str(warning)))
    console.print(f"\nReport: {out / 'report.html'}", markup=False, soft_wrap=True)


def _print_rows(console: Console, run: Mapping[str, Any]) -> None:
    rows = run["rows"]
    console.print(
        f"{say_count(rows['read'], 'row')} read: {say_integer(rows['accepted'])} accepted, "
        f"{say_integer(rows['duplicate'])} duplicate, "
        f"{say_integer(rows['quarantined'])} quarantined"
    )
    for rule, n in sorted(run["quarantined_by_rule"].items(), key=lambda item: -item[1]):
        console.print(f"  quarantined by {rule}: {say_integer(n)}", markup=False)


NO_STATE = "(none yet)"
"""Customers to whom something was sent, and who have not done anything themselves."""


def _count_states(results: Results) -> dict[str, int]:
    counts = {str(name): 0 for name in results.model["states"]}
    for name in results.customers.column("state").to_pylist():
        counts[name or NO_STATE] = counts.get(name or NO_STATE, 0) + 1
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
            say_integer(n),
            f"[cyan]{show_bar(n, most):<{BAR_WIDTH}}[/]",
            say_part(n, whole),
            say_or_dash(stays.get(name), say_duration),
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
            say_integer(move["n"]),
            say_part(move["n_silence"], move["n"]),
            say_or_dash(move["median_dwell_s"], say_duration),
        )
    console.print(table)


def _print_velocity(console: Console, results: Results) -> None:
    """Where the playbook's targets stand, and which moves changed their pace."""
    standings = find_standings(results.moves["velocity"], results.playbook.targets)
    changes = [r for r in results.moves["velocity_changes"].to_pylist() if r["is_change"]]
    said = [say_standing(s) for s in standings]
    said += [say_pace_change(r) for r in sorted(changes, key=lambda r: r["q"])[:3]]
    if said:
        console.print("\nvelocity: targets and changes")
    for sentence in said:
        console.print(sentence, markup=False)


def _print_quality(console: Console, run: Mapping[str, Any]) -> None:
    flaps = {name: say_or_dash(value, say_number) for name, value in run["flaps"].items()}
    held_out = {name: say_or_dash(value, say_score) for name, value in run["held_out"].items()}
    table = make_grid(("how good is it?", "left"), ("", "left"))
    table.add_row(
        "flaps per customer and month",
        f"{flaps['before']} as the model sees it, {flaps['after']} as published",
    )
    table.add_row(
        "held-out fit, higher is better",
        f"Sojourn {held_out['sojourn']}, textbook HMM {held_out['textbook_hmm']}, "
        f"Markov chain {held_out['markov_chain']}",
    )
    console.print()
    console.print(table)


# ---- after a check ----


# ---- one customer ----


# ---- after a demo ----


def command(
    events: Events,
    playbook: PlaybookOption,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", show_default=False, help="Folder for the results.")
    ],
    now: Annotated[
        str | None,
        typer.Option(
            "--now",
            metavar="TIME",
            show_default="the last event",
            help="The instant the results are for: 2025-06-01 or 2025-06-01T12:00:00Z. UTC if no zone.",
        ),
    ] = None,
    seed: Seed = 0,
    threads: Annotated[
        int | None,
        typer.Option("--threads", min=1, metavar="N", show_default="all cores", help="Threads to compute with."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Example: `sojourn run shop-data/events.parquet --playbook shop --out results`

    Reads the events, works out who is in which state, since when and why, who moved and what set it off,
    and writes tables, the model and a report to DIR.
    """
    at = parse_instant("--now", now)
    _refuse_file(out)
    from sojourn.pipelines.names import show_names
    from sojourn.pipelines.run import run

    with output.progress_bars(is_silent=as_json) as progress:
        results = run(events, playbook, out=out, now=at, seed=seed, n_threads=threads, progress=progress)
    if as_json:
        output.print_json(summary.run_facts(results, out))
    else:
        summary.print_run(show_names(results), out)
