"""An Airflow of one folder: api-server, scheduler, dag-processor and triggerer, with SQLite and
workers beside it.

Meant for one person: everything listens on 127.0.0.1 alone, and other users of the machine, who
reach that too, need a password. Airflow itself is never imported: its components run as daemons and
are driven by REST.
"""

from __future__ import annotations

import hashlib
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
from controlplane.embedded.daemon import (
    HOST,
    alive,
    choose_port,
    exclusive,
    kill_forked,
    port_is_free,
    private,
    put_aside,
    read_state,
    stop,
    tail,
    write_state,
)
from controlplane.errors import MissingDriver, PlaneError

RELEASE_BUNDLE = "controlplane.airflow.bundle.ReleaseBundle"
EXECUTOR = "controlplane.airflow.executor.WarmExecutor"
_LAUNCH = "controlplane.airflow.launch"
_AUTH_MANAGER = "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"

_STOP_SECONDS = 25.0
_POLL = 0.5
USERNAME = "plane"
_PASSWORDS = "passwords.json"  # in the form of Airflow's SimpleAuthManager: user name -> password
_PASSWORD_BYTES = 24


@dataclass(frozen=True)
class AirflowServer:
    """A running Airflow: `pids` maps each component to the process that leads its session."""

    home: Path
    port: int
    pids: Mapping[str, int]
    username: str = USERNAME

    @property
    def url(self) -> str:
        """Address of the UI and of the REST API."""
        return f"http://{HOST}:{self.port}"

    @property
    def password_file(self) -> Path:
        """The file with the user's password, for UI and REST API; only its owner can read it."""
        return self.home / _PASSWORDS

    def client(self) -> AirflowClient:
        """A client of the REST API that logs in."""
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
    """Start what does not run yet of the Airflow in `home`, and return when all of it is healthy.

    Other `connections`, another port or another version of Airflow restart what runs. The caller's
    own `AIRFLOW__*` settings are left out, lest this touch another Airflow's database;
    `airflow.cfg` in `home` is read.

    Args:
        home: AIRFLOW_HOME, made if need be, for its owner alone.
        bundle_root: folder of the releases whose DAGs are run.
        connections: connection id -> URI or JSON, as Airflow reads it from `AIRFLOW_CONN_<ID>`.
        pools: pool -> slots; those that exist are set to these slots, others are left.
        port: loopback port of the UI; by default the one used last if it is free, else a free one.
        bundle_config: Airflow's `dag_bundle_config_list` as JSON, in place of the releases in
            `bundle_root`.
        timeout: seconds that the start may take.
        on_progress: is told in a few words what happens.

    Raises:
        MissingDriver: Airflow is not installed.
        PlaneError: the port is taken, or a component ended or was not healthy in time; nothing is
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
                f"port {chosen} is in use", hint="choose another one, or leave the choice to us"
            )
        undo.callback(_stop, home)
        secret = _secret(home)
        _make_password(home)
        environment = _environment(
            home, chosen, secret, bundle_config or _releases(bundle_root), connections
        )
        settings = _digest(version, environment, secret)
        if running and state.get("settings") != settings:
            on_progress("the settings have changed: stopping what runs")
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


def connection(kind: str, options: Mapping[str, Any]) -> str:
    """An Airflow connection as JSON from a connector's options: what has a field of its own, and
    its extra."""
    found: dict[str, Any] = {"conn_type": kind}
    extra = dict(options)
    if "path" in extra:
        found["host"] = extra.pop("path")
    if kind == "plane_redis" and "url" in extra:
        url = urlsplit(extra.pop("url"))
        found |= {"host": url.hostname, "port": url.port, "schema": url.path.strip("/")}
        found |= {
            "login": url.username and unquote(url.username),
            "password": url.password and unquote(url.password),
        }
        if url.scheme in ("rediss", "valkeys"):
            extra["ssl"] = True
    for option, part in (("username", "login"), ("password", "password")):
        if option in extra:
            found[part] = extra.pop(option)
    return json.dumps({name: value for name, value in (found | {"extra": extra}).items() if value})


def find(home: Path, *, patience: float = 0.0) -> AirflowServer | None:
    """The Airflow in `home` if all of its components run and are healthy.

    Args:
        home: AIRFLOW_HOME.
        patience: seconds to wait for components that run to report health: a busy one reports late.
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
    """Stop every process of the Airflow in `home`; its database and logs stay.

    Returns whether anything ran.
    """
    home = home.absolute()
    # Without the lock: where nothing was started, nothing is waited for or written.
    if not daemons_of(read_state(home / "state.json")):
        return False
    with exclusive(home):
        return _stop(home)


def password(home: Path) -> str:
    """The password of the user `USERNAME` of the Airflow in `home`.

    Raises:
        PlaneError: no Airflow was started there yet.
    """
    found = read_state(home / _PASSWORDS).get(USERNAME)
    if not isinstance(found, str) or not found:
        text = f"the Airflow in {home} has no password yet"
        raise PlaneError(text, hint="run `plane airflow up`, which makes one")
    return found


