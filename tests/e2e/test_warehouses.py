"""A project on Snowflake, through the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from connectors.snowflake.signin import connect as connect_snowflake
from controlplane import ControlPlane
from controlplane.base.ports import Statement, Warehouse
from controlplane.errors import PlaneError
from controlplane.plan.actions import Rerender
from tests.endpoints.snowflake import SnowflakeEndpoint

DEFINITIONS = """
from controlplane import Aggregate, Attribute, BatchSource, Entity, FeatureService, batch_feature_view, expect

shopper = Entity("shopper", keys={"shopper_id": "int64"}, owner="team@example.com")
orders = BatchSource(
    "orders", table="raw.orders", timestamp="ordered_at", expectations=[expect.not_null("shopper_id")]
)


@batch_feature_view(
    entities=[shopper],
    sources=[orders],
    schedule="1h",
    start="2024-01-01",
    owner="team@example.com",
    features=[
        Aggregate("sum", "price", windows=["1h", "1d"]),
        Aggregate("last_n", "item", n=3, windows=["1d"]),
        Attribute("item", "string"),
    ],
)
def purchases(orders):
    return f"select shopper_id, ordered_at, price, item from {orders}"


basket = FeatureService("basket", features=[purchases], owner="team@example.com")
"""
ORDERS = (
    (1, "2024-01-01 00:10:00", 2.5, "tea"),
    (1, "2024-01-01 05:10:00", 4.5, "cup"),
    (2, "2024-01-02 05:10:00", 1.5, "jam"),
)
RIGHT = [
    (1, 1, 1, 2.5, 2.5, ["tea"], "tea"),
    (1, 1, 2, None, 2.5, ["tea"], "tea"),
    (1, 1, 6, 4.5, 7.0, ["tea", "cup"], "cup"),
    (1, 1, 7, None, 7.0, ["tea", "cup"], "cup"),
    (1, 2, 1, None, 4.5, ["cup"], "cup"),
    (1, 2, 6, None, None, [], "cup"),
    (2, 2, 6, 1.5, 1.5, ["jam"], "jam"),
    (2, 2, 7, None, 1.5, ["jam"], "jam"),
]
"""Shopper, day and hour of January 2024 since when it holds, the features."""


def plane(folder: Path, secret: str, *arguments: str) -> str:
    """Run `plane` in the project; what it prints."""
    command = [str(Path(sys.executable).with_name("plane")), *arguments]
    ran = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"SECRET": secret},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert secret not in ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def load_orders(warehouse: Warehouse) -> None:
    """Make the table of orders that a team has."""
    columns = "shopper_id BIGINT, ordered_at TIMESTAMP_NTZ, price DOUBLE, item STRING"
    rows = ", ".join(
        f"({s}, CAST('{at}' AS TIMESTAMP_NTZ), {price}, '{item}')" for s, at, price, item in ORDERS
    )
    for sql in (
        "CREATE SCHEMA raw",
        f"CREATE TABLE raw.orders ({columns})",
        f"INSERT INTO raw.orders VALUES {rows}",
    ):
        warehouse.execute([Statement("what the team has", sql)])


def journey(
    folder: Path, kind: str, options: Mapping[str, Any], secret: str, warehouse: Warehouse
) -> None:
    """Orders in the warehouse, a project beside it, and the features that come of both."""
    load_orders(warehouse)
    listed = ", ".join(
        f'{name} = "{value}"' for name, value in options.items() if isinstance(value, str)
    )
    listed += "".join(
        f", {name} = {value}" for name, value in options.items() if isinstance(value, int)
    )
    (folder / "plane.toml").write_text(
        f'[project]\nname = "shop"\ndialect = "{kind}"\n\n[environments.local]\nnow ='
        f' "2024-01-03T00:00:00Z"\nwarehouse = {{ kind = "{kind}", {listed} }}\n'
    )
    (folder / "features").mkdir()
    (folder / "features" / "purchases.py").write_text(DEFINITIONS)
    planned = plane(folder, secret, "plan")
    assert "48 intervals" in planned
    assert "about 96 bytes read" in planned, planned
    plane(folder, secret, "deploy", "--yes")
    plane(folder, secret, "run")
    assert "No changes" in plane(folder, secret, "plan")
    found = [
        row
        for batch in warehouse.fetch("SELECT * FROM features.purchases")
        for row in batch.to_pylist()
    ]
    names = ("price_sum_1h", "price_sum_1d", "item_last_3_1d", "item")
    since = {datetime(2024, 1, day, hour): (day, hour) for _, day, hour, *_ in RIGHT}  # noqa: DTZ001 - in UTC
    told = [
        (row["shopper_id"], *since[row["valid_from"]], *(row[name] for name in names))
        for row in found
    ]
    assert sorted(told, key=lambda row: row[:3]) == RIGHT


def explored(folder: Path, secret: str, endpoint: SnowflakeEndpoint) -> None:
    """What is seen of the warehouse: the same as training has, without a trace."""
    written = len(writes(endpoint))
    shown = json.loads(plane(folder, secret, "preview", "purchases", "--json"))
    latest = "SELECT * FROM features.purchases__latest ORDER BY shopper_id"
    queried = json.loads(plane(folder, secret, "query", latest, "--json"))
    names = ("shopper_id", "price_sum_1h", "price_sum_1d", "item_last_3_1d", "item")
    assert [[row[name] for name in names] for row in shown["rows"]] == [
        [1, None, None, [], "cup"],
        [2, None, 1.5, ["jam"], "jam"],
    ]
    assert [[row[name] for name in names[:-2]] for row in queried["rows"]] == [
        [row[name] for name in names[:-2]] for row in shown["rows"]
    ]
    described = json.loads(plane(folder, secret, "describe", "purchases", "--json"))
    assert described[0]["facts"]["state"] == "deployed, up to date"
    [run] = json.loads(plane(folder, secret, "logs", "purchases", "--json"))
    assert (run["state"], run["rows"]) == ("published", len(ORDERS))
    [entry] = json.loads(plane(folder, secret, "history", "--json"))
    assert entry["created"] == ["basket", "purchases"]
    stage = plane(folder, secret, "sql", "purchases", "--statement", "stage")
    assert stage.startswith(
        "-- stage: stage the interval's rows\nCREATE OR REPLACE TRANSIENT TABLE"
    )
    assert len(writes(endpoint)) == written


def writes(endpoint: SnowflakeEndpoint) -> list[str]:
    """The statements that the account was sent so far and that are no queries."""
    reading = ("SELECT", "WITH", "SHOW", "DESC", "EXPLAIN", "USE", "ALTER SESSION")
    return [text for text in endpoint.account.recorded if not text.lstrip().startswith(reading)]


def exported(folder: Path, secret: str) -> None:
    """A training set leaves the warehouse as a file, which is the spine of the next one."""
    spine = "SELECT shopper_id, ordered_at, price AS paid FROM raw.orders"
    create = ("dataset", "create", "orders", "--service", "basket", "--time", "at", "--from-source")
    plane(folder, secret, *create, "--spine", spine.replace("ordered_at", "ordered_at AS at"))
    plane(folder, secret, "dataset", "export", "orders", "orders.parquet")
    table = pq.read_table(folder / "orders.parquet").sort_by("paid")
    assert table["purchases__item"].to_pylist() == [None, None, "tea"]
    pq.write_table(table.select(["shopper_id", "at", "paid"]), folder / "spine.parquet")
    plane(folder, secret, *create, "--spine", "spine.parquet")
    with ControlPlane(folder, "local") as opened:
        again = opened.dataset("orders")
        assert again.version == 2
        assert again.to_arrow().sort_by("paid").select(table.column_names) == table
        assert again.definition["spine"].startswith("file spine.parquet, sha256 ")
        with pytest.raises(PlaneError, match="and this is snowflake"):
            opened.load(folder / "spine.parquet", "raw.copied")
    plane(folder, secret, "dataset", "drop", "orders", "--yes")
    assert json.loads(plane(folder, secret, "list", "datasets", "--json")) == []


def against_the_embedded(folder: Path) -> None:
    """The same features in the embedded warehouse: the tables are equal, and an altered row is
    found."""
    settings = folder / "plane.toml"
    settings.write_text(
        f'{settings.read_text()}\n[environments.laptop]\nnow = "2024-01-03T00:00:00Z"\ndialect ='
        ' "duckdb"\nwarehouse = { kind = "duckdb", path = ".plane/laptop.duckdb" }\n'
    )
    rows = ", ".join(
        f"({s}, TIMESTAMP '{at}', {price}::DOUBLE, '{item}')" for s, at, price, item in ORDERS
    )
    with duckdb.connect(str(folder / ".plane" / "laptop.duckdb")) as connection:
        connection.execute("CREATE SCHEMA raw")
        connection.execute(
            "CREATE TABLE raw.orders AS SELECT shopper_id::BIGINT AS shopper_id, * EXCLUDE"
            f" shopper_id FROM (VALUES {rows}) AS orders(shopper_id, ordered_at, price, item)"
        )
    with ControlPlane(folder, "laptop") as laptop:
        laptop.deploy()
        laptop.run()
        found = laptop.verify_against("local")
        assert found.equal, found
        assert [part.compared for part in found.views[0].tables] == [8, 2]
        [view] = laptop.deployed()[1].views
        name = f'features."purchases__history__{view.fingerprint}"'
        change = (
            f"UPDATE {name} SET item_last_3_1d = ['tea', 'cap'] WHERE price_sum_1d = 7 AND"
            " price_sum_1h IS NULL"
        )
        assert laptop.project.warehouse.execute([Statement("by hand", change)]) == [1]
        found = laptop.verify_against("local")
    [one] = found.views[0].tables[0].differences
    assert (one.keys, one.values) == (
        {"shopper_id": 1},
        {"item_last_3_1d": (["tea", "cap"], ["tea", "cup"])},
    )


def regranted(folder: Path, endpoint: SnowflakeEndpoint) -> None:
    """Another role of readers is let in by the next deploy."""
    settings = folder / "plane.toml"
    with_role = 'kind = "snowflake", reader_role = "Team B",'
    settings.write_text(settings.read_text().replace('kind = "snowflake",', with_role))
    with ControlPlane(folder) as plane:
        assert [type(action) for action in plane.deploy()[0].actions] == [Rerender]
    granted = [text for text in endpoint.account.recorded if text.startswith("GRANT SELECT")]
    assert 'GRANT SELECT ON VIEW "FEATURES"."PURCHASES" TO ROLE "Team B"' in granted


def doctored(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the doctor says where all is well, and where the token is wrong."""
    with ControlPlane(folder) as plane:
        levels = {finding.subject: finding.level for finding in plane.doctor()}
    assert {name for name, level in levels.items() if level == "error"} == set()
    subjects = (
        "snowflake-connector-python",
        "warehouse",
        "schema features",
        "schema _plane",
        "sources",
    )
    assert {levels[name] for name in subjects} == {"ok"}
    monkeypatch.setenv("SECRET", "no-such-token")
    with ControlPlane(folder) as plane:
        wrong = [finding for finding in plane.doctor() if finding.level == "error"]
    assert [finding.subject for finding in wrong] == ["warehouse", "definitions"]
    assert wrong[0].message == "connecting to Snowflake: Programmatic access token is invalid."
    assert "no-such-token" not in str(wrong)


