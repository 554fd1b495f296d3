"""Journeys before outcomes: where lives are cut, whom they are held against, and what chance makes of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep

from sojourn.frames.schemas import INSTANT
from sojourn.playbook.objects import Outcome
from sojourn.transitions.journeys.outcomes import (
    WINDOW_US,
    count_steps,
    cut_at_event,
    cut_at_silence,
    find_journeys,
    match_exposure,
    read_lives,
    share_ratio,
    take_steps,
)
from sojourn.transitions.journeys.patterns import Limits, contrast_patterns

DAY = 86_400_000_000
CLASSES = ("view", "compare", "review", "cart", "help", "email_sent", "other", "purchase", "thanks")
BUY = Outcome("conversion", "purchase", None, None, 7 * 86_400.0, "", 1)
GONE = Outcome("churn", None, None, 10 * 86_400.0, None, "", 1)
START = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1e6)


def as_history(rows: list[tuple[int, int, str]]) -> pa.Table:
    """Rows of (customer, microseconds, class), put in order."""
    rows = sorted(rows, key=lambda row: row[:2])
    return pa.table(
        {
            "customer_id": pa.array([f"c{who}" for who, *_ in rows], pa.string()),
            "event_at": pa.array([START + at for _, at, _ in rows], pa.int64()).cast(INSTANT),
            "event_class": pa.array([name for *_, name in rows], pa.string()).dictionary_encode(),
        }
    )


def at_day(day: float) -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day)


def make_shop(seed: int, n: int = 900, *, planted: bool = False) -> pa.Table:
    """People of very unequal activity; at any event they may buy, likelier right after compare and review if planted.

    Buying depends on nothing else, so who is active buys sooner or later. After a purchase everybody says thanks.
    """
    rng = np.random.default_rng(seed)
    rows: list[tuple[int, int, str]] = []
    for who in range(n):
        gap = 2 * DAY * rng.lognormal(0, 0.8)
        at, last = rng.uniform(0, 20) * DAY, ["", ""]
        while (at := at + rng.exponential(gap)) < 90 * DAY:
            is_due = last == ["compare", "review"] and planted
            if rng.random() < (0.6 if is_due else 0.03):
                rows += [(who, int(at), "purchase"), (who, int(at) + 60_000_000, "thanks")]
                last = ["", ""]
                continue
            name = CLASSES[rng.integers(7)]
            rows.append((who, int(at), name))
            last = [last[1], name]
    return as_history(rows)


LIVES = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 60), st.sampled_from(["view", "cart", "purchase", "email_sent"])),
    min_size=1, max_size=30,
)  # fmt: skip


@settings(max_examples=150)
@given(LIVES)
def test_lives_are_cut_where_a_reader_would_cut_them(rows: list[tuple[int, int, str]]) -> None:
    rows = sorted(((who, day * DAY, name) for who, day, name in rows), key=lambda row: row[:2])
    lives = read_lives(as_history(rows), ["email_sent"])
    now = START + 61 * DAY
    own = [(who, at + START, name) for who, at, name in rows if name != "email_sent"]
    people: dict[int, list[tuple[int, str]]] = {}
    for who, at, name in own:
        people.setdefault(who, []).append((at, name))
    sold, quiet, fresh, steady = [], [], [], []
    for events in people.values():
        bought = [at for at, name in events if name == "purchase"]
        if bought:
            before = [e for e in events if bought[0] - WINDOW_US <= e[0] < bought[0]]
            sold += [before] if before else []
        else:
            cuts = [[e for e in events if at - WINDOW_US <= e[0] < at] for at, _ in events if at + 7 * DAY <= now]
            fresh += [cut for cut in cuts if cut]
        nexts = [at for at, _ in events[1:]] + [now]
        silent = [i for i, (e, at) in enumerate(zip(events, nexts, strict=True)) if at - e[0] >= 10 * DAY]
        if silent:
            last = events[silent[0]][0]
            quiet.append([e for e in events[: silent[0] + 1] if e[0] >= last - WINDOW_US])
        else:
            steady += [[e for e in events[: i + 1] if e[0] >= events[i][0] - WINDOW_US] for i in range(len(events) - 1)]
    by_event = cut_at_event(lives, "purchase", 7 * 86_400, now)
    by_silence = cut_at_silence(lives, 10 * 86_400, now)
    for found, ends, truth in (
        (by_event.goal, by_event.end, sold),
        (by_event.others, by_event.end, fresh),
        (by_silence.goal, by_silence.end, quiet),
        (by_silence.others, by_silence.end, steady),
    ):
        cut = [
            [
                (int(lives.at[r]), lives.names[lives.item[r]])
                for r in range(int(lives.window_row[anchor]), int(ends[anchor]))
            ]
            for anchor in found
        ]
        assert sorted(cut) == sorted(truth)


def test_others_are_as_active_class_by_class() -> None:
    lives = read_lives(make_shop(3), ["email_sent"])
    ends = cut_at_event(lives, "purchase", 7 * 86_400, START + 90 * DAY)
    goal, others = match_exposure(lives, ends, np.random.default_rng(0))
    level = count_steps(lives, ends.end)
    ratio = len(others) / len(goal)
    assert ratio in (1, 2, 3, 4)
    assert len(goal) > 200
    for value in np.unique(level[goal]):
        assert (level[others] == value).sum() == ratio * (level[goal] == value).sum()
    anchors = np.concatenate([goal, others])
    taken, _, _ = take_steps(lives, anchors, ends.end)
    assert np.array_equal(np.bincount(taken, minlength=len(anchors)), level[anchors])
    assert len(set(lives.customer[goal]) | set(lives.customer[others])) == len(goal) + len(others)


def test_repeated_steps_are_one_and_the_latest_twelve_count() -> None:
    rows = [
        (0, day, name) for day, name in enumerate(["view", "view", "other", "view", "cart"] + ["help", "view"] * 30)
    ]
    lives = read_lives(as_history(rows), [])
    who, item, _ = take_steps(lives, np.array([len(rows) - 1]), np.arange(1, len(rows) + 1))
    assert len(who) == 12
    _, item, _ = take_steps(lives, np.array([5]), np.arange(1, len(rows) + 1))
    assert [lives.names[i] for i in item] == ["view", "cart", "help"]


def test_the_interval_is_that_of_statsmodels() -> None:
    for counts in ((30, 100, 15, 100), (7, 50, 0, 90), (1, 21, 20, 22)):
        _, low, high = share_ratio(*counts)
        assert (low, high) == pytest.approx(
            confint_proportions_2indep(*counts, method="log-adjusted", compare="ratio"), rel=1e-9
        )


def test_a_planted_journey_is_found_and_nothing_from_after_the_outcome() -> None:
    table = find_journeys(make_shop(1, 1800, planted=True), [BUY], touches=["email_sent"], now=at_day(90),
                          rng=np.random.default_rng(0))  # fmt: skip
    rows = {row["text"]: row for row in table.to_pylist()}
    planted = rows["compare → review"]
    assert planted["q"] < 0.01
    assert planted["low"] > 1
    assert table["text"][0].as_py() in {"compare → review", "review"} | {t for t in rows if "compare → review" in t}
    steps = {step for row in rows.values() for step in row["pattern"]}
    assert not steps & {"purchase", "thanks", "email_sent", "other"}
    for row in rows.values():
        assert row["n_with"] / row["of_with"] == row["with_p"]
        assert not row["is_maximal"] or row["is_closed"]


def discoveries(seed: int) -> tuple[int, int]:
    """Journeys claimed in a world without any: as Sojourn looks, and as somebody would who compares whole lives."""
    history, rng = make_shop(seed, 500), np.random.default_rng(seed)
    table = find_journeys(history, [BUY, GONE], touches=["email_sent"], now=at_day(90), rng=rng)
    lives = read_lives(history, ["email_sent"])
    buys = np.isin(np.arange(lives.customer.max() + 1), lives.customer[lives.item == lives.names.index("purchase")])
    kept = ~np.isin(lives.item, [lives.names.index(n) for n in ("purchase", "thanks", "other")])
    naive = contrast_patterns(
        lives.customer[kept],
        lives.item[kept],
        lives.at[kept],
        buys,
        limits=Limits(2, max_gap=3),
        min_share=0.05,
        rng=rng,
    )
    return sum(q is not None and q < 0.05 for q in table["q"].to_pylist()), sum(
        q < 0.05 for q in naive["q"].to_pylist()
    )


@pytest.mark.slow
def test_no_journey_is_claimed_where_there_is_none() -> None:
    """Thirty worlds: a false discovery rate of 5 % claims something in one or two, rarely in more than five."""
    found = [discoveries(seed) for seed in range(100, 130)]
    assert sum(ours > 0 for ours, _ in found) <= 5, found
    assert sum(naive > 0 for _, naive in found) >= 27, found


def test_what_cannot_be_judged_is_said() -> None:
    amount = Outcome("revenue", None, "revenue", None, 7 * 86_400.0, "", 1)
    rare = Outcome("advocacy", "referral", None, None, 7 * 86_400.0, "", 1)
    table = find_journeys(make_shop(2, 60), [amount, rare], touches=[], now=at_day(90), rng=np.random.default_rng(0))
    assert table["why_not"].to_pylist() == [
        "it is an amount, not something that happens or does not",
        "fewer than 40 customers with it (0)",
    ]
    assert table["pattern"].null_count == 2
    with pytest.raises(ValueError, match="order"):
        read_lives(as_history([(0, 2, "view"), (0, 5, "cart")]).take([1, 0]), [])
