"""Numbers of customers made comparable, so that no input counts for more than another because of its unit or its tail.

What is done to each input is chosen by the data and told in words: :attr:`Input.why`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.stats import rankdata

from sojourn.errors import EventsError, Problem, nearest
from sojourn.frames import F8

F4 = NDArray[np.float32]

NUMBER, LOG, FLAG, LEVEL, MISSING, LEFT_OUT = "number", "signed log", "flag", "level", "missing", "left out"
KEYS = ("customer_id", "at")

_SKEWED = 1.0  # moment skewness above which a logarithm is tried
_FENCE = 3.0  # Tukey's outer fence, in interquartile ranges
_MOST_FENCED = 0.05  # a fence that would cut more customers than this is no fence of outliers
_SAME = 0.97  # rank correlation above which two inputs say the same
_RARE = 0.01  # a level or a gap that fewer customers have makes no input
_MOST_LEVELS = 12
_MOST = 1e100  # beyond it no moment of third order is a number any more
_FAR = 1e15  # spreads; an outlier is one at less, and its square must stay a number
_PER_S = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_SAMPLE = 50_000


@dataclass(frozen=True)
class Input:
    """One column of the matrix, and how it is made from a column of the table.

    ``kind``: one of "number", "signed log", "flag", "level" (of a text), "missing" (1 where the value is unknown) and
    "left out". A value ``x`` becomes ``(clip(g(x), low, high) - centre) / scale``, with ``g`` the signed logarithm
    ``sign(x) log(1 + |x| / unit)`` or nothing; an unknown one becomes 0, the middle.
    """

    column: str
    kind: str
    why: str
    level: str = ""
    unit: float = 1.0
    centre: float = 0.0
    scale: float = 1.0
    low: float = -np.inf
    high: float = np.inf

    @property
    def name(self) -> str:
        """What the input is called: its column, with the level or ``missing`` where it is one of those."""
        if self.kind == LEVEL:
            return f"{self.column} = {self.level}"
        return f"{self.column} unknown" if self.kind == MISSING else self.column

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Preparation:
    """How a table becomes a matrix: the inputs that are used in order, and those left out with the reason."""

    inputs: tuple[Input, ...]
    left_out: tuple[Input, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the matrix's columns."""
        return tuple(one.name for one in self.inputs)

    def apply(self, table: pa.Table, *, is_clipped: bool = True) -> F4:
        """The matrix ``[customers, inputs]``; with ``is_clipped`` off, tails stay as long as they are."""
        matrix = np.empty((table.num_rows, len(self.inputs)), np.float32)
        column, known = None, np.empty(0)
        for j, one in enumerate(self.inputs):
            if one.kind == LEVEL:
                matrix[:, j] = _is_level(table[one.column], one.level)
                continue
            if one.column != column:
                column, known = one.column, read_numbers(table[one.column])
            matrix[:, j] = _make(one, known, is_clipped)
        return matrix


def read_numbers(column: Any) -> F8:
    """A column as float64 with NaN where it is null, infinite or beyond 1e100; instants, durations and times of day as
    seconds, dates as those of their midnight.

    >>> from datetime import date
    >>> read_numbers(pa.array([date(1970, 1, 2), None])).tolist()
    [86400.0, nan]
    """
    kind = column.type
    if pa.types.is_date(kind):
        column, kind = column.cast(pa.timestamp("ms")), pa.timestamp("ms")
    per_s = _PER_S[kind.unit] if pa.types.is_temporal(kind) else 1.0
    if pa.types.is_temporal(kind):
        column = column.cast(pa.int32() if kind.bit_width == 32 else pa.int64())
    values: F8 = np.array(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=float) / per_s
    values[~(np.abs(values) <= _MOST)] = np.nan
    return values


def learn_preparation(
    table: pa.Table, inputs: Sequence[str] | None = None, *, protected: Iterable[str] = (), seed: int = 0
) -> Preparation:
    """What is to be done to each input: which get a logarithm, where tails are cut, what is left out and why.

    ``inputs``: columns of the table; by default all but ``customer_id``, ``at`` and the protected ones. It learns
    from a sample of 50,000 customers. Raises EventsError for an input that is protected or is no column, and where
    nothing is left that tells customers apart.

    >>> table = pa.table({"customer_id": list("abcdef"), "spend": [1.0, 2, 3, 5, 8, 900], "same": [1.0] * 6})
    >>> found = learn_preparation(table)
    >>> [(one.name, one.kind) for one in (*found.inputs, *found.left_out)]
    [('spend', 'signed log'), ('same', 'left out')]
    """
    forbidden = set(protected)
    asked = table.column_names if inputs is None else inputs
    names = [n for n in dict.fromkeys(asked) if inputs is not None or n not in {*KEYS, *forbidden}]
    _check_inputs(names, table, forbidden)
    if table.num_rows > _SAMPLE:
        rows = np.sort(np.random.default_rng(seed).choice(table.num_rows, _SAMPLE, replace=False))
        table = table.take(pa.array(rows))
    found = [one for name in names for one in _learn_column(name, table[name])]
    used = [one for one in found if one.kind != LEFT_OUT]
    same = _find_same(used, table)
    used = [one for one in used if one not in same]
    if not used:
        raise EventsError(Problem("inputs", f"nothing tells the {table.num_rows:,} customers apart"))
    return Preparation(tuple(used), (*(one for one in found if one.kind == LEFT_OUT), *same.values()))


