"""Numbers for Prometheus, of the engine, the HTTP server and what goes out. ``docs/reference/metrics.md`` has each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from sojourn.act import CHANGE_KINDS
from sojourn.errors import StoreError

EVENTS = ("received", "accepted", "duplicate", "quarantined", "late", "refolded")
GAUGES = {
    "is_ready": ("ready", "1 while calls are taken and answers given"),
    "progress": ("start_progress", "share of the log that a start has read"),
    "waiting": ("waiting_calls", "calls that wait to be written"),
    "log_position": ("log_position", "position of the last record of the log"),
    "seq": ("last_seq", "seq of the last change"),
    "n_customers": ("customers", "customers with events"),
    "n_ids": ("ids", "ids of customers and identifiers"),
    "memory_bytes": ("customer_memory_bytes", "bytes of memory that customers take"),
    "version": ("version", "number of the version in use"),
    "is_reading_beside": ("reading_beside", "1 while a second process reads calls"),
    "stream_listeners": ("stream_readers", "open streams"),
}
HISTOGRAMS = {
    "commit_s": ("commit_seconds", "from taking calls to having them on disk"),
    "apply_s": ("apply_seconds", "applying a record"),
    "publish_s": ("publish_seconds", "from receiving a record's first call to publishing what came of it"),
}


class Metrics:
    """Counts requests, and reads everything else when asked."""

    def __init__(
        self, status: Callable[[], Mapping[str, Any]], outbox: Callable[[], Mapping[str, Mapping[str, int]]]
    ) -> None:
        self._status, self._outbox = status, outbox
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "sojourn_http_requests", "answers of the HTTP server", ["route", "status"], registry=self._registry
        )
        self._registry.register(self)

    def render(self) -> bytes:
        """All numbers in Prometheus' text format."""
        return generate_latest(self._registry)

    def describe(self) -> list[Any]:
        """Nothing: what there is depends on when it is asked for."""
        return []

    def collect(self) -> Iterator[Any]:
        """The numbers of the engine and the outbox as of now."""
        status = self._status()
        for name, (metric, what) in GAUGES.items():
            if name in status:
                yield GaugeMetricFamily(f"sojourn_{metric}", what, float(status[name]))
        counts = status.get("counts", {})
        for metric, label, what, names in (
            ("events", "what", "calls by what became of them", EVENTS),
            ("changes", "kind", "changes told", CHANGE_KINDS),
        ):
            family = CounterMetricFamily(f"sojourn_{metric}", what, labels=[label])
            for name in names:
                family.add_metric([name], float(counts.get(name, 0)))
            yield family
        for name, (metric, what) in HISTOGRAMS.items():
            if name in status:
                yield _make_histogram(f"sojourn_{metric}", what, status[name])
        counted: Mapping[str, Mapping[str, int]] = {}
        outbox = GaugeMetricFamily("sojourn_outbox", "messages by destination", labels=["destination", "status"])
        with contextlib.suppress(StoreError):  # the rest is wanted all the more then
            counted = self._outbox()
        for destination, statuses in counted.items():
            for kind, n in statuses.items():
                outbox.add_metric([destination, kind], float(n))
        yield outbox


def _make_histogram(name: str, what: str, rows: Mapping[str, Any]) -> Any:
    total, buckets = 0, []
    for bound, n in zip([*map(str, rows["bounds"]), "+Inf"], rows["counts"], strict=True):
        total += n
        buckets.append((bound, float(total)))
    return HistogramMetricFamily(name, what, buckets=buckets, sum_value=rows["sum"])
