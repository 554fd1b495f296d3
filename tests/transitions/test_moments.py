"""What moments announce: by hand, against planted effects with a known size, and against chance."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from sojourn.cli.main import app
from sojourn.fold.completions import find_completions
from sojourn.playbook.load import parse_playbook
from sojourn.playbook.objects import Moment, Playbook
from sojourn.transitions.moments.measure import Streams, measure_moments, read_streams, say_moment
from sojourn.transitions.moments.mine import propose_moments, write_moments

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR, DAY = 3_600_000_000, 86_400_000_000
NAMES = ("view", "cart", "ship", "help", "buy", "mail")
BOOK = """
playbook: moments
source: {format: table, customer: user, time: time, event: event}
events:
  view: {name: [view]}
  cart: {name: [cart]}
  ship: {name: [ship]}
  help: {name: [help]}
  buy: {name: [buy], measures: {revenue: total}}
  mail: {name: [mail], touch: true}
features: {views: count(view)}
fingerprint: [views]
states:
  one: {about: One., job: One., typical: {view: 1}}
  two: {about: Two., job: Two., typical: {buy: 1}}
outcomes:
  sale: {event: buy, within: 2d}
  gone: {silence: 10d}
  money: {measure: revenue, within: 9d}
moments:
  planted: {sequence: [cart, ship], within: 2h, outcome: sale}
  nothing: {sequence: [view, help], within: 2h, outcome: sale}
  twice: {all_of: {view: 2}, within: 1d}
  never: {sequence: [mail: 3], within: 1d}
"""


def book_of() -> Playbook:
    return parse_playbook(BOOK)


def as_table(rows: list[tuple[int, int, str]]) -> pa.Table:
    """Customer, microseconds since the start, class."""
    rows = sorted(rows, key=lambda row: row[:2])
    at = pa.array([round(START.timestamp() * 1e6) + t for _, t, _ in rows], pa.timestamp("us", "UTC"))
    return pa.table(
        {
            "customer_id": [f"c{who:06d}" for who, _, _ in rows],
            "event_at": at,
            "event_class": pa.array([name for _, _, name in rows]).dictionary_encode(),
        }
    )


def draw_world(rng: np.random.Generator, n: int, *, sale_p: float = 0.6, base_p: float = 0.2) -> pa.Table:
    """Visits of two different events; within a day a purchase follows with ``base_p``, after cart and ship ``sale_p``.

    Visits are nine days apart or more, so that each stands alone: what follows a visit is known exactly.
    """
    rows: list[tuple[int, int, str]] = []
    for who in range(n):
        t = int(rng.uniform(0, 9) * DAY)
        for _ in range(int(rng.integers(2, 8))):
            first, second = (NAMES[i] for i in rng.permutation(4)[:2])
            rows += [(who, t, first), (who, t + int(rng.uniform(1, 60) * 60e6), second)]
            p = sale_p if (first, second) == ("cart", "ship") else base_p
            if rng.random() < p:
                rows.append((who, t + int(rng.uniform(3, 20) * HOUR), "buy"))
            t += int(rng.uniform(9, 15) * DAY)
    return as_table(rows)


def find(book: Playbook, streams: Streams) -> Any:
    return find_completions(book, streams.customer, streams.at, streams.names, streams.item)


def measure(table: pa.Table, book: Playbook, days: float, seed: int = 0) -> list[dict[str, Any]]:
    streams = read_streams(table, book.touches)
    now = START + timedelta(days=days)
    rng = np.random.default_rng(seed)
    found = find(book, streams)
    return measure_moments(streams, found, book.moments, book.outcomes, now=now, rng=rng).to_pylist()


def test_numbers_worked_out_by_hand() -> None:
    rows = [
        (0, 0, "cart"), (0, HOUR, "ship"), (0, 5 * HOUR, "buy"),  # followed after 4 h
        (1, 0, "cart"), (1, HOUR, "ship"), (1, HOUR + 2 * DAY, "buy"),  # to the microsecond inside the horizon
        (2, 0, "cart"), (2, HOUR, "ship"), (2, HOUR + 2 * DAY + 1, "buy"),  # just outside
        (3, 0, "cart"), (3, HOUR, "ship"), (3, HOUR, "buy"),  # at the same instant: not after
        (4, 6 * DAY, "cart"), (4, 6 * DAY + HOUR, "ship"),  # too late to be judged
    ]  # fmt: skip
    found = {(r["moment"], r["outcome"]): r for r in measure(as_table(rows), book_of(), 7)}
    planted = found["planted", "sale"]
    assert (planted["n_completions"], planted["n_customers"], planted["of_customers"]) == (5, 5, 5)
    assert (planted["n_judged"], planted["precision_p"], planted["lead_days"]) == (4, 0.5, (4 / 24 + 2) / 2)
    assert planted["per_week"] == pytest.approx(5 / (4 + 1 / 7))
    assert planted["lift"] is None
    assert planted["why_not"] == "too few to compare: 4 completions of 4 customers whose outcome is known"
    assert found["never", "sale"]["why_not"] == "it was never completed"
    assert found["never", "money"]["why_not"] == "it is an amount, not something that happens or does not"
    assert ("planted", "gone") not in found
    assert found["twice", "gone"]["n_judged"] == 0


def test_a_silence_follows_when_no_own_event_comes() -> None:
    rows = [(0, 0, "view"), (0, HOUR, "view"), (0, 9 * DAY, "view"),  # came back in time
            (1, 0, "view"), (1, HOUR, "view"), (1, 9 * DAY, "mail"),  # a message of ours is no sign of life
            (2, 0, "view"), (2, HOUR, "view")]  # fmt: skip
    found = {(r["moment"], r["outcome"]): r for r in measure(as_table(rows), book_of(), 30)}
    assert found["twice", "gone"]["n_judged"] == 3
    assert found["twice", "gone"]["precision_p"] == pytest.approx(2 / 3)
    assert found["twice", "gone"]["lead_days"] is None


@pytest.mark.slow
def test_a_planted_moment_has_its_true_lift_and_the_other_none() -> None:
    seeds = range(20)
    n_covered = n_claimed = 0
    for seed in seeds:
        found = {(r["moment"], r["outcome"]): r for r in measure(
            draw_world(np.random.default_rng(seed), 250), book_of(), 120, seed
        )}  # fmt: skip
        planted, nothing = found["planted", "sale"], found["nothing", "sale"]
        # Compared are second events of other visits: a lone purchase is not as busy as a visit of two events.
        n_covered += planted["low"] <= 3.0 <= planted["high"]
        n_claimed += not nothing["low"] <= 1.0 <= nothing["high"]
    assert n_covered >= 17, n_covered
    assert n_claimed <= 4, n_claimed


def test_the_miner_finds_what_is_planted_and_nothing_in_chance() -> None:
    book, now = book_of(), START + timedelta(days=120)
    sale = book.outcomes[0]
    n_false = 0
    for seed in range(3):
        for p, is_planted in ((0.6, True), (0.2, False)):
            rng = np.random.default_rng(seed)
            streams = read_streams(draw_world(rng, 500, sale_p=p), book.touches)
            table, moments = propose_moments(streams, book, sale, find, now=now, rng=rng, windows_s=(7_200.0,))
            assert table.num_rows == len(moments)
            if is_planted:
                assert moments[0].sequence == ("cart", "ship")
                assert moments[0].name == "cart_then_ship"
                assert table["low"][0].as_py() > 1.5
            else:
                n_false += len(moments)
    assert n_false <= 1


def test_what_is_proposed_can_be_pasted_into_the_playbook() -> None:
    book = book_of()
    moments = (
        replace(book.moments[0], name="again"), replace(book.moments[2], name="two", outcome="sale"),
    )  # fmt: skip
    text = write_moments(moments, ["One.", "Two."])
    pasted = parse_playbook(BOOK.replace("moments:\n", text + "\n"))
    assert [m for m in pasted.moments if m.name in ("again", "two")] == [
        replace(m, about=about, line=p.line)
        for m, about, p in zip(moments, ["One.", "Two."], pasted.moments, strict=False)
    ]
    assert yaml.safe_load(text)["moments"]["two"]["all_of"] == {"view": 2}


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        (Moment("m", ("a", "a", "a"), 604_800.0, "", 1), "3 × a, within 7d"),
        (Moment("m", (), 3_600.0, "", 1, all_of=(("a", 1), ("b", 2))), "a and 2 × b in any order, within 1h"),
        (
            Moment("m", ("a", "a"), 86_400.0, "", 1, absent="a", absent_s=60 * 86_400.0),
            "2 × a, within 1d, after 60d without a",
        ),
        (
            Moment("m", ("a", "b"), 1_800.0, "", 1, without=("c", "d")),
            "a, then b, within 30m, no c or d in between",
        ),
    ],
)
def test_a_moment_in_words(moment: Moment, words: str) -> None:
    assert say_moment(moment) == words


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a playbook and its events as a file."""
    folder = tmp_path_factory.mktemp("shop")
    table = draw_world(np.random.default_rng(1), 400)
    columns = {"user": table["customer_id"], "time": table["event_at"], "event": table["event_class"].cast("string")}
    columns["total"] = pa.nulls(table.num_rows, pa.float64())
    pq.write_table(pa.table(columns), folder / "events.parquet")
    (folder / "book.yaml").write_text(BOOK, encoding="utf-8")
    return folder


