"""What Prometheus sees: requests and how long they took, how values were found, and what the store refused."""

from __future__ import annotations

import os
from collections import Counter, defaultdict

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
"""The variable with the folder where several workers keep their counts; read when the library is imported."""
disable_created_metrics()  # type: ignore[no-untyped-call]
_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_REGISTRY = CollectorRegistry()
_REQUESTS = Counted("plane_requests", "Requests.", ["service", "api", "code"], registry=_REGISTRY)
_SECONDS = Histogram(
    "plane_request_seconds", "How long requests took.", ["service"], buckets=_BUCKETS, registry=_REGISTRY
)
_ROWS = Counted(
    "plane_rows", "Rows of feature views by how they were found.", ["service", "status"], registry=_REGISTRY
)
_ERRORS = Counted("plane_store_errors", "Reads that the online store did not answer.", registry=_REGISTRY)
_DEPLOYMENT = Gauge(
    "plane_deployment", "The deployment that is served.", registry=_REGISTRY, multiprocess_mode="livemostrecent"
)

_MOST = 1000
# What the library does not know yet: to tell it of each request would take a tenth of the request's time.
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
    for found in vectors.found():
        _found[service, found] += 1


def store_error() -> None:
    """The store did not answer."""
    _ERRORS.inc()


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


def text() -> bytes:
    """All of it, of all workers; of others as far as they have told the library."""
    flush()
    if WORKERS not in os.environ:
        return generate_latest(_REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
