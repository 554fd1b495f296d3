"""Customers with a known truth, to test what an analysis claims to find.

The world is not from the family of the state model: dwell is log-normal, events come in bursts, everybody has own
tastes and an own rhythm, and touches change hazards by known factors. docs/reference/simulate.md lists the
assumptions; ``sojourn.simulate_world`` holds the numbers.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sojourn.errors import Problem, SojournError, nearest
from sojourn.frames import Progress
from sojourn.simulation.events import COLUMNS, Codes, draw_events
from sojourn.simulation.life import draw_lives
from sojourn.simulation.people import Clock, draw_people
from sojourn.simulation.rows import RAW, make_batch
from sojourn.simulation.tables import identity_table, pairs_of, people_table, truth_table
from sojourn.simulation.world import DAY, EFFECTS, STATES, TOUCHES, Effect, describe_world

__all__ = ["EFFECTS", "STATES", "Effect", "Simulation", "simulate", "simulate_to", "true_state_at", "write_simulation"]


START = datetime(2025, 1, 1, tzinfo=UTC)
BLOCK = 1000  # customers drawn together, from one seed: results do not depend on how blocks are put into chunks
WINDOW_US = 7 * 86_400_000_000  # rows are put in time order a week at a time
MOST_CUSTOMERS = 9_999_999  # ids have seven digits


@dataclass(frozen=True)
class Simulation:
    """What happened (``events``: raw rows by time) and what is true (all the rest).

    ``truth`` has the state of each customer from instant to instant, ``customers`` who they are, ``identities`` which
    anonymous ids are theirs, ``effects`` the true numbers, those of the touches first of all.
    """

    events: pa.Table
    truth: pa.Table
    customers: pa.Table
    identities: pa.Table
    effects: dict[str, Any]


@dataclass(frozen=True)
class _Plan:
    n_customers: int
    days: float
    seed: int
    start: datetime
    is_resolved: bool
    blemishes: float
    effects: tuple[Effect, ...]

    @property
    def start_us(self) -> int:
        return _microseconds(self.start)

    @property
    def horizon_s(self) -> float:
        return self.days * DAY

    @property
    def n_blocks(self) -> int:
        return -(-self.n_customers // BLOCK)


def simulate(
    n_customers: int,
    *,
    days: float = 180,
    seed: int = 0,
    start: datetime = START,
    is_resolved: bool = True,
    blemishes: float = 0.0,
    effects: Iterable[Effect] = EFFECTS,
    progress: Progress | None = None,
) -> Simulation:
    """The events of ``n_customers`` over ``days`` from ``start``, and the truth about them.

    ``is_resolved``: every row names its customer and no anonymous id is shared; otherwise ``user_id`` is there only
    while the customer was logged in. ``blemishes``: share of rows that go wrong (sent twice, impossible dates, no
    ids). ``effects``: what touches truly do; ``()`` makes a world where they do nothing. The same arguments give the
    same rows. About 290 events a customer in 180 days; 10 million events need about 2 GB.

    Raises ``SojournError`` for arguments that make no sense.

    >>> world = simulate(20, days=30, seed=1)
    >>> sorted(set(world.truth["state"].to_pylist())) <= sorted(STATES)
    True
    """
    plan = _check(_Plan(n_customers, days, seed, start, is_resolved, blemishes, tuple(effects)))
    parts = [_draw_block(plan, block) for block in _with_progress(plan, progress)]
    batches = list(_in_time_order([codes for codes, _ in parts], plan))
    pairs = np.concatenate([tables.pairs for _, tables in parts])
    return Simulation(
        events=pa.Table.from_batches(batches, schema=RAW),
        truth=pa.concat_tables([tables.truth for _, tables in parts]),
        customers=pa.concat_tables([tables.customers for _, tables in parts]),
        identities=identity_table(_sorted_pairs(pairs)),
        effects=describe_world(plan.effects),
    )


def write_simulation(simulation: Simulation, folder: str | Path) -> dict[str, Path]:
    """The files written to ``folder``: events, truth, customers and identities as Parquet, effects as JSON.

    Each file appears whole or not at all. The bytes are those that ``simulate_to`` writes.
    """
    return _write(
        Path(folder),
        simulation.events.to_batches(),
        simulation.truth,
        simulation.customers,
        simulation.identities,
        simulation.effects,
    )


def simulate_to(
    folder: str | Path,
    n_customers: int,
    *,
    days: float = 180,
    seed: int = 0,
    start: datetime = START,
    is_resolved: bool = True,
    blemishes: float = 0.0,
    effects: Iterable[Effect] = EFFECTS,
    chunk: int = 10_000,
    progress: Progress | None = None,
) -> dict[str, Path]:
    """The same files as ``write_simulation(simulate(…), folder)``, byte for byte, in bounded memory.

    ``chunk`` customers at a time (in whole thousands) are drawn and kept in a temporary folder beside the result,
    then merged week by week. Memory: about 30 kB a customer of a chunk, and one week of all customers.
    """
    plan = _check(_Plan(n_customers, days, seed, start, is_resolved, blemishes, tuple(effects)))
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    spill = Path(tempfile.mkdtemp(prefix=".simulate-", dir=target))
    try:
        paths: list[Path] = []
        held: list[Codes] = []
        tables: list[_Tables] = []
        for block in _with_progress(plan, progress):
            codes, made = _draw_block(plan, block)
            held.append(codes)
            tables.append(made)
            if len(held) * BLOCK >= chunk or block == plan.n_blocks - 1:
                paths.append(_spill(_merge(held), spill / f"{block}.arrow"))
                held = []
        return _write(
            target,
            _in_time_order([_unspill(path) for path in paths], plan),
            pa.concat_tables([made.truth for made in tables]),
            pa.concat_tables([made.customers for made in tables]),
            identity_table(_sorted_pairs(np.concatenate([made.pairs for made in tables]))),
            describe_world(plan.effects),
        )
    finally:
        shutil.rmtree(spill, ignore_errors=True)


def true_state_at(truth: pa.Table, customer_ids: Any, instants: Any) -> NDArray[np.int8]:
    """The true state of each customer at each instant, as a position in ``STATES``; −1 where the truth says nothing.

    ``customer_ids`` is an Arrow array (or anything that becomes one) of strings; ``instants`` an Arrow array of
    timestamps, or a NumPy array of ``datetime64`` or of microseconds since 1970. Both of the same length. A stay
    holds from its ``from_at`` to just before its ``to_at``.

    >>> world = simulate(3, days=30, seed=4)
    >>> rows = world.truth.slice(0, 2)
    >>> codes = true_state_at(world.truth, rows["customer_id"], rows["from_at"])
    >>> [STATES[code] for code in codes] == rows["state"].to_pylist()
    True
    """
    owners = truth["customer_id"].combine_chunks().dictionary_encode()
    code = np.asarray(owners.indices)
    from_us, to_us = _as_us(truth["from_at"]), _as_us(truth["to_at"])
    order = np.lexsort((from_us, code))
    code, from_us, to_us = code[order], from_us[order], to_us[order]
    known = truth["state"].combine_chunks()
    names = pa.array(STATES)
    state = np.asarray(pc.index_in(known.cast(pa.string()), names))[order]

    ids = customer_ids if isinstance(customer_ids, pa.Array | pa.ChunkedArray) else pa.array(customer_ids)
    asked = pc.fill_null(pc.index_in(ids.cast(pa.string()), owners.dictionary), -1)
    who, at = np.asarray(asked, dtype=np.int64), _as_us(instants)
    low = np.searchsorted(code, who, side="left")
    high = np.searchsorted(code, who, side="right")
    row = _last_not_after(from_us, at, low, high)
    inside = row >= low
    safe = np.maximum(row, 0)
    inside &= at < to_us[safe]
    return np.where(inside, state[safe], -1).astype(np.int8)


def _last_not_after(
    times: NDArray[np.int64], at: NDArray[np.int64], low: NDArray[np.int64], high: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The last row in [low, high) whose time is not after ``at``, or ``low - 1``. One bisection for all."""
    left, right = low.copy(), high.copy()
    while (left < right).any():
        middle = (left + right) // 2
        is_later = times[np.minimum(middle, len(times) - 1)] > at
        is_open = left < right
        left = np.where(is_open & ~is_later, middle + 1, left)
        right = np.where(is_open & is_later, middle, right)
    return left - 1


