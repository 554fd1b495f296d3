"""The commands `stability`, `substates` and `name`: how far segments hold, and which states are still to be named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sojourn import cli_output as output
from sojourn.cli_events import Events, PlaybookOption, Seed, SomeEvents, SomePlaybook, parse_instant
from sojourn.cli_project import Json
from sojourn.errors import Problem, SojournError

if TYPE_CHECKING:
    from sojourn.substates import Substate

Row = Mapping[str, Any]


def stability_command(
    events: SomeEvents = None,
    playbook: SomePlaybook = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", show_default="a week before the last event", help="T, in UTC."),
    ] = None,
    segments: Annotated[
        Path | None,
        typer.Option(
            "--segments",
            metavar="TABLE",
            show_default=False,
            help="Audit a segmentation of yours instead: Parquet or CSV with customer_id, at and segment.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="DIR", show_default=False, help="Folder for stability.parquet and stability.html."
        ),
    ] = None,
    customers: Annotated[
        int, typer.Option("--customers", min=20, metavar="N", help="Customers looked at, drawn at random.")
    ] = 5_000,
    rounds: Annotated[
        int, typer.Option("--rounds", min=0, max=1_000, metavar="N", help="Bootstrap rounds; 0 for none.")
    ] = 20,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Example: `sojourn stability shop-data/events.parquet --playbook shop --out results`

    Fits states, k-means and a mixture to the data up to T and to a week more, and says who was reassigned: because
    their behaviour changed, or only because the model did. With --segments it audits a segmentation that you have.
    """
    moment = parse_instant("--at", at)
    if segments is not None:
        if events or playbook or at:
            raise SojournError(Problem("--segments", "a table is audited by itself: without events, playbook and --at"))
        rows, facts = _audit_table(segments)
    else:
        if not events or playbook is None:
            what = "what is to be audited? Give EVENTS and --playbook, or --segments TABLE"
            raise SojournError(Problem("stability", what, command="sojourn stability --help"))
        rows, facts = _audit_events(events, playbook, moment, customers, rounds, seed, is_silent=as_json)
    if out is not None:
        _write(rows, facts, out)
    if as_json:
        output.print_json({**facts, "stability": rows})
        return
    _print(rows, facts)
    if out is not None:
        output.say(f"\nWritten  {out / 'stability.parquet'}, {out / 'stability.html'}")


