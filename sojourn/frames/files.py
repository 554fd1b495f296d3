"""Writing results so that an error or Ctrl-C leaves a folder as it was, never half old and half new.

A process killed outright (SIGKILL, power) cannot tidy up: a hidden ``.sojourn.*.partial`` folder stays, and in the
instant in which files are moved into a folder that holds an earlier run, some of them may be the new ones already.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from sojourn.errors import Problem, SojournError, nearest

_EXAMPLE = re.compile(r"example_[0-9]+\.parquet")  # the only files of which one run may write fewer than another


@contextmanager
def open_output(out: str | Path | None, *, is_run: bool = False, stale: Collection[str] = ()) -> Iterator[Path | None]:
    """A temporary folder; its files move into ``out`` when the block ends well, else nothing has changed.

    Yields None when ``out`` is None. A folder that is there keeps all other files, but for a run: examples that an
    earlier one wrote and this one did not are removed. So are the files named in ``stale``.
    """
    if out is None:
        yield None
        return
    try:
        target = Path(out).resolve()
        # Inside the folder where there is one: it may be a mount of its own, and files cannot be renamed across.
        place = next(p for p in (target, *target.parents) if p.exists())
        if not place.is_dir():
            raise SojournError(Problem(str(place), "is a file; results need a folder"))
        partial = place / f".sojourn.{secrets.token_hex(4)}.partial"
        partial.mkdir()
        try:
            yield partial
            _publish(partial, target, is_run=is_run, stale=stale)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise SojournError(Problem(str(out), f"cannot be written ({error.strerror or error})")) from error


def _publish(partial: Path, target: Path, *, is_run: bool, stale: Collection[str]) -> None:
    """Move all files of ``partial`` to ``target``, or none; those of an earlier run give way."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(partial, target)
        return
    new, done = sorted(partial.iterdir()), list[tuple[Path, Path]]()
    replaced = partial / "replaced"
    replaced.mkdir()

    def move(source: Path, to: Path) -> None:
        done.append((source, to))  # first, so that an interrupt in between is undone too
        os.replace(source, to)

    try:
        for file in new:
            here = target / file.name
            if here.is_dir():
                raise IsADirectoryError(errno.EISDIR, f"{here.name} is a folder")
            if here.exists():
                move(here, replaced / here.name)
            move(file, here)
        written = {file.name for file in new}
        for here in sorted(target.iterdir()) if is_run or stale else ():
            is_stale = here.name in stale or (is_run and _EXAMPLE.fullmatch(here.name))
            if is_stale and here.name not in written and here.is_file():
                move(here, replaced / here.name)
    except BaseException:
        for source, to in reversed(done):
            if to.exists() and not source.exists():
                os.replace(to, source)
        raise


def open_parquet(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A Parquet writer with the settings of every table that Sojourn writes."""
    return pq.ParquetWriter(path, schema, compression="zstd", compression_level=1)


def write_table(table: pa.Table, path: Path) -> None:
    """Write one table as Parquet."""
    with open_parquet(path, table.schema) as writer:
        writer.write_table(table)


def write_alone(table: pa.Table, path: Path) -> None:
    """Write one table to a file that the user names: whole or not at all. Raises SojournError where it cannot be."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        try:
            write_table(table, beside)
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise SojournError(Problem(str(path), f"cannot be written ({error.strerror or error})")) from None


def write_json(value: Mapping[str, Any], path: Path) -> None:
    """Write JSON that a person can read; numbers that JSON lacks become null."""
    path.write_text(json.dumps(_plain(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def copy_beside(path: Path, name: str, folder: Path) -> None:
    """Copies a file that a playbook names to where the playbook's copy looks for it; not one outside its folder."""
    target = (folder / name).resolve()
    if not Path(name).is_absolute() and target.is_relative_to(folder.resolve()):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return value if value - value == 0 else None
    return value


def read_history(folder: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The history in a results folder, as :data:`sojourn.frames.schemas.HISTORY`.

    With ``columns`` only those, and customer ids coded as a dictionary: a tenth of the memory.
    """
    path = folder / "history.parquet"
    if columns is None:
        return pq.read_table(path)
    return pq.read_table(path, columns=list(columns), read_dictionary=["customer_id"])


KINDS = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson")
_TEXTS = ("customer_id", "segment")
"""Columns that stay as they are written, though they may look like numbers."""


def read_plain(path: str | Path, columns: Sequence[str] = ()) -> pa.Table:
    """The table in a file, by how its name ends; ``customer_id`` is text. CSV, TSV and JSON lines may be gzipped.

    Raises SojournError for a file that cannot be read, and for one without one of the ``columns``.
    """
    where = Path(path)
    kinds = [suffix.lower() for suffix in where.suffixes if suffix.lower() != ".gz"]
    kind = kinds[-1] if kinds else ""
    if kind not in KINDS:
        raise SojournError(Problem(str(path), f"a table is read from a file that ends in one of {', '.join(KINDS)}"))
    if not where.is_file():
        raise SojournError(Problem(str(path), "there is no such file"))
    try:
        table = _read(where, kind)
    except (OSError, pa.ArrowException) as error:
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SojournError(Problem(str(path), f"cannot be read: {what}")) from None
    for name in columns:
        if name not in table.column_names:
            what = f"there is no column '{name}'; it has {', '.join(table.column_names[:20])}"
            raise SojournError(Problem(str(path), what, nearest(name, table.column_names)))
    if "customer_id" in table.column_names:
        place = table.column_names.index("customer_id")
        table = table.set_column(place, "customer_id", table["customer_id"].cast(pa.string()))
    return table


def _read(path: Path, kind: str) -> pa.Table:
    if kind == ".parquet":
        return pq.read_table(path)
    if kind in (".csv", ".tsv"):
        return csv.read_csv(
            path,
            parse_options=csv.ParseOptions(delimiter="\t" if kind == ".tsv" else ",", newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(_TEXTS, pa.string()), strings_can_be_null=True
            ),
        )
    # the name json is taken here
    from pyarrow import json

    return json.read_json(path)
