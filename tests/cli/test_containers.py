"""The command line as containers run it: a uid without a name, folders that can't be written, a full disk."""

from __future__ import annotations

import sqlite3

import pytest

from tests import sandbox
from tests.cli.test_bad_input import problems

CREATE = ("dataset", "create", "one", "--service", "shop", "--time", "at", "--spine")
SPINE = "SELECT 1::BIGINT AS user_id, TIMESTAMP '2024-01-04' AS at"


def test_b3_a_uid_without_a_name_is_called_by_its_number(shop):
    nameless = f"uid {sandbox.NAMELESS}"
    for command in (["plan"], ["deploy"], ["run"], ["status"], ["doctor"], ["verify", "--cases", "5"]):
        shop.plane(*command, hook=sandbox.become_nameless)
    created = shop.plane(*CREATE, SPINE, "--json", hook=sandbox.become_nameless).json
    assert created["created_by"] == nameless
    shop.redefine(('windows=["2d"]', 'windows=["3d"]'))
    shop.plane("deploy", hook=sandbox.become_nameless)
    shop.plane("rollback", hook=sandbox.become_nameless)
    with sqlite3.connect(shop.folder / ".plane" / "state.db") as state:
        by = {row[0].partition("@")[0] for row in state.execute("SELECT deployed_by FROM plane_deployment")}
    assert by == {nameless}


def test_b3_a_home_that_a_nameless_uid_lacks_is_told(shop):
    shop.resettle(
        ('kind = "duckdb", path = ".plane/warehouse.duckdb"', 'kind = "snowflake", account = "a", private_key_file = "~/k"')
    )
    assert problems(shop.fails("plan", hook=sandbox.become_nameless)) == [
        (
            "plane.toml: private_key_file can't be read: this user has no home for ~",
            "give an absolute path, or set HOME",
        )
    ]
