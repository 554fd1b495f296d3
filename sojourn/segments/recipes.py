"""The five flavours of segments as ready recipes: which columns, made how, grouped how, all on one interface.

behavioural: what customers do. demographic: who they say they are and what they feel, protected attributes excepted.
predictive: what is expected of them. lifecycle: how far they have come with us. value: what they are worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sojourn.errors import EventsError, Problem, SojournError, nearest
from sojourn.frames import I8
from sojourn.playbook import Playbook
from sojourn.predict.value import day_of, find_purchases, trace_histories, value_customers
from sojourn.segments.features import (
    cut_events,
    days_before,
    feature_columns,
    features_at,
    foresee_outcomes,
    outcomes_after,
    read_meaning,
)
from sojourn.segments.lifecycle import STAGES, list_rules, read_rhythm, stage_customers
from sojourn.segments.rfm import score_rfm

BEHAVIOURAL, DEMOGRAPHIC, PREDICTIVE, LIFECYCLE, VALUE = (
    "behavioural",
    "demographic",
    "predictive",
    "lifecycle",
    "value",
)
RECIPES = (BEHAVIOURAL, DEMOGRAPHIC, PREDICTIVE, LIFECYCLE, VALUE)
BY_RELEVANCE = (PREDICTIVE, VALUE)
"""Recipes whose purpose is later value: how many segments is asked of later value too."""

_RFM_INPUTS = ("silence_days", "n_purchases", "total_value")


@dataclass(frozen=True, eq=False)
class Recipe:
    """Customers and their columns at an instant, ready to be segmented.

    ``table``: ``customer_id`` and columns; ``inputs`` are those that make segments. Where rules decide, ``group`` [N]
    says which of ``names`` each customer is in. ``doubts``: what could not be had, in words.
    """

    name: str
    table: pa.Table
    inputs: tuple[str, ...]
    group: I8 | None = None
    names: tuple[str, ...] = ()
    why: str = ""
    doubts: tuple[str, ...] = field(default=())


def make_recipe(
    name: str,
    events: pa.Table,
    book: Playbook,
    at: datetime,
    *,
    horizon_days: int = 90,
    traits: pa.Table | None = None,
    seed: int = 0,
    n_threads: int = 1,
) -> Recipe:
    """The customers known at ``at``, with the columns that a recipe asks for.

    ``events`` as :func:`sojourn.read_events` has them; those after ``at`` are not looked at. ``traits``: what is known
    of customers beside events, a row each; the demographic recipe needs it unless the playbook has psychographic
    features. Raises EventsError for another recipe's name, and where the recipe cannot be followed.
    """
    if name not in RECIPES:
        what = f"'{name}' is no recipe; there are {', '.join(RECIPES)}"
        raise EventsError(Problem("--recipe", what, nearest(name, RECIPES)))
    table = features_at(events, book, at, n_threads=n_threads)
    if name == BEHAVIOURAL:
        return Recipe(name, table, feature_columns(book))
    if name == DEMOGRAPHIC:
        return _make_demographic(table, book, traits)
    if name == PREDICTIVE:
        return _make_predictive(table, events, book, at, horizon_days, seed, n_threads)
    if name == LIFECYCLE:
        return _make_lifecycle(table, events, book, at)
    return _make_value(table, events, book, at, horizon_days, seed)


def list_psychographic(book: Playbook) -> tuple[str, ...]:
    """Features that tell how customers feel: those that read a sentiment, a rating, a score or a mood.

    >>> from sojourn.playbook.load import load_playbook
    >>> list_psychographic(load_playbook("shop"))
    ('mood',)
    """
    words = ("sentiment", "rating", "score", "mood", "satisfaction", "nps")
    columns = feature_columns(book)
    return tuple(
        column
        for column, one in zip(columns, book.features, strict=False)
        if any(word in one.program.text.lower() for word in words)
    )


def _make_demographic(table: pa.Table, book: Playbook, traits: pa.Table | None) -> Recipe:
    feelings = list_psychographic(book)
    own = () if traits is None else tuple(n for n in traits.column_names if n not in ("customer_id", *book.protected))
    if traits is not None:
        table = join_columns(table, traits, own)
    if not own and not feelings:
        what = "there is nothing to segment by: no --traits, or only protected ones, and no feature that tells a mood"
        raise EventsError(Problem("--recipe demographic", what))
    doubts = () if own else ("no traits were given: only psychographic features make these segments.",)
    return Recipe(DEMOGRAPHIC, table, tuple(dict.fromkeys((*own, *feelings))), doubts=doubts)


def _make_predictive(
    table: pa.Table, events: pa.Table, book: Playbook, at: datetime, days: int, seed: int, n_threads: int
) -> Recipe:
    """Columns of what is expected in the next days, learned from the instant as many days ago."""
    past, meaning = cut_events(events, at), read_meaning(book)
    then = days_before(at, days)
    names = feature_columns(book)
    earlier = features_at(past, book, then, n_threads=n_threads)
    outcomes = outcomes_after(past, earlier["customer_id"], then, days, meaning)
    table, added = foresee_outcomes(table, earlier, outcomes, names, seed=seed)
    if not added:
        what = f"too little happened in the {days} days before {at:%Y-%m-%d} to learn what to expect"
        raise EventsError(Problem("--recipe predictive", what))
    return Recipe(PREDICTIVE, table, added)


def _make_lifecycle(table: pa.Table, events: pa.Table, book: Playbook, at: datetime) -> Recipe:
    purchases = find_purchases(cut_events(events, at), read_meaning(book).purchases, read_meaning(book).measure)
    rule = read_rhythm(book)
    staged = stage_customers(purchases, day_of(at), rule)
    names = ("silence_days", "gap_days", "gaps_of_silence", "n_purchases", "stage")
    joined = join_columns(table, staged, names)
    joined = joined.filter(pc.is_valid(joined["stage"]))
    group = pc.index_in(joined["stage"], value_set=pa.array(STAGES)).to_numpy().astype(np.int64)
    why = "by rule: " + "; ".join(f"{stage}: {text}" for stage, text in list_rules(rule))
    n_without = table.num_rows - joined.num_rows
    doubts = (f"{n_without:,} customers have not bought yet and are in no stage.",) if n_without else ()
    return Recipe(LIFECYCLE, joined, names[:-1], group, STAGES, why, doubts)


def _make_value(table: pa.Table, events: pa.Table, book: Playbook, at: datetime, days: int, seed: int) -> Recipe:
    """Recency, frequency and money with their scores, then what models of value learn from the same purchases."""
    meaning = read_meaning(book)
    purchases = find_purchases(cut_events(events, at), meaning.purchases, meaning.measure)
    scored = score_rfm(trace_histories(purchases, day_of(at)))
    joined = join_columns(table, scored, [n for n in scored.column_names if n != "customer_id"])
    joined = joined.filter(pc.is_valid(joined["rfm"]))
    inputs, doubts = list(_RFM_INPUTS), list[str]()
    try:
        valued = value_customers(purchases, day_of(at), horizon_days=days, n_bootstrap=0, seed=seed)
        names = [n for n in ("alive_p", "expected_purchases", "value") if valued.customers[n].null_count == 0]
        joined = join_columns(joined, valued.customers, names)
        inputs += names
    except SojournError as error:
        doubts.append(f"no learned dimensions of value, only recency, frequency and money: {error}")
    n_without = table.num_rows - joined.num_rows
    if n_without:
        doubts.append(f"{n_without:,} customers have not bought yet and are in no segment.")
    return Recipe(VALUE, joined, tuple(inputs), doubts=tuple(doubts))


def join_columns(table: pa.Table, other: pa.Table, names: Sequence[str]) -> pa.Table:
    """The table with columns of another looked up by ``customer_id``, null where it does not have the customer.

    Order is kept; a column that is there already is replaced. Raises EventsError where the other has a customer twice.
    """
    ids = other["customer_id"].combine_chunks().cast(pa.string())
    if pc.count_distinct(ids).as_py() < len(ids):
        raise EventsError(Problem("traits", "a customer_id is there more than once; one row per customer is needed"))
    place = pc.index_in(table["customer_id"].cast(pa.string()), value_set=ids)
    for name in names:
        if name in table.column_names:
            table = table.drop_columns([name])
        table = table.append_column(name, other[name].combine_chunks().take(place))
    return table