def _audit_events(
    events: list[str], playbook: str, at: datetime | None, customers: int, rounds: int, seed: int, *, is_silent: bool
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    from sojourn.stability_audit import audit_stability

    with output.progress_bars(is_silent=is_silent) as progress:
        found = audit_stability(
            events, playbook, at=at, max_customers=customers, n_rounds=rounds, seed=seed, progress=progress
        )
    facts = {
        "playbook": found.playbook,
        "at": found.at,
        "later": found.later,
        "customers": found.n_customers,
        "known_customers": found.n_known,
    }
    return found.table.to_pylist(), facts


def _audit_table(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    from sojourn.membership import audit_segments, read_segments
    from sojourn.plain_table import read_plain
    from sojourn.stability_audit import SCHEMA

    spells = read_segments(read_plain(path), str(path))
    rows = [{name: row.get(name) for name in SCHEMA.names} for row in audit_segments(spells)]
    facts = {
        "segments": str(path),
        "from": datetime.fromtimestamp(spells.since_us / 1e6, UTC),
        "until": datetime.fromtimestamp(spells.until_us / 1e6, UTC),
        "customers": spells.n_customers,
    }
    return rows, facts


def _write(rows: Sequence[Row], facts: Row, out: Path) -> None:
    import pyarrow as pa

    from sojourn.output import open_output, write_table
    from sojourn.stability_audit import SCHEMA
    from sojourn.stability_page import render_stability

    if "segments" in facts:
        title = "Does this segmentation still say anything?"
        about = f"{facts['customers']:,} customers, {facts['from']:%Y-%m-%d} to {facts['until']:%Y-%m-%d}."
    else:
        title = f"Do the segments hold? {facts['playbook']}"
        about = (
            f"{facts['known_customers']:,} customers who were known on {facts['at']:%Y-%m-%d}; "
            f"refitted on {facts['later']:%Y-%m-%d}."
        )
    with open_output(out) as folder:
        assert folder is not None
        write_table(pa.Table.from_pylist(list(rows), schema=SCHEMA), folder / "stability.parquet")
        (folder / "stability.html").write_text(render_stability(rows, title, about), encoding="utf-8")


def _print(rows: Sequence[Row], facts: Row) -> None:
    if "segments" in facts:
        output.say(f"{output.show_count(facts['customers'], 'customer')} in {facts['segments']}")
    else:
        output.say(
            f"{output.show_count(facts['known_customers'], 'customer')} known on {facts['at']:%Y-%m-%d %H:%M}; "
            f"refitted with the data up to {facts['later']:%Y-%m-%d %H:%M}"
        )
        _print_methods(rows)
    for method in dict.fromkeys(r["method"] for r in rows):
        if method != "states, likeliest":
            _print_segments(method, [r for r in rows if r["method"] == method])


def _print_methods(rows: Sequence[Row]) -> None:
    table = output.make_grid(
        ("method", "left"), ("reassigned", "right"), ("behaviour changed", "right"), ("model wobbled", "right"),
        ("adj. Rand", "right"), ("on same data", "right"),
    )  # fmt: skip
    for row in rows:
        if row["segment"] is None:
            shares = (output.show_share(row[f"{k}_share"], 1) for k in ("reassigned", "behaviour", "wobble"))
            rand = (_show(row[k]) for k in ("ari", "ari_same_data"))
            table.add_row(row["method"], *shares, *rand)
    output.say("")
    output.open_console().print(table)
    output.say("One seed is one draw of luck: run again with --seed 1 and --seed 2 before you trust these shares.")


def _show(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _print_segments(method: str, rows: Sequence[Row]) -> None:
    output.say("")
    table = output.make_grid(
        (method, "left"), ("customers", "right"), ("found again", "right"), ("half-life", "right"), ("verdict", "left")
    )
    for row in rows:
        if row["segment"] is not None:
            half_life = output.show_duration(None if row["half_life_days"] is None else row["half_life_days"] * 86_400)
            table.add_row(
                row["segment"], f"{row['n_customers']:,}", _show(row["found_again"]), half_life, row["verdict"]
            )
    output.open_console().print(table)
    for row in rows:
        what = row["segment"] if row["segment"] is not None else "all"
        output.say(f"  {what}: {row['says']}")


def substates_command(
    events: Events,
    playbook: PlaybookOption,
    most: Annotated[int, typer.Option("--most", min=1, max=10, metavar="N", help="Extra states to try at most.")] = 3,
    customers: Annotated[
        int, typer.Option("--customers", min=20, metavar="N", help="Customers looked at, drawn at random.")
    ] = 1_000,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Example: `sojourn substates shop-data/events.parquet --playbook shop --most 1 --customers 100`

    Says how many states the data hold beside those of the playbook, by how well they foresee the events of customers
    held out, and what they would be like.
    """
    from sojourn.discovery import find_substates

    with output.progress_bars(is_silent=as_json) as progress:
        found = find_substates(events, playbook, n_most=most, max_customers=customers, seed=seed, progress=progress)
    if as_json:
        output.print_json(
            {
                "customers": found.n_customers,
                "extra_states": found.n_extra,
                "trials": [asdict(t) for t in found.trials],
                "substates": [asdict(s) for s in found.substates],
            }
        )
        return
    table = output.make_grid(
        ("extra states", "right"), ("foresight, nats per event", "right"), ("worse than the best by", "right"),
        ("std. error", "right"), ("", "left"),
    )  # fmt: skip
    for t in found.trials:
        numbers = (f"{t.mean:.4f}", f"{t.loss:.4f}", f"{t.loss_se:.4f}")
        table.add_row(str(t.n_extra), *numbers, "chosen" if t.is_chosen else "")
    output.say(f"{output.show_count(found.n_customers, 'customer')}, a quarter held out at a time\n")
    output.open_console().print(table)
    if not found.n_extra:
        output.say("\nThe playbook's states are enough: more would not foresee events noticeably better.")
        return
    _print_substates(found.substates)
    output.say(f"\nTo look for them in every run, write into the playbook: model: {{extra_states: {found.n_extra}}}")


def _print_substates(found: Sequence[Substate]) -> None:
    for s in found:
        called = f"named '{s.name}'" if s.name else f"not named; it could be called '{s.proposed}'"
        output.say(f"\n{s.state}: {called}")
        output.say(f"  Nearest to {s.nearest}, at a distance of {s.distance:.2f} (0: the same, 1: nothing in common)")
        for difference in s.differences:
            output.say(f"  {difference}")


def name_command(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", show_default=False, help="The folder that `sojourn run` wrote.")
    ],
    state: Annotated[
        str | None,
        typer.Argument(metavar="STATE", show_default=False, help="The discovered state to name, as extra_1."),
    ] = None,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", show_default=False, help="What it is called from now on.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Example: `sojourn name results extra_1 "price hunters"`

    Without STATE it lists the discovered states and what marks them. A name is kept in DIR/names.json with what the
    state looks like, so that the next run into DIR knows it again, or says that it is no longer there.
    """
    from sojourn.naming import list_substates, name_substate

    if state is not None and name is None:
        raise SojournError(Problem("name", "which name?", command=f'sojourn name {folder} {state} "NAME"'))
    named = name_substate(folder, state, name) if state is not None and name is not None else None
    found, lost = list_substates(folder)
    if as_json:
        output.print_json({"substates": [asdict(s) for s in found], "lost": [n.name for n in lost]})
        return
    if named is not None:
        output.say(f"{named.state} is called '{named.name}' from the next run into {folder} on.")
        return
    if not found:
        output.say(f"There are no discovered states in {folder}. See: sojourn substates --help")
    _print_substates(found)
    for n in lost:
        output.say(f"\n'{n.name}' ({n.state}): no state of the latest run is like it any more")


def register(app: typer.Typer) -> None:
    """Add the commands to a command line."""
    app.command("stability", short_help="Which segments hold: who is reassigned by a refit, and why.")(
        stability_command
    )
    app.command("substates", short_help="How many states the data hold beside the playbook's.")(substates_command)
    app.command("name", short_help="List the discovered states, and give them names.")(name_command)
