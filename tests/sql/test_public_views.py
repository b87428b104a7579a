"""What users' views say of themselves arrives in the warehouse as it was written, and readers are
let in."""

from __future__ import annotations

import re

import msgspec
import pytest

from connectors.databricks import connect as connect_databricks
from connectors.duckdb.warehouse import connect
from connectors.snowflake.signin import connect as connect_snowflake
from controlplane.base.ports import Warehouse
from controlplane.control import ledger
from controlplane.manifest.specs import Manifest
from controlplane.sql.statements import split
from controlplane.sql.views import render_view
from tests.compile.golden import FOLDER
from tests.compile.projects import compiled
from tests.endpoints.databricks.client import DatabricksEndpoint, own_schema
from tests.endpoints.snowflake import SnowflakeEndpoint

SAID = 'it\'s a "word" \\ of {{ plane.start }}\n-- @statement: no\n{% x %} 100%'
TOLD = 'it\'s a "word" \\ of { { plane.start }} -- @statement: no { % x %} 100%'
COMMENT = f"{TOLD} | owner: shop@example.com | tags: domain=shop | defined at shop.py:15"


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return compiled(FOLDER, ["shop.py"])


def doors(manifest: Manifest, dialect: str, role: str = "", schema: str = "features") -> Manifest:
    """The manifest for another warehouse, with descriptions that are hard to write."""
    view = manifest.views[0]
    features = tuple(
        msgspec.structs.replace(
            feature, description=SAID if feature.name == "count_1d" else feature.description
        )
        for feature in view.features
    )
    views = (msgspec.structs.replace(view, description=SAID, features=features),)
    return msgspec.structs.replace(
        manifest, dialect=dialect, schema=schema, views=views, reader_role=role
    )


def opened(manifest: Manifest, warehouse: Warehouse, times: int = 2) -> None:
    """Make the tables, and the users' views once and again."""
    rendered = render_view(manifest, manifest.views[0])
    warehouse.execute(split(rendered.setup))
    for _ in range(times):
        warehouse.execute(split(rendered.doors))


def test_duckdb(manifest):
    warehouse = connect(path=":memory:")
    opened(doors(manifest, "duckdb"), warehouse)
    query = (
        "SELECT view_name, comment FROM duckdb_views() WHERE comment IS NOT NULL ORDER BY view_name"
    )
    assert [tuple(row.values()) for row in ledger.rows(warehouse, query)] == [
        ("purchases", COMMENT),
        ("purchases__latest", COMMENT),
    ]
    query = (
        "SELECT column_name, comment FROM duckdb_columns() WHERE comment IS NOT NULL AND table_name"
        " = 'purchases'"
    )
    found = {row["column_name"]: row["comment"] for row in ledger.rows(warehouse, query)}
    assert found == {"count_1d": TOLD, "last_word": "What was said last."}
    warehouse.close()


def test_snowflake(manifest):
    with SnowflakeEndpoint() as endpoint:
        warehouse = connect_snowflake(**endpoint.options())
        opened(doors(manifest, "snowflake", role="analysts"), warehouse)
        assert len(ledger.rows(warehouse, "SELECT * FROM features.purchases__latest")) == 0
        recorded = endpoint.account.recorded
        warehouse.close()
    text = "'" + TOLD.replace("\\", "\\\\").replace("'", "''") + "'"
    [view, *_] = [
        one for one in recorded if one.startswith('CREATE OR REPLACE VIEW "FEATURES"."PURCHASES" ')
    ]
    assert "\"LAST_WORD\" COMMENT 'What was said last.'" in view
    assert f'"COUNT_1D" COMMENT {text}' in view.replace("\\'", "''"), (
        "the account writes quotes in its own way"
    )
    assert "COPY GRANTS" in view
    assert {one for one in recorded if one.startswith("GRANT")} == {
        'GRANT USAGE ON SCHEMA "FEATURES" TO ROLE "ANALYSTS"',
        *(
            f'GRANT SELECT ON VIEW "FEATURES"."PURCHASES{part}" TO ROLE "ANALYSTS"'
            for part in ("", "__HISTORY", "__HISTORY_REPLACED", "__LATEST", "__TILES")
        ),
    }


def test_databricks(manifest, databricks: DatabricksEndpoint):
    warehouse = connect_databricks(**databricks.options())
    with own_schema(warehouse) as schema:
        opened(
            doors(manifest, "databricks", role="data readers", schema=schema), warehouse, times=1
        )
        found = ledger.rows(warehouse, f"DESCRIBE TABLE EXTENDED {schema}.purchases")
        told = {row["col_name"]: (row["data_type"], row["comment"]) for row in found}
    assert (told["count_1d"][1], told["last_word"][1]) == (TOLD, "What was said last.")
    assert told["Comment"][0] == COMMENT
    assert f"GRANT USE SCHEMA ON SCHEMA `{schema}` TO `data readers`" in databricks.recorded
    assert (
        f"GRANT SELECT ON TABLE `{schema}`.`purchases__latest` TO `data readers`"
        in databricks.recorded
    )
    warehouse.close()


@pytest.mark.parametrize("dialect", ["duckdb", "snowflake", "databricks"])
def test_tags_are_said_in_comments_alone(manifest, dialect):
    rendered = render_view(doors(manifest, dialect), manifest.views[0])
    assert "tags: domain=shop" in rendered.doors
    assert re.search(r"\b(SET|WITH|UNSET) TAGS?\b", rendered.setup + rendered.doors) is None
