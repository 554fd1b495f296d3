"""Bytes to records: decompression, lines, CSV quoting, and what can not be a record and why.

Everything here is a stream: memory holds one page of records at a time, whatever the size of the file.
"""

from __future__ import annotations

import csv
import io
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv as arrow_csv

from sojourn.events.sources.chunks import RAW_CHARACTERS, Broken, Flags, Integers

PAGE_BYTES = 16 << 20
"""Decompressed bytes that are split into records at once."""
LONGEST_LINE = 16 << 20
"""Bytes of one line; a longer one is quarantined."""
LONGEST_QUOTED = 256 << 10
"""Bytes of one CSV record with quoted line breaks; a quote still open after them was opened by mistake."""

_NEWLINE, _RETURN, _QUOTE = 10, 13, 34
_PIECE = 256 << 10
_TOO_LONG = f"a line of more than {LONGEST_LINE >> 20} MiB"


@dataclass(frozen=True)
class Page:
    """Records inside ``data``: from ``starts`` to ``ends`` (exclusive, without line end), their lines and ordinals."""

    data: bytes
    starts: Integers
    ends: Integers
    lines: Integers
    rows: Integers
    broken: tuple[Broken, ...]

    def select(self, chosen: Flags | Integers, broken: list[Broken]) -> Page:
        """The page with only these records, and with more broken rows."""
        return Page(
            self.data,
            self.starts[chosen],
            self.ends[chosen],
            self.lines[chosen],
            self.rows[chosen],
            (*self.broken, *broken),
        )

    def show(self, records: Integers) -> list[str]:
        """Raw text of these records; bytes that are no UTF-8 become U+FFFD."""
        return [decode_raw(self.data, int(self.starts[i]), int(self.ends[i])) for i in records]


class BrokenStreamError(Exception):
    """A compressed stream that ends or turns wrong before its end. Everything before was handed out."""


def decode_raw(data: bytes, start: int, end: int) -> str:
    """At most :data:`RAW_CHARACTERS` characters of the bytes; what is no UTF-8 becomes U+FFFD.

    >>> decode_raw(b"caf\\xe9", 0, 4)
    'caf�'
    """
    return data[start : min(end, start + 4 * RAW_CHARACTERS)].decode("utf-8", "replace")[:RAW_CHARACTERS]


def read_blocks(raw: BinaryIO, compression: str | None) -> Iterator[bytes]:
    """Decompressed pieces of a stream, packed by "gzip", "zstd" or None. Raises BrokenStreamError at a break."""
    if compression == "gzip":
        yield from _read_gzip(raw)
    elif compression == "zstd":
        yield from _read_zstd(raw)
    else:
        while piece := raw.read(_PIECE):
            yield piece


def _read_gzip(raw: BinaryIO) -> Iterator[bytes]:
    decoder = zlib.decompressobj(wbits=31)
    is_begun = False
    while piece := raw.read(_PIECE):
        while piece:
            if decoder.eof:  # another member follows, or the zeros that pad tapes
                piece = piece.lstrip(b"\0")
                if not piece:
                    break
                decoder, is_begun = zlib.decompressobj(wbits=31), False
            before = decoder.copy() if is_begun else zlib.decompressobj(wbits=31)
            try:
                out = decoder.decompress(piece, 4 * _PIECE)
            except zlib.error as error:
                if rescued := _rescue(before, piece):
                    yield rescued
                raise BrokenStreamError(f"the gzip stream is broken: {error}") from None
            is_begun = True
            if out:
                yield out
            piece = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
    if not decoder.eof:
        if rest := decoder.flush():
            yield rest
        raise BrokenStreamError("the gzip stream ends before its end: the file was cut short")


def _rescue(decoder: zlib._Decompress, piece: bytes) -> bytes:
    """What a piece gives before the byte at which decompression fails."""
    out = []
    for at in range(len(piece)):
        try:
            out.append(decoder.decompress(piece[at : at + 1]))
        except zlib.error:
            break
    return b"".join(out)


def _read_zstd(raw: BinaryIO) -> Iterator[bytes]:
    stream = pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd")
    try:
        while piece := stream.read(16 << 10):  # small, since what a failing read had is lost
            yield piece
    except OSError as error:
        raise BrokenStreamError(f"the zstd stream is broken: {error}") from None


def read_lines(blocks: Iterator[bytes], *, first_line: int = 1, first_row: int = 0) -> Iterator[Page]:
    """Pages whose records are the lines that are not blank. A line over :data:`LONGEST_LINE` is a broken row."""
    yield from _read_pages(blocks, None, first_line, first_row)


