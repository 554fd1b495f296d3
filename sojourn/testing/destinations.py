"""What every kind of destination must do: arrive with its id, again as often as it is sent, and hide its secret."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from sojourn.act import OutboxItem
from sojourn.act.destinations import Destination, Sender, Sent

OUTCOMES = ("delivered", "again", "dead", "gone")


def check_destination(kind: Any, destination: Destination, received: Callable[[], Sequence[str]]) -> None:
    """Raise AssertionError unless a kind of destination delivers as Sojourn relies on.

    ``kind`` is its module, with ``KIND`` and ``build``; ``destination`` is one that takes messages now; ``received``
    gives the ids of the messages that have arrived there, in any order.

    >>> from types import SimpleNamespace
    >>> arrived = []
    >>> class Sender:
    ...     async def send(self, item, at):
    ...         arrived.append(item.id)
    ...         return Sent("delivered")
    ...     async def close(self):
    ...         pass
    >>> kind = SimpleNamespace(KIND="list", build=lambda destination: Sender())
    >>> check_destination(kind, Destination("mine", "", type="list"), lambda: arrived)
    """
    assert isinstance(kind.KIND, str), "KIND must be a text"
    assert kind.KIND, "KIND must not be empty"
    sender: Sender = kind.build(destination)
    items = [_make_item(destination.name, seq) for seq in range(1, 5)]
    sent = asyncio.run(_send_all(sender, items))
    for item, one in zip([*items, items[0]], sent, strict=True):
        assert isinstance(one, Sent), f"send gave {type(one).__name__}, not Sent"
        assert one.what in OUTCOMES, f"send said {one.what!r}, which is none of {', '.join(OUTCOMES)}"
        assert one.what == "delivered", f"message {item.id} was not delivered: {one.error}"
    expected = sorted([item.id for item in items] + [items[0].id])
    found = sorted(received())
    assert found == expected, f"ids {expected} were sent, {found} arrived"
    if destination.secret:
        assert destination.secret not in repr(sender), "repr() of the sender shows the secret"


def _make_item(name: str, seq: int) -> OutboxItem:
    body = json.dumps({"type": "customer.transition", "data": {"id": f"chg_{seq}", "seq": seq, "customer_id": "ü 1"}})
    return OutboxItem(name, seq, f"chg_{seq}", body, 0, 0)


async def _send_all(sender: Sender, items: Sequence[OutboxItem]) -> list[Sent]:
    """All items at a time, as the delivery does, then the first once more, as after a lost answer."""
    try:
        sent = await asyncio.gather(*(sender.send(item, time.time()) for item in items))
        return [*sent, await sender.send(items[0], time.time())]
    finally:
        await sender.close()
