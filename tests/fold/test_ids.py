"""The id table: rows in the order of first sight, equality by bytes, any Arrow text, crowding bounded."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.errors import EventsError
from sojourn.fold.ids import IdTable, hash_strings, number_codes
from sojourn.fold.primitives import hash_text

LAW = settings(max_examples=60, deadline=None, print_blob=True)
names = st.lists(st.one_of(st.text(max_size=40), st.sampled_from(["", "a", "ab", "abcdefgh", "abcdefgh\0", "é"])))


def first_seen(values: list[str]) -> list[int]:
    order = {name: row for row, name in enumerate(dict.fromkeys(values))}
    return [order[name] for name in values]


@LAW
@given(names)
def test_rows_are_in_the_order_of_first_sight(values: list[str]) -> None:
    table = IdTable()
    assert table.add(pa.array(values, pa.string())).tolist() == first_seen(values)
    assert table.names().to_pylist() == list(dict.fromkeys(values))
    assert len(table) == len(set(values))


@LAW
@given(names, names, st.integers(0, 3))
def test_rows_never_change_and_strangers_have_none(old: list[str], new: list[str], seed: int) -> None:
    table = IdTable(seed=seed)
    before = table.add(pa.array(old, pa.large_string()))
    unknown = table.lookup(pa.array(new, pa.string()))
    assert unknown.tolist() == [table_row(old, x) for x in new]
    table.add(pa.array(new, pa.string()))
    assert table.lookup(pa.array(old, pa.string())).tolist() == before.tolist()
    assert table.names().to_pylist() == list(dict.fromkeys(old + new))


def table_row(seen: list[str], name: str) -> int:
    distinct = list(dict.fromkeys(seen))
    return distinct.index(name) if name in distinct else -1


@LAW
@given(names, st.data())
def test_every_form_of_arrow_text_gives_the_same_rows(values: list[str], data: st.DataObject) -> None:
    padded = ["skipped", *values, "skipped too"]
    cut = data.draw(st.integers(0, len(values)))
    plain = pa.array(padded, pa.string())[1:-1]
    unused = pa.DictionaryArray.from_arrays(
        plain.dictionary_encode().indices.cast(pa.int32()),
        pa.array([*plain.dictionary_encode().dictionary.to_pylist(), "never used"], pa.string()),
    )
    forms = [
        plain, plain.cast(pa.large_string()), pa.array(values, pa.string_view()),
        plain.dictionary_encode(), plain.cast(pa.large_string()).dictionary_encode(), unused,
        pa.chunked_array([plain[:cut], plain[cut:]]),
        pa.chunked_array([plain[:cut].dictionary_encode(), plain[cut:].dictionary_encode()]),
        pa.chunked_array([], pa.string()) if not values else pa.chunked_array([plain]),
    ]  # fmt: skip
    for form in forms:
        table = IdTable()
        assert table.add(form).tolist() == first_seen(values)
        assert table.names().to_pylist() == list(dict.fromkeys(values))


@LAW
@given(st.lists(st.one_of(st.none(), st.text(max_size=30))))
def test_the_hash_is_the_plain_one(values: list[str | None]) -> None:
    expected = [0 if value is None else hash_text(value, 7) for value in values]
    plain = pa.array(values, pa.string())
    for form in (plain, plain.cast(pa.large_string()), plain.dictionary_encode(), pa.array([None, *values])[1:]):
        assert hash_strings(form, seed=7).tolist() == expected


def test_growth_keeps_rows() -> None:
    values = pa.array([f"customer {i}" for i in range(50_000)])
    table = IdTable()
    rows = np.concatenate([table.add(values[i : i + 7_001]) for i in range(0, 50_000, 7_001)])
    assert rows.tolist() == list(range(50_000))
    assert table.add(values).tolist() == list(range(50_000))
    assert table.names().cast(pa.string()).equals(values)
    long = pa.array(["x" * 1_000_000, "y" * 3_000_000, "x" * 1_000_000])
    assert table.add(long).tolist() == [50_000, 50_001, 50_000]


def test_equal_hashes_do_not_make_equal_ids() -> None:
    first, second = "1780370", "1804577"  # found by search: equal in all bits that an entry of a new table holds
    assert hash_text(first) >> 32 == hash_text(second) >> 32
    assert hash_text(first) & 1023 == hash_text(second) & 1023
    table = IdTable()
    assert table.add(pa.array([first, second, first, second])).tolist() == [0, 1, 0, 1]


def test_ids_chosen_to_crowd_one_place_are_bounded() -> None:
    texts = pa.array(np.arange(1_000_000)).cast(pa.string())
    crowded = texts.filter(pa.array((hash_strings(texts) & np.uint64(4095)) < 2))
    assert len(crowded) > 400
    table = IdTable(max_probes=32)
    for _ in range(2):
        assert table.add(crowded).tolist() == list(range(len(crowded)))
    assert table._seed != 0
    assert len(table._table) <= 16 * len(crowded)
    assert table.names().cast(pa.string()).equals(crowded)


def test_results_do_not_depend_on_the_seed() -> None:
    values = pa.array([f"{i * i % 977}" for i in range(3_000)])
    assert IdTable(seed=1).add(values).tolist() == IdTable(seed=2**63).add(values).tolist()


@pytest.mark.parametrize("form", ["plain", "codes", "dictionary"])
def test_missing_ids_are_refused(form: str) -> None:
    plain = pa.array(["a", "b", None, "c"])
    column = {
        "plain": pa.chunked_array([plain[:2], plain[2:]]),
        "codes": plain.dictionary_encode(),
        "dictionary": pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, 0]), pa.array(["a", "b", None])),
    }[form]
    table = IdTable()
    with pytest.raises(EventsError, match="row 3: the customer id is missing"):
        table.add(column)


def test_other_types_are_refused() -> None:
    with pytest.raises(EventsError, match="ids must be text, not int64"):
        IdTable().add(pa.array([1, 2]))
    with pytest.raises(EventsError, match="ids must be text, not int64"):
        IdTable().add(pa.array([1, 2]).dictionary_encode())


def test_codes_are_numbered_in_the_order_of_appearance() -> None:
    numbers, order = number_codes(np.array([3, 3, 0, 2, 0], np.int32), 4)
    assert numbers.tolist() == [0, 0, 1, 2, 1]
    assert order.tolist() == [3, 0, 2]


@given(st.lists(st.lists(st.text(max_size=40), max_size=30), max_size=5))
@settings(deadline=None)
def test_a_name_at_a_time_and_the_table_from_arrays(calls: list[list[str]]) -> None:
    table, rows = IdTable(), dict[str, int]()
    for ids in calls:
        rows |= dict(zip(ids, table.add(pa.array(ids, pa.string())).tolist(), strict=True))
        assert all(table.name(row) == text for text, row in rows.items())
        table = IdTable.from_arrays({name: array.copy() for name, array in table.to_arrays().items()})
    assert len(table) == len(rows)
    assert table.lookup(pa.array(list(rows), pa.string())).tolist() == list(rows.values())
    with pytest.raises(IndexError):
        table.name(len(rows))
