"""Texts as numbers: each distinct text once, and a number per row. Most columns of a log repeat few texts often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Codes = NDArray[np.int32]
_SLICE = 1 << 20


@dataclass(frozen=True)
class Coded:
    """``codes[row]`` is the position in ``names`` of the row's text, -1 where it has none. Names are distinct."""

    codes: Codes
    names: pa.StringArray

    def keep(self, rows: NDArray[np.bool_]) -> Coded:
        """Only these rows."""
        return Coded(self.codes[rows], self.names)

    def array(self) -> pa.DictionaryArray:
        """The same as an Arrow dictionary array.

        >>> code_texts(pa.array(["a", None, "a"])).array().to_pylist()
        ['a', None, 'a']
        """
        return pa.DictionaryArray.from_arrays(pa.array(self.codes, mask=self.codes < 0), self.names)

    def take(self, order: NDArray[np.int64]) -> Coded:
        """The rows in this order."""
        return Coded(self.codes[order], self.names)

    def spell(self) -> pa.ChunkedArray:
        """The texts themselves, in pieces of bounded size."""
        pieces = [self.codes[at : at + _SLICE] for at in range(0, len(self.codes), _SLICE)]
        return pa.chunked_array([self.names.take(pa.array(p, mask=p < 0)) for p in pieces], pa.string())


def code_texts(texts: pa.Array) -> Coded:
    """A text column, plain or dictionary, coded; names in order of first appearance.

    >>> coded = code_texts(pa.array(["b", "a", None, "b"]))
    >>> coded.codes.tolist(), coded.names.to_pylist()
    ([0, 1, -1, 0], ['b', 'a'])
    """
    if pa.types.is_dictionary(texts.type):
        inner = code_texts(texts.dictionary)  # the dictionary may repeat a text, or hold a null
        return recode(_read_codes(texts.indices), inner)
    coded = texts.dictionary_encode()
    names = coded.dictionary
    return Coded(_read_codes(coded.indices), names if pa.types.is_string(names.type) else names.cast(pa.string()))


def recode(codes: Codes, names: Coded) -> Coded:
    """Rows that number names which are coded themselves."""
    return Coded(np.append(names.codes, np.int32(-1))[codes], names.names)


def _read_codes(indices: pa.Array) -> Codes:
    codes: Codes = indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
    return codes


def join_names(pieces: Sequence[pa.StringArray]) -> tuple[pa.StringArray, list[Codes]]:
    """The distinct names of all pieces, and for each piece where its names went.

    >>> names, places = join_names([pa.array(["a", "b"]), pa.array(["c", "a"])])
    >>> names.to_pylist(), [place.tolist() for place in places]
    (['a', 'b', 'c'], [[0, 1], [2, 0]])
    """
    there = [piece for piece in pieces if len(piece)]  # Arrow drops empty pieces by itself
    if not there:
        return pa.array([], pa.string()), [np.zeros(0, np.int32) for _ in pieces]
    coded = pa.chunked_array(there, pa.string()).dictionary_encode()
    places = iter([_read_codes(chunk.indices) for chunk in coded.chunks])
    names = coded.chunk(coded.num_chunks - 1).dictionary
    return names, [next(places) if len(piece) else np.zeros(0, np.int32) for piece in pieces]


def join_coded(pieces: Sequence[Coded | None], sizes: Sequence[int]) -> Coded | None:
    """All pieces as one; a piece that is None has so many rows without a text. None when all are.

    >>> joined = join_coded([code_texts(pa.array(["a"])), None, code_texts(pa.array(["b", "a"]))], [1, 1, 2])
    >>> joined.codes.tolist(), joined.names.to_pylist()
    ([0, -1, 1, 0], ['a', 'b'])
    """
    there = [piece for piece in pieces if piece is not None]
    if not there:
        return None
    names, places = join_names([piece.names for piece in there])
    moved = iter([np.append(place, np.int32(-1))[piece.codes] for piece, place in zip(there, places, strict=True)])
    parts = [np.full(n, -1, np.int32) if p is None else next(moved) for p, n in zip(pieces, sizes, strict=True)]
    return Coded(np.concatenate(parts), names)
