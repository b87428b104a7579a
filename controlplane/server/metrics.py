"""What Prometheus sees: requests and how long they took, how values were found, and what the store
refused."""

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
"""The variable with the folder where several workers keep their counts.

Read when the library is imported.
"""
disable_created_metrics()  # type: ignore[no-untyped-call]
_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_REGISTRY = CollectorRegistry()
_REQUESTS = Counted("plane_requests", "Requests.", ["service", "api", "code"], registry=_REGISTRY)
_SECONDS = Histogram(
    "plane_request_seconds",
    "How long requests took.",
    ["service"],
    buckets=_BUCKETS,
    registry=_REGISTRY,
)
_ROWS = Counted(
    "plane_rows",
    "Rows of feature views by how they were found.",
    ["service", "status"],
    registry=_REGISTRY,
)
_REFUSED = Counted(
    "plane_connections_refused",
    "Connections that were closed for a limit.",
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
_MOST = 1000
# What the library does not know yet: to tell it of each request would take a tenth of the request's
# time.
_counted: Counter[tuple[str, str, int]] = Counter()
_found: Counter[tuple[str, tuple[str, ...]]] = Counter()
_took: defaultdict[str, list[float]] = defaultdict(list)


def request(service: str, api: str, code: int, seconds: float) -> None:
    """One request was answered; `service` is empty where there is no such."""
    _counted[service, api, code] += 1
    took = _took[service]
    took.append(seconds)
    if len(took) >= _MOST:
        flush()


def rows(service: str, vectors: FeatureVectors) -> None:
    """Entities were read."""
    for found in vectors.row_statuses():
        _found[service, found] += 1


def store_error() -> None:
    """The store did not answer."""
    _ERRORS.inc()


def refused_connection(reason: str) -> None:
    """A connection was closed before a request of it was known."""
    _REFUSED.labels(reason).inc()


def deployment(number: int) -> None:
    """Another deployment is served."""
    _DEPLOYMENT.set(number)


def flush() -> None:
    """Tell the library what was counted."""
    for (service, api, code), count in _counted.items():
        _REQUESTS.labels(service, api, str(code)).inc(count)
    for (service, found), count in _found.items():
        for status in found:
            _ROWS.labels(service, status).inc(count)
    for service, took in _took.items():
        observe = _SECONDS.labels(service).observe
        for seconds in took:
            observe(seconds)
    for counted in (_counted, _found, _took):
        counted.clear()


def text(allows: Callable[[str], bool] | None = None) -> bytes:
    """All of it, of all workers; of others as far as they have told the library.

    Args:
        allows: whether the metrics of a feature service may be read; None: all may be.
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
    found = _SERVICE.search(line)
    return found is None or not found[1] or allows(found[1].decode())
