"""Records that share no id: quality on data whose truth is known, and the choices that the data make."""

from __future__ import annotations

import random
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from sojourn.errors import SojournError
from sojourn.events.identity import linking
from sojourn.events.identity.linking import Linked, guess_kinds, link_records, measure_quality

pytest.importorskip("splink", reason="linking needs sojourn[link]")

GIVEN = ["anna", "bert", "carla", "dirk", "elena", "frank", "gerda", "hans", "irene", "jakob", "karin", "lukas"]
FAMILY = ["abel", "braun", "cohen", "dietz", "engel", "fuchs", "graf", "horn", "illig", "jung", "kern", "lang"]
TOWNS = ["aachen", "bonn", "coburg", "dresden", "essen", "fulda", "goslar", "halle"]


def make_people(n: int, seed: int) -> pa.Table:
    """People, of whom a third stand there twice, the second time with a slip of the pen in one or two columns."""
    rng = random.Random(seed)
    rows = []
    for person in range(n):
        row = {
            "first_name": rng.choice(GIVEN) + rng.choice(["", "-" + rng.choice(GIVEN)]),
            "surname": rng.choice(FAMILY) + rng.choice(["", "er", "mann"]),
            "dob": f"{rng.randint(1940, 2005)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}",
            "town": rng.choice(TOWNS),
            "phone": f"0{rng.randint(10**8, 10**9 - 1)}",
            "person": person,
        }
        rows.append(row)
        if rng.random() < 1 / 3:
            rows.append(row | {name: slip(str(row[name]), rng) for name in rng.sample([*row][:5], rng.randint(1, 2))})
    rng.shuffle(rows)
    return pa.Table.from_pylist(rows)


def slip(text: str, rng: random.Random) -> str | None:
    """Two letters the wrong way round, or nothing at all."""
    at = rng.randrange(len(text) - 1)
    return rng.choice([None, text[:at] + text[at + 1] + text[at] + text[at + 2 :]])


def read_table(query: str) -> pa.Table:
    with duckdb.connect() as connection:
        return connection.sql(query).to_arrow_table()


def check_quality(linked: Linked, precision: float, recall: float) -> None:
    assert linked.quality is not None
    assert linked.quality.precision >= precision
    assert linked.quality.recall >= recall


@pytest.mark.data
def test_fake_1000(data_dir: Path) -> None:
    table = read_table(f"FROM read_csv('{data_dir}/identity/splink_fake_1000.csv', all_varchar = true)")
    linked = link_records(table, truth="cluster")
    assert dict(linked.columns) == {
        "first_name": "given_name", "surname": "family_name", "dob": "birth", "city": "place", "email": "email",
    }  # fmt: skip
    check_quality(linked, 0.99, 0.94)  # measured: 1.000, 0.965


@pytest.mark.data
def test_fake_1000_in_blocks(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linking, "ALL_PAIRS", 0)
    table = read_table(f"FROM read_csv('{data_dir}/identity/splink_fake_1000.csv', all_varchar = true)")
    linked = link_records(table, truth="cluster")
    assert linked.n_compared < 10_000
    check_quality(linked, 0.99, 0.92)  # measured: 1.000, 0.948


@pytest.mark.data
@pytest.mark.parametrize("left_out", ["rec_id", "soc_sec_id"])
def test_febrl_dataset_1(left_out: str, data_dir: Path) -> None:
    table = read_table(f"FROM read_csv('{data_dir}/identity/dataset1.csv.gz', all_varchar = true)")
    table = table.rename_columns([name.strip() for name in table.column_names])
    truth = [name.split("-")[1] for name in table["rec_id"].to_pylist()]
    table = table.append_column("person", pa.array(truth)).drop_columns(left_out)
    linked = link_records(table, truth="person")
    assert len(linked.columns) == 9 + (left_out == "rec_id")
    check_quality(linked, 0.99, 0.99)  # measured: 1.000, 1.000


@pytest.mark.data
def test_rl_data_500(data_dir: Path) -> None:
    folder = data_dir / "identity"
    table = read_table(f"FROM read_csv('{folder}/RLdata500.csv.gz', all_varchar = true)")
    truth = read_table(f"FROM read_csv('{folder}/RLdata500__identity.RLdata500.csv.gz', all_varchar = true)")
    parts = zip(*(table[name].to_pylist() for name in ("by", "bm", "bd")), strict=True)
    born = pa.array([f"{year}-{month:>02}-{day:>02}" for year, month, day in parts])
    table = pa.table({"given": table["fname_c1"], "family": table["lname_c1"], "born": born, "person": truth.column(0)})
    check_quality(link_records(table, truth="person"), 0.95, 0.88)  # measured: 1.000, 0.920


