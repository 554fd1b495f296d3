"""A small server for tests of clients: it keeps tracking calls, answers faults on demand, and may pass calls on."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Fault = tuple[int, dict[str, str]]
"""A status to answer with, and headers; status 0 closes the connection without a word."""

_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Allow-Headers": "authorization, content-type, x-retry-count",
    "Access-Control-Expose-Headers": "Retry-After",
}
_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length", "host", "server", "date")


@dataclass
class TrackingProxy:
    """What was received (``calls``, in order), and what will be answered: ``faults`` first, one per ``POST``."""

    url: str = ""
    upstream: str | None = None
    folder: Path | None = None
    calls: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    encodings: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    faults: deque[Fault] = field(default_factory=deque)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def accepted_ids(self) -> list[str]:
        """``messageId`` of every call that was taken, repeats included."""
        return [call["messageId"] for call in self.calls]


@contextmanager
def open_proxy(
    *, upstream: str | None = None, faults: Iterable[Fault] = (), folder: Path | None = None
) -> Iterator[TrackingProxy]:
    """A proxy on a free local port. Without ``upstream`` it answers by itself. It serves the files of ``folder``."""
    proxy = TrackingProxy(upstream=upstream, folder=folder, faults=deque(faults))
    handler = type("Handler", (_Handler,), {"proxy": proxy})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    proxy: TrackingProxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # a status line, headers and body in one packet

    def do_OPTIONS(self) -> None:
        self._answer(204, b"", _CORS)

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        file = self.proxy.folder / path.lstrip("/") if self.proxy.folder else None
        if file is not None and file.is_file():
            kind = {".html": "text/html; charset=utf-8", ".js": "text/javascript"}.get(file.suffix, "text/plain")
            self._answer(200, file.read_bytes(), {"Content-Type": kind})
        elif self.proxy.upstream:
            self._pass_on(b"")
        elif path.startswith("/v1/projects/") and path.endswith("/settings"):
            key = path.split("/")[3]
            settings = {"integrations": {"Segment.io": {"apiKey": key, "type": "browser"}}}
            self._answer(200, json.dumps(settings).encode(), _CORS | {"Content-Type": "application/json"})
        else:
            self._answer(404, b"{}", _CORS)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.proxy.lock:
            fault = self.proxy.faults.popleft() if self.proxy.faults else None
        if fault is not None and fault[0] == 0:
            self.proxy.statuses.append(0)
            self.close_connection = True
            return
        if fault is not None:
            self._answer(fault[0], b'{"error":"as asked"}', _CORS | fault[1])
            return
        self._record(body)
        if self.proxy.upstream:
            self._pass_on(body)
        else:
            self._answer(200, b'{"success":true}', _CORS | {"Content-Type": "application/json"})

    def _record(self, body: bytes) -> None:
        encoding = self.headers.get("Content-Encoding", "")
        found = json.loads(gzip.decompress(body) if encoding == "gzip" else body)
        auth = self.headers.get("Authorization", "")
        key = base64.b64decode(auth[6:]).decode().rstrip(":") if auth.startswith("Basic ") else found.get("writeKey")
        with self.proxy.lock:
            self.proxy.bodies.append(found)
            self.proxy.calls += found["batch"] if isinstance(found.get("batch"), list) else [found]
            self.proxy.keys.append(key)
            self.proxy.encodings.append(encoding)

    def _pass_on(self, body: bytes) -> None:
        parts = urlsplit(self.proxy.upstream or "")
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        connection.request(self.command, self.path, body or None, headers)
        answer = connection.getresponse()
        text = answer.read()
        kept = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP}
        connection.close()
        self._answer(answer.status, text, kept)

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        if self.command == "POST":
            self.proxy.statuses.append(status)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""
