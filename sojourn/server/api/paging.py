"""What all lists share: how much of one may be asked for, the cursor that goes on, and how answers look at least."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import HTTPException, Query
from pydantic import BaseModel, ConfigDict

from sojourn.errors import Problem

MOST = 1_000
Limit = Annotated[int, Query(ge=1, le=MOST, description="how many at most")]
Cursor = Annotated[str | None, Query(max_length=50, description="`next` of the page before")]


class Found(BaseModel):
    """What an answer has at least; more may come with later versions."""

    model_config = ConfigDict(extra="allow")


class Problems(Found):
    """An error: where, what was found, the nearest match, and the command that helps."""

    error: dict[str, Any]
    code: str
    message: str


class Page(Found):
    """Some of many: ``next`` asks for the next page, null at the end."""

    items: list[dict[str, Any]]
    next: str | int | None = None


def read_cursor(cursor: str | None) -> tuple[int, int] | None:
    """The two numbers of a cursor, None without one. Raises HTTPException for what is none."""
    if cursor is None:
        return None
    parts = cursor.split(".")
    if len(parts) != 2 or not all(p.removeprefix("-").isdecimal() and p.isascii() and len(p) < 19 for p in parts):
        raise HTTPException(422, Problem("cursor", "it is not `next` of a page before"))
    return int(parts[0]), int(parts[1])
