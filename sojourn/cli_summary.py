"""What the commands say in the end: a run summed up, a playbook checked, a customer explained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from sojourn.cli_output import BAR_WIDTH, make_grid, open_console, show_bar, show_count, show_duration, show_share
from sojourn.velocity_targets import Standing, find_standings
from sojourn.velocity_words import say_pace_change, say_standing, say_target

if TYPE_CHECKING:
    from sojourn.results import Results


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
        f"{show_count(results.run['customers'], 'customer')}, {show_count(results.run['sessions'], 'session')}, "
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
        f"{show_count(rows['read'], 'row')} read: {rows['accepted']:,} accepted, {rows['duplicate']:,} duplicate, "
        f"{rows['quarantined']:,} quarantined"
    )
    for rule, n in sorted(run["quarantined_by_rule"].items(), key=lambda item: -item[1]):
        console.print(f"  quarantined by {rule}: {n:,}", markup=False)


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
    flaps, held_out = run["flaps"], run["held_out"]
    table = make_grid(("how good is it?", "left"), ("", "left"))
    table.add_row(
        "flaps per customer and month",
        f"{_show(flaps['before'])} as the model sees it, {_show(flaps['after'])} as published",
    )
    table.add_row(
        "held-out fit, higher is better",
        f"Sojourn {_show(held_out['sojourn'])}, textbook HMM {_show(held_out['textbook_hmm'])}, "
        f"Markov chain {_show(held_out['markov_chain'])}",
    )
    console.print()
    console.print(table)


def _show(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


# ---- after a check ----


def print_check(found: Mapping[str, Any]) -> None:
    """Print what a playbook says, how it covers the events, and everything that deserves a look."""
    console = open_console()
    console.print(
        f"Playbook {found['playbook']}: {show_count(len(found['states']), 'state')}, "
        f"{show_count(found['n_event_classes'], 'event class', 'event classes')}, "
        f"{show_count(found['n_features'], 'feature')}, {show_count(found['n_indicators'], 'indicator')}"
        + (f", {show_count(found['n_targets'], 'target')}" if found["n_targets"] else "")
        + ". No mistakes.",
        markup=False,
        soft_wrap=True,
    )
    if found["events"]:
        _print_rows(console, found["events"])
        _print_coverage(console, found["events"])
    for finding in found["findings"]:
        console.print(Text.assemble(("look: ", "bold yellow"), finding["text"]), soft_wrap=True)


def _print_coverage(console: Console, facts: Mapping[str, Any]) -> None:
    classes = make_grid(("event class", "left"), ("rows", "right"), ("share", "right"), ("customers", "right"))
    for row in facts["classes"]:
        name = row["event_class"] + (" (touch)" if row["is_touch"] else "")
        share = f"{100 * row['share']:.1f} %"
        classes.add_row(Text(name), f"{row['n_rows']:,}", share, f"{row['n_customers']:,}")
    console.print()
    console.print(classes)
    indicators = make_grid(("indicator of", "left"), ("fires at", "right"), ("when", "left"))
    for row in facts["indicators"]:
        when = Text(row["when"])
        when.truncate(console.width - 34, overflow="ellipsis")  # else the longest rule squeezes the other columns
        indicators.add_row(Text(row["state"]), f"{100 * row['share']:.1f} %", when)
    if facts["indicators"]:
        console.print()
        console.print(indicators)
    console.print()


# ---- one customer ----

RECENT = 8
"""Events and transitions shown of one customer, the latest last."""


def print_explanation(found: Mapping[str, Any]) -> None:
    """Print one customer: state, posterior, reasons as bars, what would flip it, what happened lately."""
    console = open_console()
    console.print(Text(f"Customer {found['customer_id']}", style="bold"))
    console.print(
        f"{show_count(found['n_events'], 'event')} from {_show_at(found['first_at'])} to {_show_at(found['last_at'])}"
    )
    if found["state"] is None:
        console.print(
            "No state: so far there are only messages to this customer, and nothing that they did themselves."
        )
        return
    console.print(
        Text.assemble("In ", (found["state"], "bold cyan"), f" since {_show_at(found['since_at'])}"), soft_wrap=True
    )
    _print_posterior(console, found)
    _print_reasons(console, found)
    _print_flip(console, found["flip"])
    _print_recent(console, found)


def _show_at(text: str | None) -> str:
    return text[:16].replace("T", " ") if text else "–"


def _print_posterior(console: Console, found: Mapping[str, Any]) -> None:
    table = make_grid(("probability of", "left"), ("", "right"), ("", "left"))
    for name, p in sorted(found["posterior"].items(), key=lambda item: -item[1]):
        table.add_row(Text(name), f"{100 * p:.1f} %", f"[cyan]{show_bar(p, 1.0)}[/]")
    console.print()
    console.print(table)


def _print_reasons(console: Console, found: Mapping[str, Any]) -> None:
    reasons = found["reasons"]
    if not reasons:
        return
    most = max(abs(reason["weight"]) for reason in reasons)
    table = make_grid(
        ("log-odds", "right"), ("", "left"), (f"why {found['state']} and not {found['runner_up']}", "left")
    )
    for reason in reasons:
        colour = "green" if reason["weight"] >= 0 else "red"
        what = Text(reason["what"])
        what.truncate(console.width - BAR_WIDTH - 14, overflow="ellipsis")
        table.add_row(f"{reason['weight']:+.2f}", f"[{colour}]{show_bar(reason['weight'], most)}[/]", what)
    table.add_row(f"{sum(reason['weight'] for reason in reasons):+.2f}", "", Text("together", style="dim"))
    console.print()
    console.print(table)


def _print_flip(console: Console, flip: Mapping[str, Any] | None) -> None:
    console.print()
    if flip is None:
        console.print("No small change would make another state likelier.")
    elif flip["changes"]:
        console.print(f"It would be {flip['to_state']} if the last event had shown", markup=False)
        for change in flip["changes"]:
            console.print(f"  {change['instead']}", markup=False, soft_wrap=True)
            console.print(f"    instead of {change['seen']}", markup=False, soft_wrap=True)
    else:
        times = "" if flip["n_next"] == 1 else f", {flip['n_next']} times in a row"
        console.print(f"It will be {flip['to_state']} if {flip['next_event']} comes next{times}.", markup=False)


def _print_recent(console: Console, found: Mapping[str, Any]) -> None:
    events = make_grid(("latest events", "left"), ("", "left"), ("state after it", "left"))
    for row in found["events"][-RECENT:]:
        events.add_row(_show_at(row["event_at"]), Text(row["event_class"]), Text(row["state"] or "–"))
    console.print()
    console.print(events)
    moves = make_grid(("latest transitions", "left"), ("", "left"), ("set off by", "left"), ("after", "right"))
    for row in found["transitions"][-RECENT:]:
        cause = row["event_class"] if row["cause"] == "event" else "silence"
        move = Text(f"{row['from_state']} → {row['to_state']}")
        moves.add_row(_show_at(row["at"]), move, Text(cause), show_duration(row["dwell_s"]))
    if found["transitions"]:
        console.print()
        console.print(moves)


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
