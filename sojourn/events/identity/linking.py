"""Which records are one person, where they share no id: by how alike names, dates, addresses and the like are.

This guesses, so it is apart from :mod:`sojourn.events.identity.batch`, which does not: it runs in batch, and says for
each match how
probable it is. The model is that of Fellegi and Sunter (1969, doi:10.1080/01621459.1969.10501049) as splink fits it,
without labels. Which columns are compared how, which pairs of records are compared at all, and what the model learns
from, is chosen by the data, and the same data give the same result.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sojourn.errors import Problem, SojournError, nearest
from sojourn.events.identity.rule import group_joined

if TYPE_CHECKING:
    from splink import Linker
    from splink.internals.blocking_rule_creator import BlockingRuleCreator

KINDS = ("given_name", "family_name", "name", "birth", "email", "phone", "postcode", "address", "place", "code")
"""What a column of a record may hold; ``code`` is any number or word that is one person's, such as a card's number."""
THRESHOLD = 0.9
"""Records that match with at least this probability are one person."""
ALL_PAIRS = 500_000
"""Pairs that are simply all compared; of larger tables only those that agree in something."""

_WORDS = {  # what a part of a column's name begins with
    "email": ("email", "mail"),
    "phone": ("phone", "telephone", "mobile", "tel"),
    "birth": ("birth", "dob", "born", "dateofbirth"),
    "postcode": ("postcode", "postal", "zip", "plz"),
    "given_name": ("given", "first", "forename", "fname"),
    "family_name": ("family", "surname", "last", "lname"),
    "code": ("ssn", "soc", "passport", "tax", "card"),
    "place": ("city", "town", "suburb", "state", "region", "country", "number"),
    "address": ("address", "street"),
    "name": ("name", "fullname"),
}
_RULES = 12
_PAIRS_PER_RECORD = 20
_RECALL = 0.7  # of the sure rules that the share of matches is counted by; it need not be exact
_U_PAIRS = 1e6
_LESSONS = 3


@dataclass(frozen=True)
class Quality:
    """How good clusters are by known truth, counted in pairs of records.

    ``precision`` is the share of found pairs that are right, ``recall`` the share of true pairs that were found.
    """

    n_true: int
    n_found: int
    n_right: int

    @property
    def precision(self) -> float:
        """1 where nothing was found."""
        return self.n_right / self.n_found if self.n_found else 1.0

    @property
    def recall(self) -> float:
        """1 where there was nothing to find."""
        return self.n_right / self.n_true if self.n_true else 1.0


@dataclass(frozen=True)
class Linked:
    """Who is whom.

    ``records``: ``record`` (row, from 0), ``cluster`` (numbered by first record), ``match_p`` (of the record's best
    match, null for one without). ``pairs``: ``record_a, record_b, match_p`` of every match, the best first. ``columns``
    are those compared, with their kinds, ``blocks`` the sets of columns in one of which two records had to agree to be
    compared (none: all were), ``quality`` is there if the truth was given.
    """

    records: pa.Table
    pairs: pa.Table
    columns: Mapping[str, str]
    blocks: tuple[tuple[str, ...], ...]
    n_compared: int
    quality: Quality | None

    @property
    def n_clusters(self) -> int:
        """People found."""
        return len(pc.unique(self.records["cluster"]))

    def describe(self) -> list[str]:
        """What was done and found, as lines to print."""
        largest = max(Counter(self.records["cluster"].to_pylist()).values())
        blocks = "; ".join(" and ".join(block) for block in self.blocks)
        lines = [
            "Compared " + ", ".join(f"{name} ({kind})" for name, kind in self.columns.items()),
            f"Pairs    {self.n_compared:,}: " + (f"those that agree in {blocks}" if blocks else "all"),
            f"Found    {len(self.records):,} records are {self.n_clusters:,} people with up to {largest:,} records",
        ]
        if self.quality:
            q = self.quality
            lines.append(
                f"Truth    precision {q.precision:.3f} ({q.n_right:,} of {q.n_found:,} found pairs are right), "
                f"recall {q.recall:.3f} ({q.n_right:,} of {q.n_true:,} true pairs found)"
            )
        return lines


def link_records(
    table: pa.Table,
    *,
    columns: Mapping[str, str] | None = None,
    truth: str | None = None,
    threshold: float = THRESHOLD,
    seed: int = 0,
) -> Linked:
    """Who is whom among the records of a table.

    ``columns`` says what columns hold (:data:`KINDS`); without it, names tell (:func:`guess_kinds`). ``truth`` is a
    column that knows; it is not looked at for linking. Raises SojournError for columns that are not there, where fewer
    than two can be compared, where the records are too unlike to learn from, and where splink is not installed.
    """
    kinds = dict(columns) if columns is not None else guess_kinds(table, leave_out=truth)
    _check(table, kinds, truth, threshold)
    fields = {name: _clean(table[name], kind) for name, kind in kinds.items()}
    # Columns have plain names inside, whatever they are called outside.
    inner = {f"c{i}": name for i, name in enumerate(fields)}
    connection = duckdb.connect(config={"threads": 1})  # sums of floats depend on how rows are shared out
    try:
        rows = pa.table({"unique_id": pa.array(range(len(table))), **{c: fields[name] for c, name in inner.items()}})
        connection.register("records", rows)
        agreeing = _count_agreeing(connection, list(inner))
        blocks = _choose_blocks(len(table), agreeing)
        linker = _fit(connection, rows, {c: kinds[name] for c, name in inner.items()}, agreeing, blocks, seed)
        n_compared, pairs = _predict(linker, threshold)
    finally:
        connection.close()
    records = _cluster(len(table), pairs)
    quality = None if truth is None else measure_quality(records["cluster"].to_pylist(), table[truth].to_pylist())
    spelled = tuple(tuple(inner[c] for c in block) for block in blocks)
    return Linked(records, pairs, kinds, spelled, n_compared, quality)


def guess_kinds(table: pa.Table, *, leave_out: str | None = None) -> dict[str, str]:
    """What each column holds, by its name; columns whose names say nothing are left out.

    >>> guess_kinds(pa.table({"firstName": ["Ann"], "surname": ["Lee"], "date_of_birth": ["1990-01-01"], "x": [1]}))
    {'firstName': 'given_name', 'surname': 'family_name', 'date_of_birth': 'birth'}
    """
    found = {}
    for name in table.column_names:
        parts = [part for part in re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()) if part]
        kinds = [kind for kind, words in _WORDS.items() if any(part.startswith(words) for part in parts)]
        if "email" in kinds and not _holds_emails(table[name]):
            kinds.remove("email")
        if kinds and name != leave_out:
            found[name] = kinds[0]
    return found


def measure_quality(clusters: Sequence[Any], truth: Sequence[Any]) -> Quality:
    """How good clusters are, given who is whom; records whose truth is None are left out.

    >>> measure_quality([0, 0, 0, 1], ["a", "a", "b", "b"])
    Quality(n_true=2, n_found=3, n_right=1)
    """
    known = [(cluster, true) for cluster, true in zip(clusters, truth, strict=True) if true is not None]

    def count(keys: Sequence[Any]) -> int:
        return sum(n * (n - 1) // 2 for n in Counter(keys).values())

    return Quality(count([true for _, true in known]), count([cluster for cluster, _ in known]), count(known))


def _check(table: pa.Table, kinds: Mapping[str, str], truth: str | None, threshold: float) -> None:
    has = f"the table has {', '.join(table.column_names[:20])}"
    problems = [
        Problem("records", f"there is no column '{name}'; {has}", nearest(name, table.column_names))
        for name in [*kinds, *([truth] if truth is not None else [])]
        if name not in table.column_names
    ]
    for name, kind in kinds.items():
        if kind not in KINDS:
            words = f"column '{name}' holds '{kind}', which is none of {', '.join(KINDS)}"
            problems.append(Problem("records", words, nearest(kind, KINDS)))
    if truth in kinds:
        problems.append(Problem("records", f"'{truth}' is the truth, so it cannot be compared"))
    if len(kinds) < 2 and not problems:
        known = f"only '{next(iter(kinds))}'" if kinds else "no column"
        words = f"two columns or more are compared, but {known} is known to hold something to compare; {has}"
        problems.append(Problem("records", words, command="sojourn link --help"))
    if not 0 < threshold < 1:
        problems.append(Problem("threshold", f"{threshold:g} is no probability between 0 and 1"))
    if len(table) < 2:
        problems.append(Problem("records", f"there are {len(table)}; linking needs two or more"))
    if problems:
        raise SojournError(*problems)


def _holds_emails(column: pa.ChunkedArray) -> bool:
    texts = column.cast(pa.string()).drop_null()
    return bool(len(texts)) and 2 * (pc.sum(pc.match_substring(texts, "@")).as_py() or 0) >= len(texts)


def _clean(column: pa.ChunkedArray, kind: str) -> pa.ChunkedArray:
    """Texts made alike where they mean the same; blank is null."""
    texts = pc.utf8_lower(pc.utf8_trim_whitespace(column.cast(pa.string())))
    texts = pc.replace_substring_regex(texts, r"\s+", " ")
    if kind == "phone":
        texts = pc.replace_substring_regex(texts, r"[^0-9]", "")
    elif kind == "postcode":
        texts = pc.replace_substring_regex(texts, r"[^0-9a-z]", "")
    elif kind == "birth":
        texts = pc.replace_substring_regex(texts, r"^(\d{4})(\d{2})(\d{2})$", r"\1-\2-\3")
        texts = pc.replace_substring_regex(texts, r"^(\d{4}-\d{2}-\d{2})[ t].*$", r"\1")
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def _count_agreeing(connection: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> dict[tuple[str, ...], int]:
    """Pairs of records that agree in a column, or in two: how well each tells people apart."""
    found = {}
    for n in (1, 2):
        for block in combinations(columns, n):
            names = ", ".join(block)
            is_there = " AND ".join(f"{name} IS NOT NULL" for name in block)
            groups = f"SELECT count(*) AS n FROM records WHERE {is_there} GROUP BY {names}"  # noqa: S608  the names are ours
            query = f"SELECT sum(n * (n - 1) // 2) FROM ({groups})"  # noqa: S608
            ((count,),) = connection.execute(query).fetchall()  # to the end, or the connection stays in use
            found[block] = int(count or 0)
    return found


def _choose_blocks(n: int, agreeing: Mapping[tuple[str, ...], int]) -> tuple[tuple[str, ...], ...]:
    """Columns in which two records must agree to be compared: the widest conditions that can be afforded."""
    if n * (n - 1) // 2 <= ALL_PAIRS:
        return ()
    affordable = {block: count for block, count in agreeing.items() if 0 < count <= _PAIRS_PER_RECORD * n}
    chosen: list[tuple[str, ...]] = []
    for block in sorted(affordable, key=lambda block: (len(block), -affordable[block], block)):
        if len(chosen) < _RULES and not any(set(other) <= set(block) for other in chosen):
            chosen.append(block)
    if not chosen:
        raise SojournError(
            Problem("records", "no two columns tell records apart well enough to compare a table this large")
        )
    return tuple(chosen)


def _fit(
    connection: duckdb.DuckDBPyConnection,
    rows: pa.Table,
    kinds: Mapping[str, str],
    agreeing: Mapping[tuple[str, ...], int],
    blocks: Sequence[tuple[str, ...]],
    seed: int,
) -> Linker:
    """The model, fitted without labels."""
    try:
        # splink: an extra
        from splink import Linker, SettingsCreator, block_on

        # splink: an extra
        from splink.backends.duckdb import DuckDBAPI

        # splink: an extra
        from splink.blocking_rule_library import CustomRule
    except ImportError as error:
        raise SojournError(Problem("link", "splink is not installed", command="pip install 'sojourn[link]'")) from error
    compared = _group_columns(kinds)
    settings = SettingsCreator(
        "dedupe_only",
        comparisons=[_make_comparison(kind, names) for kind, names in compared],
        blocking_rules_to_generate_predictions=[block_on(*block) for block in blocks] or [CustomRule("1=1")],
        retain_matching_columns=False,
        max_iterations=50,
    )
    linker = Linker(DuckDBAPI(connection).register(rows), settings, log_level=logging.ERROR)
    n = len(rows)
    sure: list[str | BlockingRuleCreator] = [block_on(*block) for block in _choose_sure(n, agreeing)]
    linker.training.estimate_probability_two_random_records_match(sure, recall=_RECALL)
    linker.training.estimate_u_using_random_sampling(max_pairs=_U_PAIRS, seed=seed + 1)  # splink takes 0 for no seed
    from splink.internals.exceptions import EMTrainingException

    n_learned = 0
    for block in _choose_lessons(n, agreeing, compared):
        try:
            linker.training.estimate_parameters_using_expectation_maximisation(
                block_on(*block), estimate_without_term_frequencies=True
            )
        except (ValueError, EMTrainingException):  # too few pairs, of too few kinds
            continue
        n_learned += 1
        if n_learned == _LESSONS:
            break
    if not n_learned:
        raise SojournError(Problem("records", "too few records are alike to learn from what a match looks like"))
    return linker


def _group_columns(kinds: Mapping[str, str]) -> list[tuple[str, tuple[str, ...]]]:
    """What is compared together: a given and a family name, which people swap; else each column alone."""
    given, family = ([c for c, kind in kinds.items() if kind == k] for k in ("given_name", "family_name"))
    both = [("names", (given[0], family[0]))] if given and family else []
    rest = [(kind, (c,)) for c, kind in kinds.items() if not both or c not in both[0][1]]
    return [*both, *rest]


def _make_comparison(kind: str, names: tuple[str, ...]) -> Any:
    """How alike two values may be, in a few levels."""
    # splink: an extra
    import splink.comparison_library as library

    if kind == "names":
        return library.ForenameSurnameComparison(*names)
    (name,) = names
    if kind == "birth":
        return library.DateOfBirthComparison(
            name,
            input_is_string=True,
            invalid_dates_as_null=False,
            datetime_thresholds=[1, 1],
            datetime_metrics=["month", "year"],
        )
    if kind == "email":
        return library.EmailComparison(name)
    if kind == "place":
        return library.LevenshteinAtThresholds(name, 2).configure(term_frequency_adjustments=True)
    if kind == "address":
        return library.JaroWinklerAtThresholds(name, [0.92, 0.8])
    if kind in ("code", "phone", "postcode"):
        return library.DamerauLevenshteinAtThresholds(name, [1, 2])
    return library.NameComparison(name)


def _choose_sure(n: int, agreeing: Mapping[tuple[str, ...], int]) -> Sequence[tuple[str, ...]]:
    """Pairs of columns in which strangers hardly ever agree both: what the share of matches is counted by."""
    n_pairs = n * (n - 1) / 2
    by_chance = {
        (a, b): agreeing[a,] * agreeing[b,] / n_pairs for a, b in (block for block in agreeing if len(block) == 2)
    }
    sure = [block for block, count in by_chance.items() if count <= 0.02 * n]
    return sure or [min(by_chance, key=by_chance.__getitem__)]


def _choose_lessons(
    n: int, agreeing: Mapping[tuple[str, ...], int], compared: Sequence[tuple[str, tuple[str, ...]]]
) -> list[tuple[str, ...]]:
    """Columns to learn the others' likeness from, each of another comparison: those that tell people apart best."""
    blocks = [min(agreeing, key=lambda block: (set(block) != set(names), block)) for _, names in compared]
    useful = [block for block in blocks if 0 < agreeing[block] <= max(ALL_PAIRS, _PAIRS_PER_RECORD * n)]
    return sorted(useful, key=lambda block: (agreeing[block], block))


