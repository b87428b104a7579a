"""Servers for the connectors: one that tests share, and one of its own for a test that bends its
settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.endpoints.databricks.fixture import databricks
from tests.servers import OpenServer, valkey_url

__all__ = ["databricks", "valkey_url"]


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[OpenServer]:
    """A running server that belongs to one test."""
    server = OpenServer(tmp_path / "server")
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def own_url(own_server: OpenServer) -> str:
    """The address of a server that belongs to one test."""
    return own_server.url


@pytest.fixture
def raw(valkey_url: str) -> Iterator[redis.Redis]:
    """The shared server, emptied, as its own client sees it."""
    with redis.Redis.from_url(valkey_url, protocol=2) as client:
        client.flushall()
        yield client


@pytest.fixture
def own_raw(own_url: str) -> Iterator[redis.Redis]:
    """The test's own server as its own client sees it."""
    with redis.Redis.from_url(own_url, protocol=2) as client:
        yield client
