"""What is written in one turn of the event loop is one write, and nothing is lost at the end."""

from __future__ import annotations

import asyncio
from typing import Any

from sojourn.server.connections import _Joined


class Kept:
    """A transport that keeps what is done to it."""

    def __init__(self) -> None:
        self.done: list[bytes | str] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        assert not self.is_closed
        self.done.append(data)

    def close(self) -> None:
        self.is_closed = True
        self.done.append("closed")

    def is_closing(self) -> bool:
        return self.is_closed

    def get_extra_info(self, name: str) -> str:
        return f"its {name}"


def test_writes_of_one_turn_are_one() -> None:
    async def run() -> tuple[Any, Kept]:
        kept = Kept()
        joined = _Joined(kept, asyncio.get_running_loop())  # type: ignore[arg-type]
        joined.write(b"head ")
        joined.write(b"body")
        assert kept.done == []
        await asyncio.sleep(0)
        joined.write(b"more")
        joined.close()
        await asyncio.sleep(0)
        joined.write(b"too late")
        await asyncio.sleep(0)
        return joined.get_extra_info("peername"), kept

    info, kept = asyncio.run(run())
    assert kept.done == [b"head body", b"more", "closed"]
    assert info == "its peername"
