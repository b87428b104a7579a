"""The endpoints that these tests are about."""

from tests.endpoints.databricks.fixture import databricks

__all__ = ["databricks"]
