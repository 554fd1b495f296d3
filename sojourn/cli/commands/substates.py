"""The command `substates`: how many states the data hold beside the playbook's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from sojourn.cli import print as output
from sojourn.cli.options import Events, Json, PlaybookOption, Seed
from sojourn.pages.words import say_count, say_loss, say_score
from sojourn.pipelines import substates as job
from sojourn.states import Substate

SHORT_HELP = "How many states the data hold beside the playbook's."


def command(
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
    with output.progress_bars(is_silent=as_json) as progress:
        found = job.substates(events, playbook, n_most=most, max_customers=customers, seed=seed, progress=progress)
    if as_json:
        output.print_json(found.as_dict())
        return
    table = output.make_grid(
        ("extra states", "right"),
        ("foresight, nats per event", "right"),
        ("worse than the best by", "right"),
        ("std. error", "right"),
        ("", "left"),
    )
    for t in found.trials:
        numbers = (say_loss(t.mean), say_loss(t.loss), say_loss(t.loss_se))
        table.add_row(str(t.n_extra), *numbers, "chosen" if t.is_chosen else "")
    output.say(f"{say_count(found.n_customers, 'customer')}, a quarter held out at a time\n")
    output.open_console().print(table)
    if not found.n_extra:
        output.say("\nThe playbook's states are enough: more would not foresee events noticeably better.")
        return
    print_substates(found.substates)
    output.say(f"\nTo look for them in every run, write into the playbook: model: {{extra_states: {found.n_extra}}}")


def print_substates(found: Sequence[Substate]) -> None:
    """Print what each discovered state is called, what it is near to and how it differs."""
    for s in found:
        called = f"named '{s.name}'" if s.name else f"not named; it could be called '{s.proposed}'"
        output.say(f"\n{s.state}: {called}")
        output.say(
            f"  Nearest to {s.nearest}, at a distance of {say_score(s.distance)} (0: the same, 1: nothing in common)"
        )
        for difference in s.differences:
            output.say(f"  {difference}")
