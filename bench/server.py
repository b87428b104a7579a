"""The server that the benches of the online store start.

The embedded one's wheel is built with the C library's allocator, which costs it up to twice the CPU
of jemalloc, which servers in production have. So it is started with Debian's jemalloc, where that
can be had.
"""

from __future__ import annotations

import ctypes.util
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from controlplane.embedded import valkey


@contextmanager
def started(temporary: Path) -> Iterator[valkey.Server]:
    """An empty server, which is told of on the standard output; its folder is `temporary`."""
    before = os.environ.get("LD_PRELOAD", "")
    library = ctypes.util.find_library("jemalloc") or _downloaded(temporary)
    os.environ["LD_PRELOAD"] = f"{library}:{before}" if library else before
    try:
        server = valkey.start(temporary / "server")
    finally:
        os.environ["LD_PRELOAD"] = before
    try:
        with redis.Redis.from_url(server.url, password=server.password) as client:
            # Rivals' settings and raw clients are given the address alone.
            client.config_set("requirepass", "")
            told = client.info("server")
        name = (
            f"{told.get('server_name', 'redis')}"
            f" {told.get('valkey_version', told['redis_version'])}"
        )
        print(f"{name}, {'with jemalloc' if library else 'as it is built'}", flush=True)
        yield server
    finally:
        valkey.stop(temporary / "server")


def _downloaded(temporary: Path) -> str:
    """The path of Debian's library, which is not installed; empty where it can't be had."""
    folder = temporary / "jemalloc"
    folder.mkdir()
    command = "apt-get download -qq libjemalloc2 && dpkg -x libjemalloc2*.deb ."
    subprocess.run(command, shell=True, cwd=folder, check=False, stderr=subprocess.DEVNULL)
    return next((str(path) for path in folder.rglob("libjemalloc.so.2")), "")
