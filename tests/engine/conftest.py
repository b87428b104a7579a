"""The warehouses beside the embedded one, and an online store."""

from __future__ import annotations

from tests.endpoints.databricks.fixture import databricks
from tests.servers import valkey_url

__all__ = ["databricks", "valkey_url"]
