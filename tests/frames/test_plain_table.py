"""Tables beside events: every kind of file gives the same, and what cannot be read is said."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sojourn.errors import SojournError
from sojourn.frames.files import read_plain

ROWS = [("007", "big", 3, None), ("8", None, 4, "a\tb")]


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.tsv", "t.csv.gz", "t.jsonl", "T.CSV"])
def test_every_kind_of_file_gives_the_same_table(tmp_path: Path, name: str) -> None:
    path, columns = tmp_path / name, ("customer_id", "segment", "n", "note")
    mark = "\t" if ".tsv" in name else ","
    if name.endswith(".parquet"):
        table = pa.table({column: [row[i] for row in ROWS] for i, column in enumerate(columns)})
        pq.write_table(table, path)
    elif name.endswith(".jsonl"):
        lines = ['{"customer_id": "007", "segment": "big", "n": 3, "note": null}',
                 '{"customer_id": "8", "segment": null, "n": 4, "note": "a\\tb"}']  # fmt: skip
        path.write_text("\n".join(lines), encoding="utf-8")
    else:
        lines = [mark.join(columns), mark.join(["007", "big", "3", ""]), mark.join(["8", "", "4", '"a\tb"'])]
        data = "\n".join(lines).encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert [tuple(row.values()) for row in read_plain(path, ["customer_id"]).to_pylist()] == ROWS


def test_ids_are_texts_also_where_the_file_has_numbers(tmp_path: Path) -> None:
    pq.write_table(pa.table({"customer_id": [1, 2]}), tmp_path / "t.parquet")
    assert read_plain(tmp_path / "t.parquet")["customer_id"].to_pylist() == ["1", "2"]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("t.parquet", b"PAR1 nonsense", "cannot be read"),
        ("t.csv", b"", "cannot be read"),
        ("t.csv", b"a,b\n1\n", "cannot be read"),
        ("t.jsonl", b"{", "cannot be read"),
        ("t.csv.gz", b"not gzip", "cannot be read"),
        ("t.xlsx", b"PK", "ends in one of"),
        ("t.csv", b"customer,n\nx,1\n", "there is no column 'customer_id'"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SojournError, match=said):
        read_plain(tmp_path / name, ["customer_id"])
    with pytest.raises(SojournError, match="there is no such file"):
        read_plain(tmp_path / "none.csv")
