"""The clients of a deployed project, beside its server."""

from __future__ import annotations

import asyncio

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