def ask(folder: Path, *more: str) -> Any:
    command = ["moments", str(folder / "events.parquet"), "-p", str(folder / "book.yaml"), *more]
    return CliRunner().invoke(app, command)


def test_the_command_prints_and_writes(shop: Path) -> None:
    out = shop / "found.parquet"
    said = ask(shop, "--outcome", "sale", "--within", "2h", "--out", str(out))
    assert said.exit_code == 0, said.output
    assert "sequence: [cart, ship]" in said.output
    asked = ask(shop, "--outcome", "sale", "--within", "2h", "--json")
    facts = json.loads(asked.stdout)
    assert facts["moments"] == pq.read_table(out).to_pylist()
    assert facts["moments"][0]["definition"] == "cart, then ship, within 2h"
    assert facts["yaml"].startswith("moments:\n  cart_then_ship:")
    none = ask(shop, "--outcome", "sale", "--within", "2h", "--min-share", "1")
    assert "No pattern announces sale surely enough" in none.output


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--outcome", "sales"), "the playbook has no outcome 'sales'; it has sale, gone, money. Did you mean 'sale'?"),
        (("--outcome", "money"), "'money' is an amount"),
        (("--outcome", "sale", "--within", "two days"), "'two days' is not a duration; write it as 30m, 48h or 7d"),
        (("--outcome", "sale", "--at", "soon"), "'soon' is not a date"),
    ],
)
def test_bad_arguments_are_explained(shop: Path, more: tuple[str, ...], said: str) -> None:
    found = ask(shop, *more)
    assert found.exit_code != 0
    text = found.output + str(found.exception)
    assert said in " ".join(text.split()), text


def test_a_playbook_without_outcomes_still_counts_moments() -> None:
    book = replace(book_of(), outcomes=())
    found = measure(as_table([(0, 0, "cart")]), book, 3)
    assert {r["why_not"] for r in found} == {"the playbook has no outcome"}
