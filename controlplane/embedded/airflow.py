"""An Airflow of one folder: api-server, scheduler, dag-processor, triggerer and workers, on SQLite.

It is meant for one person. Everything listens only on 127.0.0.1, which other users of the machine
can reach, too, so they need a password. Airflow itself is never imported: its components run as
daemons, and are controlled over its REST API.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import unquote, urlsplit

from controlplane.embedded.airflow_client import AirflowClient
from controlplane.embedded.airflow_health import COMPONENTS, daemons_of, healthy
from controlplane.embedded.airflow_settings import (
    PASSWORDS,
    USERNAME,
    digest,
    environment_variables,
    release_bundles,
)
from controlplane.embedded.daemon import (
    HOST,
    alive,
    choose_port,
    exclusive,
    kill_forked,
    port_is_free,
    private,
    read_state,
    rotate,
    stop,
    tail,
    write_state,
)
from controlplane.errors import MissingDriver, PlaneError

_LAUNCH = "controlplane.airflow.launch"

_STOP_SECONDS = 25.0
_POLL = 0.5
_PASSWORD_BYTES = 24


@dataclass(frozen=True)
class AirflowServer:
    """A running Airflow.

    Attributes:
        home: AIRFLOW_HOME.
        port: the loopback port of the api-server.
        pids: for each component, the process that leads its session.
        username: the user of the UI and of the REST API.
    """

    home: Path
    port: int
    pids: Mapping[str, int]
    username: str = USERNAME

    @property
    def url(self) -> str:
        """The address of the UI and of the REST API."""
        return f"http://{HOST}:{self.port}"

    @property
    def password_file(self) -> Path:
        """The file with the user's password; only its owner can read it."""
        return self.home / PASSWORDS

    def client(self) -> AirflowClient:
        """Return a client of the REST API that logs in as the user."""
        return AirflowClient(self.url, username=self.username, password=password(self.home))


def up(
    home: Path,
    *,
    bundle_root: Path,
    connections: Mapping[str, str],
    pools: Mapping[str, int],
    port: int | None = None,
    bundle_config: str | None = None,
    timeout: float = 300.0,
    on_progress: Callable[[str], None] = lambda _: None,
) -> AirflowServer:
    """Start the components of the Airflow in `home` that don't run, and wait until all are healthy.

    Other `connections`, another port or another version of Airflow restart running components.
    `airflow.cfg` in `home` is read. The caller's own `AIRFLOW__*` variables are not passed on,
    because they might name another Airflow's database.

    Args:
        home: AIRFLOW_HOME; created, for its owner alone, if it does not exist.
        bundle_root: the folder of the releases whose DAGs are run.
        connections: connection id -> URI or JSON, as Airflow reads it from `AIRFLOW_CONN_<ID>`.
        pools: pool -> slots, for pools to create or to change; other pools stay unchanged.
        port: the loopback port of the UI (default: the last one if it is free, else any free one).
        bundle_config: Airflow's `dag_bundle_config_list` as JSON, instead of the releases in
            `bundle_root`.
        timeout: seconds that the start may take.
        on_progress: called with a few words at each step.

    Raises:
        MissingDriver: Airflow is not installed.
        PlaneError: the port is in use, or a component ended or was not healthy in time. Nothing is
            left running.
    """
    home = home.absolute()
    version = _version()
    with exclusive(home) as lock, ExitStack() as undo:
        deadline = time.monotonic() + timeout
        state = read_state(home / "state.json")
        daemons = daemons_of(state)
        running = {name for name, daemon in daemons.items() if alive(daemon)}
        stop(
            [daemon for name, daemon in daemons.items() if name not in running], grace=_STOP_SECONDS
        )
        chosen = port or (state["port"] if running else choose_port(state.get("port")))
        if not (running and chosen == state["port"]) and not port_is_free(chosen):
            raise PlaneError(
                f"port {chosen} is in use", hint="choose another port, or leave `port` out"
            )
        undo.callback(_stop, home)
        secret = _secret(home)
        _make_password(home)
        environment = environment_variables(
            home, chosen, secret, bundle_config or release_bundles(bundle_root), connections
        )
        settings = digest(version, environment, secret)
        if running and state.get("settings") != settings:
            on_progress("the settings have changed: stopping the running components")
            _stop(home)
            running.clear()
        if missing := [name for name in COMPONENTS if name not in running]:
            if migrate := _unless_migrated(home, version):
                on_progress(f"preparing the database of Airflow {version}")
            on_progress(f"starting {', '.join(missing)}")
            kept = {name: state["processes"][name] for name in running}
            write_state(
                home / "state.json", {"port": chosen, "settings": settings, "processes": kept}
            )
            _start(
                home,
                {"migrate": migrate, "components": _components(home, missing)},
                environment,
                lock,
                deadline,
            )
        _await_health(home, on_progress, deadline)
        server = _server(home, read_state(home / "state.json"))
        client = server.client()
        for name, slots in pools.items():
            client.set_pool(name, slots)
        undo.pop_all()
        return server


