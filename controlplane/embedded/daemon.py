"""Processes that outlive the command that starts them: start, recognise and stop them.

Every daemon leads a session of its own, so that the processes that it forks can be found and
stopped with it. It is identified by its process id together with its time of birth, so that a
process with a reused id is never mistaken for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from controlplane.errors import PlaneError, disk_remedy

HOST = "127.0.0.1"
_PROC = Path("/proc")
_BOOT = _PROC / "sys/kernel/random/boot_id"
_POLL = 0.05
_ORPHAN_SECONDS = 3.0
# Below the ports that Linux, macOS and Windows use for outgoing connections: one of those could be
# in use when its server starts again.
_PORTS = range(20_000, 32_768)
_TRIES = 200


@dataclass(frozen=True)
class Daemon:
    """A process that leads a session.

    Attributes:
        pid: the process id.
        born: the boot of the machine, and the time since then.
    """

    pid: int
    born: str

    def record(self) -> dict[str, Any]:
        """Return the record for `remembered`."""
        return asdict(self)


def remembered(record: object) -> Daemon | None:
    """Return the daemon of a record, or None if it is not a valid record."""
    match record:
        case {"pid": int(pid), "born": str(born)}:
            return Daemon(pid, born)
        case _:
            return None


def spawn(
    command: Sequence[str], *, env: Mapping[str, str], log: Path, record: Callable[[Daemon], None]
) -> Daemon:
    """Start `command` in its own session.

    Args:
        command: the command; it starts only after `record` has returned, so that a daemon that was
            not recorded never runs.
        env: its environment.
        log: the file for its output; an existing one is renamed to `<log>.1`.
        record: stores the daemon.
    """
    rotate(log)
    write = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    waits, go = os.pipe()
    try:
        # Not subprocess.Popen: it keeps a reference to the child, and warns that it still runs.
        pid = os.posix_spawn(
            "/bin/sh",
            # umask: a server's files hold feature values and secrets, so they are for its owner
            # alone.
            ["sh", "-c", 'umask 077 && read -r _ && exec "$@" < /dev/null', "sh", *command],
            dict(env),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, waits, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.fspath(log), write, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGINT, signal.SIGPIPE, signal.SIGHUP, signal.SIGTERM],
        )
        daemon = known(pid)
        record(daemon)
        os.write(go, b"\n")
    finally:
        os.close(waits)
        os.close(go)
    return daemon


def known(pid: int) -> Daemon:
    """Return the process that has this id now."""
    _, born = _look(pid) or ("", "")
    return Daemon(pid, born)


def rotate(log: Path) -> None:
    """Rename a log to `<log>.1`, which replaces an older one."""
    if log.exists():
        log.replace(log.with_name(f"{log.name}.1"))


def alive(daemon: Daemon) -> bool:
    """Return whether the same process, and not another one with its id, still runs."""
    _reap(daemon.pid)
    seen = _look(daemon.pid)
    return seen is not None and seen[1] == daemon.born and not seen[0].startswith("Z")


def members(daemon: Daemon) -> list[int]:
    """Return the ids of all processes in the daemon's session, even if the daemon has died."""
    _reap(daemon.pid)
    leader = _look(daemon.pid)
    # While a session has members, no other process gets its id. After a restart of the machine,
    # another one may.
    same = leader[1] == daemon.born if leader else _boot() == daemon.born.partition("|")[0]
    if not same:
        return []
    pids = []
    for pid in _pids():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if (
                os.getsid(pid) == daemon.pid
                and (seen := _look(pid)) is not None
                and not seen[0].startswith("Z")
            ):
                pids.append(pid)
    return pids


def kill_forked(daemon: Daemon) -> None:
    """Send SIGKILL to all processes in the daemon's session, except the daemon itself."""
    _signal([pid for pid in members(daemon) if pid != daemon.pid], signal.SIGKILL)


