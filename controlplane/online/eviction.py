"""What an online store's eviction policy means for the values in it: the one place that decides
what is safe. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from controlplane.base.ports import StoreInfo


@dataclass(frozen=True)
class Concern:
    """What stands against writing values into a store: `fatal` where they would not be safe there,
    and a remedy."""

    fatal: bool
    message: str
    hint: str


def concerns(info: StoreInfo) -> Iterator[Concern]:
    """Everything that stands against it: under `allkeys-*` the server drops any value without an
    error."""
    if info.eviction_policy.startswith("allkeys-"):
        yield Concern(
            True,
            f"maxmemory-policy is {info.eviction_policy}: the server may drop feature values"
            " without an error",
            "set maxmemory-policy to noeviction, or to a volatile-* policy, in the server's"
            " configuration",
        )
    elif not info.eviction_policy:
        yield Concern(
            False,
            "its eviction policy is not known",
            "the server hides its configuration: ask its operator for noeviction or volatile-*",
        )
    if info.evicted_keys:
        yield Concern(
            False,
            f"{info.evicted_keys} keys were evicted since the server started",
            "give it more memory, then write all keys again: plane run --resync",
        )