def connection(conn_type: str, options: Mapping[str, Any]) -> str:
    """Return an Airflow connection as JSON, from a connector's options.

    Options without a field of their own are in its `extra`.
    """
    fields: dict[str, Any] = {"conn_type": conn_type}
    extra = dict(options)
    if "path" in extra:
        fields["host"] = extra.pop("path")
    if conn_type == "plane_redis" and "url" in extra:
        url = urlsplit(extra.pop("url"))
        fields |= {"host": url.hostname, "port": url.port, "schema": url.path.strip("/")}
        fields |= {
            "login": url.username and unquote(url.username),
            "password": url.password and unquote(url.password),
        }
        if url.scheme in ("rediss", "valkeys"):
            extra["ssl"] = True
    for option, part in (("username", "login"), ("password", "password")):
        if option in extra:
            fields[part] = extra.pop(option)
    fields["extra"] = extra
    return json.dumps({name: value for name, value in fields.items() if value})


def find(home: Path, *, patience: float = 0.0) -> AirflowServer | None:
    """Return the Airflow in `home` if all of its components run and are healthy, else None.

    Args:
        home: AIRFLOW_HOME.
        patience: seconds to wait until running components report health; busy ones report late.
    """
    home = home.absolute()
    deadline = time.monotonic() + patience
    while True:
        state = read_state(home / "state.json")
        daemons = daemons_of(state)
        if daemons.keys() != COMPONENTS.keys() or not all(map(alive, daemons.values())):
            return None
        if healthy(state) == set(COMPONENTS):
            return _server(home, state)
        if time.monotonic() > deadline:
            return None
        time.sleep(_POLL)


def down(home: Path) -> bool:
    """Stop every process of the Airflow in `home`; returns whether any ran.

    Its database and its logs stay.
    """
    home = home.absolute()
    # Before taking the lock, which would create the folder, and wait for another command.
    if not daemons_of(read_state(home / "state.json")):
        return False
    with exclusive(home):
        return _stop(home)


def password(home: Path) -> str:
    """Return the password of the user of the Airflow in `home`.

    Raises:
        PlaneError: no Airflow has been started there.
    """
    stored = read_state(home / PASSWORDS).get(USERNAME)
    if not isinstance(stored, str) or not stored:
        text = f"the Airflow in {home} has no password yet"
        raise PlaneError(text, hint="run `plane airflow up`, which creates it")
    return stored


def _make_password(home: Path) -> None:
    """Make the password, unless it exists."""
    # Airflow itself would make a short one, and write it to its log.
    if not read_state(home / PASSWORDS).get(USERNAME):
        write_state(home / PASSWORDS, {USERNAME: secrets.token_urlsafe(_PASSWORD_BYTES)})


def _version() -> str:
    try:
        return importlib.metadata.version("apache-airflow-core")
    except importlib.metadata.PackageNotFoundError:
        raise MissingDriver(
            "Airflow is not installed", hint="pip install 'controlplane[airflow]'"
        ) from None


