"""Decides which eviction policies of an online store are safe for values. No I/O is done here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from controlplane.base.ports import StoreInfo


@dataclass(frozen=True)
class Concern:
    """A reason not to write values into a store, with a remedy; `fatal` if values may be lost."""

    fatal: bool
    message: str
    hint: str


def concerns(info: StoreInfo) -> Iterator[Concern]:
    """Yield the reasons not to write values into a store."""
    # Under `allkeys-*` the server drops any key without an error, sync cursors included.
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
