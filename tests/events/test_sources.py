"""Raw rows: every format, every way to break one, and that no byte is lost on the way."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from sojourn.errors import EventsError
from sojourn.events.sources import database as source_database
from sojourn.events.sources import text as source_text
from sojourn.events.sources.chunks import Source
from sojourn.events.sources.open import open_sources
from sojourn.events.sources.tables import find_invalid_text

ROWS = [{"user": f"u{i}", "event": "view" if i % 3 else 'say "hi", bye', "total": str(i)} for i in range(50)]


def read_all(events: Any, **options: Any) -> tuple[list[dict[str, Any]], list[Any], list[Source]]:
    """Rows as dictionaries (JSON lines parsed), broken rows, and the sources."""
    sources = open_sources(events, **options)
    rows: list[dict[str, Any]] = []
    broken: list[Any] = []
    for source in sources:
        for chunk in source.read(None):
            assert len(chunk.rows) == len(chunk.lines) == (chunk.columns.num_rows if len(chunk.rows) else 0)
            assert (np.diff(chunk.rows) > 0).all()
            broken += chunk.broken
            found = chunk.columns.to_pylist() if len(chunk.rows) else []
            rows += [json.loads(row["json"]) for row in found] if chunk.is_json else found
    return rows, broken, list(sources)


def write_csv(rows: list[dict[str, str]], delimiter: str = ",", line_end: str = "\n") -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter, lineterminator=line_end)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def write_json(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def write_parquet(rows: list[dict[str, Any]]) -> bytes:
    out = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows), out, row_group_size=20)
    return out.getvalue()


CONTENTS = {
    "csv": write_csv(ROWS),
    "tsv": write_csv(ROWS, "\t"),
    "jsonl": write_json(ROWS),
    "ndjson": write_json(ROWS),
    "parquet": write_parquet(ROWS),
}
PACKERS = {"": lambda data: data, ".gz": gzip.compress, ".zst": lambda data: pa.compress(data, "zstd", asbytes=True)}


@pytest.mark.parametrize("pack", PACKERS)
@pytest.mark.parametrize("kind", CONTENTS)
def test_every_format_packed_or_not_gives_the_same_rows(tmp_path: Path, kind: str, pack: str) -> None:
    path = tmp_path / f"events.{kind}{pack}"
    path.write_bytes(PACKERS[pack](CONTENTS[kind]))
    rows, broken, [source] = read_all(path)
    assert rows == ROWS
    assert broken == []
    assert source.name == str(path)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("pack", PACKERS)
def test_standard_input_is_recognised_by_its_bytes(kind: str, pack: str) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: Any) -> int:
            raise OSError("a pipe")

    rows, broken, [source] = read_all("-", stdin=lambda: Pipe(PACKERS[pack](CONTENTS[kind])))
    assert (rows, broken, source.name) == (ROWS, [], "-")


def test_patterns_and_lists_come_in_order(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "c.txt"):
        (tmp_path / name).write_bytes(b"user\n" + name.encode() + b"\n")
    rows, _, sources = read_all([str(tmp_path / "*.csv"), tmp_path / "c.txt"])
    assert [row["user"] for row in rows] == ["a.csv", "b.csv", "c.txt"]
    assert [Path(source.name).name for source in sources] == ["a.csv", "b.csv", "c.txt"]


def test_thousands_of_files_are_not_open_at_once(tmp_path: Path) -> None:
    import resource

    for i in range(300):
        (tmp_path / f"{i:04}.csv").write_bytes(b"user\nu\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    try:
        rows, _, _ = read_all(str(tmp_path / "*.csv"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(rows) == 300


TABLES = {
    "pyarrow": pa.Table.from_pylist,
    "polars": pl.DataFrame,
    "pandas": pd.DataFrame,
    "duckdb": lambda rows: duckdb.connect().from_arrow(pa.Table.from_pylist(rows)),
    "reader": lambda rows: pa.Table.from_pylist(rows).to_reader(),
}


@pytest.mark.parametrize("kind", TABLES)
def test_any_arrow_table_is_read(kind: str) -> None:
    rows, _, [source] = read_all(TABLES[kind](ROWS))
    assert [{k: str(v) for k, v in row.items()} for row in rows] == ROWS
    assert source.name == "table"


def test_wanted_columns_are_the_only_ones_read(tmp_path: Path) -> None:
    for kind in ("csv", "parquet"):
        path = tmp_path / f"e.{kind}"
        path.write_bytes(CONTENTS[kind])
        [source] = open_sources(path)
        assert {name for chunk in source.read(["total"]) for name in chunk.columns.column_names} == {"total"}


def test_rows_count_even_when_no_column_is_wanted(tmp_path: Path) -> None:
    for kind in ("csv", "parquet"):
        path = tmp_path / f"e.{kind}"
        path.write_bytes(CONTENTS[kind])
        [source] = open_sources(path)
        assert sum(chunk.n_read for chunk in source.read([])) == 50


# -- CSV ---------------------------------------------------------------------------------------------------


def read_csv(data: bytes) -> tuple[list[tuple[int, tuple[Any, ...]]], list[tuple[int, str, str]]]:
    """(line, values) of good rows and (line, rule, raw) of broken ones, the header not counted."""
    [source] = open_sources("-", stdin=lambda: io.BytesIO(data))
    rows: list[tuple[int, tuple[Any, ...]]] = []
    broken = []
    for chunk in source.read(None):
        values = [tuple(row.values()) for row in chunk.columns.to_pylist()] if len(chunk.rows) else []
        rows += zip(chunk.lines.tolist(), values, strict=True)
        broken += [(b.line, b.rule, b.raw) for b in chunk.broken]
        assert chunk.show(np.arange(len(values))) == chunk.show(np.arange(len(values)))
    return rows, broken


@pytest.mark.parametrize(
    ("body", "rows", "broken"),
    [
        (b"a,b\n", [(2, ("a", "b"))], []),
        (b"a,b", [(2, ("a", "b"))], []),
        (b"a,b\r\nc,d\r\n", [(2, ("a", "b")), (3, ("c", "d"))], []),
        (b"\n  \na,b\n\n", [(4, ("a", "b"))], []),
        (b'"a,\nb""c","\r\n"\nd,e\n', [(2, ('a,\nb"c', "\r\n")), (5, ("d", "e"))], []),
        (b',\n"",""\n', [(2, (None, None)), (3, (None, None))], []),
        (b'12" nail,x\n', [(2, ('12" nail', "x"))], []),
        (b'a "q" b,x\n', [(2, ('a "q" b', "x"))], []),
        (b"a\x00,b\n", [(2, ("a\x00", "b"))], []),
        (b"a,b,c\nd\ne,f\n", [(4, ("e", "f"))], [(2, "csv", "a,b,c"), (3, "csv", "d")]),
        (b'"a"b,c\nd,e\n', [(3, ("d", "e"))], [(2, "csv", '"a"b,c')]),
        (b'"open,b\nd,e\n', [(3, ("d", "e"))], [(2, "csv", '"open,b')]),
        (b'"open,b\nx,"y"\nd,e\n', [(3, ("x", "y")), (4, ("d", "e"))], [(2, "csv", '"open,b')]),
        (b"caf\xe9,b\nd,\xc3\xa9\n", [(3, ("d", "é"))], [(2, "utf-8", "caf�,b")]),
        (b"a\rb,c\nd,e\n", [(3, ("d", "e"))], [(2, "csv", "a\rb,c")]),
    ],
)
def test_csv_rows_and_what_is_wrong_with_them(body: bytes, rows: list[Any], broken: list[Any]) -> None:
    assert read_csv(b"x,y\n" + body) == (rows, broken)


def test_a_byte_order_mark_and_blank_lines_before_the_header_are_no_rows() -> None:
    assert read_csv(b"\xef\xbb\xbf\n\nx,y\na,b\n") == ([(4, ("a", "b"))], [])


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_header_tells_the_delimiter(delimiter: str) -> None:
    data = write_csv(ROWS, delimiter)
    rows, broken = read_csv(data)
    assert [values for _, values in rows] == [tuple(row.values()) for row in ROWS]
    assert broken == []


fields = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8) | st.sampled_from(
    ['"', '""', ",", "\n", "\r\n", '"\n', " ", 'a"b', "é"]
)


@given(st.lists(st.tuples(fields, fields, fields), min_size=1, max_size=12), st.integers(1, 40))
def test_what_the_csv_writer_of_python_writes_is_read_back(rows: list[tuple[str, ...]], block: int) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([("x", "y", "z"), *rows])
    data = text.getvalue().encode()
    blocks = iter([data[at : at + block] for at in range(0, len(data), block)])
    found: list[tuple[str | None, ...]] = []
    for page in source_text.read_csv_records(blocks, ","):
        columns, kept = source_text.parse_fields(page, ",", ["x", "y", "z"], ["x", "y", "z"])
        assert kept.broken == ()
        found += [tuple(row.values()) for row in columns.to_pylist()]
    assert found[1:] == [tuple(value or None for value in row) for row in rows]


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([b'"', b",", b"\n", b"\r", b"a", b"\xff", b" "]), max_size=60).map(b"".join)
)
@settings(max_examples=300)
def test_records_do_not_depend_on_where_blocks_are_cut(data: bytes) -> None:
    def split(size: int) -> list[Any]:
        blocks = iter([data[at : at + size] for at in range(0, len(data), size)])
        found: list[Any] = []
        for page in source_text.read_csv_records(blocks, ","):
            _, kept = source_text.parse_fields(page, ",", ["x", "y"], ["x", "y"])
            found += zip(kept.rows.tolist(), kept.lines.tolist(), kept.show(np.arange(len(kept.rows))), strict=True)
            found += [(b.row, b.line, b.rule, b.raw) for b in kept.broken]
        return sorted(found)

    whole = split(10_000)
    assert [row[0] for row in whole] == list(range(len(whole)))
    pages = source_text.PAGE_BYTES
    try:
        source_text.PAGE_BYTES = 1  # every block its own page
        assert split(7) == whole
    finally:
        source_text.PAGE_BYTES = pages


def test_a_line_without_end_is_one_broken_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_text, "LONGEST_LINE", 1000)
    monkeypatch.setattr(source_text, "PAGE_BYTES", 500)
    data = b"x\n" + b"a" * 5000 + b"\nb\n" + b"c" * 5000
    rows, broken = read_csv(data)
    assert rows == [(3, ("b",))]
    assert [(line, rule) for line, rule, _ in broken] == [(2, "length"), (4, "length")]


def test_a_quote_opened_by_mistake_costs_one_row_even_in_a_large_file() -> None:
    lines = b"".join(b"u%d,v\n" % i for i in range(60_000))
    rows, broken = read_csv(b'x,y\nu,"oops\n' + lines)
    assert len(rows) == 60_000
    assert broken == [(2, "csv", 'u,"oops')]


def test_raw_text_is_kept_to_4096_characters() -> None:
    _, [(_, _, raw)] = read_csv(b"x,y\n" + "é".encode() * 10_000 + b"\n")
    assert raw == "é" * 4096


# -- JSON lines --------------------------------------------------------------------------------------------


def test_json_lines_that_are_no_objects_are_broken() -> None:
    lines = [b'{"a": 1}', b"", b"[1]", b"{", b'"x"', b"null", b"5", b'{"a": "\xff"}', b'{"b": 2}', b"[" * 100_000]
    [source] = open_sources("-", stdin=lambda: io.BytesIO(b"\n".join(lines)))
    [chunk] = source.read(None)
    assert [json.loads(text) for text in chunk.columns["json"].to_pylist()] == [{"a": 1}, {"b": 2}]
    assert chunk.lines.tolist() == [1, 9]
    found = sorted((b.line, b.rule, b.found) for b in chunk.broken)
    assert [(line, rule) for line, rule, _ in found] == [
        (3, "json"), (4, "json"), (5, "json"), (6, "json"), (7, "json"), (8, "utf-8"), (10, "json"),
    ]  # fmt: skip
    assert found[0][2] == "a list where an object is needed"
    assert "no JSON" in found[1][2]


# -- broken streams and files ------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [".gz", ".zst"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_truncated_stream_gives_the_rows_before_the_break_and_one_broken_row(kind: str, pack: str) -> None:
    rows = [{"user": os.urandom(20).hex(), "n": str(i)} for i in range(20_000)]
    data = PACKERS[pack](write_csv(rows) if kind == "csv" else write_json(rows))
    found, broken, _ = read_all("-", stdin=lambda: io.BytesIO(data[: len(data) // 2]))
    assert found == rows[: len(found)]
    assert len(found) > 8_000
    assert [b.rule for b in broken] == ["stream"]
    assert broken[0].row == len(found)


def test_a_gzip_of_several_members_is_one_stream() -> None:
    data = gzip.compress(b"x,y\na,b\n") + gzip.compress(b"c,d\n") + b"\0" * 512
    assert read_csv(data) == ([(2, ("a", "b")), (3, ("c", "d"))], [])


def test_rubbish_after_a_gzip_is_one_broken_row() -> None:
    rows, broken = read_csv(gzip.compress(b"x,y\na,b\n") + b"rubbish")
    assert rows == [(2, ("a", "b"))]
    assert [(line, rule) for line, rule, _ in broken] == [(3, "stream")]


def test_a_flipped_bit_in_gzip_does_not_go_unnoticed() -> None:
    data = bytearray(gzip.compress(write_csv(ROWS * 100)))
    data[len(data) // 2] ^= 1
    _, broken = read_csv(bytes(data))
    assert "stream" in [rule for _, rule, _ in broken]


def test_a_gzip_cut_in_its_header_is_one_broken_row() -> None:
    assert read_csv(gzip.compress(b"x,y\n")[:7]) == ([], [(1, "stream", "")])


def test_a_gzip_bomb_is_read_in_bounded_memory() -> None:
    data = gzip.compress(b"x,y\n" + b"a,b\n" * 8_000_000, 9)
    [source] = open_sources("-", stdin=lambda: io.BytesIO(data))
    sizes = [chunk.n_read for chunk in source.read(None)]
    assert sum(sizes) == 8_000_000
    assert max(sizes) < 5_000_000


@pytest.mark.parametrize("cut", [4, 100, -4, -100])
def test_a_parquet_file_without_its_end_is_one_broken_row(cut: int) -> None:
    rows, broken, _ = read_all("-", stdin=lambda: io.BytesIO(CONTENTS["parquet"][:cut]))
    assert rows == []
    assert [b.rule for b in broken] == ["parquet"]


def test_a_broken_row_group_is_one_broken_row_and_the_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    data = bytearray(CONTENTS["parquet"])
    second = parquet.ParquetFile(io.BytesIO(data)).metadata.row_group(1).column(0)
    at = second.dictionary_page_offset or second.data_page_offset
    data[at : at + second.total_compressed_size] = bytes(second.total_compressed_size)
    path.write_bytes(data)
    rows, broken, _ = read_all(path)
    assert rows == ROWS[:20] + ROWS[40:]
    assert [(b.rule, b.row) for b in broken] == [("parquet", 20)]
    assert "20 rows are lost" in broken[0].found


def test_text_in_tables_that_is_no_utf8_is_a_broken_row() -> None:
    def text(values: list[bytes]) -> pa.Array:
        return pa.array(values, pa.binary()).view(pa.string())

    table = pa.table(
        {"user": text([b"a", b"b\xff", b"c"]), "p": pa.StructArray.from_arrays([text([b"x", b"y", b"\xfe"])], ["q"])}
    )
    assert find_invalid_text(table).tolist() == [1, 2]
    [source] = open_sources(table)
    [chunk] = source.read(None)
    assert chunk.columns.to_pylist() == [{"user": "a", "p": {"q": "x"}}]
    assert [(b.line, b.rule) for b in chunk.broken] == [(2, "utf-8"), (3, "utf-8")]
    assert "b�" in chunk.broken[0].raw


# -- what cannot be opened ---------------------------------------------------------------------------------


def explain(events: Any, **options: Any) -> str:
    with pytest.raises(EventsError) as found:
        open_sources(events, **options)
    return str(found.value)


def test_errors_name_the_input_and_the_nearest_file(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_bytes(b"x\n")
    assert f"Did you mean '{tmp_path / 'events.csv'}'?" in explain(tmp_path / "event.csv")
    assert "no file matches" in explain(str(tmp_path / "*.parquet"))
    assert "is a folder" in explain(tmp_path)
    assert "list of events is empty" in explain([])
    assert "cannot read events from int" in explain(5)
    assert "standard input is not available" in explain("-")
    assert "Did you mean 'https'?" in explain("htps://host/x")
    both = explain([tmp_path / "nothing.csv", "ftp://x/y"])
    assert "no such file" in both
    assert "'ftp://' is not supported" in both


def test_a_file_that_may_not_be_read() -> None:
    with be_nobody(), TemporaryDirectory() as name:  # root may read everything
        path = Path(name) / "e.csv"
        path.write_bytes(b"x\n")
        path.chmod(0)
        assert "cannot be read" in explain(path)


@contextmanager
def be_nobody() -> Iterator[None]:
    """Without the rights of root, where this process has them."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65_534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


