"""Load for a running server: events per second with durable acknowledgement, and how soon a change is visible.

Run: python benchmarks/load.py --to http://127.0.0.1:8000 --key WRITE_KEY [--events FILE --playbook shop]
         [--batch 20] [--rate 10000 | --rate max] [--seconds 10] [--connections 4]
         [--read-key READ_KEY --probes 20 --reads 500] [--json]

Without --to it does nothing but say so, since it needs a server. It is its own process, speaks HTTP over plain sockets
with bodies made beforehand, and takes as little of the two cores as it can. At a given rate, requests have an instant
at which they are due, and a latency counts from that instant when the generator itself is not late, so that a server
that stalls is not spared the requests that wait. With --rate max each connection sends as soon as it was answered.

A probe is a customer of its own who goes through the first moment of the playbook whose event classes have names. Its
latency is from sending the last of these events to reading the moment on `GET /v1/stream`. Only addresses of this
machine are accepted, and every run ends by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import ipaddress
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np

from sojourn.live.replay.calls import read_calls
from sojourn.playbook.load import load_playbook
from sojourn.playbook.objects import Playbook
from sojourn.simulation.customers import simulate_to

MAX_SECONDS, MAX_CONNECTIONS, MAX_BODIES = 600, 64, 2_000
ID_DIGITS = 12
READERS = 8  # connections that read
GIVE_UP_S = 30.0
"""How long the last answers and changes are waited for."""


@dataclass
class Tally:
    """What one kind of request did: events acknowledged, seconds each took, and answers other than 200."""

    n_events: int = 0
    n_refused: int = 0
    n_failed: int = 0
    seconds: list[float] = field(default_factory=list)

    def describe(self, took_s: float) -> dict[str, Any]:
        """Rates and percentiles, in milliseconds."""
        found: dict[str, Any] = {"requests": len(self.seconds), "refused": self.n_refused, "failed": self.n_failed}
        if self.n_events:
            found["events"] = self.n_events
            found["events_per_s"] = round(self.n_events / took_s)
        return found | describe_ms(self.seconds)


def describe_ms(seconds: Sequence[float]) -> dict[str, float]:
    """Percentiles in milliseconds; none for no numbers."""
    if not len(seconds):
        return {}
    points = np.percentile(np.array(seconds) * 1e3, (50, 90, 99, 100)).round(3).tolist()
    return dict(zip(("p50_ms", "p90_ms", "p99_ms", "max_ms"), points, strict=True))


# Bodies


class Body:
    """One request with ``n`` calls, complete but for the digits of each ``messageId``, which are written in place."""

    def __init__(self, calls: Sequence[bytes], head: bytes, run: str) -> None:
        self.n = len(calls)
        mark = f',"messageId":"{run}-'.encode()
        text = bytearray(b'{"batch":[')
        places = []
        for call in calls:
            text += call[:-1] + mark
            places.append(len(text))
            text += b"0" * ID_DIGITS + b'"},'
        text[-1:] = b"]}"
        start = head.replace(b"LENGTH", str(len(text)).encode())
        self._bytes = bytearray(start) + text
        self._places = [place + len(start) for place in places]

    def number(self, first: int) -> bytes:
        """The request with the numbers from ``first``."""
        for i, place in enumerate(self._places):
            self._bytes[place : place + ID_DIGITS] = b"%012d" % (first + i)
        return bytes(self._bytes)


def make_head(method: str, target: str, host: str, key: str) -> bytes:
    """The head of a request; ``LENGTH`` stands where the length of the body goes."""
    auth = base64.b64encode(f"{key}:".encode()).decode()
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", f"Authorization: Basic {auth}"]
    if method == "POST":
        lines += ["Content-Type: application/json", "Content-Length: LENGTH"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def make_bodies(calls: Sequence[bytes], batch: int, head: bytes, run: str) -> list[Body]:
    """Requests of ``batch`` calls each, at most MAX_BODIES of them."""
    ends = range(batch, min(len(calls), batch * MAX_BODIES) + 1, batch)
    bodies = [Body(calls[end - batch : end], head, run) for end in ends]
    if not bodies:
        raise SystemExit(f"{len(calls)} events are too few for a batch of {batch}")
    return bodies


def choose_probe(playbook: Playbook) -> list[str]:
    """The raw event names that lead to a moment."""
    classes = {event.name: event for event in playbook.events}
    for moment in playbook.moments:
        steps = [classes[name] for name in moment.steps]
        if moment.absent is None and all(step.raw_names and step.where is None for step in steps):
            return [step.raw_names[0] for step in steps]
    raise SystemExit(f"playbook {playbook.name} has no moment of plain events to probe with")


# Connections


class Line(asyncio.Protocol):
    """A connection on which one request at a time is answered."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._answer: asyncio.Future[int] | None = None
        self._got = b""
        self._need = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(ConnectionError("the server closed the connection"))
        self._transport = None

    def ask(self, request: bytes) -> asyncio.Future[int]:
        """Send a request; the future gives the status of its answer."""
        self._answer = asyncio.get_running_loop().create_future()
        if self._transport is None:
            self._answer.set_exception(ConnectionError("the connection is closed"))
        else:
            self._got, self._need = b"", -1
            self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._got += data
        if self._need < 0:
            end = self._got.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._got[:end].lower()
            at = head.find(b"content-length:")
            self._need = end + 4 + (int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0)
        if len(self._got) >= self._need and self._answer and not self._answer.done():
            self._answer.set_result(int(self._got[9:12]))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


