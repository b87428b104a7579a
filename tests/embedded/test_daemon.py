"""Daemons: recognised by birth, stopped with everything that they forked, remembered in files."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from controlplane.embedded.daemon import (
    Daemon,
    alive,
    choose_port,
    members,
    port_is_free,
    read_state,
    remembered,
    spawn,
    stop,
    tail,
    write_state,
)

# A leader whose child moves to a process group of its own, as Airflow's tasks do.
FAMILY = """
import os, time
if os.fork() == 0:
    os.setpgid(0, 0)
print("ready", flush=True)
time.sleep(120)
"""
# The first thread ends, and with it what the process table shows of the process; another goes on.
HEADLESS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(120,)).start()
print("ready", flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(120)
"""


def outside(script: str) -> int:
    """What a Python of its own exits with."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([sys.executable, "-c", script], check=False, env=environment).returncode


def python(code: str, folder: Path, ready: int = 1) -> Daemon:
    log = folder / "out.log"
    known: list[Daemon] = []
    daemon = spawn([sys.executable, "-c", code], env=os.environ, log=log, record=known.append)
    assert known == [daemon]
    deadline = time.monotonic() + 20
    while tail(log).count("ready") < ready:
        assert time.monotonic() < deadline, tail(log)
        time.sleep(0.02)
    return daemon


def test_all_that_a_daemon_forked_is_stopped_with_it(tmp_path):
    daemon = python(FAMILY, tmp_path, ready=2)
    pids = members(daemon)
    assert len(pids) == 2
    assert len({os.getpgid(pid) for pid in pids}) == 2
    assert stop([daemon], grace=5)
    assert not alive(daemon)
    assert members(daemon) == []
    assert not stop([daemon], grace=5)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_daemon_lives_until_its_last_thread_has_ended(tmp_path):
    daemon = python(HEADLESS, tmp_path)
    stat = Path(f"/proc/{daemon.pid}/stat")
    while not stat.read_text().rpartition(")")[2].startswith(" Z"):
        time.sleep(0.02)
    assert alive(daemon)
    assert members(daemon) == [daemon.pid]
    assert stop([daemon], grace=5)
    assert not alive(daemon)


def test_orphans_of_a_killed_daemon_are_found_and_stopped(tmp_path):
    daemon = python(FAMILY, tmp_path, ready=2)
    orphan = next(pid for pid in members(daemon) if pid != daemon.pid)
    os.kill(daemon.pid, signal.SIGKILL)
    while alive(daemon):
        time.sleep(0.02)
    assert members(daemon) == [orphan]
    assert stop([daemon], grace=5)
    assert members(daemon) == []


def test_one_that_ignores_sigterm_is_killed(tmp_path):
    daemon = python(STUBBORN, tmp_path)
    begun = time.monotonic()
    assert stop([daemon], grace=0.3)
    assert 0.3 <= time.monotonic() - begun < 5
    assert not alive(daemon)


def test_stubborn_orphans_do_not_use_up_the_grace_of_their_daemon(tmp_path):
    code = STUBBORN.replace(
        "signal.SIG_IGN)",
        "signal.SIG_IGN)\nimport os\nos.fork() or os.execlp('sleep', 'sleep', '120')",
    )
    daemon = python(code, tmp_path)
    os.kill(daemon.pid, signal.SIGKILL)
    begun = time.monotonic()
    assert stop([daemon], grace=60)
    assert time.monotonic() - begun < 20
    assert members(daemon) == []


@pytest.mark.parametrize("born", ["", "another boot|1", "this boot"])
def test_a_process_that_has_taken_over_the_id_is_left_alone(tmp_path, born):
    daemon = python(STUBBORN, tmp_path)
    earlier = Daemon(
        daemon.pid, daemon.born.partition("|")[0] + "|1" if born == "this boot" else born
    )
    assert not alive(earlier)
    assert not stop([earlier], grace=0.1)
    assert alive(daemon)
    stop([daemon], grace=0.1)


def test_a_daemon_outlives_the_process_that_started_it(tmp_path):
    script = f"""
import os, pathlib, sys
from controlplane.embedded.daemon import spawn, write_state
folder = pathlib.Path({str(tmp_path)!r})
def record(daemon):
    write_state(folder / "state.json", daemon.record())
spawn([sys.executable, "-c", "import time; time.sleep(120)"], env=os.environ, log=folder / "out.log", record=record)
"""
    assert outside(script) == 0
    daemon = remembered(read_state(tmp_path / "state.json"))
    assert daemon is not None
    assert alive(daemon)
    assert os.getsid(daemon.pid) == daemon.pid != os.getsid(0)
    assert stop([daemon], grace=5)


def test_nothing_begins_before_it_is_on_record(tmp_path):
    script = f"""
import os, pathlib, signal
from controlplane.embedded.daemon import spawn
folder = pathlib.Path({str(tmp_path)!r})
def record(daemon):
    (folder / "pid").write_text(str(daemon.pid))
    os.kill(os.getpid(), signal.SIGKILL)
spawn(["/usr/bin/touch", str(folder / "begun")], env=os.environ, log=folder / "out.log", record=record)
"""
    assert outside(script) == -signal.SIGKILL
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 20
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert not (tmp_path / "begun").exists()


def test_the_log_before_is_kept(tmp_path):
    for word in ("first", "second"):
        daemon = python(f"print('ready {word}')", tmp_path)
        stop([daemon], grace=5)
    assert tail(tmp_path / "out.log") == "ready second"
    assert tail(tmp_path / "out.log.1") == "ready first"


def test_state_is_private_and_foreign_content_is_no_state(tmp_path):
    path = tmp_path / "state.json"
    assert read_state(path) == {}
    write_state(path, {"port": 1})
    assert read_state(path) == {"port": 1}
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["state.json"]
    for content in ("", "[1]", "{"):
        path.write_text(content)
        assert read_state(path) == {}
    assert remembered({"pid": "1", "born": "x"}) is None


def test_a_port_is_kept_while_it_is_free(tmp_path):
    port = choose_port()
    assert choose_port(port) == port
    listen = (
        f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); print('ready',"
        " flush=True)"
    )
    daemon = python(f"{listen}; time.sleep(99)", tmp_path)
    assert not port_is_free(port)
    assert choose_port(port) != port
    stop([daemon], grace=5)
    assert port_is_free(port)


def test_a_port_is_none_that_an_outgoing_connection_is_lent():
    with socket.create_server(
        ("127.0.0.1", 0)
    ) as lent:  # the system chooses from the same range as for connections
        assert lent.getsockname()[1] > choose_port()
