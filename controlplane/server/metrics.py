"""What Prometheus sees: requests and how long they took, how values were found, and what the store refused."""

from __future__ import annotations

import os
from functools import lru_cache

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from controlplane.serving import FeatureVectors

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
WORKERS = "PROMETHEUS_MULTIPROC_DIR"
"""The variable with the folder where several workers keep their counts; read when the library is imported."""
disable_created_metrics()  # type: ignore[no-untyped-call]
_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_REGISTRY = CollectorRegistry()
_REQUESTS = Counter("plane_requests", "Requests.", ["service", "api", "code"], registry=_REGISTRY)
_SECONDS = Histogram(
    "plane_request_seconds", "How long requests took.", ["service"], buckets=_BUCKETS, registry=_REGISTRY
)
_ROWS = Counter(
    "plane_rows", "Rows of feature views by how they were found.", ["service", "status"], registry=_REGISTRY
)
_ERRORS = Counter("plane_store_errors", "Reads that the online store did not answer.", registry=_REGISTRY)
_DEPLOYMENT = Gauge(
    "plane_deployment", "The deployment that is served.", registry=_REGISTRY, multiprocess_mode="livemostrecent"
)

_requests = lru_cache(maxsize=10_000)(_REQUESTS.labels)
_seconds = lru_cache(maxsize=10_000)(_SECONDS.labels)
_rows = lru_cache(maxsize=10_000)(_ROWS.labels)


def request(service: str, api: str, code: int, seconds: float) -> None:
    """One request was answered; `service` is empty where there is no such."""
    _requests(service, api, str(code)).inc()
    _seconds(service).observe(seconds)


def rows(service: str, vectors: FeatureVectors) -> None:
    """Entities were read."""
    for status, count in vectors.counts().items():
        _rows(service, status).inc(count)


def store_error() -> None:
    """The store did not answer."""
    _ERRORS.inc()


def deployment(number: int) -> None:
    """Another deployment is served."""
    _DEPLOYMENT.set(number)


def text() -> bytes:
    """All of it, of all workers."""
    if WORKERS not in os.environ:
        return generate_latest(_REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
