"""A local Snowflake account, a session of our connector with it, and short words for its use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connectors.snowflake.signin import connect
from connectors.snowflake.warehouse import SnowflakeWarehouse
from controlplane.base.ports import Statement
from tests.endpoints.snowflake import SnowflakeEndpoint

__all__ = ["MANY", "do", "endpoint", "rows", "warehouse"]

MANY = "SELECT SEQ4() AS n, 'row ' || SEQ4() AS words FROM TABLE(GENERATOR(ROWCOUNT => {}))"


@pytest.fixture
def endpoint() -> Iterator[SnowflakeEndpoint]:
    with SnowflakeEndpoint() as endpoint:
        yield endpoint


@pytest.fixture
def warehouse(endpoint) -> Iterator[SnowflakeWarehouse]:
    warehouse = connect(**endpoint.options())
    yield warehouse
    warehouse.close()


def do(warehouse: SnowflakeWarehouse, *texts: str, **options) -> list[int]:
    """Run statements named `step 1` and so on."""
    return warehouse.execute(
        [Statement(f"step {number}", text) for number, text in enumerate(texts, 1)], **options
    )


def rows(warehouse: SnowflakeWarehouse, sql: str) -> list[dict]:
    """All rows of a query."""
    return [row for batch in warehouse.fetch(sql) for row in batch.to_pylist()]
