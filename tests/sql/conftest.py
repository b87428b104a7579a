"""The warehouses that rendered texts are tried in."""

from tests.endpoints.databricks.fixture import databricks

__all__ = ["databricks"]