def _make_password(home: Path) -> None:
    """Make the password, unless there is one. Airflow would make a short one itself, and write it
    into its log."""
    if not read_state(home / _PASSWORDS).get(USERNAME):
        write_state(home / _PASSWORDS, {USERNAME: secrets.token_urlsafe(_PASSWORD_BYTES)})


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
    """The key of this folder that signs Airflow's tokens: 64 bytes, as its algorithm wants, in
    hexadecimal."""
    path = home / "secret.json"
    if "jwt" not in read_state(path):
        write_state(path, {"jwt": secrets.token_hex(64)})
    secret: str = read_state(path)["jwt"]
    return secret


def _releases(root: Path) -> str:
    kwargs = {"root": str(root.absolute()), "refresh_interval": 5}
    return json.dumps([{"name": "plane", "classpath": RELEASE_BUNDLE, "kwargs": kwargs}])


def _environment(
    home: Path, port: int, secret: str, bundles: str, connections: Mapping[str, str]
) -> dict[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AIRFLOW__") and name not in {"AIRFLOW_HOME", "AIRFLOW_CONFIG"}
    }
    url = f"http://{HOST}:{port}"
    direct = ",".join(
        filter(None, [os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), HOST])
    )
    return {
        **inherited,
        **{f"AIRFLOW_CONN_{name.upper()}": value for name, value in connections.items()},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__EXECUTOR": EXECUTOR,
        "AIRFLOW__CORE__PARALLELISM": "4",  # a worker idles for each
        # The executor waits, and not longer than tasks last.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": ("0"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        # Said in full: an airflow.cfg in the folder must not let everybody in.
        "AIRFLOW__CORE__AUTH_MANAGER": _AUTH_MANAGER,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USERNAME}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / _PASSWORDS),
        # Airflow opens its tasks' logs to its group unless told otherwise.
        "AIRFLOW__LOGGING__FILE_TASK_HANDLER_NEW_FOLDER_PERMISSIONS": "0o700",
        "AIRFLOW__LOGGING__FILE_TASK_HANDLER_NEW_FILE_PERMISSIONS": "0o600",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db?timeout=60",
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": secret,
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
        # A worker sees the end of a task's process as late as this, where it has seen its pipes
        # close a moment before.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "15",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": bundles,
        # The default is shared by all.
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(home / "bundles"),
        # The UI shows the SQL of a task, whole.
        "AIRFLOW__CORE__MAX_TEMPLATED_FIELD_LENGTH": ("65536"),
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        # A changed file is read at once all the same.
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": ("300"),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        # Workers call the api-server, and no proxy of the caller's knows this machine's loopback.
        "NO_PROXY": (direct),
        "no_proxy": direct,
    }


def _digest(version: str, environment: Mapping[str, str], secret: str) -> str:
    """Tells whether what runs was started with these settings, and nothing of what they are."""
    ours = sorted(
        (name, value) for name, value in environment.items() if name.startswith("AIRFLOW")
    )
    return hashlib.blake2b(
        json.dumps([version, ours]).encode(), key=bytes.fromhex(secret)
    ).hexdigest()


def _unless_migrated(home: Path, version: str) -> dict[str, Any] | None:
    """How the launcher makes or migrates the database first.

    None if it is of this version of Airflow.
    """
    stamp, database = home / "migrated.json", home / "airflow.db"
    migrated = read_state(stamp).get("airflow") if database.exists() else None
    if migrated == version:
        return None
    if migrated is None:
        for leftover in home.glob("airflow.db*"):  # half made: Airflow could not go on from there
            leftover.unlink()
    return {"log": str(home / "migrate.log"), "stamp": str(stamp), "version": version}


def _components(home: Path, names: list[str]) -> dict[str, Any]:
    logs = {name: home / f"{name}.log" for name in names}
    for log in logs.values():
        put_aside(log)
    return {name: {"arguments": COMPONENTS[name][1], "log": str(log)} for name, log in logs.items()}


def _start(
    home: Path,
    request: Mapping[str, Any],
    environment: Mapping[str, str],
    lock: TextIO,
    deadline: float,
) -> None:
    asked, log = home / "launch.json", home / "launch.log"
    write_state(asked, {"parent": os.getpid(), "record": str(home / "state.json"), **request})
    with open(log, "w", encoding="utf-8", opener=private) as file:
        try:
            done = subprocess.run(
                # -P: else modules in the folder that the caller stands in would hide Airflow's.
                [sys.executable, "-P", "-m", _LAUNCH, str(asked)],
                env=dict(environment),
                # If this process is killed, the next caller waits for the launcher.
                stdin=lock,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=max(1.0, deadline - time.monotonic()),
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            done = None
    if done != 0:
        ended = "took too long" if done is None else "failed"
        raise PlaneError(f"starting Airflow {ended}:\n{tail(log)}", hint=f"see {log}")


def _stop(home: Path) -> bool:
    state = read_state(home / "state.json")
    daemons = daemons_of(state)
    if (triggerer := daemons.get("triggerer")) and alive(triggerer):
        # Of one that ends in peace the triggerer may hear late, and then waits for it for 10
        # seconds.
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
