"""The settings of the embedded Airflow, as environment variables."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from controlplane.embedded.daemon import HOST

RELEASE_BUNDLE = "controlplane.airflow.bundle.ReleaseBundle"
EXECUTOR = "controlplane.airflow.executor.WarmExecutor"
_AUTH_MANAGER = "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
USERNAME = "plane"
PASSWORDS = "passwords.json"
"""The file of passwords, in the format of Airflow's SimpleAuthManager: user name -> password."""


def release_bundles(root: Path) -> str:
    """Return Airflow's `dag_bundle_config_list` for the releases in a folder, as JSON."""
    kwargs = {"root": str(root.absolute()), "refresh_interval": 5}
    return json.dumps([{"name": "plane", "classpath": RELEASE_BUNDLE, "kwargs": kwargs}])


def environment_variables(
    home: Path, port: int, secret: str, bundles: str, connections: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of Airflow's processes.

    Args:
        home: AIRFLOW_HOME.
        port: the loopback port of the api-server.
        secret: the key that signs tokens.
        bundles: Airflow's `dag_bundle_config_list` as JSON.
        connections: connection id -> URI or JSON.
    """
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
        "AIRFLOW__CORE__PARALLELISM": "4",  # each slot has an idle worker process
        # The executor waits instead, until a task ends.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        # All four, so that an airflow.cfg in the folder can't disable the login.
        "AIRFLOW__CORE__AUTH_MANAGER": _AUTH_MANAGER,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USERNAME}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / PASSWORDS),
        # By default, the group may read the logs of tasks.
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
        # If the pipes of a task's process close before the process ends, the worker notices the end
        # only at its next heartbeat.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "15",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": bundles,
        # The default is a folder in /tmp, the same for all Airflows of the machine.
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(home / "bundles"),
        # Long enough for the UI to show the whole SQL of a task.
        "AIRFLOW__CORE__MAX_TEMPLATED_FIELD_LENGTH": "65536",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        # For unchanged files only: a changed file is read at once.
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        # Workers call the api-server, which no proxy can reach on this machine's loopback.
        "NO_PROXY": direct,
        "no_proxy": direct,
    }


def digest(version: str, environment: Mapping[str, str], secret: str) -> str:
    """Return a digest that tells whether the settings have changed, without revealing them."""
    settings = sorted(
        (name, value) for name, value in environment.items() if name.startswith("AIRFLOW")
    )
    return hashlib.blake2b(
        json.dumps([version, settings]).encode(), key=bytes.fromhex(secret)
    ).hexdigest()
