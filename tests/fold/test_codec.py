"""Stored vectors come back bit for bit, or not at all."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sojourn.fold.codec import VectorsError, decode_vectors, encode_vectors, vectors_from_table, vectors_to_table
from sojourn.fold.layout import build_layout
from tests.fold.world import make_playbook

LAYOUT = build_layout(make_playbook(features={"a": "count(view)", "b": "last(revenue)"}))
OTHER = build_layout(make_playbook(features={"a": "count(buy)", "b": "last(revenue)"}))
LAW = settings(max_examples=40, deadline=None, print_blob=True)
vectors_drawn = st.integers(0, 4).flatmap(
    lambda n: hnp.arrays(np.float64, (n, LAYOUT.n_slots), elements=st.floats(width=64), fill=st.just(0.0))
)


def is_same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.tobytes() == b.tobytes()


def damage(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@LAW
@given(vectors_drawn)
def test_bytes_and_back(vectors: np.ndarray) -> None:
    data = encode_vectors(LAYOUT, vectors)
    assert len(data) == 40 + len(vectors) * LAYOUT.n_bytes
    assert is_same(decode_vectors(LAYOUT, data), vectors)
    assert is_same(decode_vectors(LAYOUT, memoryview(data)), vectors)


@LAW
@given(vectors_drawn, st.data())
def test_arrow_and_back(vectors: np.ndarray, data: st.DataObject) -> None:
    names = pa.array([f"c{i}" for i in range(len(vectors))], pa.string())
    table = vectors_to_table(LAYOUT, vectors, names)
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=data.draw(st.integers(1, 3)))
    read = pa.ipc.open_file(sink.getvalue()).read_all()
    assert is_same(vectors_from_table(LAYOUT, read), vectors)
    assert read["customer_id"].to_pylist() == names.to_pylist()
    assert vectors_to_table(LAYOUT, vectors).column_names == ["vector"]


@LAW
@given(st.data())
def test_any_changed_byte_is_noticed(data: st.DataObject) -> None:
    stored = encode_vectors(LAYOUT, np.arange(2.0 * LAYOUT.n_slots).reshape(2, -1))
    place = data.draw(st.integers(0, len(stored) - 1))
    with pytest.raises(VectorsError):
        decode_vectors(LAYOUT, damage(stored, place))
    with pytest.raises(VectorsError, match=r"cut short|not stored vectors"):
        decode_vectors(LAYOUT, stored[:place])
    with pytest.raises(VectorsError, match=r"cut short or damaged: 2 are promised, 3\.0 are there"):
        decode_vectors(LAYOUT, stored + bytes(LAYOUT.n_bytes))


def test_vectors_of_another_layout_are_refused() -> None:
    assert OTHER.n_slots == LAYOUT.n_slots
    vectors = LAYOUT.new_vectors(2)
    message = f"of another layout \\({LAYOUT.hash[:8]}…, the playbook's is {OTHER.hash[:8]}…\\).* fold again"
    with pytest.raises(VectorsError, match=message):
        decode_vectors(OTHER, encode_vectors(LAYOUT, vectors))
    with pytest.raises(VectorsError, match=message):
        vectors_from_table(OTHER, vectors_to_table(LAYOUT, vectors))


def test_tables_that_do_not_hold_vectors_are_refused() -> None:
    good = vectors_to_table(LAYOUT, np.ones((3, LAYOUT.n_slots)))
    with pytest.raises(VectorsError, match="does not hold stored vectors"):
        vectors_from_table(LAYOUT, good.replace_schema_metadata(None))
    with pytest.raises(VectorsError, match="does not hold stored vectors"):
        vectors_from_table(LAYOUT, good.rename_columns(["other"]))
    with pytest.raises(VectorsError, match="checksum"):
        vectors_from_table(LAYOUT, good[:2])
    short = pa.table({"vector": pa.array([b"12345678"], pa.binary(8))}).replace_schema_metadata(good.schema.metadata)
    with pytest.raises(VectorsError, match="bytes each, none missing"):
        vectors_from_table(LAYOUT, short)
    missing = pa.table({"vector": pa.array([None], pa.binary(LAYOUT.n_bytes))})
    with pytest.raises(VectorsError, match="bytes each, none missing"):
        vectors_from_table(LAYOUT, missing.replace_schema_metadata(good.schema.metadata))


def test_vectors_of_another_width_are_not_written() -> None:
    with pytest.raises(ValueError, match="slots are needed"):
        encode_vectors(LAYOUT, np.ones((3, LAYOUT.n_slots - 1)))
