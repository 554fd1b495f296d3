"""Writing results so that a folder holds either the old ones or the new ones, never half of either."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sojourn.errors import Problem, SojournError
from sojourn.frames import HISTORY


@contextmanager
def open_output(out: str | Path | None) -> Iterator[Path | None]:
    """A temporary folder beside ``out``; its files move into ``out`` when the block ends well, else they vanish.

    Yields None when ``out`` is None.
    """
    if out is None:
        yield None
        return
    target = Path(out)
    if target.exists() and not target.is_dir():
        raise SojournError(Problem(str(target), "is a file; results need a folder"))
    partial = target.parent / f".{target.name}.{os.getpid()}.partial"
    try:
        partial.mkdir(parents=True)
        yield partial
        target.mkdir(exist_ok=True)
        for file in sorted(partial.iterdir()):
            os.replace(file, target / file.name)
    except OSError as error:
        raise SojournError(Problem(str(target), f"cannot be written ({error.strerror or error})")) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def open_parquet(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A Parquet writer with the settings of every table that Sojourn writes."""
    return pq.ParquetWriter(path, schema, compression="zstd", compression_level=1)


def write_table(table: pa.Table, path: Path) -> None:
    """Write one table as Parquet."""
    with open_parquet(path, table.schema) as writer:
        writer.write_table(table)


def write_json(value: Mapping[str, Any], path: Path) -> None:
    """Write JSON that a person can read; numbers that JSON lacks become null."""
    path.write_text(json.dumps(_plain(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return value if value - value == 0 else None
    return value


def read_history(folder: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The history in a results folder, repeated strings as dictionaries; all columns or some."""
    names = [field.name for field in HISTORY if pa.types.is_dictionary(field.type)]
    return pq.read_table(folder / "history.parquet", columns=columns, read_dictionary=["customer_id", *names])