def test_utf16_is_refused_with_the_command_that_helps() -> None:
    message = explain("-", stdin=lambda: io.BytesIO("x,y\n".encode("utf-16")))
    assert "UTF-16" in message
    assert "iconv -f UTF-16" in message


def test_a_header_that_is_no_utf8_is_an_error() -> None:
    assert "header is no UTF-8" in explain("-", stdin=lambda: io.BytesIO(b"caf\xe9,y\na,b\n"))


def test_columns_of_one_name_are_refused_in_tables_and_numbered_in_csv() -> None:
    assert "more than one column is named 'a'" in explain(pa.table([[1], [2]], names=["a", "a"]))
    [source] = open_sources("-", stdin=lambda: io.BytesIO(b"a,a,,a\n1,2,3,4\n"))
    assert source.columns == ("a", "a (2)", "column 3", "a (3)")


# -- databases and URLs ------------------------------------------------------------------------------------


@pytest.fixture
def duckdb_file(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    with duckdb.connect(str(path)) as connection:
        connection.register("rows", pa.Table.from_pylist(ROWS))
        connection.execute(
            'CREATE TABLE events AS FROM rows; CREATE SCHEMA "s 1"; CREATE TABLE "s 1"."e""v" AS FROM rows'
        )
    return path


@pytest.mark.parametrize("table", ["events", "main.events", "s 1.e%22v"])
def test_a_duckdb_table_is_read(duckdb_file: Path, table: str) -> None:
    rows, broken, [source] = read_all(f"duckdb:///{duckdb_file}?table={table}")
    assert (rows, broken) == (ROWS, [])
    assert source.columns == ("user", "event", "total")


def test_database_errors_say_what_is_there(duckdb_file: Path, tmp_path: Path) -> None:
    assert "Did you mean 'events'?" in explain(f"duckdb:///{duckdb_file}?table=event")
    assert "names no table" in explain(f"duckdb:///{duckdb_file}")
    assert "no such file" in explain("duckdb:///nowhere.db?table=x")
    (tmp_path / "x.db").write_bytes(b"no database" * 500)
    assert "cannot open it" in explain(f"duckdb:///{tmp_path / 'x.db'}?table=x")
    assert "cannot open it" in explain(f"sqlite:///{tmp_path / 'x.db'}?table=x")


def test_a_table_name_is_never_run(duckdb_file: Path) -> None:
    assert "has no table" in explain(f"duckdb:///{duckdb_file}?table=events;DROP TABLE events")
    assert len(read_all(f"duckdb:///{duckdb_file}?table=events")[0]) == 50


def test_sqlite_is_read_and_says_when_python_does_it(tmp_path: Path) -> None:
    path = tmp_path / "shop.sqlite"
    with sqlite3.connect(path) as database:
        database.execute('CREATE TABLE "my events" (user TEXT, total)')
        database.executemany(
            'INSERT INTO "my events" VALUES (?, ?)', [("u1", 1), ("u2", 2.5), ("u3", "x"), (None, None)]
        )
    rows, broken, [source] = read_all(f"sqlite:///{path}?table=my events")
    assert [tuple(row.values()) for row in rows] == [("u1", "1"), ("u2", "2.5"), ("u3", "x"), (None, None)]
    assert broken == []
    has_extension = bool(
        duckdb.connect()
        .execute("SELECT installed FROM duckdb_extensions() WHERE extension_name = 'sqlite_scanner'")
        .fetchone()[0]  # type: ignore[index]
    )
    assert bool(source.warnings) is not has_extension
    assert "Did you mean 'my events'?" in explain(f"sqlite:///{path}?table=my_events")


def test_a_missing_extension_is_an_error_that_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any, name: str, **_: Any) -> None:
        raise duckdb.IOException(f"no network for {name}")

    class Refusing:
        load_extension = refuse
        install_extension = refuse

    monkeypatch.setattr("sojourn.frames.duck.connect", lambda **_: Refusing())
    for url, extension in [
        ("s3://bucket/events/*.parquet", "httpfs"),
        ("https://example.com/e.csv", "httpfs"),
        ("postgresql://me:secret@db/shop?table=events", "postgres"),
    ]:
        message = explain(url)
        assert f"needs DuckDB's extension '{extension}'" in message
        assert f"install_extension('{extension}')" in message
        assert "secret" not in message


def test_passwords_are_not_shown() -> None:
    assert (
        source_database.hide_password("postgresql://me:secret@db/x?table=t&password=p")
        == "postgresql://me@db/x?table=t"
    )


def test_reading_does_not_import_what_it_does_not_need() -> None:
    import subprocess

    code = "import sojourn.events.sources.open, sys; print(sorted({'duckdb', 'pandas', 'polars'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
