"""The Databricks connector at the shared endpoint, for tests: taken into a file of tests by
import."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connectors.databricks import connect
from connectors.databricks.warehouse import DatabricksWarehouse
from tests.endpoints.databricks.client import DatabricksEndpoint


@pytest.fixture
def endpoint(databricks: DatabricksEndpoint) -> Iterator[DatabricksEndpoint]:
    """The shared endpoint, with which nothing is wrong before and after a test."""
    yield databricks
    databricks.forget_faults()


@pytest.fixture(scope="module")
def opened(databricks: DatabricksEndpoint) -> Iterator[DatabricksWarehouse]:
    """One session for all tests of a file."""
    warehouse = connect(**databricks.options())
    yield warehouse
    warehouse.close()


@pytest.fixture
def warehouse(endpoint: DatabricksEndpoint, opened: DatabricksWarehouse) -> DatabricksWarehouse:
    """The same session, at an endpoint with which nothing is wrong."""
    return opened
