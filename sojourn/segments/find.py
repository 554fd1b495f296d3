"""Strategic segments: customers who are alike, found by clustering or by rules, described, named, and put on a map.

States are what a customer does now; segments are who a customer is over months. ``docs/explanation/segments.md`` has
the choices made here, their sources and what they cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sojourn.errors import EventsError, Problem
from sojourn.frames import F8, I8, Progress
from sojourn.segments.choose import Choice, choose_method, choose_number
from sojourn.segments.cluster import (
    COUNTED,
    GMM,
    KMEANS,
    MOST_TREE,
    WARD,
    Clusters,
    cluster,
    count_kinds,
    draw,
    find_centres,
)
from sojourn.segments.describe import Rules, describe_segments, find_rules, name_segments
from sojourn.segments.map import Map, learn_map
from sojourn.segments.match import Match, match_segments
from sojourn.segments.prepare import learn_preparation
from sojourn.segments.space import Placed, Space, learn_space, place_in_space
from sojourn.segments.tree import Tree, find_tree

AUTO = "auto"
COMPARED = (KMEANS, GMM, WARD)
"""The methods among which ``auto`` chooses."""

_LEAST = 30
_DESCRIBED = 100_000
_KEEPS_NAME = 0.5
_POOR_RULES = 0.8


@dataclass(frozen=True)
class Segment:
    """One segment: its lasting number, its name, how large it is, and the rule that comes nearest to it.

    ``described_as`` is what its name would be today; the name stays while the segment does. ``overlap`` is with the
    segment of that number before (None: there was none).
    """

    number: int
    name: str
    described_as: str
    n_customers: int
    share_p: float
    rule: str
    rule_precision_p: float
    rule_recall_p: float
    overlap: float | None


@dataclass(frozen=True, eq=False)
class Segments:
    """Who is in which segment, and how that was found.

    ``customers``: ``customer_id, segment`` (a number; null where the method puts a customer into none), ``name,
    segment_p, is_outlier, map_x, map_y, pca_x, pca_y`` and the coarser ``level_…`` of the tree. ``profiles``: what sets
    each segment apart (:func:`sojourn.segments.describe.describe_segments`). ``choice``: the table of
    :class:`sojourn.segments.choose.Choice` for every method tried, None where the number was given or rules decide.
    """

    customers: pa.Table
    profiles: pa.Table
    segments: tuple[Segment, ...]
    method: str
    why: str
    choice: pa.Table | None
    space: Space
    clusters: Clusters
    map: Map
    tree: Tree | None
    rules: Rules
    match: Match | None
    doubts: tuple[str, ...]

    def place(self, table: pa.Table) -> pa.Table:
        """Customers, new ones too, in these segments and on these maps: ``customers`` for another table of the same
        columns. Segments by rule have no place for new customers but the nearest centre."""
        placed = place_in_space(self.space, table)
        group, p = self.clusters.assign(placed.coordinates)
        return _list_customers(table, group, p, placed, self.map, self.tree, self.segments)


@dataclass(frozen=True)
class Before:
    """Segments found earlier, whose numbers and names are to be kept: ``customers`` has ``customer_id, segment``."""

    customers: pa.Table
    names: Mapping[int, str]
    last_number: int = 0


def segment_customers(
    table: pa.Table,
    *,
    inputs: Sequence[str] | None = None,
    protected: Iterable[str] = (),
    method: str = AUTO,
    k: int | None = None,
    k_max: int = 10,
    why_k: str = "as asked",
    before: Before | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Segments:
    """Segments of the customers of a table with ``customer_id`` and numbers (texts of few values too).

    ``method``: one of :data:`sojourn.segments.cluster.METHODS`, or ``auto``. ``k`` is chosen where it is not given;
    ``why_k`` says in words why it was.
    Outliers do not take part in finding segments; they are put into the nearest and marked. The same seed gives the
    same segments. Raises EventsError for fewer than 30 customers, protected or unknown inputs.

    >>> rng = np.random.default_rng(0)
    >>> spend = np.concatenate([rng.normal(20, 2, 60), rng.normal(80, 4, 40)])
    >>> ids = [f"c{i}" for i in range(100)]
    >>> found = segment_customers(pa.table({"customer_id": ids, "spend": spend}), method="kmeans", k_max=4)
    >>> [(one.name, one.n_customers) for one in found.segments]
    [('very low spend', 60), ('very high spend', 40)]
    """
    _check_table(table)
    tell = progress or _ignore
    rng = np.random.default_rng(seed)
    tell("prepare inputs", 0, 1)
    preparation = learn_preparation(table, inputs, protected=protected, seed=seed)
    space = learn_space(table, preparation, rng=rng)
    placed = place_in_space(space, table)
    tell("prepare inputs", 1, 1)
    points = placed.coordinates[~placed.is_outlier]
    _check_kinds(points, k or 2)
    choices = _choose(points, method, k, k_max, seed, tell)
    chosen = choose_method(choices) if choices else None
    method = chosen.method if chosen else (KMEANS if method == AUTO else method)
    number = k or (chosen.k if chosen else 2)
    tell("find segments", 0, 1)
    clusters = fit_clusters(points, method, number, seed=seed)
    group, p = clusters.assign(placed.coordinates)
    tell("find segments", 1, 1)
    why = _say_why(chosen, choices, why_k if k else None, method, len(clusters))
    doubts = list(chosen.doubts) if chosen else []
    table_of_choice = pa.concat_tables([one.table for one in choices]) if choices else None
    return _present(
        table, space, placed, clusters, group, p, None, method, why, table_of_choice, before, doubts, seed, tell
    )


def segment_by_rule(
    table: pa.Table,
    group: I8,
    names: Sequence[str],
    *,
    inputs: Sequence[str] | None = None,
    protected: Iterable[str] = (),
    method: str = "rules",
    why: str = "",
    seed: int = 0,
    progress: Progress | None = None,
) -> Segments:
    """Segments that rules have made, described and put on the map as those found by clustering are.

    ``group`` [N] says which of ``names`` each customer is in; numbers are places in ``names``, from 1, so they last.
    """
    _check_table(table)
    preparation = learn_preparation(table, inputs, protected=protected, seed=seed)
    space = learn_space(table, preparation, rng=np.random.default_rng(seed))
    placed = place_in_space(space, table)
    present = np.unique(group)
    centres, spread = find_centres(placed.coordinates.astype(float), np.searchsorted(present, group))
    clusters = Clusters(method, centres, spread)
    numbered = [(int(i) + 1, names[i]) for i in present]
    return _present(
        table,
        space,
        placed,
        clusters,
        np.searchsorted(present, group),
        np.ones(len(group)),
        numbered,
        method,
        why,
        None,
        None,
        [],
        seed,
        progress or _ignore,
    )


def fit_clusters(points: NDArray[np.floating], method: str, k: int, *, seed: int) -> Clusters:
    """Groups of all points: k-means starts from the best of ten fits on a sample, then takes all customers.

    Raises EventsError where there are fewer different points than groups.
    """
    if method in COUNTED:
        _check_kinds(points, k)
    if method != KMEANS:
        return cluster(points, method, k, seed=seed)
    few = draw(points, 20_000, seed)
    first = cluster(few, KMEANS, k, seed=seed)
    return first if len(few) == len(points) else cluster(points, KMEANS, k, seed=seed, start=first.centres)


# -- the steps -------------------------------------------------------------------------------------------


def _ignore(stage: str, done: int, total: int) -> None:
    """Nobody asked for progress."""


def _check_table(table: pa.Table) -> None:
    if "customer_id" not in table.column_names:
        raise EventsError(Problem("table", "there is no column 'customer_id'"))
    if table.num_rows < _LEAST:
        raise EventsError(Problem("customers", f"{table.num_rows} are too few for segments; {_LEAST} are needed"))


def _check_kinds(points: NDArray[np.floating], k: int) -> None:
    kinds = count_kinds(points, k)
    if kinds < k:
        what = f"outliers aside, these inputs tell {kinds} kind{'s' if kinds > 1 else ''} of them apart"
        raise EventsError(Problem("customers", f"{what}: too few for {k} segments"))


def _choose(
    points: NDArray[np.floating], method: str, k: int | None, k_max: int, seed: int, tell: Progress
) -> list[Choice]:
    if k is not None and method != AUTO:
        return []
    if method != AUTO and method not in COUNTED:
        return []
    methods = COMPARED if method == AUTO else (method,)
    return [choose_number(points, one, k=k, k_max=k_max, seed=seed, progress=tell) for one in methods]


def _say_why(chosen: Choice | None, choices: Sequence[Choice], given: str | None, method: str, n: int) -> str:
    """How method and number came about, in a sentence."""
    if chosen is None:
        return f"{method} with {n} segments, {given}" if given else f"{method} found {n} segments by itself"
    number = f"{n} segments, {given}" if given else f"{n} segments by silhouette, elbow, BIC and stability together"
    how = f"{number}; silhouette {chosen.silhouette:.2f}, stability {chosen.stability:.2f}"
    if len(choices) == 1:
        return f"{method}: {how}"
    others = ", ".join(f"{one.method} {one.stability:.2f} with {one.k}" for one in choices if one is not chosen)
    return f"{method} ({how}), the simplest of the most stable methods; stability of the others: {others}"


def _present(
    table: pa.Table,
    space: Space,
    placed: Placed,
    clusters: Clusters,
    group: I8,
    p: F8,
    numbered: Sequence[tuple[int, str]] | None,
    method: str,
    why: str,
    choice: pa.Table | None,
    before: Before | None,
    doubts: list[str],
    seed: int,
    tell: Progress,
) -> Segments:
    """Describe, name, number and map groups that are found."""
    k = len(clusters)
    tell("describe segments", 0, 1)
    part = draw_rows(table.num_rows, _DESCRIBED, seed)
    few, own = (table, group) if part is None else (table.take(pa.array(part)), group[part])
    described = describe_segments(few, space.preparation, own, k, seed=seed)
    rules = find_rules(few, space.preparation, own, k, seed=seed)
    tell("describe segments", 1, 1)
    counts = np.bincount(group[group >= 0], minlength=k)
    says = name_segments(described, k)
    match = _match(table, group, k, before)
    segments = _number(counts, says, rules, numbered, match, before)
    tell("draw maps", 0, 1)
    references = place_in_space(space, table.take(pa.array(space.reference_rows)))
    drawn = learn_map(references, seed=seed)
    tree = find_tree(placed.coordinates[~placed.is_outlier], most=MOST_TREE, seed=seed)
    tell("draw maps", 1, 1)
    if numbered is None and rules.agreement_p < _POOR_RULES:
        doubts.append(
            f"three questions put only {100 * rules.agreement_p:.0f} % of the customers where the clustering does: "
            "the rules are a hint, not a definition."
        )
    return Segments(
        _list_customers(table, group, p, placed, drawn, tree, segments),
        _number_profiles(described, counts, segments),
        segments,
        method,
        why,
        choice,
        space,
        clusters,
        drawn,
        tree,
        rules,
        match,
        tuple(doubts),
    )


def draw_rows(n: int, most: int, seed: int) -> I8 | None:
    """Which rows to look at where there are more than so many; None: all."""
    if n <= most:
        return None
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False))


def _match(table: pa.Table, group: I8, k: int, before: Before | None) -> Match | None:
    if before is None:
        return None
    ids = table["customer_id"].combine_chunks()
    return match_segments(ids, group, k, before.customers, last_number=before.last_number)


def _number(
    counts: I8,
    says: Sequence[str],
    rules: Rules,
    numbered: Sequence[tuple[int, str]] | None,
    match: Match | None,
    before: Before | None,
) -> tuple[Segment, ...]:
    """The segments in the order of the groups: numbered by size, or as before, or as the rules have them."""
    by_size = np.argsort(np.argsort(-counts, kind="stable"), kind="stable") + 1
    found, taken = [], set[str]()
    for g, n in enumerate(counts):
        overlap = match.overlap[g] if match else None
        number, name = (int(by_size[g]), says[g]) if numbered is None else numbered[g]
        if match is not None and before is not None:
            number = match.numbers[g]
            if overlap is not None and overlap >= _KEEPS_NAME:
                name = before.names.get(number, name)
        if name in taken:
            name = f"{name} ({number})"
        taken.add(name)
        found.append(
            Segment(
                number,
                name,
                says[g],
                int(n),
                float(n / max(counts.sum(), 1)),
                rules.text[g],
                rules.precision_p[g],
                rules.recall_p[g],
                overlap,
            )
        )
    return tuple(found)


def _number_profiles(described: pa.Table, counts: I8, segments: Sequence[Segment]) -> pa.Table:
    group = described["group"].to_numpy()
    found = pa.table(
        {
            "segment": pa.array(np.array([one.number for one in segments], np.int32)[group]),
            "name": np.array([one.name for one in segments], object)[group],
            "n_customers": counts[group],
        }
    )
    for name in described.column_names:
        if name not in ("group", "n_customers"):
            found = found.append_column(name, described[name])
    return found.sort_by([("segment", "ascending")])


def _list_customers(
    table: pa.Table, group: I8, p: F8, placed: Placed, drawn: Map, tree: Tree | None, segments: Sequence[Segment]
) -> pa.Table:
    numbers = np.array([one.number for one in segments], np.int32)
    is_none = group < 0
    where = drawn.place(placed)
    names = pa.array([one.name for one in segments], pa.string())
    indices = pa.array(group.astype(np.int32), mask=is_none)
    columns: dict[str, Any] = {
        "customer_id": table["customer_id"],
        "segment": pa.array(numbers[group], mask=is_none),
        "name": pa.DictionaryArray.from_arrays(indices, names),
        "segment_p": pa.array(p, mask=is_none),
        "is_outlier": pa.array(placed.is_outlier | is_none),
        "map_x": where[:, 0],
        "map_y": where[:, 1],
        "pca_x": placed.coordinates[:, 0].astype(float),
        "pca_y": placed.coordinates[:, min(1, placed.coordinates.shape[1] - 1)].astype(float),
    }
    if tree is not None:
        columns |= {f"level_{n}": level for n, level in tree.place(placed.coordinates).items()}
    return pa.table(columns)