def _as_us(instants: Any) -> NDArray[np.int64]:
    if isinstance(instants, pa.Array | pa.ChunkedArray):
        flat = instants.combine_chunks() if isinstance(instants, pa.ChunkedArray) else instants
        return np.asarray(flat.cast(pa.timestamp("us", tz=flat.type.tz)).cast(pa.int64()))
    found = np.asarray(instants)
    if found.dtype.kind == "M":
        return found.astype("datetime64[us]").astype(np.int64)
    return found.astype(np.int64)


@dataclass(frozen=True)
class _Tables:
    truth: pa.Table
    customers: pa.Table
    pairs: NDArray[np.int64]


def _check(plan: _Plan) -> _Plan:
    """The plan, if it can be carried out."""
    problems: list[Problem] = []

    def refuse(what: str, near: str | None = None) -> None:
        problems.append(Problem("simulate", what, near=near))

    if not 1 <= plan.n_customers <= MOST_CUSTOMERS:
        refuse(f"n_customers is {plan.n_customers}, not between 1 and {MOST_CUSTOMERS:,}")
    if not 1 <= plan.days <= 3650:
        refuse(f"days is {plan.days}, not between 1 and 3,650")
    if plan.seed < 0:
        refuse(f"seed is {plan.seed}, not 0 or more")
    if plan.start.tzinfo is None:
        refuse("start has no time zone")
    if not 0 <= plan.blemishes < 1:
        refuse(f"blemishes is {plan.blemishes}, not a share from 0 to below 1")
    for effect in plan.effects:
        for word, names in ((effect.touch, TOUCHES), (effect.from_state, STATES), (effect.to_state, STATES)):
            if word not in names:
                refuse(f"effect names '{word}', not one of {', '.join(names)}", nearest(word, names))
        if effect.multiplier < 1 or effect.window_s <= 0:
            refuse(f"effect of '{effect.touch}' needs a multiplier of at least 1 and a window over 0 s")
    if problems:
        raise SojournError(*problems)
    return plan


