"""The description of this package for Airflow's start: plain data, without imports."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

_OFFICIAL = "apache-airflow-providers-"


def get_provider_info() -> dict[str, Any]:
    """Return the connection types with their forms, and the modules of hooks and operators."""
    return {
        "package-name": "controlplane",
        "name": "controlplane",
        "description": "Feature views in your own warehouse and Redis.",
        "integrations": [
            {
                "integration-name": "DuckDB",
                "external-doc-url": "https://duckdb.org",
                "tags": ["software"],
            },
            {
                "integration-name": "Snowflake",
                "external-doc-url": "https://www.snowflake.com",
                "tags": ["service"],
            },
            {
                "integration-name": "Databricks",
                "external-doc-url": "https://www.databricks.com",
                "tags": ["service"],
            },
            {
                "integration-name": "Redis",
                "external-doc-url": "https://redis.io",
                "tags": ["software"],
            },
        ],
        "hooks": [
            {"integration-name": name, "python-modules": ["controlplane.airflow.hooks"]}
            for name in ("DuckDB", "Snowflake", "Databricks", "Redis")
        ],
        "operators": [
            {"integration-name": "DuckDB", "python-modules": ["controlplane.airflow.operators"]}
        ],
        "connection-types": [
            # Airflow warns of a type that two providers define. The official provider's form has
            # the same fields.
            *(form for form in _CLOUDS if not _installed(f"{_OFFICIAL}{form['connection-type']}")),
            {
                "connection-type": "duckdb",
                "hook-name": "DuckDB (embedded warehouse)",
                "hook-class-name": "controlplane.airflow.hooks.DuckDBHook",
                "ui-field-behaviour": {
                    "hidden-fields": ["port", "login", "password", "schema"],
                    "relabeling": {"host": "Database file"},
                    "placeholders": {"host": "/srv/features/warehouse.duckdb"},
                },
                "conn-fields": {
                    "lock_timeout": {
                        "label": "Wait for a locked file (seconds)",
                        "schema": {"type": ["number", "null"], "minimum": 0},
                    },
                },
            },
            {
                "connection-type": "plane_redis",
                "hook-name": "Redis (online features)",
                "hook-class-name": "controlplane.airflow.hooks.OnlineStoreHook",
                "ui-field-behaviour": {
                    "hidden-fields": [],
                    "relabeling": {"schema": "Database number", "login": "User"},
                    "placeholders": {"host": "redis.example.com", "port": "6379", "schema": "0"},
                },
                "conn-fields": {
                    "ssl": {"label": "TLS", "schema": {"type": ["boolean", "null"]}},
                },
            },
        ],
    }


_CLOUDS: list[dict[str, Any]] = [
    {
        "connection-type": "snowflake",
        "hook-name": "Snowflake",
        "hook-class-name": "controlplane.airflow.hooks.SnowflakeHook",
        "ui-field-behaviour": {
            "hidden-fields": ["host", "port", "schema"],
            "relabeling": {"login": "User", "password": "Password, or the key's passphrase"},
            "placeholders": {},
        },
        "conn-fields": {
            "account": {"label": "Account", "schema": {"type": ["string", "null"]}},
            "warehouse": {"label": "Warehouse", "schema": {"type": ["string", "null"]}},
            "database": {"label": "Database", "schema": {"type": ["string", "null"]}},
            "role": {"label": "Role", "schema": {"type": ["string", "null"]}},
            "private_key_file": {
                "label": "Private key (path)",
                "schema": {"type": ["string", "null"]},
            },
            "private_key_content": {
                "label": "Private key (text)",
                "schema": {"type": ["string", "null"], "format": "password"},
            },
        },
    },
    {
        "connection-type": "databricks",
        "hook-name": "Databricks",
        "hook-class-name": "controlplane.airflow.hooks.DatabricksHook",
        "ui-field-behaviour": {
            "hidden-fields": ["port", "schema"],
            "relabeling": {
                "host": "Workspace",
                "login": "Service principal",
                "password": "Token or secret",
            },
            "placeholders": {"host": "dbc-a1b2345c-d6e7.cloud.databricks.com"},
        },
        "conn-fields": {
            "http_path": {
                "label": "HTTP path of the warehouse",
                "schema": {"type": ["string", "null"]},
            },
            "catalog": {"label": "Catalog", "schema": {"type": ["string", "null"]}},
            "service_principal_oauth": {
                "label": "Sign in as the service principal",
                "schema": {"type": ["boolean", "null"]},
            },
        },
    },
]


def _installed(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True