def _check_inputs(names: Sequence[str], table: pa.Table, forbidden: set[str]) -> None:
    problems = []
    last = {one.rpartition(".")[2].lower() for one in forbidden}
    for name in names:
        if name in forbidden or name.rpartition(".")[2].removeprefix("f_").lower() in last:
            problems.append(Problem("inputs", f"'{name}' is protected: it may be audited, but never be an input"))
        elif name not in table.column_names:
            near = nearest(name, table.column_names)
            problems.append(Problem("inputs", f"there is no column '{name}'", near))
    if problems:
        raise EventsError(*problems)


_NUMBERS = (
    pa.types.is_temporal,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal,
    pa.types.is_boolean,
    pa.types.is_null,
)


def _learn_column(name: str, column: Any) -> list[Input]:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _learn_levels(name, column)
    is_number = any(is_kind(kind) for is_kind in _NUMBERS) and not pa.types.is_interval(kind)
    if not is_number:
        return [Input(name, LEFT_OUT, f"a column of {kind} is no number")]
    values = read_numbers(column)
    known = values[~np.isnan(values)]
    gap = 1 - len(known) / max(len(values), 1)
    found: list[Input] = []
    if _RARE <= gap <= 1 - _RARE:
        found.append(Input(name, MISSING, f"{100 * gap:.0f} % are unknown, which may say something"))
    distinct = np.unique(known)
    if len(distinct) < 2:
        what = "unknown for all" if not len(distinct) else "the same for all that have it"
        return [*found, Input(name, LEFT_OUT, what)] if not found or len(distinct) else [Input(name, LEFT_OUT, what)]
    if len(distinct) == 2:
        low, high = map(float, distinct)
        return [Input(name, FLAG, "two values: 0 and 1", centre=low, scale=high - low), *found]
    return [_learn_number(name, known), *found]


def _learn_number(name: str, known: F8) -> Input:
    """Logarithm where it takes the skew away, fences where tails are long, then the spread as the unit."""
    size = np.abs(known[known != 0])
    unit = float(np.median(size)) if len(size) else 1.0
    plain, logged = known, _signed_log(known, unit)
    raw, tamed = _skewness(plain), _skewness(logged)
    is_log = abs(raw) > _SKEWED and abs(tamed) < abs(raw)
    values = logged if is_log else plain
    low, high = _find_fences(values)
    n_cut = float(np.mean((values < low) | (values > high)))
    why = f"skewness {raw:.1f}, {tamed:.1f} as a signed logarithm" if is_log else f"skewness {raw:.1f}"
    why += f"; tails of {100 * n_cut:.1g} % are cut" if n_cut else ""
    inside = np.clip(values, low, high)
    scale = float(inside.std())
    if scale <= 1e-12 * max(1.0, abs(float(np.median(inside)))):
        return Input(name, LEFT_OUT, "the same for nearly all that have it")
    return Input(name, LOG if is_log else NUMBER, why, "", unit, float(np.median(values)), scale, low, high)


def _learn_levels(name: str, column: Any) -> list[Input]:
    counts = sorted(
        ((row["values"].as_py(), row["counts"].as_py()) for row in pc.value_counts(column.combine_chunks())),
        key=lambda pair: (-pair[1], str(pair[0])),
    )
    n = max(len(column), 1)
    common = [(level, count) for level, count in counts if level is not None and _RARE <= count / n <= 1 - _RARE]
    if not common or (len(counts) > _MOST_LEVELS and common[0][1] / n < 2 * _RARE):
        return [Input(name, LEFT_OUT, f"a text of {len(counts):,} values, none of them common")]
    return [
        Input(name, LEVEL, f"{100 * count / n:.0f} % have it", level=str(level))
        for level, count in common[:_MOST_LEVELS]
    ]


def _find_same(used: Sequence[Input], table: pa.Table) -> dict[Input, Input]:
    """Inputs that say what an earlier one says already, as ranks; they would count twice."""
    numbers = [one for one in used if one.kind in (NUMBER, LOG)]
    if len(numbers) < 2 or table.num_rows < 20:
        return {}
    ranks = np.stack([rankdata(_make(one, read_numbers(table[one.column]), True)) for one in numbers])
    related = np.abs(np.corrcoef(ranks))
    same: dict[Input, Input] = {}
    for j, one in enumerate(numbers):
        for i in range(j):
            if numbers[i] not in same and related[i, j] > _SAME:
                why = f"says the same as {numbers[i].name}: rank correlation {related[i, j]:.2f}"
                same[one] = Input(one.column, LEFT_OUT, why)
                break
    return same


def _make(one: Input, values: F8, is_clipped: bool) -> F8:
    if one.kind == MISSING:
        return np.isnan(values).astype(float)
    if one.kind == LOG:
        values = _signed_log(values, one.unit)
    if is_clipped:
        values = np.clip(values, one.low, one.high)
    return np.clip(np.nan_to_num((values - one.centre) / one.scale), -_FAR, _FAR)


def _is_level(column: Any, level: str) -> NDArray[np.bool_]:
    found = pc.fill_null(pc.equal(column.cast(pa.string()), level), False)
    return np.asarray(found.to_numpy(zero_copy_only=False), bool)


def _signed_log(values: F8, unit: float) -> F8:
    return np.asarray(np.sign(values) * np.log1p(np.abs(values) / unit))


def _skewness(values: F8) -> float:
    middle = values - values.mean()
    spread = middle.std()
    return float((middle**3).mean() / spread**3) if spread > 0 else 0.0


def _find_fences(values: F8) -> tuple[float, float]:
    """Where tails are cut: three interquartile ranges beyond the quartiles, or one customer in 200 on each side."""
    q1, q3 = np.quantile(values, [0.25, 0.75])
    low, high = q1 - _FENCE * (q3 - q1), q3 + _FENCE * (q3 - q1)
    if np.mean((values < low) | (values > high)) > _MOST_FENCED:
        low, high = np.quantile(values, [0.005, 0.995])
    return float(low), float(high)