def _with_progress(plan: _Plan, progress: Progress | None) -> Iterator[int]:
    for block in range(plan.n_blocks):
        yield block
        if progress:
            progress("simulate", min((block + 1) * BLOCK, plan.n_customers), plan.n_customers)


def _draw_block(plan: _Plan, block: int) -> tuple[Codes, _Tables]:
    """Events and truth of the customers of one block."""
    rng = np.random.Generator(np.random.PCG64([plan.seed, block]))
    n = min(BLOCK, plan.n_customers - block * BLOCK)
    start = plan.start.astimezone(UTC)
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    clock = Clock(start.weekday() * DAY + (start - midnight).total_seconds())
    people = draw_people(rng, block * BLOCK, n, plan.horizon_s)
    lives = draw_lives(rng, people, clock, plan.horizon_s, plan.effects)
    codes = draw_events(rng, people, lives, plan.start_us, plan.horizon_s, plan.blemishes)
    return codes, _Tables(
        truth_table(people, lives, plan.start_us, plan.horizon_s),
        people_table(people, lives, plan.start_us, plan.horizon_s),
        pairs_of(codes),
    )


def _microseconds(at: datetime) -> int:
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _sorted_pairs(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _merge(parts: list[Codes]) -> Codes:
    """One set of columns, sorted by (time, customer, serial)."""
    merged = {name: np.concatenate([part[name] for part in parts]) for name in COLUMNS}
    order = np.lexsort((merged["serial"], merged["who"], merged["time_us"]))
    return {name: column[order] for name, column in merged.items()}


def _in_time_order(parts: list[Codes], plan: _Plan) -> Iterator[pa.RecordBatch]:
    """Raw rows of all parts by time, a batch for each week; what lies outside the window goes first and last."""
    n_weeks = int(np.ceil(plan.horizon_s * 1e6 / WINDOW_US))
    edges = plan.start_us + np.arange(n_weeks + 1) * WINDOW_US
    edges[-1] = plan.start_us + int(plan.horizon_s * 1e6)
    cuts = [np.concatenate([[0], np.searchsorted(part["time_us"], edges), [len(part["who"])]]) for part in parts]
    for week in range(len(edges) + 1):
        pieces = [
            {name: column[cut[week] : cut[week + 1]] for name, column in part.items()}
            for part, cut in zip(parts, cuts, strict=True)
        ]
        merged = _merge(pieces)
        if len(merged["who"]):
            yield make_batch(merged, plan.is_resolved)


def _spill(codes: Codes, path: Path) -> Path:
    table = pa.table(codes)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return path


def _unspill(path: Path) -> Codes:
    """The columns of a spilled file, as views of the mapped file."""
    table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    return {name: table[name].combine_chunks().to_numpy(zero_copy_only=True) for name in COLUMNS}


def _write(
    folder: Path,
    batches: Iterable[pa.RecordBatch],
    truth: pa.Table,
    customers: pa.Table,
    identities: pa.Table,
    effects: dict[str, Any],
) -> dict[str, Path]:
    """The files, each under a temporary name until all are complete."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {"truth": truth, "customers": customers, "identities": identities}
    names = {name: f"{name}.parquet" for name in ("events", *tables)} | {"effects": "effects.json"}
    pending = {name: folder / f".{file}.{os.getpid()}.tmp" for name, file in names.items()}
    try:
        with pq.ParquetWriter(pending["events"], RAW, compression="zstd") as writer:
            for batch in batches:
                writer.write_batch(batch)
        for name, table in tables.items():
            pq.write_table(table, pending[name], compression="zstd")
        pending["effects"].write_text(json.dumps(effects, indent=2) + "\n", encoding="utf-8")
        for name, path in pending.items():
            os.replace(path, folder / names[name])
    finally:
        for path in pending.values():
            path.unlink(missing_ok=True)
    return {name: folder / file for name, file in names.items()}