def stop(daemons: Iterable[Daemon], *, grace: float) -> bool:
    """Stop daemons and the processes that they forked, with SIGTERM and then SIGKILL.

    Args:
        daemons: running or dead daemons; the orphans of a dead one are stopped as well.
        grace: seconds between the signals; fewer when only orphans are left, such as pool workers,
            which only their parent can end in an orderly way.

    Returns:
        Whether any process ran.

    Raises:
        PlaneError: a process still runs `grace` seconds after SIGKILL.
    """
    sessions = list(daemons)
    left = [pid for daemon in sessions for pid in members(daemon)]
    ran = bool(left)
    _signal(left, signal.SIGTERM)
    kill_at = time.monotonic() + grace
    give_up_at = kill_at + grace
    while left:
        time.sleep(_POLL)
        left = [pid for daemon in sessions for pid in members(daemon)]
        now = time.monotonic()
        if not any(map(alive, sessions)):
            kill_at = min(kill_at, now + _ORPHAN_SECONDS)
        if left and now > give_up_at:
            raise PlaneError(
                f"processes {left} can't be stopped",
                hint="look at them with `ps`; a restart of the machine ends them",
            )
        if now > kill_at:
            _signal(left, signal.SIGKILL)
    return ran


@contextlib.contextmanager
def exclusive(directory: Path) -> Iterator[TextIO]:
    """Hold the directory's lock; wait while another process holds it.

    The directory is created, for its owner alone, if it does not exist. The lock is yielded as an
    open, empty file: a process that inherits it also holds the lock, until it ends.

    Raises:
        PlaneError: the directory can't be created or written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Path.open has no opener; the file is closed below.
        file = open(directory / "lock", "w+", encoding="utf-8", opener=private)  # noqa: SIM115
    except OSError as error:
        text = f"the embedded servers' folder {directory} can't be written: {error.strerror}"
        raise PlaneError(text, hint=disk_remedy(str(error))) from None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def private(path: str, flags: int) -> int:
    """Open a file for its owner alone: an `opener` of Python's `open`."""
    return os.open(path, flags, 0o600)


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Replace the file at `path` by `state` as JSON, atomically, readable only by its owner."""
    write_private(path, json.dumps(state, indent=1))


def write_private(path: Path, text: str) -> None:
    """Replace the file at `path` by `text`, atomically, readable only by its owner."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(name).replace(path)


def read_state(path: Path) -> dict[str, Any]:
    """Read a file of `write_state`; empty if the file does not exist or is not such a file.

    Raises:
        PlaneError: the file belongs to another user.
    """
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    except OSError as error:
        text = f"the state of an embedded server in {path} can't be read: {error.strerror}"
        raise PlaneError(
            text, hint="run the command as the user who owns the project's .plane folder"
        ) from None
    return state if isinstance(state, dict) else {}


def port_is_free(port: int) -> bool:
    """Return whether a server could listen on the loopback `port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen()
        except OSError:
            return False
    return True


def choose_port(preferred: object = None) -> int:
    """Return `preferred`, if it is a free port, else any free loopback port.

    Raises:
        PlaneError: no free port was found.
    """
    if isinstance(preferred, int) and port_is_free(preferred):
        return preferred
    for port in random.sample(_PORTS, _TRIES):
        if port_is_free(port):
            return port
    raise PlaneError(
        f"no free port was found among {_TRIES} of {_PORTS.start} to {_PORTS.stop - 1} on {HOST}",
        hint="stop some of the programs that listen there",
    )


def tail(log: Path, lines: int = 20) -> str:
    """Return the last lines of a log; empty if it does not exist."""
    try:
        return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _reap(pid: int) -> None:
    """Reap the process if it is a dead child of this process: it would stay a zombie."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _look(pid: int) -> tuple[str, str] | None:
    """Return a process's state (`Z...`: dead, not reaped yet) and birth; None if there is none."""
    if _BOOT.exists():
        try:
            stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return None
        fields = stat.rpartition(")")[2].split()
        # A process whose first thread has ended is listed as a zombie, but holds its ports until
        # its last thread ends.
        state = "R" if int(fields[17]) > 1 else fields[0]
        return state, f"{_boot()}|{fields[19]}"
    state, _, born = _ps("-o", "stat=,lstart=", "-p", str(pid)).strip().partition(" ")
    return (state, f"{_boot()}|{born.strip()}") if state else None


def _boot() -> str:
    """Return an identifier of the machine's present boot."""
    if _BOOT.exists():
        return _BOOT.read_text(encoding="ascii").strip()
    return _ps("-o", "lstart=", "-p", "1").strip()


def _pids() -> list[int]:
    if _BOOT.exists():
        return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]
    return [int(pid) for pid in _ps("-A", "-o", "pid=").split()]


def _ps(*arguments: str) -> str:
    environment = {**os.environ, "LC_ALL": "C"}
    command = ["ps", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=False, env=environment
    ).stdout
