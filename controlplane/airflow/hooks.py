"""Open warehouses and online stores of Airflow's connections, the only source of credentials."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from urllib.parse import quote

from airflow.sdk import BaseHook, Connection

from controlplane.airflow.connections import options_of
from controlplane.base.ports import OnlineStore, Warehouse
from controlplane.errors import PermanentError, PlaneError, TransientError
from controlplane.workspace import connectors

LOCK_TIMEOUT = 60.0
"""Seconds to wait for a locked DuckDB file, unless the connection has `lock_timeout`."""


class WarehouseHook(BaseHook):
    """A warehouse.

    Args:
        warehouse_conn_id: the connection.
        query_tags: tags for all statements in the warehouse's query log.
    """

    conn_name_attr = "warehouse_conn_id"
    default_conn_name = "plane_warehouse"

    def __init__(
        self,
        warehouse_conn_id: str = default_conn_name,
        query_tags: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.warehouse_conn_id = warehouse_conn_id
        self.query_tags = query_tags

    def get_conn(self) -> Warehouse:
        """Open the warehouse.

        Raises:
            TransientError: the warehouse can't be reached now.
            PlaneError: the connection is incomplete, or the warehouse refuses it.
        """
        connection = self.get_connection(self.warehouse_conn_id)
        options, unused = options_of(connection, connectors.option_names(str(connection.conn_type)))
        if unused:
            self.log.info(
                "connection %r: these fields of its extra are not used: %s",
                connection.conn_id,
                unused,
            )
        tags = {**options.pop("query_tags", {}), **(self.query_tags or {})}
        return connectors.open_warehouse(str(connection.conn_type), {**options, "query_tags": tags})

    def test_connection(self) -> tuple[bool, str]:
        """Return whether the warehouse opens, for the button of Airflow's form."""
        try:
            warehouse = self.get_conn()
            try:
                return True, warehouse.info()["product"]
            finally:
                warehouse.close()
        except PlaneError as error:
            return False, str(error)


class SnowflakeHook(WarehouseHook):
    """A Snowflake account; the connection is as for Airflow's own provider for Snowflake."""

    conn_type = "snowflake"
    hook_name = "Snowflake"


class DatabricksHook(WarehouseHook):
    """A Databricks SQL warehouse; the connection is as for Airflow's own provider."""

    conn_type = "databricks"
    hook_name = "Databricks"


class DuckDBHook(WarehouseHook):
    """A DuckDB file: its path is the connection's host, and other options are in the extra.

    Only one process at a time can open such a file, so the hook waits for a locked one. DuckDB has
    no query log.
    """

    conn_type = "duckdb"
    hook_name = "DuckDB (embedded warehouse)"

    def get_conn(self) -> Warehouse:
        """Open the file. Close it soon: other tasks wait for it.

        Raises:
            TransientError: the file stayed locked for too long.
            PermanentError: the connection names no file, or the file can't be opened.
        """
        connection = self.get_connection(self.warehouse_conn_id)
        if not connection.host:
            raise PermanentError(
                f"connection {self.warehouse_conn_id!r} names no DuckDB file", hint="set its host"
            )
        options = connection.extra_dejson
        timeout = options.pop("lock_timeout", None)
        deadline = time.monotonic() + float(LOCK_TIMEOUT if timeout is None else timeout)
        pause = 0.05
        while True:
            try:
                return connectors.open_warehouse("duckdb", {"path": connection.host, **options})
            except TransientError as error:
                if time.monotonic() + pause > deadline:
                    raise
                self.log.info("waiting: %s", error.message)
            # Random, so that waiting tasks don't all try at the same moments.
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 -- not for secrets
            pause = min(2 * pause, 2.0)


class OnlineStoreHook(BaseHook):
    """A Redis or Valkey server: host, port, login, password; the schema is the database's number.

    In the extra, `ssl` turns on TLS; its other fields are options of the connector.
    """

    conn_name_attr = "online_conn_id"
    default_conn_name = "plane_online"
    conn_type = "plane_redis"
    hook_name = "Redis (online features)"

    def __init__(self, online_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.online_conn_id = online_conn_id

    def get_conn(self) -> OnlineStore:
        """Open the store.

        Raises:
            SettingsError: the connection can't be made a Redis URL.
        """
        connection = self.get_connection(self.online_conn_id)
        options = {name: value for name, value in connection.extra_dejson.items() if name != "ssl"}
        config = {
            "url": _url(connection),
            "username": connection.login,
            "password": connection.password,
            **options,
        }
        return connectors.open_store(config)

    def test_connection(self) -> tuple[bool, str]:
        """Return whether the server answers, for the button of Airflow's form."""
        try:
            store = self.get_conn()
            try:
                info = store.info()
            finally:
                store.close()
        except PlaneError as error:
            return False, error.message
        return True, f"{info.details.get('product', 'Redis')} {info.version}"


_WAREHOUSES = {hook.conn_type: hook for hook in (DatabricksHook, DuckDBHook, SnowflakeHook)}


def warehouse_hook(conn_id: str, query_tags: Mapping[str, str] | None = None) -> WarehouseHook:
    """Return the hook for a connection's type.

    Raises:
        PermanentError: the type is not a supported warehouse type.
    """
    conn_type = BaseHook.get_connection(conn_id).conn_type
    if conn_type not in _WAREHOUSES:
        text = f"connection {conn_id!r}: {conn_type!r} is not a supported warehouse type"
        raise PermanentError(text, hint=f"use one of these types: {', '.join(_WAREHOUSES)}")
    return _WAREHOUSES[conn_type](conn_id, query_tags)


def open_warehouse(conn_id: str, query_tags: Mapping[str, str] | None = None) -> Warehouse:
    """Open the warehouse of a connection; `query_tags` are on all its statements.

    Raises:
        TransientError: the warehouse can't be reached now.
        PlaneError: the connection is incomplete or of another type, or the warehouse refuses it.
    """
    return warehouse_hook(conn_id, query_tags).get_conn()


def open_store(conn_id: str) -> OnlineStore:
    """Open the online store of a connection, of type `plane_redis` or `redis`."""
    return OnlineStoreHook(conn_id).get_conn()


def _url(connection: Connection) -> str:
    scheme = "rediss" if connection.extra_dejson.get("ssl") else "redis"
    host = connection.host or "localhost"
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"{scheme}://{host}:{connection.port or 6379}/{quote(str(connection.schema or 0))}"
