"""Real servers that tests of several rooms share, one for each session.

On loopback, in a temporary folder.

A package of tests takes them in with `pytest_plugins = ["tests.servers"]` in the outermost
conftest.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from controlplane.embedded import valkey
from controlplane.embedded.daemon import HOST, choose_port


class OpenServer:
    """A server of one folder that asks for no password, unlike the embedded one: its URL may stand
    in a plane.toml.

    It can be stopped and started again on the same port; an append-only file keeps its values.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.port = folder, choose_port()
        self.url = f"redis://{HOST}:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Start it, and return its URL when it answers."""
        options = {
            "port": str(self.port),
            "bind": HOST,
            "dir": str(self.folder),
            "appendonly": "yes",
            "save": "",
        }
        words = [word for name, option in options.items() for word in (f"--{name}", option)]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen([valkey.server_program(), *words], stdout=log)
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)
        return self.url

    def stop(self) -> None:
        """Stop it; nothing happens where it does not run."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=60)
            self._process = None

    def _answers(self) -> bool:
        with redis.Redis.from_url(self.url) as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:  # also while it loads
                return False


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`redis://127.0.0.1:<port>` of a running server.

    Tests keep apart by keys or database numbers.
    """
    server = OpenServer(tmp_path_factory.mktemp("valkey"))
    try:
        yield server.start()
    finally:
        server.stop()
