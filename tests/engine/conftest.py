"""The warehouses beside the embedded one."""

from __future__ import annotations

from tests.endpoints.databricks.fixture import databricks, databricks_alone

__all__ = ["databricks", "databricks_alone"]