def read_csv_records(
    blocks: Iterator[bytes], delimiter: str, *, first_line: int = 1, first_row: int = 0
) -> Iterator[Page]:
    """Pages of CSV records. Quoted fields may hold delimiters, doubled quotes and line breaks.

    A quote that is never closed, or text after a closing quote, breaks its first line alone: reading goes on with
    the next line. A quote inside an unquoted field is an ordinary character.
    """
    yield from _read_pages(blocks, delimiter, first_line, first_row)


@dataclass
class _Place:
    """Where the next page begins."""

    line: int
    row: int


def _read_pages(blocks: Iterator[bytes], delimiter: str | None, line: int, row: int) -> Iterator[Page]:
    place = _Place(line, row)
    waiting: list[bytes] = []
    n_waiting = 0
    failure: str | None = None
    is_skipping = False
    stream = iter(blocks)
    is_last = False
    while not is_last:
        block = b""
        try:
            block = next(stream, b"")
        except BrokenStreamError as error:
            failure = str(error)
        is_last = not block
        if is_skipping and block:  # inside a line that was too long
            at = block.find(b"\n")
            if at < 0:
                continue
            is_skipping, block, place.line = False, block[at + 1 :], place.line + 1
        waiting.append(block)
        n_waiting += len(block)
        if not is_last and n_waiting < PAGE_BYTES:
            continue
        data = b"".join(waiting)
        waiting, n_waiting = [], 0
        tail = b""
        if failure is not None:  # half a row at the break is no row: its last value may be cut
            cut = data.rfind(b"\n") + 1
            data, tail = data[:cut], data[cut:]
        page, rest = _split_page(data, delimiter, place, is_last=is_last)
        if page.rows.size or page.broken:
            yield page
        if len(rest) > LONGEST_LINE:
            yield _page_of(_break_line(rest, place))
            is_skipping, rest = True, b""
        if rest:
            waiting, n_waiting = [rest], len(rest)
        if failure is not None:
            yield _page_of(Broken(place.row, place.line, "stream", failure, decode_raw(tail, 0, len(tail))))


def _break_line(data: bytes, place: _Place) -> Broken:
    broken = Broken(place.row, place.line, "length", _TOO_LONG, decode_raw(data, 0, len(data)))
    place.row += 1
    return broken


def _page_of(broken: Broken) -> Page:
    none = np.zeros(0, np.int64)
    return Page(b"", none, none, none, none, (broken,))


def _split_page(data: bytes, delimiter: str | None, place: _Place, *, is_last: bool) -> tuple[Page, bytes]:
    """The page of all whole records in ``data``, and the bytes that belong to the next page. Moves ``place`` on."""
    cut = len(data) if is_last else data.rfind(b"\n") + 1
    region, rest = data[:cut], data[cut:]
    letters = np.frombuffer(region, np.uint8)
    line_ends = np.flatnonzero(letters == _NEWLINE).astype(np.int64)
    if region and not region.endswith(b"\n"):
        line_ends = np.append(line_ends, len(region))
    starts = np.concatenate((np.zeros(min(1, line_ends.size), np.int64), line_ends[:-1] + 1))
    ends = line_ends.copy()
    n_spanned = np.ones(starts.size, np.int64)
    complaints: dict[int, str] = {}
    if delimiter is not None and starts.size:
        kept, n_spanned, complaints = _join_quoted(region, letters, starts, ends, delimiter, is_last=is_last)
        if kept < starts.size:  # an open quote: its record goes on in the next page
            rest = region[int(starts[kept]) :] + rest
            starts, ends, n_spanned = starts[:kept], ends[:kept], n_spanned[:kept]
    last = ends - 1
    ends = ends - ((ends > starts) & (letters[np.maximum(last, 0)] == _RETURN))
    lines = place.line + np.arange(starts.size, dtype=np.int64)
    place.line += starts.size
    is_record = (n_spanned > 0) & ~_find_blank(letters, starts, ends)
    chosen = np.flatnonzero(is_record)
    rows = place.row + np.arange(chosen.size, dtype=np.int64)
    place.row += chosen.size
    page = Page(region, starts[chosen], ends[chosen], lines[chosen], rows, ())
    return _check_text(
        page, {int(np.searchsorted(chosen, i)): what for i, what in complaints.items() if is_record[i]}
    ), rest


def _find_blank(letters: NDArray[np.uint8], starts: Integers, ends: Integers) -> Flags:
    """Which records hold only white space. Only those that begin with it are looked at closely."""
    is_blank = starts >= ends
    spaces = (32, 9, 10, 11, 12, 13)
    for i in np.flatnonzero(~is_blank & np.isin(letters[np.minimum(starts, letters.size - 1)], spaces)):
        is_blank[i] = not letters[starts[i] : ends[i]].tobytes().strip()
    return is_blank


