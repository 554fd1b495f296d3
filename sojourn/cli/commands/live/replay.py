"""The command `replay`: send events of the past to a server."""

from __future__ import annotations

from typing import Annotated

import typer

from sojourn.cli import print as output
from sojourn.cli.options import Json
from sojourn.errors import Problem, SojournError
from sojourn.live.replay import Target, parse_speed, replay
from sojourn.pages.words import say_count, say_duration, say_integer, say_number
from sojourn.playbook import load_playbook

SHORT_HELP = "Send events of the past to a server."


def command(
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
        f"{say_count(found.n_read, 'row')} read: {say_integer(found.n_accepted)} accepted by the server, "
        f"{say_integer(found.n_unusable)} could not be read"
    )
    facts = [say_duration(found.seconds), say_count(found.n_requests, "request")]
    if found.n_retries:
        facts.append(say_count(found.n_retries, "retry", "retries"))
    if found.n_accepted:
        facts.append(f"{say_number(found.per_second)} events/s")
    output.say(", ".join(facts))