def forgotten(folder: Path, secret: str) -> None:
    """One shopper is erased, and the other is still there."""
    found = json.loads(plane(folder, secret, "forget", "--key", "shopper_id=1", "--yes", "--json"))
    held = {one["table"].split("__")[1]: (one["rows"] > 0, one["left"]) for one in found["tables"]}
    assert held == {
        "tiles": (True, 0),
        "history": (True, 0),
        "history_replaced": (False, 0),
        "latest": (True, 0),
    }
    assert found["sources"] == {"raw.orders": len([order for order in ORDERS if order[0] == 1])}
    with ControlPlane(folder, "local") as opened:
        shoppers = opened.project.warehouse.fetch(
            "SELECT DISTINCT shopper_id FROM features.purchases"
        )
        assert [row for batch in shoppers for row in batch.to_pylist()] == [{"shopper_id": 2}]


def test_snowflake(tmp_path, monkeypatch):
    with SnowflakeEndpoint() as endpoint:
        options = endpoint.options()
        monkeypatch.setenv("SECRET", options["token"])
        warehouse = connect_snowflake(**options)
        journey(
            tmp_path, "snowflake", options | {"token": "${SECRET}"}, options["token"], warehouse
        )
        assert "0 mismatches" in plane(tmp_path, options["token"], "verify")
        explored(tmp_path, options["token"], endpoint)
        exported(tmp_path, options["token"])
        against_the_embedded(tmp_path)
        regranted(tmp_path, endpoint)
        forgotten(tmp_path, options["token"])
        doctored(tmp_path, monkeypatch)
        warehouse.close()
