"""Databricks SQL warehouses, over the driver's Thrift protocol.

Knows statements and rows; timestamps are `TIMESTAMP` in UTC with microseconds. Tables here have no
transaction that spans statements, and the driver sends a statement again when the connection breaks
before the answer is there: whoever writes statements for this warehouse makes each one idempotent.
"""

from connectors.databricks.signin import connect

__all__ = ["connect"]
