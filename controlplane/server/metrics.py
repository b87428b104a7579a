"""Metrics for Prometheus: requests and their seconds, rows by status, errors and refusals."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client import Counter as Counted
from prometheus_client.multiprocess import MultiProcessCollector

from controlplane.serving import FeatureVectors

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
WORKERS = "PROMETHEUS_MULTIPROC_DIR"
"""The variable with the folder of the counts of several workers; read when the library loads."""
disable_created_metrics()  # type: ignore[no-untyped-call]
_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_REGISTRY = CollectorRegistry()
_REQUESTS = Counted("plane_requests", "Requests.", ["service", "api", "code"], registry=_REGISTRY)
_SECONDS = Histogram(
    "plane_request_seconds",
    "Seconds from a request to its response.",
    ["service"],
    buckets=_BUCKETS,
    registry=_REGISTRY,
)
_ROWS = Counted(
    "plane_rows",
    "Rows of feature views by status.",
    ["service", "status"],
    registry=_REGISTRY,
)
_REFUSED = Counted(
    "plane_connections_refused",
    "Connections that were closed because of a limit.",
    ["reason"],
    registry=_REGISTRY,
)
_ERRORS = Counted(
    "plane_store_errors", "Reads that the online store did not answer.", registry=_REGISTRY
)
_DEPLOYMENT = Gauge(
    "plane_deployment",
    "The deployment that is served.",
    registry=_REGISTRY,
    multiprocess_mode="livemostrecent",
)

_SERVICE = re.compile(rb'[{,]service="([^"]*)"')
_MAX_BUFFERED = 1000  # requests of a service
# Counts that the library does not have yet: passing on each request would take a tenth of the
# request's time.
_requests: Counter[tuple[str, str, int]] = Counter()
_statuses: Counter[tuple[str, tuple[str, ...]]] = Counter()
_durations: defaultdict[str, list[float]] = defaultdict(list)


def request(service: str, api: str, code: int, seconds: float) -> None:
    """Count a response; `service` is empty if there is no such feature service."""
    _requests[service, api, code] += 1
    durations = _durations[service]
    durations.append(seconds)
    if len(durations) >= _MAX_BUFFERED:
        flush()


def rows(service: str, vectors: FeatureVectors) -> None:
    """Count the rows of a response, by status."""
    for statuses in vectors.row_statuses():
        _statuses[service, statuses] += 1


def store_error() -> None:
    """Count a read that the store did not answer."""
    _ERRORS.inc()


def refused_connection(reason: str) -> None:
    """Count a connection that was closed before its request was known."""
    _REFUSED.labels(reason).inc()


def deployment(number: int) -> None:
    """Set the number of the served deployment."""
    _DEPLOYMENT.set(number)


def flush() -> None:
    """Pass the counts on to the library."""
    for (service, api, code), count in _requests.items():
        _REQUESTS.labels(service, api, str(code)).inc(count)
    for (service, statuses), count in _statuses.items():
        for status in statuses:
            _ROWS.labels(service, status).inc(count)
    for service, durations in _durations.items():
        observe = _SECONDS.labels(service).observe
        for seconds in durations:
            observe(seconds)
    for counts in (_requests, _statuses, _durations):
        counts.clear()


def text(allows: Callable[[str], bool] | None = None) -> bytes:
    """Return the metrics of all workers as text; other workers' latest counts may be missing.

    Args:
        allows: returns whether the metrics of a feature service may be read; None: all may be.
    """
    flush()
    registry = _REGISTRY
    if WORKERS in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    lines = generate_latest(registry)
    if allows is None:
        return lines
    return b"".join(line for line in lines.splitlines(keepends=True) if _allowed(line, allows))


def _allowed(line: bytes, allows: Callable[[str], bool]) -> bool:
    label = _SERVICE.search(line)
    return label is None or not label[1] or allows(label[1].decode())