def _check_text(page: Page, complaints: dict[int, str]) -> Page:
    """The page without the records that are no UTF-8 or no CSV; these become broken rows."""
    found = {i: ("csv", what) for i, what in complaints.items()}
    found |= {int(i): ("length", _TOO_LONG) for i in np.flatnonzero(page.ends - page.starts > LONGEST_LINE)}
    try:
        page.data.decode("utf-8")
    except UnicodeDecodeError:
        for i, (start, end) in enumerate(zip(page.starts.tolist(), page.ends.tolist(), strict=True)):
            try:
                page.data[start:end].decode("utf-8")
            except UnicodeDecodeError as error:
                found[i] = ("utf-8", explain_utf8(error))
    if not found:
        return page
    order = sorted(found)
    broken = [
        Broken(
            int(page.rows[i]),
            int(page.lines[i]),
            *found[i],
            decode_raw(page.data, int(page.starts[i]), int(page.ends[i])),
        )
        for i in order
    ]
    keep = np.ones(page.rows.size, bool)
    keep[order] = False
    return page.select(keep, broken)


def explain_utf8(error: UnicodeDecodeError) -> str:
    """What to say of a row that is no UTF-8."""
    return f"byte 0x{error.object[error.start]:02x} at byte {error.start + 1} of the row is no UTF-8"


def _join_quoted(
    region: bytes, letters: NDArray[np.uint8], starts: Integers, ends: Integers, delimiter: str, *, is_last: bool
) -> tuple[int, Integers, dict[int, str]]:
    """Joins lines into records, in place of ``ends``: lines kept, lines of each record (0: inside one), complaints.

    Lines whose quotes pair up field by field are settled by array operations; only the others meet the pattern.
    """
    n_spanned = np.ones(starts.size, np.int64)
    complaints: dict[int, str] = {}
    record, opened = _compile_patterns(delimiter)
    done = -1
    for i in np.flatnonzero(~_find_simple(letters, starts, ends, ord(delimiter))).tolist():
        if i <= done:
            continue
        start = int(starts[i])
        match = record.match(region, start, min(len(region), start + LONGEST_QUOTED + 2))
        if match is not None and match.end() - start <= LONGEST_QUOTED:
            done = int(np.searchsorted(ends, match.end()))
            ends[i] = ends[done]
            n_spanned[i], n_spanned[i + 1 : done + 1] = done - i + 1, 0
        elif opened.match(region, start, min(len(region), start + LONGEST_QUOTED + 2)):
            if not is_last and len(region) - start <= LONGEST_QUOTED:
                return i, n_spanned, complaints
            complaints[i] = "a quote is opened and not closed"
        elif (
            letters[start : ends[i]].tobytes().rstrip(b"\r").find(b"\r") >= 0
            and b'"' not in region[start : int(ends[i])]
        ):
            complaints[i] = "a carriage return inside an unquoted field"
        else:
            complaints[i] = "text between a closing quote and the next delimiter"
    return starts.size, n_spanned, complaints


def _find_simple(letters: NDArray[np.uint8], starts: Integers, ends: Integers, delimiter: int) -> Flags:
    """Lines that are whole records beyond doubt: quotes, if any, open at a field's start and close at its end."""
    is_simple = np.ones(starts.size, bool)
    returns = np.flatnonzero(letters == _RETURN)
    if returns.size:
        follows = letters[np.minimum(returns + 1, letters.size - 1)]
        lone = returns[(follows != _NEWLINE) & (returns + 1 < letters.size)]
        is_simple[np.searchsorted(ends, lone)] = False
    quotes = np.flatnonzero(letters == _QUOTE)
    if not quotes.size:
        return is_simple
    line_of = np.searchsorted(ends, quotes)
    counts = np.bincount(line_of, minlength=starts.size)
    is_simple &= counts % 2 == 0
    nth = np.arange(quotes.size) - (np.cumsum(counts) - counts)[line_of]
    before = np.where(quotes > 0, letters[np.maximum(quotes - 1, 0)], _NEWLINE)
    after = np.where(quotes + 1 < letters.size, letters[np.minimum(quotes + 1, letters.size - 1)], _NEWLINE)
    is_good = np.where(
        nth % 2 == 0,
        np.isin(before, (delimiter, _NEWLINE, _QUOTE)),
        np.isin(after, (delimiter, _NEWLINE, _RETURN, _QUOTE)),
    )
    is_simple[line_of[~is_good]] = False
    return is_simple


