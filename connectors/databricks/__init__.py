"""Databricks SQL warehouses, over the driver's Thrift protocol.

Timestamps are `TIMESTAMP` in UTC with microseconds. Each statement is a transaction of its own, and
the driver sends a statement again if the connection breaks before its response. So every statement
for this warehouse must be idempotent.
"""

from connectors.databricks.signin import connect

__all__ = ["connect"]
