"""The warehouses beside the embedded one, and an online store."""

from __future__ import annotations

from tests.endpoints.databricks.fixture import databricks, databricks_alone
from tests.servers import valkey_url

__all__ = ["databricks", "databricks_alone", "valkey_url"]
