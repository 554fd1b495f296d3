"""The command `run`: from events to states, transitions and a report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from sojourn.cli import print as output
from sojourn.cli.options import Events, Json, PlaybookOption, Seed, parse_instant, refuse_file
from sojourn.cli.print import (
    BAR_WIDTH,
    make_grid,
    open_console,
    show_at,
    show_bar,
)
from sojourn.pages import Results, fill_gaps
from sojourn.pages.words import (
    say_count,
    say_duration,
    say_integer,
    say_number,
    say_or_dash,
    say_pace_change,
    say_part,
    say_score,
    say_standing,
)
from sojourn.pipelines import run as job
from sojourn.pipelines import show_names
from sojourn.pipelines.stages import count_states, find_median_stays, list_top_moves, summarise_run
from sojourn.transitions.velocity import find_standings

SHORT_HELP = "From an event file to states, transitions and a report."


def print_run(results: Results, out: Path) -> None:
    """Print the summary of a run: rows, states, moves, steadiness, comparison, report."""
    console = open_console()
    print_rows(console, results.run)
    console.print(
        f"{say_count(results.run['customers'], 'customer')}, {say_count(results.run['sessions'], 'session')}, "
        f"up to {show_at(results.run['now'])}"
    )
    _print_states(console, results)
    _print_moves(console, results)
    _print_velocity(console, results)
    _print_quality(console, results.run)
    for warning in results.run["warnings"]:
        console.print(Text.assemble(("warning: ", "bold yellow"), str(warning)))
    console.print(f"\nReport: {out / 'report.html'}", markup=False, soft_wrap=True)


def print_rows(console: Console, run: Mapping[str, Any]) -> None:
    """Print what became of the rows that were read."""
    rows = run["rows"]
    console.print(
        f"{say_count(rows['read'], 'row')} read: {say_integer(rows['accepted'])} accepted, "
        f"{say_integer(rows['duplicate'])} duplicate, "
        f"{say_integer(rows['quarantined'])} quarantined"
    )
    for rule, n in sorted(run["quarantined_by_rule"].items(), key=lambda item: -item[1]):
        console.print(f"  quarantined by {rule}: {say_integer(n)}", markup=False)


def _print_states(console: Console, results: Results) -> None:
    counts, stays = count_states(results), find_median_stays(results)
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


def _print_moves(console: Console, results: Results) -> None:
    moves = list_top_moves(results, 5)
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
    held_out = {name: say_or_dash(value, say_score) for name, value in run["held_out"].items() if name != "unit"}
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


def _say_number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


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
    only: Annotated[
        str | None,
        typer.Option(
            "--only",
            metavar="STAGES",
            show_default="all",
            help="Only these stages, with commas between: transitions,triggers. States are always found.",
        ),
    ] = None,
    skip: Annotated[
        str | None,
        typer.Option("--skip", metavar="STAGES", show_default="none", help="Leave these stages out: journeys,values."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Example: `sojourn run shop-data/events.parquet --playbook shop --out results`

    Reads the events, works out who is in which state, since when and why, who moved and what set it off,
    and writes tables, the model and a report to DIR.
    """
    at = parse_instant("--now", now)
    refuse_file(out)
    with output.progress_bars(is_silent=as_json) as progress:
        results = job.run(
            events,
            playbook,
            out=out,
            now=at,
            seed=seed,
            n_threads=threads,
            only=_split(only),
            skip=_split(skip),
            progress=progress,
        )
    if as_json:
        output.print_json(summarise_run(fill_gaps(results), out))
    else:
        print_run(fill_gaps(show_names(results)), out)


def _split(names: str | None) -> list[str] | None:
    return None if names is None else [name.strip() for name in names.split(",") if name.strip()]