def _predict(linker: Linker, threshold: float) -> tuple[int, pa.Table]:
    """How many pairs were compared, and those that match."""
    scored = linker.inference.predict().as_duckdbpyrelation()
    ((n_compared,),) = scored.count("*").fetchall()
    matches = scored.filter(f"match_probability >= {float(threshold)!r}").project(
        "least(unique_id_l, unique_id_r) AS record_a, greatest(unique_id_l, unique_id_r) AS record_b, "
        "match_probability AS match_p"
    )
    pairs = matches.order("match_p DESC, record_a, record_b").to_arrow_table()
    return int(n_compared), pairs


def _cluster(n: int, pairs: pa.Table) -> pa.Table:
    """The cluster of each record: matches, and matches of matches."""
    a, b, match_p = (pairs[name].to_numpy() for name in ("record_a", "record_b", "match_p"))
    cluster: NDArray[np.int64] = np.arange(n)
    for records, _ in group_joined(dict(enumerate(zip(a.tolist(), b.tolist(), strict=True)))):
        cluster[list(records)] = min(records)
    best = np.full(n, np.nan)
    for side in (a, b):
        np.fmax.at(best, side, match_p)
    numbers = np.unique(cluster, return_inverse=True)[1]
    return pa.table(
        {"record": np.arange(n), "cluster": numbers, "match_p": pa.array(best, mask=np.isnan(best))},
    )
