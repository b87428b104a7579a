"""The warehouses beside the embedded one."""

from __future__ import annotations

from tests.endpoints.databricks.fixture import databricks

__all__ = ["databricks"]