@dataclass(frozen=True)
class Shot:
    """A request, the events in it, and the customer of a probe."""

    request: bytes
    n_events: int = 0
    customer: str = ""


@dataclass
class Plan:
    """Requests to send: at ``rate`` per second (infinite: as fast as answers come), until ``end`` (perf_counter).

    ``sent`` tells when the probe of which customer was sent.
    """

    shots: Iterator[Shot]
    rate: float
    start: float
    end: float
    n_taken: int = 0
    tally: Tally = field(default_factory=Tally)
    sent: dict[str, float] = field(default_factory=dict)

    def take(self) -> tuple[float, Shot] | None:
        """When the next request is due, and the request; None when it is over."""
        due = time.perf_counter() if math.isinf(self.rate) else self.start + self.n_taken / self.rate
        if due >= self.end:
            return None
        self.n_taken += 1
        return due, next(self.shots)


async def work(line: Line, plan: Plan) -> None:
    """Send what is due, one after the other, on one connection."""
    tally = plan.tally
    while (taken := plan.take()) is not None:
        due, shot = taken
        wait = due - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
            due = time.perf_counter()  # waking up late is the generator's fault, not the server's
        if shot.customer:
            plan.sent[shot.customer] = due
        try:
            status = await line.ask(shot.request)
        except ConnectionError:
            tally.n_failed += 1
            return
        tally.seconds.append(time.perf_counter() - due)
        if status == 200:
            tally.n_events += shot.n_events
        else:
            tally.n_refused += 1
            await asyncio.sleep(0.05)


async def follow_stream(asked: Asked, seen: dict[str, float]) -> None:
    """Note when each customer's moment is read from the stream, until cancelled."""
    reader, writer = await asyncio.open_connection(asked.host, asked.port, limit=1 << 24)
    host = f"{asked.host}:{asked.port}"
    writer.write(make_head("GET", "/v1/stream?kind=moment", host, asked.read_key))
    try:
        if b" 200 " not in await reader.readline():
            raise SystemExit("the server does not open /v1/stream: is the read key right?")
        while line := await reader.readline():
            if not line.startswith(b"data:"):
                continue
            now = time.perf_counter()
            found = json.loads(line[5:])
            for change in found if isinstance(found, list) else [found]:
                if change["kind"] == "moment":
                    seen.setdefault(change["customer_id"], now)
    finally:
        writer.close()


# The whole run


@dataclass(frozen=True)
class Asked:
    """What the command line asks for; rates per second."""

    host: str
    port: int
    key: str
    batch: int
    rate: float
    seconds: float
    n_connections: int
    read_key: str
    probes: float
    reads: float


async def run_load(asked: Asked, calls: Sequence[bytes], playbook: Playbook) -> dict[str, Any]:
    """Send for ``asked.seconds``; what was acknowledged, read and seen, with percentiles."""
    run, host = f"{os.getpid():x}-{time.time_ns():x}", f"{asked.host}:{asked.port}"
    head = make_head("POST", "/v1/batch", host, asked.key)
    bodies = make_bodies(calls, asked.batch, head, run)
    customers = list_customers(calls)
    seen: dict[str, float] = {}
    stream = asyncio.create_task(follow_stream(asked, seen)) if asked.probes else None
    await asyncio.sleep(0.5 if stream else 0)
    start = time.perf_counter() + 0.1
    end = start + asked.seconds
    load = Plan(number_bodies(bodies), asked.rate / asked.batch, start, end)
    probes = Plan(make_probes(playbook, head, run), asked.probes, start, end)
    reads = Plan(make_reads(customers, host, asked.read_key), asked.reads, start, end)
    plans = [load] * asked.n_connections + [probes] * (asked.probes > 0) + [reads] * (READERS * (asked.reads > 0))
    loop = asyncio.get_running_loop()
    lines = [(await loop.create_connection(Line, asked.host, asked.port))[1] for _ in plans]
    cpu = time.process_time()
    running = [asyncio.create_task(work(line, plan)) for line, plan in zip(lines, plans, strict=True)]
    _, stuck = await asyncio.wait(running, timeout=asked.seconds + GIVE_UP_S)
    for task in stuck:  # an answer that never came
        task.cancel()
    took = time.perf_counter() - start
    found = {
        "batch": asked.batch,
        "rate": "max" if math.isinf(asked.rate) else asked.rate,
        "connections": asked.n_connections,
        "seconds": round(took, 2),
        "generator_cpu": round((time.process_time() - cpu) / took, 2),
        "unanswered": len(stuck),
        "sent": load.tally.describe(took),
    }
    if asked.reads:
        found["reads"] = reads.tally.describe(took)
    if stream is not None:
        found["visible"] = await wait_for_changes(probes.sent, seen, stream)
    for line in lines:
        line.close()
    return found


