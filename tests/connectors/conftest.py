"""Servers for the connectors: one that tests share, and one of its own for a test that bends its settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from controlplane.local import valkey
from tests.endpoints.databricks.fixture import databricks
from tests.servers import valkey_url

__all__ = ["databricks", "valkey_url"]


@pytest.fixture
def own_folder(tmp_path: Path) -> Iterator[Path]:
    """The folder of a running server that belongs to one test."""
    folder = tmp_path / "server"
    folder.mkdir()
    try:
        valkey.start(folder)
        yield folder
    finally:
        valkey.stop(folder)


@pytest.fixture
def own_url(own_folder: Path) -> str:
    """The address of a server that belongs to one test."""
    return valkey.start(own_folder).url


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
