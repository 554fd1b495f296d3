"""The commands of the live side: serve, replay, deploy, archive, repair, link. They read arguments and print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sojourn import cli_output as output
from sojourn.cli_keys import keys_app, outbox_app
from sojourn.cli_project import ARCHIVE, DAY_US, HERE, SNAPSHOT, Json, Project, open_project
from sojourn.errors import Problem, SojournError
from sojourn.instants import now_us, show_second

if TYPE_CHECKING:
    from sojourn.store import Store


def serve_command(
    project: Project = HERE,
    host: Annotated[
        str | None,
        typer.Option(
            "--host", metavar="ADDRESS", show_default="of settings.yaml, or 127.0.0.1", help="Where to listen."
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, metavar="N", show_default="as in settings.yaml", help="The port."),
    ] = None,
) -> None:
    """Example: `sojourn serve --project my-shop`

    Takes tracking calls over HTTP and keeps every customer's state current, until stopped by Ctrl-C or SIGTERM.
    """
    from sojourn.live import serve

    serve(project, host, port)


def replay_command(
    events: Annotated[
        list[str],
        typer.Argument(
            metavar="EVENTS", show_default=False, help="Event files, globs, URLs, or - for stdin, as for `sojourn run`."
        ),
    ],
    to: Annotated[str, typer.Option("--to", metavar="URL", help="The server.")] = "http://127.0.0.1:8000",
    key: Annotated[
        str,
        typer.Option("--key", metavar="KEY", envvar="SOJOURN_KEY", show_default=False, help="A key that may write."),
    ] = "",
    playbook: Annotated[
        str | None,
        typer.Option(
            "--playbook",
            "-p",
            metavar="PLAYBOOK",
            show_default="rows are tracking calls",
            help="A playbook file or a ready one: which column is what.",
        ),
    ] = None,
    speed: Annotated[
        str, typer.Option("--speed", metavar="X", help="How many times faster than it happened: 1x, 100x, max.")
    ] = "max",
    batch: Annotated[
        int, typer.Option("--batch", min=1, max=5_000, metavar="N", help="Events in one request at most.")
    ] = 100,
    shift_to_now: Annotated[
        bool, typer.Option("--shift-to-now", help="Move all times by one amount, so that the last event is now.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Example: `sojourn replay shop-data/events.parquet --playbook shop --key KEY --speed 100x`

    Sends events of the past to a server as tracking calls, in order of time. Running it again does no harm: every
    event has the same identifier again, and the server counts it once.
    """
    from sojourn.playbook import load_playbook
    from sojourn.replay import Target, parse_speed, replay

    if not key:
        command = "sojourn keys add replay --scope write"
        raise SojournError(Problem("--key", "a key that may write is needed, here or in SOJOURN_KEY", command=command))
    book = load_playbook(playbook) if playbook is not None else None
    with output.progress_bars(is_silent=as_json) as progress:
        found = replay(
            events,
            book,
            Target(to, key),
            speed=parse_speed(speed),
            batch=batch,
            is_shifted=shift_to_now,
            progress=progress,
        )
    for problem in found.problems:
        output.say_error(str(problem))
    if as_json:
        output.print_json(
            {
                "read": found.n_read,
                "unusable": found.n_unusable,
                "accepted": found.n_accepted,
                "requests": found.n_requests,
                "retries": found.n_retries,
                "seconds": found.seconds,
                "events_per_s": found.per_second,
            }
        )
        return
    output.say(
        f"{output.show_count(found.n_read, 'row')} read: {found.n_accepted:,} accepted by the server, "
        f"{found.n_unusable:,} could not be read"
    )
    facts = [output.show_duration(found.seconds), output.show_count(found.n_requests, "request")]
    if found.n_retries:
        facts.append(output.show_count(found.n_retries, "retry", "retries"))
    if found.n_accepted:
        facts.append(f"{found.per_second:,.0f} events/s")
    output.say(", ".join(facts))