def number_bodies(bodies: Sequence[Body]) -> Iterator[Shot]:
    """The bodies in a circle, every call with a number of its own."""
    n = 0
    while True:
        for body in bodies:
            yield Shot(body.number(n), body.n)
            n += body.n


def make_probes(playbook: Playbook, head: bytes, run: str) -> Iterator[Shot]:
    """Requests each of which takes a new customer through a moment."""
    names = choose_probe(playbook)
    n = 0
    while True:
        customer = f"probe-{run}-{n}"
        calls = [{"type": "track", "userId": customer, "event": name, "properties": {}} for name in names]
        body = Body([json.dumps(call).encode() for call in calls], head, f"{run}-p{n}")
        yield Shot(body.number(0), len(names), customer)
        n += 1


def list_customers(calls: Sequence[bytes]) -> list[str]:
    """Known users of the first calls."""
    users = (json.loads(call).get("userId") for call in calls[:20_000])
    return sorted({str(user) for user in users if user})


def make_reads(customers: Sequence[str], host: str, key: str) -> Iterator[Shot]:
    """`GET /v1/customers/{id}` of customers at random."""
    rng = np.random.default_rng(1)
    while True:
        for i in rng.integers(0, len(customers), 1_000).tolist():
            yield Shot(make_head("GET", f"/v1/customers/{quote(customers[i], safe='')}", host, key))


async def wait_for_changes(
    sent: dict[str, float], seen: dict[str, float], stream: asyncio.Task[None]
) -> dict[str, float]:
    """How soon probes were seen, when all were, or when the stream ended or a time has passed."""
    end = time.perf_counter() + GIVE_UP_S
    while not stream.done() and time.perf_counter() < end and any(customer not in seen for customer in sent):
        await asyncio.sleep(0.02)
    if stream.done():
        stream.result()
    stream.cancel()
    visible = [seen[customer] - at for customer, at in sent.items() if customer in seen]
    return {"probes": len(sent), "seen": len(visible)} | describe_ms(visible)


def list_calls(events: str | None, playbook: Playbook, seed: int) -> list[bytes]:
    """Calls without a time and an identifier: those of a file, or of simulated customers of a shop."""
    if events is not None:
        return list(read_calls(events, playbook).body.to_pylist())
    with tempfile.TemporaryDirectory() as folder:
        files = simulate_to(Path(folder), 1_000, days=60, seed=seed)
        return list(read_calls(str(files["events"]), playbook).body.to_pylist())


def read_address(url: str) -> tuple[str, int]:
    """Host and port; only of this machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        is_local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = False
    if parts.scheme != "http" or not is_local:
        raise SystemExit(f"--to {url}: load is sent to http:// addresses of this machine only")
    return host, parts.port or 80


def read_arguments() -> argparse.Namespace:
    """What the command line says, within bounds."""
    parser = argparse.ArgumentParser(description="Load for a running server on this machine.")
    parser.add_argument("--to", metavar="URL")
    parser.add_argument("--key", default=os.environ.get("SOJOURN_KEY", ""), help="a key that may write")
    parser.add_argument("--read-key", default="", help="a key that may read, for --probes and --reads")
    parser.add_argument("--events", metavar="FILE", help="what to send; else simulated customers of a shop")
    parser.add_argument("--playbook", default="shop")
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--rate", default="max", help="events per second, or max")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--probes", type=float, default=0.0, help="probes per second")
    parser.add_argument("--reads", type=float, default=0.0, help="customers read per second")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    found = parser.parse_args()
    found.seconds = min(max(found.seconds, 0.1), MAX_SECONDS)
    found.connections = min(max(found.connections, 1), MAX_CONNECTIONS)
    found.batch = min(max(found.batch, 1), 5_000)
    found.rate = math.inf if found.rate == "max" else float(found.rate)
    return found


def find_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The faster event loop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def main() -> None:
    """Send, and print what was measured."""
    said = read_arguments()
    if said.to is None:
        print("load.py needs a running server: give --to URL and --key KEY (--help tells the rest).")
        return
    host, port = read_address(said.to)
    playbook = load_playbook(said.playbook)
    calls = list_calls(said.events, playbook, said.seed)
    asked = Asked(
        host, port, said.key, said.batch, said.rate, said.seconds, said.connections, said.read_key, said.probes,
        said.reads,
    )  # fmt: skip
    gc.disable()  # nothing here makes cycles, and a pause would be taken for the server's
    try:
        with asyncio.Runner(loop_factory=find_loop()) as runner:
            found = runner.run(run_load(asked, calls, playbook))
    except OSError as error:
        raise SystemExit(f"{said.to} cannot be reached: {error.strerror or error}") from None
    if not said.json:
        for kind in ("sent", "reads", "visible"):
            if kind in found:
                print(f"{kind:8}", "  ".join(f"{name} {value:,}" for name, value in found[kind].items()))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
