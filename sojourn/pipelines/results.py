"""A results folder: what a run wrote there, and what other jobs put beside it.

:class:`ResultsFolder` opens, lists, reads, writes and erases. Nothing else reads or writes results folders. Reading
raises what pyarrow and the file system raise; each job says in its own words what it needs and what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sojourn.errors import Problem, SojournError
from sojourn.frames import copy_beside, open_output, open_parquet, read_history, write_json, write_table
from sojourn.pipelines.forget import erase_from_results
from sojourn.pipelines.tables import Page, list_tables, read_page
from sojourn.playbook import load_playbook

if TYPE_CHECKING:
    from sojourn.playbook import Playbook


@dataclass(frozen=True)
class Draft:
    """The files of one job before they are in their folder: all of them get there, or none."""

    path: Path

    def add_table(self, name: str, table: pa.Table) -> None:
        """Write a table as ``name.parquet``."""
        write_table(table, self.path / f"{name}.parquet")

    def open_table(self, name: str, schema: pa.Schema) -> pq.ParquetWriter:
        """A writer of ``name.parquet``, for a table that comes in parts. The caller closes it."""
        return open_parquet(self.path / f"{name}.parquet", schema)

    def add_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write plain values as ``name.json``."""
        write_json(value, self.path / f"{name}.json")

    def add_text(self, file: str, text: str) -> None:
        """Write a page or a playbook, UTF-8."""
        (self.path / file).write_text(text, encoding="utf-8")

    def add_copy(self, source: Path, name: str) -> None:
        """Copy a file that a playbook names; one outside the folder is left out."""
        copy_beside(source, name, self.path)


@dataclass(frozen=True)
class ResultsFolder:
    """The results in a folder, which need not be there yet.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as name:
    ...     folder = ResultsFolder(Path(name))
    ...     with folder.write() as draft:
    ...         draft.add_table("predictions", pa.table({"customer_id": ["a", "b"], "p": [0.1, 0.9]}))
    ...     erased = folder.erase(["a"])
    ...     erased, folder.read("predictions")["customer_id"].to_pylist(), folder.list_tables()[0]["n_rows"]
    (['predictions.parquet'], ['b'], 1)
    """

    path: Path

    # -- list --

    def has(self, name: str) -> bool:
        """Whether there is a table of this name."""
        return (self.path / f"{name}.parquet").is_file()

    def list_tables(self) -> list[dict[str, Any]]:
        """Every table that may be shown: name, rows, columns, and when it was written. Raises BeingWritten."""
        return list_tables(self.path)

    # -- read --

    def read(self, name: str, columns: Sequence[str] | None = None, *, customer_id: str | None = None) -> pa.Table:
        """A table; with ``customer_id`` the rows of that customer alone, for which little of the file is read."""
        wanted = None if customer_id is None else pc.field("customer_id") == customer_id
        return pq.read_table(self._file(name), columns=None if columns is None else [*columns], filters=wanted)

    def read_history(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The history; with ``columns`` those alone, customer ids coded."""
        return read_history(self.path, columns)

    def read_examples(self) -> tuple[pa.Table, ...]:
        """The traces of the example customers."""
        return tuple(pq.read_table(path) for path in sorted(self.path.glob("example_*.parquet")))

    def read_page(
        self, name: str, wanted: Sequence[tuple[str, str]] = (), *, limit: int, after: tuple[int, int] | None = None
    ) -> Page:
        """Some rows of a table as plain values: :func:`sojourn.pipelines.tables.read_page`."""
        return read_page(self.path, name, wanted, limit=limit, after=after)

    def read_json(self, name: str) -> Any:
        """What ``name.json`` holds: ``run``, ``model``, ``segments`` or ``names``."""
        return json.loads((self.path / f"{name}.json").read_text(encoding="utf-8"))

    def read_playbook(self) -> Playbook:
        """The playbook that the run was made with."""
        return load_playbook(self.path / "playbook.yaml")

    # -- write --

    @contextmanager
    def write(self, *, is_run: bool = False, stale: Collection[str] = ()) -> Iterator[Draft]:
        """A draft whose files move into the folder when the block ends well, else nothing has changed.

        ``is_run``: examples of an earlier run that this one has not are removed. So are the files named in ``stale``,
        which only an earlier run can have written. Raises SojournError for a folder that cannot be written.
        """
        with open_output(self.path, is_run=is_run, stale=stale) as partial:
            assert partial is not None
            yield Draft(partial)

    def replace_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write one JSON file at once, all else stays."""
        write_json(value, self.path / f"{name}.json")

    # -- erase --

    def erase(self, customers: Collection[str]) -> list[str]:
        """Take customers out of every table and page; the names of the files that have changed."""
        return erase_from_results(self.path, customers)

    def _file(self, name: str) -> Path:
        return self.path / f"{name}.parquet"


def write_text(text: str, path: Path) -> None:
    """Write a text to a file that the user names. Raises SojournError where it cannot be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SojournError(Problem(str(path), f"cannot be written ({error.strerror or error})")) from None
