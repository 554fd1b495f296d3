"""The command `send-time`: when to write to each customer on each channel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sojourn.cli import print as output
from sojourn.cli.options import Events, Json, PlaybookOption, Seed
from sojourn.pages.words import say_count, say_integer, say_interval, say_loss, say_number, say_share
from sojourn.pipelines import send_times as job

if TYPE_CHECKING:
    from sojourn.act.send_time import ChannelCheck, Lift

SHORT_HELP = "When each customer answers messages."

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def command(
    events: Events,
    playbook: PlaybookOption,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", show_default=False, help="Folder for send_times.parquet."),
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option(
            "--timezone",
            metavar="ZONE",
            show_default="of the playbook's source",
            help="The zone of customers whose own is not known, such as Europe/Paris.",
        ),
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Example: `sojourn send-time shop-data/events.parquet --playbook shop --out results`

    Finds the hour and weekday at which each customer answers messages, as far as the data tell them apart from
    everybody else, and says on the last quarter of the messages what that is worth.
    """
    with output.progress_bars(is_silent=as_json) as progress:
        found = job.send_times(events, playbook, out=out, timezone=timezone, seed=seed, progress=progress)
    if as_json:
        output.print_json(found.as_dict())
        return
    for check in found.checks:
        _print_check(check)
    if not found.checks:
        output.say("No message was sent long enough ago to know whether it was answered.")
    if out is not None:
        output.say(f"Written  {out / 'send_times.parquet'}: {say_count(found.table.num_rows, 'row')}")


def _print_check(check: ChannelCheck) -> None:
    output.say(f"{check.channel}: {say_count(check.n, 'message')}, {say_share(check.open_p)} answered")
    if check.best_hour is not None and check.best_weekday is not None:
        output.say(f"  best for everybody: {_DAYS[check.best_weekday]}, {check.best_hour:02}:00")
    if check.log_loss:
        names = {"mean": "mean share", "population": "hour and weekday", "customer": "customer", "habit": "own hours"}
        told = ", ".join(f"{names[name]} {say_loss(loss)}" for name, loss in check.log_loss.items())
        output.say(f"  log-loss on {say_integer(check.n_held_out)} later messages: {told}")
    for lift, words in ((check.own, "their own best hours"), (check.population, "everybody's best hours")):
        if lift is not None:
            output.say(f"  sent in {words}: {_show_lift(lift)}")
    if check.doubt:
        output.say(f"  Note: {check.doubt}")


def _show_lift(lift: Lift) -> str:
    return (
        f"{say_number(lift.ratio)} times the answers expected of the same customers "
        f"({say_interval(lift.low, lift.high)}, "
        f"{say_count(lift.n, 'message')})"
    )
