"""What batch runs found, over HTTP: the tables of the project's results folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path as Folder
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, HTTPException, Path, Query
from fastapi.params import Depends
from starlette.responses import Response

from sojourn.errors import Problem, SojournError
from sojourn.frames import show_instant
from sojourn.pipelines import BadQuery, BeingWritten, Replaced, ResultsFolder, UnknownTable
from sojourn.server.answers import answer
from sojourn.server.api.paging import Cursor, Limit, Page, Problems, read_cursor

T = TypeVar("T")
_STATUS: dict[type[SojournError], int] = {UnknownTable: 404, BadQuery: 422, Replaced: 409, BeingWritten: 503}
_MOST_FILTERS = 10
_LONGEST_FILTER = 1_000


def add_results(router: APIRouter, folder: Folder | None, reads: Sequence[Depends]) -> None:
    """Add the routes, for a folder that need not be there."""
    results = ResultsFolder(folder or Folder())
    wrong: dict[int | str, dict[str, Any]] = {status: {"model": Problems} for status in (404, 409)}

    @router.get("/results", tags=["results"], dependencies=reads, response_model=Page)
    def list_results() -> Response:
        """Every table of the last run: rows, columns with their types, and when it was written."""
        return answer({"items": _ask(results.list_tables) if folder else [], "next": None})

    @router.get("/results/{table}", tags=["results"], dependencies=reads, response_model=Page, responses=wrong)
    def read_result(
        table: Annotated[str, Path(max_length=100)],
        where: Annotated[
            list[str] | None,
            Query(max_length=_MOST_FILTERS, description="`column:value`; may be repeated, all have to be so"),
        ] = None,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Response:
        """Rows of a table, those with these values only. A page may be short, or empty, while `next` is not null."""
        wanted = [_split(one) for one in where or ()]
        after = read_cursor(cursor)
        if after is not None and after[0] < 0:
            raise HTTPException(422, Problem("cursor", "it is not `next` of a page before"))
        found = _ask(lambda: results.read_page(table, wanted, limit=limit, after=after))
        next_page = None if found.next is None else f"{found.next[0]}.{found.next[1]}"
        return answer({"items": found.rows, "next": next_page, "written_at": show_instant(found.written_at)})


def _split(text: str) -> tuple[str, str]:
    column, sign, value = text.partition(":")
    if not sign or len(text) > _LONGEST_FILTER:
        what = f"'{text[:60]}' is no filter; write it as column:value, such as state:decision"
        raise HTTPException(422, Problem("where", what))
    return column, value


def _ask(read: Callable[[], T]) -> T:
    """What is read, or the error as HTTP has it."""
    try:
        return read()
    except tuple(_STATUS) as error:
        status = _STATUS[type(error)]
        headers = {"Retry-After": "1"} if status == 503 else None
        raise HTTPException(status, error.problems[0], headers) from None
