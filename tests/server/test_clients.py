"""The clients of a deployed project, beside its server."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from controlplane import AsyncFeatureClient, FeatureClient
from controlplane.errors import PlaneError
from controlplane.serving import FeatureVector


def test_both_clients_read_what_the_server_answers(served):
    users = [{"user_id": n} for n in (1, 2, 9)]
    told = served.post("/v1/services/shop", {"entities": users}).json["vectors"]
    client = FeatureClient(served.project.folder)
    found = client.get("shop", users)
    one = client.get("shop", users[0])
    client.close()
    assert [dict(vector) for vector in found] == [vector["features"] for vector in told]
    assert [dict(vector.statuses) for vector in found] == [vector["statuses"] for vector in told]

    async def read() -> list[FeatureVector]:
        async with AsyncFeatureClient(served.project.folder) as client:
            with pytest.raises(PlaneError, match="none"):
                await client.get("none", {})
            priced = await client.get("priced", users[0], {"price": 15})
            assert priced["rate"] == 0.5
            assert list(await client.get("shop", users)) == list(found)
            return await asyncio.gather(*(client.get("shop", user) for user in users))

    assert asyncio.run(read()) == list(found)
    assert one == found[0]


READ = """
import sys
from controlplane import FeatureClient
print(*sys.modules)
client = FeatureClient(sys.argv[1])
print(dict(client.get("shop", {"user_id": 1})))
client.close()
print(*sys.modules)
"""


def test_a_models_process_loads_what_reading_needs(served):
    command = [sys.executable, "-c", READ, str(served.project.folder)]
    before, vector, after = subprocess.run(
        command, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    ours = [
        name
        for name in before.split()
        if name.split(".")[0] in {"controlplane", "connectors", "dag_templates"}
    ]
    assert "controlplane.client" in ours
    assert len(ours) <= 40
    heavy = {
        "airflow",
        "alembic",
        "duckdb",
        "jinja2",
        "pandas",
        "pyarrow",
        "rich",
        "sqlalchemy",
        "sqlglot",
        "typer",
    }
    assert {name.split(".")[0] for name in before.split()} & (heavy | {"redis"}) == set()
    assert "spend" in vector
    loaded = after.split()
    assert "connectors.redis.store" in loaded
    assert {name.split(".")[0] for name in loaded} & heavy == set()
    assert not any(name.startswith(("controlplane.sql", "controlplane.compile")) for name in loaded)