def _server(home: Path, state: Mapping[str, Any]) -> AirflowServer:
    return AirflowServer(
        home, state["port"], {name: daemon.pid for name, daemon in daemons_of(state).items()}
    )


def _secret(home: Path) -> str:
    """Return the key that signs Airflow's tokens, in hexadecimal digits; make it if necessary."""
    path = home / "secret.json"
    if "jwt" not in read_state(path):
        write_state(path, {"jwt": secrets.token_hex(64)})  # HS512 asks for 64 bytes
    secret: str = read_state(path)["jwt"]
    return secret


def _unless_migrated(home: Path, version: str) -> dict[str, Any] | None:
    """Return the launcher's request to create or migrate the database.

    None if this version of Airflow has already migrated it.
    """
    stamp, database = home / "migrated.json", home / "airflow.db"
    migrated = read_state(stamp).get("airflow") if database.exists() else None
    if migrated == version:
        return None
    if migrated is None:
        # A database without a stamp is incomplete, and Airflow can't continue from there.
        for leftover in home.glob("airflow.db*"):
            leftover.unlink()
    return {"log": str(home / "migrate.log"), "stamp": str(stamp), "version": version}


def _components(home: Path, names: list[str]) -> dict[str, Any]:
    logs = {name: home / f"{name}.log" for name in names}
    for log in logs.values():
        rotate(log)
    return {name: {"arguments": COMPONENTS[name][1], "log": str(log)} for name, log in logs.items()}


def _start(
    home: Path,
    request: Mapping[str, Any],
    environment: Mapping[str, str],
    lock: TextIO,
    deadline: float,
) -> None:
    request_file, log = home / "launch.json", home / "launch.log"
    write_state(
        request_file, {"parent": os.getpid(), "record": str(home / "state.json"), **request}
    )
    with open(log, "w", encoding="utf-8", opener=private) as file:
        try:
            exit_code = subprocess.run(
                # -P: otherwise modules in the current folder could hide Airflow's.
                [sys.executable, "-P", "-m", _LAUNCH, str(request_file)],
                env=dict(environment),
                # The launcher inherits the lock: if this process is killed, the next command waits
                # for the launcher.
                stdin=lock,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=max(1.0, deadline - time.monotonic()),
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            exit_code = None
    if exit_code != 0:
        failure = "took too long" if exit_code is None else "failed"
        raise PlaneError(f"starting Airflow {failure}:\n{tail(log)}", hint=f"see {log}")


def _stop(home: Path) -> bool:
    state = read_state(home / "state.json")
    daemons = daemons_of(state)
    if (triggerer := daemons.get("triggerer")) and alive(triggerer):
        # Kill the triggerer's children first. If one ends by itself, the triggerer may notice late,
        # and then waits 10 seconds for it.
        kill_forked(triggerer)
    ran = stop(daemons.values(), grace=_STOP_SECONDS)
    write_state(home / "state.json", {"port": state.get("port")})
    return ran


def _await_health(home: Path, on_progress: Callable[[str], None], deadline: float) -> None:
    state = read_state(home / "state.json")
    known: set[str] = set()
    while True:
        for name, daemon in daemons_of(state).items():
            if not alive(daemon):
                log = home / f"{name}.log"
                raise PlaneError(
                    f"Airflow's {name} ended as it started:\n{tail(log)}", hint=f"see {log}"
                )
        reporting = healthy(state)
        for name in sorted(reporting - known):
            on_progress(f"{name} is healthy")
        known |= reporting
        if reporting == set(COMPONENTS):
            return
        if time.monotonic() > deadline:
            waiting = ", ".join(sorted(set(COMPONENTS) - reporting))
            raise PlaneError(
                f"Airflow was not healthy in time; still waiting for {waiting}",
                hint=f"see {home}/*.log",
            )
        time.sleep(_POLL)
