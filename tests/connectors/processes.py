"""Redis servers as processes of a test: masters, replicas, sentinels and nodes of a cluster."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import redis

from controlplane.embedded import valkey


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def until(true: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def answers(port: int) -> redis.Redis:
    client = redis.Redis(port=port, protocol=2)

    def pings() -> bool:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False

    until(pings)
    return client


def spawn(folder: Path, undo: ExitStack, port: int, *options: str) -> subprocess.Popen[bytes]:
    home = folder / str(port)
    home.mkdir(exist_ok=True)
    command = [
        valkey.server_program(),
        *options,
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--dir",
        str(home),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    undo.callback(process.wait)
    undo.callback(process.kill)
    return process
