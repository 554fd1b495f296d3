"""The job `send_times`: when to write to each customer on each channel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sojourn.act.send_time import SendTimes, find_send_times, is_zone
from sojourn.errors import Problem, SojournError
from sojourn.frames import Progress, plain
from sojourn.pipelines.inputs import ignore, read_log, read_playbook
from sojourn.pipelines.results import ResultsFolder
from sojourn.playbook import Playbook


def send_times(
    events: Any,
    playbook: str | Path | Playbook,
    *,
    out: str | Path | None = None,
    timezone: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> SendTimes:
    """The hour and weekday at which each customer answers messages, and what that is worth on later messages.

    ``timezone``: the zone of customers whose own is not known; by default that of the playbook. With ``out`` the table
    ``send_times`` is written there. Raises SojournError for a zone that there is not, and without a feature that says
    what answers a message.

    >>> from sojourn.simulation.customers import simulate
    >>> [check.channel for check in send_times(simulate(60, days=120, seed=1).events, "shop").checks]
    ['email', 'push']
    """
    if timezone is not None and not is_zone(timezone):
        raise SojournError(Problem("--timezone", f"'{timezone}' is not a time zone such as UTC or Europe/Paris"))
    book, tell = read_playbook(playbook), progress or ignore
    log = read_log(events, book, tell)
    tell("find times", 0, 1)
    now = log.events["event_at"][-1].as_py()
    found = find_send_times(log.events, book, now, np.random.default_rng(seed), timezone)
    if out is not None:
        with ResultsFolder(Path(out)).write() as draft:
            draft.add_table("send_times", found.table)
            draft.add_json("send_times", plain(found.as_dict()))
    return found
