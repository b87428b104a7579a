"""A real online store, tiny projects on it, and the same project on each of the three
warehouses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from connectors.databricks import connect as connect_databricks
from connectors.duckdb.warehouse import connect as connect_duckdb
from connectors.snowflake.signin import connect as connect_snowflake
from tests.control.team import Team
from tests.endpoints.databricks.client import DatabricksEndpoint
from tests.endpoints.databricks.fixture import databricks
from tests.endpoints.snowflake import SnowflakeEndpoint
from tests.servers import valkey_url
from tests.shop_projects import make, shop

__all__ = ["databricks", "make", "shop", "valkey_url"]

_NUMBERS = count(1)
SECRET = "PLANE_TEST_TOKEN"


@pytest.fixture(params=["duckdb", "snowflake", "databricks"])
def team(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    valkey_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Team]:
    """A team's warehouse with a table of payments; projects over it are made with `Team.laptop`."""
    name = f"team{next(_NUMBERS)}"
    with ExitStack() as stack:
        if request.param == "duckdb":
            path = tmp_path / "warehouse.duckdb"
            settings = f'{{ kind = "duckdb", path = "{path}" }}'
            team = Team(
                tmp_path,
                name,
                "duckdb",
                settings,
                valkey_url,
                lambda: connect_duckdb(path=str(path)),
            )
        elif request.param == "snowflake":
            endpoint = stack.enter_context(SnowflakeEndpoint())
            options = endpoint.options()
            monkeypatch.setenv(SECRET, options["token"])
            settings = _settings("snowflake", options, "token")
            team = Team(
                tmp_path,
                name,
                "snowflake",
                settings,
                valkey_url,
                lambda: connect_snowflake(**options),
            )
        else:
            spark: DatabricksEndpoint = request.getfixturevalue("databricks")
            options = spark.options()
            monkeypatch.setenv(SECRET, options["access_token"])
            settings = _settings("databricks", options, "access_token")
            team = Team(
                tmp_path,
                name,
                "databricks",
                settings,
                valkey_url,
                lambda: connect_databricks(**options),
            )
        team.drop_all()
        stack.callback(team.drop_all)
        team.load()
        yield team


def _settings(kind: str, options: dict[str, object], secret: str) -> str:
    shown = {**options, secret: f"${{{SECRET}}}"}
    listed = "".join(
        f", {name} = {value}" if isinstance(value, int) else f', {name} = "{value}"'
        for name, value in shown.items()
        if isinstance(value, int | str)
    )
    return f'{{ kind = "{kind}"{listed} }}'


Make = Callable[..., Team]
