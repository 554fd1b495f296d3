"""A recipe followed to its end: segments as of an instant, and what the same recipe would have been worth before.

Relevance is measured as it would have been met: the recipe is followed as of a horizon ago, and its segments are asked
what they knew of the time since. The number of segments, where relevance decides it, comes from the horizon before that.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sojourn.errors import EventsError, SojournError
from sojourn.frames import I8, Progress
from sojourn.playbook import Playbook
from sojourn.predict.value import day_of, find_purchases, trace_histories
from sojourn.segments.cluster import KMEANS, MINI_BATCH
from sojourn.segments.features import (
    cut_events,
    days_before,
    feature_columns,
    features_at,
    foresee_outcomes,
    outcomes_after,
    read_meaning,
)
from sojourn.segments.find import AUTO, Before, Segments, fit_clusters, segment_by_rule, segment_customers
from sojourn.segments.prepare import learn_preparation
from sojourn.segments.recipes import BY_RELEVANCE, PREDICTIVE, Recipe, join_columns, make_recipe
from sojourn.segments.relevance import SEGMENTS, choose_by_relevance, measure_relevance
from sojourn.segments.rfm import score_rfm
from sojourn.segments.space import learn_space, place_in_space
from sojourn.trust import audit_segments

RFM_CELLS, RFM_TOTAL, RFM_SEGMENTS = "RFM quintiles, 125 cells", "RFM quintiles, added up", "RFM segments"
_LEAST_CUSTOMERS = 200
_SAMPLE = 50_000


@dataclass(frozen=True, eq=False)
class Study:
    """Segments as of ``at`` by a recipe, and what is known about them.

    ``relevance`` is of the same recipe a horizon earlier (:func:`sojourn.segments.relevance.measure_relevance`), or
    None
    with ``why_not`` in words. ``numbers``: how many segments were tried for relevance, None where that did not decide.
    ``audit``: the association with every protected attribute that the traits have
    (:func:`sojourn.trust.fairness.audit_segments`), None without.
    """

    recipe: Recipe
    segments: Segments
    at: datetime
    horizon_days: int
    relevance: pa.Table | None
    numbers: pa.Table | None
    audit: pa.Table | None
    why_not: str
    doubts: tuple[str, ...]


def study_segments(
    events: pa.Table,
    book: Playbook,
    recipe: str,
    *,
    at: datetime | None = None,
    horizon_days: int | None = None,
    inputs: Sequence[str] | None = None,
    traits: pa.Table | None = None,
    method: str = AUTO,
    k: int | None = None,
    before: Before | None = None,
    seed: int = 0,
    n_threads: int = 1,
    progress: Progress | None = None,
) -> Study:
    """Segments of the customers in accepted events by a recipe (:data:`sojourn.segments.recipes.RECIPES`).

    ``at``: by default the last event. ``horizon_days``: how far later outcomes reach; by default 90, at most a quarter
    of the time known. ``inputs`` replaces the columns that the recipe takes. Raises EventsError for what cannot be done.
    """  # noqa: E501
    tell = progress or (lambda stage, done, total: None)
    last: datetime = events["event_at"][-1].as_py()
    at = last if at is None else (at if at.tzinfo else at.replace(tzinfo=UTC))
    first: datetime = events["event_at"][0].as_py()
    span = (at - first).total_seconds() / 86_400
    horizon = horizon_days or max(1, min(90, int(span / 4)))

    def follow(instant: datetime) -> Recipe:
        made = make_recipe(
            recipe, events, book, instant, horizon_days=horizon, traits=traits, seed=seed, n_threads=n_threads
        )
        return made if inputs is None else Recipe(made.name, made.table, tuple(inputs), doubts=made.doubts)

    tell("read features", 0, 1)
    made = follow(at)
    tell("read features", 1, 1)
    numbers, doubts = None, list(made.doubts)
    if recipe in BY_RELEVANCE and k is None and method in (AUTO, KMEANS, MINI_BATCH):
        k, numbers, why = _find_number(follow, made, events, book, at, horizon, seed, n_threads, tell)
        method = KMEANS if k is not None and method == AUTO else method
        doubts += [why] if why else []
    why_k = (
        "as asked" if numbers is None else f"the fewest that explain as much of the {horizon} days after as any number"
    )
    found = _segment(made, book, method, k, why_k, before, seed, tell)
    relevance, why_not = _look_back(
        follow,
        events,
        book,
        at,
        horizon,
        found.method if made.group is None else method,
        len(found.segments),
        seed,
        tell,
    )
    audit = audit_segments(found.customers, traits, book.protected) if traits is not None and book.protected else None
    return Study(made, found, at, horizon, relevance, numbers, audit, why_not, (*doubts, *found.doubts))


def _segment(
    made: Recipe,
    book: Playbook,
    method: str,
    k: int | None,
    why_k: str,
    before: Before | None,
    seed: int,
    tell: Progress,
) -> Segments:
    if made.group is not None:
        return segment_by_rule(
            made.table,
            made.group,
            made.names,
            inputs=made.inputs,
            protected=book.protected,
            method=made.name,
            why=made.why,
            seed=seed,
            progress=tell,
        )
    return segment_customers(
        made.table,
        inputs=made.inputs,
        protected=book.protected,
        method=method,
        k=k,
        why_k=why_k,
        before=before,
        seed=seed,
        progress=tell,
    )


def _find_number(
    follow: Callable[[datetime], Recipe],
    made: Recipe,
    events: pa.Table,
    book: Playbook,
    at: datetime,
    days: int,
    seed: int,
    n_threads: int,
    tell: Progress,
) -> tuple[int | None, pa.Table | None, str]:
    """How many segments paid two horizons ago, over the horizon that followed."""
    tell("number of segments by relevance", 0, 1)
    meaning = read_meaning(book)
    try:
        then = days_before(at, 2 * days)
        if made.name == PREDICTIVE:
            table = features_at(events, book, then, n_threads=n_threads)
            outcomes = outcomes_after(events, table["customer_id"], then, days, meaning)
            table, used = foresee_outcomes(table, None, outcomes, feature_columns(book), seed=seed)
            used = tuple(name for name in used if name in made.inputs)
        else:
            earlier = follow(then)
            table, used = earlier.table, earlier.inputs
            outcomes = outcomes_after(events, table["customer_id"], then, days, meaning)
        if table.num_rows < _LEAST_CUSTOMERS:
            raise EventsError(f"only {table.num_rows} customers were known by {then:%Y-%m-%d}")
        k, numbers = find_paying_number(table, used, outcomes, book, seed)
    except SojournError as error:
        return None, None, f"how many segments pay could not be asked of earlier data: {error}"
    tell("number of segments by relevance", 1, 1)
    return k, numbers, ""


def find_paying_number(
    table: pa.Table, inputs: Sequence[str], outcomes: pa.Table, book: Playbook, seed: int
) -> tuple[int, pa.Table]:
    """How many segments by these inputs pay (:func:`sojourn.segments.relevance.choose_by_relevance`), asked of a sample
    of 50,000 customers at most. ``outcomes`` has a row for each row of the table."""
    preparation = learn_preparation(table, inputs, protected=book.protected, seed=seed)
    rng = np.random.default_rng(seed)
    if table.num_rows > _SAMPLE:
        rows = pa.array(np.sort(rng.choice(table.num_rows, _SAMPLE, replace=False)))
        table, outcomes = table.take(rows), outcomes.take(rows)
    placed = place_in_space(learn_space(table, preparation, rng=rng), table)
    return choose_by_relevance(placed.coordinates, outcomes, seed=seed)


def _look_back(
    follow: Callable[[datetime], Recipe],
    events: pa.Table,
    book: Playbook,
    at: datetime,
    days: int,
    method: str,
    k: int,
    seed: int,
    tell: Progress,
) -> tuple[pa.Table | None, str]:
    """The recipe as of a horizon ago, with the same method and number, and what its segments knew of the time since."""
    tell("relevance", 0, 1)
    past, meaning = cut_events(events, at), read_meaning(book)
    try:
        then = days_before(at, days)
        made = follow(then)
        if made.table.num_rows < _LEAST_CUSTOMERS:
            raise EventsError(f"only {made.table.num_rows} customers were known by {then:%Y-%m-%d}")
        group = made.group
        if group is None:
            group = find_groups(made, book, method, k, seed)
    except SojournError as error:
        return None, f"relevance could not be measured on earlier data: {error}"
    outcomes = outcomes_after(past, made.table["customer_id"], then, days, meaning)
    groups = {SEGMENTS: group, **rfm_groups(past, book, then, made.table["customer_id"])}
    relevance = measure_relevance(groups, outcomes, seed=seed)
    tell("relevance", 1, 1)
    if not relevance.num_rows:
        return None, f"too little happened in the {days} days after {then:%Y-%m-%d} to measure relevance"
    return relevance, ""


def find_groups(made: Recipe, book: Playbook, method: str, k: int, seed: int) -> I8:
    """The groups alone, from 0, without names and maps; -1 for none."""
    preparation = learn_preparation(made.table, made.inputs, protected=book.protected, seed=seed)
    space = learn_space(made.table, preparation, rng=np.random.default_rng(seed))
    placed = place_in_space(space, made.table)
    clusters = fit_clusters(placed.coordinates[~placed.is_outlier], method, k, seed=seed)
    return clusters.assign(placed.coordinates)[0]


def rfm_groups(events: pa.Table, book: Playbook, at: datetime, ids: pa.ChunkedArray) -> dict[str, I8]:
    """Three ways to group customers by the quintiles of recency, frequency and money; one more for who never bought."""
    meaning = read_meaning(book)
    try:
        purchases = find_purchases(cut_events(events, at), meaning.purchases, meaning.measure)
    except SojournError:
        return {}
    scored = join_columns(
        pa.table({"customer_id": ids}),
        score_rfm(trace_histories(purchases, day_of(at))),
        ("recency", "frequency", "money", "rfm", "rfm_segment"),
    )
    total = pc.add(pc.add(scored["recency"], scored["frequency"]), scored["money"])
    found = {RFM_CELLS: scored["rfm"], RFM_TOTAL: total, RFM_SEGMENTS: scored["rfm_segment"]}
    return {name: _number(column) for name, column in found.items()}


def _number(column: pa.ChunkedArray) -> I8:
    coded = column.combine_chunks().dictionary_encode()
    return np.asarray(coded.indices.fill_null(len(coded.dictionary)).to_numpy(), np.int64)
