"""A deployed project and its server in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.server.rig import DEFINITIONS, FACTS, Server
from tests.servers import valkey_url
from tests.shop import Hook, Shop
from tests.shop_projects import make, shop

__all__ = ["make", "serve", "served", "shop", "valkey_url"]
_NUMBERS = count(1)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts servers of projects; what runs at the end is stopped."""
    started: list[Server] = []

    def call(project: Shop, *options: str, hook: Hook | None = None) -> Server:
        started.append(Server(project, *options, hook=hook))
        return started[-1]

    yield call
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[Server]:
    """One server for all tests that do not meddle with it."""
    name = f"served{next(_NUMBERS)}"
    project = deployed(tmp_path_factory.mktemp(name) / name, valkey_url, name=name)
    server = Server(project, "--access-log")
    yield server
    server.stop()


def deployed(folder: Path, url: str, **options: Any) -> Shop:
    """A project with values of every type online."""
    project = Shop(folder, url, **options)
    project.sql(FACTS)
    project.define(DEFINITIONS, file="facts.py")
    return project.ready()