def deploy_command(
    results: Annotated[
        Path | None,
        typer.Argument(metavar="RESULTS", show_default=False, help="The folder that `sojourn run` wrote."),
    ] = None,
    playbook: Annotated[
        str | None,
        typer.Option(
            "--playbook",
            "-p",
            metavar="PLAYBOOK",
            show_default=False,
            help="A playbook alone, for a start without data.",
        ),
    ] = None,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Only let it run beside the one in use, and report where they differ.")
    ] = False,
    switch: Annotated[
        int | None, typer.Option("--switch", metavar="N", show_default=False, help="Use version N.")
    ] = None,
    rollback: Annotated[bool, typer.Option("--rollback", help="Go back to the version used before.")] = False,
    is_list: Annotated[bool, typer.Option("--list", help="Only list the versions.")] = False,
    project: Project = HERE,
    as_json: Json = False,
) -> None:
    """Example: `sojourn deploy results --project my-shop --shadow`

    Stores a playbook and its model as a new version, and has the server use it: at once when it runs, else when it
    starts. Every version stays, so that going back is one command.
    """
    from sojourn import deploy

    n_asked = (results is not None) + (playbook is not None) + (switch is not None) + rollback + is_list
    if n_asked != 1:
        what = "give one of: RESULTS, --playbook, --switch, --rollback, --list"
        raise SojournError(Problem("sojourn deploy", what, command="sojourn deploy --help"))
    with open_project(project) as store:
        if is_list:
            _print_versions(store, as_json)
            return
        action = "rollback" if rollback else "shadow" if shadow else "switch"
        if results is not None or playbook is not None:
            release = deploy.read_release(results) if results is not None else deploy.draft_release(playbook or "")
            switch = deploy.add_release(store, release, at=now_us())
        wished = deploy.wish(store, action, switch)
    if as_json:
        output.print_json(wished)
    elif rollback:
        output.say("The server goes back to the version before.")
    else:
        output.say(f"Version {switch} is {'run beside the one in use' if shadow else 'put into use'}.")


def _print_versions(store: Store, as_json: bool) -> None:
    versions = [
        {
            "version": one.version,
            "created_at": show_second(one.created_at),
            "note": one.note,
            "has_model": bool(one.model),
        }
        for one in store.list_versions()
    ]
    if as_json:
        output.print_json(versions)
        return
    table = output.make_grid(("version", "right"), ("made", "left"), ("what", "left"))
    for one in versions:
        table.add_row(str(one["version"]), str(one["created_at"]), str(one["note"]))
    output.open_console().print(table)


def repair_command(
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; without it the command only says what it would do.")
    ] = False,
    project: Project = HERE,
    as_json: Json = False,
) -> None:
    """Example: `sojourn repair --project my-shop`

    Checks every record of the log. From the first damaged one on, the records are set aside, so that the server can
    start with what is whole. The server must not run.
    """
    from sojourn.store import LogDamaged

    with open_project(project, is_writer=True) as store:
        n_good, damage = store.first_position() - 1, ""
        try:
            for record in store.read_log(n_good):
                n_good = record.position
        except LogDamaged as error:
            damage = str(error)
        n_aside = 0
        if damage and yes:
            n_aside = store.set_tail_aside(n_good + 1)
            (project / SNAPSHOT).unlink(missing_ok=True)  # it may be of records that are no longer there
        n_lost = store.last_position() - n_good
    if as_json:
        output.print_json({"last_good": n_good, "damage": damage or None, "set_aside": n_aside})
    elif not damage:
        output.say(f"The log is whole, up to record {n_good:,}.")
    elif yes:
        output.say(f"{output.show_count(n_aside, 'record')} after record {n_good:,} are set aside.")
    else:
        output.say(damage)
        output.say(f"With --yes, {output.show_count(n_lost, 'record')} after record {n_good:,} would be set aside.")


