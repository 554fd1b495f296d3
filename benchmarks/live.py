"""The live engine: events per second, how soon a change is visible, reads, audiences, memory, and a start.

Run: python benchmarks/live.py [--seconds 10] [--customers 1000000] [--folder DIR] [--only http,audiences]

Four parts. `http`: a real `sojourn serve` on a new project, with the generator of `load.py` beside it on the same two
cores; a call counts when its acknowledgement has come, which is after it is on disk; the reference for that is one
transaction per event in the same database, in the same run. `process`: the engine alone, without HTTP. `audiences`: the
engine in this process with 5 and with 500 audience definitions, CPU time per event of both, in turns. `memory`: as many
customers as asked for, with the bytes that they take, by what they are for, and how long a start takes with a snapshot
and without.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from live_server import LiveServer, open_server
from load import choose_probe

from sojourn.act.changes import Change
from sojourn.live.engine.environment import open_version
from sojourn.live.engine.live import Live
from sojourn.live.engine.records import apply_record
from sojourn.live.engine.recovery import recover, save_snapshot
from sojourn.live.engine.service import Request
from sojourn.live.engine.version.version import Version
from sojourn.live.open import open_live
from sojourn.live.replay.calls import read_calls
from sojourn.live.settings import load_settings
from sojourn.live.store.calls import decode_calls, encode_calls
from sojourn.live.store.changes import NOTHING, Profile, StoredChange
from sojourn.live.store.log import NewRecord
from sojourn.live.store.store import open_store
from sojourn.playbook.load import load_playbook, parse_playbook
from sojourn.server.process import set_pace
from sojourn.simulation.customers import simulate
from sojourn.states.model import draft_state_model

ROOT = Path(__file__).resolve().parent.parent
START_US = 1_780_000_000_000_000
PARTS = ("http", "process", "audiences", "memory")
CALL = b'{"type":"track","userId":"user-%07d","anonymousId":"a%07d-8d3f","messageId":"m%d","event":"%s"}'
RUNS = (  # batch, events a second, connections, probes and reads a second
    (100, "max", 32, 0, 0), (20, "max", 32, 0, 0), (1, "max", 64, 0, 0),
    (20, "1000", 4, 20, 0), (20, "10000", 32, 20, 0), (20, "10000", 32, 20, 250), (20, "10000", 32, 20, 500),
)  # fmt: skip


def say(row: dict[str, Any]) -> None:
    """A row of the table, and the same as JSON."""
    print("| " + " | ".join(str(value) for value in row.values()) + " |", flush=True)


def head(names: list[str]) -> None:
    """The head of a table."""
    print("| " + " | ".join(names) + " |\n|" + "---|" * len(names), flush=True)


# Over HTTP


def measure_http(folder: Path, seconds: float) -> list[dict[str, Any]]:
    """Throughput, latencies and reads of a real server."""
    playbook = (files("sojourn.playbook") / "ready" / "shop.yaml").read_text(encoding="utf-8")
    head(["batch", "events/s asked", "acknowledged", "ack p50 ms", "ack p99 ms", "visible p50 ms", "visible p99 ms",
          "reads/s", "read p50 ms", "read p99 ms"])  # fmt: skip
    rows = []
    with open_server(folder / "http", playbook) as server:
        load(server, (100, "max", 16, 0, 0), 3)  # what is compiled is loaded then
        for run in RUNS:
            found = load(server, run, seconds)
            sent, reads, visible = (found.get(name, {}) for name in ("sent", "reads", "visible"))
            rows.append(
                {
                    "batch": run[0], "asked": run[1], "acknowledged": sent["events_per_s"],
                    "ack_p50": sent["p50_ms"], "ack_p99": sent["p99_ms"], "visible_p50": visible.get("p50_ms", ""),
                    "visible_p99": visible.get("p99_ms", ""), "reads": run[4] or "",
                    "read_p50": reads.get("p50_ms", ""), "read_p99": reads.get("p99_ms", ""),
                }
            )  # fmt: skip
            say(rows[-1])
    one_by_one = commit_one_by_one(folder)
    print(f"\nOne transaction per event in SQLite, the same durability: {one_by_one:,.0f} events/s; "
          f"ours at batches of 100 is {rows[0]['acknowledged'] / one_by_one:.1f} times that.\n")  # fmt: skip
    return rows


def load(server: LiveServer, run: tuple[Any, ...], seconds: float) -> dict[str, Any]:
    batch, rate, connections, probes, reads = run
    command = [
        sys.executable, str(ROOT / "benchmarks" / "load.py"), "--to", server.url, "--key", server.keys["write"],
        "--read-key", server.keys["read"], "--playbook", "shop", "--batch", str(batch), "--rate", rate,
        "--seconds", str(seconds), "--connections", str(connections), "--probes", str(probes), "--reads", str(reads),
        "--json",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def commit_one_by_one(folder: Path, seconds: float = 3.0) -> float:
    """Events a second when every one is a transaction of its own."""
    database = sqlite3.connect(folder / "one.sqlite", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE log (position INTEGER PRIMARY KEY, payload BLOB)")
    payload, n, end = b"x" * 400, 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        database.execute("INSERT INTO log (payload) VALUES (?)", (payload,))
        n += 1
    database.close()
    return n / seconds


# In this process


def measure_process(folder: Path, seconds: float) -> list[dict[str, Any]]:
    """How soon a change is told after its call was handed over, without HTTP; Python is told what `serve` tells it."""
    set_pace()
    text = (files("sojourn.playbook") / "ready" / "shop.yaml").read_text(encoding="utf-8")
    head(["events/s, in this process", "told p50 ms", "told p99 ms"])
    rows = []
    for rate in (1_000, 10_000):
        project = folder / f"process-{rate}"
        (project / "live").mkdir(parents=True)
        (project / "playbook.yaml").write_text(text, encoding="utf-8")
        with open_store(load_settings(project).store) as store:
            live = open_live(project, load_settings(project), store)
            live.start()
            while not live.is_ready:
                time.sleep(0.01)
            asyncio.run(hand_over(live, 10_000, 4.0))  # what is compiled is loaded then, and the second process runs
            told = 1_000 * np.array(asyncio.run(hand_over(live, rate, seconds)))
            live.stop(30)
        p50, p99 = np.quantile(told, [0.5, 0.99]).round(1).tolist()
        rows.append({"asked": rate, "told_p50": p50, "told_p99": p99})
        say(rows[-1])
    return rows


async def hand_over(live: Live, rate: int, seconds: float, batch: int = 20) -> list[float]:
    """Seconds from handing over the last call of a moment to being told of it, for twenty customers a second."""
    names = choose_probe(load_playbook("shop"))
    told: dict[str, float] = {}
    sent: dict[str, float] = {}

    def listen(changes: Sequence[Change]) -> None:
        now = time.perf_counter()
        for change in changes:
            if change.kind == "moment":
                told.setdefault(change.customer_id, now)

    stop, rng = live.subscribe(listen), np.random.default_rng(rate)
    start, run = time.perf_counter(), time.time_ns()
    for n in range(int(rate * seconds / batch)):
        await asyncio.sleep(max(start + n * batch / rate - time.perf_counter(), 0))
        users = rng.integers(0, 50_000, batch).tolist()
        calls = [CALL % (user, user, run + n * batch + i, b"Product Viewed") for i, user in enumerate(users)]
        live.submit(Request(calls, "", time.time_ns() // 1_000, None, "k"))
        if n % max(rate // (20 * batch), 1) == 0:
            who = f"probe-{run}-{n}"
            probe = [json.dumps({"type": "track", "userId": who, "event": name}).encode() for name in names]
            sent[who] = time.perf_counter()
            live.submit(Request(probe, "", time.time_ns() // 1_000, None, "k"))
    end = time.perf_counter() + 30
    while not sent.keys() <= told.keys() and time.perf_counter() < end:
        await asyncio.sleep(0.01)
    stop()
    return [told[who] - at for who, at in sent.items()]


# Audiences


def measure_audiences(n_events: int = 60_000) -> dict[str, Any]:
    """CPU time per event with 5 and with 500 audiences."""
    text = (files("sojourn.playbook") / "ready" / "shop.yaml").read_text(encoding="utf-8")
    calls = read_calls(simulate(500, days=60, seed=1).events, load_playbook("shop"))
    raw = calls.write(0, min(n_events, len(calls)))
    at = calls.at[: len(raw)].tolist()
    best: dict[int, float] = {}
    for _ in range(3):
        for n in (5, 500):
            with tempfile.TemporaryDirectory() as folder:
                version = make_version(Path(folder), with_audiences(text, n))
                begin = time.process_time()
                feed(version, raw, at)
                cost = (time.process_time() - begin) / len(raw) * 1e6
            best[n] = min(best.get(n, cost), cost)
    found = {"us_5": round(best[5], 1), "us_500": round(best[500], 1), "ratio": round(best[500] / best[5], 2)}
    head(["CPU µs per event, 5 audiences", "500 audiences", "ratio"])
    say(found)
    return found


def with_audiences(text: str, n: int) -> str:
    """The playbook with this many audiences of all kinds, its own among them."""
    own = len(parse_playbook(text).audiences)
    rules = (
        "state == '{s}' and state_p > 0.{a}", "count(product_view, within={d}d) >= {a}",
        "recency(purchase) > {d}d and state == '{s}'", "spend > {d}0 and checking_share > 0.{a}",
        "count(price_check, half_life={d}d) > 0.{a}",
    )  # fmt: skip
    states = ("discovery", "decision", "commitment", "reinforcement", "fading")
    made = [
        f'  a{i}: {{purpose: marketing, when: "{rule}"}}'
        for i in range(n - own)
        for rule in [rules[i % 5].format(s=states[i // 5 % 5], a=1 + i // 25 % 9, d=1 + i // 5 % 30)]
    ]
    return text.replace("\naudiences:\n", "\naudiences:\n" + "\n".join(made) + "\n", 1)


def make_version(folder: Path, playbook: str) -> Version:
    """A version whose store has nothing."""
    parsed = parse_playbook(playbook)
    model, within_us = draft_state_model(parsed), 30 * 86_400_000_000
    return Version(1, parsed, model, folder / "past", duplicates_within_us=within_us, stored=NothingStored())


class NothingStored:
    """A store with nothing in it."""

    def customer_changes(self, customer_ids: Sequence[str], *, include_revoked: bool = False) -> list[StoredChange]:
        return []

    def read_profiles(self, nodes: Sequence[int]) -> dict[int, Profile]:
        return {}


def feed(version: Version, raw: list[bytes], at: list[int], batch: int = 500) -> None:
    """Apply calls in records, each at the instant of its last one."""
    for position, begin in enumerate(range(0, len(raw), batch), 1):
        some, now = raw[begin : begin + batch], at[min(begin + batch, len(raw)) - 1]
        version.take_calls(position, now, decode_calls(encode_calls(some, 0, now, None, "k")))


# Memory and starts


def measure_memory(folder: Path, n_customers: int, playbook: str) -> dict[str, Any]:
    """Bytes per customer, and how long a start takes."""
    project = folder / f"memory-{playbook}"
    project.mkdir()
    text = (
        SMALL if playbook == "small" else (files("sojourn.playbook") / "ready" / f"{playbook}.yaml").read_text("utf-8")
    )
    (project / "playbook.yaml").write_text(text, encoding="utf-8")
    (project / "live").mkdir()
    settings = load_settings(project)
    rng, now = np.random.default_rng(1), START_US
    names = [b"Product Viewed", b"Price Checked", b"Order Completed"]
    with open_store(settings.store) as store:
        live = open_live(project, settings, store)
        version = open_version(live.env, 1)
        for begin in range(0, 2 * n_customers, 20_000):
            which = rng.integers(0, 3, 20_000).tolist()
            users = [(begin + i) % n_customers for i in range(20_000)]
            raw = [
                CALL % (user, user, begin + i, names[w]) for i, (user, w) in enumerate(zip(users, which, strict=True))
            ]
            now += 20_000_000
            record = NewRecord(at=now, kind="calls", n=len(raw), payload=encode_calls(raw, 0, now, None, "k"))
            position = store.append([record])
            apply_record(version, next(iter(store.read_log(position - 1))))
        n_bytes, n_saved = version.n_bytes, time.perf_counter()
        save_snapshot(live.env.folder, version)
        save_s = time.perf_counter() - n_saved
        parts = {"customers": version.customers, "ids": version.identities, "messages": version.intake.recent}
        sizes = {name: part.n_bytes / n_customers * 1e6 / 2**30 for name, part in parts.items()}
        version.event_files.close()
        times = {}
        for how in ("snapshot", "whole log"):
            begin_s = time.perf_counter()
            found = recover(store, live.env.folder, partial(open_version, live.env), lambda *_: NOTHING, lambda _: None)
            times[how] = time.perf_counter() - begin_s
            assert found.version.customers.n_customers == n_customers
            found.version.event_files.close()
            (live.env.folder / "snapshot.arrow").unlink(missing_ok=True)
    row = {
        "playbook": playbook, "slots": version.steps.layout.n_slots, "customers": n_customers,
        "gib_per_million": round(n_bytes / n_customers * 1e6 / 2**30, 2),
        **{f"{name}_gib": round(size, 2) for name, size in sizes.items()},
        "snapshot_s": round(save_s, 1), "start_s": round(times["snapshot"], 1),
        "replay_s": round(times["whole log"], 1),
    }  # fmt: skip
    say(row)
    return row


SMALL = """
playbook: small
source: {customer: [user_id, anonymous_id], time: timestamp, event: event, id: message_id}
events:
  look: {name: Product Viewed}
  compare: {name: Price Checked}
  buy: {name: Order Completed}
features:
  comparing: count(compare, half_life=2d) / count(any, half_life=2d)
  days_since_order: recency(buy) / 1d
fingerprint: [comparing, days_since_order]
states:
  discovery: {job: Look around., typical: {look: 3}, typical_gap: 4d}
  decision: {job: Choose., typical: {compare: 4}}
  owning: {job: Be glad., typical: {buy: 4}, typical_gap: 10d}
"""


def main() -> None:
    """All parts, or those asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only", default=",".join(PARTS))
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=asked.folder))
    found: dict[str, Any] = {}
    try:
        if "http" in asked.only:
            found["http"] = measure_http(folder, asked.seconds)
        if "process" in asked.only:
            found["process"] = measure_process(folder, asked.seconds)
            print()
        if "audiences" in asked.only:
            found["audiences"] = measure_audiences()
            print()
        if "memory" in asked.only:
            head(["playbook", "slots", "customers", "GiB per million", "of it customers", "ids", "messages",
                  "snapshot s", "start s", "start without s"])  # fmt: skip
            found["memory"] = [measure_memory(folder, asked.customers, name) for name in ("small", "shop")]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("\n" + json.dumps(found))


if __name__ == "__main__":
    main()