def test_people_twice_are_found_and_the_same_every_time() -> None:
    people = make_people(200, seed=1)
    linked = link_records(people, truth="person")
    check_quality(linked, 0.95, 0.85)
    again = link_records(people)
    assert again.quality is None
    assert again.records.equals(linked.records)
    assert again.pairs.equals(linked.pairs)
    said = linked.describe()
    assert said[0].startswith(
        "Compared first_name (given_name), surname (family_name), dob (birth), town (place), phone"
    )
    assert said[1].endswith(": all")
    assert said[3].startswith("Truth    precision ")


def test_large_tables_are_compared_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linking, "ALL_PAIRS", 1_000)
    people = make_people(600, seed=2)
    linked = link_records(people, truth="person")
    assert ("phone",) in linked.blocks
    assert ("town",) not in linked.blocks  # an eighth of all pairs
    assert linked.n_compared < 0.2 * len(people) ** 2 / 2
    check_quality(linked, 0.95, 0.8)


def test_what_is_said_of_records_holds_together() -> None:
    linked = link_records(make_people(200, seed=3))
    records, pairs = linked.records.to_pydict(), linked.pairs.to_pylist()
    assert all(records["cluster"][pair["record_a"]] == records["cluster"][pair["record_b"]] for pair in pairs)
    assert all(pair["record_a"] < pair["record_b"] and pair["match_p"] >= linking.THRESHOLD for pair in pairs)
    matched = {record for pair in pairs for record in (pair["record_a"], pair["record_b"])}
    assert [p is not None for p in records["match_p"]] == [record in matched for record in records["record"]]
    firsts = [records["cluster"].index(number) for number in range(linked.n_clusters)]
    assert firsts == sorted(firsts)


def test_a_higher_threshold_finds_a_part_of_the_pairs() -> None:
    people = make_people(100, seed=4)
    low, high = (link_records(people, threshold=p).pairs.to_pylist() for p in (0.5, 0.999))
    assert len(high) < len(low)
    assert high == low[: len(high)]


def test_names_with_odd_signs_are_columns_too() -> None:
    people = make_people(120, seed=5)
    names = ['first "name"', "sur; DROP TABLE records", "geburt's", "town", "phone", "person"]
    odd = people.rename_columns(names)
    kinds = dict(zip(names[:3], ["given_name", "family_name", "birth"], strict=True)) | {"phone": "phone"}
    plain = link_records(
        people, columns={"first_name": "given_name", "surname": "family_name", "dob": "birth", "phone": "phone"}
    )
    assert link_records(odd, columns=kinds).records.equals(plain.records)


def test_values_are_made_alike() -> None:
    clean = linking._clean
    assert clean(pa.chunked_array([["  Ann   Lee ", "", " ", None]]), "name").to_pylist() == [
        "ann lee",
        None,
        None,
        None,
    ]
    assert clean(pa.chunked_array([["+49 (170) 12-3", "-"]]), "phone").to_pylist() == ["49170123", None]
    assert clean(pa.chunked_array([["19081209", "1908-12-09T00:00", "9.12.1908"]]), "birth").to_pylist() == [
        "1908-12-09", "1908-12-09", "9.12.1908",
    ]  # fmt: skip
    assert clean(pa.chunked_array([["SW1A 1AA"]]), "postcode").to_pylist() == ["sw1a1aa"]


def test_an_address_column_that_holds_no_e_mail_is_none() -> None:
    table = pa.table({"mailing_address": ["Main Street 1"], "mail": ["a@b.org"], "hotel": ["x"], "state": ["x"]})
    assert guess_kinds(table) == {"mailing_address": "address", "mail": "email", "state": "place"}


def test_quality_leaves_out_what_nobody_knows() -> None:
    assert measure_quality([0, 0, 1], ["a", None, "a"]) == linking.Quality(n_true=1, n_found=0, n_right=0)
    assert measure_quality([], []).precision == 1.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"columns": {"surnam": "family_name", "dob": "birth"}}, "no column 'surnam'.*Did you mean 'surname'"),
        ({"columns": {"surname": "familyname", "dob": "birth"}}, "holds 'familyname'.*Did you mean 'family_name'"),
        ({"columns": {"dob": "birth"}}, "only 'dob' is known"),
        ({"columns": {}}, "no column is known"),
        ({"truth": "nobody"}, "no column 'nobody'"),
        ({"columns": {"dob": "birth", "surname": "family_name"}, "truth": "dob"}, "'dob' is the truth"),
        ({"threshold": 1.5}, "1.5 is no probability"),
    ],
)
def test_what_cannot_be_linked_is_said(changes: dict[str, object], words: str) -> None:
    with pytest.raises(SojournError, match=words):
        link_records(make_people(10, seed=0), **changes)  # type: ignore[arg-type]


def test_one_record_has_nobody_to_be_linked_to() -> None:
    with pytest.raises(SojournError, match="there are 1; linking needs two"):
        link_records(make_people(10, seed=0).slice(0, 1))
