"""What Airflow learns about this package when it starts: plain data, nothing is imported."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Connection types with their forms, and where hooks and operators are."""
    return {
        "package-name": "controlplane",
        "name": "controlplane",
        "description": "Feature views in your own warehouse and Redis.",
        "integrations": [
            {"integration-name": "DuckDB", "external-doc-url": "https://duckdb.org", "tags": ["software"]},
            {"integration-name": "Redis", "external-doc-url": "https://redis.io", "tags": ["software"]},
        ],
        "hooks": [
            {"integration-name": "DuckDB", "python-modules": ["controlplane.airflow.hooks"]},
            {"integration-name": "Redis", "python-modules": ["controlplane.airflow.hooks"]},
        ],
        "operators": [{"integration-name": "DuckDB", "python-modules": ["controlplane.airflow.operators"]}],
        "connection-types": [
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
