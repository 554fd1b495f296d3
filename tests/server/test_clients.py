"""Real tracking clients, unchanged, against a real server: every event arrives, each once.

The clients are installed by `make test` into `tests/clients`; without them these tests skip.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from sojourn.live.store.calls import decode_calls
from sojourn.live.store.store import open_store
from tests import ROOT
from tests.live.server_process import LiveServer, open_server
from tests.live.tracking_proxy import Fault, TrackingProxy, open_proxy

CLIENTS = ROOT / "tests" / "clients"
PYTHON = CLIENTS / ".venv" / "bin" / "python"
NODE = shutil.which("node")
UMD = CLIENTS / "node_modules" / "@segment" / "analytics-next" / "dist" / "umd"
BROWSER = next((b for name in ("chromium", "chromium-browser", "google-chrome") if (b := shutil.which(name))), None)

N_MORE = 25
BUSY: tuple[Fault, ...] = ((429, {"Retry-After": "1"}), (503, {"Retry-After": "1"}))
COMMANDS = {
    "segment-python": [str(PYTHON), str(CLIENTS / "send_python.py"), "segment"],
    "rudder-python": [str(PYTHON), str(CLIENTS / "send_python.py"), "rudder"],
    "segment-node": [NODE or "node", str(CLIENTS / "send_node.js"), "segment"],
    "rudder-node": [NODE or "node", str(CLIENTS / "send_node.js"), "rudder"],
}
HAS_GZIP = ("segment-python", "rudder-python", "rudder-node")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (PYTHON.exists() and UMD.exists() and NODE), reason="no clients in tests/clients: run make test"
    ),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    playbook = (files("sojourn.playbook") / "ready" / "saas.yaml").read_text(encoding="utf-8")
    with open_server(tmp_path_factory.mktemp("clients") / "project", playbook) as live:
        yield live


@pytest.fixture
def arrived(server: LiveServer) -> Arrivals:
    return Arrivals(server)


class Arrivals:
    """What has come into the server's log since this was made."""

    def __init__(self, server: LiveServer) -> None:
        self.server = server
        with open_store(f"sqlite:///{server.project}/live/store.sqlite", is_writer=False) as store:
            self.position = store.last_position()

    def calls(self) -> list[dict[str, Any]]:
        """The calls as they came, in order."""
        found = []
        with open_store(f"sqlite:///{self.server.project}/live/store.sqlite", is_writer=False) as store:
            for record in store.read_log(self.position):
                if record.kind == "calls":
                    found += [json.loads(raw) for raw in decode_calls(record.payload).raw]
        return found

    def wait(self, n: int, seconds: float = 60.0) -> list[dict[str, Any]]:
        """The calls once there are n different ones, and no more soon after."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and len({call["messageId"] for call in self.calls()}) < n:
            time.sleep(0.1)
        time.sleep(0.3)
        return self.calls()


def check_calls(calls: list[dict[str, Any]]) -> None:
    """Every call of calls.json and every numbered one is there, once."""
    sent = json.loads((CLIENTS / "calls.json").read_text(encoding="utf-8"))
    ids = [call["messageId"] for call in calls]
    assert len(ids) == len(set(ids)) == len(sent) + N_MORE
    kinds = Counter(call["type"] for call in sent)
    kinds["track"] += N_MORE
    assert Counter(call["type"] for call in calls) == kinds
    numbers = [(call.get("properties") or {}).get("n") for call in calls if call["type"] == "track"]
    assert sorted(numbers) == [2, 3, 4, 9, *range(100, 100 + N_MORE)]
    names = {call.get("event") for call in calls}
    assert {"Größe gewählt ✓", "Order Completed", "Product Viewed"} <= names
    [identify] = [call for call in calls if call["type"] == "identify"]
    traits = identify.get("traits") or identify["context"]["traits"]
    assert traits["name"] == "Zoë Łukasz 🚀"


def run_client(name: str, url: str, key: str, encoding: str) -> None:
    command = [*COMMANDS[name], url, key, str(N_MORE), encoding]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "encoding"), [*((name, "plain") for name in COMMANDS), *((name, "gzip") for name in HAS_GZIP)]
)
def test_every_call_of_a_client_arrives_once(server: LiveServer, arrived: Arrivals, name: str, encoding: str) -> None:
    run_client(name, server.url, server.keys["write"], encoding)
    check_calls(arrived.calls())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_call_arrives_once_when_the_server_is_busy_at_first(
    server: LiveServer, arrived: Arrivals, name: str
) -> None:
    with open_proxy(upstream=server.url, faults=BUSY) as proxy:
        run_client(name, proxy.url, server.keys["write"], "plain")
        assert proxy.statuses[:3] == [429, 503, 200]
    check_calls(arrived.calls())


# In a browser

BROWSER_CALLS: list[list[Any]] = [
    ["identify", ["u1", {"name": "Zoë Łukasz 🚀"}, {"context": {"consent": {"categoryPreferences": {"Ads": False}}}}]],
    ["track", ["Order Completed", {"revenue": 39.5, "n": 2}]],
    ["page", ["Docs", "Pricing", {}]],
    ["screen", ["App", "Home", {}]],
    ["group", ["acme", {"employees": 12}]],
    ["alias", ["u2", "u1"]],
    ["identify", [4711, {}]],
    ["track", ["Größe gewählt ✓", {"n": 3}]],
    *(["track", ["Step", {"n": 100 + i}]] for i in range(N_MORE)),
]


@pytest.fixture
def page(tmp_path: Path) -> Iterator[TrackingProxy]:
    """A web site with the page and the client."""
    shutil.copy(CLIENTS / "browser.html", tmp_path)
    for script in UMD.glob("*.bundle.*.js"):
        shutil.copy(script, tmp_path)
    shutil.copy(UMD / "index.js", tmp_path / "analytics.js")
    (tmp_path / "calls.json").write_text(json.dumps(BROWSER_CALLS), encoding="utf-8")
    with open_proxy(folder=tmp_path) as site:
        yield site


@contextmanager
def browse(url: str, profile: Path) -> Iterator[None]:
    """A browser that has this page open."""
    assert BROWSER is not None
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", f"--user-data-dir={profile}", "--remote-debugging-port=0", url,
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


needs_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium or chrome on this machine")


@needs_browser
@pytest.mark.parametrize("more", ["", "&batch=10"])
def test_every_call_of_a_browser_arrives_once(
    server: LiveServer, arrived: Arrivals, page: TrackingProxy, tmp_path: Path, more: str
) -> None:
    query = f"key={server.keys['write']}&server={server.url}&calls=calls.json{more}"
    with browse(f"{page.url}/browser.html?{query}", tmp_path / "profile"):
        check_browser_calls(arrived.wait(len(BROWSER_CALLS)))


@needs_browser
def test_every_call_of_a_browser_arrives_once_when_the_server_is_busy_at_first(
    server: LiveServer, arrived: Arrivals, page: TrackingProxy, tmp_path: Path
) -> None:
    with open_proxy(upstream=server.url, faults=BUSY) as proxy:
        api = proxy.url.removeprefix("http://")
        query = f"key={server.keys['write']}&server={server.url}&api={api}/v1&calls=calls.json"
        with browse(f"{page.url}/browser.html?{query}", tmp_path / "profile"):
            check_browser_calls(arrived.wait(len(BROWSER_CALLS)))
        assert proxy.statuses[:2] == [429, 503]


def check_browser_calls(calls: list[dict[str, Any]]) -> None:
    ids = [call["messageId"] for call in calls]
    assert len(ids) == len(set(ids)) == len(BROWSER_CALLS)
    assert Counter(call["type"] for call in calls) == Counter(method for method, _ in BROWSER_CALLS)
    names = [call["event"] for call in calls if call["type"] == "track"]
    assert Counter(names) == Counter(args[0] for method, args in BROWSER_CALLS if method == "track")
    numbers = sorted(call["properties"]["n"] for call in calls if call["type"] == "track")
    assert numbers == [2, 3, *range(100, 100 + N_MORE)]


@needs_browser
@pytest.mark.data
def test_the_calls_of_the_spec_arrive_from_a_browser(
    server: LiveServer, arrived: Arrivals, page: TrackingProxy, tmp_path: Path, data_dir: Path
) -> None:
    text = (data_dir / "event_specs/segment/segment_spec_js_calls.json").read_text(encoding="utf-8")
    spec = [[call["call"], call["args"]] for call in json.loads(text)]
    assert len(spec) == 33
    (tmp_path / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
    query = f"key={server.keys['write']}&server={server.url}&calls=spec.json"
    with browse(f"{page.url}/browser.html?{query}", tmp_path / "profile"):
        calls = arrived.wait(len(spec))
    assert len({call["messageId"] for call in calls}) == len(calls) == len(spec)
    assert Counter(call["type"] for call in calls) == Counter(method for method, _ in spec)


# Payloads of the spec, and what clients were seen to send


@pytest.mark.data
def test_every_payload_of_the_spec_is_accepted(server: LiveServer, arrived: Arrivals, data_dir: Path) -> None:
    """82 examples: 75 are JSON; the other 7 are not even as the spec prints them, and nothing of them is taken."""
    text = (data_dir / "event_specs/segment/segment_spec_examples.json").read_text(encoding="utf-8")
    examples = json.loads(text)
    assert len(examples) == 82
    headers = {"Authorization": "Basic " + base64.b64encode(f"{server.keys['write']}:".encode()).decode()}
    n_good = 0
    for example in examples:
        payload = example.get("payload")
        kind = (payload or {}).get("type", "track")
        body = json.dumps(payload).encode() if payload is not None else example["raw"].encode()
        status, said = server.ask("POST", f"/v1/{kind}", body, key=None, headers=headers)
        assert status == (200 if payload is not None else 400), (example, said)
        n_good += payload is not None
    assert n_good == len(arrived.calls()) == 75


@pytest.mark.data
def test_every_request_that_clients_were_seen_to_send_is_accepted(server: LiveServer, data_dir: Path) -> None:
    """With a key of this server in the place of theirs; whatever answer they got when they were captured."""
    n_posts = 0
    for file in sorted((data_dir / "sdk_captures").glob("*.json")):
        seen = json.loads(file.read_text(encoding="utf-8"))
        if seen.get("method") != "POST" or not re.match(r"(segment|rudder)-", seen.get("tag", "")):
            continue
        key, sent = server.keys["write"], seen["headers"]
        headers = {name: text for name, text in sent.items() if name.lower() in ("content-type", "user-agent")}
        body = json.dumps(seen["body"] | ({"writeKey": key} if "writeKey" in seen["body"] else {})).encode()
        if seen["basic_auth_decoded"]:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{key}:".encode()).decode()
        if sent.get("Content-Encoding") == "gzip":
            headers["Content-Encoding"], body = "gzip", gzip.compress(body)
        assert server.ask("POST", seen["path"], body, key=None, headers=headers)[0] == 200, file.name
        n_posts += 1
    assert n_posts == 50
