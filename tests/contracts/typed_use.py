"""How the generated client is used; the type checker says which of it is wrong."""

from __future__ import annotations

from typing import assert_type

from controlplane import FeatureClient
from tests.contracts.generated.all_client import AllClient, AllFeatures, AllKeys, AllRequest


def risk(client: FeatureClient, key: str | None, amount: float) -> float | None:
    """What is right: keys, a request without its nullable fields, a feature of its type."""
    features = AllClient(client).get({"k": key}, {"amount": amount})
    assert_type(features, AllFeatures)
    assert_type(features["words"], list[str | None] | None)
    return features["risk"]


def several(
    client: FeatureClient, keys: list[AllKeys], requests: list[AllRequest]
) -> list[AllFeatures]:
    """Several at once, with a request for each."""
    return AllClient(client).get_many(keys, requests)


def wrong(client: AllClient) -> None:
    """Each of these is refused by the type checker: it would complain of an `ignore` that is not
    needed."""
    client.get({"k": 1}, {"amount": 1.0})  # type: ignore[typeddict-item]
    client.get({}, {"amount": 1.0})  # type: ignore[typeddict-item]
    client.get({"k": "a"}, {"r_i": 1})  # type: ignore[typeddict-item]
    client.get({"k": "a"}, {"amount": 1.0})["nope"]  # type: ignore[typeddict-item]
    client.get({"k": "a"})  # type: ignore[call-arg]