def _compile_patterns(delimiter: str) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """A whole record up to its line end, and a record that a quote leaves open to the end of the data."""
    mark = re.escape(delimiter.encode())
    quoted = rb'"(?:[^"]++|"")*+"'
    plain = rb'(?:[^"\r\n' + mark + rb"][^\r\n" + mark + rb"]*+)?+"
    field = rb"(?:" + quoted + rb"|" + plain + rb")"
    record = field + rb"(?:" + mark + field + rb")*+(?=\r?\n|\r?\Z)"
    opened = rb"(?:" + field + mark + rb")*+" + rb'"(?:[^"]++|"")*+\Z'
    return re.compile(record), re.compile(opened)


def parse_fields(page: Page, delimiter: str, names: list[str], wanted: list[str]) -> tuple[pa.Table, Page]:
    """The wanted columns of the page's records as text (empty is null), and the page of the rows they come from.

    A record with more or fewer fields than there are names becomes a broken row.
    """
    n_fields: list[tuple[int, int]] = []

    def skip(row: arrow_csv.InvalidRow) -> str:
        n_fields.append((row.number - 1, row.actual_columns))
        return "skip"

    if not page.rows.size:
        return pa.table({name: pa.array([], pa.string()) for name in wanted}), page
    data = _join_records(page)
    table = arrow_csv.read_csv(
        pa.py_buffer(data),
        read_options=arrow_csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
        parse_options=arrow_csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=skip
        ),
        convert_options=arrow_csv.ConvertOptions(
            check_utf8=False,
            include_columns=wanted,
            column_types={name: pa.string() for name in names},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        ),
    )
    if table.num_rows + len(n_fields) != page.rows.size:
        raise AssertionError(f"{page.rows.size} records were split, but {table.num_rows} + {len(n_fields)} parsed")
    if not n_fields:
        return table, page
    keep = np.ones(page.rows.size, bool)
    broken = []
    for i, n in n_fields:
        keep[i] = False
        found = f"{n} field{'s' if n != 1 else ''} where the header has {len(names)}"
        raw = decode_raw(page.data, int(page.starts[i]), int(page.ends[i]))
        broken.append(Broken(int(page.rows[i]), int(page.lines[i]), "csv", found, raw))
    return table, page.select(keep, broken)


def _join_records(page: Page) -> bytes:
    """The page's records and nothing else, copied only where something lies between them."""
    letters = np.frombuffer(page.data, np.uint8)
    line_end = np.where(letters[page.ends[:-1]] == _RETURN, 2, 1)
    gaps = np.flatnonzero(page.starts[1:] - page.ends[:-1] != line_end)
    if not gaps.size:
        return page.data[int(page.starts[0]) : int(page.ends[-1])] + b"\n"
    firsts = page.starts[np.concatenate(([0], gaps + 1))].tolist()
    lasts = page.ends[np.concatenate((gaps, [page.rows.size - 1]))].tolist()
    return b"\n".join(page.data[a:b] for a, b in zip(firsts, lasts, strict=True)) + b"\n"


def read_header(text: str, delimiter: str) -> list[str]:
    """Column names of a header line: white space around them goes, an empty or repeated one is numbered.

    >>> read_header('id, "a,b" ,id,', ",")
    ['id', '"a', 'b"', 'id (2)', 'column 5']
    """
    names: list[str] = []
    for i, cell in enumerate(next(csv.reader(io.StringIO(text), delimiter=delimiter))):
        name = cell.strip() or f"column {i + 1}"
        seen = names.count(name)
        while name in names:
            seen += 1
            name = f"{cell.strip()} ({seen})"
        names.append(name)
    return names


def find_delimiter(header: str) -> str:
    """The delimiter that cuts the header into most columns: comma, semicolon, tab or bar; a comma when none does.

    >>> find_delimiter("a;b;c")
    ';'
    """
    outside = re.sub(r'"[^"]*"', "", header)
    return max((",", "\t", ";", "|"), key=outside.count)


def count_read(stream: BinaryIO, tell: Callable[[int], None]) -> io.BufferedReader:
    """The stream, telling how many bytes were read from it so far."""
    return io.BufferedReader(_Counting(stream, tell), _PIECE)


class _Counting(io.RawIOBase):
    def __init__(self, stream: BinaryIO, tell: Callable[[int], None]) -> None:
        self._stream, self._tell, self._n = stream, tell, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # BufferedReader hands a memoryview
        piece = self._stream.read(len(buffer))
        buffer[: len(piece)] = piece
        self._n += len(piece)
        self._tell(self._n)
        return len(piece)
