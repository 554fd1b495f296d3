"""Commands: each is a record of the log, carried out in its place among the others."""

from __future__ import annotations

from typing import Any

from sojourn.errors import Problem, SojournError
from sojourn.live import deploy
from sojourn.live.engine.erasure import Scan, erase
from sojourn.live.engine.host import Host
from sojourn.live.engine.records import IDENTITY
from sojourn.live.engine.recovery import ACTIVE


def carry_out(host: Host, name: str, arguments: dict[str, Any], now: int, scan: Scan | None = None) -> dict[str, Any]:
    """The answer to a command, once it is carried out. Raises SojournError where that cannot be.

    ``scan`` is what an erasure found in the log before it had to wait for the engine.
    """
    if name in IDENTITY:
        return _change_identity(host, name, arguments, now)
    if name == "erase":
        return erase(host, arguments["id"], now, scan)
    if name == "rollback" and host.env.store.get_meta(ACTIVE)["before"] is None:
        raise SojournError(Problem("deploy", "there is no version before to go back to"))
    return deploy.wish(host.env.store, name, arguments.get("version"))


def _change_identity(host: Host, name: str, arguments: dict[str, Any], now: int) -> dict[str, Any]:
    version, identities = host.version, host.version.identities
    for key in ("a", "b"):
        if identities.find(arguments[key]) < 0:
            raise SojournError(Problem(f"identity {name}", f"nobody has the id '{arguments[key]}'"))
    position = host.log_command(name, arguments, now)
    with host.lock:
        outcome = version.take_command(position, now, name, arguments)
        host.follow_command(position, now, name, arguments)
        host.settle(outcome, now)
        owner = identities.graph.owner
        a, b = (int(owner[identities.find(arguments[key])]) for key in ("a", "b"))
        return {"a": identities.customer_id(a), "b": identities.customer_id(b)}