def archive_command(
    days: Annotated[int, typer.Option("--days", min=0, metavar="N", help="Whole days that stay in the log.")] = 7,
    project: Project = HERE,
    as_json: Json = False,
) -> None:
    """Example: `sojourn archive --project my-shop --days 7`

    Moves whole days of the log into Parquet files, a folder per day, that DuckDB and `sojourn run` read. The server
    does that by itself, so it must not run.
    """
    from sojourn.archive import compact_log

    folder = project / ARCHIVE
    with open_project(project, is_writer=True) as store:
        found = compact_log(store, folder, before_at=now_us() - days * DAY_US)
    n_records = found.last - found.first + 1
    if as_json:
        output.print_json({"records": n_records, "calls": found.n_calls, "files": [str(file) for file in found.files]})
    else:
        moved = f"{output.show_count(found.n_calls, 'call')} of {output.show_count(n_records, 'record')}"
        output.say(f"{moved} moved to {output.show_count(len(found.files), 'file')} in {folder}.")


def link_command(
    records: Annotated[
        str, typer.Argument(metavar="RECORDS", show_default=False, help="A CSV or Parquet file: one record a row.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", show_default=False, help="Parquet file for the result.")
    ],
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="NAME=KIND",
            show_default="guessed by name",
            help="What a column holds; may be repeated.",
        ),
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option("--truth", metavar="COLUMN", show_default=False, help="A column that knows who is whom."),
    ] = None,
    threshold: Annotated[
        float, typer.Option("--threshold", min=0.0, max=1.0, metavar="P", help="Least probability of a match.")
    ] = 0.9,
    seed: Annotated[int, typer.Option("--seed", min=0, metavar="N", help="Start of the random numbers.")] = 0,
    as_json: Json = False,
) -> None:
    """Example: `sojourn link people.csv --out linked.parquet`

    Finds records that are probably one person, by names, birth dates, addresses and the like, where they share no
    id. Needs the extra `link`.
    """
    import pyarrow as pa

    from sojourn.linking import link_records
    from sojourn.output import write_alone
    from sojourn.sources import open_sources

    pairs = [one.partition("=") for one in column or []]
    for name, sign, _ in pairs:
        if not sign:
            raise SojournError(Problem("--column", f"'{name}' has no kind; write it as NAME=KIND, surname=family_name"))
    chunks = [chunk for source in open_sources(records) for chunk in source.read(None)]
    table = pa.concat_tables([chunk.columns for chunk in chunks], promote_options="default")
    for broken in [broken for chunk in chunks for broken in chunk.broken][:5]:
        output.say_error(f"{records}:{broken.line}: {broken.found}; left out")
    kinds = {name: kind for name, _, kind in pairs} or None
    found = link_records(table, columns=kinds, truth=truth, threshold=threshold, seed=seed)
    for name in ("cluster", "match_p"):
        table = table.append_column(name if name not in table.column_names else f"linked_{name}", found.records[name])
    write_alone(table, out)
    if as_json:
        quality = found.quality
        output.print_json(
            {
                "records": len(table),
                "clusters": found.n_clusters,
                "pairs": len(found.pairs),
                "columns": found.columns,
                "precision": quality.precision if quality else None,
                "recall": quality.recall if quality else None,
                "out": str(out),
            }
        )
        return
    for line in found.describe():
        output.say(line)
    output.say(f"Written  {out}, with the columns cluster and match_p")


def register(app: typer.Typer) -> None:
    """Add the commands of the live side to a command line."""
    app.command("serve", short_help="Take tracking calls over HTTP and keep every state current.")(serve_command)
    app.command("replay", short_help="Send events of the past to a server.")(replay_command)
    app.command("deploy", short_help="Put a playbook and its model into use, or go back.")(deploy_command)
    app.command("link", short_help="Find records that are probably one person.")(link_command)
    app.command("archive", short_help="Move whole days of the log into Parquet files.")(archive_command)
    app.command("repair", short_help="Check the log, and set a damaged end aside.")(repair_command)
    app.add_typer(keys_app, name="keys", short_help="Who may send, read and administer.")
    app.add_typer(outbox_app, name="outbox", short_help="What is sent out, and what could not be.")
