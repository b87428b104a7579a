"""Real servers that tests of several rooms share, one for each session; on loopback, in a temporary folder.

A package of tests takes them in with `pytest_plugins = ["tests.servers"]` in the outermost conftest.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from controlplane.local import valkey


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`redis://127.0.0.1:<port>` of a running server; tests keep apart by keys or database numbers."""
    directory = tmp_path_factory.mktemp("valkey")
    try:
        yield valkey.start(directory).url
    finally:
        valkey.stop(directory)
